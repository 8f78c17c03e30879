/* The training tests' common case: the demo's recipe on the mini suite, every random part off that a twin in
 * another framework cannot repeat. Models come from the cache. Include after tests/test_util.h. */
#ifndef T2L_TESTS_TRAIN_SFT_CASE_H
#define T2L_TESTS_TRAIN_SFT_CASE_H

#include "data/fetch.h"
#include "kernels/ops.h"
#include "train/sft.h"

typedef struct SftCase {
    Device dev;
    Config config;
    Sft sft;
    char *model, *encoder, *suite, *tasks, *heldout; /* owns */
} SftCase;

/* The paths of what is cached; false: not fetched. */
TEST_FN bool sft_case_find(SftCase *c) {
    char *cache;
    memset(c, 0, sizeof *c);
    assert_ok(fetch_cache_dir(&cache));
    Status s = fetch_resolve(&c->model, "smollm2-135m-instruct", cache);
    if (status_is_ok(s)) s = fetch_resolve(&c->encoder, "minilm-l6-v2", cache);
    if (status_is_ok(s)) s = fetch_resolve(&c->suite, "t2l-mini", cache);
    if (!status_is_ok(s)) printf("skipped: %s\n", status_message(s));
    bool found = status_is_ok(s);
    status_free(s);
    free(cache);
    return found;
}

/* words: further key=value words, NULL-terminated. */
TEST_FN void sft_case_open(SftCase *c, int threads, const char *const *words) {
    char *all[16];
    int n = 0;
    while (words[n]) {
        all[n] = (char *)words[n];
        n++;
    }
    c->tasks = path_join(c->suite, "train");
    c->heldout = path_join(c->suite, "heldout");
    SftPaths paths = {c->model, c->encoder, c->tasks, c->heldout};
    assert_ok(config_load(&c->config, TEST_ROOT "/configs/demo.json", n, all));
    assert_ok(device_open(&c->dev, "cpu", threads));
    assert_ok(sft_init(&c->sft, &c->dev, &c->config, &paths, true));
}

TEST_FN void sft_case_close(SftCase *c) {
    sft_free(&c->sft);
    device_close(&c->dev);
    config_free(&c->config);
    free(c->tasks);
    free(c->heldout);
    c->tasks = c->heldout = NULL;
}

TEST_FN void sft_case_forget(SftCase *c) {
    free(c->model);
    free(c->encoder);
    free(c->suite);
}

#endif
