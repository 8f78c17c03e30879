#include "kernels/add/add.h"
#include "kernels/ops.h"

Status add_fwd(Device *dev, Tensor y, Tensor x) {
    bool row = x.ndim == 1;
    CHECK(y.ndim == 2 &&
              (row ? x.dim[0] == y.dim[1] : x.ndim == 2 && x.dim[0] == y.dim[0] && x.dim[1] == y.dim[1]),
          "add_fwd: y [%lld,%lld], x [%lld,%lld] of %d dimensions", (long long)y.dim[0], (long long)y.dim[1],
          (long long)x.dim[0], (long long)x.dim[1], x.ndim);
    CHECK(y.dtype == x.dtype && (x.dtype == DT_F32 || x.dtype == DT_BF16), "add_fwd: y %s, x %s",
          dtype_name(y.dtype), dtype_name(x.dtype));
    CHECK(y.device == dev->kind && x.device == dev->kind, "add_fwd: y or x is on another device");
    return dev->ops->add_fwd(dev, y.data, y.ld, x.data, row ? 0 : x.ld, x.dtype, y.dim[0], y.dim[1]);
}
