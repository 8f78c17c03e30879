#include "kernels/ops.h"

static bool is_rows(Tensor t, const Device *dev, int64_t n, int64_t c) {
    return t.ndim == 2 && t.dtype == DT_F32 && t.device == dev->kind && t.dim[0] == n && t.dim[1] == c &&
           (t.ld >= c || n <= 1);
}

static bool is_vector(Tensor t, const Device *dev, int64_t c) {
    return t.ndim == 1 && t.dtype == DT_F32 && t.device == dev->kind && t.dim[0] == c &&
           tensor_is_contiguous(t);
}

Status layernorm_fwd(Device *dev, Tensor y, Tensor stats, Tensor x, Tensor w, Tensor b, float eps) {
    int64_t n = x.dim[0], c = x.dim[1];
    CHECK(is_rows(x, dev, n, c) && is_rows(y, dev, n, c), "layernorm: x and y [N,C]");
    CHECK(is_rows(stats, dev, n, 2) && tensor_is_contiguous(stats), "layernorm: stats [N,2]");
    CHECK(is_vector(w, dev, c) && is_vector(b, dev, c), "layernorm: w and b [C]");
    if (n == 0 || c == 0) return OK;
    return dev->ops->layernorm_fwd(dev, y.data, y.ld, stats.data, x.data, x.ld, w.data, b.data, n, c, eps);
}

Status layernorm_bwd(Device *dev, Tensor dx, Tensor dw, Tensor db, Tensor dy, Tensor x, Tensor w,
                     Tensor stats) {
    int64_t n = x.dim[0], c = x.dim[1];
    CHECK(is_rows(x, dev, n, c) && is_rows(dx, dev, n, c) && is_rows(dy, dev, n, c),
          "layernorm: x, dx and dy [N,C]");
    CHECK(is_rows(stats, dev, n, 2) && tensor_is_contiguous(stats), "layernorm: stats [N,2]");
    CHECK(is_vector(w, dev, c), "layernorm: w [C]");
    CHECK((!dw.data || is_vector(dw, dev, c)) && (!db.data || is_vector(db, dev, c)),
          "layernorm: dw and db [C]");
    if (n == 0 || c == 0) return OK;
    return dev->ops->layernorm_bwd(dev, dx.data, dx.ld, dw.data, db.data, dy.data, dy.ld, x.data, x.ld,
                                   w.data, stats.data, n, c);
}
