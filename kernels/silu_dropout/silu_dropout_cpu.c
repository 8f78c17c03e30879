/* Elementwise, in blocks of BLOCK elements that threads share out. A block makes its dropout factors (0 or
 * 1/(1-p)) from the random stream first; without dropout the factor is 1. */
#include "kernels/silu_dropout/silu_dropout.h"
#include "kernels/vec.h"

enum { BLOCK = 1024, SMALL = 1 << 14 };

VEC_TARGETS static void dropout_factors(float *f, int64_t first, SiluDropoutOpts o) {
    if (o.p == 0.0f) {
        for (int i = 0; i < BLOCK; i++) f[i] = 1.0f;
        return;
    }
    float keep = 1.0f / (1.0f - o.p), p = o.p;
    for (int part = 0; part < BLOCK; part += VEC_RNG) {
        uint32_t bits[VEC_RNG];
        vec_rng(bits, o.seed, o.stream, (uint64_t)(first + part) / VEC_RNG);
#pragma omp simd
        for (int i = 0; i < VEC_RNG; i++) /* 24 bits: a signed conversion, which has an instruction */
            f[part + i] = (float)(int32_t)(bits[i] >> 8) * (1.0f / 16777216.0f) >= p ? keep : 0.0f;
    }
}

VEC_TARGETS static void block_fwd(float *y, const float *x, const float *f, int64_t n, bool identity) {
    if (identity)
#pragma omp simd
        for (int64_t i = 0; i < n; i++) y[i] = x[i] * f[i];
    else
#pragma omp simd
        for (int64_t i = 0; i < n; i++) y[i] = vec_silu(x[i]) * f[i];
}

VEC_TARGETS static void block_bwd(float *dx, const float *dy, const float *x, const float *f, int64_t n,
                                  bool identity) {
    if (identity)
#pragma omp simd
        for (int64_t i = 0; i < n; i++) dx[i] = dy[i] * f[i];
    else
#pragma omp simd
        for (int64_t i = 0; i < n; i++) dx[i] = dy[i] * f[i] * vec_silu_grad(x[i]);
}

silu_dropout_fwd_fn silu_dropout_fwd_cpu;
silu_dropout_bwd_fn silu_dropout_bwd_cpu;

Status silu_dropout_fwd_cpu(Device *dev, float *y, const float *x, int64_t n, int64_t c,
                            SiluDropoutOpts opts) {
    int64_t total = n * c;
#pragma omp parallel for num_threads(dev->n_threads) schedule(static) if (total > SMALL)
    for (int64_t i = 0; i < total; i += BLOCK) {
        float f[BLOCK];
        dropout_factors(f, i, opts);
        block_fwd(y + i, x + i, f, total - i < BLOCK ? total - i : BLOCK, opts.identity);
    }
    return OK;
}

Status silu_dropout_bwd_cpu(Device *dev, float *dx, const float *dy, const float *x, int64_t n, int64_t c,
                            SiluDropoutOpts opts) {
    int64_t total = n * c;
#pragma omp parallel for num_threads(dev->n_threads) schedule(static) if (total > SMALL)
    for (int64_t i = 0; i < total; i += BLOCK) {
        float f[BLOCK];
        dropout_factors(f, i, opts);
        block_bwd(dx + i, dy + i, x + i, f, total - i < BLOCK ? total - i : BLOCK, opts.identity);
    }
    return OK;
}
