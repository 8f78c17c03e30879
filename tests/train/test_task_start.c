/* The start of the task encoder, checked by what defines it: on the embeddings it was made from, its outputs
 * have mean 0, one common within-task variance (ridge included) and no covariance, between-task variances
 * that descend, and the stated total. Hand-made tasks differ in two of twelve coordinates; two directions
 * must find them. */
#include "base/rng.h"
#include "kernels/ops.h"
#include "tests/test_util.h"
#include "train/task_start.h"

#include <math.h>

enum { E = 12, K = 4, TASKS = 9, EACH = 40, N = TASKS * EACH };

static const double RIDGE = 0.1; /* task_start.c */

typedef struct Case {
    Device dev;
    Hypernet hn;
    float x[N * E];
    int64_t first[TASKS + 1];
    int64_t n_tasks;
} Case;

static double normal(Rng *r) {
    double s = 0;
    for (int i = 0; i < 12; i++) s += rng_float(r);
    return s - 6;
}

/* Coordinate j: noise of its own size, plus for j < 2 what makes the tasks differ. */
static void open_case(Case *c, int threads, int64_t n_tasks) {
    HypernetConfig cfg = {.size = HYPERNET_L,
                          .embed = E,
                          .latent = 2 * K,
                          .head = 8,
                          .rank = 2,
                          .n_layers = 2,
                          .n_modules = 1,
                          .modules = {Q_PROJ}};
    cfg.in[Q_PROJ] = cfg.out[Q_PROJ] = 6;
    assert_ok(device_open(&c->dev, "cpu", threads));
    assert_ok(hypernet_init(&c->hn, &c->dev, &cfg, (HypernetInit){.max_tasks = 1, .seed = 7}));
    Rng r = rng_make(11, 0);
    c->n_tasks = n_tasks;
    for (int64_t t = 0; t < n_tasks; t++) {
        double at[2] = {normal(&r), normal(&r)};
        c->first[t] = t * EACH;
        for (int64_t i = t * EACH; i < (t + 1) * EACH; i++)
            for (int j = 0; j < E; j++)
                c->x[i * E + j] =
                    (float)(0.5 + (j < 2 ? 0.4 * at[j] + 0.2 * normal(&r) : (0.2 + 0.05 * j) * normal(&r)));
    }
    c->first[n_tasks] = n_tasks * EACH;
}

static void close_case(Case *c) {
    hypernet_free(&c->hn);
    device_close(&c->dev);
}

static float *weights(const Case *c, const char *name) {
    const HypernetTensor *t = hypernet_find(&c->hn, name);
    assert_non_null(t);
    return c->hn.params + t->offset;
}

static void outputs(double y[N][K], const Case *c) {
    const float *w = weights(c, "task_encoder.mlp.0.weight"), *b = weights(c, "task_encoder.mlp.0.bias");
    for (int64_t i = 0; i < c->n_tasks * EACH; i++)
        for (int k = 0; k < K; k++) {
            y[i][k] = b[k];
            for (int j = 0; j < E; j++) y[i][k] += (double)w[k * E + j] * c->x[i * E + j];
        }
}

static void test_definition(void **state) {
    (void)state;
    static Case c;
    static double y[N][K], mean[TASKS][K];
    open_case(&c, 1, TASKS);
    assert_ok(task_start(&c.hn, &c.dev, c.x, c.first, c.n_tasks));
    outputs(y, &c);
    double all[K] = {0}, within[K][K] = {{0}}, between[K][K] = {{0}}, spread = 0;
    memset(mean, 0, sizeof mean);
    for (int i = 0; i < N; i++)
        for (int k = 0; k < K; k++) {
            mean[i / EACH][k] += y[i][k] / EACH;
            all[k] += y[i][k] / N;
        }
    for (int i = 0; i < N; i++)
        for (int k = 0; k < K; k++)
            for (int l = 0; l < K; l++)
                within[k][l] += (y[i][k] - mean[i / EACH][k]) * (y[i][l] - mean[i / EACH][l]) / N;
    for (int t = 0; t < TASKS; t++)
        for (int k = 0; k < K; k++)
            for (int l = 0; l < K; l++) between[k][l] += mean[t][k] * mean[t][l] / TASKS;
    /* the ridge: the mean within-task variance of the inputs times RIDGE, seen through the weights */
    double x_mean[TASKS][E] = {{0}}, variance = 0, total = 0;
    for (int i = 0; i < N; i++)
        for (int j = 0; j < E; j++) x_mean[i / EACH][j] += (double)c.x[i * E + j] / EACH;
    for (int i = 0; i < N; i++)
        for (int j = 0; j < E; j++) variance += pow(c.x[i * E + j] - x_mean[i / EACH][j], 2) / (N * E);
    const float *w = weights(&c, "task_encoder.mlp.0.weight");
    for (int k = 0; k < K; k++) {
        assert_true(fabs(all[k]) < 1e-5);
        total += within[k][k] + between[k][k];
        for (int l = 0; l < K; l++)
            for (int j = 0; j < E; j++)
                within[k][l] += RIDGE * variance * (double)w[k * E + j] * w[l * E + j];
    }
    spread = within[0][0];
    for (int k = 0; k < K; k++)
        for (int l = 0; l < K; l++) {
            assert_true(fabs(within[k][l] - (k == l ? spread : 0)) < 1e-4 * spread);
            if (k != l) assert_true(fabs(between[k][l]) < 1e-4 * between[0][0]);
            if (k == l && k) assert_true(between[k][k] <= between[k - 1][k - 1]);
        }
    assert_true(fabs(total / K - 1.0 / 3) < 1e-4);
    assert_true(between[1][1] > 4 * between[2][2]); /* two coordinates tell the tasks apart */
    close_case(&c);
}

static void test_few_tasks(void **state) {
    (void)state;
    for (int64_t n = 1; n <= 3; n++) {
        static Case c;
        float before[K * E];
        open_case(&c, 1, n);
        float *w = weights(&c, "task_encoder.mlp.0.weight");
        memcpy(before, w, sizeof before);
        assert_ok(task_start(&c.hn, &c.dev, c.x, c.first, c.n_tasks));
        for (int k = 0; k < K; k++) /* n tasks differ in n - 1 directions */
            assert_int_equal(memcmp(before + k * E, w + k * E, E * sizeof(float)) == 0, k >= n - 1);
        close_case(&c);
    }
}

static void test_threads(void **state) {
    (void)state;
    static Case a, b;
    open_case(&a, 1, TASKS);
    open_case(&b, 3, TASKS);
    assert_ok(task_start(&a.hn, &a.dev, a.x, a.first, a.n_tasks));
    assert_ok(task_start(&b.hn, &b.dev, b.x, b.first, b.n_tasks));
    assert_memory_equal(a.hn.params, b.hn.params, (size_t)a.hn.n_params * sizeof(float));
    close_case(&a);
    close_case(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_definition),
        cmocka_unit_test(test_few_tasks),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
