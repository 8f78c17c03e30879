/* Readers of the benchmarks: the Hub's fields and the original ones come out the same; what is wrong is named
 * with file and line. The real files are read where $T2L_SHARED has them. */
#include "tests/test_util.h"

#include "data/benchmark.h"

#define CHOICES4 "{\"text\":[\"red\",\"green\",\"blue\",\"grey\"],\"label\":[\"A\",\"B\",\"C\",\"D\"]}"
#define ARC(choices, key) "{\"question\":\"Which?\",\"choices\":" choices ",\"answerKey\":" key "}\n"
#define ENDINGS "\"endings\":[\"w\",\"x\",\"y\",\"z\"]"
#define SWAG(label) "{\"activity_label\":\"Cooking\",\"ctx\":\"A man\"," ENDINGS ",\"label\":" label "}"
#define PIQA(rest) "{\"goal\":\"g\",\"sol1\":\"s\",\"sol2\":\"t\"" rest "}\n"
#define WINO(sentence, answer) \
    "{\"sentence\":\"" sentence "\",\"option1\":\"a\",\"option2\":\"b\",\"answer\":" answer "}"

static Status parse(BenchmarkSet *set, const char *name, const char *text, const char *labels) {
    char *t = strdup(text), *l = labels ? strdup(labels) : NULL;
    const Benchmark *b = benchmark_find(name);
    assert_non_null(b);
    Status s = benchmark_parse(set, b, t, strlen(t), l, "f.jsonl", 0);
    free(t); /* nothing of the set points into them */
    free(l);
    return s;
}

static void good(void **state) {
    (void)state;
    static const struct {
        const char *name, *text, *labels, *target;
        int n_choices, gold;
    } rows[] = {
        {"arc_easy", ARC(CHOICES4, "\"C\""), NULL, "C", 4, 2},
        {"arc_easy", ARC("{\"text\":[\"x\",\"y\",\"z\"],\"label\":[\"1\",\"2\",\"3\"]}", "\"3\""), NULL, "3",
         3, 2},
        {"arc_challenge",
         ARC("{\"text\":[\"v\",\"w\",\"x\",\"y\",\"z\"],\"label\":[\"A\",\"B\",\"C\",\"D\",\"E\"]}", "\"E\""),
         NULL, "E", 5, 4},
        {"arc_easy",
         "{\"id\":\"1\",\"question\":{\"stem\":\"Which?\",\"choices\":[{\"text\":\"x\",\"label\":\"A\"},"
         "{\"text\":\"y\",\"label\":\"B\"}]},\"answerKey\":\"B\"}",
         NULL, "B", 2, 1},
        {"openbookqa",
         "{\"question\":{\"stem\":\"The sun "
         "is\",\"choices\":[{\"text\":\"x\",\"label\":\"A\"},{\"text\":\"y\","
         "\"label\":\"B\"}]},\"answerKey\":\" A\"}",
         NULL, "A", 2, 0},
        {"boolq", "{\"question\":\"q\",\"passage\":\"p\",\"answer\":true}", NULL, "true", 2, 1},
        {"boolq", "{\"question\":\"q\",\"passage\":\"p\",\"idx\":3,\"label\":false}", NULL, "false", 2, 0},
        {"boolq", "{\"question\":\"q\",\"passage\":\"p\",\"label\":1}", NULL, "true", 2, 1},
        {"gsm8k", "{\"question\":\"q\",\"answer\":\"So <<1+1=2>>2\\n#### 1,002\"}", NULL, "1,002", 0, 0},
        {"hellaswag", SWAG("\"3\""), NULL, "3", 4, 3},
        {"hellaswag", SWAG("0"), NULL, "0", 4, 0},
        {"piqa", PIQA(",\"label\":1"), NULL, "1", 2, 1},
        {"piqa", PIQA(""), "1\r\n", "1", 2, 1},
        {"winogrande", WINO("the _ is", "\"2\""), NULL, "2", 2, 1},
        {"winogrande", "{\"sentence\":\"_\",\"option1\":\"a\",\"option2\":\"b\"}\n", "1\n", "1", 2, 0},
        {"mbpp",
         "{\"text\":\"Write.\",\"code\":\"c\",\"task_id\":11,\"test_setup_code\":\"s\",\"test_list\":[\"a\","
         "\"b\"]}",
         NULL, "c", 0, 0},
        {"mbpp",
         "[{\"prompt\":\"Write.\",\"code\":\"c\",\"task_id\":602,\"test_imports\":[\"import re\"],"
         "\"test_list\":[\"a\"]}]",
         NULL, "c", 0, 0},
        {"humaneval",
         "{\"task_id\":\"HumanEval/0\",\"prompt\":\"def f():\",\"entry_point\":\"f\",\"test\":\"t\","
         "\"canonical_solution\":\"pass\"}",
         NULL, "pass", 0, 0},
    };
    for (int i = 0; i < COUNT_OF(rows); i++) {
        BenchmarkSet set;
        assert_ok(parse(&set, rows[i].name, rows[i].text, rows[i].labels));
        const BenchmarkItem *it = &set.items[0];
        if (set.n != 1 || it->n_choices != rows[i].n_choices || it->gold != rows[i].gold ||
            strcmp(it->target, rows[i].target) != 0)
            fail_msg("row %d: %d choices, gold %d, target %s", i, it->n_choices, it->gold, it->target);
        benchmark_free(&set);
    }
}

/* The two shapes of a question give the same fields, filled up to four choices. */
static void filled_up(void **state) {
    (void)state;
    BenchmarkSet a, b;
    assert_ok(parse(&a, "arc_easy", ARC("{\"text\":[\"x\",\"y\"],\"label\":[\"A\",\"B\"]}", "\"B\""), NULL));
    assert_ok(
        parse(&b, "arc_easy",
              "\n{\"question\":{\"stem\":\"Which?\",\"choices\":[{\"text\":\"x\",\"label\":\"A\"},{\"text\":"
              "\"y\",\"label\":\"B\"}]},\"answerKey\":\"B\"}",
              NULL));
    char *text = cJSON_PrintUnformatted(a.items[0].fields);
    assert_string_equal(text, "{\"question\":\"Which?\",\"choices\":{\"text\":[\"x\",\"y\",\"N/A\",\"N/A\"],"
                              "\"label\":[\"A\",\"B\",\"C\",\"D\"]}}");
    assert_true(cJSON_Compare(a.items[0].fields, b.items[0].fields, true));
    assert_int_equal(a.items[0].index, 0);
    assert_int_equal(b.items[0].index, 1); /* an empty line counts */
    free(text);
    benchmark_free(&a);
    benchmark_free(&b);
}

static void bad(void **state) {
    (void)state;
    static const struct {
        const char *name, *text, *labels, *message;
    } rows[] = {
        {"arc_easy", "", NULL, "f.jsonl: no examples"},
        {"arc_easy", "\n\n{", NULL, "f.jsonl:3: line 1, column"},
        {"arc_easy", ARC(CHOICES4, "\"C\"") "[1]", NULL, "f.jsonl:2: expected an object, found an array"},
        {"arc_easy", ARC(CHOICES4, "\"C\"") ARC(CHOICES4, "\"E\""), NULL,
         "f.jsonl:2: key 'answerKey': 'E' is none of the 4"},
        {"arc_easy", ARC(CHOICES4, "\"\""), NULL, "f.jsonl:1: key 'answerKey': the example has no answer"},
        {"arc_easy", "{\"question\":\"q\",\"choices\":" CHOICES4 "}", NULL, "unlabelled split"},
        {"arc_easy", ARC("{\"text\":[\"x\"],\"label\":[\"A\",\"B\"]}", "\"A\""), NULL, "1 texts, 2 labels"},
        {"arc_easy", ARC("{\"text\":[\"x\",1],\"label\":[\"A\",\"B\"]}", "\"A\""), NULL, "choice 1"},
        {"arc_easy", ARC("{\"text\":[\"x\",\"y\"],\"label\":[\"A\",\"A\"]}", "\"A\""), NULL,
         "label 'A' twice"},
        {"arc_easy", ARC("{\"text\":[\"x\",\"y\"],\"label\":[\"A\",\"BC\"]}", "\"A\""), NULL, "one letter"},
        {"arc_easy", ARC("{\"text\":[\"x\"],\"label\":[\"A\"]}", "\"A\""), NULL, "at least 2"},
        {"arc_easy", "{\"goal\":1}", NULL, "f.jsonl:1: key 'question'"},
        {"boolq", "{\"question\":\"q\",\"passage\":\"p\"}", NULL, "no answer"},
        {"boolq", "{\"question\":\"q\",\"passage\":\"p\",\"label\":-1}", NULL, "no answer"},
        {"boolq", "{\"question\":\"q\",\"passage\":\"p\",\"answer\":\"maybe\"}", NULL, "found 'maybe'"},
        {"gsm8k", "{\"question\":\"q\",\"answer\":\"42\"}", NULL, "expected '#### '"},
        {"gsm8k", "{\"question\":\"q\",\"answer\":\"#### \"}", NULL, "expected '#### '"},
        {"hellaswag", SWAG("\"\""), NULL, "key 'label': the example has no answer"},
        {"hellaswag", SWAG("\"4\""), NULL, "4 is outside the choices, 0 to 3"},
        {"hellaswag", SWAG("1.5"), NULL, "1.5 is outside"},
        {"hellaswag", SWAG("1e300"), NULL, "outside"},
        {"hellaswag", SWAG("\"nan\""), NULL, "outside"},
        {"hellaswag", "{\"activity_label\":\"c\",\"ctx\":\"A\",\"endings\":[\"a\"],\"label\":0}", NULL,
         "expected 4, found 1"},
        {"hellaswag", "{\"activity_label\":\"c\",\"ctx\":\"A\",\"endings\":[\"a\",\"b\",1,2],\"label\":0}",
         NULL, "expected strings, found a number"},
        {"piqa", PIQA(""), NULL, "f.jsonl:1: key 'label': the example has no answer"},
        {"piqa", PIQA("") PIQA(""), "1\n", "f.jsonl:2: the file of labels has only 1 lines"},
        {"piqa", PIQA(""), "1\n0\n", "the file of labels has more"},
        {"piqa", PIQA(""), "2\n", "2 is outside the choices, 0 to 1"},
        {"winogrande", WINO("no blank", "\"1\""), NULL, "expected a blank"},
        {"winogrande", WINO("_", "\"3\""), NULL, "3 is outside the choices, 1 to 2"},
        {"winogrande", WINO("_", "\"\""), NULL, "no answer"},
        {"mbpp", "{\"text\":\"t\",\"code\":\"c\",\"task_id\":3,\"test_list\":[\"a\"]}", NULL, "no examples"},
        {"mbpp", "{\"text\":\"t\",\"code\":\"c\",\"task_id\":30,\"test_list\":[]}", NULL,
         "at least one line"},
        {"mbpp", "[{\"prompt\":\"t\",\"code\":\"c\",\"task_id\":3,\"test_list\":[1]}]", NULL,
         "f.jsonl: [0]: key 'test_list': expected strings"},
        {"humaneval", "{\"task_id\":\"a\",\"prompt\":\"b\",\"entry_point\":\"c\",\"test\":\"d\"}", NULL,
         "key 'canonical_solution'"},
        {"gsm8k", "{\"question\":\"a\",\"question\":\"b\",\"answer\":\"#### 1\"}", NULL, "twice"},
    };
    for (int i = 0; i < COUNT_OF(rows); i++) {
        BenchmarkSet set;
        assert_fails(parse(&set, rows[i].name, rows[i].text, rows[i].labels), E_INPUT, rows[i].message);
        assert_true(set.n == 0 && !set.items && !set.path);
    }
}

/* Every prefix of a good line is refused or read, and never crashes. */
static void cut(void **state) {
    (void)state;
    const char *line = ARC(CHOICES4, "\"C\"");
    for (size_t n = 0; n < strlen(line); n++) {
        char *text = strndup(line, n);
        BenchmarkSet set;
        Status s = parse(&set, "arc_easy", text, NULL);
        if (status_is_ok(s))
            benchmark_free(&set);
        else
            assert_int_equal(status_code(s), E_INPUT);
        status_free(s);
        free(text);
    }
}

/* `printf '{"question":"q","answer":"#### 4"}\n' | gzip -n` */
static const unsigned char gz[] = {0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0xff, 0xab,
                                   0x56, 0x2a, 0x2c, 0x4d, 0x2d, 0x2e, 0xc9, 0xcc, 0xcf, 0x53, 0xb2,
                                   0x52, 0x2a, 0x54, 0xd2, 0x51, 0x4a, 0xcc, 0x2b, 0x2e, 0x4f, 0x2d,
                                   0x02, 0x72, 0x94, 0x81, 0x40, 0xc1, 0x44, 0xa9, 0x96, 0x0b, 0x00,
                                   0xcd, 0xf6, 0x91, 0xe8, 0x23, 0x00, 0x00, 0x00};

static void files(void **state) {
    (void)state;
    char dir[PATH_MAX];
    temp_make(dir);
    BenchmarkSet set;
    const Benchmark *b = benchmark_find("gsm8k"), *piqa = benchmark_find("piqa");
    assert_fails(benchmark_load(&set, b, dir, "", 0), E_INPUT, "no gsm8k.jsonl (nor .jsonl.gz, .json)");
    char *path = path_join(dir, "gsm8k.jsonl.gz");
    assert_ok(file_write_atomic(path, gz, sizeof gz));
    assert_ok(benchmark_load(&set, b, dir, "", 0));
    assert_string_equal(set.items[0].target, "4");
    assert_string_equal(benchmark_field(&set.items[0], "question"), "q");
    benchmark_free(&set);
    for (size_t n = 0; n < sizeof gz - 1; n++) { /* a cut file is never taken for a whole one */
        assert_ok(file_write_atomic(path, gz, n));
        Status s = benchmark_load(&set, b, dir, "", 0);
        if (status_is_ok(s)) fail_msg("%zu of %zu bytes are accepted", n, sizeof gz);
        status_free(s);
    }
    free(path);
    path = path_join(dir, "piqa.jsonl");
    assert_ok(file_write_atomic(path, PIQA("") PIQA(""), strlen(PIQA("") PIQA(""))));
    free(path);
    path = path_join(dir, "piqa-labels.lst");
    assert_ok(file_write_atomic(path, "0\n1\n", 4));
    free(path);
    assert_ok(benchmark_load(&set, piqa, dir, "", 0));
    assert_true(set.n == 2 && set.items[0].gold == 0 && set.items[1].gold == 1);
    benchmark_free(&set);
    assert_ok(benchmark_load(&set, piqa, dir, "", 1));
    assert_int_equal(set.n, 1);
    benchmark_free(&set);
    temp_remove(dir);
}

static void real(void **state) {
    (void)state;
    static const int64_t counts[BENCHMARK_COUNT] = {705, 1415, 1961, 792, 2000, 293, 1113, 714, 164, 500};
    const char *shared = getenv("T2L_SHARED");
    char dir[PATH_MAX];
    snprintf(dir, sizeof dir, "%s/data/eval", shared ? shared : "");
    if (!shared || !file_is_dir(dir)) {
        skip();
        return;
    }
    for (int i = 0; i < BENCHMARK_COUNT; i++) {
        BenchmarkSet set;
        assert_ok(benchmark_load(&set, &benchmark_table()[i], dir, "", 0));
        assert_int_equal(set.n, counts[i]);
        benchmark_free(&set);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good), cmocka_unit_test(filled_up), cmocka_unit_test(bad),
        cmocka_unit_test(cut),  cmocka_unit_test(files),     cmocka_unit_test(real),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
