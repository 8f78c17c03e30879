/* Learning rate and clipping. Linear warm-up from 0 to peak, then linear to 0, as transformers'
 * get_linear_schedule_with_warmup: step counts from 0, so the first step has rate 0. */
#ifndef T2L_TRAIN_SCHEDULE_H
#define T2L_TRAIN_SCHEDULE_H

#include <stdint.h>

/* Rate of step `step` of `total`, the first `warmup` of which warm up. 0 from step `total` on. */
double schedule_lr(double peak, int64_t step, int64_t warmup, int64_t total);
/* The factor that clips gradients of squared norm `sumsq` to max_norm: min(1, max_norm / (norm + 1e-6)), as
 * torch.nn.utils.clip_grad_norm_. max_norm <= 0: no clipping. NaN in, NaN out. */
double schedule_clip(double sumsq, double max_norm);

#endif
