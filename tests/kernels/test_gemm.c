/* gemm against double sums: every transposition, strides with poison between rows, alpha, beta, bias, odd
 * sizes, the number of threads. */
#include "tests/kernels/backends.h"

typedef struct Shape {
    int64_t m, n, k;
} Shape;

static const Shape SHAPES[] = {{1, 1, 1},       {1, 33, 7},   {33, 1, 4097}, {33, 33, 33},  {2, 5, 0},
                               {14, 32, 1},     {15, 31, 2},  {29, 65, 64},  {257, 513, 9}, {300, 70, 130},
                               {4097, 3, 5},    {3, 4097, 5}, {64, 64, 600}, {1, 4608, 96}, {130, 258, 385},
                               {513, 1025, 17}, {16, 16, 16}};

/* c = gemm(a, b) on a device; bias: NULL or a row. */
static void run(Device *dev, TestMat *c, TestMat *a, TestMat *b, TestMat *bias, GemmOpts o) {
    Twin tc = mat_to(dev, c, DT_F32), ta = mat_to(dev, a, DT_F32), tb = mat_to(dev, b, DT_F32), tbias;
    if (bias) {
        tbias = mat_to(dev, bias, DT_F32);
        o.bias = tbias.t.data;
    }
    size_t mark = arena_mark(&dev->scratch);
    assert_ok(gemm(dev, tc.t, ta.t, tb.t, o));
    assert_true(arena_mark(&dev->scratch) == mark);
    mat_from(&tc);
    mat_from(&ta);
    mat_from(&tb);
    if (bias) mat_from(&tbias);
    mat_intact(a);
    mat_intact(b);
    mat_intact(c);
}

static TestMat operand(int64_t rows, int64_t cols, Trans t, Rng *rng) {
    TestMat m = t == TRANS ? mat_new(cols, rows, 5) : mat_new(rows, cols, 3);
    mat_random(&m, rng, -1.0f, 1.0f);
    return m;
}

static float element(const TestMat *m, Trans t, int64_t i, int64_t j) {
    return t == TRANS ? *mat_at(m, j, i) : *mat_at(m, i, j);
}

static void check_one(Device *dev, Shape s, GemmOpts o, bool with_bias) {
    Rng rng = rng_make(1, (uint64_t)(s.m * 7 + s.n * 3 + s.k));
    TestMat a = operand(s.m, s.k, o.ta, &rng), b = operand(s.k, s.n, o.tb, &rng), c = mat_new(s.m, s.n, 7);
    TestMat old = mat_new(s.m, s.n, 0), bias = mat_new(1, s.n, 0);
    mat_random(&old, &rng, -1.0f, 1.0f);
    mat_random(&bias, &rng, -1.0f, 1.0f);
    if (o.beta != 0.0f) mat_copy(&c, &old); /* else c is NaN */
    run(dev, &c, &a, &b, with_bias ? &bias : NULL, o);
    int64_t step = s.m * s.n * s.k > 2000000 ? 7 : 1; /* large ones: every seventh row */
    for (int64_t i = 0; i < s.m; i += step)
        for (int64_t j = 0; j < s.n; j++) {
            double want = o.beta * (double)*mat_at(&old, i, j), size = fabs(want);
            if (with_bias) want = *mat_at(&bias, 0, j), size = fabs(want);
            for (int64_t p = 0; p < s.k; p++) {
                double term = (double)o.alpha * element(&a, o.ta, i, p) * element(&b, o.tb, p, j);
                want += term;
                size += fabs(term);
            }
            assert_within(*mat_at(&c, i, j), want, sum_bound(s.k + 2) * size);
        }
    mat_free(&a);
    mat_free(&b);
    mat_free(&c);
    mat_free(&old);
    mat_free(&bias);
}

static void all_shapes(Device *dev) {
    for (int i = 0; i < COUNT_OF(SHAPES); i++)
        for (int t = 0; t < 4; t++) {
            GemmOpts o = {.ta = t & 1 ? TRANS : NO_TRANS, .tb = t & 2 ? TRANS : NO_TRANS, .alpha = 1.0f};
            check_one(dev, SHAPES[i], o, false);
            check_one(dev, SHAPES[i], o, true);
            o.beta = 1.0f;
            check_one(dev, SHAPES[i], o, false);
            o.alpha = -0.5f;
            o.beta = 0.25f;
            check_one(dev, SHAPES[i], o, false);
        }
}

/* One of the CPU's backends: `threads` compares them. */
static void against_double(void **state) {
    (void)state;
    Device dev;
    for (int b = N_CPU - 1; backend_open(&dev, b); b++) {
        all_shapes(&dev);
        device_close(&dev);
    }
}

static void other_body(void **state) {
    (void)state;
    Device dev;
    assert_ok(device_open(&dev, "cpu", 2));
    dev.avx512 = false;
    all_shapes(&dev);
    device_close(&dev);
}

/* Products of bf16 are exact in f32: only the sums round. */
static void check_bf16(Device *dev, Shape d, int t) {
    Rng rng = rng_make(12, (uint64_t)(d.m * 1000 + t));
    GemmOpts o = {.ta = t & 1 ? TRANS : NO_TRANS,
                  .tb = t & 2 ? TRANS : NO_TRANS,
                  .alpha = 1.0f,
                  .beta = t & 4 ? 1.0f : 0.0f,
                  .dtype = DT_BF16};
    TestMat a = operand(d.m, d.k, o.ta, &rng), c = mat_new(d.m, d.n, 7), old = mat_new(d.m, d.n, 0);
    TestMat b = o.tb == TRANS ? mat_new(d.n, d.k, 0) : mat_new(d.k, d.n, 0);
    mat_random(&b, &rng, -1.0f, 1.0f);
    mat_random(&old, &rng, -1.0f, 1.0f);
    if (t & 4) mat_copy(&c, &old);
    run(dev, &c, &a, &b, NULL, o);
    for (int64_t i = 0; i < d.m; i++)
        for (int64_t j = 0; j < d.n; j++) {
            double want = t & 4 ? *mat_at(&old, i, j) : 0.0, size = fabs(want);
            for (int64_t p = 0; p < d.k; p++) {
                double term = (double)bf16_to_float(float_to_bf16(element(&a, o.ta, i, p))) *
                              bf16_to_float(float_to_bf16(element(&b, o.tb, p, j)));
                want += term;
                size += fabs(term);
            }
            assert_within(*mat_at(&c, i, j), want, sum_bound(d.k + 2) * size);
        }
    mat_free(&a), mat_free(&b), mat_free(&c), mat_free(&old);
}

static void bf16(void **state) {
    (void)state;
    const Shape shapes[] = {{1, 1, 1}, {33, 65, 7}, {15, 31, 2}, {257, 513, 64}, {130, 33, 4097}};
    Device dev;
    for (int b = N_CPU - 1; backend_open(&dev, b); b++) {
        int n =
            dev.kind == DEVICE_CUDA ? COUNT_OF(shapes) - 1 : COUNT_OF(shapes); /* the last is long there */
        for (int s = 0; s < n && (dev.bf16_dot || dev.kind == DEVICE_CUDA); s++)
            for (int t = 0; t < 8; t++) check_bf16(&dev, shapes[s], t);
        device_close(&dev);
    }
}

static void threads(void **state) {
    (void)state;
    const Shape shapes[] = {{257, 513, 300}, {960, 130, 64}, {64, 1100, 77}, {5, 5, 5}};
    for (int i = 0; i < COUNT_OF(shapes); i++) {
        Shape s = shapes[i];
        Rng rng = rng_make(2, (uint64_t)i);
        TestMat a = operand(s.m, s.k, NO_TRANS, &rng), b = operand(s.k, s.n, TRANS, &rng);
        TestMat one = mat_new(s.m, s.n, 1), more = mat_new(s.m, s.n, 1);
        GemmOpts o = {.tb = TRANS, .alpha = 1.0f};
        for (int n = 1; n <= 3; n++) {
            Device d;
            assert_ok(device_open(&d, "cpu", n));
            assert_ok(gemm(&d, (n == 1 ? one : more).t, a.t, b.t, o));
            if (n > 1) mat_same_bits(&one, &more);
            device_close(&d);
        }
        mat_free(&a);
        mat_free(&b);
        mat_free(&one);
        mat_free(&more);
    }
}

/* A NaN in goes to the row (of a) or column (of b) it belongs to and nowhere else. */
static void nan_stays_in_its_row(void **state) {
    (void)state;
    enum { N = 37 };
    Rng rng = rng_make(3, 0);
    TestMat a = operand(N, N, NO_TRANS, &rng), b = operand(N, N, NO_TRANS, &rng), c = mat_new(N, N, 0);
    *mat_at(&a, 5, 9) = NAN;
    Device dev;
    for (int k = N_CPU - 1; backend_open(&dev, k); k++) {
        run(&dev, &c, &a, &b, NULL, (GemmOpts){.alpha = 1.0f});
        for (int i = 0; i < N; i++)
            for (int j = 0; j < N; j++) assert_int_equal(isnan(*mat_at(&c, i, j)) != 0, i == 5);
        device_close(&dev);
    }
    mat_free(&a);
    mat_free(&b);
    mat_free(&c);
}

/* The interpreter's cuBLASLt sees operands that are not where they should be, or not as large. */
static void misplaced(void **state) {
    (void)state;
    enum { N = 5 };
    Device dev;
    assert_ok(device_open_simt(&dev, 0, TEST_SCRATCH));
    float host[N * N] = {0};
    void *there = bytes_to(&dev, host, sizeof host);
    float *c = bytes_to(&dev, host, sizeof host);
    Tensor good = tensor_2d(there, DT_F32, N, N), bad = tensor_2d(host, DT_F32, N, N), to = good;
    to.data = c;
    good.device = bad.device = to.device = dev.kind;
    GemmOpts o = {.alpha = 1.0f}, biased = {.alpha = 1.0f, .bias = host};
    const char *outside = "not inside an allocation of device memory";
    assert_ok(gemm(&dev, to, good, good, o));
    assert_fails(gemm(&dev, to, bad, good, o), E_FAIL, outside);
    assert_fails(gemm(&dev, to, good, bad, o), E_FAIL, outside);
    assert_fails(gemm(&dev, bad, good, good, o), E_FAIL, "not inside device memory");
    assert_fails(gemm(&dev, to, good, good, biased), E_FAIL, outside);
    good.ld = N + 1; /* the last row ends past the allocation */
    assert_fails(gemm(&dev, to, good, to, o), E_FAIL, outside);
    device_free(&dev, there);
    device_free(&dev, c);
    device_close(&dev);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(against_double), cmocka_unit_test(other_body),           cmocka_unit_test(bf16),
        cmocka_unit_test(threads),        cmocka_unit_test(nan_stays_in_its_row), cmocka_unit_test(misplaced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
