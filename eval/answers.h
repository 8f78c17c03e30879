/* What a generated text says: the first choice, a truth value, the last number, a program. The rules are the
 * reference's (its evaluation of choices is lenient on purpose), and for gsm8k also those of
 * lm-evaluation-harness. Texts are n bytes and may hold anything. */
#ifndef T2L_EVAL_ANSWERS_H
#define T2L_EVAL_ANSWERS_H

#include <stdbool.h>
#include <stddef.h>

typedef struct AnswerText {
    const char *at; /* view; NULL: there is none */
    size_t n;
} AnswerText;

/* White space and : ` ' " ( . ) are dropped at both ends; then the letter a-z (of either case) or digit that
 * the text begins with, in lower case. 0: it begins with neither. */
char answers_choice(const char *text, size_t n);

/* 1 true, 0 false, -1 neither. Lenient: the first of "1", "0", "yes", "no", "true", "false", "positive",
 * "negative" that occurs anywhere decides. Strict: the first run of letters and digits must be one of them.
 */
int answers_boolean(const char *text, size_t n);
int answers_boolean_strict(const char *text, size_t n);

/* The last number: digits, perhaps a point and more digits, commas anywhere between left out. false: none. */
bool answers_number(double *out, const char *text, size_t n);

/* The program in an answer. prefilled: the text continues an opened fence and ends at the next one (a fence
 * that is opened once more is skipped). Otherwise the first fenced block; without a fence, all. Fences are
 * three or more ` or ~ . A view of text. */
AnswerText answers_code(const char *text, size_t n, bool prefilled);

/* gsm8k as lm-evaluation-harness does it: "#### -1,234" the first time (strict), or the last thing that looks
 * like a number (flexible). A view of text. */
AnswerText answers_gsm8k_strict(const char *text, size_t n);
AnswerText answers_gsm8k_flexible(const char *text, size_t n);
/* Equal once "$", ",", all up to the last "#### ", and a point at the end are dropped from both; case does
 * not matter. A missing answer stands for "[invalid]". */
bool answers_gsm8k_equal(AnswerText answer, const char *target, size_t n);

#endif
