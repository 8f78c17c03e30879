/* How a benchmark is put to a chat model: a template of the user's turn, how the answer begins, what closes
 * it.
 *
 * The project's own wordings, or those of a file in the form of the authors' task metadata:
 *   {"arc_easy": {"user_prompt_template": "...{question}...{choices[text][0]}...", "assistant_prefill": "",
 *                 "assistant_postfill": ""}, ...}
 * {name}, {name[key]}, {name[0]} are fields of the example; {options} (own) its choices, "label: text" a
 * line;
 * {{ and }} are braces. */
#ifndef T2L_EVAL_WORDINGS_H
#define T2L_EVAL_WORDINGS_H

#include "data/benchmark.h"

typedef struct Wording {
    const char *user, *prefill, *postfill; /* view */
} Wording;

typedef struct Wordings {
    Wording by[BENCHMARK_COUNT]; /* in the order of benchmark_table(); user NULL: the file has none */
    const char *source;          /* "own", or view of path */
    cJSON *file;                 /* owns; NULL: own */
} Wordings;

/* path NULL: the project's own. */
Status wordings_load(Wordings *out, const char *path);
void wordings_free(Wordings *w);
/* E_INPUT where the file has none for the benchmark. */
Status wordings_find(Wording *out, const Wordings *w, const Benchmark *b);
/* template with the example's fields; *out owns. A field that the example lacks is E_INPUT; where: for the
 * message. */
Status wordings_fill(char **out, const char *template, const BenchmarkItem *it, const char *where);

#endif
