#include "model/hypernet_internal.h"

#include "kernels/vec.h"

#include <math.h>
#include <string.h>

enum { COLUMNS = 32, SMALL = 1 << 14 };

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

void rows_sum(Device *dev, float *out, const float *x, RowSum d) {
    int64_t across = (d.c + COLUMNS - 1) / COLUMNS;
#pragma omp parallel for num_threads(dev->n_threads) schedule(static) if (d.n * d.c * d.na * d.nb > SMALL)
    for (int64_t u = 0; u < d.n * across; u++) {
        int64_t i = u / across, k = u % across * COLUMNS;
        sum_block(out + i * d.c + k, x + i * d.si * d.ld + d.from + k, d.c - k < COLUMNS ? d.c - k : COLUMNS,
                  d);
    }
}

void rows_concat(Device *dev, float *x, const float *task, const float *depth, const float *type, int64_t t,
                 int64_t l, int64_t m, HypernetWidths w) {
    int64_t d = w.trunk;
#pragma omp parallel for num_threads(dev->n_threads) schedule(static) if (m * t * l * d > SMALL)
    for (int64_t i = 0; i < m * t * l; i++) {
        float *row = x + i * d;
        memcpy(row, task + i / l % t * w.task, (size_t)w.task * sizeof(float));
        memcpy(row + w.task, depth + i % l * w.depth, (size_t)w.depth * sizeof(float));
        memcpy(row + w.task + w.depth, type + i / (l * t) * w.type, (size_t)w.type * sizeof(float));
    }
}

void rows_add_factor(Device *dev, float *y, const float *x, const float *e, int64_t m, int64_t n, int64_t d) {
#pragma omp parallel for num_threads(dev->n_threads) schedule(static) if (m * n * d > SMALL)
    for (int64_t i = 0; i < 2 * m * n; i++) {
        const float *xr = x + (i / (2 * n) * n + i % n) * d, *er = e + i / n * d;
        float *yr = y + i * d;
        for (int64_t k = 0; k < d; k++) yr[k] = xr[k] + er[k];
    }
}

void rows_add_rank(Device *dev, float *y, const float *x, const float *e, int64_t n, int64_t r, int64_t d) {
#pragma omp parallel for num_threads(dev->n_threads) schedule(static) if (n * r * d > SMALL)
    for (int64_t i = 0; i < n * r; i++) {
        const float *xr = x + i / r * d, *er = e + i % r * d;
        float *yr = y + i * d;
        for (int64_t k = 0; k < d; k++) yr[k] = xr[k] + er[k];
    }
}

void rotary_table(float *cs, int64_t r, int64_t d) {
    int64_t half = d / 2;
    for (int64_t i = 0; i < r; i++)
        for (int64_t k = 0; k < half; k++) {
            double angle = (double)i * pow(10000.0, -(double)k / (double)half); /* theta: method.md 3 */
            cs[2 * (i * half + k)] = (float)cos(angle);
            cs[2 * (i * half + k) + 1] = (float)sin(angle);
        }
}

void rows_rotate(Device *dev, float *y, const float *x, const float *cs, int64_t n, int64_t r, int64_t d) {
    int64_t half = d / 2;
#pragma omp parallel for num_threads(dev->n_threads) schedule(static) if (n * r * d > SMALL)
    for (int64_t i = 0; i < n * r; i++) {
        const float *xr = x + i / r * d, *t = cs + i % r * d;
        float *yr = y + i * d;
        for (int64_t k = 0; k < half; k++) {
            yr[k] = xr[k] * t[2 * k] - xr[k + half] * t[2 * k + 1];
            yr[k + half] = xr[k + half] * t[2 * k] + xr[k] * t[2 * k + 1];
        }
    }
}

void rows_rotate_back(Device *dev, float *dx, const float *dy, const float *cs, int64_t n, int64_t r,
                      int64_t d) {
    int64_t half = d / 2;
#pragma omp parallel for num_threads(dev->n_threads) schedule(static) if (n * r * d > SMALL)
    for (int64_t j = 0; j < n; j++) {
        float *dxr = dx + j * d;
        memset(dxr, 0, (size_t)d * sizeof(float));
        for (int64_t i = 0; i < r; i++) {
            const float *g = dy + (j * r + i) * d, *t = cs + i * d;
            for (int64_t k = 0; k < half; k++) {
                dxr[k] += g[k] * t[2 * k] + g[k + half] * t[2 * k + 1];
                dxr[k + half] += g[k + half] * t[2 * k] - g[k] * t[2 * k + 1];
            }
        }
    }
}

void rows_add(Device *dev, float *y, const float *x, int64_t n) {
#pragma omp parallel for simd num_threads(dev->n_threads) schedule(static) if (n > SMALL)
    for (int64_t i = 0; i < n; i++) y[i] += x[i];
}
