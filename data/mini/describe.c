#include "data/mini/describe.h"

#include "base/status.h"

#include <string.h>

// Adds one of the choices in [s, s + n), which ~ separates.
static void add_choice(Text *text, Rng *rng, const char *s, size_t n) {
    int choices = 1;
    for (size_t i = 0; i < n; i++) choices += s[i] == '~';
    int chosen = rng ? task_range(rng, 0, choices - 1) : 0;
    for (size_t i = 0; i < n; i++) {
        if (s[i] == '~') {
            chosen--;
        } else if (chosen == 0) {
            char c[2] = {s[i], '\0'};
            text_add(text, c);
        }
    }
}

void describe(Text *text, Rng *rng, const char *template, const Task *task) {
    *text = (Text){.n = 0};
    for (const char *p = template; *p;) {
        if (*p != '{') {
            char c[2] = {*p++, '\0'};
            text_add(text, c);
            continue;
        }
        const char *start = p + 1, *end = strchr(start, '}');
        CHECK(end, "template without }: %s", template);
        size_t n = (size_t)(end - start);
        if (n == 1 && *start >= '1' && *start < '1' + SLOTS) {
            const char *slot = task->slot[*start - '1'];
            CHECK(slot, "%s has no slot %c for: %s", task->name, *start, template);
            add_choice(text, rng, slot, strlen(slot));
        } else {
            add_choice(text, rng, start, n);
        }
        p = end + 1;
    }
    // A choice that ends in a question mark may meet the full stop of its frame.
    if (text->n >= 2 && text->s[text->n - 1] == '.' && text->s[text->n - 2] == '?') text->s[--text->n] = '\0';
    if (text->s[0] >= 'a' && text->s[0] <= 'z') text->s[0] = (char)(text->s[0] - 'a' + 'A');
}
