/* y[n,c] = scale * table[ids[n],c] + noise            table [V,C] f32 or bf16; y [N,C] f32 overwritten; ids
 * [N] i32 noise: uniform in +-amplitude from (seed, stream, n*C + c); amplitude 0 = none. NEFTune (Jain et
 * al. 2023) sets amplitude = alpha / sqrt(T*C), T the longest sequence of the batch. ids outside [0,V) are a
 * broken invariant. */
#ifndef T2L_KERNELS_EMBEDDING_H
#define T2L_KERNELS_EMBEDDING_H

#include "base/device.h"

typedef struct EmbeddingOpts {
    float scale; /* 1 but for models that scale their embeddings */
    float noise; /* amplitude */
    uint64_t seed, stream;
} EmbeddingOpts;

Status embedding_fwd(Device *dev, Tensor y, const int32_t *ids, Tensor table, EmbeddingOpts opts);

typedef Status embedding_fwd_fn(Device *dev, float *y, int64_t ldy, const int32_t *ids, const void *table,
                                DType dtype, int64_t n, int64_t c, int64_t v, EmbeddingOpts opts);

#endif
