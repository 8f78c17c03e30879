/* What the attention kernels share. A warp owns 16 rows of a product whose other side streams through shared
 * memory; the two kinds of product stand below for bf16 (mma.m16n8k16) and f32 (plain FMA) in one layout of
 * the accumulators, so that every kernel is written once. With lane = 4 g + t: c[n][e] belongs to row g + 8
 * (e / 2); of scores [16, 8 TILES], to column 8 n + 2 t + e % 2; of results [16, 8 COLS], to column
 * column<T>(n, t) + e % 2.
 * Rows in shared memory are D columns wide (64, 128 or 256; a narrower head is filled with zeros) and 16
 * bytes apart from a multiple of 128, against bank conflicts. */
#ifndef T2L_KERNELS_ATTENTION_CUH
#define T2L_KERNELS_ATTENTION_CUH

#include "kernels/device.cuh"

template <class T, int D> constexpr int attention_ld = D + 16 / (int)sizeof(T);
template <class T, int D> constexpr size_t attention_bytes(int rows) {
    return (size_t)rows * attention_ld<T, D> * sizeof(T);
}

/* ---- Which rows ---- */

/* A block's sequence: its first token, its length, and the first row of the block's tile in it (at or beyond
 * the end: nothing to do). */
struct AttentionSpan {
    int start, len, first;
};

/* Tiles of ROWS rows are numbered so that cu_seqlens alone says where they are: those of sequence b begin at
 * number cu_seqlens[b] / ROWS + b, and some numbers at a sequence's end stand for nothing. */
template <int ROWS> inline unsigned attention_tiles(int64_t n, int64_t n_seqs) {
    return count32(n / ROWS + n_seqs);
}
template <int ROWS>
__device__ __forceinline__ AttentionSpan attention_span(const int32_t *cu_seqlens, int n_seqs, int tile) {
    int b = 0, above = n_seqs;
    while (above - b > 1) {
        int middle = b + (above - b) / 2;
        if (cu_seqlens[middle] / ROWS + middle <= tile)
            b = middle;
        else
            above = middle;
    }
    int start = cu_seqlens[b];
    return {start, cu_seqlens[b + 1] - start, (tile - b - start / ROWS) * ROWS};
}

/* What scores become and who sees whom, for a kernel. */
struct AttentionRule {
    float scale, inner, cap; /* cap 0: none; inner = scale / cap */
    bool causal;
    int window; /* INT32_MAX: all */

    __device__ __forceinline__ bool sees(int query, int key, int len) const {
        return key < len && (!causal || key <= query) && query - key < window;
    }
    /* Whether all queries from query on see all keys from key on (so many of each). */
    __device__ __forceinline__ bool sees_all(int query, int queries, int key, int keys, int len) const {
        return query + queries <= len && key + keys <= len && (!causal || key + keys - 1 <= query) &&
               query + queries - 1 - key < window;
    }
    /* The capped score; slope: of the cap at it. */
    __device__ __forceinline__ float score(float product, float &slope) const {
        slope = 1.0f;
        if (cap == 0.0f) return product * scale;
        float t = tanhf(product * inner);
        slope = 1.0f - t * t;
        return cap * t;
    }
};
inline AttentionRule attention_rule(AttentionShape s) {
    int window = s.window > 0 && s.window < INT32_MAX ? (int)s.window : INT32_MAX;
    return {s.scale, s.softcap > 0.0f ? s.scale / s.softcap : 0.0f, s.softcap, s.causal, window};
}

inline Status attention_too_wide(const char *op, AttentionShape s) {
    return status_error(E_UNSUPPORTED, "%s: head size %lld, the CUDA backend has at most 256", op,
                        (long long)s.head_dim);
}

/* ---- Rows into shared memory, results out ---- */

/* ROWS rows of d columns, of which the first `rows` are there; the rest is zeros. aligned: 16 bytes at a
 * time, asynchronously. */
template <class T, int D, int ROWS, int THREADS>
__device__ __forceinline__ void attention_load(Shared<T> dst, const T *src, int64_t ld, int rows, int d,
                                               bool aligned) {
    constexpr int N = Vec16<T>::N, PER_ROW = D / N;
    for (int i = threadIdx.x; i < ROWS * PER_ROW; i += THREADS) {
        int r = i / PER_ROW, c = i % PER_ROW * N;
        Shared<T> to = dst + (r * attention_ld<T, D> + c);
        const T *from = src + r * ld + c;
        bool there = r < rows && c < d;
        if (aligned)
            cp_async16(to, there ? from : src, there ? 16 : 0);
        else
            for (int k = 0; k < N; k++) to[k] = there && c + k < d ? from[k] : from_f32<T>(0.0f);
    }
}

/* Two neighbouring numbers. */
template <class T> __device__ __forceinline__ void store_pair(T *p, float a, float b, bool aligned) {
    T pair[2] = {from_f32<T>(a), from_f32<T>(b)};
    if (!aligned) {
        p[0] = pair[0];
        p[1] = pair[1];
    } else if constexpr (sizeof(T) == 4) {
        *reinterpret_cast<float2 *>(p) = float2{a, b};
    } else {
        uint32_t both;
        memcpy(&both, pair, sizeof both);
        *reinterpret_cast<uint32_t *>(p) = both;
    }
}

template <class T> __device__ __forceinline__ int attention_column(int n, int t) {
    return sizeof(T) == 2 ? 8 * n + 2 * t : n / 2 * 16 + 4 * t + n % 2 * 2;
}

/* Row r of a result [16, 8 COLS] (r = 0: this lane's row g, 1: g + 8), times factor, to columns from `first`
 * on of a head of d. */
template <class T, int COLS>
__device__ __forceinline__ void attention_store(T *row, const float (&c)[COLS][4], int r, float factor,
                                                int first, int d, bool aligned) {
#pragma unroll
    for (int n = 0; n < COLS; n++) {
        int at = first + attention_column<T>(n, threadIdx.x % 4);
        if (at < d) store_pair(row + at, c[n][2 * r] * factor, c[n][2 * r + 1] * factor, aligned);
    }
}

/* ---- c [16, 8 TILES] += a [16, D] b [8 TILES, D]^T ---- */

template <int D, int TILES>
__device__ __forceinline__ void attention_scores(float (&c)[TILES][4], Shared<bf16> a, Shared<bf16> b) {
    constexpr int LD = attention_ld<bf16, D>;
    int lane = threadIdx.x % WARP;
    Shared<bf16> pa = a + (lane % 16 * LD + lane / 16 * 8);
    Shared<bf16> pb = b + ((lane % 8 + lane / 16 * 8) * LD + lane / 8 % 2 * 8);
#pragma unroll
    for (int k = 0; k < D; k += 16) {
        uint32_t fa[4];
        ldmatrix<4, false>(fa, pa + k);
#pragma unroll
        for (int n = 0; n < TILES; n += 2) {
            uint32_t fb[4];
            ldmatrix<4, false>(fb, pb + (n * 8 * LD + k));
            const uint32_t left[2] = {fb[0], fb[1]}, right[2] = {fb[2], fb[3]};
            mma_bf16(c[n], fa, left);
            mma_bf16(c[n + 1], fa, right);
        }
    }
}

template <int D, int TILES>
__device__ __forceinline__ void attention_scores(float (&c)[TILES][4], Shared<float> a, Shared<float> b) {
    constexpr int LD = attention_ld<float, D>;
    int g = threadIdx.x % WARP / 4, t = threadIdx.x % 4;
    Shared<float> pa = a + g * LD, pb = b + 2 * t * LD;
#pragma unroll 2
    for (int k = 0; k < D; k += 4) {
        Vec16<float> a0 = vec_load(pa + k), a1 = vec_load(pa + (8 * LD + k));
#pragma unroll
        for (int n = 0; n < TILES; n++) {
            Vec16<float> b0 = vec_load(pb + (n * 8 * LD + k)), b1 = vec_load(pb + ((n * 8 + 1) * LD + k));
#pragma unroll
            for (int e = 0; e < 4; e++) {
                c[n][0] += a0.v[e] * b0.v[e];
                c[n][1] += a0.v[e] * b1.v[e];
                c[n][2] += a1.v[e] * b0.v[e];
                c[n][3] += a1.v[e] * b1.v[e];
            }
        }
    }
}

/* ---- c [16, 8 COLS] += p [16, 8 TILES] b [8 TILES, 8 COLS], p as scores are laid out; rows of b LD apart
 * ----
 */

__device__ __forceinline__ uint32_t attention_pair(float low, float high) {
    return (uint32_t)bf16_round(low).bits | (uint32_t)bf16_round(high).bits << 16;
}

template <int LD, int TILES, int COLS>
__device__ __forceinline__ void attention_weighted(float (&c)[COLS][4], const float (&p)[TILES][4],
                                                   Shared<bf16> b) {
    int lane = threadIdx.x % WARP;
    Shared<bf16> pb = b + (lane % 16 * LD + lane / 16 * 8);
#pragma unroll
    for (int k = 0; k < TILES; k += 2) {
        const uint32_t fa[4] = {attention_pair(p[k][0], p[k][1]), attention_pair(p[k][2], p[k][3]),
                                attention_pair(p[k + 1][0], p[k + 1][1]),
                                attention_pair(p[k + 1][2], p[k + 1][3])};
#pragma unroll
        for (int n = 0; n < COLS; n += 2) {
            uint32_t fb[4];
            ldmatrix<4, true>(fb, pb + (k * 8 * LD + n * 8));
            const uint32_t left[2] = {fb[0], fb[1]}, right[2] = {fb[2], fb[3]};
            mma_bf16(c[n], fa, left);
            mma_bf16(c[n + 1], fa, right);
        }
    }
}

template <int LD, int TILES, int COLS>
__device__ __forceinline__ void attention_weighted(float (&c)[COLS][4], const float (&p)[TILES][4],
                                                   Shared<float> b) {
    int lane = threadIdx.x % WARP;
    Shared<float> pb = b + 4 * (lane % 4);
#pragma unroll
    for (int j = 0; j < 8 * TILES; j++) {
        int from = lane - lane % 4 + j % 8 / 2; /* the lane that has column j */
        float p0 = __shfl_sync(ALL_LANES, p[j / 8][j % 2], from);
        float p1 = __shfl_sync(ALL_LANES, p[j / 8][2 + j % 2], from);
#pragma unroll
        for (int n = 0; n < COLS; n += 2) {
            Vec16<float> x = vec_load(pb + (j * LD + n * 8));
#pragma unroll
            for (int e = 0; e < 4; e++) {
                c[n + e / 2][e % 2] += p0 * x.v[e];
                c[n + e / 2][2 + e % 2] += p1 * x.v[e];
            }
        }
    }
}

/* ---- Softmax while it streams: scores become weights exp(s - top), what was summed so far is scaled ---- */

template <int TILES, int COLS>
__device__ __forceinline__ void attention_softmax(float (&s)[TILES][4], float (&c)[COLS][4], float (&top)[2],
                                                  float (&sum)[2]) {
#pragma unroll
    for (int r = 0; r < 2; r++) {
        float m = top[r];
#pragma unroll
        for (int n = 0; n < TILES; n++) m = fmaxf(m, fmaxf(s[n][2 * r], s[n][2 * r + 1]));
        m = fmaxf(m, __shfl_xor_sync(ALL_LANES, m, 1));
        m = fmaxf(m, __shfl_xor_sync(ALL_LANES, m, 2));
        float base = m == -INFINITY ? 0.0f : m; /* nothing seen yet: weights 0 */
        float before = expf(top[r] - base);
        top[r] = m;
        sum[r] *= before;
#pragma unroll
        for (int n = 0; n < TILES; n++)
#pragma unroll
            for (int e = 2 * r; e < 2 * r + 2; e++) {
                s[n][e] = expf(s[n][e] - base);
                sum[r] += s[n][e];
            }
#pragma unroll
        for (int n = 0; n < COLS; n++) {
            c[n][2 * r] *= before;
            c[n][2 * r + 1] *= before;
        }
    }
}

/* The sum over the four lanes of a row. */
__device__ __forceinline__ float attention_row_sum(float x) {
    x += __shfl_xor_sync(ALL_LANES, x, 1);
    return x + __shfl_xor_sync(ALL_LANES, x, 2);
}

#endif
