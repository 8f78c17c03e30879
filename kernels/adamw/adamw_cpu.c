/* Elementwise, in the order of torch's single-tensor step; the scalars are worked out in double. */
#include "kernels/adamw/adamw.h"
#include "kernels/vec.h"

#include <math.h>

enum { BLOCK = 1 << 14 };

typedef struct Scalars {
    float shrink, lerp, beta2, rest2, step, rroot, eps, grad;
} Scalars;

VEC_TARGETS static void block(float *restrict p, float *restrict m, float *restrict v,
                              const float *restrict g, int64_t n, Scalars s) {
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        float gi = g[i] * s.grad;
        float mi = m[i] + s.lerp * (gi - m[i]);
        float vi = s.beta2 * v[i] + s.rest2 * gi * gi;
        float denom = vec_sqrtf(vi) * s.rroot + s.eps;
        m[i] = mi;
        v[i] = vi;
        p[i] = p[i] * s.shrink - s.step * (mi / denom);
    }
}

adamw_fn adamw_cpu;

Status adamw_cpu(Device *dev, float *p, float *m, float *v, const float *g, int64_t n, AdamwOpts o) {
    double t = (double)o.step;
    Scalars s = {.shrink = (float)(1.0 - o.lr * o.decay),
                 .lerp = (float)(1.0 - o.beta1),
                 .beta2 = (float)o.beta2,
                 .rest2 = (float)(1.0 - o.beta2),
                 .step = (float)(o.lr / (1.0 - pow(o.beta1, t))),
                 .rroot = (float)(1.0 / sqrt(1.0 - pow(o.beta2, t))),
                 .eps = (float)o.eps,
                 .grad = (float)o.grad_scale};
#pragma omp parallel for num_threads(dev->n_threads) schedule(static) if (n > BLOCK)
    for (int64_t i = 0; i < n; i += BLOCK)
        block(p + i, m + i, v + i, g + i, n - i < BLOCK ? n - i : BLOCK, s);
    return OK;
}
