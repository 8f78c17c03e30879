#include "data/library.h"

#include <stdlib.h>
#include <string.h>

enum { NAME, FACTS, FACTORS, NAME_BYTES = 64, FACTS_BYTES = 256 }; /* columns; texts grow */
static const char KIND[] = "lora_library";

static Status no_memory(const char *path) {
    return status_error(E_ENV, "%s: out of memory", path);
}

static int columns_of(StoreColumn *c, const Adapter *shape) {
    memset(c, 0, STORE_MAX_COLUMNS * sizeof *c);
    c[NAME] = (StoreColumn){.name = "name", .text = NAME_BYTES};
    c[FACTS] = (StoreColumn){.name = "facts", .text = FACTS_BYTES};
    int n = FACTORS;
    for (int i = 0; i < shape->n_modules; i++) {
        const AdapterModule *m = &shape->modules[i];
        c[n] = (StoreColumn){.ndim = 3, .dim = {shape->n_layers, shape->rank, m->in}};
        c[n + 1] = (StoreColumn){.ndim = 3, .dim = {shape->n_layers, m->out, shape->rank}};
        for (int k = 0; k < 2; k++)
            snprintf(c[n + k].name, sizeof c->name, "%s.%c", lora_module_name(m->module), "AB"[k]);
        n += 2;
    }
    return n;
}

static cJSON *header_of(const Adapter *shape) {
    cJSON *j = cJSON_CreateObject(), *modules = j ? cJSON_AddObjectToObject(j, "modules") : NULL;
    bool good = modules &&
                cJSON_AddStringToObject(j, "base_model", shape->base_model ? shape->base_model : "") &&
                cJSON_AddNumberToObject(j, "layers", shape->n_layers) &&
                cJSON_AddNumberToObject(j, "rank", shape->rank) &&
                cJSON_AddNumberToObject(j, "alpha", shape->alpha) &&
                cJSON_AddBoolToObject(j, "use_rslora", shape->use_rslora);
    for (int i = 0; good && i < shape->n_modules; i++) {
        const AdapterModule *m = &shape->modules[i];
        double dims[2] = {(double)m->in, (double)m->out};
        cJSON *pair = cJSON_CreateDoubleArray(dims, 2);
        good = cJSON_AddItemToObject(modules, lora_module_name(m->module), pair);
        if (!good) cJSON_Delete(pair);
    }
    if (good) return j;
    cJSON_Delete(j);
    return NULL;
}

static Status read_shape(Adapter *a, const cJSON *header, const char *where) {
    const cJSON *modules;
    const char *base;
    int64_t n;
    TRY(json_get_string(&base, header, "base_model", where));
    TRY(json_get_int(&n, header, "layers", 1, 4096, where));
    a->n_layers = (int)n;
    TRY(json_get_int(&n, header, "rank", 1, 1 << 12, where));
    a->rank = (int)n;
    TRY(json_get_number(&a->alpha, header, "alpha", where));
    TRY(json_get_bool(&a->use_rslora, header, "use_rslora", where));
    TRY(json_get_object(&modules, header, "modules", where));
    for (const cJSON *m = modules->child; m; m = m->next) {
        const cJSON *in = cJSON_GetArrayItem(m, 0), *out = cJSON_GetArrayItem(m, 1);
        bool good = a->n_modules < LORA_MODULES && cJSON_GetArraySize(m) == 2;
        for (int i = 0; good && i < 2; i++) {
            double d = cJSON_IsNumber(i ? out : in) ? (i ? out : in)->valuedouble : 0;
            good = d >= 1 && d <= 1 << 24 && d == (double)(int64_t)d;
        }
        if (!good)
            return status_error(E_INPUT, "%s: header: module '%s': expected [in, out]", where, m->string);
        AdapterModule *to = &a->modules[a->n_modules++];
        TRY(status_wrap(lora_module_parse(&to->module, m->string), "%s", where));
        to->in = (int64_t)in->valuedouble;
        to->out = (int64_t)out->valuedouble;
    }
    if (a->n_modules == 0) return status_error(E_INPUT, "%s: header: no modules", where);
    a->base_model = strdup(base);
    return a->base_model ? OK : no_memory(where);
}

static Status keep_name(Library *lib, char *name) {
    int64_t n = lib->store.n;
    if (n == lib->names_cap) {
        int64_t cap = lib->names_cap ? 2 * lib->names_cap : 64;
        char **more = realloc(lib->names, (size_t)cap * sizeof *more);
        if (!more) return no_memory(lib->store.path);
        lib->names = more;
        lib->names_cap = cap;
    }
    lib->names[n] = name;
    return OK;
}

static Status read_names(Library *lib) {
    int64_t n = lib->store.n;
    lib->names = calloc((size_t)n + 1, sizeof *lib->names);
    lib->names_cap = n + 1;
    if (!lib->names) return no_memory(lib->store.path);
    for (int64_t i = 0; i < n; i++) TRY(store_read_text(&lib->names[i], &lib->store, NAME, i));
    return OK;
}

static Status open_all(Library *lib) {
    StoreColumn want[STORE_MAX_COLUMNS];
    const Store *s = &lib->store;
    TRY(read_shape(&lib->shape, s->header, s->path));
    int n = columns_of(want, &lib->shape);
    if (n != s->n_columns)
        return status_error(E_INPUT, "%s: %d columns, its header says %d; damaged", s->path, s->n_columns, n);
    for (int i = 0; i < n; i++) TRY(store_expect(s, i, want[i].name, want[i].ndim, want[i].dim));
    return read_names(lib);
}

Status library_open(Library *out, const char *path, StoreMode mode) {
    memset(out, 0, sizeof *out);
    TRY(store_open(&out->store, path, KIND, mode));
    Status st = open_all(out);
    if (!status_is_ok(st)) library_close(out);
    return st;
}

Status library_create(Library *out, const char *path, const Adapter *shape, int64_t capacity) {
    StoreColumn columns[STORE_MAX_COLUMNS];
    memset(out, 0, sizeof *out);
    int n = columns_of(columns, shape);
    cJSON *header = header_of(shape);
    if (!header) return no_memory(path);
    TRY(store_create(&out->store, path, KIND, header, columns, n, capacity));
    Status st = open_all(out);
    if (!status_is_ok(st)) library_close(out);
    return st;
}

void library_close(Library *lib) {
    for (int64_t i = 0; lib->names && i < lib->store.n; i++) free(lib->names[i]);
    free(lib->names);
    adapter_free(&lib->shape);
    store_close(&lib->store);
    memset(lib, 0, sizeof *lib);
}

int64_t library_find(const Library *lib, const char *name) {
    for (int64_t i = 0; i < lib->store.n; i++)
        if (strcmp(lib->names[i], name) == 0) return i;
    return -1;
}

static Status same_shape(const Library *lib, const Adapter *a) {
    const Adapter *s = &lib->shape;
    bool same = a->n_layers == s->n_layers && a->rank == s->rank && a->alpha == s->alpha &&
                a->use_rslora == s->use_rslora && a->n_modules == s->n_modules;
    for (int i = 0; same && i < s->n_modules; i++)
        same = a->modules[i].module == s->modules[i].module && a->modules[i].in == s->modules[i].in &&
               a->modules[i].out == s->modules[i].out;
    if (same) return OK;
    return status_error(
        E_INPUT,
        "%s: holds adapters of %d layers, rank %d, alpha %g, %d modules; this one has %d layers, rank "
        "%d, alpha %g, %d modules, or other sizes",
        lib->store.path, s->n_layers, s->rank, s->alpha, s->n_modules, a->n_layers, a->rank, a->alpha,
        a->n_modules);
}

Status library_append(Library *lib, const char *name, const Adapter *a, const char *facts) {
    const void *fields[STORE_MAX_COLUMNS] = {[NAME] = name, [FACTS] = facts};
    TRY(same_shape(lib, a));
    if (!*name || library_find(lib, name) >= 0)
        return status_error(E_INPUT, "%s: has an adapter named '%s' already (or the name is empty)",
                            lib->store.path, name);
    for (int i = 0; i < a->n_modules; i++) {
        fields[FACTORS + 2 * i] = a->modules[i].a;
        fields[FACTORS + 2 * i + 1] = a->modules[i].b;
    }
    char *copy = strdup(name);
    Status st = copy ? keep_name(lib, copy) : no_memory(lib->store.path);
    if (status_is_ok(st)) st = store_append(&lib->store, fields);
    if (!status_is_ok(st)) free(copy);
    return st;
}

Status library_read(Adapter *out, const Library *lib, int64_t record) {
    *out = lib->shape;
    out->base_model = NULL;
    TRY(adapter_alloc(out));
    Status st = OK;
    for (int i = 0; status_is_ok(st) && i < out->n_modules; i++) {
        st = store_read_f32(out->modules[i].a, &lib->store, FACTORS + 2 * i, record);
        if (status_is_ok(st))
            st = store_read_f32(out->modules[i].b, &lib->store, FACTORS + 2 * i + 1, record);
    }
    if (status_is_ok(st)) {
        out->base_model = strdup(lib->shape.base_model);
        if (!out->base_model) st = no_memory(lib->store.path);
    }
    if (!status_is_ok(st)) adapter_free(out);
    return st;
}

Status library_facts(char **out, const Library *lib, int64_t record) {
    return store_read_text(out, &lib->store, FACTS, record);
}
