/* Forward: a block has 64 queries of one head, a warp 16 of them; keys and values stream through two stages
 * of shared memory while the softmax is kept up (Dao 2022, 2023). Tiles are counted from a sequence's
 * beginning, so the other sequences of a batch change no bit.
 * Mistral-7B, 8 sequences of 256, bf16, one layer on an H200: 42 MB = 9 us, 5.4 GFLOP with the masked parts
 * of tiles = 18 us at 30 % of 990 TFLOP/s (a 16-row warp tile reads shared memory as fast as sm_80's mma
 * takes it): 18 us, predicted, not measured. */
#include "kernels/attention/attention.cuh"

enum { QUERIES = 64, THREADS = QUERIES / 16 * WARP };

/* Keys of a stage: two blocks a multiprocessor of sm_90, and one in f32. */
template <class T, int D> constexpr int fwd_keys = (D == 256 ? 32 : 64) / (sizeof(T) == 4 ? 2 : 1);

template <class T, int D>
__global__ void __launch_bounds__(THREADS)
    attention_fwd_tile(T *o, int64_t ldo, float *lse, const T *q, int64_t ldq, const T *k, int64_t ldk,
                       const T *v, int64_t ldv, const int32_t *cu_seqlens, int n_seqs, int per_group, int d,
                       AttentionRule rule, bool aligned) {
    constexpr int KEYS = fwd_keys<T, D>, LD = attention_ld<T, D>;
    SHARED_DYNAMIC(T, qs, 0, QUERIES * LD);
    SHARED_DYNAMIC(T, kv, QUERIES * LD * sizeof(T), 4 * KEYS * LD);
    AttentionSpan at = attention_span<QUERIES>(cu_seqlens, n_seqs, (int)blockIdx.x);
    if (at.first >= at.len) return;
    int head = (int)blockIdx.y, heads = (int)gridDim.y;
    q += (int64_t)(at.start + at.first) * ldq + (int64_t)head * d;
    k += (int64_t)at.start * ldk + (int64_t)(head / per_group) * d;
    v += (int64_t)at.start * ldv + (int64_t)(head / per_group) * d;

    int end = rule.causal ? min(at.len, at.first + QUERIES) : at.len;
    int begin = max(0, at.first + 1 - rule.window) / KEYS * KEYS;
    auto fetch = [&](int key, int stage) {
        Shared<T> to = kv + stage * 2 * KEYS * LD;
        attention_load<T, D, KEYS, THREADS>(to, k + key * ldk, ldk, at.len - key, d, aligned);
        attention_load<T, D, KEYS, THREADS>(to + KEYS * LD, v + key * ldv, ldv, at.len - key, d, aligned);
    };
    attention_load<T, D, QUERIES, THREADS>(qs, q, ldq, at.len - at.first, d, aligned);
    fetch(begin, 0);
    cp_async_commit();

    int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, t = lane % 4;
    int query = at.first + warp * 16 + lane / 4; /* this lane's: query and query + 8 */
    float sums[D / 8][4] = {}, top[2] = {-INFINITY, -INFINITY}, sum[2] = {0.0f, 0.0f};
    for (int key = begin, stage = 0; key < end; key += KEYS, stage ^= 1) {
        if (key + KEYS < end) fetch(key + KEYS, stage ^ 1);
        cp_async_commit();
        cp_async_wait<1>();
        __syncthreads();
        Shared<T> ks = kv + stage * 2 * KEYS * LD;
        float s[KEYS / 8][4] = {};
        attention_scores<D>(s, qs + warp * 16 * LD, ks);
        bool all = rule.sees_all(at.first, QUERIES, key, KEYS, at.len);
#pragma unroll
        for (int n = 0; n < KEYS / 8; n++)
#pragma unroll
            for (int e = 0; e < 4; e++) {
                float slope;
                s[n][e] = rule.score(s[n][e], slope);
                if (!all && !rule.sees(query + e / 2 * 8, key + 8 * n + 2 * t + e % 2, at.len))
                    s[n][e] = -INFINITY;
            }
        attention_softmax(s, sums, top, sum);
        attention_weighted<LD>(sums, s, ks + KEYS * LD);
        __syncthreads();
    }
#pragma unroll
    for (int r = 0; r < 2; r++) {
        float whole = attention_row_sum(sum[r]);
        int i = query + 8 * r;
        if (i >= at.len) continue;
        int64_t row = at.start + i;
        attention_store(o + row * ldo + (int64_t)head * d, sums, r, 1.0f / whole, 0, d, aligned);
        if (t == 0) lse[row * heads + head] = top[r] + logf(whole);
    }
}

template <class T, int D>
static Status fwd(Device *dev, void *ov, int64_t ldo, float *lse, const void *qv, int64_t ldq, const void *kv,
                  int64_t ldk, const void *vv, int64_t ldv, const int32_t *cu_seqlens, int64_t n_seqs,
                  int64_t n, AttentionShape s) {
    T *o = (T *)ov;
    const T *q = (const T *)qv, *k = (const T *)kv, *v = (const T *)vv;
    int64_t d = s.head_dim;
    bool aligned = vec_rows(q, ldq, d) && vec_rows(k, ldk, d) && vec_rows(v, ldv, d) && vec_rows(o, ldo, d);
    dim3 grid(attention_tiles<QUERIES>(n, n_seqs), count32(s.heads));
    return LAUNCH(dev, (attention_fwd_tile<T, D>), grid, THREADS,
                  (attention_bytes<T, D>(QUERIES + 4 * fwd_keys<T, D>)), o, ldo, lse, q, ldq, k, ldk, v, ldv,
                  cu_seqlens, (int)count32(n_seqs), (int)count32(s.heads / s.groups), (int)count32(d),
                  attention_rule(s), aligned);
}

template <class T> static decltype(&fwd<T, 64>) of_size(int64_t d) {
    return d <= 64 ? fwd<T, 64> : d <= 128 ? fwd<T, 128> : fwd<T, 256>;
}

extern "C" Status BODY(attention_fwd)(Device *dev, void *o, int64_t ldo, float *lse, const void *q,
                                      int64_t ldq, const void *k, int64_t ldk, const void *v, int64_t ldv,
                                      const int32_t *cu_seqlens, int64_t n_seqs, DType type, int64_t n,
                                      AttentionShape shape) {
    if (n == 0) return OK;
    if (shape.head_dim > 256) return attention_too_wide("attention_fwd", shape);
    return (type == DT_BF16 ? of_size<bf16>(shape.head_dim) : of_size<float>(shape.head_dim))(
        dev, o, ldo, lse, q, ldq, k, ldk, v, ldv, cu_seqlens, n_seqs, n, shape);
}
