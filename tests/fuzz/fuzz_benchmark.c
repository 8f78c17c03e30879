/* The input is a benchmark's number (one byte modulo 10), its examples, and behind 0x1e the file of labels.
 */
#include "tests/fuzz/fuzz.h"

#include "data/benchmark.h"

static void use(const BenchmarkSet *set) {
    for (int64_t i = 0; i < set->n; i++) {
        const BenchmarkItem *it = &set->items[i];
        CHECK(it->fields && it->target && it->gold >= 0, "item %lld has no answer", (long long)i);
        CHECK(it->n_choices == 0 || it->gold < it->n_choices, "item %lld: choice %d of %d", (long long)i,
              it->gold, it->n_choices);
        for (int k = 0; k < it->n_choices; k++)
            CHECK(it->choice[k] && it->label[k] && *it->label[k], "item %lld: choice %d", (long long)i, k);
    }
}

static char *text_of(const uint8_t *data, size_t n) {
    char *s = malloc(n + 1);
    CHECK(s, "out of memory");
    if (n) memcpy(s, data, n);
    s[n] = 0;
    return s;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    if (n == 0) return 0;
    const Benchmark *b = &benchmark_table()[data[0] % BENCHMARK_COUNT];
    size_t cut = fuzz_divide(data + 1, n - 1);
    char *text = text_of(data + 1, cut);
    char *labels = cut < n - 1 ? text_of(data + cut + 2, n - cut - 2) : NULL;
    BenchmarkSet set;
    Status s = benchmark_parse(&set, b, text, cut, labels, "fuzz", 0);
    if (status_is_ok(s)) {
        use(&set);
        benchmark_free(&set);
    } else {
        fuzz_refused(s);
    }
    free(text);
    free(labels);
    return 0;
}
