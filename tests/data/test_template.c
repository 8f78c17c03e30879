/* Chat templates against tests/golden/template.jsonl (rendered by the model's own template). */
#include "base/json.h"
#include "data/template.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char smollm2[] =
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ "
    "'<|im_start|>system\n"
    "You are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
    "' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

static void must(Status s) {
    if (!status_is_ok(s)) fail_msg("%s", status_message(s));
}

static void golden(void **state) {
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

static void recognise(void **state) {
    (void)state;
    static const struct {
        const char *jinja, *family;
    } others[] = {{"{{ '<|start_header_id|>' }}", "Llama-3"},
                  {"{{ '<start_of_turn>' }}", "Gemma"},
                  {"{{ ' [INST] ' }}", "Mistral"},
                  {"{{ messages }}", "no known family"},
                  {"", "no known family"}};
    Template t;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        Status s = template_recognise(&t, others[i].jinja, NULL, "model.gguf");
        assert_int_equal(status_code(s), E_INPUT);
        assert_non_null(strstr(status_message(s), others[i].family));
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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden),
        cmocka_unit_test(options),
        cmocka_unit_test(recognise),
        cmocka_unit_test(from_tokens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
