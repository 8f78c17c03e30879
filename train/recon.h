/* Training a hypernetwork by reconstruction (method.md section 5): for each task of a library of adapters,
 * the adapter generated from one of its descriptions is compared with the library's. No base model is needed.
 * A step takes train.batch_tasks tasks, without replacement in an epoch (its last step takes what is left),
 * one random description each, all layers and modules at once; loss: mean over modules of kernels/recon. What
 * makes an adapter of the heads' numbers is the hypernetwork's output stage, and is saved with it. delta_w:
 * x = z / sqrt(c); factorized, zscore: x = z * (std + 1e-10) + mean, elementwise over the library, heads
 * without bias; factorized, plain: x = z. hypernet.offset, an adapter, is taken off the targets' factors and
 * added back (x + offset). delta_w compares products, so there it is added to the generated factors before
 * the product; zscore makes it vanish in the mean. Everything random is a function of (seed, batch number).
 *
 * Validation: the relative error of delta W, |B A - B* A*| / |B* A*| (Frobenius, over all tasks, layers and
 * modules together), of finished adapters against the library's; from each task's first description that is
 * trained ("trained"), and, when descriptions come from a task set, from up to eval.descriptions of a task's
 * that are not ("seen"). */
#ifndef T2L_TRAIN_RECON_H
#define T2L_TRAIN_RECON_H

#include "data/library.h"
#include "train/ckpt.h"
#include "train/run.h"

/* What training works on, ready to step. */
typedef struct Recon {
    const Config *cfg; /* view */
    Device *dev;       /* view */
    int64_t n_tasks;
    AdapterShape shape; /* of the library's adapters */
    LoraSet targets; /* view into mem: of every task, as the loss wants them; item (t, l) is number t*layers +
                        l */
    LoraSet target;  /* view into mem: one adapter, of validation */
    LoraSet offset;  /* view into mem: delta_w only, one adapter times sqrt(c); n_adapters 0: none */
    float *embeddings; /* owns [n,E]: descriptions, those of a task together, then the unseen ones likewise */
    int64_t n_embeddings;
    int64_t *first;          /* owns [n_tasks + 1]: row of a task's first description */
    int64_t *unseen;         /* owns [n_tasks + 1]: and of its first unseen one */
    int64_t *order;          /* owns [n_tasks]: the epoch's order of tasks */
    int64_t epoch;           /* of `order`; -1: none */
    int64_t *batch_task;     /* [batch_tasks]; view into mem, as the next three */
    int64_t *batch_row;      /* [batch_tasks]: of embeddings */
    int64_t *index;          /* [batch_tasks * layers]: target items */
    float *batch_embeddings; /* [batch_tasks, E] */
    int64_t n_batch;         /* tasks of the running step */
    Hypernet hypernet;
    CkptInfo info; /* what its checkpoints say */
    RunPlace at;
    int64_t total; /* optimizer steps */
    Arena mem;     /* owns */
} Recon;

/* embeddings NULL: descriptions of the task set `tasks` through `encoder` or (data.embedding=llm) `model`.
 * offset NULL: none. */
typedef struct ReconPaths {
    const char *library, *embeddings, *tasks, *encoder, *model, *offset; /* view: resolved paths */
} ReconPaths;

Status recon_init(Recon *r, Device *dev, const Config *cfg, const ReconPaths *paths, bool quiet);
void recon_free(Recon *r);
/* Tasks and description rows of batch `number` into batch_task, batch_row, n_batch. */
void recon_batch(Recon *r, int64_t number);
/* Forward, backward, and, with update and when loss and gradient are finite, the optimizer's step number
 * at.step, which it then counts. Loss: of delta_w times c; a VQ task encoder's commitment
 * loss is added to it. */
typedef struct ReconStepOpts {
    bool update;
} ReconStepOpts;
Status recon_step(RunStep *out, Recon *r, ReconStepOpts opts);
/* train/recon_valid.c. */
Status recon_validate(RunVal *out, Recon *r);
/* The whole run (train/run.h). */
Status recon_train(RunResult *out, Recon *r, RunOpts opts);

#endif
