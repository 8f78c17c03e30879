/* Grouped-query attention over packed sequences; query head h reads key/value head h / (H/G).
 *   s[i,j] = scale * q[i].k[j]  (j <= i when causal, i - j < window when there is one, same sequence only),
 *   s <- softcap tanh(s / softcap) where there is one,  p = softmax_j s,
 *   o[i] = sum_j p[i,j] v[j]   Vaswani 2017; Ainslie 2023; Dao 2022 (lse form); Gemma 2 2024 (softcap)
 * q [N,H*D], k, v [N,G*D] (column slices of one fused product are fine), o [N,H*D] overwritten, lse [N,H] =
 * log sum_j exp s[i,j], written by fwd, read by bwd; f32. All else of one type: f32 (CUDA: or bf16, D at most
 * 256). D a multiple of 4. cu_seqlens, slot and len lie in the device's memory like everything else.
 * bwd: dq, dk, dv overwritten; delta[i] = dO.o is computed inside.
 * decode: one new position a sequence against a cache. k_cache, v_cache [slots, max_len, G*D]; sequence b
 * uses slot[b] and sees the last `window` of positions 0..len[b]-1 (its own key and value already stored); q,
 * o [B,H*D]. On the CPU the bits of o are those of the causal fwd at the same position; they never depend on
 * the other sequences. */
#ifndef T2L_KERNELS_ATTENTION_H
#define T2L_KERNELS_ATTENTION_H

#include "base/device.h"

typedef struct AttentionShape {
    int64_t heads, groups, head_dim; /* H, G, D */
    float scale;
    bool causal;
    float softcap;  /* 0: none */
    int64_t window; /* keys a query sees, its own included; 0: all. Only causal */
} AttentionShape;

Status attention_fwd(Device *dev, Tensor o, Tensor lse, Tensor q, Tensor k, Tensor v,
                     const int32_t *cu_seqlens, int64_t n_seqs, AttentionShape shape);
Status attention_bwd(Device *dev, Tensor dq, Tensor dk, Tensor dv, Tensor dout, Tensor o, Tensor lse,
                     Tensor q, Tensor k, Tensor v, const int32_t *cu_seqlens, int64_t n_seqs,
                     AttentionShape shape);
Status attention_decode(Device *dev, Tensor o, Tensor q, Tensor k_cache, Tensor v_cache, const int32_t *slot,
                        const int32_t *len, AttentionShape shape);

typedef Status attention_fwd_fn(Device *dev, void *o, int64_t ldo, float *lse, const void *q, int64_t ldq,
                                const void *k, int64_t ldk, const void *v, int64_t ldv,
                                const int32_t *cu_seqlens, int64_t n_seqs, DType type, int64_t n,
                                AttentionShape shape);
typedef Status attention_bwd_fn(Device *dev, void *dq, int64_t lddq, void *dk, int64_t lddk, void *dv,
                                int64_t lddv, const void *dout, int64_t lddo, const void *o, int64_t ldo,
                                const float *lse, const void *q, int64_t ldq, const void *k, int64_t ldk,
                                const void *v, int64_t ldv, const int32_t *cu_seqlens, int64_t n_seqs,
                                DType type, int64_t n, AttentionShape shape);
typedef Status attention_decode_fn(Device *dev, void *o, int64_t ldo, const void *q, int64_t ldq,
                                   const void *k_cache, const void *v_cache, int64_t max_len,
                                   const int32_t *slot, const int32_t *len, int64_t n_seqs, DType type,
                                   AttentionShape shape);

#endif
