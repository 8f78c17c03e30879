/* Policy: one small renderer a family; recognised by the turn markers in the model's template text. */
#include "data/template.h"

#include <stdlib.h>
#include <string.h>

void template_free(Template *t) {
    free(t->default_system);
    *t = (Template){0};
}

/* The text between `<|im_start|>system` + line break and `<|im_end|>` in the template: the turn it inserts.
 * The line break is written as itself or as \n. */
static Status find_default_system(char **out, const char *jinja, const char *where) {
    static const char open[] = "<|im_start|>system";
    *out = NULL;
    if (!strstr(jinja, "!= 'system'") && !strstr(jinja, "!= \"system\"") && !strstr(jinja, "== 'system'"))
        return OK;
    for (const char *p = strstr(jinja, open); p; p = strstr(p, open)) {
        p += sizeof open - 1;
        size_t skip = *p == '\n' ? 1 : strncmp(p, "\\n", 2) == 0 ? 2 : 0;
        if (skip == 0) continue;
        const char *end = strstr(p + skip, "<|im_end|>");
        size_t n = end ? (size_t)(end - p) - skip : 0;
        if (n == 0 || memchr(p + skip, '\'', n) || memchr(p + skip, '{', n))
            continue; /* a message goes here */
        *out = strndup(p + skip, n);
        return *out ? OK : status_error(E_ENV, "%s: out of memory", where);
    }
    return OK;
}

typedef struct Sign {
    const char *text, *family;
} Sign;

Status template_recognise(Template *out, const char *jinja, const Tokenizer *t, const char *where) {
    static const Sign others[] = {
        {"<|start_header_id|>", "Llama-3"}, {"<start_of_turn>", "Gemma"}, {"[INST]", "Llama-2 and Mistral"}};
    *out = (Template){.kind = TEMPLATE_CHATML};
    if (jinja && strstr(jinja, "<|im_start|>"))
        return find_default_system(&out->default_system, jinja, where);
    bool chatml = t && tokenizer_id(t, "<|im_start|>") >= 0 && tokenizer_id(t, "<|im_end|>") >= 0;
    if (!jinja && chatml) return OK;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (jinja ? strstr(jinja, others[i].text) != NULL : t && tokenizer_id(t, others[i].text) >= 0)
            return status_error(E_INPUT, "%s: chat template: the %s family is not supported (ChatML is)",
                                where, others[i].family);
    return status_error(E_INPUT,
                        "%s: chat template: no known family (ChatML is supported: <|im_start|>, "
                        "<|im_end|>)%s",
                        where, jinja ? "" : "; the model has no template and no such tokens");
}

typedef struct Text {
    char *at; /* NULL while measuring */
    size_t n;
} Text;

static void put(Text *to, const char *s) {
    size_t n = strlen(s);
    if (to->at) memcpy(to->at + to->n, s, n);
    to->n += n;
}

static void chatml_turn(Text *to, const char *role, const char *content) {
    put(to, "<|im_start|>");
    put(to, role);
    put(to, "\n");
    put(to, content);
    put(to, "<|im_end|>\n");
}

static void chatml(Text *to, const Template *t, const ChatMessage *m, size_t n, TemplateOpts opts) {
    if (opts.default_system && t->default_system && n > 0 && strcmp(m[0].role, "system") != 0)
        chatml_turn(to, "system", t->default_system);
    for (size_t i = 0; i < n; i++) chatml_turn(to, m[i].role, m[i].content);
    if (opts.generation_prompt) put(to, "<|im_start|>assistant\n");
}

Status template_render(char **out, const Template *t, const ChatMessage *m, size_t n, TemplateOpts opts) {
    Text text = {NULL, 0};
    *out = NULL;
    CHECK(t->kind == TEMPLATE_CHATML, "template kind %d", (int)t->kind);
    chatml(&text, t, m, n, opts);
    text.at = malloc(text.n + 1);
    if (!text.at) return status_error(E_ENV, "out of memory (%zu bytes of chat text)", text.n);
    text.n = 0;
    chatml(&text, t, m, n, opts);
    text.at[text.n] = 0;
    *out = text.at;
    return OK;
}
