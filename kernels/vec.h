/* Scalar functions that compilers vectorise: no branches, no calls. Include in CPU bodies; call from loops
 * marked `#pragma omp simd` inside a function marked VEC_TARGETS. vec_expf: relative error <= 2e-7 where the
 * result is a normal number; 0 below exp(-104), infinity above exp(88.73); NaN in, NaN out. Method: x = n ln2
 * + r with |r| <= ln2/2 (Cody & Waite 1980, ln2 in two parts), Taylor to r^7 (remainder < 6e-9), 2^n in two
 * factors so that subnormal results and overflow come out by themselves. Not for -ffast-math. */
#ifndef T2L_KERNELS_VEC_H
#define T2L_KERNELS_VEC_H

#include <stdint.h>

/* Compiles a function for the baseline, AVX2 and AVX-512 and chooses when the program is loaded. Not on a
 * function that contains an OpenMP parallel region (its outlined body would stay at the baseline): put it on
 * the function the parallel loop calls. The name of a static function so marked must be unique in the
 * program: clang 14 gives its resolver external linkage. */
#if defined(__x86_64__) && defined(__linux__) && !defined(__SANITIZE_ADDRESS__) && !defined(__CUDACC__)
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define VEC_NO_TARGETS
#endif
#endif
#ifndef VEC_NO_TARGETS
#define VEC_TARGETS __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
#endif
#endif
#ifndef VEC_TARGETS
#define VEC_TARGETS
#endif

typedef union VecBits {
    float f;
    uint32_t u;
    int32_t i;
} VecBits;

/* exp(x) = (*p + 1) 2^n for |n| < 2^22: *p = exp(r) - 1, n in the low bits of the result. */
static inline VecBits vec_exp_parts(float *p, float x) {
    const float magic = 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer in the low mantissa bits */
    VecBits z;
    z.f = x * 1.44269504088896341f + magic;
    float n = z.f - magic;
    float r = x - n * 0.693145751953125f; /* ln2 to 15 bits: n * that is exact */
    r = r - n * 1.42860682030941723e-6f;
    float q = 1.0f / 5040.0f;
    q = q * r + 1.0f / 720.0f;
    q = q * r + 1.0f / 120.0f;
    q = q * r + 1.0f / 24.0f;
    q = q * r + 1.0f / 6.0f;
    q = q * r + 0.5f;
    *p = q * (r * r) + r;
    z.u -= 0x4B400000u; /* n as an integer */
    return z;
}

static inline float vec_expf(float x) {
    x = x > 89.0f ? 89.0f : x;
    x = x < -104.0f ? -104.0f : x;
    float p;
    VecBits lo, hi, n = vec_exp_parts(&p, x);
    int32_t half = n.i >> 1;
    lo.u = ((uint32_t)half + 127u) << 23;
    hi.u = (n.u - (uint32_t)half + 127u) << 23;
    return (p * lo.f + lo.f) * hi.f;
}

/* Relative error <= 4e-7: -m / (2 + m) with m = exp(-2|x|) - 1, which is 2^n p + (2^n - 1) without
 * cancellation near 0. Past |x| = 10 it is 1. */
static inline float vec_tanhf(float x) {
    float y = x < 0.0f ? 2.0f * x : -2.0f * x, p;
    y = y < -20.0f ? -20.0f : y;
    VecBits scale, n = vec_exp_parts(&p, y);
    scale.u = (n.u + 127u) << 23;
    float m = p * scale.f + (scale.f - 1.0f), t = -m / (2.0f + m);
    return x < 0.0f ? -t : t;
}

static inline float vec_sigmoid(float x) {
    return 1.0f / (1.0f + vec_expf(-x));
}

static inline float vec_silu(float x) {
    return x / (1.0f + vec_expf(-x));
}

/* d silu / dx = s (1 + x (1 - s)), with 1 - s = s exp(-x) so that nothing cancels. Below -87 the value at
 * -87, about -1e-36. */
static inline float vec_silu_grad(float x) {
    x = x < -87.0f ? -87.0f : x;
    float e = vec_expf(-x), s = 1.0f / (1.0f + e);
    return s * (1.0f + x * (e * s));
}

/* GELU in the tanh form (Hendrycks & Gimpel 2016), x (1 + tanh u) / 2 = x sigmoid(2u) with u = sqrt(2/pi) (x
 * + 0.044715 x^3), and its derivative s + x s (1 - s) 2u'. */
static inline float vec_gelu_tanh(float x) {
    return x / (1.0f + vec_expf(-1.5957691216057308f * (x + 0.044715f * x * x * x)));
}

static inline float vec_gelu_tanh_grad(float x) {
    float a = x < -20.0f ? -20.0f : x; /* beyond, both factors are nothing */
    a = a > 20.0f ? 20.0f : a;
    float e = vec_expf(-1.5957691216057308f * (a + 0.044715f * a * a * a)), s = 1.0f / (1.0f + e);
    e = e > 1e30f ? 1e30f : e; /* s is 0 there: not 0 times infinity */
    return s * (1.0f + a * (e * s) * 1.5957691216057308f * (1.0f + 0.134145f * a * a));
}

/* Phi(-|x|), the tail of the normal distribution: erfc(z)/2, z = |x|/sqrt(2), and erfc(z) = t exp(P(t) -
 * z^2), t = 1/(1 + z/2): the tail keeps its relative accuracy. P: degree 9, fitted to log erfc(z) + z^2 - log
 * t on t in [1/6, 1] (z <= 10) by reweighted least squares in double; largest deviation 4.6e-8. Beyond,
 * exp(-z^2) is zero. */
static inline float vec_normal_tail(float x) {
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
    return 0.5f * (t * vec_expf(p - z * z));
}

/* GELU in the exact form, x Phi(x), and its derivative Phi(x) + x phi(x). */
static inline float vec_gelu(float x) {
    float tail = x * vec_normal_tail(x);
    return x < 0.0f ? tail : x - tail;
}

static inline float vec_gelu_grad(float x) {
    float tail = vec_normal_tail(x), phi = 0.3989422804014327f * vec_expf(-0.5f * x * x);
    return (x < 0.0f ? tail : 1.0f - tail) + x * phi;
}

/* Square root, relative error <= 2e-7 for normal numbers and 0; NaN for infinity. (sqrtf sets errno, which
 * keeps loops scalar.) Newton's method for 1/sqrt from a guess of the exponent, one Heron step at the end. */
static inline float vec_sqrtf(float x) {
    VecBits g;
    g.f = x;
    g.u = 0x5F3759DFu - (g.u >> 1);
    float y = g.f, h = 0.5f * x;
    y = y * (1.5f - h * y * y);
    y = y * (1.5f - h * y * y);
    y = y * (1.5f - h * y * y);
    float s = x * y;
    return s + 0.5f * y * (x - s * s);
}

/* VEC_RNG values of a random stream, from number VEC_RNG * block on: out[i] = rng_at(seed, stream, VEC_RNG *
 * block + i). The rounds of base/rng.h over arrays, which compilers vectorise. */
enum { VEC_RNG = 256 };

static inline void vec_rng(uint32_t *out, uint64_t seed, uint64_t stream, uint64_t block) {
    enum { LANES = VEC_RNG / 4 };
    uint32_t c0[LANES], c1[LANES], c2[LANES], c3[LANES];
    uint64_t first = block * LANES; /* does not wrap in its low half: a multiple of LANES */
    for (uint32_t i = 0; i < LANES; i++) {
        c0[i] = (uint32_t)first + i;
        c1[i] = (uint32_t)(first >> 32);
        c2[i] = (uint32_t)stream;
        c3[i] = (uint32_t)(stream >> 32);
    }
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    for (int round = 0; round < 10; round++) {
#pragma omp simd
        for (int i = 0; i < LANES; i++) {
            uint64_t p0 = (uint64_t)0xD2511F53u * c0[i], p1 = (uint64_t)0xCD9E8D57u * c2[i];
            c0[i] = (uint32_t)(p1 >> 32) ^ c1[i] ^ k0;
            c2[i] = (uint32_t)(p0 >> 32) ^ c3[i] ^ k1;
            c1[i] = (uint32_t)p1;
            c3[i] = (uint32_t)p0;
        }
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
#pragma omp simd
    for (int i = 0; i < LANES; i++) {
        out[4 * i] = c0[i];
        out[4 * i + 1] = c1[i];
        out[4 * i + 2] = c2[i];
        out[4 * i + 3] = c3[i];
    }
}

#endif
