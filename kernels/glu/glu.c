#include "kernels/glu/glu.h"
#include "kernels/ops.h"

static void check(const char *op, Tensor y, Tensor gu) {
    CHECK(y.ndim == 2 && gu.ndim == 2 && y.dim[0] == gu.dim[0] && gu.dim[1] == 2 * y.dim[1] &&
              y.dtype == DT_F32 && gu.dtype == DT_F32,
          "%s: y [%lld,%lld], gu [%lld,%lld]", op, (long long)y.dim[0], (long long)y.dim[1],
          (long long)gu.dim[0], (long long)gu.dim[1]);
}

Status glu_fwd(Device *dev, Tensor y, Tensor gu, GluAct act) {
    check("glu_fwd", y, gu);
    return dev->ops->glu_fwd(dev, y.data, y.ld, gu.data, gu.ld, y.dim[0], y.dim[1], act);
}

Status glu_bwd(Device *dev, Tensor dgu, Tensor dy, Tensor gu, GluAct act) {
    check("glu_bwd", dy, gu);
    check("glu_bwd", dy, dgu);
    return dev->ops->glu_bwd(dev, dgu.data, dgu.ld, dy.data, dy.ld, gu.data, gu.ld, dy.dim[0], dy.dim[1],
                             act);
}
