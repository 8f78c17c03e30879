/* Forward and backward over all (module, task, layer) rows at once. N0 = M*T*L rows run through mixer and
 * mlp1. Sizes M and S double them (one row for A, one for B), size S multiplies them by the rank; rows of a
 * module stay together, so each head is one product. A head's output is the adapter: nothing is copied.
 * Columns of it that no one reads (B where out < in, and the reverse) are not computed.
 * Dropout masks: stream "HN" | step << 8 | site, element row*C + c, rows counted as above. */
#include "model/hypernet_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const uint64_t DROPOUT_STREAM = (uint64_t)0x484E << 48;
static const float LAYERNORM_EPS = 1e-5f; /* method.md 3 */

/* A two-layer block: [norm or dropout] . Linear . SiLU d . Linear . SiLU [d] [+ input]. */
typedef struct MlpSpec {
    int norm;   /* slot of the norm's weight; negative: dropout on the input instead */
    int w1, w2; /* slots; biases follow */
    bool residual, drop_out;
    unsigned site; /* dropout sites site (input), site+1 (middle), site+2 (output) */
} MlpSpec;

static const MlpSpec MIXER = {-1, MIXER_W1, MIXER_W2, false, true, 0};
static const MlpSpec MLP1 = {MLP1_NORM_W, MLP1_W1, MLP1_W2, true, true, 4};
static const MlpSpec MLP2 = {MLP2_NORM_W, MLP2_W1, MLP2_W2, true, true, 8};
static const MlpSpec MLP2_RANKS = {MLP2_NORM_W, MLP2_W1, MLP2_W2, true, true, 12};
static const MlpSpec MLP3 = {MLP3_NORM_W, MLP3_W1, MLP3_W2, false, false, 16};

/* Row counts of a pass over t tasks. */
typedef struct Rows {
    int64_t n0, n1, n2, ranks; /* ranks: rows of the second pass of mlp2 */
    int64_t factors;           /* 2, or 1 for size L */
    int64_t head;              /* rows of one factor of one module at its head */
} Rows;

static Rows count_rows(const HypernetConfig *cfg, int64_t t) {
    Rows n = {.n0 = cfg->n_modules * t * cfg->n_layers, .factors = cfg->size == HYPERNET_L ? 1 : 2};
    n.n1 = n.n0 * n.factors;
    n.n2 = cfg->size == HYPERNET_S ? n.n1 * cfg->rank : n.n1;
    n.ranks = cfg->size != HYPERNET_S ? 0 : cfg->learned_positions ? cfg->rank : n.n2;
    n.head = n.n2 / (n.factors * cfg->n_modules);
    return n;
}

static float *param(const Hypernet *hn, int slot) {
    return hn->params + hn->saved->at.at[slot];
}
static float *grad(const Hypernet *hn, int slot) {
    return hn->grads + hn->saved->at.at[slot];
}

/* ---- memory ---- */

static MlpActs bind_mlp(Arena *a, int64_t n, int64_t d, int64_t out, bool training) {
    MlpActs m = {.xn = arena_f32(a, n * d), .stats = arena_f32(a, n * 2), .h1 = arena_f32(a, n * 4 * d)};
    m.a1 = training ? arena_f32(a, n * 4 * d) : m.h1;
    m.h2 = arena_f32(a, n * out);
    m.y = arena_f32(a, n * out);
    return m;
}

static void bind_acts(HypernetActs *s, Arena *a, const HypernetConfig *cfg, int64_t t, bool training) {
    HypernetWidths w = hypernet_widths(cfg);
    int64_t d = w.trunk, l = cfg->n_layers, m = cfg->n_modules, r = cfg->rank;
    Rows n = count_rows(cfg, t);
    s->e = arena_f32(a, t * cfg->embed);
    s->task_h1 = arena_f32(a, t * w.hidden);
    s->task_a1 = arena_f32(a, t * w.hidden);
    s->task_z = arena_f32(a, t * w.out);
    s->task_p = arena_f32(a, t * w.out);
    s->task_q = arena_f32(a, t * w.task);
    s->task_h = arena_f32(a, t * w.task);
    s->task = arena_f32(a, t * w.task);
    s->task_stats = arena_f32(a, t * 2);
    s->depth = arena_f32(a, l * w.depth);
    s->depth_stats = arena_f32(a, l * 2);
    s->type = arena_f32(a, m * w.type);
    s->type_stats = arena_f32(a, m * 2);
    s->factor = arena_f32(a, 2 * m * d);
    s->factor_stats = arena_f32(a, 2 * m * 2);
    s->rank = arena_f32(a, r * d);
    s->rank_stats = arena_f32(a, r * 2);
    s->rotary = arena_f32(a, r * d);
    s->x0 = arena_f32(a, n.n0 * d);
    s->index = arena_i32(a, 3 * n.n0 + n.n1);
    s->mixer = bind_mlp(a, n.n0, d, d, training);
    s->mlp1 = bind_mlp(a, n.n0, d, d, training);
    s->v = cfg->size == HYPERNET_L ? s->mlp1.y : arena_f32(a, n.n1 * d);
    s->mlp2 = bind_mlp(a, n.n1, d, d, training);
    s->mlp2_ranks = bind_mlp(a, n.ranks, d, d, training);
    s->s = cfg->size == HYPERNET_S ? arena_f32(a, n.n2 * d) : NULL;
    s->mlp3 = bind_mlp(a, n.n2, d, cfg->head, training);
    for (int i = 0; i < cfg->n_modules; i++) {
        int64_t size = n.n2 / m * hypernet_head_width(cfg, cfg->modules[i]);
        s->z[i] = arena_f32(a, size);
        s->dz[i] = training ? arena_f32(a, size) : NULL;
    }
    if (!training) return;
    int64_t widest = d > cfg->head ? d : cfg->head, most = n.n2 > r ? n.n2 : r;
    s->ones = arena_f32(a, most);
    s->wide = arena_f32(a, most * 4 * d);
    s->ga = arena_f32(a, most * widest);
    s->gb = arena_f32(a, most * widest);
    s->gt = arena_f32(a, most * widest);
    s->small = arena_f32(a, (t + l + 3 * m + 2 * r) * d);
    s->task_dh = arena_f32(a, t * w.hidden);
    s->task_dz = arena_f32(a, t * w.out);
}

static void bind_mem(Hypernet *hn, const HypernetLayout *at, bool training) {
    hn->params = arena_f32(&hn->mem, hn->n_params);
    hn->buffers = arena_f32(&hn->mem, at->n_buffer_numbers);
    hn->settled = arena_f32(&hn->mem, at->n_buffer_numbers);
    if (!training) return;
    hn->grads = arena_f32(&hn->mem, hn->n_params);
    hn->m = arena_f32(&hn->mem, hn->n_params);
    hn->v = arena_f32(&hn->mem, hn->n_params);
}

static Status allocate(Hypernet *hn, Device *dev, const HypernetLayout *at, HypernetInit opts) {
    int64_t indices = 5 * count_rows(&hn->cfg, opts.max_tasks).n0;
    hn->tensors = calloc((size_t)(at->n_tensors + at->n_buffers), sizeof *hn->tensors);
    hn->saved = calloc(1, sizeof *hn->saved);
    if (hn->saved) hn->saved->host_index = malloc((size_t)indices * sizeof(int32_t));
    if (!hn->tensors || !hn->saved || !hn->saved->host_index)
        return status_error(E_ENV, "hypernetwork: no memory for its table");
    hn->mem = arena_measure("hypernetwork parameters");
    bind_mem(hn, at, opts.training);
    TRY(arena_commit_on(&hn->mem, dev));
    bind_mem(hn, at, opts.training);
    hn->acts = arena_measure("hypernetwork activations");
    bind_acts(hn->saved, &hn->acts, &hn->cfg, opts.max_tasks, opts.training);
    TRY(arena_commit_on(&hn->acts, dev));
    bind_acts(hn->saved, &hn->acts, &hn->cfg, opts.max_tasks, opts.training);
    return OK;
}

/* ENCODER_ONEHOT: layers and modules are told apart by unit vectors. */
static void place_units(float *x, int64_t n) {
    for (int64_t i = 0; i < n * n; i++) x[i] = i % (n + 1) == 0;
}

void hypernet_settle(Hypernet *hn, bool keep) {
    size_t bytes = (size_t)hn->saved->at.n_buffer_numbers * sizeof(float);
    memcpy(keep ? hn->settled : hn->buffers, keep ? hn->buffers : hn->settled, bytes);
}

/* What runs on the CPU alone. */
static Status check_device(const Device *dev, const HypernetConfig *cfg) {
    const char *what = cfg->size == HYPERNET_S          ? "size S"
                       : cfg->encoder != ENCODER_LINEAR ? "a task encoder other than linear"
                       : cfg->learned_offset            ? "a learned offset"
                                                        : NULL;
    if (dev->kind == DEVICE_CPU || !what) return OK;
    return status_error(E_UNSUPPORTED, "hypernetwork: %s has no %s backend; use --device cpu", what,
                        dev->memory->name);
}

/* The table is filled on the host. */
static Status fill_params(Hypernet *hn, Device *dev, HypernetInit opts) {
    if (dev->kind == DEVICE_CPU) {
        hypernet_fill(hn, dev, opts.sft_start, opts.seed);
        return OK;
    }
    size_t bytes = (size_t)hn->n_params * sizeof(float);
    float *there = hn->params, *host = malloc(bytes);
    if (!host) return status_error(E_ENV, "hypernetwork: no memory for %zu bytes of parameters", bytes);
    hn->params = host;
    hypernet_fill(hn, dev, opts.sft_start, opts.seed);
    hn->params = there;
    Status s = device_upload(dev, there, host, bytes);
    free(host);
    return s;
}

static Status fill_ones(Device *dev, float *x, int64_t n) {
    enum { STEP = 1024 };
    float ones[STEP];
    for (int i = 0; i < STEP; i++) ones[i] = 1.0f;
    for (int64_t at = 0; at < n; at += STEP)
        TRY(device_upload(dev, x + at, ones, (size_t)(n - at < STEP ? n - at : STEP) * sizeof *ones));
    return OK;
}

static Status init(Hypernet *hn, Device *dev, const HypernetLayout *at, HypernetInit opts) {
    const HypernetConfig *cfg = &hn->cfg;
    TRY(allocate(hn, dev, at, opts));
    hypernet_layout(&hn->saved->at, hn->tensors, cfg);
    TRY(fill_params(hn, dev, opts));
    if (cfg->learned_offset)
        hn->output = (HypernetOutput){
            .on = true, .in_training = true, .scale = 1.0f, .shift = hn->params + hn->saved->at.offset};
    hypernet_settle(hn, true);
    if (cfg->size == HYPERNET_S) rotary_table(hn->saved->rotary, cfg->rank, hypernet_widths(cfg).trunk);
    if (cfg->encoder == ENCODER_ONEHOT) {
        place_units(hn->saved->depth, cfg->n_layers);
        place_units(hn->saved->type, cfg->n_modules);
    }
    Rows n = count_rows(cfg, opts.max_tasks);
    return opts.training ? fill_ones(dev, hn->saved->ones, n.n2 > cfg->rank ? n.n2 : cfg->rank) : OK;
}

Status hypernet_init(Hypernet *hn, Device *dev, const HypernetConfig *cfg, HypernetInit opts) {
    HypernetLayout at;
    memset(hn, 0, sizeof *hn);
    CHECK(opts.max_tasks >= 1, "hypernetwork: max_tasks %lld", (long long)opts.max_tasks);
    TRY(hypernet_count(&hn->n_params, cfg));
    TRY(check_device(dev, cfg));
    hypernet_layout(&at, NULL, cfg);
    hn->cfg = *cfg;
    hn->dev = dev;
    hn->n_tensors = at.n_tensors;
    hn->n_buffers = at.n_buffers;
    hn->max_tasks = opts.max_tasks;
    Status st = init(hn, dev, &at, opts);
    if (!status_is_ok(st)) hypernet_free(hn);
    return st;
}

void hypernet_free(Hypernet *hn) {
    free(hn->tensors);
    if (hn->saved) free(hn->saved->host_index);
    free(hn->saved);
    arena_free(&hn->mem);
    arena_free(&hn->acts);
    arena_free(&hn->output.mem);
    memset(hn, 0, sizeof *hn);
}

/* ---- blocks ---- */

SiluDropoutOpts hypernet_dropout(const Hypernet *hn, unsigned site, bool on) {
    HypernetRun run = hn->saved->run;
    SiluDropoutOpts o = {.p = on && run.train ? (float)hn->cfg.dropout : 0.0f,
                         .seed = run.seed,
                         .stream = DROPOUT_STREAM | run.step << 8 | site};
    return o;
}

static SiluDropoutOpts dropout_alone(const Hypernet *hn, unsigned site) {
    SiluDropoutOpts o = hypernet_dropout(hn, site, true);
    o.identity = true;
    return o;
}

Status hypernet_linear_fwd(const Hypernet *hn, Device *dev, float *y, const float *x, const float *w,
                           const float *b, int64_t n, int64_t in, int64_t out) {
    GemmOpts o = {.tb = TRANS, .alpha = 1.0f, .bias = b, .dtype = hn->dtype};
    return gemm(dev, device_2d(dev, y, n, out), device_2d(dev, (float *)x, n, in),
                device_2d(dev, (float *)w, out, in), o);
}

Status hypernet_linear_bwd_weight(const Hypernet *hn, Device *dev, float *dw, float *db, const float *dy,
                                  const float *x, int64_t n, int64_t in, int64_t out) {
    GemmOpts w = {.ta = TRANS, .alpha = 1.0f, .beta = 1.0f, .dtype = hn->dtype},
             b = {.alpha = 1.0f, .beta = 1.0f};
    TRY(gemm(dev, device_2d(dev, dw, out, in), device_2d(dev, (float *)dy, n, out),
             device_2d(dev, (float *)x, n, in), w));
    return gemm(dev, device_2d(dev, db, 1, out), device_2d(dev, hn->saved->ones, 1, n),
                device_2d(dev, (float *)dy, n, out), b);
}

Status hypernet_linear_bwd_input(const Hypernet *hn, Device *dev, float *dx, const float *dy, const float *w,
                                 int64_t n, int64_t in, int64_t out) {
    GemmOpts o = {.alpha = 1.0f, .dtype = hn->dtype};
    return gemm(dev, device_2d(dev, dx, n, in), device_2d(dev, (float *)dy, n, out),
                device_2d(dev, (float *)w, out, in), o);
}

Status hypernet_norm_fwd(const Hypernet *hn, Device *dev, float *y, float *stats, const float *x, int slot,
                         int64_t n, int64_t c) {
    return layernorm_fwd(dev, device_2d(dev, y, n, c), device_2d(dev, stats, n, 2),
                         device_2d(dev, (float *)x, n, c), device_1d(dev, param(hn, slot), c),
                         device_1d(dev, param(hn, slot + 1), c), LAYERNORM_EPS);
}

Status hypernet_norm_bwd(const Hypernet *hn, Device *dev, float *dx, const float *dy, const float *x,
                         float *stats, int slot, int64_t n, int64_t c) {
    return layernorm_bwd(dev, device_2d(dev, dx, n, c), device_1d(dev, grad(hn, slot), c),
                         device_1d(dev, grad(hn, slot + 1), c), device_2d(dev, (float *)dy, n, c),
                         device_2d(dev, (float *)x, n, c), device_1d(dev, param(hn, slot), c),
                         device_2d(dev, stats, n, 2));
}

static Status mlp_fwd(const Hypernet *hn, Device *dev, const MlpActs *a, const float *x, MlpSpec p, int64_t n,
                      int64_t out) {
    int64_t d = hypernet_widths(&hn->cfg).trunk;
    if (p.norm >= 0)
        TRY(hypernet_norm_fwd(hn, dev, a->xn, a->stats, x, p.norm, n, d));
    else
        TRY(silu_dropout_fwd(dev, device_2d(dev, a->xn, n, d), device_2d(dev, (float *)x, n, d),
                             dropout_alone(hn, p.site)));
    TRY(hypernet_linear_fwd(hn, dev, a->h1, a->xn, param(hn, p.w1), param(hn, p.w1 + 1), n, d, 4 * d));
    TRY(silu_dropout_fwd(dev, device_2d(dev, a->a1, n, 4 * d), device_2d(dev, a->h1, n, 4 * d),
                         hypernet_dropout(hn, p.site + 1, true)));
    TRY(hypernet_linear_fwd(hn, dev, a->h2, a->a1, param(hn, p.w2), param(hn, p.w2 + 1), n, 4 * d, out));
    TRY(silu_dropout_fwd(dev, device_2d(dev, a->y, n, out), device_2d(dev, a->h2, n, out),
                         hypernet_dropout(hn, p.site + 2, p.drop_out)));
    return p.residual ? add_fwd(dev, device_2d(dev, a->y, n, out), device_2d(dev, (float *)x, n, out)) : OK;
}

/* dx [n,D] from dy [n,out]; x is the block's input; parameter gradients are added to. dx is not dy. */
static Status mlp_bwd(const Hypernet *hn, Device *dev, float *dx, const float *dy, const MlpActs *a,
                      const float *x, MlpSpec p, int64_t n, int64_t out) {
    int64_t d = hypernet_widths(&hn->cfg).trunk;
    float *dh2 = hn->saved->gt, *dh1 = hn->saved->wide;
    TRY(silu_dropout_bwd(dev, device_2d(dev, dh2, n, out), device_2d(dev, (float *)dy, n, out),
                         device_2d(dev, a->h2, n, out), hypernet_dropout(hn, p.site + 2, p.drop_out)));
    TRY(hypernet_linear_bwd_weight(hn, dev, grad(hn, p.w2), grad(hn, p.w2 + 1), dh2, a->a1, n, 4 * d, out));
    TRY(hypernet_linear_bwd_input(hn, dev, dh1, dh2, param(hn, p.w2), n, 4 * d, out));
    TRY(silu_dropout_bwd(dev, device_2d(dev, dh1, n, 4 * d), device_2d(dev, dh1, n, 4 * d),
                         device_2d(dev, a->h1, n, 4 * d), hypernet_dropout(hn, p.site + 1, true)));
    TRY(hypernet_linear_bwd_weight(hn, dev, grad(hn, p.w1), grad(hn, p.w1 + 1), dh1, a->xn, n, d, 4 * d));
    TRY(hypernet_linear_bwd_input(hn, dev, dx, dh1, param(hn, p.w1), n, d, 4 * d));
    if (p.norm >= 0)
        TRY(hypernet_norm_bwd(hn, dev, dx, dx, x, a->stats, p.norm, n, d));
    else
        TRY(silu_dropout_bwd(dev, device_2d(dev, dx, n, d), device_2d(dev, dx, n, d),
                             device_2d(dev, (float *)x, n, d), dropout_alone(hn, p.site)));
    return p.residual ? add_fwd(dev, device_2d(dev, dx, n, d), device_2d(dev, (float *)dy, n, d)) : OK;
}

/* ---- heads ---- */

typedef enum HeadPass { HEAD_FWD, HEAD_BWD } HeadPass;

/* Rows [row, row+rows) of module i's head input against columns [column, column+columns) of its output.
 * Backward: beta for the gradients of the weight and of the input. */
typedef struct HeadProduct {
    int64_t row, rows, column, columns;
    float beta_w, beta_x;
} HeadProduct;

static Status head_product(const Hypernet *hn, Device *dev, int i, HeadPass pass, HeadProduct p) {
    const HypernetActs *s = hn->saved;
    int64_t h = hn->cfg.head, width = hypernet_head_width(&hn->cfg, hn->cfg.modules[i]);
    int64_t rows = count_rows(&hn->cfg, s->tasks).n2 / hn->cfg.n_modules, first = i * rows + p.row;
    bool bias = s->at.head_b[i] >= 0;
    Tensor x = device_2d(dev, s->mlp3.y + first * h, p.rows, h);
    Tensor w = device_2d(dev, hn->params + s->at.head_w[i] + p.column * h, p.columns, h);
    Tensor z =
        device_2d(dev, (pass == HEAD_FWD ? s->z : s->dz)[i] + p.row * width + p.column, p.rows, p.columns);
    z.ld = width;
    if (pass == HEAD_FWD) {
        GemmOpts o = {.tb = TRANS,
                      .alpha = 1.0f,
                      .bias = bias ? hn->params + s->at.head_b[i] + p.column : NULL,
                      .dtype = hn->dtype};
        return gemm(dev, z, x, w, o);
    }
    Tensor dx = device_2d(dev, s->ga + first * h, p.rows, h);
    Tensor dw = device_2d(dev, hn->grads + s->at.head_w[i] + p.column * h, p.columns, h);
    TRY(gemm(dev, dx, z, w, (GemmOpts){.alpha = 1.0f, .beta = p.beta_x, .dtype = hn->dtype}));
    TRY(gemm(dev, dw, z, x, (GemmOpts){.ta = TRANS, .alpha = 1.0f, .beta = p.beta_w, .dtype = hn->dtype}));
    if (!bias) return OK;
    return gemm(dev, device_2d(dev, hn->grads + s->at.head_b[i] + p.column, 1, p.columns),
                device_2d(dev, s->ones, 1, p.rows), z, (GemmOpts){.alpha = 1.0f, .beta = p.beta_w});
}

/* One head as products that cover what is read: everything at once where A and B are equally wide, else the
 * wider factor, then the narrower one by rank (its gradients add to the wider one's). */
static Status head(const Hypernet *hn, Device *dev, int i, HeadPass pass) {
    const HypernetConfig *cfg = &hn->cfg;
    LoraModule m = cfg->modules[i];
    int64_t width = hypernet_head_width(cfg, m), row = hypernet_head_row(cfg, m);
    Rows n = count_rows(cfg, hn->saved->tasks);
    if (cfg->size == HYPERNET_L || cfg->in[m] == cfg->out[m]) {
        HeadProduct all = {0, n.head * n.factors, 0, width, 0.0f, 0.0f};
        return head_product(hn, dev, i, pass, all);
    }
    int64_t narrow = cfg->in[m] < cfg->out[m] ? cfg->in[m] : cfg->out[m];
    int64_t wide_row = cfg->in[m] > cfg->out[m] ? 0 : n.head;
    HeadProduct wide = {wide_row, n.head, 0, width, 0.0f, 0.0f};
    TRY(head_product(hn, dev, i, pass, wide));
    for (int64_t at = 0; at < width; at += row) {
        HeadProduct part = {n.head - wide_row, n.head, at, narrow, 1.0f, at ? 1.0f : 0.0f};
        TRY(head_product(hn, dev, i, pass, part));
    }
    return OK;
}

static LoraView lora_view(const HypernetConfig *cfg, float *z, LoraModule m, int64_t items) {
    int64_t row = hypernet_head_row(cfg, m), width = hypernet_head_width(cfg, m), r = cfg->rank;
    if (cfg->size == HYPERNET_L)
        return (LoraView){.a = z,
                          .bt = z + r * cfg->in[m],
                          .a_stride = width,
                          .bt_stride = width,
                          .lda = cfg->in[m],
                          .ldb = cfg->out[m]};
    return (LoraView){
        .a = z, .bt = z + items * r * row, .a_stride = r * row, .bt_stride = r * row, .lda = row, .ldb = row};
}

static Status zero(Device *dev, float *x, int64_t n) {
    enum { BLOCK = 1 << 16 };
    if (dev->kind != DEVICE_CPU) return device_zero(dev, x, (size_t)n * sizeof *x);
#pragma omp parallel for num_threads(dev->n_threads) schedule(static)
    for (int64_t i = 0; i < n; i += BLOCK)
        memset(x + i, 0, (size_t)(n - i < BLOCK ? n - i : BLOCK) * sizeof *x);
    return OK;
}

static Status make_set(LoraSet *out, const Hypernet *hn, Device *dev, Rows n) {
    const HypernetConfig *cfg = &hn->cfg;
    const HypernetActs *s = hn->saved;
    int64_t items = s->tasks * cfg->n_layers;
    *out = (LoraSet){.dev = dev->kind == DEVICE_CPU ? NULL : dev,
                     .n_adapters = s->tasks,
                     .n_layers = cfg->n_layers,
                     .rank = cfg->rank,
                     .scale = (float)cfg->lora_scale,
                     .dropout = (float)cfg->lora_dropout};
    for (int i = 0; i < cfg->n_modules; i++) {
        LoraModule m = cfg->modules[i];
        out->on[m] = true;
        out->w[m] = lora_view(cfg, s->z[i], m, items);
        if (!s->run.train) continue;
        TRY(zero(dev, s->dz[i], n.n2 / cfg->n_modules * hypernet_head_width(cfg, m)));
        out->g[m] = lora_view(cfg, s->dz[i], m, items);
    }
    return OK;
}

/* ---- forward ---- */

/* Row numbers for the copies of concat and add_factors: task, layer and module of each row (m,t,l) of x0;
 * then, of each row of v, that of mlp1's output. They change with the number of tasks alone. */
static Status number_rows(const Hypernet *hn, Device *dev) {
    HypernetActs *s = hn->saved;
    int64_t t = s->tasks, l = hn->cfg.n_layers, per = t * l, n0 = hn->cfg.n_modules * per, n = 3 * n0;
    if (s->numbered == t) return OK;
    int32_t *at = s->host_index;
    for (int64_t i = 0; i < n0; i++) {
        at[i] = (int32_t)(i / l % t);
        at[n0 + i] = (int32_t)(i % l);
        at[2 * n0 + i] = (int32_t)(i / per);
    }
    for (int64_t i = 0; i < 2 * n0 && hn->cfg.size != HYPERNET_L; i++)
        at[n++] = (int32_t)(i / (2 * per) * per + i % per);
    s->numbered = t;
    return device_upload(dev, s->index, at, (size_t)n * sizeof *at);
}

/* y[i] = x[at[i]]; x [rows,C]. */
static Status take_rows(Device *dev, Tensor y, const float *x, int64_t rows, const int32_t *at) {
    return embedding_fwd(dev, y, at, device_2d(dev, (float *)x, rows, y.dim[1]),
                         (EmbeddingOpts){.scale = 1.0f});
}

/* x0[(m,t,l)] = task[t] | depth[l] | type[m]. */
static Status concat(const Hypernet *hn, Device *dev) {
    const HypernetActs *s = hn->saved;
    HypernetWidths w = hypernet_widths(&hn->cfg);
    int64_t t = s->tasks, l = hn->cfg.n_layers, m = hn->cfg.n_modules, n0 = m * t * l;
    Tensor x = device_2d(dev, s->x0, n0, w.trunk);
    TRY(number_rows(hn, dev));
    TRY(take_rows(dev, tensor_columns(x, 0, w.task), s->task, t, s->index));
    TRY(take_rows(dev, tensor_columns(x, w.task, w.depth), s->depth, l, s->index + n0));
    return take_rows(dev, tensor_columns(x, w.task + w.depth, w.type), s->type, m, s->index + 2 * n0);
}

/* v[(m,f,j)] = mlp1's output[(m,j)] + factor[(m,f)]. */
static Status add_factors(const Hypernet *hn, Device *dev, Rows n) {
    const HypernetActs *s = hn->saved;
    int64_t d = hypernet_widths(&hn->cfg).trunk, m = hn->cfg.n_modules, per = n.n0 / m;
    TRY(take_rows(dev, device_2d(dev, s->v, n.n1, d), s->mlp1.y, n.n0, s->index + 3 * n.n0));
    for (int64_t i = 0; i < 2 * m; i++)
        TRY(add_fwd(dev, device_2d(dev, s->v + i * per * d, per, d), device_1d(dev, s->factor + i * d, d)));
    return OK;
}

static Status encode(Hypernet *hn, Device *dev, Tensor embeddings) {
    const HypernetConfig *cfg = &hn->cfg;
    const HypernetActs *s = hn->saved;
    HypernetWidths w = hypernet_widths(cfg);
    int64_t e = cfg->embed, t = s->tasks, l = cfg->n_layers, m = cfg->n_modules;
    for (int64_t i = 0; i < t; i++)
        TRY(device_upload(dev, s->e + i * e, tensor_f32(embeddings) + i * embeddings.ld,
                          (size_t)e * sizeof(float)));
    TRY(hypernet_task_fwd(hn, dev));
    if (cfg->encoder != ENCODER_ONEHOT) {
        TRY(hypernet_norm_fwd(hn, dev, s->depth, s->depth_stats, param(hn, DEPTH), DEPTH_NORM_W, l, w.depth));
        TRY(hypernet_norm_fwd(hn, dev, s->type, s->type_stats, param(hn, TYPE), TYPE_NORM_W, m, w.type));
    }
    return concat(hn, dev);
}

/* Size S: s->s from mlp2's output; with rotary positions mlp2 follows once more. */
static Status ranks_fwd(const Hypernet *hn, Device *dev, Rows n) {
    const HypernetConfig *cfg = &hn->cfg;
    const HypernetActs *s = hn->saved;
    int64_t d = hypernet_widths(cfg).trunk, r = cfg->rank;
    if (!cfg->learned_positions) {
        rows_rotate(dev, s->s, s->mlp2.y, s->rotary, n.n1, r, d);
        return mlp_fwd(hn, dev, &s->mlp2_ranks, s->s, MLP2_RANKS, n.n2, d);
    }
    TRY(hypernet_norm_fwd(hn, dev, s->rank, s->rank_stats, param(hn, RANK), RANK_NORM_W, r, d));
    TRY(mlp_fwd(hn, dev, &s->mlp2_ranks, s->rank, MLP2_RANKS, r, d));
    rows_add_rank(dev, s->s, s->mlp2.y, s->mlp2_ranks.y, n.n1, r, d);
    return OK;
}

/* mlp3's input. */
static const float *head_trunk(const Hypernet *hn) {
    const HypernetActs *s = hn->saved;
    if (hn->cfg.size != HYPERNET_S) return s->mlp2.y;
    return hn->cfg.learned_positions ? s->s : s->mlp2_ranks.y;
}

Status hypernet_forward(LoraSet *out, Hypernet *hn, Device *dev, Tensor embeddings, HypernetRun run) {
    const HypernetConfig *cfg = &hn->cfg;
    HypernetActs *s = hn->saved;
    int64_t d = hypernet_widths(cfg).trunk;
    CHECK(embeddings.ndim == 2 && embeddings.dtype == DT_F32 && embeddings.dim[1] == cfg->embed,
          "hypernetwork: embeddings [T,%lld] f32", (long long)cfg->embed);
    CHECK(embeddings.dim[0] >= 1 && embeddings.dim[0] <= hn->max_tasks,
          "hypernetwork: %lld tasks of at most %lld", (long long)embeddings.dim[0], (long long)hn->max_tasks);
    CHECK(!run.train || hn->grads, "hypernetwork: a training pass needs training buffers");
    CHECK(run.step >> 40 == 0, "hypernetwork: step beyond 2^40");
    s->tasks = embeddings.dim[0];
    s->run = run;
    hn->commitment = 0;
    Rows n = count_rows(cfg, s->tasks);
    TRY(encode(hn, dev, embeddings));
    TRY(mlp_fwd(hn, dev, &s->mixer, s->x0, MIXER, n.n0, d));
    TRY(mlp_fwd(hn, dev, &s->mlp1, s->mixer.y, MLP1, n.n0, d));
    if (n.factors == 2) {
        float *e = hn->params + s->at.factors;
        TRY(hypernet_norm_fwd(hn, dev, s->factor, s->factor_stats, e, FACTOR_NORM_W, 2 * cfg->n_modules, d));
        TRY(add_factors(hn, dev, n));
    }
    TRY(mlp_fwd(hn, dev, &s->mlp2, s->v, MLP2, n.n1, d));
    if (cfg->size == HYPERNET_S) TRY(ranks_fwd(hn, dev, n));
    TRY(mlp_fwd(hn, dev, &s->mlp3, head_trunk(hn), MLP3, n.n2, cfg->head));
    for (int i = 0; i < cfg->n_modules; i++) TRY(head(hn, dev, i, HEAD_FWD));
    TRY(make_set(out, hn, dev, n));
    if (hn->output.on && (!run.train || hn->output.in_training)) hypernet_output_apply(hn, dev, out);
    return OK;
}

/* ---- backward ---- */

/* s->gb [N2,D], the gradient of mlp3's input -> s->gb [N1,D], that of mlp2's output. */
static Status ranks_bwd(const Hypernet *hn, Device *dev, Rows n) {
    const HypernetConfig *cfg = &hn->cfg;
    const HypernetActs *s = hn->saved;
    int64_t d = hypernet_widths(cfg).trunk, r = cfg->rank;
    if (!cfg->learned_positions) {
        TRY(mlp_bwd(hn, dev, s->ga, s->gb, &s->mlp2_ranks, s->s, MLP2_RANKS, n.n2, d));
        rows_rotate_back(dev, s->gb, s->ga, s->rotary, n.n1, r, d);
        return OK;
    }
    float *drank = s->small, *dx = s->small + r * d;
    TRY(rows_sum(dev, drank, s->gb,
                 (RowSum){.n = r, .c = d, .ld = d, .si = 1, .na = n.n1, .sa = r, .nb = 1}));
    TRY(mlp_bwd(hn, dev, dx, drank, &s->mlp2_ranks, s->rank, MLP2_RANKS, r, d));
    TRY(hypernet_norm_bwd(hn, dev, grad(hn, RANK), dx, param(hn, RANK), s->rank_stats, RANK_NORM_W, r, d));
    TRY(rows_sum(dev, s->ga, s->gb,
                 (RowSum){.n = n.n1, .c = d, .ld = d, .si = r, .na = 1, .nb = r, .sb = 1}));
    return device_copy(dev, s->gb, s->ga, (size_t)(n.n1 * d) * sizeof(float));
}

/* s->ga [N1,D], the gradient of mlp2's input -> s->gb [N0,D], that of mlp1's output. */
static Status factors_bwd(const Hypernet *hn, Device *dev, Rows n) {
    const HypernetActs *s = hn->saved;
    int64_t d = hypernet_widths(&hn->cfg).trunk, m = hn->cfg.n_modules, per = n.n0 / m;
    if (n.factors == 1) return device_copy(dev, s->gb, s->ga, (size_t)(n.n0 * d) * sizeof(float));
    TRY(rows_sum(dev, s->small, s->ga,
                 (RowSum){.n = 2 * m, .c = d, .ld = d, .si = per, .na = 1, .nb = per, .sb = 1}));
    TRY(hypernet_norm_bwd(hn, dev, hn->grads + s->at.factors, s->small, hn->params + s->at.factors,
                          s->factor_stats, FACTOR_NORM_W, 2 * m, d));
    for (int64_t i = 0; i < m; i++)
        TRY(rows_sum(dev, s->gb + i * per * d, s->ga + i * 2 * per * d,
                     (RowSum){.n = per, .c = d, .ld = d, .si = 1, .na = 2, .sa = per, .nb = 1}));
    return OK;
}

/* The learned offset's gradient: those of the adapters, summed over the tasks. */
static Status offset_bwd(const Hypernet *hn, Device *dev) {
    const HypernetConfig *cfg = &hn->cfg;
    const HypernetActs *s = hn->saved;
    int64_t l = cfg->n_layers, r = cfg->rank;
    for (int i = 0; i < 2 * cfg->n_modules; i++) {
        LoraModule m = cfg->modules[i / 2];
        LoraView v = lora_view(cfg, s->dz[i / 2], m, s->tasks * l);
        const float *g = i % 2 ? v.bt : v.a;
        int64_t ld = i % 2 ? v.ldb : v.lda, stride = i % 2 ? v.bt_stride : v.a_stride, at,
                c = hypernet_output_span(&at, cfg, i / 2, i % 2) / (l * r);
        RowSum items = {.n = l, .c = r * c, .ld = stride, .si = 1, .na = s->tasks, .sa = l, .nb = 1},
               ranks = {.n = l * r, .c = c, .ld = ld, .si = 1, .na = s->tasks, .sa = l * r, .nb = 1};
        TRY(rows_sum(dev, hn->grads + s->at.offset + at, g,
                     ld == c ? items : ranks)); /* else stride == r * ld */
    }
    return OK;
}

/* From s->gb [N0,D], the gradient of x0. */
static Status encode_bwd(const Hypernet *hn, Device *dev, Tensor d_embeddings) {
    const HypernetConfig *cfg = &hn->cfg;
    const HypernetActs *s = hn->saved;
    HypernetWidths w = hypernet_widths(cfg);
    int64_t d = w.trunk, t = s->tasks, l = cfg->n_layers, m = cfg->n_modules;
    float *dtask = s->small, *ddepth = dtask + t * w.task, *dtype = ddepth + l * w.depth;
    TRY(rows_sum(dev, dtask, s->gb,
                 (RowSum){.n = t, .c = w.task, .ld = d, .si = l, .na = m, .sa = t * l, .nb = l, .sb = 1}));
    TRY(hypernet_task_bwd(hn, dev, dtask, d_embeddings));
    if (cfg->encoder == ENCODER_ONEHOT) return OK;
    RowSum of_depth = {.n = l, .c = w.depth, .ld = d, .from = w.task, .si = 1},
           of_type = {.n = m, .c = w.type, .ld = d, .from = w.task + w.depth, .si = t * l};
    of_depth.na = m, of_depth.sa = t * l, of_depth.nb = t, of_depth.sb = l;
    of_type.na = t, of_type.sa = l, of_type.nb = l, of_type.sb = 1;
    TRY(rows_sum(dev, ddepth, s->gb, of_depth));
    TRY(rows_sum(dev, dtype, s->gb, of_type));
    TRY(hypernet_norm_bwd(hn, dev, grad(hn, DEPTH), ddepth, param(hn, DEPTH), s->depth_stats, DEPTH_NORM_W, l,
                          w.depth));
    return hypernet_norm_bwd(hn, dev, grad(hn, TYPE), dtype, param(hn, TYPE), s->type_stats, TYPE_NORM_W, m,
                             w.type);
}

Status hypernet_backward(Hypernet *hn, Device *dev, Tensor d_embeddings) {
    const HypernetConfig *cfg = &hn->cfg;
    const HypernetActs *s = hn->saved;
    int64_t d = hypernet_widths(cfg).trunk;
    CHECK(s->run.train && s->tasks > 0, "hypernetwork: backward follows a training forward");
    Rows n = count_rows(cfg, s->tasks);
    TRY(zero(dev, hn->grads, s->at.n_trunk));
    for (int i = 0; i < cfg->n_modules; i++) TRY(head(hn, dev, i, HEAD_BWD));
    if (cfg->learned_offset) TRY(offset_bwd(hn, dev));
    TRY(mlp_bwd(hn, dev, s->gb, s->ga, &s->mlp3, head_trunk(hn), MLP3, n.n2, cfg->head));
    if (cfg->size == HYPERNET_S) TRY(ranks_bwd(hn, dev, n));
    TRY(mlp_bwd(hn, dev, s->ga, s->gb, &s->mlp2, s->v, MLP2, n.n1, d));
    TRY(factors_bwd(hn, dev, n));
    TRY(mlp_bwd(hn, dev, s->ga, s->gb, &s->mlp1, s->mixer.y, MLP1, n.n0, d));
    TRY(mlp_bwd(hn, dev, s->gb, s->ga, &s->mixer, s->x0, MIXER, n.n0, d));
    return encode_bwd(hn, dev, d_embeddings);
}
