/* The generative protocol against its rules, what is refused, reports. */
#include "tests/test_util.h"
#include "tests/eval/tiny.h"

#include "eval/answers.h"
#include "eval/bench_report.h"
#include "eval/prompts.h"
#include "eval/published.h"

static int setup(void **state) {
    tiny_setup(state);
    ((Tiny *)*state)->llm.cfg.max_positions = 8192; /* as the harness's model has */
    return 0;
}

static FILE *open_temp(void) {
    FILE *f = tmpfile();
    assert_non_null(f);
    return f;
}

/* The next line of items.jsonl; NULL at the end. */
static cJSON *next_item(FILE *f) {
    char *line = NULL;
    size_t cap = 0;
    ssize_t n = getline(&line, &cap, f);
    cJSON *v = NULL;
    if (n > 0) assert_ok(json_parse(&v, line, (size_t)n, "items.jsonl"));
    free(line);
    return v;
}

static double number(const cJSON *o, const char *key) {
    double x;
    assert_ok(json_get_number(&x, o, key, "row"));
    return x;
}

/* ---- generated answers ---- */

static void generated(void **state) {
    Tiny *t = *state;
    static const char *const names[] = {"piqa", "boolq", "arc_easy"};
    BenchArm arms[] = {{.name = "base"},
                       {.name = "t2l", .loras = &t->loras, .adapter = 0, .description = "one"},
                       {.name = "t2l", .loras = &t->loras, .adapter = 2, .description = "two"},
                       {.name = "prompted", .description = "Do it.", .prompted = true}};
    Wordings w;
    assert_ok(wordings_load(&w, NULL));
    assert_true(bench_has_system(&t->llm));
    BenchReport report = {0};
    for (int k = 0; k < COUNT_OF(names); k++) {
        BenchmarkSet set;
        FILE *items = open_temp();
        assert_ok(benchmark_load(&set, benchmark_find(names[k]), GOLDEN("benchmarks"), "", 0));
        BenchOpts opts = {.wordings = &w, .quiet = true, .items = items, .max_new_tokens = 12, .slots = 3};
        assert_ok(bench_run(&report, &set, &t->llm, &t->dev, arms, COUNT_OF(arms), opts));
        rewind(items);
        for (int a = 0; a < COUNT_OF(arms); a++)
            for (int64_t i = 0; i < set.n; i++) {
                cJSON *got = next_item(items);
                const char *out = cJSON_GetObjectItem(got, "output")->valuestring,
                           *target = set.items[i].target;
                char sha[65], *text;
                Wording one;
                PromptChat chat;
                PromptChatOpts how = {.description = arms[a].prompted ? "Do it." : NULL, .where = "f"};
                assert_ok(wordings_find(&one, &w, set.benchmark));
                assert_ok(prompts_chat(&chat, set.benchmark, &one, &set.items[i], how));
                assert_true(asprintf(&text,
                                     "<|im_start|>system\n<|im_end|>\n<|im_start|>user\n%s<|im_end|>\n"
                                     "<|im_start|>assistant\n",
                                     chat.user) > 0);
                sha256_hex(sha, text, strlen(text));
                free(text);
                prompts_chat_free(&chat);
                assert_string_equal(cJSON_GetObjectItem(got, "prompt_sha256")->valuestring, sha);
                assert_string_equal(cJSON_GetObjectItem(got, "adapter")->valuestring, arms[a].name);
                assert_string_equal(cJSON_GetObjectItem(got, "target")->valuestring, target);
                bool want = set.benchmark->score == BENCHMARK_BOOLEAN
                                ? answers_boolean(out, strlen(out)) == set.items[i].gold
                                : answers_choice(out, strlen(out)) == answers_choice(target, strlen(target));
                assert_true(number(got, "score") == want);
                bool choice = set.benchmark->score == BENCHMARK_CHOICE && answers_choice(out, strlen(out));
                if (choice) assert_string_equal(cJSON_GetObjectItem(got, "finish")->valuestring, "cut");
                cJSON_Delete(got);
            }
        assert_null(next_item(items));
        fclose(items);
        benchmark_free(&set);
    }
    assert_int_equal(report.n_rows, COUNT_OF(names) * COUNT_OF(arms));
    cJSON *json;
    assert_ok(bench_report_json(&json, &report, 42, NULL));
    const cJSON *piqa = cJSON_GetObjectItem(cJSON_GetObjectItem(json, "results"), "piqa");
    const cJSON *t2l = cJSON_GetObjectItem(piqa, "t2l"), *base = cJSON_GetObjectItem(piqa, "base");
    assert_true(number(t2l, "descriptions") == 2 && number(t2l, "n") == 4);
    assert_within(number(cJSON_GetObjectItem(t2l, "vs_base"), "diff"),
                  number(t2l, "acc") - number(base, "acc"), 1e-12);
    assert_null(cJSON_GetObjectItem(base, "vs_base"));
    cJSON_Delete(json);
    bench_free(&report);
    wordings_free(&w);
}

static void refused(void **state) {
    Tiny *t = *state;
    BenchmarkSet set;
    BenchReport report = {0};
    BenchArm base = {.name = "base"};
    char text[] = "{\"task_id\":\"a\",\"prompt\":\"b\",\"entry_point\":\"c\",\"test\":\"d\",\"canonical_"
                  "solution\":\"\"}";
    assert_ok(benchmark_parse(&set, benchmark_find("humaneval"), text, strlen(text), NULL, "f", 0));
    assert_fails(bench_run(&report, &set, &t->llm, &t->dev, &base, 1, (BenchOpts){0}), E_ENV,
                 "needs the code cage");
    benchmark_free(&set);
    assert_ok(benchmark_load(&set, benchmark_find("piqa"), GOLDEN("benchmarks"), "", 1));
    int stop = 1;
    BenchOpts opts = {.protocol = BENCH_LOGLIK, .quiet = true, .stop = &stop};
    assert_fails(bench_run(&report, &set, &t->llm, &t->dev, &base, 1, opts), E_INTERRUPTED, "stopped");
    benchmark_free(&set);
    bench_free(&report);
}

/* ---- reports ---- */

static BenchRow row(const char *task, const char *name, const char *bits, const char *second) {
    BenchRow r = {.benchmark = benchmark_find(task), .name = strdup(name), .n = (int64_t)strlen(bits)};
    r.score = test_f64(r.n);
    r.second = second ? test_f64(r.n) : NULL;
    for (int64_t i = 0; i < r.n; i++) {
        r.score[i] = bits[i] - '0';
        if (second) r.second[i] = second[i] - '0';
    }
    return r;
}

static BenchReport made_up(void) {
    BenchReport r = {.n_rows = 6};
    r.rows = test_alloc(6 * sizeof *r.rows);
    r.rows[0] = row("boolq", "base", "1100", "1000");
    r.rows[1] = row("boolq", "t2l", "1110", "1110");
    r.rows[2] = row("boolq", "t2l", "1111", "0000");
    r.rows[3] = row("arc_challenge", "base", "10", NULL);
    r.rows[4] = row("arc_challenge", "t2l", "11", NULL);
    r.rows[5] = row("arc_challenge", "t2l", "01", NULL);
    return r;
}

static void report(void **state) {
    (void)state;
    BenchReport r = made_up();
    BenchScore s;
    assert_ok(bench_report_score(&s, &r, benchmark_find("boolq"), "t2l"));
    assert_true(s.n == 4 && s.descriptions == 2);
    assert_within(s.first.mean, 0.875, 1e-15); /* over descriptions: 0.75, 1 */
    assert_within(s.first.error, 0.125, 1e-15);
    assert_within(s.second.mean, 0.375, 1e-15);
    assert_ok(bench_report_score(&s, &r, benchmark_find("boolq"), "base"));
    assert_within(s.first.error, 0.288675134594813, 1e-12); /* over examples: sqrt(1/3)/2 */
    assert_ok(bench_report_score(&s, &r, benchmark_find("piqa"), "base"));
    assert_int_equal(s.n, 0);
    char *text;
    assert_ok(bench_report_table(&text, &r, "some/Gemma-2-2b-it"));
    assert_non_null(strstr(text, "|          ArcC |         BoolQ | avg of 2 |"));
    assert_non_null(strstr(text, "| t2l "));
    assert_non_null(strstr(text, "| 75.00 ± 25.00 | 87.50 ± 12.50 |    81.25 |"));
    assert_non_null(strstr(text, "2 (1172)"));
    assert_non_null(strstr(text, "| published: base"));
    assert_non_null(strstr(text, "73.63 |         80.98 |    77.3")); /* of the columns shown */
    free(text);
    assert_ok(bench_report_table(&text, &r, "smollm2"));
    assert_null(strstr(text, "published"));
    free(text);
    bench_free(&r);
    int n;
    assert_non_null(published_find(&n, "/models/Mistral-7B-Instruct-v0.2"));
    assert_int_equal(n, 6);
    assert_null(published_find(&n, NULL));
    const char *second;
    assert_string_equal(bench_metric(&second, BENCH_LOGLIK, benchmark_find("gsm8k")), "exact_match_strict");
    assert_string_equal(bench_metric(&second, BENCH_LOGLIK, benchmark_find("winogrande")), "acc");
    assert_null(second);
}

int main(void) {
    const struct CMUnitTest tests_[] = {
        cmocka_unit_test_setup_teardown(generated, setup, tiny_teardown),
        cmocka_unit_test_setup_teardown(refused, setup, tiny_teardown),
        cmocka_unit_test(report),
    };
    return cmocka_run_group_tests(tests_, NULL, NULL);
}
