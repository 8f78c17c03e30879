/* The door of gelu: shapes, types and device are checked once here. */
#include "kernels/gelu/gelu.h"

#include "kernels/ops.h"

Status gelu_fwd(Device *dev, Tensor y, Tensor x) {
    CHECK(x.dtype == DT_F32 && y.dtype == DT_F32, "x %s, y %s", dtype_name(x.dtype), dtype_name(y.dtype));
    CHECK(x.device == dev->kind && y.device == dev->kind, "x or y is on another device");
    CHECK(x.ndim == 2 && y.ndim == 2 && x.dim[0] == y.dim[0] && x.dim[1] == y.dim[1],
          "x [%lld,%lld], y [%lld,%lld]", (long long)x.dim[0], (long long)x.dim[1], (long long)y.dim[0],
          (long long)y.dim[1]);
    return dev->ops->gelu_fwd(dev, tensor_f32(y), y.ld, tensor_f32(x), x.ld, x.dim[0], x.dim[1]);
}
