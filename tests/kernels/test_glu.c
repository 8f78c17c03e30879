/* glu against act(g) u in double, the backward against derivatives; the activations alone are tested in
 * test_vec. */
#include "tests/kernels/backends.h"

/* vec.h promises a relative error of 2e-7 for exp; silu adds a sum and a division (test_vec: 4e-7). */
static const double silu_bound = 4e-7;
/* CUDA's erfcf: at most 4 ulp of 2^-23, its argument's error is `tail` (CUDA C++ Programming Guide,
 * mathematical functions: the error bounds of erfcf, expf and tanhf). */
static const double cuda_bound = 6e-7;

typedef struct Unit {
    double g, u;
    GluAct act;
} Unit;

static double unit_value(const void *ctx) {
    const Unit *x = ctx;
    if (x->act == GLU_GELU) return 0.5 * x->g * erfc(-x->g * sqrt(0.5)) * x->u;
    if (x->act == GLU_GELU_TANH)
        return 0.5 * x->g * (1.0 + tanh(sqrt(2.0 / acos(-1.0)) * (x->g + 0.044715 * pow(x->g, 3.0)))) * x->u;
    return x->g / (1.0 + exp(-x->g)) * x->u;
}

static void check(const Device *dev, DType type, int64_t n, int64_t f, const TestMat *gu, const TestMat *dy,
                  const TestMat *y, const TestMat *dgu, GluAct act) {
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < f; j++) {
            Unit x = {*mat_at(gu, i, j), *mat_at(gu, i, f + j), act};
            double want = unit_value(&x), d = *mat_at(dy, i, j), z = fabs(x.g);
            /* GELU's exponent, about z^2 / 2 + z^3 / 14, is rounded too: where it is above 12 the value is
             * within 3e-5 of 0 or of g, and the bound is that share of the exponent's error */
            double tail = act == GLU_SILU ? 0.0 : 8.0 * ROUND_F32 * fmin(z * z, 30.0);
            double bound = (dev->kind == DEVICE_CPU ? silu_bound : cuda_bound) + tail,
                   stored = 1.01 * store_bound(type);
            assert_within(*mat_at(y, i, j), want,
                          fabs(want) * (bound + stored + 2.0 * ROUND_F32) +
                              (act == GLU_SILU ? FLT_MIN : 1e-12));
            double dg = derivative(&x.g, unit_value, &x), du = derivative(&x.u, unit_value, &x);
            assert_within(*mat_at(dgu, i, j), d * dg,
                          fabs(d * x.u) * (bound + 4.0 * ROUND_F32) + stored * fabs(d * dg) + 1e-9);
            assert_within(*mat_at(dgu, i, f + j), d * du,
                          fabs(d * du) * (bound + stored + 2.0 * ROUND_F32) + 1e-9);
        }
}

static void one_case(int64_t n, int64_t f, int64_t gap, float size, GluAct act, DType type) {
    Rng rng = rng_make(19, (uint64_t)(n * 10000 + f));
    TestMat gu = mat_new(n, 2 * f, gap), dy = mat_new(n, f, gap + 2);
    mat_random(&gu, &rng, -size, size);
    mat_random(&dy, &rng, -1.0f, 1.0f);
    mat_round(&gu, type);
    mat_round(&dy, type);
    TestMat y1 = mat_new(n, f, 0), dgu1 = mat_new(n, 2 * f, 0);
    Device dev;
    for (int b = 0; backend_open(&dev, b); b++) {
        if (!backend_has(&dev, type)) {
            device_close(&dev);
            continue;
        }
        TestMat y = mat_new(n, f, gap), dgu = mat_new(n, 2 * f, gap), inplace = mat_new(n, 2 * f, gap);
        mat_copy(&inplace, &gu);
        Twin tgu = mat_to(&dev, &gu, type), tdy = mat_to(&dev, &dy, type), ty = mat_to(&dev, &y, type),
             tdgu = mat_to(&dev, &dgu, type), ti = mat_to(&dev, &inplace, type);
        assert_ok(glu_fwd(&dev, ty.t, tgu.t, act));
        assert_ok(glu_bwd(&dev, tdgu.t, tdy.t, tgu.t, act));
        assert_ok(glu_bwd(&dev, ti.t, tdy.t, ti.t, act));
        mat_from(&ty);
        mat_from(&tdgu);
        mat_from(&ti);
        twin_free(&tgu);
        twin_free(&tdy);
        mat_intact(&y);
        mat_intact(&dgu);
        mat_intact(&inplace);
        mat_same_bits(&dgu, &inplace);
        if (b == 0 || b >= N_CPU) check(&dev, type, n, f, &gu, &dy, &y, &dgu, act);
        if (b == 0) {
            mat_copy(&y1, &y);
            mat_copy(&dgu1, &dgu);
        } else if (b < N_CPU) {
            mat_same_bits(&y1, &y);
            mat_same_bits(&dgu1, &dgu);
        }
        mat_free(&y);
        mat_free(&dgu);
        mat_free(&inplace);
        device_close(&dev);
    }
    TestMat *all[] = {&gu, &dy, &y1, &dgu1};
    for (int i = 0; i < COUNT_OF(all); i++) mat_free(all[i]);
}

static void sizes(void **state) {
    (void)state;
    for (int k = 0; k < 6; k++) {
        GluAct act = (GluAct)(k % 3);
        DType type = k / 3 ? DT_BF16 : DT_F32;
        one_case(1, 1, 0, 3.0f, act, type);
        one_case(33, 33, 5, 5.0f, act, type);
        one_case(2, 4097, 1, 10.0f, act, type);
        one_case(7, 80, 0, 40.0f, act, type);
        one_case(130, 3, 2, 0.01f, act, type);
    }
}

static void edges(void **state) {
    (void)state;
    const float g[12] = {0.0f, -0.0f, 100.0f, -100.0f, 1e30f, -1e30f, 2, 2, 2, 2, 2, 2};
    const float nan_g[12] = {NAN, 1.0f};
    const double want_y[6] = {0, 0, 200, 0, 2e30, 0}, want_dg[6] = {1, 1, 2, 0, 2, 0};
    Device dev;
    for (int b = 0; backend_open(&dev, b); b++) {
        float y[6] = {0}, dgu[12] = {0}, dy[6] = {1, 1, 1, 1, 1, 1};
        void *on_y = bytes_to(&dev, y, sizeof y), *on_dy = bytes_to(&dev, dy, sizeof dy),
             *on_gu = bytes_to(&dev, g, sizeof g), *on_dgu = bytes_to(&dev, dgu, sizeof dgu);
        Tensor ty = device_2d(&dev, on_y, 1, 6), tgu = device_2d(&dev, on_gu, 1, 12);
        assert_ok(glu_fwd(&dev, ty, tgu, GLU_SILU));
        assert_ok(glu_bwd(&dev, device_2d(&dev, on_dgu, 1, 12), device_2d(&dev, on_dy, 1, 6), tgu, GLU_SILU));
        assert_ok(device_download(&dev, y, on_y, sizeof y));
        assert_ok(device_download(&dev, dgu, on_dgu, sizeof dgu));
        for (int j = 0; j < 6; j++) {
            assert_within(y[j], want_y[j], 1e-30 + 1e-6 * fabs(want_y[j]));
            assert_within(dgu[j], want_dg[j], 1e-30);
            assert_within(dgu[6 + j], want_y[j] / 2.0, 1e-30 + 1e-6 * fabs(want_y[j]));
        }
        assert_ok(device_upload(&dev, on_gu, nan_g, sizeof nan_g));
        assert_ok(glu_fwd(&dev, ty, tgu, GLU_SILU));
        assert_ok(device_download(&dev, y, on_y, sizeof y));
        assert_true(isnan(y[0]) && !isnan(y[1]));
        void *all[] = {on_y, on_dy, on_gu, on_dgu};
        for (int i = 0; i < COUNT_OF(all); i++) device_free(&dev, all[i]);
        device_close(&dev);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(sizes), cmocka_unit_test(edges)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
