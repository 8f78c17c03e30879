/* The f32 tiles: AVX-512 (12 x 32 sums in registers), AVX2 (6 x 16), and plain C (4 x 8) for the rest. */
#include "kernels/matmul/matmul_cpu.h"

#define INLINE static inline __attribute__((always_inline))
#define ROWS(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12)

enum { AHEAD = 2048 }; /* bytes of a panel to prefetch ahead: measured, flat from 1 to 4 KB */

#if defined(__x86_64__)
#include <immintrin.h>

#define AVX512 __attribute__((target("avx512f")))
#define AVX2 __attribute__((target("avx2,fma")))

INLINE AVX512 __mmask16 columns_mask(int64_t cols) {
    return cols >= 16 ? 0xffff : cols <= 0 ? 0 : (__mmask16)((1u << cols) - 1);
}

/* rows, panels and far are constants where this is inlined: the sums live in registers. */
INLINE AVX512 void tile_avx512(const MatmulTileArgs *t, float *c, const char *b, int64_t cols, const int rows,
                               const int panels, const bool far) {
    const int vectors = 2 * panels;
    const int64_t ldc = t->ldc, lda = t->lda, steps = t->steps, stride = t->panel_stride;
    const float *a = (const float *)(const void *)t->a;
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
        __m512 w[8];
#pragma GCC unroll 8
        for (int v = 0; v < vectors; v++) {
            const char *at = b + v / 2 * stride + v % 2 * 64;
            w[v] = _mm512_load_ps(at);
            if (!far) _mm_prefetch(at + AHEAD, _MM_HINT_T0);
        }
        if (far) {
            _mm_prefetch(next, _MM_HINT_T1);
            next += next_step;
        }
#pragma GCC unroll 12
        for (int r = 0; r < rows; r++) {
            __m512 x = _mm512_set1_ps(a[r * lda + s]);
#pragma GCC unroll 8
            for (int v = 0; v < vectors; v++)
                sum[r * vectors + v] = _mm512_fmadd_ps(w[v], x, sum[r * vectors + v]);
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

AVX512 void matmul_run_f32_avx512(const MatmulTileArgs *t) {
    float *c = t->c;
    const char *b = t->b;
#define X(r, p)                                             \
    if (t->rows == r && t->cols > (p - 1) * MATMUL_PANEL) { \
        tile_avx512(t, c, b, t->cols, r, p, false);         \
        return;                                             \
    }
    SHAPES(X)
#undef X
    for (int64_t cols = t->cols; cols > 0; cols -= MATMUL_PANEL, c += MATMUL_PANEL, b += t->panel_stride) {
        switch (t->next && t->next_parts > 1 ? t->rows + MATMUL_ROWS : t->rows) {
#define X(r)                                     \
    case r:                                      \
        tile_avx512(t, c, b, cols, r, 1, false); \
        break;                                   \
    case r + MATMUL_ROWS:                        \
        tile_avx512(t, c, b, cols, r, 1, true);  \
        break;
            ROWS(X)
#undef X
        default:
            CHECK(false, "tile of %d rows", t->rows);
        }
    }
}

void matmul_tile_f32_avx512(float *c, int64_t ldc, const uint32_t *a, int64_t lda, const char *b,
                            int64_t panel_stride, int64_t steps, int rows, int64_t cols, bool load) {
    MatmulTileArgs t = {.c = c,
                        .ldc = ldc,
                        .a = a,
                        .lda = lda,
                        .b = b,
                        .panel_stride = panel_stride,
                        .steps = steps,
                        .cols = cols,
                        .rows = rows,
                        .load = load};
    matmul_run_f32_avx512(&t);
}

/* 16 columns of one panel. */
INLINE AVX2 void tile_avx2(float *c, int64_t ldc, const float *a, int64_t lda, const float *b, int64_t steps,
                           const int rows, int64_t cols, bool load) {
    __m256 sum[12];
    float edge[16];
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++) {
        const float *from = c + r * ldc;
        if (load && cols < 16) {
            for (int j = 0; j < 16; j++) edge[j] = j < cols ? from[j] : 0;
            from = edge;
        }
        sum[2 * r] = load ? _mm256_loadu_ps(from) : _mm256_setzero_ps();
        sum[2 * r + 1] = load ? _mm256_loadu_ps(from + 8) : _mm256_setzero_ps();
    }
    for (int64_t s = 0; s < steps; s++, b += MATMUL_PANEL) {
        __m256 w0 = _mm256_load_ps(b), w1 = _mm256_load_ps(b + 8);
        _mm_prefetch((const char *)b + AHEAD, _MM_HINT_T0);
#pragma GCC unroll 6
        for (int r = 0; r < rows; r++) {
            __m256 x = _mm256_set1_ps(a[r * lda + s]);
            sum[2 * r] = _mm256_fmadd_ps(w0, x, sum[2 * r]);
            sum[2 * r + 1] = _mm256_fmadd_ps(w1, x, sum[2 * r + 1]);
        }
    }
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++) {
        float *to = cols < 16 ? edge : c + r * ldc;
        _mm256_storeu_ps(to, sum[2 * r]);
        _mm256_storeu_ps(to + 8, sum[2 * r + 1]);
        if (cols < 16)
            for (int j = 0; j < cols; j++) c[r * ldc + j] = edge[j];
    }
}

AVX2 void matmul_run_f32_avx2(const MatmulTileArgs *t) {
    const int64_t ldc = t->ldc, lda = t->lda, steps = t->steps, cols = t->cols;
    const int rows = t->rows;
    const bool load = t->load;
    for (int64_t j = 0; j < cols; j += 16) {
        const char *panel = t->b + j / MATMUL_PANEL * t->panel_stride + j % MATMUL_PANEL * 4;
        const float *w = (const float *)(const void *)panel, *a = (const float *)(const void *)t->a;
        for (int r = 0; r < rows; r += 6, a += 6 * lda) {
            float *to = t->c + r * ldc + j;
            switch (rows - r) {
            case 1:
                tile_avx2(to, ldc, a, lda, w, steps, 1, cols - j, load);
                break;
            case 2:
                tile_avx2(to, ldc, a, lda, w, steps, 2, cols - j, load);
                break;
            case 3:
                tile_avx2(to, ldc, a, lda, w, steps, 3, cols - j, load);
                break;
            case 4:
                tile_avx2(to, ldc, a, lda, w, steps, 4, cols - j, load);
                break;
            case 5:
                tile_avx2(to, ldc, a, lda, w, steps, 5, cols - j, load);
                break;
            default:
                tile_avx2(to, ldc, a, lda, w, steps, 6, cols - j, load);
                break;
            }
        }
    }
}

#endif

/* 8 columns of one panel. */
INLINE void tile_plain(float *c, int64_t ldc, const float *a, int64_t lda, const float *b, int64_t steps,
                       const int rows, int64_t cols, bool load) {
    float sum[4][8];
    for (int r = 0; r < rows; r++)
        for (int j = 0; j < 8; j++) sum[r][j] = load && j < cols ? c[r * ldc + j] : 0;
    for (int64_t s = 0; s < steps; s++, b += MATMUL_PANEL)
        for (int r = 0; r < rows; r++)
            for (int j = 0; j < 8; j++) sum[r][j] += a[r * lda + s] * b[j];
    for (int r = 0; r < rows; r++)
        for (int j = 0; j < 8; j++)
            if (j < cols) c[r * ldc + j] = sum[r][j];
}

void matmul_run_f32(const MatmulTileArgs *t) {
    const int64_t ldc = t->ldc, lda = t->lda, steps = t->steps, cols = t->cols;
    const int rows = t->rows;
    const bool load = t->load;
    for (int64_t j = 0; j < cols; j += 8) {
        const char *panel = t->b + j / MATMUL_PANEL * t->panel_stride + j % MATMUL_PANEL * 4;
        const float *w = (const float *)(const void *)panel, *a = (const float *)(const void *)t->a;
        for (int r = 0; r < rows; r += 4, a += 4 * lda) {
            float *to = t->c + r * ldc + j;
            switch (rows - r) {
            case 1:
                tile_plain(to, ldc, a, lda, w, steps, 1, cols - j, load);
                break;
            case 2:
                tile_plain(to, ldc, a, lda, w, steps, 2, cols - j, load);
                break;
            case 3:
                tile_plain(to, ldc, a, lda, w, steps, 3, cols - j, load);
                break;
            default:
                tile_plain(to, ldc, a, lda, w, steps, 4, cols - j, load);
                break;
            }
        }
    }
}
