/* Products through cuBLASLt, shared by the bodies of matmul and gemm. Row-major as everywhere here; cuBLASLt
 * thinks in columns, so it is asked for the transposed product.
 *   c[M,N] = alpha op(a)[M,K] op(b)[K,N] + beta c        or, with a bias [N] (then beta is 0), + bias in each
 * row a, b of type `in` and c of type `out`, f32 or bf16 (in f32: out f32); products and sums in f32, without
 * TF32. beta 0: c is not read.
 *
 * The algorithm is the library's first proposal for the shape, strides, types and alignments, kept in the
 * Device: one shape, one algorithm, so the bits of a product depend on nothing else. Splitting K is allowed
 * where the parts are summed afterwards in a fixed order, not where blocks add to c as they come. */
#ifndef T2L_KERNELS_MATMUL_BLAS_CUH
#define T2L_KERNELS_MATMUL_BLAS_CUH

#include "kernels/device.cuh"

struct BlasProduct {
    int64_t m, n, k;
    const void *a, *b; /* stored [M,K] and [K,N], or transposed */
    void *c;
    int64_t lda, ldb, ldc;
    Trans ta, tb;
    DType in, out;
    float alpha, beta;
    const float *bias; /* view or NULL */
};

/* The workspace comes from dev->scratch. */
Status matmul_blas(Device *dev, const BlasProduct *p);

/* A copy of src [rows, cols] in scratch, rounded to bf16; *ld is its row stride, which suits the tensor
 * cores.
 */
Status matmul_round(Device *dev, const bf16 **copy, int64_t *ld, const float *src, int64_t lds, int64_t rows,
                    int64_t cols);

#endif
