/* rows_put: copies, so its bits are known; what no row goes to stays as it was. */
#include "tests/kernels/backends.h"

static void one_case(int64_t m, int64_t n, int64_t c, int64_t gap, DType type) {
    Rng rng = rng_make(32, (uint64_t)(n * 10000 + c));
    TestMat x = mat_new(n, c, gap), y0 = mat_new(m, c, gap + 2);
    mat_random(&x, &rng, -3.0f, 3.0f);
    mat_random(&y0, &rng, -3.0f, 3.0f);
    mat_round(&x, type);
    mat_round(&y0, type);
    int32_t *at = test_alloc((size_t)n * sizeof *at);
    bool *taken = test_alloc((size_t)m * sizeof *taken);
    for (int64_t i = 0; i < m; i++) taken[i] = false;
    for (int64_t i = 0; i < n; i++) {
        at[i] = (int32_t)((i * 7 + 3) % m); /* m is no multiple of 7 */
        assert_false(taken[at[i]]);
        taken[at[i]] = true;
    }
    Device dev;
    for (int b = 0; backend_open(&dev, b); b++) {
        TestMat y = mat_new(m, c, gap + 2);
        mat_copy(&y, &y0);
        Twin ty = mat_to(&dev, &y, type), tx = mat_to(&dev, &x, type);
        void *where = bytes_to(&dev, at, (size_t)n * sizeof *at);
        if (backend_has(&dev, type)) {
            assert_ok(rows_put(&dev, ty.t, tx.t, where));
            mat_from(&ty);
            mat_intact(&y);
            for (int64_t i = 0; i < m; i++)
                for (int64_t j = 0; j < c && !taken[i]; j++)
                    assert_true(*mat_at(&y, i, j) == *mat_at(&y0, i, j));
            for (int64_t i = 0; i < n; i++)
                for (int64_t j = 0; j < c; j++) assert_true(*mat_at(&y, at[i], j) == *mat_at(&x, i, j));
        } else {
            assert_fails(rows_put(&dev, ty.t, tx.t, where), E_UNSUPPORTED, "no body for BF16");
            twin_free(&ty);
        }
        device_free(&dev, where);
        twin_free(&tx);
        mat_free(&y);
        device_close(&dev);
    }
    free(at);
    free(taken);
    mat_free(&x);
    mat_free(&y0);
}

static void sizes(void **state) {
    (void)state;
    for (int k = 0; k < 2; k++) {
        DType type = k ? DT_BF16 : DT_F32;
        one_case(1, 1, 1, 0, type);
        one_case(40, 33, 33, 5, type);
        one_case(5, 2, 4097, 1, type);
        one_case(300, 130, 3, 2, type);
        one_case(19, 17, 72, 14, type);
        one_case(60, 60, 320, 16, type); /* more than one thread on the CPU; twice round a block */
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(sizes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
