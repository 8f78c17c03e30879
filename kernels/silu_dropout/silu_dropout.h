/* y = dropout(silu(x)) on [N,C] f32; element (n,c) is kept when
 * rng_unit(rng_at(seed, stream, n*C + c)) >= p and
 * divided by 1-p; p = 0: plain SiLU. Option identity: no SiLU, dropout alone. bwd: dx overwritten; recomputes
 * the mask. y may be x in fwd only when bwd is not wanted; dx may be dy. */
#ifndef T2L_KERNELS_SILU_DROPOUT_H
#define T2L_KERNELS_SILU_DROPOUT_H

#include "base/device.h"

typedef struct SiluDropoutOpts {
    float p;
    bool identity;
    uint64_t seed, stream;
} SiluDropoutOpts;

Status silu_dropout_fwd(Device *dev, Tensor y, Tensor x, SiluDropoutOpts opts);
Status silu_dropout_bwd(Device *dev, Tensor dx, Tensor dy, Tensor x, SiluDropoutOpts opts);

typedef Status silu_dropout_fwd_fn(Device *dev, float *y, const float *x, int64_t n, int64_t c,
                                   SiluDropoutOpts opts);
typedef Status silu_dropout_bwd_fn(Device *dev, float *dx, const float *dy, const float *x, int64_t n,
                                   int64_t c, SiluDropoutOpts opts);

#endif
