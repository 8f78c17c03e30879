/* Between the parts of the CPU matmul. A packed matrix B [K,N] is panels of 32 columns, each panel a run of
 * steps of 128 bytes: one row of 32 floats (F32), or two rows of 32 bf16, interleaved (BF16). The other
 * operand A is rows of 4-byte steps: a float, or a pair of bf16. Missing rows and columns are zeros. Both
 * types so share one layout, one driver and one blocking. */
#ifndef T2L_KERNELS_MATMUL_CPU_H
#define T2L_KERNELS_MATMUL_CPU_H

#include "kernels/matmul/matmul.h"

enum {
    MATMUL_PANEL = 32,       /* columns */
    MATMUL_STEP_BYTES = 128, /* of a panel */
    MATMUL_ROWS = 12         /* at most, in one tile: 12 x 32 f32 sums are 24 of the 32 registers */
};

/* c[rows,cols] = (load ? c : 0) + A B. A: rows `lda` steps apart. B: ceil(cols / 32) panels `panel_stride`
 * bytes apart. Every sum runs over the steps one by one, whatever rows and cols are: a row's bits depend on
 * that row only. next (or NULL): memory to bring nearer meanwhile, MATMUL_STEP_BYTES / next_parts of it for
 * every step. */
typedef struct MatmulTileArgs {
    float *c;
    int64_t ldc;
    const uint32_t *a;
    int64_t lda;
    const char *b;
    int64_t panel_stride, steps, cols;
    const char *next;
    int64_t next_parts;
    int rows;
    bool load;
} MatmulTileArgs;
typedef void MatmulTile(const MatmulTileArgs *t);

MatmulTile matmul_run_f32;        /* any CPU */
MatmulTile matmul_run_f32_avx2;   /* AVX2, FMA */
MatmulTile matmul_run_f32_avx512; /* AVX512 F */
MatmulTile matmul_run_bf16;       /* AVX512 F BW VL DQ BF16 */

/* matmul_run_f32_avx512 with its arguments one by one, for gemm. */
void matmul_tile_f32_avx512(float *c, int64_t ldc, const uint32_t *a, int64_t lda, const char *b,
                            int64_t panel_stride, int64_t steps, int rows, int64_t cols, bool load);

/* dst [n rows of ldd bf16] = x [n, k] rounded to nearest even; columns k..ldd-1 are set to zero. */
void matmul_round_bf16(uint16_t *dst, int64_t ldd, const float *x, int64_t ldx, int64_t n, int64_t k);

/* Bytes of B [inner, columns] packed. */
size_t matmul_packed_bytes(int64_t columns, int64_t inner, DType dtype);
/* Packs one side of w [n,k] (f32 or bf16) into out: B = w^T, or with bwd B = w. */
void matmul_pack_side(Device *dev, void *out, const void *w, DType w_dtype, int64_t n, int64_t k, DType dtype,
                      bool bwd);
/* c[m,n] (+)= A B, A [m,k] rows `lda` steps apart, B [k,n] packed. */
void matmul_packed(Device *dev, float *c, int64_t ldc, const uint32_t *a, int64_t lda, const void *b,
                   DType dtype, int64_t m, int64_t n, int64_t k, bool accumulate);

#endif
