/* put: copies, so its bits are known; what no row goes to stays as it was. sum, penalty: against sums in
 * double.
 */
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

/* The sums are in double, in one order: the bits are known. */
static void sum_case(RowSum d, int64_t rows) {
    Rng rng = rng_make(33, (uint64_t)(d.n * 1000 + d.c));
    TestMat x = mat_new(rows, d.ld, 0);
    mat_random(&x, &rng, -1.0f, 1.0f);
    Device dev;
    for (int b = 0; backend_open(&dev, b); b++) {
        TestMat out = mat_new(d.n, d.c, 0);
        Twin to = mat_to(&dev, &out, DT_F32), tx = mat_to(&dev, &x, DT_F32);
        assert_ok(rows_sum(&dev, to.t.data, tx.t.data, d));
        mat_from(&to);
        mat_intact(&out);
        for (int64_t i = 0; i < d.n; i++)
            for (int64_t j = 0; j < d.c; j++) {
                double sum = 0.0;
                for (int64_t a = 0; a < d.na; a++)
                    for (int64_t e = 0; e < d.nb; e++)
                        sum += *mat_at(&x, i * d.si + a * d.sa + e * d.sb, d.from + j);
                assert_true(*mat_at(&out, i, j) == (float)sum);
            }
        twin_free(&tx);
        mat_free(&out);
        device_close(&dev);
    }
    mat_free(&x);
}

static void sums(void **state) {
    (void)state;
    sum_case((RowSum){.n = 1, .c = 1, .ld = 1, .si = 1, .na = 1, .nb = 1}, 1);
    sum_case((RowSum){.n = 5, .c = 33, .ld = 40, .from = 7, .si = 3, .na = 4, .sa = 15, .nb = 3, .sb = 1},
             60);
    sum_case((RowSum){.n = 3, .c = 300, .ld = 301, .si = 1, .na = 20, .sa = 3, .nb = 1}, 60);
    sum_case((RowSum){.n = 70, .c = 64, .ld = 64, .si = 5, .na = 1, .nb = 5, .sb = 1}, 350);
}

/* Rows wider than what is read; the gradient is one rounded product and one rounded sum. */
static void penalty_case(RowItems d, bool wanted) {
    Rng rng = rng_make(34, (uint64_t)(d.n * 1000 + d.columns));
    const float slope = 0.37f;
    int64_t rows = (d.n - 1) * d.stride / d.ld + d.rows;
    TestMat x = mat_new(rows, d.ld, 0);
    double want = 0.0;
    for (int64_t i = 0; i < d.n; i++)
        for (int64_t j = 0; j < d.rows; j++) {
            float *row = mat_at(&x, 0, 0) + i * d.stride + j * d.ld;
            fill_random(row, d.columns, &rng, -1.0f, 1.0f);
            for (int64_t k = 0; k < d.columns; k++) want += (double)row[k] * (double)row[k];
        }
    Device dev;
    for (int b = 0; backend_open(&dev, b); b++) {
        TestMat g = mat_new(rows, d.ld, 0);
        for (int64_t i = 0; i < d.n; i++)
            for (int64_t j = 0; j < d.rows; j++)
                for (int64_t k = 0; k < d.columns; k++)
                    mat_at(&g, 0, 0)[i * d.stride + j * d.ld + k] = (float)k;
        Twin tg = mat_to(&dev, &g, DT_F32), tx = mat_to(&dev, &x, DT_F32);
        double sum = NAN;
        assert_ok(rows_penalty(&dev, &sum, wanted ? tg.t.data : NULL, tx.t.data, d, slope));
        assert_within(sum, want, 1e-13 * want);
        mat_from(&tg);
        for (int64_t at = 0; at < rows * d.ld; at++) {
            int64_t i = at / d.stride, j = at % d.stride / d.ld, k = at % d.stride % d.ld;
            float got = mat_at(&g, 0, 0)[at], from = mat_at(&x, 0, 0)[at];
            if (i < d.n && j < d.rows && k < d.columns)
                assert_within(got, (double)k + (wanted ? (double)slope * from : 0.0),
                              ROUND_F32 * (double)(k + 2));
            else
                assert_true(isnan(got));
        }
        assert_int_equal(arena_mark(&dev.scratch), 0);
        twin_free(&tx);
        mat_free(&g);
        device_close(&dev);
    }
    mat_free(&x);
}

static void penalties(void **state) {
    (void)state;
    penalty_case((RowItems){.n = 1, .stride = 1, .rows = 1, .ld = 1, .columns = 1}, true);
    penalty_case((RowItems){.n = 6, .stride = 3 * 41, .rows = 3, .ld = 41, .columns = 33}, true);
    penalty_case((RowItems){.n = 3, .stride = 5 * 700, .rows = 2, .ld = 700, .columns = 600}, true);
    penalty_case((RowItems){.n = 300, .stride = 8, .rows = 1, .ld = 8, .columns = 8}, false);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(sizes), cmocka_unit_test(sums),
                                       cmocka_unit_test(penalties)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
