/* cuBLASLt as the SIMT interpreter has it (cublaslt.cpp): the part of its names that kernels/ uses, computed
 * by plain loops on the CPU. It checks what the library leaves to its callers: that operands lie in device
 * memory as far as their layout reaches, that layouts fit together, that the algorithm was chosen for just
 * this product, these strides and at most these alignments, and that it gets the workspace it asked for. */
#ifndef T2L_SIMT_CUBLASLT_H
#define T2L_SIMT_CUBLASLT_H

#include <cuda_runtime.h>

typedef enum cublasStatus_t {
    CUBLAS_STATUS_SUCCESS = 0,
    CUBLAS_STATUS_INVALID_VALUE = 7,
    CUBLAS_STATUS_EXECUTION_FAILED = 13,
    CUBLAS_STATUS_NOT_SUPPORTED = 15
} cublasStatus_t;
typedef enum cublasOperation_t { CUBLAS_OP_N, CUBLAS_OP_T } cublasOperation_t;
typedef enum cublasComputeType_t { CUBLAS_COMPUTE_32F = 68 } cublasComputeType_t;
typedef enum cudaDataType_t { CUDA_R_32F = 0, CUDA_R_16BF = 14 } cudaDataType_t;
typedef enum cublasLtEpilogue_t {
    CUBLASLT_EPILOGUE_DEFAULT = 1,
    CUBLASLT_EPILOGUE_BIAS = 4
} cublasLtEpilogue_t;
enum { CUBLASLT_REDUCTION_SCHEME_NONE = 0, CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE = 2 };

typedef enum cublasLtMatmulDescAttributes_t {
    CUBLASLT_MATMUL_DESC_TRANSA = 3,
    CUBLASLT_MATMUL_DESC_TRANSB = 4,
    CUBLASLT_MATMUL_DESC_EPILOGUE = 7,
    CUBLASLT_MATMUL_DESC_BIAS_POINTER = 8
} cublasLtMatmulDescAttributes_t;
typedef enum cublasLtMatmulPreferenceAttributes_t {
    CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES = 1,
    CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK = 3,
    CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES = 5,
    CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES = 6,
    CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES = 7,
    CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES = 8
} cublasLtMatmulPreferenceAttributes_t;

typedef struct SimtBlas *cublasLtHandle_t;
typedef struct {
    cudaDataType_t type;
    uint64_t rows, cols;
    int64_t ld;
} cublasLtMatrixLayoutOpaque_t;
typedef cublasLtMatrixLayoutOpaque_t *cublasLtMatrixLayout_t;
typedef struct {
    cublasOperation_t op[2];
    cublasLtEpilogue_t epilogue;
    const float *bias;
} cublasLtMatmulDescOpaque_t;
typedef cublasLtMatmulDescOpaque_t *cublasLtMatmulDesc_t;
typedef struct {
    uint64_t workspace;
    uint32_t reductions, alignment[4]; /* A, B, C, D */
} cublasLtMatmulPreferenceOpaque_t;
typedef cublasLtMatmulPreferenceOpaque_t *cublasLtMatmulPreference_t;
/* What it was chosen for. */
typedef struct {
    cublasLtMatrixLayoutOpaque_t layout[4];
    cublasOperation_t op[2];
    cublasLtEpilogue_t epilogue;
    uint32_t alignment[5]; /* and the bias's */
    size_t workspace;
} cublasLtMatmulAlgo_t;
typedef struct {
    cublasLtMatmulAlgo_t algo;
    size_t workspaceSize;
    cublasStatus_t state;
    float wavesCount;
} cublasLtMatmulHeuristicResult_t;

/* The names of the library itself stay free: one program may hold both. */
#define cublasLtCreate simt_LtCreate
#define cublasLtDestroy simt_LtDestroy
#define cublasLtGetStatusString simt_LtGetStatusString
#define cublasLtMatmulDescInit simt_LtMatmulDescInit
#define cublasLtMatmulDescSetAttribute simt_LtMatmulDescSetAttribute
#define cublasLtMatrixLayoutInit simt_LtMatrixLayoutInit
#define cublasLtMatmulPreferenceInit simt_LtMatmulPreferenceInit
#define cublasLtMatmulPreferenceSetAttribute simt_LtMatmulPreferenceSetAttribute
#define cublasLtMatmulAlgoGetHeuristic simt_LtMatmulAlgoGetHeuristic
#define cublasLtMatmul simt_LtMatmul

cublasStatus_t simt_LtCreate(cublasLtHandle_t *handle);
cublasStatus_t simt_LtDestroy(cublasLtHandle_t handle);
const char *simt_LtGetStatusString(cublasStatus_t s);
cublasStatus_t simt_LtMatmulDescInit(cublasLtMatmulDesc_t d, cublasComputeType_t compute,
                                     cudaDataType_t scale);
cublasStatus_t simt_LtMatmulDescSetAttribute(cublasLtMatmulDesc_t d, cublasLtMatmulDescAttributes_t what,
                                             const void *value, size_t size);
cublasStatus_t simt_LtMatrixLayoutInit(cublasLtMatrixLayout_t l, cudaDataType_t type, uint64_t rows,
                                       uint64_t cols, int64_t ld);
cublasStatus_t simt_LtMatmulPreferenceInit(cublasLtMatmulPreference_t p);
cublasStatus_t simt_LtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t p,
                                                   cublasLtMatmulPreferenceAttributes_t what,
                                                   const void *value, size_t size);
cublasStatus_t simt_LtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t d,
                                             cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                             cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t out,
                                             cublasLtMatmulPreference_t pref, int wanted,
                                             cublasLtMatmulHeuristicResult_t *results, int *found);
cublasStatus_t simt_LtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t d, const void *alpha,
                             const void *a, cublasLtMatrixLayout_t la, const void *b,
                             cublasLtMatrixLayout_t lb, const void *beta, const void *c,
                             cublasLtMatrixLayout_t lc, void *out, cublasLtMatrixLayout_t lout,
                             const cublasLtMatmulAlgo_t *algo, void *workspace, size_t workspace_size,
                             cudaStream_t stream);

#endif
