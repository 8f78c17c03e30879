/* y[at[n],c] = x[n,c]: rows to their places in a larger matrix; keys and values into a cache.
 * y [M,C] overwritten where a row goes, no two rows to one place; x [N,C]; at [N] i32. Both f32, or both bf16
 * (CUDA). at outside of [0,M) is a broken invariant (CUDA: the row is left out). */
#ifndef T2L_KERNELS_ROWS_H
#define T2L_KERNELS_ROWS_H

#include "base/device.h"

Status rows_put(Device *dev, Tensor y, Tensor x, const int32_t *at);

typedef Status rows_put_fn(Device *dev, void *y, int64_t ldy, int64_t m, const void *x, int64_t ldx,
                           DType type, const int32_t *at, int64_t n, int64_t c);

#endif
