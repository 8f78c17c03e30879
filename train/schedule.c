#include "train/schedule.h"

#include <math.h>

double schedule_lr(double peak, int64_t step, int64_t warmup, int64_t total) {
    if (step < warmup) return peak * (double)step / (double)warmup;
    if (step >= total) return 0.0;
    return peak * (double)(total - step) / (double)(total - warmup);
}

double schedule_clip(double sumsq, double max_norm) {
    if (max_norm <= 0.0) return 1.0;
    double factor = max_norm / (sqrt(sumsq) + 1e-6); /* 1e-6: torch's constant */
    return factor > 1.0 ? 1.0 : factor;
}
