#include "model/hypernet_internal.h"

#include <math.h>
#include <string.h>

enum { SMALL = 1 << 14 };

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
