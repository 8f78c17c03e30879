#include "kernels/ops.h"
#include "kernels/vec.h"

VEC_TARGETS
static void add_row(float *y, const float *x, int64_t c) {
#pragma omp simd
    for (int64_t j = 0; j < c; j++) y[j] += x[j];
}

Status add_fwd_cpu(Device *dev, void *y, int64_t ldy, const void *x, int64_t ldx, DType type, int64_t n,
                   int64_t c) {
    if (type != DT_F32) return device_unsupported(dev, "add_fwd", type);
#pragma omp parallel for num_threads(dev->n_threads) schedule(static) if (n > 1)
    for (int64_t i = 0; i < n; i++) add_row((float *)y + i * ldy, (const float *)x + i * ldx, c);
    return OK;
}
