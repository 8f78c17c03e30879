/* Policy: one forward walk over the map with a bounds-checked cursor; a count is believed only after the
 * bytes it needs at least are known to be there, so memory stays a small multiple of the file. Strings and
 * data stay in the map. */
#include "data/gguf.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define DAMAGED "the file is damaged or not GGUF: fetch or convert it again"

typedef struct TypeInfo {
    const char *name;
    int block, bytes; /* elements and bytes of a block */
} TypeInfo;

/* ggml's table, by file number; gaps were never used or withdrawn. */
static const TypeInfo types[] = {
    [0] = {"F32", 1, 4},         [1] = {"F16", 1, 2},         [2] = {"Q4_0", 32, 18},
    [3] = {"Q4_1", 32, 20},      [6] = {"Q5_0", 32, 22},      [7] = {"Q5_1", 32, 24},
    [8] = {"Q8_0", 32, 34},      [9] = {"Q8_1", 32, 36},      [10] = {"Q2_K", 256, 84},
    [11] = {"Q3_K", 256, 110},   [12] = {"Q4_K", 256, 144},   [13] = {"Q5_K", 256, 176},
    [14] = {"Q6_K", 256, 210},   [15] = {"Q8_K", 256, 292},   [16] = {"IQ2_XXS", 256, 66},
    [17] = {"IQ2_XS", 256, 74},  [18] = {"IQ3_XXS", 256, 98}, [19] = {"IQ1_S", 256, 50},
    [20] = {"IQ4_NL", 32, 18},   [21] = {"IQ3_S", 256, 110},  [22] = {"IQ2_S", 256, 82},
    [23] = {"IQ4_XS", 256, 136}, [24] = {"I8", 1, 1},         [25] = {"I16", 1, 2},
    [26] = {"I32", 1, 4},        [27] = {"I64", 1, 8},        [28] = {"F64", 1, 8},
    [29] = {"IQ1_M", 256, 56},   [30] = {"BF16", 1, 2},       [34] = {"TQ1_0", 256, 54},
    [35] = {"TQ2_0", 256, 66},   [39] = {"MXFP4", 32, 17},
};
enum { N_TYPES = sizeof types / sizeof *types };

static const uint8_t scalar_bytes[GGUF_TYPES] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
static const char *const scalar_names[GGUF_TYPES] = {"u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
                                                     "bool", "string", "array", "u64", "i64", "f64"};

const char *gguf_type_name(int type) {
    return type >= 0 && type < N_TYPES && types[type].name ? types[type].name : "?";
}

/* ---------------------------------------------------------------- cursor */

typedef struct Cursor {
    const char *path;
    const uint8_t *begin, *p, *end;
} Cursor;

static size_t left(const Cursor *c) {
    return (size_t)(c->end - c->p);
}

static Status cut_short(const Cursor *c, const char *what) {
    return status_error(E_INPUT, "%s: byte %zu: the file ends inside %s; " DAMAGED, c->path,
                        (size_t)(c->p - c->begin), what);
}

static Status read_u32(Cursor *c, uint32_t *out, const char *what) {
    *out = 0;
    if (left(c) < 4) return cut_short(c, what);
    memcpy(out, c->p, 4);
    c->p += 4;
    return OK;
}

static Status read_u64(Cursor *c, uint64_t *out, const char *what) {
    *out = 0;
    if (left(c) < 8) return cut_short(c, what);
    memcpy(out, c->p, 8);
    c->p += 8;
    return OK;
}

static Status read_string(Cursor *c, GgufString *out, const char *what) {
    uint64_t n;
    TRY(read_u64(c, &n, what));
    if (n > left(c))
        return status_error(E_INPUT, "%s: byte %zu: %s of %llu bytes, the file has %zu left; " DAMAGED,
                            c->path, (size_t)(c->p - c->begin), what, (unsigned long long)n, left(c));
    out->s = (const char *)c->p;
    out->n = n;
    c->p += n;
    return OK;
}

/* A count of things that take at least `least` bytes each. */
static Status read_count(Cursor *c, uint64_t *out, size_t least, const char *what) {
    TRY(read_u64(c, out, what));
    if (*out > left(c) / least)
        return status_error(E_INPUT, "%s: byte %zu: %s is %llu, the file has only %zu bytes left; " DAMAGED,
                            c->path, (size_t)(c->p - c->begin) - 8, what, (unsigned long long)*out, left(c));
    return OK;
}

/* Keys and names: not empty, no control characters (they go into messages and C strings). */
static Status check_name(const Cursor *c, GgufString s, const char *what) {
    bool good = s.n > 0;
    for (size_t i = 0; i < s.n && good; i++) good = (uint8_t)s.s[i] >= 0x20 && s.s[i] != 0x7f;
    if (good) return OK;
    return status_error(E_INPUT, "%s: byte %zu: %s %s; " DAMAGED, c->path, (size_t)(c->p - c->begin) - s.n,
                        what, s.n ? "holds a control character" : "is empty");
}

/* ---------------------------------------------------------------- metadata */

static Status read_type(Cursor *c, GgufType *out, GgufString key) {
    uint32_t type;
    TRY(read_u32(c, &type, "a value's type"));
    if (type >= GGUF_TYPES)
        return status_error(E_INPUT, "%s: key '%.*s': value type %u, known are 0 to %d; " DAMAGED, c->path,
                            (int)key.n, key.s, type, GGUF_TYPES - 1);
    *out = (GgufType)type;
    return OK;
}

/* Moves past n values of one type. */
static Status skip_values(Cursor *c, GgufType type, uint64_t n) {
    if (type != GGUF_STRING) {
        if (n > left(c) / scalar_bytes[type]) return cut_short(c, "a value");
        c->p += n * scalar_bytes[type];
        return OK;
    }
    GgufString s;
    for (uint64_t i = 0; i < n; i++) TRY(read_string(c, &s, "a string"));
    return OK;
}

static Status read_kv(Cursor *c, GgufKv *kv) {
    TRY(read_string(c, &kv->key, "a key"));
    if (kv->key.n > 65535)
        return status_error(E_INPUT, "%s: a key of %zu bytes, at most 65535", c->path, kv->key.n);
    TRY(check_name(c, kv->key, "a key"));
    TRY(read_type(c, &kv->type, kv->key));
    kv->item = kv->type;
    kv->n = 1;
    if (kv->type == GGUF_ARRAY) {
        TRY(read_type(c, &kv->item, kv->key));
        if (kv->item == GGUF_ARRAY)
            return status_error(E_INPUT, "%s: key '%.*s': arrays of arrays are not supported", c->path,
                                (int)kv->key.n, kv->key.s);
        TRY(read_count(c, &kv->n, kv->item == GGUF_STRING ? 8 : scalar_bytes[kv->item], "an array's length"));
    }
    kv->data = c->p;
    return skip_values(c, kv->item, kv->n);
}

static int compare_strings(GgufString a, GgufString b) {
    int order = memcmp(a.s, b.s, a.n < b.n ? a.n : b.n);
    return order ? order : a.n < b.n ? -1 : a.n > b.n;
}

static int by_key(const void *a, const void *b) {
    return compare_strings((*(const GgufKv *const *)a)->key, (*(const GgufKv *const *)b)->key);
}

static int by_name(const void *a, const void *b) {
    return strcmp((*(const GgufTensor *const *)a)->name, (*(const GgufTensor *const *)b)->name);
}

static Status no_memory(const Gguf *g) {
    return status_error(E_ENV, "%s: no memory for its tables", g->path);
}

static Status read_kvs(Gguf *g, Cursor *c, uint64_t n) {
    g->kv = calloc(n + 1, sizeof *g->kv);
    g->by_key = calloc(n + 1, sizeof *g->by_key);
    if (!g->kv || !g->by_key) return no_memory(g);
    for (uint64_t i = 0; i < n; i++) {
        TRY(read_kv(c, &g->kv[i]));
        g->by_key[i] = &g->kv[i];
    }
    g->n_kv = (int64_t)n;
    qsort(g->by_key, n, sizeof *g->by_key, by_key);
    for (uint64_t i = 1; i < n; i++)
        if (by_key(&g->by_key[i - 1], &g->by_key[i]) == 0)
            return status_error(E_INPUT, "%s: key '%.*s' appears twice; " DAMAGED, g->path,
                                (int)g->by_key[i]->key.n, g->by_key[i]->key.s);
    return OK;
}

/* ---------------------------------------------------------------- tensors */

static Status read_dims(Cursor *c, GgufTensor *t) {
    uint32_t n_dims;
    int64_t rows = 1, total;
    TRY(read_u32(c, &n_dims, "a tensor's dimensions"));
    if (n_dims > 4)
        return status_error(E_INPUT, "%s: tensor '%s' has %u dimensions, at most 4; " DAMAGED, c->path,
                            t->name, n_dims);
    t->ndim = (int)n_dims;
    bool overflow = false;
    for (int i = 0; i < 4; i++) {
        uint64_t ne = 1;
        if (i < t->ndim) TRY(read_u64(c, &ne, "a tensor's dimensions"));
        overflow = overflow || ne > INT64_MAX;
        t->ne[i] = (int64_t)ne;
        if (i > 0) overflow = overflow || __builtin_mul_overflow(rows, t->ne[i], &rows);
    }
    if (overflow || __builtin_mul_overflow(rows, t->ne[0], &total))
        return status_error(E_INPUT, "%s: tensor '%s': its dimensions overflow; " DAMAGED, c->path, t->name);
    t->rows = rows;
    return OK;
}

static Status read_tensor(Cursor *c, GgufTensor *t, uint64_t *offset) {
    GgufString name;
    uint32_t type;
    TRY(read_string(c, &name, "a tensor's name"));
    if (name.n >= sizeof t->name)
        return status_error(E_INPUT, "%s: byte %zu: a tensor name of %zu bytes, at most 63; " DAMAGED,
                            c->path, (size_t)(c->p - c->begin) - name.n, name.n);
    TRY(check_name(c, name, "a tensor's name"));
    memcpy(t->name, name.s, name.n);
    t->path = c->path;
    TRY(read_dims(c, t));
    TRY(read_u32(c, &type, "a tensor's type"));
    if (type >= N_TYPES || !types[type].name)
        return status_error(E_INPUT, "%s: tensor '%s': unknown ggml type %u; " DAMAGED, c->path, t->name,
                            type);
    t->type = (int)type;
    const TypeInfo *info = &types[type];
    if (t->ne[0] % info->block)
        return status_error(E_INPUT,
                            "%s: tensor '%s': rows of %lld elements are not whole %s blocks of %d; " DAMAGED,
                            c->path, t->name, (long long)t->ne[0], info->name, info->block);
    if (__builtin_mul_overflow((size_t)(t->ne[0] / info->block), (size_t)info->bytes, &t->row_bytes) ||
        __builtin_mul_overflow((size_t)t->rows, t->row_bytes, &t->bytes))
        return status_error(E_INPUT, "%s: tensor '%s': its size overflows; " DAMAGED, c->path, t->name);
    return read_u64(c, offset, "a tensor's offset");
}

static Status read_tensors(Gguf *g, Cursor *c, uint64_t n, uint64_t **offsets) {
    g->tensors = calloc(n + 1, sizeof *g->tensors);
    g->by_name = calloc(n + 1, sizeof *g->by_name);
    *offsets = calloc(n + 1, sizeof **offsets);
    if (!g->tensors || !g->by_name || !*offsets) return no_memory(g);
    for (uint64_t i = 0; i < n; i++) {
        TRY(read_tensor(c, &g->tensors[i], &(*offsets)[i]));
        g->by_name[i] = &g->tensors[i];
    }
    g->n_tensors = (int64_t)n;
    qsort(g->by_name, n, sizeof *g->by_name, by_name);
    for (uint64_t i = 1; i < n; i++)
        if (strcmp(g->by_name[i - 1]->name, g->by_name[i]->name) == 0)
            return status_error(E_INPUT, "%s: tensor '%s' appears twice; " DAMAGED, g->path,
                                g->by_name[i]->name);
    return OK;
}

/* Offsets follow each other, padded; all data is in the file. Sets the data views. */
static Status bind_data(Gguf *g, const Cursor *c, const uint64_t *offsets) {
    int64_t alignment;
    TRY(gguf_get_int_or(&alignment, g, "general.alignment", 8, INT64_C(1) << 31, 32));
    uint64_t mask = (uint64_t)alignment - 1, at = 0;
    if (alignment & (int64_t)mask)
        return status_error(E_INPUT, "%s: key 'general.alignment': %lld is not a power of two", g->path,
                            (long long)alignment);
    uint64_t start = ((uint64_t)(c->p - c->begin) + mask) & ~mask;
    uint64_t size = start < g->map.size ? g->map.size - start : 0;
    for (int64_t i = 0; i < g->n_tensors; i++) {
        GgufTensor *t = &g->tensors[i];
        if (offsets[i] != at)
            return status_error(E_INPUT, "%s: tensor '%s': offset %llu, expected %llu; " DAMAGED, g->path,
                                t->name, (unsigned long long)offsets[i], (unsigned long long)at);
        if (at > size || t->bytes > size - at)
            return status_error(
                E_INPUT,
                "%s: tensor '%s' ends %llu bytes after the file's end; the file is cut short: "
                "fetch or convert it again",
                g->path, t->name, (unsigned long long)(at - size + t->bytes));
        t->data = g->map.data + (t->bytes ? start + at : 0);
        at = (at + t->bytes + mask) & ~mask;
    }
    return OK;
}

static Status check_version(Gguf *g, Cursor *c) {
    if (left(c) < 4 || memcmp(c->p, "GGUF", 4) != 0)
        return status_error(E_INPUT, "%s: does not begin with \"GGUF\"; expected a GGUF file", g->path);
    c->p += 4;
    TRY(read_u32(c, &g->version, "the version"));
    if ((g->version & 0xffff) == 0 && g->version)
        return status_error(E_INPUT, "%s: a big-endian GGUF file; convert it to little endian", g->path);
    if (g->version < 2 || g->version > 3)
        return status_error(E_INPUT, "%s: GGUF version %u, supported are 2 and 3; convert it again", g->path,
                            g->version);
    return OK;
}

static Status read_all(Gguf *g, uint64_t **offsets) {
    uint64_t n_tensors, n_kv;
    TRY(file_map(&g->map, g->path));
    Cursor c = {g->path, g->map.data, g->map.data, g->map.data};
    if (g->map.size) c.end += g->map.size;
    TRY(check_version(g, &c));
    TRY(read_count(&c, &n_tensors, 24, "the number of tensors")); /* 24: name, dimensions, type, offset */
    TRY(read_count(&c, &n_kv, 13, "the number of keys"));         /* 13: length, a byte, type, ... */
    TRY(read_kvs(g, &c, n_kv));
    TRY(read_tensors(g, &c, n_tensors, offsets));
    return bind_data(g, &c, *offsets);
}

Status gguf_open(Gguf *out, const char *path) {
    uint64_t *offsets = NULL;
    memset(out, 0, sizeof *out);
    out->path = strdup(path);
    Status s = out->path ? read_all(out, &offsets) : status_error(E_ENV, "%s: out of memory", path);
    free(offsets);
    if (!status_is_ok(s)) gguf_close(out);
    return s;
}

void gguf_close(Gguf *g) {
    file_unmap(&g->map);
    free(g->path);
    free(g->kv);
    free(g->by_key);
    free(g->tensors);
    free(g->by_name);
    memset(g, 0, sizeof *g);
}

/* ---------------------------------------------------------------- values */

const GgufKv *gguf_find(const Gguf *g, const char *key) {
    GgufKv want = {.key = {key, strlen(key)}}, *p = &want;
    GgufKv **hit = g->n_kv ? bsearch(&p, g->by_key, (size_t)g->n_kv, sizeof *g->by_key, by_key) : NULL;
    return hit ? *hit : NULL;
}

static Status missing(const Gguf *g, const char *key, const char *want) {
    return status_error(E_INPUT, "%s: key '%s' is missing (expected %s)", g->path, key, want);
}

static Status wrong(const Gguf *g, const GgufKv *kv, const char *want) {
    bool array = kv->type == GGUF_ARRAY;
    return status_error(E_INPUT, "%s: key '%.*s': expected %s, found %s%s", g->path, (int)kv->key.n,
                        kv->key.s, want, array ? "an array of " : "", scalar_names[kv->item]);
}

/* Item i of an integer (array) as int64; false when it is not one or does not fit. */
static bool load_int(int64_t *out, GgufType type, const uint8_t *p) {
    union {
        uint8_t u8;
        int8_t i8;
        uint16_t u16;
        int16_t i16;
        uint32_t u32;
        int32_t i32;
        uint64_t u64;
        int64_t i64;
    } v;
    memset(&v, 0, sizeof v);
    memcpy(&v, p, scalar_bytes[type]);
    switch (type) {
    case GGUF_U8:
        *out = v.u8;
        return true;
    case GGUF_I8:
        *out = v.i8;
        return true;
    case GGUF_U16:
        *out = v.u16;
        return true;
    case GGUF_I16:
        *out = v.i16;
        return true;
    case GGUF_U32:
        *out = v.u32;
        return true;
    case GGUF_I32:
        *out = v.i32;
        return true;
    case GGUF_U64:
        *out = (int64_t)v.u64;
        return v.u64 <= INT64_MAX;
    case GGUF_I64:
        *out = v.i64;
        return true;
    default:
        return false;
    }
}

static bool load_float(double *out, GgufType type, const uint8_t *p) {
    float f = 0;
    if (type == GGUF_F32)
        memcpy(&f, p, 4);
    else if (type == GGUF_F64)
        memcpy(out, p, 8);
    else
        return false;
    if (type == GGUF_F32) *out = f;
    return isfinite(*out);
}

Status gguf_get_int(int64_t *out, const Gguf *g, const char *key, int64_t min, int64_t max) {
    const GgufKv *kv = gguf_find(g, key);
    if (!kv) return missing(g, key, "an integer");
    if (kv->type == GGUF_ARRAY || !load_int(out, kv->type, kv->data)) return wrong(g, kv, "an integer");
    if (*out < min || *out > max)
        return status_error(E_INPUT, "%s: key '%s': expected an integer from %lld to %lld, found %lld",
                            g->path, key, (long long)min, (long long)max, (long long)*out);
    return OK;
}

Status gguf_get_int_or(int64_t *out, const Gguf *g, const char *key, int64_t min, int64_t max,
                       int64_t absent) {
    *out = absent;
    return gguf_find(g, key) ? gguf_get_int(out, g, key, min, max) : OK;
}

Status gguf_get_float(double *out, const Gguf *g, const char *key) {
    const GgufKv *kv = gguf_find(g, key);
    if (!kv) return missing(g, key, "a number");
    return kv->type != GGUF_ARRAY && load_float(out, kv->type, kv->data) ? OK
                                                                         : wrong(g, kv, "a finite number");
}

Status gguf_get_float_or(double *out, const Gguf *g, const char *key, double absent) {
    *out = absent;
    return gguf_find(g, key) ? gguf_get_float(out, g, key) : OK;
}

Status gguf_get_bool_or(bool *out, const Gguf *g, const char *key, bool absent) {
    const GgufKv *kv = gguf_find(g, key);
    *out = absent;
    if (!kv) return OK;
    if (kv->type != GGUF_BOOL) return wrong(g, kv, "a bool");
    *out = *kv->data != 0;
    return OK;
}

/* The string at p, known to lie in the map. Returns what follows. */
static const uint8_t *load_string(GgufString *out, const uint8_t *p) {
    uint64_t n;
    memcpy(&n, p, 8);
    out->s = (const char *)p + 8;
    out->n = n;
    return p + 8 + n;
}

Status gguf_get_string(GgufString *out, const Gguf *g, const char *key) {
    const GgufKv *kv = gguf_find(g, key);
    if (!kv) return missing(g, key, "a string");
    if (kv->type != GGUF_STRING) return wrong(g, kv, "a string");
    load_string(out, kv->data);
    return OK;
}

bool gguf_string_is(GgufString s, const char *text) {
    return s.n == strlen(text) && memcmp(s.s, text, s.n) == 0;
}

Status gguf_get_strings(GgufString **out, int64_t *n, const Gguf *g, const char *key) {
    const GgufKv *kv = gguf_find(g, key);
    *out = NULL;
    *n = 0;
    if (!kv) return missing(g, key, "an array of strings");
    if (kv->type != GGUF_ARRAY || kv->item != GGUF_STRING) return wrong(g, kv, "an array of strings");
    *out = malloc((kv->n + 1) * sizeof **out);
    if (!*out) return no_memory(g);
    const uint8_t *p = kv->data;
    for (uint64_t i = 0; i < kv->n; i++) p = load_string(&(*out)[i], p);
    *n = (int64_t)kv->n;
    return OK;
}

Status gguf_get_ints(int32_t **out, int64_t *n, const Gguf *g, const char *key) {
    const GgufKv *kv = gguf_find(g, key);
    *out = NULL;
    *n = 0;
    if (!kv) return missing(g, key, "an array of integers");
    if (kv->type != GGUF_ARRAY || kv->item == GGUF_STRING) return wrong(g, kv, "an array of integers");
    int32_t *values = malloc((kv->n + 1) * sizeof *values);
    if (!values) return no_memory(g);
    for (uint64_t i = 0; i < kv->n; i++) {
        int64_t v;
        if (!load_int(&v, kv->item, kv->data + i * scalar_bytes[kv->item]) || v < INT32_MIN ||
            v > INT32_MAX) {
            free(values);
            return wrong(g, kv, "an array of 32-bit integers");
        }
        values[i] = (int32_t)v;
    }
    *out = values;
    *n = (int64_t)kv->n;
    return OK;
}

Status gguf_get_floats(float **out, int64_t *n, const Gguf *g, const char *key) {
    const GgufKv *kv = gguf_find(g, key);
    *out = NULL;
    *n = 0;
    if (!kv) return missing(g, key, "an array of numbers");
    if (kv->type != GGUF_ARRAY || kv->item == GGUF_STRING) return wrong(g, kv, "an array of numbers");
    float *values = malloc((kv->n + 1) * sizeof *values);
    if (!values) return no_memory(g);
    for (uint64_t i = 0; i < kv->n; i++) {
        double v;
        if (!load_float(&v, kv->item, kv->data + i * scalar_bytes[kv->item])) {
            free(values);
            return wrong(g, kv, "an array of finite numbers");
        }
        values[i] = (float)v;
    }
    *out = values;
    *n = (int64_t)kv->n;
    return OK;
}

/* ---------------------------------------------------------------- tensors as floats */

const GgufTensor *gguf_tensor(const Gguf *g, const char *name) {
    GgufTensor want, *p = &want;
    if (strlen(name) >= sizeof want.name || g->n_tensors == 0) return NULL;
    strcpy(want.name, name);
    GgufTensor **hit = bsearch(&p, g->by_name, (size_t)g->n_tensors, sizeof *g->by_name, by_name);
    return hit ? *hit : NULL;
}

Status gguf_get_tensor(const GgufTensor **out, const Gguf *g, const char *name, int64_t rows, int64_t cols) {
    const GgufTensor *t = gguf_tensor(g, name);
    if (!t)
        return status_error(E_INPUT, "%s: tensor '%s' is missing (the file has %lld others)", g->path, name,
                            (long long)g->n_tensors);
    if (t->ne[0] != cols || t->rows != rows)
        return status_error(E_INPUT, "%s: tensor '%s': expected %lld rows of %lld, found %lld rows of %lld",
                            g->path, name, (long long)rows, (long long)cols, (long long)t->rows,
                            (long long)t->ne[0]);
    *out = t;
    return OK;
}
