/* A block a row, which it reads twice (the second time from the caches). The squares of one load are added in
 * float, the loads in double: rstd is off by a few roundings, whatever the width. */
#include "kernels/device.cuh"

enum { THREADS = 256 };

template <class T, int N>
__global__ void rmsnorm_fwd_row(T *y, int64_t ldy, float *rstd, const T *x, int64_t ldx, const float *w,
                                int64_t c, float eps) {
    SHARED(double, sums, THREADS / WARP);
    y += blockIdx.x * ldy;
    x += blockIdx.x * ldx;
    double ss = 0.0;
    for (int64_t j = threadIdx.x * N; j < c; j += THREADS * N) {
        float a[N], part = 0.0f;
        load_f32(a, x + j);
#pragma unroll
        for (int k = 0; k < N; k++) part += a[k] * a[k];
        ss += (double)part;
    }
    ss = block_sum<THREADS, double>(ss, sums);
    float r = (float)(1.0 / sqrt(ss / (double)c + (double)eps));
    if (threadIdx.x == 0) rstd[blockIdx.x] = r;
    for (int64_t j = threadIdx.x * N; j < c; j += THREADS * N) {
        float a[N], b[N];
        load_f32(a, x + j);
        load_f32(b, w + j);
#pragma unroll
        for (int k = 0; k < N; k++) a[k] = a[k] * r * b[k];
        store_f32(y + j, a);
    }
}

template <class T, int N>
__global__ void rmsnorm_bwd_row(T *dx, int64_t lddx, const T *dy, int64_t lddy, const T *x, int64_t ldx,
                                const float *w, const float *rstd, int64_t c) {
    SHARED(double, sums, THREADS / WARP);
    dx += blockIdx.x * lddx;
    dy += blockIdx.x * lddy;
    x += blockIdx.x * ldx;
    double dot = 0.0;
    for (int64_t j = threadIdx.x * N; j < c; j += THREADS * N) {
        float a[N], b[N], g[N], part = 0.0f;
        load_f32(a, x + j);
        load_f32(b, w + j);
        load_f32(g, dy + j);
#pragma unroll
        for (int k = 0; k < N; k++) part += b[k] * g[k] * a[k];
        dot += (double)part;
    }
    dot = block_sum<THREADS, double>(dot, sums);
    float r = rstd[blockIdx.x], mean = (float)(dot / (double)c) * r * r;
    for (int64_t j = threadIdx.x * N; j < c; j += THREADS * N) {
        float a[N], b[N], g[N], d[N];
        load_f32(a, x + j);
        load_f32(b, w + j);
        load_f32(g, dy + j);
        load_f32(d, dx + j);
#pragma unroll
        for (int k = 0; k < N; k++) d[k] += r * (b[k] * g[k] - a[k] * mean);
        store_f32(dx + j, d);
    }
}

template <class T>
static Status fwd(Device *dev, void *yv, int64_t ldy, float *rstd, const void *xv, int64_t ldx,
                  const float *w, int64_t n, int64_t c, float eps) {
    T *y = (T *)yv;
    const T *x = (const T *)xv;
    unsigned grid = grid_for(n, 1);
    if (vec_rows(y, ldy, c) && vec_rows(x, ldx, c) && vec_rows(w, 0, 0))
        return LAUNCH(dev, (rmsnorm_fwd_row<T, Vec16<T>::N>), grid, THREADS, 0, y, ldy, rstd, x, ldx, w, c,
                      eps);
    return LAUNCH(dev, (rmsnorm_fwd_row<T, 1>), grid, THREADS, 0, y, ldy, rstd, x, ldx, w, c, eps);
}

template <class T>
static Status bwd(Device *dev, void *dxv, int64_t lddx, const void *dyv, int64_t lddy, const void *xv,
                  int64_t ldx, const float *w, const float *rstd, int64_t n, int64_t c) {
    T *dx = (T *)dxv;
    const T *dy = (const T *)dyv, *x = (const T *)xv;
    unsigned grid = grid_for(n, 1);
    if (vec_rows(dx, lddx, c) && vec_rows(dy, lddy, c) && vec_rows(x, ldx, c) && vec_rows(w, 0, 0))
        return LAUNCH(dev, (rmsnorm_bwd_row<T, Vec16<T>::N>), grid, THREADS, 0, dx, lddx, dy, lddy, x, ldx, w,
                      rstd, c);
    return LAUNCH(dev, (rmsnorm_bwd_row<T, 1>), grid, THREADS, 0, dx, lddx, dy, lddy, x, ldx, w, rstd, c);
}

extern "C" Status BODY(rmsnorm_fwd)(Device *dev, void *y, int64_t ldy, float *rstd, const void *x,
                                    int64_t ldx, const float *w, DType type, int64_t n, int64_t c,
                                    float eps) {
    if (n == 0 || c == 0) return OK;
    return type == DT_BF16 ? fwd<bf16>(dev, y, ldy, rstd, x, ldx, w, n, c, eps)
                           : fwd<float>(dev, y, ldy, rstd, x, ldx, w, n, c, eps);
}

extern "C" Status BODY(rmsnorm_bwd)(Device *dev, void *dx, int64_t lddx, const void *dy, int64_t lddy,
                                    const void *x, int64_t ldx, const float *w, const float *rstd, DType type,
                                    int64_t n, int64_t c) {
    if (n == 0 || c == 0) return OK;
    return type == DT_BF16 ? bwd<bf16>(dev, dx, lddx, dy, lddy, x, ldx, w, rstd, n, c)
                           : bwd<float>(dev, dx, lddx, dy, lddy, x, ldx, w, rstd, n, c);
}
