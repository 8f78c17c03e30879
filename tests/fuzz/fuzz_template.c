/* Bytes up to the first 0x1e are a model's Jinja program, the rest messages, divided by 0x1e, whose first
 * byte chooses the role. They are rendered by what the program is recognised as, and by one published
 * template of each family. */
#include "tests/fuzz/fuzz.h"

#include "data/template.h"

enum { MAX_MESSAGES = 8 };

static const char *role_of(char c) {
    static const char *const roles[] = {"user", "assistant", "system", "tool", "ipython", ""};
    return roles[(uint8_t)c % (sizeof roles / sizeof *roles)];
}

static void render(const Template *t, const ChatMessage *m, size_t n) {
    for (int i = 0; i < 4; i++) {
        char *text;
        Status s = template_render(&text, t, m, n, (TemplateOpts){i & 1, i & 2});
        if (status_is_ok(s))
            CHECK(strlen(text) < 100000, "%zu characters", strlen(text));
        else
            fuzz_refused(s);
        free(text);
    }
}

/* Cuts text at 0x1e, in place. */
static size_t split(ChatMessage *m, char *text) {
    size_t n = 0;
    for (char *next = text; text && *text && n < MAX_MESSAGES; text = next) {
        next = strchr(text, 0x1e);
        if (next) *next++ = 0;
        if (*text) m[n++] = (ChatMessage){role_of(*text), text + 1};
    }
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    static const char *const published[] = {"0ebbf492a18d7719", "00b2af3d168a37c9", "e1ceefcc2cefd648",
                                            "4bc1ace8a17a059e", "28eeef72f3e11a61", "3716e8afc79923e8"};
    size_t program = fuzz_divide(data, n);
    char *jinja = strndup((const char *)data, program), *rest = NULL;
    ChatMessage m[MAX_MESSAGES];
    Template t;
    if (program < n) rest = strndup((const char *)data + program + 1, n - program - 1);
    size_t count = split(m, rest);
    Status s = template_recognise(&t, jinja, NULL, "fuzz");
    if (status_is_ok(s)) {
        render(&t, m, count);
        template_free(&t);
    } else {
        fuzz_refused(s);
    }
    for (size_t i = 0; i < sizeof published / sizeof *published; i++) {
        s = template_of_fingerprint(&t, published[i]);
        CHECK(status_is_ok(s), "%s", status_message(s));
        render(&t, m, count);
        template_free(&t);
    }
    free(jinja);
    free(rest);
    return 0;
}
