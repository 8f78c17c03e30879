/* Two bodies. With AVX-512: both operands are laid out for the matmul tile (kernels/matmul), once, then
 * threads share out blocks of c; OpenBLAS up to 0.3.21 takes new AMD processors for AVX2 machines and gives
 * half of that. Otherwise, and for a handful of rows: one single-threaded cblas_sgemm a block of c. Blocks
 * depend on the shape alone. In the first body a number of c is one sum over k in order, whatever the block.
 */
#include "kernels/gemm/gemm.h"
#include "kernels/matmul/matmul_cpu.h"

#include <cblas.h>
#include <string.h>

enum {
    TILE_M = 256, /* cblas: a block of c; measured (tests/bench/bench_hypernet) */
    TILE_N = 512,
    SMALL_M = 128, /* for small products, so that there is something to share out */
    SMALL_N = 256,
    FEW_TILES = 8,
    FEW_ROWS = 8,  /* below, laying out b costs more than it gains */
    BLOCK_M = 240, /* tiles: rows a block: 20 tiles of 12; with BLOCK_K, 240 KB of a in L2 */
    BLOCK_N = 512,
    BLOCK_K = 256, /* a panel of b is then 32 KB and stays in L1 */
    CHUNK = 64     /* rows of a transposed at a time */
};

static int64_t ceil_div(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}
static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static void gemm_cblas(Device *dev, float *c, int64_t ldc, const float *a, int64_t lda, const float *b,
                       int64_t ldb, int64_t m, int64_t n, int64_t k, GemmOpts opts) {
    int64_t tile_m = TILE_M, tile_n = TILE_N;
    if (ceil_div(m, tile_m) * ceil_div(n, tile_n) < FEW_TILES) {
        tile_m = SMALL_M;
        tile_n = SMALL_N;
    }
    int64_t across = ceil_div(n, tile_n), tiles = ceil_div(m, tile_m) * across;
    CHECK(lda <= INT32_MAX && ldb <= INT32_MAX && ldc <= INT32_MAX && k <= INT32_MAX,
          "gemm: size beyond 2^31");
#pragma omp parallel for num_threads(dev->n_threads) schedule(dynamic, 1) if (tiles > 1)
    for (int64_t t = 0; t < tiles; t++) {
        int64_t i = t / across * tile_m, j = t % across * tile_n;
        int64_t rows = least(m - i, tile_m), cols = least(n - j, tile_n);
        float *ct = c + i * ldc + j, beta = opts.beta;
        if (opts.bias) {
            for (int64_t row = 0; row < rows; row++)
                memcpy(ct + row * ldc, opts.bias + j, (size_t)cols * sizeof(float));
            beta = 1.0f;
        }
        cblas_sgemm(CblasRowMajor, opts.ta == TRANS ? CblasTrans : CblasNoTrans,
                    opts.tb == TRANS ? CblasTrans : CblasNoTrans, (int)rows, (int)cols, (int)k, opts.alpha,
                    opts.ta == TRANS ? a + i : a + i * lda, (int)lda, opts.tb == TRANS ? b + j * ldb : b + j,
                    (int)ldb, beta, ct, (int)ldc);
    }
}

#if defined(__x86_64__)
#include <immintrin.h>

/* dst[j,i] = alpha * src[i,j] for 16 x 16 numbers. */
__attribute__((target("avx512f"))) static void transpose16(float *dst, int64_t ldd, const float *src,
                                                           int64_t lds, float alpha) {
    __m512 r[16], t[16], scale = _mm512_set1_ps(alpha);
    for (int i = 0; i < 16; i++) r[i] = _mm512_mul_ps(scale, _mm512_loadu_ps(src + i * lds));
    for (int i = 0; i < 16; i += 2) { /* pairs of rows, then fours: 4 x 4 blocks are done */
        t[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
    }
    for (int i = 0; i < 16; i += 4)
        for (int k = 0; k < 2; k++) {
            __m512d lo = _mm512_castps_pd(t[i + k]), hi = _mm512_castps_pd(t[i + k + 2]);
            r[i + 2 * k] = _mm512_castpd_ps(_mm512_unpacklo_pd(lo, hi));
            r[i + 2 * k + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(lo, hi));
        }
    /* r[4a+k], quarter c: column 4c+k of rows 4a..4a+3; quarters change places */
    for (int k = 0; k < 4; k++) {
        __m512 a = _mm512_shuffle_f32x4(r[k], r[4 + k], 0x88), b = _mm512_shuffle_f32x4(r[k], r[4 + k], 0xdd);
        __m512 c = _mm512_shuffle_f32x4(r[8 + k], r[12 + k], 0x88),
               d = _mm512_shuffle_f32x4(r[8 + k], r[12 + k], 0xdd);
        _mm512_storeu_ps(dst + k * ldd, _mm512_shuffle_f32x4(a, c, 0x88));
        _mm512_storeu_ps(dst + (4 + k) * ldd, _mm512_shuffle_f32x4(b, d, 0x88));
        _mm512_storeu_ps(dst + (8 + k) * ldd, _mm512_shuffle_f32x4(a, c, 0xdd));
        _mm512_storeu_ps(dst + (12 + k) * ldd, _mm512_shuffle_f32x4(b, d, 0xdd));
    }
}

/* dst[j,i] = alpha * src[i,j], i < rows, j < cols. */
static void transpose(float *dst, int64_t ldd, const float *src, int64_t lds, int64_t rows, int64_t cols,
                      float alpha) {
    for (int64_t j = 0; j < cols; j += 16)
        for (int64_t i = 0; i < rows; i += 16) {
            if (rows - i >= 16 && cols - j >= 16) {
                transpose16(dst + j * ldd + i, ldd, src + i * lds + j, lds, alpha);
                continue;
            }
            for (int64_t jj = j; jj < least(cols, j + 16); jj++)
                for (int64_t ii = i; ii < least(rows, i + 16); ii++)
                    dst[jj * ldd + ii] = alpha * src[ii * lds + jj];
        }
}

/* Columns [j, j+32) of op(b), rows [from, to), into their panel; alpha goes in here. */
static void pack_b(float *panel, const float *b, int64_t ldb, int64_t j, int64_t n, int64_t from, int64_t to,
                   GemmOpts opts) {
    int64_t cols = least(n - j, MATMUL_PANEL);
    float alpha = opts.alpha;
    if (opts.tb == TRANS)
        transpose(panel + from * MATMUL_PANEL, MATMUL_PANEL, b + j * ldb + from, ldb, cols, to - from, alpha);
    for (int64_t p = from; p < to; p++) {
        float *row = panel + p * MATMUL_PANEL;
        if (opts.tb == NO_TRANS)
            for (int64_t i = 0; i < cols; i++) row[i] = alpha * b[p * ldb + j + i];
        for (int64_t i = cols; i < MATMUL_PANEL; i++) row[i] = 0.0f;
    }
}

/* One block of c, before any product: what the sums start from. Returns whether they do (else from zero). */
static bool start_block(float *c, int64_t ldc, int64_t rows, int64_t cols, const float *bias, float beta) {
    if (!bias && beta == 0.0f) return false;
    for (int64_t i = 0; i < rows && (bias || beta != 1.0f); i++)
        for (int64_t j = 0; j < cols; j++) c[i * ldc + j] = bias ? bias[j] : beta * c[i * ldc + j];
    return true;
}

static void block(float *c, int64_t ldc, const float *a, int64_t lda, const float *panels, int64_t k,
                  int64_t rows, int64_t cols, bool load) {
    for (int64_t p = 0; p < k; p += BLOCK_K)
        for (int64_t j = 0; j < cols; j += MATMUL_PANEL)
            for (int64_t i = 0; i < rows; i += MATMUL_ROWS)
                matmul_tile_f32_avx512(
                    c + i * ldc + j, ldc, (const uint32_t *)(const void *)(a + i * lda + p), lda,
                    (const char *)(panels + j * k + p * MATMUL_PANEL), k * MATMUL_STEP_BYTES,
                    least(k - p, BLOCK_K), (int)least(rows - i, MATMUL_ROWS), least(cols - j, MATMUL_PANEL),
                    load || p > 0);
}

static void gemm_tiles(Device *dev, float *c, int64_t ldc, const float *a, int64_t lda, const float *b,
                       int64_t ldb, int64_t m, int64_t n, int64_t k, GemmOpts opts) {
    size_t mark = arena_mark(&dev->scratch);
    int64_t n_panels = ceil_div(n, MATMUL_PANEL), across = ceil_div(n, BLOCK_N);
    int64_t blocks = ceil_div(m, BLOCK_M) * across, chunks = ceil_div(k, BLOCK_K);
    float *panels = arena_f32(&dev->scratch, n_panels * MATMUL_PANEL * k);
    float *rows_of_a = opts.ta == TRANS ? arena_f32(&dev->scratch, m * k) : NULL;
    const float *at = rows_of_a ? rows_of_a : a;
    int64_t ldat = rows_of_a ? k : lda;
#pragma omp parallel num_threads(dev->n_threads) if (m * n * k > 1 << 16)
    {
#pragma omp for schedule(static) nowait
        for (int64_t t = 0; t < n_panels * chunks; t++) {
            int64_t j = t / chunks * MATMUL_PANEL, p = t % chunks * BLOCK_K;
            pack_b(panels + j * k, b, ldb, j, n, p, least(k, p + BLOCK_K), opts);
        }
#pragma omp for schedule(static)
        for (int64_t i = 0; i < (rows_of_a ? m : 0); i += CHUNK)
            transpose(rows_of_a + i * k, k, a + i, lda, k, least(m - i, CHUNK), 1.0f);
#pragma omp for schedule(dynamic, 1)
        for (int64_t t = 0; t < blocks; t++) {
            int64_t i = t / across * BLOCK_M, j = t % across * BLOCK_N;
            int64_t rows = least(m - i, BLOCK_M), cols = least(n - j, BLOCK_N);
            bool load =
                start_block(c + i * ldc + j, ldc, rows, cols, opts.bias ? opts.bias + j : NULL, opts.beta);
            block(c + i * ldc + j, ldc, at + i * ldat, ldat, panels + j * k, k, rows, cols, load);
        }
    }
    arena_release(&dev->scratch, mark);
}

#endif

gemm_fn gemm_cpu;

Status gemm_cpu(Device *dev, float *c, int64_t ldc, const float *a, int64_t lda, const float *b, int64_t ldb,
                int64_t m, int64_t n, int64_t k, GemmOpts opts) {
    if (opts.dtype == DT_BF16) return gemm_cpu_bf16(dev, c, ldc, a, lda, b, m, n, k, opts);
#if defined(__x86_64__)
    if (dev->avx512 && m >= FEW_ROWS && k > 0) {
        gemm_tiles(dev, c, ldc, a, lda, b, ldb, m, n, k, opts);
        return OK;
    }
#endif
    gemm_cblas(dev, c, ldc, a, lda, b, ldb, m, n, k, opts);
    return OK;
}
