/* What the libFuzzer entries share: inputs as files and folders in memory. An entry may end in any way but a
 * crash, a leak, a failed CHECK or an unreasonable allocation. With the preset `fuzz` (clang) each is a
 * program: cmake --preset fuzz && cmake --build build-fuzz --target fuzz_gguf build-fuzz/fuzz_gguf
 * -max_len=4096 NEW_DIR tests/fuzz/corpus/gguf In every build tests/fuzz/replay.c runs it over its corpus as
 * a test; what a fuzzer finds goes there. */
#ifndef T2L_TESTS_FUZZ_H
#define T2L_TESTS_FUZZ_H

#include "base/file.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

typedef struct FuzzFile {
    int fd;
    char path[64];
} FuzzFile;

static inline FuzzFile fuzz_open(const uint8_t *data, size_t n) {
    FuzzFile f = {.fd = memfd_create("fuzz", MFD_CLOEXEC)};
    CHECK(f.fd >= 0 && write(f.fd, data, n) == (ssize_t)n, "no memory file");
    snprintf(f.path, sizeof f.path, "/proc/self/fd/%d", f.fd);
    return f;
}

/* A folder of an input's parts. */
typedef struct FuzzDir {
    char path[64];
} FuzzDir;

static inline FuzzDir fuzz_dir_open(void) {
    FuzzDir d;
    snprintf(d.path, sizeof d.path, "%s/t2l-fuzz-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    CHECK(mkdtemp(d.path), "no directory");
    return d;
}

static inline void fuzz_dir_put(const FuzzDir *d, const char *name, const void *data, size_t n) {
    char path[128];
    snprintf(path, sizeof path, "%s/%s", d->path, name);
    int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
    CHECK(fd >= 0 && write(fd, data, n) == (ssize_t)n, "cannot write %s", path);
    close(fd);
}

static inline void fuzz_dir_close(const FuzzDir *d) {
    Status s = file_remove_tree(d->path);
    CHECK(status_is_ok(s), "%s", status_message(s));
}

/* A refusal is one of a file: E_INPUT, with a message. */
static inline void fuzz_refused(Status s) {
    CHECK(status_code(s) == E_INPUT && *status_message(s), "code %d: %s", (int)status_code(s),
          status_message(s));
    status_free(s);
}

/* Where the first 0x1e stands: inputs of two files are divided there. n: nowhere. */
static inline size_t fuzz_divide(const uint8_t *data, size_t n) {
    const uint8_t *at = n ? memchr(data, 0x1e, n) : NULL;
    return at ? (size_t)(at - data) : n;
}

#endif
