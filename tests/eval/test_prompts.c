/* Contexts and continuations against lm-evaluation-harness's own (tests/golden/make_pairs.py), the texts of
 * the generative protocol by hand. */
#include "tests/test_util.h"

#include "eval/program.h"
#include "eval/prompts.h"
#include "eval/text.h"

#include <openssl/evp.h>

/* Row by row: {"task", "index", "pairs": [[context, continuation], ...]}. */
static void golden(void **state) {
    (void)state;
    FILE *f = fopen(GOLDEN("harness_pairs.jsonl"), "r");
    assert_non_null(f);
    char *line = NULL;
    size_t cap = 0;
    ssize_t n;
    int rows = 0;
    BenchmarkSet set = {0};
    while ((n = getline(&line, &cap, f)) > 0) {
        cJSON *row;
        assert_ok(json_parse(&row, line, (size_t)n, "harness_pairs.jsonl"));
        const char *task;
        int64_t index;
        const cJSON *pairs;
        assert_ok(json_get_string(&task, row, "task", "row"));
        assert_ok(json_get_int(&index, row, "index", 0, 1000, "row"));
        assert_ok(json_get_array(&pairs, row, "pairs", "row"));
        if (index == 0) {
            benchmark_free(&set);
            assert_ok(benchmark_load(&set, benchmark_find(task), GOLDEN("benchmarks"), "", 0));
        }
        const BenchmarkItem *it = &set.items[index];
        assert_int_equal(cJSON_GetArraySize(pairs), it->n_choices);
        for (int k = 0; k < it->n_choices; k++) {
            PromptPair p;
            const cJSON *want = cJSON_GetArrayItem(pairs, k);
            assert_ok(prompts_pair(&p, set.benchmark, it, k));
            assert_string_equal(p.context, cJSON_GetArrayItem(want, 0)->valuestring);
            assert_string_equal(p.continuation, cJSON_GetArrayItem(want, 1)->valuestring);
            prompts_pair_free(&p);
        }
        cJSON_Delete(row);
        rows++;
    }
    benchmark_free(&set);
    free(line);
    fclose(f);
    assert_int_equal(rows, 29);
}

static void texts(void **state) {
    (void)state;
    assert_int_equal(text_strip_end("a \xc2\xa0\n", 5), 1);
    assert_int_equal(text_strip_start("\xe3\x80\x80\t a", 6), 5);
    assert_int_equal(text_strip_end(" \n", 2), 0);
    assert_int_equal(text_length("a\xc3\xa9\xe2\x82\xac\xff", 7), 4);
    char *s;
    assert_ok(text_capitalize(&s, "\xc3\x89"
                                  "COLE"));
    assert_string_equal(s, "\xc3\x89"
                           "cole");
    free(s);
    assert_ok(text_capitalize(&s, ""));
    assert_string_equal(s, "");
    free(s);
    assert_ok(text_capitalize(&s, "\xff"
                                  "A\xc3"));
    assert_string_equal(s, "\xff"
                           "a\xc3");
    free(s);
}

static BenchmarkSet parse(const char *name, const char *text) {
    BenchmarkSet set;
    char *copy = strdup(text);
    assert_ok(benchmark_parse(&set, benchmark_find(name), copy, strlen(copy), NULL, "f.jsonl", 0));
    free(copy);
    return set;
}

#define ARC                                                                                             \
    "{\"question\":\"Which {x}?\",\"choices\":{\"text\":[\"red\",\"green\",\"blue\"],\"label\":[\"1\"," \
    "\"2\",\"3\"]},\"answerKey\":\"2\"}\n"

static void chats(void **state) {
    (void)state;
    BenchmarkSet set = parse("arc_easy", ARC ARC);
    Wordings w;
    Wording one;
    PromptChat chat;
    assert_ok(wordings_load(&w, NULL));
    assert_ok(wordings_find(&one, &w, set.benchmark));
    PromptChatOpts opts = {.where = "f.jsonl:1"};
    assert_ok(prompts_chat(&chat, set.benchmark, &one, &set.items[0], opts));
    assert_string_equal(chat.user,
                        "Which {x}?\n\n1: red\n2: green\n3: blue\n\nWhich one is right? Reply with its "
                        "label alone.");
    assert_string_equal(chat.prefill, "");
    prompts_chat_free(&chat);
    Wording plain = {"{choices[label][3]} {choices[text][3]} {{q}} {question}", "", ""};
    opts.description = "Pick.";
    opts.shots = &set.items[1];
    opts.n_shots = 1;
    assert_ok(prompts_chat(&chat, set.benchmark, &plain, &set.items[0], opts));
    assert_string_equal(chat.user, "Pick.\n\n4 N/A {q} Which {x}?\n\nAnswer: 2\n\n4 N/A {q} Which {x}?");
    assert_string_equal(chat.prefill, "Answer:");
    prompts_chat_free(&chat);
    static const char *const bad[] = {"{nothing}",
                                      "{choices}",
                                      "{choices[text][4]}",
                                      "{choices[text]",
                                      "{choices[text][0",
                                      "{question",
                                      "{}",
                                      "{question[0]}",
                                      "{choices[text]x}",
                                      "{choices[][0]}",
                                      "{choices[text][99999999999]}"};
    for (int i = 0; i < COUNT_OF(bad); i++) {
        Wording wrong = {bad[i], "", ""};
        assert_fails(prompts_chat(&chat, set.benchmark, &wrong, &set.items[0], opts), E_INPUT,
                     "f.jsonl:1: the template's {");
    }
    benchmark_free(&set);
    wordings_free(&w);
}

static void generated(void **state) {
    (void)state;
    Wordings w;
    Wording one;
    PromptChat chat;
    char *text;
    PromptChatOpts opts = {.where = "f"};
    assert_ok(wordings_load(&w, NULL));
    BenchmarkSet math =
        parse("gsm8k", "{\"question\":\"1+1?\",\"answer\":\"Two.\\n#### 2\"}\n{\"question\":\"2+2?\","
                       "\"answer\":\"Four.\\n#### 4\"}");
    assert_ok(wordings_find(&one, &w, math.benchmark));
    assert_ok(prompts_chat(&chat, math.benchmark, &one, &math.items[0], opts));
    assert_string_equal(chat.prefill, "Let's think step by step.");
    prompts_chat_free(&chat);
    assert_ok(prompts_gsm8k(&text, &math.items[0], math.items + 1, 1));
    assert_string_equal(text, "Question: 2+2?\nAnswer: Four.\n#### 4\n\nQuestion: 1+1?\nAnswer:");
    free(text);
    benchmark_free(&math);
    BenchmarkSet code =
        parse("humaneval", "{\"task_id\":\"a\",\"prompt\":\"def f():\\n\",\"entry_point\":\"f\",\"test\":"
                           "\"def check(c): pass\",\"canonical_solution\":\"    return 1\"}");
    assert_ok(wordings_find(&one, &w, code.benchmark));
    assert_ok(prompts_chat(&chat, code.benchmark, &one, &code.items[0], opts));
    assert_string_equal(chat.user, "Complete this Python function:\n```python\ndef f():\n```");
    assert_string_equal(chat.prefill, "```python\ndef f():\n");
    prompts_chat_free(&chat);
    size_t n;
    assert_ok(program_make(&text, &n, code.benchmark, &code.items[0], (AnswerText){"    return 2xx", 12}));
    assert_string_equal(text, "def f():\n    return 2\ndef check(c): pass\ncheck(f)\n");
    assert_int_equal(n, strlen(text));
    free(text);
    benchmark_free(&code);
    BenchmarkSet mbpp =
        parse("mbpp", "[{\"prompt\":\"Add.\",\"code\":\"c\",\"task_id\":602,\"test_imports\":[\"import re\"],"
                      "\"test_list\":[\"assert f\",\"assert g\"]}]");
    assert_ok(program_make(&text, &n, mbpp.benchmark, &mbpp.items[0], (AnswerText){"x = 1", 5}));
    assert_string_equal(text, "x = 1\nimport re\nassert f\nassert g\n");
    free(text);
    assert_ok(
        program_make(&text, &n, mbpp.benchmark, &mbpp.items[0], (AnswerText){"x\0=", 3})); /* a NUL stays */
    assert_int_equal(n, 32);
    assert_memory_equal(text, "x\0=\nimport re\n", 14);
    free(text);
    benchmark_free(&mbpp);
    wordings_free(&w);
}

static void files(void **state) {
    (void)state;
    char dir[PATH_MAX];
    temp_make(dir);
    char *path = path_join(dir, "templates.json");
    Wordings w;
    Wording one;
    const char *good =
        "{\"boolq\":{\"user_prompt_template\":\"{passage}?\",\"assistant_prefill\":\"It is\",\"x\":1}}";
    assert_ok(file_write_atomic(path, good, strlen(good)));
    assert_ok(wordings_load(&w, path));
    assert_string_equal(w.source, path);
    assert_ok(wordings_find(&one, &w, benchmark_find("boolq")));
    assert_string_equal(one.user, "{passage}?");
    assert_string_equal(one.prefill, "It is");
    assert_fails(wordings_find(&one, &w, benchmark_find("piqa")), E_INPUT, "no wording for piqa");
    wordings_free(&w);
    static const char *const bad[][2] = {{"[]", "expected an object"},
                                         {"{\"piqa\":{}}", "piqa: key 'user_prompt_template'"},
                                         {"{\"piqa\":1}", "user_prompt_template"},
                                         {"{", "not valid JSON"}};
    for (int i = 0; i < COUNT_OF(bad); i++) {
        assert_ok(file_write_atomic(path, bad[i][0], strlen(bad[i][0])));
        assert_fails(wordings_load(&w, path), E_INPUT, bad[i][1]);
    }
    free(path);
    temp_remove(dir);
}

/* SHA-256 of all contexts and continuations, each with its NUL. */
static void check_pairs(const BenchmarkSet *set, const char *want) {
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    unsigned char sum[32];
    char hex[65];
    assert_true(ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL));
    for (int64_t i = 0; i < set->n; i++)
        for (int k = 0; k < set->items[i].n_choices; k++) {
            PromptPair p;
            assert_ok(prompts_pair(&p, set->benchmark, &set->items[i], k));
            EVP_DigestUpdate(ctx, p.context, strlen(p.context) + 1);
            EVP_DigestUpdate(ctx, p.continuation, strlen(p.continuation) + 1);
            prompts_pair_free(&p);
        }
    EVP_DigestFinal_ex(ctx, sum, NULL);
    EVP_MD_CTX_free(ctx);
    for (int i = 0; i < 32; i++) snprintf(hex + 2 * i, 3, "%02x", sum[i]);
    assert_string_equal(hex, want);
}

/* Where $T2L_SHARED has the real examples: their contexts and continuations, and the authors' templates fit
 * each. */
static void shared(void **state) {
    (void)state;
    const char *root = getenv("T2L_SHARED");
    char dir[PATH_MAX], path[PATH_MAX + 16];
    snprintf(dir, sizeof dir, "%s/data/eval", root ? root : "");
    snprintf(path, sizeof path, "%s/templates.json", dir);
    if (!root || !file_exists(path)) {
        skip();
        return;
    }
    cJSON *sums;
    Wordings w[2];
    assert_ok(json_read(&sums, GOLDEN("harness_pairs.json"), 1 << 16));
    assert_ok(wordings_load(&w[0], NULL));
    assert_ok(wordings_load(&w[1], path));
    int checked = 0;
    for (int b = 0; b < BENCHMARK_COUNT; b++) {
        BenchmarkSet set;
        assert_ok(benchmark_load(&set, &benchmark_table()[b], dir, "", 0));
        const cJSON *sum = cJSON_GetObjectItem(sums, set.benchmark->name);
        if (sum) check_pairs(&set, sum->valuestring);
        checked += sum != NULL;
        for (int64_t i = 0; i < 2 * set.n; i++) {
            Wording one;
            PromptChat chat;
            assert_ok(wordings_find(&one, &w[i % 2], set.benchmark));
            assert_ok(
                prompts_chat(&chat, set.benchmark, &one, &set.items[i / 2], (PromptChatOpts){.where = "f"}));
            prompts_chat_free(&chat);
        }
        benchmark_free(&set);
    }
    assert_int_equal(checked, 7);
    wordings_free(&w[0]);
    wordings_free(&w[1]);
    cJSON_Delete(sums);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden),    cmocka_unit_test(texts), cmocka_unit_test(chats),
        cmocka_unit_test(generated), cmocka_unit_test(files), cmocka_unit_test(shared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
