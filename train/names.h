/* Words against lists of valid ones: the nearest name to a mistyped one (Damerau-Levenshtein distance, with
 * adjacent transpositions; ties by order), and choices written "a|b|c". */
#ifndef T2L_TRAIN_NAMES_H
#define T2L_TRAIN_NAMES_H

#include <stdbool.h>

/* One of the NULL-terminated names (view), or NULL when none is within a third of the longer length (at least
 * 2 edits are allowed). */
const char *names_nearest(const char *word, const char *const *names);
bool names_is_choice(const char *choices, const char *word);

#endif
