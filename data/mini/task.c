#include "data/mini/task.h"

#include "base/status.h"

#include <stdio.h>
#include <string.h>

const char *const task_frames[] = {
    "{1}.",
    "{1}.",
    "Please {1}.",
    "Read the {line~input} and {1}.",
    "{1} and {output~return~write} only the result.",
    "{Output~Return~Write~Print} {2}.",
    "{Give~Write~Return} {2}, nothing else.",
    "{2}.",
    "I {want~need} {2}.",
    "Answer with {2}.",
    "Take the {input~text} and {1}.",
    "What is {2}?",
    "Your {answer~output} is {2}.",
    "{Tell me~Find} {2}.",
    "Your {task~job}: {1}.",
    "Respond with {2} {only~alone}.",
    "Can you {1}?",
    "Show me {2}.",
    "Give me {2}.",
    "Now {1}.",
    "Just {1}.",
    "{Report~State} {2}.",
    NULL,
};
const char *const task_frames_unseen[] = {
    "Could you {3}?",
    "Could you {1}?",
    "{3}.",
    "Produce {4}.",
    "Look at the {text~entry} and {1}.",
    "Let me have {2}.",
    "The {reply~solution} should be {4}.",
    "For the given input, {3}.",
    "Go ahead and {1}.",
    "Provide {2}.",
    "Here is what to do: {3}.",
    NULL,
};

void text_add(Text *text, const char *s) {
    size_t n = strlen(s);
    CHECK(text->n + n < TEXT_MAX, "text too long: %s", s);
    memcpy(text->s + text->n, s, n + 1);
    text->n += n;
}

void text_int(Text *text, int value) {
    char digits[16];
    snprintf(digits, sizeof digits, "%d", value);
    text_add(text, digits);
}

void text_upper(Text *text) {
    for (size_t i = 0; i < text->n; i++)
        if (text->s[i] >= 'a' && text->s[i] <= 'z') text->s[i] = (char)(text->s[i] - 'a' + 'A');
}

void text_lower(Text *text) {
    for (size_t i = 0; i < text->n; i++)
        if (text->s[i] >= 'A' && text->s[i] <= 'Z') text->s[i] = (char)(text->s[i] - 'A' + 'a');
}

void text_sentence(Text *text, const char *a, const char *b, const char *c, const char *d, const char *end) {
    const char *parts[] = {a, b, c, d};
    for (int i = 0; i < 4; i++) {
        if (!*parts[i]) continue;
        if (text->n) text_add(text, " ");
        text_add(text, parts[i]);
    }
    text_add(text, end);
}

int task_range(Rng *rng, int low, int high) {
    return low + (int)rng_below(rng, (uint32_t)(high - low + 1));
}

bool task_coin(Rng *rng) {
    return rng_below(rng, 2) == 1;
}

static bool holds(const Items *items, const char *s) {
    for (int i = 0; i < items->n; i++)
        if (strcmp(items->s[i], s) == 0) return true;
    return false;
}

void items_draw(Items *items, Rng *rng, const char *table, int n) {
    CHECK(n <= ITEMS_MAX, "%d items", n);
    items->n = 0;
    int entries = table ? words_count(table) : 0;
    while (items->n < n) {
        char s[WORDS_FIELD];
        if (table)
            words_get(table, task_range(rng, 0, entries - 1), 0, s);
        else
            snprintf(s, sizeof s, "%d", task_range(rng, 1, 99));
        if (holds(items, s)) continue;
        memcpy(items->s[items->n++], s, sizeof s);
    }
}

void items_join(Text *text, const Items *items, const char *separator) {
    for (int i = 0; i < items->n; i++) {
        if (i) text_add(text, separator);
        text_add(text, items->s[i]);
    }
}

void items_move(Items *items, int from, int to) {
    char moved[WORDS_FIELD];
    memcpy(moved, items->s[from], sizeof moved);
    int step = from < to ? 1 : -1;
    for (int i = from; i != to; i += step) memcpy(items->s[i], items->s[i + step], sizeof moved);
    memcpy(items->s[to], moved, sizeof moved);
}

void items_remove(Items *items, int at) {
    items_move(items, at, items->n - 1);
    items->n--;
}

int items_at(const Items *items, int position) {
    return position < 0 ? items->n + position : position;
}

void action_draw(Rng *rng, char name[WORDS_FIELD], char part[4][WORDS_FIELD]) {
    words_get(words_names, task_range(rng, 0, words_count(words_names) - 1), 0, name);
    int action = task_range(rng, 0, words_count(words_actions) - 1);
    for (int i = 0; i < 4; i++) words_get(words_actions, action, i, part[i]);
}

void generate_lookup(Rng *rng, const Task *task, Pair *pair) {
    int entry = task_range(rng, 0, words_count(task->table) - 1);
    char s[WORDS_FIELD];
    words_get(task->table, entry, task->a, s);
    text_add(&pair->in, s);
    words_get(task->table, entry, task->b, s);
    text_add(&pair->out, s);
}
