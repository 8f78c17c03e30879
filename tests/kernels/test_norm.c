/* The squared norm against long double, non-finite input, threads, backends. */
#include "tests/kernels/backends.h"

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
        Device dev;
        for (int b = 0; backend_open(&dev, b); b++) {
            double got = NAN;
            Twin tx = mat_to(&dev, &x, DT_F32);
            assert_ok(norm_sumsq(&dev, &got, tx.t.data, n));
            assert_within(got, (double)want, 1e-13 * (double)want);
            if (b == 0) first = got;
            if (b < N_CPU) assert_true(got == first);
            /* the same numbers from an address that is not aligned */
            if (n > 1) assert_ok(norm_sumsq(&dev, &got, tensor_f32(tx.t) + 1, n - 1));
            double less = (double)want - (double)*mat_at(&x, 0, 0) * *mat_at(&x, 0, 0);
            if (n > 1) assert_within(got, less, 1e-13 * (double)want);
            twin_free(&tx);
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
    const float odd[] = {NAN, -INFINITY, 3e38f}; /* the square of the last fits a double */
    Device dev;
    for (int b = 0; backend_open(&dev, b); b++) {
        for (int i = 0; i < COUNT_OF(at) * COUNT_OF(odd); i++) {
            double got;
            x[at[i / COUNT_OF(odd)]] = odd[i % COUNT_OF(odd)];
            float *dx = bytes_to(&dev, x, sizeof x);
            assert_ok(norm_sumsq(&dev, &got, dx, N));
            device_free(&dev, dx);
            if (i % COUNT_OF(odd) == 0) assert_true(isnan(got));
            if (i % COUNT_OF(odd) == 1) assert_true(isinf(got));
            if (i % COUNT_OF(odd) == 2) assert_true(isfinite(got) && got > 8e76);
            x[at[i / COUNT_OF(odd)]] = 0.0f;
        }
        device_close(&dev);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(sums), cmocka_unit_test(not_finite)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
