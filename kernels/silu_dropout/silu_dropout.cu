/* Elementwise: a thread takes the four elements of one block of random numbers. Predicted, not measured:
 * [256,2048], 4.2 MB moved, 1 us of an H200's 4.8 TB/s, less than a launch. */
#include "base/rng.h"
#include "kernels/activation.cuh"

enum { THREADS = 256, GROUP = 4 };

/* The factors of elements 4 i to 4 i + 3: 0 or 1/(1-p). */
__device__ __forceinline__ void dropout_factors(float (&f)[GROUP], int64_t i, SiluDropoutOpts o) {
    Philox4 bits = philox(o.seed, o.stream, (uint64_t)i);
    float keep = 1.0f / (1.0f - o.p);
#pragma unroll
    for (int k = 0; k < GROUP; k++) f[k] = o.p == 0.0f ? 1.0f : rng_unit(bits.v[k]) >= o.p ? keep : 0.0f;
}

/* y = f silu(x), or with GRAD y = f dy silu'(x). */
template <bool GRAD> __device__ __forceinline__ float value(float x, float dy, float f, bool identity) {
    if (GRAD) return identity ? dy * f : dy * f * silu_grad(x);
    return (identity ? x : silu(x)) * f;
}

template <bool GRAD, bool VEC>
__global__ void silu_dropout(float *y, const float *dy, const float *x, int64_t total, SiluDropoutOpts o) {
    int64_t group = (int64_t)blockIdx.x * THREADS + threadIdx.x, i = group * GROUP;
    if (i >= total) return;
    float f[GROUP];
    dropout_factors(f, group, o);
    if (VEC && i + GROUP <= total) {
        float a[GROUP], g[GROUP] = {};
        load_f32(a, x + i);
        if (GRAD) load_f32(g, dy + i);
#pragma unroll
        for (int k = 0; k < GROUP; k++) a[k] = value<GRAD>(a[k], g[k], f[k], o.identity);
        store_f32(y + i, a);
        return;
    }
#pragma unroll
    for (int k = 0; k < GROUP; k++)
        if (i + k < total) y[i + k] = value<GRAD>(x[i + k], GRAD ? dy[i + k] : 0.0f, f[k], o.identity);
}

template <bool GRAD>
static Status launch(Device *dev, float *y, const float *dy, const float *x, int64_t total,
                     SiluDropoutOpts o) {
    unsigned grid = grid_for(total, THREADS * GROUP);
    if (vec_rows(y, 0, 0) && vec_rows(dy, 0, 0) && vec_rows(x, 0, 0))
        return LAUNCH(dev, (silu_dropout<GRAD, true>), grid, THREADS, 0, y, dy, x, total, o);
    return LAUNCH(dev, (silu_dropout<GRAD, false>), grid, THREADS, 0, y, dy, x, total, o);
}

extern "C" Status BODY(silu_dropout_fwd)(Device *dev, float *y, const float *x, int64_t n, int64_t c,
                                         SiluDropoutOpts opts) {
    return launch<false>(dev, y, NULL, x, n * c, opts);
}

extern "C" Status BODY(silu_dropout_bwd)(Device *dev, float *dx, const float *dy, const float *x, int64_t n,
                                         int64_t c, SiluDropoutOpts opts) {
    return launch<true>(dev, dx, dy, x, n * c, opts);
}
