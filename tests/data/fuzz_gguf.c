/* libFuzzer entry: the input is a GGUF file; whatever opens is read through every getter.
 *   clang -g -O1 -fsanitize=fuzzer,address,undefined -D_GNU_SOURCE -I. tests/data/fuzz_gguf.c data/gguf.c \
 *     base/{file,status,tensor}.c -lcrypto -lm -o fuzz
 *   ./fuzz -max_len=2000 tests/data/corpus_gguf */
#include "data/gguf.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void use_value(const Gguf *g, const char *key) {
    int64_t i, n;
    double d;
    bool b;
    GgufString s, *strings;
    int32_t *ints;
    float *floats;
    status_free(gguf_get_int(&i, g, key, -100, 100));
    status_free(gguf_get_float(&d, g, key));
    status_free(gguf_get_bool_or(&b, g, key, false));
    status_free(gguf_get_string(&s, g, key));
    status_free(gguf_get_strings(&strings, &n, g, key));
    volatile char sink = 0;
    for (int64_t k = 0; k < n; k++)
        for (size_t j = 0; j < strings[k].n; j++) sink ^= strings[k].s[j];
    (void)sink;
    status_free(gguf_get_ints(&ints, &n, g, key));
    status_free(gguf_get_floats(&floats, &n, g, key));
    free(strings);
    free(ints);
    free(floats);
}

static void use(const Gguf *g) {
    for (int64_t i = 0; i < g->n_kv; i++) {
        char *key = strndup(g->kv[i].key.s, g->kv[i].key.n);
        CHECK(gguf_find(g, key) == &g->kv[i], "'%s' is not found", key);
        use_value(g, key);
        free(key);
    }
    for (int64_t i = 0; i < g->n_tensors; i++) {
        const GgufTensor *t = &g->tensors[i];
        volatile uint8_t sink = 0;
        for (size_t k = 0; k < t->bytes; k++) sink ^= t->data[k];
        (void)sink;
        CHECK(gguf_tensor(g, t->name) == t, "'%s' is not found", t->name);
        if (t->rows == 0 || t->bytes == 0) continue;
        float *row = malloc((size_t)t->ne[0] * sizeof *row);
        status_free(gguf_dequant(row, t, t->rows - 1, 1));
        free(row);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    char path[64];
    Gguf g;
    int fd = memfd_create("fuzz", 0);
    CHECK(fd >= 0 && write(fd, data, n) == (ssize_t)n, "no memory file");
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    Status s = gguf_open(&g, path);
    if (status_is_ok(s)) {
        use(&g);
        gguf_close(&g);
    }
    status_free(s);
    close(fd);
    return 0;
}
