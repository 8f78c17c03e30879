/* Trainings with every task encoder and source of embeddings on tiny models: the same bits with any number of
 * threads, runs that are stopped and resumed, what a step that is not taken leaves behind. */
#include "tests/test_util.h"

#include "tests/small.h"
#include "tests/train/recon_case.h"
#include "train/sft.h"

static char dir[PATH_MAX];

static void write_task(const char *name) {
    char path[PATH_MAX + 64];
    snprintf(path, sizeof path, "%s/tasks/%s.json", dir, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fprintf(f,
            "{\"Definition\": \"Say %s.\", \"Descriptions\": [\"Say %s.\", \"Answer %s\"], \"Instances\": [",
            name, name, name);
    for (int i = 0; i < 10; i++)
        fprintf(f, "%s{\"input\": \"%d\", \"output\": \"%s\"}", i ? "," : "", i, name);
    fputs("], \"Unseen Descriptions\": [\"Please\"]}\n", f);
    assert_int_equal(fclose(f), 0);
}

static int make_dir(void **state) {
    (void)state;
    char tasks[PATH_MAX + 8];
    temp_make(dir);
    snprintf(tasks, sizeof tasks, "%s/tasks", dir);
    assert_ok(file_mkdirs(tasks));
    write_task("yes");
    write_task("no");
    write_task("well");
    small_model(dir);
    return 0;
}

static int remove_dir(void **state) {
    (void)state;
    temp_remove(dir);
    return 0;
}

typedef struct Case {
    Config config;
    Device dev;
    Sft sft;
    char tasks[PATH_MAX + 8];
} Case;

static void case_open(Case *c, int threads, const char *const *more) {
    char *words[16] = {(char *)"data.max_tokens=64", (char *)"train.batch_tasks=2",
                       (char *)"hypernet.latent=16", (char *)"hypernet.head=16",
                       (char *)"train.lr=1e-3",      (char *)"train.steps=20"};
    int n = 6;
    for (; *more; more++) words[n++] = (char *)*more;
    snprintf(c->tasks, sizeof c->tasks, "%s/tasks", dir);
    SftPaths paths = {.model = dir, .encoder = GOLDEN("gte_tiny"), .tasks = c->tasks, .heldout = c->tasks};
    assert_ok(config_load(&c->config, NULL, n, words));
    assert_ok(device_open(&c->dev, "cpu", threads));
    assert_ok(sft_init(&c->sft, &c->dev, &c->config, &paths, true));
}

static void case_close(Case *c) {
    sft_free(&c->sft);
    device_close(&c->dev);
    config_free(&c->config);
}

static const char *const variants[][3] = {
    {"hypernet.encoder=onehot"},  {"hypernet.encoder=vq"},
    {"hypernet.encoder=softmax"}, {"hypernet.encoder=vq", "data.embedding=onehot"},
    {"data.embedding=llm"},
};

/* Numbers of buffers in a hypernetwork. */
static int64_t buffer_numbers(const Hypernet *hn) {
    int64_t n = 0;
    for (int i = hn->n_tensors; i < hn->n_tensors + hn->n_buffers; i++)
        n += hn->tensors[i].dim[0] * (hn->tensors[i].ndim == 2 ? hn->tensors[i].dim[1] : 1);
    return n;
}

static void test_threads(void **state) {
    (void)state;
    for (int i = 0; i < COUNT_OF(variants); i++) {
        char params[3][65], buffers[3][65];
        double first = 0, last = 0;
        for (int t = 0; t < 3; t++) {
            Case c;
            RunStep step;
            case_open(&c, t + 1, variants[i]);
            for (int k = 0; k < 4; k++) {
                assert_ok(sft_step(&step, &c.sft, (SftStepOpts){.update = true}));
                assert_true(step.loss > 0 && (step.commitment > 0) == (c.sft.hypernet.n_buffers > 0));
            }
            *(t ? &last : &first) = step.loss;
            const Hypernet *hn = &c.sft.hypernet;
            sha256_hex(params[t], hn->params, (size_t)hn->n_params * sizeof(float));
            sha256_hex(buffers[t], hn->buffers, (size_t)buffer_numbers(hn) * sizeof(float));
            assert_string_equal(params[t], params[0]);
            assert_string_equal(buffers[t], buffers[0]);
            if (t) assert_true(first == last);
            case_close(&c);
        }
    }
}

/* A step without an update moves nothing, the codebook neither; one with it does. */
static void test_no_update(void **state) {
    (void)state;
    Case c;
    RunStep step;
    case_open(&c, 1, variants[1]);
    Hypernet *hn = &c.sft.hypernet;
    size_t bytes = (size_t)buffer_numbers(hn) * sizeof(float);
    float *before = test_alloc(bytes);
    memcpy(before, hn->buffers, bytes);
    assert_ok(sft_step(&step, &c.sft, (SftStepOpts){.update = false}));
    assert_memory_equal(before, hn->buffers, bytes);
    assert_ok(sft_step(&step, &c.sft, (SftStepOpts){.update = true}));
    assert_memory_not_equal(before, hn->buffers, bytes);
    free(before);
    case_close(&c);
}

static const char *const files[] = {"hypernet.safetensors", "optimizer.safetensors"};

static void digests_of(char digest[2][65], const char *run_dir) {
    char path[PATH_MAX + 128];
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/ckpt/last/%s", run_dir, files[i]);
        assert_ok(sha256_file(digest[i], path));
    }
}

/* A whole run, or with stop one step of it. */
static void sft_part(const char *run_dir, int threads, bool stop, bool resume, const char *const *words) {
    Case c;
    RunResult result;
    volatile int stopped = stop;
    case_open(&c, threads, words);
    Status s = sft_run(&result, &c.sft,
                       (RunOpts){.run_dir = run_dir, .resume = resume, .quiet = true, .stop = &stopped});
    assert_int_equal(status_code(s), stop ? E_INTERRUPTED : 0);
    status_free(s);
    free(result.ckpt);
    case_close(&c);
}

/* 20 steps == 10 saved one by one, then 10: with 1 and 2 threads, and both in turn. */
static void test_resume_sft(void **state) {
    (void)state;
    static const char *const words[] = {"hypernet.encoder=vq", "eval.every=7", "data.swap=0.2", NULL};
    for (int threads = 1; threads <= 2; threads++) {
        char straight[PATH_MAX + 32], parts[PATH_MAX + 32], a[2][65], b[2][65];
        snprintf(straight, sizeof straight, "%s/straight%d", dir, threads);
        snprintf(parts, sizeof parts, "%s/parts%d", dir, threads);
        sft_part(straight, threads, false, false, words);
        for (int i = 0; i < 10; i++) sft_part(parts, i % 2 ? threads : 3 - threads, true, i > 0, words);
        sft_part(parts, threads, false, true, words);
        digests_of(a, straight);
        digests_of(b, parts);
        for (int i = 0; i < 2; i++) assert_string_equal(a[i], b[i]);
    }
}

static void recon_part(ReconCase *c, const char *run_dir, int threads, bool stop, bool resume,
                       const char *encoder) {
    const char *words[] = {encoder, "hypernet.size=M", "train.steps=20", NULL};
    RunResult result;
    volatile int stopped = stop;
    recon_case_open(c, threads, words, false);
    Status s = recon_train(&result, &c->recon,
                           (RunOpts){.run_dir = run_dir, .resume = resume, .quiet = true, .stop = &stopped});
    assert_int_equal(status_code(s), stop ? E_INTERRUPTED : 0);
    status_free(s);
    free(result.ckpt);
    recon_case_close(c);
}

static void test_resume_recon(void **state) {
    (void)state;
    static const char *const encoders[] = {"hypernet.encoder=vq", "hypernet.encoder=onehot"};
    for (int k = 0; k < 4; k++) {
        ReconCase c;
        int threads = 1 + k % 2;
        char straight[PATH_MAX + 32], parts[PATH_MAX + 32], a[2][65], b[2][65];
        recon_case_files(&c, 6);
        snprintf(straight, sizeof straight, "%s/straight", c.dir);
        snprintf(parts, sizeof parts, "%s/parts", c.dir);
        recon_part(&c, straight, threads, false, false, encoders[k / 2]);
        for (int i = 0; i < 10; i++) recon_part(&c, parts, i % 2 ? 1 : 2, true, i > 0, encoders[k / 2]);
        recon_part(&c, parts, threads, false, true, encoders[k / 2]);
        digests_of(a, straight);
        digests_of(b, parts);
        for (int i = 0; i < 2; i++) assert_string_equal(a[i], b[i]);
        temp_remove(c.dir);
    }
}

/* The commitment is part of reconstruction's loss, and of its gradient. */
static void test_commitment(void **state) {
    (void)state;
    static const char *const words[] = {"hypernet.encoder=vq", "train.steps=6", NULL};
    ReconCase c;
    RunStep with, without;
    recon_case_files(&c, 6);
    recon_case_open(&c, 1, words, false);
    assert_ok(recon_step(&with, &c.recon, (ReconStepOpts){.update = false}));
    c.recon.hypernet.commit = false;
    assert_ok(recon_step(&without, &c.recon, (ReconStepOpts){.update = false}));
    assert_true(with.commitment > 0 && with.loss > with.commitment);
    assert_true(with.loss == without.loss && with.grad_norm != without.grad_norm);
    recon_case_close(&c);
    temp_remove(c.dir);
}

/* One-hot sources: unit vectors by task, names in the checkpoint. */
static void test_numbers(void **state) {
    (void)state;
    static const char *const words[] = {"data.embedding=onehot", "eval.every=5", NULL};
    static const char *const recon_words[] = {"data.embedding=onehot", "train.steps=6", NULL};
    Case c;
    ReconCase r;
    case_open(&c, 1, words);
    assert_int_equal(c.sft.info.hypernet.embed, 3);
    assert_int_equal(c.sft.n_sets, 1);
    assert_int_equal(c.sft.n_embeddings, 3 * 2 + 3);
    for (int64_t i = 0; i < 9; i++)
        for (int64_t t = 0; t < 3; t++)
            assert_true(c.sft.embeddings[i * 3 + t] == (t == (i < 6 ? i / 2 : i - 6)));
    assert_string_equal(c.sft.info.tasks[0], "no");
    assert_string_equal(c.sft.info.tasks[2], "yes");
    case_close(&c);
    recon_case_files(&r, 5);
    char *all[] = {(char *)"lora.rank=4", (char *)"model=", (char *)"train.batch_tasks=4",
                   (char *)recon_words[0]};
    ReconPaths paths = {.library = r.library};
    assert_ok(config_load(&r.config, NULL, COUNT_OF(all), all));
    assert_ok(device_open(&r.dev, "cpu", 1));
    assert_ok(recon_init(&r.recon, &r.dev, &r.config, &paths, true));
    assert_int_equal(r.recon.info.hypernet.embed, 5);
    assert_string_equal(r.recon.info.tasks[4], "task4");
    for (int64_t i = 0; i < 25; i++) assert_true(r.recon.embeddings[i] == (i % 6 == 0));
    RunStep step;
    assert_ok(recon_step(&step, &r.recon, (ReconStepOpts){.update = true}));
    recon_case_close(&r);
    temp_remove(r.dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_threads),    cmocka_unit_test(test_no_update),
        cmocka_unit_test(test_resume_sft), cmocka_unit_test(test_resume_recon),
        cmocka_unit_test(test_commitment), cmocka_unit_test(test_numbers),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
