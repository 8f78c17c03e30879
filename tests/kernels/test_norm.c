/* The squared norm against long double, its block order, non-finite input, threads. */
#include "tests/test_util.h"

#include "kernels/ops.h"

static void sums(void **state) {
    (void)state;
    const int64_t sizes[] = {0, 1, 15, 16, 17, 33, 4095, 4096, 4097, 100003};
    for (int i = 0; i < COUNT_OF(sizes); i++) {
        int64_t n = sizes[i];
        TestMat x = mat_new(1, n, 0);
        Rng rng = rng_make(8, (uint64_t)n);
        mat_random(&x, &rng, -2.0f, 2.0f);
        long double want = 0;
        for (int64_t j = 0; j < n; j++) want += (long double)*mat_at(&x, 0, j) * *mat_at(&x, 0, j);
        double first = 0;
        for (int threads = 1; threads <= 3; threads++) {
            Device dev;
            double got = NAN;
            assert_ok(device_open(&dev, "cpu", threads));
            assert_ok(norm_sumsq(&dev, &got, mat_at(&x, 0, 0), n));
            assert_within(got, (double)want, 1e-13 * (double)want);
            if (threads == 1) first = got;
            assert_true(got == first);
            device_close(&dev);
        }
        mat_free(&x);
    }
}

static void not_finite(void **state) {
    (void)state;
    enum { N = 9001 };
    static float x[N];
    const int at[] = {0, 4095, 4096, 9000};
    Device dev;
    double got;
    assert_ok(device_open(&dev, "cpu", 2));
    for (int i = 0; i < COUNT_OF(at); i++) {
        x[at[i]] = NAN;
        assert_ok(norm_sumsq(&dev, &got, x, N));
        assert_true(isnan(got));
        x[at[i]] = -INFINITY;
        assert_ok(norm_sumsq(&dev, &got, x, N));
        assert_true(isinf(got));
        x[at[i]] = 3e38f; /* its square fits a double */
        assert_ok(norm_sumsq(&dev, &got, x, N));
        assert_true(isfinite(got) && got > 8e76);
        x[at[i]] = 0.0f;
    }
    device_close(&dev);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(sums), cmocka_unit_test(not_finite)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
