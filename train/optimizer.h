/* The end of a training step, whatever is trained: the gradient's norm, clipping, the learning rate, AdamW.
 */
#ifndef T2L_TRAIN_OPTIMIZER_H
#define T2L_TRAIN_OPTIMIZER_H

#include "base/device.h"
#include "train/run.h"

/* Flat spans of n numbers. */
typedef struct OptimizerSpan {
    float *params, *m, *v, *grads; /* view */
    int64_t n;
} OptimizerSpan;

typedef struct OptimizerRun {
    const Config *cfg; /* view */
    int64_t total;     /* optimizer steps of the whole run */
    bool update;
} OptimizerRun;

/* The gradient's norm into out; with update, and when out->loss and the norm are finite, optimizer step
 * number at->step, which is then counted there, and its rate into out. */
Status optimizer_step(RunStep *out, RunPlace *at, Device *dev, OptimizerSpan s, OptimizerRun run);

#endif
