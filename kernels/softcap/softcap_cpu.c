#include "kernels/ops.h"
#include "kernels/vec.h"

VEC_TARGETS
static void softcap_row(float *x, int64_t c, float cap) {
    float inverse = 1.0f / cap;
#pragma omp simd
    for (int64_t j = 0; j < c; j++) x[j] = cap * vec_tanhf(x[j] * inverse);
}

Status softcap_fwd_cpu(Device *dev, void *x, int64_t ldx, DType type, int64_t n, int64_t c, float cap) {
    if (type != DT_F32) return device_unsupported(dev, "softcap_fwd", type);
#pragma omp parallel for num_threads(dev->n_threads) schedule(static) if (n > 1)
    for (int64_t i = 0; i < n; i++) softcap_row((float *)x + i * ldx, c, cap);
    return OK;
}
