/* Tokens a CPU second of encoding and of decoding, one thread: every input, output and description of a set
 * of tasks, each text by itself, as data preparation does it. One JSON line a model. bench_tokenizer [TASKS
 * [MODEL]...] TASKS: default $T2L_SHARED/data/sni/tasks, else ../shared/data/sni/tasks beside the project;
 * MODEL: a directory with tokenizer.json or a .gguf file, default smollm2-135m-instruct from the cache. Says
 * what is not there. */
#include "tests/test_util.h"

#include "data/fetch.h"
#include "data/tasks.h"
#include "data/vocabulary.h"

#include <time.h>

static void check(Status s) {
    if (status_is_ok(s)) return;
    fprintf(stderr, "%s\n", status_message(s));
    exit(1);
}

/* Seconds this thread has run: other work on the machine does not count. */
static double cpu_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

typedef struct Totals {
    int64_t texts, bytes, tokens;
    double encoding, decoding; /* seconds */
} Totals;

static void one(Totals *sum, const Tokenizer *t, TokenBuf *ids, const char *text) {
    size_t n = strlen(text), m;
    char *back;
    double start = cpu_seconds();
    ids->n = 0;
    check(tokenizer_encode(t, ids, text, n, (TokenizerOpts){.parse_special = false}));
    double middle = cpu_seconds();
    check(tokenizer_decode(t, &back, &m, ids->ids, ids->n, (TokenizerDecodeOpts){false}));
    sum->decoding += cpu_seconds() - middle;
    sum->encoding += middle - start;
    free(back);
    sum->texts++;
    sum->bytes += (int64_t)n;
    sum->tokens += (int64_t)ids->n;
}

static void bench(const TaskSet *set, const char *model) {
    Vocabulary v;
    TokenBuf ids = {0};
    Totals sum = {0};
    double start = cpu_seconds();
    check(vocabulary_open(&v, model));
    double load = cpu_seconds() - start;
    for (int64_t i = 0; i < set->n; i++) {
        const Task *t = &set->tasks[i];
        for (int k = 0; k < t->n_descriptions; k++) one(&sum, v.tokenizer, &ids, t->descriptions[k]);
        for (int64_t k = 0; k < t->n_train + t->n_valid + t->n_test; k++) {
            one(&sum, v.tokenizer, &ids, t->examples[k].input);
            one(&sum, v.tokenizer, &ids, t->examples[k].output);
        }
    }
    printf("{\"bench\":\"tokenizer\",\"model\":\"%s\",\"load_s\":%.3f,\"texts\":%lld,\"bytes\":%lld,"
           "\"tokens\":%lld,\"encode_tokens_per_s\":%.0f,\"encode_mb_per_s\":%.1f,"
           "\"decode_tokens_per_s\":%.0f}\n",
           model, load, (long long)sum.texts, (long long)sum.bytes, (long long)sum.tokens,
           (double)sum.tokens / sum.encoding, (double)sum.bytes / sum.encoding / 1e6,
           (double)sum.tokens / sum.decoding);
    tokenizer_buf_free(&ids);
    vocabulary_close(&v);
}

int main(int argc, char **argv) {
    const char *shared = getenv("T2L_SHARED");
    char tasks[PATH_MAX], *cache, *model;
    TaskSet set;
    snprintf(tasks, sizeof tasks, "%s/data/sni/tasks", shared && *shared ? shared : TEST_ROOT "/../shared");
    const char *path = argc > 1 ? argv[1] : tasks;
    if (!file_exists(path)) {
        fprintf(stderr, "bench_tokenizer: skipped, %s is not there\n", path);
        return 0;
    }
    check(tasks_load(&set, path));
    for (int i = 2; i < argc; i++) bench(&set, argv[i]);
    if (argc <= 2) {
        check(fetch_cache_dir(&cache));
        Status s = fetch_resolve(&model, "smollm2-135m-instruct", cache);
        if (status_is_ok(s)) {
            bench(&set, model);
            free(model);
        } else {
            fprintf(stderr, "bench_tokenizer: skipped, %s\n", status_message(s));
        }
        status_free(s);
        free(cache);
    }
    tasks_free(&set);
    return 0;
}
