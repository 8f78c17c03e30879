#include "kernels/ops.h"
#include "kernels/vec.h"

#include <math.h>

Status rope_table_cpu(Device *dev, float *cs, const int32_t *pos, const float *inv_freq, int64_t n,
                      int64_t d) {
#pragma omp parallel for num_threads(dev->n_threads) schedule(static) if (n > 1)
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < d / 2; j++) {
            float angle = (float)pos[i] * inv_freq[j];
            cs[i * d + j] = cosf(angle);
            cs[i * d + d / 2 + j] = sinf(angle);
        }
    return OK;
}

/* Turns the heads of one row by the angle (sign 1) or back (sign -1). */
VEC_TARGETS
static void turn_row(float *x, const float *cs, int64_t h, int64_t d, float sign) {
    const float *c = cs, *s = cs + d / 2;
    for (int64_t k = 0; k < h; k++) {
        float *lo = x + k * d, *hi = lo + d / 2;
#pragma omp simd
        for (int64_t j = 0; j < d / 2; j++) {
            float a = lo[j], b = hi[j], sj = sign * s[j];
            lo[j] = a * c[j] - b * sj;
            hi[j] = b * c[j] + a * sj;
        }
    }
}

Status rope_fwd_cpu(Device *dev, void *x, int64_t ldx, const float *cs, DType type, int64_t n, int64_t h,
                    int64_t d) {
    if (type != DT_F32) return device_unsupported(dev, "rope_fwd", type);
#pragma omp parallel for num_threads(dev->n_threads) schedule(static) if (n > 1)
    for (int64_t i = 0; i < n; i++) turn_row((float *)x + i * ldx, cs + i * d, h, d, 1.0f);
    return OK;
}

Status rope_bwd_cpu(Device *dev, void *dx, int64_t lddx, const float *cs, DType type, int64_t n, int64_t h,
                    int64_t d) {
    if (type != DT_F32) return device_unsupported(dev, "rope_bwd", type);
#pragma omp parallel for num_threads(dev->n_threads) schedule(static) if (n > 1)
    for (int64_t i = 0; i < n; i++) turn_row((float *)dx + i * lddx, cs + i * d, h, d, -1.0f);
    return OK;
}
