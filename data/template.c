/* Policy: one small renderer a family. ChatML is recognised by the turn markers in the model's template text,
 * the others by all of it (template_styles.c). A text is measured, then written, by the same walk. */
#include "data/template_styles.h"

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

/* Whether every turn that the program opens is laid out as ChatML's: role and line break, and no text of its
 * own before the answer. Phi-4 has a separator behind the role, reasoning models a tag before the answer. */
static bool is_chatml(const char *jinja) {
    static const char open[] = "<|im_start|>", assistant[] = "assistant";
    for (const char *p = strstr(jinja, open); p; p = strstr(p, open)) {
        p += sizeof open - 1;
        bool answer = strncmp(p, assistant, sizeof assistant - 1) == 0;
        while (*p >= 'a' && *p <= 'z') p++;
        size_t line_break = *p == '\n' ? 1 : strncmp(p, "\\n", 2) == 0 ? 2 : 0;
        p += line_break;
        if (line_break > 0 && !answer) continue; /* a turn's own text may follow */
        if (*p && !strchr("'\"{", *p)) return false;
    }
    return true;
}

Status template_of_fingerprint(Template *out, const char *fingerprint) {
    const TemplateStyle *y = template_style_find(fingerprint);
    *out = (Template){0};
    if (!y)
        return status_error(E_INPUT,
                            "chat template: not one of those known here (fingerprint %s); recognised "
                            "are " TEMPLATE_STYLE_NAMES ", each as published",
                            fingerprint);
    out->kind = y->kind;
    out->style = y;
    if (y->system == SYSTEM_DATED && !(out->default_system = strdup("")))
        return status_error(E_ENV, "out of memory (a chat template)");
    return OK;
}

Status template_recognise(Template *out, const char *jinja, const Tokenizer *t, const char *where) {
    char fingerprint[TEMPLATE_FINGERPRINT + 1];
    *out = (Template){.kind = TEMPLATE_CHATML};
    if (jinja && strstr(jinja, "<|im_start|>") && !is_chatml(jinja))
        return status_error(E_INPUT,
                            "%s: chat template: has ChatML's <|im_start|>, but its turns are laid out "
                            "differently; recognised are " TEMPLATE_STYLE_NAMES,
                            where);
    if (jinja && strstr(jinja, "<|im_start|>"))
        return find_default_system(&out->default_system, jinja, where);
    if (jinja) {
        TRY(status_wrap(template_style_fingerprint(fingerprint, jinja), "%s", where));
        return status_wrap(template_of_fingerprint(out, fingerprint), "%s", where);
    }
    if (t && tokenizer_id(t, "<|im_start|>") >= 0 && tokenizer_id(t, "<|im_end|>") >= 0) return OK;
    return status_error(E_INPUT,
                        "%s: chat template: the model has none, and no tokens <|im_start|> and <|im_end|>; "
                        "recognised are " TEMPLATE_STYLE_NAMES,
                        where);
}

const char *template_name(const Template *t) {
    return t->style ? t->style->name : "ChatML";
}

typedef struct Text {
    char *at; /* NULL while measuring */
    size_t n;
} Text;

static void put_n(Text *to, const char *s, size_t n) {
    if (to->at) memcpy(to->at + to->n, s, n);
    to->n += n;
}

static void put(Text *to, const char *s) {
    put_n(to, s, strlen(s));
}

/* Length of the white space that s[0..n) begins with; 0 if it begins with something else. */
static size_t space_at(const char *s, size_t n) {
    static const char *const wide[] = {"\xc2\x85",     "\xc2\xa0",     "\xe1\x9a\x80", "\xe2\x80\xa8",
                                       "\xe2\x80\xa9", "\xe2\x80\xaf", "\xe2\x81\x9f", "\xe3\x80\x80"};
    if (n == 0) return 0;
    if (*s == ' ' || (*s >= '\t' && *s <= '\r') || (*s >= 0x1c && *s <= 0x1f)) return 1;
    for (size_t i = 0; i < sizeof wide / sizeof *wide; i++)
        if (n >= strlen(wide[i]) && memcmp(s, wide[i], strlen(wide[i])) == 0) return strlen(wide[i]);
    bool en_quad = n >= 3 && memcmp(s, "\xe2\x80", 2) == 0 && (uint8_t)s[2] >= 0x80 && (uint8_t)s[2] <= 0x8a;
    return en_quad ? 3 : 0; /* U+2000 to U+200A */
}

static size_t strip_right(const char *s, size_t n) {
    for (size_t w = 1; w <= 3 && w <= n; w++)
        if (space_at(s + n - w, w) == w) n -= w, w = 0;
    return n;
}

/* s without white space at both ends. */
static void put_stripped(Text *to, const char *s) {
    size_t n = strlen(s);
    for (size_t k; (k = space_at(s, n)) > 0; n -= k) s += k;
    put_n(to, s, strip_right(s, n));
}

static bool is(const ChatMessage *m, const char *role) {
    return strcmp(m->role, role) == 0;
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

/* ---------------------------------------------------------------- [INST] */

/* A user's content with the system message before it. */
static void with_system(Text *to, const TemplateStyle *y, const char *system, const char *content) {
    size_t n = strlen(content);
    if (y->system == SYSTEM_TAGGED) put(to, "<<SYS>>\n");
    put(to, system);
    if (y->system == SYSTEM_TAGGED) put(to, "\n<</SYS>>");
    if (y->strip) n = strip_right(content, n); /* the whole is stripped, and its front is no white space */
    if (n == 0 && y->strip) return;
    put(to, "\n\n");
    put_n(to, content, n);
}

static void inst(Text *to, const TemplateStyle *y, const ChatMessage *m, size_t n) {
    const ChatMessage *system = is(m, "system") ? m : NULL;
    size_t first = system ? 1 : 0;
    if (y->begin == BEGIN_ALWAYS || (y->begin == BEGIN_WITH_SYSTEM && system)) put(to, "<s>");
    for (size_t i = first; i < n; i++) {
        if (is(&m[i], "user")) {
            if (y->begin == BEGIN_EVERY_USER) put(to, "<s>");
            put(to, y->user_open);
            if (system && i == first)
                with_system(to, y, system->content, m[i].content);
            else
                (y->strip ? put_stripped : put)(to, m[i].content);
            put(to, " [/INST]");
        } else if (is(&m[i], "assistant")) {
            put(to, y->assistant_open);
            (y->strip ? put_stripped : put)(to, m[i].content);
            put(to, y->assistant_close);
        }
    }
}

/* ---------------------------------------------------------------- turns with a role */

static void header(Text *to, const char *role) {
    put(to, "<|start_header_id|>");
    put(to, role);
    put(to, "<|end_header_id|>\n\n");
}

static void headers(Text *to, const TemplateStyle *y, const ChatMessage *m, size_t n, TemplateOpts opts) {
    bool system = is(m, "system"), dated = y->system == SYSTEM_DATED && (system || opts.default_system);
    if (y->begin == BEGIN_ALWAYS || system) put(to, "<|begin_of_text|>");
    if (dated) {
        header(to, "system");
        put(to, "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n");
        if (system) put_stripped(to, m[0].content);
        put(to, "<|eot_id|>");
    }
    for (size_t i = dated && system; i < n; i++) {
        header(to, m[i].role);
        put_stripped(to, m[i].content);
        put(to, "<|eot_id|>");
    }
    if (opts.generation_prompt || y->always_prompt) header(to, "assistant");
}

static void turns(Text *to, const TemplateStyle *y, const ChatMessage *m, size_t n, TemplateOpts opts) {
    if (y->begin == BEGIN_ALWAYS || is(m, "system")) put(to, "<bos>");
    for (size_t i = 0; i < n; i++) {
        put(to, "<start_of_turn>");
        put(to, is(&m[i], "assistant") ? "model" : m[i].role);
        put(to, "\n");
        put_stripped(to, m[i].content);
        put(to, "<end_of_turn>\n");
    }
    if (opts.generation_prompt) put(to, "<start_of_turn>model\n");
}

/* ---------------------------------------------------------------- all */

/* What the model's own template would raise. */
static Status check_messages(const TemplateStyle *y, const ChatMessage *m, size_t n) {
    if (n == 0) return status_error(E_INPUT, "chat template %s: no messages", y->name);
    bool folded = y->system == SYSTEM_BEFORE_USER || y->system == SYSTEM_TAGGED;
    size_t first = folded && is(m, "system");
    if (y->system == SYSTEM_REFUSED && is(m, "system"))
        return status_error(
            E_INPUT, "chat template %s: it has no system turn; put the instruction into the user's", y->name);
    for (size_t i = first; i < n; i++) {
        if (y->alternate && is(&m[i], "user") != ((i - first) % 2 == 0))
            return status_error(
                E_INPUT,
                "chat template %s: message %zu is of role '%s'; user and assistant take turns, "
                "the user first",
                y->name, i, m[i].role);
        bool known = is(&m[i], "user") || is(&m[i], "assistant");
        if (y->kind == TEMPLATE_INST && !y->pass_others && !known)
            return status_error(E_INPUT,
                                "chat template %s: message %zu is of role '%s', expected user or assistant",
                                y->name, i, m[i].role);
        if (y->tools && (is(&m[i], "tool") || is(&m[i], "ipython")))
            return status_error(E_INPUT, "chat template %s: message %zu: turns of tools are not supported",
                                y->name, i);
    }
    return OK;
}

static void render(Text *to, const Template *t, const ChatMessage *m, size_t n, TemplateOpts opts) {
    switch (t->kind) {
    case TEMPLATE_CHATML:
        chatml(to, t, m, n, opts);
        break;
    case TEMPLATE_INST:
        inst(to, t->style, m, n);
        break;
    case TEMPLATE_HEADER:
        headers(to, t->style, m, n, opts);
        break;
    case TEMPLATE_TURN:
        turns(to, t->style, m, n, opts);
        break;
    }
}

Status template_render(char **out, const Template *t, const ChatMessage *m, size_t n, TemplateOpts opts) {
    Text text = {NULL, 0};
    *out = NULL;
    if (t->style) TRY(check_messages(t->style, m, n));
    render(&text, t, m, n, opts);
    text.at = malloc(text.n + 1);
    if (!text.at) return status_error(E_ENV, "out of memory (%zu bytes of chat text)", text.n);
    text.n = 0;
    render(&text, t, m, n, opts);
    text.at[text.n] = 0;
    *out = text.at;
    return OK;
}
