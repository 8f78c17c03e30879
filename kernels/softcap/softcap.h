/* x[n,c] <- cap * tanh(x[n,c] / cap), in place: logits that cannot pass cap (Gemma 2, 2024). x [N,C] f32
 * (CUDA: or bf16), cap > 0. Forward only: where a gradient is wanted, the cap is part of the operation
 * (attention, cross_entropy).
 */
#ifndef T2L_KERNELS_SOFTCAP_H
#define T2L_KERNELS_SOFTCAP_H

#include "base/device.h"

Status softcap_fwd(Device *dev, Tensor x, float cap);

typedef Status softcap_fwd_fn(Device *dev, void *x, int64_t ldx, DType type, int64_t n, int64_t c, float cap);

#endif
