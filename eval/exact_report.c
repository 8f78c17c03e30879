/* The arms of the demo, the random texts, and means over tasks. */
#include "eval/exact.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const ExactArm demo_arms[EXACT_DEMO_ARMS] = {
    {"base", "base", EXACT_BASE, false, NULL, 0},
    {"prompted", "base + instruction", EXACT_BASE, true, NULL, 0},
    {"t2l", "T2L", EXACT_DESCRIBED, false, NULL, 0},
    {"t2l_prompted", "T2L + instruction", EXACT_DESCRIBED, true, NULL, 0},
    {"random", "random text", EXACT_RANDOM, false, NULL, 0},
    {"other", "other task", EXACT_OTHER, false, NULL, 0},
};

/* Lists of words that say nothing about a task, like the paper's "random strings" control. */
static const char *const random_texts[] = {
    "dogs;cats;bananas;",
    "qwz plim 73 torvec; hamn, hamn, hamn",
    "green ladder, slow window, eleven spoons",
    "xk9-lamp umbrella umbrella 404 salt",
    "the of and to a in that it is was",
    "zebra; piano; Tuesday; cement; whistle;",
    "11 22 33 44 55 66 77 88 99",
    "mmmm rrrr oooo tttt",
    NULL,
};

const ExactArm *exact_demo_arms(void) {
    return demo_arms;
}

const char *const *exact_random_texts(void) {
    return random_texts;
}

const char *exact_group(const ExactRow *row) {
    return row->heldout ? row->task->kind : row->family;
}

ExactMean exact_mean(const ExactReport *r, int arm, bool heldout, const char *group) {
    ExactMean m = {0.0, 0.0, 0};
    double sum = 0, squares = 0;
    for (int pass = 0; pass < 2; pass++) /* the mean, then the deviations from it */
        for (int64_t i = 0; i < r->n_rows; i++) {
            const ExactRow *row = &r->rows[i];
            ExactCount c = row->by[arm];
            if (row->heldout != heldout || c.n == 0 || (group && strcmp(group, exact_group(row)) != 0))
                continue;
            double x = (double)c.correct / (double)c.n;
            if (pass == 0) {
                sum += x;
                m.n_tasks++;
                m.mean = sum / (double)m.n_tasks;
            } else {
                squares += (x - m.mean) * (x - m.mean);
            }
        }
    if (m.n_tasks > 1) m.error = sqrt(squares / (double)(m.n_tasks - 1) / (double)m.n_tasks);
    return m;
}

void exact_free(ExactReport *r) {
    free(r->rows);
    free(r->counts);
    memset(r, 0, sizeof *r);
}
