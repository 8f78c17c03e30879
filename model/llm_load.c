/* Loading a decoder: matrices from a GGUF file or a Hugging Face directory, through one list of tensors with
 * a name in each. Rows are converted to float by all threads, in host memory, then packed for the device or
 * copied there. Rows of q and k that a GGUF of architecture llama stores permuted (formats:
 * convert_hf_to_gguf's LlamaModel.permute) are put back in half-split order. */
#include "data/safetensors.h"
#include "data/vocabulary.h"
#include "model/llm.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef enum Part {
    EMBED,
    NORM,
    HEAD,
    ATTN_NORM,
    FFN_NORM,
    ATTN_Q,
    ATTN_K,
    ATTN_V,
    ATTN_O,
    FFN_GATE,
    FFN_UP,
    FFN_DOWN,
    /* of some families */
    PRE_FFN_NORM, /* FFN_NORM where there are post-norms */
    ATTN_POST_NORM,
    FFN_POST_NORM,
    ATTN_Q_BIAS,
    ATTN_K_BIAS,
    ATTN_V_BIAS,
    ROPE_FREQS
} Part;

typedef struct PartName {
    const char *gguf, *hf; /* printf formats of the layer number where there is one */
} PartName;

static const PartName part_names[] = {
    [EMBED] = {"token_embd.weight", "model.embed_tokens.weight"},
    [NORM] = {"output_norm.weight", "model.norm.weight"},
    [HEAD] = {"output.weight", "lm_head.weight"},
    [ATTN_NORM] = {"blk.%lld.attn_norm.weight", "model.layers.%lld.input_layernorm.weight"},
    [FFN_NORM] = {"blk.%lld.ffn_norm.weight", "model.layers.%lld.post_attention_layernorm.weight"},
    [ATTN_Q] = {"blk.%lld.attn_q.weight", "model.layers.%lld.self_attn.q_proj.weight"},
    [ATTN_K] = {"blk.%lld.attn_k.weight", "model.layers.%lld.self_attn.k_proj.weight"},
    [ATTN_V] = {"blk.%lld.attn_v.weight", "model.layers.%lld.self_attn.v_proj.weight"},
    [ATTN_O] = {"blk.%lld.attn_output.weight", "model.layers.%lld.self_attn.o_proj.weight"},
    [FFN_GATE] = {"blk.%lld.ffn_gate.weight", "model.layers.%lld.mlp.gate_proj.weight"},
    [FFN_UP] = {"blk.%lld.ffn_up.weight", "model.layers.%lld.mlp.up_proj.weight"},
    [FFN_DOWN] = {"blk.%lld.ffn_down.weight", "model.layers.%lld.mlp.down_proj.weight"},
    [PRE_FFN_NORM] = {"blk.%lld.ffn_norm.weight", "model.layers.%lld.pre_feedforward_layernorm.weight"},
    [ATTN_POST_NORM] = {"blk.%lld.post_attention_norm.weight",
                        "model.layers.%lld.post_attention_layernorm.weight"},
    [FFN_POST_NORM] = {"blk.%lld.post_ffw_norm.weight",
                       "model.layers.%lld.post_feedforward_layernorm.weight"},
    [ATTN_Q_BIAS] = {"blk.%lld.attn_q.bias", "model.layers.%lld.self_attn.q_proj.bias"},
    [ATTN_K_BIAS] = {"blk.%lld.attn_k.bias", "model.layers.%lld.self_attn.k_proj.bias"},
    [ATTN_V_BIAS] = {"blk.%lld.attn_v.bias", "model.layers.%lld.self_attn.v_proj.bias"},
    [ROPE_FREQS] = {"rope_freqs.weight", ""},
};

/* Where the weights come from: one of the two is open. */
typedef struct Source {
    bool is_gguf;
    int n_threads; /* that convert */
    Gguf gguf;
    SafeTensors st;
} Source;

static void part_name(char out[96], const Source *s, Part part, int64_t layer) {
    const PartName *n = &part_names[part];
    char formats[2][80];
    snprintf(formats[0], sizeof formats[0], "%s", n->gguf);
    snprintf(formats[1], sizeof formats[1], "%s", n->hf);
    char *format = formats[s->is_gguf ? 0 : 1], *hole = strstr(format, "%lld");
    if (!hole) {
        snprintf(out, 96, "%s", format);
        return;
    }
    *hole = 0;
    snprintf(out, 96, "%s%lld%s", format, (long long)layer, hole + 4);
}

static bool has_part(const Source *s, Part part) {
    char name[96];
    part_name(name, s, part, 0);
    return s->is_gguf ? gguf_tensor(&s->gguf, name) != NULL : safetensors_find(&s->st, name) != NULL;
}

enum { ROWS_A_TIME = 64 };

/* GGUF row h*D + 2j + p holds row h*D + p*D/2 + j. */
static int64_t unpermuted_row(int64_t row, int64_t head_dim) {
    int64_t h = row / head_dim, i = row % head_dim;
    return h * head_dim + (i % 2) * (head_dim / 2) + i / 2;
}

static Status read_gguf(float *dst, const Source *s, const char *name, int64_t rows, int64_t cols,
                        int64_t head_dim) {
    const GgufTensor *t;
    TRY(gguf_get_tensor(&t, &s->gguf, name, rows, cols));
    Status st = OK;
#pragma omp parallel for num_threads(s->n_threads) schedule(static)
    for (int64_t from = 0; from < rows; from += ROWS_A_TIME) {
        int64_t n = rows - from < ROWS_A_TIME ? rows - from : ROWS_A_TIME;
        Status mine = OK;
        if (head_dim == 0)
            mine = gguf_dequant(dst + from * cols, t, from, n);
        else
            for (int64_t i = from; i < from + n && status_is_ok(mine); i++)
                mine = gguf_dequant(dst + unpermuted_row(i, head_dim) * cols, t, i, 1);
        if (!status_is_ok(mine)) {
#pragma omp critical
            {
                status_free(st);
                st = mine;
            }
        }
    }
    return st;
}

static Status check_finite(const float *x, int64_t n, const char *name, const Source *s) {
    int bad = 0;
#pragma omp parallel for num_threads(s->n_threads) schedule(static) reduction(| : bad)
    for (int64_t i = 0; i < n; i++) bad |= !isfinite(x[i]);
    if (bad)
        return status_error(E_INPUT, "%s: tensor '%s' holds NaN or infinity",
                            s->is_gguf ? s->gguf.path : s->st.path, name);
    return OK;
}

/* rows x cols floats; cols == 1 means a vector of `rows`. head_dim: of parts whose rows a GGUF permutes, else
 * 0. */
static Status read_part(float *dst, const Source *s, Part part, int64_t layer, int64_t rows, int64_t cols,
                        int64_t head_dim) {
    char name[96];
    part_name(name, s, part, layer);
    if (s->is_gguf) {
        if (cols == 1)
            TRY(read_gguf(dst, s, name, 1, rows, 0));
        else
            TRY(read_gguf(dst, s, name, rows, cols, head_dim));
        return check_finite(dst, rows * cols, name, s);
    }
    Tensor t;
    int64_t dim[2] = {rows, cols};
    TRY(safetensors_get(&t, &s->st, name, cols == 1 ? 1 : 2, dim));
    TRY(safetensors_read_f32(dst, safetensors_find(&s->st, name)));
    return check_finite(dst, rows * cols, name, s);
}

/* Takes the tokenizer, and the chat template's family. */
static Status take_vocabulary(Llm *llm, Vocabulary *v, const char *where) {
    llm->tokenizer = v->tokenizer;
    v->tokenizer = NULL;
    Status s = template_recognise(&llm->chat, v->jinja, llm->tokenizer, where);
    vocabulary_close(v);
    return s;
}

/* Without tokenizer.json a directory's model works on ids only. */
static Status load_dir_text(Llm *llm, const char *dir) {
    Vocabulary v;
    char *path = path_join(dir, "tokenizer.json");
    if (!path) return status_error(E_ENV, "%s: out of memory", dir);
    bool there = file_exists(path);
    free(path);
    if (!there) return OK;
    TRY(vocabulary_open(&v, dir));
    return take_vocabulary(llm, &v, dir);
}

/* Nor does a GGUF without a vocabulary. */
static Status load_gguf_text(Llm *llm, const Gguf *g) {
    Vocabulary v;
    if (!gguf_find(g, "tokenizer.ggml.model")) return OK;
    TRY(vocabulary_from_gguf(&v, g));
    return take_vocabulary(llm, &v, g->path);
}

static Tensor vector_tensor(Llm *llm, int64_t n) {
    return device_1d(llm->dev, arena_f32(&llm->mem, n), n);
}

static Status to_device(const Llm *llm, void *dst, const float *src, int64_t n) {
    return device_upload(llm->dev, dst, src, (size_t)n * sizeof *src);
}

/* One matrix of `n` parts stacked by rows: reads into buf (unless measuring) and packs. */
typedef struct Stacked {
    Part part;
    int64_t rows, head_dim; /* head_dim: where a GGUF permutes */
} Stacked;

static Status load_stacked(Weight *out, Llm *llm, Device *dev, const Source *s, float *buf, int64_t layer,
                           int64_t cols, const Stacked *parts, int n, LlmLoad opts) {
    int64_t rows = 0;
    for (int i = 0; i < n; i++) {
        if (llm->mem.base)
            TRY(read_part(buf + rows * cols, s, parts[i].part, layer, parts[i].rows, cols,
                          parts[i].head_dim));
        rows += parts[i].rows;
    }
    MatmulPackOpts pack = {opts.backward};
    return matmul_pack(dev, &llm->mem, out, tensor_2d(buf, DT_F32, rows, cols), opts.dtype, pack);
}

static Status load_norm(Tensor *out, Llm *llm, const Source *s, float *buf, Part part, int64_t layer) {
    int64_t n = llm->cfg.width;
    *out = vector_tensor(llm, n);
    if (!llm->mem.base) return OK;
    TRY(read_part(buf, s, part, layer, n, 1, 0));
    for (int64_t i = 0; i < n && llm->cfg.norm_offset; i++) buf[i] += 1.0f;
    return to_device(llm, out->data, buf, n);
}

static Status load_qkv_bias(LlmLayer *y, Llm *llm, const Source *s, float *buf, int64_t l, int64_t q,
                            int64_t kv) {
    const Part parts[] = {ATTN_Q_BIAS, ATTN_K_BIAS, ATTN_V_BIAS};
    const int64_t size[] = {q, kv, kv};
    int64_t at = 0;
    y->qkv_bias = vector_tensor(llm, q + 2 * kv);
    if (!llm->mem.base) return OK;
    for (int i = 0; i < 3; at += size[i++]) TRY(read_part(buf + at, s, parts[i], l, size[i], 1, 0));
    return to_device(llm, y->qkv_bias.data, buf, at);
}

static Status load_layer(Llm *llm, Device *dev, const Source *s, float *buf, int64_t l, LlmLoad opts) {
    const LlmConfig *c = &llm->cfg;
    LlmLayer *y = &llm->layers[l];
    int64_t q = c->heads * c->head_dim, kv = c->groups * c->head_dim;
    int64_t d = c->family == LLM_LLAMA ? c->head_dim : 0; /* of permuted rows */
    const Stacked qkv[] = {{ATTN_Q, q, d}, {ATTN_K, kv, d}, {ATTN_V, kv, 0}}, o[] = {{ATTN_O, c->width, 0}};
    const Stacked gate_up[] = {{FFN_GATE, c->ffn, 0}, {FFN_UP, c->ffn, 0}},
                  down[] = {{FFN_DOWN, c->width, 0}};
    TRY(load_norm(&y->attn_norm, llm, s, buf, ATTN_NORM, l));
    TRY(load_norm(&y->ffn_norm, llm, s, buf, c->post_norms ? PRE_FFN_NORM : FFN_NORM, l));
    if (c->post_norms) {
        TRY(load_norm(&y->attn_post_norm, llm, s, buf, ATTN_POST_NORM, l));
        TRY(load_norm(&y->ffn_post_norm, llm, s, buf, FFN_POST_NORM, l));
    }
    if (c->qkv_bias) TRY(load_qkv_bias(y, llm, s, buf, l, q, kv));
    TRY(load_stacked(&y->qkv, llm, dev, s, buf, l, c->width, qkv, 3, opts));
    TRY(load_stacked(&y->o, llm, dev, s, buf, l, q, o, 1, opts));
    TRY(load_stacked(&y->gate_up, llm, dev, s, buf, l, c->width, gate_up, 2, opts));
    return load_stacked(&y->down, llm, dev, s, buf, l, c->ffn, down, 1, opts);
}

/* buf [V,C] as the embedding table. */
static Status store_table(Llm *llm, const float *buf) {
    enum { STEP = 1 << 14 };
    Tensor t = llm->embed;
    int64_t n = tensor_numel(t);
    uint16_t *to = t.data, part[STEP];
    if (t.dtype == DT_F32) return to_device(llm, t.data, buf, n);
    if (llm->dev->kind == DEVICE_CPU) {
#pragma omp parallel for num_threads(llm->dev->n_threads) schedule(static)
        for (int64_t i = 0; i < n; i++) to[i] = float_to_bf16(buf[i]);
        return OK;
    }
    for (int64_t at = 0; at < n; at += STEP) {
        int64_t some = n - at < STEP ? n - at : STEP;
        for (int64_t i = 0; i < some; i++) part[i] = float_to_bf16(buf[at + i]);
        TRY(device_upload(llm->dev, to + at, part, (size_t)some * sizeof *part));
    }
    return OK;
}

/* The embedding table; the head from the same rows when they are tied. */
static Status load_ends(Llm *llm, Device *dev, const Source *s, float *buf, LlmLoad opts) {
    const LlmConfig *c = &llm->cfg;
    const Stacked head = {HEAD, c->vocab, 0};
    MatmulPackOpts pack = {opts.backward};
    TRY(load_norm(&llm->norm, llm, s, buf, NORM, 0));
    llm->embed = arena_tensor_2d(&llm->mem, opts.dtype, c->vocab, c->width);
    if (llm->mem.base) {
        TRY(read_part(buf, s, EMBED, 0, c->vocab, c->width, 0));
        TRY(store_table(llm, buf));
    }
    if (!c->tied) return load_stacked(&llm->head, llm, dev, s, buf, 0, c->width, &head, 1, opts);
    return matmul_pack(dev, &llm->mem, &llm->head, tensor_2d(buf, DT_F32, c->vocab, c->width), opts.dtype,
                       pack);
}

/* The angles; buf has room for them and for the divisors that a GGUF may carry. */
static Status load_rope(Llm *llm, const Source *s, float *buf) {
    const LlmConfig *c = &llm->cfg;
    int64_t n = c->head_dim / 2;
    llm->inv_freq = arena_f32(&llm->mem, n);
    if (!llm->mem.base) return OK;
    if (c->rope.kind == LLM_ROPE_TABLE) {
        TRY(read_part(buf, s, ROPE_FREQS, 0, n, 1, 0));
        for (int64_t i = 0; i < n; i++)
            if (!(buf[i] > 0.0f))
                return status_error(E_INPUT, "%s: tensor '%s': divisor %g, expected positive numbers",
                                    s->gguf.path, part_names[ROPE_FREQS].gguf, (double)buf[i]);
    }
    llm_config_inv_freq(buf + n, c, buf);
    return to_device(llm, llm->inv_freq, buf + n, n);
}

static Status load_weights(Llm *llm, Device *dev, const Source *s, float *buf, LlmLoad opts) {
    TRY(load_ends(llm, dev, s, buf, opts));
    TRY(load_rope(llm, s, buf));
    for (int64_t l = 0; l < llm->cfg.n_layers; l++) TRY(load_layer(llm, dev, s, buf, l, opts));
    return OK;
}

static int64_t largest_matrix(const LlmConfig *c) {
    int64_t qkv = (c->heads + 2 * c->groups) * c->head_dim,
            most = c->vocab > 2 * c->ffn ? c->vocab : 2 * c->ffn;
    int64_t wide = qkv > most ? qkv : most, down = c->width * (c->ffn > qkv ? c->ffn : qkv);
    return wide * c->width > down ? wide * c->width : down;
}

/* The sizes of a few parts are checked against the file before the big allocations: a header cannot ask for
 * memory that its data does not back. */
static Status check_sizes(const Source *s, const LlmConfig *c) {
    const struct {
        Part part;
        int64_t layer, dim[2];
    } checks[] = {{EMBED, 0, {c->vocab, c->width}},
                  {ATTN_Q, c->n_layers - 1, {c->heads * c->head_dim, c->width}},
                  {FFN_DOWN, c->n_layers - 1, {c->width, c->ffn}}};
    for (int i = 0; i < 3; i++) {
        char name[96];
        const GgufTensor *g;
        Tensor t;
        part_name(name, s, checks[i].part, checks[i].layer);
        if (s->is_gguf)
            TRY(gguf_get_tensor(&g, &s->gguf, name, checks[i].dim[0], checks[i].dim[1]));
        else
            TRY(safetensors_get(&t, &s->st, name, 2, checks[i].dim));
    }
    return OK;
}

static Status load_from(Llm *llm, Device *dev, const Source *s, LlmLoad opts) {
    TRY(check_sizes(s, &llm->cfg));
    llm->cfg.tied = !has_part(s, HEAD);
    llm->dtype = opts.dtype;
    if (opts.dtype == DT_BF16) /* the factor is of the activations' type in the reference */
        llm->cfg.embed_scale = bf16_to_float(float_to_bf16(llm->cfg.embed_scale));
    llm->layers = calloc((size_t)llm->cfg.n_layers, sizeof *llm->layers);
    if (!llm->layers) return status_error(E_ENV, "%s: out of memory", llm->name);
    llm->mem = arena_measure("model weights");
    TRY(load_weights(llm, dev, s, NULL, opts));
    TRY(arena_commit_on(&llm->mem, dev));
    Arena buf;
    TRY(arena_init(&buf, "weight conversion", (size_t)largest_matrix(&llm->cfg) * sizeof(float)));
    Status st = load_weights(llm, dev, s, (float *)buf.base, opts);
    arena_free(&buf);
    return st;
}

static Status load(Llm *llm, Device *dev, const char *path, LlmLoad opts) {
    Source s;
    memset(&s, 0, sizeof s);
    s.is_gguf = !file_is_dir(path);
    s.n_threads = dev->n_threads;
    Status st;
    if (s.is_gguf) {
        TRY(gguf_open(&s.gguf, path));
        st = llm_config_from_gguf(&llm->cfg, &s.gguf);
        if (status_is_ok(st)) st = load_from(llm, dev, &s, opts);
        if (status_is_ok(st)) st = load_gguf_text(llm, &s.gguf);
        gguf_close(&s.gguf);
    } else {
        TRY(llm_config_from_dir(&llm->cfg, path));
        TRY(safetensors_open_model(&s.st, path));
        st = load_from(llm, dev, &s, opts);
        if (status_is_ok(st)) st = load_dir_text(llm, path);
        safetensors_close(&s.st);
    }
    return st;
}

Status llm_load(Llm *llm, Device *dev, const char *path, LlmLoad opts) {
    memset(llm, 0, sizeof *llm);
    llm->dev = dev;
    llm->name = strdup(path);
    Status s = llm->name ? load(llm, dev, path, opts) : status_error(E_ENV, "%s: out of memory", path);
    if (!status_is_ok(s)) llm_free(llm);
    return s;
}

void llm_free(Llm *llm) {
    tokenizer_free(llm->tokenizer);
    template_free(&llm->chat);
    arena_free(&llm->mem);
    free(llm->layers);
    free(llm->name);
    memset(llm, 0, sizeof *llm);
}

Status llm_choose_dtype(DType *out, const Device *dev, const char *name) {
    bool automatic = !name || strcmp(name, "auto") == 0;
    if (!automatic && strcmp(name, "bf16") != 0 && strcmp(name, "f32") != 0)
        return status_error(E_USAGE, "dtype '%s': expected auto, bf16 or f32", name);
    bool has_bf16 = dev->bf16_dot || dev->kind == DEVICE_CUDA;
    if (!automatic && strcmp(name, "bf16") == 0 && !has_bf16)
        return status_error(E_ENV, "dtype bf16: this CPU has no AVX512-BF16; use f32");
    *out = automatic ? (has_bf16 ? DT_BF16 : DT_F32) : (strcmp(name, "bf16") == 0 ? DT_BF16 : DT_F32);
    return OK;
}
