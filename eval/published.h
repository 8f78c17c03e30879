/* Published accuracies (percent; pass@1 for the code tasks), for tables that stand beside them: the authors'
 * runs of their own repository, greedy decoding, zero-shot unless the name says otherwise. */
#ifndef T2L_EVAL_PUBLISHED_H
#define T2L_EVAL_PUBLISHED_H

#include "data/benchmark.h"

typedef struct Published {
    const char *base, *method;     /* base: part of the model's name, in lower case */
    double value[BENCHMARK_COUNT]; /* in the order of benchmark_table() */
} Published;

/* The rows of the base model of this name (any case; a path or a Hub name): *n of them, 0 if there are none.
 */
const Published *published_find(int *n, const char *model);

#endif
