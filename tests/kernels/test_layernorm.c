/* LayerNorm against double: values, derivatives of the double reference, in place, strides, threads. */
#include "tests/kernels/backends.h"

static const int64_t ROWS[] = {1, 2, 33, 130}, COLS[] = {1, 2, 15, 16, 17, 33, 128, 4097};

typedef struct Ref {
    double *x, *w, *b, *c; /* loss = sum c * y */
    int64_t n, cols;
    double eps;
} Ref;

static double reference(double *y, const Ref *r) {
    double loss = 0;
    for (int64_t i = 0; i < r->n; i++) {
        const double *x = r->x + i * r->cols;
        double mean = 0, var = 0;
        for (int64_t j = 0; j < r->cols; j++) mean += x[j] / (double)r->cols;
        for (int64_t j = 0; j < r->cols; j++) var += (x[j] - mean) * (x[j] - mean) / (double)r->cols;
        for (int64_t j = 0; j < r->cols; j++) {
            double v = (x[j] - mean) / sqrt(var + r->eps) * r->w[j] + r->b[j];
            if (y) y[i * r->cols + j] = v;
            if (r->c) loss += r->c[i * r->cols + j] * v;
        }
    }
    return loss;
}

static double loss(const void *ctx) {
    return reference(NULL, ctx);
}

static void one_size(Device *dev, int64_t n, int64_t cols, int64_t gap) {
    Rng rng = rng_make(4, (uint64_t)(n * 10000 + cols));
    TestMat x = mat_new(n, cols, 3 * gap), y = mat_new(n, cols, 6 * gap), stats = mat_new(n, 2, 0),
            dy = mat_new(n, cols, gap);
    TestMat w = mat_new(1, cols, 0), b = mat_new(1, cols, 0), dw = mat_new(1, cols, 0),
            db = mat_new(1, cols, 0);
    TestMat dx = mat_new(n, cols, 2 * gap), x2 = mat_new(n, cols, 3 * gap), dy2 = mat_new(n, cols, gap);
    mat_random(&x, &rng, -1.0f, 3.0f);
    mat_random(&dy, &rng, -1.0f, 1.0f);
    mat_random(&w, &rng, 0.5f, 1.5f);
    mat_random(&b, &rng, -1.0f, 1.0f);
    for (int64_t j = 0; j < cols; j++) *mat_at(&dw, 0, j) = *mat_at(&db, 0, j) = 2.0f; /* added to */
    mat_copy(&x2, &x);
    mat_copy(&dy2, &dy);
    Twin tx = mat_to(dev, &x, DT_F32), ty = mat_to(dev, &y, DT_F32), ts = mat_to(dev, &stats, DT_F32),
         tdy = mat_to(dev, &dy, DT_F32), tw = mat_to(dev, &w, DT_F32), tb = mat_to(dev, &b, DT_F32),
         tdw = mat_to(dev, &dw, DT_F32), tdb = mat_to(dev, &db, DT_F32), tdx = mat_to(dev, &dx, DT_F32),
         tx2 = mat_to(dev, &x2, DT_F32), tdy2 = mat_to(dev, &dy2, DT_F32);
    assert_ok(layernorm_fwd(dev, ty.t, ts.t, tx.t, twin_1d(&tw), twin_1d(&tb), 1e-5f));
    assert_ok(layernorm_bwd(dev, tdx.t, twin_1d(&tdw), twin_1d(&tdb), tdy.t, tx.t, twin_1d(&tw), ts.t));
    /* in place, without dw and db */
    assert_ok(layernorm_fwd(dev, tx2.t, ts.t, tx2.t, twin_1d(&tw), twin_1d(&tb), 1e-5f));
    assert_ok(layernorm_bwd(dev, tdy2.t, (Tensor){0}, (Tensor){0}, tdy2.t, tx.t, twin_1d(&tw), ts.t));
    Twin *all[] = {&tx, &ty, &ts, &tdy, &tw, &tb, &tdw, &tdb, &tdx, &tx2, &tdy2};
    for (int i = 0; i < COUNT_OF(all); i++) mat_from(all[i]);

    Ref r = {mat_f64(&x), mat_f64(&w), mat_f64(&b), mat_f64(&dy), n, cols, (double)1e-5f};
    double *want = test_f64(n * cols);
    reference(want, &r);
    double u = sum_bound(cols) * 8;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < cols; j++) assert_within(*mat_at(&y, i, j), want[i * cols + j], u * 4);
    int64_t step = n * cols > 2000 ? n * cols / 50 : 1;
    for (int64_t k = 0; k < n * cols && n * cols < 20000; k += step) {
        double d = derivative(r.x + k, loss, &r);
        assert_within(*mat_at(&dx, k / cols, k % cols), d, cols <= 2 ? 0.05 : 2e-5 + 1e-3 * fabs(d));
    }
    for (int64_t j = 0; j < cols; j++) {
        double sw = 2.0, sb = 2.0, size = 4.0;
        for (int64_t i = 0; i < n; i++) {
            double g = *mat_at(&dy, i, j), xhat = (want[i * cols + j] - r.b[j]) / r.w[j];
            sw += g * xhat;
            sb += g;
            size += fabs(g) * (1.0 + fabs(xhat));
        }
        assert_within(*mat_at(&dw, 0, j), sw, u * size * 4);
        assert_within(*mat_at(&db, 0, j), sb, 4 * ROUND_F32 * size);
    }
    mat_intact(&x), mat_intact(&y), mat_intact(&stats), mat_intact(&dx), mat_intact(&dw), mat_intact(&db);
    mat_intact(&x2), mat_intact(&dy2);
    mat_same_bits(&x2, &y);
    mat_same_bits(&dy2, &dx);
    mat_free(&x), mat_free(&y), mat_free(&stats), mat_free(&dy), mat_free(&w), mat_free(&b), mat_free(&dw);
    mat_free(&db), mat_free(&dx), mat_free(&x2), mat_free(&dy2);
    free(r.x), free(r.w), free(r.b), free(r.c), free(want);
}

static void sizes(void **state) {
    (void)state;
    Device dev;
    for (int b = 1; backend_open(&dev, b); b += b == 1 ? N_CPU - 1 : 1) { /* CPU threads: the next test */
        for (int i = 0; i < COUNT_OF(ROWS); i++)
            for (int j = 0; j < COUNT_OF(COLS); j++) one_size(&dev, ROWS[i], COLS[j], 1);
        one_size(&dev, 3, 1032, 8); /* whole vectors, twice round a block */
        device_close(&dev);
    }
}

static void threads(void **state) {
    (void)state;
    enum { N = 301, C = 129 };
    Rng rng = rng_make(5, 0);
    TestMat x = mat_new(N, C, 0), dy = mat_new(N, C, 0), w = mat_new(1, C, 0), out[4];
    mat_random(&x, &rng, -1.0f, 3.0f);
    mat_random(&dy, &rng, -1.0f, 1.0f);
    mat_random(&w, &rng, 0.5f, 1.5f);
    Tensor tw = tensor_1d(mat_at(&w, 0, 0), DT_F32, C);
    for (int n = 1; n <= 3; n++) {
        Device dev;
        TestMat stats = mat_new(N, 2, 0);
        out[n] = mat_new(2 * N + 2, C, 0); /* y, dx, dw, db */
        memset(mat_at(&out[n], 2 * N, 0), 0, 2 * C * sizeof(float));
        assert_ok(device_open(&dev, "cpu", n));
        Tensor y = tensor_rows(out[n].t, 0, N), dx = tensor_rows(out[n].t, N, N);
        assert_ok(layernorm_fwd(&dev, y, stats.t, x.t, tw, tw, 1e-5f));
        assert_ok(layernorm_bwd(&dev, dx, tensor_1d(mat_at(&out[n], 2 * N, 0), DT_F32, C),
                                tensor_1d(mat_at(&out[n], 2 * N + 1, 0), DT_F32, C), dy.t, x.t, tw, stats.t));
        if (n > 1) mat_same_bits(&out[1], &out[n]);
        device_close(&dev);
        mat_free(&stats);
    }
    for (int n = 1; n <= 3; n++) mat_free(&out[n]);
    mat_free(&x), mat_free(&dy), mat_free(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(sizes), cmocka_unit_test(threads)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
