/* Loading an encoder from a folder of sentence-transformers (or plain BERT): config.json, the pooling and
 * length files where present, tensors by their Hugging Face names with or without "bert." before them. Query,
 * key and value become one matrix; the position table takes in the embedding of token type 0. */
#include "model/encoder.h"

#include "base/file.h"
#include "base/json.h"
#include "data/safetensors.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_JSON = 1 << 20, BATCH_TOKENS = 2048 }; /* chosen: enough rows for full speed, 40 MB for MiniLM */

static Status need_string(const cJSON *j, const char *key, const char *want, const char *where) {
    const char *got;
    TRY(json_get_string(&got, j, key, where));
    if (strcmp(got, want) != 0)
        return status_error(E_INPUT, "%s: %s is \"%s\"; only \"%s\" encoders are supported", where, key, got,
                            want);
    return OK;
}

static Status parse_config(EncoderConfig *c, const cJSON *j, const char *where) {
    double eps;
    TRY(need_string(j, "model_type", "bert", where));
    TRY(need_string(j, "hidden_act", "gelu", where));
    if (cJSON_GetObjectItemCaseSensitive(j, "position_embedding_type"))
        TRY(need_string(j, "position_embedding_type", "absolute", where));
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
    c->pool_cls = false;
    c->max_tokens = c->max_positions < 256 ? c->max_positions : 256;
    return OK;
}

static Status parse_length(EncoderConfig *c, const cJSON *j, const char *where) {
    return json_get_int(&c->max_tokens, j, "max_seq_length", 2, c->max_positions, where);
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
    const char *prefix; /* "" or "bert." */
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

static Status load_layer(EncoderLayer *l, const EncoderConfig *c, Device *dev, Arena *mem, float *buf,
                         const Reader *r, int64_t i) {
    static const char *const qkv[] = {"attention.self.query", "attention.self.key", "attention.self.value"};
    static const char *const o[] = {"attention.output.dense"}, *const up[] = {"intermediate.dense"};
    static const char *const down[] = {"output.dense"};
    l->attn_norm = make_norm(mem, c->width);
    l->norm = make_norm(mem, c->width);
    if (r) {
        TRY(load_norm(&l->attn_norm, r, i, "attention.output.LayerNorm"));
        TRY(load_norm(&l->norm, r, i, "output.LayerNorm"));
    }
    TRY(load_linear(&l->qkv, dev, mem, buf, r, i, qkv, 3, 3 * c->width, c->width));
    TRY(load_linear(&l->o, dev, mem, buf, r, i, o, 1, c->width, c->width));
    TRY(load_linear(&l->up, dev, mem, buf, r, i, up, 1, c->ffn, c->width));
    return load_linear(&l->down, dev, mem, buf, r, i, down, 1, c->width, c->ffn);
}

static void bind_acts(EncoderActs *a, const EncoderConfig *c, Arena *mem) {
    int64_t n = c->max_tokens > BATCH_TOKENS ? c->max_tokens : BATCH_TOKENS;
    a->max_tokens = n;
    a->x = arena_f32(mem, n * c->width);
    a->y = arena_f32(mem, n * c->width);
    a->qkv = arena_f32(mem, n * 3 * c->width);
    a->mid = arena_f32(mem, n * c->ffn);
    a->lse = arena_f32(mem, n * c->heads);
    a->stats = arena_f32(mem, n * 2);
    a->ids = arena_i32(mem, n);
    a->cu_seqlens = arena_i32(mem, n + 1);
}

/* The same walk measures (r NULL, e->mem measuring) and then loads. */
static Status bind(Encoder *e, Device *dev, float *buf, const Reader *r) {
    const EncoderConfig *c = &e->cfg;
    Arena *mem = &e->mem;
    bind_acts(&e->acts, c, mem);
    e->words = arena_tensor_2d(mem, DT_F32, c->vocab, c->width);
    e->positions = arena_tensor_2d(mem, DT_F32, c->max_positions, c->width);
    e->norm = make_norm(mem, c->width);
    if (r) {
        float *position = tensor_f32(e->positions);
        TRY(read_tensor(tensor_f32(e->words), r, -1, "embeddings.word_embeddings.weight", c->vocab,
                        c->width));
        TRY(read_tensor(position, r, -1, "embeddings.position_embeddings.weight", c->max_positions,
                        c->width));
        TRY(load_norm(&e->norm, r, -1, "embeddings.LayerNorm"));
        const char *types = "embeddings.token_type_embeddings.weight";
        char full[96];
        const int64_t any[2] = {-1, c->width};
        Tensor t;
        snprintf(full, sizeof full, "%s%s", r->prefix, types);
        TRY(safetensors_get(&t, r->st, full, 2, any));
        int64_t n_types = t.dim[0];
        if (n_types < 1 || n_types > 2)
            return status_error(E_INPUT, "%s: tensor '%s' has %lld rows, expected 1 or 2", r->st->path, full,
                                (long long)n_types);
        TRY(read_tensor(buf, r, -1, types, n_types, c->width));
        for (int64_t i = 0; i < c->max_positions * c->width; i++) position[i] += buf[i % c->width];
    }
    for (int64_t i = 0; i < c->n_layers; i++) TRY(load_layer(&e->layers[i], c, dev, mem, buf, r, i));
    return OK;
}

static Status load_tensors(Encoder *e, Device *dev, const SafeTensors *st) {
    Reader r = {st, safetensors_find(st, "bert.embeddings.word_embeddings.weight") ? "bert." : ""};
    int64_t c = e->cfg.width, most = 3 * c > e->cfg.ffn ? 3 * c : e->cfg.ffn;
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
