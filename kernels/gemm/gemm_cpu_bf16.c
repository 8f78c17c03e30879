/* bf16 products of two f32 matrices: b is packed, a rounded (and turned, where it is stored transposed), then
 * the tiles of matmul. Both copies live in scratch for the call. */
#include "kernels/gemm/gemm.h"
#include "kernels/matmul/matmul_cpu.h"

#include <string.h>

enum { CUT = 64 };

/* dst [m rows of 2*steps bf16] = a^T, a [k,m]; odd k: a zero behind. */
static void round_transposed(Device *dev, uint32_t *dst, int64_t steps, const float *a, int64_t lda,
                             int64_t m, int64_t k) {
#pragma omp parallel for num_threads(dev->n_threads) schedule(static)
    for (int64_t m0 = 0; m0 < m; m0 += CUT) {
        uint16_t cut[CUT][CUT];
        int64_t cols = m - m0 < CUT ? m - m0 : CUT;
        for (int64_t k0 = 0; k0 < k; k0 += CUT) {
            int64_t rows = k - k0 < CUT ? k - k0 : CUT, pairs = (rows + 1) / 2;
            if (rows % 2) memset(cut[rows], 0, sizeof cut[rows]);
            matmul_round_bf16(cut[0], CUT, a + k0 * lda + m0, lda, rows, cols);
            for (int64_t j = 0; j < cols; j++) {
                uint32_t *to = dst + (m0 + j) * steps + k0 / 2;
                for (int64_t s = 0; s < pairs; s++)
                    to[s] = (uint32_t)cut[2 * s][j] | (uint32_t)cut[2 * s + 1][j] << 16;
            }
        }
    }
}

Status gemm_cpu_bf16(Device *dev, float *c, int64_t ldc, const float *a, int64_t lda, const float *b,
                     int64_t m, int64_t n, int64_t k, GemmOpts opts) {
    size_t mark = arena_mark(&dev->scratch);
    int64_t steps = (k + 1) / 2;
    void *packed = arena_alloc(&dev->scratch, matmul_packed_bytes(n, k, DT_BF16));
    uint32_t *rows = arena_alloc(&dev->scratch, (size_t)(m * steps) * sizeof(uint32_t));
    if (opts.tb == TRANS)
        matmul_pack_side(dev, packed, b, DT_F32, n, k, DT_BF16, false);
    else
        matmul_pack_side(dev, packed, b, DT_F32, k, n, DT_BF16, true);
    if (opts.ta == TRANS)
        round_transposed(dev, rows, steps, a, lda, m, k);
    else
#pragma omp parallel for num_threads(dev->n_threads) schedule(static)
        for (int64_t i = 0; i < m; i++)
            matmul_round_bf16((uint16_t *)(rows + i * steps), 2 * steps, a + i * lda, lda, 1, k);
    for (int64_t i = 0; i < m && opts.bias; i++) memcpy(c + i * ldc, opts.bias, (size_t)n * sizeof(float));
    matmul_packed(dev, c, ldc, rows, steps, packed, DT_BF16, m, n, k, opts.bias || opts.beta == 1.0f);
    arena_release(&dev->scratch, mark);
    return OK;
}
