#include "kernels/cross_entropy/cross_entropy.h"
#include "kernels/ops.h"

Status cross_entropy(Device *dev, CrossEntropyOut out, Tensor dx, Tensor x, const Weight *w,
                     const int32_t *label, const float *weight, CrossEntropyOpts opts) {
    CHECK(x.ndim == 2 && (x.dtype == DT_F32 || x.dtype == DT_BF16) && x.dim[1] == w->k,
          "cross_entropy: x [%lld,%lld], W [%lld,%lld]", (long long)x.dim[0], (long long)x.dim[1],
          (long long)w->n, (long long)w->k);
    CHECK(!dx.data || (dx.dim[0] == x.dim[0] && dx.dim[1] == x.dim[1] && dx.dtype == x.dtype && w->bwd),
          "cross_entropy: dx is not shaped like x, or W is not packed for a backward");
    CHECK(x.device == dev->kind && (!dx.data || dx.device == dev->kind),
          "cross_entropy: x or dx is on another device");
    CHECK(opts.smoothing >= 0.0f && opts.smoothing < 1.0f && opts.softcap >= 0.0f,
          "cross_entropy: label smoothing %g, softcap %g", (double)opts.smoothing, (double)opts.softcap);
    return dev->ops->cross_entropy(dev, out, dx.data, dx.ld, x.data, x.ld, x.dtype, w, label, weight,
                                   x.dim[0], opts);
}
