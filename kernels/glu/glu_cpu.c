#include "kernels/ops.h"
#include "kernels/vec.h"

/* The rows of one activation: f(g) and its derivative df(g). */
#define ROWS(name, f_of, df_of)                                                                           \
    VEC_TARGETS                                                                                           \
    static void glu_fwd_row_##name(float *y, const float *g, const float *u, int64_t f) {                 \
        _Pragma("omp simd") for (int64_t j = 0; j < f; j++) y[j] = f_of(g[j]) * u[j];                     \
    }                                                                                                     \
    VEC_TARGETS                                                                                           \
    static void glu_bwd_row_##name(float *dg, float *du, const float *dy, const float *g, const float *u, \
                                   int64_t f) {                                                           \
        _Pragma("omp simd") for (int64_t j = 0; j < f; j++) {                                             \
            float gj = g[j], uj = u[j], d = dy[j];                                                        \
            dg[j] = d * uj * df_of(gj);                                                                   \
            du[j] = d * f_of(gj);                                                                         \
        }                                                                                                 \
    }

ROWS(silu, vec_silu, vec_silu_grad)
ROWS(gelu_tanh, vec_gelu_tanh, vec_gelu_tanh_grad)
ROWS(gelu, vec_gelu, vec_gelu_grad)

typedef void FwdRow(float *y, const float *g, const float *u, int64_t f);
typedef void BwdRow(float *dg, float *du, const float *dy, const float *g, const float *u, int64_t f);

static FwdRow *fwd_row(GluAct act) {
    return act == GLU_SILU ? glu_fwd_row_silu : act == GLU_GELU ? glu_fwd_row_gelu : glu_fwd_row_gelu_tanh;
}

static BwdRow *bwd_row(GluAct act) {
    return act == GLU_SILU ? glu_bwd_row_silu : act == GLU_GELU ? glu_bwd_row_gelu : glu_bwd_row_gelu_tanh;
}

Status glu_fwd_cpu(Device *dev, void *yv, int64_t ldy, const void *guv, int64_t ldgu, DType type, int64_t n,
                   int64_t f, GluAct act) {
    if (type != DT_F32) return device_unsupported(dev, "glu_fwd", type);
    float *y = yv;
    const float *gu = guv;
    FwdRow *row = fwd_row(act);
#pragma omp parallel for num_threads(dev->n_threads) schedule(static) if (n > 1)
    for (int64_t i = 0; i < n; i++) row(y + i * ldy, gu + i * ldgu, gu + i * ldgu + f, f);
    return OK;
}

Status glu_bwd_cpu(Device *dev, void *dguv, int64_t lddgu, const void *dyv, int64_t lddy, const void *guv,
                   int64_t ldgu, DType type, int64_t n, int64_t f, GluAct act) {
    if (type != DT_F32) return device_unsupported(dev, "glu_bwd", type);
    float *dgu = dguv;
    const float *dy = dyv, *gu = guv;
    BwdRow *row = bwd_row(act);
#pragma omp parallel for num_threads(dev->n_threads) schedule(static) if (n > 1)
    for (int64_t i = 0; i < n; i++)
        row(dgu + i * lddgu, dgu + i * lddgu + f, dy + i * lddy, gu + i * ldgu, gu + i * ldgu + f, f);
    return OK;
}
