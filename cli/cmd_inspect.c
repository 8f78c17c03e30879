/* t2l inspect: what is in a file or folder: every tensor with type, shape and norm; of an adapter the scale
 * in force and what it adds to each weight; of a configuration the number of parameters. */
#include "cli/inspect.h"
#include "base/file.h"
#include "data/gguf.h"
#include "data/safetensors.h"
#include "data/fetch.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void inspect_print(const InspectRow *row, bool as_json) {
    char shape[96] = "";
    size_t n = 0;
    for (int i = 0; i < row->ndim && n < sizeof shape - 24; i++)
        n += (size_t)snprintf(shape + n, sizeof shape - n, "%s%lld", i ? (as_json ? "," : " x ") : "",
                              (long long)row->shape[i]);
    if (!as_json) {
        printf("%-60s %-6s %-22s", row->name, row->type, shape);
        if (isfinite(row->norm)) printf(" %.6g", row->norm);
        putchar('\n');
        return;
    }
    printf("{\"tensor\":");
    print_json_string(stdout, row->name, strlen(row->name));
    printf(",\"dtype\":\"%s\",\"shape\":[%s],\"norm\":", row->type, shape);
    if (isfinite(row->norm))
        printf("%.9g}\n", row->norm);
    else
        printf("null}\n");
}

static double norm_of(const float *x, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (double)x[i] * x[i];
    return sqrt(sum);
}

static Status safetensors_row(const SafeTensor *t, bool as_json) {
    InspectRow row = {.name = t->name, .type = t->type_name, .ndim = t->ndim, .norm = NAN};
    int64_t n = 1;
    for (int i = 0; i < t->ndim; i++) n *= row.shape[i] = t->shape[i];
    bool is_float = t->dtype == DT_F32 || t->dtype == DT_F16 || t->dtype == DT_BF16 || t->dtype == DT_F64;
    if (is_float && n > 0) {
        float *x = malloc((size_t)n * sizeof *x);
        if (!x) return status_error(E_ENV, "%s: out of memory for tensor '%s'", t->path, t->name);
        Status s = safetensors_read_f32(x, t);
        if (status_is_ok(s)) row.norm = norm_of(x, n);
        free(x);
        TRY(s);
    }
    inspect_print(&row, as_json);
    return OK;
}

static Status print_safetensors(Cli *cli, SafeTensors *file) {
    Status s = OK;
    int64_t total = 0;
    for (int64_t i = 0; i < file->n_meta && !cli->json; i++)
        printf("%s = %s\n", file->meta[i].key, file->meta[i].value);
    for (int64_t i = 0; status_is_ok(s) && i < file->n; i++) {
        int64_t n = 1;
        for (int k = 0; k < file->tensors[i].ndim; k++) n *= file->tensors[i].shape[k];
        total += n;
        s = safetensors_row(&file->tensors[i], cli->json);
        if (status_is_ok(s)) s = cli_check_stop(cli);
    }
    if (status_is_ok(s) && !cli->json)
        printf("%lld tensors, %lld numbers\n", (long long)file->n, (long long)total);
    return s;
}

static Status inspect_safetensors(Cli *cli, const char *path, bool is_model) {
    SafeTensors file;
    TRY(is_model ? safetensors_open_model(&file, path) : safetensors_open(&file, path));
    Status s = print_safetensors(cli, &file);
    safetensors_close(&file);
    return s;
}

static void print_kv(const GgufKv *kv) {
    printf("%.*s = ", (int)kv->key.n, kv->key.s);
    if (kv->type == GGUF_ARRAY)
        printf("[%llu items]\n", (unsigned long long)kv->n);
    else
        printf("(%s)\n", kv->type == GGUF_STRING ? "text" : "value");
}

/* Scalars and strings by the typed getters, which know the layout. */
static void print_known_kv(const Gguf *g, const GgufKv *kv) {
    char key[128];
    GgufString text;
    int64_t integer;
    double number;
    bool truth;
    snprintf(key, sizeof key, "%.*s", (int)kv->key.n, kv->key.s);
    Status s = OK;
    if (kv->type == GGUF_STRING) {
        s = gguf_get_string(&text, g, key);
        if (status_is_ok(s))
            printf("%s = %.*s%s\n", key, text.n > 80 ? 80 : (int)text.n, text.s, text.n > 80 ? "..." : "");
    } else if (kv->type == GGUF_F32 || kv->type == GGUF_F64) {
        s = gguf_get_float(&number, g, key);
        if (status_is_ok(s)) printf("%s = %.9g\n", key, number);
    } else if (kv->type == GGUF_BOOL) {
        s = gguf_get_bool_or(&truth, g, key, false);
        if (status_is_ok(s)) printf("%s = %s\n", key, truth ? "true" : "false");
    } else if (kv->type != GGUF_ARRAY) {
        s = gguf_get_int(&integer, g, key, INT64_MIN, INT64_MAX);
        if (status_is_ok(s)) printf("%s = %lld\n", key, (long long)integer);
    } else {
        print_kv(kv);
    }
    if (!status_is_ok(s)) print_kv(kv);
    status_free(s);
}

static Status gguf_row(const GgufTensor *t, bool as_json) {
    InspectRow row = {.name = t->name, .type = gguf_type_name(t->type), .ndim = t->ndim, .norm = NAN};
    for (int i = 0; i < t->ndim; i++)
        row.shape[i] = t->ne[t->ndim - 1 - i]; /* rows first, like everything here */
    float *x = malloc((size_t)t->ne[0] * sizeof *x);
    if (!x) return status_error(E_ENV, "%s: out of memory for tensor '%s'", t->path, t->name);
    double sum = 0;
    Status s = OK;
    for (int64_t i = 0; status_is_ok(s) && i < t->rows; i++) {
        s = gguf_dequant(x, t, i, 1);
        double norm = status_is_ok(s) ? norm_of(x, t->ne[0]) : 0;
        sum += norm * norm;
    }
    if (status_is_ok(s)) row.norm = sqrt(sum); /* a type that cannot be read is listed without a norm */
    status_free(s);
    free(x);
    inspect_print(&row, as_json);
    return OK;
}

/* Nothing of a model that is no decoder, or of no family that is supported: its tensors are listed all the
 * same. */
static void print_family(const Cli *cli, const char *path) {
    LlmConfig c;
    Status s = llm_config_read(&c, path);
    if (status_is_ok(s)) (cli->json ? inspect_llm_json : inspect_llm)(&c);
    status_free(s);
}

static Status inspect_gguf(Cli *cli, const char *path) {
    Gguf g;
    TRY(gguf_open(&g, path));
    Status s = OK;
    for (int64_t i = 0; i < g.n_kv && !cli->json; i++) print_known_kv(&g, &g.kv[i]);
    print_family(cli, path);
    for (int64_t i = 0; status_is_ok(s) && i < g.n_tensors; i++) {
        s = gguf_row(&g.tensors[i], cli->json);
        if (status_is_ok(s)) s = cli_check_stop(cli);
    }
    if (status_is_ok(s) && !cli->json) printf("%lld tensors\n", (long long)g.n_tensors);
    gguf_close(&g);
    return s;
}

static bool has_file(const char *dir, const char *name) {
    char *path = path_join(dir, name);
    bool there = path && file_exists(path);
    free(path);
    return there;
}

static bool ends_with(const char *s, const char *end) {
    size_t n = strlen(s), m = strlen(end);
    return n >= m && strcmp(s + n - m, end) == 0;
}

static Status inspect_inside(Cli *cli, const char *dir, const char *name) {
    char *path = path_join(dir, name);
    if (!path) return status_error(E_ENV, "%s: out of memory", dir);
    Status s = inspect_safetensors(cli, path, false);
    free(path);
    return s;
}

static Status inspect_dir(Cli *cli, const char *path) {
    if (has_file(path, "adapter_config.json")) return inspect_adapter(cli, path);
    if (has_file(path, "hypernet.safetensors")) return inspect_inside(cli, path, "hypernet.safetensors");
    if (has_file(path, "ckpt/best/hypernet.safetensors"))
        return inspect_inside(cli, path, "ckpt/best/hypernet.safetensors");
    if (has_file(path, "config.json")) {
        print_family(cli, path);
        return inspect_safetensors(cli, path, true);
    }
    return status_error(
        E_INPUT,
        "%s: expected an adapter (adapter_config.json), a checkpoint (hypernet.safetensors), a run "
        "(ckpt/best) or a model (config.json); found none",
        path);
}

static Status inspect_path(Cli *cli, const char *path) {
    if (file_is_dir(path)) return inspect_dir(cli, path);
    if (ends_with(path, ".gguf")) return inspect_gguf(cli, path);
    if (ends_with(path, ".safetensors")) return inspect_safetensors(cli, path, false);
    if (ends_with(path, ".json")) return inspect_config(cli, path);
    if (ends_with(path, ".h5") || ends_with(path, ".hdf5")) return inspect_store(cli, path);
    return status_error(E_INPUT, "%s: expected a folder or a .safetensors, .gguf, .h5 or .json file", path);
}

Status cmd_inspect(Cli *cli, int argc, char **argv) {
    const Option options[] = {{.kind = OPTION_END}};
    TRY(cli_parse(cli, argc, argv, options, 1, 1));
    if (cli->help_shown) return OK;
    const char *path = cli->args[0];
    if (file_exists(path) || file_is_dir(path)) return inspect_path(cli, path);
    char *resolved; /* a short name */
    TRY(fetch_resolve(&resolved, path, cli->cache));
    Status s = inspect_path(cli, resolved);
    free(resolved);
    return s;
}
