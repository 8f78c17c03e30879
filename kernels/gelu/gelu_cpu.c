/* GELU, row by row; the scalar is vec_gelu. */
#include "kernels/gelu/gelu.h"

#include "kernels/vec.h"

VEC_TARGETS static void gelu_row(float *y, const float *x, int64_t c) {
#pragma omp simd
    for (int64_t i = 0; i < c; i++) y[i] = vec_gelu(x[i]);
}

Status gelu_fwd_cpu(Device *dev, float *y, int64_t ldy, const float *x, int64_t ldx, int64_t n, int64_t c) {
#pragma omp parallel for num_threads(dev->n_threads) schedule(static) if (n * c > 8192)
    for (int64_t i = 0; i < n; i++) gelu_row(y + i * ldy, x + i * ldx, c);
    return OK;
}
