/* One plain LoRA: its start is PEFT's, its gradient is that of its loss (finite differences along random
 * directions, dropout, noise and accumulation on), it learns, and its adapter says what it learned. */
#include "tests/test_util.h"
#include "tests/train/fit_case.h"

static void test_start(void **state) {
    (void)state;
    static const char *const words[] = {"lora.modules=q_proj,down_proj", "data.max_tokens=64", NULL};
    FitCase c;
    fit_case_open(&c, 1, 1, words);
    const LoraSet *s = &c.fit.lora;
    for (int m = 0; m < LORA_MODULES; m++) {
        assert_int_equal(s->on[m], m == Q_PROJ || m == DOWN_PROJ);
        if (!s->on[m]) continue;
        int64_t in = c.fit.shape.in[m], n = s->n_layers * s->rank * in;
        double bound = 1.0 / sqrt((double)in), sum = 0, largest = 0;
        for (int64_t i = 0; i < n; i++) {
            double a = (double)s->w[m].a[i];
            sum += a * a;
            largest = fabs(a) > largest ? fabs(a) : largest;
        }
        assert_true(largest <= bound && largest > 0.95 * bound);
        assert_within(sum / (double)n, bound * bound / 3, 0.1 * bound * bound); /* a uniform's variance */
        for (int64_t i = 0; i < s->n_layers * s->rank * c.fit.shape.out[m]; i++)
            assert_true(s->w[m].bt[i] == 0.0f);
    }
    fit_case_close(&c);
}

static double loss_at(FitCase *c, const float *base, const float *direction, double h) {
    RunStep step;
    Fit *f = &c->fit;
    for (int64_t i = 0; i < f->n_params; i++) f->params[i] = base[i] + (float)h * direction[i];
    assert_ok(fit_step(&step, f, false));
    return step.loss;
}

static void check_gradient(int n_tasks, const char *weight) {
    const char *words[] = {"data.max_tokens=64",
                           "train.batch_tasks=2",
                           "lora.modules=q_proj,v_proj,up_proj",
                           "train.label_smoothing=0.1",
                           weight,
                           NULL};
    FitCase c;
    fit_case_open(&c, n_tasks, 1, words);
    Fit *f = &c.fit;
    size_t size = (size_t)f->n_params * sizeof(float);
    float *base = test_alloc(size), *d = test_alloc(size), *g = test_alloc(size);
    Rng r = rng_make(3, 4);
    fill_random(base, f->n_params, &r, -0.1f, 0.1f); /* B too: at the start A has no gradient */
    memcpy(f->params, base, size);
    RunStep step;
    assert_ok(fit_step(&step, f, false));
    memcpy(g, f->grads, size);
    for (int k = 0; k < 4; k++) {
        const double h = 2e-3;
        double slope = 0, norm = 0;
        for (int64_t i = 0; i < f->n_params; i++) { /* along the gradient and a random direction */
            d[i] =
                g[i] / (float)step.grad_norm + (k ? (2 * rng_float(&r) - 1) / sqrtf((float)f->n_params) : 0);
            slope += (double)d[i] * (double)g[i];
            norm += (double)d[i] * (double)d[i];
        }
        double found = (loss_at(&c, base, d, h) - loss_at(&c, base, d, -h)) / (2 * h);
        /* f32 losses: 4 ulp of the loss over 2h; curvature: within 1 % */
        assert_within(found, slope, 0.01 * fabs(slope) + 4 * ROUND_F32 * step.loss / h);
        assert_true(norm > 0);
    }
    free(base);
    free(d);
    free(g);
    fit_case_close(&c);
}

static void test_gradient(void **state) {
    (void)state;
    check_gradient(1, "train.equal_weight=false");
    check_gradient(1, "train.equal_weight=true");
    check_gradient(2, "train.equal_weight=false");
}

static double valid_loss(FitCase *c) {
    RunKind kind;
    RunVal v;
    Run run = fit_as_run(&c->fit, &kind);
    assert_ok(kind.validate(&v, run.self));
    assert_true(v.set[0].more[0].value >= 0 && v.set[0].more[0].value <= 1 && v.set[0].more[1].value > 0);
    return run_val_loss(&v);
}

/* 40 examples: 32 train, 4 validate. Epochs of 4 batches; the adapter is the best one's. */
static void test_learns(void **state) {
    (void)state;
    static const char *const words[] = {"data.max_tokens=64",
                                        "train.epochs=30",
                                        "train.lr=5e-3",
                                        "lora.modules=q_proj,v_proj,o_proj,up_proj,down_proj",
                                        "eval.every=10",
                                        "train.save_every=0",
                                        NULL};
    FitCase c;
    char run_dir[64], out[64];
    RunResult result;
    snprintf(run_dir, sizeof run_dir, "%s/run", fit_dir);
    snprintf(out, sizeof out, "%s/adapter", fit_dir);
    fit_case_open(&c, 1, 2, words);
    assert_int_equal(c.fit.total, 30 * 4 / 2);
    double before = valid_loss(&c);
    RunOpts opts = {.run_dir = run_dir, .quiet = true};
    assert_ok(fit_run(&result, &c.fit, opts, out));
    double after = valid_loss(&c); /* of the best checkpoint, which was read back */
    printf("validation loss of a tiny model's task: %.3f, then %.3f\n", before, after);
    assert_true(after < 0.5 * before);
    Adapter a;
    assert_ok(adapter_load(&a, out, &c.fit.shape));
    assert_string_equal(a.base_model, c.config.model);
    assert_within(adapter_scale(&a), 16 / sqrt(8), 1e-12);
    assert_memory_equal(a.modules[0].a, c.fit.lora.w[a.modules[0].module].a,
                        (size_t)(c.fit.lora.n_layers * 8 * a.modules[0].in) * sizeof(float));
    adapter_free(&a);
    free(result.ckpt);
    assert_fails(fit_run(&result, &c.fit, opts, out), E_USAGE, "is there already");
    opts.resume = true;
    assert_ok(fit_run(&result, &c.fit, opts, out)); /* nothing left to do */
    assert_null(result.ckpt);
    fit_case_close(&c);
}

/* Walking: every example once an epoch, in an order of its own. */
static void test_walk(void **state) {
    (void)state;
    static const char *const words[] = {"data.max_tokens=64", NULL};
    FitCase c;
    fit_case_open(&c, 1, 1, words);
    BatchSource *s = &c.fit.source;
    assert_int_equal(batch_epoch(s), 4);
    int64_t first[2] = {-1, -1};
    for (int64_t epoch = 0; epoch < 2; epoch++) {
        int seen[32] = {0};
        for (int64_t i = 0; i < 4; i++) {
            assert_ok(batch_next(&c.fit.batch, s, epoch * 4 + i));
            assert_int_equal(c.fit.batch.llm.n_seqs, 8);
            for (int b = 0; b < 8; b++) seen[c.fit.batch.items[b].example - s->tasks[0].examples]++;
        }
        for (int i = 0; i < 32; i++) assert_int_equal(seen[i], 1);
        first[epoch] = s->order[0] * 32 + s->order[1];
    }
    assert_true(first[0] != first[1]);
    fit_case_close(&c);
}

/* Three steps, a validation and a checkpoint under the interpreter of CUDA bodies: losses are the CPU's
 * (twice the error that test_llm allows of one, per step that went before), and what was written comes back.
 */
static void test_in_device_memory(void **state) {
    (void)state;
    enum { STEPS = 3 };
    static const char *const words[] = {"lora.modules=q_proj,v_proj,down_proj", "data.max_tokens=24",
                                        "train.batch_tasks=2", "eval.valid_examples=2", NULL};
    FitCase c[3]; /* the CPU, the interpreter, and what is read back there */
    char dir[96];
    snprintf(dir, sizeof dir, "%s/device", fit_dir);
    assert_ok(file_mkdirs(dir));
    for (int i = 0; i < 3; i++) fit_case_open(&c[i], 2, i == 0, words);
    for (int k = 0; k < STEPS; k++) {
        RunStep step[2];
        for (int i = 0; i < 2; i++) assert_ok(fit_step(&step[i], &c[i].fit, true));
        print_message("step %d: loss %.8f, on the device %.8f\n", k, step[0].loss, step[1].loss);
        assert_within(step[1].loss, step[0].loss, (k + 1) * 4 * 4.7e-7 * step[0].loss);
        assert_within(step[1].grad_norm, step[0].grad_norm, (k + 1) * 2e-5 * step[0].grad_norm);
    }
    double loss = valid_loss(&c[0]);
    assert_within(valid_loss(&c[1]), loss, (STEPS + 1) * 4 * 4.7e-7 * loss);
    RunKind kind, back;
    Run run = fit_as_run(&c[1].fit, &kind), again = fit_as_run(&c[2].fit, &back);
    assert_ok(kind.write(run.self, dir));
    assert_ok(back.read(again.self, dir));
    const Fit *f = &c[1].fit, *g = &c[2].fit;
    size_t bytes = (size_t)f->n_params * sizeof(float);
    float *want = test_alloc(bytes), *got = test_alloc(bytes);
    const float *from[] = {f->params, f->m, f->v}, *to[] = {g->params, g->m, g->v};
    for (int i = 0; i < 3; i++) {
        assert_ok(device_download(f->dev, want, from[i], bytes));
        assert_ok(device_download(g->dev, got, to[i], bytes));
        assert_memory_equal(got, want, bytes);
    }
    free(want);
    free(got);
    for (int i = 0; i < 3; i++) fit_case_close(&c[i]);
}

int main(void) {
    const struct CMUnitTest tests_of_fit[] = {
        cmocka_unit_test(test_start), cmocka_unit_test(test_gradient),         cmocka_unit_test(test_learns),
        cmocka_unit_test(test_walk),  cmocka_unit_test(test_in_device_memory),
    };
    return cmocka_run_group_tests(tests_of_fit, fit_case_make, fit_case_remove);
}
