/* Rotary position encoding, half-split layout (Su et al. 2021; "rotate_half"):
 *   (x_i, x_{i+D/2}) -> (x_i cos - x_{i+D/2} sin, x_{i+D/2} cos + x_i sin),  angle = pos[n] * inv_freq[i], i
 * < D/2 rope_table writes cos and sin side by side: cs [N, D] = (cos[D/2], sin[D/2]); once a batch. fwd
 * rotates the heads of x [N, H*D] in place; bwd rotates them back (the gradient). cs f32; x f32 (CUDA: or
 * bf16). */
#ifndef T2L_KERNELS_ROPE_H
#define T2L_KERNELS_ROPE_H

#include "base/device.h"

Status rope_table(Device *dev, Tensor cs, const int32_t *pos, const float *inv_freq);
Status rope_fwd(Device *dev, Tensor x, Tensor cs);
Status rope_bwd(Device *dev, Tensor dx, Tensor cs);

typedef Status rope_table_fn(Device *dev, float *cs, const int32_t *pos, const float *inv_freq, int64_t n,
                             int64_t d);
typedef Status rope_fwd_fn(Device *dev, void *x, int64_t ldx, const float *cs, DType type, int64_t n,
                           int64_t h, int64_t d);
typedef Status rope_bwd_fn(Device *dev, void *dx, int64_t lddx, const float *cs, DType type, int64_t n,
                           int64_t h, int64_t d);

#endif
