/* From plain LoRAs to a Text-to-LoRA by reconstruction, on a tiny model and encoder: train lora writes a
 * library, train recon learns it, generate gives back the adapters that are in it. */
#include "tests/cli/run.h"
#include "tests/test_util.h"
#include "tests/small.h"

#include "data/adapter.h"

static char dir[] = "/tmp/t2l-train-XXXXXX";

static int make_dir(void **state) {
    (void)state;
    if (!mkdtemp(dir) || chdir(dir)) return 1;
    small_model("mistral");
    small_tasks("tasks");
    return 0;
}

static int remove_dir(void **state) {
    (void)state;
    temp_remove(dir);
    return chdir("/");
}

#define LORA                                                                                             \
    "train", "lora", "--config", TEST_ROOT "/configs/lora.json", "-q", "name=plain", "model=mistral",    \
        "data.tasks=tasks", "data.max_tokens=64", "lora.rank=2", "train.batch_tasks=4", "train.lr=1e-2", \
        "train.epochs=10", "eval.every=0"
#define RECON                                                                                            \
    "train", "recon", "--config", TEST_ROOT "/configs/recon.json", "-q", "model=mistral", "lora.rank=2", \
        "encoder=" GOLDEN("gte_tiny"), "hypernet.latent=32", "hypernet.head=64", "train.lr=4e-3",        \
        "hypernet.dropout=0"

static void expect_library(int records) {
    char part[64];
    snprintf(part, sizeof part, "\"records\":%d,\"layers\":3,\"rank\":2,", records);
    run_expect(RUN("inspect", "runs/plain/library.h5", "--json"), 0, part, NULL);
}

static void test_library(void **state) {
    (void)state;
    const char *made = "runs/plain/adapters/no\nruns/plain/adapters/well\nruns/plain/adapters/yes\n";
    run_expect(RUN(LORA, "--resume"), 3, NULL, "no such run to continue");
    run_expect(RUN(LORA), 0, made, NULL);
    expect_library(3);
    run_expect(RUN("inspect", "runs/plain/library.h5"), 0, "\"lr\":0.01", NULL);
    run_expect(RUN(LORA), 2, NULL, "--resume");
    run_expect(RUN(LORA, "train.lr=1e-3", "--resume"), 2, NULL, "key 'train.lr'");
    run_expect(RUN(LORA, "--resume"), 0, made, NULL); /* all there: nothing is trained or added */
    expect_library(3);
    assert_int_equal(unlink("runs/plain/library.h5"), 0); /* as if stopped right after an adapter */
    temp_remove("runs/plain/adapters/yes");
    run_expect(RUN(LORA, "--resume"), 0, made, NULL);
    expect_library(3);
}

/* |BA - B'A'| / |B'A'| over all layers and modules. */
static double distance(const char *one, const char *other) {
    Adapter a, b;
    double off = 0, all = 0;
    assert_ok(adapter_load(&a, one, NULL));
    assert_ok(adapter_load(&b, other, NULL));
    assert_int_equal(a.n_modules, b.n_modules);
    for (int m = 0; m < b.n_modules; m++) {
        const AdapterModule *x = &a.modules[m], *y = &b.modules[m];
        assert_true(x->module == y->module && x->in == y->in && x->out == y->out);
        int64_t r = b.rank;
        for (int64_t l = 0; l < b.n_layers; l++)
            for (int64_t o = 0; o < y->out; o++)
                for (int64_t i = 0; i < y->in; i++) {
                    double p = 0, q = 0;
                    for (int64_t j = 0; j < r; j++) {
                        p += (double)x->b[(l * y->out + o) * r + j] * (double)x->a[(l * r + j) * y->in + i];
                        q += (double)y->b[(l * y->out + o) * r + j] * (double)y->a[(l * r + j) * y->in + i];
                    }
                    off += (p - q) * (p - q);
                    all += q * q;
                }
    }
    adapter_free(&a);
    adapter_free(&b);
    assert_true(all > 0);
    return sqrt(off / all);
}

/* The error left by a run; where the adapters of other tasks are. */
static void check_generated(const char *run, double most) {
    static const char *const names[] = {"no", "well", "yes"}, *const says[] = {"no", "well then", "yes"};
    for (int i = 0; i < 3; i++) {
        char text[32], own[64], other[64], out[64];
        snprintf(text, sizeof text, "Say %s.", says[i]);
        snprintf(out, sizeof out, "%s-%s", run, names[i]);
        snprintf(own, sizeof own, "runs/plain/adapters/%s", names[i]);
        snprintf(other, sizeof other, "runs/plain/adapters/%s", names[(i + 1) % 3]);
        char path[64];
        snprintf(path, sizeof path, "runs/%s", run);
        run_expect(RUN("generate", "--t2l", path, "--text", text, "-o", out), 0, out, NULL);
        double to_own = distance(out, own), to_other = distance(out, other);
        printf("%s, %s: off by %.2g %% of delta W; from another task's by %.0f %%\n", run, names[i],
               100 * to_own, 100 * to_other);
        assert_true(to_own <= most && to_other > 3 * most);
    }
}

static void test_recon(void **state) {
    (void)state;
    const char *library = "recon.library=runs/plain/library.h5";
#if defined(__SANITIZE_ADDRESS__)
    const char *steps = "train.steps=20"; /* enough to pass everywhere, not to learn */
    const double most = INFINITY;
#else
    const char *steps = "train.steps=1500";
    const double most = 0.01;
#endif
    run_expect(RUN(RECON, "data.tasks=tasks"), 2, NULL, "key 'recon.library' is missing");
    run_expect(RUN(RECON, library), 2, NULL, "key 'data.tasks' is missing");
    run_expect(RUN(RECON, library, "data.tasks=tasks", "train.accumulate=2"), 2, NULL,
               "key 'train.accumulate'");
    run_expect(RUN(RECON, library, "data.tasks=tasks", "name=recon", steps), 0, "runs/recon/ckpt/step_",
               NULL);
    run_expect(RUN(RECON, library, "data.tasks=tasks", "name=recon", steps, "seed=7", "--resume"), 2, NULL,
               "key 'seed'");
    run_expect(RUN(RECON, library, "data.tasks=tasks", "name=recon", steps, "--resume"), 0,
               "runs/recon/ckpt/step_", NULL); /* it had ended */
    if (isfinite(most)) check_generated("recon", most);
    /* embeddings made before: neither tasks nor encoder */
    run_expect(RUN("embed", "--encoder", GOLDEN("gte_tiny"), "-o", "e.h5", "--tasks", "tasks"), 0, "e.h5",
               NULL);
    run_expect(RUN(RECON, library, "recon.embeddings=e.h5", "name=stored", "train.epochs=5"), 0,
               "runs/stored/ckpt/step_00000005", NULL);
}

#define MULTITASK                                                                                        \
    "train", "multitask", "--config", TEST_ROOT "/configs/multitask.json", "-q", "name=all",             \
        "model=mistral", "data.tasks=tasks", "data.max_tokens=64", "lora.rank=2", "train.batch_tasks=3", \
        "train.lr=1e-2", "train.epochs=30", "eval.every=0"
#define SFT                                                                                   \
    "train", "sft", "-q", "model=mistral", "encoder=" GOLDEN("gte_tiny"), "data.tasks=tasks", \
        "data.max_tokens=64", "train.batch_tasks=2", "lora.rank=2", "hypernet.latent=16",     \
        "hypernet.head=24", "train.steps=4", "hypernet.offset=runs/all/adapters/multitask"

/* One LoRA for all tasks, and a Text-to-LoRA on top of it: without learning its adapters are that LoRA. */
static void test_on_top(void **state) {
    (void)state;
    const char *on = "runs/all/adapters/multitask";
    run_expect(RUN("train", "multitask", "data.tasks=tasks"), 3, NULL, "without --config FILE");
    run_expect(RUN(MULTITASK), 0, "runs/all/ckpt/step_00000030\n", NULL);
    run_expect(RUN(SFT, "name=still", "train.lr=0"), 0, "runs/still/ckpt/step_00000004\n", NULL);
    run_expect(RUN("generate", "--t2l", "runs/still", "--text", "Say no.", "-o", "still"), 0, "still\n",
               NULL);
    assert_true(distance("still", on) == 0);
    run_expect(RUN("inspect", "runs/still"), 0, "output.shift.q_proj.A", NULL);
    run_expect(RUN(SFT, "name=top", "train.lr=1e-2", "hypernet.offset_learn=true", "hypernet.size=M"), 0,
               "runs/top/ckpt/step_00000004\n", NULL);
    run_expect(RUN("generate", "--t2l", "runs/top", "--text", "Say no.", "-o", "top"), 0, "top\n", NULL);
    double moved = distance("top", on);
    printf("on top of a LoRA, four steps: delta W moved by %.2g %%\n", 100 * moved);
    assert_true(moved > 1e-4 && moved < 0.5);
    run_expect(RUN("inspect", "runs/top"), 0, "offset.q_proj.A", NULL);
    run_expect(RUN("eval", "-q", "--model", "mistral", "--adapter", on, "--t2l", "runs/top", "--data",
                   "tasks", "--tasks", "no", "--limit", "1", "--max-tokens", "4"),
               0, "T2L", NULL);
    run_expect(RUN(SFT, "name=bad", "lora.alpha=1"), 3, NULL, "set lora.alpha=16");
    run_expect(RUN(SFT, "name=bad", "hypernet.offset=tasks"), 3, NULL, "tasks: ");
    run_expect(RUN(SFT, "name=still", "train.lr=0", "hypernet.offset=runs/plain/adapters/no", "--resume"), 2,
               NULL, "key 'hypernet.offset'");
    run_expect(RUN(RECON, "recon.library=runs/plain/library.h5", "data.tasks=tasks", "name=on",
                   "train.epochs=2", "hypernet.offset=runs/all/adapters/multitask"),
               0, "runs/on/ckpt/step_", NULL);
    run_expect(RUN(RECON, "recon.library=runs/plain/library.h5", "data.tasks=tasks", "name=on2",
                   "hypernet.offset=runs/all/adapters/multitask", "hypernet.offset_learn=true"),
               2, NULL, "key 'hypernet.offset_learn'");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_library), cmocka_unit_test(test_recon),
                                       cmocka_unit_test(test_on_top)};
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
