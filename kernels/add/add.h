/* y[n,c] += x[n,c], or x[c] where x is a vector: a residual, a bias. y [N,C]; x [N,C] or [C].
 * Both f32, or both bf16 (CUDA). */
#ifndef T2L_KERNELS_ADD_H
#define T2L_KERNELS_ADD_H

#include "base/device.h"

Status add_fwd(Device *dev, Tensor y, Tensor x);

/* ldx 0: one row for all. */
typedef Status add_fwd_fn(Device *dev, void *y, int64_t ldy, const void *x, int64_t ldx, DType type,
                          int64_t n, int64_t c);

#endif
