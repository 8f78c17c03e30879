/* ROUGE against the rouge_score package on 500 pairs (tests/golden/make_rouge.py), to 1e-12. */
#include "tests/test_util.h"
#include "base/json.h"
#include "eval/rouge.h"

static void test_golden(void **state) {
    (void)state;
    FILE *f = fopen(GOLDEN("rouge.jsonl"), "r");
    assert_non_null(f);
    char *line = NULL;
    size_t cap = 0;
    ssize_t n;
    int rows = 0;
    while ((n = getline(&line, &cap, f)) > 0) {
        cJSON *row = cJSON_Parse(line);
        const cJSON *t = cJSON_GetArrayItem(row, 0), *p = cJSON_GetArrayItem(row, 1);
        Rouge r;
        assert_ok(
            rouge_score(&r, t->valuestring, strlen(t->valuestring), p->valuestring, strlen(p->valuestring)));
        double r1 = cJSON_GetArrayItem(row, 2)->valuedouble, rl = cJSON_GetArrayItem(row, 3)->valuedouble;
        if (!within(r.r1, r1, 1e-12) || !within(r.rl, rl, 1e-12))
            fail_msg("row %d: '%s', '%s': %.15g %.15g, expected %.15g %.15g", rows, t->valuestring,
                     p->valuestring, r.r1, r.rl, r1, rl);
        cJSON_Delete(row);
        rows++;
    }
    free(line);
    fclose(f);
    assert_int_equal(rows, 500);
}

static void check_stem(const char *word, const char *want) {
    char buf[64];
    size_t n = strlen(word);
    memcpy(buf, word, n);
    memset(buf + n, '#', 8);
    n = rouge_stem(buf, n);
    if (n != strlen(want) || memcmp(buf, want, n) != 0)
        fail_msg("%s: %.*s, expected %s", word, (int)n, buf, want);
}

/* Porter's own examples, and the words whose stems NLTK's mode changes. */
static void test_stems(void **state) {
    (void)state;
    static const char *const pairs[][2] = {{"caresses", "caress"},
                                           {"ponies", "poni"},
                                           {"feed", "feed"},
                                           {"agreed", "agre"},
                                           {"plastered", "plaster"},
                                           {"motoring", "motor"},
                                           {"sing", "sing"},
                                           {"conflated", "conflat"},
                                           {"sized", "size"},
                                           {"hopping", "hop"},
                                           {"fizzed", "fizz"},
                                           {"filing", "file"},
                                           {"happy", "happi"},
                                           {"enjoy", "enjoy"},
                                           {"relational", "relat"},
                                           {"rational", "ration"},
                                           {"vietnamization", "vietnam"},
                                           {"electriciti", "electr"},
                                           {"adoption", "adopt"},
                                           {"controll", "control"},
                                           {"roll", "roll"},
                                           {"cease", "ceas"},
                                           {"dies", "die"},
                                           {"flies", "fli"},
                                           {"died", "die"},
                                           {"spied", "spi"},
                                           {"dying", "die"},
                                           {"geology", "geolog"}};
    for (int i = 0; i < COUNT_OF(pairs); i++) check_stem(pairs[i][0], pairs[i][1]);
}

/* Texts with NUL, cut UTF-8 and nothing but separators. */
static void test_strange(void **state) {
    (void)state;
    Rouge r;
    assert_ok(rouge_score(&r, "a\0b", 3, "a b", 3));
    assert_within(r.rl, 1, 0);
    assert_ok(rouge_score(&r, "word \xe2\x84", 7, "word \xc4", 6));
    assert_within(r.r1, 1, 0);
    assert_ok(rouge_score(&r, "", 0, "", 0));
    assert_within(r.r1, 0, 0);
    assert_within(r.rl, 0, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_stems),
        cmocka_unit_test(test_strange),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
