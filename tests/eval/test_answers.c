/* Rules of answers by table, and against Python and lm-evaluation-harness on 500 odd texts
 * (tests/golden/make_answers.py). */
#include "tests/test_util.h"

#include "base/json.h"
#include "eval/answers.h"

#define TEXT(s) s, strlen(s)

static void choices(void **state) {
    (void)state;
    static const struct {
        const char *text;
        char want;
    } rows[] = {
        {"B", 'b'},   {" (b) ", 'b'},     {"1.", '1'},      {"1", '1'},         {"A: brain cells", 'a'},
        {"`C`", 'c'}, {"\"D\".\n", 'd'},  {"", 0},          {"...", 0},         {"\xc3\xa9", 0},
        {"*A*", 0},   {"Answer: B", 'a'}, {"N/A", 'n'},     {"\n\n('3')", '3'}, {"(\n.2", '2'},
        {"-1", 0},    {"E", 'e'},         {"\t0\r\n", '0'},
    };
    for (int i = 0; i < COUNT_OF(rows); i++)
        if (answers_choice(TEXT(rows[i].text)) != rows[i].want) fail_msg("'%s'", rows[i].text);
    assert_int_equal(answers_choice("\0A", 2), 0); /* a NUL is no white space */
}

static void booleans(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int lenient, strict;
    } rows[] = {
        {"true", 1, 1},
        {"False.", 0, 0},
        {"yes, that is false", 1, 1},
        {"It is true", 1, -1},
        {"I do not know", 0, -1}, /* "no" in "not" */
        {"0 or 1", 1, 0},
        {"10", 1, -1},
        {"maybe", -1, -1},
        {"", -1, -1},
        {"POSITIVE", 1, 1},
        {"negative", 0, 0},
        {"`true`", 1, 1},
        {"untrue", 1, -1},
    };
    for (int i = 0; i < COUNT_OF(rows); i++)
        if (answers_boolean(TEXT(rows[i].text)) != rows[i].lenient ||
            answers_boolean_strict(TEXT(rows[i].text)) != rows[i].strict)
            fail_msg("'%s'", rows[i].text);
}

static void numbers(void **state) {
    (void)state;
    static const struct {
        const char *text;
        double want; /* negative: none */
    } rows[] = {
        {"42", 42},          {"$1,234.50 in all", 1234.5},
        {"5 + 6 = 11.", 11}, {"-7", 7},
        {"none", -1},        {"3.14.15", 15},
        {".5", 5},           {"1,2", 12},
        {"1, 2", 2},         {"7.,5", 7.5},
        {"12%", 12},         {"1e5", 5},
        {"007.250", 7.25},   {"", -1},
        {",", -1},           {"8,", 8},
    };
    for (int i = 0; i < COUNT_OF(rows); i++) {
        double x = -1;
        bool found = answers_number(&x, TEXT(rows[i].text));
        if (found != (rows[i].want >= 0) || x != rows[i].want) fail_msg("'%s': %g", rows[i].text, x);
    }
    char *many = test_alloc(100000);
    double x = 0;
    memset(many, '9', 100000);
    assert_true(answers_number(&x, many, 100000) && isinf(x));
    free(many);
}

static void code(void **state) {
    (void)state;
    static const struct {
        const char *text;
        bool prefilled;
        const char *want;
    } rows[] = {
        {"def f():\n    return 1\n```\nDone.", true, "def f():\n    return 1\n"},
        {"def f(): pass", true, "def f(): pass"},
        {"return x```", true, "return x"},
        {"```python\nx = 1\n```", true, "x = 1\n"},
        {"\n```\nx = 1\n````", true, "x = 1\n"},
        {"x = 1\n~~~\nrest", true, "x = 1\n"},
        {"x = ~~~y\n", true, "x = ~~~y\n"},
        {"Here it is:\n```py\nx = 2\n```\nand\n```\ny\n```", false, "x = 2\n"},
        {"Here:\n~~~python\nx = 3\n~~~", false, "x = 3\n"},
        {"x = 4\n", false, "x = 4\n"},
        {"```python", false, ""},
        {"```", true, ""},
        {"", true, ""},
        {"", false, ""},
        {"``x``\n", false, "``x``\n"},
    };
    for (int i = 0; i < COUNT_OF(rows); i++) {
        AnswerText got = answers_code(TEXT(rows[i].text), rows[i].prefilled);
        if (got.n != strlen(rows[i].want) || memcmp(got.at, rows[i].want, got.n) != 0)
            fail_msg("'%s': '%.*s'", rows[i].text, (int)got.n, got.at);
    }
}

static void check_gsm8k(AnswerText got, const cJSON *want, int equal, const char *target, const char *text) {
    bool invalid = strcmp(want->valuestring, "[invalid]") == 0;
    if (invalid != !got.at ||
        (got.at && (got.n != strlen(want->valuestring) || memcmp(got.at, want->valuestring, got.n) != 0)))
        fail_msg("'%s': '%.*s', expected %s", text, (int)got.n, got.at ? got.at : "", want->valuestring);
    if (answers_gsm8k_equal(got, TEXT(target)) != equal) fail_msg("'%s' and '%s'", text, target);
}

static void check_row(const cJSON *row) {
    const char *text, *choice, *target;
    int64_t truth, strict;
    const cJSON *gsm8k, *number = cJSON_GetObjectItem(row, "number");
    assert_ok(json_get_string(&text, row, "text", "row"));
    assert_ok(json_get_string(&choice, row, "choice", "row"));
    assert_ok(json_get_string(&target, row, "target", "row"));
    assert_ok(json_get_int(&truth, row, "boolean", -1, 1, "row"));
    assert_ok(json_get_int(&strict, row, "strict", -1, 1, "row"));
    assert_ok(json_get_array(&gsm8k, row, "gsm8k", "row"));
    double x = NAN;
    bool found = answers_number(&x, TEXT(text));
    if (answers_choice(TEXT(text)) != choice[0] || answers_boolean(TEXT(text)) != truth ||
        answers_boolean_strict(TEXT(text)) != strict || found != (bool)cJSON_IsNumber(number) ||
        (found && x != number->valuedouble))
        fail_msg("'%s': %c %d %d %g", text, answers_choice(TEXT(text)), answers_boolean(TEXT(text)),
                 answers_boolean_strict(TEXT(text)), x);
    check_gsm8k(answers_gsm8k_strict(TEXT(text)), cJSON_GetArrayItem(gsm8k, 0),
                cJSON_GetArrayItem(gsm8k, 1)->valueint, target, text);
    check_gsm8k(answers_gsm8k_flexible(TEXT(text)), cJSON_GetArrayItem(gsm8k, 2),
                cJSON_GetArrayItem(gsm8k, 3)->valueint, target, text);
}

static void golden(void **state) {
    (void)state;
    FILE *f = fopen(GOLDEN("answers.jsonl"), "r");
    assert_non_null(f);
    char *line = NULL;
    size_t cap = 0;
    ssize_t n;
    int rows = 0;
    while ((n = getline(&line, &cap, f)) > 0) {
        cJSON *row;
        assert_ok(json_parse(&row, line, (size_t)n, "answers.jsonl"));
        check_row(row);
        cJSON_Delete(row);
        rows++;
    }
    free(line);
    fclose(f);
    assert_int_equal(rows, 500);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(choices), cmocka_unit_test(booleans), cmocka_unit_test(numbers),
        cmocka_unit_test(code),    cmocka_unit_test(golden),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
