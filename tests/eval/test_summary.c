/* Means, JSON files and the table of a made-up report. */
#include "tests/test_util.h"

#include "eval/summary.h"

enum { ROWS = 5 };

static const ExactCount counts[ROWS][2] = {
    {{20, 5, 8, 6}, {20, 20, 20, 20}}, {{20, 15, 16, 15}, {20, 10, 12, 11}},
    {{10, 0, 1, 1}, {10, 10, 10, 10}}, {{0, 0, 0, 0}, {0, 0, 0, 0}},
    {{4, 1, 2, 1.5}, {4, 3, 3, 3}},
};

typedef struct Fixture {
    Task tasks[ROWS];
    ExactRow rows[ROWS];
    ExactCount by[ROWS][2];
    ExactReport r;
} Fixture;

static void fill(Fixture *f) {
    static const char *const names[] = {"add", "sub", "shout", "empty", "capital"};
    static const char *const families[] = {"numbers", "numbers", "text", "text", "knowledge"};
    memset(f, 0, sizeof *f);
    memcpy(f->by, counts, sizeof counts);
    for (int i = 0; i < ROWS; i++) {
        f->tasks[i].name = names[i];
        f->tasks[i].kind = i == 4 ? "far" : "";
        f->rows[i] = (ExactRow){&f->tasks[i], families[i], i == 4, f->by[i]};
    }
    f->r.arms = exact_demo_arms() + 1; /* prompted, t2l */
    f->r.n_arms = 2;
    f->r.rows = f->rows;
    f->r.n_rows = ROWS;
    for (int a = 0; a < 2; a++) {
        f->r.seen[a] = exact_mean(&f->r, a, false, NULL);
        f->r.heldout[a] = exact_mean(&f->r, a, true, NULL);
    }
}

static void means(void **state) {
    (void)state;
    Fixture f;
    fill(&f);
    ExactMean m = f.r.seen[0]; /* 0.25, 0.75, 0 */
    assert_int_equal(m.n_tasks, 3);
    assert_within(m.mean, 1.0 / 3.0, 1e-15);
    assert_within(m.error, 0.220479275922, 1e-9);
    m = exact_mean(&f.r, 1, false, "numbers"); /* 1, 0.5 */
    assert_int_equal(m.n_tasks, 2);
    assert_within(m.mean, 0.75, 1e-15);
    assert_within(m.error, 0.25, 1e-15);
    assert_int_equal(f.r.heldout[1].n_tasks, 1);
    assert_true(f.r.heldout[1].error == 0.0);
    assert_int_equal(exact_mean(&f.r, 1, true, "numbers").n_tasks, 0);
}

static void files(void **state) {
    (void)state;
    Fixture f;
    fill(&f);
    cJSON *s;
    double x;
    const cJSON *o, *p;
    assert_ok(summary_json(&s, &f.r, (SummaryFacts){300.06, 180.0, 951.26}));
    assert_ok(json_get_number(&x, s, "seconds", "summary"));
    assert_within(x, 300.1, 1e-9);
    assert_ok(json_get_number(&x, s, "tokens_per_s", "summary"));
    assert_within(x, 951.3, 1e-9);
    assert_ok(json_get_object(&o, s, "seen", "summary"));
    assert_ok(json_get_number(&x, o, "prompted", "summary"));
    assert_within(x, 33.33, 1e-9);
    assert_ok(json_get_object(&o, s, "heldout", "summary"));
    assert_ok(json_get_number(&x, o, "t2l", "summary"));
    assert_within(x, 75.0, 1e-9);
    cJSON_Delete(s);
    assert_ok(summary_json(&s, &f.r, (SummaryFacts){1, -1, -1}));
    assert_null(cJSON_GetObjectItem(s, "train_seconds"));
    assert_null(cJSON_GetObjectItem(s, "tokens_per_s"));
    cJSON_Delete(s);

    cJSON *config = cJSON_CreateObject();
    cJSON_AddStringToObject(config, "model", "m");
    assert_ok(summary_results(&s, &f.r, config));
    assert_ok(json_get_object(&o, s, "results", "results"));
    assert_ok(json_get_object(&o, o, "sub", "results"));
    assert_ok(json_get_object(&p, o, "prompted", "results"));
    assert_ok(json_get_number(&x, p, "exact_match", "results"));
    assert_within(x, 0.75, 1e-15);
    assert_ok(json_get_number(&x, p, "exact_match_stderr", "results"));
    assert_within(x, sqrt(0.75 * 0.25 / 19), 1e-12);
    assert_ok(json_get_number(&x, p, "n", "results"));
    assert_within(x, 20, 0);
    assert_null(cJSON_GetObjectItem(p, "rouge1"));
    assert_ok(json_get_object(&o, s, "config", "results"));
    cJSON_Delete(s);
    f.r.rouge = true;
    assert_ok(summary_results(&s, &f.r, NULL));
    assert_ok(json_get_object(&o, s, "results", "results"));
    assert_ok(json_get_object(&o, o, "sub", "results"));
    assert_ok(json_get_object(&p, o, "prompted", "results"));
    assert_ok(json_get_number(&x, p, "rouge1", "results"));
    assert_within(x, 0.8, 1e-15);
    assert_ok(json_get_number(&x, p, "rougeL", "results"));
    assert_within(x, 0.75, 1e-15);
    cJSON_Delete(s);
}

static int lines_of_width(const char *text, int *n) {
    int width = -1, at = 0;
    *n = 0;
    for (; *text; text++) {
        if (*text == '\n') {
            if (width >= 0 && at != width) return -1;
            width = at;
            at = 0;
            ++*n;
        } else {
            at += ((unsigned char)*text & 0xc0) != 0x80;
        }
    }
    return width;
}

static void table(void **state) {
    (void)state;
    Fixture f;
    fill(&f);
    char *text;
    int lines;
    assert_ok(summary_table(&text, &f.r, (SummaryTableOpts){false}));
    assert_true(lines_of_width(text, &lines) > 0);
    assert_int_equal(lines, 2 + 2 + 1 + 3); /* head, families, held-out tasks, means: a kind, two sets */
    assert_non_null(strstr(text, "**mean of 1 held-out tasks, far**"));
    assert_non_null(strstr(text, "| base + instruction "));
    assert_non_null(strstr(text, "| numbers (2) "));
    assert_non_null(strstr(text, "33.3 ± 22.0 |"));
    assert_non_null(strstr(text, "| capital "));
    assert_non_null(strstr(text, "| far "));
    assert_non_null(strstr(text, "**mean of 1 held-out tasks**"));
    assert_null(strstr(text, "shout"));
    free(text);
    assert_ok(summary_table(&text, &f.r, (SummaryTableOpts){true}));
    assert_true(lines_of_width(text, &lines) > 0);
    assert_int_equal(lines, 2 + 4 + 1 + 3);
    assert_non_null(strstr(text, "| shout "));
    free(text);
    f.r.rouge = true;
    assert_ok(summary_table(&text, &f.r, (SummaryTableOpts){true}));
    assert_true(lines_of_width(text, &lines) > 0);
    assert_int_equal(lines, 2 + 4 + 1 + 3 + 2);
    assert_non_null(strstr(text, "| ROUGE-1 / ROUGE-L, mean of 4 seen tasks "));
    assert_non_null(strstr(text, "43.3 / 38.3 |")); /* 0.4, 0.8, 0.1; 0.3, 0.75, 0.1 */
    assert_non_null(strstr(text, "50.0 / 37.5 |"));
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(means),
        cmocka_unit_test(files),
        cmocka_unit_test(table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
