/* The reconstruction tests' common case: a library of adapters that look like trained ones (A near a common
 * start, B small) for a small made-up base model, and a store of made-up embeddings, several a task. Include
 * after tests/test_util.h. */
#ifndef T2L_TESTS_TRAIN_RECON_CASE_H
#define T2L_TESTS_TRAIN_RECON_CASE_H

#include "data/embeddings.h"
#include "kernels/ops.h"
#include "train/recon.h"

enum { RECON_EMBED = 12, RECON_TEXTS = 3, RECON_MAX_WORDS = 24 };

typedef struct ReconCase {
    char dir[PATH_MAX], library[PATH_MAX + 16], embeddings[PATH_MAX + 16], offset[PATH_MAX + 16];
    Device dev;
    Config config;
    Recon recon;
} ReconCase;

TEST_FN Adapter recon_case_adapter(int64_t task) {
    Adapter a = {
        .n_layers = 3,
        .rank = 4,
        .alpha = 16,
        .use_rslora = true,
        .n_modules = 2,
        .modules = {{.module = Q_PROJ, .in = 40, .out = 40}, {.module = V_PROJ, .in = 40, .out = 16}}};
    assert_ok(adapter_alloc(&a));
    for (int m = 0; m < 2; m++) {
        AdapterModule *x = &a.modules[m];
        int64_t na = 3 * 4 * x->in, nb = 3 * 4 * x->out;
        float bound = 1.0f / sqrtf((float)x->in);
        Rng start = rng_make(42, (uint64_t)m), own = rng_make(43, (uint64_t)(task * 2 + m));
        for (int64_t i = 0; i < na; i++)
            x->a[i] = bound * (2 * rng_float(&start) - 1) + 0.2f * bound * (2 * rng_float(&own) - 1);
        for (int64_t i = 0; i < nb; i++) x->b[i] = 0.01f * (2 * rng_float(&own) - 1);
    }
    return a;
}

/* n tasks "task0".. into stores in a new folder; the offset adapter is number 1000. */
TEST_FN void recon_case_files(ReconCase *c, int64_t n) {
    Library lib;
    Embeddings e;
    char name[32];
    memset(c, 0, sizeof *c);
    temp_make(c->dir);
    snprintf(c->library, sizeof c->library, "%s/library.h5", c->dir);
    snprintf(c->embeddings, sizeof c->embeddings, "%s/embeddings.h5", c->dir);
    snprintf(c->offset, sizeof c->offset, "%s/offset", c->dir);
    for (int64_t t = 0; t < n; t++) {
        Adapter a = recon_case_adapter(t);
        if (t == 0) {
            assert_ok(library_create(&lib, c->library, &a, n));
            assert_ok(embeddings_create(&e, c->embeddings, "made-up", RECON_EMBED, n * RECON_TEXTS));
        }
        snprintf(name, sizeof name, "task%lld", (long long)t);
        assert_ok(library_append(&lib, name, &a, "{}"));
        adapter_free(&a);
        Rng rng = rng_make(44, (uint64_t)t);
        float task[RECON_EMBED], x[RECON_EMBED];
        fill_random(task, RECON_EMBED, &rng, -1.6f, 1.6f);
        for (int k = 0; k < RECON_TEXTS; k++) {
            for (int i = 0; i < RECON_EMBED; i++) x[i] = task[i] + 0.1f * (rng_float(&rng) - 0.5f);
            assert_ok(embeddings_append(&e, name, "a description", x));
        }
    }
    library_close(&lib);
    embeddings_close(&e);
    Adapter offset = recon_case_adapter(1000);
    AdapterWriteOptions none = {0};
    assert_ok(adapter_write(c->offset, &offset, &none));
    adapter_free(&offset);
}

/* words: further key=value words, NULL-terminated. */
TEST_FN void recon_case_open(ReconCase *c, int threads, const char *const *words, bool offset) {
    static const char *const own[] = {"encoder=made-up",
                                      "lora.rank=4",
                                      "hypernet.latent=16",
                                      "hypernet.head=24",
                                      "hypernet.dropout=0",
                                      "train.batch_tasks=4",
                                      "train.warmup=0.1",
                                      "train.weight_decay=0.001",
                                      "model=",
                                      "train.lr=1e-3",
                                      NULL};
    char *all[RECON_MAX_WORDS];
    int n = 0;
    for (int i = 0; own[i]; i++) all[n++] = (char *)own[i];
    for (int i = 0; words[i]; i++) all[n++] = (char *)words[i];
    ReconPaths paths = {
        .library = c->library, .embeddings = c->embeddings, .offset = offset ? c->offset : NULL};
    assert_ok(config_load(&c->config, NULL, n, all));
    assert_ok(device_open(&c->dev, "cpu", threads));
    assert_ok(recon_init(&c->recon, &c->dev, &c->config, &paths, true));
}

TEST_FN void recon_case_close(ReconCase *c) {
    recon_free(&c->recon);
    device_close(&c->dev);
    config_free(&c->config);
}

/* The variants that have a twin: name, words. */
typedef struct ReconVariant {
    const char *name;
    const char *words[5]; /* ended by NULL */
    bool offset;
} ReconVariant;

static const ReconVariant recon_variants[] = {
    {"delta_w", {"hypernet.size=M", "recon.loss=delta_w", "train.steps=40"}, false},
    {"delta_w_offset", {"hypernet.size=L", "recon.loss=delta_w", "train.steps=40"}, true},
    {"zscore", {"hypernet.size=L", "recon.loss=factorized", "train.steps=40"}, false},
    {"plain", {"hypernet.size=S", "recon.loss=factorized", "recon.zscore=false", "train.steps=40"}, false},
    {"plain_offset",
     {"hypernet.size=M", "recon.loss=factorized", "recon.zscore=false", "train.steps=40"},
     true},
};

#endif
