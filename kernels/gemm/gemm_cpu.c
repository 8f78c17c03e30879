/* One single-threaded cblas_sgemm a tile of c; threads share out the tiles. Tile sizes depend on the shape
 * alone. A tile's inner size is not split: its order of summation is OpenBLAS's. */
#include "kernels/gemm/gemm.h"

#include <cblas.h>
#include <string.h>

/* chosen: tile sizes by measurement (tests/bench/bench_hypernet); small products get small tiles so that
 * there is something to share out */
enum { TILE_M = 256, TILE_N = 512, SMALL_M = 128, SMALL_N = 256, FEW_TILES = 8 };

static int64_t ceil_div(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}

gemm_fn gemm_cpu;

Status gemm_cpu(Device *dev, float *c, int64_t ldc, const float *a, int64_t lda, const float *b, int64_t ldb,
                int64_t m, int64_t n, int64_t k, GemmOpts opts) {
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
        int64_t rows = m - i < tile_m ? m - i : tile_m, cols = n - j < tile_n ? n - j : tile_n;
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
    return OK;
}
