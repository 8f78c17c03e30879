/* The interpreter's cuBLASLt: operands are copied out of device memory (which checks that they lie in it),
 * the product is three loops, one f32 sum over k in order, and D is copied back. */
#include <cublasLt.h>

#include "base/tensor.h"

#include <stdarg.h>
#include <stdio.h>

#include <algorithm>
#include <vector>

struct SimtBlas {
    char message[256] = "no error";
};

namespace {

SimtBlas blas; /* as there is one interpreter */

enum {
    WORKSPACE = 1000
}; /* what every product asks for where it may: odd, and always too little by a byte */

const char *const names[] = {"A", "B", "C", "D"};

__attribute__((format(printf, 2, 3))) cublasStatus_t refuse(cublasStatus_t s, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    vsnprintf(blas.message, sizeof blas.message, fmt, args);
    va_end(args);
    return s;
}

cublasStatus_t invalid_size(const char *what, size_t size) {
    return refuse(CUBLAS_STATUS_INVALID_VALUE, "%s of %zu bytes", what, size);
}

size_t bytes_of(cudaDataType_t t) {
    return t == CUDA_R_16BF ? 2 : 4;
}

bool same(const cublasLtMatrixLayoutOpaque_t &a, const cublasLtMatrixLayoutOpaque_t &b) {
    return a.type == b.type && a.rows == b.rows && a.cols == b.cols && a.ld == b.ld;
}

/* Elements from the first to the last. */
size_t span(const cublasLtMatrixLayoutOpaque_t &l) {
    return (size_t)(l.cols - 1) * (size_t)l.ld + l.rows;
}

cublasStatus_t fetch(std::vector<float> *to, const char *name, const void *p,
                     const cublasLtMatrixLayoutOpaque_t &l) {
    size_t n = span(l);
    std::vector<char> raw(n * bytes_of(l.type));
    if (simt_MemcpyAsync(raw.data(), p, raw.size(), cudaMemcpyDeviceToHost, nullptr) != cudaSuccess)
        return refuse(CUBLAS_STATUS_EXECUTION_FAILED,
                      "%s: %zu bytes at %p, which are not inside an allocation of device memory", name,
                      raw.size(), p);
    to->resize(n);
    for (size_t i = 0; i < n; i++) {
        uint16_t half;
        if (l.type == CUDA_R_16BF) {
            memcpy(&half, &raw[2 * i], 2);
            (*to)[i] = bf16_to_float(half);
        } else {
            memcpy(&(*to)[i], &raw[4 * i], 4);
        }
    }
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t store(const std::vector<float> &from, void *p, const cublasLtMatrixLayoutOpaque_t &l) {
    for (uint64_t col = 0; col < l.cols; col++) { /* not what lies between the columns */
        const float *x = &from[col * (uint64_t)l.ld];
        std::vector<uint16_t> half(l.rows);
        for (uint64_t i = 0; i < l.rows; i++) half[i] = float_to_bf16(x[i]);
        size_t size = bytes_of(l.type);
        const void *src = l.type == CUDA_R_16BF ? (const void *)half.data() : (const void *)x;
        if (simt_MemcpyAsync((char *)p + col * (uint64_t)l.ld * size, src, l.rows * size,
                             cudaMemcpyHostToDevice, nullptr) != cudaSuccess)
            return refuse(CUBLAS_STATUS_EXECUTION_FAILED, "D at %p: not inside device memory", p);
    }
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t check_layouts(const cublasLtMatmulDescOpaque_t *d, const cublasLtMatrixLayoutOpaque_t *l) {
    for (int i = 0; i < 4; i++)
        if (l[i].rows == 0 || l[i].cols == 0 || l[i].ld < (int64_t)l[i].rows)
            return refuse(CUBLAS_STATUS_INVALID_VALUE, "%s: %llu rows, %llu columns %lld apart", names[i],
                          (unsigned long long)l[i].rows, (unsigned long long)l[i].cols, (long long)l[i].ld);
    bool ta = d->op[0] == CUBLAS_OP_T, tb = d->op[1] == CUBLAS_OP_T;
    uint64_t m = ta ? l[0].cols : l[0].rows, k = ta ? l[0].rows : l[0].cols;
    uint64_t kb = tb ? l[1].cols : l[1].rows, n = tb ? l[1].rows : l[1].cols;
    if (k != kb || l[2].rows != m || l[2].cols != n || !same(l[2], l[3]))
        return refuse(CUBLAS_STATUS_INVALID_VALUE, "[%llu,%llu] times [%llu,%llu] is not [%llu,%llu]",
                      (unsigned long long)m, (unsigned long long)k, (unsigned long long)kb,
                      (unsigned long long)n, (unsigned long long)l[2].rows, (unsigned long long)l[2].cols);
    if (l[0].type != l[1].type || (l[0].type == CUDA_R_32F && l[2].type != CUDA_R_32F))
        return refuse(CUBLAS_STATUS_NOT_SUPPORTED, "types %d, %d into %d", l[0].type, l[1].type, l[2].type);
    bool bias = d->epilogue == CUBLASLT_EPILOGUE_BIAS;
    if (bias != (d->bias != nullptr))
        return refuse(CUBLAS_STATUS_INVALID_VALUE, "a bias pointer without its epilogue, or the reverse");
    if (bias && l[3].type != CUDA_R_32F)
        return refuse(CUBLAS_STATUS_NOT_SUPPORTED, "the bias has the type of D");
    return CUBLAS_STATUS_SUCCESS;
}

uint32_t alignment_of(const void *p) {
    uintptr_t low = (uintptr_t)p & -(uintptr_t)p;
    return low == 0 || low > 256 ? 256 : (uint32_t)low;
}

/* Whether the algorithm may be used here. */
cublasStatus_t check_algo(const cublasLtMatmulAlgo_t *algo, const cublasLtMatmulDescOpaque_t *d,
                          const cublasLtMatrixLayoutOpaque_t *l, const void *const *p) {
    for (int i = 0; i < 4; i++) {
        if (!same(algo->layout[i], l[i]))
            return refuse(CUBLAS_STATUS_NOT_SUPPORTED, "the algorithm was chosen for another layout of %s",
                          names[i]);
        if ((uintptr_t)p[i] % algo->alignment[i] != 0)
            return refuse(CUBLAS_STATUS_EXECUTION_FAILED,
                          "%s at %p: the algorithm was chosen for an alignment of %u", names[i], p[i],
                          algo->alignment[i]);
        if ((uintptr_t)p[i] % bytes_of(l[i].type) != 0)
            return refuse(CUBLAS_STATUS_INVALID_VALUE, "%s at %p", names[i], p[i]);
    }
    if (algo->op[0] != d->op[0] || algo->op[1] != d->op[1] || algo->epilogue != d->epilogue)
        return refuse(CUBLAS_STATUS_NOT_SUPPORTED, "the algorithm was chosen for another operation");
    if (d->bias && (uintptr_t)d->bias % algo->alignment[4] != 0)
        return refuse(CUBLAS_STATUS_EXECUTION_FAILED,
                      "bias at %p: the algorithm was chosen for an alignment of %u", (const void *)d->bias,
                      algo->alignment[4]);
    return CUBLAS_STATUS_SUCCESS;
}

} // namespace

cublasStatus_t simt_LtCreate(cublasLtHandle_t *handle) {
    *handle = &blas;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t simt_LtDestroy(cublasLtHandle_t handle) {
    return handle == &blas ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
}

const char *simt_LtGetStatusString(cublasStatus_t s) {
    return s == CUBLAS_STATUS_SUCCESS ? "success" : blas.message;
}

cublasStatus_t simt_LtMatmulDescInit(cublasLtMatmulDesc_t d, cublasComputeType_t compute,
                                     cudaDataType_t scale) {
    if (compute != CUBLAS_COMPUTE_32F || scale != CUDA_R_32F)
        return refuse(CUBLAS_STATUS_NOT_SUPPORTED, "compute type %d, scale type %d", compute, scale);
    *d = {{CUBLAS_OP_N, CUBLAS_OP_N}, CUBLASLT_EPILOGUE_DEFAULT, nullptr};
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t simt_LtMatmulDescSetAttribute(cublasLtMatmulDesc_t d, cublasLtMatmulDescAttributes_t what,
                                             const void *value, size_t size) {
    void *to = what == CUBLASLT_MATMUL_DESC_TRANSA     ? (void *)&d->op[0]
               : what == CUBLASLT_MATMUL_DESC_TRANSB   ? (void *)&d->op[1]
               : what == CUBLASLT_MATMUL_DESC_EPILOGUE ? (void *)&d->epilogue
                                                       : (void *)&d->bias;
    if (size != (what == CUBLASLT_MATMUL_DESC_BIAS_POINTER ? sizeof(void *) : sizeof(uint32_t)))
        return invalid_size("attribute of a product", size);
    memcpy(to, value, size);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t simt_LtMatrixLayoutInit(cublasLtMatrixLayout_t l, cudaDataType_t type, uint64_t rows,
                                       uint64_t cols, int64_t ld) {
    *l = {type, rows, cols, ld};
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t simt_LtMatmulPreferenceInit(cublasLtMatmulPreference_t p) {
    *p = {0, 7, {256, 256, 256, 256}}; /* the library's defaults */
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t simt_LtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t p,
                                                   cublasLtMatmulPreferenceAttributes_t what,
                                                   const void *value, size_t size) {
    bool workspace = what == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES;
    if (size != (workspace ? sizeof(uint64_t) : sizeof(uint32_t))) return invalid_size("preference", size);
    void *to = workspace ? (void *)&p->workspace
               : what == CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK
                   ? (void *)&p->reductions
                   : (void *)&p->alignment[what - CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES];
    memcpy(to, value, size);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t simt_LtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t d,
                                             cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                             cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t out,
                                             cublasLtMatmulPreference_t pref, int wanted,
                                             cublasLtMatmulHeuristicResult_t *results, int *found) {
    const cublasLtMatrixLayoutOpaque_t l[] = {*a, *b, *c, *out};
    if (handle != &blas || wanted < 1)
        return refuse(CUBLAS_STATUS_INVALID_VALUE, "no handle, or nothing asked");
    cublasStatus_t s = check_layouts(d, l);
    if (s) return s;
    if (pref->reductions & ~(uint32_t)CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE)
        return refuse(CUBLAS_STATUS_NOT_SUPPORTED, "reductions %#x: bits may differ from run to run",
                      pref->reductions);
    results[0] = {};
    cublasLtMatmulAlgo_t &algo = results[0].algo;
    for (int i = 0; i < 4; i++) {
        algo.layout[i] = l[i];
        algo.alignment[i] = pref->alignment[i];
    }
    algo.op[0] = d->op[0];
    algo.op[1] = d->op[1];
    algo.epilogue = d->epilogue;
    algo.alignment[4] = alignment_of(d->bias);
    algo.workspace = pref->workspace < WORKSPACE ? 0 : WORKSPACE;
    results[0].workspaceSize = algo.workspace;
    *found = 1;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t simt_LtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t d, const void *alpha_at,
                             const void *a, cublasLtMatrixLayout_t la, const void *b,
                             cublasLtMatrixLayout_t lb, const void *beta_at, const void *c,
                             cublasLtMatrixLayout_t lc, void *out, cublasLtMatrixLayout_t lout,
                             const cublasLtMatmulAlgo_t *algo, void *workspace, size_t workspace_size,
                             cudaStream_t) {
    const cublasLtMatrixLayoutOpaque_t l[] = {*la, *lb, *lc, *lout};
    const void *const p[] = {a, b, c, out};
    if (handle != &blas || !algo) return refuse(CUBLAS_STATUS_INVALID_VALUE, "no handle or no algorithm");
    cublasStatus_t s = check_layouts(d, l);
    if (!s) s = check_algo(algo, d, l, p);
    if (s) return s;
    if (workspace_size < algo->workspace || (uintptr_t)workspace % 256 != 0 ||
        simt_MemsetAsync(workspace, 0xff, algo->workspace, nullptr) != cudaSuccess)
        return refuse(CUBLAS_STATUS_INVALID_VALUE, "workspace of %zu bytes at %p, %zu are needed",
                      workspace_size, workspace, algo->workspace);
    float alpha, beta;
    memcpy(&alpha, alpha_at, sizeof alpha);
    memcpy(&beta, beta_at, sizeof beta);
    std::vector<float> fa, fb, fd, bias;
    s = fetch(&fa, "A", a, l[0]);
    if (!s) s = fetch(&fb, "B", b, l[1]);
    if (!s && beta != 0.0f) s = fetch(&fd, "C", c, l[2]);
    if (!s && d->bias) s = fetch(&bias, "bias", d->bias, {CUDA_R_32F, l[3].rows, 1, (int64_t)l[3].rows});
    if (s) return s;
    fd.resize(span(l[3]));
    bool ta = d->op[0] == CUBLAS_OP_T, tb = d->op[1] == CUBLAS_OP_T;
    int64_t k = (int64_t)(ta ? l[0].rows : l[0].cols);
    for (int64_t j = 0; j < (int64_t)l[3].cols; j++)
        for (int64_t i = 0; i < (int64_t)l[3].rows; i++) {
            float sum = 0.0f, &to = fd[(size_t)(j * l[3].ld + i)];
            for (int64_t x = 0; x < k; x++)
                sum += fa[(size_t)(ta ? i * l[0].ld + x : x * l[0].ld + i)] *
                       fb[(size_t)(tb ? x * l[1].ld + j : j * l[1].ld + x)];
            sum *= alpha;
            if (beta != 0.0f) sum += beta * to;
            if (d->bias) sum += bias[(size_t)i];
            to = sum;
        }
    return store(fd, out, l[3]);
}
