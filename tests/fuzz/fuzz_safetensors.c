/* The input is a safetensors file; whatever opens is read in full. */
#include "tests/fuzz/fuzz.h"

#include "data/safetensors.h"

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
    FuzzFile f = fuzz_open(data, n);
    SafeTensors st;
    Status s = safetensors_open(&st, f.path);
    if (status_is_ok(s)) {
        use(&st);
        safetensors_close(&st);
    } else {
        fuzz_refused(s);
    }
    close(f.fd);
    return 0;
}
