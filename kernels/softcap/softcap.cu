/* Elementwise, in place. */
#include "kernels/device.cuh"

enum { THREADS = 256 };

template <class T, int N>
__global__ void softcap_rows(T *x, int64_t ldx, unsigned total, unsigned per_row, float cap, float inverse) {
    unsigned i = blockIdx.x * THREADS + threadIdx.x;
    if (i >= total) return;
    T *p = x + (int64_t)(i / per_row) * ldx + (int64_t)(i % per_row) * N;
    float a[N];
    load_f32(a, p);
#pragma unroll
    for (int k = 0; k < N; k++) a[k] = cap * tanhf(a[k] * inverse);
    store_f32(p, a);
}

template <class T, int N>
static Status launch(Device *dev, T *x, int64_t ldx, int64_t n, int64_t c, float cap) {
    return LAUNCH(dev, (softcap_rows<T, N>), grid_for(n * (c / N), THREADS), THREADS, 0, x, ldx,
                  count32(n * (c / N)), count32(c / N), cap, 1.0f / cap);
}

template <class T>
static Status softcap(Device *dev, void *xv, int64_t ldx, int64_t n, int64_t c, float cap) {
    T *x = (T *)xv;
    if (vec_rows(x, ldx, c)) return launch<T, Vec16<T>::N>(dev, x, ldx, n, c, cap);
    return launch<T, 1>(dev, x, ldx, n, c, cap);
}

extern "C" Status BODY(softcap_fwd)(Device *dev, void *x, int64_t ldx, DType type, int64_t n, int64_t c,
                                    float cap) {
    if (n == 0 || c == 0) return OK;
    return type == DT_BF16 ? softcap<bf16>(dev, x, ldx, n, c, cap) : softcap<float>(dev, x, ldx, n, c, cap);
}
