/* Activations and their derivatives, for CUDA bodies; the formulas are those of vec.h. SiLU: x s with s =
 * 1/(1+exp(-x)) and s (1 + x (1 - s)), 1 - s = s exp(-x). GELU, tanh form (Hendrycks & Gimpel 2016): x s(2u),
 * u = sqrt(2/pi) (x + 0.044715 x^3). GELU, exact: x erfc(-x/sqrt 2)/2, which keeps the relative accuracy of
 * the tail. */
#ifndef T2L_KERNELS_ACTIVATION_CUH
#define T2L_KERNELS_ACTIVATION_CUH

#include "kernels/device.cuh"

__device__ __forceinline__ float silu(float x) {
    return x / (1.0f + expf(-x));
}
__device__ __forceinline__ float silu_grad(float x) {
    x = x < -87.0f ? -87.0f : x;
    float e = expf(-x), s = 1.0f / (1.0f + e);
    return s * (1.0f + x * (e * s));
}
__device__ __forceinline__ float gelu_tanh(float x) {
    return x / (1.0f + expf(-1.5957691216057308f * (x + 0.044715f * x * x * x)));
}
__device__ __forceinline__ float gelu_tanh_grad(float x) {
    float a = x < -20.0f ? -20.0f : x; /* beyond, both factors are nothing */
    a = a > 20.0f ? 20.0f : a;
    float e = expf(-1.5957691216057308f * (a + 0.044715f * a * a * a)), s = 1.0f / (1.0f + e);
    e = e > 1e30f ? 1e30f : e; /* s is 0 there: not 0 times infinity */
    return s * (1.0f + a * (e * s) * 1.5957691216057308f * (1.0f + 0.134145f * a * a));
}
__device__ __forceinline__ float gelu(float x) {
    return 0.5f * x * erfcf(-0.70710678118654752f * x);
}
__device__ __forceinline__ float gelu_grad(float x) {
    return 0.5f * erfcf(-0.70710678118654752f * x) + x * (0.3989422804014327f * expf(-0.5f * x * x));
}

#endif
