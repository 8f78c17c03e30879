/* put: a thread moves N neighbours of a row. sum: a thread makes one number. penalty: a block takes one row
 * of one item. Predicted, not measured: keys of 2048 tokens of width 1024 in bf16, 8 MB moved, in 2 us on an
 * H200 (4.8 TB/s); decoding is the launch alone. */
#include "kernels/sum.cuh"

enum { THREADS = 256 };

/* per_row = c / N. */
template <class T, int N>
__global__ void rows_put(T *y, int64_t ldy, int64_t m, const T *x, int64_t ldx, const int32_t *at,
                         unsigned total, unsigned per_row) {
    unsigned i = blockIdx.x * THREADS + threadIdx.x;
    if (i >= total) return;
    int64_t row = i / per_row, col = (int64_t)(i % per_row) * N, to = at[row];
    if (to < 0 || to >= m) return;
    float a[N];
    load_f32(a, x + row * ldx + col);
    store_f32(y + to * ldy + col, a);
}

template <class T, int N>
static Status launch(Device *dev, T *y, int64_t ldy, int64_t m, const T *x, int64_t ldx, const int32_t *at,
                     int64_t n, int64_t c) {
    return LAUNCH(dev, (rows_put<T, N>), grid_for(n * (c / N), THREADS), THREADS, 0, y, ldy, m, x, ldx, at,
                  count32(n * (c / N)), count32(c / N));
}

template <class T>
static Status put(Device *dev, void *yv, int64_t ldy, int64_t m, const void *xv, int64_t ldx,
                  const int32_t *at, int64_t n, int64_t c) {
    T *y = (T *)yv;
    const T *x = (const T *)xv;
    if (vec_rows(y, ldy, c) && vec_rows(x, ldx, c))
        return launch<T, Vec16<T>::N>(dev, y, ldy, m, x, ldx, at, n, c);
    return launch<T, 1>(dev, y, ldy, m, x, ldx, at, n, c);
}

extern "C" Status BODY(rows_put)(Device *dev, void *y, int64_t ldy, int64_t m, const void *x, int64_t ldx,
                                 DType type, const int32_t *at, int64_t n, int64_t c) {
    if (n == 0 || c == 0) return OK;
    return type == DT_BF16 ? put<bf16>(dev, y, ldy, m, x, ldx, at, n, c)
                           : put<float>(dev, y, ldy, m, x, ldx, at, n, c);
}

__global__ void rows_sum(float *out, const float *x, unsigned total, RowSum d) {
    unsigned at = blockIdx.x * THREADS + threadIdx.x;
    if (at >= total) return;
    const float *p = x + at / d.c * d.si * d.ld + d.from + at % d.c;
    double sum = 0.0;
    for (int64_t a = 0; a < d.na; a++)
        for (int64_t b = 0; b < d.nb; b++) sum += (double)p[(a * d.sa + b * d.sb) * d.ld];
    out[at] = (float)sum;
}

extern "C" Status BODY(rows_sum)(Device *dev, float *out, const float *x, RowSum d) {
    return LAUNCH(dev, rows_sum, grid_for(d.n * d.c, THREADS), THREADS, 0, out, x, count32(d.n * d.c), d);
}

__global__ void rows_penalty(double *part, float *g, const float *x, RowItems d, float slope) {
    SHARED(double, sums, THREADS / WARP);
    const int64_t first = blockIdx.x / d.rows * d.stride + blockIdx.x % d.rows * d.ld;
    double sum = 0.0;
    for (int64_t j = threadIdx.x; j < d.columns; j += THREADS) {
        const float a = x[first + j];
        sum += (double)a * (double)a;
        if (g) g[first + j] += slope * a;
    }
    sum = block_sum<THREADS, double>(sum, sums);
    if (threadIdx.x == 0) part[blockIdx.x] = sum;
}

extern "C" Status BODY(rows_penalty)(Device *dev, double *sum, float *g, const float *x, RowItems d,
                                     float slope) {
    const size_t mark = arena_mark(&dev->scratch);
    const unsigned blocks = grid_for(d.n * d.rows, 1);
    double *part = (double *)arena_alloc(&dev->scratch, blocks * sizeof *part);
    TRY(LAUNCH(dev, rows_penalty, blocks, THREADS, 0, part, g, x, d, slope));
    TRY(sum_to_host(dev, sum, part, blocks));
    arena_release(&dev->scratch, mark);
    return OK;
}
