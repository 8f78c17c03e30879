/* rmsnorm against the formula in double; the backward against derivatives of that formula. */
#include "tests/kernels/backends.h"

/* One row: x [c], w [c], the cotangent dy [c]. */
typedef struct Row {
    double *x, *w, *dy;
    int64_t c;
    double eps;
} Row;

static double row_rstd(const Row *r) {
    double ss = 0.0;
    for (int64_t j = 0; j < r->c; j++) ss += r->x[j] * r->x[j];
    return 1.0 / sqrt(ss / (double)r->c + r->eps);
}

static double row_loss(const void *ctx) {
    const Row *r = ctx;
    double rstd = row_rstd(r), sum = 0.0;
    for (int64_t j = 0; j < r->c; j++) sum += r->dy[j] * r->x[j] * rstd * r->w[j];
    return sum;
}

typedef struct Case {
    int64_t n, c, gap;
    float eps, size; /* of x */
} Case;

/* Relative error of rstd. CPU: computed in double and rounded once. CUDA: the squares of one load (at most 8)
 * are added in float: a product and up to 8 additions, of which the root halves the error. */
static double rstd_bound(const Device *dev) {
    return (dev->kind == DEVICE_CPU ? 1.01 : 1.01 + 9.0 / 2.0) * ROUND_F32;
}

static void check_forward(const Device *dev, DType type, const Case *k, const TestMat *x, const TestMat *w,
                          const TestMat *y, const TestMat *rstd) {
    double *xd = mat_f64(x), *wd = mat_f64(w);
    for (int64_t i = 0; i < k->n; i++) {
        Row r = {xd + i * k->c, wd, NULL, k->c, k->eps};
        double want = row_rstd(&r);
        assert_within(*mat_at(rstd, 0, i), want, want * rstd_bound(dev));
        for (int64_t j = 0; j < k->c; j++) {
            double v = r.x[j] * want * wd[j];
            assert_within(*mat_at(y, i, j), v,
                          fabs(v) * (rstd_bound(dev) + 3.0 * ROUND_F32 + 1.01 * store_bound(type)));
        }
    }
    free(xd);
    free(wd);
}

/* dx = before + gradient. */
static void check_backward(const Device *dev, DType type, const Case *k, const TestMat *x, const TestMat *w,
                           const TestMat *dy, const TestMat *before, const TestMat *dx) {
    double *xd = mat_f64(x), *wd = mat_f64(w), *dyd = mat_f64(dy);
    int64_t step = k->c > 100 ? 61 : 1;
    for (int64_t i = 0; i < k->n; i++) {
        Row r = {xd + i * k->c, wd, dyd + i * k->c, k->c, k->eps};
        double rstd = row_rstd(&r), terms = 0.0;
        for (int64_t j = 0; j < k->c; j++) terms += fabs(wd[j] * r.dy[j] * r.x[j]);
        for (int64_t j = 0; j < k->c; j += step) {
            double was = *mat_at(before, i, j), want = was + derivative(&r.x[j], row_loss, &r);
            double sizes = rstd * (fabs(wd[j] * r.dy[j]) + fabs(r.x[j]) * rstd * rstd * terms / (double)k->c);
            double bound = sizes * (sum_bound(k->c) + 3.0 * rstd_bound(dev) + 6.0 * ROUND_F32);
            /* 1e-10: of the derivative, for a loss of size `terms * rstd` */
            assert_within(*mat_at(dx, i, j), want,
                          bound + (2.0 * ROUND_F32 + 1.01 * store_bound(type)) * fabs(want) +
                              1e-10 * (1.0 + terms * rstd));
        }
    }
    free(xd);
    free(wd);
    free(dyd);
}

/* y1, dx1: the bits of backend 0. */
static void one_backend(Device *dev, DType type, const Case *k, TestMat *x, TestMat *w, TestMat *dy,
                        const TestMat *before, TestMat *y1, TestMat *dx1, int b) {
    TestMat y = mat_new(k->n, k->c, k->gap), rstd = mat_new(1, k->n, 0), dx = mat_new(k->n, k->c, k->gap),
            inplace = mat_new(k->n, k->c, k->gap);
    mat_copy(&dx, before);
    mat_copy(&inplace, x);
    Twin tx = mat_to(dev, x, type), tw = mat_to(dev, w, DT_F32), tdy = mat_to(dev, dy, type),
         ty = mat_to(dev, &y, type), tr = mat_to(dev, &rstd, DT_F32), tdx = mat_to(dev, &dx, type),
         ti = mat_to(dev, &inplace, type);
    assert_ok(rmsnorm_fwd(dev, ty.t, twin_1d(&tr), tx.t, twin_1d(&tw), k->eps));
    assert_ok(rmsnorm_bwd(dev, tdx.t, tdy.t, tx.t, twin_1d(&tw), twin_1d(&tr)));
    assert_ok(rmsnorm_fwd(dev, ti.t, twin_1d(&tr), ti.t, twin_1d(&tw), k->eps));
    Twin *back[] = {&ty, &tr, &tdx, &ti}, *inputs[] = {&tx, &tw, &tdy};
    for (int i = 0; i < COUNT_OF(back); i++) mat_from(back[i]);
    for (int i = 0; i < COUNT_OF(inputs); i++) twin_free(inputs[i]);
    mat_intact(&y);
    mat_intact(&rstd);
    mat_intact(&dx);
    mat_intact(&inplace);
    mat_same_bits(&y, &inplace);
    if (b == 0 || b >= N_CPU) {
        check_forward(dev, type, k, x, w, &y, &rstd);
        check_backward(dev, type, k, x, w, dy, before, &dx);
    }
    if (b == 0) {
        mat_copy(y1, &y);
        mat_copy(dx1, &dx);
    } else if (b < N_CPU) {
        mat_same_bits(y1, &y);
        mat_same_bits(dx1, &dx);
    }
    TestMat *all[] = {&y, &rstd, &dx, &inplace};
    for (int i = 0; i < COUNT_OF(all); i++) mat_free(all[i]);
}

static void one_case(const Case *k, DType type) {
    Rng rng = rng_make(11, (uint64_t)(k->n * 5000 + k->c));
    TestMat x = mat_new(k->n, k->c, k->gap), w = mat_new(1, k->c, 0), dy = mat_new(k->n, k->c, 2 * k->gap),
            before = mat_new(k->n, k->c, k->gap);
    mat_random(&x, &rng, -k->size, k->size);
    mat_random(&w, &rng, -1.5f, 1.5f);
    mat_random(&dy, &rng, -1.0f, 1.0f);
    mat_random(&before, &rng, -1.0f, 1.0f);
    mat_round(&x, type);
    mat_round(&dy, type);
    mat_round(&before, type);
    TestMat y1 = mat_new(k->n, k->c, 0), dx1 = mat_new(k->n, k->c, 0);
    Device dev;
    for (int b = 0; backend_open(&dev, b); b++) {
        if (backend_has(&dev, type)) one_backend(&dev, type, k, &x, &w, &dy, &before, &y1, &dx1, b);
        device_close(&dev);
    }
    TestMat *all[] = {&x, &w, &dy, &before, &y1, &dx1};
    for (int i = 0; i < COUNT_OF(all); i++) mat_free(all[i]);
}

static void sizes(void **state) {
    (void)state;
    const Case cases[] = {
        {1, 1, 0, 1e-5f, 1.0f},     {1, 33, 0, 1e-5f, 1.0f},   {33, 48, 7, 1e-6f, 30.0f},
        {5, 33, 1, 1e-5f, 0.01f},   {2, 4097, 3, 1e-5f, 1.0f}, {3, 576, 0, 1e-5f, 1.0f},
        {4, 17, 2, 0.5f, 0.1f},     /* eps dominates */
        {3, 2056, 16, 1e-6f, 2.0f}, /* whole vectors, twice round a block */
    };
    for (int i = 0; i < COUNT_OF(cases); i++) {
        one_case(&cases[i], DT_F32);
        one_case(&cases[i], DT_BF16);
    }
}

static void zero_row(void **state) {
    (void)state;
    Device dev;
    assert_ok(device_open(&dev, "cpu", 1));
    float x[5] = {0}, w[5] = {1, 2, 3, 4, 5}, dy[5] = {1, 1, 1, 1, 1}, y[5], rstd = NAN, dx[5] = {0};
    Tensor xt = tensor_2d(x, DT_F32, 1, 5), wt = tensor_1d(w, DT_F32, 5), rt = tensor_1d(&rstd, DT_F32, 1);
    assert_ok(rmsnorm_fwd(&dev, tensor_2d(y, DT_F32, 1, 5), rt, xt, wt, 1e-6f));
    assert_within(rstd, 1000.0, 1e-3);
    assert_ok(rmsnorm_bwd(&dev, tensor_2d(dx, DT_F32, 1, 5), tensor_2d(dy, DT_F32, 1, 5), xt, wt, rt));
    for (int j = 0; j < 5; j++) {
        assert_true(y[j] == 0.0f);
        assert_within(dx[j], 1000.0 * w[j], 1e-3 * w[j]);
    }
    device_close(&dev);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(sizes), cmocka_unit_test(zero_row)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
