/* Exact-match evaluation on the tiny model, with a small hypernetwork and made-up tasks: prompts, adapters
 * and counts against direct runs. */
#include "tests/test_util.h"
#include "tests/eval/tiny.h"

#include "base/json.h"
#include "eval/exact.h"

enum { TASKS = 4, INSTANCES = 40, TESTS = 4, E = 6, NEW = 8 };

typedef struct World {
    Tiny tiny;
    Hypernet hypernet;
    char dir[PATH_MAX];
    TaskSet tasks;
} World;

/* A vector that only the text decides. */
static Status embed(void *ctx, float *out, const char *const *texts, int64_t n) {
    ++*(int *)ctx;
    for (int64_t i = 0; i < n; i++) {
        uint64_t h = 1469598103934665603u;
        for (const char *c = texts[i]; *c; c++) h = (h ^ (unsigned char)*c) * 1099511628211u;
        Rng rng = rng_make(h, 1);
        fill_random(out + i * E, E, &rng, -2, 2);
    }
    return OK;
}

static void write_task(World *w, int t, const char *const *outputs) {
    cJSON *root = cJSON_CreateObject(), *unseen = cJSON_CreateArray(), *all = cJSON_CreateArray();
    cJSON *categories = cJSON_AddArrayToObject(root, "Categories");
    cJSON_AddItemToArray(categories, cJSON_CreateString(t < 2 ? "one" : "two"));
    char text[64], path[PATH_MAX];
    snprintf(text, sizeof text, "def%d", t);
    cJSON_AddStringToObject(root, "Definition", text);
    for (int d = 0; d < 2; d++) {
        snprintf(text, sizeof text, "new%d%d", t, d);
        cJSON_AddItemToArray(unseen, cJSON_CreateString(text));
    }
    cJSON_AddItemToObject(root, "Unseen Descriptions", unseen);
    for (int i = 0; i < INSTANCES; i++) {
        cJSON *instance = cJSON_CreateObject();
        snprintf(text, sizeof text, "%c%d", 'a' + t, i);
        cJSON_AddStringToObject(instance, "input", text);
        int item = i - (INSTANCES - TESTS);
        const char *output = outputs && item >= 0 ? outputs[t * TESTS + item] : "?";
        cJSON_AddStringToObject(instance, "output", output);
        cJSON_AddItemToArray(all, instance);
    }
    cJSON_AddItemToObject(root, "Instances", all);
    snprintf(path, sizeof path, "%.4000s/task%d.json", w->dir, t);
    assert_ok(json_write(path, root));
    cJSON_Delete(root);
}

static void load_tasks(World *w, const char *const *outputs) {
    tasks_free(&w->tasks);
    for (int t = 0; t < TASKS; t++) write_task(w, t, outputs);
    assert_ok(tasks_load(&w->tasks, w->dir));
    assert_int_equal(w->tasks.n, TASKS);
    int64_t n;
    tasks_split(&w->tasks.tasks[0], TASK_TEST, &n);
    assert_int_equal(n, TESTS);
}

static int setup(void **state) {
    World *w = test_alloc(sizeof *w);
    memset(w, 0, sizeof *w);
    tiny_open(&w->tiny);
    temp_make(w->dir);
    AdapterShape shape = llm_adapter_shape(&w->tiny.llm.cfg);
    HypernetConfig cfg = {.size = HYPERNET_M,
                          .embed = E,
                          .latent = 16,
                          .head = 24,
                          .rank = 4,
                          .n_layers = shape.n_layers,
                          .n_modules = 2,
                          .modules = {Q_PROJ, V_PROJ},
                          .lora_scale = 4.0f,
                          .head_bias = true};
    for (int m = 0; m < LORA_MODULES; m++) {
        cfg.in[m] = shape.in[m];
        cfg.out[m] = shape.out[m];
    }
    HypernetInit init = {.max_tasks = 3, .seed = 4};
    assert_ok(hypernet_init(&w->hypernet, &w->tiny.dev, &cfg, init));
    Rng rng = rng_make(9, 9);
    fill_random(w->hypernet.params, w->hypernet.n_params, &rng, -0.4f, 0.4f);
    *state = w;
    return 0;
}

static int teardown(void **state) {
    World *w = *state;
    hypernet_free(&w->hypernet);
    tasks_free(&w->tasks);
    temp_remove(w->dir);
    tiny_close(&w->tiny);
    free(w);
    return 0;
}

typedef struct Outcome {
    ExactReport report;
    cJSON *items; /* owns; an array */
    int embed_calls;
} Outcome;

/* Held out: the last task. */
static Outcome evaluate(World *w, ExactOpts opts) {
    Outcome o = {.embed_calls = 0};
    ExactModel model = {&w->tiny.llm, &w->tiny.dev, &w->hypernet, embed, &o.embed_calls};
    ExactSet sets[] = {{w->tasks.tasks, TASKS - 1, false, 0, 0}, {w->tasks.tasks + TASKS - 1, 1, true, 3, 0}};
    char *text = NULL;
    size_t n = 0;
    opts.items = open_memstream(&text, &n);
    opts.quiet = true;
    if (opts.max_new_tokens == 0) opts.max_new_tokens = NEW;
    assert_ok(exact_run(&o.report, &model, sets, 2, opts));
    fclose(opts.items);
    o.items = cJSON_CreateArray();
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        cJSON *item;
        assert_ok(json_parse(&item, line, strlen(line), "items"));
        cJSON_AddItemToArray(o.items, item);
    }
    free(text);
    assert_int_equal(cJSON_GetArraySize(o.items), o.report.n_items);
    return o;
}

static void outcome_free(Outcome *o) {
    exact_free(&o->report);
    cJSON_Delete(o->items);
}

static const char *text_of(const cJSON *item, const char *key) {
    const char *s;
    assert_ok(json_get_string(&s, item, key, "items"));
    return s;
}

static int64_t number_of(const cJSON *item, const char *key) {
    int64_t x;
    assert_ok(json_get_int(&x, item, key, 0, 1 << 20, "items"));
    return x;
}

/* The model's answer to a turn under the adapter of a description (NULL: none), made on its own. */
static char *answer(World *w, const char *turn, const char *description) {
    char prompt[256];
    snprintf(prompt, sizeof prompt, "<|im_start|>user\n%s<|im_end|>\n<|im_start|>assistant\n", turn);
    TokenBuf b = {0};
    Tiny *t = &w->tiny;
    assert_ok(tokenizer_encode(t->llm.tokenizer, &b, prompt, strlen(prompt), (TokenizerOpts){true}));
    LoraSet loras;
    float e[E];
    int calls = 0;
    if (description) {
        assert_ok(embed(&calls, e, &description, 1));
        assert_ok(
            hypernet_forward(&loras, &w->hypernet, &t->dev, tensor_2d(e, DT_F32, 1, E), (HypernetRun){0}));
    }
    GenRequest q = {b.ids, (int64_t)b.n, description ? 0 : -1};
    GenOutput out;
    GenOpts opts = {.max_new_tokens = NEW};
    assert_ok(generate_once(&out, &t->llm, &t->dev, description ? &loras : NULL, &q, 1, 1, opts));
    char *text;
    size_t n;
    TokenizerDecodeOpts plain = {true};
    assert_ok(tokenizer_decode(t->llm.tokenizer, &text, &n, out.results[0].tokens, (size_t)out.results[0].n,
                               plain));
    generate_free(&out);
    tokenizer_buf_free(&b);
    return text;
}

/* What each item should have been asked, of which adapter, and what it answered. */
static void items_match_direct_runs(void **state) {
    World *w = *state;
    load_tasks(w, NULL);
    ExactOpts opts = {
        .arms = exact_demo_arms(), .n_arms = EXACT_DEMO_ARMS, .slots = 5, .whole_outputs = true};
    Outcome o = evaluate(w, opts);
    assert_int_equal(o.report.n_items, ((TASKS - 1) * TESTS + 3) * EXACT_DEMO_ARMS);
    assert_int_equal(o.embed_calls, 1);
    int64_t at = 0, differ = 0;
    const char *base = NULL;
    for (int t = 0; t < TASKS; t++)
        for (int i = 0; i < (t == TASKS - 1 ? 3 : TESTS); i++)
            for (int a = 0; a < EXACT_DEMO_ARMS; a++, at++) {
                const cJSON *item = cJSON_GetArrayItem(o.items, (int)at);
                char task[16], input[32], own[32], turn[96];
                snprintf(task, sizeof task, "task%d", t);
                snprintf(input, sizeof input, "%c%d", 'a' + t, INSTANCES - TESTS + i);
                /* held-out tasks have their definition as a third description */
                int d = t == TASKS - 1 ? i % 3 : i % 2;
                snprintf(own, sizeof own, d < 2 ? "new%d%d" : "def%d", t, d);
                bool told = a == 1 || a == 3;
                snprintf(turn, sizeof turn, "%s%s%s", told ? own : "", told ? "\n\n" : "", input);
                assert_string_equal(text_of(item, "task"), task);
                assert_string_equal(text_of(item, "adapter"), exact_demo_arms()[a].name);
                assert_int_equal(number_of(item, "index"), INSTANCES - TESTS + i);
                assert_string_equal(text_of(item, "target"), "?");
                const char *description = a == 0 ? NULL : text_of(item, "description");
                if (a >= 1 && a <= 3) assert_string_equal(description, own);
                if (a == 4) assert_memory_equal(description, exact_random_texts()[(t + i) % 8], 5);
                if (a == 5) assert_true((description[3] - '0' < 2) != (t < 2)); /* another family */
                char prompt[256], sha[65];
                snprintf(prompt, sizeof prompt, "<|im_start|>user\n%s<|im_end|>\n<|im_start|>assistant\n",
                         turn);
                sha256_hex(sha, prompt, strlen(prompt));
                assert_string_equal(text_of(item, "prompt_sha256"), sha);
                char *want = answer(w, turn, a < 2 ? NULL : description);
                assert_string_equal(text_of(item, "output"), want);
                free(want);
                if (a == 0) base = text_of(item, "output");
                differ += strcmp(base, text_of(item, "output")) != 0;
            }
    assert_true(differ > 10); /* the adapters do something */
    outcome_free(&o);
}

/* With the base's own answers as targets the base is always right; cutting early changes no score. */
static void scores(void **state) {
    World *w = *state;
    load_tasks(w, NULL);
    char *outputs[TASKS * TESTS];
    for (int t = 0; t < TASKS; t++)
        for (int i = 0; i < TESTS; i++) {
            char turn[32];
            snprintf(turn, sizeof turn, "%c%d", 'a' + t, INSTANCES - TESTS + i);
            outputs[t * TESTS + i] = answer(w, turn, NULL);
        }
    load_tasks(w, (const char *const *)outputs);
    ExactOpts opts = {.arms = exact_demo_arms(), .n_arms = EXACT_DEMO_ARMS, .whole_outputs = true};
    Outcome whole = evaluate(w, opts);
    opts.whole_outputs = false;
    Outcome cut = evaluate(w, opts);
    const ExactReport *r = &whole.report;
    assert_int_equal(r->n_rows, TASKS);
    for (int64_t i = 0; i < r->n_rows; i++) {
        assert_string_equal(r->rows[i].family, i < 2 ? "one" : "two");
        assert_int_equal(r->rows[i].heldout, i == TASKS - 1);
        for (int a = 0; a < EXACT_DEMO_ARMS; a++) {
            assert_int_equal(r->rows[i].by[a].n, i == TASKS - 1 ? 3 : TESTS);
            assert_int_equal(r->rows[i].by[a].n, cut.report.rows[i].by[a].n);
            assert_int_equal(r->rows[i].by[a].correct, cut.report.rows[i].by[a].correct);
        }
        assert_int_equal(r->rows[i].by[0].correct, r->rows[i].by[0].n);
    }
    assert_true(r->seen[0].mean == 1.0 && r->heldout[0].mean == 1.0);
    assert_true(r->seen[2].mean < 1.0);
    assert_int_equal(r->seen[0].n_tasks, TASKS - 1);
    assert_true(cut.report.new_tokens < r->new_tokens);
    bool any_cut = false;
    for (int i = 0; i < cut.report.n_items; i++) {
        const cJSON *x = cJSON_GetArrayItem(cut.items, i), *y = cJSON_GetArrayItem(whole.items, i);
        assert_int_equal(number_of(x, "score"), number_of(y, "score"));
        if (strcmp(text_of(x, "finish"), "cut") != 0) continue;
        any_cut = true;
        assert_int_equal(number_of(x, "score"), 0);
        assert_memory_equal(text_of(x, "output"), text_of(y, "output"), strlen(text_of(x, "output")));
    }
    assert_true(any_cut);
    outcome_free(&whole);
    outcome_free(&cut);
    for (int i = 0; i < TASKS * TESTS; i++) free(outputs[i]);
}

/* The base and adapters that are there already, of two sets. */
static void given_adapters(void **state) {
    World *w = *state;
    load_tasks(w, NULL);
    LoraSet second = w->tiny.loras;
    second.scale *= 2;
    ExactArm arms[] = {{"base", "base", EXACT_BASE, false, NULL, 0},
                       {"a", "a", EXACT_GIVEN, false, &w->tiny.loras, 2},
                       {"b", "b", EXACT_GIVEN, true, &second, 0},
                       {"c", "c", EXACT_GIVEN, false, &w->tiny.loras, 1}};
    ExactOpts opts = {.arms = arms, .n_arms = 4, .whole_outputs = true};
    Outcome o = evaluate(w, opts);
    assert_int_equal(o.embed_calls, 0);
    assert_int_equal(o.report.n_adapters, 0);
    assert_int_equal(o.report.n_items, ((TASKS - 1) * TESTS + 3) * 4);
    const LoraSet *sets[] = {NULL, &w->tiny.loras, &second, &w->tiny.loras};
    for (int i = 0; i < o.report.n_items; i++) {
        const cJSON *item = cJSON_GetArrayItem(o.items, i);
        int a = i % 4;
        const char *input = w->tasks.tasks[i / 4 / TESTS].examples[INSTANCES - TESTS + i / 4 % TESTS].input;
        char prompt[256];
        snprintf(prompt, sizeof prompt, "<|im_start|>user\n%s%s%s<|im_end|>\n<|im_start|>assistant\n",
                 a == 2 ? text_of(item, "description") : "", a == 2 ? "\n\n" : "", input);
        TokenBuf b = {0};
        assert_ok(tokenizer_encode(w->tiny.llm.tokenizer, &b, prompt, strlen(prompt), (TokenizerOpts){true}));
        GenRequest q = {b.ids, (int64_t)b.n, a ? arms[a].adapter : -1};
        GenOutput out;
        GenOpts gen = {.max_new_tokens = NEW};
        assert_ok(generate_once(&out, &w->tiny.llm, &w->tiny.dev, sets[a], &q, 1, 1, gen));
        char *text;
        size_t n;
        assert_ok(tokenizer_decode(w->tiny.llm.tokenizer, &text, &n, out.results[0].tokens,
                                   (size_t)out.results[0].n, (TokenizerDecodeOpts){true}));
        assert_string_equal(text_of(item, "output"), text);
        free(text);
        generate_free(&out);
        tokenizer_buf_free(&b);
    }
    outcome_free(&o);
}

static void matching(void **state) {
    (void)state;
    const char *const outputs[] = {"Paris", " Lyon ", ""};
    TaskExample e = {"?", "Paris,  Lyon , ", outputs, 3};
    assert_true(exact_match("Paris", 5, &e));
    assert_true(exact_match(" \n\tParis \n", 9, &e));
    assert_true(exact_match("Lyon", 4, &e));
    assert_true(exact_match("Paris,  Lyon ,", 14, &e));
    assert_true(exact_match("  ", 2, &e));
    assert_false(exact_match("paris", 5, &e));
    assert_false(exact_match("Paris.", 6, &e));
    assert_false(exact_match("Pari", 4, &e));
    assert_false(exact_match("Paris Lyon", 10, &e));
}

static void refusals(void **state) {
    World *w = *state;
    load_tasks(w, NULL);
    int calls = 0;
    ExactModel model = {&w->tiny.llm, &w->tiny.dev, &w->hypernet, embed, &calls};
    ExactSet set = {w->tasks.tasks, TASKS, false, 0, 0};
    ExactReport r;
    volatile int stop = 1;
    ExactOpts opts = {.arms = exact_demo_arms(), .n_arms = EXACT_DEMO_ARMS, .quiet = true, .stop = &stop};
    assert_fails(exact_run(&r, &model, &set, 1, opts), E_INTERRUPTED, "stopped");
    opts.stop = NULL;
    int64_t positions = w->tiny.llm.cfg.max_positions;
    w->tiny.llm.cfg.max_positions = 20;
    assert_fails(exact_run(&r, &model, &set, 1, opts), E_INPUT, "task0: example 36");
    w->tiny.llm.cfg.max_positions = positions;
    Tokenizer *t = w->tiny.llm.tokenizer;
    w->tiny.llm.tokenizer = NULL;
    assert_fails(exact_run(&r, &model, &set, 1, opts), E_INPUT, "tokenizer");
    w->tiny.llm.tokenizer = t;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_match_direct_runs),
        cmocka_unit_test(scores),
        cmocka_unit_test(given_adapters),
        cmocka_unit_test(matching),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
