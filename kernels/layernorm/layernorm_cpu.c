/* A thread owns rows of y and dx, and columns of dw and db. Row sums run in LANES fixed partial sums, column
 * sums in double over all rows in order: the bits do not depend on the number of threads. */
#include "kernels/layernorm/layernorm.h"
#include "kernels/vec.h"

#include <math.h>

enum { LANES = 16, COLUMNS = 32, SMALL = 1 << 14 };

static inline float fold(const float *s) {
    double t = 0;
    for (int k = 0; k < LANES; k++) t += s[k];
    return (float)t;
}

VEC_TARGETS static void row_fwd(float *y, float *stats, const float *x, const float *w, const float *b,
                                int64_t c, float eps) {
    float s[LANES] = {0};
    int64_t whole = c - c % LANES;
    for (int64_t j = 0; j < whole; j += LANES)
#pragma omp simd
        for (int k = 0; k < LANES; k++) s[k] += x[j + k];
    for (int64_t j = whole; j < c; j++) s[j - whole] += x[j];
    float mean = fold(s) / (float)c;
    for (int k = 0; k < LANES; k++) s[k] = 0;
    for (int64_t j = 0; j < whole; j += LANES)
#pragma omp simd
        for (int k = 0; k < LANES; k++) s[k] += (x[j + k] - mean) * (x[j + k] - mean);
    for (int64_t j = whole; j < c; j++) s[j - whole] += (x[j] - mean) * (x[j] - mean);
    float rstd = 1.0f / sqrtf(fold(s) / (float)c + eps);
    stats[0] = mean;
    stats[1] = rstd;
#pragma omp simd
    for (int64_t j = 0; j < c; j++) y[j] = (x[j] - mean) * rstd * w[j] + b[j];
}

/* dx = rstd (g - mean(g) - xhat mean(g xhat)), g = dy w */
VEC_TARGETS static void row_bwd(float *dx, const float *dy, const float *x, const float *w, float mean,
                                float rstd, int64_t c) {
    float s[LANES] = {0}, q[LANES] = {0};
    int64_t whole = c - c % LANES;
    for (int64_t j = 0; j < whole; j += LANES)
#pragma omp simd
        for (int k = 0; k < LANES; k++) {
            float g = dy[j + k] * w[j + k];
            s[k] += g;
            q[k] += g * ((x[j + k] - mean) * rstd);
        }
    for (int64_t j = whole; j < c; j++) {
        float g = dy[j] * w[j];
        s[j - whole] += g;
        q[j - whole] += g * ((x[j] - mean) * rstd);
    }
    float sum = fold(s) / (float)c, dot = fold(q) / (float)c;
#pragma omp simd
    for (int64_t j = 0; j < c; j++) dx[j] = rstd * (dy[j] * w[j] - sum - (x[j] - mean) * rstd * dot);
}

VEC_TARGETS static void columns_bwd(float *dw, float *db, const float *dy, int64_t lddy, const float *x,
                                    int64_t ldx, const float *stats, int64_t n, int64_t columns) {
    double sw[COLUMNS] = {0}, sb[COLUMNS] = {0};
    for (int64_t i = 0; i < n; i++) {
        float mean = stats[2 * i], rstd = stats[2 * i + 1];
        const float *dyr = dy + i * lddy, *xr = x + i * ldx;
#pragma omp simd
        for (int64_t k = 0; k < columns; k++) {
            sw[k] += (double)(dyr[k] * ((xr[k] - mean) * rstd));
            sb[k] += (double)dyr[k];
        }
    }
    for (int64_t k = 0; dw && k < columns; k++) dw[k] += (float)sw[k];
    for (int64_t k = 0; db && k < columns; k++) db[k] += (float)sb[k];
}

layernorm_fwd_fn layernorm_fwd_cpu;
layernorm_bwd_fn layernorm_bwd_cpu;

Status layernorm_fwd_cpu(Device *dev, float *y, int64_t ldy, float *stats, const float *x, int64_t ldx,
                         const float *w, const float *b, int64_t n, int64_t c, float eps) {
#pragma omp parallel for num_threads(dev->n_threads) schedule(static) if (n * c > SMALL)
    for (int64_t i = 0; i < n; i++) row_fwd(y + i * ldy, stats + 2 * i, x + i * ldx, w, b, c, eps);
    return OK;
}

Status layernorm_bwd_cpu(Device *dev, float *dx, int64_t lddx, float *dw, float *db, const float *dy,
                         int64_t lddy, const float *x, int64_t ldx, const float *w, const float *stats,
                         int64_t n, int64_t c) {
    if (dw || db) /* before dx, which may be dy */
#pragma omp parallel for num_threads(dev->n_threads) schedule(static) if (n * c > SMALL)
        for (int64_t j = 0; j < c; j += COLUMNS)
            columns_bwd(dw ? dw + j : NULL, db ? db + j : NULL, dy + j, lddy, x + j, ldx, stats, n,
                        c - j < COLUMNS ? c - j : COLUMNS);
#pragma omp parallel for num_threads(dev->n_threads) schedule(static) if (n * c > SMALL)
    for (int64_t i = 0; i < n; i++)
        row_bwd(dx + i * lddx, dy + i * lddy, x + i * ldx, w, stats[2 * i], stats[2 * i + 1], c);
    return OK;
}
