#include "kernels/ops.h"
#include "kernels/vec.h"

#include <string.h>

enum { COLUMNS = 32, FEW = 1 << 14 }; /* FEW: numbers that are not worth waking threads for; chosen */

Status rows_put_cpu(Device *dev, void *y, int64_t ldy, int64_t m, const void *x, int64_t ldx, DType type,
                    const int32_t *at, int64_t n, int64_t c) {
    if (type != DT_F32) return device_unsupported(dev, "rows_put", type);
#pragma omp parallel for num_threads(dev->n_threads) schedule(static) if (n * c > FEW)
    for (int64_t i = 0; i < n; i++) {
        CHECK(at[i] >= 0 && at[i] < m, "row %d of %lld", (int)at[i], (long long)m);
        memcpy((float *)y + at[i] * ldy, (const float *)x + i * ldx, (size_t)c * sizeof(float));
    }
    return OK;
}

VEC_TARGETS static void sum_block(float *out, const float *x, int64_t columns, RowSum d) {
    double s[COLUMNS] = {0};
    for (int64_t a = 0; a < d.na; a++)
        for (int64_t b = 0; b < d.nb; b++) {
            const float *row = x + (a * d.sa + b * d.sb) * d.ld;
#pragma omp simd
            for (int64_t k = 0; k < columns; k++) s[k] += (double)row[k];
        }
    for (int64_t k = 0; k < columns; k++) out[k] = (float)s[k];
}

Status rows_sum_cpu(Device *dev, float *out, const float *x, RowSum d) {
    int64_t across = (d.c + COLUMNS - 1) / COLUMNS;
#pragma omp parallel for num_threads(dev->n_threads) schedule(static) if (d.n * d.c * d.na * d.nb > FEW)
    for (int64_t u = 0; u < d.n * across; u++) {
        int64_t i = u / across, k = u % across * COLUMNS;
        sum_block(out + i * d.c + k, x + i * d.si * d.ld + d.from + k, d.c - k < COLUMNS ? d.c - k : COLUMNS,
                  d);
    }
    return OK;
}

/* Sum of squares of one matrix [rows, columns] in double, in order; g += slope * x (g NULL: not wanted). */
static double penalise(float *g, const float *x, int64_t ld, int64_t rows, int64_t columns, float slope) {
    double sum = 0;
    for (int64_t i = 0; i < rows; i++) {
        const float *xr = x + i * ld;
        double part[8] = {0}; /* eight fixed partial sums */
        int64_t whole = columns - columns % 8;
        for (int64_t j = 0; j < whole; j += 8)
            for (int k = 0; k < 8; k++) part[k] += (double)xr[j + k] * (double)xr[j + k];
        for (int64_t j = whole; j < columns; j++) part[j - whole] += (double)xr[j] * (double)xr[j];
        for (int k = 0; k < 8; k++) sum += part[k];
        if (!g) continue;
        float *gr = g + i * ld;
#pragma omp simd
        for (int64_t j = 0; j < columns; j++) gr[j] += slope * xr[j];
    }
    return sum;
}

/* Items in groups, each item's sum by one thread. */
Status rows_penalty_cpu(Device *dev, double *sum, float *g, const float *x, RowItems d, float slope) {
    enum { GROUP = 256 };
    double each[GROUP], total = 0;
    for (int64_t from = 0; from < d.n; from += GROUP) {
        int64_t n = d.n - from < GROUP ? d.n - from : GROUP;
#pragma omp parallel for num_threads(dev->n_threads) schedule(static)
        for (int64_t i = 0; i < n; i++)
            each[i] = penalise(g ? g + (from + i) * d.stride : NULL, x + (from + i) * d.stride, d.ld, d.rows,
                               d.columns, slope);
        for (int64_t i = 0; i < n; i++) total += each[i];
    }
    *sum = total;
    return OK;
}
