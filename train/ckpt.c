#include "train/ckpt.h"
#include "base/json.h"
#include "data/safetensors.h"
#include "train/names.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_JSON_BYTES = 1 << 20 };
#define MAX_ADAPTER ((int64_t)1 << 31) /* numbers, chosen: twice a 70B model's, all modules, rank 64 */

static Status no_memory(const char *where) {
    return status_error(E_ENV, "%s: out of memory", where);
}

static bool add_shapes(cJSON *j, const HypernetConfig *c) {
    cJSON *modules = cJSON_AddObjectToObject(j, "modules");
    bool good = modules;
    for (int i = 0; good && i < c->n_modules; i++) {
        double dims[2] = {(double)c->in[c->modules[i]], (double)c->out[c->modules[i]]};
        cJSON *pair = cJSON_CreateDoubleArray(dims, 2);
        good = cJSON_AddItemToObject(modules, lora_module_name(c->modules[i]), pair);
        if (!good) cJSON_Delete(pair);
    }
    return good;
}

static bool add_tasks(cJSON *j, const CkptInfo *info) {
    if (!info->tasks) return true;
    cJSON *names = cJSON_CreateStringArray((const char *const *)info->tasks, (int)info->hypernet.embed);
    bool good = cJSON_AddItemToObject(j, "tasks", names);
    if (!good) cJSON_Delete(names);
    return good;
}

/* NULL: out of memory. */
static char *info_text(const CkptInfo *info) {
    const HypernetConfig *c = &info->hypernet;
    cJSON *j = cJSON_CreateObject();
    bool good = cJSON_AddStringToObject(j, "model", info->model) &&
                cJSON_AddStringToObject(j, "encoder", info->encoder) &&
                cJSON_AddStringToObject(j, "prompt", info->prompt) &&
                cJSON_AddStringToObject(j, "source", info->embedding) && add_tasks(j, info) &&
                cJSON_AddStringToObject(j, "task_encoder", hypernet_encoder_name(c->encoder)) &&
                cJSON_AddNumberToObject(j, "step", (double)info->step) &&
                cJSON_AddStringToObject(j, "size", hypernet_size_name(c->size)) &&
                cJSON_AddNumberToObject(j, "embedding", (double)c->embed) &&
                cJSON_AddNumberToObject(j, "latent", (double)c->latent) &&
                cJSON_AddNumberToObject(j, "head", (double)c->head) &&
                cJSON_AddNumberToObject(j, "rank", (double)c->rank) &&
                cJSON_AddNumberToObject(j, "layers", (double)c->n_layers) &&
                cJSON_AddNumberToObject(j, "dropout", c->dropout) &&
                cJSON_AddNumberToObject(j, "lora_alpha", info->lora_alpha) &&
                cJSON_AddNumberToObject(j, "lora_scale", c->lora_scale) &&
                cJSON_AddNumberToObject(j, "lora_dropout", c->lora_dropout) &&
                cJSON_AddBoolToObject(j, "learned_positions", c->learned_positions) &&
                cJSON_AddBoolToObject(j, "head_bias", c->head_bias) &&
                (!c->learned_offset || cJSON_AddTrueToObject(j, "learned_offset")) && add_shapes(j, c);
    char *text = good ? cJSON_PrintUnformatted(j) : NULL;
    cJSON_Delete(j);
    return text;
}

static Status get_text(char **out, const cJSON *j, const char *key, const char *where) {
    const char *s;
    TRY(json_get_string(&s, j, key, where));
    *out = strdup(s);
    return *out ? OK : no_memory(where);
}

/* A text that earlier checkpoints lack. */
static Status text_or(const char **out, const cJSON *j, const char *key, const char *absent,
                      const char *where) {
    *out = absent;
    return cJSON_GetObjectItemCaseSensitive(j, key) ? json_get_string(out, j, key, where) : OK;
}

/* The source of embeddings; embed and encoder are known. */
static Status parse_source(CkptInfo *info, const cJSON *j, const char *where) {
    const char *source;
    const cJSON *tasks;
    TRY(text_or(&source, j, "source", "encoder", where));
    if (!names_is_choice("encoder|llm|onehot", source))
        return status_error(E_INPUT, "%s: key 'source': expected encoder, llm or onehot, found '%.60s'",
                            where, source);
    info->embedding = strdup(source);
    if (!info->embedding) return no_memory(where);
    if (strcmp(source, "onehot") != 0) return OK;
    TRY(json_get_array(&tasks, j, "tasks", where));
    int64_t n = cJSON_GetArraySize(tasks);
    bool good = n == info->hypernet.embed;
    for (const cJSON *t = tasks->child; t; t = t->next) good = good && cJSON_IsString(t);
    if (!good)
        return status_error(E_INPUT, "%s: key 'tasks': expected the names of %lld tasks", where,
                            (long long)info->hypernet.embed);
    info->tasks = calloc((size_t)n, sizeof *info->tasks);
    if (!info->tasks) return no_memory(where);
    const cJSON *t = tasks->child;
    for (int64_t i = 0; i < n; i++, t = t->next) {
        info->tasks[i] = strdup(t->valuestring);
        if (!info->tasks[i]) return no_memory(where);
    }
    return OK;
}

static Status parse_modules(HypernetConfig *c, const cJSON *j, const char *where) {
    const cJSON *modules;
    TRY(json_get_object(&modules, j, "modules", where));
    for (const cJSON *m = modules->child; m; m = m->next) {
        LoraModule module;
        if (c->n_modules == LORA_MODULES) return status_error(E_INPUT, "%s: too many modules", where);
        TRY(lora_module_parse(&module, m->string));
        const cJSON *in = cJSON_GetArrayItem(m, 0), *out = cJSON_GetArrayItem(m, 1);
        if (cJSON_GetArraySize(m) != 2 || !cJSON_IsNumber(in) || !cJSON_IsNumber(out) ||
            in->valuedouble < 1 || out->valuedouble < 1 || in->valuedouble > 1e6 || out->valuedouble > 1e6)
            return status_error(E_INPUT, "%s: module '%s': expected [in, out]", where, m->string);
        c->modules[c->n_modules++] = module;
        c->in[module] = (int64_t)in->valuedouble;
        c->out[module] = (int64_t)out->valuedouble;
    }
    return OK;
}

static Status parse_info(CkptInfo *info, const cJSON *j, const char *where) {
    HypernetConfig *c = &info->hypernet;
    const char *size, *task_encoder;
    TRY(get_text(&info->model, j, "model", where));
    TRY(get_text(&info->encoder, j, "encoder", where));
    TRY(get_text(&info->prompt, j, "prompt", where));
    TRY(json_get_int(&info->step, j, "step", 0, INT64_MAX >> 11, where));
    TRY(json_get_string(&size, j, "size", where));
    c->size = size[0] == 'S' ? HYPERNET_S : size[0] == 'M' ? HYPERNET_M : HYPERNET_L;
    if (strcmp(size, hypernet_size_name(c->size)) != 0)
        return status_error(E_INPUT, "%s: key 'size': expected S, M or L, found '%s'", where, size);
    TRY(json_get_int(&c->embed, j, "embedding", 1, 1 << 20, where));
    TRY(text_or(&task_encoder, j, "task_encoder", "linear", where));
    TRY(status_wrap(hypernet_encoder_parse(&c->encoder, task_encoder), "%s", where));
    TRY(parse_source(info, j, where));
    TRY(json_get_int(&c->latent, j, "latent", 4, 1 << 16, where));
    TRY(json_get_int(&c->head, j, "head", 1, 1 << 16, where));
    TRY(json_get_int(&c->rank, j, "rank", 1, LORA_MAX_RANK, where));
    TRY(json_get_int(&c->n_layers, j, "layers", 1, 1024, where));
    TRY(json_get_number(&c->dropout, j, "dropout", where));
    TRY(json_get_number(&info->lora_alpha, j, "lora_alpha", where));
    TRY(json_get_number(&c->lora_scale, j, "lora_scale", where));
    TRY(json_get_number(&c->lora_dropout, j, "lora_dropout", where));
    TRY(json_get_bool(&c->learned_positions, j, "learned_positions", where));
    TRY(json_get_bool(&c->head_bias, j, "head_bias", where));
    c->learned_offset = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(j, "learned_offset"));
    return parse_modules(c, j, where);
}

/* The file has the numbers that its metadata asks memory for, and its adapters are of a size that is. */
static Status check_size(const SafeTensors *st, const HypernetConfig *c) {
    int64_t n, bytes = 0, numbers = 0;
    for (int i = 0; i < c->n_modules; i++)
        numbers += c->n_layers * c->rank * (c->in[c->modules[i]] + c->out[c->modules[i]]);
    if (numbers > MAX_ADAPTER)
        return status_error(E_INPUT, "%s: metadata 't2l' says adapters of %lld numbers, at most %lld",
                            st->path, (long long)numbers, (long long)MAX_ADAPTER);
    TRY(status_wrap(hypernet_count(&n, c), "%s", st->path));
    for (int64_t i = 0; i < st->n; i++) bytes += (int64_t)st->tensors[i].bytes;
    if (bytes / (int64_t)sizeof(float) >= n) return OK;
    return status_error(E_INPUT, "%s: metadata 't2l' says %lld parameters, the file holds %lld; damaged",
                        st->path, (long long)n, (long long)bytes / (long long)sizeof(float));
}

void ckpt_info_free(CkptInfo *info) {
    free(info->model);
    free(info->encoder);
    free(info->prompt);
    free(info->embedding);
    for (int64_t i = 0; info->tasks && i < info->hypernet.embed; i++) free(info->tasks[i]);
    free(info->tasks);
    memset(info, 0, sizeof *info);
}

/* The checkpoint folder an argument means; heap string. */
static Status resolve(char **out, const char *ckpt) {
    static const char *const tails[] = {"", "/ckpt/best", "/best"};
    for (int i = 0; i < 3; i++) {
        char path[PATH_MAX];
        if ((size_t)snprintf(path, sizeof path, "%s%s/hypernet.safetensors", ckpt, tails[i]) >= sizeof path)
            break;
        if (!file_exists(path)) continue;
        *strrchr(path, '/') = 0;
        *out = strdup(path);
        return *out ? OK : no_memory(ckpt);
    }
    return status_error(
        E_INPUT,
        "%s: no checkpoint here; expected a folder with hypernet.safetensors, or a run folder with "
        "ckpt/best",
        ckpt);
}

static Status open_params(SafeTensors *st, char **dir, const char *ckpt) {
    TRY(resolve(dir, ckpt));
    char *path = path_join(*dir, "hypernet.safetensors");
    Status s = path ? safetensors_open(st, path) : no_memory(*dir);
    free(path);
    if (!status_is_ok(s)) free(*dir);
    return s;
}

Status ckpt_info(CkptInfo *out, const char *ckpt) {
    SafeTensors st;
    char *dir;
    memset(out, 0, sizeof *out);
    TRY(open_params(&st, &dir, ckpt));
    const char *text = safetensors_metadata(&st, "t2l");
    cJSON *j = NULL;
    Status s = text ? json_parse(&j, text, strlen(text), st.path)
                    : status_error(E_INPUT, "%s: metadata 't2l' is missing: not a t2l checkpoint", st.path);
    if (status_is_ok(s)) s = parse_info(out, j, st.path);
    if (status_is_ok(s)) s = check_size(&st, &out->hypernet);
    cJSON_Delete(j);
    safetensors_close(&st);
    free(dir);
    if (!status_is_ok(s)) ckpt_info_free(out);
    return s;
}

/* One tensor, F32 and finite, to the memory of dev (NULL: the host's). */
static Status read_tensor(Device *dev, float *to, const SafeTensors *st, const char *name, int ndim,
                          const int64_t *dim) {
    Tensor x;
    TRY(safetensors_get(&x, st, name, ndim, dim));
    if (x.dtype != DT_F32)
        return status_error(E_INPUT, "%s: tensor '%s': expected F32, found %s", st->path, name,
                            dtype_name(x.dtype));
    int64_t n = tensor_numel(x);
    for (int64_t i = 0; i < n; i++) {
        float number; /* the file does not align them */
        memcpy(&number, (const char *)x.data + (size_t)i * sizeof number, sizeof number);
        if (!isfinite(number))
            return status_error(E_INPUT, "%s: tensor '%s' holds NaN or infinity; use another checkpoint",
                                st->path, name);
    }
    if (dev) return device_upload(dev, to, x.data, (size_t)n * sizeof *to);
    memcpy(to, x.data, (size_t)n * sizeof *to);
    return OK;
}

/* The n rows of the table from t on. */
static Status read_span(Device *dev, float *span, const HypernetTensor *t, int n, const SafeTensors *st,
                        const char *prefix) {
    char name[96];
    for (; n > 0; n--, t++) {
        snprintf(name, sizeof name, "%s%s", prefix, t->name);
        TRY(read_tensor(dev, span + t->offset, st, name, t->ndim, t->dim));
    }
    return OK;
}

static const char *const output_kinds[] = {"each", "shift"};

/* "output.each.q_proj.A" and its place; B is kept as B^T [L,r,out]. Returns its shape. */
static const float *output_tensor(char name[96], int64_t dim[3], const Hypernet *hn, int kind, int module,
                                  int f) {
    const HypernetConfig *c = &hn->cfg;
    const float *span = kind ? hn->output.shift : hn->output.each;
    int64_t offset, n = hypernet_output_span(&offset, c, module, f);
    snprintf(name, 96, "output.%s.%s.%s", output_kinds[kind], lora_module_name(c->modules[module]),
             f ? "Bt" : "A");
    dim[0] = c->n_layers;
    dim[1] = c->rank;
    dim[2] = n / (c->n_layers * c->rank);
    return span ? span + offset : NULL;
}

/* The output stage, where the checkpoint has one; a learned offset is among the parameters. */
static Status read_output(Hypernet *hn, const SafeTensors *st) {
    char name[96];
    float scale;
    int64_t dim[3] = {1};
    if (hn->cfg.learned_offset || !safetensors_find(st, "output.scale")) return OK;
    TRY(read_tensor(NULL, &scale, st, "output.scale", 1, dim));
    HypernetOutputInit init = {.scale = (double)scale, .in_training = hn->output.in_training};
    for (int kind = 0; kind < 2; kind++) {
        output_tensor(name, dim, hn, kind, 0, 0);
        if (safetensors_find(st, name)) *(kind ? &init.shift : &init.each) = true;
    }
    TRY(hypernet_output_init(hn, init));
    for (int i = 0; i < 4 * hn->cfg.n_modules; i++) {
        int kind = i & 1;
        float *to = (float *)output_tensor(name, dim, hn, kind, i / 4, i >> 1 & 1);
        if (to) TRY(read_tensor(hn->dev, to, st, name, 3, dim));
    }
    return OK;
}

/* Adds the output stage's tensors; names: room for 4 a module and one more. */
static int64_t list_output(SafeEntry *e, char (*names)[96], Hypernet *hn) {
    int64_t n = 0, dim[3];
    if (!hn->output.on || hn->cfg.learned_offset) return 0;
    snprintf(names[n], 96, "output.scale");
    e[n] = (SafeEntry){names[n], tensor_1d(&hn->output.scale, DT_F32, 1)};
    n++;
    for (int i = 0; i < 4 * hn->cfg.n_modules; i++) {
        const float *x = output_tensor(names[n], dim, hn, i & 1, i / 4, i >> 1 & 1);
        if (!x) continue;
        e[n] = (SafeEntry){names[n], tensor_3d((float *)x, DT_F32, dim[0], dim[1], dim[2])};
        n++;
    }
    return n;
}

static Status check_file(const cJSON *state, const char *dir, const char *name) {
    char found[65];
    const char *want;
    char *path = path_join(dir, name);
    if (!path) return no_memory(dir);
    Status s = json_get_string(&want, state, name, dir);
    if (status_is_ok(s)) s = sha256_file(found, path);
    if (status_is_ok(s) && strcmp(want, found) != 0)
        s = status_error(E_INPUT,
                         "%s: damaged: its SHA-256 is %s, state.json says %s; use another checkpoint", path,
                         found, want);
    free(path);
    return s;
}

static Status check_files(const char *dir, bool moments) {
    cJSON *state;
    const cJSON *files;
    char *path = path_join(dir, "state.json");
    if (!path) return no_memory(dir);
    Status s = json_read(&state, path, MAX_JSON_BYTES);
    free(path);
    TRY(s);
    s = json_get_object(&files, state, "sha256", dir);
    if (status_is_ok(s)) s = check_file(files, dir, "hypernet.safetensors");
    if (status_is_ok(s) && moments) s = check_file(files, dir, "optimizer.safetensors");
    cJSON_Delete(state);
    return s;
}

static Status load_moments(Hypernet *hn, const char *dir) {
    SafeTensors st;
    char *path = path_join(dir, "optimizer.safetensors");
    if (!path) return no_memory(dir);
    Status s = safetensors_open(&st, path);
    free(path);
    TRY(s);
    s = read_span(hn->dev, hn->m, hn->tensors, hn->n_tensors, &st, "m.");
    if (status_is_ok(s)) s = read_span(hn->dev, hn->v, hn->tensors, hn->n_tensors, &st, "v.");
    safetensors_close(&st);
    return s;
}

Status ckpt_load(Hypernet *hn, const char *ckpt) {
    SafeTensors st;
    char *dir;
    TRY(open_params(&st, &dir, ckpt));
    Status s = check_files(dir, hn->m != NULL);
    if (status_is_ok(s)) s = read_span(hn->dev, hn->params, hn->tensors, hn->n_tensors, &st, "");
    if (status_is_ok(s))
        s = read_span(hn->dev, hn->buffers, hn->tensors + hn->n_tensors, hn->n_buffers, &st, "");
    if (status_is_ok(s)) hypernet_settle(hn, true);
    if (status_is_ok(s)) s = read_output(hn, &st);
    safetensors_close(&st);
    if (status_is_ok(s) && hn->m) s = load_moments(hn, dir);
    free(dir);
    return s;
}

/* Adds one entry for each of the n rows of the table from t on. names: room for n names. */
static int64_t list_span(SafeEntry *e, char (*names)[96], const HypernetTensor *t, int n, float *span,
                         const char *prefix) {
    for (int i = 0; i < n; i++, t++) {
        snprintf(names[i], 96, "%s%s", prefix, t->name);
        e[i].name = names[i];
        e[i].tensor = t->ndim == 1 ? tensor_1d(span + t->offset, DT_F32, t->dim[0])
                                   : tensor_2d(span + t->offset, DT_F32, t->dim[0], t->dim[1]);
    }
    return n;
}

static Status write_file(const char *dir, const char *name, const SafeEntry *e, int64_t n,
                         const SafeMeta *meta, int64_t n_meta) {
    char *path = path_join(dir, name);
    if (!path) return no_memory(dir);
    Status s = safetensors_write(path, e, n, meta, n_meta);
    free(path);
    return s;
}

/* A span of n_params numbers where the host reads it: itself on the CPU, else a copy; *copy [n_params]. */
static Status to_host(float **out, float *copy, const Hypernet *hn, float *span) {
    *out = copy ? copy : span;
    return copy ? device_download(hn->dev, copy, span, (size_t)hn->n_params * sizeof *copy) : OK;
}

Status ckpt_write(const char *dir, const Hypernet *hn, const CkptInfo *info) {
    int64_t n = 2 * (int64_t)hn->n_tensors + hn->n_buffers + 4 * LORA_MODULES + 1;
    SafeEntry *e = malloc((size_t)n * sizeof *e);
    char(*names)[96] = malloc((size_t)n * sizeof *names);
    char *text = info_text(info);
    bool apart = hn->dev->kind != DEVICE_CPU;
    size_t bytes = (size_t)hn->n_params * sizeof(float);
    float *copy[2] = {apart ? malloc(bytes) : NULL, apart && hn->m ? malloc(bytes) : NULL}, *first = NULL,
          *second = NULL;
    bool all = e && names && text && (!apart || (copy[0] && (!hn->m || copy[1])));
    Status s = all ? to_host(&first, copy[0], hn, hn->params) : no_memory(dir);
    if (status_is_ok(s)) {
        SafeMeta meta = {"t2l", text};
        int64_t k = list_span(e, names, hn->tensors, hn->n_tensors, first, "");
        k += list_span(e + k, names + k, hn->tensors + hn->n_tensors, hn->n_buffers, hn->buffers, "");
        k += list_output(e + k, names + k, (Hypernet *)hn);
        s = write_file(dir, "hypernet.safetensors", e, k, &meta, 1);
    }
    if (status_is_ok(s) && hn->m) s = to_host(&first, copy[0], hn, hn->m);
    if (status_is_ok(s) && hn->m) s = to_host(&second, copy[1], hn, hn->v);
    if (status_is_ok(s) && hn->m) {
        int64_t k = list_span(e, names, hn->tensors, hn->n_tensors, first, "m.");
        k += list_span(e + k, names + k, hn->tensors, hn->n_tensors, second, "v.");
        s = write_file(dir, "optimizer.safetensors", e, k, NULL, 0);
    }
    cJSON_free(text);
    free(copy[0]);
    free(copy[1]);
    free(names);
    free(e);
    return s;
}
