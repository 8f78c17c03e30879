/* The log-likelihood protocol against lm-evaluation-harness with its own tasks and model class, on a tiny
 * model (tests/golden/make_harness.py); the generative one against its rules; what is refused; going on after
 * a stop; reports. */
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

/* ---- the harness ---- */

static const char *const tasks[] = {"arc_challenge", "arc_easy", "boolq",     "hellaswag",
                                    "openbookqa",    "piqa",     "winogrande"};

/* f32 sums of n terms of about 5 on both sides, in other orders; measured: 4e-4 of 4,000. */
static void check_lls(const cJSON *got, const cJSON *want, const char *task, int64_t index, double rounded) {
    assert_int_equal(cJSON_GetArraySize(got), cJSON_GetArraySize(want));
    for (const cJSON *g = got->child, *w = want->child; g && w; g = g->next, w = w->next)
        if (!within(g->valuedouble, w->valuedouble, rounded + 2e-6 * fabs(w->valuedouble)))
            fail_msg("%s %lld: log-probability %.6f, expected %.6f", task, (long long)index, g->valuedouble,
                     w->valuedouble);
}

static void score_base(BenchReport *report, Tiny *t, const BenchmarkSet *set, FILE *items) {
    BenchArm base = {.name = "base"};
    BenchOpts opts = {.protocol = BENCH_LOGLIK, .quiet = true, .items = items};
    assert_ok(bench_run(report, set, &t->llm, &t->dev, &base, 1, opts));
}

/* Every odd example: f's lines in order. bos: the tokenizer's own software puts bos in front. */
static void check_harness(FILE *f, Tiny *t, bool bos) {
    int rows = 0;
    for (int k = 0; k < COUNT_OF(tasks); k++) {
        BenchmarkSet set;
        BenchReport report = {0};
        FILE *items = open_temp();
        assert_ok(benchmark_load(&set, benchmark_find(tasks[k]), GOLDEN("benchmarks"), "", 0));
        score_base(&report, t, &set, items);
        rewind(items);
        for (int64_t i = 0; i < set.n; i++, rows++) {
            cJSON *want = next_item(f), *got = next_item(items);
            assert_true(cJSON_IsTrue(cJSON_GetObjectItem(want, "bos")) == bos);
            assert_string_equal(cJSON_GetObjectItem(want, "task")->valuestring, tasks[k]);
            check_lls(cJSON_GetObjectItem(got, "logprobs"), cJSON_GetObjectItem(want, "lls"), tasks[k], i,
                      1e-4);
            if (report.rows[0].score[i] != number(want, "acc")) fail_msg("%s %lld", tasks[k], (long long)i);
            assert_true(number(got, "score") == number(want, "acc"));
            assert_int_equal(cJSON_HasObjectItem(want, "acc_norm"), report.rows[0].second != NULL);
            if (report.rows[0].second) {
                assert_true(report.rows[0].second[i] == number(want, "acc_norm"));
                assert_true(number(got, "score_norm") == number(want, "acc_norm"));
            }
            cJSON_Delete(want);
            cJSON_Delete(got);
        }
        assert_null(next_item(items));
        fclose(items);
        bench_free(&report);
        benchmark_free(&set);
    }
    assert_int_equal(rows, 29);
}

static void harness(void **state) {
    Tiny *t = *state;
    FILE *f = fopen(GOLDEN("harness.jsonl"), "r");
    assert_non_null(f);
    Tokenizer *plain = t->llm.tokenizer;
    t->llm.tokenizer = tiny_tokenizer_of(true);
    check_harness(f, t, true);
    tokenizer_free(t->llm.tokenizer);
    t->llm.tokenizer = plain;
    check_harness(f, t, false);
    assert_null(next_item(f));
    fclose(f);
}

/* 200 real examples of each task: the same log-probabilities and decisions. */
static void harness_shared(void **state) {
    Tiny *t = *state;
    const char *shared = getenv("T2L_SHARED");
    char dir[PATH_MAX];
    snprintf(dir, sizeof dir, "%s/data/eval", shared && *shared ? shared : TEST_ROOT "/../shared");
    if (!file_is_dir(dir)) {
        print_message("SKIPPED: %s is not there (set T2L_SHARED)\n", dir);
        skip();
    }
    cJSON *golden;
    assert_ok(json_read(&golden, GOLDEN("harness_shared.json"), 1 << 20));
    for (int k = 0; k < COUNT_OF(tasks); k++) {
        const cJSON *want = cJSON_GetObjectItem(golden, tasks[k]), *lls = cJSON_GetObjectItem(want, "lls");
        const cJSON *norm = cJSON_GetObjectItem(want, "acc_norm");
        BenchmarkSet set;
        BenchReport report = {0};
        FILE *items = open_temp();
        assert_ok(benchmark_load(&set, benchmark_find(tasks[k]), dir, "", 200));
        assert_int_equal(cJSON_GetArraySize(lls), set.n);
        score_base(&report, t, &set, items);
        rewind(items);
        const cJSON *row = lls->child;
        for (int64_t i = 0; i < set.n; i++, row = row->next) {
            cJSON *got = next_item(items);
            check_lls(cJSON_GetObjectItem(got, "logprobs"), row, tasks[k], i, 1e-3);
            bool same = report.rows[0].score[i] == cJSON_GetObjectItem(want, "acc")->valuestring[i] - '0';
            if (cJSON_IsString(norm)) same = same && report.rows[0].second[i] == norm->valuestring[i] - '0';
            if (!same) fail_msg("%s %lld: another decision", tasks[k], (long long)i);
            cJSON_Delete(got);
        }
        fclose(items);
        bench_free(&report);
        benchmark_free(&set);
    }
    cJSON_Delete(golden);
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

/* The first n lines of `from`. */
static FILE *first_lines(FILE *from, int n) {
    FILE *f = open_temp();
    char *line = NULL;
    size_t cap = 0;
    rewind(from);
    for (int i = 0; i < n && getline(&line, &cap, from) > 0; i++) assert_true(fputs(line, f) >= 0);
    free(line);
    rewind(f);
    return f;
}

static cJSON *without_seconds(FILE *f, int n) {
    cJSON *all = cJSON_CreateArray();
    for (int i = 0; i < n; i++) {
        cJSON *o = next_item(f);
        assert_non_null(o);
        cJSON_DeleteItemFromObject(o, "seconds");
        cJSON_AddItemToArray(all, o);
    }
    return all;
}

/* Behind any number of items: the missing ones alone are made, and the report is the same. */
static void going_on(void **state) {
    Tiny *t = *state;
    enum { EXAMPLES = 3, ITEMS = 2 * EXAMPLES };
    BenchArm arms[] = {{.name = "base"}, {.name = "t2l", .loras = &t->loras, .description = "one"}};
    Wordings w;
    assert_ok(wordings_load(&w, NULL));
    for (int p = 0; p < 2; p++) {
        BenchmarkSet set;
        assert_ok(benchmark_load(&set, benchmark_find("boolq"), GOLDEN("benchmarks"), "", 0));
        assert_int_equal(set.n, EXAMPLES);
        BenchOpts opts = {.protocol = p ? BENCH_LOGLIK : BENCH_GENERATE, .wordings = &w, .quiet = true};
        opts.items = open_temp();
        opts.max_new_tokens = 12;
        BenchReport whole = {0};
        assert_ok(bench_run(&whole, &set, &t->llm, &t->dev, arms, 2, opts));
        FILE *all = opts.items;
        rewind(all);
        cJSON *want = without_seconds(all, ITEMS);
        for (int n = 0; n <= ITEMS; n++) {
            BenchReport report = {0};
            opts.before = first_lines(all, n);
            opts.before_path = "items.jsonl.part";
            opts.items = open_temp();
            assert_ok(bench_run(&report, &set, &t->llm, &t->dev, arms, 2, opts));
            assert_int_equal(report.n_before, n);
            rewind(opts.before);
            rewind(opts.items);
            cJSON *got = without_seconds(opts.before, n), *rest = without_seconds(opts.items, ITEMS - n);
            assert_null(next_item(opts.items));
            while (rest->child) cJSON_AddItemToArray(got, cJSON_DetachItemFromArray(rest, 0));
            assert_true(cJSON_Compare(got, want, true));
            cJSON_Delete(got);
            cJSON_Delete(rest);
            for (int a = 0; a < 2; a++) {
                assert_memory_equal(report.rows[a].score, whole.rows[a].score, EXAMPLES * sizeof(double));
                if (!p)
                    assert_memory_equal(report.rows[a].second, whole.rows[a].second,
                                        EXAMPLES * sizeof(double));
            }
            fclose(opts.before);
            fclose(opts.items);
            bench_free(&report);
        }
        BenchReport report = {0};
        opts.items = NULL;
        opts.before = first_lines(all, 1);
        arms[0].name = "other";
        assert_fails(bench_run(&report, &set, &t->llm, &t->dev, arms, 2, opts), E_INPUT,
                     "items.jsonl.part: found example 0 of boolq, adapter 'base'");
        arms[0].name = "base";
        fclose(opts.before);
        fclose(all);
        cJSON_Delete(want);
        bench_free(&report);
        bench_free(&whole);
        benchmark_free(&set);
    }
    wordings_free(&w);
}

/* Programs of a tiny model, greedy and sampled: each fails for a reason. Skipped where nothing can be caged.
 */
static void programs(void **state) {
    Tiny *t = *state;
    Cage cage;
    Status s = cage_open(&cage, (CageOptions){.n_workers = 2});
    if (!status_is_ok(s)) {
        print_message("SKIPPED: %s\n", status_message(s));
        status_free(s);
        skip();
    }
    char text[] =
        "{\"task_id\":\"a\",\"prompt\":\"def f():\\n\",\"entry_point\":\"f\",\"test\":\"def check(c): "
        "assert c() == 1\",\"canonical_solution\":\"    return 1\"}";
    BenchmarkSet set;
    BenchArm base = {.name = "base"};
    Wordings w;
    assert_ok(wordings_load(&w, NULL));
    assert_ok(benchmark_parse(&set, benchmark_find("humaneval"), text, strlen(text), NULL, "f", 0));
    for (int samples = 1; samples <= 3; samples += 2) {
        BenchReport report = {0};
        FILE *items = open_temp();
        BenchOpts opts = {.wordings = &w, .cage = &cage, .quiet = true, .items = items, .max_new_tokens = 8};
        opts.samples = samples;
        opts.temperature = samples > 1 ? 1 : 0;
        assert_ok(bench_run(&report, &set, &t->llm, &t->dev, &base, 1, opts));
        assert_true(report.rows[0].score[0] == 0 && !report.rows[0].second == (samples == 1));
        rewind(items);
        cJSON *got = next_item(items);
        assert_string_equal(cJSON_GetObjectItem(got, "pred")->valuestring, "failed");
        const cJSON *reason = cJSON_GetObjectItem(got, "reason"),
                    *output = cJSON_GetObjectItem(got, "output");
        assert_true(samples == 1 ? cJSON_IsString(reason) && reason->valuestring[0]
                                 : cJSON_GetArraySize(reason) == 3 && cJSON_GetArraySize(output) == 3);
        assert_null(next_item(items));
        cJSON_Delete(got);
        fclose(items);
        bench_free(&report);
    }
    benchmark_free(&set);
    wordings_free(&w);
    cage_close(&cage);
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
    BenchReport loglik = {.protocol = BENCH_LOGLIK}, sampled = {.sampled = true};
    assert_string_equal(bench_metric(&second, &loglik, benchmark_find("gsm8k")), "exact_match_strict");
    assert_string_equal(bench_metric(&second, &sampled, benchmark_find("mbpp")), "pass@1");
    assert_string_equal(second, "pass@k");
    assert_string_equal(bench_metric(&second, &loglik, benchmark_find("winogrande")), "acc");
    assert_null(second);
}

int main(void) {
    const struct CMUnitTest tests_[] = {
        cmocka_unit_test_setup_teardown(generated, setup, tiny_teardown),
        cmocka_unit_test_setup_teardown(harness, setup, tiny_teardown),
        cmocka_unit_test_setup_teardown(harness_shared, setup, tiny_teardown),
        cmocka_unit_test_setup_teardown(going_on, setup, tiny_teardown),
        cmocka_unit_test_setup_teardown(programs, setup, tiny_teardown),
        cmocka_unit_test_setup_teardown(refused, setup, tiny_teardown),
        cmocka_unit_test(report),
    };
    return cmocka_run_group_tests(tests_, NULL, NULL);
}
