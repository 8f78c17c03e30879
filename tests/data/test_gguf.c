/* GGUF: values and dequantised tensors as gguf-py has them (tests/golden/make_gguf.py), every reader rule
 * violated once, and damaged files that never do more than fail. */
#include "tests/data/files.h"

#include "data/fetch.h"
#include "data/gguf.h"
#include "data/safetensors.h"

/* ---- golden ---- */

static void test_values(void **state) {
    (void)state;
    Gguf g;
    int64_t i;
    double d;
    bool b;
    GgufString s;
    assert_ok(gguf_open(&g, golden("gguf_types.gguf").s));
    assert_int_equal(g.version, 3);
    static const struct {
        const char *key;
        int64_t value;
    } ints[] = {{"test.u8", 200},
                {"test.i8", -100},
                {"test.u16", 60000},
                {"test.i16", -30000},
                {"test.u32", 4000000000},
                {"test.i32", -2000000000},
                {"test.i64", -(INT64_C(1) << 62)}};
    for (int k = 0; k < COUNT_OF(ints); k++) {
        assert_ok(gguf_get_int(&i, &g, ints[k].key, INT64_MIN, INT64_MAX));
        assert_int_equal(i, ints[k].value);
    }
    assert_fails(gguf_get_int(&i, &g, "test.u64", INT64_MIN, INT64_MAX), E_INPUT,
                 "expected an integer, found u64");
    assert_fails(gguf_get_int(&i, &g, "test.u8", 0, 199), E_INPUT, "from 0 to 199, found 200");
    assert_fails(gguf_get_int(&i, &g, "test.f32", 0, 9), E_INPUT, "expected an integer, found f32");
    assert_fails(gguf_get_int(&i, &g, "test.ints", 0, 9), E_INPUT, "found an array of i32");
    assert_fails(gguf_get_int(&i, &g, "test.none", 0, 9), E_INPUT, "key 'test.none' is missing");
    assert_ok(gguf_get_int_or(&i, &g, "test.none", 0, 9, -1));
    assert_int_equal(i, -1);
    assert_ok(gguf_get_float(&d, &g, "test.f32"));
    assert_true(d == 0.1f);
    assert_ok(gguf_get_float(&d, &g, "test.f64"));
    assert_true(d == 0.1);
    assert_fails(gguf_get_float(&d, &g, "test.u8"), E_INPUT, "expected a finite number");
    assert_ok(gguf_get_float_or(&d, &g, "test.none", 2.5));
    assert_true(d == 2.5);
    assert_ok(gguf_get_bool_or(&b, &g, "test.bool", false));
    assert_true(b);
    assert_fails(gguf_get_bool_or(&b, &g, "test.u8", false), E_INPUT, "expected a bool, found u8");
    assert_ok(gguf_get_string(&s, &g, "test.string"));
    assert_true(gguf_string_is(s, "a \xc3\xa9 z"));
    assert_false(gguf_string_is(s, "a"));
    assert_fails(gguf_get_string(&s, &g, "test.strings"), E_INPUT,
                 "expected a string, found an array of string");

    GgufString *strings;
    int32_t *values;
    float *floats;
    int64_t n;
    assert_ok(gguf_get_strings(&strings, &n, &g, "test.strings"));
    assert_int_equal(n, 3);
    assert_true(gguf_string_is(strings[0], "") && gguf_string_is(strings[1], "one") &&
                gguf_string_is(strings[2], "\xe4\xba\x8c"));
    free(strings);
    assert_ok(gguf_get_ints(&values, &n, &g, "test.ints"));
    assert_true(n == 3 && values[0] == -1 && values[1] == 0 && values[2] == 65536);
    free(values);
    assert_ok(gguf_get_floats(&floats, &n, &g, "test.floats"));
    assert_true(n == 2 && floats[0] == 0.5f && floats[1] == -2.25f);
    free(floats);
    assert_fails(gguf_get_strings(&strings, &n, &g, "test.ints"), E_INPUT, "expected an array of strings");
    assert_fails(gguf_get_ints(&values, &n, &g, "test.floats"), E_INPUT,
                 "expected an array of 32-bit integers");
    assert_fails(gguf_get_floats(&floats, &n, &g, "test.strings"), E_INPUT, "expected an array of numbers");
    assert_fails(gguf_get_strings(&strings, &n, &g, "test.none"), E_INPUT, "is missing");
    gguf_close(&g);
}

/* The largest product that a sum takes away from or adds to, a row's: 0 where elements are products only. */
static double largest_term(const GgufTensor *t, int64_t row) {
    double scale = row == 1 ? 65504 : 8; /* of the golden's rows: the largest half; normal deviates */
    switch (t->type) {
    case GGML_Q4_1:
        return scale * 16;
    case GGML_Q5_1:
        return scale * 32;
    case GGML_Q4_K:
        return scale * 63 * 16;
    case GGML_Q5_K:
        return scale * 63 * 32;
    default:
        return 0;
    }
}

/* All rows at once, and one by one. Our products are rounded like gguf-py's unless the compiler fuses
 * multiplication and addition (on machines with FMA): then one rounding is saved. */
static void check_tensor(const GgufTensor *t, const SafeTensor *want) {
    int64_t n = t->rows * t->ne[0];
    float *got = test_alloc((size_t)n * sizeof *got);
    const float *ref = (const float *)(const void *)want->data;
    assert_int_equal(want->bytes, (size_t)n * sizeof *got);
    for (int pass = 0; pass < 2; pass++) {
        memset(got, 0xff, (size_t)n * sizeof *got);
        if (pass == 0)
            assert_ok(gguf_dequant(got, t, 0, t->rows));
        else
            for (int64_t r = t->rows - 1; r >= 0; r--) assert_ok(gguf_dequant(got + r * t->ne[0], t, r, 1));
        for (int64_t i = 0; i < n; i++) {
            double limit = largest_term(t, i / t->ne[0]) * ROUND_F32;
            if (got[i] != ref[i] && !(fabs((double)got[i] - ref[i]) <= limit))
                fail_msg("%s[%lld]: %.9g, expected %.9g", t->name, (long long)i, got[i], ref[i]);
        }
    }
    free(got);
}

static void test_tensors(void **state) {
    (void)state;
    Gguf g;
    SafeTensors st;
    Tensor x;
    float f[64];
    const GgufTensor *t;
    assert_ok(gguf_open(&g, golden("gguf_types.gguf").s));
    assert_ok(safetensors_open(&st, golden("gguf_types.safetensors").s));
    assert_int_equal(g.n_tensors, 12);
    for (int64_t i = 0; i < g.n_tensors; i++) {
        const SafeTensor *want = safetensors_find(&st, g.tensors[i].name);
        assert_ptr_equal(gguf_tensor(&g, g.tensors[i].name), &g.tensors[i]);
        assert_true((want == NULL) == (strcmp(g.tensors[i].name, "iq4_nl") == 0));
        if (want) check_tensor(&g.tensors[i], want);
    }
    assert_ok(gguf_get_tensor(&t, &g, "q8_0", 3, 96));
    assert_ok(gguf_as_tensor(&x, t));
    assert_true(x.dtype == DT_Q8_0 && x.ndim == 2 && x.dim[0] == 3 && x.dim[1] == 96);
    assert_fails(gguf_get_tensor(&t, &g, "q8_0", 96, 3), E_INPUT,
                 "expected 96 rows of 3, found 3 rows of 96");
    assert_fails(gguf_get_tensor(&t, &g, "nope", 1, 1), E_INPUT, "tensor 'nope' is missing");
    assert_null(gguf_tensor(&g, "a name that is far longer than the sixty-three characters that fit in"));
    t = gguf_tensor(&g, "iq4_nl");
    assert_fails(gguf_dequant(f, t, 0, 1), E_INPUT, "tensor 'iq4_nl': type IQ4_NL is not supported");
    assert_fails(gguf_as_tensor(&x, t), E_INPUT, "type IQ4_NL is not supported");
    assert_ok(gguf_dequant(f, gguf_tensor(&g, "f32"), 3, 0));
    safetensors_close(&st);
    gguf_close(&g);
}

/* ---- a writer for broken files ---- */

typedef struct Out {
    uint8_t bytes[4096];
    size_t n;
} Out;

static void put(Out *o, const void *p, size_t n) {
    assert_true(o->n + n <= sizeof o->bytes);
    memcpy(o->bytes + o->n, p, n);
    o->n += n;
}
static void put32(Out *o, uint32_t v) {
    put(o, &v, 4);
}
static void put64(Out *o, uint64_t v) {
    put(o, &v, 8);
}
static void put_text(Out *o, const char *s) {
    put64(o, strlen(s));
    put(o, s, strlen(s));
}

typedef struct Spec { /* one file; zero means the sound value */
    const char *magic;
    uint32_t version;
    uint64_t n_tensors, n_kv;
    const char *key, *key2; /* two u32 keys */
    uint32_t alignment, kv_type, item_type;
    uint64_t array_n;
    const char *name, *name2; /* two tensors of [64, 2] Q8_0 */
    uint32_t n_dims, type;
    uint64_t ne0, ne1, offset, offset2;
    size_t cut;
} Spec;

static void put_tensor(Out *o, const Spec *s, const char *name, uint64_t offset) {
    uint32_t n_dims = s->n_dims ? s->n_dims : 2;
    put_text(o, name);
    put32(o, n_dims);
    put64(o, s->ne0 ? s->ne0 : 64);
    put64(o, s->ne1 ? s->ne1 : 2);
    for (uint32_t i = 2; i < n_dims; i++) put64(o, 1);
    put32(o, s->type ? s->type : GGML_Q8_0);
    put64(o, offset);
}

static void build(Out *o, const Spec *s) {
    uint32_t alignment = s->alignment ? s->alignment : 64;
    memset(o, 0, sizeof *o);
    put(o, s->magic ? s->magic : "GGUF", 4);
    put32(o, s->version ? s->version : 2);
    put64(o, s->n_tensors ? s->n_tensors : 2);
    put64(o, s->n_kv ? s->n_kv : 4);
    put_text(o, "general.alignment");
    put32(o, GGUF_U32);
    put32(o, alignment);
    put_text(o, s->key ? s->key : "a");
    put32(o, s->kv_type ? s->kv_type : GGUF_U32);
    put32(o, 7);
    put_text(o, s->key2 ? s->key2 : "b");
    put32(o, GGUF_U32);
    put32(o, 8);
    put_text(o, "list");
    put32(o, GGUF_ARRAY);
    put32(o, s->item_type ? s->item_type : GGUF_U32);
    put64(o, s->array_n ? s->array_n : 1);
    put32(o, 9);
    put_tensor(o, s, s->name ? s->name : "x", s->offset);
    put_tensor(o, s, s->name2 ? s->name2 : "y", s->offset2 ? s->offset2 : 192);
    while (o->n % 64) put(o, "", 1);
    for (int i = 0; i < 192 + 136; i++) put(o, "\x11", 1);
    o->n -= s->cut;
}

typedef struct Rule {
    Spec spec;
    const char *message; /* NULL: accepted */
} Rule;

#define LONG_NAME "0123456789012345678901234567890123456789012345678901234567890123"
static const Rule rules[] = {
    {{0}, NULL},
    {{.version = 3}, NULL},
    {{.n_dims = 4}, NULL},
    {{.magic = "GGJT"}, "does not begin with \"GGUF\""},
    {{.version = 1}, "GGUF version 1, supported are 2 and 3"},
    {{.version = 4}, "GGUF version 4"},
    {{.version = 3u << 24}, "big-endian"},
    {{.n_tensors = 1u << 20}, "the number of tensors is 1048576"},
    {{.n_tensors = UINT64_MAX}, "the number of tensors is"},
    {{.n_tensors = 3}, "a tensor's name is empty"},
    {{.n_kv = UINT64_C(1) << 60}, "the number of keys is"},
    {{.n_kv = 3}, "tensor 'list' has 9 dimensions"},
    {{.key = ""}, "a key is empty"},
    {{.key = "a\nb"}, "a key holds a control character"},
    {{.key = "b"}, "key 'b' appears twice"},
    {{.key = "general.alignment"}, "key 'general.alignment' appears twice"},
    {{.kv_type = 13}, "value type 13"},
    {{.item_type = 77}, "value type 77"},
    {{.item_type = GGUF_ARRAY}, "arrays of arrays"},
    {{.array_n = UINT64_MAX / 2}, "an array's length is"},
    {{.array_n = 100000}, "an array's length is 100000"},
    {{.alignment = 48}, "48 is not a power of two"},
    {{.alignment = 4}, "expected an integer from 8"},
    {{.alignment = 1u << 31}, "after the file's end"},
    {{.name = "y"}, "tensor 'y' appears twice"},
    {{.name = ""}, "a tensor's name is empty"},
    {{.name = "\x7f"}, "a tensor's name holds a control character"},
    {{.name = LONG_NAME}, "a tensor name of 64 bytes, at most 63"},
    {{.n_dims = 5}, "has 5 dimensions, at most 4"},
    {{.ne0 = 65}, "rows of 65 elements are not whole Q8_0 blocks of 32"},
    {{.ne0 = UINT64_C(1) << 63}, "its dimensions overflow"},
    {{.ne0 = UINT64_C(1) << 40, .ne1 = UINT64_C(1) << 40}, "its dimensions overflow"},
    {{.ne0 = UINT64_C(1) << 62, .type = GGML_F32}, "overflow"},
    {{.ne0 = UINT64_C(1) << 40}, "after the file's end"},
    {{.type = 4}, "unknown ggml type 4"},
    {{.type = 41}, "unknown ggml type 41"},
    {{.type = UINT32_MAX}, "unknown ggml type 4294967295"},
    {{.offset = 64}, "tensor 'x': offset 64, expected 0"},
    {{.offset2 = 136}, "tensor 'y': offset 136, expected 192"},
    {{.offset2 = 256}, "tensor 'y': offset 256, expected 192"},
    {{.cut = 1}, "tensor 'y' ends 1 bytes after the file's end"},
    {{.cut = 190}, "tensor 'y' ends 190 bytes after"},
    {{.cut = 328}, "tensor 'x' ends 136 bytes after"},
};

static double touch(const Gguf *g) {
    double sum = 0;
    for (int64_t i = 0; i < g->n_tensors; i++)
        for (size_t k = 0; k < g->tensors[i].bytes; k++) sum += g->tensors[i].data[k];
    for (int64_t i = 0; i < g->n_kv; i++) {
        char key[64];
        GgufString s, *strings;
        int64_t v, n;
        double d;
        int32_t *ints;
        float *floats;
        snprintf(key, sizeof key, "%.*s", (int)g->kv[i].key.n, g->kv[i].key.s);
        if (strlen(key) != g->kv[i].key.n || !gguf_find(g, key)) continue;
        status_free(gguf_get_int(&v, g, key, INT64_MIN, INT64_MAX));
        status_free(gguf_get_float(&d, g, key));
        status_free(gguf_get_string(&s, g, key));
        status_free(gguf_get_strings(&strings, &n, g, key));
        for (int64_t k = 0; k < n; k++)
            if (strings[k].n) sum += (uint8_t)strings[k].s[strings[k].n - 1];
        status_free(gguf_get_ints(&ints, &n, g, key));
        status_free(gguf_get_floats(&floats, &n, g, key));
        free(strings);
        free(ints);
        free(floats);
    }
    return sum;
}

static void try_bytes(const MemFile *m, const uint8_t *bytes, size_t n) {
    Gguf g;
    mem_set(m, bytes, n);
    Status s = gguf_open(&g, m->path);
    if (status_is_ok(s)) {
        assert_true(touch(&g) >= 0);
        for (int64_t i = 0; i < g.n_tensors; i++) {
            const GgufTensor *t = &g.tensors[i];
            if (t->rows <= 0 || t->ne[0] > 4096) continue;
            float *row = test_alloc((size_t)t->ne[0] * sizeof *row);
            status_free(gguf_dequant(row, t, t->rows - 1, 1));
            free(row);
        }
        gguf_close(&g);
    } else {
        assert_int_equal(status_code(s), E_INPUT);
    }
    status_free(s);
}

static void test_rules(void **state) {
    (void)state;
    MemFile m = mem_file();
    for (int i = 0; i < COUNT_OF(rules); i++) {
        Out o;
        Gguf g;
        build(&o, &rules[i].spec);
        mem_set(&m, o.bytes, o.n);
        Status s = gguf_open(&g, m.path);
        bool as_expected = rules[i].message
                               ? status_code(s) == E_INPUT && strstr(status_message(s), m.path) &&
                                     strstr(status_message(s), rules[i].message)
                               : status_is_ok(s);
        if (!as_expected)
            fail_msg("rule %d (%s): code %d: %s", i, rules[i].message ? rules[i].message : "accepted",
                     (int)status_code(s), status_message(s));
        if (status_is_ok(s)) gguf_close(&g);
        status_free(s);
    }
    Gguf g;
    mem_set(&m, "", 0);
    assert_fails(gguf_open(&g, m.path), E_INPUT, "does not begin");
    assert_fails(gguf_open(&g, "/nonexistent/x.gguf"), E_INPUT, "no such file");
    close(m.fd);
}

static void test_damage(void **state) {
    (void)state;
    FileMap map;
    assert_ok(file_map(&map, golden("gguf_types.gguf").s));
    MemFile m = mem_file();
    uint8_t *copy = test_alloc(map.size + 8);
    for (size_t n = 0; n < map.size; n += n < 1300 ? 1 : 97) try_bytes(&m, map.data, n);
    Rng rng = rng_make(2, 0);
    for (int i = 0; i < 20000; i++) try_bytes(&m, copy, damage(copy, map.data, map.size, 1300, &rng));
    Out o;
    build(&o, &rules[0].spec);
    uint8_t *small = test_alloc(o.n + 8);
    for (int i = 0; i < 20000; i++) try_bytes(&m, small, damage(small, o.bytes, o.n, 320, &rng));
    free(small);
    free(copy);
    close(m.fd);
    file_unmap(&map);
}

/* ---- a real model ---- */

static void test_smollm2(void **state) {
    (void)state;
    char *cache, *path;
    assert_ok(fetch_cache_dir(&cache));
    Status s = fetch_resolve(&path, "smollm2-135m-instruct", cache);
    free(cache);
    if (!status_is_ok(s)) {
        print_message("skipped: %s\n", status_message(s));
        status_free(s);
        skip();
    }
    Gguf g;
    Tokenizer *tokenizer;
    const GgufTensor *t;
    assert_ok(gguf_open(&g, path));
    free(path);
    assert_int_equal(g.n_tensors, 272);
    assert_ok(gguf_get_tensor(&t, &g, "token_embd.weight", 49152, 576));
    assert_int_equal(t->type, GGML_Q8_0);
    assert_ok(gguf_tokenizer(&tokenizer, &g));
    assert_int_equal(tokenizer_vocab_size(tokenizer), 49152);
    assert_int_equal(tokenizer_id(tokenizer, "<|im_end|>"), 2);
    tokenizer_free(tokenizer);
    gguf_close(&g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values), cmocka_unit_test(test_tensors), cmocka_unit_test(test_rules),
        cmocka_unit_test(test_damage), cmocka_unit_test(test_smollm2),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
