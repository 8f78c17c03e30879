/* Times every operation on a GPU, on the shapes of Mistral-7B with random numbers, against two roofs measured
 * in the same run: a copy within the device's memory and a product of two large bf16 matrices (f32: another).
 *   bench_cuda [--json FILE]    a table; exit 4 without a GPU, 1 when an operation failed
 *   bench_cuda --predict        the same operations without a GPU: what they move and the time predicted from
 * it (kernels/PREDICTED.md) One function an operation takes its operands from two pools and counts them: read
 * once, written once. What it counted is the prediction and the divisor of the measurement. The pools are
 * several times as large as an L2 cache and are gone through in turn, so operands come from memory. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/rng.h"
#include "kernels/ops.h"

enum {
    C = 4096, /* Mistral-7B-v0.2: width, */
    HEADS = 32,
    GROUPS = 8,
    D = 128,
    QKV = (HEADS + 2 * GROUPS) * D,
    FFN = 14336,
    VOCAB = 32000,
    LAYERS = 32,
    N = 2048, /* an SFT step: tokens, of */
    SEQS = 8,
    LABELLED = 512,
    RANK = 8,
    ITEMS = 4 * LAYERS, /* a reconstruction step */
    DECODES = 256,
    CONTEXT = 400,
    LATENT = 128, /* hypernetwork, size M: its width, its head's input */
    HEAD_IN = 512,
    ENCODER = 1024, /* gte-large: width, */
    ENCODER_FFN = 4096,
    LARGE = 8192 /* of the product that is the roof */
};
static const int64_t PARAMS = 55424000; /* hypernetwork, size L (method: "55M") */

/* An H200 by its datasheet, and the share of it that is expected of a good kernel: chosen. */
static const double SHEET_BYTES = 4.8e12, SHEET_BF16 = 989e12, SHEET_F32 = 67e12;
static const double EXPECTED_BYTES = 0.8, EXPECTED_FLOPS = 0.6;

typedef struct Pool {
    char *base; /* owns; NULL while counting */
    size_t at;
} Pool;

static const size_t POOL_BYTES = (size_t)2 << 30; /* chosen */

typedef struct Work {
    double bytes, flops;
    bool f32; /* the arithmetic is f32, not bf16 on tensor cores */
} Work;

typedef struct Bench {
    Device *dev;     /* borrows; NULL: operations only count */
    Pool in, out;    /* random numbers; a bf16 pair of them read as f32 is a number of the same size */
    Work work;       /* of the last call */
    int32_t *whole;  /* view: 0, N */
    int32_t *starts; /* view: SEQS + 1 */
    int32_t *count;  /* view: 0, 1, 2, ... N: adapters, positions, slots, ids, labels */
    int32_t *lens;   /* view: DECODES times CONTEXT */
    int64_t *items;  /* owns; 0, 1, 2, ... ITEMS; host memory */
} Bench;

static void *take(Pool *pool, size_t n) {
    n = (n + 255) & ~(size_t)255;
    CHECK(n <= POOL_BYTES, "%zu bytes", n);
    if (pool->at + n > POOL_BYTES) pool->at = 0;
    pool->at += n;
    return pool->base ? pool->base + pool->at - n : NULL;
}

static Tensor operand(Bench *b, Pool *pool, double times, DType t, int64_t rows, int64_t cols) {
    size_t n = dtype_bytes(t, rows * cols);
    b->work.bytes += times * (double)n;
    Tensor x = tensor_2d(take(pool, n), t, rows, cols);
    x.device = DEVICE_CUDA;
    return x;
}
static Tensor reads(Bench *b, DType t, int64_t rows, int64_t cols) {
    return operand(b, &b->in, 1, t, rows, cols);
}
static Tensor writes(Bench *b, DType t, int64_t rows, int64_t cols) {
    return operand(b, &b->out, 1, t, rows, cols);
}
static Tensor updates(Bench *b, DType t, int64_t rows, int64_t cols) {
    return operand(b, &b->out, 2, t, rows, cols);
}
static Tensor vector(Tensor row) {
    Tensor x = tensor_1d(row.data, row.dtype, row.dim[1]);
    x.device = row.device;
    return x;
}

/* A product of [m,k] and [k,n]. */
static void multiplies(Bench *b, double m, double n, double k) {
    b->work.flops += 2 * m * n * k;
}

#define CALL(call) return b->dev ? (call) : OK

static Status do_adamw(Bench *b) {
    Tensor p = updates(b, DT_F32, 1, PARAMS), m = updates(b, DT_F32, 1, PARAMS);
    Tensor v = updates(b, DT_F32, 1, PARAMS), g = reads(b, DT_F32, 1, PARAMS);
    AdamwOpts o = {2.5e-5, 0.9, 0.999, 1e-8, 0.01, 1.0, 10};
    CALL(adamw(b->dev, tensor_f32(p), tensor_f32(m), tensor_f32(v), tensor_f32(g), PARAMS, o));
}

static Status do_add(Bench *b) {
    Tensor y = updates(b, DT_BF16, N, C), x = reads(b, DT_BF16, N, C);
    CALL(add_fwd(b->dev, y, x));
}

static const AttentionShape attention = {HEADS, GROUPS, D, 0.08838835f, true, 0.0f, 0};

/* Pairs of a query and a key it sees, n_seqs sequences of N tokens in all. */
static double causal_pairs(int64_t n_seqs) {
    double len = (double)N / (double)n_seqs;
    return (double)N * (len + 1) / 2;
}

static Status attention_forward(Bench *b, int64_t n_seqs, const int32_t *starts) {
    Tensor qkv = reads(b, DT_BF16, N, QKV), o = writes(b, DT_BF16, N, C), lse = writes(b, DT_F32, N, HEADS);
    b->work.flops += 4 * D * HEADS * causal_pairs(n_seqs);
    CALL(attention_fwd(b->dev, o, lse, tensor_columns(qkv, 0, C), tensor_columns(qkv, C, GROUPS * D),
                       tensor_columns(qkv, C + GROUPS * D, GROUPS * D), starts, n_seqs, attention));
}
static Status do_attention_fwd(Bench *b) {
    return attention_forward(b, SEQS, b->starts);
}
static Status do_attention_fwd_long(Bench *b) {
    return attention_forward(b, 1, b->whole);
}

static Status attention_backward(Bench *b, int64_t n_seqs, const int32_t *starts) {
    Tensor qkv = reads(b, DT_BF16, N, QKV), o = reads(b, DT_BF16, N, C), dout = reads(b, DT_BF16, N, C);
    Tensor lse = reads(b, DT_F32, N, HEADS), d = writes(b, DT_BF16, N, QKV);
    int64_t k = C, v = C + GROUPS * D, narrow = GROUPS * D;
    b->work.flops += 10 * D * HEADS * causal_pairs(n_seqs);
    CALL(attention_bwd(b->dev, tensor_columns(d, 0, C), tensor_columns(d, k, narrow),
                       tensor_columns(d, v, narrow), dout, o, lse, tensor_columns(qkv, 0, C),
                       tensor_columns(qkv, k, narrow), tensor_columns(qkv, v, narrow), starts, n_seqs,
                       attention));
}
static Status do_attention_bwd(Bench *b) {
    return attention_backward(b, SEQS, b->starts);
}
static Status do_attention_bwd_long(Bench *b) {
    return attention_backward(b, 1, b->whole);
}

static Status do_attention_decode(Bench *b) {
    Tensor q = reads(b, DT_BF16, DECODES, C), o = writes(b, DT_BF16, DECODES, C);
    Tensor k = reads(b, DT_BF16, DECODES * CONTEXT, GROUPS * D);
    Tensor v = reads(b, DT_BF16, DECODES * CONTEXT, GROUPS * D);
    Tensor kc = tensor_3d(k.data, DT_BF16, DECODES, CONTEXT, GROUPS * D);
    Tensor vc = tensor_3d(v.data, DT_BF16, DECODES, CONTEXT, GROUPS * D);
    kc.device = vc.device = DEVICE_CUDA;
    b->work.flops += 4.0 * D * HEADS * DECODES * CONTEXT;
    CALL(attention_decode(b->dev, o, q, kc, vc, b->count, b->lens, attention));
}

static Weight weight(Bench *b, DType t, int64_t n, int64_t k) {
    Tensor w = reads(b, t, n, k);
    return (Weight){n, k, t, w.data, w.data};
}

/* The logits of a chunk go through memory: written, read, their gradient written and read. */
static Status do_cross_entropy(Bench *b) {
    Tensor x = reads(b, DT_BF16, LABELLED, C), dx = writes(b, DT_BF16, LABELLED, C);
    Weight w = weight(b, DT_BF16, VOCAB, C);
    Tensor each = reads(b, DT_F32, 1, LABELLED), loss = writes(b, DT_F32, 1, LABELLED);
    CrossEntropyOut out = {NULL, loss.data, NULL, NULL};
    b->work.bytes += (double)dtype_bytes(DT_BF16, VOCAB * C) + LABELLED * (double)VOCAB * (4 + 4 + 2 + 2);
    multiplies(b, LABELLED, VOCAB, C);
    multiplies(b, LABELLED, C, VOCAB);
    CALL(cross_entropy(b->dev, out, dx, x, &w, b->count, tensor_f32(each), (CrossEntropyOpts){0.1f, 0.0f}));
}

static Status do_embedding(Bench *b) {
    Tensor y = writes(b, DT_F32, N, C), table = reads(b, DT_BF16, VOCAB, C);
    b->work.bytes -= (double)dtype_bytes(DT_BF16, (VOCAB - N) * C); /* each id once */
    CALL(embedding_fwd(b->dev, y, b->count, table, (EmbeddingOpts){1.0f, 0.002f, 1, 2}));
}

static Status do_gelu(Bench *b) {
    Tensor y = writes(b, DT_F32, N, ENCODER_FFN), x = reads(b, DT_F32, N, ENCODER_FFN);
    CALL(gelu_fwd(b->dev, y, x));
}

/* The head of q_proj, size M: A and B of an item are two rows. */
static Status head(Bench *b, DType t) {
    Tensor x = reads(b, DT_F32, 2 * ITEMS, HEAD_IN), w = reads(b, DT_F32, RANK * C, HEAD_IN);
    Tensor y = writes(b, DT_F32, 2 * ITEMS, RANK * C);
    multiplies(b, 2 * ITEMS, RANK * C, HEAD_IN);
    b->work.f32 = t == DT_F32;
    CALL(gemm(b->dev, y, x, w, (GemmOpts){.tb = TRANS, .alpha = 1.0f, .dtype = t}));
}
static Status do_gemm_bf16(Bench *b) {
    return head(b, DT_BF16);
}
static Status do_gemm_f32(Bench *b) {
    return head(b, DT_F32);
}

static Status do_glu_fwd(Bench *b) {
    Tensor y = writes(b, DT_BF16, N, FFN), gu = reads(b, DT_BF16, N, 2 * FFN);
    CALL(glu_fwd(b->dev, y, gu, GLU_SILU));
}
static Status do_glu_bwd(Bench *b) {
    Tensor dgu = writes(b, DT_BF16, N, 2 * FFN), dy = reads(b, DT_BF16, N, FFN);
    Tensor gu = reads(b, DT_BF16, N, 2 * FFN);
    CALL(glu_bwd(b->dev, dgu, dy, gu, GLU_SILU));
}

static Status do_layernorm_fwd(Bench *b) {
    Tensor y = writes(b, DT_F32, N, ENCODER), stats = writes(b, DT_F32, N, 2),
           x = reads(b, DT_F32, N, ENCODER);
    Tensor w = vector(reads(b, DT_F32, 1, ENCODER)), bias = vector(reads(b, DT_F32, 1, ENCODER));
    CALL(layernorm_fwd(b->dev, y, stats, x, w, bias, 1e-5f));
}
/* The hypernetwork's: one row a task, layer, module. */
static Status do_layernorm_bwd(Bench *b) {
    int64_t rows = SEQS * LAYERS * 2;
    Tensor dx = writes(b, DT_F32, rows, LATENT), dy = reads(b, DT_F32, rows, LATENT);
    Tensor x = reads(b, DT_F32, rows, LATENT), stats = reads(b, DT_F32, rows, 2);
    Tensor w = vector(reads(b, DT_F32, 1, LATENT)), dw = vector(updates(b, DT_F32, 1, LATENT));
    Tensor db = vector(updates(b, DT_F32, 1, LATENT));
    CALL(layernorm_bwd(b->dev, dx, dw, db, dy, x, w, stats));
}

/* `items` adapters with A [RANK,in] and B^T [RANK,out]; given out by reads or updates. */
static LoraView adapters(Bench *b, Tensor give(Bench *, DType, int64_t, int64_t), int64_t items, int64_t in,
                         int64_t out) {
    Tensor a = give(b, DT_F32, items * RANK, in), bt = give(b, DT_F32, items * RANK, out);
    return (LoraView){tensor_f32(a), tensor_f32(bt), RANK * in, RANK * out, in, out};
}

static const LoraOpts lora_opts = {RANK, 5.656854f, 0.05f, 1, 2};

static Status do_lora_fwd(Bench *b) {
    Tensor y = updates(b, DT_BF16, N, C), h = writes(b, DT_F32, N, RANK), x = reads(b, DT_BF16, N, C);
    LoraView w = adapters(b, reads, SEQS, C, C);
    b->work.flops += 4.0 * N * RANK * C;
    b->work.f32 = true;
    CALL(lora_fwd(b->dev, y, h, x, w, b->count, b->starts, SEQS, lora_opts));
}
static Status do_lora_bwd(Bench *b) {
    Tensor dx = updates(b, DT_BF16, N, C), dy = reads(b, DT_BF16, N, C), h = reads(b, DT_F32, N, RANK);
    Tensor x = reads(b, DT_BF16, N, C);
    LoraView w = adapters(b, reads, SEQS, C, C), dw = adapters(b, updates, SEQS, C, C);
    b->work.flops += 8.0 * N * RANK * C;
    b->work.f32 = true;
    CALL(lora_bwd(b->dev, dx, dw, dy, h, x, w, b->count, b->starts, SEQS, lora_opts));
}

static Status product(Bench *b, DType t, int64_t m, int64_t n, int64_t k) {
    Tensor y = writes(b, t, m, n), x = reads(b, t, m, k);
    Weight w = weight(b, t, n, k);
    multiplies(b, (double)m, (double)n, (double)k);
    b->work.f32 = t == DT_F32;
    CALL(matmul_fwd(b->dev, y, x, &w, (MatmulOpts){false}));
}
static Status product_back(Bench *b, int64_t m, int64_t n, int64_t k) {
    Tensor dx = writes(b, DT_BF16, m, k), dy = reads(b, DT_BF16, m, n);
    Weight w = weight(b, DT_BF16, n, k);
    multiplies(b, (double)m, (double)n, (double)k);
    CALL(matmul_bwd(b->dev, dx, dy, &w, (MatmulOpts){false}));
}
static Status do_qkv(Bench *b) {
    return product(b, DT_BF16, N, QKV, C);
}
static Status do_o(Bench *b) {
    return product(b, DT_BF16, N, C, C);
}
static Status do_gate_up(Bench *b) {
    return product(b, DT_BF16, N, 2 * FFN, C);
}
static Status do_down(Bench *b) {
    return product(b, DT_BF16, N, C, FFN);
}
static Status do_gate_up_decode(Bench *b) {
    return product(b, DT_BF16, DECODES, 2 * FFN, C);
}
static Status do_gate_up_back(Bench *b) {
    return product_back(b, N, 2 * FFN, C);
}
static Status do_down_back(Bench *b) {
    return product_back(b, N, C, FFN);
}

static Status do_rows_put(Bench *b) {
    Tensor y = writes(b, DT_BF16, N, GROUPS * D), x = reads(b, DT_BF16, N, GROUPS * D);
    CALL(rows_put(b->dev, y, x, b->count));
}

/* The gradient of the depth embeddings: 8 tasks, A and B. */
static Status do_rows_sum(Bench *b) {
    Tensor y = writes(b, DT_F32, LAYERS, 128), x = reads(b, DT_F32, 8 * LAYERS * 2, 128);
    RowSum d = {.n = LAYERS, .c = 128, .ld = 128, .si = 2, .na = 8, .sa = 2 * LAYERS, .nb = 2, .sb = 1};
    CALL(rows_sum(b->dev, tensor_f32(y), tensor_f32(x), d));
}

static Status do_rows_penalty(Bench *b) {
    double sum;
    Tensor g = writes(b, DT_F32, 8 * LAYERS * RANK, C), x = reads(b, DT_F32, 8 * LAYERS * RANK, C);
    RowItems items = {8 * LAYERS, RANK * C, RANK, C, C};
    b->work.bytes += (double)dtype_bytes(DT_F32, 8 * LAYERS * RANK * (int64_t)C); /* g is added to */
    CALL(rows_penalty(b->dev, &sum, tensor_f32(g), tensor_f32(x), items, 1e-9f));
}

static Status do_norm(Bench *b) {
    double sum;
    Tensor x = reads(b, DT_F32, 1, PARAMS);
    CALL(norm_sumsq(b->dev, &sum, tensor_f32(x), PARAMS));
}

/* A number of B A - c B* A* is 2 RANK multiply-adds, and one RANK for each of the two gradients. */
static Status recon(Bench *b, bool whole, int64_t out) {
    double loss;
    LoraView w = adapters(b, reads, ITEMS, C, out), target = adapters(b, reads, ITEMS, C, out);
    LoraView g = adapters(b, writes, ITEMS, C, out);
    ReconShape s = {ITEMS, RANK, C, out, 1e4f, 0.5};
    if (whole) b->work.flops += 8.0 * RANK * ITEMS * C * (double)out;
    CALL(whole ? recon_delta_w(b->dev, &loss, g, w, target, b->items, s)
               : recon_factor(b->dev, &loss, g, w, target, b->items, s));
}
static Status do_recon_q(Bench *b) {
    return recon(b, true, C);
}
static Status do_recon_v(Bench *b) {
    return recon(b, true, GROUPS * D);
}
static Status do_recon_factor(Bench *b) {
    return recon(b, false, C);
}

static Status do_rmsnorm_fwd(Bench *b) {
    Tensor y = writes(b, DT_BF16, N, C), rstd = vector(writes(b, DT_F32, 1, N)), x = reads(b, DT_BF16, N, C);
    Tensor w = vector(reads(b, DT_F32, 1, C));
    CALL(rmsnorm_fwd(b->dev, y, rstd, x, w, 1e-5f));
}
static Status do_rmsnorm_bwd(Bench *b) {
    Tensor dx = updates(b, DT_BF16, N, C), dy = reads(b, DT_BF16, N, C), x = reads(b, DT_BF16, N, C);
    Tensor w = vector(reads(b, DT_F32, 1, C)), rstd = vector(reads(b, DT_F32, 1, N));
    CALL(rmsnorm_bwd(b->dev, dx, dy, x, w, rstd));
}

static Status do_rope_table(Bench *b) {
    Tensor cs = writes(b, DT_F32, N, D), inverse = reads(b, DT_F32, 1, D / 2);
    CALL(rope_table(b->dev, cs, b->count, tensor_f32(inverse)));
}
static Status rope(Bench *b, Status turn(Device *, Tensor, Tensor)) {
    Tensor x = updates(b, DT_BF16, N, (HEADS + GROUPS) * D), cs = reads(b, DT_F32, N, D);
    CALL(turn(b->dev, x, cs));
}
static Status do_rope_fwd(Bench *b) {
    return rope(b, rope_fwd);
}
static Status do_rope_bwd(Bench *b) {
    return rope(b, rope_bwd);
}

static const SiluDropoutOpts silu_opts = {0.05f, false, 1, 2};

static Status do_silu_fwd(Bench *b) {
    Tensor y = writes(b, DT_F32, SEQS * LAYERS * 2, 4 * LATENT), x = reads(b, DT_F32, y.dim[0], y.dim[1]);
    CALL(silu_dropout_fwd(b->dev, y, x, silu_opts));
}
static Status do_silu_bwd(Bench *b) {
    Tensor dx = writes(b, DT_F32, SEQS * LAYERS * 2, 4 * LATENT), dy = reads(b, DT_F32, dx.dim[0], dx.dim[1]);
    Tensor x = reads(b, DT_F32, dx.dim[0], dx.dim[1]);
    CALL(silu_dropout_bwd(b->dev, dx, dy, x, silu_opts));
}

static Status do_softcap(Bench *b) {
    Tensor x = updates(b, DT_F32, LABELLED, VOCAB);
    CALL(softcap_fwd(b->dev, x, 30.0f));
}

typedef struct Case {
    const char *op, *shape;
    Status (*run)(Bench *);
} Case;

static const Case cases[] = {
    {"adamw", "55.4 M parameters", do_adamw},
    {"add_fwd", "[2048,4096] bf16", do_add},
    {"attention_fwd", "8 x 256, 32/8 heads of 128", do_attention_fwd},
    {"attention_fwd", "1 x 2048", do_attention_fwd_long},
    {"attention_bwd", "8 x 256", do_attention_bwd},
    {"attention_bwd", "1 x 2048", do_attention_bwd_long},
    {"attention_decode", "256 sequences at 400", do_attention_decode},
    {"cross_entropy", "512 rows, V 32000, with dx", do_cross_entropy},
    {"embedding_fwd", "[2048,4096] bf16 to f32, NEFTune", do_embedding},
    {"gelu_fwd", "[2048,4096] f32", do_gelu},
    {"gemm", "head M, [256,512] x [512,32768] bf16", do_gemm_bf16},
    {"gemm", "the same in f32", do_gemm_f32},
    {"glu_fwd", "[2048,14336] bf16", do_glu_fwd},
    {"glu_bwd", "[2048,14336] bf16", do_glu_bwd},
    {"layernorm_fwd", "[2048,1024] f32", do_layernorm_fwd},
    {"layernorm_bwd", "[512,128] f32", do_layernorm_bwd},
    {"lora_fwd", "q_proj, 8 adapters, dropout", do_lora_fwd},
    {"lora_bwd", "q_proj, 8 adapters, dropout", do_lora_bwd},
    {"matmul_fwd", "qkv, 2048 rows", do_qkv},
    {"matmul_fwd", "o, 2048 rows", do_o},
    {"matmul_fwd", "gate and up, 2048 rows", do_gate_up},
    {"matmul_fwd", "down, 2048 rows", do_down},
    {"matmul_fwd", "gate and up, 256 rows", do_gate_up_decode},
    {"matmul_bwd", "gate and up, 2048 rows", do_gate_up_back},
    {"matmul_bwd", "down, 2048 rows", do_down_back},
    {"norm_sumsq", "55.4 M gradients", do_norm},
    {"recon_delta_w", "q_proj, 4 tasks x 32 layers", do_recon_q},
    {"recon_delta_w", "v_proj, 4 tasks x 32 layers", do_recon_v},
    {"recon_factor", "q_proj, 4 tasks x 32 layers", do_recon_factor},
    {"rmsnorm_fwd", "[2048,4096] bf16", do_rmsnorm_fwd},
    {"rmsnorm_bwd", "[2048,4096] bf16", do_rmsnorm_bwd},
    {"rope_table", "[2048,128]", do_rope_table},
    {"rope_fwd", "q and k, 2048 rows", do_rope_fwd},
    {"rope_bwd", "q and k, 2048 rows", do_rope_bwd},
    {"rows_penalty", "A of q_proj, 8 tasks x 32 layers", do_rows_penalty},
    {"rows_put", "keys of 2048 tokens bf16", do_rows_put},
    {"rows_sum", "depth, 8 tasks x 32 layers", do_rows_sum},
    {"silu_dropout_fwd", "[512,512] f32", do_silu_fwd},
    {"silu_dropout_bwd", "[512,512] f32", do_silu_bwd},
    {"softcap_fwd", "[512,32000] f32", do_softcap},
};
enum { N_CASES = sizeof cases / sizeof *cases };

/* The longer of moving the bytes and doing the arithmetic, at these rates. */
static double seconds(Work w, double bytes, double bf16, double f32) {
    double move = w.bytes / bytes, compute = w.flops / (w.f32 ? f32 : bf16);
    return move > compute ? move : compute;
}
static bool is_bytes(Work w, double bytes, double bf16, double f32) {
    return w.bytes / bytes >= w.flops / (w.f32 ? f32 : bf16);
}
static const char *bound_name(Work w, bool bytes) {
    return bytes ? "bytes" : w.f32 ? "f32" : "bf16";
}
static double predicted(Work w) {
    return seconds(w, SHEET_BYTES * EXPECTED_BYTES, SHEET_BF16 * EXPECTED_FLOPS, SHEET_F32 * EXPECTED_FLOPS);
}

static Work count(const Case *c) {
    Bench b = {0};
    CHECK(status_is_ok(c->run(&b)), "%s", c->op);
    CHECK(b.work.bytes > 0, "%s counted nothing", c->op);
    return b.work;
}

/* Every operation of the menu stands in the table, but for the one that only runs while a model is loaded. */
static void check_complete(void) {
    static const char *const menu[] = {
#define X(op) #op,
        OPS(X)
#undef X
    };
    for (int i = 0; i < (int)(sizeof menu / sizeof *menu); i++) {
        bool found = strcmp(menu[i], "matmul_pack") == 0;
        for (int k = 0; k < N_CASES; k++) found |= strcmp(menu[i], cases[k].op) == 0;
        CHECK(found, "%s is not timed: add it to the cases of bench_cuda.c", menu[i]);
    }
}

static void predict(void) {
    printf(
        "Predicted times on an H200, by `bench_cuda --predict`: the longer of bytes / (4.8 TB/s x 0.8) and\n"
        "FLOP / (989 TFLOP/s x 0.6), f32 arithmetic 67 TFLOP/s x 0.6. Bytes: operands read once, written\n"
        "once; what takes less than about 3 us is a launch. Nothing here was measured; `make gpu-check` "
        "measures.\n\n"
        "| operation | shape (Mistral-7B) | MB | GFLOP | bound | predicted us | measured us |\n"
        "|---|---|---:|---:|---|---:|---:|\n");
    for (int i = 0; i < N_CASES; i++) {
        Work w = count(&cases[i]);
        bool bytes = is_bytes(w, SHEET_BYTES * EXPECTED_BYTES, SHEET_BF16 * EXPECTED_FLOPS,
                              SHEET_F32 * EXPECTED_FLOPS);
        printf("| %s | %s | %.1f | %.1f | %s | %.1f | |\n", cases[i].op, cases[i].shape, w.bytes / 1e6,
               w.flops / 1e9, bound_name(w, bytes), predicted(w) * 1e6);
    }
}

#ifdef BENCH_CUDA
#include "kernels/device_cuda.h"

enum { SAMPLES = 15, WARM_UP = 3, MAX_CALLS = 64 };
static const size_t POOL_BLOCK = (size_t)64 << 20; /* random numbers made; the pool repeats them: chosen */
static const double SAMPLE_SECONDS = 2e-3;         /* chosen: well above the clock's grain and a launch */

typedef struct Timing {
    double min, median; /* seconds a call */
} Timing;

typedef struct Roofs {
    double bytes, bf16, f32; /* a second */
} Roofs;

static Status cuda(cudaError_t e, const char *what) {
    return e == cudaSuccess ? OK : status_error(E_FAIL, "%s: %s", what, cudaGetErrorString(e));
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static Status do_copy(Bench *b) {
    size_t n = POOL_BYTES / 4;
    void *to = take(&b->out, n), *from = take(&b->in, n);
    b->work.bytes += 2 * (double)n;
    return b->dev ? cuda(cudaMemcpyAsync(to, from, n, cudaMemcpyDeviceToDevice, b->dev->cuda->stream), "copy")
                  : OK;
}
static Status do_large_bf16(Bench *b) {
    return product(b, DT_BF16, LARGE, LARGE, LARGE);
}
static Status do_large_f32(Bench *b) {
    return product(b, DT_F32, LARGE / 2, LARGE / 2, LARGE / 2);
}

/* Several calls between two events, SAMPLES times. Outputs begin as random numbers. */
static Status measure(Timing *t, Bench *b, const Case *c, cudaEvent_t from, cudaEvent_t to) {
    double calls = SAMPLE_SECONDS / predicted(count(c)), sample[SAMPLES];
    int n = calls < 1 ? 1 : calls > MAX_CALLS ? MAX_CALLS : (int)calls;
    cudaStream_t stream = b->dev->cuda->stream;
    TRY(cuda(cudaMemcpyAsync(b->out.base, b->in.base, POOL_BYTES, cudaMemcpyDeviceToDevice, stream), "fill"));
    for (int i = 0; i < WARM_UP * n; i++) TRY(c->run(b));
    for (int s = 0; s < SAMPLES; s++) {
        float ms;
        TRY(device_sync(b->dev));
        TRY(cuda(cudaEventRecord(from, stream), "event"));
        for (int i = 0; i < n; i++) TRY(c->run(b));
        TRY(cuda(cudaEventRecord(to, stream), "event"));
        TRY(cuda(cudaEventSynchronize(to), c->op));
        TRY(cuda(cudaEventElapsedTime(&ms, from, to), "event"));
        sample[s] = 1e-3 * (double)ms / n;
    }
    qsort(sample, SAMPLES, sizeof *sample, ascending);
    *t = (Timing){sample[0], sample[SAMPLES / 2]};
    return OK;
}

static Status fill(Bench *b) {
    size_t words = POOL_BLOCK / 2;
    uint16_t *block = malloc(POOL_BLOCK);
    CHECK(block && b->items, "memory");
    Rng r = rng_make(1, 1);
    for (size_t i = 0; i < words; i++) block[i] = float_to_bf16(2 * rng_float(&r) - 1);
    for (size_t at = 0; at < POOL_BYTES; at += POOL_BLOCK)
        TRY(device_upload(b->dev, b->in.base + at, block, POOL_BLOCK));
    int32_t *p = (int32_t *)block, *q = b->whole;
    int n = 0;
    p[n++] = 0, p[n++] = N;
    b->starts = q + n;
    for (int i = 0; i <= SEQS; i++) p[n++] = i * (N / SEQS);
    b->count = q + n;
    for (int i = 0; i <= N; i++) p[n++] = i;
    b->lens = q + n;
    for (int i = 0; i < DECODES; i++) p[n++] = CONTEXT;
    for (int i = 0; i < ITEMS; i++) b->items[i] = i;
    TRY(device_upload(b->dev, q, p, (size_t)n * sizeof *p));
    free(block);
    return OK;
}

static Status roofs(Roofs *r, Bench *b, cudaEvent_t from, cudaEvent_t to) {
    const Case copy = {"copy", "", do_copy}, bf16 = {"bf16 roof", "", do_large_bf16};
    const Case f32 = {"f32 roof", "", do_large_f32};
    Timing t;
    TRY(measure(&t, b, &copy, from, to));
    r->bytes = count(&copy).bytes / t.median;
    TRY(measure(&t, b, &bf16, from, to));
    r->bf16 = count(&bf16).flops / t.median;
    TRY(measure(&t, b, &f32, from, to));
    r->f32 = count(&f32).flops / t.median;
    return OK;
}

static void report(FILE *json, const Case *c, Timing t, Roofs r) {
    Work w = count(c);
    double percent = 100 * seconds(w, r.bytes, r.bf16, r.f32) / t.median;
    bool bytes = is_bytes(w, r.bytes, r.bf16, r.f32);
    double rate = bytes ? w.bytes / t.median / 1e9 : w.flops / t.median / 1e12;
    printf("%-17s %-38s %9.1f %9.1f %9.1f %8.1f %s %5.0f\n", c->op, c->shape, t.min * 1e6, t.median * 1e6,
           predicted(w) * 1e6, rate, bytes ? "GB/s   " : "TFLOP/s", percent);
    fprintf(json,
            "\n {\"op\":\"%s\",\"shape\":\"%s\",\"bytes\":%.0f,\"flops\":%.0f,\"bound\":\"%s\","
            "\"us_min\":%.2f,\"us_median\":%.2f,\"us_predicted_h200\":%.2f,\"GB_per_s\":%.1f,"
            "\"TFLOP_per_s\":%.2f,\"percent_of_roof\":%.1f}",
            c->op, c->shape, w.bytes, w.flops, bound_name(w, bytes), t.min * 1e6, t.median * 1e6,
            predicted(w) * 1e6, w.bytes / t.median / 1e9, w.flops / t.median / 1e12, percent);
}

/* *failed counts operations that did not run. */
static Status run_all(FILE *json, Bench *b, int *failed) {
    struct cudaDeviceProp prop;
    cudaEvent_t from, to;
    Roofs r;
    Timing t;
    int driver = 0, runtime = 0;
    TRY(cuda(cudaGetDeviceProperties(&prop, b->dev->cuda->index), "device"));
    TRY(cuda(cudaDriverGetVersion(&driver), "driver"));
    TRY(cuda(cudaRuntimeGetVersion(&runtime), "runtime"));
    TRY(cuda(cudaEventCreate(&from), "event"));
    TRY(cuda(cudaEventCreate(&to), "event"));
    TRY(device_alloc(b->dev, (void **)&b->in.base, POOL_BYTES, "inputs"));
    TRY(device_alloc(b->dev, (void **)&b->out.base, POOL_BYTES, "outputs"));
    TRY(device_alloc(b->dev, (void **)&b->whole, 4 * (N + DECODES + SEQS + 8), "indices"));
    TRY(fill(b));
    TRY(roofs(&r, b, from, to));
    printf("%s: copy %.0f GB/s, products %.0f TFLOP/s bf16, %.1f TFLOP/s f32\n", prop.name, r.bytes / 1e9,
           r.bf16 / 1e12, r.f32 / 1e12);
    printf("%-17s %-38s %9s %9s %9s %16s %5s\n", "operation", "shape", "us, min", "median", "predicted",
           "rate", "%roof");
    fprintf(json,
            "{\"device\":\"%s\",\"cuda_driver\":%d,\"cuda_runtime\":%d,\"copy_bytes_per_s\":%.4g,"
            "\"bf16_flops_per_s\":%.4g,\"f32_flops_per_s\":%.4g,\"ops\":[",
            prop.name, driver, runtime, r.bytes, r.bf16, r.f32);
    for (int i = 0; i < N_CASES; i++) {
        const char *op = cases[i].op, *shape = cases[i].shape;
        if (i > 0) fputc(',', json);
        Status s = measure(&t, b, &cases[i], from, to);
        if (status_is_ok(s)) {
            report(json, &cases[i], t, r);
        } else {
            printf("%-17s %-38s %s\n", op, shape, status_message(s));
            fprintf(json, "\n {\"op\":\"%s\",\"shape\":\"%s\",\"failed\":true}", op, shape);
            ++*failed;
            status_free(s);
        }
    }
    fprintf(json, "]}\n");
    cudaEventDestroy(from);
    cudaEventDestroy(to);
    return OK;
}

static Status bench(Device *dev, const char *path, int *failed) {
    Bench b = {.dev = dev, .items = malloc(ITEMS * sizeof(int64_t))};
    char *text = NULL;
    size_t n = 0;
    FILE *json = open_memstream(&text, &n);
    CHECK(json, "memory");
    Status s = run_all(json, &b, failed);
    fclose(json);
    if (status_is_ok(s) && path) s = file_write_atomic(path, text, n);
    device_free(dev, b.in.base);
    device_free(dev, b.out.base);
    device_free(dev, b.whole);
    free(b.items);
    free(text);
    return s;
}
#else
static Status bench(Device *dev, const char *path, int *failed) {
    (void)path, (void)failed;
    return device_unsupported(dev, "bench_cuda", DT_BF16);
}
#endif

int main(int argc, char **argv) {
    bool only_predict = argc == 2 && strcmp(argv[1], "--predict") == 0;
    bool json = argc == 3 && strcmp(argv[1], "--json") == 0;
    if (argc > 1 && !only_predict && !json) {
        fprintf(stderr, "bench_cuda [--predict | --json FILE]\n");
        return E_USAGE;
    }
    check_complete();
    if (only_predict) {
        predict();
        return 0;
    }
    Device dev;
    int failed = 0;
    Status s = device_open(&dev, "cuda", 0);
    if (status_is_ok(s)) {
        s = bench(&dev, json ? argv[2] : NULL, &failed);
        device_close(&dev);
    }
    int code = status_is_ok(s) ? failed > 0 : (int)status_code(s);
    if (!status_is_ok(s)) fprintf(stderr, "bench_cuda: %s\n", status_message(s));
    status_free(s);
    return code;
}
