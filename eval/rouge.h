/* ROUGE-1 and ROUGE-L F1 (Lin 2004) of a prediction against a target, as the rouge_score package with its
 * stemmer: lower case, everything but a-z and 0-9 separates, words of more than three letters are stemmed
 * (Porter 1980 with NLTK's extensions). */
#ifndef T2L_EVAL_ROUGE_H
#define T2L_EVAL_ROUGE_H

#include "base/status.h"

typedef struct Rouge {
    double r1, rl; /* F1, 0 to 1 */
} Rouge;

/* Texts of n and m bytes of UTF-8. */
Status rouge_score(Rouge *out, const char *target, size_t n, const char *pred, size_t m);
/* Stems a word of n letters a-z, 0-9 in place; the new length. */
size_t rouge_stem(char *word, size_t n);

#endif
