/* safetensors: the reference's files come back byte for byte, every reader rule is violated once, and damaged
 * files never do more than fail. */
#include "tests/data/files.h"

#include "data/safetensors.h"

/* ---- writing and reading back ---- */

static void reference_bytes(const char *name) {
    TestDir dir = dir_make();
    TestPath from = golden(name), to = dir_file(&dir, "copy.safetensors");
    SafeTensors st;
    FileMap a, b;
    assert_ok(safetensors_open(&st, from.s));
    assert_true(st.n > 0);
    SafeEntry *entries = test_alloc((size_t)st.n * sizeof *entries);
    for (int64_t i = 0; i < st.n; i++) {
        int64_t any[4] = {-1, -1, -1, -1};
        entries[i].name = st.tensors[i].name;
        assert_ok(safetensors_get(&entries[i].tensor, &st, entries[i].name, st.tensors[i].ndim, any));
    }
    assert_ok(safetensors_write(to.s, entries, st.n, st.meta, st.n_meta));
    assert_ok(file_map(&a, from.s));
    assert_ok(file_map(&b, to.s));
    assert_int_equal(a.size, b.size);
    assert_memory_equal(a.data, b.data, a.size);
    file_unmap(&a);
    file_unmap(&b);
    free(entries);
    safetensors_close(&st);
    dir_remove(&dir);
}

static void test_reference_bytes(void **state) {
    (void)state;
    reference_bytes("hypernet_S.safetensors"); /* F64, metadata */
    reference_bytes("llm_tiny.safetensors");   /* F64 and I64 */
    reference_bytes("smollm2.safetensors");    /* F32 and I64 */
}

static void test_round_trip(void **state) {
    (void)state;
    TestDir dir = dir_make();
    TestPath path = dir_file(&dir, "x.safetensors");
    float f32[6] = {1, -2, 3.5f, 0, -0.0f, 1e-40f};
    uint16_t half[5] = {0x3c00, 0x8000, 0x0001, 0x7bff, 0xfc00};
    double f64[2] = {0.1, -1e300};
    int64_t i64[3] = {INT64_MIN, -1, INT64_MAX};
    int32_t i32[3] = {INT32_MIN, 7, INT32_MAX};
    uint8_t u8[3] = {0, 127, 255};
    Tensor scalar = {f32, DT_F32, DEVICE_CPU, 0, {0}, 1};
    Tensor strided = tensor_columns(tensor_2d(f32, DT_F32, 2, 3), 1, 2);
    const SafeEntry entries[] = {
        {"u8", tensor_1d(u8, DT_U8, 3)},
        {"f16", tensor_1d(half, DT_F16, 5)},
        {"bf16", tensor_1d(half, DT_BF16, 5)},
        {"f32", tensor_2d(f32, DT_F32, 2, 3)},
        {"f64", tensor_1d(f64, DT_F64, 2)},
        {"i64", tensor_3d(i64, DT_I64, 1, 3, 1)},
        {"i32", tensor_1d(i32, DT_I32, 3)},
        {"scalar", scalar},
        {"columns", strided},
        {"empty", tensor_2d(NULL, DT_F32, 0, 3)},
        {"quote\"\\\n\x01 \xc3\xa9", tensor_1d(u8, DT_U8, 1)},
    };
    const SafeMeta meta[] = {{"format", "pt"}, {"why", "a \"b\"\n"}};
    SafeTensors st;
    assert_ok(safetensors_write(path.s, entries, COUNT_OF(entries), meta, 2));
    assert_ok(safetensors_open(&st, path.s));
    assert_int_equal(st.n, COUNT_OF(entries));
    assert_string_equal(safetensors_metadata(&st, "format"), "pt");
    assert_string_equal(safetensors_metadata(&st, "why"), "a \"b\"\n");
    assert_null(safetensors_metadata(&st, "absent"));
    assert_null(safetensors_find(&st, "absent"));
    for (int i = 0; i < COUNT_OF(entries); i++) {
        const SafeTensor *t = safetensors_find(&st, entries[i].name);
        assert_non_null(t);
        assert_int_equal(t->dtype, entries[i].tensor.dtype);
        assert_int_equal(t->ndim, entries[i].tensor.ndim);
        for (int d = 0; d < t->ndim; d++) assert_int_equal(t->shape[d], entries[i].tensor.dim[d]);
        if (strcmp(t->name, "columns") != 0 && t->bytes)
            assert_memory_equal(t->data, entries[i].tensor.data, t->bytes);
        assert_int_equal((uintptr_t)t->data % dtype_bytes(t->dtype, 1), 0);
    }
    const float want[4] = {-2, 3.5f, -0.0f, 1e-40f};
    assert_memory_equal(safetensors_find(&st, "columns")->data, want, sizeof want);

    float got[5];
    assert_ok(safetensors_read_f32(got, safetensors_find(&st, "f16")));
    for (int i = 0; i < 5; i++) assert_true(got[i] == f16_to_float(half[i]));
    assert_ok(safetensors_read_f32(got, safetensors_find(&st, "bf16")));
    for (int i = 0; i < 5; i++) assert_true(got[i] == bf16_to_float(half[i]));
    assert_ok(safetensors_read_f32(got, safetensors_find(&st, "f64")));
    assert_true(got[0] == 0.1f);
    assert_fails(safetensors_read_f32(got, safetensors_find(&st, "i32")), E_INPUT, "'i32': expected F32");

    Tensor t;
    int64_t dim[4] = {2, -1, 0, 0};
    assert_ok(safetensors_get(&t, &st, "f32", 2, dim));
    assert_int_equal(t.ld, 3);
    assert_fails(safetensors_get(&t, &st, "f32", 1, dim), E_INPUT, "expected shape [2], found [2, 3]");
    dim[1] = 4;
    assert_fails(safetensors_get(&t, &st, "f32", 2, dim), E_INPUT, "expected shape [2, 4], found [2, 3]");
    assert_fails(safetensors_get(&t, &st, "nope", 2, dim), E_INPUT, "tensor 'nope' is missing");
    safetensors_close(&st);

    assert_ok(safetensors_write(path.s, NULL, 0, NULL, 0)); /* and over the old file */
    assert_ok(safetensors_open(&st, path.s));
    assert_int_equal(st.n, 0);
    safetensors_close(&st);
    assert_fails(safetensors_write(dir_file(&dir, "no/such/x").s, entries, 1, NULL, 0), E_ENV, "no/such");
    dir_remove(&dir);
}

/* ---- rules ---- */

static void put_file(const MemFile *m, const char *header, size_t n, size_t data) {
    uint8_t *bytes = calloc(1, 8 + n + data);
    for (int i = 0; i < 8; i++) bytes[i] = (uint8_t)(n >> (8 * i));
    memcpy(bytes + 8, header, n);
    mem_set(m, bytes, 8 + n + data);
    free(bytes);
}

typedef struct Rule {
    const char *header;
    size_t data;
    const char *message; /* NULL: accepted */
} Rule;

#define T(dtype, shape, offsets) "{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"
static const Rule rules[] = {
    {"{}", 0, NULL},
    {"  {} \n\t", 0, NULL},
    {"{\"a\":" T("F32", "[2]", "[0,8]") "}", 8, NULL},
    {"{\"a\":" T("F32", "[]", "[0,4]") "}", 4, NULL},
    {"{\"a\":" T("F32", "[0]", "[0,0]") ",\"b\":" T("F32", "[0,5]", "[0,0]") "}", 0, NULL},
    {"{\"a\":" T("F8_E4M3", "[3]", "[0,3]") ",\"b\":" T("F4", "[2,2]", "[3,5]") "}", 5, NULL},
    {"{\"__metadata__\":{},\"a\":" T("U8", "[1]", "[0,1]") "}", 1, NULL},
    {"{\"\\u00e9\\ud83d\\ude00\\n\":" T("U8", "[1]", "[0,1]") "}", 1, NULL},
    {" { \"a\" : { \"shape\" : [ 1 , 2 ] , \"data_offsets\" : [ 0 , 2 ] , \"dtype\" : \"U8\" } } ", 2, NULL},
    /* JSON */
    {"", 0, "expected '{', found the end"},
    {"[]", 0, "expected '{', found '['"},
    {"{", 0, "expected a string"},
    {"{\"a", 0, "expected '\"'"},
    {"{} x", 0, "expected nothing after the closing '}', found 'x'"},
    {"{\"a\":" T("F32", "[2]", "[0,8]") ",}", 8, "expected a string"},
    {"{\"a\" 1}", 0, "expected ':'"},
    {"{\"\xff\":1}", 0, "expected UTF-8, found byte 0xff"},
    {"{\"\xed\xa0\x80\":1}", 0, "expected UTF-8"},
    {"{\"a\tb\":1}", 0, "control character"},
    {"{\"\\q\":1}", 0, "expected an escape"},
    {"{\"\\u12g4\":1}", 0, "four hexadecimal digits"},
    {"{\"\\u0000\":1}", 0, "other than NUL"},
    {"{\"\\ud800\":1}", 0, "half a pair"},
    {"{\"\\ud800\\u0041\":1}", 0, "half a pair"},
    {"{\"a\":1}", 0, "expected '{', found '1'"},
    {"{\"__metadata__\":{\"k\":1}}", 0, "expected a string"},
    {"{\"__metadata__\":[]}", 0, "expected '{'"},
    /* duplicates */
    {"{\"a\":" T("U8", "[1]", "[0,1]") ",\"a\":" T("U8", "[1]", "[1,2]") "}", 2, "tensor 'a' appears twice"},
    {"{\"a\":" T("U8", "[1]", "[0,1]") ",\"\\u0061\":" T("U8", "[1]", "[1,2]") "}", 2, "'a' appears twice"},
    {"{\"__metadata__\":{},\"__metadata__\":{}}", 0, "'__metadata__' appears twice"},
    {"{\"__metadata__\":{\"k\":\"1\",\"k\":\"2\"}}", 0, "metadata key 'k' appears twice"},
    {"{\"a\":{\"dtype\":\"U8\",\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1]}}", 1,
     "'dtype' appears twice"},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[],\"shape\":[],\"data_offsets\":[0,1]}}", 1,
     "'shape' appears twice"},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1],\"data_offsets\":[0,1]}}", 1,
     "appears twice"},
    /* a tensor's keys */
    {"{\"a\":{\"shape\":[],\"data_offsets\":[0,1]}}", 1, "'dtype' is missing"},
    {"{\"a\":{\"dtype\":\"U8\",\"data_offsets\":[0,1]}}", 1, "'shape' is missing"},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[]}}", 1, "'data_offsets' is missing"},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0]}}", 1,
     "'data_offsets' is missing or incomplete"},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1,2]}}", 1, "more than the 2"},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,1]}}", 1, "more than the 8"},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1],\"x\":1}}", 1, "unknown key 'x'"},
    {"{\"a\":" T("F33", "[]", "[0,1]") "}", 1, "unknown dtype 'F33'"},
    {"{\"a\":{\"dtype\":8,\"shape\":[],\"data_offsets\":[0,1]}}", 1, "expected a string"},
    /* integers */
    {"{\"a\":" T("U8", "[-1]", "[0,1]") "}", 1, "non-negative integer, found '-'"},
    {"{\"a\":" T("U8", "[1.0]", "[0,1]") "}", 1, "non-negative integer, found '.'"},
    {"{\"a\":" T("U8", "[1e0]", "[0,1]") "}", 1, "non-negative integer, found 'e'"},
    {"{\"a\":" T("U8", "[01]", "[0,1]") "}", 1, "non-negative integer"},
    {"{\"a\":" T("U8", "[\"1\"]", "[0,1]") "}", 1, "non-negative integer"},
    {"{\"a\":" T("U8", "[1,]", "[0,1]") "}", 1, "non-negative integer, found ']'"},
    {"{\"a\":" T("U8", "[1 1]", "[0,1]") "}", 1, "expected ',' or ']'"},
    {"{\"a\":" T("U8", "[9223372036854775808]", "[0,1]") "}", 1, "below 2^63"},
    {"{\"a\":" T("U8", "[99999999999999999999999]", "[0,1]") "}", 1, "below 2^63"},
    /* sizes */
    {"{\"a\":" T("U8", "[4294967296,4294967296]", "[0,0]") "}", 0, "overflows"},
    {"{\"a\":" T("F32", "[4611686018427387904]", "[0,0]") "}", 0, "overflows"},
    {"{\"a\":" T("F4", "[3]", "[0,1]") "}", 1, "do not fill whole bytes"},
    {"{\"a\":" T("F32", "[2]", "[0,7]") "}", 7, "do not span the 8 bytes"},
    {"{\"a\":" T("F32", "[2]", "[8,0]") "}", 8, "do not span"},
    {"{\"a\":" T("F32", "[2]", "[0,9007199254740993]") "}", 8, "[0, 9007199254740993] do not span"},
    /* layout */
    {"{\"a\":" T("U8", "[1]", "[1,2]") "}", 2, "begins at 1, expected 0 (a hole"},
    {"{\"a\":" T("U8", "[2]", "[0,2]") ",\"b\":" T("U8", "[2]", "[1,3]") "}", 3,
     "expected 2 (tensors overlap)"},
    {"{\"a\":" T("U8", "[2]", "[0,2]") ",\"b\":" T("U8", "[2]", "[0,2]") "}", 2, "overlap"},
    {"{\"a\":" T("U8", "[1]", "[0,1]") ",\"b\":" T("U8", "[1]", "[2,3]") "}", 3, "a hole before it"},
    {"{\"a\":" T("U8", "[2]", "[0,2]") "}", 1, "cut short"},
    {"{\"a\":" T("U8", "[2]", "[0,2]") "}", 3, "followed by foreign bytes"},
    {"{}", 1, "followed by foreign bytes"},
};

static void test_rules(void **state) {
    (void)state;
    MemFile m = mem_file();
    for (int i = 0; i < COUNT_OF(rules); i++) {
        SafeTensors st;
        put_file(&m, rules[i].header, strlen(rules[i].header), rules[i].data);
        Status s = safetensors_open(&st, m.path);
        if (rules[i].message) {
            if (status_code(s) != E_INPUT || !strstr(status_message(s), rules[i].message) ||
                !strstr(status_message(s), m.path))
                fail_msg("%s: code %d: %s", rules[i].header, (int)status_code(s), status_message(s));
        } else if (!status_is_ok(s)) {
            fail_msg("%s: %s", rules[i].header, status_message(s));
        }
        if (status_is_ok(s)) safetensors_close(&st);
        status_free(s);
    }
    SafeTensors st;
    mem_set(&m, "1234567", 7);
    assert_fails(safetensors_open(&st, m.path), E_INPUT, "7 bytes, a safetensors file has at least 8");
    mem_set(&m, "", 0);
    assert_fails(safetensors_open(&st, m.path), E_INPUT, "0 bytes");
    mem_set(&m, "\x01\xe1\xf5\x05\0\0\0\0{}", 10);
    assert_fails(safetensors_open(&st, m.path), E_INPUT, "header of 100000001 bytes, at most 100000000");
    mem_set(&m, "\xff\xff\xff\xff\xff\xff\xff\xff{}", 10);
    assert_fails(safetensors_open(&st, m.path), E_INPUT, "at most 100000000");
    mem_set(&m, "\x03\0\0\0\0\0\0\0{}", 10);
    assert_fails(safetensors_open(&st, m.path), E_INPUT, "header of 3 bytes in a file of 10");
    static char deep[100000];
    memset(deep, '[', sizeof deep);
    memcpy(deep, "{\"a\":{\"shape\":", 14);
    put_file(&m, deep, sizeof deep, 0);
    assert_fails(safetensors_open(&st, m.path), E_INPUT, "non-negative integer, found '['");
    put_file(&m, "{\"a\0b\":1}", 9, 0);
    assert_fails(safetensors_open(&st, m.path), E_INPUT, "control character");
    assert_fails(safetensors_open(&st, "/nonexistent/x"), E_INPUT, "no such file");
    close(m.fd);
}

static void test_opaque_and_unaligned(void **state) {
    (void)state;
    static const char header[] = "{\"a\":" T("U8", "[1]", "[0,1]") ",\"b\":" T(
        "F64", "[2]", "[1,17]") ",\"c\":" T("I8", "[2]", "[17,19]") "}";
    size_t n = sizeof header - 1;
    double values[2] = {0.1, -7};
    uint8_t *bytes = calloc(1, 8 + n + 19);
    bytes[0] = (uint8_t)n;
    memcpy(bytes + 8, header, n);
    memcpy(bytes + 8 + n + 1, values, sizeof values);
    MemFile m = mem_file();
    mem_set(&m, bytes, 8 + n + 19);
    free(bytes);
    SafeTensors st;
    Tensor t;
    int64_t two = 2;
    assert_ok(safetensors_open(&st, m.path));
    assert_ok(safetensors_get(&t, &st, "b", 1, &two));
    assert_int_equal((uintptr_t)t.data % sizeof(double), 0);
    assert_memory_equal(t.data, values, sizeof values);
    assert_fails(safetensors_get(&t, &st, "c", 1, &two), E_INPUT, "dtype I8 is not supported");
    safetensors_close(&st);
    close(m.fd);
}

/* ---- shards ---- */

static void write_shard(const TestDir *dir, const char *name, const char *tensor, float value) {
    SafeEntry e = {tensor, tensor_1d(&value, DT_F32, 1)};
    assert_ok(safetensors_write(dir_file(dir, name).s, &e, 1, NULL, 0));
}

static void test_shards(void **state) {
    (void)state;
    TestDir dir = dir_make();
    TestPath index = dir_file(&dir, "model.safetensors.index.json");
    SafeTensors st;
    assert_fails(safetensors_open_model(&st, dir.path), E_INPUT, "neither model.safetensors nor");
    write_shard(&dir, "one", "a", 1);
    write_shard(&dir, "two", "b", 2);
    write_text(index.s, "{\"metadata\":{},\"weight_map\":{\"b\":\"two\",\"a\":\"one\"}}");
    assert_ok(safetensors_open_model(&st, dir.path));
    assert_int_equal(st.n, 2);
    assert_true(*(const float *)(const void *)safetensors_find(&st, "b")->data == 2);
    safetensors_close(&st);
    write_text(index.s, "{\"metadata\":{\"total_size\":8},\"weight_map\":{\"b\":\"two\",\"a\":\"one\"}}");
    assert_ok(safetensors_open_model(&st, dir.path));
    safetensors_close(&st);
    static const char *const bad[][2] = {
        {"{\"metadata\":{\"total_size\":9},\"weight_map\":{\"b\":\"two\",\"a\":\"one\"}}",
         "total_size is 9, the shards hold 8 bytes"},
        {"{\"metadata\":{\"total_size\":\"8\"},\"weight_map\":{\"b\":\"two\",\"a\":\"one\"}}",
         "expected a number, found a string"},
        {"{\"metadata\":{\"total_size\":-1},\"weight_map\":{\"b\":\"two\",\"a\":\"one\"}}", "found -1"},
        {"{}", "key 'weight_map' is missing"},
        {"{\"weight_map\":{}}", "'weight_map' is empty"},
        {"{\"weight_map\":{\"a\":3}}", "weight_map['a']: expected a file name, found a number"},
        {"{\"weight_map\":{\"a\":\"../one\"}}", "'../one' is not a plain file name"},
        {"{\"weight_map\":{\"a\":\"..\"}}", "not a plain file name"},
        {"{\"weight_map\":{\"a\":\"\"}}", "not a plain file name"},
        {"{\"weight_map\":{\"a\":\"three\"}}", "three: no such file"},
        {"{\"weight_map\":{\"a\":\"one\",\"b\":\"one\"}}", "tensor 'b' is not in one"},
        {"{\"weight_map\":{\"a\":\"two\",\"b\":\"one\"}}", "as the index says"},
        {"{\"weight_map\":{\"a\":\"one\",\"a\":\"one\"}}", "appears twice"},
        {"{\"weight_map\":", "not valid JSON"},
    };
    for (int i = 0; i < COUNT_OF(bad); i++) {
        write_text(index.s, bad[i][0]);
        assert_fails(safetensors_open_model(&st, dir.path), E_INPUT, bad[i][1]);
    }
    float value = 1;
    const SafeEntry pair[] = {{"a", tensor_1d(&value, DT_F32, 1)}, {"b", tensor_1d(&value, DT_F32, 1)}};
    assert_ok(safetensors_write(dir_file(&dir, "pair").s, pair, 2, NULL, 0));
    write_text(index.s, "{\"weight_map\":{\"a\":\"pair\"}}");
    assert_fails(safetensors_open_model(&st, dir.path), E_INPUT,
                 "weight_map names 1 tensors, the shards hold 2");
    write_shard(&dir, "two", "a", 2);
    write_text(index.s, "{\"weight_map\":{\"a\":\"two\",\"b\":\"one\"}}");
    assert_fails(safetensors_open_model(&st, dir.path), E_INPUT, "tensor 'a' appears twice");
    write_shard(&dir, "model.safetensors", "z", 3);
    assert_ok(safetensors_open_model(&st, dir.path));
    assert_non_null(safetensors_find(&st, "z"));
    safetensors_close(&st);
    dir_remove(&dir);
}

/* ---- damage ---- */

/* Whatever opens can be read in full. */
static double touch(const SafeTensors *st) {
    double sum = 0;
    for (int64_t i = 0; i < st->n; i++) {
        for (size_t k = 0; k < st->tensors[i].bytes; k++) sum += st->tensors[i].data[k];
        sum += (double)strlen(st->tensors[i].name);
    }
    return sum;
}

static void try_bytes(const MemFile *m, const uint8_t *bytes, size_t n) {
    SafeTensors st;
    mem_set(m, bytes, n);
    Status s = safetensors_open(&st, m->path);
    if (status_is_ok(s)) {
        assert_true(touch(&st) >= 0);
        safetensors_close(&st);
    } else {
        assert_int_equal(status_code(s), E_INPUT);
        assert_int_equal(st.n, 0);
    }
    status_free(s);
}

static void test_damage(void **state) {
    (void)state;
    FileMap map;
    assert_ok(file_map(&map, golden("gguf_types.safetensors").s));
    MemFile m = mem_file();
    uint8_t *copy = test_alloc(map.size + 8);
    size_t header = 8 + map.data[0] + 256u * map.data[1];
    for (size_t n = 0; n < map.size; n += n < header + 8 ? 1 : 509) try_bytes(&m, map.data, n);
    Rng rng = rng_make(1, 0);
    for (int i = 0; i < 20000; i++) try_bytes(&m, copy, damage(copy, map.data, map.size, header, &rng));
    free(copy);
    close(m.fd);
    file_unmap(&map);
}

/* A damaged index opens, or is refused; nothing else. */
static void test_damaged_index(void **state) {
    (void)state;
    static const char text[] =
        "{\"metadata\":{\"total_size\":8},\"weight_map\":{\"b\":\"two\",\"a\":\"one\"}}";
    TestDir dir = dir_make();
    TestPath index = dir_file(&dir, "model.safetensors.index.json");
    uint8_t copy[sizeof text + 8];
    Rng rng = rng_make(4, 0);
    int opened = 0;
    write_shard(&dir, "one", "a", 1);
    write_shard(&dir, "two", "b", 2);
    for (int i = 0; i < 3000; i++) {
        SafeTensors st;
        size_t n = damage(copy, (const uint8_t *)text, sizeof text - 1, sizeof text - 1, &rng);
        FILE *f = fopen(index.s, "wb"); /* not flushed to disk each time */
        assert_true(f && fwrite(copy, 1, n, f) == n && fclose(f) == 0);
        Status s = safetensors_open_model(&st, dir.path);
        if (!status_is_ok(s) && status_code(s) != E_INPUT) fail_msg("%s", status_message(s));
        if (status_is_ok(s)) safetensors_close(&st);
        opened += status_is_ok(s);
        status_free(s);
    }
    assert_true(opened < 1500);
    dir_remove(&dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reference_bytes), cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_rules),           cmocka_unit_test(test_opaque_and_unaligned),
        cmocka_unit_test(test_shards),          cmocka_unit_test(test_damaged_index),
        cmocka_unit_test(test_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
