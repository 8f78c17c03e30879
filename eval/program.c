#include "eval/program.h"

#include <stdlib.h>
#include <string.h>

typedef struct Text {
    char *at; /* NULL: only measures */
    size_t n;
} Text;

static void put(Text *t, const char *s) {
    size_t n = strlen(s);
    if (t->at) memcpy(t->at + t->n, s, n);
    t->n += n;
}

static Status text_room(Text *t) {
    char *p = malloc(t->n + 1);
    if (!p) return status_error(E_ENV, "no memory for a program of %zu bytes", t->n);
    p[t->n] = 0;
    *t = (Text){p, 0};
    return OK;
}

static void put_humaneval(Text *t, const char *prompt, const char *completion, const char *test,
                          const char *entry_point) {
    put(t, prompt);
    put(t, completion);
    put(t, "\n");
    put(t, test);
    put(t, "\ncheck(");
    put(t, entry_point);
    put(t, ")\n");
}

Status program_humaneval(char **out, const char *prompt, const char *completion, const char *test,
                         const char *entry_point) {
    Text t = {NULL, 0};
    put_humaneval(&t, prompt, completion, test, entry_point);
    TRY(text_room(&t));
    put_humaneval(&t, prompt, completion, test, entry_point);
    *out = t.at;
    return OK;
}

static void put_lines(Text *t, const char *const *lines, int n) {
    for (int i = 0; i < n; i++) {
        put(t, lines[i]);
        put(t, "\n");
    }
}

static void put_mbpp(Text *t, const char *code, const char *const *setup, int n_setup,
                     const char *const *asserts, int n_asserts) {
    put_lines(t, &code, 1);
    put_lines(t, setup, n_setup);
    put_lines(t, asserts, n_asserts);
}

Status program_mbpp(char **out, const char *code, const char *const *setup, int n_setup,
                    const char *const *asserts, int n_asserts) {
    Text t = {NULL, 0};
    put_mbpp(&t, code, setup, n_setup, asserts, n_asserts);
    TRY(text_room(&t));
    put_mbpp(&t, code, setup, n_setup, asserts, n_asserts);
    *out = t.at;
    return OK;
}
