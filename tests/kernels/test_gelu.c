/* GELU against float64, on a walk through all magnitudes. Tolerance: twice the worst error of the formula
 * with libm's erff, which is what a plain float implementation would do. */
#include "tests/test_util.h"

#include "kernels/ops.h"

static double exact(double x) {
    return 0.5 * x * erfc(-x * sqrt(0.5));
}

static void accuracy(void **state) {
    (void)state;
    Device dev;
    assert_ok(device_open(&dev, "cpu", 2));
    enum { ROWS = 33, COLS = 4097 };
    TestMat x = mat_new(ROWS, COLS, 3), y = mat_new(ROWS, COLS, 5);
    for (int i = 0; i < ROWS * COLS; i++)
        *mat_at(&x, i / COLS, i % COLS) = (float)(-15.0 + 30.0 * i / (ROWS * COLS - 1));
    assert_ok(gelu_fwd(&dev, y.t, x.t));
    double worst = 0, plain = 0, tail = 0;
    for (int i = 0; i < ROWS; i++)
        for (int j = 0; j < COLS; j++) {
            float v = *mat_at(&x, i, j), got = *mat_at(&y, i, j);
            double want = exact(v), e = fabs(got - want);
            worst = e <= worst ? worst : isnan(e) ? INFINITY : e;
            plain = fmax(plain, fabs(0.5f * v * (1.0f + erff(v * 0.70710678f)) - want));
            if (v < 0 && v > -4) tail = fmax(tail, e / fabs(want));
        }
    print_message("gelu: error %.3g, plain formula %.3g, left tail relative %.3g\n", worst, plain, tail);
    assert_true(worst <= 2 * plain);
    assert_true(tail <= 4e-6); /* exp(-z^2): z^2 = 8 rounds to 8 * 2^-24, times the few roundings of P */
    mat_intact(&y);

    /* In place, and with another number of threads: the same bits. */
    dev.n_threads = 1;
    assert_ok(gelu_fwd(&dev, x.t, x.t));
    mat_same_bits(&x, &y);
    mat_free(&x), mat_free(&y);
    device_close(&dev);
}

static void edges(void **state) {
    (void)state;
    Device dev;
    assert_ok(device_open(&dev, "cpu", 1));
    float x[6] = {0.0f, INFINITY, 100.0f, -100.0f, NAN, 1e-30f}, y[6];
    assert_ok(gelu_fwd(&dev, tensor_2d(y, DT_F32, 1, 6), tensor_2d(x, DT_F32, 1, 6)));
    assert_within(y[0], 0, 0);
    assert_true(y[1] == INFINITY || isnan(y[1]));
    assert_within(y[2], 100, 0);
    assert_within(y[3], 0, 0);
    assert_true(isnan(y[4]));
    assert_within(y[5], 5e-31, 1e-36);
    device_close(&dev);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(accuracy), cmocka_unit_test(edges)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
