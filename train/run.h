/* The life of a run, whatever is trained: steps, metrics.jsonl, TensorBoard events, validation, the best
 * checkpoint, early stop, signals, resuming, and what happens when a loss or a gradient is not finite. A run
 * lives in RUN/: config.json (resolved), metrics.jsonl, events.out.tfevents.*, ckpt/ (train/state.h),
 * report.md. A run that was interrupted or killed, at whatever moment, and resumed gives the same bits and
 * the same lines as one that was not, with any number of threads.
 *
 * Not finite (train.nan): nothing reaches the optimizer or a checkpoint. halt: saves what was before, E_FAIL.
 * skip: the batch is passed over; E_FAIL after RUN_MAX_SKIPS in a row. rollback: back to the newest
 * checkpoint, then on with the batches after the offending one; E_FAIL after RUN_MAX_SKIPS of them without a
 * new checkpoint in between. */
#ifndef T2L_TRAIN_RUN_H
#define T2L_TRAIN_RUN_H

#include "train/config.h"
#include "train/state.h"

enum { RUN_MAX_SETS = 4, RUN_MAX_SKIPS = 10 /* chosen */ };

typedef struct RunStep {
    double loss, penalty, grad_norm, lr;
    double commitment; /* of a VQ task encoder; 0: none */
    int64_t tokens;    /* fed to the LLM; 0 where there is none */
} RunStep;

/* A set of a validation: its loss, and what else was measured. */
typedef struct RunMeasure {
    const char *name; /* view */
    double value;
} RunMeasure;

typedef struct RunSet {
    const char *name; /* view */
    double loss;
    int n;
    RunMeasure more[2];
} RunSet;

typedef struct RunVal {
    int n;
    RunSet set[RUN_MAX_SETS];
} RunVal;

/* A kind of training, as the run sees it. self: what is trained. */
typedef struct RunKind {
    /* Forward and backward of batch number at->step + at->moved; with update, and if loss and grad_norm are
     * finite, the optimizer's step, counted in at->step. */
    Status (*step)(RunStep *out, void *self, bool update);
    Status (*validate)(RunVal *out, void *self); /* NULL: cannot */
    state_write_fn *write;                       /* its files into a checkpoint's folder */
    Status (*read)(void *self, const char *dir); /* and back, all of its state but `at` */
} RunKind;

typedef struct Run {
    const RunKind *kind; /* view */
    void *self;          /* view */
    RunPlace *at;        /* view: in self */
    int64_t total;       /* optimizer steps */
    const Config *cfg;   /* view */
} Run;

typedef struct RunOpts {
    const char *run_dir; /* view */
    bool resume, quiet;
    const volatile int *stop; /* set by a signal: finish the step, save, return E_INTERRUPTED; may be NULL */
} RunOpts;

typedef struct RunResult {
    char *ckpt; /* owns: the best checkpoint's folder */
    double seconds, tokens_per_s;
} RunResult;

/* With resume, a folder without checkpoints is a run from the start, and one of another training
 * (config_same_training) is refused; without, one with checkpoints is refused. */
Status run_train(RunResult *out, const Run *run, RunOpts opts);
/* E_USAGE when run_dir holds the configuration of another training; OK also where it holds none. */
Status run_same(const Config *cfg, const char *run_dir);
/* Mean over the sets of the loss: what is best is least. */
double run_val_loss(const RunVal *v);

#endif
