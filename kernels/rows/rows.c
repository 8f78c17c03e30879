#include "kernels/rows/rows.h"
#include "kernels/ops.h"

Status rows_put(Device *dev, Tensor y, Tensor x, const int32_t *at) {
    CHECK(y.ndim == 2 && x.ndim == 2 && x.dim[1] == y.dim[1], "rows_put: y [%lld,%lld], x [%lld,%lld]",
          (long long)y.dim[0], (long long)y.dim[1], (long long)x.dim[0], (long long)x.dim[1]);
    CHECK(y.dtype == x.dtype && (x.dtype == DT_F32 || x.dtype == DT_BF16), "rows_put: y %s, x %s",
          dtype_name(y.dtype), dtype_name(x.dtype));
    CHECK(y.device == dev->kind && x.device == dev->kind, "rows_put: y or x is on another device");
    return dev->ops->rows_put(dev, y.data, y.ld, y.dim[0], x.data, x.ld, x.dtype, at, x.dim[0], x.dim[1]);
}

Status rows_sum(Device *dev, float *out, const float *x, RowSum d) {
    CHECK(d.n >= 0 && d.c >= 0 && d.na >= 0 && d.nb >= 0 && d.ld >= d.from + d.c,
          "rows_sum: %lld rows of %lld numbers, %lld apart", (long long)d.n, (long long)d.c, (long long)d.ld);
    if (d.n == 0 || d.c == 0) return OK;
    return dev->ops->rows_sum(dev, out, x, d);
}

Status rows_penalty(Device *dev, double *sum, float *g, const float *x, RowItems d, float slope) {
    CHECK(d.n >= 0 && d.rows >= 0 && d.columns >= 0 && (d.rows <= 1 || d.ld >= d.columns),
          "rows_penalty: %lld items of %lld rows of %lld numbers, %lld apart", (long long)d.n,
          (long long)d.rows, (long long)d.columns, (long long)d.ld);
    *sum = 0;
    if (d.n == 0 || d.rows == 0 || d.columns == 0) return OK;
    return dev->ops->rows_penalty(dev, sum, g, x, d, slope);
}
