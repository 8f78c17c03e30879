/* Batches: the hierarchical sampler against a Python twin (tests/golden/make_sampler.py), the text form of
 * Natural Instructions, and truncation on the left. */
#include "tests/test_util.h"
#include "base/json.h"
#include "tests/eval/tiny.h"
#include "train/batch.h"

enum { TASKS = 19, SIZE = 8, STEPS = 12, MOST = 32 };

typedef struct Case {
    Llm llm; /* tokenizer and template alone */
    Task tasks[TASKS];
    TaskExample examples[MOST];
} Case;

static Case *new_case(void) {
    static const char *const descriptions[] = {"one", "two", "three", "four"};
    static const char *const outputs[] = {"yes"};
    Case *c = test_alloc(sizeof *c);
    memset(c, 0, sizeof *c);
    c->llm.tokenizer = tiny_tokenizer();
    c->llm.chat = (Template){.kind = TEMPLATE_CHATML};
    c->llm.cfg.eos[0] = TINY_EOS;
    c->llm.cfg.n_eos = 1;
    for (int i = 0; i < MOST; i++) c->examples[i] = (TaskExample){"in", "yes", outputs, 1};
    for (int i = 0; i < TASKS; i++)
        c->tasks[i] = (Task){.name = "t",
                             .definition = "Define.",
                             .descriptions = descriptions,
                             .n_descriptions = 1 + i % 4,
                             .examples = c->examples,
                             .n_train = 5 + i};
    return c;
}

static void free_case(Case *c) {
    tokenizer_free(c->llm.tokenizer);
    free(c);
}

static int64_t number(const cJSON *row, int i) {
    return (int64_t)cJSON_GetArrayItem(row, i)->valuedouble;
}

static void test_sampler(void **state) {
    (void)state;
    Case *c = new_case();
    BatchSource s;
    Batch b;
    cJSON *golden;
    BatchOpts opts = {.batch_tasks = SIZE, .max_tokens = 64, .prompt = PROMPT_NATURAL, .seed = 42};
    assert_ok(json_read(&golden, GOLDEN("sampler.json"), 1 << 20));
    assert_int_equal(cJSON_GetArraySize(golden), STEPS);
    assert_ok(batch_source_init(&s, &c->llm, c->tasks, TASKS, opts));
    assert_ok(batch_init(&b, &s));
    assert_int_equal(batch_epoch(&s), 2);
    for (int step = STEPS; step-- > 0;) { /* backwards: a step does not depend on those before it */
        assert_ok(batch_next(&b, &s, step));
        assert_int_equal(b.llm.n_seqs, SIZE);
        for (int i = 0; i < SIZE; i++) {
            const cJSON *want = cJSON_GetArrayItem(cJSON_GetArrayItem(golden, step), i);
            assert_int_equal(b.items[i].example - c->examples, number(want, 1));
            assert_int_equal(b.embedding[i], s.first_description[number(want, 0)] + number(want, 2));
            assert_int_equal(b.llm.adapter[i], i);
        }
    }
    cJSON_Delete(golden);
    batch_free(&b);
    batch_source_free(&s);
    free_case(c);
}

static void test_natural(void **state) {
    (void)state;
    static const char *const two[] = {"a", "b"};
    TaskExample one = {"The input.", "a", two, 1}, more = {"The input.", "a, b", two, 2};
    char *text;
    assert_ok(tasks_natural_turn(&text, "Do this.", &one));
    assert_string_equal(text, "Do this. Please complete the task without any explanation.\n\nThe input.");
    free(text);
    assert_ok(tasks_natural_turn(&text, "Do this.", &more));
    assert_string_equal(text,
                        "Do this. Please complete the task without any explanation.\nThe answer should be a "
                        "comma-separated list of possible completions.\n\nThe input.");
    free(text);
}

/* A token a byte: the last max_tokens bytes of the prompt, the last max_tokens - 1 of the answer and the end.
 */
static void test_truncation(void **state) {
    (void)state;
    enum { MAX = 16 };
    char input[100], output[100];
    for (int i = 0; i < 99; i++) {
        input[i] = (char)('A' + i % 26);
        output[i] = (char)('a' + i % 26);
    }
    input[99] = output[99] = 0;
    const char *outputs[] = {output};
    Case *c = new_case();
    TaskExample e = {input, output, outputs, 1};
    BatchItem item = {.example = &e};
    BatchSource s;
    Batch b;
    BatchOpts opts = {.batch_tasks = 1, .max_tokens = MAX, .prompt = PROMPT_INPUT, .seed = 42};
    assert_ok(batch_source_init(&s, &c->llm, c->tasks, TASKS, opts));
    assert_ok(batch_init(&b, &s));
    assert_ok(batch_pack(&b, &s, &item, 1));
    assert_int_equal(b.llm.n_rows, MAX);
    assert_int_equal(b.llm.n_tokens, 2 * MAX - 1);
    TokenBuf whole = {0};
    char *text;
    ChatMessage user = {"user", input};
    assert_ok(template_render(&text, &c->llm.chat, &user, 1, (TemplateOpts){true, false}));
    assert_ok(tokenizer_encode(c->llm.tokenizer, &whole, text, strlen(text), (TokenizerOpts){true}));
    assert_true(whole.n > 2 * MAX);
    assert_memory_equal(b.llm.ids, whole.ids + whole.n - MAX, MAX * sizeof(int32_t));
    free(text);
    whole.n = 0;
    assert_ok(tokenizer_encode(c->llm.tokenizer, &whole, output, 99, (TokenizerOpts){false}));
    assert_int_equal(whole.n, 99);
    assert_memory_equal(b.llm.label, whole.ids + 99 - (MAX - 1), (MAX - 1) * sizeof(int32_t));
    assert_int_equal(b.llm.label[MAX - 1], TINY_EOS);
    tokenizer_buf_free(&whole);
    batch_free(&b);
    batch_source_free(&s);
    free_case(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sampler),
        cmocka_unit_test(test_natural),
        cmocka_unit_test(test_truncation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
