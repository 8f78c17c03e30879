/* libFuzzer entry: the input is a safetensors file.
 *   clang -g -O1 -fsanitize=fuzzer,address,undefined -D_GNU_SOURCE -I. tests/data/fuzz_safetensors.c \
 *     data/safetensors.c base/{file,json,status,tensor}.c -lcjson -lcrypto -lutf8proc -lm -o fuzz
 *   ./fuzz -max_len=2000 tests/data/corpus_safetensors */
#include "data/safetensors.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void use(const SafeTensors *st) {
    for (int64_t i = 0; i < st->n; i++) {
        const SafeTensor *t = &st->tensors[i];
        volatile uint8_t sink = 0;
        for (size_t k = 0; k < t->bytes; k++) sink ^= t->data[k];
        (void)sink;
        CHECK(safetensors_find(st, t->name) == t, "'%s' is not found", t->name);
        float *values = malloc(t->bytes * 2 + 4);
        status_free(safetensors_read_f32(values, t));
        free(values);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    char path[64];
    SafeTensors st;
    int fd = memfd_create("fuzz", 0);
    CHECK(fd >= 0 && write(fd, data, n) == (ssize_t)n, "no memory file");
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    Status s = safetensors_open(&st, path);
    if (status_is_ok(s)) {
        use(&st);
        safetensors_close(&st);
    }
    status_free(s);
    close(fd);
    return 0;
}
