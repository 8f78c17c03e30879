/* The nearest valid name to a mistyped one: Damerau-Levenshtein distance (with adjacent transpositions), ties
 * by order. */
#ifndef T2L_TRAIN_NEAREST_H
#define T2L_TRAIN_NEAREST_H

/* One of the NULL-terminated names (view), or NULL when none is within a third of the longer length (at least
 * 2 edits are allowed). */
const char *nearest_name(const char *word, const char *const *names);

#endif
