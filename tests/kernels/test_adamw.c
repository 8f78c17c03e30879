/* AdamW against double, odd sizes, threads. (tests/train/test_schedule.c compares it with torch's.) */
#include "tests/kernels/backends.h"

static void check(int64_t n, const TestMat *start, const TestMat *got) {
    for (int64_t j = 0; j < n; j++) {
        double p = *mat_at(start, 0, j), m = *mat_at(start, 1, j), v = *mat_at(start, 2, j);
        double g = 0.5 * *mat_at(start, 3, j);
        m = 0.9 * m + 0.1 * g;
        v = 0.99 * v + 0.01 * g * g;
        p -= 1e-2 * 0.1 * p;
        p -= 1e-2 * (m / (1.0 - pow(0.9, 3))) / (sqrt(v / (1.0 - pow(0.99, 3))) + 1e-6);
        assert_within(*mat_at(got, 0, j), p, 3e-7 * (1.0 + fabs(p)) + 1e-6 * fabs(p - *mat_at(start, 0, j)));
        assert_within(*mat_at(got, 1, j), m, 2e-7);
        assert_within(*mat_at(got, 2, j), v, 2e-7);
        assert_true(*mat_at(got, 3, j) == *mat_at(start, 3, j));
    }
}

static void sizes_and_backends(void **state) {
    (void)state;
    const int64_t sizes[] = {1, 33, 4097, 16384, 16385, 70001};
    for (int i = 0; i < COUNT_OF(sizes); i++) {
        int64_t n = sizes[i];
        TestMat start = mat_new(4, n, 0), first = mat_new(4, n, 0), x = mat_new(4, n, 0); /* rows p m v g */
        Rng rng = rng_make(9, (uint64_t)n);
        mat_random(&start, &rng, -1.0f, 1.0f);
        for (int64_t j = 0; j < n; j++) *mat_at(&start, 2, j) = fabsf(*mat_at(&start, 2, j));
        AdamwOpts o = {
            .lr = 1e-2, .beta1 = 0.9, .beta2 = 0.99, .eps = 1e-6, .decay = 0.1, .grad_scale = 0.5, .step = 3};
        Device dev;
        for (int b = 0; backend_open(&dev, b); b++) {
            TestMat *to = b == 0 ? &first : &x;
            mat_copy(to, &start);
            Twin t = mat_to(&dev, to, DT_F32);
            float *p = tensor_f32(t.t);
            assert_ok(adamw(&dev, p, p + t.t.ld, p + 2 * t.t.ld, p + 3 * t.t.ld, n, o));
            mat_from(&t);
            mat_intact(to);
            if (b > 0 && b < N_CPU) mat_same_bits(&first, to);
            check(n, &start, to);
            device_close(&dev);
        }
        mat_free(&start), mat_free(&first), mat_free(&x);
    }
}

/* First step from zero moments: m/(1-b1) = g, so p moves by lr * sign(g). */
static void first_step_is_a_sign(void **state) {
    (void)state;
    Device dev;
    float p[3] = {1.0f, 1.0f, 1.0f}, m[3] = {0}, v[3] = {0}, g[3] = {5.0f, -1e-3f, 0.0f};
    assert_ok(device_open(&dev, "cpu", 1));
    assert_ok(adamw(&dev, p, m, v, g, 3, (AdamwOpts){0.1, 0.9, 0.999, 1e-12, 0.0, 1.0, 1}));
    assert_within(p[0], 0.9, 1e-6);
    assert_within(p[1], 1.1, 1e-6);
    assert_within(p[2], 1.0, 0.0);
    device_close(&dev);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_and_backends),
        cmocka_unit_test(first_step_is_a_sign),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
