/* Sum of squares of n f32 numbers in double, in fixed blocks of 4096 added in order: the squared global norm,
 * and the finite check (NaN or infinity in gives NaN or infinity out). *out is written on the host. */
#ifndef T2L_KERNELS_NORM_H
#define T2L_KERNELS_NORM_H

#include "base/device.h"

Status norm_sumsq(Device *dev, double *out, const float *x, int64_t n);

typedef Status norm_sumsq_fn(Device *dev, double *out, const float *x, int64_t n);

#endif
