/* SiLU with dropout against double and the counter stream: values, derivatives, mask, in place, threads. */
#include "tests/kernels/backends.h"

static const int64_t SIZES[][2] = {{1, 1}, {1, 33}, {33, 1}, {3, 4097}, {4097, 3}, {64, 512}};

static double silu(double x) {
    return x / (1.0 + exp(-x));
}

/* The reference at element k: value and slope. */
static double expected(double x, int64_t k, SiluDropoutOpts o, double *slope) {
    bool keep = o.p == 0.0f || rng_unit(rng_at(o.seed, o.stream, (uint64_t)k)) >= o.p;
    double f = keep ? 1.0 / (1.0 - (double)o.p) : 0.0, s = 1.0 / (1.0 + exp(-x));
    *slope = f * (o.identity ? 1.0 : s * (1.0 + x * (1.0 - s)));
    return f * (o.identity ? x : silu(x));
}

static void one(Device *dev, int64_t n, int64_t c, SiluDropoutOpts o) {
    Rng rng = rng_make(6, (uint64_t)(n * 5000 + c));
    TestMat x = mat_new(n, c, 0), y = mat_new(n, c, 0), dy = mat_new(n, c, 0), dx = mat_new(n, c, 0);
    mat_random(&x, &rng, -12.0f, 12.0f);
    mat_random(&dy, &rng, -1.0f, 1.0f);
    TestMat x2 = mat_new(n, c, 0), dy2 = mat_new(n, c, 0);
    mat_copy(&x2, &x);
    mat_copy(&dy2, &dy);
    Twin tx = mat_to(dev, &x, DT_F32), ty = mat_to(dev, &y, DT_F32), tdy = mat_to(dev, &dy, DT_F32),
         tdx = mat_to(dev, &dx, DT_F32), tx2 = mat_to(dev, &x2, DT_F32), tdy2 = mat_to(dev, &dy2, DT_F32);
    assert_ok(silu_dropout_fwd(dev, ty.t, tx.t, o));
    assert_ok(silu_dropout_bwd(dev, tdx.t, tdy.t, tx.t, o));
    assert_ok(silu_dropout_bwd(dev, tdy2.t, tdy2.t, tx.t, o)); /* in place */
    assert_ok(silu_dropout_fwd(dev, tx2.t, tx2.t, o));
    Twin *all[] = {&tx, &ty, &tdy, &tdx, &tx2, &tdy2};
    for (int i = 0; i < COUNT_OF(all); i++) mat_from(all[i]);
    int64_t kept = 0;
    for (int64_t k = 0; k < n * c; k++) {
        double slope, v = *mat_at(&x, k / c, k % c), g = *mat_at(&dy, k / c, k % c);
        double want = expected(v, k, o, &slope);
        kept += slope != 0.0;
        assert_within(*mat_at(&y, k / c, k % c), want, 6e-7 * fabs(want));
        assert_within(*mat_at(&dx, k / c, k % c), g * slope, 8e-7 * fabs(g) * (fabs(slope) + 0.1));
    }
    if (n * c > 10000)
        assert_within((double)kept / (double)(n * c), 1.0 - (double)o.p, 5.0 * 0.5 / sqrt((double)(n * c)));
    mat_intact(&x), mat_intact(&y), mat_intact(&dx), mat_intact(&x2), mat_intact(&dy2);
    mat_same_bits(&dy2, &dx);
    mat_same_bits(&x2, &y);
    mat_free(&x), mat_free(&y), mat_free(&dy), mat_free(&dx), mat_free(&x2), mat_free(&dy2);
}

static void sizes(void **state) {
    (void)state;
    Device dev;
    for (int b = 1; backend_open(&dev, b); b += b == 1 ? N_CPU - 1 : 1) { /* CPU threads: a test of its own */
        for (int i = 0; i < COUNT_OF(SIZES); i++)
            for (int kind = 0; kind < 4; kind++) {
                SiluDropoutOpts o = {.p = kind & 1 ? 0.3f : 0.0f,
                                     .identity = kind & 2,
                                     .seed = 0x1234567890abcdefu,
                                     .stream = (uint64_t)7 << 50 | 9};
                one(&dev, SIZES[i][0], SIZES[i][1], o);
            }
        device_close(&dev);
    }
}

/* The slope is the derivative: five-point rule on the double reference. */
typedef struct Point {
    double x;
} Point;
static double at_point(const void *ctx) {
    return silu(((const Point *)ctx)->x);
}

static void derivatives(void **state) {
    (void)state;
    Device dev;
    assert_ok(device_open(&dev, "cpu", 1));
    for (float v = -20.0f; v < 20.0f; v += 0.37f) {
        Point p = {v};
        float dy = 1.0f, dx = NAN;
        assert_ok(silu_dropout_bwd(&dev, tensor_2d(&dx, DT_F32, 1, 1), tensor_2d(&dy, DT_F32, 1, 1),
                                   tensor_2d(&v, DT_F32, 1, 1), (SiluDropoutOpts){0}));
        assert_within(dx, derivative(&p.x, at_point, &p), 4e-7);
    }
    device_close(&dev);
}

static void threads(void **state) {
    (void)state;
    enum { N = 97, C = 513 };
    Rng rng = rng_make(7, 0);
    TestMat x = mat_new(N, C, 0), a = mat_new(N, C, 0), b = mat_new(N, C, 0);
    mat_random(&x, &rng, -3.0f, 3.0f);
    SiluDropoutOpts o = {.p = 0.05f, .seed = 3, .stream = 4};
    for (int n = 1; n <= 3; n++) {
        Device dev;
        assert_ok(device_open(&dev, "cpu", n));
        assert_ok(silu_dropout_fwd(&dev, (n == 1 ? a : b).t, x.t, o));
        if (n > 1) mat_same_bits(&a, &b);
        device_close(&dev);
    }
    mat_free(&x), mat_free(&a), mat_free(&b);
}

static void nan_passes(void **state) {
    (void)state;
    TestMat x = mat_new(1, 3, 0), y = mat_new(1, 3, 0);
    *mat_at(&x, 0, 0) = NAN, *mat_at(&x, 0, 1) = INFINITY, *mat_at(&x, 0, 2) = 1.0f;
    Device dev;
    for (int b = 0; backend_open(&dev, b); b++) {
        mat_poison(&y);
        Twin tx = mat_to(&dev, &x, DT_F32), ty = mat_to(&dev, &y, DT_F32);
        assert_ok(silu_dropout_fwd(&dev, ty.t, tx.t, (SiluDropoutOpts){0}));
        mat_from(&ty);
        twin_free(&tx);
        assert_true(isnan(*mat_at(&y, 0, 0)) && isinf(*mat_at(&y, 0, 1)) && *mat_at(&y, 0, 2) > 0.7f);
        device_close(&dev);
    }
    mat_free(&x), mat_free(&y);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes),
        cmocka_unit_test(derivatives),
        cmocka_unit_test(threads),
        cmocka_unit_test(nan_passes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
