/* A LoRA on the tiny golden Llama, whose tokenizer has a token a byte, and small tasks in a folder of the
 * test's own. Include after tests/test_util.h. */
#ifndef T2L_TESTS_TRAIN_FIT_CASE_H
#define T2L_TESTS_TRAIN_FIT_CASE_H

#include "tests/eval/tiny.h"
#include "train/fit.h"

#include <unistd.h>

typedef struct FitCase {
    Device dev;
    Config config;
    Llm llm;
    TaskSet tasks;
    Fit fit;
} FitCase;

/* Two tasks of n examples each: the input's letters in upper case ("up") or twice ("twice"). */
TEST_FN void fit_case_tasks(const char *dir, int n) {
    static const char *const names[] = {"twice", "up"};
    assert_ok(file_mkdirs(dir));
    for (int t = 0; t < 2; t++) {
        char path[256];
        snprintf(path, sizeof path, "%s/%s.json", dir, names[t]);
        FILE *f = fopen(path, "w");
        assert_non_null(f);
        fprintf(f, "{\"Definition\":[\"%s it.\"],\"Instances\":[", t ? "Raise" : "Repeat");
        Rng r = rng_make(7, (uint64_t)t);
        for (int i = 0; i < n; i++) {
            char in[4] = {0}, out[7] = {0};
            for (int k = 0; k < 3; k++) {
                in[k] = (char)('a' + rng_below(&r, 6));
                if (t)
                    out[k] = (char)(in[k] - 'a' + 'A');
                else
                    out[2 * k] = out[2 * k + 1] = in[k];
            }
            fprintf(f, "%s{\"input\":\"%s\",\"output\":[\"%s\"]}", i ? "," : "", in, out);
        }
        fputs("]}", f);
        assert_int_equal(fclose(f), 0);
    }
}

/* A group's folder, in memory where the system offers that (these tests flush to disk often), and its tasks:
 * 40 examples each. Group set-up and tear-down. */
static char fit_dir[32], fit_tasks[64];

TEST_FN int fit_case_make(void **state) {
    (void)state;
    bool memory = access("/dev/shm", W_OK) == 0;
    snprintf(fit_dir, sizeof fit_dir, "%s/t2l-test-XXXXXX", memory ? "/dev/shm" : "/tmp");
    if (!mkdtemp(fit_dir)) fail_msg("no temporary folder");
    snprintf(fit_tasks, sizeof fit_tasks, "%s/tasks", fit_dir);
    fit_case_tasks(fit_tasks, 40);
    return 0;
}

TEST_FN int fit_case_remove(void **state) {
    (void)state;
    assert_ok(file_remove_tree(fit_dir));
    return 0;
}

/* words: key=value, NULL-terminated. n_tasks 1: the second task alone; 2: both. threads 0: the interpreter.
 */
TEST_FN void fit_case_open(FitCase *c, int n_tasks, int threads, const char *const *words) {
    char *all[32];
    int n = 0;
    memset(c, 0, sizeof *c);
    for (; words[n]; n++) all[n] = (char *)words[n];
    assert_ok(config_load(&c->config, TEST_ROOT "/configs/lora.json", n, all));
    assert_ok(threads ? device_open(&c->dev, "cpu", threads) : device_open_simt(&c->dev, 0, 16 << 20));
    assert_ok(llm_load(&c->llm, &c->dev, GOLDEN("llama_tiny"), (LlmLoad){DT_F32, true}));
    if (!c->llm.tokenizer) c->llm.tokenizer = tiny_tokenizer();
    if (!c->llm.cfg.n_eos) c->llm.cfg.eos[c->llm.cfg.n_eos++] = TINY_EOS;
    c->llm.chat = (Template){.kind = TEMPLATE_CHATML};
    assert_ok(tasks_load(&c->tasks, fit_tasks));
    assert_int_equal(c->tasks.n, 2);
    assert_ok(fit_init(&c->fit, &c->dev, &c->config, &c->llm, c->tasks.tasks + (n_tasks == 1), n_tasks));
}

TEST_FN void fit_case_close(FitCase *c) {
    fit_free(&c->fit);
    tasks_free(&c->tasks);
    llm_free(&c->llm);
    device_close(&c->dev);
    config_free(&c->config);
}

#endif
