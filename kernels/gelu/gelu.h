/* y = x * Phi(x), exact (erf) form                                                       Hendrycks & Gimpel
 * 2016 x, y [N,C] f32; y may be x. Forward only: the text encoder is frozen. */
#ifndef T2L_KERNELS_GELU_H
#define T2L_KERNELS_GELU_H

#include "base/device.h"

Status gelu_fwd(Device *dev, Tensor y, Tensor x);

typedef Status gelu_fwd_fn(Device *dev, float *y, int64_t ldy, const float *x, int64_t ldx, int64_t n,
                           int64_t c);

#endif
