/* Backward without atomics: one kernel gives dq (a block has some queries of a head, keys stream), another dk
 * and dv (a block has some keys of a group, the queries of all its heads stream in order); both compute the
 * weights again from lse. Before them delta = dO.o. Where dk and dv are 256 columns wide, a block sums half
 * of them, so that they fit the registers, and computes the weights for itself.
 *
 * Mistral-7B, 8 sequences of 256, bf16, one layer on an H200: 144 MB = 30 us; 18.8 GFLOP (14 D a pair, masked
 * parts of tiles included) = 63 us at 30 % of 990 TFLOP/s. 63 us, predicted, not measured. */
#include "kernels/attention/attention.cuh"

enum { DELTA_THREADS = 256 };

/* A warp a row and head. */
template <class T, int N>
__global__ void attention_delta(float *delta, const T *dout, int64_t lddo, const T *o, int64_t ldo,
                                unsigned total, unsigned heads, int d) {
    unsigned i = blockIdx.x * (DELTA_THREADS / WARP) + threadIdx.x / WARP;
    if (i >= total) return;
    dout += (int64_t)(i / heads) * lddo + (int64_t)(i % heads) * d;
    o += (int64_t)(i / heads) * ldo + (int64_t)(i % heads) * d;
    float sum = 0.0f;
    for (int c = threadIdx.x % WARP * N; c < d; c += WARP * N) {
        float a[N], b[N];
        load_f32(a, dout + c);
        load_f32(b, o + c);
#pragma unroll
        for (int k = 0; k < N; k++) sum += a[k] * b[k];
    }
    sum = warp_sum(sum);
    if (threadIdx.x % WARP == 0) delta[i] = sum;
}

/* Rows that a block owns, and rows of a stage: what shared memory and registers hold. */
template <class T, int D> constexpr int bwd_rows = D == 256 && sizeof(T) == 4 ? 32 : 64;
template <class T, int D> constexpr int bwd_stage = (D == 64 ? 64 : 32) / (sizeof(T) == 4 ? 2 : 1);
template <class T, int D> constexpr int bwd_threads = bwd_rows<T, D> / 16 * WARP;

/* product and dp become the weight and its gradient, short of the scale. */
__device__ __forceinline__ void bwd_weight(float &product, float &dp, const AttentionRule &rule, bool seen,
                                           float lse, float delta) {
    float slope, s = rule.score(product, slope);
    product = seen ? expf(s - lse) : 0.0f;
    dp = product * (dp - delta) * slope;
}

/* Blocks a multiprocessor that registers leave room for; left alone, ptxas spills for a fourth one of 64. */
template <int D> constexpr int dq_blocks = D == 64 ? 3 : 2;

template <class T, int D>
__global__ void __launch_bounds__((bwd_threads<T, D>), dq_blocks<D>)
    attention_bwd_dq(T *dq, int64_t lddq, const T *dout, int64_t lddo, const float *lse, const float *delta,
                     const T *q, int64_t ldq, const T *k, int64_t ldk, const T *v, int64_t ldv,
                     const int32_t *cu_seqlens, int n_seqs, int per_group, int d, AttentionRule rule,
                     bool aligned) {
    constexpr int ROWS = bwd_rows<T, D>, KEYS = bwd_stage<T, D>, THREADS = bwd_threads<T, D>,
                  LD = attention_ld<T, D>;
    SHARED_DYNAMIC(T, qs, 0, ROWS * LD);
    SHARED_DYNAMIC(T, dos, ROWS * LD * sizeof(T), ROWS * LD);
    SHARED_DYNAMIC(T, kv, 2 * ROWS * LD * sizeof(T), 4 * KEYS * LD);
    AttentionSpan at = attention_span<ROWS>(cu_seqlens, n_seqs, (int)blockIdx.x);
    if (at.first >= at.len) return;
    int head = (int)blockIdx.y, heads = (int)gridDim.y;
    int64_t row0 = at.start + at.first;
    k += (int64_t)at.start * ldk + (int64_t)(head / per_group) * d;
    v += (int64_t)at.start * ldv + (int64_t)(head / per_group) * d;

    int end = rule.causal ? min(at.len, at.first + ROWS) : at.len;
    int begin = max(0, at.first + 1 - rule.window) / KEYS * KEYS;
    auto fetch = [&](int key, int stage) {
        Shared<T> to = kv + stage * 2 * KEYS * LD;
        attention_load<T, D, KEYS, THREADS>(to, k + key * ldk, ldk, at.len - key, d, aligned);
        attention_load<T, D, KEYS, THREADS>(to + KEYS * LD, v + key * ldv, ldv, at.len - key, d, aligned);
    };
    attention_load<T, D, ROWS, THREADS>(qs, q + row0 * ldq + (int64_t)head * d, ldq, at.len - at.first, d,
                                        aligned);
    attention_load<T, D, ROWS, THREADS>(dos, dout + row0 * lddo + (int64_t)head * d, lddo, at.len - at.first,
                                        d, aligned);
    fetch(begin, 0);
    cp_async_commit();

    int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, t = lane % 4;
    int query = at.first + warp * 16 + lane / 4;
    float row_lse[2] = {}, row_delta[2] = {};
#pragma unroll
    for (int r = 0; r < 2; r++)
        if (query + 8 * r < at.len) {
            int64_t i = (int64_t)(at.start + query + 8 * r) * heads + head;
            row_lse[r] = lse[i];
            row_delta[r] = delta[i];
        }
    float sums[D / 8][4] = {};
    for (int key = begin, stage = 0; key < end; key += KEYS, stage ^= 1) {
        if (key + KEYS < end) fetch(key + KEYS, stage ^ 1);
        cp_async_commit();
        cp_async_wait<1>();
        __syncthreads();
        Shared<T> ks = kv + stage * 2 * KEYS * LD;
        float s[KEYS / 8][4] = {}, dp[KEYS / 8][4] = {};
        attention_scores<D>(s, qs + warp * 16 * LD, ks);
        attention_scores<D>(dp, dos + warp * 16 * LD, ks + KEYS * LD);
        bool all = rule.sees_all(at.first, ROWS, key, KEYS, at.len);
#pragma unroll
        for (int n = 0; n < KEYS / 8; n++)
#pragma unroll
            for (int e = 0; e < 4; e++)
                bwd_weight(s[n][e], dp[n][e], rule,
                           all || rule.sees(query + e / 2 * 8, key + 8 * n + 2 * t + e % 2, at.len),
                           row_lse[e / 2], row_delta[e / 2]);
        attention_weighted<LD>(sums, dp, ks);
        __syncthreads();
    }
#pragma unroll
    for (int r = 0; r < 2; r++) {
        int i = query + 8 * r;
        if (i < at.len)
            attention_store(dq + (int64_t)(at.start + i) * lddq + (int64_t)head * d, sums, r, rule.scale, 0,
                            d, aligned);
    }
}

template <class T, int D>
__global__ void __launch_bounds__((bwd_threads<T, D>))
    attention_bwd_dkv(T *dk, int64_t lddk, T *dv, int64_t lddv, const T *dout, int64_t lddo, const float *lse,
                      const float *delta, const T *q, int64_t ldq, const T *k, int64_t ldk, const T *v,
                      int64_t ldv, const int32_t *cu_seqlens, int n_seqs, int heads, int per_group, int d,
                      AttentionRule rule, bool aligned) {
    constexpr int ROWS = bwd_rows<T, D>, QUERIES = bwd_stage<T, D>, THREADS = bwd_threads<T, D>,
                  LD = attention_ld<T, D>, COLUMNS = D < 128 ? D : 128, PARTS = D / COLUMNS;
    SHARED_DYNAMIC(T, ks, 0, ROWS * LD);
    SHARED_DYNAMIC(T, vs, ROWS * LD * sizeof(T), ROWS * LD);
    SHARED_DYNAMIC(T, stages, 2 * ROWS * LD * sizeof(T), 4 * QUERIES * LD);
    SHARED_DYNAMIC(float, known, (2 * ROWS + 4 * QUERIES) * LD * sizeof(T), 4 * QUERIES);
    AttentionSpan at = attention_span<ROWS>(cu_seqlens, n_seqs, (int)blockIdx.x);
    if (at.first >= at.len) return;
    int group = (int)blockIdx.y / PARTS, part = (int)blockIdx.y % PARTS * COLUMNS;
    int64_t row0 = at.start + at.first;

    int begin = rule.causal ? at.first / QUERIES * QUERIES : 0;
    int end = rule.window < at.len ? min(at.len, at.first + ROWS - 1 + rule.window) : at.len;
    int tiles = (end - begin + QUERIES - 1) / QUERIES; /* of a head */
    auto fetch = [&](int i, int stage) {
        int head = group * per_group + i / tiles, query = begin + i % tiles * QUERIES;
        int64_t row = at.start + query;
        Shared<T> to = stages + stage * 2 * QUERIES * LD;
        attention_load<T, D, QUERIES, THREADS>(to, q + row * ldq + (int64_t)head * d, ldq, at.len - query, d,
                                               aligned);
        attention_load<T, D, QUERIES, THREADS>(to + QUERIES * LD, dout + row * lddo + (int64_t)head * d, lddo,
                                               at.len - query, d, aligned);
        int j = (int)threadIdx.x;
        if (j < QUERIES) { /* beyond the end all is zero, and adds nothing */
            bool there = query + j < at.len;
            int64_t from = (row + j) * heads + head;
            known[stage * 2 * QUERIES + j] = there ? lse[from] : 0.0f;
            known[stage * 2 * QUERIES + QUERIES + j] = there ? delta[from] : 0.0f;
        }
    };
    attention_load<T, D, ROWS, THREADS>(ks, k + row0 * ldk + (int64_t)group * d, ldk, at.len - at.first, d,
                                        aligned);
    attention_load<T, D, ROWS, THREADS>(vs, v + row0 * ldv + (int64_t)group * d, ldv, at.len - at.first, d,
                                        aligned);
    fetch(0, 0);
    cp_async_commit();

    int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, t = lane % 4;
    int key = at.first + warp * 16 + lane / 4;
    float ksums[COLUMNS / 8][4] = {}, vsums[COLUMNS / 8][4] = {};
    for (int i = 0; i < tiles * per_group; i++) {
        int stage = i % 2, query = begin + i % tiles * QUERIES;
        if (i + 1 < tiles * per_group) fetch(i + 1, stage ^ 1);
        cp_async_commit();
        cp_async_wait<1>();
        __syncthreads();
        Shared<T> qs = stages + stage * 2 * QUERIES * LD, dos = qs + QUERIES * LD;
        Shared<float> lses = known + stage * 2 * QUERIES, deltas = lses + QUERIES;
        float s[QUERIES / 8][4] = {}, dp[QUERIES / 8][4] = {}; /* transposed: a row a key */
        attention_scores<D>(s, ks + warp * 16 * LD, qs);
        attention_scores<D>(dp, vs + warp * 16 * LD, dos);
        bool all = rule.sees_all(query, QUERIES, at.first, ROWS, at.len);
#pragma unroll
        for (int n = 0; n < QUERIES / 8; n++)
#pragma unroll
            for (int e = 0; e < 4; e++) {
                int j = 8 * n + 2 * t + e % 2;
                bwd_weight(s[n][e], dp[n][e], rule, all || rule.sees(query + j, key + e / 2 * 8, at.len),
                           lses[j], deltas[j]);
            }
        attention_weighted<LD>(vsums, s, dos + part);
        attention_weighted<LD>(ksums, dp, qs + part);
        __syncthreads();
    }
#pragma unroll
    for (int r = 0; r < 2; r++) {
        int j = key + 8 * r;
        if (j >= at.len) continue;
        int64_t row = at.start + j, column = (int64_t)group * d;
        attention_store(dk + row * lddk + column, ksums, r, rule.scale, part, d, aligned);
        attention_store(dv + row * lddv + column, vsums, r, 1.0f, part, d, aligned);
    }
}

/* What the launches share; the pointers as the contract has them. */
typedef struct Args {
    void *dq, *dk, *dv;
    const void *dout, *o, *q, *k, *v;
    int64_t lddq, lddk, lddv, lddo, ldo, ldq, ldk, ldv, n_seqs, n;
    const float *lse;
    const int32_t *cu_seqlens;
    AttentionShape shape;
} Args;

template <class T, int D> static Status bwd(Device *dev, const Args *a, float *delta) {
    constexpr int ROWS = bwd_rows<T, D>, STAGE = bwd_stage<T, D>, PARTS = D < 128 ? 1 : D / 128;
    AttentionShape s = a->shape;
    T *dq = (T *)a->dq, *dk = (T *)a->dk, *dv = (T *)a->dv;
    const T *dout = (const T *)a->dout, *o = (const T *)a->o;
    const T *q = (const T *)a->q, *k = (const T *)a->k, *v = (const T *)a->v;
    int64_t d64 = s.head_dim, total = a->n * s.heads;
    int d = (int)count32(d64), per_group = (int)count32(s.heads / s.groups), n_seqs = (int)count32(a->n_seqs);
    bool aligned = vec_rows(dout, a->lddo, d64) && vec_rows(q, a->ldq, d64) && vec_rows(k, a->ldk, d64) &&
                   vec_rows(v, a->ldv, d64) && vec_rows(dq, a->lddq, d64) && vec_rows(dk, a->lddk, d64) &&
                   vec_rows(dv, a->lddv, d64);
    unsigned grid = grid_for(total, DELTA_THREADS / WARP), tiles = attention_tiles<ROWS>(a->n, a->n_seqs);
    if (aligned && vec_rows(o, a->ldo, d64))
        TRY(LAUNCH(dev, (attention_delta<T, Vec16<T>::N>), grid, DELTA_THREADS, 0, delta, dout, a->lddo, o,
                   a->ldo, count32(total), count32(s.heads), d));
    else
        TRY(LAUNCH(dev, (attention_delta<T, 1>), grid, DELTA_THREADS, 0, delta, dout, a->lddo, o, a->ldo,
                   count32(total), count32(s.heads), d));
    size_t shared = attention_bytes<T, D>(2 * ROWS + 4 * STAGE);
    TRY(LAUNCH(dev, (attention_bwd_dq<T, D>), dim3(tiles, count32(s.heads)), (bwd_threads<T, D>), shared, dq,
               a->lddq, dout, a->lddo, a->lse, delta, q, a->ldq, k, a->ldk, v, a->ldv, a->cu_seqlens, n_seqs,
               per_group, d, attention_rule(s), aligned));
    return LAUNCH(dev, (attention_bwd_dkv<T, D>), dim3(tiles, count32(s.groups * PARTS)), (bwd_threads<T, D>),
                  shared + 4 * STAGE * sizeof(float), dk, a->lddk, dv, a->lddv, dout, a->lddo, a->lse, delta,
                  q, a->ldq, k, a->ldk, v, a->ldv, a->cu_seqlens, n_seqs, (int)count32(s.heads), per_group, d,
                  attention_rule(s), aligned);
}

template <class T> static Status of_size(Device *dev, const Args *a, float *delta) {
    int64_t d = a->shape.head_dim;
    return d <= 64    ? bwd<T, 64>(dev, a, delta)
           : d <= 128 ? bwd<T, 128>(dev, a, delta)
                      : bwd<T, 256>(dev, a, delta);
}

extern "C" Status BODY(attention_bwd)(Device *dev, void *dq, int64_t lddq, void *dk, int64_t lddk, void *dv,
                                      int64_t lddv, const void *dout, int64_t lddo, const void *o,
                                      int64_t ldo, const float *lse, const void *q, int64_t ldq,
                                      const void *k, int64_t ldk, const void *v, int64_t ldv,
                                      const int32_t *cu_seqlens, int64_t n_seqs, DType type, int64_t n,
                                      AttentionShape shape) {
    if (n == 0) return OK;
    if (shape.head_dim > 256) return attention_too_wide("attention_bwd", shape);
    Args a = {dq,   dk,  dv,  dout, o,   q,      k, v,   lddq,       lddk, lddv,
              lddo, ldo, ldq, ldk,  ldv, n_seqs, n, lse, cu_seqlens, shape};
    size_t mark = arena_mark(&dev->scratch);
    float *delta = arena_f32(&dev->scratch, n * shape.heads);
    Status s = type == DT_BF16 ? of_size<bf16>(dev, &a, delta) : of_size<float>(dev, &a, delta);
    arena_release(&dev->scratch, mark);
    return s;
}
