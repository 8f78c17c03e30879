/* softcap against tanh in double; vec_tanhf promises 4e-7, the quotient and the product round once each. */
#include "tests/kernels/backends.h"

static void one_case(int64_t n, int64_t c, int64_t gap, float size, float cap, DType type) {
    Rng rng = rng_make(37, (uint64_t)(n * 10000 + c));
    TestMat x0 = mat_new(n, c, gap), first = mat_new(n, c, gap);
    mat_random(&x0, &rng, -size, size);
    mat_round(&x0, type);
    Device dev;
    for (int b = 0; backend_open(&dev, b); b++) {
        TestMat x = mat_new(n, c, gap);
        mat_copy(&x, &x0);
        Twin tx = mat_to(&dev, &x, type);
        if (!backend_has(&dev, type)) {
            assert_fails(softcap_fwd(&dev, tx.t, cap), E_UNSUPPORTED, "softcap_fwd");
            twin_free(&tx);
            mat_free(&x);
            device_close(&dev);
            continue;
        }
        assert_ok(softcap_fwd(&dev, tx.t, cap));
        mat_from(&tx);
        mat_intact(&x);
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = 0; j < c; j++) {
                double want = (double)cap * tanh((double)*mat_at(&x0, i, j) / (double)cap);
                assert_within(*mat_at(&x, i, j), want,
                              fabs(want) * (4e-7 + 4.0 * ROUND_F32 + 1.01 * store_bound(type)));
            }
        if (b == 0) mat_copy(&first, &x);
        if (b < N_CPU) mat_same_bits(&first, &x);
        mat_free(&x);
        device_close(&dev);
    }
    mat_free(&x0);
    mat_free(&first);
}

static void sizes(void **state) {
    (void)state;
    for (int k = 0; k < 2; k++) {
        DType type = k ? DT_BF16 : DT_F32;
        one_case(1, 1, 0, 3.0f, 30.0f, type);
        one_case(33, 33, 5, 100.0f, 30.0f, type);
        one_case(2, 4097, 1, 1000.0f, 50.0f, type);
        one_case(7, 80, 0, 1e-6f, 0.5f, type);
    }
}

static void edges(void **state) {
    (void)state;
    Device dev;
    for (int b = 0; backend_open(&dev, b); b++) {
        float x[6] = {0.0f, 1e30f, -1e30f, INFINITY, -INFINITY, NAN};
        void *there = bytes_to(&dev, x, sizeof x);
        assert_ok(softcap_fwd(&dev, device_2d(&dev, there, 1, 6), 30.0f));
        assert_ok(device_download(&dev, x, there, sizeof x));
        assert_true(x[0] == 0.0f && x[1] == 30.0f && x[2] == -30.0f && x[3] == 30.0f && x[4] == -30.0f);
        assert_true(isnan(x[5]));
        device_free(&dev, there);
        device_close(&dev);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(sizes), cmocka_unit_test(edges)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
