#include "kernels/ops.h"

static bool is_matrix(Tensor t, const Device *dev) {
    return t.ndim == 2 && t.dtype == DT_F32 && t.device == dev->kind && (t.ld >= t.dim[1] || t.dim[0] <= 1);
}

Status gemm(Device *dev, Tensor c, Tensor a, Tensor b, GemmOpts opts) {
    CHECK(is_matrix(c, dev) && is_matrix(a, dev) && is_matrix(b, dev), "gemm: three f32 matrices");
    int64_t m = a.dim[opts.ta == TRANS], k = a.dim[opts.ta == NO_TRANS];
    int64_t kb = b.dim[opts.tb == TRANS], n = b.dim[opts.tb == NO_TRANS];
    CHECK(k == kb && c.dim[0] == m && c.dim[1] == n,
          "gemm: c [%lld,%lld] = a [%lld,%lld] times b [%lld,%lld]", (long long)c.dim[0], (long long)c.dim[1],
          (long long)m, (long long)k, (long long)kb, (long long)n);
    CHECK(!opts.bias || opts.beta == 0.0f, "gemm: a bias needs beta 0, not %g", (double)opts.beta);
    CHECK(opts.dtype == DT_F32 || (opts.dtype == DT_BF16 && opts.alpha == 1.0f && tensor_is_contiguous(b) &&
                                   (opts.beta == 0.0f || opts.beta == 1.0f)),
          "gemm: in %s, alpha %g, beta %g", dtype_name(opts.dtype), (double)opts.alpha, (double)opts.beta);
    if (m == 0 || n == 0) return OK;
    return dev->ops->gemm(dev, c.data, c.ld, a.data, a.ld, b.data, b.ld, m, n, k, opts);
}
