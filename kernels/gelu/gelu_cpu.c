/* GELU: x Phi(x) with Phi(-|x|) = erfc(z)/2, z = |x|/sqrt(2), and erfc(z) = t exp(P(t) - z^2), t = 1/(1 +
 * z/2): the tail keeps its relative accuracy. P: degree 9, fitted to log erfc(z) + z^2 - log t on t in [1/6,
 * 1] (z <= 10) by reweighted least squares in double; largest deviation 4.6e-8. Beyond, exp(-z^2) is zero. */
#include "kernels/gelu/gelu.h"

#include "kernels/vec.h"

static inline float gelu(float x) {
    float z = (x < 0.0f ? -x : x) * 0.70710678118654752f;
    float t = 1.0f / (1.0f + 0.5f * z), p = 0.14219441507940f;
    p = p * t - 0.66606393860166f;
    p = p * t + 1.12240285605978f;
    p = p * t - 0.65125080058987f;
    p = p * t - 0.11678574905134f;
    p = p * t + 0.02019513914782f;
    p = p * t + 0.02835735883076f;
    p = p * t + 0.38789968147932f;
    p = p * t + 0.99849252108015f;
    p = p * t - 1.26544143820918f;
    float tail = 0.5f * x * (t * vec_expf(p - z * z));
    return x < 0.0f ? tail : x - tail;
}

VEC_TARGETS static void gelu_row(float *y, const float *x, int64_t c) {
#pragma omp simd
    for (int64_t i = 0; i < c; i++) y[i] = gelu(x[i]);
}

Status gelu_fwd_cpu(Device *dev, float *y, int64_t ldy, const float *x, int64_t ldx, int64_t n, int64_t c) {
#pragma omp parallel for num_threads(dev->n_threads) schedule(static) if (n * c > 8192)
    for (int64_t i = 0; i < n; i++) gelu_row(y + i * ldy, x + i * ldx, c);
    return OK;
}
