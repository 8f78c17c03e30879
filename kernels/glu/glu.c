#include "kernels/glu/glu.h"
#include "kernels/ops.h"

static void check(const Device *dev, const char *op, Tensor y, Tensor gu) {
    CHECK(y.ndim == 2 && gu.ndim == 2 && y.dim[0] == gu.dim[0] && gu.dim[1] == 2 * y.dim[1] &&
              (y.dtype == DT_F32 || y.dtype == DT_BF16) && gu.dtype == y.dtype,
          "%s: y [%lld,%lld] %s, gu [%lld,%lld] %s", op, (long long)y.dim[0], (long long)y.dim[1],
          dtype_name(y.dtype), (long long)gu.dim[0], (long long)gu.dim[1], dtype_name(gu.dtype));
    CHECK(y.device == dev->kind && gu.device == dev->kind, "%s: y or gu is on another device", op);
}

Status glu_fwd(Device *dev, Tensor y, Tensor gu, GluAct act) {
    check(dev, "glu_fwd", y, gu);
    return dev->ops->glu_fwd(dev, y.data, y.ld, gu.data, gu.ld, y.dtype, y.dim[0], y.dim[1], act);
}

Status glu_bwd(Device *dev, Tensor dgu, Tensor dy, Tensor gu, GluAct act) {
    check(dev, "glu_bwd", dy, gu);
    check(dev, "glu_bwd", dy, dgu);
    return dev->ops->glu_bwd(dev, dgu.data, dgu.ld, dy.data, dy.ld, gu.data, gu.ld, dy.dtype, dy.dim[0],
                             dy.dim[1], act);
}
