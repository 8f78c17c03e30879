/* Forward and backward of the decoder as two mirrored lists of operations, one for all families: what differs
 * is in LlmConfig. The residual stream x is f32 and only ever added to; in inference all layers share one set
 * of buffers, in training each keeps its own. Base weights are frozen: only adapters have gradients, so layer
 * 0 stops at its projections. */
#include "model/llm.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    NOISE_SITE = 0xffff
}; /* random stream of a step: step*65536 + site, LoRA sites are layer*LORA_MODULES + module */

AdapterShape llm_adapter_shape(const LlmConfig *c) {
    int64_t q = c->heads * c->head_dim, kv = c->groups * c->head_dim;
    AdapterShape s = {(int)c->n_layers,
                      {c->width, c->width, c->width, q, c->width, c->width, c->ffn},
                      {q, kv, kv, c->width, c->ffn, c->ffn, c->width}};
    return s;
}

static int64_t qkv_width(const LlmConfig *c) {
    return (c->heads + 2 * c->groups) * c->head_dim;
}

/* Where a module's output lies: columns of the fused product it is part of. */
static int64_t module_column(const LlmConfig *c, LoraModule m) {
    switch (m) {
    case K_PROJ:
        return c->heads * c->head_dim;
    case V_PROJ:
        return (c->heads + c->groups) * c->head_dim;
    case UP_PROJ:
        return c->ffn;
    default:
        return 0;
    }
}

static void acts_bind(LlmActs *a, const LlmConfig *c) {
    int64_t n = a->max_tokens, r = a->max_rows, q = c->heads * c->head_dim;
    int64_t sets = a->training ? c->n_layers : 1, branch = c->post_norms ? n * c->width : 0;
    for (int64_t l = 0; l < sets; l++) {
        LlmLayerActs *y = &a->layers[l];
        y->x = arena_f32(&a->mem, n * c->width);
        y->mid = a->training ? arena_f32(&a->mem, n * c->width) : y->x;
        y->attn_rstd = arena_f32(&a->mem, n);
        y->ffn_rstd = arena_f32(&a->mem, n);
        y->qkv = arena_f32(&a->mem, n * qkv_width(c));
        y->attn = arena_f32(&a->mem, n * q);
        y->lse = arena_f32(&a->mem, n * c->heads);
        y->gu = arena_f32(&a->mem, n * 2 * c->ffn);
        y->attn_out = arena_f32(&a->mem, branch);
        y->ffn_out = a->training ? arena_f32(&a->mem, branch) : y->attn_out;
        y->attn_post_rstd = arena_f32(&a->mem, n);
        y->ffn_post_rstd = arena_f32(&a->mem, n);
        for (int m = 0; m < LORA_MODULES; m++) y->h[m] = arena_f32(&a->mem, n * a->rank);
    }
    for (int64_t l = sets; l < c->n_layers; l++) a->layers[l] = a->layers[0];
    a->x_final = a->training ? arena_f32(&a->mem, n * c->width) : a->layers[0].x;
    a->xn = arena_f32(&a->mem, n * c->width);
    a->act = arena_f32(&a->mem, n * c->ffn);
    a->cs = arena_f32(&a->mem, n * c->head_dim);
    a->rows_x = arena_f32(&a->mem, r * c->width);
    a->rstd = arena_f32(&a->mem, r);
    a->rows = arena_f32(&a->mem, r * c->width);
    if (!a->training) return;
    a->drows = arena_f32(&a->mem, r * c->width);
    a->drows_x = arena_f32(&a->mem, r * c->width);
    a->dx = arena_f32(&a->mem, n * c->width);
    a->dxn = arena_f32(&a->mem, n * c->width);
    a->dact = arena_f32(&a->mem, n * c->ffn);
    a->dattn = arena_f32(&a->mem, n * q);
    a->dqkv = arena_f32(&a->mem, n * qkv_width(c));
    a->dbranch = arena_f32(&a->mem, branch);
}

Status llm_acts_init(LlmActs *acts, const Llm *llm, int64_t max_tokens, int64_t max_seqs, int64_t max_rows,
                     int64_t rank, bool training) {
    memset(acts, 0, sizeof *acts);
    acts->max_tokens = max_tokens;
    acts->max_seqs = max_seqs;
    acts->max_rows = max_rows;
    acts->rank = rank;
    acts->training = training;
    acts->layers = calloc((size_t)llm->cfg.n_layers, sizeof *acts->layers);
    if (!acts->layers)
        return status_error(E_ENV, "no memory for the activations of %lld layers",
                            (long long)llm->cfg.n_layers);
    acts->mem = arena_measure("activations");
    acts_bind(acts, &llm->cfg);
    Status s = arena_commit(&acts->mem);
    if (!status_is_ok(s)) {
        llm_acts_free(acts);
        return s;
    }
    acts_bind(acts, &llm->cfg);
    return OK;
}

void llm_acts_free(LlmActs *acts) {
    free(acts->layers);
    arena_free(&acts->mem);
    memset(acts, 0, sizeof *acts);
}

/* What a pass over the layers needs to know. */
typedef struct Pass {
    const Llm *llm;
    Device *dev;
    LlmActs *acts;
    const LoraSet *loras;
    int64_t n_tokens, n_seqs;
    const int32_t *cu_seqlens, *adapter;
    LlmRun run;
    LlmCache *cache;           /* NULL: none */
    const int32_t *slot, *len; /* decoding: len, else NULL */
} Pass;

static AttentionShape attention_shape(const LlmConfig *c, int64_t layer) {
    AttentionShape s = {c->heads,
                        c->groups,
                        c->head_dim,
                        c->attn_scale,
                        true,
                        c->attn_softcap,
                        c->windowed[layer] ? c->window : 0};
    return s;
}

static LoraOpts lora_opts(const Pass *p, int64_t layer, LoraModule m) {
    LoraOpts o = {p->loras->rank, p->loras->scale, p->run.train ? p->loras->dropout : 0.0f, p->run.seed,
                  (p->run.step << 16) | (uint64_t)(layer * LORA_MODULES + m)};
    return o;
}

static bool has_lora(const Pass *p, LoraModule m) {
    return p->loras && p->loras->on[m];
}

static Tensor mat(float *data, int64_t rows, int64_t cols) {
    return tensor_2d(data, DT_F32, rows, cols);
}

/* Adds the adapter's part of module m to its columns of y. */
static Status lora_add(const Pass *p, int64_t layer, LoraModule m, Tensor y, Tensor x) {
    if (!has_lora(p, m)) return OK;
    AdapterShape shape = llm_adapter_shape(&p->llm->cfg);
    Tensor out = tensor_columns(y, module_column(&p->llm->cfg, m), shape.out[m]);
    Tensor h = mat(p->acts->layers[layer].h[m], x.dim[0], p->loras->rank);
    return lora_fwd(p->dev, out, h, x, lora_layer(p->loras->w[m], layer, p->loras->n_layers), p->adapter,
                    p->cu_seqlens, p->n_seqs, lora_opts(p, layer, m));
}

/* Adapter gradients of module m, and its part of dx (dx.data NULL: not wanted). */
static Status lora_sub(const Pass *p, int64_t layer, LoraModule m, Tensor dx, Tensor dy, Tensor x) {
    if (!has_lora(p, m)) return OK;
    AdapterShape shape = llm_adapter_shape(&p->llm->cfg);
    Tensor dout = tensor_columns(dy, module_column(&p->llm->cfg, m), shape.out[m]);
    Tensor h = mat(p->acts->layers[layer].h[m], x.dim[0], p->loras->rank);
    return lora_bwd(p->dev, dx, lora_layer(p->loras->g[m], layer, p->loras->n_layers), dout, h, x,
                    lora_layer(p->loras->w[m], layer, p->loras->n_layers), p->adapter, p->cu_seqlens,
                    p->n_seqs, lora_opts(p, layer, m));
}

/* Copies keys and values of the batch into their slots. */
static void cache_store(const Pass *p, int64_t layer, Tensor k, Tensor v) {
    LlmCache *c = p->cache;
    for (int64_t b = 0; b < p->n_seqs; b++)
        for (int64_t n = p->cu_seqlens[b]; n < p->cu_seqlens[b + 1]; n++) {
            int64_t pos = p->len ? p->len[b] - 1 : n - p->cu_seqlens[b];
            CHECK(pos >= 0 && pos < c->max_len && p->slot[b] >= 0 && p->slot[b] < c->slots,
                  "position %lld of slot %d in a cache of %lld x %lld", (long long)pos, (int)p->slot[b],
                  (long long)c->slots, (long long)c->max_len);
            int64_t at = ((layer * c->slots + p->slot[b]) * c->max_len + pos) * c->kv_width;
            memcpy(c->k + at, tensor_f32(k) + n * k.ld, (size_t)c->kv_width * sizeof(float));
            memcpy(c->v + at, tensor_f32(v) + n * v.ld, (size_t)c->kv_width * sizeof(float));
        }
}

static Status attend(const Pass *p, int64_t layer, Tensor attn, Tensor qkv) {
    const LlmConfig *c = &p->llm->cfg;
    int64_t hd = c->heads * c->head_dim, gd = c->groups * c->head_dim;
    Tensor q = tensor_columns(qkv, 0, hd), k = tensor_columns(qkv, hd, gd),
           v = tensor_columns(qkv, hd + gd, gd);
    TRY(rope_fwd(p->dev, tensor_columns(qkv, 0, hd + gd), mat(p->acts->cs, p->n_tokens, c->head_dim)));
    if (p->cache) cache_store(p, layer, k, v);
    if (!p->len)
        return attention_fwd(p->dev, attn, mat(p->acts->layers[layer].lse, p->n_tokens, c->heads), q, k, v,
                             p->cu_seqlens, p->n_seqs, attention_shape(c, layer));
    int64_t span = p->cache->slots * p->cache->max_len * gd;
    Tensor kc = tensor_3d(p->cache->k + layer * span, DT_F32, p->cache->slots, p->cache->max_len, gd);
    Tensor vc = tensor_3d(p->cache->v + layer * span, DT_F32, p->cache->slots, p->cache->max_len, gd);
    return attention_decode(p->dev, attn, q, kc, vc, p->slot, p->len, attention_shape(c, layer));
}

/* dst <- src where they are different buffers. */
static float *carry(float *dst, const float *src, int64_t n) {
    if (dst != src) memcpy(dst, src, (size_t)n * sizeof(float));
    return dst;
}

/* Where a branch's last product goes: added to the stream, or kept apart for its post-norm. */
static Tensor branch_of(const Pass *p, float *apart, Tensor stream) {
    return p->llm->cfg.post_norms ? mat(apart, stream.dim[0], stream.dim[1]) : stream;
}

/* stream += norm(branch), where branch is not the stream itself. Spoils acts->xn. */
static Status join(const Pass *p, Tensor stream, Tensor branch, Tensor w, float *rstd) {
    if (branch.data == stream.data) return OK;
    Tensor normed = mat(p->acts->xn, stream.dim[0], stream.dim[1]);
    TRY(rmsnorm_fwd(p->dev, normed, tensor_1d(rstd, DT_F32, stream.dim[0]), branch, w, p->llm->cfg.norm_eps));
    return add_fwd(p->dev, stream, normed);
}

/* *dbranch: dstream itself, or its gradient through the norm. */
static Status part(const Pass *p, Tensor *dbranch, Tensor dstream, Tensor branch, Tensor w, float *rstd) {
    *dbranch = dstream;
    if (!p->llm->cfg.post_norms) return OK;
    *dbranch = mat(p->acts->dbranch, dstream.dim[0], dstream.dim[1]);
    memset(p->acts->dbranch, 0, (size_t)tensor_numel(dstream) * sizeof(float));
    return rmsnorm_bwd(p->dev, *dbranch, dstream, branch, w, tensor_1d(rstd, DT_F32, dstream.dim[0]));
}

static Status layer_forward(const Pass *p, int64_t l) {
    const LlmConfig *c = &p->llm->cfg;
    const LlmLayer *w = &p->llm->layers[l];
    LlmActs *a = p->acts;
    LlmLayerActs *y = &a->layers[l];
    Device *dev = p->dev;
    int64_t n = p->n_tokens, width = c->width;
    MatmulOpts set = {false}, into = {!c->post_norms};
    Tensor xn = mat(a->xn, n, width), qkv = mat(y->qkv, n, qkv_width(c)),
           attn = mat(y->attn, n, c->heads * c->head_dim);
    Tensor gu = mat(y->gu, n, 2 * c->ffn), act = mat(a->act, n, c->ffn);

    TRY(rmsnorm_fwd(dev, xn, tensor_1d(y->attn_rstd, DT_F32, n), mat(y->x, n, width), w->attn_norm,
                    c->norm_eps));
    TRY(matmul_fwd(dev, qkv, xn, &w->qkv, set));
    if (c->qkv_bias) TRY(add_fwd(dev, qkv, w->qkv_bias));
    TRY(lora_add(p, l, Q_PROJ, qkv, xn));
    TRY(lora_add(p, l, K_PROJ, qkv, xn));
    TRY(lora_add(p, l, V_PROJ, qkv, xn));
    TRY(attend(p, l, attn, qkv));
    Tensor mid = mat(carry(y->mid, y->x, n * width), n, width);
    Tensor branch = branch_of(p, y->attn_out, mid);
    TRY(matmul_fwd(dev, branch, attn, &w->o, into));
    TRY(lora_add(p, l, O_PROJ, branch, attn));
    TRY(join(p, mid, branch, w->attn_post_norm, y->attn_post_rstd));

    TRY(rmsnorm_fwd(dev, xn, tensor_1d(y->ffn_rstd, DT_F32, n), mid, w->ffn_norm, c->norm_eps));
    TRY(matmul_fwd(dev, gu, xn, &w->gate_up, set));
    TRY(lora_add(p, l, GATE_PROJ, gu, xn));
    TRY(lora_add(p, l, UP_PROJ, gu, xn));
    TRY(glu_fwd(dev, act, gu, c->act));
    float *next = l + 1 < c->n_layers ? a->layers[l + 1].x : a->x_final;
    Tensor out = mat(carry(next, y->mid, n * width), n, width);
    branch = branch_of(p, y->ffn_out, out);
    TRY(matmul_fwd(dev, branch, act, &w->down, into));
    TRY(lora_add(p, l, DOWN_PROJ, branch, act));
    return join(p, out, branch, w->ffn_post_norm, y->ffn_post_rstd);
}

/* a->dx: gradient of the layer's output in, of its input out (not for layer 0, whose input needs none). */
static Status layer_backward(const Pass *p, int64_t l) {
    const LlmConfig *c = &p->llm->cfg;
    const LlmLayer *w = &p->llm->layers[l];
    LlmActs *a = p->acts;
    LlmLayerActs *y = &a->layers[l];
    Device *dev = p->dev;
    int64_t n = p->n_tokens, width = c->width, hd = c->heads * c->head_dim, gd = c->groups * c->head_dim;
    MatmulOpts set = {false};
    Tensor xn = mat(a->xn, n, width), x = mat(y->x, n, width), mid = mat(y->mid, n, width);
    Tensor qkv = mat(y->qkv, n, qkv_width(c)), attn = mat(y->attn, n, hd);
    Tensor gu = mat(y->gu, n, 2 * c->ffn), act = mat(a->act, n, c->ffn);
    Tensor dx = mat(a->dx, n, width), dxn = mat(a->dxn, n, width), dact = mat(a->dact, n, c->ffn);
    Tensor dattn = mat(a->dattn, n, hd), dqkv = mat(a->dqkv, n, qkv_width(c));
    Tensor attn_rstd = tensor_1d(y->attn_rstd, DT_F32, n), ffn_rstd = tensor_1d(y->ffn_rstd, DT_F32, n);

    Tensor dbranch;
    TRY(part(p, &dbranch, dx, branch_of(p, y->ffn_out, dx), w->ffn_post_norm, y->ffn_post_rstd));
    TRY(matmul_bwd(dev, dact, dbranch, &w->down, set));
    if (has_lora(p, DOWN_PROJ)) {
        TRY(glu_fwd(dev, act, gu, c->act));
        TRY(lora_sub(p, l, DOWN_PROJ, dact, dbranch, act));
    }
    TRY(glu_bwd(dev, gu, dact, gu, c->act)); /* the gradient takes gu's place */
    TRY(matmul_bwd(dev, dxn, gu, &w->gate_up, set));
    if (has_lora(p, GATE_PROJ) || has_lora(p, UP_PROJ)) {
        TRY(rmsnorm_fwd(dev, xn, ffn_rstd, mid, w->ffn_norm, c->norm_eps));
        TRY(lora_sub(p, l, UP_PROJ, dxn, gu, xn));
        TRY(lora_sub(p, l, GATE_PROJ, dxn, gu, xn));
    }
    TRY(rmsnorm_bwd(dev, dx, dxn, mid, w->ffn_norm, ffn_rstd));

    TRY(part(p, &dbranch, dx, branch_of(p, y->attn_out, dx), w->attn_post_norm, y->attn_post_rstd));
    TRY(matmul_bwd(dev, dattn, dbranch, &w->o, set));
    TRY(lora_sub(p, l, O_PROJ, dattn, dbranch, attn));
    TRY(attention_bwd(dev, tensor_columns(dqkv, 0, hd), tensor_columns(dqkv, hd, gd),
                      tensor_columns(dqkv, hd + gd, gd), dattn, attn, mat(y->lse, n, c->heads),
                      tensor_columns(qkv, 0, hd), tensor_columns(qkv, hd, gd),
                      tensor_columns(qkv, hd + gd, gd), p->cu_seqlens, p->n_seqs, attention_shape(c, l)));
    TRY(rope_bwd(dev, tensor_columns(dqkv, 0, hd + gd), mat(a->cs, n, c->head_dim)));
    Tensor dinput = dxn;
    if (l == 0)
        dinput.data = NULL;
    else
        TRY(matmul_bwd(dev, dxn, dqkv, &w->qkv, set));
    if (has_lora(p, Q_PROJ) || has_lora(p, K_PROJ) || has_lora(p, V_PROJ)) {
        TRY(rmsnorm_fwd(dev, xn, attn_rstd, x, w->attn_norm, c->norm_eps));
        TRY(lora_sub(p, l, V_PROJ, dinput, dqkv, xn));
        TRY(lora_sub(p, l, K_PROJ, dinput, dqkv, xn));
        TRY(lora_sub(p, l, Q_PROJ, dinput, dqkv, xn));
    }
    return l == 0 ? OK : rmsnorm_bwd(dev, dx, dxn, x, w->attn_norm, attn_rstd);
}

static void check_adapters(const Pass *p) {
    const LoraSet *s = p->loras;
    if (!s) return;
    CHECK(s->n_layers == p->llm->cfg.n_layers && s->rank <= p->acts->rank,
          "adapters of %lld layers and rank %lld; the model has %lld, the buffers are for rank %lld",
          (long long)s->n_layers, (long long)s->rank, (long long)p->llm->cfg.n_layers,
          (long long)p->acts->rank);
    for (int64_t b = 0; b < p->n_seqs; b++)
        CHECK(p->adapter[b] < s->n_adapters, "adapter %d of %lld", (int)p->adapter[b],
              (long long)s->n_adapters);
}

static Status embed_and_run(const Pass *p, const int32_t *ids, const int32_t *pos, float noise) {
    const LlmConfig *c = &p->llm->cfg;
    check_adapters(p);
    /* NEFTune's noise is on the table's rows, before they are scaled */
    EmbeddingOpts eo = {c->embed_scale, c->embed_scale * noise, p->run.seed,
                        (p->run.step << 16) | NOISE_SITE};
    TRY(embedding_fwd(p->dev, mat(p->acts->layers[0].x, p->n_tokens, c->width), ids, p->llm->embed, eo));
    TRY(rope_table(p->dev, mat(p->acts->cs, p->n_tokens, c->head_dim), pos, p->llm->inv_freq));
    for (int64_t l = 0; l < c->n_layers; l++) TRY(layer_forward(p, l));
    return OK;
}

/* rows <- final norm of the given packed positions. */
static Status gather_rows(const Pass *p, const int32_t *row, int64_t n_rows) {
    const LlmConfig *c = &p->llm->cfg;
    LlmActs *a = p->acts;
    for (int64_t i = 0; i < n_rows; i++) {
        CHECK(row[i] >= 0 && row[i] < p->n_tokens, "row %d of %lld tokens", (int)row[i],
              (long long)p->n_tokens);
        memcpy(a->rows_x + i * c->width, a->x_final + row[i] * c->width, (size_t)c->width * sizeof(float));
    }
    return rmsnorm_fwd(p->dev, mat(a->rows, n_rows, c->width), tensor_1d(a->rstd, DT_F32, n_rows),
                       mat(a->rows_x, n_rows, c->width), p->llm->norm, c->norm_eps);
}

static Pass make_pass(const Llm *llm, Device *dev, LlmActs *acts, const LlmBatch *b, const LoraSet *loras,
                      LlmRun run) {
    CHECK(b->n_tokens <= acts->max_tokens && b->n_seqs <= acts->max_seqs && b->n_rows <= acts->max_rows,
          "a batch of %lld tokens, %lld sequences, %lld rows in buffers for %lld, %lld, %lld",
          (long long)b->n_tokens, (long long)b->n_seqs, (long long)b->n_rows, (long long)acts->max_tokens,
          (long long)acts->max_seqs, (long long)acts->max_rows);
    Pass p = {llm,           dev,        acts, loras, b->n_tokens, b->n_seqs,
              b->cu_seqlens, b->adapter, run,  NULL,  NULL,        NULL};
    return p;
}

static float neftune_amplitude(const Llm *llm, const LlmBatch *b, LlmRun run) {
    int32_t longest = 1;
    for (int64_t i = 0; i < b->n_seqs; i++) {
        int32_t len = b->cu_seqlens[i + 1] - b->cu_seqlens[i];
        if (len > longest) longest = len;
    }
    return run.train ? run.neftune_alpha / sqrtf((float)longest * (float)llm->cfg.width) : 0.0f;
}

Status llm_forward(const Llm *llm, Device *dev, LlmActs *acts, const LlmBatch *batch, const LoraSet *loras,
                   LlmRun run) {
    Pass p = make_pass(llm, dev, acts, batch, loras, run);
    TRY(embed_and_run(&p, batch->ids, batch->pos, neftune_amplitude(llm, batch, run)));
    return gather_rows(&p, batch->row, batch->n_rows);
}

Status llm_loss(double *loss, const Llm *llm, Device *dev, LlmActs *acts, const LlmBatch *batch,
                CrossEntropyOut out, float smoothing) {
    Tensor rows = mat(acts->rows, batch->n_rows, llm->cfg.width),
           drows = mat(acts->drows, batch->n_rows, llm->cfg.width);
    CrossEntropyOpts opts = {smoothing, llm->cfg.out_softcap};
    TRY(cross_entropy(dev, out, drows, rows, &llm->head, batch->label, batch->weight, opts));
    *loss = 0.0;
    for (int64_t i = 0; i < batch->n_rows; i++) *loss += (double)batch->weight[i] * (double)out.loss[i];
    return OK;
}

Status llm_backward(const Llm *llm, Device *dev, LlmActs *acts, const LlmBatch *batch, const LoraSet *loras,
                    LlmRun run) {
    CHECK(acts->training && loras, "llm_backward without training buffers or adapters");
    Pass p = make_pass(llm, dev, acts, batch, loras, run);
    int64_t width = llm->cfg.width, r = batch->n_rows;
    memset(acts->drows_x, 0, (size_t)(r * width) * sizeof(float));
    TRY(rmsnorm_bwd(dev, mat(acts->drows_x, r, width), mat(acts->drows, r, width),
                    mat(acts->rows_x, r, width), llm->norm, tensor_1d(acts->rstd, DT_F32, r)));
    memset(acts->dx, 0, (size_t)(batch->n_tokens * width) * sizeof(float));
    for (int64_t i = 0; i < r; i++)
        for (int64_t c = 0; c < width; c++)
            acts->dx[batch->row[i] * width + c] += acts->drows_x[i * width + c];
    for (int64_t l = llm->cfg.n_layers - 1; l >= 0; l--) TRY(layer_backward(&p, l));
    return OK;
}

static void cache_bind(LlmCache *c, int64_t n_layers) {
    int64_t n = n_layers * c->slots * c->max_len * c->kv_width;
    c->k = arena_f32(&c->mem, n);
    c->v = arena_f32(&c->mem, n);
}

Status llm_cache_init(LlmCache *cache, const Llm *llm, int64_t slots, int64_t max_len) {
    LlmCache c = {slots, max_len, llm->cfg.groups * llm->cfg.head_dim,
                  NULL,  NULL,    arena_measure("key/value cache")};
    cache_bind(&c, llm->cfg.n_layers);
    TRY(arena_commit(&c.mem));
    cache_bind(&c, llm->cfg.n_layers);
    *cache = c;
    return OK;
}

void llm_cache_free(LlmCache *cache) {
    arena_free(&cache->mem);
    memset(cache, 0, sizeof *cache);
}

Status llm_prefill(const Llm *llm, Device *dev, LlmActs *acts, const LlmBatch *batch, const LoraSet *loras,
                   LlmCache *cache, const int32_t *slot) {
    LlmRun run = {false, 0.0f, 0, 0};
    Pass p = make_pass(llm, dev, acts, batch, loras, run);
    p.cache = cache;
    p.slot = slot;
    TRY(embed_and_run(&p, batch->ids, batch->pos, 0.0f));
    return gather_rows(&p, batch->row, batch->n_rows);
}

Status llm_decode(const Llm *llm, Device *dev, LlmActs *acts, int64_t n_seqs, const int32_t *ids,
                  const int32_t *slot, const int32_t *len, const int32_t *adapter, const LoraSet *loras,
                  LlmCache *cache) {
    CHECK(!acts->training && n_seqs <= acts->max_tokens && n_seqs <= acts->max_rows,
          "%lld sequences to decode", (long long)n_seqs);
    size_t mark = arena_mark(&dev->scratch);
    int32_t *cu = arena_i32(&dev->scratch, n_seqs + 1), *pos = arena_i32(&dev->scratch, n_seqs);
    for (int64_t b = 0; b <= n_seqs; b++) cu[b] = (int32_t)b;
    for (int64_t b = 0; b < n_seqs; b++) pos[b] = len[b] - 1;
    LlmRun run = {false, 0.0f, 0, 0};
    Pass p = {llm, dev, acts, loras, n_seqs, n_seqs, cu, adapter, run, cache, slot, len};
    Status s = embed_and_run(&p, ids, pos, 0.0f);
    if (status_is_ok(s)) s = gather_rows(&p, cu, n_seqs);
    arena_release(&dev->scratch, mark);
    return s;
}

Status llm_logits(const Llm *llm, Device *dev, Tensor logits, const LlmActs *acts) {
    MatmulOpts set = {false};
    TRY(matmul_fwd(dev, logits, mat(acts->rows, logits.dim[0], llm->cfg.width), &llm->head, set));
    return llm->cfg.out_softcap > 0.0f ? softcap_fwd(dev, logits, llm->cfg.out_softcap) : OK;
}
