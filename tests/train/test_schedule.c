/* The warm-up schedule and the clip factor against values worked out by hand, and with AdamW against twenty
 * steps of torch and transformers. */
#include "tests/test_util.h"

#include "data/safetensors.h"
#include "kernels/ops.h"
#include "train/schedule.h"

static void close_to(double a, double b) {
    assert_true(fabs(a - b) <= 1e-15 * (1.0 + fabs(b)));
}

static void warmup_and_decay(void **state) {
    (void)state;
    /* transformers' lambda with 4 of 20 steps: t/4, then (20-t)/16 */
    for (int t = 0; t < 4; t++) close_to(schedule_lr(2.0, t, 4, 20), 2.0 * t / 4.0);
    for (int t = 4; t <= 20; t++) close_to(schedule_lr(2.0, t, 4, 20), 2.0 * (20 - t) / 16.0);
    close_to(schedule_lr(2.0, 21, 4, 20), 0.0);
    close_to(schedule_lr(2.0, 1000000, 4, 20), 0.0);
}

static void edges(void **state) {
    (void)state;
    close_to(schedule_lr(1.0, 0, 0, 10), 1.0); /* no warm-up */
    close_to(schedule_lr(1.0, 9, 0, 10), 0.1);
    close_to(schedule_lr(1.0, 0, 10, 10), 0.0); /* all warm-up */
    close_to(schedule_lr(1.0, 9, 10, 10), 0.9);
    close_to(schedule_lr(1.0, 10, 10, 10), 0.0);
    close_to(schedule_lr(1.0, 0, 0, 1), 1.0);
    close_to(schedule_lr(1.0, 5, 10, 5), 0.5); /* warm-up beyond the end still warms up */
}

static void clip(void **state) {
    (void)state;
    close_to(schedule_clip(0.25, 1.0), 1.0);
    close_to(schedule_clip(16.0, 1.0), 1.0 / (4.0 + 1e-6));
    close_to(schedule_clip(16.0, 8.0), 1.0);
    close_to(schedule_clip(0.0, 1.0), 1.0);
    close_to(schedule_clip(16.0, 0.0), 1.0); /* off */
    assert_true(schedule_clip(1.0, 1.0) < 1.0);
    assert_true(isnan(schedule_clip(NAN, 1.0)));
    assert_true(schedule_clip(INFINITY, 1.0) == 0.0);
}

static const double *read_f64(const SafeTensors *g, const char *name, int64_t n) {
    const SafeTensor *t = safetensors_find(g, name);
    if (!t || t->dtype != DT_F64 || t->bytes != (size_t)n * 8)
        fail_msg("%s: not [%lld] F64", name, (long long)n);
    return (const double *)t->data;
}

static void read_f32(float *dst, const SafeTensors *g, const char *prefix, const char *name, int64_t n) {
    char full[64];
    snprintf(full, sizeof full, "%s%s", prefix, name);
    const SafeTensor *t = safetensors_find(g, full);
    if (!t || t->bytes != (size_t)n * sizeof(float)) fail_msg("%s: not [%lld] F32", full, (long long)n);
    assert_ok(safetensors_read_f32(dst, t));
}

/* Tensors a, b, c of the file behind one another. */
static void read_all(float *dst, const SafeTensors *g, const char *prefix) {
    read_f32(dst, g, prefix, "a", 33);
    read_f32(dst + 33, g, prefix, "b", 35);
    read_f32(dst + 68, g, prefix, "c", 130);
}

static void close_all(const float *got, const SafeTensors *g, const char *prefix, double bound) {
    float want[198];
    double d[198];
    read_all(want, g, prefix);
    for (int i = 0; i < 198; i++) d[i] = want[i];
    double err = relative_error(got, d, 198);
    if (!(err <= bound)) fail_msg("%s: relative error %.3g", prefix, err);
}

static void against_torch(void **state) {
    (void)state;
    enum { N = 198, STEPS = 20 };
    float p[N], m[N] = {0}, v[N] = {0}, grad[N], norm[STEPS];
    SafeTensors g;
    Device dev;
    assert_ok(device_open(&dev, "cpu", 1));
    assert_ok(safetensors_open(&g, GOLDEN("adamw.safetensors")));
    const double *lr = read_f64(&g, "lr", STEPS);
    read_f32(norm, &g, "", "norm", STEPS);
    read_all(p, &g, "init.");
    for (int t = 0; t < STEPS; t++) {
        char prefix[32];
        double sumsq;
        snprintf(prefix, sizeof prefix, "grad.%d.", t);
        read_all(grad, &g, prefix);
        assert_ok(norm_sumsq(&dev, &sumsq, grad, N));
        assert_within(sqrt(sumsq), norm[t], 1e-6 * norm[t]);
        close_to(schedule_lr(1e-3, t, 4, STEPS), lr[t]);
        AdamwOpts o = {.lr = schedule_lr(1e-3, t, 4, STEPS),
                       .beta1 = 0.9,
                       .beta2 = 0.999,
                       .eps = 1e-8,
                       .decay = 1e-2,
                       .grad_scale = schedule_clip(sumsq, 1.0),
                       .step = t + 1};
        assert_ok(adamw(&dev, p, m, v, grad, N, o));
        snprintf(prefix, sizeof prefix, "param.%d.", t);
        close_all(p, &g, prefix, 1e-6);
    }
    close_all(m, &g, "m.", 1e-6);
    close_all(v, &g, "v.", 1e-6);
    safetensors_close(&g);
    device_close(&dev);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(warmup_and_decay),
        cmocka_unit_test(edges),
        cmocka_unit_test(clip),
        cmocka_unit_test(against_torch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
