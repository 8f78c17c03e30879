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

#define ROWS(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12)

/* rows, panels and far are constants where this is inlined: the sums live in registers. */
INLINE void tile(const MatmulTileArgs *t, float *c, const char *b, int64_t cols, const int rows,
                 const int panels, const bool far) {
    const int vectors = 2 * panels;
    const int64_t ldc = t->ldc, lda = t->lda, steps = t->steps, stride = t->panel_stride;
    const uint32_t *a = t->a;
    const char *next = far ? t->next : NULL;
    const int64_t next_step = far ? MATMUL_STEP_BYTES / t->next_parts : 0;
    __m512 sum[24];
#pragma GCC unroll 12
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 8
        for (int v = 0; v < vectors; v++) {
            float *at = c + r * ldc + 16 * v;
            sum[r * vectors + v] =
                t->load ? _mm512_maskz_loadu_ps(columns_mask(cols - 16 * v), at) : _mm512_setzero_ps();
            _mm_prefetch((const char *)at, _MM_HINT_ET0);
        }
    for (int64_t s = 0; s < steps; s++) {
        __m512bh w[8];
#pragma GCC unroll 8
        for (int v = 0; v < vectors; v++) {
            const char *at = b + v / 2 * stride + v % 2 * 64;
            w[v] = (__m512bh)_mm512_load_si512(at);
            if (!far) _mm_prefetch(at + AHEAD, _MM_HINT_T0);
        }
        if (far) {
            _mm_prefetch(next, _MM_HINT_T1);
            next += next_step;
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

/* The shapes that are compiled. Few rows: several panels at once, while there are that many. */
#define SHAPES(X) X(1, 4) X(2, 4) X(3, 4) X(4, 2) X(5, 2) X(6, 2)

TARGET void matmul_run_bf16(const MatmulTileArgs *t) {
    float *c = t->c;
    const char *b = t->b;
#define X(r, p)                                             \
    if (t->rows == r && t->cols > (p - 1) * MATMUL_PANEL) { \
        tile(t, c, b, t->cols, r, p, false);                \
        return;                                             \
    }
    SHAPES(X)
#undef X
    for (int64_t cols = t->cols; cols > 0; cols -= MATMUL_PANEL, c += MATMUL_PANEL, b += t->panel_stride) {
        switch (t->next && t->next_parts > 1 ? t->rows + MATMUL_ROWS : t->rows) {
#define X(r)                              \
    case r:                               \
        tile(t, c, b, cols, r, 1, false); \
        break;                            \
    case r + MATMUL_ROWS:                 \
        tile(t, c, b, cols, r, 1, true);  \
        break;
            ROWS(X)
#undef X
        default:
            CHECK(false, "tile of %d rows", t->rows);
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

void matmul_run_bf16(const MatmulTileArgs *t) {
    (void)t;
    CHECK(false, "no bf16 products on this CPU");
}

void matmul_round_bf16(uint16_t *dst, int64_t ldd, const float *x, int64_t ldx, int64_t n, int64_t k) {
    (void)dst, (void)ldd, (void)x, (void)ldx, (void)n, (void)k;
    CHECK(false, "no bf16 products on this CPU");
}

#endif
