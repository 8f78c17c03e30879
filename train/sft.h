/* Training a hypernetwork by supervised fine-tuning through the frozen LLM (method.md section 6). A run lives
 * in RUN/: config.json (resolved), metrics.jsonl (one object a logged step), ckpt/. Everything random is a
 * function of (seed, step), so a run gives the same bits whatever the number of threads, and continues from a
 * checkpoint exactly. */
#ifndef T2L_TRAIN_SFT_H
#define T2L_TRAIN_SFT_H

#include "model/encoder.h"
#include "train/batch.h"
#include "train/ckpt.h"
#include "train/config.h"

/* What training works on, ready to step. */
typedef struct Sft {
    const Config *cfg; /* view */
    Device *dev;       /* view */
    Llm llm;
    TaskSet tasks;
    BatchSource source;
    Batch batch;
    float *embeddings; /* owns [n,E]: of every training description */
    int64_t n_embeddings;
    Hypernet hypernet;
    CkptInfo info; /* what its checkpoints say; info.step: steps done */
    LlmActs acts;
    float *batch_embeddings; /* [B,E] */
    float *row_loss;         /* [R] */
    Arena mem;               /* owns the two above */
} Sft;

typedef struct SftPaths {
    const char *model, *encoder, *tasks; /* view: resolved paths */
} SftPaths;

typedef struct SftStep {
    double loss, penalty, grad_norm, lr;
    int64_t tokens; /* fed to the LLM */
} SftStep;

Status sft_init(Sft *s, Device *dev, const Config *cfg, const SftPaths *paths, bool quiet);
void sft_free(Sft *s);
/* Forward, backward, and, with update, the optimizer's step number info.step, which it then counts. E_FAIL
 * when the loss or the gradient is not finite; parameters are untouched then. */
typedef struct SftStepOpts {
    bool update;
} SftStepOpts;
Status sft_step(SftStep *out, Sft *s, SftStepOpts opts);

typedef struct SftRun {
    const char *run_dir; /* view */
    bool resume, quiet;
    const volatile int *stop; /* set by a signal: finish the step, save, return E_INTERRUPTED; may be NULL */
} SftRun;

typedef struct SftResult {
    char *ckpt; /* owns: the last checkpoint's folder */
    double seconds, tokens_per_s;
} SftResult;

/* Seconds and tokens of a mean step on this machine: the best rate of a few steps that update nothing, over
 * the next batches' sizes. */
Status sft_time_step(double *seconds, double *tokens, Sft *s);
/* Gives back the memory that only training needs; model and tasks stay. */
void sft_end_training(Sft *s);
/* The whole run: steps, log, checkpoints. */
Status sft_run(SftResult *out, Sft *s, SftRun opts);

#endif
