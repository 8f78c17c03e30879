/* Training as a whole: the first losses against a PyTorch twin (relative 1e-4), the same bits whatever the
 * number of threads, and a run that is stopped and resumed against one that is not. */
#include "tests/test_util.h"
#include "tests/train/sft_case.h"

enum { STEPS = 20, SHORT = 3 };

static const char *const twin_words[] = {"dtype=\"f32\"",   "hypernet.dropout=0", "lora.dropout=0",
                                         "train.neftune=0", "data.max_tokens=64", NULL};

/* tests/golden/sft_demo.json: {"loss": [20], ...}, by tests/golden/sft_twin.py on what dump_sft wrote. */
static void test_twin(void **state) {
    SftCase *c = *state;
#if defined(__SANITIZE_ADDRESS__)
    printf("skipped: twenty full steps take too long under AddressSanitizer; the shorter runs below go the "
           "same way\n");
    skip();
#endif
    cJSON *golden;
    const cJSON *losses;
    assert_ok(json_read(&golden, TEST_ROOT "/tests/golden/sft_demo.json", 1 << 20));
    assert_ok(json_get_array(&losses, golden, "loss", "sft_demo.json"));
    assert_int_equal(cJSON_GetArraySize(losses), STEPS);
    sft_case_open(c, 0, twin_words);
    double worst = 0;
    for (int i = 0; i < STEPS; i++) {
        RunStep step;
        assert_ok(sft_step(&step, &c->sft, (SftStepOpts){.update = true}));
        double want = cJSON_GetArrayItem(losses, i)->valuedouble, off = fabs(step.loss - want) / want;
        if (!(off <= 1e-4)) fail_msg("step %d: loss %.7f, the twin's %.7f", i, step.loss, want);
        if (off > worst) worst = off;
    }
    printf("largest relative difference of %d losses from the PyTorch twin: %.1e\n", STEPS, worst);
    sft_case_close(c);
    cJSON_Delete(golden);
}

static const char *const short_words[] = {"train.steps=6",      "data.max_tasks=4", "train.batch_tasks=2",
                                          "data.max_tokens=64", "train.neftune=5",  NULL};

/* SHA-256 of the parameters after SHORT steps, and their losses. */
static void run_short(char digest[65], double losses[SHORT], SftCase *c, int threads) {
    sft_case_open(c, threads, short_words);
    for (int i = 0; i < SHORT; i++) {
        RunStep step;
        assert_ok(sft_step(&step, &c->sft, (SftStepOpts){.update = true}));
        losses[i] = step.loss;
    }
    sha256_hex(digest, c->sft.hypernet.params, (size_t)c->sft.hypernet.n_params * sizeof(float));
    sft_case_close(c);
}

static void test_threads(void **state) {
    char a[65], b[65];
    double la[SHORT], lb[SHORT];
    run_short(a, la, *state, 1);
    run_short(b, lb, *state, 3);
    assert_string_equal(a, b);
    assert_memory_equal(la, lb, sizeof la);
}

static char *run_to(SftCase *c, const char *dir, int stop_after, bool resume) {
    volatile int stop = stop_after > 0;
    RunResult result;
    sft_case_open(c, 2, short_words);
    RunOpts run = {.run_dir = dir, .resume = resume, .quiet = true, .stop = &stop};
    Status s = sft_run(&result, &c->sft, run);
    if (stop_after > 0) {
        assert_int_equal(status_code(s), E_INTERRUPTED);
        status_free(s);
    } else {
        assert_ok(s);
    }
    sft_case_close(c);
    return result.ckpt;
}

static void file_of(char out[512], const char *dir, const char *name) {
    snprintf(out, 512, "%s/%s", dir, name);
}

/* Stopped after its first step and resumed: the same parameters and moments, bit for bit. */
static void test_resume(void **state) {
    static const char *const files[] = {"hypernet.safetensors", "optimizer.safetensors"};
    char dir[] = "/tmp/t2l-test-XXXXXX", whole[64], cut[64], a[512], b[512], da[65], db[65];
    assert_non_null(mkdtemp(dir));
    snprintf(whole, sizeof whole, "%s/whole", dir);
    snprintf(cut, sizeof cut, "%s/cut", dir);
    char *want = run_to(*state, whole, 0, false);
    free(run_to(*state, cut, 1, false));
    char *got = run_to(*state, cut, 0, true);
    for (int i = 0; i < 2; i++) {
        file_of(a, want, files[i]);
        file_of(b, got, files[i]);
        assert_ok(sha256_file(da, a));
        assert_ok(sha256_file(db, b));
        assert_string_equal(da, db);
    }
    free(want);
    free(got);
    assert_ok(file_remove_tree(dir));
}

/* Validation leaves training alone: the same parameters as without. Its numbers are those of the checkpoint,
 * computed again one sequence a batch. */
static void test_validation(void **state) {
    static const char *const words[] = {
        "train.steps=3", "data.max_tasks=4", "train.batch_tasks=2",   "data.max_tokens=64",
        "eval.every=2",  "train.neftune=5",  "eval.valid_examples=1", NULL};
    static const char *const alone[] = {
        "train.steps=3", "data.max_tasks=4", "train.batch_tasks=1",   "data.max_tokens=64",
        "eval.every=2",  "train.neftune=5",  "eval.valid_examples=1", NULL};
    SftCase *c = *state;
    char dir[] = "/tmp/t2l-test-XXXXXX", a[65], b[65], *text, path[64];
    RunStep step;
    RunResult result;
    RunVal v, w;
    assert_non_null(mkdtemp(dir));
    sft_case_open(c, 2, words);
    for (int i = 0; i < 3; i++) assert_ok(sft_step(&step, &c->sft, (SftStepOpts){.update = true}));
    sha256_hex(a, c->sft.hypernet.params, (size_t)c->sft.hypernet.n_params * sizeof(float));
    sft_case_close(c);
    sft_case_open(c, 2, words);
    assert_ok(sft_run(&result, &c->sft, (RunOpts){.run_dir = dir, .quiet = true}));
    sha256_hex(b, c->sft.hypernet.params, (size_t)c->sft.hypernet.n_params * sizeof(float));
    assert_string_equal(a, b);
    assert_ok(sft_validate(&v, &c->sft));
    assert_int_equal(v.n, 2);
    assert_string_equal(v.set[0].name, "seen");
    assert_string_equal(v.set[1].name, "heldout");
    snprintf(path, sizeof path, "%s/metrics.jsonl", dir);
    assert_ok(file_read(&text, NULL, path, 1 << 20));
    assert_non_null(strstr(text, "{\"step\":2,\"val\":{\"loss\":"));
    assert_non_null(strstr(text, "{\"step\":3,\"val\":{\"loss\":"));
    free(text);
    sft_case_close(c);
    sft_case_open(c, 1, alone);
    snprintf(path, sizeof path, "%s/ckpt/last", dir);
    assert_ok(ckpt_load(&c->sft.hypernet, path));
    assert_ok(sft_validate(&w, &c->sft));
    for (int i = 0; i < 2; i++) {
        assert_within(v.set[i].loss, w.set[i].loss, 2e-3 * w.set[i].loss);
        assert_within(v.set[i].more[1].value, w.set[i].more[1].value, 2e-3 * w.set[i].more[1].value);
        assert_within(v.set[i].more[0].value, w.set[i].more[0].value, 0.02);
        assert_true(w.set[i].more[0].value > 0 && w.set[i].loss > 0);
        printf("%s: loss %.4f, token accuracy %.3f, entropy %.3f\n", v.set[i].name, v.set[i].loss,
               v.set[i].more[0].value, v.set[i].more[1].value);
    }
    sft_case_close(c);
    free(result.ckpt);
    assert_ok(file_remove_tree(dir));
}

int main(void) {
    SftCase c;
    if (!sft_case_find(&c)) return 77;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(test_twin, &c),
        cmocka_unit_test_prestate(test_threads, &c),
        cmocka_unit_test_prestate(test_resume, &c),
        cmocka_unit_test_prestate(test_validation, &c),
    };
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    sft_case_forget(&c);
    return rc;
}
