/* Products with a frozen matrix, held packed for the device.
 *   fwd: y[M,N] (+)= x[M,K] W^T      bwd: dx[M,K] (+)= dy[M,N] W            W [N,K], as nn.Linear stores it
 * x, y, dy, dx are f32; a BF16 weight rounds x (dy) to bf16 on the way in and accumulates in f32. With a BF16
 * weight each of x, y, dy, dx may be bf16 too (CUDA).
 * y (dx) is overwritten, or added to with accumulate. Sums run over the whole inner dimension in one fixed
 * order. A packed weight is read-only: it may be used by several devices of the same kind at once. */
#ifndef T2L_KERNELS_MATMUL_H
#define T2L_KERNELS_MATMUL_H

#include "base/device.h"

typedef struct Weight {
    int64_t n, k; /* W [n, k] */
    DType dtype;  /* DT_F32 or DT_BF16 */
    void *fwd;    /* view into the weights arena: packed for x W^T */
    void *bwd;    /* the same for dy W (CUDA: the same bytes); NULL when no backward is needed */
} Weight;

typedef struct MatmulOpts {
    bool accumulate;
} MatmulOpts;

/* Packs W [N,K] (f32 or bf16, contiguous rows, in host memory) into memory of `arena`, which is the device's;
 * dtype is the type to compute in. with_bwd also packs the transposed form. While the arena measures, nothing
 * is read: w.data may be NULL. E_ENV: DT_BF16 without a device that multiplies it. */
typedef struct MatmulPackOpts {
    bool with_bwd;
} MatmulPackOpts;
Status matmul_pack(Device *dev, Arena *arena, Weight *out, Tensor w, DType dtype, MatmulPackOpts opts);
Status matmul_fwd(Device *dev, Tensor y, Tensor x, const Weight *w, MatmulOpts opts);
Status matmul_bwd(Device *dev, Tensor dx, Tensor dy, const Weight *w, MatmulOpts opts);

typedef Status matmul_pack_fn(Device *dev, Arena *arena, Weight *out, const void *w, DType w_dtype, int64_t n,
                              int64_t k, DType dtype, bool with_bwd);
typedef Status matmul_fwd_fn(Device *dev, void *y, int64_t ldy, DType y_type, const void *x, int64_t ldx,
                             DType x_type, const Weight *w, int64_t m, bool accumulate);
typedef Status matmul_bwd_fn(Device *dev, void *dx, int64_t lddx, DType dx_type, const void *dy, int64_t lddy,
                             DType dy_type, const Weight *w, int64_t m, bool accumulate);

#endif
