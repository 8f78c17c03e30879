/* Policy: a Jinja program is brought into one canonical form, whatever its layout, and looked up by the hash
 * of that. The form keeps what decides the output: text outside of tags after Jinja's white-space rules (with
 * trim_blocks and lstrip_blocks, as chat templates are run), and each tag's content with white space outside
 * of strings left out and strings in one kind of quotes. Comments vanish. */
#include "data/template_styles.h"

#include "base/file.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Sources: the models' tokenizer_config.json; chat_templates/ of text-to-lora (the last three, line breaks
 * and indentation taken out as there). To add one: the message about an unknown program names its
 * fingerprint; what it renders goes to tests/golden/chat_templates.jsonl. */
static const TemplateStyle styles[] = {
    {"Llama-2-chat", "0ebbf492a18d7719", TEMPLATE_INST, SYSTEM_TAGGED, BEGIN_EVERY_USER, .alternate = true,
     .strip = true, .pass_others = true, .user_open = "[INST] ", .assistant_open = " ",
     .assistant_close = " </s>"},
    {"Mistral-7B-Instruct-v0.1", "00b2af3d168a37c9", TEMPLATE_INST, SYSTEM_REFUSED, BEGIN_ALWAYS,
     .alternate = true, .user_open = "[INST] ", .assistant_open = "", .assistant_close = "</s> "},
    {"Mistral-7B-Instruct-v0.2 (first version)", "30240a6d33c5af81", TEMPLATE_INST, SYSTEM_REFUSED,
     BEGIN_ALWAYS, .alternate = true, .user_open = "[INST] ", .assistant_open = "",
     .assistant_close = "</s>"},
    {"Mistral-7B-Instruct-v0.2", "e1ceefcc2cefd648", TEMPLATE_INST, SYSTEM_BEFORE_USER, BEGIN_ALWAYS,
     .alternate = true, .user_open = " [INST] ", .assistant_open = " ", .assistant_close = "</s>"},
    {"Meta-Llama-3", "3739fb28a05a4e62", TEMPLATE_HEADER, SYSTEM_TURN, BEGIN_ALWAYS, .alternate = false},
    {"Meta-Llama-3 (first version)", "4823370a80091657", TEMPLATE_HEADER, SYSTEM_TURN, BEGIN_ALWAYS,
     .always_prompt = true},
    {"Llama-3.1", "4bc1ace8a17a059e", TEMPLATE_HEADER, SYSTEM_DATED, BEGIN_ALWAYS, .tools = true},
    {"Gemma", "28eeef72f3e11a61", TEMPLATE_TURN, SYSTEM_REFUSED, BEGIN_ALWAYS, .alternate = true},
    {"text-to-lora's Mistral", "3716e8afc79923e8", TEMPLATE_INST, SYSTEM_BEFORE_USER, BEGIN_WITH_SYSTEM,
     .user_open = " [INST] ", .assistant_open = " ", .assistant_close = "</s>"},
    {"text-to-lora's Llama-3.1", "3a60e759b7b407e9", TEMPLATE_HEADER, SYSTEM_TURN, BEGIN_WITH_SYSTEM,
     .tools = true},
    {"text-to-lora's Gemma", "cb53cf27ae9b6fd4", TEMPLATE_TURN, SYSTEM_TURN, BEGIN_WITH_SYSTEM,
     .alternate = false},
};

typedef struct Form {
    char *at; /* owns; never longer than twice the program */
    size_t n;
} Form;

static void put(Form *f, char c) {
    f->at[f->n++] = c;
}

/* s[0] is a quote: its string, in double quotes, the escapes of line break and quote resolved. Returns what
 * follows. */
static const char *put_string(Form *f, const char *s, const char *end) {
    char quote = *s++;
    put(f, '"');
    while (s < end && *s != quote) {
        if (*s == '\\' && s + 1 < end) {
            s++;
            if (*s != 'n' && *s != '\'' && *s != '"') put(f, '\\');
            put(f, *s == 'n' ? '\n' : *s);
            s++;
        } else {
            put(f, *s++);
        }
    }
    put(f, '"');
    return s < end ? s + 1 : s;
}

/* The content of a tag, [s, end). */
static void put_tag(Form *f, char kind, const char *s, const char *end) {
    put(f, '\x01');
    put(f, kind);
    while (s < end) {
        if (*s == '\'' || *s == '"') {
            s = put_string(f, s, end);
        } else {
            if (!isspace((unsigned char)*s)) put(f, *s);
            s++;
        }
    }
    put(f, '\x02');
}

/* Where the tag that opens at s ends: at its closing brace pair, which is not looked for inside strings. */
static const char *tag_end(const char *s, char kind) {
    char close = kind == '{' ? '}' : kind, quote = 0;
    for (; *s; s++) {
        if (quote && *s == '\\' && s[1]) {
            s++;
        } else if (quote) {
            if (*s == quote) quote = 0;
        } else if (kind != '#' && (*s == '\'' || *s == '"')) {
            quote = *s;
        } else if (*s == close && s[1] == '}') {
            return s;
        }
    }
    return NULL;
}

static const char *next_tag(const char *s) {
    for (; *s; s++)
        if (*s == '{' && (s[1] == '{' || s[1] == '%' || s[1] == '#')) break;
    return s;
}

/* Text between tags, [s, end); before: what the tag in front strips, after: the tag behind (NUL: none). */
static void put_text(Form *f, const char *s, const char *end, bool line_start, char after, bool strip_after) {
    if (strip_after) {
        while (end > s && isspace((unsigned char)end[-1])) end--;
    } else if (after == '%' || after == '#') { /* lstrip_blocks: from the beginning of the line */
        const char *p = end;
        while (p > s && (p[-1] == ' ' || p[-1] == '\t')) p--;
        if (p > s ? p[-1] == '\n' : line_start) end = p;
    }
    while (s < end) put(f, *s++);
}

/* False when a tag does not end. */
static bool canonical(Form *f, const char *s) {
    bool line_start = true, strip_next = false, trim_line = false;
    for (;;) {
        const char *open = next_tag(s), *text_end = open;
        char kind = *open ? open[1] : 0;
        bool strip = kind && open[2] == '-';
        if (!kind && text_end > s && text_end[-1] == '\n') text_end--; /* the program's last line break */
        if (strip_next)
            while (s < text_end && isspace((unsigned char)*s)) s++;
        else if (trim_line && s < text_end && *s == '\n')
            s++, line_start = true;
        bool keep_space = kind && open[2] == '+';
        put_text(f, s, text_end, line_start, keep_space ? '{' : kind, strip);
        if (!kind) return true;
        const char *begin = open + 2 + (strip || keep_space), *end = tag_end(begin, kind);
        if (!end) return false;
        char last = end > begin ? end[-1] : 0;
        strip_next = last == '-';
        trim_line = kind != '{' && last != '+';
        line_start = false;
        if (kind != '#') put_tag(f, kind, begin, end - (strip_next || (kind == '%' && last == '+')));
        s = end + 2;
    }
}

Status template_style_fingerprint(char *out, const char *jinja) {
    char hash[65];
    Form f = {malloc(strlen(jinja) * 2 + 16), 0};
    snprintf(out, TEMPLATE_FINGERPRINT + 1, "none");
    if (!f.at) return status_error(E_ENV, "out of memory (a chat template)");
    if (canonical(&f, jinja)) {
        sha256_hex(hash, f.at, f.n);
        snprintf(out, TEMPLATE_FINGERPRINT + 1, "%.*s", TEMPLATE_FINGERPRINT, hash);
    }
    free(f.at);
    return OK;
}

const TemplateStyle *template_style_find(const char *fingerprint) {
    for (size_t i = 0; i < sizeof styles / sizeof *styles; i++)
        if (strcmp(fingerprint, styles[i].fingerprint) == 0) return &styles[i];
    return NULL;
}
