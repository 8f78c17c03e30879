/* Low-rank update, one adapter a packed sequence; sequence b uses adapter index[b] (negative: none).      Hu
 * et al. 2021 xd = dropout(x);  h[n,:] = xd[n,:] A^T;  y[n,:] += scale * h[n,:] Bt A [r,in] at a + t*a_stride
 * with leading dimension lda, Bt = B^T [r,out] at bt + t*bt_stride with ldb: views into wherever the adapter
 * was made. h [N,r] is written by fwd and read by bwd. y is added to. bwd: dx += dropout'(dh A), dh = scale *
 * dy B; dA += dh^T xd; dBt += scale * h^T dy. dA, dBt as A, Bt (same strides). NULL dx data: not wanted.
 * Sequences that share an adapter are summed in order. x, y, dx, dy f32, or all bf16 (CUDA); the rest f32.
 * index, cu_seqlens: the device's memory; cu_seqlens[n_seqs] <= N. dropout: element (n,c) of x is kept when
 * philox(seed, stream, n*in + c) >= p, and divided by 1-p; p = 0: none. */
#ifndef T2L_KERNELS_LORA_H
#define T2L_KERNELS_LORA_H

#include "base/device.h"

enum { LORA_MAX_RANK = 256 };

typedef struct LoraView {
    float *a, *bt; /* view */
    int64_t a_stride, bt_stride, lda, ldb;
} LoraView;

typedef struct LoraOpts {
    int64_t rank;
    float scale;
    float dropout;
    uint64_t seed, stream;
} LoraOpts;

Status lora_fwd(Device *dev, Tensor y, Tensor h, Tensor x, LoraView w, const int32_t *index,
                const int32_t *cu_seqlens, int64_t n_seqs, LoraOpts opts);
Status lora_bwd(Device *dev, Tensor dx, LoraView dw, Tensor dy, Tensor h, Tensor x, LoraView w,
                const int32_t *index, const int32_t *cu_seqlens, int64_t n_seqs, LoraOpts opts);

typedef Status lora_fwd_fn(Device *dev, void *y, int64_t ldy, float *h, const void *x, int64_t ldx,
                           DType type, LoraView w, const int32_t *index, const int32_t *cu_seqlens,
                           int64_t n_seqs, int64_t n, int64_t in, int64_t out, LoraOpts opts);
typedef Status lora_bwd_fn(Device *dev, void *dx, int64_t lddx, LoraView dw, const void *dy, int64_t lddy,
                           const float *h, const void *x, int64_t ldx, DType type, LoraView w,
                           const int32_t *index, const int32_t *cu_seqlens, int64_t n_seqs, int64_t n,
                           int64_t in, int64_t out, LoraOpts opts);

#endif
