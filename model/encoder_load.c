/* Loading an encoder from a folder of sentence-transformers (or plain BERT): config.json, the pooling and
 * length files where present, tensors by their Hugging Face names with or without "bert." or "new." before
 * them. Query, key and value become one matrix, gate stands above up; the position table takes in the
 * embedding of token type 0. */
#include "model/encoder.h"

#include "base/file.h"
#include "base/json.h"
#include "data/safetensors.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_LENGTH = 1 << 15 }; /* chosen: of a text, in tokens; published encoders have at most 8192 */
enum { MAX_JSON = 1 << 20, BATCH_TOKENS = 2048 }; /* chosen: enough rows for full speed, 40 MB for MiniLM */

static Status need_string(const cJSON *j, const char *key, const char *want, const char *where) {
    const char *got;
    TRY(json_get_string(&got, j, key, where));
    if (strcmp(got, want) != 0)
        return status_error(E_INPUT, "%s: %s is \"%s\"; only \"%s\" is supported", where, key, got, want);
    return OK;
}

static bool given(const cJSON *j, const char *key) {
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(j, key);
    return v && !cJSON_IsNull(v);
}

/* What only one value of is known: its own, or absent. */
static Status need_flag(const cJSON *j, const char *key, bool want, const char *where) {
    bool got = want;
    if (given(j, key)) TRY(json_get_bool(&got, j, key, where));
    if (got == want) return OK;
    return status_error(E_INPUT, "%s: %s is %s; only %s is supported", where, key, got ? "true" : "false",
                        want ? "true" : "false");
}

static Status parse_bert(EncoderConfig *c, const cJSON *j, const char *where) {
    if (given(j, "position_embedding_type"))
        TRY(need_string(j, "position_embedding_type", "absolute", where));
    c->types = -1; /* the table says */
    c->max_tokens = c->max_positions < 256 ? c->max_positions : 256;
    return OK;
}

/* Alibaba-NLP's NewModel: its defaults are those of the published gte models. */
static Status parse_new(EncoderConfig *c, const cJSON *j, const char *where) {
    const cJSON *scaling;
    TRY(need_string(j, "position_embedding_type", "rope", where));
    if (given(j, "layer_norm_type")) TRY(need_string(j, "layer_norm_type", "layer_norm", where));
    TRY(need_flag(j, "pack_qkv", true, where));
    TRY(need_flag(j, "logn_attention_scale", false, where));
    TRY(json_get_int(&c->types, j, "type_vocab_size", 0, 2, where));
    TRY(json_get_number(&c->rope_theta, j, "rope_theta", where));
    if (given(j, "rope_scaling")) {
        TRY(json_get_object(&scaling, j, "rope_scaling", where));
        TRY(need_string(scaling, "type", "ntk", where));
        TRY(json_get_number(&c->rope_ntk, scaling, "factor", where));
    }
    if (!(c->rope_theta > 0 && c->rope_theta < 1e30 && c->rope_ntk >= 1 && c->rope_ntk < 1e6))
        return status_error(E_INPUT,
                            "%s: rope_theta %g and scaling factor %g: expected a positive base and a "
                            "factor of at least 1",
                            where, c->rope_theta, c->rope_ntk);
    c->rotary = c->gated = c->pool_cls = true;
    c->max_tokens = c->max_positions < 8192 ? c->max_positions : 8192; /* what the reference cuts at */
    return OK;
}

static Status parse_config(EncoderConfig *c, const cJSON *j, const char *where) {
    double eps;
    const char *type;
    TRY(json_get_string(&type, j, "model_type", where));
    bool is_new = strcmp(type, "new") == 0;
    if (!is_new && strcmp(type, "bert") != 0)
        return status_error(E_INPUT,
                            "%s: model_type is \"%s\"; only \"bert\" and \"new\" encoders are supported",
                            where, type);
    TRY(need_string(j, "hidden_act", "gelu", where));
    TRY(json_get_int(&c->vocab, j, "vocab_size", 1, 1 << 24, where));
    TRY(json_get_int(&c->width, j, "hidden_size", 4, 1 << 16, where));
    TRY(json_get_int(&c->n_layers, j, "num_hidden_layers", 1, 1 << 10, where));
    TRY(json_get_int(&c->heads, j, "num_attention_heads", 1, c->width, where));
    TRY(json_get_int(&c->ffn, j, "intermediate_size", 1, 1 << 20, where));
    TRY(json_get_int(&c->max_positions, j, "max_position_embeddings", 2, 1 << 20, where));
    TRY(json_get_number(&eps, j, "layer_norm_eps", where));
    if (!(eps >= 0 && eps < 1)) return status_error(E_INPUT, "%s: layer_norm_eps is %g", where, eps);
    if (c->width % c->heads != 0 || c->width / c->heads % 4 != 0)
        return status_error(E_INPUT, "%s: %lld heads do not divide a width of %lld into multiples of 4",
                            where, (long long)c->heads, (long long)c->width);
    c->norm_eps = (float)eps;
    c->rope_ntk = 1;
    return is_new ? parse_new(c, j, where) : parse_bert(c, j, where);
}

static Status parse_length(EncoderConfig *c, const cJSON *j, const char *where) {
    int64_t most = c->max_positions < MAX_LENGTH ? c->max_positions : MAX_LENGTH;
    return json_get_int(&c->max_tokens, j, "max_seq_length", 2, most, where);
}

static Status parse_pooling(EncoderConfig *c, const cJSON *j, const char *where) {
    bool mean;
    TRY(json_get_bool(&mean, j, "pooling_mode_mean_tokens", where));
    TRY(json_get_bool(&c->pool_cls, j, "pooling_mode_cls_token", where));
    if (mean == c->pool_cls)
        return status_error(E_INPUT,
                            "%s: expected one of pooling_mode_mean_tokens and pooling_mode_cls_token", where);
    return OK;
}

typedef Status ParseFn(EncoderConfig *c, const cJSON *j, const char *where);

static Status read_json(EncoderConfig *c, const char *dir, const char *name, bool optional, ParseFn *parse) {
    char *path = path_join(dir, name);
    if (!path) return status_error(E_ENV, "no memory for a path");
    cJSON *j = NULL;
    Status st = OK;
    if (!optional || file_exists(path)) {
        st = json_read(&j, path, MAX_JSON);
        if (status_is_ok(st)) st = parse(c, j, path);
    }
    cJSON_Delete(j);
    free(path);
    return st;
}

/* Reads tensors one after the other into `buf`, or into place. */
typedef struct Reader {
    const SafeTensors *st;
    const char *prefix; /* "", "bert." or "new." */
} Reader;

/* rows == 0: a vector of cols. */
static Status read_tensor(float *dst, const Reader *r, int64_t layer, const char *name, int64_t rows,
                          int64_t cols) {
    char full[160];
    if (layer >= 0)
        snprintf(full, sizeof full, "%sencoder.layer.%lld.%s", r->prefix, (long long)layer, name);
    else
        snprintf(full, sizeof full, "%s%s", r->prefix, name);
    Tensor t;
    const int64_t two[2] = {rows, cols};
    TRY(rows ? safetensors_get(&t, r->st, full, 2, two) : safetensors_get(&t, r->st, full, 1, &cols));
    TRY(safetensors_read_f32(dst, safetensors_find(r->st, full)));
    for (int64_t i = 0; i < (rows ? rows : 1) * cols; i++)
        if (!isfinite(dst[i]))
            return status_error(E_INPUT, "%s: tensor '%s' holds NaN or infinity", r->st->path, full);
    return OK;
}

static Status load_norm(const EncoderNorm *norm, const Reader *r, int64_t layer, const char *name) {
    char full[96];
    snprintf(full, sizeof full, "%s.weight", name);
    TRY(read_tensor(tensor_f32(norm->w), r, layer, full, 0, norm->w.dim[0]));
    snprintf(full, sizeof full, "%s.bias", name);
    return read_tensor(tensor_f32(norm->b), r, layer, full, 0, norm->b.dim[0]);
}

/* names: matrices one below the other. Rows of all go through buf. */
static Status load_linear(EncoderLinear *w, Device *dev, Arena *mem, float *buf, const Reader *r,
                          int64_t layer, const char *const *names, int n_names, int64_t n, int64_t k) {
    w->b = arena_f32(mem, n);
    if (r)
        for (int i = 0; i < n_names; i++) {
            char full[96];
            int64_t rows = n / n_names;
            snprintf(full, sizeof full, "%s.weight", names[i]);
            TRY(read_tensor(buf + i * rows * k, r, layer, full, rows, k));
            snprintf(full, sizeof full, "%s.bias", names[i]);
            TRY(read_tensor(w->b + i * rows, r, layer, full, 0, rows));
        }
    MatmulPackOpts opts = {.with_bwd = false};
    return matmul_pack(dev, mem, &w->w, tensor_2d(buf, DT_F32, n, k), DT_F32, opts);
}

static EncoderNorm make_norm(Arena *mem, int64_t c) {
    EncoderNorm n;
    n.w = tensor_1d(arena_f32(mem, c), DT_F32, c);
    n.b = tensor_1d(arena_f32(mem, c), DT_F32, c);
    return n;
}

/* One matrix without a bias, up above gate in the file, gate above up in memory. */
static Status load_gate_up(EncoderLinear *w, Device *dev, Arena *mem, float *buf, const Reader *r,
                           int64_t layer, int64_t ffn, int64_t k) {
    size_t half = (size_t)(ffn * k);
    w->b = NULL;
    if (r) {
        TRY(read_tensor(buf + half, r, layer, "mlp.up_gate_proj.weight", 2 * ffn, k));
        memcpy(buf, buf + 2 * half, half * sizeof *buf);
    }
    MatmulPackOpts opts = {.with_bwd = false};
    return matmul_pack(dev, mem, &w->w, tensor_2d(buf, DT_F32, 2 * ffn, k), DT_F32, opts);
}

typedef struct LayerNames {
    const char *qkv[3], *o[1], *up[1], *down[1], *attn_norm, *norm;
    int n_qkv;
} LayerNames;

static const LayerNames bert_names = {
    .qkv = {"attention.self.query", "attention.self.key", "attention.self.value"},
    .n_qkv = 3,
    .o = {"attention.output.dense"},
    .up = {"intermediate.dense"},
    .down = {"output.dense"},
    .attn_norm = "attention.output.LayerNorm",
    .norm = "output.LayerNorm"};
static const LayerNames new_names = {.qkv = {"attention.qkv_proj"},
                                     .n_qkv = 1,
                                     .o = {"attention.o_proj"},
                                     .down = {"mlp.down_proj"},
                                     .attn_norm = "attn_ln",
                                     .norm = "mlp_ln"};

static Status load_layer(EncoderLayer *l, const EncoderConfig *c, Device *dev, Arena *mem, float *buf,
                         const Reader *r, int64_t i) {
    const LayerNames *names = c->gated ? &new_names : &bert_names;
    l->attn_norm = make_norm(mem, c->width);
    l->norm = make_norm(mem, c->width);
    if (r) {
        TRY(load_norm(&l->attn_norm, r, i, names->attn_norm));
        TRY(load_norm(&l->norm, r, i, names->norm));
    }
    TRY(load_linear(&l->qkv, dev, mem, buf, r, i, names->qkv, names->n_qkv, 3 * c->width, c->width));
    TRY(load_linear(&l->o, dev, mem, buf, r, i, names->o, 1, c->width, c->width));
    if (c->gated)
        TRY(load_gate_up(&l->up, dev, mem, buf, r, i, c->ffn, c->width));
    else
        TRY(load_linear(&l->up, dev, mem, buf, r, i, names->up, 1, c->ffn, c->width));
    return load_linear(&l->down, dev, mem, buf, r, i, names->down, 1, c->width, c->ffn);
}

static void bind_acts(EncoderActs *a, const EncoderConfig *c, Arena *mem) {
    int64_t n = c->max_tokens > BATCH_TOKENS ? c->max_tokens : BATCH_TOKENS;
    a->max_tokens = n;
    a->x = arena_f32(mem, n * c->width);
    a->y = arena_f32(mem, n * c->width);
    a->qkv = arena_f32(mem, n * 3 * c->width);
    a->mid = arena_f32(mem, n * (c->gated ? 2 * c->ffn : c->ffn));
    a->act = arena_f32(mem, c->gated ? n * c->ffn : 0);
    a->cs = arena_f32(mem, c->rotary ? n * (c->width / c->heads) : 0);
    a->lse = arena_f32(mem, n * c->heads);
    a->stats = arena_f32(mem, n * 2);
    a->ids = arena_i32(mem, n);
    a->pos = arena_i32(mem, n);
    a->cu_seqlens = arena_i32(mem, n + 1);
}

/* Adds the embedding of token type 0 to n rows. types: rows of its table, -1: any. */
static Status add_type(float *rows, int64_t n, const Reader *r, float *buf, int64_t types, int64_t width) {
    const char *name = "embeddings.token_type_embeddings.weight";
    char full[96];
    const int64_t dim[2] = {types, width};
    Tensor t;
    if (types == 0) return OK;
    snprintf(full, sizeof full, "%s%s", r->prefix, name);
    TRY(safetensors_get(&t, r->st, full, 2, dim));
    int64_t found = t.dim[0];
    if (found < 1 || found > 2)
        return status_error(E_INPUT, "%s: tensor '%s' has %lld rows, expected 1 or 2", r->st->path, full,
                            (long long)found);
    TRY(read_tensor(buf, r, -1, name, found, width));
    for (int64_t i = 0; i < n * width; i++) rows[i] += buf[i % width];
    return OK;
}

/* NTK-aware scaling as NewModel applies it, always: base times factor, and all angles slower by factor^(2/D).
 */
static void fill_inv_freq(float *inv_freq, const EncoderConfig *c) {
    int64_t d = c->width / c->heads;
    for (int64_t i = 0; i < d / 2; i++)
        inv_freq[i] = (float)(pow(c->rope_theta * c->rope_ntk, -2.0 * (double)i / (double)d) /
                              pow(c->rope_ntk, 2.0 / (double)d));
}

/* The same walk measures (r NULL, e->mem measuring) and then loads. */
static Status bind(Encoder *e, Device *dev, float *buf, const Reader *r) {
    const EncoderConfig *c = &e->cfg;
    Arena *mem = &e->mem;
    int64_t rows = c->rotary ? 1 : c->max_positions;
    bind_acts(&e->acts, c, mem);
    e->words = arena_tensor_2d(mem, DT_F32, c->vocab, c->width);
    e->positions = arena_tensor_2d(mem, DT_F32, rows, c->width);
    e->inv_freq = arena_f32(mem, c->rotary ? c->width / c->heads / 2 : 0);
    e->norm = make_norm(mem, c->width);
    if (r) {
        float *position = tensor_f32(e->positions); /* zero so far */
        TRY(read_tensor(tensor_f32(e->words), r, -1, "embeddings.word_embeddings.weight", c->vocab,
                        c->width));
        if (c->rotary)
            fill_inv_freq(e->inv_freq, c);
        else
            TRY(read_tensor(position, r, -1, "embeddings.position_embeddings.weight", rows, c->width));
        TRY(add_type(position, rows, r, buf, c->types, c->width));
        TRY(load_norm(&e->norm, r, -1, "embeddings.LayerNorm"));
    }
    for (int64_t i = 0; i < c->n_layers; i++) TRY(load_layer(&e->layers[i], c, dev, mem, buf, r, i));
    return OK;
}

/* The sizes that the configuration asks memory for are those of the file's tensors. */
static Status check_sizes(const EncoderConfig *c, const Reader *r) {
    char name[160];
    Tensor t;
    const int64_t words[2] = {c->vocab, c->width}, positions[2] = {c->max_positions, c->width},
                  up[2] = {c->gated ? 2 * c->ffn : c->ffn, c->width};
    snprintf(name, sizeof name, "%sembeddings.word_embeddings.weight", r->prefix);
    TRY(safetensors_get(&t, r->st, name, 2, words));
    snprintf(name, sizeof name, "%sembeddings.position_embeddings.weight", r->prefix);
    if (!c->rotary) TRY(safetensors_get(&t, r->st, name, 2, positions));
    for (int64_t i = 0; i < c->n_layers; i++) {
        snprintf(name, sizeof name, "%sencoder.layer.%lld.%s", r->prefix, (long long)i,
                 c->gated ? "mlp.up_gate_proj.weight" : "intermediate.dense.weight");
        TRY(safetensors_get(&t, r->st, name, 2, up));
    }
    return OK;
}

static Status load_tensors(Encoder *e, Device *dev, const SafeTensors *st) {
    const char *words = "embeddings.word_embeddings.weight", *prefix = e->cfg.gated ? "new." : "bert.";
    char full[96];
    snprintf(full, sizeof full, "%s%s", prefix, words);
    Reader r = {st, safetensors_find(st, full) ? prefix : ""};
    TRY(check_sizes(&e->cfg, &r));
    int64_t c = e->cfg.width, mlp = e->cfg.gated ? 3 * e->cfg.ffn : e->cfg.ffn,
            most = 3 * c > mlp ? 3 * c : mlp;
    e->mem = arena_measure("text encoder");
    TRY(bind(e, dev, NULL, NULL));
    TRY(arena_commit(&e->mem));
    float *buf = malloc((size_t)(most * c) * sizeof *buf);
    if (!buf) return status_error(E_ENV, "no memory to read the text encoder");
    Status s = bind(e, dev, buf, &r);
    free(buf);
    return s;
}

static Status load_tokenizer(Encoder *e, const char *dir) {
    char *path = path_join(dir, "tokenizer.json");
    if (!path) return status_error(E_ENV, "no memory for a path");
    Status st = tokenizer_load_json(&e->tokenizer, path);
    if (status_is_ok(st)) {
        e->markers = tokenizer_markers(e->tokenizer);
        if (e->markers.cls < 0 || e->markers.sep < 0)
            st = status_error(E_INPUT, "%s: no [CLS] or no [SEP] token; a BERT tokenizer is expected", path);
    }
    free(path);
    return st;
}

static Status load(Encoder *e, Device *dev, const char *dir) {
    TRY(read_json(&e->cfg, dir, "config.json", false, parse_config));
    TRY(read_json(&e->cfg, dir, "sentence_bert_config.json", true, parse_length));
    TRY(read_json(&e->cfg, dir, "1_Pooling/config.json", true, parse_pooling));
    TRY(load_tokenizer(e, dir));
    e->layers = calloc((size_t)e->cfg.n_layers, sizeof *e->layers);
    if (!e->layers) return status_error(E_ENV, "no memory for %lld layers", (long long)e->cfg.n_layers);
    SafeTensors st;
    TRY(safetensors_open_model(&st, dir));
    Status s = load_tensors(e, dev, &st);
    safetensors_close(&st);
    return s;
}

Status encoder_load(Encoder *e, Device *dev, const char *dir) {
    memset(e, 0, sizeof *e);
    Status st = load(e, dev, dir);
    if (!status_is_ok(st)) encoder_free(e);
    return st;
}
