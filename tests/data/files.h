/* Files for the tests of readers: a directory that goes away, files from bytes, and damage in many forms. */
#ifndef T2L_TESTS_DATA_FILES_H
#define T2L_TESTS_DATA_FILES_H

#include "tests/test_util.h"

#include <sys/mman.h>
#include <sys/statvfs.h>
#include <unistd.h>

typedef struct TestDir {
    char path[128];
} TestDir;

TEST_FN TestDir dir_make(void) {
    TestDir d;
    const char *tmp = getenv("TMPDIR");
    struct statvfs
        fs; /* memory where there is plenty: flushing to disk is what these tests spend their time on */
    bool memory = statvfs("/dev/shm", &fs) == 0 && (uint64_t)fs.f_bavail * fs.f_frsize > UINT64_C(2) << 30;
    if (!tmp || !*tmp) tmp = memory && access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(d.path, sizeof d.path, "%.90s/t2l-test-XXXXXX", tmp);
    if (!mkdtemp(d.path)) fail_msg("cannot make %s", d.path);
    return d;
}

TEST_FN void dir_remove(TestDir *d) {
    assert_ok(file_remove_tree(d->path));
}

typedef struct TestPath {
    char s[256];
} TestPath;

TEST_FN TestPath dir_file(const TestDir *d, const char *name) {
    TestPath p;
    snprintf(p.s, sizeof p.s, "%s/%s", d->path, name);
    return p;
}

TEST_FN TestPath golden(const char *name) {
    TestPath p;
    snprintf(p.s, sizeof p.s, "%s/tests/golden/%s", TEST_ROOT, name);
    return p;
}

TEST_FN void write_text(const char *path, const char *text) {
    assert_ok(file_write_atomic(path, text, strlen(text)));
}

/* A file that lives in memory: its path can be opened like any other. */
typedef struct MemFile {
    int fd;
    char path[64];
} MemFile;

TEST_FN MemFile mem_file(void) {
    MemFile m;
    m.fd = memfd_create("t2l-test", MFD_CLOEXEC);
    if (m.fd < 0) fail_msg("memfd_create failed");
    snprintf(m.path, sizeof m.path, "/proc/self/fd/%d", m.fd);
    return m;
}

TEST_FN void mem_set(const MemFile *m, const void *data, size_t n) {
    if (ftruncate(m->fd, 0) != 0 || pwrite(m->fd, data, n, 0) != (ssize_t)n)
        fail_msg("cannot write memory file");
}

/* Damages a copy of data[n] in `out` (room for n + 8) in one of several ways; returns its length. Only the
 * first `head` bytes, where the structure is, are hit, but truncation may be anywhere. */
TEST_FN size_t damage(uint8_t *out, const uint8_t *data, size_t n, size_t head, Rng *rng) {
    memcpy(out, data, n);
    uint32_t at = rng_below(rng, (uint32_t)head), kind = rng_below(rng, 6);
    switch (kind) {
    case 0:
        out[at] ^= (uint8_t)(1u << rng_below(rng, 8));
        return n;
    case 1:
        out[at] = (uint8_t)rng_u32(rng);
        return n;
    case 2:
        return rng_below(rng, (uint32_t)n); /* cut */
    case 3:
        memset(out + n, 0, 8);
        return n + 8; /* longer */
    case 4:           /* a byte lost */
        memmove(out + at, out + at + 1, n - at - 1);
        return n - 1;
    default: /* several bytes, often the small, large and telling ones */
        for (uint32_t i = 0, k = 1 + rng_below(rng, 8); i < k && at + i < n; i++) {
            static const uint8_t telling[] = {0,   1,   0x7f, 0x80, 0xff, '"', '{',
                                              '}', '[', ']',  ',',  ':',  '9', '\\'};
            out[at + i] = telling[rng_below(rng, sizeof telling)];
        }
        return n;
    }
}

#endif
