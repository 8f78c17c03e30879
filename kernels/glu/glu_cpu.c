#include "kernels/ops.h"
#include "kernels/vec.h"

VEC_TARGETS
static void glu_fwd_row(float *y, const float *g, const float *u, int64_t f) {
#pragma omp simd
    for (int64_t j = 0; j < f; j++) y[j] = vec_silu(g[j]) * u[j];
}

VEC_TARGETS
static void glu_bwd_row(float *dg, float *du, const float *dy, const float *g, const float *u, int64_t f) {
#pragma omp simd
    for (int64_t j = 0; j < f; j++) {
        float gj = g[j], uj = u[j], d = dy[j];
        dg[j] = d * uj * vec_silu_grad(gj);
        du[j] = d * vec_silu(gj);
    }
}

Status glu_fwd_cpu(Device *dev, float *y, int64_t ldy, const float *gu, int64_t ldgu, int64_t n, int64_t f) {
#pragma omp parallel for num_threads(dev->n_threads) schedule(static) if (n > 1)
    for (int64_t i = 0; i < n; i++) glu_fwd_row(y + i * ldy, gu + i * ldgu, gu + i * ldgu + f, f);
    return OK;
}

Status glu_bwd_cpu(Device *dev, float *dgu, int64_t lddgu, const float *dy, int64_t lddy, const float *gu,
                   int64_t ldgu, int64_t n, int64_t f) {
#pragma omp parallel for num_threads(dev->n_threads) schedule(static) if (n > 1)
    for (int64_t i = 0; i < n; i++)
        glu_bwd_row(dgu + i * lddgu, dgu + i * lddgu + f, dy + i * lddy, gu + i * ldgu, gu + i * ldgu + f, f);
    return OK;
}
