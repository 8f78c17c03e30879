/* Decoding: a block has one sequence, up to 16 query heads of one group and CHUNK positions of the cache,
 * whose keys and values it reads once; each of its warps takes every fourth few of them, and the four are
 * joined in order. Where the cache is longer than a chunk, the chunks' results and their lse go through
 * scratch and a second kernel joins them in order. Chunks are counted from the first position seen: neither
 * the batch nor the size of the cache changes a bit.
 * Mistral-7B, 256 sequences of 400 positions, bf16, one layer on an H200: 419 MB of cache = 87 us at 4.8
 * TB/s, 109 us at 80 % of it, predicted, not measured. */
#include "kernels/attention/attention.cuh"

enum {
    ROWS = 16,
    WARPS = 4,
    THREADS = WARPS * WARP,
    CHUNK = 256 /* chosen: 4096 positions and 8 groups are 128 blocks, about an H200's multiprocessors */
};

/* Keys that a warp takes of a stage. */
template <class T> constexpr int decode_keys = sizeof(T) == 4 ? 8 : 16;

/* The first position that a sequence of `len` sees, and into how many chunks the others fall. */
__device__ __forceinline__ int decode_first(int len, int window) {
    return max(0, len - window);
}
__device__ __forceinline__ int decode_chunks(int len, int window) {
    return (len - decode_first(len, window) + CHUNK - 1) / CHUNK;
}

/* parts [B, chunks, heads, d], part_lse [B, chunks, heads]: where there is more than one chunk; else o. */
template <class T, int D>
__global__ void __launch_bounds__(THREADS)
    attention_decode_chunk(T *o, int64_t ldo, float *parts, float *part_lse, const T *q, int64_t ldq,
                           const T *k_cache, const T *v_cache, int64_t max_len, const int32_t *slot,
                           const int32_t *len, int heads, int per_group, int d, AttentionRule rule,
                           bool aligned) {
    constexpr int KEYS = decode_keys<T>, STAGE = WARPS * KEYS, LD = attention_ld<T, D>;
    SHARED_DYNAMIC(T, qs, 0, ROWS * LD);
    SHARED_DYNAMIC(T, kv, ROWS * LD * sizeof(T), 4 * STAGE * LD);
    SHARED_DYNAMIC(float, partial, ROWS *LD * sizeof(T), WARPS * ROWS * D); /* when the keys are done with */
    SHARED(float, tops, WARPS *ROWS);
    SHARED(float, totals, WARPS *ROWS);
    int b = (int)blockIdx.z, n = len[b];
    if ((int)blockIdx.x >= decode_chunks(n, rule.window)) return;
    int begin = decode_first(n, rule.window) + (int)blockIdx.x * CHUNK, end = min(n, begin + CHUNK);
    int blocks = (per_group + ROWS - 1) / ROWS; /* of a group */
    int group = (int)blockIdx.y / blocks, head = group * per_group + (int)blockIdx.y % blocks * ROWS;
    int rows = min((int)ROWS, (group + 1) * per_group - head);
    int64_t ld = (int64_t)(heads / per_group) * d, first = slot[b] * max_len * ld + (int64_t)group * d;
    auto fetch = [&](int key, int stage) {
        Shared<T> to = kv + stage * 2 * STAGE * LD;
        attention_load<T, D, STAGE, THREADS>(to, k_cache + first + key * ld, ld, end - key, d, aligned);
        attention_load<T, D, STAGE, THREADS>(to + STAGE * LD, v_cache + first + key * ld, ld, end - key, d,
                                             aligned);
    };
    attention_load<T, D, ROWS, THREADS>(qs, q + b * ldq + (int64_t)head * d, d, rows, d, aligned);
    fetch(begin, 0);
    cp_async_commit();

    int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, g = lane / 4, t = lane % 4;
    float sums[D / 8][4] = {}, top[2] = {-INFINITY, -INFINITY}, sum[2] = {0.0f, 0.0f};
    for (int key = begin, stage = 0; key < end; key += STAGE, stage ^= 1) {
        if (key + STAGE < end) fetch(key + STAGE, stage ^ 1);
        cp_async_commit();
        cp_async_wait<1>();
        __syncthreads();
        Shared<T> ks = kv + (stage * 2 * STAGE + warp * KEYS) * LD;
        float s[KEYS / 8][4] = {};
        attention_scores<D>(s, qs, ks);
#pragma unroll
        for (int i = 0; i < KEYS / 8; i++)
#pragma unroll
            for (int e = 0; e < 4; e++) {
                float slope, x = rule.score(s[i][e], slope);
                s[i][e] = key + warp * KEYS + 8 * i + 2 * t + e % 2 < end ? x : -INFINITY;
            }
        attention_softmax(s, sums, top, sum);
        attention_weighted<LD>(sums, s, ks + STAGE * LD);
        __syncthreads();
    }

#pragma unroll
    for (int r = 0; r < 2; r++) {
        float whole = attention_row_sum(sum[r]);
        int row = warp * ROWS + g + 8 * r;
        if (t == 0) {
            tops[row] = top[r];
            totals[row] = whole;
        }
#pragma unroll
        for (int i = 0; i < D / 8; i++)
#pragma unroll
            for (int e = 0; e < 2; e++) partial[row * D + attention_column<T>(i, t) + e] = sums[i][2 * r + e];
    }
    __syncthreads();
    int64_t part = (int64_t)b * gridDim.x + blockIdx.x;
    if ((int)threadIdx.x < rows) { /* the totals become the warps' factors */
        float m = tops[threadIdx.x], whole = 0.0f;
        for (int w = 1; w < WARPS; w++) m = fmaxf(m, tops[w * ROWS + threadIdx.x]);
        for (int w = 0; w < WARPS; w++)
            whole += expf(tops[w * ROWS + threadIdx.x] - m) * totals[w * ROWS + threadIdx.x];
        for (int w = 0; w < WARPS; w++)
            totals[w * ROWS + threadIdx.x] = expf(tops[w * ROWS + threadIdx.x] - m) / whole;
        if (gridDim.x > 1) part_lse[part * heads + head + threadIdx.x] = m + logf(whole);
    }
    __syncthreads();
    for (int i = threadIdx.x; i < rows * d; i += THREADS) {
        int r = i / d, c = i % d;
        float y = 0.0f;
        for (int w = 0; w < WARPS; w++) y += totals[w * ROWS + r] * partial[(w * ROWS + r) * D + c];
        if (gridDim.x > 1)
            parts[(part * heads + head + r) * d + c] = y;
        else
            o[b * ldo + (int64_t)(head + r) * d + c] = from_f32<T>(y);
    }
}

/* A block a head and sequence. */
template <class T>
__global__ void __launch_bounds__(THREADS)
    attention_decode_join(T *o, int64_t ldo, const float *parts, const float *part_lse, const int32_t *len,
                          int chunks, int d, int window) {
    int head = (int)blockIdx.x, heads = (int)gridDim.x, b = (int)blockIdx.y;
    int n = decode_chunks(len[b], window);
    int64_t first = (int64_t)b * chunks * heads + head;
    float m = -INFINITY;
    for (int i = 0; i < n; i++) m = fmaxf(m, part_lse[first + (int64_t)i * heads]);
    for (int c = threadIdx.x; c < d; c += THREADS) {
        float y = 0.0f, whole = 0.0f;
        for (int i = 0; i < n; i++) {
            int64_t at = first + (int64_t)i * heads;
            float w = expf(part_lse[at] - m);
            whole += w;
            y += w * parts[at * d + c];
        }
        o[b * ldo + (int64_t)head * d + c] = from_f32<T>(y / whole);
    }
}

template <class T, int D>
static Status decode(Device *dev, void *ov, int64_t ldo, const void *qv, int64_t ldq, const void *kv,
                     const void *vv, int64_t max_len, const int32_t *slot, const int32_t *len, int64_t n_seqs,
                     AttentionShape s) {
    T *o = (T *)ov;
    const T *q = (const T *)qv, *k = (const T *)kv, *v = (const T *)vv;
    int64_t d = s.head_dim, narrow = s.groups * d, per_group = s.heads / s.groups;
    bool aligned = vec_rows(q, ldq, d) && vec_rows(k, narrow, d) && vec_rows(v, narrow, d);
    AttentionRule rule = attention_rule(s);
    int64_t most = rule.window < max_len ? rule.window : max_len, chunks = (most + CHUNK - 1) / CHUNK;
    size_t mark = arena_mark(&dev->scratch);
    float *parts = NULL, *part_lse = NULL;
    if (chunks > 1) {
        parts = arena_f32(&dev->scratch, n_seqs * chunks * s.heads * d);
        part_lse = arena_f32(&dev->scratch, n_seqs * chunks * s.heads);
    }
    dim3 grid(count32(chunks), count32(s.groups * ((per_group + ROWS - 1) / ROWS)), count32(n_seqs));
    Status st = LAUNCH(dev, (attention_decode_chunk<T, D>), grid, THREADS,
                       (attention_bytes<T, D>(ROWS + 4 * WARPS * decode_keys<T>)), o, ldo, parts, part_lse, q,
                       ldq, k, v, max_len, slot, len, (int)count32(s.heads), (int)count32(per_group),
                       (int)count32(d), rule, aligned);
    if (status_is_ok(st) && chunks > 1)
        st = LAUNCH(dev, (attention_decode_join<T>), dim3(count32(s.heads), count32(n_seqs)), THREADS, 0, o,
                    ldo, parts, part_lse, len, (int)count32(chunks), (int)count32(d), rule.window);
    arena_release(&dev->scratch, mark);
    return st;
}

template <class T> static decltype(&decode<T, 64>) of_size(int64_t d) {
    return d <= 64 ? decode<T, 64> : d <= 128 ? decode<T, 128> : decode<T, 256>;
}

extern "C" Status BODY(attention_decode)(Device *dev, void *o, int64_t ldo, const void *q, int64_t ldq,
                                         const void *k_cache, const void *v_cache, int64_t max_len,
                                         const int32_t *slot, const int32_t *len, int64_t n_seqs, DType type,
                                         AttentionShape shape) {
    if (n_seqs == 0) return OK;
    if (shape.head_dim > 256) return attention_too_wide("attention_decode", shape);
    return (type == DT_BF16 ? of_size<bf16>(shape.head_dim) : of_size<float>(shape.head_dim))(
        dev, o, ldo, q, ldq, k_cache, v_cache, max_len, slot, len, n_seqs, shape);
}
