#include "eval/rouge.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { LONGEST_UNSTEMMED = 3 };

typedef struct Token {
    const char *s; /* view into Text.letters */
    size_t n;
    int64_t place; /* among the tokens of both texts */
} Token;

typedef struct Text {
    char *letters; /* owns */
    Token *tokens; /* owns */
    int64_t n;
} Text;

static Status no_memory(void) {
    return status_error(E_ENV, "ROUGE: out of memory");
}

/* One of a-z, 0-9, or 0 for what separates. Two letters beyond ASCII have a lower case that begins in it:
 * KELVIN SIGN is k, and I WITH DOT ABOVE is i and a dot, which separates. *used: bytes. */
static char letter(size_t *used, const char *s, size_t left) {
    char c = *s;
    *used = 1;
    if (c >= 'A' && c <= 'Z') return (char)(c - 'A' + 'a');
    if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) return c;
    if (left >= 3 && memcmp(s, "\xe2\x84\xaa", 3) == 0) {
        *used = 3;
        return 'k';
    }
    if (left >= 2 && memcmp(s, "\xc4\xb0", 2) == 0) return 'i'; /* its second byte separates */
    return 0;
}

static Status split(Text *t, const char *s, size_t n) {
    t->letters = malloc(n + 1);
    t->tokens = malloc((n / 2 + 1) * sizeof *t->tokens);
    t->n = 0;
    if (!t->letters || !t->tokens) return no_memory();
    size_t at = 0, used;
    for (size_t i = 0; i < n; at++) {
        while (i < n && !letter(&used, s + i, n - i)) i += used;
        char *word = t->letters + at, c;
        size_t len = 0;
        for (; i < n && (c = letter(&used, s + i, n - i)) != 0; i += used) word[len++] = c;
        if (len == 0) break;
        at += len;
        if (len > LONGEST_UNSTEMMED) len = rouge_stem(word, len);
        if (len > 0) t->tokens[t->n++] = (Token){word, len, 0};
    }
    return OK;
}

static int by_text(const void *a, const void *b) {
    const Token *x = *(const Token *const *)a, *y = *(const Token *const *)b;
    int c = memcmp(x->s, y->s, x->n < y->n ? x->n : y->n);
    return c ? c : (x->n > y->n) - (x->n < y->n);
}

/* Equal tokens get equal numbers. *common: how many of one text meet one of the other. */
static Status number(int64_t *common, Text *a, Text *b) {
    int64_t n = a->n + b->n;
    Token **all = malloc((size_t)(n + 1) * sizeof *all);
    if (!all) return no_memory();
    for (int64_t i = 0; i < n; i++) all[i] = i < a->n ? &a->tokens[i] : &b->tokens[i - a->n];
    qsort(all, (size_t)n, sizeof *all, by_text);
    *common = 0;
    for (int64_t i = 0, end; i < n; i = end) {
        int64_t in_a = 0;
        for (end = i; end < n && by_text(&all[i], &all[end]) == 0; end++) {
            all[end]->place = i;
            in_a += all[end] >= a->tokens && all[end] < a->tokens + a->n;
        }
        int64_t in_b = end - i - in_a;
        *common += in_a < in_b ? in_a : in_b;
    }
    free(all);
    return OK;
}

/* Longest common subsequence. */
static Status lcs(int64_t *out, const Text *a, const Text *b) {
    int64_t *row = calloc((size_t)b->n + 1, sizeof *row); /* of the tokens of a so far */
    if (!row) return no_memory();
    for (int64_t i = 0; i < a->n; i++)
        for (int64_t j = 0, diagonal = 0; j < b->n; j++) {
            int64_t above = row[j + 1];
            if (a->tokens[i].place == b->tokens[j].place)
                row[j + 1] = diagonal + 1;
            else if (row[j] > above)
                row[j + 1] = row[j];
            diagonal = above;
        }
    *out = row[b->n];
    free(row);
    return OK;
}

static double f1(int64_t common, int64_t target, int64_t pred) {
    if (common == 0) return 0;
    double p = (double)common / (double)pred, r = (double)common / (double)target;
    return 2 * p * r / (p + r);
}

static Status score(Rouge *out, Text *a, Text *b, const char *target, size_t n, const char *pred, size_t m) {
    int64_t common = 0, longest = 0;
    TRY(split(a, target, n));
    TRY(split(b, pred, m));
    TRY(number(&common, a, b));
    TRY(lcs(&longest, a, b));
    *out = (Rouge){f1(common, a->n, b->n), f1(longest, a->n, b->n)};
    return OK;
}

Status rouge_score(Rouge *out, const char *target, size_t n, const char *pred, size_t m) {
    Text a = {0}, b = {0};
    Status s = score(out, &a, &b, target, n, pred, m);
    free(a.letters);
    free(a.tokens);
    free(b.letters);
    free(b.tokens);
    return s;
}
