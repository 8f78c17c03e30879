/* Elementwise over (g | u). */
#include "kernels/activation.cuh"

enum { THREADS = 256 };

template <int ACT> __device__ __forceinline__ float act(float g) {
    return ACT == GLU_SILU ? silu(g) : ACT == GLU_GELU ? gelu(g) : gelu_tanh(g);
}
template <int ACT> __device__ __forceinline__ float act_grad(float g) {
    return ACT == GLU_SILU ? silu_grad(g) : ACT == GLU_GELU ? gelu_grad(g) : gelu_tanh_grad(g);
}

/* per_row = f / N */
template <class T, int N, int ACT>
__global__ void glu_fwd_rows(T *y, int64_t ldy, const T *gu, int64_t ldgu, unsigned total, unsigned per_row) {
    unsigned i = blockIdx.x * THREADS + threadIdx.x;
    if (i >= total) return;
    int64_t row = i / per_row, col = (int64_t)(i % per_row) * N, f = (int64_t)per_row * N;
    float g[N], u[N];
    load_f32(g, gu + row * ldgu + col);
    load_f32(u, gu + row * ldgu + f + col);
#pragma unroll
    for (int k = 0; k < N; k++) g[k] = act<ACT>(g[k]) * u[k];
    store_f32(y + row * ldy + col, g);
}

template <class T, int N, int ACT>
__global__ void glu_bwd_rows(T *dgu, int64_t lddgu, const T *dy, int64_t lddy, const T *gu, int64_t ldgu,
                             unsigned total, unsigned per_row) {
    unsigned i = blockIdx.x * THREADS + threadIdx.x;
    if (i >= total) return;
    int64_t row = i / per_row, col = (int64_t)(i % per_row) * N, f = (int64_t)per_row * N;
    float g[N], u[N], d[N];
    load_f32(g, gu + row * ldgu + col);
    load_f32(u, gu + row * ldgu + f + col);
    load_f32(d, dy + row * lddy + col);
#pragma unroll
    for (int k = 0; k < N; k++) {
        float gk = g[k];
        g[k] = d[k] * u[k] * act_grad<ACT>(gk);
        u[k] = d[k] * act<ACT>(gk);
    }
    store_f32(dgu + row * lddgu + col, g);
    store_f32(dgu + row * lddgu + f + col, u);
}

template <class T, int N, int ACT>
static Status launch_fwd(Device *dev, T *y, int64_t ldy, const T *gu, int64_t ldgu, int64_t n, int64_t f) {
    return LAUNCH(dev, (glu_fwd_rows<T, N, ACT>), grid_for(n * (f / N), THREADS), THREADS, 0, y, ldy, gu,
                  ldgu, count32(n * (f / N)), count32(f / N));
}

template <class T, int ACT>
static Status fwd(Device *dev, void *yv, int64_t ldy, const void *guv, int64_t ldgu, int64_t n, int64_t f) {
    T *y = (T *)yv;
    const T *gu = (const T *)guv;
    if (vec_rows(y, ldy, f) && vec_rows(gu, ldgu, f))
        return launch_fwd<T, Vec16<T>::N, ACT>(dev, y, ldy, gu, ldgu, n, f);
    return launch_fwd<T, 1, ACT>(dev, y, ldy, gu, ldgu, n, f);
}

template <class T, int N, int ACT>
static Status launch_bwd(Device *dev, T *dgu, int64_t lddgu, const T *dy, int64_t lddy, const T *gu,
                         int64_t ldgu, int64_t n, int64_t f) {
    return LAUNCH(dev, (glu_bwd_rows<T, N, ACT>), grid_for(n * (f / N), THREADS), THREADS, 0, dgu, lddgu, dy,
                  lddy, gu, ldgu, count32(n * (f / N)), count32(f / N));
}

template <class T, int ACT>
static Status bwd(Device *dev, void *dguv, int64_t lddgu, const void *dyv, int64_t lddy, const void *guv,
                  int64_t ldgu, int64_t n, int64_t f) {
    T *dgu = (T *)dguv;
    const T *dy = (const T *)dyv, *gu = (const T *)guv;
    if (vec_rows(dgu, lddgu, f) && vec_rows(dy, lddy, f) && vec_rows(gu, ldgu, f))
        return launch_bwd<T, Vec16<T>::N, ACT>(dev, dgu, lddgu, dy, lddy, gu, ldgu, n, f);
    return launch_bwd<T, 1, ACT>(dev, dgu, lddgu, dy, lddy, gu, ldgu, n, f);
}

/* call<T, ACT>(...) for the type and the activation asked for. */
#define SWITCH(call, type, how, ...)                                                                \
    (how == GLU_SILU                                                                                \
         ? type == DT_BF16 ? call<bf16, GLU_SILU>(__VA_ARGS__) : call<float, GLU_SILU>(__VA_ARGS__) \
     : how == GLU_GELU                                                                              \
         ? type == DT_BF16 ? call<bf16, GLU_GELU>(__VA_ARGS__) : call<float, GLU_GELU>(__VA_ARGS__) \
     : type == DT_BF16 ? call<bf16, GLU_GELU_TANH>(__VA_ARGS__)                                     \
                       : call<float, GLU_GELU_TANH>(__VA_ARGS__))

extern "C" Status BODY(glu_fwd)(Device *dev, void *y, int64_t ldy, const void *gu, int64_t ldgu, DType type,
                                int64_t n, int64_t f, GluAct how) {
    if (n * f == 0) return OK;
    return SWITCH(fwd, type, how, dev, y, ldy, gu, ldgu, n, f);
}

extern "C" Status BODY(glu_bwd)(Device *dev, void *dgu, int64_t lddgu, const void *dy, int64_t lddy,
                                const void *gu, int64_t ldgu, DType type, int64_t n, int64_t f, GluAct how) {
    if (n * f == 0) return OK;
    return SWITCH(bwd, type, how, dev, dgu, lddgu, dy, lddy, gu, ldgu, n, f);
}
