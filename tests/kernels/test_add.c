/* add: one float addition an element, so its bits are known, in bf16 too: a matrix, a vector for every row.
 */
#include "tests/kernels/backends.h"

static void one_case(int64_t n, int64_t c, int64_t gap, bool row, DType type) {
    Rng rng = rng_make(31, (uint64_t)(n * 10000 + c));
    TestMat y0 = mat_new(n, c, gap), x = mat_new(row ? 1 : n, c, gap + 2);
    mat_random(&y0, &rng, -3.0f, 3.0f);
    mat_random(&x, &rng, -3.0f, 3.0f);
    mat_round(&y0, type);
    mat_round(&x, type);
    Device dev;
    for (int b = 0; backend_open(&dev, b); b++) {
        TestMat y = mat_new(n, c, gap);
        mat_copy(&y, &y0);
        Twin ty = mat_to(&dev, &y, type), tx = mat_to(&dev, &x, type);
        if (backend_has(&dev, type)) {
            assert_ok(add_fwd(&dev, ty.t, row ? twin_1d(&tx) : tx.t));
            mat_from(&ty);
            mat_intact(&y);
            for (int64_t i = 0; i < n; i++)
                for (int64_t j = 0; j < c; j++) {
                    float sum = *mat_at(&y0, i, j) + *mat_at(&x, row ? 0 : i, j);
                    assert_true(*mat_at(&y, i, j) ==
                                (type == DT_F32 ? sum : bf16_to_float(float_to_bf16(sum))));
                }
        } else {
            assert_fails(add_fwd(&dev, ty.t, row ? twin_1d(&tx) : tx.t), E_UNSUPPORTED, "no body for BF16");
            twin_free(&ty);
        }
        twin_free(&tx);
        mat_free(&y);
        device_close(&dev);
    }
    mat_free(&y0);
    mat_free(&x);
}

static void sizes(void **state) {
    (void)state;
    for (int k = 0; k < 4; k++) {
        bool row = k % 2;
        DType type = k / 2 ? DT_BF16 : DT_F32;
        one_case(1, 1, 0, row, type);
        one_case(33, 33, 5, row, type);
        one_case(2, 4097, 1, row, type);
        one_case(130, 3, 2, row, type);
        one_case(17, 72, 16, row, type); /* rows of whole vectors */
    }
}

/* The columns of a fused product, and no rows at all. */
static void slices(void **state) {
    (void)state;
    Device dev;
    assert_ok(device_open(&dev, "cpu", 2));
    TestMat y = mat_new(5, 12, 3);
    float x[4] = {1, 2, 3, 4};
    for (int64_t i = 0; i < 5; i++)
        for (int64_t j = 0; j < 12; j++) *mat_at(&y, i, j) = (float)(100 * i + j);
    assert_ok(add_fwd(&dev, tensor_columns(y.t, 4, 4), tensor_1d(x, DT_F32, 4)));
    mat_intact(&y);
    for (int64_t i = 0; i < 5; i++)
        for (int64_t j = 0; j < 12; j++)
            assert_true(*mat_at(&y, i, j) == (float)(100 * i + j) + (j >= 4 && j < 8 ? x[j - 4] : 0.0f));
    assert_ok(add_fwd(&dev, tensor_2d(NULL, DT_F32, 0, 4), tensor_1d(x, DT_F32, 4)));
    mat_free(&y);
    device_close(&dev);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(sizes), cmocka_unit_test(slices)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
