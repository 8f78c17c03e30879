/* Reconstruction of 16 adapters that were trained on real tasks (tests/golden/make_oracles.py): two of their
 * layers, from the embeddings of real descriptions. */
#include "tests/test_util.h"

#include "data/embeddings.h"
#include "data/library.h"
#include "data/safetensors.h"
#include "kernels/ops.h"
#include "train/recon.h"

enum { TASKS = 16, LAYERS = 2, RANK = 8, IN = 576, V_OUT = 192, TEXTS = 3, EMBED = 384 };

typedef struct Files {
    char dir[PATH_MAX], library[PATH_MAX + 16], embeddings[PATH_MAX + 16], run[PATH_MAX + 16];
} Files;

/* Part t of TASKS of a bf16 tensor, n numbers. */
static void part(float *out, const SafeTensors *g, const char *name, int64_t t, int64_t n) {
    const SafeTensor *x = safetensors_find(g, name);
    assert_non_null(x);
    assert_int_equal(x->dtype, DT_BF16);
    assert_int_equal(x->bytes, 2 * TASKS * n);
    for (int64_t i = 0; i < n; i++) out[i] = bf16_to_float(((const uint16_t *)x->data)[t * n + i]);
}

/* The stores. */
static void make_files(Files *f) {
    SafeTensors g;
    Library lib;
    Embeddings e;
    float x[TEXTS * EMBED];
    char name[16];
    temp_make(f->dir);
    snprintf(f->library, sizeof f->library, "%s/library.h5", f->dir);
    snprintf(f->embeddings, sizeof f->embeddings, "%s/embeddings.h5", f->dir);
    snprintf(f->run, sizeof f->run, "%s/run", f->dir);
    assert_ok(safetensors_open(&g, GOLDEN("oracles.safetensors")));
    Adapter a = {
        .n_layers = LAYERS,
        .rank = RANK,
        .alpha = 16,
        .use_rslora = true,
        .n_modules = 2,
        .modules = {{.module = Q_PROJ, .in = IN, .out = IN}, {.module = V_PROJ, .in = IN, .out = V_OUT}}};
    assert_ok(adapter_alloc(&a));
    assert_ok(library_create(&lib, f->library, &a, TASKS));
    assert_ok(embeddings_create(&e, f->embeddings, "minilm-l6-v2", EMBED, TASKS * TEXTS));
    for (int64_t t = 0; t < TASKS; t++) {
        part(a.modules[0].a, &g, "q_proj.a", t, LAYERS * RANK * IN);
        part(a.modules[0].b, &g, "q_proj.b", t, LAYERS * RANK * IN);
        part(a.modules[1].a, &g, "v_proj.a", t, LAYERS * RANK * IN);
        part(a.modules[1].b, &g, "v_proj.b", t, LAYERS * RANK * V_OUT);
        part(x, &g, "embeddings", t, TEXTS * EMBED);
        snprintf(name, sizeof name, "task%lld", (long long)t);
        assert_ok(library_append(&lib, name, &a, "{}"));
        for (int k = 0; k < TEXTS; k++)
            assert_ok(embeddings_append(&e, name, "a description", x + (int64_t)k * EMBED));
    }
    adapter_free(&a);
    library_close(&lib);
    embeddings_close(&e);
    safetensors_close(&g);
}

static void reconstruct(const char *size) {
    Files f;
    Device dev;
    Config config;
    Recon recon;
    RunVal v;
    RunResult result;
    /* configs/recon.json with narrower heads, twice its rate and fewer steps */
    char *words[] = {(char *)size,
                     (char *)"model=",
                     (char *)"train.steps=1600",
                     (char *)"train.batch_tasks=4",
                     (char *)"hypernet.head=256",
                     (char *)"train.lr=2e-3",
                     (char *)"train.warmup=0.1",
                     (char *)"train.weight_decay=1e-3",
                     (char *)"train.save_every=0"};
    make_files(&f);
    ReconPaths paths = {.library = f.library, .embeddings = f.embeddings};
    assert_ok(config_load(&config, NULL, COUNT_OF(words), words));
    assert_ok(device_open(&dev, "cpu", 2));
    assert_ok(recon_init(&recon, &dev, &config, &paths, true));
    assert_ok(recon_train(&result, &recon, (RunOpts){.run_dir = f.run, .quiet = true}));
    assert_ok(recon_validate(&v, &recon));
    printf("%s: delta W of %d adapters off by %.2f %%\n", size, TASKS, 100 * v.set[0].loss);
    assert_true(v.set[0].loss <= 0.05);
    free(result.ckpt);
    recon_free(&recon);
    device_close(&dev);
    config_free(&config);
    temp_remove(f.dir);
}

static void test_oracles(void **state) {
    (void)state;
#if defined(__SANITIZE_ADDRESS__)
    printf("skipped: thousands of steps take too long under AddressSanitizer; train/test_recon goes the same "
           "way\n");
    skip();
#endif
    reconstruct("hypernet.size=M");
    reconstruct("hypernet.size=L");
}

int main(void) {
    if (file_is_dir("/dev/shm")) setenv("TMPDIR", "/dev/shm", 0); /* stores flush; a disk takes its time */
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_oracles)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
