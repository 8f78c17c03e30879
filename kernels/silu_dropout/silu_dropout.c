#include "kernels/ops.h"

static bool is_like(Tensor t, Tensor x, const Device *dev) {
    return t.ndim == 2 && t.dtype == DT_F32 && t.device == dev->kind && t.dim[0] == x.dim[0] &&
           t.dim[1] == x.dim[1] && tensor_is_contiguous(t);
}

Status silu_dropout_fwd(Device *dev, Tensor y, Tensor x, SiluDropoutOpts opts) {
    CHECK(is_like(x, x, dev) && is_like(y, x, dev), "silu_dropout: x and y [N,C], contiguous f32");
    CHECK(opts.p >= 0.0f && opts.p < 1.0f, "silu_dropout: p = %g", (double)opts.p);
    if (tensor_numel(x) == 0) return OK;
    return dev->ops->silu_dropout_fwd(dev, y.data, x.data, x.dim[0], x.dim[1], opts);
}

Status silu_dropout_bwd(Device *dev, Tensor dx, Tensor dy, Tensor x, SiluDropoutOpts opts) {
    CHECK(is_like(x, x, dev) && is_like(dx, x, dev) && is_like(dy, x, dev),
          "silu_dropout: x, dx and dy [N,C], contiguous f32");
    CHECK(opts.p >= 0.0f && opts.p < 1.0f, "silu_dropout: p = %g", (double)opts.p);
    if (tensor_numel(x) == 0) return OK;
    return dev->ops->silu_dropout_bwd(dev, dx.data, dy.data, x.data, x.dim[0], x.dim[1], opts);
}
