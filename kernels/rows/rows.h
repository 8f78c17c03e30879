/* Rows of matrices: to other places, summed, and their squares.
 * put:     y[at[n],c] = x[n,c]: keys and values into a cache. y [M,C] overwritten where a row goes, no two
 * rows to one place; x [N,C]; at [N] i32. Both f32, or both bf16 (CUDA). at outside of [0,M) is a broken
 *          invariant (CUDA: the row is left out).
 * sum:     out[i,0:c] = sum over a < na, b < nb of x[i*si + a*sa + b*sb, from:from+c]; out [n,c] overwritten,
 *          not in x; rows of x are ld apart. Summed in double, a outside of b.
 * penalty: *sum = sum of x^2 in double, in a fixed order, written on the host; g += slope * x (g NULL: not
 *          wanted). Item i begins at i*stride, its row j at j*ld; g is laid out like x. sum, penalty: f32. */
#ifndef T2L_KERNELS_ROWS_H
#define T2L_KERNELS_ROWS_H

#include "base/device.h"

typedef struct RowSum {
    int64_t n, c, ld, from, si, na, sa, nb, sb;
} RowSum;

typedef struct RowItems {
    int64_t n, stride, rows, ld, columns;
} RowItems;

Status rows_put(Device *dev, Tensor y, Tensor x, const int32_t *at);
Status rows_sum(Device *dev, float *out, const float *x, RowSum d);
Status rows_penalty(Device *dev, double *sum, float *g, const float *x, RowItems items, float slope);

typedef Status rows_put_fn(Device *dev, void *y, int64_t ldy, int64_t m, const void *x, int64_t ldx,
                           DType type, const int32_t *at, int64_t n, int64_t c);
typedef Status rows_sum_fn(Device *dev, float *out, const float *x, RowSum d);
typedef Status rows_penalty_fn(Device *dev, double *sum, float *g, const float *x, RowItems items,
                               float slope);

#endif
