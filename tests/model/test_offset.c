/* The learned offset of a hypernetwork, sizes S, M and L: outputs and the gradients of the offset, the
 * heads and the task encoder against PyTorch (tests/golden/make_offset.py; of the rest test_hypernet.c), the
 * bits whatever the number of threads, and its place in the flat span. */
#include "tests/test_util.h"

#include "data/safetensors.h"
#include "kernels/ops.h"
#include "model/hypernet.h"

enum { T = 3, L = 2, R = 3, E = 10 };

static HypernetConfig config_of(HypernetSize size) {
    return (HypernetConfig){.size = size,
                            .embed = E,
                            .latent = 8,
                            .head = 12,
                            .rank = R,
                            .n_layers = L,
                            .n_modules = 3,
                            .modules = {V_PROJ, Q_PROJ, UP_PROJ},
                            .in = {[Q_PROJ] = 9, [V_PROJ] = 9, [UP_PROJ] = 5},
                            .out = {[Q_PROJ] = 9, [V_PROJ] = 4, [UP_PROJ] = 11},
                            .learned_offset = true};
}

/* "<size>.<part>.<name>" of the golden file, n numbers. */
static const float *golden(const SafeTensors *g, HypernetSize size, const char *part, const char *name,
                           int64_t n) {
    char full[128];
    snprintf(full, sizeof full, "%s.%s.%s", hypernet_size_name(size), part, name);
    const SafeTensor *t = safetensors_find(g, full);
    if (!t) fail_msg("%s: not in the golden file", full);
    assert_true(t->dtype == DT_F32 && t->bytes == (size_t)n * sizeof(float));
    return (const float *)t->data;
}

/* Rows of B [items*out, r] as B^T [items*r, out]. */
static void turn(float *y, const float *x, int64_t items, int64_t out) {
    for (int64_t i = 0; i < items; i++)
        for (int64_t j = 0; j < out; j++)
            for (int64_t k = 0; k < R; k++) y[(i * R + k) * out + j] = x[(i * out + j) * R + k];
}

/* A tensor of the table, as the file has it: offset.<module>.Bt is the transpose of the file's .B. */
static void golden_tensor(float *to, const SafeTensors *g, HypernetSize size, const char *part,
                          const HypernetTensor *t) {
    int64_t n = t->ndim == 2 ? t->dim[0] * t->dim[1] : t->dim[0];
    char name[64];
    snprintf(name, sizeof name, "%s", t->name);
    size_t end = strlen(name);
    if (strcmp(name + end - 3, ".Bt") != 0) {
        memcpy(to, golden(g, size, part, name, n), (size_t)n * sizeof(float));
        return;
    }
    name[end - 1] = 0;
    turn(to, golden(g, size, part, name, n), L, t->dim[1]);
}

typedef struct Case {
    HypernetSize size;
    SafeTensors g;
    Device dev;
    Hypernet hn;
    LoraSet set;
    float de[T * E];
} Case;

static void open_case(Case *c, HypernetSize size, int threads) {
    HypernetConfig cfg = config_of(size);
    c->size = size;
    assert_ok(device_open(&c->dev, "cpu", threads));
    assert_ok(safetensors_open(&c->g, GOLDEN("offset.safetensors")));
    assert_ok(hypernet_init(&c->hn, &c->dev, &cfg,
                            (HypernetInit){.training = true, .max_tasks = T + 1, .seed = 1}));
    for (int i = 0; i < c->hn.n_tensors; i++)
        golden_tensor(c->hn.params + c->hn.tensors[i].offset, &c->g, size, "param", &c->hn.tensors[i]);
    for (int64_t i = 0; i < c->hn.n_params; i++) c->hn.grads[i] = NAN;
    for (int i = 0; i < T * E; i++) c->de[i] = NAN;
}

static void forward(Case *c, bool train) {
    const float *e = golden(&c->g, c->size, "input", "embedding", T * E);
    assert_ok(hypernet_forward(&c->set, &c->hn, &c->dev, tensor_2d((float *)e, DT_F32, T, E),
                               (HypernetRun){.train = train}));
}

static void close_case(Case *c) {
    hypernet_free(&c->hn);
    safetensors_close(&c->g);
    device_close(&c->dev);
}

/* What is done with one factor of one module: its rows in the set and in the file. */
typedef void each_factor(Case *c, float *x, float *g, int64_t stride, int64_t ld, int64_t n,
                         const char *name);

static void for_factors(Case *c, each_factor *f) {
    for (int i = 0; i < 6; i++) {
        LoraModule m = c->hn.cfg.modules[i / 2];
        LoraView w = c->set.w[m], g = c->set.g[m];
        char name[32];
        snprintf(name, sizeof name, "%s.%c", lora_module_name(m), "AB"[i % 2]);
        if (i % 2)
            f(c, w.bt, g.bt, w.bt_stride, w.ldb, c->hn.cfg.out[m], name);
        else
            f(c, w.a, g.a, w.a_stride, w.lda, c->hn.cfg.in[m], name);
    }
}

/* [T*L*R, n] of a part of the file. */
static float *rows_of(const Case *c, const char *part, const char *name, int64_t n) {
    const float *x = golden(&c->g, c->size, part, name, T * L * R * n);
    float *rows = test_alloc((size_t)(T * L * R * n) * sizeof *rows);
    if (strchr(name, 'B'))
        turn(rows, x, T * L, n);
    else
        memcpy(rows, x, (size_t)(T * L * R * n) * sizeof *rows);
    return rows;
}

static void check_output(Case *c, float *x, float *g, int64_t stride, int64_t ld, int64_t n,
                         const char *name) {
    (void)g;
    float *want = rows_of(c, "output", name, n);
    for (int64_t i = 0; i < T * L * R; i++)
        for (int64_t k = 0; k < n; k++) /* numbers of size 1: 1e-5 as in test_hypernet.c */
            assert_within(x[i / R * stride + i % R * ld + k], want[i * n + k], 1e-5 * 5);
    free(want);
}

static void add_cotangent(Case *c, float *x, float *g, int64_t stride, int64_t ld, int64_t n,
                          const char *name) {
    (void)x;
    float *from = rows_of(c, "cotangent", name, n);
    for (int64_t i = 0; i < T * L * R; i++)
        for (int64_t k = 0; k < n; k++) g[i / R * stride + i % R * ld + k] += from[i * n + k];
    free(from);
}

static bool has_gradient(const char *name) {
    return strncmp(name, "offset.", 7) == 0 || strncmp(name, "heads.", 6) == 0 ||
           strncmp(name, "task_encoder.", 13) == 0;
}

static void check_gradients(const Case *c) {
    double worst = 0;
    int checked = 0;
    for (int i = 0; i < c->hn.n_tensors; i++) {
        const HypernetTensor *t = &c->hn.tensors[i];
        if (!has_gradient(t->name)) continue;
        int64_t n = t->ndim == 2 ? t->dim[0] * t->dim[1] : t->dim[0];
        float *x = test_alloc((size_t)n * sizeof *x);
        double *want = test_f64(n);
        golden_tensor(x, &c->g, c->size, "grad", t);
        for (int64_t k = 0; k < n; k++) want[k] = x[k];
        double error = relative_error(c->hn.grads + t->offset, want, n);
        if (!(error <= 1e-5)) fail_msg("grad.%s: relative error %.3g", t->name, error);
        if (error > worst) worst = error;
        checked++;
        free(want);
        free(x);
    }
    assert_int_equal(checked, 6 + 3 + 4);
    printf("size %s: largest relative error of %d gradients %.1e\n", hypernet_size_name(c->size), checked,
           worst);
}

static void test_reference(void **state) {
    (void)state;
    for (int size = 0; size < 3; size++) {
        Case c;
        open_case(&c, (HypernetSize)size, 2);
        forward(&c, false);
        for_factors(&c, check_output);
        forward(&c, true);
        for_factors(&c, check_output);
        for_factors(&c, add_cotangent);
        assert_ok(hypernet_backward(&c.hn, &c.dev, tensor_2d(c.de, DT_F32, T, E)));
        check_gradients(&c);
        close_case(&c);
    }
}

static float *gradients(HypernetSize size, int threads, size_t *bytes) {
    Case c;
    open_case(&c, size, threads);
    forward(&c, true);
    for_factors(&c, add_cotangent);
    assert_ok(hypernet_backward(&c.hn, &c.dev, (Tensor){0}));
    *bytes = (size_t)c.hn.n_params * sizeof(float);
    float *g = test_alloc(*bytes);
    memcpy(g, c.hn.grads, *bytes);
    close_case(&c);
    return g;
}

static void test_threads(void **state) {
    (void)state;
    for (int size = 0; size < 3; size++) {
        size_t n, m;
        float *one = gradients((HypernetSize)size, 1, &n), *three = gradients((HypernetSize)size, 3, &m);
        assert_int_equal(n, m);
        assert_memory_equal(one, three, n);
        free(one);
        free(three);
    }
}

/* The table's rows of the offset are the output stage's shift, one after another, and are counted. */
static void test_place(void **state) {
    (void)state;
    for (int size = 0; size < 3; size++) {
        Case c;
        open_case(&c, (HypernetSize)size, 1);
        HypernetConfig plain = c.hn.cfg;
        int64_t with, without, at;
        plain.learned_offset = false;
        assert_ok(hypernet_count(&with, &c.hn.cfg));
        assert_ok(hypernet_count(&without, &plain));
        assert_int_equal(with - without, L * R * (9 + 9 + 9 + 4 + 5 + 11));
        for (int i = 0; i < 6; i++) {
            char name[64];
            snprintf(name, sizeof name, "offset.%s.%s", lora_module_name(c.hn.cfg.modules[i / 2]),
                     i % 2 ? "Bt" : "A");
            const HypernetTensor *t = hypernet_find(&c.hn, name);
            assert_non_null(t);
            int64_t n = hypernet_output_span(&at, &c.hn.cfg, i / 2, i % 2);
            assert_int_equal(t->dim[0] * t->dim[1], n);
            assert_ptr_equal(c.hn.output.shift + at, c.hn.params + t->offset);
        }
        close_case(&c);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reference),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
