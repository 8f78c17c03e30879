#include "kernels/embedding/embedding.h"
#include "kernels/ops.h"

Status embedding_fwd(Device *dev, Tensor y, const int32_t *ids, Tensor table, EmbeddingOpts opts) {
    CHECK(y.ndim == 2 && table.ndim == 2 && y.dim[1] == table.dim[1] && y.dtype == DT_F32,
          "embedding_fwd: y [%lld,%lld], table [%lld,%lld]", (long long)y.dim[0], (long long)y.dim[1],
          (long long)table.dim[0], (long long)table.dim[1]);
    CHECK(table.dtype == DT_F32 || table.dtype == DT_BF16, "embedding_fwd: table is %s",
          dtype_name(table.dtype));
    CHECK(y.device == dev->kind && table.device == dev->kind,
          "embedding_fwd: y or table is on another device");
    return dev->ops->embedding_fwd(dev, y.data, y.ld, ids, table.data, table.dtype, y.dim[0], y.dim[1],
                                   table.dim[0], opts);
}
