/* The hypernetwork against the authors' class (outputs and all gradients, float64), against the published
 * parameter counts, and against itself: derivatives with dropout on, threads, batches, starts. */
#include "tests/test_util.h"

#include "data/safetensors.h"
#include "kernels/ops.h"
#include "model/hypernet.h"

static const HypernetConfig TINY = {.size = HYPERNET_M,
                                    .embed = 10,
                                    .latent = 8,
                                    .head = 12,
                                    .rank = 3,
                                    .n_layers = 2,
                                    .n_modules = 3,
                                    .modules = {V_PROJ, Q_PROJ, UP_PROJ},
                                    .in = {[Q_PROJ] = 9, [V_PROJ] = 9, [UP_PROJ] = 5},
                                    .out = {[Q_PROJ] = 9, [V_PROJ] = 4, [UP_PROJ] = 11},
                                    .dropout = 0.0f,
                                    .lora_scale = 2.0f,
                                    .lora_dropout = 0.1f,
                                    .head_bias = true};

static const HypernetConfig MISTRAL = {.embed = 1024,
                                       .latent = 128,
                                       .head = 512,
                                       .rank = 8,
                                       .n_layers = 32,
                                       .n_modules = 2,
                                       .modules = {Q_PROJ, V_PROJ},
                                       .in = {[Q_PROJ] = 4096, [V_PROJ] = 4096},
                                       .out = {[Q_PROJ] = 4096, [V_PROJ] = 1024},
                                       .head_bias = true};

static int64_t numel(const HypernetTensor *t) {
    return t->ndim == 2 ? t->dim[0] * t->dim[1] : t->dim[0];
}

/* ---- the reference ---- */

static const double *golden(const SafeTensors *g, const char *prefix, const char *name, int64_t n) {
    char full[128];
    snprintf(full, sizeof full, "%s%s", prefix, name);
    const SafeTensor *t = safetensors_find(g, full);
    if (!t) fail_msg("%s: not in the golden file", full);
    assert_int_equal(t->dtype, DT_F64);
    assert_int_equal(t->bytes, (size_t)n * sizeof(double));
    return (const double *)t->data;
}

/* Largest difference of adapters from a golden [T,L,r,in] or [T,L,out,r], over the largest number. */
static double adapter_error(LoraView v, const double *want, bool is_b, int64_t items, int64_t r, int64_t n) {
    double worst = 0, largest = 0;
    for (int64_t item = 0; item < items; item++)
        for (int64_t i = 0; i < r; i++)
            for (int64_t j = 0; j < n; j++) {
                double w = is_b ? want[(item * n + j) * r + i] : want[(item * r + i) * n + j];
                double x =
                    is_b ? v.bt[item * v.bt_stride + i * v.ldb + j] : v.a[item * v.a_stride + i * v.lda + j];
                if (!(fabs(x - w) <= worst)) worst = isnan(x) ? INFINITY : fabs(x - w);
                if (fabs(w) > largest) largest = fabs(w);
            }
    return worst / largest;
}

static void put_cotangent(LoraView g, const double *c, bool is_b, int64_t items, int64_t r, int64_t n) {
    for (int64_t item = 0; item < items; item++)
        for (int64_t i = 0; i < r; i++)
            for (int64_t j = 0; j < n; j++) {
                if (is_b)
                    g.bt[item * g.bt_stride + i * g.ldb + j] += (float)c[(item * n + j) * r + i];
                else
                    g.a[item * g.a_stride + i * g.lda + j] += (float)c[(item * r + i) * n + j];
            }
}

static void against_reference(const char *path, HypernetSize size, bool learned) {
    enum { T = 2, L = 3, R = 8, E = 20 };
    HypernetConfig cfg = {.size = size,
                          .embed = E,
                          .latent = 16,
                          .head = 40,
                          .rank = R,
                          .n_layers = L,
                          .n_modules = 2,
                          .modules = {Q_PROJ, V_PROJ},
                          .in = {[Q_PROJ] = 24, [V_PROJ] = 24},
                          .out = {[Q_PROJ] = 24, [V_PROJ] = 8},
                          .learned_positions = learned,
                          .head_bias = true};
    Device dev;
    Hypernet hn;
    SafeTensors g;
    LoraSet set;
    float e[T * E], de[T * E];
    assert_ok(device_open(&dev, "cpu", 2));
    assert_ok(safetensors_open(&g, path));
    assert_ok(
        hypernet_init(&hn, &dev, &cfg, (HypernetInit){.training = true, .max_tasks = T + 1, .seed = 1}));
    int64_t n_golden = 0;
    for (int64_t i = 0; i < g.n; i++) n_golden += strncmp(g.tensors[i].name, "param.", 6) == 0;
    assert_int_equal(n_golden, hn.n_tensors);
    for (int i = 0; i < hn.n_tensors; i++) {
        const HypernetTensor *t = &hn.tensors[i];
        const double *want = golden(&g, "param.", t->name, numel(t));
        for (int64_t k = 0; k < numel(t); k++) hn.params[t->offset + k] = (float)want[k];
    }
    const double *ge = golden(&g, "input.", "embedding", T * E);
    for (int k = 0; k < T * E; k++) e[k] = (float)ge[k];
    for (int64_t k = 0; k < hn.n_params; k++) hn.grads[k] = NAN;
    for (int k = 0; k < T * E; k++) de[k] = NAN;

    assert_ok(hypernet_forward(&set, &hn, &dev, tensor_2d(e, DT_F32, T, E),
                               (HypernetRun){.train = true, .seed = 1, .step = 3}));
    double worst = 0;
    for (int i = 0; i < cfg.n_modules; i++)
        for (int is_b = 0; is_b < 2; is_b++) {
            LoraModule m = cfg.modules[i];
            char name[64];
            int64_t n = is_b ? cfg.out[m] : cfg.in[m];
            snprintf(name, sizeof name, "%s.%c", lora_module_name(m), "AB"[is_b]);
            double err =
                adapter_error(set.w[m], golden(&g, "output.", name, T * L * R * n), is_b, T * L, R, n);
            if (!(err <= worst)) worst = err;
            if (!(err <= 1e-5)) fail_msg("output.%s: relative error %.3g", name, err);
            put_cotangent(set.g[m], golden(&g, "cotangent.", name, T * L * R * n), is_b, T * L, R, n);
        }
    print_message("outputs: largest relative error %.2g\n", worst);
    assert_ok(hypernet_backward(&hn, &dev, tensor_2d(de, DT_F32, T, E)));
    worst = relative_error(de, golden(&g, "grad.input.", "embedding", T * E), T * E);
    assert_true(worst <= 1e-5);
    for (int i = 0; i < hn.n_tensors; i++) {
        const HypernetTensor *t = &hn.tensors[i];
        double err = relative_error(hn.grads + t->offset, golden(&g, "grad.", t->name, numel(t)), numel(t));
        if (!(err <= worst)) worst = err;
        if (!(err <= 1e-5)) fail_msg("grad.%s: relative error %.3g", t->name, err);
    }
    print_message("gradients: largest relative error %.2g\n", worst);
    hypernet_free(&hn);
    safetensors_close(&g);
    device_close(&dev);
}

static void reference_l(void **state) {
    (void)state;
    against_reference(GOLDEN("hypernet_L.safetensors"), HYPERNET_L, false);
}
static void reference_m(void **state) {
    (void)state;
    against_reference(GOLDEN("hypernet_M.safetensors"), HYPERNET_M, false);
}
static void reference_s(void **state) {
    (void)state;
    against_reference(GOLDEN("hypernet_S.safetensors"), HYPERNET_S, false);
}
static void reference_s_learned(void **state) {
    (void)state;
    against_reference(GOLDEN("hypernet_S_learned_positions.safetensors"), HYPERNET_S, true);
}

/* ---- counts and refusals ---- */

static void published_counts(void **state) {
    (void)state;
    const struct {
        HypernetSize size;
        int64_t n;
    } want[] = {{HYPERNET_L, 55424000}, {HYPERNET_M, 34412288}, {HYPERNET_S, 4994816}};
    for (int i = 0; i < COUNT_OF(want); i++) {
        HypernetConfig cfg = MISTRAL;
        int64_t n = 0;
        cfg.size = want[i].size;
        assert_ok(hypernet_count(&n, &cfg));
        assert_int_equal(n, want[i].n);
    }
}

static void refused_shapes(void **state) {
    (void)state;
    int64_t n;
    HypernetConfig c = TINY;
    c.latent = 10;
    assert_fails(hypernet_count(&n, &c), E_INPUT, "multiple of 4");
    c = TINY;
    c.rank = 0;
    assert_fails(hypernet_count(&n, &c), E_INPUT, "rank");
    c = TINY;
    c.in[V_PROJ] = 0;
    assert_fails(hypernet_count(&n, &c), E_INPUT, "v_proj");
    c = TINY;
    c.modules[1] = V_PROJ;
    assert_fails(hypernet_count(&n, &c), E_INPUT, "twice");
    c = TINY;
    c.n_modules = 0;
    assert_fails(hypernet_count(&n, &c), E_INPUT, "modules");
    c = TINY;
    c.encoder = (HypernetEncoder)4;
    assert_fails(hypernet_count(&n, &c), E_INPUT, "task encoder 4");
    c = TINY; /* 64 + 2 + 3 */
    c.encoder = ENCODER_ONEHOT;
    c.size = HYPERNET_S;
    assert_fails(hypernet_count(&n, &c), E_INPUT, "choose learned positions");
    c = TINY;
    c.dropout = 1.0f;
    assert_fails(hypernet_count(&n, &c), E_INPUT, "dropout");
    c = TINY;
    c.dropout = NAN;
    assert_fails(hypernet_count(&n, &c), E_INPUT, "dropout");
    c = TINY;
    c.learned_positions = true;
    assert_fails(hypernet_count(&n, &c), E_INPUT, "size S");
}

/* ---- against itself ---- */

/* One adapter batch's dot product with fixed random cotangents; with `put`, they are added to set->g. */
static double dot(const LoraSet *set, const HypernetConfig *cfg, bool put) {
    double sum = 0;
    Rng rng = rng_make(99, 0);
    for (int i = 0; i < cfg->n_modules; i++) {
        LoraModule m = cfg->modules[i];
        LoraView w = set->w[m], g = set->g[m];
        for (int64_t item = 0; item < set->n_adapters * set->n_layers; item++)
            for (int64_t k = 0; k < set->rank; k++) {
                for (int64_t j = 0; j < cfg->in[m]; j++) {
                    float c = rng_float(&rng) - 0.5f;
                    int64_t at = item * w.a_stride + k * w.lda + j;
                    sum += (double)c * w.a[at];
                    if (put) g.a[at] += c;
                }
                for (int64_t j = 0; j < cfg->out[m]; j++) {
                    float c = rng_float(&rng) - 0.5f;
                    int64_t at = item * w.bt_stride + k * w.ldb + j;
                    sum += (double)c * w.bt[at];
                    if (put) g.bt[at] += c;
                }
            }
    }
    return sum;
}

static void derivatives_of(HypernetConfig cfg, Device *dev) {
    enum { T = 3, E = 10 };
    HypernetRun run = {.train = true, .seed = 4, .step = 17};
    Hypernet hn;
    LoraSet set;
    float e[T * E], de[T * E], moved[T * E];
    Rng rng = rng_make(3, 1);
    fill_random(e, T * E, &rng, -1.0f, 1.0f);
    assert_ok(hypernet_init(&hn, dev, &cfg, (HypernetInit){.training = true, .max_tasks = T, .seed = 2}));
    Tensor te = tensor_2d(e, DT_F32, T, E), tm = tensor_2d(moved, DT_F32, T, E);
    assert_ok(hypernet_forward(&set, &hn, dev, te, run));
    dot(&set, &cfg, true);
    assert_ok(hypernet_backward(&hn, dev, tensor_2d(de, DT_F32, T, E)));
    const double h = 4e-3; /* chosen: five-point rule, error h^4, noise 1e-6/h */
    bool smooth = cfg.encoder == ENCODER_LINEAR || cfg.encoder == ENCODER_SOFTMAX;
    hypernet_settle(&hn, false); /* the codebook as it was */
    for (int i = smooth ? -1 : 0; i < hn.n_tensors; i++) {
        if (!smooth && strncmp(hn.tensors[i].name, "task_encoder.", 13) == 0) continue;
        int64_t n = i < 0 ? T * E : numel(&hn.tensors[i]);
        float *p = i < 0 ? moved : hn.params + hn.tensors[i].offset;
        const float *g = i < 0 ? de : hn.grads + hn.tensors[i].offset;
        float *base = test_alloc((size_t)n * sizeof *base), *dir = test_alloc((size_t)n * sizeof *dir);
        memcpy(moved, e, sizeof e);
        memcpy(base, p, (size_t)n * sizeof *base);
        double along = 0, size = 0, d[5] = {0};
        for (int64_t k = 0; k < n; k++) {
            dir[k] = rng_float(&rng) < 0.5f ? -1.0f : 1.0f;
            along += (double)g[k] * dir[k];
            size += (double)g[k] * g[k];
        }
        for (int s = -2; s <= 2; s++) {
            double step = s * h / sqrt((double)n);
            for (int64_t k = 0; k < n; k++) p[k] = (float)(base[k] + step * dir[k]);
            assert_ok(hypernet_forward(&set, &hn, dev, tm, run));
            hypernet_settle(&hn, false);
            d[s + 2] = dot(&set, &cfg, false);
        }
        memcpy(p, base, (size_t)n * sizeof *base);
        double numeric = (8.0 * (d[3] - d[1]) - (d[4] - d[0])) / (12.0 * h) * sqrt((double)n);
        double bound = 5e-3 * sqrt(size) + 1e-3 * sqrt((double)n);
        if (!within(along, numeric, bound))
            fail_msg("size %s, %s, %s: %.6g, numerically %.6g", hypernet_size_name(cfg.size),
                     hypernet_encoder_name(cfg.encoder), i < 0 ? "embedding" : hn.tensors[i].name, along,
                     numeric);
        free(base);
        free(dir);
    }
    hypernet_free(&hn);
}

static void derivatives(void **state) {
    (void)state;
    Device dev;
    assert_ok(device_open(&dev, "cpu", 1));
    for (int i = 0; i < 8; i++) {
        HypernetConfig cfg = TINY;
        cfg.dropout = 0.3f;
        cfg.size = i % 4 == 3 ? HYPERNET_S : (HypernetSize)(i % 4);
        cfg.learned_positions = i % 4 == 3;
        cfg.learned_offset = i >= 4;
        cfg.head_bias = i < 4;
        derivatives_of(cfg, &dev);
    }
    for (int encoder = ENCODER_ONEHOT; encoder <= ENCODER_SOFTMAX; encoder++) {
        HypernetConfig cfg = TINY;
        cfg.dropout = 0.3f;
        cfg.encoder = (HypernetEncoder)encoder;
        derivatives_of(cfg, &dev);
    }
    device_close(&dev);
}

/* Outputs and gradients of one pass, all in one array; caller frees. */
static float *pass(HypernetConfig cfg, int threads, int64_t *n_out) {
    enum { T = 5, MAX = 7 };
    Device dev;
    Hypernet hn;
    LoraSet set;
    float e[T * 10];
    Rng rng = rng_make(8, 0);
    fill_random(e, T * 10, &rng, -1.0f, 1.0f);
    assert_ok(device_open(&dev, "cpu", threads));
    assert_ok(hypernet_init(&hn, &dev, &cfg, (HypernetInit){.training = true, .max_tasks = MAX, .seed = 5}));
    assert_ok(hypernet_forward(&set, &hn, &dev, tensor_2d(e, DT_F32, T, 10),
                               (HypernetRun){.train = true, .seed = 6, .step = 1}));
    double value = dot(&set, &cfg, true);
    assert_ok(hypernet_backward(&hn, &dev, (Tensor){0}));
    int64_t n = hn.n_params;
    int64_t most = n + 2;
    for (int i = hn.n_tensors; i < hn.n_tensors + hn.n_buffers; i++) most += numel(&hn.tensors[i]);
    float *all = test_alloc((size_t)most * sizeof *all);
    memcpy(all, hn.grads, (size_t)n * sizeof *all);
    memcpy(all + n, &value, sizeof value);
    n += 2;
    memcpy(all + n, hn.buffers, (size_t)(most - n) * sizeof *all);
    *n_out = most;
    hypernet_free(&hn);
    device_close(&dev);
    return all;
}

static void same_bits_for_any_threads(void **state) {
    (void)state;
    for (int i = 0; i < 6; i++) { /* the sizes, then the other task encoders */
        HypernetConfig cfg = TINY;
        int64_t n, n2;
        cfg.size = i < 3 ? (HypernetSize)i : HYPERNET_M;
        cfg.encoder = i < 3 ? ENCODER_LINEAR : (HypernetEncoder)(i - 2);
        cfg.dropout = 0.2f;
        cfg.latent = 64;
        cfg.head = 130;
        cfg.in[Q_PROJ] = cfg.out[Q_PROJ] = cfg.in[V_PROJ] = 257;
        float *one = pass(cfg, 1, &n);
        for (int threads = 2; threads <= 3; threads++) {
            float *more = pass(cfg, threads, &n2);
            assert_int_equal(n, n2);
            assert_memory_equal(one, more, (size_t)n * sizeof *one);
            free(more);
        }
        free(one);
    }
}

/* A task's adapter does not depend on the batch it is made in, nor on training buffers. */
static void batches(void **state) {
    (void)state;
    enum { T = 4, E = 10 };
    Device dev;
    Hypernet hn, plain;
    LoraSet all, one;
    float e[T * E];
    Rng rng = rng_make(8, 0);
    fill_random(e, T * E, &rng, -1.0f, 1.0f);
    assert_ok(device_open(&dev, "cpu", 2));
    for (int size = 0; size < 3; size++) {
        HypernetConfig cfg = TINY;
        cfg.size = (HypernetSize)size;
        cfg.dropout = 0.5f; /* off outside of training */
        assert_ok(
            hypernet_init(&hn, &dev, &cfg, (HypernetInit){.training = true, .max_tasks = T, .seed = 5}));
        assert_ok(hypernet_init(&plain, &dev, &cfg, (HypernetInit){.max_tasks = 1, .seed = 5}));
        assert_null(plain.grads);
        assert_ok(hypernet_forward(&all, &hn, &dev, tensor_2d(e, DT_F32, T, E), (HypernetRun){0}));
        assert_int_equal(all.n_adapters, T);
        assert_int_equal(all.rank, 3);
        assert_true(all.scale == 2.0f && all.dropout == 0.1f);
        for (int t = 0; t < T; t++) {
            assert_ok(
                hypernet_forward(&one, &plain, &dev, tensor_2d(e + t * E, DT_F32, 1, E), (HypernetRun){0}));
            for (int m = 0; m < LORA_MODULES; m++) {
                assert_int_equal(all.on[m], m == V_PROJ || m == Q_PROJ || m == UP_PROJ);
                if (!all.on[m]) continue;
                assert_null(all.g[m].a);
                LoraView x = all.w[m], y = one.w[m];
                for (int64_t l = 0; l < 2; l++)
                    for (int64_t i = 0; i < 3; i++) {
                        for (int64_t j = 0; j < cfg.in[m]; j++)
                            assert_within(x.a[(t * 2 + l) * x.a_stride + i * x.lda + j],
                                          y.a[l * y.a_stride + i * y.lda + j], 1e-5);
                        for (int64_t j = 0; j < cfg.out[m]; j++)
                            assert_within(x.bt[(t * 2 + l) * x.bt_stride + i * x.ldb + j],
                                          y.bt[l * y.bt_stride + i * y.ldb + j], 1e-5);
                    }
            }
        }
        hypernet_free(&hn);
        hypernet_free(&plain);
    }
    device_close(&dev);
}

static void dropout_depends_on_step_and_seed(void **state) {
    (void)state;
    Device dev;
    Hypernet hn;
    LoraSet set;
    float e[10];
    Rng rng = rng_make(8, 0);
    HypernetConfig cfg = TINY;
    cfg.dropout = 0.2f;
    fill_random(e, 10, &rng, -1.0f, 1.0f);
    assert_ok(device_open(&dev, "cpu", 1));
    assert_ok(hypernet_init(&hn, &dev, &cfg, (HypernetInit){.training = true, .max_tasks = 1, .seed = 5}));
    double d[4];
    const HypernetRun runs[4] = {{true, 1, 1}, {true, 1, 2}, {true, 2, 1}, {true, 1, 1}};
    for (int i = 0; i < 4; i++) {
        assert_ok(hypernet_forward(&set, &hn, &dev, tensor_2d(e, DT_F32, 1, 10), runs[i]));
        d[i] = dot(&set, &cfg, false);
    }
    assert_true(d[0] == d[3] && d[0] != d[1] && d[0] != d[2] && d[1] != d[2]);
    hypernet_free(&hn);
    device_close(&dev);
}

/* ---- starts ---- */

static void start_statistics(void **state) {
    (void)state;
    Device dev;
    Hypernet hn;
    HypernetConfig cfg = MISTRAL;
    cfg.size = HYPERNET_S;
    assert_ok(device_open(&dev, "cpu", 2));
    assert_ok(hypernet_init(&hn, &dev, &cfg, (HypernetInit){.max_tasks = 1, .seed = 11}));
    assert_int_equal(hn.n_params, 4994816);
    for (int i = 0; i < hn.n_tensors; i++) {
        const HypernetTensor *t = &hn.tensors[i];
        int64_t n = numel(t);
        double mean = 0, square = 0, largest = 0;
        for (int64_t k = 0; k < n; k++) {
            double x = hn.params[t->offset + k];
            mean += x / (double)n;
            square += x * x / (double)n;
            largest = fmax(largest, fabs(x));
        }
        double sd = sqrt(square), five = 5.0 / sqrt((double)n);
        if (t->fill == FILL_ONE || t->fill == FILL_ZERO) {
            assert_true(mean == (t->fill == FILL_ONE ? 1.0 : 0.0) && largest == mean);
        } else if (t->fill == FILL_NORMAL) {
            assert_within(mean, 0.0, five);
            assert_within(square, 1.0, 1.5 * five);
            assert_true(largest > 1.0 && largest < 6.0);
        } else {
            double bound = 1.0 / sqrt((double)t->fan_in);
            assert_true(t->fan_in > 0 && largest <= bound);
            assert_within(mean, 0.0, five * bound);
            assert_within(sd, bound / sqrt(3.0), five * bound);
        }
    }
    hypernet_free(&hn);
    device_close(&dev);
}

static void sft_start(void **state) {
    (void)state;
    Device dev;
    Hypernet hn;
    LoraSet set;
    float e[10];
    Rng rng = rng_make(8, 0);
    fill_random(e, 10, &rng, -1.0f, 1.0f);
    assert_ok(device_open(&dev, "cpu", 1));
    float a_init[LORA_MODULES][3 * 9];
    for (int size = HYPERNET_L; size >= HYPERNET_S; size--) { /* L first: it shows A itself */
        HypernetConfig cfg = TINY;
        cfg.size = (HypernetSize)size;
        assert_ok(
            hypernet_init(&hn, &dev, &cfg, (HypernetInit){.sft_start = true, .max_tasks = 1, .seed = 7}));
        assert_ok(hypernet_forward(&set, &hn, &dev, tensor_2d(e, DT_F32, 1, 10), (HypernetRun){0}));
        for (int i = 0; i < cfg.n_modules; i++) {
            LoraModule m = cfg.modules[i];
            LoraView w = set.w[m];
            int64_t in = cfg.in[m], out = cfg.out[m];
            for (int64_t l = 0; l < 2; l++)
                for (int64_t k = 0; k < 3; k++) {
                    const float *a = w.a + l * w.a_stride + k * w.lda,
                                *b = w.bt + l * w.bt_stride + k * w.ldb;
                    for (int64_t j = 0; j < in; j++) {
                        assert_true(fabsf(a[j]) <= 1.0f / sqrtf((float)in));
                        if (size == HYPERNET_L && l == 0) a_init[m][k * in + j] = a[j];
                        double full = a_init[m][k * in + j], flat = a_init[m][j];
                        if (size == HYPERNET_L) assert_true(a[j] == full && full != 0.0);
                        if (size == HYPERNET_M) assert_within(a[j], full / sqrt(2.0), 1e-7);
                        if (size == HYPERNET_S) assert_within(a[j], flat / sqrt(2.0) / sqrt(3.0), 1e-7);
                    }
                    for (int64_t j = 0; j < out; j++) {
                        double full = j < in ? a_init[m][k * in + j] : 0.0, flat = a_init[m][j];
                        if (size == HYPERNET_L) assert_true(b[j] == 0.0f);
                        if (size == HYPERNET_M) assert_within(b[j], full / sqrt(2.0), 1e-7);
                        if (size == HYPERNET_S) assert_within(b[j], flat / sqrt(2.0) / sqrt(3.0), 1e-7);
                    }
                }
        }
        hypernet_free(&hn);
    }
    device_close(&dev);
}

static void table(void **state) {
    (void)state;
    Device dev;
    Hypernet hn;
    HypernetConfig cfg = TINY;
    cfg.head_bias = false;
    assert_ok(device_open(&dev, "cpu", 1));
    assert_ok(hypernet_init(&hn, &dev, &cfg, (HypernetInit){.max_tasks = 1, .seed = 7}));
    int64_t next = 0;
    for (int i = 0; i < hn.n_tensors; i++) {
        assert_int_equal(hn.tensors[i].offset, next);
        assert_ptr_equal(hypernet_find(&hn, hn.tensors[i].name), &hn.tensors[i]);
        next += numel(&hn.tensors[i]);
    }
    assert_int_equal(next, hn.n_params);
    assert_null(hypernet_find(&hn, "heads.q_proj.bias"));
    const HypernetTensor *t = hypernet_find(&hn, "heads.up_proj.weight");
    assert_non_null(t);
    assert_int_equal(t->dim[0], 3 * 11);
    assert_int_equal(t->dim[1], 12);
    hypernet_free(&hn);
    device_close(&dev);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reference_l),
        cmocka_unit_test(reference_m),
        cmocka_unit_test(reference_s),
        cmocka_unit_test(reference_s_learned),
        cmocka_unit_test(published_counts),
        cmocka_unit_test(refused_shapes),
        cmocka_unit_test(derivatives),
        cmocka_unit_test(same_bits_for_any_threads),
        cmocka_unit_test(batches),
        cmocka_unit_test(dropout_depends_on_step_and_seed),
        cmocka_unit_test(start_statistics),
        cmocka_unit_test(sft_start),
        cmocka_unit_test(table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
