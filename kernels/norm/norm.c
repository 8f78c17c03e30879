#include "kernels/ops.h"

Status norm_sumsq(Device *dev, double *out, const float *x, int64_t n) {
    CHECK(n >= 0 && (n == 0 || x), "norm_sumsq: an array of %lld", (long long)n);
    return dev->ops->norm_sumsq(dev, out, x, n);
}
