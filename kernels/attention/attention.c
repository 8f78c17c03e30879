/* The doors of attention: shapes, types and device are checked once here; bodies trust them. */
#include "kernels/attention/attention.h"

#include "kernels/ops.h"

static void check_shape(AttentionShape s, DType type) {
    CHECK(type == DT_F32 || type == DT_BF16, "q is %s", dtype_name(type));
    CHECK(s.heads > 0 && s.groups > 0 && s.heads % s.groups == 0, "%lld heads, %lld groups",
          (long long)s.heads, (long long)s.groups);
    CHECK(s.head_dim > 0 && s.head_dim % 4 == 0, "head size %lld is no multiple of 4", (long long)s.head_dim);
    CHECK(s.softcap >= 0.0f && s.window >= 0 && (s.causal || s.window == 0), "softcap %g, window %lld",
          (double)s.softcap, (long long)s.window);
}

static void check_rows(const Device *dev, Tensor t, DType type, int64_t rows, int64_t columns,
                       const char *name) {
    CHECK(t.dtype == type && t.device == dev->kind, "%s is %s or elsewhere, expected %s", name,
          dtype_name(t.dtype), dtype_name(type));
    CHECK(t.ndim == 2 && t.dim[0] == rows && t.dim[1] == columns, "%s [%lld,%lld], expected [%lld,%lld]",
          name, (long long)t.dim[0], (long long)t.dim[1], (long long)rows, (long long)columns);
    CHECK(rows <= 1 || t.ld >= columns, "%s: rows %lld apart", name, (long long)t.ld);
}

/* Where the host can read them; elsewhere whoever copied them there has. */
static void check_seqlens(const Device *dev, const int32_t *cu_seqlens, int64_t n_seqs, int64_t n) {
    if (dev->kind != DEVICE_CPU) return;
    CHECK(n_seqs >= 0 && cu_seqlens[0] == 0 && cu_seqlens[n_seqs] == n, "sequences end at %d of %lld",
          cu_seqlens[n_seqs], (long long)n);
    for (int64_t b = 0; b < n_seqs; b++)
        CHECK(cu_seqlens[b] <= cu_seqlens[b + 1], "sequence %lld", (long long)b);
}

Status attention_fwd(Device *dev, Tensor o, Tensor lse, Tensor q, Tensor k, Tensor v,
                     const int32_t *cu_seqlens, int64_t n_seqs, AttentionShape shape) {
    int64_t n = q.dim[0], wide = shape.heads * shape.head_dim, narrow = shape.groups * shape.head_dim;
    check_shape(shape, q.dtype);
    check_rows(dev, q, q.dtype, n, wide, "q");
    check_rows(dev, k, q.dtype, n, narrow, "k");
    check_rows(dev, v, q.dtype, n, narrow, "v");
    check_rows(dev, o, q.dtype, n, wide, "o");
    check_rows(dev, lse, DT_F32, n, shape.heads, "lse");
    CHECK(tensor_is_contiguous(lse), "lse is strided");
    check_seqlens(dev, cu_seqlens, n_seqs, n);
    return dev->ops->attention_fwd(dev, o.data, o.ld, tensor_f32(lse), q.data, q.ld, k.data, k.ld, v.data,
                                   v.ld, cu_seqlens, n_seqs, q.dtype, n, shape);
}

Status attention_bwd(Device *dev, Tensor dq, Tensor dk, Tensor dv, Tensor dout, Tensor o, Tensor lse,
                     Tensor q, Tensor k, Tensor v, const int32_t *cu_seqlens, int64_t n_seqs,
                     AttentionShape shape) {
    int64_t n = q.dim[0], wide = shape.heads * shape.head_dim, narrow = shape.groups * shape.head_dim;
    check_shape(shape, q.dtype);
    check_rows(dev, q, q.dtype, n, wide, "q");
    check_rows(dev, k, q.dtype, n, narrow, "k");
    check_rows(dev, v, q.dtype, n, narrow, "v");
    check_rows(dev, o, q.dtype, n, wide, "o");
    check_rows(dev, dq, q.dtype, n, wide, "dq");
    check_rows(dev, dk, q.dtype, n, narrow, "dk");
    check_rows(dev, dv, q.dtype, n, narrow, "dv");
    check_rows(dev, dout, q.dtype, n, wide, "dout");
    check_rows(dev, lse, DT_F32, n, shape.heads, "lse");
    CHECK(tensor_is_contiguous(lse), "lse is strided");
    check_seqlens(dev, cu_seqlens, n_seqs, n);
    return dev->ops->attention_bwd(dev, dq.data, dq.ld, dk.data, dk.ld, dv.data, dv.ld, dout.data, dout.ld,
                                   o.data, o.ld, tensor_f32(lse), q.data, q.ld, k.data, k.ld, v.data, v.ld,
                                   cu_seqlens, n_seqs, q.dtype, n, shape);
}

static void check_cache(const Device *dev, Tensor t, DType type, int64_t columns, const char *name) {
    CHECK(t.dtype == type && t.device == dev->kind, "%s is %s or elsewhere", name, dtype_name(t.dtype));
    CHECK(t.ndim == 3 && t.dim[2] == columns && tensor_is_contiguous(t), "%s [%lld,%lld,%lld]", name,
          (long long)t.dim[0], (long long)t.dim[1], (long long)t.dim[2]);
}

Status attention_decode(Device *dev, Tensor o, Tensor q, Tensor k_cache, Tensor v_cache, const int32_t *slot,
                        const int32_t *len, AttentionShape shape) {
    int64_t n = q.dim[0], wide = shape.heads * shape.head_dim, narrow = shape.groups * shape.head_dim;
    check_shape(shape, q.dtype);
    check_rows(dev, q, q.dtype, n, wide, "q");
    check_rows(dev, o, q.dtype, n, wide, "o");
    check_cache(dev, k_cache, q.dtype, narrow, "k_cache");
    check_cache(dev, v_cache, q.dtype, narrow, "v_cache");
    CHECK(k_cache.dim[0] == v_cache.dim[0] && k_cache.dim[1] == v_cache.dim[1], "caches differ in shape");
    for (int64_t b = 0; b < n && dev->kind == DEVICE_CPU; b++) {
        CHECK(slot[b] >= 0 && slot[b] < k_cache.dim[0], "slot %d of %lld", slot[b],
              (long long)k_cache.dim[0]);
        CHECK(len[b] > 0 && len[b] <= k_cache.dim[1], "%d positions of %lld", len[b],
              (long long)k_cache.dim[1]);
    }
    return dev->ops->attention_decode(dev, o.data, o.ld, q.data, q.ld, k_cache.data, v_cache.data,
                                      k_cache.dim[1], slot, len, n, q.dtype, shape);
}
