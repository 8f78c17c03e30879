/* Means, pass@k and the paired bootstrap against exact fractions and numpy (tests/golden/make_answers.py). */
#include "tests/test_util.h"

#include "base/json.h"
#include "eval/stats.h"

static double number(const cJSON *o, const char *key) {
    double x;
    assert_ok(json_get_number(&x, o, key, "stats.json"));
    return x;
}

static void golden_means(void **state) {
    for (const cJSON *m = cJSON_GetObjectItem(*state, "means")->child; m; m = m->next) {
        double x[8];
        int64_t n = 0;
        for (const cJSON *v = cJSON_GetObjectItem(m, "x")->child; v; v = v->next) x[n++] = v->valuedouble;
        StatsMean got = stats_mean(x, n);
        assert_within(got.mean, number(m, "mean"), 1e-15);
        assert_within(got.error, number(m, "error"), 1e-15);
    }
    double one = 0.5;
    assert_true(stats_mean(&one, 1).error == 0 && stats_mean(NULL, 0).mean == 0);
}

static void golden_pass_at_k(void **state) {
    int rows = 0;
    for (const cJSON *r = cJSON_GetObjectItem(*state, "pass_at_k")->child; r; r = r->next, rows++) {
        int64_t v[3];
        for (int i = 0; i < 3; i++) v[i] = cJSON_GetArrayItem(r, i)->valueint;
        assert_within(stats_pass_at_k(v[0], v[1], v[2]), cJSON_GetArrayItem(r, 3)->valuedouble, 1e-13);
    }
    assert_true(rows > 50);
}

static void golden_bootstrap(void **state) {
    for (const cJSON *b = cJSON_GetObjectItem(*state, "bootstrap")->child; b; b = b->next) {
        const char *x = cJSON_GetObjectItem(b, "x")->valuestring,
                   *y = cJSON_GetObjectItem(b, "y")->valuestring;
        int64_t n = (int64_t)strlen(x);
        double *px = test_f64(n), *py = test_f64(n);
        for (int64_t i = 0; i < n; i++) {
            px[i] = x[i] - '0';
            py[i] = y[i] - '0';
        }
        StatsPaired got;
        assert_ok(
            stats_bootstrap(&got, px, py, n, (int64_t)number(b, "resamples"), (uint64_t)number(b, "seed")));
        assert_within(got.diff, number(b, "diff"), 1e-14);
        assert_within(got.error, number(b, "error"), 1e-14);
        assert_within(got.low, number(b, "low"), 1e-14);
        assert_within(got.high, number(b, "high"), 1e-14);
        free(px);
        free(py);
    }
}

/* The error of many resamples is the standard error of the mean of the differences. */
static void analytic(void **state) {
    (void)state;
    enum { N = 400, R = 4000 };
    double x[N], y[N], d[N];
    for (int i = 0; i < N; i++) {
        x[i] = rng_at(1, 0, (uint64_t)i) % 10 < 7;
        y[i] = rng_at(1, 1, (uint64_t)i) % 10 < 5;
        d[i] = x[i] - y[i];
    }
    StatsPaired got;
    assert_ok(stats_bootstrap(&got, x, y, N, R, 7));
    StatsMean m = stats_mean(d, N);
    double expected = m.error * sqrt((N - 1.0) / N); /* resampling knows the deviation with divisor n */
    assert_within(got.error, expected, 4 * expected / sqrt(2.0 * R));
    assert_within(got.low, m.mean - 1.96 * expected, 0.15 * expected); /* a quantile's error at R, in sigma */
    assert_within(got.high, m.mean + 1.96 * expected, 0.15 * expected);
}

static int setup(void **state) {
    cJSON *v;
    assert_ok(json_read(&v, GOLDEN("stats.json"), 1 << 20));
    *state = v;
    return 0;
}

static int teardown(void **state) {
    cJSON_Delete(*state);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_means),
        cmocka_unit_test(golden_pass_at_k),
        cmocka_unit_test(golden_bootstrap),
        cmocka_unit_test(analytic),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
