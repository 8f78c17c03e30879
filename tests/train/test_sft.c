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

int main(void) {
    SftCase c;
    if (!sft_case_find(&c)) return 77;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(test_twin, &c),
        cmocka_unit_test_prestate(test_threads, &c),
        cmocka_unit_test_prestate(test_resume, &c),
    };
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    sft_case_forget(&c);
    return rc;
}
