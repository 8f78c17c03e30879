/* Policy: the loader checks the configuration, then that exactly the tensors it announces are there in the
 * right shapes, and only then allocates; numbers are checked as they are converted. */
#include "data/adapter.h"
#include "base/file.h"
#include "base/json.h"
#include "data/replace.h"
#include "data/safetensors.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <utf8proc.h>

#define CONFIG "adapter_config.json"
#define WEIGHTS "adapter_model.safetensors"
#define PREFIX "base_model.model.model.layers."
enum { MAX_CONFIG = 1 << 20, MAX_RANK = 1 << 16, NAME_SIZE = 128, REGEX_STEPS = 100000 }; /* chosen */

typedef struct ModuleInfo {
    const char *name, *block;
} ModuleInfo;

static const ModuleInfo infos[LORA_MODULES] = {
    [Q_PROJ] = {"q_proj", "self_attn"}, [K_PROJ] = {"k_proj", "self_attn"},
    [V_PROJ] = {"v_proj", "self_attn"}, [O_PROJ] = {"o_proj", "self_attn"},
    [GATE_PROJ] = {"gate_proj", "mlp"}, [UP_PROJ] = {"up_proj", "mlp"},
    [DOWN_PROJ] = {"down_proj", "mlp"},
};

const char *lora_module_name(LoraModule m) {
    CHECK((unsigned)m < LORA_MODULES, "module %d", (int)m);
    return infos[m].name;
}

static int find_module(const char *name, size_t n) {
    for (int m = 0; m < LORA_MODULES; m++)
        if (strlen(infos[m].name) == n && memcmp(infos[m].name, name, n) == 0) return m;
    return -1;
}

Status lora_module_parse(LoraModule *out, const char *name) {
    int m = find_module(name, strlen(name));
    if (m < 0)
        return status_error(E_INPUT,
                            "'%s' is not a module that can be adapted; expected q_proj, k_proj, v_proj, "
                            "o_proj, gate_proj, up_proj or down_proj",
                            name);
    *out = (LoraModule)m;
    return OK;
}

/* "base_model.model.model.layers.3.self_attn.q_proj.lora_A.weight" */
static void tensor_name(char out[NAME_SIZE], int layer, LoraModule m, char factor) {
    snprintf(out, NAME_SIZE, PREFIX "%d.%s.%s.lora_%c.weight", layer, infos[m].block, infos[m].name, factor);
}

/* ---------------------------------------------------------------- memory */

Status adapter_alloc(Adapter *a) {
    size_t total = 0;
    CHECK(a->n_layers > 0 && a->rank > 0 && a->n_modules > 0 && a->n_modules <= LORA_MODULES,
          "adapter of %d layers, rank %d, %d modules", a->n_layers, a->rank, a->n_modules);
    size_t unit = (size_t)a->n_layers * (size_t)a->rank;
    bool overflow = false;
    for (int i = 0; i < a->n_modules; i++) {
        size_t n;
        overflow = overflow ||
                   __builtin_mul_overflow(unit, (size_t)(a->modules[i].in + a->modules[i].out), &n) ||
                   __builtin_add_overflow(total, n, &total);
    }
    a->memory = overflow ? NULL : calloc(total + 1, sizeof *a->memory);
    if (!a->memory) return status_error(E_ENV, "no memory for an adapter of %zu numbers", total);
    float *p = a->memory;
    for (int i = 0; i < a->n_modules; i++) {
        AdapterModule *m = &a->modules[i];
        m->a = p;
        m->b = p + unit * (size_t)m->in;
        p += unit * (size_t)(m->in + m->out);
    }
    return OK;
}

void adapter_free(Adapter *a) {
    free(a->base_model);
    free(a->memory);
    memset(a, 0, sizeof *a);
}

double adapter_scale(const Adapter *a) {
    return a->use_rslora ? a->alpha / sqrt(a->rank) : a->alpha / a->rank;
}

Status adapter_check_shape(const Adapter *a, const AdapterShape *shape, const char *where) {
    if (a->n_layers != shape->n_layers)
        return status_error(E_INPUT, "%s: made for %d layers, the model has %d; it belongs to another model",
                            where, a->n_layers, shape->n_layers);
    for (int i = 0; i < a->n_modules; i++) {
        const AdapterModule *m = &a->modules[i];
        if (shape->in[m->module] == 0)
            return status_error(E_INPUT, "%s: adapts %s, which the model does not have", where,
                                lora_module_name(m->module));
        if (m->in != shape->in[m->module] || m->out != shape->out[m->module])
            return status_error(E_INPUT,
                                "%s: %s is %lld -> %lld, the model has %lld -> %lld; it belongs to another "
                                "model",
                                where, lora_module_name(m->module), (long long)m->in, (long long)m->out,
                                (long long)shape->in[m->module], (long long)shape->out[m->module]);
    }
    return OK;
}

/* ---------------------------------------------------------------- writing */

/* The number as Python's json module writes it: the fewest digits that read back the same. */
static void put_number(FILE *f, double x, bool is_float) {
    char text[40];
    int digits = 1;
    do snprintf(text, sizeof text, "%.*g", digits, x);
    while (strtod(text, NULL) != x && ++digits <= 17);
    if (fabs(x) < 1e16 && x == floor(x)) snprintf(text, sizeof text, is_float ? "%.1f" : "%.0f", x);
    fputs(text, f);
}

/* A JSON string as Python writes it: ASCII, everything else as \u escapes. */
static void put_string(FILE *f, const char *s) {
    static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
    utf8proc_int32_t c;
    fputc('"', f);
    for (utf8proc_ssize_t n; *s; s += n) {
        n = utf8proc_iterate((const utf8proc_uint8_t *)s, -1, &c);
        if (n <= 0) {
            n = 1;
            c = 0xfffd;
        }
        const char *at = c < 0x80 ? strchr(from, c) : NULL;
        if (at)
            fprintf(f, "\\%c", to[at - from]);
        else if (c >= 0x10000)
            fprintf(f, "\\u%04x\\u%04x", (unsigned)(0xd800 + ((c - 0x10000) >> 10)),
                    (unsigned)(0xdc00 + ((c - 0x10000) & 0x3ff)));
        else if (c < 0x20 || c > 0x7e)
            fprintf(f, "\\u%04x", (unsigned)c);
        else
            fputc((int)c, f);
    }
    fputc('"', f);
}

static void put_config(FILE *f, const Adapter *a, const AdapterWriteOptions *o) {
    fputs("{\n  \"alpha_pattern\": {},\n  \"auto_mapping\": null,\n  \"base_model_name_or_path\": ", f);
    if (a->base_model)
        put_string(f, a->base_model);
    else
        fputs("null", f);
    fputs(",\n  \"bias\": \"none\",\n  \"corda_config\": null,\n  \"eva_config\": null,\n"
          "  \"exclude_modules\": null,\n  \"fan_in_fan_out\": false,\n  \"inference_mode\": true,\n"
          "  \"init_lora_weights\": true,\n  \"layer_replication\": null,\n  \"layers_pattern\": null,\n"
          "  \"layers_to_transform\": null,\n  \"loftq_config\": {},\n  \"lora_alpha\": ",
          f);
    put_number(f, a->alpha, false);
    fputs(",\n  \"lora_bias\": false,\n  \"lora_dropout\": ", f);
    put_number(f, o ? o->dropout : 0, true);
    fputs(",\n  \"megatron_config\": null,\n  \"megatron_core\": \"megatron.core\",\n"
          "  \"modules_to_save\": null,\n  \"peft_type\": \"LORA\",\n",
          f);
    fprintf(f, "  \"r\": %d,\n  \"rank_pattern\": {},\n  \"revision\": null,\n  \"target_modules\": [",
            a->rank);
    for (int i = 0; i < a->n_modules; i++)
        fprintf(f, "%s\n    \"%s\"", i ? "," : "", lora_module_name(a->modules[i].module));
    fprintf(f,
            "\n  ],\n  \"task_type\": \"CAUSAL_LM\",\n  \"trainable_token_indices\": null,\n"
            "  \"use_dora\": false,\n  \"use_rslora\": %s\n}",
            a->use_rslora ? "true" : "false");
}

static Status write_config(const char *dir, const Adapter *a, const AdapterWriteOptions *o) {
    char *text = NULL, *path = path_join(dir, CONFIG);
    size_t n = 0;
    FILE *f = path ? open_memstream(&text, &n) : NULL;
    Status s = f ? OK : status_error(E_ENV, "%s: out of memory", dir);
    if (f) {
        put_config(f, a, o);
        bool bad = ferror(f) != 0;
        bad = fclose(f) != 0 || bad || !text;
        s = bad ? status_error(E_ENV, "%s: out of memory", path) : file_write_atomic(path, text, n);
    }
    free(text);
    free(path);
    return s;
}

static bool all_finite(const float *x, int64_t n) {
    bool good = true; /* x - x is 0 for finite x and NaN otherwise */
    for (int64_t i = 0; i < n; i++) good &= x[i] - x[i] == 0;
    return good;
}

static float *layer_a(const Adapter *a, const AdapterModule *m, int layer) {
    return m->a + (int64_t)layer * a->rank * m->in;
}

static float *layer_b(const Adapter *a, const AdapterModule *m, int layer) {
    return m->b + (int64_t)layer * a->rank * m->out;
}

static Status write_weights(const char *dir, const Adapter *a, const AdapterWriteOptions *o) {
    size_t n = (size_t)a->n_layers * (size_t)a->n_modules * 2, k = 0;
    SafeEntry *entries = calloc(n, sizeof *entries);
    char(*names)[NAME_SIZE] = calloc(n, sizeof *names), *path = path_join(dir, WEIGHTS);
    SafeMeta meta[2] = {{"format", "pt"}, {"description", o ? o->description : NULL}};
    Status s = entries && names && path ? OK : status_error(E_ENV, "%s: out of memory", dir);
    for (int layer = 0; layer < a->n_layers && status_is_ok(s); layer++)
        for (int i = 0; i < a->n_modules; i++) {
            const AdapterModule *m = &a->modules[i];
            tensor_name(names[k], layer, m->module, 'A');
            entries[k] = (SafeEntry){names[k], tensor_2d(layer_a(a, m, layer), DT_F32, a->rank, m->in)};
            tensor_name(names[k + 1], layer, m->module, 'B');
            entries[k + 1] =
                (SafeEntry){names[k + 1], tensor_2d(layer_b(a, m, layer), DT_F32, m->out, a->rank)};
            k += 2;
        }
    for (size_t i = 0; i < k && status_is_ok(s); i++)
        if (!all_finite(entries[i].tensor.data, tensor_numel(entries[i].tensor)))
            s = status_error(E_FAIL, "%s: not written: %s holds NaN or infinity", dir, names[i]);
    if (status_is_ok(s)) s = safetensors_write(path, entries, (int64_t)n, meta, meta[1].value ? 2 : 1);
    free(entries);
    free(names);
    free(path);
    return s;
}

/* What may be replaced: nothing there, an empty directory, or one that holds an adapter and nothing else. */
static Status check_replaceable(const char *dir) {
    static const char *const ours[] = {".", "..", CONFIG, WEIGHTS, "adapter_model.bin", "README.md"};
    struct stat st;
    if (lstat(dir, &st) != 0) return errno == ENOENT ? OK : status_errno(errno, "%s: cannot stat", dir);
    if (!S_ISDIR(st.st_mode))
        return status_error(E_INPUT, "%s: exists and is not a directory; name another output directory", dir);
    DIR *d = opendir(dir);
    if (!d) return status_errno(errno, "%s: cannot open directory", dir);
    Status s = OK;
    for (struct dirent *e; (e = readdir(d)) && status_is_ok(s);) {
        bool known = false;
        for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
            known = known || strcmp(e->d_name, ours[i]) == 0;
        if (!known)
            s = status_error(E_INPUT,
                             "%s: holds '%s', so it is not an adapter directory and is not overwritten; name "
                             "another output directory",
                             dir, e->d_name);
    }
    closedir(d);
    return s;
}

static Status write_fresh(const char *dir, const char *fresh, const Adapter *a,
                          const AdapterWriteOptions *o) {
    TRY(file_remove_tree(fresh));
    TRY(file_mkdirs(fresh));
    TRY(write_weights(fresh, a, o));
    TRY(write_config(fresh, a, o));
    TRY(replace_sync_tree(fresh));
    return replace_dir(dir, fresh);
}

Status adapter_write(const char *dir, const Adapter *a, const AdapterWriteOptions *options) {
    char final[PATH_MAX], fresh[PATH_MAX];
    size_t n = strlen(dir);
    while (n > 1 && dir[n - 1] == '/') n--;
    CHECK(a->n_layers > 0 && a->rank > 0 && a->n_modules > 0 && a->n_modules <= LORA_MODULES &&
              isfinite(a->alpha),
          "adapter of %d layers, rank %d, %d modules, alpha %g", a->n_layers, a->rank, a->n_modules,
          a->alpha);
    if (n == 0 || n + 32 > sizeof fresh)
        return status_error(E_INPUT, "'%s': not a usable directory name", dir);
    snprintf(final, sizeof final, "%.*s", (int)n, dir);
    snprintf(fresh, sizeof fresh, "%.*s.tmp.%ld", (int)n, dir, (long)getpid());
    TRY(check_replaceable(final));
    Status s = write_fresh(final, fresh, a, options);
    if (!status_is_ok(s)) status_free(file_remove_tree(fresh));
    return s;
}

/* ---------------------------------------------------------------- reading: the configuration */

static bool is_set(const cJSON *v) {
    if (!v || cJSON_IsNull(v) || cJSON_IsFalse(v)) return false;
    return !((cJSON_IsArray(v) || cJSON_IsObject(v)) && !v->child);
}

/* Kinds of adapter that PEFT describes in a "..._config" object of their own, of today or later. */
static bool is_variant(const cJSON *v) {
    static const char *const starts[] = {"loftq_config", "eva_config", "corda_config", "lora_ga_config"};
    size_t n = strlen(v->string);
    if (!is_set(v) || n < 7 || strcmp(v->string + n - 7, "_config") != 0) return false;
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++)
        if (strcmp(v->string, starts[i]) == 0) return false; /* says how training started, no more */
    return true;
}

static Status check_plain(const cJSON *root, const char *where) {
    static const char *const refused[] = {"use_dora",          "lora_bias",
                                          "fan_in_fan_out",    "modules_to_save",
                                          "rank_pattern",      "alpha_pattern",
                                          "exclude_modules",   "layers_to_transform",
                                          "use_qalora",        "use_bdlora",
                                          "layer_replication", "trainable_token_indices",
                                          "target_parameters", "alora_invocation_tokens"};
    static const char *const inits[] = {"gaussian", "eva", "orthogonal"}; /* leave the base model as it is */
    const char *text;
    TRY(json_get_string(&text, root, "peft_type", where));
    if (strcmp(text, "LORA") != 0)
        return status_error(E_INPUT, "%s: key 'peft_type': expected \"LORA\", found \"%s\"", where, text);
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        if (is_set(cJSON_GetObjectItemCaseSensitive(root, refused[i])))
            return status_error(E_INPUT,
                                "%s: key '%s' is set; such adapters are not supported, only plain LoRA",
                                where, refused[i]);
    for (const cJSON *c = root->child; c; c = c->next)
        if (is_variant(c))
            return status_error(E_INPUT,
                                "%s: key '%s' is set; such adapters are not supported, only plain LoRA",
                                where, c->string);
    const cJSON *bias = cJSON_GetObjectItemCaseSensitive(root, "bias");
    if (is_set(bias) && !(cJSON_IsString(bias) && strcmp(bias->valuestring, "none") == 0))
        return status_error(E_INPUT, "%s: key 'bias': only \"none\" is supported, found %s", where,
                            cJSON_IsString(bias) ? bias->valuestring : json_type_name(bias));
    const cJSON *init = cJSON_GetObjectItemCaseSensitive(root, "init_lora_weights");
    bool known = !cJSON_IsString(init);
    for (size_t i = 0; i < sizeof inits / sizeof *inits && !known; i++)
        known = strcmp(init->valuestring, inits[i]) == 0;
    if (!known)
        return status_error(E_INPUT,
                            "%s: key 'init_lora_weights': \"%s\" changes the base model's weights; not "
                            "supported",
                            where, init->valuestring);
    return OK;
}

static Status add_module(Adapter *a, const char *name, const char *where) {
    LoraModule m = Q_PROJ;
    Status s = lora_module_parse(&m, name);
    if (!status_is_ok(s)) return status_wrap(s, "%s: key 'target_modules'", where);
    for (int i = 0; i < a->n_modules; i++)
        if (a->modules[i].module == m)
            return status_error(E_INPUT, "%s: key 'target_modules': '%s' appears twice", where, name);
    a->modules[a->n_modules++].module = m;
    return OK;
}

/* 1 when the pattern matches the module's full name in layer `layer`, 0 when not, PCRE2's error (< 0) when
 * matching failed. */
static int matches(pcre2_code *code, pcre2_match_data *data, pcre2_match_context *limits, int layer,
                   LoraModule m) {
    char name[NAME_SIZE];
    snprintf(name, sizeof name, "model.layers.%d.%s.%s", layer, infos[m].block, infos[m].name);
    int rc = pcre2_match(code, (PCRE2_SPTR)name, strlen(name), 0, 0, data, limits);
    return rc >= 0 ? 1 : rc == PCRE2_ERROR_NOMATCH ? 0 : rc;
}

/* A string in target_modules is a regular expression for whole module names. It must choose the same modules
 * in every layer. */
static Status add_matching(Adapter *a, const char *pattern, const char *where) {
    int err;
    PCRE2_SIZE at;
    pcre2_code *code = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
                                     PCRE2_ANCHORED | PCRE2_ENDANCHORED, &err, &at, NULL);
    if (!code && err == PCRE2_ERROR_HEAP_FAILED) return status_error(E_ENV, "%s: out of memory", where);
    if (!code)
        return status_error(E_INPUT,
                            "%s: key 'target_modules': \"%s\" is not a regular expression (at character %zu)",
                            where, pattern, (size_t)at);
    pcre2_match_data *data = pcre2_match_data_create_from_pattern(code, NULL);
    pcre2_match_context *limits = pcre2_match_context_create(NULL);
    Status s = data && limits ? OK : status_error(E_ENV, "%s: out of memory", where);
    if (limits) pcre2_set_match_limit(limits, REGEX_STEPS);
    for (int m = 0; m < LORA_MODULES && status_is_ok(s); m++) {
        int hits = 0, rc = 0;
        for (int layer = 0; layer < a->n_layers && rc >= 0; layer++) {
            rc = matches(code, data, limits, layer, (LoraModule)m);
            hits += rc > 0;
        }
        if (rc == PCRE2_ERROR_NOMEMORY)
            s = status_error(E_ENV, "%s: no memory to match \"%s\"", where, pattern);
        else if (rc < 0 || (hits > 0 && hits < a->n_layers))
            s = status_error(E_INPUT, "%s: key 'target_modules': \"%s\" %s; list the modules instead", where,
                             pattern, rc < 0 ? "is too complicated" : "differs between layers");
        else if (hits)
            a->modules[a->n_modules++].module = (LoraModule)m;
    }
    if (status_is_ok(s) && a->n_modules == 0)
        s = status_error(E_INPUT, "%s: key 'target_modules': \"%s\" matches none of the model's modules",
                         where, pattern);
    pcre2_match_context_free(limits);
    pcre2_match_data_free(data);
    pcre2_code_free(code);
    return s;
}

static Status read_targets(Adapter *a, const cJSON *root, const char *where) {
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(root, "target_modules");
    if (cJSON_IsString(v) && strcmp(v->valuestring, "all-linear") == 0) {
        for (int m = 0; m < LORA_MODULES; m++) a->modules[a->n_modules++].module = (LoraModule)m;
        return OK;
    }
    if (cJSON_IsString(v)) return add_matching(a, v->valuestring, where);
    if (!cJSON_IsArray(v) || !v->child)
        return status_error(
            E_INPUT,
            "%s: key 'target_modules': expected an array of module names, \"all-linear\" or a "
            "pattern, found %s",
            where, v && cJSON_IsArray(v) ? "an empty array" : json_type_name(v));
    for (const cJSON *c = v->child; c; c = c->next) {
        if (!cJSON_IsString(c))
            return status_error(E_INPUT, "%s: key 'target_modules': expected module names, found %s", where,
                                json_type_name(c));
        TRY(add_module(a, c->valuestring, where));
    }
    return OK;
}

static Status read_config(Adapter *a, const cJSON *root, const char *where) {
    int64_t rank;
    if (!cJSON_IsObject(root))
        return status_error(E_INPUT, "%s: expected an object, found %s", where, json_type_name(root));
    TRY(check_plain(root, where));
    TRY(json_get_int(&rank, root, "r", 1, MAX_RANK, where));
    TRY(json_get_number(&a->alpha, root, "lora_alpha", where));
    a->rank = (int)rank;
    const cJSON *rslora = cJSON_GetObjectItemCaseSensitive(root, "use_rslora");
    if (rslora && !cJSON_IsNull(rslora)) TRY(json_get_bool(&a->use_rslora, root, "use_rslora", where));
    const cJSON *base = cJSON_GetObjectItemCaseSensitive(root, "base_model_name_or_path");
    if (cJSON_IsString(base)) {
        a->base_model = strdup(base->valuestring);
        if (!a->base_model) return status_error(E_ENV, "%s: out of memory", where);
    }
    return read_targets(a, root, where);
}

/* ---------------------------------------------------------------- reading: the weights */

/* Layer and module of a tensor's name; false when it is not one of ours. */
static bool parse_name(const char *name, int *layer, LoraModule *module) {
    char again[NAME_SIZE], *end;
    size_t prefix = strlen(PREFIX);
    if (strncmp(name, PREFIX, prefix) != 0 || name[prefix] < '0' || name[prefix] > '9') return false;
    long i = strtol(name + prefix, &end, 10);
    const char *word = *end == '.' ? strchr(end + 1, '.') : NULL;
    const char *stop = word ? strchr(word + 1, '.') : NULL;
    int m = stop ? find_module(word + 1, (size_t)(stop - word - 1)) : -1;
    if (m < 0 || i > INT_MAX - 1) return false;
    *layer = (int)i;
    *module = (LoraModule)m;
    for (char factor = 'A'; factor <= 'B'; factor++) {
        tensor_name(again, *layer, *module, factor);
        if (strcmp(again, name) == 0) return true;
    }
    return false;
}

/* Every name is known and in range; *n_layers is the largest layer seen plus one. */
static Status check_names(int *n_layers, const SafeTensors *st) {
    *n_layers = 0;
    for (int64_t i = 0; i < st->n; i++) {
        int layer;
        LoraModule m;
        if (!parse_name(st->tensors[i].name, &layer, &m))
            return status_error(E_INPUT,
                                "%s: unknown tensor '%s'; expected names like " PREFIX
                                "0.self_attn.q_proj.lora_A.weight",
                                st->path, st->tensors[i].name);
        if (layer >= *n_layers) *n_layers = layer + 1;
    }
    return *n_layers ? OK : status_error(E_INPUT, "%s: holds no tensor", st->path);
}

static Status get_factor(const SafeTensor **out, const SafeTensors *st, int layer, LoraModule m, char factor,
                         int64_t rows, int64_t cols) {
    char name[NAME_SIZE];
    Tensor t;
    int64_t dim[2] = {rows, cols};
    tensor_name(name, layer, m, factor);
    TRY(safetensors_get(&t, st, name, 2, dim));
    *out = safetensors_find(st, name);
    return OK;
}

/* in and out of every module: from `shape`, else from layer 0. Then every tensor is there, with that shape.
 */
static Status check_tensors(Adapter *a, const SafeTensors *st, const AdapterShape *shape) {
    const SafeTensor *t;
    for (int i = 0; i < a->n_modules; i++) {
        AdapterModule *m = &a->modules[i];
        TRY(get_factor(&t, st, 0, m->module, 'A', a->rank, -1));
        m->in = t->shape[1];
        TRY(get_factor(&t, st, 0, m->module, 'B', -1, a->rank));
        m->out = t->shape[0];
        if (m->in < 1 || m->out < 1)
            return status_error(E_INPUT, "%s: %s is %lld -> %lld", st->path, lora_module_name(m->module),
                                (long long)m->in, (long long)m->out);
    }
    if (shape) TRY(adapter_check_shape(a, shape, st->path));
    for (int layer = 0; layer < a->n_layers; layer++)
        for (int i = 0; i < a->n_modules; i++) {
            const AdapterModule *m = &a->modules[i];
            TRY(get_factor(&t, st, layer, m->module, 'A', a->rank, m->in));
            TRY(get_factor(&t, st, layer, m->module, 'B', m->out, a->rank));
        }
    if (st->n == (int64_t)a->n_layers * a->n_modules * 2) return OK;
    for (int64_t i = 0; i < st->n; i++) { /* all of ours are there, so one belongs to a module not targeted */
        int layer;
        LoraModule m;
        bool targeted = !parse_name(st->tensors[i].name, &layer, &m);
        for (int k = 0; k < a->n_modules; k++) targeted = targeted || a->modules[k].module == m;
        if (!targeted)
            return status_error(E_INPUT,
                                "%s: tensor '%s' belongs to a module that target_modules does not name",
                                st->path, st->tensors[i].name);
    }
    return OK;
}

static Status load_factor(float *dst, const SafeTensors *st, int layer, LoraModule m, char factor,
                          int64_t n) {
    char name[NAME_SIZE];
    tensor_name(name, layer, m, factor);
    TRY(safetensors_read_f32(dst, safetensors_find(st, name)));
    if (all_finite(dst, n)) return OK;
    return status_error(E_INPUT, "%s: tensor '%s' holds NaN or infinity; the adapter is unusable", st->path,
                        name);
}

static Status load_tensors(Adapter *a, const SafeTensors *st) {
    TRY(adapter_alloc(a));
    for (int layer = 0; layer < a->n_layers; layer++)
        for (int i = 0; i < a->n_modules; i++) {
            const AdapterModule *m = &a->modules[i];
            TRY(load_factor(layer_a(a, m, layer), st, layer, m->module, 'A', a->rank * m->in));
            TRY(load_factor(layer_b(a, m, layer), st, layer, m->module, 'B', a->rank * m->out));
        }
    return OK;
}

static Status load_all(Adapter *a, const char *config, const SafeTensors *st, const AdapterShape *shape) {
    cJSON *root;
    TRY(check_names(&a->n_layers, st));
    if (shape && a->n_layers != shape->n_layers)
        return status_error(E_INPUT, "%s: made for %d layers, the model has %d; it belongs to another model",
                            st->path, a->n_layers, shape->n_layers);
    if (a->n_layers > st->n) /* a hole in the layers; keeps the work bounded by the file */
        return status_error(E_INPUT, "%s: tensors up to layer %d but only %lld of them; some are missing",
                            st->path, a->n_layers - 1, (long long)st->n);
    TRY(json_read(&root, config, MAX_CONFIG));
    Status s = read_config(a, root, config);
    cJSON_Delete(root);
    TRY(s);
    TRY(check_tensors(a, st, shape));
    return load_tensors(a, st);
}

Status adapter_load(Adapter *out, const char *dir, const AdapterShape *shape) {
    SafeTensors st = {0};
    char *config = path_join(dir, CONFIG), *weights = path_join(dir, WEIGHTS);
    memset(out, 0, sizeof *out);
    Status s = config && weights ? OK : status_error(E_ENV, "%s: out of memory", dir);
    if (status_is_ok(s) && !file_exists(config))
        s = status_error(E_INPUT, "%s: not an adapter directory: " CONFIG " is not there", dir);
    if (status_is_ok(s) && !file_exists(weights))
        s = status_error(
            E_INPUT, "%s: " WEIGHTS " is not there (a .bin of PyTorch is not read; save it as safetensors)",
            dir);
    if (status_is_ok(s)) s = safetensors_open(&st, weights);
    if (status_is_ok(s)) s = load_all(out, config, &st, shape);
    if (!status_is_ok(s)) adapter_free(out);
    safetensors_close(&st);
    free(config);
    free(weights);
    return s;
}
