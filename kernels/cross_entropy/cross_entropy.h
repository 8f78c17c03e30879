/* Softmax cross-entropy through the vocabulary product, for the R rows that have a label; full logits never
 * exist: rows are projected a chunk at a time. z = x[R,C] W^T, with softcap > 0 then z <- cap tanh(z / cap);
 * nll = lse(z) - z[label];  loss = (1-eps) nll + eps (lse(z) - mean_v z)   (label smoothing, PyTorch) out
 * (each NULL when not wanted): nll [R], loss [R], argmax [R], entropy [R] (of softmax z). dx [R,C] (NULL
 * data: not wanted) overwritten with weight[i] * d loss[i] / dx[i]. weight [R]. x and dx f32, or with a bf16
 * W both bf16 (CUDA); the rest f32. A label outside of the vocabulary is a broken invariant (CUDA: a NaN
 * loss). */
#ifndef T2L_KERNELS_CROSS_ENTROPY_H
#define T2L_KERNELS_CROSS_ENTROPY_H

#include "kernels/matmul/matmul.h"

typedef struct CrossEntropyOut {
    float *nll, *loss, *entropy; /* view */
    int32_t *argmax;             /* view */
} CrossEntropyOut;

typedef struct CrossEntropyOpts {
    float smoothing; /* eps */
    float softcap;   /* 0: none */
} CrossEntropyOpts;

Status cross_entropy(Device *dev, CrossEntropyOut out, Tensor dx, Tensor x, const Weight *w,
                     const int32_t *label, const float *weight, CrossEntropyOpts opts);

typedef Status cross_entropy_fn(Device *dev, CrossEntropyOut out, void *dx, int64_t lddx, const void *x,
                                int64_t ldx, DType type, const Weight *w, const int32_t *label,
                                const float *weight, int64_t rows, CrossEntropyOpts opts);

#endif
