/* softcap against tanh in double; vec_tanhf promises 4e-7, the quotient and the product round once each. */
#include "tests/test_util.h"

#include "kernels/ops.h"

static void one_case(int64_t n, int64_t c, int64_t gap, float size, float cap) {
    Rng rng = rng_make(37, (uint64_t)(n * 10000 + c));
    TestMat x0 = mat_new(n, c, gap), first = mat_new(n, c, gap);
    mat_random(&x0, &rng, -size, size);
    for (int threads = 1; threads <= 3; threads++) {
        Device dev;
        assert_ok(device_open(&dev, "cpu", threads));
        TestMat x = mat_new(n, c, gap + 1);
        mat_copy(&x, &x0);
        assert_ok(softcap_fwd(&dev, x.t, cap));
        mat_intact(&x);
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = 0; j < c; j++) {
                double want = (double)cap * tanh((double)*mat_at(&x0, i, j) / (double)cap);
                assert_within(*mat_at(&x, i, j), want, fabs(want) * (4e-7 + 4.0 * ROUND_F32));
            }
        if (threads == 1) mat_copy(&first, &x);
        mat_same_bits(&first, &x);
        mat_free(&x);
        device_close(&dev);
    }
    mat_free(&x0);
    mat_free(&first);
}

static void sizes(void **state) {
    (void)state;
    one_case(1, 1, 0, 3.0f, 30.0f);
    one_case(33, 33, 5, 100.0f, 30.0f);
    one_case(2, 4097, 1, 1000.0f, 50.0f);
    one_case(7, 80, 0, 1e-6f, 0.5f);
}

static void edges(void **state) {
    (void)state;
    Device dev;
    float x[6] = {0.0f, 1e30f, -1e30f, INFINITY, -INFINITY, NAN};
    assert_ok(device_open(&dev, "cpu", 1));
    assert_ok(softcap_fwd(&dev, tensor_2d(x, DT_F32, 1, 6), 30.0f));
    assert_true(x[0] == 0.0f && x[1] == 30.0f && x[2] == -30.0f && x[3] == 30.0f && x[4] == -30.0f);
    assert_true(isnan(x[5]));
    device_close(&dev);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(sizes), cmocka_unit_test(edges)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
