/* Training by reconstruction: the first losses against a PyTorch twin in float64, the same bits whatever the
 * number of threads, a stopped and resumed run, adapters that come out of a run's checkpoint as they went
 * into the library, and what is refused. */
#include "tests/test_util.h"
#include "base/json.h"
#include "tests/train/recon_case.h"

enum { STEPS = 20, TWIN_TASKS = 10, TASKS = 16 };

/* tests/golden/recon_train.json: {variant: {"loss": [20], "grad_norm": [20], "lr": [20]}}. */
static void test_twin(void **state) {
    (void)state;
    ReconCase c;
    cJSON *golden;
    assert_ok(json_read(&golden, GOLDEN("recon_train.json"), 1 << 20));
    recon_case_files(&c, TWIN_TASKS);
    for (int i = 0; i < COUNT_OF(recon_variants); i++) {
        const ReconVariant *v = &recon_variants[i];
        const cJSON *want, *losses, *norms, *rates;
        double worst = 0, worst_norm = 0;
        assert_ok(json_get_object(&want, golden, v->name, "golden"));
        assert_ok(json_get_array(&losses, want, "loss", v->name));
        assert_ok(json_get_array(&norms, want, "grad_norm", v->name));
        assert_ok(json_get_array(&rates, want, "lr", v->name));
        assert_int_equal(cJSON_GetArraySize(losses), STEPS);
        recon_case_open(&c, 2, v->words, v->offset);
        for (int k = 0; k < STEPS; k++) {
            RunStep step;
            assert_ok(recon_step(&step, &c.recon, (ReconStepOpts){.update = true}));
            double loss = cJSON_GetArrayItem(losses, k)->valuedouble,
                   norm = cJSON_GetArrayItem(norms, k)->valuedouble;
            assert_int_equal(c.recon.n_batch, k % 3 == 2 ? 2 : 4);
            if (!(fabs(step.loss - loss) <= 1e-5 * loss))
                fail_msg("%s, step %d: loss %.9g, the twin's %.9g", v->name, k, step.loss, loss);
            worst = fmax(worst, fabs(step.loss - loss) / loss);
            worst_norm = fmax(worst_norm, fabs(step.grad_norm - norm) / norm);
            assert_within(step.lr, cJSON_GetArrayItem(rates, k)->valuedouble, 1e-12);
        }
        printf("%s: %d losses off by at most %.1e of themselves, norms of the gradient by %.1e\n", v->name,
               STEPS, worst, worst_norm);
        assert_true(worst_norm <= 1e-3);
        recon_case_close(&c);
    }
    temp_remove(c.dir);
    cJSON_Delete(golden);
}

static void test_threads(void **state) {
    (void)state;
    static const char *const words[] = {"hypernet.size=M", "hypernet.dropout=0.05", "train.steps=6", NULL};
    ReconCase c;
    char digest[3][65];
    double loss[3][4];
    recon_case_files(&c, 6);
    for (int t = 0; t < 3; t++) {
        recon_case_open(&c, t + 1, words, true);
        for (int i = 0; i < 4; i++) {
            RunStep step;
            assert_ok(recon_step(&step, &c.recon, (ReconStepOpts){.update = true}));
            loss[t][i] = step.loss;
        }
        sha256_hex(digest[t], c.recon.hypernet.params, (size_t)c.recon.hypernet.n_params * sizeof(float));
        recon_case_close(&c);
        assert_string_equal(digest[0], digest[t]);
        assert_memory_equal(loss[0], loss[t], sizeof loss[0]);
    }
    temp_remove(c.dir);
}

/* An epoch takes every task once. */
static void test_epochs(void **state) {
    (void)state;
    static const char *const words[] = {"train.steps=6", NULL};
    ReconCase c;
    recon_case_files(&c, 10);
    recon_case_open(&c, 1, words, false);
    int64_t first[10], n;
    for (int epoch = 0; epoch < 3; epoch++) {
        int seen[10] = {0}, same = 0;
        n = 0;
        for (int step = 0; step < 3; step++) {
            recon_batch(&c.recon, epoch * 3 + step);
            for (int64_t i = 0; i < c.recon.n_batch; i++, n++) {
                int64_t t = c.recon.batch_task[i];
                seen[t]++;
                assert_true(c.recon.batch_row[i] >= RECON_TEXTS * t &&
                            c.recon.batch_row[i] < RECON_TEXTS * (t + 1));
                same += epoch > 0 && first[n] == t;
                if (epoch == 0) first[n] = t;
            }
        }
        for (int t = 0; t < 10; t++) assert_int_equal(seen[t], 1);
        assert_true(n == 10 && same < 10);
    }
    recon_case_close(&c);
    temp_remove(c.dir);
}

/* Sums of squares of (B A)(generated) - (B A)(library), and of the latter. */
static void add_errors(double *off, double *all, const Adapter *got, const Adapter *want) {
    for (int m = 0; m < want->n_modules; m++) {
        const AdapterModule *x = &got->modules[m], *y = &want->modules[m];
        int64_t r = want->rank;
        for (int64_t l = 0; l < want->n_layers; l++)
            for (int64_t o = 0; o < y->out; o++)
                for (int64_t i = 0; i < y->in; i++) {
                    double a = 0, b = 0;
                    for (int64_t j = 0; j < r; j++) {
                        a += (double)x->b[(l * y->out + o) * r + j] * (double)x->a[(l * r + j) * y->in + i];
                        b += (double)y->b[(l * y->out + o) * r + j] * (double)y->a[(l * r + j) * y->in + i];
                    }
                    *off += (a - b) * (a - b);
                    *all += b * b;
                }
    }
}

/* Relative error of delta W over all tasks, of adapters made by the checkpoint from each task's first
 * description. */
static double error_of(const ReconCase *c, const char *ckpt, Device *dev) {
    CkptInfo info;
    Hypernet hn;
    LoraSet set;
    double off = 0, all = 0;
    assert_ok(ckpt_info(&info, ckpt));
    assert_ok(hypernet_init(&hn, dev, &info.hypernet, (HypernetInit){.max_tasks = 1}));
    assert_ok(ckpt_load(&hn, ckpt));
    for (int64_t t = 0; t < c->recon.n_tasks; t++) {
        Adapter got, want = recon_case_adapter(t);
        Tensor e = tensor_2d(c->recon.embeddings + c->recon.first[t] * RECON_EMBED, DT_F32, 1, RECON_EMBED);
        assert_ok(hypernet_forward(&set, &hn, dev, e, (HypernetRun){0}));
        assert_ok(lora_to_adapter(&got, &set, 0, info.hypernet.in, info.hypernet.out, info.lora_alpha));
        add_errors(&off, &all, &got, &want);
        adapter_free(&got);
        adapter_free(&want);
    }
    hypernet_free(&hn);
    ckpt_info_free(&info);
    return sqrt(off / all);
}

static void reconstruct(const char *name, const char *const *words, bool offset, double most) {
    ReconCase c;
    RunResult result;
    char run_dir[PATH_MAX + 8];
    recon_case_files(&c, TASKS);
    recon_case_open(&c, 2, words, offset);
    snprintf(run_dir, sizeof run_dir, "%s/run", c.dir);
    assert_ok(recon_train(&result, &c.recon, (RunOpts){.run_dir = run_dir, .quiet = true}));
    double error = error_of(&c, result.ckpt, &c.dev);
    printf("%s: delta W of %d adapters off by %.2f %%\n", name, TASKS, 100 * error);
    assert_true(error <= most);
    RunVal v;
    assert_ok(recon_validate(&v, &c.recon));
    assert_int_equal(v.n, 1); /* a store of embeddings has no unseen ones */
    assert_within(v.set[0].loss, error, 1e-4 * error);
    free(result.ckpt);
    recon_case_close(&c);
    temp_remove(c.dir);
}

/* A run, or with stop the first or next step of one. Digests of what its last checkpoint holds. */
static void run_part(char digest[2][65], ReconCase *c, const ReconVariant *v, const char *name, int threads,
                     bool stop, bool resume) {
    static const char *const files[] = {"hypernet.safetensors", "optimizer.safetensors"};
    const char *words[8] = {NULL};
    int n = 0;
    for (; v->words[n]; n++) words[n] = v->words[n];
    words[n++] = "hypernet.dropout=0.05";
    words[n++] = "train.steps=7";
    volatile int stopped = stop;
    char run_dir[PATH_MAX + 32], path[PATH_MAX + 96];
    RunResult result;
    snprintf(run_dir, sizeof run_dir, "%s/%s", c->dir, name);
    recon_case_open(c, threads, words, v->offset);
    Status s = recon_train(&result, &c->recon,
                           (RunOpts){.run_dir = run_dir, .resume = resume, .quiet = true, .stop = &stopped});
    assert_int_equal(status_code(s), stop ? E_INTERRUPTED : 0);
    status_free(s);
    free(result.ckpt);
    recon_case_close(c);
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/ckpt/last/%s", run_dir, files[i]);
        assert_ok(sha256_file(digest[i], path));
    }
}

/* Stopped after steps 1 and 2 and resumed, with other threads: the same bits as straight through. */
static void test_resume(void **state) {
    (void)state;
    for (int i = 0; i < COUNT_OF(recon_variants); i++) {
        ReconCase c;
        char straight[2][65], parts[2][65];
        recon_case_files(&c, 6);
        run_part(straight, &c, &recon_variants[i], "straight", 2, false, false);
        run_part(parts, &c, &recon_variants[i], "parts", 1, true, false);
        assert_string_not_equal(parts[0], straight[0]);
        run_part(parts, &c, &recon_variants[i], "parts", 3, true, true);
        run_part(parts, &c, &recon_variants[i], "parts", 1, false, true);
        for (int k = 0; k < 2; k++) assert_string_equal(parts[k], straight[k]);
        temp_remove(c.dir);
    }
}

static void refused(const ReconCase *c, const char *const *words, const ReconPaths *paths, const char *part) {
    char *all[RECON_MAX_WORDS] = {(char *)"encoder=made-up", (char *)"lora.rank=4", (char *)"model="};
    int n = 3;
    Config config;
    Recon recon;
    for (; *words; words++) all[n++] = (char *)*words;
    assert_ok(config_load(&config, NULL, n, all));
    StatusCode code = config.train.accumulate == 1 ? E_INPUT : E_USAGE;
    assert_fails(recon_init(&recon, (Device *)&c->dev, &config, paths, true), code, part);
    config_free(&config);
}

#define REFUSED(paths, part, ...) refused(&c, (const char *const[]){__VA_ARGS__, NULL}, paths, part)

static void test_refused(void **state) {
    (void)state;
    ReconCase c, other;
    recon_case_files(&c, 2);
    recon_case_files(&other, 1);
    assert_ok(device_open(&c.dev, "cpu", 1));
    ReconPaths good = {.library = c.library, .embeddings = c.embeddings}, few = good, none = good, one = good,
               offset = good;
    few.embeddings = other.embeddings;
    none.library = c.offset;
    one.library = other.library;
    offset.offset = c.dir;
    REFUSED(&good, "set them to the library's", "lora.rank=8");
    REFUSED(&good, "set them to the library's", "lora.alpha=8");
    REFUSED(&good, "embeddings of made-up, but encoder is minilm-l6-v2", "encoder=minilm-l6-v2");
    REFUSED(&good, "modules are not those of lora.modules", "lora.modules=q_proj");
    REFUSED(&good, "key 'train.accumulate'", "train.accumulate=2");
    REFUSED(&few, "no embedding of task 'task1'", "seed=1");
    REFUSED(&none, "not an HDF5 file", "seed=1");
    REFUSED(&one, "has no standard deviation", "recon.loss=factorized");
    REFUSED(&offset, "not an adapter directory", "seed=1");
    device_close(&c.dev);
    temp_remove(c.dir);
    temp_remove(other.dir);
}

#define LEARN \
    "hypernet.latent=64", "hypernet.head=128", "train.steps=4000", "train.lr=4e-3", "train.log_every=1000"

static void test_reconstruct(void **state) {
    (void)state;
#if defined(__SANITIZE_ADDRESS__)
    printf("skipped: a thousand steps take too long under AddressSanitizer; the shorter tests go the same "
           "way\n");
    skip();
#endif
    static const char *const m[] = {"hypernet.size=M", LEARN, NULL};
    static const char *const l[] = {"hypernet.size=L", LEARN, NULL};
    static const char *const z[] = {"hypernet.size=L", "recon.loss=factorized", LEARN, NULL};
    reconstruct("M, delta_w", m, false, 0.05);
    reconstruct("L, delta_w", l, false, 0.05);
    reconstruct("M, delta_w, offset", m, true, 0.05);
    reconstruct("L, zscore, offset", z, true, 0.05);
}

int main(void) {
    if (file_is_dir("/dev/shm")) setenv("TMPDIR", "/dev/shm", 0); /* stores flush; a disk takes its time */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_twin),   cmocka_unit_test(test_threads), cmocka_unit_test(test_epochs),
        cmocka_unit_test(test_resume), cmocka_unit_test(test_refused), cmocka_unit_test(test_reconstruct),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
