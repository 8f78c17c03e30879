/* Checkpoints of a hypernetwork that say what they do not hold, or hold what is no number. */
#include "tests/kernels/backends.h"

#include "data/safetensors.h"
#include "kernels/ops.h"
#include "train/ckpt.h"
#include "train/state.h"

typedef struct Case {
    char dir[PATH_MAX];
    Device dev;
    Hypernet hn, to; /* what is written, and what is read into */
    CkptInfo info;
} Case;

static void case_open(Case *c, int backend) {
    HypernetConfig cfg = {.size = HYPERNET_L,
                          .embed = 2,
                          .latent = 4,
                          .head = 2,
                          .rank = 1,
                          .n_layers = 1,
                          .n_modules = 1,
                          .modules = {Q_PROJ},
                          .lora_scale = 1,
                          .head_bias = true};
    cfg.in[Q_PROJ] = 3;
    cfg.out[Q_PROJ] = 2;
    memset(c, 0, sizeof *c);
    temp_make(c->dir);
    assert_true(backend_open(&c->dev, backend));
    assert_ok(hypernet_init(&c->hn, &c->dev, &cfg, (HypernetInit){.training = true, .max_tasks = 1}));
    assert_ok(hypernet_init(&c->to, &c->dev, &cfg, (HypernetInit){.training = true, .max_tasks = 1}));
    if (c->dev.kind == DEVICE_CPU)
        assert_ok(hypernet_output_init(&c->hn, (HypernetOutputInit){.scale = 2, .each = true}));
    c->info = (CkptInfo){.hypernet = cfg,
                         .model = "m",
                         .encoder = "e",
                         .prompt = "p",
                         .embedding = "encoder",
                         .lora_alpha = 1};
    char ckpt[2 * PATH_MAX];
    snprintf(ckpt, sizeof ckpt, "%s/ckpt", c->dir);
    assert_ok(file_mkdirs(ckpt));
}

static void case_close(Case *c) {
    hypernet_free(&c->hn);
    hypernet_free(&c->to);
    device_close(&c->dev);
    temp_remove(c->dir);
}

static Status write_files(void *self, const char *to) {
    Case *c = self;
    return ckpt_write(to, &c->hn, &c->info);
}

static Status save_and_load(Case *c) {
    RunState s = {.at = {.step = 1}, .best_step = -1};
    CkptInfo info;
    char *path;
    TRY(state_save(&path, c->dir, &s, write_files, c));
    Status st = ckpt_info(&info, path);
    if (status_is_ok(st)) {
        st = ckpt_load(&c->to, path);
        ckpt_info_free(&info);
    }
    free(path);
    return st;
}

static void no_numbers(void **state) {
    (void)state;
    Case c;
    case_open(&c, 0);
    assert_ok(save_and_load(&c));
    const HypernetTensor *t = hypernet_find(&c.hn, "heads.q_proj.weight");
    assert_non_null(t);
    float *places[] = {c.hn.params + t->offset, c.hn.m + t->offset, c.hn.v + t->offset, c.hn.output.each,
                       &c.hn.output.scale};
    static const char *const names[] = {"'heads.q_proj.weight'", "'m.heads.q_proj.weight'",
                                        "'v.heads.q_proj.weight'", "'output.each.q_proj.A'",
                                        "'output.scale'"};
    for (int i = 0; i < COUNT_OF(places); i++)
        for (int k = 0; k < 2; k++) {
            float was = *places[i];
            *places[i] = k ? INFINITY : NAN;
            Status s = save_and_load(&c);
            if (status_code(s) != E_INPUT || !strstr(status_message(s), names[i]) ||
                !strstr(status_message(s), "holds NaN or infinity"))
                fail_msg("%s: code %d: %s", names[i], (int)status_code(s), status_message(s));
            status_free(s);
            *places[i] = was;
        }
    case_close(&c);
}

/* Parameters and moments that are in a device's memory come back the same. */
static void in_device_memory(void **state) {
    (void)state;
    Case c;
    case_open(&c, N_CPU);
    int64_t n = c.hn.n_params;
    size_t bytes = (size_t)n * sizeof(float);
    float *want = test_alloc(bytes), *got = test_alloc(bytes);
    float *from[] = {c.hn.params, c.hn.m, c.hn.v}, *to[] = {c.to.params, c.to.m, c.to.v};
    Rng rng = rng_make(36, 0);
    for (int i = 0; i < 3; i++) {
        fill_random(want, n, &rng, -1.0f, 1.0f);
        assert_ok(device_upload(&c.dev, from[i], want, bytes));
    }
    assert_ok(save_and_load(&c));
    for (int i = 0; i < 3; i++) {
        assert_ok(device_download(&c.dev, want, from[i], bytes));
        assert_ok(device_download(&c.dev, got, to[i], bytes));
        assert_memory_equal(got, want, bytes);
    }
    free(want);
    free(got);
    case_close(&c);
}

/* The metadata decides how much memory is taken: it must be backed by the file. */
static void large_words(void **state) {
    (void)state;
    Case c;
    case_open(&c, 0);
    HypernetConfig *h = &c.info.hypernet;
    const HypernetConfig was = *h;
    h->latent = 4096;
    assert_fails(save_and_load(&c), E_INPUT, "parameters, the file holds");
    *h = was;
    h->n_layers = 1024;
    h->rank = 256;
    h->in[Q_PROJ] = 1000000;
    assert_fails(save_and_load(&c), E_INPUT, "says adapters of 262144524288 numbers");
    *h = was;
    h->head = 0;
    assert_fails(save_and_load(&c), E_INPUT, "'head'");
    *h = was;
    h->latent = 6;
    assert_fails(save_and_load(&c), E_INPUT, "multiple of 4");
    *h = was;
    assert_ok(save_and_load(&c));
    case_close(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(no_numbers), cmocka_unit_test(in_device_memory),
                                       cmocka_unit_test(large_words)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
