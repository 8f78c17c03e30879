/* Decoupled weight decay Adam (Loshchilov & Hutter 2019), as torch.optim.AdamW:
 *   g' = g * grad_scale;  p -= lr*decay*p;  m = b1 m + (1-b1) g';  v = b2 v + (1-b2) g'^2
 *   p -= lr * (m / (1-b1^t)) / (sqrt(v / (1-b2^t)) + eps)
 * p, m, v [n] updated in place; g [n] read. step t counts from 1. All f32. */
#ifndef T2L_KERNELS_ADAMW_H
#define T2L_KERNELS_ADAMW_H

#include "base/device.h"

typedef struct AdamwOpts {
    double lr, beta1, beta2, eps, decay, grad_scale; /* double: 1 - 0.999f would be off by 1e-5 of itself */
    int64_t step;
} AdamwOpts;

Status adamw(Device *dev, float *p, float *m, float *v, const float *g, int64_t n, AdamwOpts opts);

typedef Status adamw_fn(Device *dev, float *p, float *m, float *v, const float *g, int64_t n, AdamwOpts opts);

#endif
