/* Products of two f32 matrices (trainable weights and their gradients):
 *   c[M,N] = alpha * op(a)[M,K] op(b)[K,N] + beta * c          op: as stored, or transposed
 * With bias (NULL or [N]) every row starts from it (then beta must be 0). Fixed tiles, each summed over K in
 * one order: the bits do not depend on the number of threads. */
#ifndef T2L_KERNELS_GEMM_H
#define T2L_KERNELS_GEMM_H

#include "base/device.h"

typedef enum Trans { NO_TRANS, TRANS } Trans;

typedef struct GemmOpts {
    Trans ta, tb;
    float alpha, beta;
    const float *bias; /* view */
    DType dtype; /* DT_F32; DT_BF16: both factors rounded to bf16, sums in f32; then alpha is 1, beta 0 or 1,
                    b contiguous */
} GemmOpts;

Status gemm(Device *dev, Tensor c, Tensor a, Tensor b, GemmOpts opts);

/* The CPU's bf16 part. */
Status gemm_cpu_bf16(Device *dev, float *c, int64_t ldc, const float *a, int64_t lda, const float *b,
                     int64_t m, int64_t n, int64_t k, GemmOpts opts);

typedef Status gemm_fn(Device *dev, float *c, int64_t ldc, const float *a, int64_t lda, const float *b,
                       int64_t ldb, int64_t m, int64_t n, int64_t k, GemmOpts opts);

#endif
