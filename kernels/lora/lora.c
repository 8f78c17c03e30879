#include "kernels/lora/lora.h"
#include "kernels/ops.h"

static void check(const Device *dev, const char *op, Tensor y, Tensor h, Tensor x, LoraView w, LoraOpts o) {
    CHECK(x.ndim == 2 && y.ndim == 2 && h.ndim == 2 && x.dim[0] == y.dim[0] && h.dim[0] >= x.dim[0] &&
              h.dim[1] == o.rank && tensor_is_contiguous(h),
          "%s: x [%lld,%lld], y [%lld,%lld], h [%lld,%lld], rank %lld", op, (long long)x.dim[0],
          (long long)x.dim[1], (long long)y.dim[0], (long long)y.dim[1], (long long)h.dim[0],
          (long long)h.dim[1], (long long)o.rank);
    CHECK((x.dtype == DT_F32 || x.dtype == DT_BF16) && y.dtype == x.dtype && h.dtype == DT_F32,
          "%s: x %s, y %s, h %s", op, dtype_name(x.dtype), dtype_name(y.dtype), dtype_name(h.dtype));
    CHECK(x.device == dev->kind && y.device == dev->kind && h.device == dev->kind,
          "%s: x, y or h is on another device", op);
    CHECK(o.rank >= 1 && o.rank <= LORA_MAX_RANK, "%s: rank %lld", op, (long long)o.rank);
    CHECK(w.a && w.bt && w.lda >= x.dim[1] && w.ldb >= y.dim[1], "%s: adapter rows of %lld and %lld", op,
          (long long)w.lda, (long long)w.ldb);
}

Status lora_fwd(Device *dev, Tensor y, Tensor h, Tensor x, LoraView w, const int32_t *index,
                const int32_t *cu_seqlens, int64_t n_seqs, LoraOpts opts) {
    check(dev, "lora_fwd", y, h, x, w, opts);
    return dev->ops->lora_fwd(dev, y.data, y.ld, h.data, x.data, x.ld, x.dtype, w, index, cu_seqlens, n_seqs,
                              x.dim[0], x.dim[1], y.dim[1], opts);
}

Status lora_bwd(Device *dev, Tensor dx, LoraView dw, Tensor dy, Tensor h, Tensor x, LoraView w,
                const int32_t *index, const int32_t *cu_seqlens, int64_t n_seqs, LoraOpts opts) {
    check(dev, "lora_bwd", dy, h, x, w, opts);
    CHECK(dw.a && dw.bt, "lora_bwd: no gradient buffers");
    CHECK(!dx.data || (dx.dim[0] == x.dim[0] && dx.dim[1] == x.dim[1] && dx.dtype == x.dtype &&
                       dx.device == dev->kind),
          "lora_bwd: dx is not shaped like x");
    return dev->ops->lora_bwd(dev, dx.data, dx.ld, dw, dy.data, dy.ld, h.data, x.data, x.ld, x.dtype, w,
                              index, cu_seqlens, n_seqs, x.dim[0], x.dim[1], dy.dim[1], opts);
}
