/* Operations whose CUDA body does not exist yet: the table holds a stub that returns E_UNSUPPORTED with the
 * name. Whoever adds kernels/<op>/<op>.cu deletes the row. */
#ifndef T2L_KERNELS_OPS_CUDA_MISSING_H
#define T2L_KERNELS_OPS_CUDA_MISSING_H

#define OPS_CUDA_MISSING(X) \
    X(attention_fwd)        \
    X(attention_bwd)        \
    X(attention_decode)     \
    X(cross_entropy)        \
    X(gemm)                 \
    X(lora_fwd)             \
    X(lora_bwd)             \
    X(matmul_fwd)           \
    X(matmul_bwd)           \
    X(matmul_pack)

#endif
