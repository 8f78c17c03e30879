/* What a CUDA Device holds. For .cu files; the rest of the program sees base/device.h. */
#ifndef T2L_KERNELS_DEVICE_CUDA_H
#define T2L_KERNELS_DEVICE_CUDA_H

#include <cublasLt.h>
#include <cuda_runtime.h>

#include "base/device.h"

enum { CUDA_STAGES = 2, BLAS_PLANS = 1024 /* chosen: a few shapes a token count */ };

/* What a cuBLASLt product was planned for; all bytes count (kernels/matmul/matmul_blas.cu). */
typedef struct BlasKey {
    int64_t m, n, k, lda, ldb, ldc;
    unsigned char ta, tb, in, out;
    unsigned char align_a, align_b, align_c, align_bias; /* log2 of bytes + 1; 0: no bias */
} BlasKey;

typedef struct BlasPlan {
    bool used;
    BlasKey key;
    cublasLtMatmulAlgo_t algo;
    size_t workspace;
} BlasPlan;

typedef struct DeviceCuda {
    int index;
    cudaStream_t stream;             /* owns; everything of the device runs on it, in order */
    cublasLtHandle_t blas;           /* owns */
    BlasPlan plans[BLAS_PLANS];      /* chosen once a shape */
    char *staging[CUDA_STAGES];      /* owns; pinned host memory that copies pass through in turn */
    cudaEvent_t copied[CUDA_STAGES]; /* owns; the copy out of staging[i] is done */
    int next;                        /* the stage to use next */
    int n_sm;
    size_t shared_per_block; /* the most a block may ask for */
    char name[64];
} DeviceCuda;

#endif
