/* The doors of matmul: shapes, types and device are checked once here; bodies trust them. */
#include "kernels/matmul/matmul.h"

#include "kernels/ops.h"

static void check_operand(Tensor t, int64_t columns, const char *name) {
    CHECK(t.dtype == DT_F32 || t.dtype == DT_BF16, "%s is %s, expected F32 or BF16", name,
          dtype_name(t.dtype));
    CHECK(t.ndim == 2 && t.dim[0] >= 0, "%s has %d dimensions", name, t.ndim);
    CHECK(t.dim[1] == columns, "%s has %lld columns, expected %lld", name, (long long)t.dim[1],
          (long long)columns);
    CHECK(t.dim[0] <= 1 || t.ld >= columns, "%s: rows %lld apart, %lld long", name, (long long)t.ld,
          (long long)columns);
    CHECK(t.data || t.dim[0] == 0, "%s has no data", name);
}

Status matmul_pack(Device *dev, Arena *arena, Weight *out, Tensor w, DType dtype, MatmulPackOpts opts) {
    CHECK(w.dtype == DT_F32 || w.dtype == DT_BF16, "w is %s", dtype_name(w.dtype));
    CHECK(dtype == DT_F32 || dtype == DT_BF16, "matmul computes in F32 or BF16, not %s", dtype_name(dtype));
    CHECK(w.ndim == 2 && w.dim[0] > 0 && w.dim[1] > 0 && tensor_is_contiguous(w), "w [%lld,%lld], %d dims",
          (long long)w.dim[0], (long long)w.dim[1], w.ndim);
    CHECK((w.data || !arena->base) && w.device == DEVICE_CPU, "w has no data on the host");
    return dev->ops->matmul_pack(dev, arena, out, w.data, w.dtype, w.dim[0], w.dim[1], dtype, opts.with_bwd);
}

Status matmul_fwd(Device *dev, Tensor y, Tensor x, const Weight *w, MatmulOpts opts) {
    CHECK(w->fwd, "weight is not packed");
    check_operand(y, w->n, "y");
    check_operand(x, w->k, "x");
    CHECK(x.device == dev->kind && y.device == dev->kind, "x or y is on another device");
    CHECK(x.dim[0] == y.dim[0], "x has %lld rows, y %lld", (long long)x.dim[0], (long long)y.dim[0]);
    if (x.dim[0] == 0) return OK;
    return dev->ops->matmul_fwd(dev, y.data, y.ld, y.dtype, x.data, x.ld, x.dtype, w, x.dim[0],
                                opts.accumulate);
}

Status matmul_bwd(Device *dev, Tensor dx, Tensor dy, const Weight *w, MatmulOpts opts) {
    CHECK(w->bwd, "weight was packed without its backward form");
    check_operand(dx, w->k, "dx");
    check_operand(dy, w->n, "dy");
    CHECK(dx.device == dev->kind && dy.device == dev->kind, "dx or dy is on another device");
    CHECK(dx.dim[0] == dy.dim[0], "dx has %lld rows, dy %lld", (long long)dx.dim[0], (long long)dy.dim[0]);
    if (dx.dim[0] == 0) return OK;
    return dev->ops->matmul_bwd(dev, dx.data, dx.ld, dx.dtype, dy.data, dy.ld, dy.dtype, w, dx.dim[0],
                                opts.accumulate);
}
