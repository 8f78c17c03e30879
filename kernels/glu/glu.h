/* Gated linear unit: y[n,f] = silu(g[n,f]) * u[n,f],  gu [N,2F] = (g | u)                     Shazeer 2020
 * (SwiGLU) bwd: dgu [N,2F] overwritten from dy [N,F] and gu; dgu may be gu. All f32. */
#ifndef T2L_KERNELS_GLU_H
#define T2L_KERNELS_GLU_H

#include "base/device.h"

Status glu_fwd(Device *dev, Tensor y, Tensor gu);
Status glu_bwd(Device *dev, Tensor dgu, Tensor dy, Tensor gu);

typedef Status glu_fwd_fn(Device *dev, float *y, int64_t ldy, const float *gu, int64_t ldgu, int64_t n,
                          int64_t f);
typedef Status glu_bwd_fn(Device *dev, float *dgu, int64_t lddgu, const float *dy, int64_t lddy,
                          const float *gu, int64_t ldgu, int64_t n, int64_t f);

#endif
