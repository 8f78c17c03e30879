/* The input is a GGUF file; whatever opens is read through every getter, every row converted, and its
 * tokenizer made. */
#include "tests/fuzz/fuzz.h"

#include "data/gguf.h"

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
        if (t->bytes == 0) continue;
        float *rows = malloc((size_t)(t->rows * t->ne[0]) * sizeof *rows);
        CHECK(rows, "%lld rows of %lld", (long long)t->rows, (long long)t->ne[0]);
        status_free(gguf_dequant(rows, t, 0, t->rows));
        free(rows);
    }
}

static void use_tokenizer(const Gguf *g) {
    Tokenizer *t;
    TokenBuf ids = {0};
    Status s = gguf_tokenizer(&t, g);
    if (!status_is_ok(s)) {
        fuzz_refused(s);
        return;
    }
    s = tokenizer_encode(t, &ids, "a b 12 \xc3\xa9", 9, (TokenizerOpts){true});
    CHECK(status_is_ok(s), "%s", status_message(s));
    tokenizer_buf_free(&ids);
    tokenizer_free(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    FuzzFile f = fuzz_open(data, n);
    Gguf g;
    Status s = gguf_open(&g, f.path);
    if (status_is_ok(s)) {
        use(&g);
        use_tokenizer(&g);
        gguf_close(&g);
    } else {
        fuzz_refused(s);
    }
    close(f.fd);
    return 0;
}
