/* Training a hypernetwork by supervised fine-tuning through the frozen LLM (method.md section 6). Everything
 * random is a function of (seed, batch number), so a run gives the same bits whatever the number of threads,
 * and continues from a checkpoint exactly. */
#ifndef T2L_TRAIN_SFT_H
#define T2L_TRAIN_SFT_H

#include "model/encoder.h"
#include "train/ckpt.h"
#include "train/config.h"
#include "train/valid.h"

/* Tasks to validate on. */
typedef struct SftSet {
    const char *name;  /* view */
    const Task *tasks; /* view */
    int64_t n_tasks;
    bool heldout;
    int64_t *first; /* owns [n_tasks]: row of a task's first description */
} SftSet;

/* What training works on, ready to step. */
typedef struct Sft {
    const Config *cfg; /* view */
    Device *dev;       /* view */
    Llm llm;
    TaskSet tasks;
    BatchSource source;
    Batch batch;
    TaskSet heldout;
    SftSet sets[2];
    int n_sets;        /* 0: no validation */
    Valid valid;       /* view: buffers in mem */
    float *embeddings; /* owns [n,E]: of every training description, then of those that validate */
    int64_t n_embeddings;
    Hypernet hypernet;
    CkptInfo info; /* what its checkpoints say */
    RunPlace at;
    int64_t total; /* optimizer steps */
    LlmActs acts;
    float *batch_embeddings; /* [B,E] */
    float *row_loss;         /* [R] */
    float *sum;              /* [n_params]: gradients of a step's batches; NULL when a step is one */
    Arena mem, sum_mem;      /* own the three above */
} Sft;

typedef struct SftPaths {
    const char *model, *encoder, *tasks, *heldout; /* view: resolved paths; heldout NULL: none */
} SftPaths;

Status sft_init(Sft *s, Device *dev, const Config *cfg, const SftPaths *paths, bool quiet);
void sft_free(Sft *s);
/* Forward and backward of train.accumulate batches, the loss their mean, and, with update and when loss and
 * gradient are finite, the optimizer's step number at.step, which it then counts. */
typedef struct SftStepOpts {
    bool update;
} SftStepOpts;
Status sft_step(RunStep *out, Sft *s, SftStepOpts opts);
/* Adapters of the descriptions of s->batch. */
Status sft_adapters(LoraSet *out, Sft *s, HypernetRun run);

/* train/sft_valid.c. Which sets there are; nothing when eval.every is 0. */
Status sft_valid_init(Sft *s, const char *heldout);
void sft_valid_free(Sft *s);
/* The descriptions needed, whose embeddings stand from row `row` on; their number. texts NULL: only that. */
int64_t sft_valid_texts(Sft *s, const char **texts, int64_t row);
Status sft_validate(RunVal *out, Sft *s);

/* Seconds and tokens of a mean step on this machine: the best rate of a few steps that update nothing, over
 * the next batches' sizes. */
Status sft_time_step(double *seconds, double *tokens, Sft *s);
/* Gives back the memory that only training needs; model and tasks stay. */
void sft_end_training(Sft *s);
/* The whole run (train/run.h). */
Status sft_run(RunResult *out, Sft *s, RunOpts opts);

#endif
