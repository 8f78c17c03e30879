/* Policy: the header is parsed by the strict reader below (exact integers, no duplicates, nothing skipped),
 * into a heap copy of its strings; tensors are views of the map. A tensor whose data is not aligned to its
 * type (foreign writers) is copied once at opening, so views can always be used. Memory is bounded by a small
 * multiple of the header's size, and the header lies in the file. */
#include "data/safetensors.h"
#include "base/json.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <utf8proc.h>

#define DAMAGED "the file is damaged or not safetensors: fetch or write it again"

static const uint64_t max_header = 100000000; /* reference: MAX_HEADER_SIZE */
enum { MAX_INDEX = 256 << 20 };               /* chosen: bytes of a shard index */

typedef struct TypeInfo {
    const char *name;
    int bits;
    DType dtype;
} TypeInfo;

/* The reference's order of Dtype; the writer sorts by it, descending. */
static const TypeInfo types[] = {
    {"BOOL", 8, DT_COUNT},
    {"F4", 4, DT_COUNT},
    {"F6_E2M3", 6, DT_COUNT},
    {"F6_E3M2", 6, DT_COUNT},
    {"U8", 8, DT_U8},
    {"I8", 8, DT_COUNT},
    {"F8_E5M2", 8, DT_COUNT},
    {"F8_E4M3", 8, DT_COUNT},
    {"F8_E8M0", 8, DT_COUNT},
    {"F8_E4M3FNUZ", 8, DT_COUNT},
    {"F8_E5M2FNUZ", 8, DT_COUNT},
    {"I16", 16, DT_COUNT},
    {"U16", 16, DT_COUNT},
    {"F16", 16, DT_F16},
    {"BF16", 16, DT_BF16},
    {"I32", 32, DT_I32},
    {"U32", 32, DT_COUNT},
    {"F32", 32, DT_F32},
    {"C64", 64, DT_COUNT},
    {"F64", 64, DT_F64},
    {"I64", 64, DT_I64},
    {"U64", 64, DT_COUNT},
};
enum { N_TYPES = sizeof types / sizeof *types };

/* ---------------------------------------------------------------- header text */

typedef struct Parser {
    const char *path;
    const uint8_t *begin, *p, *end;
    char *text; /* unescaped strings go here; never longer than the header */
} Parser;

static Status unexpected(const Parser *r, const char *expected) {
    char found[32];
    if (r->p >= r->end)
        snprintf(found, sizeof found, "the end of the header");
    else if (*r->p >= 0x20 && *r->p < 0x7f)
        snprintf(found, sizeof found, "'%c'", *r->p);
    else
        snprintf(found, sizeof found, "byte 0x%02x", *r->p);
    return status_error(E_INPUT, "%s: header, byte %zu: expected %s, found %s; " DAMAGED, r->path,
                        (size_t)(r->p - r->begin), expected, found);
}

static void skip_space(Parser *r) {
    while (r->p < r->end && (*r->p == ' ' || *r->p == '\t' || *r->p == '\n' || *r->p == '\r')) r->p++;
}

static bool accept(Parser *r, char c) {
    skip_space(r);
    if (r->p >= r->end || *r->p != (uint8_t)c) return false;
    r->p++;
    return true;
}

static Status expect(Parser *r, char c) {
    if (accept(r, c)) return OK;
    char want[4] = {'\'', c, '\'', 0};
    return unexpected(r, want);
}

/* After a member or element: a comma (more = true) or the closing character. */
static Status expect_next(Parser *r, char close, bool *more) {
    *more = accept(r, ',');
    if (*more || accept(r, close)) return OK;
    return unexpected(r, close == '}' ? "',' or '}'" : "',' or ']'");
}

static bool hex4(const Parser *r, size_t at, int32_t *out) {
    *out = 0;
    if ((size_t)(r->end - r->p) < at + 4) return false;
    for (size_t i = 0; i < 4; i++) {
        int c = r->p[at + i], letter = (c | 32) - 'a';
        bool digit = c >= '0' && c <= '9';
        if (!digit && (letter < 0 || letter > 5)) return false;
        *out = *out * 16 + (digit ? c - '0' : letter + 10);
    }
    return true;
}

/* r->p stands after "\u". */
static Status unicode_escape(Parser *r) {
    int32_t c, low;
    if (!hex4(r, 0, &c)) return unexpected(r, "four hexadecimal digits");
    size_t used = 4;
    if (c >= 0xd800 && c < 0xdc00 && r->end - r->p >= 10 && r->p[4] == '\\' && r->p[5] == 'u' &&
        hex4(r, 6, &low) && low >= 0xdc00 && low < 0xe000) {
        c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
        used = 10;
    }
    if (c == 0 || (c >= 0xd800 && c < 0xe000))
        return unexpected(r, "a character other than NUL or half a pair");
    r->text += utf8proc_encode_char(c, (utf8proc_uint8_t *)r->text);
    r->p += used;
    return OK;
}

static Status parse_string(Parser *r, const char **out) {
    skip_space(r);
    if (r->p >= r->end || *r->p != '"') return unexpected(r, "a string");
    r->p++;
    *out = r->text;
    while (r->p < r->end && *r->p != '"') {
        if (*r->p < 0x20) return unexpected(r, "no control character in a string");
        if (*r->p == '\\') {
            static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
            r->p++;
            const char *at = r->p < r->end && *r->p ? strchr(from, *r->p) : NULL;
            if (at) {
                *r->text++ = to[at - from];
                r->p++;
            } else if (r->p < r->end && *r->p == 'u') {
                r->p++;
                TRY(unicode_escape(r));
            } else {
                return unexpected(r, "an escape such as \\n or \\u0041");
            }
            continue;
        }
        utf8proc_int32_t c;
        utf8proc_ssize_t n = utf8proc_iterate(r->p, r->end - r->p, &c);
        if (n <= 0) return unexpected(r, "UTF-8");
        memcpy(r->text, r->p, (size_t)n);
        r->text += n;
        r->p += n;
    }
    if (r->p >= r->end) return unexpected(r, "'\"'");
    r->p++;
    *r->text++ = 0; /* the place of the opening quote */
    return OK;
}

static Status parse_integer(Parser *r, int64_t *out) {
    skip_space(r);
    const uint8_t *start = r->p;
    uint64_t v = 0;
    while (r->p < r->end && *r->p >= '0' && *r->p <= '9') {
        if (v > (INT64_MAX - 9) / 10) return unexpected(r, "an integer below 2^63");
        v = v * 10 + (uint64_t)(*r->p++ - '0');
    }
    if (r->p == start || (*start == '0' && r->p - start > 1) ||
        (r->p < r->end && (*r->p == '.' || *r->p == 'e' || *r->p == 'E')))
        return unexpected(r, "a non-negative integer");
    *out = (int64_t)v;
    return OK;
}

/* [i, i, ...] of at most max items. */
static Status parse_integers(Parser *r, int64_t *out, int max, int *n, const char *tensor, const char *key) {
    *n = 0;
    TRY(expect(r, '['));
    bool more = !accept(r, ']');
    while (more) {
        if (*n == max)
            return status_error(E_INPUT, "%s: tensor '%s': '%s' has more than the %d items accepted here",
                                r->path, tensor, key, max);
        TRY(parse_integer(r, &out[(*n)++]));
        TRY(expect_next(r, ']', &more));
    }
    return OK;
}

typedef struct Entry { /* a SafeTensor before its offsets are checked */
    SafeTensor t;
    int64_t begin, end;
} Entry;

static Status parse_dtype(Parser *r, Entry *e, const TypeInfo **type) {
    const char *text;
    TRY(parse_string(r, &text));
    for (int i = 0; i < N_TYPES; i++)
        if (strcmp(types[i].name, text) == 0) *type = &types[i];
    if (!*type)
        return status_error(E_INPUT,
                            "%s: tensor '%s': unknown dtype '%s'; known are F32, F16, BF16, F64, I64, I32, "
                            "U8 and the other safetensors types",
                            r->path, e->t.name, text);
    e->t.type_name = (*type)->name;
    e->t.dtype = (*type)->dtype;
    return OK;
}

static Status parse_tensor(Parser *r, Entry *e) {
    const TypeInfo *type = NULL;
    int has_shape = 0, has_offsets = 0, n_offsets = 0;
    int64_t offsets[2];
    TRY(expect(r, '{'));
    bool more = !accept(r, '}');
    while (more) {
        const char *key;
        TRY(parse_string(r, &key));
        TRY(expect(r, ':'));
        bool again = false;
        if (strcmp(key, "dtype") == 0) {
            again = type != NULL;
            if (!again) TRY(parse_dtype(r, e, &type));
        } else if (strcmp(key, "shape") == 0) {
            again = has_shape++ > 0;
            if (!again) TRY(parse_integers(r, e->t.shape, SAFETENSORS_MAX_DIMS, &e->t.ndim, e->t.name, key));
        } else if (strcmp(key, "data_offsets") == 0) {
            again = has_offsets++ > 0;
            if (!again) TRY(parse_integers(r, offsets, 2, &n_offsets, e->t.name, key));
        } else {
            return status_error(E_INPUT,
                                "%s: tensor '%s': unknown key '%s'; expected dtype, shape, data_offsets",
                                r->path, e->t.name, key);
        }
        if (again)
            return status_error(E_INPUT, "%s: tensor '%s': key '%s' appears twice", r->path, e->t.name, key);
        TRY(expect_next(r, '}', &more));
    }
    const char *missing = !type ? "dtype" : !has_shape ? "shape" : n_offsets != 2 ? "data_offsets" : NULL;
    if (missing)
        return status_error(E_INPUT, "%s: tensor '%s': '%s' is missing or incomplete; " DAMAGED, r->path,
                            e->t.name, missing);
    uint64_t count = 1, bits;
    bool overflow = false;
    for (int i = 0; i < e->t.ndim; i++)
        overflow = overflow || __builtin_mul_overflow(count, (uint64_t)e->t.shape[i], &count);
    if (overflow || __builtin_mul_overflow(count, (uint64_t)type->bits, &bits) || count > INT64_MAX)
        return status_error(E_INPUT, "%s: tensor '%s': the product of its shape overflows; " DAMAGED, r->path,
                            e->t.name);
    if (bits % 8)
        return status_error(E_INPUT, "%s: tensor '%s': %llu elements of %s do not fill whole bytes", r->path,
                            e->t.name, (unsigned long long)count, type->name);
    e->begin = offsets[0];
    e->end = offsets[1];
    if (e->end < e->begin || (uint64_t)(e->end - e->begin) != bits / 8)
        return status_error(E_INPUT,
                            "%s: tensor '%s': data_offsets [%lld, %lld] do not span the %llu bytes its dtype "
                            "and shape need; " DAMAGED,
                            r->path, e->t.name, (long long)e->begin, (long long)e->end,
                            (unsigned long long)(bits / 8));
    e->t.bytes = bits / 8;
    return OK;
}

typedef struct Header {
    Entry *entries; /* owns */
    size_t n, cap;
    SafeMeta *meta; /* owns */
    size_t n_meta, cap_meta;
} Header;

/* Room for one more item of a growing array. */
static Status grow(void **items, size_t n, size_t *cap, size_t item, const char *path) {
    if (n < *cap) return OK;
    size_t more = *cap ? *cap * 2 : 64;
    void *p = realloc(*items, more * item);
    if (!p) return status_error(E_ENV, "%s: no memory for a list of %zu entries", path, more);
    *items = p;
    *cap = more;
    return OK;
}

static Status parse_metadata(Parser *r, Header *h) {
    TRY(expect(r, '{'));
    bool more = !accept(r, '}');
    while (more) {
        TRY(grow((void **)&h->meta, h->n_meta, &h->cap_meta, sizeof *h->meta, r->path));
        SafeMeta *m = &h->meta[h->n_meta];
        TRY(parse_string(r, &m->key));
        TRY(expect(r, ':'));
        TRY(parse_string(r, &m->value));
        h->n_meta++;
        TRY(expect_next(r, '}', &more));
    }
    return OK;
}

static Status parse_header(Parser *r, Header *h) {
    bool has_metadata = false;
    TRY(expect(r, '{'));
    bool more = !accept(r, '}');
    while (more) {
        const char *name;
        TRY(parse_string(r, &name));
        TRY(expect(r, ':'));
        if (strcmp(name, "__metadata__") == 0) {
            if (has_metadata) return status_error(E_INPUT, "%s: key '__metadata__' appears twice", r->path);
            has_metadata = true;
            TRY(parse_metadata(r, h));
        } else {
            TRY(grow((void **)&h->entries, h->n, &h->cap, sizeof *h->entries, r->path));
            Entry *e = &h->entries[h->n];
            memset(e, 0, sizeof *e);
            e->t.name = name;
            e->t.path = r->path;
            TRY(parse_tensor(r, e));
            h->n++;
        }
        TRY(expect_next(r, '}', &more));
    }
    skip_space(r);
    return r->p == r->end ? OK : unexpected(r, "nothing after the closing '}'");
}

/* ---------------------------------------------------------------- one file */

static int by_offset(const void *a, const void *b) {
    const Entry *x = a, *y = b;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    return x->end < y->end ? -1 : x->end > y->end;
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const SafeTensor *)a)->name, ((const SafeTensor *)b)->name);
}

static int by_key(const void *a, const void *b) {
    return strcmp(((const SafeMeta *)a)->key, ((const SafeMeta *)b)->key);
}

/* The offsets tile [0, size) exactly. Sorts the entries by offset. */
static Status check_offsets(Header *h, uint64_t size, const char *path) {
    if (h->n) qsort(h->entries, h->n, sizeof *h->entries, by_offset);
    int64_t at = 0;
    for (size_t i = 0; i < h->n; i++) {
        const Entry *e = &h->entries[i];
        if (e->begin != at)
            return status_error(E_INPUT, "%s: tensor '%s': data begins at %lld, expected %lld (%s); " DAMAGED,
                                path, e->t.name, (long long)e->begin, (long long)at,
                                e->begin < at ? "tensors overlap" : "a hole before it");
        at = e->end;
    }
    if ((uint64_t)at != size)
        return status_error(E_INPUT,
                            "%s: tensors end at byte %lld of the data, which has %llu bytes; the file is %s: "
                            "fetch or write it again",
                            path, (long long)at, (unsigned long long)size,
                            (uint64_t)at > size ? "cut short" : "followed by foreign bytes");
    return OK;
}

static bool misaligned(const SafeTensor *t) {
    return t->dtype != DT_COUNT && (uintptr_t)t->data % dtype_bytes(t->dtype, 1) != 0;
}

/* Points the tensors at the data; those not aligned to their type at a copy in f->aligned. */
static Status bind(SafeFile *f, Header *h, const uint8_t *data) {
    size_t total = 0, at = 0;
    for (size_t i = 0; i < h->n; i++) {
        h->entries[i].t.data = data + h->entries[i].begin;
        if (misaligned(&h->entries[i].t)) total += (h->entries[i].t.bytes + 15) & ~(size_t)15;
    }
    if (total == 0) return OK;
    f->aligned = malloc(total);
    if (!f->aligned)
        return status_error(E_ENV, "%s: no memory for %zu bytes of unaligned tensors", f->path, total);
    for (size_t i = 0; i < h->n; i++) {
        SafeTensor *t = &h->entries[i].t;
        if (!misaligned(t)) continue;
        memcpy(f->aligned + at, t->data, t->bytes);
        t->data = f->aligned + at;
        at += (t->bytes + 15) & ~(size_t)15;
    }
    return OK;
}

static Status read_file(SafeFile *f, Header *h) {
    TRY(file_map(&f->map, f->path));
    if (f->map.size < 8)
        return status_error(E_INPUT, "%s: %zu bytes, a safetensors file has at least 8; " DAMAGED, f->path,
                            f->map.size);
    uint64_t n = 0;
    for (int i = 7; i >= 0; i--) n = n << 8 | f->map.data[i];
    if (n > max_header)
        return status_error(E_INPUT, "%s: header of %llu bytes, at most %llu are allowed; " DAMAGED, f->path,
                            (unsigned long long)n, (unsigned long long)max_header);
    if (n > f->map.size - 8)
        return status_error(E_INPUT, "%s: header of %llu bytes in a file of %zu; " DAMAGED, f->path,
                            (unsigned long long)n, f->map.size);
    f->text = malloc(n + 1);
    if (!f->text) return status_error(E_ENV, "%s: no memory for its header", f->path);
    const uint8_t *begin = f->map.data + 8;
    Parser r = {f->path, begin, begin, begin + n, f->text};
    TRY(parse_header(&r, h));
    if (h->n_meta) qsort(h->meta, h->n_meta, sizeof *h->meta, by_key);
    for (size_t i = 1; i < h->n_meta; i++)
        if (strcmp(h->meta[i - 1].key, h->meta[i].key) == 0)
            return status_error(E_INPUT, "%s: metadata key '%s' appears twice", f->path, h->meta[i].key);
    TRY(check_offsets(h, f->map.size - 8 - n, f->path));
    return bind(f, h, begin + n);
}

/* Opens path as s->files[i] and appends its tensors. */
static Status add_file(SafeTensors *s, int64_t i, char *path_owned) {
    SafeFile *f = &s->files[i];
    Header h = {0};
    f->path = path_owned;
    Status st = f->path ? read_file(f, &h) : status_error(E_ENV, "%s: out of memory", s->path);
    if (status_is_ok(st) && h.n) {
        SafeTensor *all = realloc(s->tensors, ((size_t)s->n + h.n) * sizeof *all);
        if (all) {
            s->tensors = all;
            for (size_t k = 0; k < h.n; k++) all[s->n++] = h.entries[k].t;
        } else {
            st = status_error(E_ENV, "%s: no memory for %zu tensors", f->path, h.n);
        }
    }
    if (status_is_ok(st) && i == 0) {
        s->meta = h.meta;
        s->n_meta = (int64_t)h.n_meta;
        h.meta = NULL;
    }
    free(h.meta);
    free(h.entries);
    return st;
}

static Status finish(SafeTensors *s) {
    if (s->n) qsort(s->tensors, (size_t)s->n, sizeof *s->tensors, by_name);
    for (int64_t i = 1; i < s->n; i++)
        if (strcmp(s->tensors[i - 1].name, s->tensors[i].name) == 0)
            return status_error(E_INPUT, "%s: tensor '%s' appears twice; " DAMAGED, s->path,
                                s->tensors[i].name);
    return OK;
}

static Status allocate(SafeTensors *s, const char *path, int64_t n_files) {
    s->path_owned = strdup(path);
    s->path = s->path_owned;
    s->files = calloc((size_t)n_files, sizeof *s->files);
    if (!s->files || !s->path) return status_error(E_ENV, "%s: out of memory", path);
    s->n_files = n_files;
    return OK;
}

void safetensors_close(SafeTensors *s) {
    for (int64_t i = 0; i < s->n_files; i++) {
        file_unmap(&s->files[i].map);
        free(s->files[i].path);
        free(s->files[i].text);
        free(s->files[i].aligned);
    }
    free(s->files);
    free(s->tensors);
    free(s->meta);
    free(s->path_owned);
    memset(s, 0, sizeof *s);
}

static Status open_one(SafeTensors *s, const char *path) {
    TRY(allocate(s, path, 1));
    TRY(add_file(s, 0, strdup(path)));
    return finish(s);
}

Status safetensors_open(SafeTensors *out, const char *path) {
    memset(out, 0, sizeof *out);
    Status s = open_one(out, path);
    if (!status_is_ok(s)) safetensors_close(out);
    return s;
}

/* ---------------------------------------------------------------- shards */

static int by_string(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The distinct file names of weight_map, sorted: *names owns the list, the strings are views. */
static Status shard_names(const char ***names, int64_t *n, const cJSON *map, const char *where) {
    int64_t count = cJSON_GetArraySize(map), k = 0;
    *names = NULL;
    if (count == 0) return status_error(E_INPUT, "%s: 'weight_map' is empty", where);
    const char **list = malloc((size_t)count * sizeof *list);
    if (!list) return status_error(E_ENV, "%s: out of memory", where);
    *names = list;
    for (const cJSON *c = map->child; c; c = c->next) {
        if (!cJSON_IsString(c))
            return status_error(E_INPUT, "%s: weight_map['%s']: expected a file name, found %s", where,
                                c->string, json_type_name(c));
        const char *v = c->valuestring;
        if (!*v || strchr(v, '/') || strchr(v, '\\') || strcmp(v, "..") == 0 || strcmp(v, ".") == 0)
            return status_error(E_INPUT, "%s: weight_map['%s']: '%s' is not a plain file name", where,
                                c->string, v);
        list[k++] = v;
    }
    qsort(list, (size_t)count, sizeof *list, by_string);
    k = 0;
    for (int64_t i = 0; i < count; i++)
        if (k == 0 || strcmp(list[i], list[k - 1]) != 0) list[k++] = list[i];
    *n = k;
    return OK;
}

/* Every name of the index is in the shard it says. */
static Status check_index(const SafeTensors *s, const cJSON *map, const char *where) {
    for (const cJSON *c = map->child; c; c = c->next) {
        const SafeTensor *t = safetensors_find(s, c->string);
        const char *base = t ? strrchr(t->path, '/') : NULL;
        if (!t || strcmp(base ? base + 1 : t->path, c->valuestring) != 0)
            return status_error(E_INPUT,
                                "%s: tensor '%s' is not in %s as the index says; fetch the model again",
                                where, c->string, c->valuestring);
    }
    return OK;
}

/* The shards hold what the index says and no more: as many tensors, and metadata.total_size bytes of them
 * where the index has that key (converters write it; a few leave it out). */
static Status check_totals(const SafeTensors *s, const cJSON *root, const cJSON *map, const char *where) {
    const cJSON *meta = cJSON_GetObjectItemCaseSensitive(root, "metadata");
    int64_t listed = cJSON_GetArraySize(map), total, bytes = 0;
    if (s->n != listed) /* every name of the index is there, so there are others */
        return status_error(E_INPUT,
                            "%s: weight_map names %lld tensors, the shards hold %lld; fetch the model again",
                            where, (long long)listed, (long long)s->n);
    if (!cJSON_GetObjectItemCaseSensitive(meta, "total_size")) return OK;
    TRY(status_wrap(json_get_int(&total, meta, "total_size", 0, INT64_C(1) << 53, where), "metadata"));
    for (int64_t i = 0; i < s->n; i++) bytes += (int64_t)s->tensors[i].bytes;
    if (bytes == total) return OK;
    return status_error(E_INPUT,
                        "%s: metadata.total_size is %lld, the shards hold %lld bytes of tensors; fetch the "
                        "model again",
                        where, (long long)total, (long long)bytes);
}

static Status open_shards(SafeTensors *s, const char *dir, const char *index) {
    cJSON *root;
    const cJSON *map;
    const char **names = NULL;
    int64_t n = 0;
    Status st;
    TRY(json_read(&root, index, MAX_INDEX));
    TRY_GOTO(st, json_get_object(&map, root, "weight_map", index), done);
    TRY_GOTO(st, shard_names(&names, &n, map, index), done);
    TRY_GOTO(st, allocate(s, dir, n), done);
    for (int64_t i = 0; i < n; i++) TRY_GOTO(st, add_file(s, i, path_join(dir, names[i])), done);
    TRY_GOTO(st, finish(s), done);
    TRY_GOTO(st, check_index(s, map, index), done);
    st = check_totals(s, root, map, index);
done:
    free(names);
    cJSON_Delete(root);
    return st;
}

Status safetensors_open_model(SafeTensors *out, const char *dir) {
    memset(out, 0, sizeof *out);
    char *one = path_join(dir, "model.safetensors"), *index = path_join(dir, "model.safetensors.index.json");
    Status s;
    if (!one || !index)
        s = status_error(E_ENV, "%s: out of memory", dir);
    else if (file_exists(one))
        s = open_one(out, one);
    else if (file_exists(index))
        s = open_shards(out, dir, index);
    else
        s = status_error(E_INPUT, "%s: neither model.safetensors nor model.safetensors.index.json is there",
                         dir);
    if (!status_is_ok(s)) safetensors_close(out);
    free(one);
    free(index);
    return s;
}

/* ---------------------------------------------------------------- access */

const SafeTensor *safetensors_find(const SafeTensors *s, const char *name) {
    SafeTensor key = {.name = name};
    return s->n ? bsearch(&key, s->tensors, (size_t)s->n, sizeof *s->tensors, by_name) : NULL;
}

const char *safetensors_metadata(const SafeTensors *s, const char *key) {
    for (int64_t i = 0; i < s->n_meta; i++)
        if (strcmp(s->meta[i].key, key) == 0) return s->meta[i].value;
    return NULL;
}

/* "[3, 5]", "[3, any]" */
static void format_shape(char *out, size_t size, int ndim, const int64_t *dim) {
    size_t n = (size_t)snprintf(out, size, "[");
    for (int i = 0; i < ndim && n < size; i++)
        n += (size_t)(dim[i] < 0 ? snprintf(out + n, size - n, "%sany", i ? ", " : "")
                                 : snprintf(out + n, size - n, "%s%lld", i ? ", " : "", (long long)dim[i]));
    if (n < size) snprintf(out + n, size - n, "]");
}

Status safetensors_get(Tensor *out, const SafeTensors *s, const char *name, int ndim, const int64_t *dim) {
    CHECK(ndim >= 0 && ndim <= TENSOR_MAX_DIMS, "%d dimensions asked", ndim);
    const SafeTensor *t = safetensors_find(s, name);
    if (!t)
        return status_error(E_INPUT, "%s: tensor '%s' is missing (the file has %lld others)", s->path, name,
                            (long long)s->n);
    bool same = t->ndim == ndim;
    for (int i = 0; i < ndim && same; i++) same = dim[i] < 0 || dim[i] == t->shape[i];
    if (!same) {
        char want[128], found[256];
        format_shape(want, sizeof want, ndim, dim);
        format_shape(found, sizeof found, t->ndim, t->shape);
        return status_error(E_INPUT, "%s: tensor '%s': expected shape %s, found %s", t->path, name, want,
                            found);
    }
    if (t->dtype == DT_COUNT)
        return status_error(E_INPUT,
                            "%s: tensor '%s': dtype %s is not supported; convert it to F32, F16 or BF16",
                            t->path, name, t->type_name);
    *out = (Tensor){.data = (void *)t->data, .dtype = t->dtype, .device = DEVICE_CPU, .ndim = ndim, .ld = 1};
    for (int i = 0; i < ndim; i++) out->dim[i] = t->shape[i];
    for (int i = 1; i < ndim; i++) out->ld *= t->shape[i];
    return OK;
}

Status safetensors_read_f32(float *dst, const SafeTensor *t) {
    size_t n = t->dtype == DT_COUNT ? 0 : t->bytes / dtype_bytes(t->dtype, 1);
    switch (t->dtype) {
    case DT_F32:
        memcpy(dst, t->data, t->bytes);
        return OK;
    case DT_BF16:
        for (size_t i = 0; i < n; i++) dst[i] = bf16_to_float(((const uint16_t *)t->data)[i]);
        return OK;
    case DT_F16:
        for (size_t i = 0; i < n; i++) dst[i] = f16_to_float(((const uint16_t *)t->data)[i]);
        return OK;
    case DT_F64:
        for (size_t i = 0; i < n; i++) dst[i] = (float)((const double *)t->data)[i];
        return OK;
    default:
        return status_error(E_INPUT, "%s: tensor '%s': expected F32, F16, BF16 or F64 values, found %s",
                            t->path, t->name, t->type_name);
    }
}

/* ---------------------------------------------------------------- writer */

typedef struct Row { /* an entry in file order */
    const SafeEntry *entry;
    int rank; /* index in types */
    size_t bytes;
} Row;

static int by_file_order(const void *a, const void *b) {
    const Row *x = a, *y = b;
    if (x->rank != y->rank) return x->rank > y->rank ? -1 : 1;
    return strcmp(x->entry->name, y->entry->name);
}

/* A JSON string, escaped as the reference's serializer does. */
static void put_json(FILE *f, const char *s) {
    static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
    fputc('"', f);
    for (; *s; s++) {
        const char *at = strchr(from, *s);
        if (at)
            fprintf(f, "\\%c", to[at - from]);
        else if ((uint8_t)*s < 0x20)
            fprintf(f, "\\u%04x", (unsigned)(uint8_t)*s);
        else
            fputc(*s, f);
    }
    fputc('"', f);
}

static void put_header(FILE *f, const Row *rows, int64_t n, const SafeMeta *meta, int64_t n_meta) {
    fputc('{', f);
    for (int64_t i = 0; i < n_meta; i++) {
        fputs(i ? "," : "\"__metadata__\":{", f);
        put_json(f, meta[i].key);
        fputc(':', f);
        put_json(f, meta[i].value);
    }
    if (n_meta) fputs(n ? "}," : "}", f);
    size_t at = 0;
    for (int64_t i = 0; i < n; i++) {
        const Tensor *t = &rows[i].entry->tensor;
        if (i) fputc(',', f);
        put_json(f, rows[i].entry->name);
        fprintf(f, ":{\"dtype\":\"%s\",\"shape\":[", types[rows[i].rank].name);
        for (int d = 0; d < t->ndim; d++) fprintf(f, "%s%lld", d ? "," : "", (long long)t->dim[d]);
        fprintf(f, "],\"data_offsets\":[%zu,%zu]}", at, at + rows[i].bytes);
        at += rows[i].bytes;
    }
    fputc('}', f);
    fflush(f);
}

static void put_data(FILE *f, const Row *row) {
    const Tensor *t = &row->entry->tensor;
    if (row->bytes == 0) return;
    if (t->ndim == 0 || tensor_is_contiguous(*t)) {
        fwrite(t->data, 1, row->bytes, f);
        return;
    }
    size_t stride = dtype_bytes(t->dtype, t->ld), width = row->bytes / (size_t)t->dim[0];
    for (int64_t i = 0; i < t->dim[0]; i++) fwrite((const char *)t->data + (size_t)i * stride, 1, width, f);
}

static Status write_rows(FILE *f, const Row *rows, int64_t n, const char *header, size_t header_bytes,
                         const char *path) {
    size_t padded = (header_bytes + 7) & ~(size_t)7;
    if (padded > max_header)
        return status_error(E_INPUT, "%s: the header would have %zu bytes, at most %llu are allowed", path,
                            padded, (unsigned long long)max_header);
    uint8_t length[8];
    for (int i = 0; i < 8; i++) length[i] = (uint8_t)((uint64_t)padded >> (8 * i));
    errno = 0;
    fwrite(length, 1, 8, f);
    fwrite(header, 1, header_bytes, f);
    fwrite("       ", 1, padded - header_bytes, f);
    for (int64_t i = 0; i < n && !ferror(f); i++) put_data(f, &rows[i]);
    if (fflush(f) != 0 || ferror(f) || fsync(fileno(f)) != 0)
        return status_errno(errno, "%s: cannot write", path);
    return OK;
}

static Status write_file(const char *path, const Row *rows, int64_t n, const char *header,
                         size_t header_bytes) {
    char tmp[PATH_MAX], parent[PATH_MAX];
    if ((size_t)snprintf(tmp, sizeof tmp, "%s.tmp.%ld", path, (long)getpid()) >= sizeof tmp)
        return status_error(E_INPUT, "%s: path too long", path);
    FILE *f = fopen(tmp, "wbe");
    if (!f) return status_errno(errno, "%s: cannot create", tmp);
    Status s = write_rows(f, rows, n, header, header_bytes, path);
    if (fclose(f) != 0 && status_is_ok(s)) s = status_errno(errno, "%s: cannot close", tmp);
    if (status_is_ok(s) && rename(tmp, path) != 0)
        s = status_errno(errno, "%s: cannot rename to %s", tmp, path);
    if (!status_is_ok(s)) {
        unlink(tmp);
        return s;
    }
    const char *slash = strrchr(path, '/');
    snprintf(parent, sizeof parent, "%.*s", slash ? (int)(slash - path + 1) : 1, slash ? path : ".");
    return file_sync_dir(parent);
}

static int type_rank(DType t) {
    for (int i = 0; i < N_TYPES; i++)
        if (types[i].dtype == t) return i;
    return -1;
}

Status safetensors_write(const char *path, const SafeEntry *entries, int64_t n, const SafeMeta *meta,
                         int64_t n_meta) {
    Row *rows = calloc((size_t)n + 1, sizeof *rows);
    char *header = NULL;
    size_t header_bytes = 0;
    FILE *text = rows ? open_memstream(&header, &header_bytes) : NULL;
    if (!text) {
        free(rows);
        return status_error(E_ENV, "%s: no memory to write %lld tensors", path, (long long)n);
    }
    for (int64_t i = 0; i < n; i++) {
        const Tensor *t = &entries[i].tensor;
        int rank = t->dtype < DT_COUNT ? type_rank(t->dtype) : -1;
        CHECK(rank >= 0, "tensor '%s': type %s has no place in safetensors", entries[i].name,
              dtype_name(t->dtype));
        CHECK(t->device == DEVICE_CPU, "tensor '%s' is not on the host", entries[i].name);
        rows[i] = (Row){&entries[i], rank, dtype_bytes(t->dtype, tensor_numel(*t))};
    }
    qsort(rows, (size_t)n, sizeof *rows, by_file_order);
    put_header(text, rows, n, meta, n_meta);
    bool bad = ferror(text) != 0;
    bad = fclose(text) != 0 || bad || !header; /* glibc's may end without a text and say nothing */
    Status s = bad ? status_error(E_ENV, "%s: no memory for its header", path)
                   : write_file(path, rows, n, header, header_bytes);
    free(header);
    free(rows);
    return s;
}
