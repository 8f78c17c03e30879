/* The menu. One row an operation; X generates each backend's table. */
#ifndef T2L_KERNELS_OPS_H
#define T2L_KERNELS_OPS_H

#include "base/device.h"
#include "kernels/adamw/adamw.h"
#include "kernels/add/add.h"
#include "kernels/attention/attention.h"
#include "kernels/cross_entropy/cross_entropy.h"
#include "kernels/embedding/embedding.h"
#include "kernels/gelu/gelu.h"
#include "kernels/gemm/gemm.h"
#include "kernels/glu/glu.h"
#include "kernels/layernorm/layernorm.h"
#include "kernels/lora/lora.h"
#include "kernels/matmul/matmul.h"
#include "kernels/norm/norm.h"
#include "kernels/recon/recon.h"
#include "kernels/rmsnorm/rmsnorm.h"
#include "kernels/rope/rope.h"
#include "kernels/rows/rows.h"
#include "kernels/silu_dropout/silu_dropout.h"
#include "kernels/softcap/softcap.h"

#define OPS(X)          \
    X(adamw)            \
    X(add_fwd)          \
    X(attention_fwd)    \
    X(attention_bwd)    \
    X(attention_decode) \
    X(cross_entropy)    \
    X(embedding_fwd)    \
    X(gelu_fwd)         \
    X(gemm)             \
    X(glu_fwd)          \
    X(glu_bwd)          \
    X(layernorm_fwd)    \
    X(layernorm_bwd)    \
    X(lora_fwd)         \
    X(lora_bwd)         \
    X(matmul_fwd)       \
    X(matmul_bwd)       \
    X(matmul_pack)      \
    X(norm_sumsq)       \
    X(recon_delta_w)    \
    X(recon_factor)     \
    X(rmsnorm_fwd)      \
    X(rmsnorm_bwd)      \
    X(rope_table)       \
    X(rope_fwd)         \
    X(rope_bwd)         \
    X(rows_penalty)     \
    X(rows_put)         \
    X(rows_sum)         \
    X(silu_dropout_fwd) \
    X(silu_dropout_bwd) \
    X(softcap_fwd)

typedef struct Ops {
#define X(op) op##_fn *op;
    OPS(X)
#undef X
} Ops;

extern const Ops ops_cpu;

/* Opens a device. spec: "cpu", "cuda[:i]" (E_ENV where there is none, with the runtime's words) or "auto":
 * the CPU, until the backend has been run on a GPU. n_threads 0: all cores. dev owns its scratch until
 * device_close. */
Status device_open(Device *dev, const char *spec, int n_threads);
void device_close(Device *dev);

/* What it is, in a few words: "cpu, 2 threads". */
void device_describe(const Device *dev, char *out, size_t size);
/* The GPU architectures this build has code for, "80 90a 100"; NULL: it has no CUDA backend. */
const char *device_cuda_archs(void);
/* How many GPUs there are; E_ENV with the reason when none can be used. */
Status device_cuda_count(int *n);

#endif
