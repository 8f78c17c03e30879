/* The doors of attention: shapes, types and device are checked once here; bodies trust them. */
#include "kernels/attention/attention.h"

#include "kernels/ops.h"

static void check_shape(AttentionShape s) {
    CHECK(s.heads > 0 && s.groups > 0 && s.heads % s.groups == 0, "%lld heads, %lld groups",
          (long long)s.heads, (long long)s.groups);
    CHECK(s.head_dim > 0 && s.head_dim % 4 == 0, "head size %lld is no multiple of 4", (long long)s.head_dim);
    CHECK(s.softcap >= 0.0f && s.window >= 0 && (s.causal || s.window == 0), "softcap %g, window %lld",
          (double)s.softcap, (long long)s.window);
}

static void check_rows(const Device *dev, Tensor t, int64_t rows, int64_t columns, const char *name) {
    CHECK(t.dtype == DT_F32 && t.device == dev->kind, "%s is %s or elsewhere", name, dtype_name(t.dtype));
    CHECK(t.ndim == 2 && t.dim[0] == rows && t.dim[1] == columns, "%s [%lld,%lld], expected [%lld,%lld]",
          name, (long long)t.dim[0], (long long)t.dim[1], (long long)rows, (long long)columns);
    CHECK(rows <= 1 || t.ld >= columns, "%s: rows %lld apart", name, (long long)t.ld);
}

static void check_seqlens(const int32_t *cu_seqlens, int64_t n_seqs, int64_t n) {
    CHECK(n_seqs >= 0 && cu_seqlens[0] == 0 && cu_seqlens[n_seqs] == n, "sequences end at %d of %lld",
          cu_seqlens[n_seqs], (long long)n);
    for (int64_t b = 0; b < n_seqs; b++)
        CHECK(cu_seqlens[b] <= cu_seqlens[b + 1], "sequence %lld", (long long)b);
}

Status attention_fwd(Device *dev, Tensor o, Tensor lse, Tensor q, Tensor k, Tensor v,
                     const int32_t *cu_seqlens, int64_t n_seqs, AttentionShape shape) {
    int64_t n = q.dim[0], wide = shape.heads * shape.head_dim, narrow = shape.groups * shape.head_dim;
    check_shape(shape);
    check_rows(dev, q, n, wide, "q");
    check_rows(dev, k, n, narrow, "k");
    check_rows(dev, v, n, narrow, "v");
    check_rows(dev, o, n, wide, "o");
    check_rows(dev, lse, n, shape.heads, "lse");
    CHECK(tensor_is_contiguous(lse), "lse is strided");
    check_seqlens(cu_seqlens, n_seqs, n);
    return dev->ops->attention_fwd(dev, tensor_f32(o), o.ld, tensor_f32(lse), tensor_f32(q), q.ld,
                                   tensor_f32(k), k.ld, tensor_f32(v), v.ld, cu_seqlens, n_seqs, shape);
}

Status attention_bwd(Device *dev, Tensor dq, Tensor dk, Tensor dv, Tensor dout, Tensor o, Tensor lse,
                     Tensor q, Tensor k, Tensor v, const int32_t *cu_seqlens, int64_t n_seqs,
                     AttentionShape shape) {
    int64_t n = q.dim[0], wide = shape.heads * shape.head_dim, narrow = shape.groups * shape.head_dim;
    check_shape(shape);
    check_rows(dev, q, n, wide, "q");
    check_rows(dev, k, n, narrow, "k");
    check_rows(dev, v, n, narrow, "v");
    check_rows(dev, o, n, wide, "o");
    check_rows(dev, dq, n, wide, "dq");
    check_rows(dev, dk, n, narrow, "dk");
    check_rows(dev, dv, n, narrow, "dv");
    check_rows(dev, dout, n, wide, "dout");
    check_rows(dev, lse, n, shape.heads, "lse");
    CHECK(tensor_is_contiguous(lse), "lse is strided");
    check_seqlens(cu_seqlens, n_seqs, n);
    return dev->ops->attention_bwd(dev, tensor_f32(dq), dq.ld, tensor_f32(dk), dk.ld, tensor_f32(dv), dv.ld,
                                   tensor_f32(dout), dout.ld, tensor_f32(o), o.ld, tensor_f32(lse),
                                   tensor_f32(q), q.ld, tensor_f32(k), k.ld, tensor_f32(v), v.ld, cu_seqlens,
                                   n_seqs, shape);
}

static void check_cache(const Device *dev, Tensor t, int64_t columns, const char *name) {
    CHECK(t.dtype == DT_F32 && t.device == dev->kind, "%s is %s or elsewhere", name, dtype_name(t.dtype));
    CHECK(t.ndim == 3 && t.dim[2] == columns && tensor_is_contiguous(t), "%s [%lld,%lld,%lld]", name,
          (long long)t.dim[0], (long long)t.dim[1], (long long)t.dim[2]);
}

Status attention_decode(Device *dev, Tensor o, Tensor q, Tensor k_cache, Tensor v_cache, const int32_t *slot,
                        const int32_t *len, AttentionShape shape) {
    int64_t n = q.dim[0], wide = shape.heads * shape.head_dim, narrow = shape.groups * shape.head_dim;
    check_shape(shape);
    check_rows(dev, q, n, wide, "q");
    check_rows(dev, o, n, wide, "o");
    check_cache(dev, k_cache, narrow, "k_cache");
    check_cache(dev, v_cache, narrow, "v_cache");
    CHECK(k_cache.dim[0] == v_cache.dim[0] && k_cache.dim[1] == v_cache.dim[1], "caches differ in shape");
    for (int64_t b = 0; b < n; b++) {
        CHECK(slot[b] >= 0 && slot[b] < k_cache.dim[0], "slot %d of %lld", slot[b],
              (long long)k_cache.dim[0]);
        CHECK(len[b] > 0 && len[b] <= k_cache.dim[1], "%d positions of %lld", len[b],
              (long long)k_cache.dim[1]);
    }
    return dev->ops->attention_decode(dev, tensor_f32(o), o.ld, tensor_f32(q), q.ld, tensor_f32(k_cache),
                                      tensor_f32(v_cache), k_cache.dim[1], slot, len, n, shape);
}
