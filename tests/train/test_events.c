/* Event files: CRC-32C against published values, and every record read back by a reader of the test's own
 * (tests/golden/events_check.py reads a run's files with the tensorboard package). */
#include "tests/test_util.h"
#include "train/events.h"

#include <glob.h>

static void test_crc(void **state) {
    (void)state;
    uint8_t zero[32] = {0}, ones[32], up[32]; /* RFC 3720, B.4 */
    for (int i = 0; i < 32; i++) {
        ones[i] = 0xff;
        up[i] = (uint8_t)i;
    }
    assert_int_equal(events_crc32c("123456789", 9), 0xE3069283u);
    assert_int_equal(events_crc32c(zero, 32), 0x8A9136AAu);
    assert_int_equal(events_crc32c(ones, 32), 0x62A8AB43u);
    assert_int_equal(events_crc32c(up, 32), 0x46DD794Eu);
    assert_int_equal(events_crc32c("", 0), 0);
}

static uint64_t le(const uint8_t *p, int n) {
    uint64_t v = 0;
    for (int i = n; i-- > 0;) v = v << 8 | p[i];
    return v;
}

static void check_crc(const uint8_t *data, size_t n, const uint8_t *stored) {
    uint32_t c = events_crc32c(data, n);
    assert_int_equal((uint32_t)le(stored, 4), (uint32_t)((c >> 15 | c << 17) + 0xa282ead8u));
}

/* The payload of the record at *at. */
static const uint8_t *next_record(const uint8_t *file, size_t size, size_t *at, size_t *n) {
    assert_true(*at + 16 <= size);
    *n = (size_t)le(file + *at, 8);
    check_crc(file + *at, 8, file + *at + 8);
    const uint8_t *data = file + *at + 12;
    assert_true(*at + 16 + *n <= size);
    check_crc(data, *n, data + *n);
    *at += 16 + *n;
    return data;
}

static void test_file(void **state) {
    (void)state;
    char dir[] = "/tmp/t2l-test-XXXXXX", pattern[64], *text;
    size_t size, at = 0, n;
    assert_non_null(mkdtemp(dir));
    Events e;
    assert_ok(events_open(&e, dir, 0));
    assert_ok(events_scalar(&e, 300, "train/loss", 1.5));
    assert_ok(events_close(&e));
    snprintf(pattern, sizeof pattern, "%s/events.out.tfevents.*", dir);
    glob_t g;
    assert_int_equal(glob(pattern, 0, NULL, &g), 0);
    assert_int_equal(g.gl_pathc, 1);
    assert_ok(file_read(&text, &size, g.gl_pathv[0], 4096));
    const uint8_t *file = (const uint8_t *)text, *r = next_record(file, size, &at, &n);
    assert_memory_equal(r + 9,
                        "\x10\x00\x1a\x0d"
                        "brain.Event:2",
                        17); /* step 0, file_version */
    r = next_record(file, size, &at, &n);
    assert_memory_equal(r + 9, "\x10\x01\x3a\x02\x08\x01", 6); /* step 1, session_log {status START} */
    r = next_record(file, size, &at, &n);
    assert_int_equal(r[0], 0x09); /* wall_time */
    assert_memory_equal(r + 9, "\x10\xac\x02\x2a\x13\x0a\x11\x0a\x0atrain/loss\x15\x00\x00\xc0\x3f", 24);
    assert_int_equal(n, 9 + 24);
    assert_int_equal(at, size);
    globfree(&g);
    free(text);
    assert_ok(file_remove_tree(dir));
}

static void test_no_place(void **state) {
    (void)state;
    Events e;
    assert_fails(events_open(&e, "/no/such/folder", 0), E_ENV, "/no/such/folder");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crc),
        cmocka_unit_test(test_file),
        cmocka_unit_test(test_no_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
