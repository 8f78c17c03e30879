/* The warm-up schedule and the clip factor against values worked out by hand. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <math.h>

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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(warmup_and_decay),
        cmocka_unit_test(edges),
        cmocka_unit_test(clip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
