#include "kernels/ops.h"
#include "kernels/vec.h"

#include <math.h>

VEC_TARGETS
static float rmsnorm_fwd_row(float *y, const float *x, const float *w, int64_t c, float eps) {
    double ss = 0.0; /* an error in rstd would be one of the whole row */
#pragma omp simd reduction(+ : ss)
    for (int64_t j = 0; j < c; j++) ss += (double)x[j] * (double)x[j];
    float rstd = (float)(1.0 / sqrt(ss / (double)c + (double)eps));
#pragma omp simd
    for (int64_t j = 0; j < c; j++) y[j] = x[j] * rstd * w[j];
    return rstd;
}

VEC_TARGETS
static void rmsnorm_bwd_row(float *dx, const float *dy, const float *x, const float *w, float rstd,
                            int64_t c) {
    float dot = 0.0f;
#pragma omp simd reduction(+ : dot)
    for (int64_t j = 0; j < c; j++) dot += w[j] * dy[j] * x[j];
    float k = dot * rstd * rstd / (float)c;
#pragma omp simd
    for (int64_t j = 0; j < c; j++) dx[j] += rstd * (w[j] * dy[j] - x[j] * k);
}

Status rmsnorm_fwd_cpu(Device *dev, void *y, int64_t ldy, float *rstd, const void *x, int64_t ldx,
                       const float *w, DType type, int64_t n, int64_t c, float eps) {
    if (type != DT_F32) return device_unsupported(dev, "rmsnorm_fwd", type);
#pragma omp parallel for num_threads(dev->n_threads) schedule(static) if (n > 1)
    for (int64_t i = 0; i < n; i++)
        rstd[i] = rmsnorm_fwd_row((float *)y + i * ldy, (const float *)x + i * ldx, w, c, eps);
    return OK;
}

Status rmsnorm_bwd_cpu(Device *dev, void *dx, int64_t lddx, const void *dy, int64_t lddy, const void *x,
                       int64_t ldx, const float *w, const float *rstd, DType type, int64_t n, int64_t c) {
    if (type != DT_F32) return device_unsupported(dev, "rmsnorm_bwd", type);
#pragma omp parallel for num_threads(dev->n_threads) schedule(static) if (n > 1)
    for (int64_t i = 0; i < n; i++)
        rmsnorm_bwd_row((float *)dx + i * lddx, (const float *)dy + i * lddy, (const float *)x + i * ldx, w,
                        rstd[i], c);
    return OK;
}
