/* The bf16 tile (AVX512-BF16): vdpbf16ps adds two products of bf16 to an f32 sum, 32 multiply-adds an
 * instruction, twice the rate of f32. It reads subnormals as zero and rounds sums to nearest even. */
#include "kernels/matmul/matmul_cpu.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")))
#define INLINE static inline __attribute__((always_inline)) TARGET

enum { AHEAD = 2048 }; /* bytes of a panel to prefetch ahead: measured, flat from 1 to 4 KB */

INLINE __mmask16 columns_mask(int64_t cols) {
    return cols >= 16 ? 0xffff : cols <= 0 ? 0 : (__mmask16)((1u << cols) - 1);
}

/* rows and panels are constants where this is inlined: the sums live in registers. */
INLINE void tile(float *c, int64_t ldc, const uint32_t *a, int64_t lda, const char *b, int64_t panel_stride,
                 int64_t steps, const int rows, const int panels, int64_t cols, bool load) {
    __m512 sum[24];
    const int vectors = 2 * panels;
#pragma GCC unroll 12
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 8
        for (int v = 0; v < vectors; v++)
            sum[r * vectors + v] =
                load ? _mm512_maskz_loadu_ps(columns_mask(cols - 16 * v), c + r * ldc + 16 * v)
                     : _mm512_setzero_ps();
    for (int64_t s = 0; s < steps; s++) {
        __m512bh w[8];
#pragma GCC unroll 8
        for (int v = 0; v < vectors; v++) {
            const char *at = b + v / 2 * panel_stride + v % 2 * 64;
            w[v] = (__m512bh)_mm512_load_si512(at);
            _mm_prefetch(at + AHEAD, _MM_HINT_T0);
        }
#pragma GCC unroll 12
        for (int r = 0; r < rows; r++) {
            __m512bh x = (__m512bh)_mm512_set1_epi32((int)a[r * lda + s]);
#pragma GCC unroll 8
            for (int v = 0; v < vectors; v++)
                sum[r * vectors + v] = _mm512_dpbf16_ps(sum[r * vectors + v], w[v], x);
        }
        b += MATMUL_STEP_BYTES;
    }
#pragma GCC unroll 12
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 8
        for (int v = 0; v < vectors; v++)
            _mm512_mask_storeu_ps(c + r * ldc + 16 * v, columns_mask(cols - 16 * v), sum[r * vectors + v]);
}

/* The shapes that are compiled: rows x panels. Fewer panels than a shape's most go one by one. */
#define SHAPES(X) X(1, 4) X(2, 4) X(3, 4) X(4, 2) X(5, 2) X(6, 2)
#define ROWS(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12)

TARGET void matmul_tile_bf16(float *c, int64_t ldc, const uint32_t *a, int64_t lda, const char *b,
                             int64_t panel_stride, int64_t steps, int rows, int64_t cols, bool load) {
#define X(r, p)                                                         \
    if (rows == r && cols > (p - 1) * MATMUL_PANEL) {                   \
        tile(c, ldc, a, lda, b, panel_stride, steps, r, p, cols, load); \
        return;                                                         \
    }
    SHAPES(X)
#undef X
    for (; cols > 0; cols -= MATMUL_PANEL, c += MATMUL_PANEL, b += panel_stride) {
        switch (rows) {
#define X(r)                                                            \
    case r:                                                             \
        tile(c, ldc, a, lda, b, panel_stride, steps, r, 1, cols, load); \
        break;
            ROWS(X)
#undef X
        default:
            CHECK(false, "tile of %d rows", rows);
        }
    }
}

TARGET void matmul_round_bf16(uint16_t *dst, int64_t ldd, const float *x, int64_t ldx, int64_t n, int64_t k) {
    for (int64_t i = 0; i < n; i++, dst += ldd, x += ldx) {
        int64_t j = 0;
        for (; j + 16 <= k; j += 16) /* whole vectors apart: masked stores of 16-bit lanes are slow */
            _mm256_storeu_si256((__m256i *)(void *)(dst + j),
                                (__m256i)_mm512_cvtneps_pbh(_mm512_loadu_ps(x + j)));
        for (; j < ldd; j += 16) {
            __m512 v = _mm512_maskz_loadu_ps(columns_mask(k - j), x + j);
            _mm256_mask_storeu_epi16(dst + j, columns_mask(ldd - j), (__m256i)_mm512_cvtneps_pbh(v));
        }
    }
}

#else

void matmul_tile_bf16(float *c, int64_t ldc, const uint32_t *a, int64_t lda, const char *b,
                      int64_t panel_stride, int64_t steps, int rows, int64_t cols, bool load) {
    (void)c, (void)ldc, (void)a, (void)lda, (void)b, (void)panel_stride, (void)steps, (void)rows, (void)cols;
    (void)load;
    CHECK(false, "no bf16 products on this CPU");
}

void matmul_round_bf16(uint16_t *dst, int64_t ldd, const float *x, int64_t ldx, int64_t n, int64_t k) {
    (void)dst, (void)ldd, (void)x, (void)ldx, (void)n, (void)k;
    CHECK(false, "no bf16 products on this CPU");
}

#endif
