/* vec.h against libm in double, on a walk through all exponents, and at the edges. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>

#include "base/rng.h"
#include "kernels/vec.h"

VEC_TARGETS static void exp_array(float *y, const float *x, int64_t n) {
#pragma omp simd
    for (int64_t i = 0; i < n; i++) y[i] = vec_expf(x[i]);
}

VEC_TARGETS static void silu_array(float *y, float *g, const float *x, int64_t n) {
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        y[i] = vec_silu(x[i]);
        g[i] = vec_silu_grad(x[i]);
    }
}

VEC_TARGETS static void tanh_array(float *y, const float *x, int64_t n) {
#pragma omp simd
    for (int64_t i = 0; i < n; i++) y[i] = vec_tanhf(x[i]);
}

VEC_TARGETS static void gelu_array(float *y, float *g, const float *x, int64_t n) {
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        y[i] = vec_gelu_tanh(x[i]);
        g[i] = vec_gelu_tanh_grad(x[i]);
    }
}

static void tanh_accuracy(void **state) {
    (void)state;
    enum { N = 4097 };
    static float x[N], y[N];
    double worst = 0;
    for (int part = -40; part < 6; part++) { /* 2^part to 2^(part + 1), both signs */
        for (int i = 0; i < N; i++) x[i] = ldexpf(1.0f + (float)i / N, part) * (i % 2 ? -1.0f : 1.0f);
        tanh_array(y, x, N);
        for (int i = 0; i < N; i++) {
            double want = tanh((double)x[i]), err = fabs((y[i] - want) / want);
            if (!(err <= worst)) worst = err;
        }
    }
    print_message("vec_tanhf: largest relative error %.3g\n", worst);
    assert_true(worst <= 4e-7);
    assert_true(vec_tanhf(0.0f) == 0.0f && vec_tanhf(1e30f) == 1.0f && vec_tanhf(-INFINITY) == -1.0f);
    assert_true(isnan(vec_tanhf(NAN)));
}

/* Its exponent, up to 104 before the result is nothing, is rounded a few times. */
static void gelu_tanh(void **state) {
    (void)state;
    enum { N = 2001 };
    static float x[N], y[N], g[N];
    const double k = sqrt(2.0 / acos(-1.0));
    for (int i = 0; i < N; i++) x[i] = (float)(i - N / 2) * 0.011f;
    gelu_array(y, g, x, N);
    for (int i = 0; i < N; i++) {
        double v = x[i], u = k * (v + 0.044715 * v * v * v), s = 1.0 / (1.0 + exp(-2.0 * u));
        double rel = 4e-7 + 4.0 * 0x1p-24 * fmin(2.0 * fabs(u), 104.0);
        assert_true(fabs(y[i] - v * s) <= rel * fabs(v * s) + 1e-36);
        double one_less = 1.0 / (1.0 + exp(2.0 * u)); /* 1 - s, without cancellation */
        double grad = s + v * s * one_less * 2.0 * k * (1.0 + 3.0 * 0.044715 * v * v);
        assert_true(fabs(g[i] - grad) <= 1e-6);
    }
    assert_true(isnan(vec_gelu_tanh(NAN)) && isnan(vec_gelu_tanh_grad(NAN)));
    assert_true(vec_gelu_tanh(-1e30f) == 0.0f && vec_gelu_tanh(1e30f) == 1e30f);
    assert_true(vec_gelu_tanh_grad(-1e30f) == 0.0f && vec_gelu_tanh_grad(1e30f) == 1.0f);
}

static void exp_accuracy(void **state) {
    (void)state;
    enum { N = 4097 };
    static float x[N], y[N];
    double worst = 0;
    for (int part = 0; part < 500; part++) {
        double from = -87.3 + 176.0 * part / 500.0;
        for (int i = 0; i < N; i++) x[i] = (float)(from + 176.0 / 500.0 * i / N);
        exp_array(y, x, N);
        for (int i = 0; i < N; i++) {
            double want = exp((double)x[i]);
            if (want > 3.4028e38) continue;
            double err = fabs(y[i] - want) / want;
            assert_false(isnan(err));
            if (err > worst) worst = err;
            assert_float_equal(vec_expf(x[i]) / want, 1.0, 2e-7);
        }
    }
    print_message("vec_expf: largest relative error %.3g\n", worst);
    assert_true(worst <= 2e-7);
}

static void exp_small_arguments(void **state) {
    (void)state;
    for (float x = 1e-38f; x < 1.0f; x *= 1.7f) {
        assert_true(fabs(vec_expf(x) - exp((double)x)) <= 2e-7 * exp((double)x));
        assert_true(fabs(vec_expf(-x) - exp(-(double)x)) <= 2e-7);
    }
    assert_true(vec_expf(0.0f) == 1.0f);
    assert_true(vec_expf(-0.0f) == 1.0f);
}

static void exp_edges(void **state) {
    (void)state;
    float x[] = {INFINITY, 89.0f, 1e30f, -INFINITY, -104.5f, -1e30f, NAN, -NAN};
    float y[8];
    exp_array(y, x, 8);
    for (int i = 0; i < 3; i++) assert_true(isinf(y[i]) && y[i] > 0);
    for (int i = 3; i < 6; i++) assert_true(y[i] == 0.0f);
    assert_true(isnan(y[6]) && isnan(y[7]));
    for (float v = -87.4f; v > -103.9f; v -= 0.1f) /* subnormal results: within two of the smallest step */
        assert_true(fabs(vec_expf(v) - exp((double)v)) <= 2 * 1.4013e-45);
    assert_true(vec_expf(88.7f) < INFINITY);
}

static void silu(void **state) {
    (void)state;
    enum { N = 2001 };
    static float x[N], y[N], g[N];
    for (int i = 0; i < N; i++) x[i] = (float)(i - N / 2) * 0.09f;
    silu_array(y, g, x, N);
    for (int i = 0; i < N; i++) {
        double v = x[i], s = 1.0 / (1.0 + exp(-v));
        assert_true(fabs(y[i] - v * s) <= 4e-7 * fabs(v * s) + 1e-36);
        assert_true(fabs(g[i] - s * (1.0 + v * (1.0 - s))) <= 4e-7);
    }
    assert_true(isnan(vec_silu(NAN)) && isnan(vec_silu_grad(NAN)));
    assert_true(vec_silu(-200.0f) == 0.0f && vec_silu(200.0f) == 200.0f);
    assert_true(fabsf(vec_silu_grad(-200.0f)) < 2e-36f && vec_silu_grad(200.0f) == 1.0f);
}

static void square_root(void **state) {
    (void)state;
    for (double x = 1.2e-38; x < 3e38; x *= 1.0371) {
        double want = sqrt((double)(float)x);
        assert_true(fabs(vec_sqrtf((float)x) - want) <= 2e-7 * want);
    }
    assert_true(vec_sqrtf(0.0f) == 0.0f && isnan(vec_sqrtf(NAN)));
}

VEC_TARGETS static void rng_array(uint32_t *out, uint64_t seed, uint64_t stream, uint64_t block) {
    vec_rng(out, seed, stream, block);
}

static void rng_is_the_stream(void **state) {
    (void)state;
    uint64_t seed = 0x123456789abcdef0u, stream = 0xfeedfacecafebeefu;
    uint64_t blocks[] = {0, 1, 77, (uint64_t)1 << 26, ((uint64_t)1 << 26) - 1, (uint64_t)3 << 40};
    for (size_t b = 0; b < sizeof blocks / sizeof *blocks; b++) {
        uint32_t out[VEC_RNG];
        rng_array(out, seed, stream, blocks[b]);
        for (uint64_t i = 0; i < VEC_RNG; i++)
            assert_int_equal(out[i], rng_at(seed, stream, blocks[b] * VEC_RNG + i));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tanh_accuracy), cmocka_unit_test(gelu_tanh),
        cmocka_unit_test(exp_accuracy),  cmocka_unit_test(exp_small_arguments),
        cmocka_unit_test(exp_edges),     cmocka_unit_test(silu),
        cmocka_unit_test(square_root),   cmocka_unit_test(rng_is_the_stream),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
