/* Elementwise, in the order of the CPU body; the scalars are worked out in double on the host. */
#include "kernels/device.cuh"

enum { THREADS = 256 };

struct AdamwScalars {
    float shrink, lerp, beta2, rest2, step, rroot, eps, grad;
};

template <int N>
__global__ void adamw_step(float *p, float *m, float *v, const float *g, int64_t n, AdamwScalars s) {
    int64_t i = ((int64_t)blockIdx.x * THREADS + threadIdx.x) * N;
    if (i >= n) return;
    float pi[N], mi[N], vi[N], gi[N];
    load_f32(pi, p + i);
    load_f32(mi, m + i);
    load_f32(vi, v + i);
    load_f32(gi, g + i);
#pragma unroll
    for (int k = 0; k < N; k++) {
        float gk = gi[k] * s.grad;
        mi[k] += s.lerp * (gk - mi[k]);
        vi[k] = s.beta2 * vi[k] + s.rest2 * gk * gk;
        pi[k] = pi[k] * s.shrink - s.step * (mi[k] / (sqrtf(vi[k]) * s.rroot + s.eps));
    }
    store_f32(p + i, pi);
    store_f32(m + i, mi);
    store_f32(v + i, vi);
}

extern "C" Status BODY(adamw)(Device *dev, float *p, float *m, float *v, const float *g, int64_t n,
                              AdamwOpts o) {
    double t = (double)o.step;
    AdamwScalars s = {(float)(1.0 - o.lr * o.decay),
                      (float)(1.0 - o.beta1),
                      (float)o.beta2,
                      (float)(1.0 - o.beta2),
                      (float)(o.lr / (1.0 - pow(o.beta1, t))),
                      (float)(1.0 / sqrt(1.0 - pow(o.beta2, t))),
                      (float)o.eps,
                      (float)o.grad_scale};
    int64_t whole = 0; /* elements taken four at a time; the few others one by one */
    if (vec_rows(p, 0, 0) && vec_rows(m, 0, 0) && vec_rows(v, 0, 0) && vec_rows(g, 0, 0)) whole = n / 4 * 4;
    if (whole > 0)
        TRY(LAUNCH(dev, adamw_step<4>, grid_for(whole / 4, THREADS), THREADS, 0, p, m, v, g, whole, s));
    if (whole == n) return OK;
    return LAUNCH(dev, adamw_step<1>, grid_for(n - whole, THREADS), THREADS, 0, p + whole, m + whole,
                  v + whole, g + whole, n - whole, s);
}
