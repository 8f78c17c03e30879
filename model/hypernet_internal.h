/* What the files of the hypernetwork share: the layout of the flat span, saved activations, and the copies
 * and sums of rows between blocks. Not for other files. */
#ifndef T2L_MODEL_HYPERNET_INTERNAL_H
#define T2L_MODEL_HYPERNET_INTERNAL_H

#include "kernels/ops.h"
#include "model/hypernet.h"

/* The table of parameters: slot, name, rows, columns (0: a vector), fill, fan-in. A weight's bias is the next
 * slot. D width of the trunk, C of an encoded task, E embed, H head, L layers, M modules, r rank; P hidden
 * and Z output width of the task encoder's MLP, K codes. */
#define HYPERNET_TASK_LINEAR(X)                                    \
    X(TASK_W, "task_encoder.mlp.0.weight", C, E, FILL_UNIFORM, E)  \
    X(TASK_B, "task_encoder.mlp.0.bias", C, 0, FILL_UNIFORM, E)    \
    X(TASK_NORM_W, "task_encoder.mlp.1.weight", C, 0, FILL_ONE, 0) \
    X(TASK_NORM_B, "task_encoder.mlp.1.bias", C, 0, FILL_ZERO, 0)
#define HYPERNET_TASK_MLP(X)                                       \
    X(TASK_W1, "task_encoder.mlp.0.weight", P, E, FILL_UNIFORM, E) \
    X(TASK_B1, "task_encoder.mlp.0.bias", P, 0, FILL_UNIFORM, E)   \
    X(TASK_W2, "task_encoder.mlp.3.weight", Z, P, FILL_UNIFORM, P) \
    X(TASK_B2, "task_encoder.mlp.3.bias", Z, 0, FILL_UNIFORM, P)
#define HYPERNET_TASK_CODES(X) X(TASK_CODES, "task_encoder.embed", K, C, FILL_NORMAL, 0)
#define HYPERNET_TASK_NORM(X)                                   \
    X(CODE_NORM_W, "task_encoder.ln.weight", C, 0, FILL_ONE, 0) \
    X(CODE_NORM_B, "task_encoder.ln.bias", C, 0, FILL_ZERO, 0)
#define HYPERNET_PLACES(X)                                                 \
    X(DEPTH, "layer_depth_encoder.0.weight", L, D / 4, FILL_NORMAL, 0)     \
    X(DEPTH_NORM_W, "layer_depth_encoder.1.weight", D / 4, 0, FILL_ONE, 0) \
    X(DEPTH_NORM_B, "layer_depth_encoder.1.bias", D / 4, 0, FILL_ZERO, 0)  \
    X(TYPE, "layer_type_encoder.0.weight", M, D / 4, FILL_NORMAL, 0)       \
    X(TYPE_NORM_W, "layer_type_encoder.1.weight", D / 4, 0, FILL_ONE, 0)   \
    X(TYPE_NORM_B, "layer_type_encoder.1.bias", D / 4, 0, FILL_ZERO, 0)
#define HYPERNET_TRUNK(X)                                          \
    X(MIXER_W1, "mixer.1.weight", 4 * D, D, FILL_UNIFORM, D)       \
    X(MIXER_B1, "mixer.1.bias", 4 * D, 0, FILL_UNIFORM, D)         \
    X(MIXER_W2, "mixer.4.weight", D, 4 * D, FILL_UNIFORM, 4 * D)   \
    X(MIXER_B2, "mixer.4.bias", D, 0, FILL_UNIFORM, 4 * D)         \
    X(MLP1_NORM_W, "mlp1.mlp.0.weight", D, 0, FILL_ONE, 0)         \
    X(MLP1_NORM_B, "mlp1.mlp.0.bias", D, 0, FILL_ZERO, 0)          \
    X(MLP1_W1, "mlp1.mlp.1.weight", 4 * D, D, FILL_UNIFORM, D)     \
    X(MLP1_B1, "mlp1.mlp.1.bias", 4 * D, 0, FILL_UNIFORM, D)       \
    X(MLP1_W2, "mlp1.mlp.4.weight", D, 4 * D, FILL_UNIFORM, 4 * D) \
    X(MLP1_B2, "mlp1.mlp.4.bias", D, 0, FILL_UNIFORM, 4 * D)       \
    X(MLP2_NORM_W, "mlp2.mlp.0.weight", D, 0, FILL_ONE, 0)         \
    X(MLP2_NORM_B, "mlp2.mlp.0.bias", D, 0, FILL_ZERO, 0)          \
    X(MLP2_W1, "mlp2.mlp.1.weight", 4 * D, D, FILL_UNIFORM, D)     \
    X(MLP2_B1, "mlp2.mlp.1.bias", 4 * D, 0, FILL_UNIFORM, D)       \
    X(MLP2_W2, "mlp2.mlp.4.weight", D, 4 * D, FILL_UNIFORM, 4 * D) \
    X(MLP2_B2, "mlp2.mlp.4.bias", D, 0, FILL_UNIFORM, 4 * D)       \
    X(MLP3_NORM_W, "mlp3.0.weight", D, 0, FILL_ONE, 0)             \
    X(MLP3_NORM_B, "mlp3.0.bias", D, 0, FILL_ZERO, 0)              \
    X(MLP3_W1, "mlp3.1.weight", 4 * D, D, FILL_UNIFORM, D)         \
    X(MLP3_B1, "mlp3.1.bias", 4 * D, 0, FILL_UNIFORM, D)           \
    X(MLP3_W2, "mlp3.4.weight", H, 4 * D, FILL_UNIFORM, 4 * D)     \
    X(MLP3_B2, "mlp3.4.bias", H, 0, FILL_UNIFORM, 4 * D)
/* Sizes M and S; before them stand out_emb.<module>.A and .B, one after the other. */
#define HYPERNET_FACTORS(X)                                    \
    X(FACTOR_NORM_W, "out_emb_norm.weight", D, 0, FILL_ONE, 0) \
    X(FACTOR_NORM_B, "out_emb_norm.bias", D, 0, FILL_ZERO, 0)
/* Size S with learned rank positions. */
#define HYPERNET_RANKS(X)                                 \
    X(RANK, "pos_emb.0.weight", r, D, FILL_NORMAL, 0)     \
    X(RANK_NORM_W, "pos_emb.1.weight", D, 0, FILL_ONE, 0) \
    X(RANK_NORM_B, "pos_emb.1.bias", D, 0, FILL_ZERO, 0)

typedef enum Slot {
#define X(slot, name, rows, columns, fill, fan) slot,
    HYPERNET_TASK_LINEAR(X) HYPERNET_TASK_MLP(X) HYPERNET_TASK_CODES(X) HYPERNET_TASK_NORM(X)
        HYPERNET_PLACES(X) HYPERNET_TRUNK(X) HYPERNET_FACTORS(X) HYPERNET_RANKS(X)
#undef X
            N_SLOTS
} Slot;

/* Buffers of ENCODER_VQ, [C, codes] and [codes]: the codebook is averages / counts. */
#define HYPERNET_BUFFERS(X)                         \
    X(VQ_CODES, "task_encoder.embed", C, K)         \
    X(VQ_COUNTS, "task_encoder.cluster_size", K, 0) \
    X(VQ_AVERAGES, "task_encoder.embed_avg", C, K)
typedef enum Buffer {
#define X(slot, name, rows, columns) slot,
    HYPERNET_BUFFERS(X)
#undef X
        N_BUFFERS
} Buffer;

/* What the task encoder decides: the trunk's input is task | depth | type. */
typedef struct HypernetWidths {
    int64_t task, depth, type, trunk; /* trunk: their sum */
    int64_t hidden, out;              /* of the encoder's MLP; 0: none */
    int64_t codes;                    /* K; 0: none */
} HypernetWidths;
HypernetWidths hypernet_widths(const HypernetConfig *cfg);

/* Offsets into the flat span; -1 for what a configuration does not have. */
typedef struct HypernetLayout {
    int64_t at[N_SLOTS];
    int64_t factors;                                    /* [2M, D]: out_emb of every module, A then B */
    int64_t head_w[LORA_MODULES], head_b[LORA_MODULES]; /* by index into cfg.modules */
    int64_t n_trunk;                                    /* heads begin here */
    int64_t offset;                                     /* learned offset, as HypernetOutput.shift */
    int64_t buffer_at[N_BUFFERS];                       /* into the span of buffers; -1 without */
    int64_t n_params, n_buffer_numbers;
    int n_tensors, n_buffers;
} HypernetLayout;

/* Walks the table: measures, and with tensors (NULL: not wanted) writes its rows. cfg has been checked. */
void hypernet_layout(HypernetLayout *out, HypernetTensor *tensors, const HypernetConfig *cfg);
/* Fills params from the counter streams of seed. */
void hypernet_fill(Hypernet *hn, Device *dev, bool sft_start, uint64_t seed);
/* Numbers a head gives for one row of its input; a row of A or B^T is `row` of them apart (sizes M, S). */
int64_t hypernet_head_width(const HypernetConfig *cfg, LoraModule m);
int64_t hypernet_head_row(const HypernetConfig *cfg, LoraModule m);

/* One two-layer block's activations, [n, ...]. Inference: a1 is h1. */
typedef struct MlpActs {
    float *xn, *stats; /* [n,D] normalised (or dropped-out) input; [n,2] */
    float *h1, *a1;    /* [n,4D] */
    float *h2, *y;     /* [n,D] or [n,H] */
} MlpActs;

typedef struct HypernetActs {
    HypernetLayout at;
    HypernetRun run;
    int64_t tasks;               /* T of the last forward */
    int32_t *index, *host_index; /* row numbers, on the device and [owns] on the host; for `numbered` tasks */
    int64_t numbered;
    float *ones; /* [largest number of rows] of 1: sums over rows are products with it */
    float *e, *task_h, *task, *task_stats; /* [T,E] [T,C] [T,C] [T,2]; task_h: the norm's input */
    float *task_h1, *task_a1, *task_z;     /* [T,hidden] [T,hidden] [T,out]: the task encoder's MLP */
    float *task_p, *task_q;                /* [T,out] softmax of task_z; [T,C] each task's code */
    float *task_dh, *task_dz;              /* [T,hidden] [T,out] */
    float *depth, *depth_stats, *type, *type_stats, *factor, *factor_stats, *rank, *rank_stats;
    float *x0;     /* [N0,D], N0 = M*T*L rows (m, t, l) */
    float *v;      /* [N1,D], N1 = 2*N0 rows (m, A or B, t, l): mlp1's output plus the factor's embedding */
    float *s;      /* [N2,D], size S, N2 = N1*r rows (m, A or B, t, l, i): with rank positions */
    float *rotary; /* [r, D/2, 2] cos and sin */
    MlpActs mixer, mlp1, mlp2, mlp2_ranks, mlp3;
    float *z[LORA_MODULES], *dz[LORA_MODULES]; /* by index into cfg.modules; head outputs and gradients */
    float *wide, *ga, *gb, *gt;                /* gradients in flight: [N2,4D], three of [N2,max(D,H)] */
    float *small;                              /* gradients of task, depth, type, factor and rank rows */
} HypernetActs;

/* hypernet.c. y [n,out] = x [n,in] W^T + b. b NULL: none. */
Status hypernet_linear_fwd(const Hypernet *hn, Device *dev, float *y, const float *x, const float *w,
                           const float *b, int64_t n, int64_t in, int64_t out);
/* dW [out,in] += dy^T x, db [out] += column sums of dy. */
Status hypernet_linear_bwd_weight(const Hypernet *hn, Device *dev, float *dw, float *db, const float *dy,
                                  const float *x, int64_t n, int64_t in, int64_t out);
/* dx [n,in] = dy [n,out] W. */
Status hypernet_linear_bwd_input(const Hypernet *hn, Device *dev, float *dx, const float *dy, const float *w,
                                 int64_t n, int64_t in, int64_t out);
Status hypernet_norm_fwd(const Hypernet *hn, Device *dev, float *y, float *stats, const float *x, int slot,
                         int64_t n, int64_t c);
Status hypernet_norm_bwd(const Hypernet *hn, Device *dev, float *dx, const float *dy, const float *x,
                         float *stats, int slot, int64_t n, int64_t c);
SiluDropoutOpts hypernet_dropout(const Hypernet *hn, unsigned site, bool on);

/* hypernet_task.c. s->task [T,C] from s->e; in training of ENCODER_VQ the codebook moves and hn->commitment
 * is set. */
Status hypernet_task_fwd(Hypernet *hn, Device *dev);
/* dtask [T,C], overwritten; parameter gradients are added to. d_embeddings as in hypernet_backward. */
Status hypernet_task_bwd(const Hypernet *hn, Device *dev, float *dtask, Tensor d_embeddings);

/* Copies and sums of rows (hypernet_rows.c). Threads own rows; every sum runs in double, in order. */

/* y[(j,i)] = x[j] + e[i], i < r: x [n,D], e [r,D], y [n*r,D]. */
void rows_add_rank(Device *dev, float *y, const float *x, const float *e, int64_t n, int64_t r, int64_t d);
/* cos and sin of angle i * theta^(-2k/D), i < r, k < D/2. */
void rotary_table(float *cs, int64_t r, int64_t d);
/* y[(j,i)] = x[j] turned by rank i's angles (half-split pairs k, k+D/2): x [n,D], y [n*r,D]. */
void rows_rotate(Device *dev, float *y, const float *x, const float *cs, int64_t n, int64_t r, int64_t d);
/* The transpose: dx[j] = sum over i of dy[(j,i)] turned back. */
void rows_rotate_back(Device *dev, float *dx, const float *dy, const float *cs, int64_t n, int64_t r,
                      int64_t d);

#endif
