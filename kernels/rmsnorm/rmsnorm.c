#include "kernels/rmsnorm/rmsnorm.h"
#include "kernels/ops.h"

static void check(const Device *dev, const char *op, Tensor x, Tensor y, Tensor w, Tensor rstd) {
    CHECK(x.ndim == 2 && y.ndim == 2 && x.dim[0] == y.dim[0] && x.dim[1] == y.dim[1] &&
              w.dim[0] == x.dim[1] && rstd.dim[0] >= x.dim[0],
          "%s: x [%lld,%lld], y [%lld,%lld], w [%lld], rstd [%lld]", op, (long long)x.dim[0],
          (long long)x.dim[1], (long long)y.dim[0], (long long)y.dim[1], (long long)w.dim[0],
          (long long)rstd.dim[0]);
    CHECK((x.dtype == DT_F32 || x.dtype == DT_BF16) && y.dtype == x.dtype && w.dtype == DT_F32 &&
              rstd.dtype == DT_F32,
          "%s: x %s, y %s, w %s, rstd %s", op, dtype_name(x.dtype), dtype_name(y.dtype), dtype_name(w.dtype),
          dtype_name(rstd.dtype));
    CHECK(x.device == dev->kind && y.device == dev->kind && w.device == dev->kind && rstd.device == dev->kind,
          "%s: x, y, w or rstd is on another device", op);
}

Status rmsnorm_fwd(Device *dev, Tensor y, Tensor rstd, Tensor x, Tensor w, float eps) {
    check(dev, "rmsnorm_fwd", x, y, w, rstd);
    return dev->ops->rmsnorm_fwd(dev, y.data, y.ld, rstd.data, x.data, x.ld, w.data, x.dtype, x.dim[0],
                                 x.dim[1], eps);
}

Status rmsnorm_bwd(Device *dev, Tensor dx, Tensor dy, Tensor x, Tensor w, Tensor rstd) {
    check(dev, "rmsnorm_bwd", x, dy, w, rstd);
    CHECK(dx.ndim == 2 && dx.dim[0] == x.dim[0] && dx.dim[1] == x.dim[1] && dx.dtype == x.dtype &&
              dx.device == dev->kind,
          "rmsnorm_bwd: dx is not shaped like x");
    return dev->ops->rmsnorm_bwd(dev, dx.data, dx.ld, dy.data, dy.ld, x.data, x.ld, w.data, rstd.data,
                                 x.dtype, x.dim[0], x.dim[1]);
}
