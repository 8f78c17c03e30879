#include "train/optimizer.h"
#include "kernels/ops.h"
#include "train/schedule.h"

#include <math.h>

Status optimizer_step(RunStep *out, RunPlace *at, Device *dev, OptimizerSpan s, OptimizerRun run) {
    const Config *c = run.cfg;
    double sumsq;
    TRY(norm_sumsq(dev, &sumsq, s.grads, s.n));
    out->grad_norm = sqrt(sumsq);
    if (!run.update || !isfinite(out->loss) || !isfinite(sumsq)) return OK;
    int64_t warmup = (int64_t)ceil(c->train.warmup * (double)run.total);
    out->lr = schedule_lr(c->train.lr, at->step, warmup, run.total);
    at->step++;
    AdamwOpts o = {.lr = out->lr,
                   .beta1 = c->train.beta1,
                   .beta2 = c->train.beta2,
                   .eps = c->train.eps,
                   .decay = c->train.weight_decay,
                   .grad_scale = schedule_clip(sumsq, c->train.clip),
                   .step = at->step};
    return adamw(dev, s.params, s.m, s.v, s.grads, s.n, o);
}
