/* What a CUDA Device holds. For .cu files; the rest of the program sees base/device.h. */
#ifndef T2L_KERNELS_DEVICE_CUDA_H
#define T2L_KERNELS_DEVICE_CUDA_H

#include <cuda_runtime.h>
#if defined(__CUDACC__)
#include <cublasLt.h>
#endif

#include "base/device.h"

enum { CUDA_STAGES = 2 };

typedef struct DeviceCuda {
    int index;
    cudaStream_t stream; /* owns; everything of the device runs on it, in order */
#if defined(__CUDACC__)
    cublasLtHandle_t blas; /* owns */
#endif
    char *staging[CUDA_STAGES];      /* owns; pinned host memory that copies pass through in turn */
    cudaEvent_t copied[CUDA_STAGES]; /* owns; the copy out of staging[i] is done */
    int next;                        /* the stage to use next */
    int n_sm;
    size_t shared_per_block; /* the most a block may ask for */
    char name[64];
} DeviceCuda;

#endif
