/* Configurations of decoders: transformers' config.json with the defaults of each family's class, and GGUF
 * metadata with llama.cpp's. What a family always has is a row of `families`; the rest is read. */
#include "model/llm_config.h"

#include "base/json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_WIDTH = 1 << 20, MAX_HEAD = 1 << 16, MAX_POSITIONS = 1 << 24, MAX_CONFIG_BYTES = 64 << 20 };
static const double MIN_FACTOR = 1e-3, MAX_FACTOR = 1e6; /* chosen: published are 2 to 128 */
/* What transformers' classes take for a key that is absent. */
enum { DEFAULT_WINDOW = 4096, DEFAULT_WINDOW_LAYER = 28, DEFAULT_GEMMA_HEAD = 256 };

typedef struct Family {
    const char *name; /* model_type, and general.architecture of a GGUF but for mistral's, "llama" */
    const char *act_key, *act_name; /* in config.json */
    GluAct act;
    bool qkv_bias, post_norms, norm_offset, embed_scaled;
    bool softcaps; /* and query_pre_attn_scalar */
    bool windows;  /* may have layers with a sliding window */
    bool own_gguf; /* else its GGUF files say "llama" */
} Family;

static const Family families[LLM_FAMILIES] = {
    [LLM_LLAMA] = {"llama", "hidden_act", "silu", GLU_SILU, .own_gguf = true},
    [LLM_MISTRAL] = {"mistral", "hidden_act", "silu", GLU_SILU, .windows = true},
    [LLM_QWEN2] = {"qwen2", "hidden_act", "silu", GLU_SILU, .qkv_bias = true, .windows = true,
                   .own_gguf = true},
    [LLM_GEMMA2] = {"gemma2", "hidden_activation", "gelu_pytorch_tanh", GLU_GELU_TANH, .post_norms = true,
                    .norm_offset = true, .embed_scaled = true, .softcaps = true, .windows = true,
                    .own_gguf = true},
};

const char *llm_config_family(const LlmConfig *c) {
    return families[c->family].name;
}

/* "llama, mistral, ..." of those that a file can say. */
static Status unknown_family(const char *where, const char *key, const char *found, size_t n, bool gguf) {
    char names[128] = "";
    for (int i = 0; i < LLM_FAMILIES; i++) {
        if (gguf && !families[i].own_gguf) continue;
        size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s%s", used ? ", " : "", families[i].name);
    }
    return status_error(E_INPUT, "%s: key '%s': '%.*s' is not supported; expected one of %s", where, key,
                        (int)n, found, names);
}

static void take_family(LlmConfig *c, int i) {
    const Family *f = &families[i];
    c->family = (LlmFamily)i;
    c->act = f->act;
    c->qkv_bias = f->qkv_bias;
    c->post_norms = f->post_norms;
    c->norm_offset = f->norm_offset;
    c->embed_scale = 1.0f;
}

static Status add_eos(LlmConfig *c, int64_t id, const char *where) {
    for (int i = 0; i < c->n_eos; i++)
        if (c->eos[i] == id) return OK;
    if (c->n_eos == LLM_MAX_EOS)
        return status_error(E_INPUT, "%s: more than %d end-of-text tokens", where, LLM_MAX_EOS);
    c->eos[c->n_eos++] = (int32_t)id;
    return OK;
}

static bool positive(double x) {
    return x > 0.0 && isfinite((float)x) && (float)x > 0.0f;
}

static Status check(LlmConfig *c, const char *where) {
    if (c->heads % c->groups != 0)
        return status_error(E_INPUT, "%s: %lld attention heads do not divide into %lld key/value heads",
                            where, (long long)c->heads, (long long)c->groups);
    if (c->head_dim % 4 != 0)
        return status_error(E_INPUT, "%s: head size %lld is not a multiple of 4", where,
                            (long long)c->head_dim);
    const LlmRope *r = &c->rope;
    if (!positive((double)c->norm_eps) || !(r->theta >= 1.0f && positive((double)r->theta)))
        return status_error(E_INPUT,
                            "%s: norm's epsilon %g and rope's base %g: expected a positive number and one of "
                            "at least 1",
                            where, (double)c->norm_eps, (double)r->theta);
    bool scaled = r->kind == LLM_ROPE_LINEAR || r->kind == LLM_ROPE_LLAMA3;
    if (scaled && !(r->factor >= MIN_FACTOR && r->factor <= MAX_FACTOR))
        return status_error(E_INPUT, "%s: rope scaling: factor %g, expected a number from %g to %g", where,
                            r->factor, MIN_FACTOR, MAX_FACTOR);
    if (r->kind == LLM_ROPE_LLAMA3 &&
        !(positive(r->low) && positive(r->high) && r->high > r->low && positive(r->original)))
        return status_error(E_INPUT,
                            "%s: rope scaling 'llama3': expected 0 < low_freq_factor < high_freq_factor and "
                            "original_max_position_embeddings > 0, found %g, %g and %g",
                            where, r->low, r->high, r->original);
    for (int64_t l = 0; l < c->n_layers; l++) {
        if (!c->windowed[l] || c->window > 0) continue;
        return status_error(E_INPUT, "%s: layer %lld has sliding attention, but there is no sliding_window",
                            where, (long long)l);
    }
    if (families[c->family].embed_scaled) c->embed_scale = sqrtf((float)c->width);
    return OK;
}

void llm_config_inv_freq(float *inv_freq, const LlmConfig *c, const float *divisors) {
    const LlmRope *r = &c->rope;
    const double turn = 6.283185307179586;
    for (int64_t i = 0; i < c->head_dim / 2; i++) {
        double f = 1.0 / pow((double)r->theta, 2.0 * (double)i / (double)c->head_dim);
        double turns = f * r->original / turn, blend = (turns - r->low) / (r->high - r->low);
        if (r->kind == LLM_ROPE_LINEAR) f /= r->factor;
        if (r->kind == LLM_ROPE_TABLE) f /= (double)divisors[i];
        if (r->kind == LLM_ROPE_LLAMA3) { /* 0: all of it slowed down, 1: none */
            blend = blend < 0.0 ? 0.0 : blend > 1.0 ? 1.0 : blend;
            f = (1.0 - blend) * f / r->factor + blend * f;
        }
        inv_freq[i] = (float)f;
    }
}

/* ---- GGUF ---- */

/* "<arch>.<name>" of the file's architecture. */
typedef struct Key {
    char text[96];
} Key;

static Key key_of(const LlmConfig *c, const char *name) {
    Key k;
    snprintf(k.text, sizeof k.text, "%s.%s", families[c->family].name, name);
    return k;
}

static Status gguf_rope(LlmConfig *c, const Gguf *g) {
    GgufString type = {"none", 4};
    Key type_key = key_of(c, "rope.scaling.type"), factor = key_of(c, "rope.scaling.factor");
    double theta;
    TRY(gguf_get_float_or(&theta, g, key_of(c, "rope.freq_base").text, 10000.0));
    c->rope.theta = (float)theta;
    if (gguf_find(g, type_key.text))
        TRY(gguf_get_string(&type, g, type_key.text));
    else if (gguf_find(g, factor.text))
        type = (GgufString){"linear", 6};
    if (gguf_string_is(type, "linear")) {
        c->rope.kind = LLM_ROPE_LINEAR;
        return gguf_get_float(&c->rope.factor, g, factor.text);
    }
    if (!gguf_string_is(type, "none"))
        return status_error(E_INPUT, "%s: key '%s': '%.*s' is not supported; expected 'none' or 'linear'",
                            g->path, type_key.text, (int)type.n, type.s);
    if (gguf_tensor(g, "rope_freqs.weight")) c->rope.kind = LLM_ROPE_TABLE;
    return OK;
}

static Status gguf_attention(LlmConfig *c, const Gguf *g) {
    Key window = key_of(c, "attention.sliding_window");
    double scalar = (double)c->head_dim, attn_cap = 0.0, out_cap = 0.0;
    if (families[c->family].softcaps) {
        /* llama.cpp: the 27B model (46 layers) alone has a scale other than its head size's */
        if (c->n_layers == 46) scalar = (double)c->width / (double)c->heads;
        TRY(gguf_get_float_or(&attn_cap, g, key_of(c, "attn_logit_softcapping").text, 50.0));
        TRY(gguf_get_float_or(&out_cap, g, key_of(c, "final_logit_softcapping").text, 30.0));
        if (!positive(attn_cap) || !positive(out_cap))
            return status_error(E_INPUT, "%s: softcaps of %g and %g, expected positive numbers", g->path,
                                attn_cap, out_cap);
    }
    c->attn_scale = (float)(1.0 / sqrt(scalar));
    c->attn_softcap = (float)attn_cap;
    c->out_softcap = (float)out_cap;
    bool every_other = c->family == LLM_GEMMA2;
    TRY(gguf_get_int_or(&c->window, g, window.text, 0, MAX_POSITIONS, every_other ? DEFAULT_WINDOW : 0));
    if (c->window > 0 && c->family == LLM_QWEN2)
        return status_error(E_INPUT, "%s: key '%s': sliding windows of qwen2 files are not supported",
                            g->path, window.text);
    for (int64_t l = 0; l < c->n_layers; l++) c->windowed[l] = c->window > 0 && !(every_other && l % 2);
    return OK;
}

Status llm_config_from_gguf(LlmConfig *c, const Gguf *g) {
    memset(c, 0, sizeof *c);
    GgufString arch;
    int i = 0;
    TRY(gguf_get_string(&arch, g, "general.architecture"));
    while (i < LLM_FAMILIES && !(families[i].own_gguf && gguf_string_is(arch, families[i].name))) i++;
    if (i == LLM_FAMILIES) return unknown_family(g->path, "general.architecture", arch.s, arch.n, true);
    take_family(c, i);
    c->norm_offset = false; /* convert_hf_to_gguf adds the one */
    const GgufTensor *embed = gguf_tensor(g, "token_embd.weight");
    if (!embed) return status_error(E_INPUT, "%s: tensor 'token_embd.weight' is missing", g->path);
    int64_t rope_dim, value_dim, bos, eos;
    double eps;
    TRY(gguf_get_int(&c->width, g, key_of(c, "embedding_length").text, 1, MAX_WIDTH));
    TRY(gguf_get_int(&c->n_layers, g, key_of(c, "block_count").text, 1, LLM_MAX_LAYERS));
    TRY(gguf_get_int(&c->ffn, g, key_of(c, "feed_forward_length").text, 1, MAX_WIDTH));
    TRY(gguf_get_int(&c->heads, g, key_of(c, "attention.head_count").text, 1, c->width));
    TRY(gguf_get_int_or(&c->groups, g, key_of(c, "attention.head_count_kv").text, 1, c->heads, c->heads));
    TRY(gguf_get_int_or(&c->head_dim, g, key_of(c, "attention.key_length").text, 2, MAX_HEAD,
                        c->width / c->heads));
    TRY(gguf_get_int_or(&value_dim, g, key_of(c, "attention.value_length").text, 2, MAX_HEAD, c->head_dim));
    TRY(gguf_get_int_or(&rope_dim, g, key_of(c, "rope.dimension_count").text, 2, MAX_HEAD, c->head_dim));
    TRY(gguf_get_int_or(&c->max_positions, g, key_of(c, "context_length").text, 1, MAX_POSITIONS, 2048));
    TRY(gguf_get_float(&eps, g, key_of(c, "attention.layer_norm_rms_epsilon").text));
    c->norm_eps = (float)eps;
    c->vocab = embed->ne[1];
    if (rope_dim != c->head_dim)
        return status_error(E_INPUT, "%s: rope on %lld of %lld numbers of a head is not supported", g->path,
                            (long long)rope_dim, (long long)c->head_dim);
    if (value_dim != c->head_dim)
        return status_error(E_INPUT, "%s: values of %lld numbers beside keys of %lld are not supported",
                            g->path, (long long)value_dim, (long long)c->head_dim);
    TRY(gguf_rope(c, g));
    TRY(gguf_attention(c, g));
    TRY(gguf_get_int_or(&bos, g, "tokenizer.ggml.bos_token_id", 0, c->vocab - 1, -1));
    TRY(gguf_get_int_or(&eos, g, "tokenizer.ggml.eos_token_id", 0, c->vocab - 1, -1));
    c->bos = (int32_t)bos;
    if (eos >= 0) TRY(add_eos(c, eos, g->path));
    return check(c, g->path);
}

/* ---- config.json ---- */

/* NULL when absent or null. */
static const cJSON *given(const cJSON *root, const char *key) {
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(root, key);
    return cJSON_IsNull(v) ? NULL : v;
}

static Status int_or(int64_t *out, const cJSON *root, const char *key, int64_t min, int64_t max,
                     int64_t absent, const char *where) {
    *out = absent;
    return given(root, key) ? json_get_int(out, root, key, min, max, where) : OK;
}

static Status bool_or(bool *out, const cJSON *root, const char *key, bool absent, const char *where) {
    *out = absent;
    return given(root, key) ? json_get_bool(out, root, key, where) : OK;
}

/* Absent: `absent`; null: 0; else a positive number. */
static Status cap_or(float *out, const cJSON *root, const char *key, double absent, const char *where) {
    double x = cJSON_GetObjectItemCaseSensitive(root, key) ? 0.0 : absent;
    if (given(root, key)) {
        TRY(json_get_number(&x, root, key, where));
        if (!positive(x))
            return status_error(E_INPUT, "%s: key '%s': expected a positive number or null, found %g", where,
                                key, x);
    }
    *out = (float)x;
    return OK;
}

/* "eos_token_id": absent, null, a number or a list of numbers. */
static Status json_eos(LlmConfig *c, const cJSON *root, const char *where) {
    const cJSON *v = given(root, "eos_token_id"), *item = v;
    if (!v) return OK;
    if (cJSON_IsArray(v)) item = v->child;
    for (; item; item = cJSON_IsArray(v) ? item->next : NULL) {
        double id = cJSON_IsNumber(item) ? item->valuedouble : -1.0;
        if (!(id >= 0 && id < (double)c->vocab && id == floor(id)))
            return status_error(E_INPUT, "%s: key 'eos_token_id': expected token ids below %lld", where,
                                (long long)c->vocab);
        TRY(add_eos(c, (int64_t)id, where));
    }
    return OK;
}

static Status json_scaling(LlmRope *r, const cJSON *scaling, const char *where) {
    const char *key = given(scaling, "rope_type") ? "rope_type" : "type", *kind = "default";
    if (given(scaling, key)) TRY(json_get_string(&kind, scaling, key, where));
    if (strcmp(kind, "default") == 0) return OK;
    bool linear = strcmp(kind, "linear") == 0;
    if (!linear && strcmp(kind, "llama3") != 0)
        return status_error(E_INPUT,
                            "%s: rope scaling '%s' is not supported; expected default, linear or llama3",
                            where, kind);
    r->kind = linear ? LLM_ROPE_LINEAR : LLM_ROPE_LLAMA3;
    TRY(json_get_number(&r->factor, scaling, "factor", where));
    if (linear) return OK;
    TRY(json_get_number(&r->low, scaling, "low_freq_factor", where));
    TRY(json_get_number(&r->high, scaling, "high_freq_factor", where));
    return json_get_number(&r->original, scaling, "original_max_position_embeddings", where);
}

/* rope_theta and rope_scaling, or rope_parameters with both (transformers 5). */
static Status json_rope(LlmConfig *c, const cJSON *root, const char *where) {
    double theta = 10000.0;
    static const char *const keys[] = {"rope_scaling", "rope_parameters"};
    for (int i = 0; i < 2; i++) {
        const cJSON *part;
        if (!given(root, keys[i])) continue;
        TRY(json_get_object(&part, root, keys[i], where));
        if (i == 1 && given(part, "rope_theta")) TRY(json_get_number(&theta, part, "rope_theta", where));
        if (i == 0 && !given(part, "rope_type") && !given(part, "type"))
            return status_error(E_INPUT, "%s: rope scaling without 'rope_type'", where);
        TRY(json_scaling(&c->rope, part, where));
    }
    if (given(root, "rope_theta")) TRY(json_get_number(&theta, root, "rope_theta", where));
    c->rope.theta = (float)theta;
    return OK;
}

/* Which layers see only the last keys. mistral: all; qwen2: from max_window_layers on, if use_sliding_window;
 * gemma2: every other; layer_types, where the family reads it, overrides. */
static Status json_windows(LlmConfig *c, const cJSON *root, const char *where) {
    bool use = true;
    int64_t from = 0;
    if (!families[c->family].windows) return OK;
    if (c->family == LLM_QWEN2) {
        TRY(bool_or(&use, root, "use_sliding_window", false, where));
        TRY(int_or(&from, root, "max_window_layers", 0, MAX_WIDTH, DEFAULT_WINDOW_LAYER, where));
    }
    int64_t absent = cJSON_GetObjectItemCaseSensitive(root, "sliding_window") ? 0 : DEFAULT_WINDOW;
    TRY(int_or(&c->window, root, "sliding_window", 1, MAX_POSITIONS, absent, where));
    if (!use) c->window = 0;
    for (int64_t l = 0; l < c->n_layers; l++)
        c->windowed[l] = c->window > 0 && l >= from && !(c->family == LLM_GEMMA2 && l % 2);
    if (c->family == LLM_MISTRAL || !given(root, "layer_types")) return OK;
    const cJSON *types, *type;
    TRY(json_get_array(&types, root, "layer_types", where));
    int64_t l = 0;
    cJSON_ArrayForEach(type, types) {
        bool sliding = cJSON_IsString(type) && strcmp(type->valuestring, "sliding_attention") == 0;
        if (!sliding && !(cJSON_IsString(type) && strcmp(type->valuestring, "full_attention") == 0))
            return status_error(E_INPUT,
                                "%s: key 'layer_types': item %lld: expected \"full_attention\" or "
                                "\"sliding_attention\"",
                                where, (long long)l);
        if (l < c->n_layers) c->windowed[l] = sliding;
        l++;
    }
    if (l == c->n_layers) return OK;
    return status_error(E_INPUT, "%s: key 'layer_types': %lld items for %lld layers", where, (long long)l,
                        (long long)c->n_layers);
}

static Status json_attention(LlmConfig *c, const cJSON *root, const char *where) {
    double scalar = (double)c->head_dim;
    if (families[c->family].softcaps) {
        scalar = DEFAULT_GEMMA_HEAD;
        if (given(root, "query_pre_attn_scalar"))
            TRY(json_get_number(&scalar, root, "query_pre_attn_scalar", where));
        if (!positive(scalar))
            return status_error(E_INPUT,
                                "%s: key 'query_pre_attn_scalar': expected a positive number, found %g",
                                where, scalar);
        TRY(cap_or(&c->attn_softcap, root, "attn_logit_softcapping", 50.0, where));
        TRY(cap_or(&c->out_softcap, root, "final_logit_softcapping", 30.0, where));
    }
    c->attn_scale = (float)(1.0 / sqrt(scalar));
    return json_windows(c, root, where);
}

static Status json_refusals(const Family *f, const cJSON *root, const char *where) {
    static const char *const biases[] = {"attention_bias", "mlp_bias"};
    for (int i = 0; i < 2; i++) {
        bool on;
        TRY(bool_or(&on, root, biases[i], false, where));
        if (on) return status_error(E_INPUT, "%s: key '%s': biases are not supported", where, biases[i]);
    }
    const char *act = f->act_name;
    if (given(root, f->act_key)) TRY(json_get_string(&act, root, f->act_key, where));
    if (strcmp(act, f->act_name) != 0)
        return status_error(E_INPUT, "%s: key '%s': '%s' is not supported; expected '%s'", where, f->act_key,
                            act, f->act_name);
    return OK;
}

static Status from_json(LlmConfig *c, const cJSON *root, const char *where) {
    const char *type;
    int64_t bos;
    double eps;
    int i = 0;
    TRY(json_get_string(&type, root, "model_type", where));
    while (i < LLM_FAMILIES && strcmp(type, families[i].name) != 0) i++;
    if (i == LLM_FAMILIES) return unknown_family(where, "model_type", type, strlen(type), false);
    take_family(c, i);
    TRY(json_get_int(&c->vocab, root, "vocab_size", 1, 1 << 24, where));
    TRY(json_get_int(&c->width, root, "hidden_size", 1, MAX_WIDTH, where));
    TRY(json_get_int(&c->n_layers, root, "num_hidden_layers", 1, LLM_MAX_LAYERS, where));
    TRY(json_get_int(&c->ffn, root, "intermediate_size", 1, MAX_WIDTH, where));
    TRY(json_get_int(&c->heads, root, "num_attention_heads", 1, c->width, where));
    TRY(int_or(&c->groups, root, "num_key_value_heads", 1, c->heads, c->heads, where));
    TRY(int_or(&c->head_dim, root, "head_dim", 2, MAX_HEAD,
               c->family == LLM_GEMMA2 ? DEFAULT_GEMMA_HEAD : c->width / c->heads, where));
    TRY(int_or(&c->max_positions, root, "max_position_embeddings", 1, MAX_POSITIONS, 2048, where));
    TRY(int_or(&bos, root, "bos_token_id", 0, c->vocab - 1, -1, where));
    TRY(json_get_number(&eps, root, "rms_norm_eps", where));
    TRY(json_rope(c, root, where));
    TRY(json_refusals(&families[i], root, where));
    TRY(json_attention(c, root, where));
    c->tied = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(root, "tie_word_embeddings"));
    c->norm_eps = (float)eps;
    c->bos = (int32_t)bos;
    TRY(json_eos(c, root, where));
    return check(c, where);
}

typedef Status ParseFn(LlmConfig *c, const cJSON *root, const char *where);

static Status read_json(LlmConfig *c, const char *dir, const char *name, bool optional, ParseFn *parse) {
    char *path = path_join(dir, name);
    if (!path) return status_error(E_ENV, "%s: out of memory", dir);
    cJSON *root = NULL;
    Status s = OK;
    if (!optional || file_exists(path)) {
        s = json_read(&root, path, MAX_CONFIG_BYTES);
        if (status_is_ok(s)) s = parse(c, root, path);
    }
    cJSON_Delete(root);
    free(path);
    return s;
}

Status llm_config_from_dir(LlmConfig *c, const char *dir) {
    memset(c, 0, sizeof *c);
    TRY(read_json(c, dir, "config.json", false, from_json));
    return read_json(c, dir, "generation_config.json", true, json_eos);
}

Status llm_config_read(LlmConfig *c, const char *path) {
    if (file_is_dir(path)) return llm_config_from_dir(c, path);
    Gguf g;
    TRY(gguf_open(&g, path));
    Status s = llm_config_from_gguf(c, &g);
    gguf_close(&g);
    return s;
}
