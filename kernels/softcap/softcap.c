#include "kernels/softcap/softcap.h"
#include "kernels/ops.h"

Status softcap_fwd(Device *dev, Tensor x, float cap) {
    CHECK(x.ndim == 2 && (x.dtype == DT_F32 || x.dtype == DT_BF16) && cap > 0.0f,
          "softcap_fwd: %d dimensions of %s, cap %g", x.ndim, dtype_name(x.dtype), (double)cap);
    CHECK(x.device == dev->kind, "softcap_fwd: x is on another device");
    return dev->ops->softcap_fwd(dev, x.data, x.ld, x.dtype, x.dim[0], x.dim[1], cap);
}
