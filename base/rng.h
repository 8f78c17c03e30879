/* Counter-based random numbers: Philox4x32-10 (Salmon et al., SC 2011), the same on every backend.
 * A value depends only on (seed, stream, index): resuming, threading and batching cannot change it. */
#ifndef T2L_BASE_RNG_H
#define T2L_BASE_RNG_H

#include <stdint.h>

#if defined(__CUDACC__)
#define RNG_FN static inline __host__ __device__
#else
#define RNG_FN static inline
#endif

typedef struct Philox4 {
    uint32_t v[4];
} Philox4;

/* The block at 128-bit counter (index, stream) under 64-bit key seed. */
RNG_FN Philox4 philox(uint64_t seed, uint64_t stream, uint64_t index) {
    uint32_t c0 = (uint32_t)index, c1 = (uint32_t)(index >> 32), c2 = (uint32_t)stream,
             c3 = (uint32_t)(stream >> 32);
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0, n2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        c0 = n0;
        c2 = n2;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    Philox4 out = {{c0, c1, c2, c3}};
    return out;
}

/* Uniform in [0,1) with 24 bits. */
RNG_FN float rng_unit(uint32_t bits) {
    return (float)(bits >> 8) * (1.0f / 16777216.0f);
}

/* The 32-bit value number `index` of a stream: what kernels use for element `index` of a mask or noise. */
RNG_FN uint32_t rng_at(uint64_t seed, uint64_t stream, uint64_t index) {
    return philox(seed, stream, index >> 2).v[index & 3];
}

/* A sequential reader of one stream, for host code (data generation, sampling, initialisation). Its whole
 * state is `next`, so saving and restoring a stream is saving an integer. */
typedef struct Rng {
    uint64_t seed, stream, next; /* next: index of the next 32-bit value */
} Rng;

RNG_FN Rng rng_make(uint64_t seed, uint64_t stream) {
    Rng r = {seed, stream, 0};
    return r;
}

RNG_FN uint32_t rng_u32(Rng *r) {
    return rng_at(r->seed, r->stream, r->next++);
}

/* Uniform in [0, n) without modulo bias (rejection). n > 0. */
RNG_FN uint32_t rng_below(Rng *r, uint32_t n) {
    uint32_t limit = (uint32_t)(-(int64_t)n) % n; /* 2^32 mod n */
    uint32_t x;
    do x = rng_u32(r);
    while (x < limit);
    return x % n;
}

/* Uniform in [0,1). */
RNG_FN float rng_float(Rng *r) {
    return rng_unit(rng_u32(r));
}

#endif
