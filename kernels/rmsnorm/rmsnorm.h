/* y[n,c] = x[n,c] * rstd[n] * w[c],  rstd[n] = 1/sqrt(mean_c x^2 + eps)              Zhang & Sennrich 2019
 * x, y [N,C]  w [C]  rstd [N] written by fwd, read by bwd.
 * bwd: dx[n,c] += rstd (w dy - x rstd^2 mean_c(w dy x)): added to dx, because dx carries the residual's
 * gradient. w is frozen: it has no gradient. x, y, dx, dy f32, or all bf16 (CUDA); w, rstd f32. y may be
 * x. */
#ifndef T2L_KERNELS_RMSNORM_H
#define T2L_KERNELS_RMSNORM_H

#include "base/device.h"

Status rmsnorm_fwd(Device *dev, Tensor y, Tensor rstd, Tensor x, Tensor w, float eps);
Status rmsnorm_bwd(Device *dev, Tensor dx, Tensor dy, Tensor x, Tensor w, Tensor rstd);

typedef Status rmsnorm_fwd_fn(Device *dev, void *y, int64_t ldy, float *rstd, const void *x, int64_t ldx,
                              const float *w, DType type, int64_t n, int64_t c, float eps);
typedef Status rmsnorm_bwd_fn(Device *dev, void *dx, int64_t lddx, const void *dy, int64_t lddy,
                              const void *x, int64_t ldx, const float *w, const float *rstd, DType type,
                              int64_t n, int64_t c);

#endif
