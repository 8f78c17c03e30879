/* The body of recon for three vector widths, and the choice between them. */
#include "kernels/recon/recon_cpu.h"

#include <string.h>

/* |1| with d's sign where d is not zero (NaN is not), else 0. */
#define SIGN_OF(bits, d) ((((bits)(d)&INT32_MIN) | 0x3f800000) & (bits)((d) != 0.0f))

#if defined(__x86_64__)
#include <immintrin.h>

#define LANES 16
#define TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq")))
#define NAME(x) x##_avx512
#define SIGN(d)                                                                          \
    (NAME(Vec)) _mm512_maskz_ternarylogic_epi32(                                         \
        _mm512_cmp_ps_mask((__m512)(d), _mm512_setzero_ps(), _CMP_NEQ_UQ), (__m512i)(d), \
        _mm512_set1_epi32(INT32_MIN), _mm512_set1_epi32(0x3f800000), 0xEA)
#include "kernels/recon/recon_cpu_tile.h"

#define LANES 8
#define TARGET __attribute__((target("avx2,fma")))
#define NAME(x) x##_avx2
#define SIGN(d) (NAME(Vec)) SIGN_OF(NAME(Bits), d)
#include "kernels/recon/recon_cpu_tile.h"
#endif

#define LANES 4
#define TARGET
#define NAME(x) x##_plain
#define SIGN(d) (NAME(Vec)) SIGN_OF(NAME(Bits), d)
#include "kernels/recon/recon_cpu_tile.h"

ReconBody *recon_body(const Device *dev) {
#if defined(__x86_64__)
    if (dev->avx512) return recon_item_avx512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return recon_item_avx2;
#endif
    (void)dev;
    return recon_item_plain;
}
