#include "eval/answers.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool digit(char c) {
    return c >= '0' && c <= '9';
}

static char lower(char c) {
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

static bool word_char(char c) {
    return digit(c) || (lower(c) >= 'a' && lower(c) <= 'z');
}

char answers_choice(const char *text, size_t n) {
    size_t i = 0;
    while (i < n && text[i] && (isspace((unsigned char)text[i]) || strchr(":`'\"(.)", text[i]))) i++;
    return i < n && word_char(text[i]) ? lower(text[i]) : 0;
}

/* ---- truth ---- */

static const char *const truths[] = {"1", "0", "yes", "no", "true", "false", "positive", "negative"};
enum { TRUTHS = 8 }; /* even places are true */

static bool same_word(const char *text, const char *word, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (lower(text[i]) != word[i]) return false;
    return true;
}

int answers_boolean(const char *text, size_t n) {
    for (int k = 0; k < TRUTHS; k++) {
        size_t len = strlen(truths[k]);
        for (size_t i = 0; i + len <= n; i++)
            if (same_word(text + i, truths[k], len)) return k % 2 == 0;
    }
    return -1;
}

int answers_boolean_strict(const char *text, size_t n) {
    size_t i = 0, len = 0;
    while (i < n && !word_char(text[i])) i++;
    while (i + len < n && word_char(text[i + len])) len++;
    for (int k = 0; k < TRUTHS; k++)
        if (len == strlen(truths[k]) && same_word(text + i, truths[k], len)) return k % 2 == 0;
    return -1;
}

/* ---- numbers ---- */

enum { NUMBER_MAX = 320 }; /* characters of a number that are looked at: more than a double's range */

bool answers_number(double *out, const char *text, size_t n) {
    char last[NUMBER_MAX + 1], now[NUMBER_MAX + 1];
    size_t len = 0;
    bool found = false, point = false;
    for (size_t i = 0; i <= n; i++) {
        char c = i < n ? text[i] : 0;
        if (i < n && c == ',') continue;
        size_t next = i + 1;
        while (next < n && text[next] == ',') next++;
        bool opens = c == '.' && len > 0 && !point && next < n && digit(text[next]);
        if (i < n && (digit(c) || opens)) {
            point = point || opens;
            if (len < NUMBER_MAX) now[len++] = c;
            continue;
        }
        if (len > 0) {
            now[len] = 0;
            memcpy(last, now, len + 1);
            found = true;
        }
        len = 0;
        point = false;
    }
    if (found) *out = strtod(last, NULL);
    return found;
}

/* ---- code ---- */

/* The length of the fence at text[i], 0: none there. ~ only at the beginning of a line. */
static size_t fence_at(const char *text, size_t n, size_t i) {
    char c = text[i];
    if (c != '`' && (c != '~' || (i > 0 && text[i - 1] != '\n'))) return 0;
    size_t len = 0;
    while (i + len < n && text[i + len] == c) len++;
    return len >= 3 ? len : 0;
}

static size_t next_fence(const char *text, size_t n, size_t from) {
    size_t i = from;
    while (i < n && !fence_at(text, n, i)) i++;
    return i;
}

static size_t line_end(const char *text, size_t n, size_t from) {
    const char *end = from < n ? memchr(text + from, '\n', n - from) : NULL;
    return end ? (size_t)(end - text) + 1 : n;
}

AnswerText answers_code(const char *text, size_t n, bool prefilled) {
    size_t from = 0;
    while (from < n && isspace((unsigned char)text[from])) from++;
    bool opened = from < n && fence_at(text, n, from);
    if (!prefilled && !opened) {
        from = next_fence(text, n, 0);
        opened = from < n;
    }
    if (opened)
        from = line_end(text, n, from); /* the rest of an opening fence's line names the language */
    else
        from = 0;
    return (AnswerText){text + from, next_fence(text, n, from) - from};
}

/* ---- lm-evaluation-harness's gsm8k ---- */

AnswerText answers_gsm8k_strict(const char *text, size_t n) {
    for (size_t i = 0; i + 5 < n; i++) {
        if (memcmp(text + i, "#### ", 5) != 0) continue;
        size_t at = i + 5, len = text[at] == '-', signs = len;
        while (at + len < n && (digit(text[at + len]) || text[at + len] == '.' || text[at + len] == ','))
            len++;
        if (len > signs) return (AnswerText){text + at, len};
    }
    return (AnswerText){NULL, 0};
}

static bool money(char c) {
    return digit(c) || c == '$' || c == '.' || c == ',';
}

AnswerText answers_gsm8k_flexible(const char *text, size_t n) {
    AnswerText last = {NULL, 0};
    for (size_t i = 0; i < n;) {
        size_t sign = text[i] == '-', len = 0, digits = 0;
        while (i + sign + len < n && money(text[i + sign + len])) len++;
        while (i + sign + digits < n && digit(text[i + sign + digits])) digits++;
        size_t take = len >= 2 ? sign + len : digits > 0 ? sign + digits : 0;
        if (take) last = (AnswerText){text + i, take};
        i += take ? take : 1;
    }
    return last;
}

/* A text without what the comparison leaves out, character by character. */
typedef struct Plain {
    const char *at, *end;
} Plain;

static Plain plain(const char *text, size_t n) {
    Plain p = {text, text + n};
    for (size_t i = n; i >= 5; i--)
        if (memcmp(text + i - 5, "#### ", 5) == 0) {
            p.at = text + i;
            break;
        }
    while (p.end > p.at && (p.end[-1] == ',' || p.end[-1] == '$')) p.end--;
    if (p.end > p.at && p.end[-1] == '.') p.end--;
    return p;
}

static int plain_next(Plain *p) {
    while (p->at < p->end && (*p->at == ',' || *p->at == '$')) p->at++;
    return p->at < p->end ? lower(*p->at++) : -1000;
}

bool answers_gsm8k_equal(AnswerText answer, const char *target, size_t n) {
    static const char invalid[] = "[invalid]";
    Plain a = answer.at ? plain(answer.at, answer.n) : plain(invalid, sizeof invalid - 1);
    Plain b = plain(target, n);
    for (;;) {
        int x = plain_next(&a), y = plain_next(&b);
        if (x != y) return false;
        if (x == -1000) return true;
    }
}
