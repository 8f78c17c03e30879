/* A thread turns N neighbouring pairs of one head. */
#include "kernels/device.cuh"

enum { THREADS = 256 };

__global__ void rope_table_rows(float *cs, const int32_t *pos, const float *inv_freq, unsigned total,
                                unsigned pairs) {
    unsigned i = blockIdx.x * THREADS + threadIdx.x;
    if (i >= total) return;
    unsigned row = i / pairs, j = i % pairs;
    float angle = (float)pos[row] * inv_freq[j];
    float *out = cs + (int64_t)row * 2 * pairs + j;
    out[0] = cosf(angle);
    out[pairs] = sinf(angle);
}

/* groups = d / 2 / N groups of pairs a head; sign 1 turns, -1 turns back. */
template <class T, int N>
__global__ void rope_turn(T *x, int64_t ldx, const float *cs, unsigned total, unsigned h, unsigned groups,
                          float sign) {
    unsigned i = blockIdx.x * THREADS + threadIdx.x;
    if (i >= total) return;
    unsigned j = i % groups * N, head = i / groups % h, row = i / groups / h, pairs = groups * N;
    T *lo = x + (int64_t)row * ldx + (int64_t)head * 2 * pairs + j;
    const float *table = cs + (int64_t)row * 2 * pairs + j;
    float a[N], b[N], c[N], s[N];
    load_f32(a, lo);
    load_f32(b, lo + pairs);
    load_f32(c, table);
    load_f32(s, table + pairs);
#pragma unroll
    for (int k = 0; k < N; k++) {
        float was = a[k], sk = sign * s[k];
        a[k] = was * c[k] - b[k] * sk;
        b[k] = b[k] * c[k] + was * sk;
    }
    store_f32(lo, a);
    store_f32(lo + pairs, b);
}

extern "C" Status BODY(rope_table)(Device *dev, float *cs, const int32_t *pos, const float *inv_freq,
                                   int64_t n, int64_t d) {
    int64_t pairs = d / 2;
    if (n * pairs == 0) return OK;
    return LAUNCH(dev, rope_table_rows, grid_for(n * pairs, THREADS), THREADS, 0, cs, pos, inv_freq,
                  count32(n * pairs), count32(pairs));
}

template <class T, int N>
static Status launch(Device *dev, T *x, int64_t ldx, const float *cs, int64_t n, int64_t h, int64_t d,
                     float sign) {
    int64_t groups = d / 2 / N, total = n * h * groups;
    return LAUNCH(dev, (rope_turn<T, N>), grid_for(total, THREADS), THREADS, 0, x, ldx, cs, count32(total),
                  count32(h), count32(groups), sign);
}

template <class T>
static Status turn(Device *dev, void *xv, int64_t ldx, const float *cs, int64_t n, int64_t h, int64_t d,
                   float sign) {
    T *x = (T *)xv;
    if (vec_rows(x, ldx, d / 2) && vec_rows(cs, d, d / 2))
        return launch<T, Vec16<T>::N>(dev, x, ldx, cs, n, h, d, sign);
    return launch<T, 1>(dev, x, ldx, cs, n, h, d, sign);
}

extern "C" Status BODY(rope_fwd)(Device *dev, void *x, int64_t ldx, const float *cs, DType type, int64_t n,
                                 int64_t h, int64_t d) {
    if (n * h * d == 0) return OK;
    return type == DT_BF16 ? turn<bf16>(dev, x, ldx, cs, n, h, d, 1.0f)
                           : turn<float>(dev, x, ldx, cs, n, h, d, 1.0f);
}

extern "C" Status BODY(rope_bwd)(Device *dev, void *dx, int64_t lddx, const float *cs, DType type, int64_t n,
                                 int64_t h, int64_t d) {
    if (n * h * d == 0) return OK;
    return type == DT_BF16 ? turn<bf16>(dev, dx, lddx, cs, n, h, d, -1.0f)
                           : turn<float>(dev, dx, lddx, cs, n, h, d, -1.0f);
}
