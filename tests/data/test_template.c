/* Chat templates against tests/golden/template.jsonl and chat_templates.jsonl (rendered by the models' own
 * templates); fingerprints of programs against template_fingerprints.jsonl (from the tokens of Jinja's
 * lexer). */
#include "tests/data/files.h"

#include "base/json.h"
#include "data/template_styles.h"
#include "data/vocabulary.h"

static const char smollm2[] =
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ "
    "'<|im_start|>system\n"
    "You are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
    "' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

static void must(Status s) {
    if (!status_is_ok(s)) fail_msg("%s", status_message(s));
}

static void chatml(void **state) {
    (void)state;
    Template t;
    FILE *f = fopen(TEST_ROOT "/tests/golden/template.jsonl", "rb");
    assert_non_null(f);
    must(template_recognise(&t, smollm2, NULL, "model"));
    char *line = NULL;
    size_t cap = 0, rows = 0;
    for (ssize_t n; (n = getline(&line, &cap, f)) > 0; rows++) {
        cJSON *row;
        must(json_parse(&row, line, (size_t)n, "template.jsonl"));
        ChatMessage m[32];
        size_t k = 0;
        for (const cJSON *c = cJSON_GetObjectItem(row, "messages")->child; c && k < 32; c = c->next)
            m[k++] = (ChatMessage){cJSON_GetObjectItem(c, "role")->valuestring,
                                   cJSON_GetObjectItem(c, "content")->valuestring};
        TemplateOpts opts = {.default_system = true};
        opts.generation_prompt = cJSON_IsTrue(cJSON_GetObjectItem(row, "add_generation_prompt"));
        char *text;
        must(template_render(&text, &t, m, k, opts));
        assert_string_equal(text, cJSON_GetObjectItem(row, "rendered")->valuestring);
        free(text);
        cJSON_Delete(row);
    }
    assert_true(rows >= 34);
    free(line);
    fclose(f);
    template_free(&t);
}

static void options(void **state) {
    (void)state;
    Template t;
    char *text;
    ChatMessage m = {"user", "Hi"};
    must(template_recognise(&t, smollm2, NULL, "model"));
    assert_string_equal(t.default_system,
                        "You are a helpful AI assistant named SmolLM, trained by Hugging Face");
    must(template_render(&text, &t, &m, 1, (TemplateOpts){.generation_prompt = true}));
    assert_string_equal(text, "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n");
    free(text);
    must(template_render(&text, &t, NULL, 0, (TemplateOpts){.default_system = true}));
    assert_string_equal(text, "");
    free(text);
    template_free(&t);
    assert_null(t.default_system);
}

/* ---- the other families ---- */

enum { MAX_MESSAGES = 8 };

static size_t read_chat(ChatMessage m[MAX_MESSAGES], const cJSON *chat) {
    size_t n = 0;
    for (const cJSON *c = chat->child; c; c = c->next) {
        assert_true(n < MAX_MESSAGES);
        m[n++] = (ChatMessage){cJSON_GetObjectItem(c, "role")->valuestring,
                               cJSON_GetObjectItem(c, "content")->valuestring};
    }
    return n;
}

/* Each conversation without and with the generation prompt; null: the model's own template refuses it. */
static void check_model(const cJSON *model, const cJSON *chats) {
    const char *name = cJSON_GetObjectItem(model, "name")->valuestring;
    const cJSON *want = cJSON_GetObjectItem(model, "cases")->child;
    Template t;
    must(template_of_fingerprint(&t, cJSON_GetObjectItem(model, "fingerprint")->valuestring));
    assert_string_equal(template_name(&t), name);
    for (const cJSON *chat = chats->child; chat; chat = chat->next) {
        ChatMessage m[MAX_MESSAGES];
        size_t n = read_chat(m, chat);
        for (int prompt = 0; prompt < 2; prompt++, want = want->next) {
            char *text;
            TemplateOpts opts = {.generation_prompt = prompt, .default_system = true};
            Status s = template_render(&text, &t, m, n, opts);
            if (cJSON_IsNull(want)) {
                assert_int_equal(status_code(s), E_INPUT);
                assert_non_null(strstr(status_message(s), name));
                assert_null(text);
                status_free(s);
                continue;
            }
            must(s);
            if (strcmp(text, want->valuestring) != 0)
                fail_msg("%s:\n  got  '%s'\n  want '%s'", name, text, want->valuestring);
            free(text);
        }
    }
    assert_null(want);
    template_free(&t);
}

static void published(void **state) {
    (void)state;
    FILE *f = fopen(TEST_ROOT "/tests/golden/chat_templates.jsonl", "rb");
    cJSON *chats, *model;
    char *line = NULL;
    size_t cap = 0, models = 0;
    assert_non_null(f);
    must(json_read(&chats, TEST_ROOT "/tests/golden/chats.json", 1 << 20));
    for (ssize_t n; (n = getline(&line, &cap, f)) > 0; models++) {
        must(json_parse(&model, line, (size_t)n, "chat_templates.jsonl"));
        check_model(model, chats);
        cJSON_Delete(model);
    }
    assert_int_equal(models, 11);
    free(line);
    fclose(f);
    cJSON_Delete(chats);
}

/* ---- recognition ---- */

static void check_fingerprint(const char *jinja, const char *want) {
    char got[TEMPLATE_FINGERPRINT + 1];
    must(template_style_fingerprint(got, jinja));
    if (strcmp(got, want) != 0) fail_msg("fingerprint %s, expected %s: '%s'", got, want, jinja);
}

static void fingerprints(void **state) {
    (void)state;
    FILE *f = fopen(TEST_ROOT "/tests/golden/template_fingerprints.jsonl", "rb");
    char *line = NULL;
    size_t cap = 0, rows = 0;
    assert_non_null(f);
    for (ssize_t n; (n = getline(&line, &cap, f)) > 0; rows++) {
        cJSON *row;
        must(json_parse(&row, line, (size_t)n, "template_fingerprints.jsonl"));
        check_fingerprint(row->child->valuestring, row->child->next->valuestring);
        cJSON_Delete(row);
    }
    assert_true(rows >= 290);
    free(line);
    fclose(f);
}

/* The first row of template_fingerprints.jsonl. */
static const char loop[] = "{% for m in messages %}[{{ m['role'] + ':\n' + m['content'] }}]{% endfor %}";
#define LOOP "9f2b445703a7d72f"

/* loop with every `from` replaced (owns). */
static char *loop_with(const char *from, const char *to) {
    char *out = malloc(sizeof loop * (strlen(to) + 2)), *at = out;
    assert_non_null(out);
    for (const char *s = loop; *s;) {
        bool hit = strncmp(s, from, strlen(from)) == 0;
        if (hit) at = (char *)memcpy(at, to, strlen(to)) + strlen(to);
        if (!hit) *at++ = *s;
        s += hit ? strlen(from) : 1;
    }
    *at = 0;
    return out;
}

/* The same program in another layout is the same; one that writes other text is not. */
static void layouts(void **state) {
    (void)state;
    static const struct {
        const char *from, *to;
        bool same;
    } cases[] = {{"'", "\"", true},
                 {" %}", "%}", true},
                 {"%}", "%}\n", true},       /* trim_blocks takes the line break */
                 {"{% ", "   \t{%- ", true}, /* and a hyphen all white space before */
                 {"{% endfor %}", "{# done #}{% endfor %}", true},
                 {"\n", "\\n", true}, /* a line break in a string, or its escape */
                 {"m['role'] +", "m [ 'role' ]\n+", true},
                 {"[{{", "[ {{", false},
                 {"+ m['content']", "", false},
                 {"{% endfor %}", " {{ 1 }}{% endfor %}", false},
                 {"{% endfor %}", "x{% endfor %}", false},
                 {"'role'", "'Role'", false},
                 {"'role'", "' role'", false},
                 {"%}[", "%}\n\n[", false}, /* trim_blocks takes one line break only */
                 {"%}[", "+%}\n[", false},  /* or none */
                 {"{% endfor %}", "{% endfor ", false}};
    char got[TEMPLATE_FINGERPRINT + 1];
    check_fingerprint(loop, LOOP);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *jinja = loop_with(cases[i].from, cases[i].to);
        must(template_style_fingerprint(got, jinja));
        if ((strcmp(got, LOOP) == 0) != cases[i].same)
            fail_msg("%s -> %s: %s", cases[i].from, cases[i].to, cases[i].same ? "another" : "the same");
        free(jinja);
    }
}

/* A program that nobody published is refused by its fingerprint, as is a fingerprint. */
static void unknown(void **state) {
    (void)state;
    Template t;
    Status s = template_recognise(&t, loop, NULL, "model.gguf");
    assert_int_equal(status_code(s), E_INPUT);
    assert_non_null(strstr(status_message(s), "model.gguf: chat template"));
    assert_non_null(strstr(status_message(s), "fingerprint " LOOP));
    status_free(s);
    static const char *const others[] = {LOOP, "none", "", "28eeef72f3e11a6", "28eeef72f3e11a610"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        s = template_of_fingerprint(&t, others[i]);
        assert_int_equal(status_code(s), E_INPUT);
        status_free(s);
    }
}

static void damaged(void **state) {
    (void)state;
    uint8_t copy[sizeof loop + 8];
    Rng rng = rng_make(6, 0);
    int same = 0;
    for (int i = 0; i < 3000; i++) {
        size_t n = damage(copy, (const uint8_t *)loop, sizeof loop - 1, sizeof loop - 1, &rng);
        char *exact = malloc(n + 1), got[TEMPLATE_FINGERPRINT + 1]; /* so that reading past its end is seen */
        assert_non_null(exact);
        memcpy(exact, copy, n);
        exact[n] = 0;
        must(template_style_fingerprint(got, exact));
        same += strcmp(got, LOOP) == 0;
        free(exact);
    }
    assert_true(same < 1500); /* a NUL behind it, or damage in white space */
}

static void no_system_turn(void **state) {
    (void)state;
    Template t;
    char *text;
    const ChatMessage system[] = {{"system", "s"}, {"user", "q"}}, twice[] = {{"user", "a"}, {"user", "b"}};
    must(template_of_fingerprint(&t, "28eeef72f3e11a61")); /* Gemma */
    assert_int_equal(t.kind, TEMPLATE_TURN);
    Status s = template_render(&text, &t, system, 2, (TemplateOpts){0});
    assert_non_null(strstr(status_message(s), "Gemma: it has no system turn"));
    status_free(s);
    s = template_render(&text, &t, twice, 2, (TemplateOpts){0});
    assert_non_null(strstr(status_message(s), "message 1 is of role 'user'"));
    status_free(s);
    s = template_render(&text, &t, NULL, 0, (TemplateOpts){0});
    assert_non_null(strstr(status_message(s), "no messages"));
    status_free(s);
    template_free(&t);
}

static void recognise(void **state) {
    (void)state;
    static const struct {
        const char *jinja, *message;
    } others[] = {{"{{ '<|start_header_id|>' }}", "Llama-3.1"},
                  {"{{ '<start_of_turn>' }}", "Gemma"},
                  {"{{ ' [INST] ' }}", "Mistral"},
                  {"{{ messages }}", "recognised are ChatML, Llama-2-chat"},
                  {"{{ 'a", "recognised are"},
                  {"{%", "recognised are"},
                  {"{", "recognised are"},
                  {"", "recognised are"}};
    Template t;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        Status s = template_recognise(&t, others[i].jinja, NULL, "model.gguf");
        assert_int_equal(status_code(s), E_INPUT);
        assert_non_null(strstr(status_message(s), others[i].message));
        assert_non_null(strstr(status_message(s), "model.gguf"));
        status_free(s);
        template_free(&t);
    }
    /* a message in the system turn is no default; an escaped line break is one */
    must(template_recognise(&t, "{% if m['role'] != 'system' %}<|im_start|>system\n{{ x }}<|im_end|>", NULL,
                            "m"));
    assert_null(t.default_system);
    must(template_recognise(&t, "m[0]['role'] != 'system' '<|im_start|>system\\nBe kind.<|im_end|>\\n'", NULL,
                            "m"));
    assert_string_equal(t.default_system, "Be kind.");
    template_free(&t);
    must(template_recognise(&t, "{{ '<|im_start|>' + m['role'] }}", NULL, "m"));
    assert_null(t.default_system);
    Status s = template_recognise(&t, NULL, NULL, "m");
    assert_int_equal(status_code(s), E_INPUT);
    status_free(s);
    /* markers of ChatML in another layout: a separator behind the role, a tag before the answer, a space */
    static const char *const lookalikes[] = {
        "{{ '<|im_start|>user<|im_sep|>' + m['content'] + '<|im_end|>' }}",
        "{{ '<|im_start|>' + m['role'] + '\n' }}{{ '<|im_start|>assistant\n<think>\n' }}",
        "{{ '<|im_start|>' + m['role'] + '\\n' }}{{ '<|im_start|>assistant\\n<think>' }}",
        "{{ '<|im_start|> ' + m['role'] }}",
        "<|im_start|>user: {{ x }}",
    };
    for (size_t i = 0; i < sizeof lookalikes / sizeof *lookalikes; i++) {
        s = template_recognise(&t, lookalikes[i], NULL, "m");
        if (status_code(s) != E_INPUT) fail_msg("lookalike %zu is taken for ChatML", i);
        assert_non_null(strstr(status_message(s), "laid out differently"));
        status_free(s);
    }
}

static void from_tokens(void **state) {
    (void)state;
    static const char *const tokens[] = {"<|im_start|>", "<|im_end|>", "a"};
    static const size_t lens[] = {12, 10, 1};
    static const int32_t types[] = {3, 3, 1};
    TokenizerVocab v = {
        .model = "gpt2", .pre = "gpt-2", .n = 3, .tokens = tokens, .token_lens = lens, .types = types};
    v.bos = v.eos = v.unk = v.pad = -1;
    Tokenizer *tok;
    Template t;
    must(tokenizer_from_vocab(&tok, &v, "v"));
    must(template_recognise(&t, NULL, tok, "v"));
    assert_int_equal(t.kind, TEMPLATE_CHATML);
    assert_null(t.default_system);
    template_free(&t);
    tokenizer_free(tok);
}

/* A directory's template: in tokenizer_config.json, and in a file of its own, which wins. */
static void from_directory(void **state) {
    (void)state;
    static const char tokenizer[] =
        "{\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"a\",\"vocab\":{\"a\":0}}}";
    TestDir dir = dir_make();
    Vocabulary v;
    write_text(dir_file(&dir, "tokenizer.json").s, tokenizer);
    must(vocabulary_open(&v, dir.path));
    assert_null(v.jinja);
    vocabulary_close(&v);
    write_text(dir_file(&dir, "tokenizer_config.json").s, "{\"chat_template\":\"{{ one }}\"}");
    must(vocabulary_open(&v, dir.path));
    assert_string_equal(v.jinja, "{{ one }}");
    vocabulary_close(&v);
    write_text(dir_file(&dir, "chat_template.jinja").s, "{{ two }}");
    must(vocabulary_open(&v, dir.path));
    assert_string_equal(v.jinja, "{{ two }}");
    vocabulary_close(&v);
    must(file_remove_tree(dir_file(&dir, "chat_template.jinja").s));
    write_text(dir_file(&dir, "tokenizer_config.json").s, "{\"chat_template\":");
    Status s = vocabulary_open(&v, dir.path);
    assert_int_equal(status_code(s), E_INPUT);
    status_free(s);
    dir_remove(&dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chatml),         cmocka_unit_test(options),      cmocka_unit_test(recognise),
        cmocka_unit_test(published),      cmocka_unit_test(fingerprints), cmocka_unit_test(layouts),
        cmocka_unit_test(unknown),        cmocka_unit_test(damaged),      cmocka_unit_test(no_system_turn),
        cmocka_unit_test(from_directory), cmocka_unit_test(from_tokens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
