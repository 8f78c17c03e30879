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

/* Room for the host's arrays, and for what the host wants back. */
static void bind_copies(LlmActs *a) {
    int64_t n = a->max_tokens, r = a->max_rows;
    a->in = (LlmInputs){.ids = arena_i32(&a->mem, n),
                        .pos = arena_i32(&a->mem, n),
                        .cu_seqlens = arena_i32(&a->mem, n + 1), /* decoding: a sequence a token */
                        .adapter = arena_i32(&a->mem, n),
                        .row = arena_i32(&a->mem, r),
                        .label = arena_i32(&a->mem, r),
                        .weight = arena_f32(&a->mem, r),
                        .slot = arena_i32(&a->mem, n),
                        .len = arena_i32(&a->mem, n),
                        .place = arena_i32(&a->mem, n)};
    a->out = (CrossEntropyOut){.nll = arena_f32(&a->mem, r),
                               .loss = arena_f32(&a->mem, r),
                               .entropy = arena_f32(&a->mem, r),
                               .argmax = arena_i32(&a->mem, r)};
}

static void host_bind(LlmActs *a) {
    a->host_cu = arena_i32(&a->host, a->max_tokens + 1);
    a->host_pos = arena_i32(&a->host, a->max_tokens);
    a->host_place = arena_i32(&a->host, a->max_tokens);
}

static void acts_bind(LlmActs *a, const LlmConfig *c, bool apart) {
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
    if (apart) bind_copies(a);
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
    bool apart = llm->dev->kind != DEVICE_CPU;
    acts->mem = arena_measure("activations");
    acts->host = arena_measure("batch");
    acts_bind(acts, &llm->cfg, apart);
    host_bind(acts);
    Status s = arena_commit_on(&acts->mem, llm->dev);
    if (status_is_ok(s)) s = arena_commit(&acts->host);
    if (!status_is_ok(s)) {
        llm_acts_free(acts);
        return s;
    }
    acts_bind(acts, &llm->cfg, apart);
    host_bind(acts);
    return OK;
}

void llm_acts_free(LlmActs *acts) {
    free(acts->layers);
    arena_free(&acts->mem);
    arena_free(&acts->host);
    memset(acts, 0, sizeof *acts);
}

/* What a pass over the layers needs to know. */
typedef struct Pass {
    const Llm *llm;
    Device *dev;
    LlmActs *acts;
    const LoraSet *loras;
    int64_t n_tokens, n_seqs;
    LlmRun run;
    LlmCache *cache; /* NULL: none */
    bool decode;     /* one token a sequence, against the cache */
} Pass;

/* Makes *there what the device reads for the host's array: that itself, or a copy. */
static Status send(Device *dev, const int32_t **there, const int32_t *host, int64_t n) {
    if (dev->kind != DEVICE_CPU) return device_upload(dev, (void *)*there, host, (size_t)n * sizeof *host);
    *there = host;
    return OK;
}

/* The way back: nothing where the two are one, or not wanted. */
static Status bring(Device *dev, void *host, const void *there, size_t bytes) {
    return host == there ? OK : device_download(dev, host, there, bytes);
}

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

/* Adds the adapter's part of module m to its columns of y. */
static Status lora_add(const Pass *p, int64_t layer, LoraModule m, Tensor y, Tensor x) {
    if (!has_lora(p, m)) return OK;
    AdapterShape shape = llm_adapter_shape(&p->llm->cfg);
    Tensor out = tensor_columns(y, module_column(&p->llm->cfg, m), shape.out[m]);
    Tensor h = device_2d(p->dev, p->acts->layers[layer].h[m], x.dim[0], p->loras->rank);
    return lora_fwd(p->dev, out, h, x, lora_layer(p->loras->w[m], layer, p->loras->n_layers),
                    p->acts->in.adapter, p->acts->in.cu_seqlens, p->n_seqs, lora_opts(p, layer, m));
}

/* Adapter gradients of module m, and its part of dx (dx.data NULL: not wanted). */
static Status lora_sub(const Pass *p, int64_t layer, LoraModule m, Tensor dx, Tensor dy, Tensor x) {
    if (!has_lora(p, m)) return OK;
    AdapterShape shape = llm_adapter_shape(&p->llm->cfg);
    Tensor dout = tensor_columns(dy, module_column(&p->llm->cfg, m), shape.out[m]);
    Tensor h = device_2d(p->dev, p->acts->layers[layer].h[m], x.dim[0], p->loras->rank);
    return lora_bwd(p->dev, dx, lora_layer(p->loras->g[m], layer, p->loras->n_layers), dout, h, x,
                    lora_layer(p->loras->w[m], layer, p->loras->n_layers), p->acts->in.adapter,
                    p->acts->in.cu_seqlens, p->n_seqs, lora_opts(p, layer, m));
}

/* Sends where in the cache each token of the host's batch has its key and value. */
static Status send_places(const Pass *p, const int32_t *cu_seqlens, const int32_t *slot, const int32_t *len) {
    const LlmCache *c = p->cache;
    CHECK(c->slots * c->max_len <= INT32_MAX, "a cache of %lld x %lld", (long long)c->slots,
          (long long)c->max_len);
    for (int64_t b = 0; b < p->n_seqs; b++)
        for (int64_t n = cu_seqlens[b]; n < cu_seqlens[b + 1]; n++) {
            int64_t pos = len ? len[b] - 1 : n - cu_seqlens[b];
            CHECK(pos >= 0 && pos < c->max_len && slot[b] >= 0 && slot[b] < c->slots,
                  "position %lld of slot %d in a cache of %lld x %lld", (long long)pos, (int)slot[b],
                  (long long)c->slots, (long long)c->max_len);
            p->acts->host_place[n] = (int32_t)(slot[b] * c->max_len + pos);
        }
    return send(p->dev, &p->acts->in.place, p->acts->host_place, p->n_tokens);
}

/* One layer's keys (values) of the cache. */
static Tensor cached(const Pass *p, float *data, int64_t layer) {
    const LlmCache *c = p->cache;
    Tensor t = tensor_3d(data + layer * c->slots * c->max_len * c->kv_width, DT_F32, c->slots, c->max_len,
                         c->kv_width);
    t.device = p->dev->kind;
    return t;
}

/* The same, a row a position. */
static Tensor positions(Tensor cache) {
    Tensor t = tensor_2d(cache.data, cache.dtype, cache.dim[0] * cache.dim[1], cache.dim[2]);
    t.device = cache.device;
    return t;
}

static Status attend(const Pass *p, int64_t layer, Tensor attn, Tensor qkv) {
    const LlmConfig *c = &p->llm->cfg;
    int64_t hd = c->heads * c->head_dim, gd = c->groups * c->head_dim;
    Tensor q = tensor_columns(qkv, 0, hd), k = tensor_columns(qkv, hd, gd),
           v = tensor_columns(qkv, hd + gd, gd);
    TRY(rope_fwd(p->dev, tensor_columns(qkv, 0, hd + gd),
                 device_2d(p->dev, p->acts->cs, p->n_tokens, c->head_dim)));
    const LlmInputs *in = &p->acts->in;
    Tensor kc = {0}, vc = {0};
    if (p->cache) {
        kc = cached(p, p->cache->k, layer);
        vc = cached(p, p->cache->v, layer);
        TRY(rows_put(p->dev, positions(kc), k, in->place));
        TRY(rows_put(p->dev, positions(vc), v, in->place));
    }
    if (p->decode)
        return attention_decode(p->dev, attn, q, kc, vc, in->slot, in->len, attention_shape(c, layer));
    Tensor lse = device_2d(p->dev, p->acts->layers[layer].lse, p->n_tokens, c->heads);
    return attention_fwd(p->dev, attn, lse, q, k, v, in->cu_seqlens, p->n_seqs, attention_shape(c, layer));
}

/* dst <- src where they are different buffers. */
static Status carry(Device *dev, float *dst, const float *src, int64_t n) {
    return dst == src ? OK : device_copy(dev, dst, src, (size_t)n * sizeof(float));
}

/* Where a branch's last product goes: added to the stream, or kept apart for its post-norm. */
static Tensor branch_of(const Pass *p, float *apart, Tensor stream) {
    return p->llm->cfg.post_norms ? device_2d(p->dev, apart, stream.dim[0], stream.dim[1]) : stream;
}

/* stream += norm(branch), where branch is not the stream itself. Spoils acts->xn. */
static Status join(const Pass *p, Tensor stream, Tensor branch, Tensor w, float *rstd) {
    if (branch.data == stream.data) return OK;
    Tensor normed = device_2d(p->dev, p->acts->xn, stream.dim[0], stream.dim[1]);
    TRY(rmsnorm_fwd(p->dev, normed, device_1d(p->dev, rstd, stream.dim[0]), branch, w, p->llm->cfg.norm_eps));
    return add_fwd(p->dev, stream, normed);
}

/* *dbranch: dstream itself, or its gradient through the norm. */
static Status part(const Pass *p, Tensor *dbranch, Tensor dstream, Tensor branch, Tensor w, float *rstd) {
    *dbranch = dstream;
    if (!p->llm->cfg.post_norms) return OK;
    *dbranch = device_2d(p->dev, p->acts->dbranch, dstream.dim[0], dstream.dim[1]);
    TRY(device_zero(p->dev, p->acts->dbranch, (size_t)tensor_numel(dstream) * sizeof(float)));
    return rmsnorm_bwd(p->dev, *dbranch, dstream, branch, w, device_1d(p->dev, rstd, dstream.dim[0]));
}

static Status layer_forward(const Pass *p, int64_t l) {
    const LlmConfig *c = &p->llm->cfg;
    const LlmLayer *w = &p->llm->layers[l];
    LlmActs *a = p->acts;
    LlmLayerActs *y = &a->layers[l];
    Device *dev = p->dev;
    int64_t n = p->n_tokens, width = c->width;
    MatmulOpts set = {false}, into = {!c->post_norms};
    Tensor xn = device_2d(dev, a->xn, n, width), qkv = device_2d(dev, y->qkv, n, qkv_width(c)),
           attn = device_2d(dev, y->attn, n, c->heads * c->head_dim);
    Tensor gu = device_2d(dev, y->gu, n, 2 * c->ffn), act = device_2d(dev, a->act, n, c->ffn);

    TRY(rmsnorm_fwd(dev, xn, device_1d(dev, y->attn_rstd, n), device_2d(dev, y->x, n, width), w->attn_norm,
                    c->norm_eps));
    TRY(matmul_fwd(dev, qkv, xn, &w->qkv, set));
    if (c->qkv_bias) TRY(add_fwd(dev, qkv, w->qkv_bias));
    TRY(lora_add(p, l, Q_PROJ, qkv, xn));
    TRY(lora_add(p, l, K_PROJ, qkv, xn));
    TRY(lora_add(p, l, V_PROJ, qkv, xn));
    TRY(attend(p, l, attn, qkv));
    TRY(carry(dev, y->mid, y->x, n * width));
    Tensor mid = device_2d(dev, y->mid, n, width);
    Tensor branch = branch_of(p, y->attn_out, mid);
    TRY(matmul_fwd(dev, branch, attn, &w->o, into));
    TRY(lora_add(p, l, O_PROJ, branch, attn));
    TRY(join(p, mid, branch, w->attn_post_norm, y->attn_post_rstd));

    TRY(rmsnorm_fwd(dev, xn, device_1d(dev, y->ffn_rstd, n), mid, w->ffn_norm, c->norm_eps));
    TRY(matmul_fwd(dev, gu, xn, &w->gate_up, set));
    TRY(lora_add(p, l, GATE_PROJ, gu, xn));
    TRY(lora_add(p, l, UP_PROJ, gu, xn));
    TRY(glu_fwd(dev, act, gu, c->act));
    float *next = l + 1 < c->n_layers ? a->layers[l + 1].x : a->x_final;
    TRY(carry(dev, next, y->mid, n * width));
    Tensor out = device_2d(dev, next, n, width);
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
    Tensor xn = device_2d(dev, a->xn, n, width), x = device_2d(dev, y->x, n, width),
           mid = device_2d(dev, y->mid, n, width);
    Tensor qkv = device_2d(dev, y->qkv, n, qkv_width(c)), attn = device_2d(dev, y->attn, n, hd);
    Tensor gu = device_2d(dev, y->gu, n, 2 * c->ffn), act = device_2d(dev, a->act, n, c->ffn);
    Tensor dx = device_2d(dev, a->dx, n, width), dxn = device_2d(dev, a->dxn, n, width),
           dact = device_2d(dev, a->dact, n, c->ffn);
    Tensor dattn = device_2d(dev, a->dattn, n, hd), dqkv = device_2d(dev, a->dqkv, n, qkv_width(c));
    Tensor attn_rstd = device_1d(dev, y->attn_rstd, n), ffn_rstd = device_1d(dev, y->ffn_rstd, n);

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
                      tensor_columns(dqkv, hd + gd, gd), dattn, attn, device_2d(dev, y->lse, n, c->heads),
                      tensor_columns(qkv, 0, hd), tensor_columns(qkv, hd, gd),
                      tensor_columns(qkv, hd + gd, gd), a->in.cu_seqlens, p->n_seqs, attention_shape(c, l)));
    TRY(rope_bwd(dev, tensor_columns(dqkv, 0, hd + gd), device_2d(dev, a->cs, n, c->head_dim)));
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

static void check_adapters(const Pass *p, const int32_t *adapter) {
    const LoraSet *s = p->loras;
    if (!s) return;
    CHECK(s->n_layers == p->llm->cfg.n_layers && s->rank <= p->acts->rank,
          "adapters of %lld layers and rank %lld; the model has %lld, the buffers are for rank %lld",
          (long long)s->n_layers, (long long)s->rank, (long long)p->llm->cfg.n_layers,
          (long long)p->acts->rank);
    CHECK((s->dev ? s->dev->kind : DEVICE_CPU) == p->dev->kind, "adapters on another device");
    for (int64_t b = 0; b < p->n_seqs; b++)
        CHECK(adapter[b] < s->n_adapters, "adapter %d of %lld", (int)adapter[b], (long long)s->n_adapters);
}

/* What the CPU's operations check of a batch themselves; elsewhere they cannot. */
static void check_batch(const Pass *p, const LlmBatch *b) {
    check_adapters(p, b->adapter);
    if (p->dev->kind == DEVICE_CPU) return;
    CHECK(b->cu_seqlens[0] == 0 && b->cu_seqlens[b->n_seqs] == b->n_tokens, "sequences end at %d of %lld",
          (int)b->cu_seqlens[b->n_seqs], (long long)b->n_tokens);
    for (int64_t i = 0; i < b->n_seqs; i++)
        CHECK(b->cu_seqlens[i] <= b->cu_seqlens[i + 1], "sequence %lld", (long long)i);
    for (int64_t i = 0; i < b->n_tokens; i++)
        CHECK(b->ids[i] >= 0 && b->ids[i] < p->llm->cfg.vocab, "token id %d of a vocabulary of %lld",
              (int)b->ids[i], (long long)p->llm->cfg.vocab);
}

static Status send_batch(const Pass *p, const LlmBatch *b) {
    LlmInputs *in = &p->acts->in;
    check_batch(p, b);
    TRY(send(p->dev, &in->ids, b->ids, b->n_tokens));
    TRY(send(p->dev, &in->pos, b->pos, b->n_tokens));
    TRY(send(p->dev, &in->cu_seqlens, b->cu_seqlens, b->n_seqs + 1));
    return send(p->dev, &in->adapter, b->adapter, b->n_seqs);
}

static Status embed_and_run(const Pass *p, float noise) {
    const LlmConfig *c = &p->llm->cfg;
    const LlmInputs *in = &p->acts->in;
    /* NEFTune's noise is on the table's rows, before they are scaled */
    EmbeddingOpts eo = {c->embed_scale, c->embed_scale * noise, p->run.seed,
                        (p->run.step << 16) | NOISE_SITE};
    Tensor x = device_2d(p->dev, p->acts->layers[0].x, p->n_tokens, c->width);
    TRY(embedding_fwd(p->dev, x, in->ids, p->llm->embed, eo));
    TRY(rope_table(p->dev, device_2d(p->dev, p->acts->cs, p->n_tokens, c->head_dim), in->pos,
                   p->llm->inv_freq));
    for (int64_t l = 0; l < c->n_layers; l++) TRY(layer_forward(p, l));
    return OK;
}

/* rows <- final norm of the given packed positions. */
static Status gather_rows(const Pass *p, const int32_t *row, int64_t n_rows) {
    const LlmConfig *c = &p->llm->cfg;
    LlmActs *a = p->acts;
    Tensor all = device_2d(p->dev, a->x_final, p->n_tokens, c->width);
    Tensor x = device_2d(p->dev, a->rows_x, n_rows, c->width);
    for (int64_t i = 0; i < n_rows; i++)
        CHECK(row[i] >= 0 && row[i] < p->n_tokens, "row %d of %lld tokens", (int)row[i],
              (long long)p->n_tokens);
    TRY(send(p->dev, &a->in.row, row, n_rows));
    TRY(embedding_fwd(p->dev, x, a->in.row, all, (EmbeddingOpts){.scale = 1.0f}));
    return rmsnorm_fwd(p->dev, device_2d(p->dev, a->rows, n_rows, c->width),
                       device_1d(p->dev, a->rstd, n_rows), x, p->llm->norm, c->norm_eps);
}

static Pass make_pass(const Llm *llm, Device *dev, LlmActs *acts, const LlmBatch *b, const LoraSet *loras,
                      LlmRun run) {
    CHECK(b->n_tokens <= acts->max_tokens && b->n_seqs <= acts->max_seqs && b->n_rows <= acts->max_rows,
          "a batch of %lld tokens, %lld sequences, %lld rows in buffers for %lld, %lld, %lld",
          (long long)b->n_tokens, (long long)b->n_seqs, (long long)b->n_rows, (long long)acts->max_tokens,
          (long long)acts->max_seqs, (long long)acts->max_rows);
    Pass p = {llm, dev, acts, loras, b->n_tokens, b->n_seqs, run, NULL, false};
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
    TRY(send_batch(&p, batch));
    TRY(embed_and_run(&p, neftune_amplitude(llm, batch, run)));
    return gather_rows(&p, batch->row, batch->n_rows);
}

static Status send_labels(Device *dev, LlmInputs *in, const LlmBatch *b) {
    TRY(send(dev, &in->label, b->label, b->n_rows));
    if (dev->kind != DEVICE_CPU)
        return device_upload(dev, (void *)in->weight, b->weight, (size_t)b->n_rows * sizeof(float));
    in->weight = b->weight;
    return OK;
}

Status llm_loss(double *loss, const Llm *llm, Device *dev, LlmActs *acts, const LlmBatch *batch,
                CrossEntropyOut out, float smoothing) {
    int64_t r = batch->n_rows;
    size_t bytes = (size_t)r * sizeof(float);
    Tensor rows = device_2d(dev, acts->rows, r, llm->cfg.width),
           drows = device_2d(dev, acts->drows, r, llm->cfg.width);
    CrossEntropyOpts opts = {smoothing, llm->cfg.out_softcap};
    CrossEntropyOut there = out;
    if (dev->kind != DEVICE_CPU)
        there = (CrossEntropyOut){.nll = out.nll ? acts->out.nll : NULL,
                                  .loss = out.loss ? acts->out.loss : NULL,
                                  .entropy = out.entropy ? acts->out.entropy : NULL,
                                  .argmax = out.argmax ? acts->out.argmax : NULL};
    TRY(send_labels(dev, &acts->in, batch));
    TRY(cross_entropy(dev, there, drows, rows, &llm->head, acts->in.label, acts->in.weight, opts));
    TRY(bring(dev, out.nll, there.nll, bytes));
    TRY(bring(dev, out.loss, there.loss, bytes));
    TRY(bring(dev, out.entropy, there.entropy, bytes));
    TRY(bring(dev, out.argmax, there.argmax, bytes));
    *loss = 0.0;
    for (int64_t i = 0; i < r; i++) *loss += (double)batch->weight[i] * (double)out.loss[i];
    return OK;
}

Status llm_backward(const Llm *llm, Device *dev, LlmActs *acts, const LlmBatch *batch, const LoraSet *loras,
                    LlmRun run) {
    CHECK(acts->training && loras, "llm_backward without training buffers or adapters");
    Pass p = make_pass(llm, dev, acts, batch, loras, run);
    int64_t width = llm->cfg.width, r = batch->n_rows, n = batch->n_tokens;
    Tensor drows_x = device_2d(dev, acts->drows_x, r, width);
    TRY(device_zero(dev, acts->drows_x, (size_t)(r * width) * sizeof(float)));
    TRY(rmsnorm_bwd(dev, drows_x, device_2d(dev, acts->drows, r, width),
                    device_2d(dev, acts->rows_x, r, width), llm->norm, device_1d(dev, acts->rstd, r)));
    TRY(device_zero(dev, acts->dx, (size_t)(n * width) * sizeof(float)));
    TRY(rows_put(dev, device_2d(dev, acts->dx, n, width), drows_x, acts->in.row));
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
    TRY(arena_commit_on(&c.mem, llm->dev));
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
    TRY(send_batch(&p, batch));
    TRY(send_places(&p, batch->cu_seqlens, slot, NULL));
    TRY(embed_and_run(&p, 0.0f));
    return gather_rows(&p, batch->row, batch->n_rows);
}

Status llm_decode(const Llm *llm, Device *dev, LlmActs *acts, int64_t n_seqs, const int32_t *ids,
                  const int32_t *slot, const int32_t *len, const int32_t *adapter, const LoraSet *loras,
                  LlmCache *cache) {
    CHECK(!acts->training && n_seqs <= acts->max_tokens && n_seqs <= acts->max_rows,
          "%lld sequences to decode", (long long)n_seqs);
    for (int64_t b = 0; b < n_seqs; b++) {
        acts->host_cu[b + 1] = (int32_t)b + 1;
        acts->host_pos[b] = len[b] - 1;
    }
    acts->host_cu[0] = 0;
    LlmBatch batch = {.n_tokens = n_seqs,
                      .n_seqs = n_seqs,
                      .n_rows = n_seqs,
                      .ids = (int32_t *)ids,
                      .pos = acts->host_pos,
                      .cu_seqlens = acts->host_cu,
                      .adapter = (int32_t *)adapter};
    Pass p = {llm, dev, acts, loras, n_seqs, n_seqs, {0}, cache, true};
    TRY(send_batch(&p, &batch));
    TRY(send(dev, &acts->in.slot, slot, n_seqs));
    TRY(send(dev, &acts->in.len, len, n_seqs));
    TRY(send_places(&p, acts->host_cu, slot, len));
    TRY(embed_and_run(&p, 0.0f));
    return gather_rows(&p, acts->host_cu, n_seqs);
}

static Status logits_of(const Llm *llm, Device *dev, Tensor logits, const LlmActs *acts) {
    MatmulOpts set = {false};
    TRY(matmul_fwd(dev, logits, device_2d(dev, acts->rows, logits.dim[0], llm->cfg.width), &llm->head, set));
    return llm->cfg.out_softcap > 0.0f ? softcap_fwd(dev, logits, llm->cfg.out_softcap) : OK;
}

Status llm_logits(const Llm *llm, Device *dev, Tensor logits, const LlmActs *acts) {
    if (dev->kind == DEVICE_CPU) return logits_of(llm, dev, logits, acts);
    CHECK(logits.device == DEVICE_CPU && tensor_is_contiguous(logits), "logits are not the host's");
    size_t mark = arena_mark(&dev->scratch), n = (size_t)tensor_numel(logits);
    Tensor there = arena_tensor_2d(&dev->scratch, DT_F32, logits.dim[0], logits.dim[1]);
    Status s = logits_of(llm, dev, there, acts);
    if (status_is_ok(s)) s = device_download(dev, logits.data, there.data, n * sizeof(float));
    arena_release(&dev->scratch, mark);
    return s;
}
