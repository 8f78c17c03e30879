/* train.accumulate of a Text-to-LoRA on a tiny model: the loss and the gradient of a step of two batches are
 * the means of those of the two batches as steps of their own; dropout and noise on. And one such
 * step in a device's memory. */
#include "tests/kernels/backends.h"
#include "tests/small.h"
#include "train/sft.h"

static char dir[PATH_MAX];

static int make_dir(void **state) {
    (void)state;
    char tasks[PATH_MAX + 8];
    temp_make(dir);
    snprintf(tasks, sizeof tasks, "%s/tasks", dir);
    small_tasks(tasks);
    small_model(dir);
    return 0;
}

static int remove_dir(void **state) {
    (void)state;
    temp_remove(dir);
    return 0;
}

/* Step `step` without an update; *grads owns its gradient. */
static RunStep step_at(float **grads, int64_t *n, int64_t step, const char *accumulate, const char *dtype,
                       int backend) {
    char *words[] = {(char *)"data.max_tokens=64",
                     (char *)"train.batch_tasks=2",
                     (char *)"hypernet.latent=16",
                     (char *)"hypernet.head=16",
                     (char *)"train.ab_penalty=0.5",
                     (char *)accumulate,
                     (char *)dtype};
    char tasks[PATH_MAX + 8];
    snprintf(tasks, sizeof tasks, "%s/tasks", dir);
    SftPaths paths = {.model = dir, .encoder = GOLDEN("gte_tiny"), .tasks = tasks};
    Config config;
    Device dev;
    Sft sft;
    RunStep out;
    assert_ok(config_load(&config, NULL, COUNT_OF(words), words));
    assert_true(backend_open(&dev, backend));
    assert_ok(sft_init(&sft, &dev, &config, &paths, true));
    sft.at.step = step;
    assert_ok(sft_step(&out, &sft, (SftStepOpts){.update = false}));
    *n = sft.hypernet.n_params;
    size_t size = (size_t)*n * sizeof(float);
    *grads = test_alloc(size);
    assert_ok(device_download(&dev, *grads, sft.sum ? sft.sum : sft.hypernet.grads, size));
    sft_free(&sft);
    device_close(&dev);
    config_free(&config);
    return out;
}

static void test_mean(void **state) {
    (void)state;
    float *g[3];
    int64_t n;
    RunStep s[3];
    for (int i = 0; i < 3; i++)
        s[i] = step_at(&g[i], &n, i < 2 ? i : 0, i < 2 ? "train.accumulate=1" : "train.accumulate=2",
                       "dtype=auto", 0);
    assert_true(s[0].loss != s[1].loss);
    assert_within(s[2].loss, (s[0].loss + s[1].loss) / 2, 4 * ROUND_F32 * s[2].loss);
    assert_within(s[2].penalty, (s[0].penalty + s[1].penalty) / 2, 4 * ROUND_F32 * s[2].penalty);
    assert_int_equal(s[2].tokens, s[0].tokens + s[1].tokens);
    double off = 0, all = 0;
    for (int64_t i = 0; i < n; i++) {
        double mean = ((double)g[0][i] + (double)g[1][i]) / 2, d = (double)g[2][i] - mean;
        off += d * d;
        all += mean * mean;
    }
    assert_within(s[2].grad_norm, sqrt(all), 1e-5 * sqrt(all));
    assert_true(all > 0 && sqrt(off) <= 1e-5 * sqrt(all)); /* halving is exact: sums of f32 in other order */
    for (int i = 0; i < 3; i++) free(g[i]);
}

/* The same step under the interpreter of CUDA bodies: twice the errors that test_llm allows of one side. */
static void test_in_device_memory(void **state) {
    (void)state;
    float *want, *got;
    int64_t n;
    RunStep cpu = step_at(&want, &n, 1, "train.accumulate=2", "dtype=f32", 0),
            device = step_at(&got, &n, 1, "train.accumulate=2", "dtype=f32", N_CPU);
    double off = 0, all = 0;
    for (int64_t i = 0; i < n; i++) {
        double d = (double)got[i] - (double)want[i];
        off += d * d;
        all += (double)want[i] * (double)want[i];
    }
    print_message("loss %.8f, on the device %.8f; gradients differ by %.2g of their length\n", cpu.loss,
                  device.loss, sqrt(off / all));
    assert_within(device.loss, cpu.loss, 4 * 4.7e-7 * cpu.loss);
    assert_within(device.penalty, cpu.penalty, 4 * 4.7e-7 * cpu.penalty);
    assert_within(device.grad_norm, cpu.grad_norm, 2e-5 * cpu.grad_norm);
    assert_true(all > 0 && sqrt(off / all) <= 2e-5);
    free(want);
    free(got);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_mean), cmocka_unit_test(test_in_device_memory)};
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
