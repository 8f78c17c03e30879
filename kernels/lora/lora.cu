/* Three kernels, two of them used by both directions. No token has its own copy of A or B: a block takes a
 * few neighbouring tokens and goes through the sequences among them. lora_down   h = scale xd A^T      fwd:
 * h;  bwd: dh, from dy and Bt lora_up     y += h B              fwd: y;  bwd: dx, from dh and A lora_outer  g
 * += h^T xd           bwd: dA from dh and x, dBt from h and dy Every number is one sum in a fixed order:
 * lora_outer gives all tokens of an adapter to one block, whose warps take them in turn.
 *
 * Predicted, not measured, on an H200 at 4.8 TB/s: Mistral-7B's q_proj, 2048 tokens in bf16, rank 8: forward
 * reads x, reads and writes y, 50 MB, 11 us; backward reads dy twice, x once, reads and writes dx, 84 MB, 18
 * us (with fewer than 8 adapters lora_outer has too few blocks for that). */
#include "base/rng.h"
#include "kernels/device.cuh"

enum {
    THREADS = 128,
    ROWS = 8,  /* tokens a block, and */
    RANKS = 8, /* ranks at a time: 64 sums a thread; chosen */
    OUTER_THREADS = 256,
    OUTER_WARPS = OUTER_THREADS / WARP
};

struct Dropout {
    uint64_t seed, stream;
    float p, keep; /* keep = 1 / (1 - p) */
};

/* Times the mask of elements at, at + 1, ... of the stream; N > 1: `at` is a multiple of 4. */
template <int N> __device__ __forceinline__ void drop(float (&x)[N], uint64_t at, const Dropout &d) {
    if constexpr (N % 4 == 0) {
#pragma unroll
        for (int i = 0; i < N; i += 4) {
            Philox4 r = philox(d.seed, d.stream, (at + i) / 4);
#pragma unroll
            for (int k = 0; k < 4; k++) x[i + k] *= rng_unit(r.v[k]) >= d.p ? d.keep : 0.0f;
        }
    } else {
#pragma unroll
        for (int i = 0; i < N; i++) x[i] *= rng_unit(rng_at(d.seed, d.stream, at + i)) >= d.p ? d.keep : 0.0f;
    }
}

/* The sequence that row n belongs to. */
__device__ __forceinline__ int sequence_of(const int32_t *cu, int n_seqs, int64_t n) {
    int lo = 0, hi = n_seqs;
    while (hi - lo > 1) {
        int mid = (lo + hi) / 2;
        if (cu[mid] <= n)
            lo = mid;
        else
            hi = mid;
    }
    return lo;
}

__device__ __forceinline__ int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* Sums 64 numbers of each lane over the warp: lane l is left with sums 2 l and 2 l + 1, in v[0] and v[1]. */
template <int D = WARP / 2> __device__ __forceinline__ void warp_sum_64(float (&v)[64]) {
    enum { HALF = 2 * D };
    const bool upper = threadIdx.x & D;
#pragma unroll
    for (int i = 0; i < HALF; i++) {
        float keep = upper ? v[i + HALF] : v[i], give = upper ? v[i] : v[i + HALF];
        v[i] = keep + __shfl_xor_sync(ALL_LANES, give, D);
    }
    if constexpr (D > 1) warp_sum_64<D / 2>(v);
}

/* 4 elements in one load (p aligned to it), or 1. Wider loads would not leave registers for the sums. */
template <int N, class T> __device__ __forceinline__ void load_few(float (&x)[N], const T *p) {
    if constexpr (N == 4 && sizeof(T) == 2) {
        uint2 raw = *reinterpret_cast<const uint2 *>(p);
        T v[4];
        memcpy(v, &raw, sizeof v);
#pragma unroll
        for (int k = 0; k < 4; k++) x[k] = to_f32(v[k]);
    } else {
        load_f32(x, p);
    }
}

template <class T, int N, bool DROP>
__global__ void __launch_bounds__(THREADS, DROP ? 2 : 3)
    lora_down(float *h, const T *x, int64_t ldx, const float *a, int64_t a_stride, int64_t lda,
              const int32_t *index, const int32_t *cu, int n_seqs, int64_t width, int rank, float scale,
              Dropout d) {
    static_assert(ROWS * RANKS == 64 && THREADS >= 64, "a thread stores one sum");
    SHARED(float, sums, THREADS / WARP * ROWS * RANKS);
    const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP, j0 = (int)blockIdx.y * RANKS;
    int64_t row = (int64_t)blockIdx.x * ROWS, end = least(row + ROWS, cu[n_seqs]);
    while (row < end) {
        const int seq = sequence_of(cu, n_seqs, row);
        const int64_t stop = least(cu[seq + 1], end);
        const int t = index[seq], rows = (int)(stop - row);
        float acc[ROWS * RANKS] = {};
        const float *at = a + t * a_stride + j0 * lda;
        for (int64_t c = t < 0 ? width : (int64_t)threadIdx.x * N; c < width; c += THREADS * N) {
            float b[RANKS][N];
#pragma unroll
            for (int j = 0; j < RANKS; j++) load_few(b[j], at + (j0 + j < rank ? j : 0) * lda + c);
#pragma unroll
            for (int i = 0; i < ROWS; i++) { /* for rows of another sequence: this one's first, for nothing */
                const int64_t n = row + (i < rows ? i : 0);
                float v[N];
                load_few(v, x + n * ldx + c);
                if constexpr (DROP) drop(v, (uint64_t)(n * width + c), d);
#pragma unroll
                for (int j = 0; j < RANKS; j++)
#pragma unroll
                    for (int k = 0; k < N; k++) acc[i * RANKS + j] += v[k] * b[j][k];
            }
        }
        warp_sum_64(acc);
        sums[warp * 64 + 2 * lane] = acc[0];
        sums[warp * 64 + 2 * lane + 1] = acc[1];
        __syncthreads();
        const int i = (int)threadIdx.x / RANKS, j = j0 + (int)threadIdx.x % RANKS;
        if (i < rows && j < rank) {
            float sum = sums[threadIdx.x];
            for (int w = 1; w < THREADS / WARP; w++) sum += sums[w * 64 + threadIdx.x];
            h[(row + i) * rank + j] = scale * sum;
        }
        __syncthreads();
        row = stop;
    }
}

template <class T, int N, bool DROP>
__global__ void __launch_bounds__(THREADS)
    lora_up(T *y, int64_t ldy, const float *h, const float *b, int64_t b_stride, int64_t ldb,
            const int32_t *index, const int32_t *cu, int n_seqs, int64_t width, int rank, float scale,
            Dropout d) {
    SHARED(float, hs, ROWS *LORA_MAX_RANK);
    const int64_t row0 = (int64_t)blockIdx.x * ROWS, end = least(row0 + ROWS, cu[n_seqs]);
    for (int i = threadIdx.x; i < ROWS * rank; i += THREADS)
        hs[i] = row0 + i / rank < end ? scale * h[row0 * rank + i] : 0.0f;
    __syncthreads();
    const int64_t c = ((int64_t)blockIdx.y * THREADS + threadIdx.x) * N;
    if (c >= width) return;
    for (int64_t row = row0; row < end;) {
        const int seq = sequence_of(cu, n_seqs, row);
        const int64_t stop = least(cu[seq + 1], end);
        const int t = index[seq], rows = (int)(stop - row), first = (int)(row - row0);
        if (t >= 0) {
            float acc[ROWS][N] = {}, old[ROWS][N];
            for (int j = 0; j < rank; j++) {
                float w[N];
                load_f32(w, b + t * b_stride + j * ldb + c);
#pragma unroll
                for (int i = 0; i < ROWS; i++) {
                    const float k = hs[(first + (i < rows ? i : 0)) * rank + j];
#pragma unroll
                    for (int e = 0; e < N; e++) acc[i][e] += k * w[e];
                }
            }
#pragma unroll
            for (int i = 0; i < ROWS; i++) load_f32(old[i], y + (row + (i < rows ? i : 0)) * ldy + c);
#pragma unroll
            for (int i = 0; i < ROWS; i++) {
                if (i >= rows) continue;
                if constexpr (DROP) drop(acc[i], (uint64_t)((row + i) * width + c), d);
#pragma unroll
                for (int e = 0; e < N; e++) old[i][e] += acc[i][e];
                store_f32(y + (row + i) * ldy + c, old[i]);
            }
        }
        row = stop;
    }
}

/* Block (columns, sequence, ranks): works where the sequence is the first of its adapter. */
template <class T, int N, bool DROP>
__global__ void __launch_bounds__(OUTER_THREADS)
    lora_outer(float *g, int64_t g_stride, int64_t ldg, const float *h, const T *x, int64_t ldx,
               const int32_t *index, const int32_t *cu, int n_seqs, int64_t width, int rank, float scale,
               Dropout d) {
    enum { COLUMNS = WARP * N };
    SHARED_DYNAMIC(float, parts, 0, OUTER_WARPS *RANKS *COLUMNS);
    const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP, j0 = (int)blockIdx.z * RANKS;
    const int first = (int)blockIdx.y, t = index[first];
    if (t < 0) return;
    for (int p = 0; p < first; p++)
        if (index[p] == t) return;
    const int64_t c0 = (int64_t)blockIdx.x * COLUMNS, c = c0 + lane * N;
    float acc[RANKS][N] = {};
    int turn = warp; /* of the next sequence's rows, the first that is this warp's */
    for (int seq = first; seq < n_seqs && c < width; seq++) {
        if (index[seq] != t) continue;
        int64_t n = cu[seq] + turn, to = cu[seq + 1];
#pragma unroll(N == 1 ? 2 : 4)
        for (; n < to; n += OUTER_WARPS) {
            float v[N];
            load_f32(v, x + n * ldx + c);
            if constexpr (DROP) drop(v, (uint64_t)(n * width + c), d);
#pragma unroll
            for (int j = 0; j < RANKS; j++) {
                const float k = h[n * rank + (j0 + j < rank ? j0 + j : j0)];
#pragma unroll
                for (int e = 0; e < N; e++) acc[j][e] += k * v[e];
            }
        }
        turn = (int)(n - to);
    }
#pragma unroll
    for (int j = 0; j < RANKS; j++) {
        const int at = (warp * RANKS + j) * COLUMNS + lane * N;
        if constexpr (N % 4 == 0) {
#pragma unroll
            for (int e = 0; e < N; e += 4)
                vec_store(parts + (at + e),
                          Vec16<float>{{acc[j][e], acc[j][e + 1], acc[j][e + 2], acc[j][e + 3]}});
        } else {
#pragma unroll
            for (int e = 0; e < N; e++) parts[at + e] = acc[j][e];
        }
    }
    __syncthreads();
    for (int i = threadIdx.x; i < RANKS * COLUMNS; i += OUTER_THREADS) {
        const int j = j0 + i / COLUMNS;
        const int64_t column = c0 + i % COLUMNS;
        if (j >= rank || column >= width) continue;
        float sum = parts[i];
        for (int w = 1; w < OUTER_WARPS; w++) sum += parts[w * RANKS * COLUMNS + i];
        g[t * g_stride + j * ldg + column] += scale * sum;
    }
}

/* What all launches of a call share. */
struct Call {
    Device *dev; /* borrows */
    const int32_t *index, *cu;
    int n_seqs, rank;
    int64_t rows;
    Dropout dropout;
};

static Call call_new(Device *dev, const int32_t *index, const int32_t *cu, int64_t n_seqs, int64_t rows,
                     LoraOpts o) {
    CHECK(n_seqs < 65536, "lora: %lld sequences", (long long)n_seqs); /* y of a grid */
    Call c = {dev, index, cu, (int)n_seqs, (int)o.rank, rows, {o.seed, o.stream, o.dropout, 1.0f}};
    if (o.dropout > 0.0f) c.dropout.keep = 1.0f / (1.0f - o.dropout);
    return c;
}

/* Rows of an adapter matrix can be taken 16 bytes at a time. */
static bool vec_items(const float *p, int64_t stride, int64_t ld, int64_t width) {
    return vec_rows(p, ld, width) && stride % Vec16<float>::N == 0;
}

template <class T>
static Status down(const Call &c, float *h, const T *x, int64_t ldx, const float *a, int64_t stride,
                   int64_t lda, int64_t width, float scale, bool masked) {
    enum { N = 4 };
    const bool vec = vec_rows(x, ldx, width) && vec_items(a, stride, lda, width);
    auto *kernel = vec ? (masked ? lora_down<T, N, true> : lora_down<T, N, false>)
                       : (masked ? lora_down<T, 1, true> : lora_down<T, 1, false>);
    return cuda_launch(c.dev, "lora_down", kernel, dim3(grid_for(c.rows, ROWS), grid_for(c.rank, RANKS)),
                       THREADS, 0, h, x, ldx, a, stride, lda, c.index, c.cu, c.n_seqs, width, c.rank, scale,
                       c.dropout);
}

template <class T>
static Status up(const Call &c, T *y, int64_t ldy, const float *h, const float *b, int64_t stride,
                 int64_t ldb, int64_t width, float scale, bool masked) {
    const bool vec = vec_rows(y, ldy, width) && vec_items(b, stride, ldb, width);
    const int n = vec ? Vec16<T>::N : 1;
    auto *kernel = vec ? (masked ? lora_up<T, Vec16<T>::N, true> : lora_up<T, Vec16<T>::N, false>)
                       : (masked ? lora_up<T, 1, true> : lora_up<T, 1, false>);
    return cuda_launch(c.dev, "lora_up", kernel, dim3(grid_for(c.rows, ROWS), grid_for(width, THREADS * n)),
                       THREADS, 0, y, ldy, h, b, stride, ldb, c.index, c.cu, c.n_seqs, width, c.rank, scale,
                       c.dropout);
}

template <class T>
static Status outer(const Call &c, float *g, int64_t stride, int64_t ldg, const float *h, const T *x,
                    int64_t ldx, int64_t width, float scale, bool masked) {
    const bool vec = vec_rows(x, ldx, width);
    const int n = vec ? Vec16<T>::N : 1;
    auto *kernel = vec ? (masked ? lora_outer<T, Vec16<T>::N, true> : lora_outer<T, Vec16<T>::N, false>)
                       : (masked ? lora_outer<T, 1, true> : lora_outer<T, 1, false>);
    return cuda_launch(c.dev, "lora_outer", kernel,
                       dim3(grid_for(width, WARP * n), (unsigned)c.n_seqs, grid_for(c.rank, RANKS)),
                       OUTER_THREADS, (size_t)(OUTER_WARPS * RANKS * WARP * n) * sizeof(float), g, stride,
                       ldg, h, x, ldx, c.index, c.cu, c.n_seqs, width, c.rank, scale, c.dropout);
}

template <class T>
static Status fwd(const Call &c, T *y, int64_t ldy, float *h, const T *x, int64_t ldx, LoraView w, int64_t in,
                  int64_t out, LoraOpts o) {
    TRY(down(c, h, x, ldx, w.a, w.a_stride, w.lda, in, 1.0f, o.dropout > 0.0f));
    return up(c, y, ldy, h, w.bt, w.bt_stride, w.ldb, out, o.scale, false);
}

template <class T>
static Status bwd(const Call &c, float *dh, T *dx, int64_t lddx, LoraView dw, const T *dy, int64_t lddy,
                  const float *h, const T *x, int64_t ldx, LoraView w, int64_t in, int64_t out, LoraOpts o) {
    const bool masked = o.dropout > 0.0f;
    TRY(down(c, dh, dy, lddy, w.bt, w.bt_stride, w.ldb, out, o.scale, false));
    TRY(outer(c, dw.bt, dw.bt_stride, dw.ldb, h, dy, lddy, out, o.scale, false));
    TRY(outer(c, dw.a, dw.a_stride, dw.lda, dh, x, ldx, in, 1.0f, masked));
    return dx ? up(c, dx, lddx, dh, w.a, w.a_stride, w.lda, in, 1.0f, masked) : OK;
}

extern "C" Status BODY(lora_fwd)(Device *dev, void *y, int64_t ldy, float *h, const void *x, int64_t ldx,
                                 DType type, LoraView w, const int32_t *index, const int32_t *cu_seqlens,
                                 int64_t n_seqs, int64_t n, int64_t in, int64_t out, LoraOpts o) {
    if (n == 0 || n_seqs == 0) return OK;
    const Call c = call_new(dev, index, cu_seqlens, n_seqs, n, o);
    return type == DT_BF16 ? fwd(c, (bf16 *)y, ldy, h, (const bf16 *)x, ldx, w, in, out, o)
                           : fwd(c, (float *)y, ldy, h, (const float *)x, ldx, w, in, out, o);
}

extern "C" Status BODY(lora_bwd)(Device *dev, void *dx, int64_t lddx, LoraView dw, const void *dy,
                                 int64_t lddy, const float *h, const void *x, int64_t ldx, DType type,
                                 LoraView w, const int32_t *index, const int32_t *cu_seqlens, int64_t n_seqs,
                                 int64_t n, int64_t in, int64_t out, LoraOpts o) {
    if (n == 0 || n_seqs == 0) return OK;
    const Call c = call_new(dev, index, cu_seqlens, n_seqs, n, o);
    size_t mark = arena_mark(&dev->scratch);
    float *dh = arena_f32(&dev->scratch, n * o.rank);
    Status s = type == DT_BF16 ? bwd(c, dh, (bf16 *)dx, lddx, dw, (const bf16 *)dy, lddy, h, (const bf16 *)x,
                                     ldx, w, in, out, o)
                               : bwd(c, dh, (float *)dx, lddx, dw, (const float *)dy, lddy, h,
                                     (const float *)x, ldx, w, in, out, o);
    arena_release(&dev->scratch, mark);
    return s;
}
