#include "kernels/ops.h"

Status adamw(Device *dev, float *p, float *m, float *v, const float *g, int64_t n, AdamwOpts opts) {
    CHECK(n >= 0 && (n == 0 || (p && m && v && g)), "adamw: four arrays of %lld", (long long)n);
    CHECK(opts.step >= 1, "adamw: step %lld counts from 1", (long long)opts.step);
    if (n == 0) return OK;
    return dev->ops->adamw(dev, p, m, v, g, n, opts);
}
