/* Sets of adapters: layer views, the penalty and its gradient, the way from files and back. */
#include "tests/test_util.h"

#include "kernels/ops.h"
#include "model/lora.h"

enum { R = 3, LAYERS = 2, N = 3 };
static const int64_t IN[LORA_MODULES] = {[Q_PROJ] = 7, [UP_PROJ] = 33};
static const int64_t OUT[LORA_MODULES] = {[Q_PROJ] = 5, [UP_PROJ] = 40};

static Adapter random_adapter(uint64_t stream) {
    Rng rng = rng_make(10, stream);
    Adapter a = {.n_layers = LAYERS, .rank = R, .alpha = 16, .use_rslora = true, .n_modules = 2};
    a.modules[0] = (AdapterModule){.module = Q_PROJ, .in = IN[Q_PROJ], .out = OUT[Q_PROJ]};
    a.modules[1] = (AdapterModule){.module = UP_PROJ, .in = IN[UP_PROJ], .out = OUT[UP_PROJ]};
    assert_ok(adapter_alloc(&a));
    for (int i = 0; i < 2; i++) {
        fill_random(a.modules[i].a, LAYERS * R * a.modules[i].in, &rng, -1.0f, 1.0f);
        fill_random(a.modules[i].b, LAYERS * R * a.modules[i].out, &rng, -1.0f, 1.0f);
    }
    return a;
}

static void from_and_to_adapters(void **state) {
    (void)state;
    Adapter made[N];
    const Adapter *list[N];
    LoraSet set;
    for (int t = 0; t < N; t++) made[t] = random_adapter((uint64_t)t), list[t] = &made[t];
    Arena arena = arena_measure("test");
    assert_ok(lora_from_adapters(&set, &arena, list, N));
    assert_ok(arena_commit(&arena));
    assert_ok(lora_from_adapters(&set, &arena, list, N));
    assert_int_equal(set.n_adapters, N);
    assert_int_equal(set.rank, R);
    assert_within(set.scale, 16.0 / sqrt(3.0), 1e-5);
    for (int m = 0; m < LORA_MODULES; m++) assert_int_equal(set.on[m], m == Q_PROJ || m == UP_PROJ);
    for (int t = 0; t < N; t++) {
        Adapter back;
        const AdapterModule *q = &made[t].modules[0];
        LoraView v = lora_layer(set.w[Q_PROJ], 1, LAYERS); /* layer 1: item t is adapter t */
        for (int i = 0; i < R; i++) {
            for (int j = 0; j < q->in; j++)
                assert_true(v.a[t * v.a_stride + i * v.lda + j] == q->a[(R + i) * q->in + j]);
            for (int j = 0; j < q->out; j++)
                assert_true(v.bt[t * v.bt_stride + i * v.ldb + j] == q->b[(q->out + j) * R + i]);
        }
        assert_ok(lora_to_adapter(&back, &set, t, IN, OUT, 16.0));
        assert_int_equal(back.n_modules, 2);
        assert_true(back.use_rslora);
        for (int i = 0; i < 2; i++) {
            const AdapterModule *x = &made[t].modules[i], *y = &back.modules[i];
            assert_int_equal(x->module, y->module);
            assert_memory_equal(x->a, y->a, (size_t)(LAYERS * R * x->in) * sizeof(float));
            assert_memory_equal(x->b, y->b, (size_t)(LAYERS * R * x->out) * sizeof(float));
        }
        adapter_free(&back);
    }
    made[1].use_rslora = false; /* another scale */
    assert_fails(lora_from_adapters(&set, &arena, list, N), E_INPUT, "agree");
    for (int t = 0; t < N; t++) adapter_free(&made[t]);
    arena_free(&arena);
}

static void plain_scale(void **state) {
    (void)state;
    Adapter made = random_adapter(5), back;
    const Adapter *list[1] = {&made};
    LoraSet set;
    made.use_rslora = false;
    Arena arena = arena_measure("test");
    assert_ok(lora_from_adapters(&set, &arena, list, 1));
    assert_ok(arena_commit(&arena));
    assert_ok(lora_from_adapters(&set, &arena, list, 1));
    assert_ok(lora_to_adapter(&back, &set, 0, IN, OUT, 16.0));
    assert_false(back.use_rslora);
    adapter_free(&back);
    adapter_free(&made);
    arena_free(&arena);
}

/* Views into rows that are wider than what is read, as sizes M and S of the hypernetwork make them. */
static void penalty(void **state) {
    (void)state;
    enum { MAX = 41, ITEMS = N * LAYERS };
    LoraSet set = {.n_adapters = N, .n_layers = LAYERS, .rank = R};
    TestMat z[2], g[2];
    Rng rng = rng_make(11, 0);
    const LoraModule modules[2] = {Q_PROJ, UP_PROJ};
    double want = 0, weight = 0.125;
    for (int i = 0; i < 2; i++) {
        z[i] = mat_new(2 * ITEMS * R, MAX, 0);
        g[i] = mat_new(2 * ITEMS * R, MAX, 0);
        LoraModule m = modules[i];
        set.on[m] = true;
        set.w[m] = (LoraView){mat_at(&z[i], 0, 0), mat_at(&z[i], ITEMS * R, 0), R * MAX, R * MAX, MAX, MAX};
        set.g[m] = set.w[m];
        set.g[m].a = mat_at(&g[i], 0, 0);
        set.g[m].bt = mat_at(&g[i], ITEMS * R, 0);
        for (int row = 0; row < 2 * ITEMS * R; row++) {
            int64_t n = row < ITEMS * R ? IN[m] : OUT[m];
            fill_random(mat_at(&z[i], row, 0), n, &rng, -1.0f, 1.0f);
            for (int64_t j = 0; j < n; j++) {
                double x = *mat_at(&z[i], row, j);
                want += weight * x * x / (double)(ITEMS * R * n);
                *mat_at(&g[i], row, j) = 1.0f;
            }
        }
    }
    double got[3];
    for (int threads = 1; threads <= 3; threads++) {
        LoraSet values = set;
        memset(values.g, 0, sizeof values.g);
        Device dev;
        assert_ok(device_open(&dev, "cpu", threads));
        assert_ok(lora_penalty(&dev, &got[threads - 1], &values, IN, OUT, weight));
        assert_true(got[threads - 1] == got[0]);
        device_close(&dev);
    }
    Device dev;
    assert_ok(device_open(&dev, "cpu", 1));
    assert_within(got[0], want, 1e-13);
    assert_ok(lora_penalty(&dev, &got[1], &set, IN, OUT, weight));
    assert_true(got[1] == got[0]);
    for (int i = 0; i < 2; i++)
        for (int row = 0; row < 2 * ITEMS * R; row++)
            for (int j = 0; j < MAX; j++) {
                int64_t n = row < ITEMS * R ? IN[modules[i]] : OUT[modules[i]];
                float x = *mat_at(&g[i], row, j);
                if (j >= n)
                    assert_true(isnan(x)); /* unused columns stay as they were */
                else
                    assert_within(x, 1.0 + 2.0 * weight * *mat_at(&z[i], row, j) / (double)(ITEMS * R * n),
                                  1e-7);
            }
    for (int i = 0; i < 2; i++) mat_free(&z[i]), mat_free(&g[i]);
    device_close(&dev);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(from_and_to_adapters),
        cmocka_unit_test(plain_scale),
        cmocka_unit_test(penalty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
