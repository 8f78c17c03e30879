/* SFT of a Text-to-LoRA on top of an adapter (hypernet.offset), sizes S, M and L on a tiny model: it starts
 * as that adapter to the bit; the learned offset's gradient against finite differences of the loss through
 * the base model; what a checkpoint gives back; a run resumed after each of its first ten steps against one
 * that was not; an offset that does not fit is refused. */
#include "tests/test_util.h"
#include "tests/small.h"
#include "train/sft.h"

enum { MAX_WORDS = 24, LAYERS = 3, RANK = 4 };

#if defined(__SANITIZE_ADDRESS__)
enum { RESUMED = 2 }; /* setting up is slow there */
#else
enum { RESUMED = 10 };
#endif

static char dir[PATH_MAX], tasks[PATH_MAX + 8], model[PATH_MAX + 8], offset[PATH_MAX + 32];

/* Of the tiny model; the offset adapts these. */
static const AdapterModule modules[] = {{.module = Q_PROJ, .in = 36, .out = 48},
                                        {.module = V_PROJ, .in = 36, .out = 24},
                                        {.module = DOWN_PROJ, .in = 52, .out = 36}};

enum { MODULES = COUNT_OF(modules) };

/* An adapter of the first n modules. */
static Adapter make_adapter(int n, int rank) {
    Adapter a = {.n_layers = LAYERS, .rank = rank, .alpha = 16, .use_rslora = true, .n_modules = n};
    Rng rng = rng_make(21, 0);
    memcpy(a.modules, modules, (size_t)n * sizeof *modules);
    assert_ok(adapter_alloc(&a));
    for (int i = 0; i < n; i++) {
        const AdapterModule *m = &a.modules[i];
        fill_random(m->a, (int64_t)LAYERS * rank * m->in, &rng, -0.2f, 0.2f);
        fill_random(m->b, (int64_t)LAYERS * rank * m->out, &rng, -0.1f, 0.1f);
    }
    return a;
}

static void write_adapter(const char *name, Adapter a) {
    char path[PATH_MAX + 32];
    AdapterWriteOptions none = {0};
    snprintf(path, sizeof path, "%s/%s", dir, name);
    assert_ok(adapter_write(path, &a, &none));
    adapter_free(&a);
}

static int make_dir(void **state) {
    (void)state;
    temp_make(dir);
    snprintf(tasks, sizeof tasks, "%s/tasks", dir);
    snprintf(model, sizeof model, "%s/model", dir);
    snprintf(offset, sizeof offset, "hypernet.offset=%s/offset", dir);
    small_tasks(tasks);
    small_model(model);
    write_adapter("offset", make_adapter(MODULES, RANK));
    return 0;
}

static int remove_dir(void **state) {
    (void)state;
    temp_remove(dir);
    return 0;
}

typedef struct Case {
    Device dev;
    Config config;
    Sft sft;
} Case;

/* The three sizes, S with both kinds of positions. */
static const char *const sizes[][2] = {{"hypernet.size=S", "hypernet.rank_positions=rotary"},
                                       {"hypernet.size=S", "hypernet.rank_positions=learned"},
                                       {"hypernet.size=M", "hypernet.rank_positions=rotary"},
                                       {"hypernet.size=L", "hypernet.rank_positions=rotary"}};

enum { SIZES = COUNT_OF(sizes) };

/* words: further ones, NULL-terminated; later wins. */
static Status try_case(Case *c, int threads, const char *const *words) {
    static const char *const own[] = {
        "dtype=f32",           "lora.rank=4",          "lora.modules=q_proj,v_proj,down_proj",
        "hypernet.latent=16",  "hypernet.head=24",     "data.max_tokens=64",
        "train.batch_tasks=2", "train.ab_penalty=0.5", "train.lr=1e-2",
        "train.warmup=0",      "train.steps=20"};
    char *all[MAX_WORDS];
    int n = 0;
    for (int i = 0; i < COUNT_OF(own); i++) all[n++] = (char *)own[i];
    all[n++] = offset;
    for (; *words; words++) all[n++] = (char *)*words;
    assert_true(n <= MAX_WORDS);
    SftPaths paths = {.model = model, .encoder = GOLDEN("gte_tiny"), .tasks = tasks};
    assert_ok(config_load(&c->config, NULL, n, all));
    assert_ok(device_open(&c->dev, "cpu", threads));
    return sft_init(&c->sft, &c->dev, &c->config, &paths, true);
}

static void open_case(Case *c, int size, const char *learn, int threads) {
    const char *words[] = {sizes[size][0], sizes[size][1], learn, NULL};
    assert_ok(try_case(c, threads, words));
}

static void close_case(Case *c) {
    sft_free(&c->sft);
    device_close(&c->dev);
    config_free(&c->config);
}

static bool same_adapter(const Adapter *a, const Adapter *b) {
    bool same = a->n_modules == b->n_modules && adapter_scale(a) == adapter_scale(b);
    for (int i = 0; same && i < a->n_modules; i++) {
        const AdapterModule *x = &a->modules[i], *y = &b->modules[i];
        int64_t rows = (int64_t)a->n_layers * a->rank;
        same = x->module == y->module && memcmp(x->a, y->a, (size_t)(rows * x->in) * sizeof(float)) == 0 &&
               memcmp(x->b, y->b, (size_t)(rows * x->out) * sizeof(float)) == 0;
    }
    return same;
}

/* Adapter t of the description in row t of the running batch. */
static Adapter generated(Case *c, int64_t t, bool train) {
    const HypernetConfig *h = &c->sft.info.hypernet;
    LoraSet set;
    Adapter a;
    assert_ok(sft_adapters(&set, &c->sft, (HypernetRun){.train = train}));
    assert_ok(lora_to_adapter(&a, &set, t, h->in, h->out, c->sft.info.lora_alpha));
    return a;
}

static const char *const learns[] = {"hypernet.offset_learn=false", "hypernet.offset_learn=true"};

static void test_start(void **state) {
    (void)state;
    Adapter want = make_adapter(MODULES, RANK);
    for (int i = 0; i < 2 * SIZES; i++) {
        Case c;
        open_case(&c, i / 2, learns[i % 2], 2);
        assert_false(c.sft.info.hypernet.head_bias);
        assert_int_equal(hypernet_find(&c.sft.hypernet, "offset.q_proj.A") != NULL, i % 2);
        assert_ok(batch_next(&c.sft.batch, &c.sft.source, 0));
        for (int k = 0; k < 4; k++) {
            Adapter got = generated(&c, k / 2, k % 2);
            assert_true(same_adapter(&got, &want));
            adapter_free(&got);
        }
        close_case(&c);
    }
    adapter_free(&want);
}

static void step(Case *c, bool update, RunStep *out) {
    assert_ok(sft_step(out, &c->sft, (SftStepOpts){.update = update}));
}

/* The offset's part of the flat span. */
static float *offset_span(const Case *c, int64_t *n) {
    const HypernetTensor *first = hypernet_find(&c->sft.hypernet, "offset.q_proj.A");
    assert_non_null(first);
    *n = c->sft.hypernet.n_params - first->offset;
    return c->sft.hypernet.params + first->offset;
}

/* Loss and penalty as a function of the offset, after some steps, dropout and noise on. */
static void check_gradient(Case *c) {
    RunStep s;
    int64_t n;
    for (int i = 0; i < 3; i++) step(c, true, &s);
    float *x = offset_span(c, &n), *g = c->sft.hypernet.grads + (x - c->sft.hypernet.params);
    size_t bytes = (size_t)n * sizeof(float);
    float *base = test_alloc(bytes), *direction = test_alloc(bytes), *slope = test_alloc(bytes);
    step(c, false, &s);
    double sum = 0, own = 0;
    for (int64_t i = 0; i < c->sft.hypernet.n_params; i++) {
        double v = (double)c->sft.hypernet.grads[i];
        sum += v * v;
        if (c->sft.hypernet.grads + i >= g) own += v * v;
    }
    assert_within(s.grad_norm, sqrt(sum), 1e-5 * sqrt(sum)); /* the global norm has the offset in it */
    assert_true(own > 0.01 * sum);
    memcpy(base, x, bytes);
    memcpy(slope, g, bytes);
    Rng rng = rng_make(5, 5);
    for (int k = 0; k < 3; k++) {
        double along = 0, d[2];
        const double h = 1e-4; /* chosen */
        for (int64_t i = 0; i < n; i++) {
            direction[i] = rng_float(&rng) < 0.5f ? -1.0f : 1.0f;
            if (k == 0) direction[i] = slope[i] < 0 ? -1.0f : 1.0f;
            along += (double)slope[i] * (double)direction[i];
        }
        for (int side = 0; side < 2; side++) {
            for (int64_t i = 0; i < n; i++) x[i] = base[i] + (float)(side ? h : -h) * direction[i];
            step(c, false, &s);
            d[side] = s.loss + s.penalty;
        }
        memcpy(x, base, bytes);
        /* f32 losses: 4 ulp over 2h; curvature: within 1 % of the steepest such direction */
        double steepest = 0;
        for (int64_t i = 0; i < n; i++) steepest += fabs((double)slope[i]);
        assert_within((d[1] - d[0]) / (2 * h), along, 0.01 * steepest + 4 * ROUND_F32 * s.loss / h);
        if (k == 0) assert_true(along > 0.1);
    }
    free(base);
    free(direction);
    free(slope);
}

static void test_gradient(void **state) {
    (void)state;
    for (int size = 0; size < SIZES; size++) {
        Case c;
        open_case(&c, size, learns[1], 1);
        check_gradient(&c);
        close_case(&c);
    }
}

/* The adapter of the running batch's first description, by what a checkpoint holds alone. */
static Adapter from_checkpoint(Case *c, const char *ckpt) {
    CkptInfo info;
    Hypernet hn;
    LoraSet set;
    Adapter a;
    assert_ok(ckpt_info(&info, ckpt));
    assert_ok(hypernet_init(&hn, &c->dev, &info.hypernet, (HypernetInit){.max_tasks = 2}));
    assert_ok(ckpt_load(&hn, ckpt));
    Tensor x = tensor_2d(c->sft.batch_embeddings, DT_F32, 2, info.hypernet.embed);
    assert_ok(hypernet_forward(&set, &hn, &c->dev, x, (HypernetRun){0}));
    assert_ok(lora_to_adapter(&a, &set, 0, info.hypernet.in, info.hypernet.out, info.lora_alpha));
    hypernet_free(&hn);
    ckpt_info_free(&info);
    return a;
}

/* A whole run, or with stop its next step. Digests of parameters and moments. */
static void run_part(char digest[2][65], const char *name, int i, int threads, bool stop, bool resume) {
    static const char *const files[] = {"hypernet.safetensors", "optimizer.safetensors"};
    volatile int stopped = stop;
    char run_dir[PATH_MAX + 16], path[PATH_MAX + 64];
    Case c;
    RunResult result;
    snprintf(run_dir, sizeof run_dir, "%s/%s", dir, name);
    open_case(&c, i / 2, learns[i % 2], threads);
    Status s = sft_run(&result, &c.sft,
                       (RunOpts){.run_dir = run_dir, .resume = resume, .quiet = true, .stop = &stopped});
    assert_int_equal(status_code(s), stop ? E_INTERRUPTED : 0);
    status_free(s);
    for (int k = 0; k < 2; k++) {
        snprintf(path, sizeof path, "%s/ckpt/last/%s", run_dir, files[k]);
        assert_ok(sha256_file(digest[k], path));
    }
    if (!stop) { /* what it has become is what its checkpoint gives */
        assert_ok(batch_next(&c.sft.batch, &c.sft.source, 0));
        Adapter now = generated(&c, 0, false), start = make_adapter(MODULES, RANK),
                loaded = from_checkpoint(&c, run_dir);
        assert_true(same_adapter(&now, &loaded));
        assert_false(same_adapter(&now, &start));
        adapter_free(&now);
        adapter_free(&start);
        adapter_free(&loaded);
    }
    free(result.ckpt);
    close_case(&c);
}

static void test_resume(void **state) {
    (void)state;
    for (int i = 0; i < 2 * SIZES; i++) {
        char whole[2][65], parts[2][65], path[PATH_MAX + 16];
        run_part(whole, "whole", i, 2, false, false);
        for (int k = 0; k < RESUMED; k++) run_part(parts, "parts", i, k % 2 ? 3 : 1, true, k > 0);
        assert_string_not_equal(parts[0], whole[0]);
        run_part(parts, "parts", i, 1, false, true);
        for (int k = 0; k < 2; k++) {
            assert_string_equal(parts[k], whole[k]);
            snprintf(path, sizeof path, "%s/%s", dir, k ? "whole" : "parts");
            assert_ok(file_remove_tree(path));
        }
    }
}

/* Frozen: the same bits after every step. Learned: every number of it moves. */
static void test_trained(void **state) {
    (void)state;
    for (int i = 0; i < 2; i++) {
        Case c;
        RunStep s;
        open_case(&c, 2, learns[i], 1);
        const HypernetConfig *h = &c.sft.info.hypernet;
        int64_t n = 0, at, same = 0;
        for (int k = 0; k < 2 * h->n_modules; k++) n += hypernet_output_span(&at, h, k / 2, k % 2);
        const float *shift = c.sft.hypernet.output.shift;
        float *before = test_alloc((size_t)n * sizeof *before);
        memcpy(before, shift, (size_t)n * sizeof *before);
        for (int k = 0; k < 3; k++) step(&c, true, &s);
        for (int64_t k = 0; k < n; k++) same += before[k] == shift[k];
        assert_int_equal(same, i == 0 ? n : 0);
        free(before);
        close_case(&c);
    }
}

static void refused(const char *name, const char *word, StatusCode code, const char *part,
                    const char *other) {
    char from[PATH_MAX + 32];
    snprintf(from, sizeof from, "hypernet.offset=%s/%s", dir, name);
    const char *words[] = {from, word, NULL};
    Case c;
    Status s = try_case(&c, 1, words);
    if (status_is_ok(s)) fail_msg("%s, %s: not refused", name, word);
    assert_int_equal(status_code(s), code);
    if (!strstr(status_message(s), part) || !strstr(status_message(s), other))
        fail_msg("%s", status_message(s));
    status_free(s);
    device_close(&c.dev);
    config_free(&c.config);
}

static void test_refused(void **state) {
    (void)state;
    Adapter layers = make_adapter(MODULES, RANK), wide = make_adapter(MODULES, RANK);
    write_adapter("few", make_adapter(2, RANK));
    write_adapter("thin", make_adapter(MODULES, 2));
    layers.n_layers = 2;
    write_adapter("shallow", layers);
    wide.modules[0].out = 24;
    write_adapter("narrow", wide);
    refused("few", "seed=1", E_INPUT, "/few: does not adapt down_proj", "key 'lora.modules'");
    refused("offset", "lora.modules=q_proj,v_proj", E_INPUT, "/offset: adapts down_proj",
            "key 'lora.modules'");
    refused("thin", "seed=1", E_INPUT, "/thin: an adapter of rank 2, key 'lora.rank' is 4", "lora.rank=2");
    refused("offset", "lora.rank=8", E_INPUT, "/offset: an adapter of rank 4", "key 'lora.rank' is 8");
    refused("offset", "lora.alpha=4", E_INPUT, "/offset: an adapter of scale 8, key 'lora.alpha' gives 2",
            "set lora.alpha=16");
    refused("shallow", "seed=1", E_INPUT, "/shallow/", "made for 2 layers, the model has 3");
    refused("narrow", "seed=1", E_INPUT, "/narrow/", "q_proj is 36 -> 24, the model has 36 -> 48");
    refused("tasks", "seed=1", E_INPUT, "/tasks", "not an adapter directory");
    Config config;
    char learn[] = "hypernet.offset_learn=true", *words[] = {learn};
    assert_fails(config_load(&config, NULL, 1, words), E_INPUT, "key 'hypernet.offset_learn'");
}

int main(void) {
    if (file_is_dir("/dev/shm")) setenv("TMPDIR", "/dev/shm", 0); /* runs flush; a disk takes its time */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_start),   cmocka_unit_test(test_gradient), cmocka_unit_test(test_resume),
        cmocka_unit_test(test_trained), cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
