/* GELU against float64, on a walk through all magnitudes. Tolerance: twice the worst error of the formula
 * with libm's erff, which is what a plain float implementation would do. */
#include "tests/kernels/backends.h"

static double exact(double x) {
    return 0.5 * x * erfc(-x * sqrt(0.5));
}

/* Twice: x to y and in place, with the same bits. */
static void one_backend(Device *dev, TestMat *x, TestMat *y) {
    TestMat inplace = mat_new(x->t.dim[0], x->t.dim[1], 3);
    mat_copy(&inplace, x);
    mat_poison(y);
    Twin tx = mat_to(dev, x, DT_F32), ty = mat_to(dev, y, DT_F32), ti = mat_to(dev, &inplace, DT_F32);
    assert_ok(gelu_fwd(dev, ty.t, tx.t));
    assert_ok(gelu_fwd(dev, ti.t, ti.t));
    mat_from(&ty);
    mat_from(&ti);
    twin_free(&tx);
    mat_intact(y);
    mat_intact(&inplace);
    mat_same_bits(y, &inplace);
    mat_free(&inplace);
}

static void accuracy(Device *dev, TestMat *first, int b, int rows, int cols, int gap) {
    TestMat x = mat_new(rows, cols, gap), y = mat_new(rows, cols, gap);
    for (int i = 0; i < rows * cols; i++)
        *mat_at(&x, i / cols, i % cols) = (float)(-15.0 + 30.0 * i / (rows * cols - 1));
    one_backend(dev, &x, &y);
    double worst = 0, plain = 0, tail = 0;
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < cols; j++) {
            float v = *mat_at(&x, i, j), got = *mat_at(&y, i, j);
            double want = exact(v), e = fabs(got - want);
            worst = e <= worst ? worst : isnan(e) ? INFINITY : e;
            plain = fmax(plain, fabs(0.5f * v * (1.0f + erff(v * 0.70710678f)) - want));
            if (v < 0 && v > -4) tail = fmax(tail, e / fabs(want));
        }
    print_message("gelu, backend %d: error %.3g, plain formula %.3g, left tail relative %.3g\n", b, worst,
                  plain, tail);
    assert_true(worst <= 2 * plain);
    assert_true(tail <= 4e-6); /* exp(-z^2): z^2 = 8 rounds to 8 * 2^-24, times the few roundings of P */
    if (b == 0) mat_copy(first, &y);
    if (b < N_CPU) mat_same_bits(first, &y);
    mat_free(&x), mat_free(&y);
}

/* Rows with a gap, and rows of whole vectors. */
static void accuracies(void **state) {
    (void)state;
    TestMat first[2] = {mat_new(33, 4097, 0), mat_new(5, 1032, 0)};
    Device dev;
    for (int b = 0; backend_open(&dev, b); b++) {
        accuracy(&dev, &first[0], b, 33, 4097, 3);
        accuracy(&dev, &first[1], b, 5, 1032, 8);
        device_close(&dev);
    }
    mat_free(&first[0]);
    mat_free(&first[1]);
}

static void edges(void **state) {
    (void)state;
    const float x[6] = {0.0f, INFINITY, 100.0f, -100.0f, NAN, 1e-30f};
    TestMat mx = mat_new(1, 6, 0), my = mat_new(1, 6, 0);
    for (int i = 0; i < 6; i++) *mat_at(&mx, 0, i) = x[i];
    Device dev;
    for (int b = 0; backend_open(&dev, b); b++) {
        one_backend(&dev, &mx, &my);
        const float *y = mat_at(&my, 0, 0);
        assert_within(y[0], 0, 0);
        assert_true(y[1] == INFINITY || isnan(y[1]));
        assert_within(y[2], 100, 0);
        assert_within(y[3], 0, 0);
        assert_true(isnan(y[4]));
        assert_within(y[5], 5e-31, 1e-36);
        device_close(&dev);
    }
    mat_free(&mx), mat_free(&my);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(accuracies), cmocka_unit_test(edges)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
