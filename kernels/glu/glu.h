/* Gated linear unit: y[n,f] = act(g[n,f]) * u[n,f],  gu [N,2F] = (g | u)                       Shazeer 2020
 * act: SiLU (SwiGLU), GELU in the tanh form (GeGLU of Gemma) or exact. bwd: dgu [N,2F] overwritten from dy
 * [N,F] and gu; dgu may be gu. All f32, or all bf16 (CUDA). */
#ifndef T2L_KERNELS_GLU_H
#define T2L_KERNELS_GLU_H

#include "base/device.h"

typedef enum GluAct { GLU_SILU, GLU_GELU_TANH, GLU_GELU } GluAct;

Status glu_fwd(Device *dev, Tensor y, Tensor gu, GluAct act);
Status glu_bwd(Device *dev, Tensor dgu, Tensor dy, Tensor gu, GluAct act);

typedef Status glu_fwd_fn(Device *dev, void *y, int64_t ldy, const void *gu, int64_t ldgu, DType type,
                          int64_t n, int64_t f, GluAct act);
typedef Status glu_bwd_fn(Device *dev, void *dgu, int64_t lddgu, const void *dy, int64_t lddy, const void *gu,
                          int64_t ldgu, DType type, int64_t n, int64_t f, GluAct act);

#endif
