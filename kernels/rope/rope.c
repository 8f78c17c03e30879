#include "kernels/rope/rope.h"
#include "kernels/ops.h"

static void check(const Device *dev, const char *op, Tensor x, Tensor cs) {
    CHECK(x.ndim == 2 && cs.ndim == 2 && cs.dim[0] >= x.dim[0] && cs.dim[1] % 2 == 0 &&
              x.dim[1] % cs.dim[1] == 0,
          "%s: x [%lld,%lld], table [%lld,%lld]", op, (long long)x.dim[0], (long long)x.dim[1],
          (long long)cs.dim[0], (long long)cs.dim[1]);
    CHECK((x.dtype == DT_F32 || x.dtype == DT_BF16) && cs.dtype == DT_F32 && tensor_is_contiguous(cs),
          "%s: x %s, cs %s", op, dtype_name(x.dtype), dtype_name(cs.dtype));
    CHECK(x.device == dev->kind && cs.device == dev->kind, "%s: x or cs is on another device", op);
}

Status rope_table(Device *dev, Tensor cs, const int32_t *pos, const float *inv_freq) {
    CHECK(cs.ndim == 2 && cs.dim[1] % 2 == 0 && cs.dtype == DT_F32 && tensor_is_contiguous(cs) &&
              cs.device == dev->kind,
          "rope_table: table [N,D]");
    return dev->ops->rope_table(dev, cs.data, pos, inv_freq, cs.dim[0], cs.dim[1]);
}

Status rope_fwd(Device *dev, Tensor x, Tensor cs) {
    check(dev, "rope_fwd", x, cs);
    return dev->ops->rope_fwd(dev, x.data, x.ld, cs.data, x.dtype, x.dim[0], x.dim[1] / cs.dim[1], cs.dim[1]);
}

Status rope_bwd(Device *dev, Tensor dx, Tensor cs) {
    check(dev, "rope_bwd", dx, cs);
    return dev->ops->rope_bwd(dev, dx.data, dx.ld, cs.data, dx.dtype, dx.dim[0], dx.dim[1] / cs.dim[1],
                              cs.dim[1]);
}
