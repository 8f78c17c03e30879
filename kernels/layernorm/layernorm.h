/* y[n,c] = (x - mean) * rstd * w[c] + b[c],  mean and rstd of row n, rstd = 1/sqrt(var + eps), var biased Ba
 * et al. 2016 stats [N,2] (mean, rstd) written by fwd, read by bwd. w, b [C]. bwd: dx overwritten; dw, db [C]
 * added to (NULL data: not wanted). All f32. y may be x in fwd; dx may be dy in bwd. */
#ifndef T2L_KERNELS_LAYERNORM_H
#define T2L_KERNELS_LAYERNORM_H

#include "base/device.h"

Status layernorm_fwd(Device *dev, Tensor y, Tensor stats, Tensor x, Tensor w, Tensor b, float eps);
Status layernorm_bwd(Device *dev, Tensor dx, Tensor dw, Tensor db, Tensor dy, Tensor x, Tensor w,
                     Tensor stats);

typedef Status layernorm_fwd_fn(Device *dev, float *y, int64_t ldy, float *stats, const float *x, int64_t ldx,
                                const float *w, const float *b, int64_t n, int64_t c, float eps);
typedef Status layernorm_bwd_fn(Device *dev, float *dx, int64_t lddx, float *dw, float *db, const float *dy,
                                int64_t lddy, const float *x, int64_t ldx, const float *w, const float *stats,
                                int64_t n, int64_t c);

#endif
