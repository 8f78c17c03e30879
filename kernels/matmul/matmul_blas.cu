#include "kernels/matmul/matmul_blas.cuh"

static const size_t WORKSPACE = (size_t)32 << 20; /* what the cuBLAS guide recommends for Hopper */
enum { PROBES = 8, WORKSPACE_ALIGN = 256 };

static Status blas_status(cublasStatus_t s, const BlasProduct *p) {
    if (s == CUBLAS_STATUS_SUCCESS) return OK;
    return status_error(E_FAIL, "cuBLASLt, product [%lld,%lld,%lld] of %s into %s: %s", (long long)p->m,
                        (long long)p->n, (long long)p->k, dtype_name(p->in), dtype_name(p->out),
                        cublasLtGetStatusString(s));
}

static cudaDataType_t blas_type(DType t) {
    return t == DT_BF16 ? CUDA_R_16BF : CUDA_R_32F;
}

/* log2 of the bytes that p is a multiple of, at most 256. */
static unsigned char alignment(const void *p) {
    unsigned char log = 0;
    while (log < 8 && !((uintptr_t)p >> log & 1)) log++;
    return log;
}

static BlasKey key_of(const BlasProduct *p) {
    BlasKey key;
    memset(&key, 0, sizeof key);
    key.m = p->m;
    key.n = p->n;
    key.k = p->k;
    key.lda = p->lda;
    key.ldb = p->ldb;
    key.ldc = p->ldc;
    key.ta = p->ta == TRANS;
    key.tb = p->tb == TRANS;
    key.in = (unsigned char)p->in;
    key.out = (unsigned char)p->out;
    key.align_a = (unsigned char)(1 + alignment(p->a));
    key.align_b = (unsigned char)(1 + alignment(p->b));
    key.align_c = (unsigned char)(1 + alignment(p->c));
    key.align_bias = p->bias ? (unsigned char)(1 + alignment(p->bias)) : 0;
    return key;
}

/* The plan of key, or the place for it (a plan that stands there is given up). */
static BlasPlan *find_plan(DeviceCuda *cuda, const BlasKey *key) {
    const unsigned char *bytes = (const unsigned char *)key;
    uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a */
    for (size_t i = 0; i < sizeof *key; i++) hash = (hash ^ bytes[i]) * 0x100000001b3u;
    BlasPlan *first = &cuda->plans[hash % BLAS_PLANS];
    for (unsigned i = 0; i < PROBES; i++) {
        BlasPlan *plan = &cuda->plans[(hash + i) % BLAS_PLANS];
        if (!plan->used || memcmp(&plan->key, key, sizeof *key) == 0) return plan;
    }
    first->used = false;
    return first;
}

/* What cuBLASLt is asked: its A is b and its B is a, each as it lies in memory read by columns. */
struct Question {
    cublasLtMatmulDescOpaque_t product;
    cublasLtMatrixLayoutOpaque_t a, b, c;
};

static cublasStatus_t ask(Question *q, const BlasProduct *p) {
    const bool ta = p->ta == TRANS, tb = p->tb == TRANS;
    const cublasOperation_t op_a = tb ? CUBLAS_OP_T : CUBLAS_OP_N, op_b = ta ? CUBLAS_OP_T : CUBLAS_OP_N;
    const cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_BIAS;
    cublasStatus_t s = cublasLtMatmulDescInit(&q->product, CUBLAS_COMPUTE_32F, CUDA_R_32F);
    if (!s) s = cublasLtMatmulDescSetAttribute(&q->product, CUBLASLT_MATMUL_DESC_TRANSA, &op_a, sizeof op_a);
    if (!s) s = cublasLtMatmulDescSetAttribute(&q->product, CUBLASLT_MATMUL_DESC_TRANSB, &op_b, sizeof op_b);
    if (!s && p->bias) {
        s = cublasLtMatmulDescSetAttribute(&q->product, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue,
                                           sizeof epilogue);
        if (!s)
            s = cublasLtMatmulDescSetAttribute(&q->product, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &p->bias,
                                               sizeof p->bias);
    }
    const uint64_t m = (uint64_t)p->m, n = (uint64_t)p->n, k = (uint64_t)p->k;
    if (!s) s = cublasLtMatrixLayoutInit(&q->a, blas_type(p->in), tb ? k : n, tb ? n : k, p->ldb);
    if (!s) s = cublasLtMatrixLayoutInit(&q->b, blas_type(p->in), ta ? m : k, ta ? k : m, p->lda);
    if (!s) s = cublasLtMatrixLayoutInit(&q->c, blas_type(p->out), n, m, p->ldc);
    return s;
}

static cublasStatus_t prefer_u32(cublasLtMatmulPreference_t pref, cublasLtMatmulPreferenceAttributes_t what,
                                 uint32_t value) {
    return cublasLtMatmulPreferenceSetAttribute(pref, what, &value, sizeof value);
}

static cublasStatus_t make_plan(Device *dev, BlasPlan *plan, Question *q, const BlasKey *key) {
    cublasLtMatmulPreferenceOpaque_t pref;
    cublasLtMatmulHeuristicResult_t best;
    const uint64_t limit = dev->scratch.size / 4 < WORKSPACE ? dev->scratch.size / 4 : WORKSPACE;
    int found = 0;
    cublasStatus_t s = cublasLtMatmulPreferenceInit(&pref);
    if (!s)
        s = cublasLtMatmulPreferenceSetAttribute(&pref, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &limit,
                                                 sizeof limit);
    if (!s)
        s = prefer_u32(&pref, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
                       CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE);
    if (!s) s = prefer_u32(&pref, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, 1u << (key->align_b - 1));
    if (!s) s = prefer_u32(&pref, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, 1u << (key->align_a - 1));
    if (!s) s = prefer_u32(&pref, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, 1u << (key->align_c - 1));
    if (!s) s = prefer_u32(&pref, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, 1u << (key->align_c - 1));
    if (!s)
        s = cublasLtMatmulAlgoGetHeuristic(dev->cuda->blas, &q->product, &q->a, &q->b, &q->c, &q->c, &pref, 1,
                                           &best, &found);
    if (!s) s = best.state;
    if (!s && found < 1) s = CUBLAS_STATUS_NOT_SUPPORTED;
    if (s) return s;
    plan->used = true;
    plan->key = *key;
    plan->algo = best.algo;
    plan->workspace = best.workspaceSize;
    return s;
}

/* A matrix of one row may come with any stride; cuBLASLt wants one that is as long as the row. */
static int64_t stride(int64_t ld, int64_t cols) {
    return ld < cols ? cols : ld;
}

Status matmul_blas(Device *dev, const BlasProduct *product) {
    BlasProduct p = *product;
    p.lda = stride(p.lda, p.ta == TRANS ? p.m : p.k);
    p.ldb = stride(p.ldb, p.tb == TRANS ? p.k : p.n);
    p.ldc = stride(p.ldc, p.n);
    Question q;
    TRY(blas_status(ask(&q, &p), &p));
    const BlasKey key = key_of(&p);
    BlasPlan *plan = find_plan(dev->cuda, &key);
    if (!plan->used) TRY(blas_status(make_plan(dev, plan, &q, &key), &p));
    size_t mark = arena_mark(&dev->scratch);
    char *space = NULL;
    if (plan->workspace) {
        space = (char *)arena_alloc(&dev->scratch, plan->workspace + WORKSPACE_ALIGN);
        space += (WORKSPACE_ALIGN - (uintptr_t)space % WORKSPACE_ALIGN) % WORKSPACE_ALIGN;
    }
    cublasStatus_t s =
        cublasLtMatmul(dev->cuda->blas, &q.product, &p.alpha, p.b, &q.a, p.a, &q.b, &p.beta, p.c, &q.c, p.c,
                       &q.c, &plan->algo, space, plan->workspace, dev->cuda->stream);
    arena_release(&dev->scratch, mark);
    return blas_status(s, &p);
}
