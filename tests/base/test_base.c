/* base/: errors, memory, random numbers, strict JSON, files. */
#include "tests/test_util.h"
#include "base/arena.h"
#include "base/json.h"

#include <sys/stat.h>
#include <unistd.h>

static void test_status(void **state) {
    (void)state;
    Status s = status_wrap(status_error(E_INPUT, "key '%s': bad", "x"), "file %d", 7);
    assert_int_equal(status_code(s), E_INPUT);
    assert_string_equal(status_message(s), "file 7: key 'x': bad");
    status_free(s);
    assert_true(status_is_ok(status_wrap(OK, "nothing")));
    assert_string_equal(status_message(OK), "");
}

static void test_arena(void **state) {
    (void)state;
    Arena a = arena_measure("test");
    assert_null(arena_alloc(&a, 3));
    assert_null(arena_alloc(&a, 100));
    assert_ok(arena_commit(&a));
    char *p = arena_alloc(&a, 3), *q = arena_alloc(&a, 100);
    assert_int_equal((uintptr_t)p % 64, 0);
    assert_int_equal(q - p, 64);
    for (int i = 0; i < 100; i++) assert_int_equal(q[i], 0);
    size_t mark = arena_mark(&a);
    arena_release(&a, 0);
    assert_ptr_equal(arena_alloc(&a, 1), p);
    assert_true(mark > arena_mark(&a));
    arena_free(&a);
    assert_fails(arena_init(&a, "huge", (size_t)1 << 60), E_ENV, "huge");
}

/* Known answers of Philox4x32-10: Random123's kat_vectors. */
static void test_philox(void **state) {
    (void)state;
    Philox4 zero = philox(0, 0, 0), ones = philox(UINT64_MAX, UINT64_MAX, UINT64_MAX);
    const uint32_t want_zero[] = {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8};
    const uint32_t want_ones[] = {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd};
    const uint32_t want_pi[] = {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1};
    Philox4 pi = philox(0x299f31d0a4093822u, 0x0370734413198a2eu, 0x85a308d3243f6a88u);
    assert_memory_equal(zero.v, want_zero, sizeof want_zero);
    assert_memory_equal(ones.v, want_ones, sizeof want_ones);
    assert_memory_equal(pi.v, want_pi, sizeof want_pi);
}

static void test_rng(void **state) {
    (void)state;
    enum { N = 60000, SIDES = 6 };
    Rng r = rng_make(1, 2);
    int count[SIDES] = {0};
    double sum = 0;
    for (int i = 0; i < N; i++) {
        count[rng_below(&r, SIDES)]++;
        float f = rng_float(&r);
        assert_true(f >= 0.0f && f < 1.0f);
        sum += (double)f;
    }
    double chi = 0, want = (double)N / SIDES;
    for (int i = 0; i < SIDES; i++) chi += (count[i] - want) * (count[i] - want) / want;
    assert_true(chi < 20.5); /* 0.1 % of chi-squared with 5 degrees of freedom */
    assert_true(fabs(sum / N - 0.5) < 4 * sqrt(1.0 / 12 / N)); /* four standard errors */
    Rng again = rng_make(1, 2);
    again.next = r.next;
    assert_int_equal(rng_u32(&again), rng_u32(&r));
}

static void test_bf16_f16(void **state) {
    (void)state;
    assert_int_equal(float_to_bf16(1.0f), 0x3f80);
    assert_int_equal(float_to_bf16(1.00390625f), 0x3f80); /* halfway, to even */
    assert_int_equal(float_to_bf16(1.01171875f), 0x3f82);
    assert_true(isnan(bf16_to_float(float_to_bf16(NAN))));
    assert_true(isinf(bf16_to_float(float_to_bf16(FLT_MAX))));
    assert_true(f16_to_float(0x3c00) == 1.0f && f16_to_float(0xc000) == -2.0f &&
                f16_to_float(0x7bff) == 65504.0f);
    assert_true(f16_to_float(0x0001) == 0x1p-24f && f16_to_float(0x03ff) == 0x1.ff8p-15f);
    assert_true(isinf(f16_to_float(0x7c00)) && isnan(f16_to_float(0x7e00)));
}

static Status parse(const char *text, size_t n) {
    cJSON *j = NULL;
    Status s = json_parse(&j, text, n, "t.json");
    cJSON_Delete(j);
    return s;
}

static void test_json(void **state) {
    (void)state;
    static const struct {
        const char *text, *message;
    } bad[] = {
        {"", "not valid JSON"},
        {"{\"a\":1,}", "not valid JSON"},
        {"{\"a\":1} x", "unexpected text"},
        {"{\"a\":{\"b\":1,\"c\":2,\"b\":3}}", "'b' appears twice"},
        {"{\"a\":\"\\u0000\"}", "\\u0000"},
        {"{\n\"a\": tru\n}", "line 2"},
        {"[1, \"abc", "not valid JSON"},
    };
    for (int i = 0; i < COUNT_OF(bad); i++)
        assert_fails(parse(bad[i].text, strlen(bad[i].text)), E_INPUT, bad[i].message);
    assert_fails(parse("[1,\0 2]", 7), E_INPUT, "NUL");
    enum { DEPTH = 100000 }; /* of every reader: all parse with this one, safetensors has none that nests */
    static char deep[2 * DEPTH];
    memset(deep, '[', DEPTH);
    memset(deep + DEPTH, ']', DEPTH);
    assert_fails(parse(deep, sizeof deep), E_INPUT, "nested deeper than 64");
    assert_fails(parse(deep, DEPTH), E_INPUT, "nested deeper than 64");
    static const char good[] = " {\"a\": [1, {\"b\": \"\\\"[\"}]}\n";
    assert_ok(parse(good, sizeof good - 1));
    cJSON *j;
    int64_t n;
    const char *s;
    assert_ok(json_parse(&j, "{\"n\":1.5,\"s\":3}", 15, "t.json"));
    assert_fails(json_get_int(&n, j, "n", 0, 9, "t.json"), E_INPUT, "'n'");
    assert_fails(json_get_string(&s, j, "s", "t.json"), E_INPUT, "expected a string, found a number");
    assert_fails(json_get_string(&s, j, "gone", "t.json"), E_INPUT, "'gone' is missing");
    cJSON_Delete(j);
}

static void test_files(void **state) {
    (void)state;
    char dir[] = "/tmp/t2l-test-XXXXXX", *text, digest[65];
    size_t n;
    assert_non_null(mkdtemp(dir));
    char *deep = path_join(dir, "a/b/c"), *file = path_join(deep, "f");
    assert_ok(file_mkdirs(deep));
    assert_ok(file_mkdirs(deep));
    assert_ok(file_write_atomic(file, "abc", 3));
    assert_ok(file_read(&text, &n, file, 100));
    assert_true(n == 3 && strcmp(text, "abc") == 0);
    free(text);
    assert_fails(file_read(&text, &n, file, 2), E_INPUT, "at most 2");
    assert_ok(sha256_file(digest, file));
    assert_string_equal(digest, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_fails(file_read(&text, &n, deep, 100), E_INPUT, "not a regular file");
    assert_fails(file_read(&text, &n, "/no/such", 100), E_INPUT, "no such file");
    assert_fails(file_mkdirs(file), E_ENV, "not a directory");
    char *inside = path_join(file, "x");
    assert_fails(file_write_atomic(inside, "y", 1), E_ENV, "cannot create");
    FileMap m;
    assert_ok(file_write_atomic(file, "", 0));
    assert_ok(file_map(&m, file));
    assert_true(m.size == 0 && !m.data);
    assert_ok(file_remove_tree(dir));
    assert_false(file_exists(dir));
    assert_ok(file_remove_tree(dir));
    free(inside);
    free(deep);
    free(file);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_status),   cmocka_unit_test(test_arena), cmocka_unit_test(test_philox),
        cmocka_unit_test(test_rng),      cmocka_unit_test(test_json),  cmocka_unit_test(test_files),
        cmocka_unit_test(test_bf16_f16),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
