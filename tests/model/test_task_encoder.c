/* The task encoders onehot, vq and softmax against PyTorch (tests/golden/make_task_encoders.py): outputs,
 * straight-through gradients, the codebook after several steps, the commitment loss; counts; the draw's
 * frequencies; what settles. */
#include "tests/test_util.h"

#include "data/safetensors.h"
#include "model/hypernet_internal.h"

enum { T = 5, L = 2, R = 2, E = 6, STEPS = 4, SEED = 9 };

static const HypernetConfig CONFIG = {.size = HYPERNET_M,
                                      .embed = E,
                                      .latent = 16,
                                      .head = 6,
                                      .rank = R,
                                      .n_layers = L,
                                      .n_modules = 2,
                                      .modules = {Q_PROJ, V_PROJ},
                                      .in = {[Q_PROJ] = 7, [V_PROJ] = 7},
                                      .out = {[Q_PROJ] = 7, [V_PROJ] = 4},
                                      .head_bias = true};

typedef struct Case {
    Device dev;
    Hypernet hn;
    SafeTensors golden;
    LoraSet set;
    float e[T * E], de[T * E];
} Case;

static int64_t numel(const HypernetTensor *t) {
    return t->ndim == 2 ? t->dim[0] * t->dim[1] : t->dim[0];
}

/* make_task_encoders.py's `number`: uniform in [-1,1) / 2, a function of the tensor's name. */
static float number(const char *name, int64_t k, float add) {
    uint64_t h = 0xCBF29CE484222325u;
    for (const char *c = name; *c; c++) h = (h ^ (unsigned char)*c) * 0x100000001B3u;
    return rng_unit(rng_at(7, h, (uint64_t)k)) - 0.5f + add;
}

static void fill(Case *c) {
    for (int i = 0; i < c->hn.n_tensors; i++) {
        const HypernetTensor *t = &c->hn.tensors[i];
        size_t n = strlen(t->name);
        bool norm = t->ndim == 1 && n > 7 && strcmp(t->name + n - 7, ".weight") == 0;
        for (int64_t k = 0; k < numel(t); k++)
            c->hn.params[t->offset + k] = number(t->name, k, norm ? 1.0f : 0.0f);
    }
    if (c->hn.cfg.encoder != ENCODER_VQ) return;
    const int64_t *at = c->hn.saved->at.buffer_at;
    for (int64_t k = 0; k < 8 * 32; k++)
        c->hn.buffers[at[VQ_CODES] + k] = c->hn.buffers[at[VQ_AVERAGES] + k] = number("codes", k, 0);
    hypernet_settle(&c->hn, true);
}

static void case_open(Case *c, HypernetEncoder encoder, const char *path) {
    HypernetConfig cfg = CONFIG;
    cfg.encoder = encoder;
    memset(c, 0, sizeof *c);
    assert_ok(device_open(&c->dev, "cpu", 2));
    assert_ok(hypernet_init(&c->hn, &c->dev, &cfg,
                            (HypernetInit){.training = true, .max_tasks = T + 1, .seed = 1}));
    if (path) assert_ok(safetensors_open(&c->golden, path));
    fill(c);
}

static void case_close(Case *c) {
    hypernet_free(&c->hn);
    if (c->golden.n) safetensors_close(&c->golden);
    device_close(&c->dev);
}

static void forward(Case *c, int input, bool train) {
    char name[32];
    snprintf(name, sizeof name, "embedding.%d", input);
    for (int k = 0; k < T * E; k++) c->e[k] = 4 * number(name, k, 0);
    assert_ok(hypernet_forward(&c->set, &c->hn, &c->dev, tensor_2d(c->e, DT_F32, T, E),
                               (HypernetRun){.train = train, .seed = SEED, .step = (uint64_t)input}));
}

/* Numbers of a golden tensor as doubles; caller frees. */
static double *golden(const Case *c, const char *name, int64_t n) {
    const SafeTensor *t = safetensors_find(&c->golden, name);
    double *out = test_f64(n);
    if (!t) fail_msg("%s: not in the golden file", name);
    assert_int_equal(t->bytes, dtype_bytes(t->dtype, n));
    for (int64_t k = 0; k < n; k++)
        out[k] = t->dtype == DT_F64 ? ((const double *)t->data)[k] : (double)((const float *)t->data)[k];
    return out;
}

static double error_of(const Case *c, const char *name, const float *got, int64_t n) {
    double *want = golden(c, name, n), error = relative_error(got, want, n);
    if (!(error <= 1e-5)) fail_msg("%s: relative error %.3g", name, error);
    free(want);
    return error;
}

/* One factor of one module out of a set, as the golden file has it: [T,L,r,in] or [T,L,out,r]. */
static void factor(float *out, LoraView v, bool is_b, int64_t n) {
    for (int64_t item = 0; item < T * L; item++)
        for (int64_t i = 0; i < R; i++)
            for (int64_t j = 0; j < n; j++) {
                int64_t to = is_b ? (item * n + j) * R + i : (item * R + i) * n + j;
                out[to] =
                    is_b ? v.bt[item * v.bt_stride + i * v.ldb + j] : v.a[item * v.a_stride + i * v.lda + j];
            }
}

static double adapters(const Case *c, const char *when) {
    double worst = 0;
    for (int i = 0; i < 4; i++) {
        LoraModule m = CONFIG.modules[i / 2];
        int64_t n = i % 2 ? CONFIG.out[m] : CONFIG.in[m];
        float got[T * L * R * 7];
        char name[64];
        snprintf(name, sizeof name, "%s.%s.%c", when, lora_module_name(m), "AB"[i % 2]);
        factor(got, c->set.w[m], i % 2, n);
        worst = fmax(worst, error_of(c, name, got, T * L * R * n));
    }
    return worst;
}

static void put_cotangents(const Case *c) {
    for (int i = 0; i < 4; i++) {
        LoraModule m = CONFIG.modules[i / 2];
        LoraView g = c->set.g[m];
        int64_t n = i % 2 ? CONFIG.out[m] : CONFIG.in[m];
        char name[64];
        snprintf(name, sizeof name, "cotangent.%s.%c", lora_module_name(m), "AB"[i % 2]);
        for (int64_t k = 0; k < T * L * R * n; k++) {
            int64_t item = k / (R * n), row = i % 2 ? k % R : k / n % R, column = i % 2 ? k / R % n : k % n;
            if (i % 2)
                g.bt[item * g.bt_stride + row * g.ldb + column] = number(name, k, 0);
            else
                g.a[item * g.a_stride + row * g.lda + column] = number(name, k, 0);
        }
    }
}

/* Every gradient that the golden file has under this prefix. */
static double gradients(Case *c, const char *prefix, bool commit) {
    double worst = 0;
    int found = 0;
    c->hn.commit = commit;
    for (int64_t k = 0; k < c->hn.n_params; k++) c->hn.grads[k] = NAN;
    for (int k = 0; k < T * E; k++) c->de[k] = NAN;
    assert_ok(hypernet_backward(&c->hn, &c->dev, tensor_2d(c->de, DT_F32, T, E)));
    for (int i = -1; i < c->hn.n_tensors; i++) {
        const HypernetTensor *t = i < 0 ? NULL : &c->hn.tensors[i];
        char name[96];
        snprintf(name, sizeof name, "%s.%s", prefix, t ? t->name : "input");
        if (!safetensors_find(&c->golden, name)) continue;
        found++;
        worst = fmax(worst, t ? error_of(c, name, c->hn.grads + t->offset, numel(t))
                              : error_of(c, name, c->de, T * E));
    }
    assert_true(found >= 5);
    return worst;
}

static void codebook(Case *c) {
    double worst = 0;
    for (int i = c->hn.n_tensors; i < c->hn.n_tensors + c->hn.n_buffers; i++) {
        const HypernetTensor *t = &c->hn.tensors[i];
        worst = fmax(worst, error_of(c, t->name, c->hn.buffers + t->offset, numel(t)));
    }
    print_message("codebook after %d steps: largest relative error %.2g\n", STEPS, worst);
}

/* The codes that a step chose, by what it added to their counts. */
static void chosen(const Case *c, int step, const float before[32]) {
    char name[32];
    int want[32] = {0};
    snprintf(name, sizeof name, "chosen.%d", step);
    const SafeTensor *t = safetensors_find(&c->golden, name);
    assert_non_null(t);
    assert_int_equal(t->bytes, T * sizeof(int64_t));
    for (int i = 0; i < T; i++) want[((const int64_t *)t->data)[i]]++;
    const float *counts = c->hn.buffers + c->hn.saved->at.buffer_at[VQ_COUNTS];
    for (int i = 0; i < 32; i++) assert_within(counts[i] - 0.99 * before[i], 0.01 * want[i], 1e-7);
}

static void against_golden(HypernetEncoder encoder, const char *path) {
    Case c;
    case_open(&c, encoder, path);
    for (int i = 0; i < STEPS; i++) {
        char name[32];
        float before[32] = {0}, loss;
        if (encoder == ENCODER_VQ)
            memcpy(before, c.hn.buffers + c.hn.saved->at.buffer_at[VQ_COUNTS], sizeof before);
        c.hn.commitment = NAN;
        forward(&c, i, true);
        loss = (float)c.hn.commitment;
        if (encoder == ENCODER_VQ) {
            snprintf(name, sizeof name, "commitment.%d", i);
            error_of(&c, name, &loss, 1);
            chosen(&c, i, before);
        } else {
            assert_true(loss == 0);
        }
        hypernet_settle(&c.hn, true);
        if (i > 0) continue;
        double worst = adapters(&c, "train");
        put_cotangents(&c);
        double grads = gradients(&c, "grad", false);
        if (encoder == ENCODER_VQ) grads = fmax(grads, gradients(&c, "committed", true));
        print_message("%s: largest relative error of outputs %.2g, of gradients %.2g\n",
                      hypernet_encoder_name(encoder), worst, grads);
    }
    if (encoder == ENCODER_VQ) codebook(&c);
    forward(&c, 0, false);
    adapters(&c, "infer");
    if (encoder == ENCODER_VQ) codebook(&c); /* inference leaves it alone */
    case_close(&c);
}

static void test_onehot(void **state) {
    (void)state;
    against_golden(ENCODER_ONEHOT, GOLDEN("task_encoder_onehot.safetensors"));
}
static void test_vq(void **state) {
    (void)state;
    against_golden(ENCODER_VQ, GOLDEN("task_encoder_vq.safetensors"));
}
static void test_softmax(void **state) {
    (void)state;
    against_golden(ENCODER_SOFTMAX, GOLDEN("task_encoder_softmax.safetensors"));
}

/* What a pass does to the codebook goes with settle(false) and stays with settle(true). */
static void test_settle(void **state) {
    (void)state;
    Case c;
    case_open(&c, ENCODER_VQ, NULL);
    size_t bytes = (size_t)c.hn.saved->at.n_buffer_numbers * sizeof(float);
    float *first = test_alloc(bytes), *second = test_alloc(bytes);
    memcpy(first, c.hn.buffers, bytes);
    forward(&c, 0, true);
    memcpy(second, c.hn.buffers, bytes);
    assert_memory_not_equal(first, second, bytes);
    hypernet_settle(&c.hn, false);
    assert_memory_equal(c.hn.buffers, first, bytes);
    forward(&c, 0, true);
    hypernet_settle(&c.hn, true);
    hypernet_settle(&c.hn, false);
    assert_memory_equal(c.hn.buffers, second, bytes);
    free(first);
    free(second);
    case_close(&c);
}

/* Drawn as often as its probability says, all classes: chi-square with 63 degrees of freedom below 130 (p =
 * 1e-6). */
static void test_draws(void **state) {
    (void)state;
    enum { PASSES = 2000, CLASSES = 64 };
    Case c;
    double count[CLASSES] = {0}, chi = 0;
    case_open(&c, ENCODER_ONEHOT, NULL);
    const HypernetTensor *w = hypernet_find(&c.hn, "task_encoder.mlp.3.weight");
    for (int64_t k = 0; k < numel(w); k++) c.hn.params[w->offset + k] *= 0.25f; /* no class is rare */
    for (int t = 0; t < T; t++)
        for (int k = 0; k < E; k++) c.e[t * E + k] = 0.5f;
    for (int i = 0; i < PASSES; i++) {
        assert_ok(hypernet_forward(&c.set, &c.hn, &c.dev, tensor_2d(c.e, DT_F32, T, E),
                                   (HypernetRun){.train = true, .seed = 3, .step = (uint64_t)i}));
        for (int k = 0; k < T * CLASSES; k++) {
            float x = c.hn.saved->task[k];
            assert_true(x == 0 || x == 1);
            count[k % CLASSES] += x;
        }
    }
    for (int k = 0; k < CLASSES; k++) {
        double want = PASSES * T * (double)c.hn.saved->task_p[k];
        assert_true(want > 10);
        chi += (count[k] - want) * (count[k] - want) / want;
    }
    print_message("chi-square of %d draws: %.1f\n", PASSES * T, chi);
    assert_true(chi < 130);
    case_close(&c);
}

/* Parameters for Mistral-7B, size M: 34,412,288 with the linear encoder's 65,728. The others by the shapes of
 * the reference's layers. */
static void test_counts(void **state) {
    (void)state;
    HypernetConfig cfg = {.size = HYPERNET_M,
                          .embed = 1024,
                          .latent = 128,
                          .head = 512,
                          .rank = 8,
                          .n_layers = 32,
                          .n_modules = 2,
                          .modules = {Q_PROJ, V_PROJ},
                          .in = {[Q_PROJ] = 4096, [V_PROJ] = 4096},
                          .out = {[Q_PROJ] = 4096, [V_PROJ] = 1024},
                          .head_bias = true};
    const int64_t hidden = 1024 * 256 + 256, rest = 34412288 - 65728, heads = 33619968, w = 98;
    const int64_t block = 2 * 4 * w * w + 5 * w, norm = 2 * w;
    const int64_t want[] = {34412288,
                            hidden + 256 * 64 + 64 + (block + 3 * (block + norm)) +
                                (4 * w * 512 + 512 - 4 * w * w - w) + 4 * w + norm + heads,
                            rest + hidden + 256 * 64 + 64 + 128,
                            rest + hidden + 256 * 32 + 32 + 32 * 64 + 128};
    for (int i = 0; i < 4; i++) {
        int64_t n;
        cfg.encoder = (HypernetEncoder)i;
        assert_ok(hypernet_count(&n, &cfg));
        assert_int_equal(n, want[i]);
        print_message("%s: %lld\n", hypernet_encoder_name(cfg.encoder), (long long)n);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_onehot), cmocka_unit_test(test_vq),    cmocka_unit_test(test_softmax),
        cmocka_unit_test(test_settle), cmocka_unit_test(test_draws), cmocka_unit_test(test_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
