/* Where a run stands, and its checkpoints on disk: RUN/ckpt/step_00001000/ holds what the training wrote and
 * state.json, with the place in the run and the SHA-256 of every other file. A checkpoint is written under a
 * temporary name, flushed and renamed, so a crash or a full disk leaves the earlier ones whole. RUN/ckpt/last
 * and RUN/ckpt/best are links; kept are these two and the one before the last (older ones are removed once
 * the new one is on disk). */
#ifndef T2L_TRAIN_STATE_H
#define T2L_TRAIN_STATE_H

#include "base/status.h"
#include <stdint.h>

/* Optimizer steps done, and batches passed over because they gave no finite gradient: the next batch is
 * number step + moved. Everything random in a step is a function of (seed, batch number). */
typedef struct RunPlace {
    int64_t step, moved;
} RunPlace;

typedef struct RunState {
    RunPlace at;
    int64_t tokens;    /* fed in all */
    double loss_sum;   /* of the steps since the last line of metrics.jsonl */
    int64_t loss_n;    /* how many */
    int64_t skipped;   /* steps in a row without a finite gradient */
    int64_t best_step; /* -1: never validated */
    double best;       /* validation loss there */
    int64_t waited;    /* validations since then */
} RunState;

/* Writes the training's own files into dir. */
typedef Status state_write_fn(void *self, const char *dir);

/* *path owns the checkpoint's folder. best: this step is where `best` points from now on. */
Status state_save(char **path, const char *run_dir, const RunState *s, state_write_fn *write, void *self);
/* The newest checkpoint that is whole; damaged ones after it are named in a warning on stderr and removed, as
 * is what a killed run left half-written. *dir owns; NULL when the run has no checkpoint. E_INPUT when it has
 * some and all are damaged. */
Status state_newest(char **dir, RunState *s, const char *run_dir);
bool state_any(const char *run_dir); /* whether the run has a checkpoint, whole or not */
/* state.json, and every file it lists against its SHA-256. */
Status state_read(RunState *s, const char *dir);

#endif
