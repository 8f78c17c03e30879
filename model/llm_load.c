/* Loading a decoder: hyperparameters and matrices from a GGUF file or a Hugging Face directory, through one
 * list of tensors with a name in each. Rows are converted to float by all threads, then packed for the
 * device. Rows of q and k that a GGUF stores permuted (formats: convert_hf_to_gguf's LlamaModel.permute) are
 * put back in half-split order. */
#include "base/json.h"
#include "data/gguf.h"
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
    FFN_DOWN
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
    char formats[2][64];
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

static Status add_eos(LlmConfig *c, int64_t id) {
    for (int i = 0; i < c->n_eos; i++)
        if (c->eos[i] == id) return OK;
    if (c->n_eos == LLM_MAX_EOS) return status_error(E_INPUT, "more than %d end-of-text tokens", LLM_MAX_EOS);
    c->eos[c->n_eos++] = (int32_t)id;
    return OK;
}

static Status config_check(const LlmConfig *c, const char *where) {
    if (c->heads % c->groups != 0)
        return status_error(E_INPUT, "%s: %lld attention heads do not divide into %lld key/value heads",
                            where, (long long)c->heads, (long long)c->groups);
    if (c->head_dim % 2 != 0)
        return status_error(E_INPUT, "%s: head size %lld is odd", where, (long long)c->head_dim);
    if (!(c->norm_eps > 0.0f) || !(c->rope_theta > 0.0f))
        return status_error(E_INPUT, "%s: the norm's epsilon and rope's base must be positive", where);
    return OK;
}

enum { MAX_WIDTH = 1 << 20, MAX_LAYERS = 1024 };

static Status config_from_gguf(LlmConfig *c, const Gguf *g) {
    GgufString arch;
    TRY(gguf_get_string(&arch, g, "general.architecture"));
    if (!gguf_string_is(arch, "llama"))
        return status_error(E_INPUT, "%s: architecture '%.*s' is not supported; expected 'llama'", g->path,
                            (int)arch.n, arch.s);
    const GgufTensor *embed = gguf_tensor(g, part_names[EMBED].gguf);
    if (!embed) return status_error(E_INPUT, "%s: tensor '%s' is missing", g->path, part_names[EMBED].gguf);
    int64_t rope_dim, eos;
    double eps, theta;
    TRY(gguf_get_int(&c->width, g, "llama.embedding_length", 1, MAX_WIDTH));
    TRY(gguf_get_int(&c->n_layers, g, "llama.block_count", 1, MAX_LAYERS));
    TRY(gguf_get_int(&c->ffn, g, "llama.feed_forward_length", 1, MAX_WIDTH));
    TRY(gguf_get_int(&c->heads, g, "llama.attention.head_count", 1, c->width));
    TRY(gguf_get_int_or(&c->groups, g, "llama.attention.head_count_kv", 1, c->heads, c->heads));
    TRY(gguf_get_int_or(&c->head_dim, g, "llama.attention.key_length", 2, c->width, c->width / c->heads));
    TRY(gguf_get_int_or(&rope_dim, g, "llama.rope.dimension_count", 2, c->width, c->head_dim));
    TRY(gguf_get_int_or(&c->max_positions, g, "llama.context_length", 1, 1 << 24, 2048));
    TRY(gguf_get_float(&eps, g, "llama.attention.layer_norm_rms_epsilon"));
    TRY(gguf_get_float_or(&theta, g, "llama.rope.freq_base", 10000.0));
    c->norm_eps = (float)eps;
    c->rope_theta = (float)theta;
    c->vocab = embed->ne[1];
    if (rope_dim != c->head_dim)
        return status_error(E_INPUT, "%s: rope on %lld of %lld numbers of a head is not supported", g->path,
                            (long long)rope_dim, (long long)c->head_dim);
    if (gguf_find(g, "llama.rope.scaling.type") || gguf_tensor(g, "rope_freqs.weight"))
        return status_error(E_INPUT, "%s: rope scaling is not supported", g->path);
    int64_t bos;
    TRY(gguf_get_int_or(&bos, g, "tokenizer.ggml.bos_token_id", 0, c->vocab - 1, -1));
    TRY(gguf_get_int_or(&eos, g, "tokenizer.ggml.eos_token_id", 0, c->vocab - 1, -1));
    c->bos = (int32_t)bos;
    if (eos >= 0) TRY(add_eos(c, eos));
    return config_check(c, g->path);
}

/* "eos_token_id": absent, null, a number or a list of numbers. */
static Status config_eos(LlmConfig *c, const cJSON *root, const char *where) {
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(root, "eos_token_id"), *item = v;
    if (!v || cJSON_IsNull(v)) return OK;
    if (cJSON_IsArray(v)) item = v->child;
    for (; item; item = cJSON_IsArray(v) ? item->next : NULL) {
        if (!cJSON_IsNumber(item) || item->valuedouble < 0 || item->valuedouble >= (double)c->vocab)
            return status_error(E_INPUT, "%s: key 'eos_token_id': expected token ids below %lld", where,
                                (long long)c->vocab);
        TRY(add_eos(c, (int64_t)item->valuedouble));
    }
    return OK;
}

static Status int_or(int64_t *out, const cJSON *root, const char *key, int64_t min, int64_t max,
                     int64_t absent, const char *where) {
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(root, key);
    *out = absent;
    return !v || cJSON_IsNull(v) ? OK : json_get_int(out, root, key, min, max, where);
}

static Status config_from_json(LlmConfig *c, const cJSON *root, const char *where) {
    const char *type;
    int64_t bos;
    double eps, theta = 10000.0;
    TRY(json_get_string(&type, root, "model_type", where));
    if (strcmp(type, "llama") != 0)
        return status_error(E_INPUT, "%s: key 'model_type': '%s' is not supported; expected 'llama'", where,
                            type);
    TRY(json_get_int(&c->vocab, root, "vocab_size", 1, 1 << 24, where));
    TRY(json_get_int(&c->width, root, "hidden_size", 1, MAX_WIDTH, where));
    TRY(json_get_int(&c->n_layers, root, "num_hidden_layers", 1, MAX_LAYERS, where));
    TRY(json_get_int(&c->ffn, root, "intermediate_size", 1, MAX_WIDTH, where));
    TRY(json_get_int(&c->heads, root, "num_attention_heads", 1, c->width, where));
    TRY(int_or(&c->groups, root, "num_key_value_heads", 1, c->heads, c->heads, where));
    TRY(int_or(&c->head_dim, root, "head_dim", 2, c->width, c->width / c->heads, where));
    TRY(int_or(&c->max_positions, root, "max_position_embeddings", 1, 1 << 24, 2048, where));
    TRY(int_or(&bos, root, "bos_token_id", 0, c->vocab - 1, -1, where));
    TRY(json_get_number(&eps, root, "rms_norm_eps", where));
    const cJSON *rope = cJSON_GetObjectItemCaseSensitive(root, "rope_parameters"); /* transformers >= 5 */
    if (cJSON_GetObjectItemCaseSensitive(root, "rope_theta"))
        TRY(json_get_number(&theta, root, "rope_theta", where));
    else if (cJSON_IsObject(rope) && cJSON_GetObjectItemCaseSensitive(rope, "rope_theta"))
        TRY(json_get_number(&theta, rope, "rope_theta", where));
    const cJSON *rope_type =
        cJSON_IsObject(rope) ? cJSON_GetObjectItemCaseSensitive(rope, "rope_type") : NULL;
    const cJSON *scaling = cJSON_GetObjectItemCaseSensitive(root, "rope_scaling");
    if ((scaling && !cJSON_IsNull(scaling)) ||
        (cJSON_IsString(rope_type) && strcmp(rope_type->valuestring, "default") != 0))
        return status_error(E_INPUT, "%s: rope scaling is not supported", where);
    static const char *const biases[] = {"attention_bias", "mlp_bias"};
    for (int i = 0; i < 2; i++)
        if (cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(root, biases[i])))
            return status_error(E_INPUT, "%s: key '%s': biases are not supported", where, biases[i]);
    const cJSON *act = cJSON_GetObjectItemCaseSensitive(root, "hidden_act");
    if (cJSON_IsString(act) && strcmp(act->valuestring, "silu") != 0)
        return status_error(E_INPUT, "%s: key 'hidden_act': '%s' is not supported; expected 'silu'", where,
                            act->valuestring);
    c->tied = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(root, "tie_word_embeddings"));
    c->norm_eps = (float)eps;
    c->rope_theta = (float)theta;
    c->bos = (int32_t)bos;
    TRY(config_eos(c, root, where));
    return config_check(c, where);
}

enum { MAX_CONFIG_BYTES = 64 << 20 };

/* Reads dir/name into *root (owned by the caller), NULL when the file is absent. */
static Status read_optional(cJSON **root, const char *dir, const char *name) {
    *root = NULL;
    char *path = path_join(dir, name);
    if (!path) return status_error(E_ENV, "out of memory");
    Status s = file_exists(path) ? json_read(root, path, MAX_CONFIG_BYTES) : OK;
    free(path);
    return s;
}

static Status load_dir_config(Llm *llm, const char *dir) {
    cJSON *root;
    char *path = path_join(dir, "config.json");
    if (!path) return status_error(E_ENV, "out of memory");
    Status s = json_read(&root, path, MAX_CONFIG_BYTES);
    if (status_is_ok(s)) {
        s = config_from_json(&llm->cfg, root, path);
        cJSON_Delete(root);
    }
    free(path);
    TRY(s);
    TRY(read_optional(&root, dir, "generation_config.json"));
    if (root) s = config_eos(&llm->cfg, root, "generation_config.json");
    cJSON_Delete(root);
    return s;
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
    if (!path) return status_error(E_ENV, "out of memory");
    bool there = file_exists(path);
    free(path);
    if (!there) return OK;
    TRY(vocabulary_open(&v, dir));
    return take_vocabulary(llm, &v, dir);
}

static Status load_gguf_text(Llm *llm, const Gguf *g) {
    Vocabulary v;
    TRY(vocabulary_from_gguf(&v, g));
    return take_vocabulary(llm, &v, g->path);
}

static Tensor vector_tensor(Arena *mem, int64_t n) {
    return tensor_1d(arena_f32(mem, n), DT_F32, n);
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

static Status load_vector(Tensor *out, Llm *llm, const Source *s, Part part, int64_t layer, int64_t n) {
    *out = vector_tensor(&llm->mem, n);
    return llm->mem.base ? read_part(tensor_f32(*out), s, part, layer, n, 1, 0) : OK;
}

static Status load_layer(Llm *llm, Device *dev, const Source *s, float *buf, int64_t l, LlmLoad opts) {
    const LlmConfig *c = &llm->cfg;
    LlmLayer *y = &llm->layers[l];
    int64_t q = c->heads * c->head_dim, kv = c->groups * c->head_dim, d = c->head_dim;
    const Stacked qkv[] = {{ATTN_Q, q, d}, {ATTN_K, kv, d}, {ATTN_V, kv, 0}}, o[] = {{ATTN_O, c->width, 0}};
    const Stacked gate_up[] = {{FFN_GATE, c->ffn, 0}, {FFN_UP, c->ffn, 0}},
                  down[] = {{FFN_DOWN, c->width, 0}};
    TRY(load_vector(&y->attn_norm, llm, s, ATTN_NORM, l, c->width));
    TRY(load_vector(&y->ffn_norm, llm, s, FFN_NORM, l, c->width));
    TRY(load_stacked(&y->qkv, llm, dev, s, buf, l, c->width, qkv, 3, opts));
    TRY(load_stacked(&y->o, llm, dev, s, buf, l, q, o, 1, opts));
    TRY(load_stacked(&y->gate_up, llm, dev, s, buf, l, c->width, gate_up, 2, opts));
    return load_stacked(&y->down, llm, dev, s, buf, l, c->ffn, down, 1, opts);
}

/* The embedding table; the head from the same rows when they are tied. */
static Status load_ends(Llm *llm, Device *dev, const Source *s, float *buf, LlmLoad opts) {
    const LlmConfig *c = &llm->cfg;
    const Stacked head = {HEAD, c->vocab, 0};
    int64_t n = c->vocab * c->width;
    MatmulPackOpts pack = {opts.backward};
    TRY(load_vector(&llm->norm, llm, s, NORM, 0, c->width));
    llm->embed = arena_tensor_2d(&llm->mem, opts.dtype, c->vocab, c->width);
    if (llm->mem.base) {
        TRY(read_part(buf, s, EMBED, 0, c->vocab, c->width, 0));
        if (opts.dtype == DT_F32)
            memcpy(llm->embed.data, buf, (size_t)n * sizeof(float));
        else
#pragma omp parallel for num_threads(s->n_threads) schedule(static)
            for (int64_t i = 0; i < n; i++) ((uint16_t *)llm->embed.data)[i] = float_to_bf16(buf[i]);
    }
    if (!c->tied) return load_stacked(&llm->head, llm, dev, s, buf, 0, c->width, &head, 1, opts);
    return matmul_pack(dev, &llm->mem, &llm->head, tensor_2d(buf, DT_F32, c->vocab, c->width), opts.dtype,
                       pack);
}

static Status load_weights(Llm *llm, Device *dev, const Source *s, float *buf, LlmLoad opts) {
    const LlmConfig *c = &llm->cfg;
    TRY(load_ends(llm, dev, s, buf, opts));
    llm->inv_freq = arena_f32(&llm->mem, c->head_dim / 2);
    for (int64_t i = 0; llm->mem.base && i < c->head_dim / 2; i++)
        llm->inv_freq[i] = (float)(1.0 / pow((double)c->rope_theta, 2.0 * (double)i / (double)c->head_dim));
    for (int64_t l = 0; l < c->n_layers; l++) TRY(load_layer(llm, dev, s, buf, l, opts));
    return OK;
}

static int64_t largest_matrix(const LlmConfig *c) {
    int64_t qkv = (c->heads + 2 * c->groups) * c->head_dim,
            most = c->vocab > 2 * c->ffn ? c->vocab : 2 * c->ffn;
    int64_t wide = qkv > most ? qkv : most, down = c->width * (c->ffn > qkv ? c->ffn : qkv);
    return wide * c->width > down ? wide * c->width : down;
}

/* Every part's size is checked against the file before the big allocations: a header cannot ask for memory
 * that its data does not back. */
static Status check_embedding(const Source *s, const LlmConfig *c) {
    char name[96];
    part_name(name, s, EMBED, 0);
    if (s->is_gguf) {
        const GgufTensor *t;
        TRY(gguf_get_tensor(&t, &s->gguf, name, c->vocab, c->width));
        part_name(name, s, FFN_DOWN, c->n_layers - 1);
        return gguf_get_tensor(&t, &s->gguf, name, c->width, c->ffn);
    }
    Tensor t;
    int64_t embed[2] = {c->vocab, c->width}, down[2] = {c->width, c->ffn};
    TRY(safetensors_get(&t, &s->st, name, 2, embed));
    part_name(name, s, FFN_DOWN, c->n_layers - 1);
    return safetensors_get(&t, &s->st, name, 2, down);
}

static Status load_from(Llm *llm, Device *dev, const Source *s, LlmLoad opts) {
    TRY(check_embedding(s, &llm->cfg));
    llm->cfg.tied = !has_part(s, HEAD);
    llm->dtype = opts.dtype;
    llm->layers = calloc((size_t)llm->cfg.n_layers, sizeof *llm->layers);
    if (!llm->layers) return status_error(E_ENV, "out of memory");
    llm->mem = arena_measure("model weights");
    TRY(load_weights(llm, dev, s, NULL, opts));
    TRY(arena_commit(&llm->mem));
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
        st = config_from_gguf(&llm->cfg, &s.gguf);
        if (status_is_ok(st)) st = load_from(llm, dev, &s, opts);
        if (status_is_ok(st)) st = load_gguf_text(llm, &s.gguf);
        gguf_close(&s.gguf);
    } else {
        TRY(load_dir_config(llm, path));
        TRY(safetensors_open_model(&s.st, path));
        st = load_from(llm, dev, &s, opts);
        if (status_is_ok(st)) st = load_dir_text(llm, path);
        safetensors_close(&s.st);
    }
    return st;
}

Status llm_load(Llm *llm, Device *dev, const char *path, LlmLoad opts) {
    memset(llm, 0, sizeof *llm);
    llm->name = strdup(path);
    Status s = llm->name ? load(llm, dev, path, opts) : status_error(E_ENV, "out of memory");
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
    if (!automatic && strcmp(name, "bf16") == 0 && !dev->bf16_dot)
        return status_error(E_ENV, "dtype bf16: this CPU has no AVX512-BF16; use f32");
    *out = automatic ? (dev->bf16_dot ? DT_BF16 : DT_F32) : (strcmp(name, "bf16") == 0 ? DT_BF16 : DT_F32);
    return OK;
}
