/* Exact-match evaluation of tasks, side by side in several arms: the base model, the base with the
 * instruction in its prompt, adapters made from descriptions, from random text, from another task's
 * description, or given ones. Greedy decoding.
 *
 * Items: the first `examples` of a task's TEST split. Prompt: one user turn and no system turn (the chat
 * template's generation prompt behind it); the turn is the input alone, or instruction "\n\n" input when the
 * arm is prompted. Item i of a task uses description i mod D of its D evaluation descriptions: the unseen
 * ones, for a held-out task then the others too (a task without unseen ones: its descriptions). The same text
 * makes the adapter and is shown as the instruction.
 * A prediction is correct when, with white space stripped from both ends, it equals one of the example's
 * outputs, or all of them joined.
 * Adapters are made in groups of hypernet->max_tasks; items of all tasks and arms are decoded together. */
#ifndef T2L_EVAL_EXACT_H
#define T2L_EVAL_EXACT_H

#include "data/tasks.h"
#include "eval/generate.h"
#include "model/hypernet.h"

#include <stdio.h>

/* out [n,E]: embeddings of n texts. */
typedef Status exact_embed_fn(void *ctx, float *out, const char *const *texts, int64_t n);

typedef enum ExactSource {
    EXACT_BASE,      /* no adapter */
    EXACT_DESCRIBED, /* from the item's own description */
    EXACT_RANDOM,    /* from one of exact_random_texts(), in turn */
    EXACT_OTHER,     /* from a description of a task of another family */
    EXACT_GIVEN      /* adapter number `adapter` of `loras` */
} ExactSource;

typedef struct ExactArm {
    const char *name;  /* view; key in files: "t2l_prompted" */
    const char *title; /* view; in tables: "T2L + instruction" */
    ExactSource source;
    bool prompted;
    const LoraSet *loras; /* view; EXACT_GIVEN only */
    int32_t adapter;
} ExactArm;

enum { EXACT_DEMO_ARMS = 6, EXACT_MAX_ARMS = 32 };
/* base, prompted, t2l, t2l_prompted, random, other (view). */
const ExactArm *exact_demo_arms(void);
/* NULL-terminated (view). */
const char *const *exact_random_texts(void);

/* Tasks that are evaluated in one way. */
typedef struct ExactSet {
    const Task *tasks; /* view */
    int64_t n_tasks;
    bool heldout;         /* never trained: every description is unseen */
    int64_t examples;     /* of each task; 0: the whole test split */
    int64_t descriptions; /* D at most; 0: all */
} ExactSet;

typedef struct ExactModel {
    const Llm *llm;        /* view */
    Device *dev;           /* view */
    Hypernet *hypernet;    /* view; NULL when no arm makes adapters */
    exact_embed_fn *embed; /* NULL likewise */
    void *embed_ctx;       /* view */
} ExactModel;

typedef struct ExactOpts {
    const ExactArm *arms; /* view */
    int n_arms;
    int64_t max_new_tokens; /* 0: 64 */
    int64_t slots;          /* of the generation engine; 0: its default */
    bool whole_outputs;     /* also ROUGE; otherwise decoding ends as soon as no output can match any more */
    bool natural;           /* every arm's turn is tasks_natural_turn() */
    bool quiet;
    FILE *items;              /* view; items.jsonl goes there, by task, index, arm; may be NULL */
    const volatile int *stop; /* view; non-zero: E_INTERRUPTED; may be NULL */
} ExactOpts;

typedef struct ExactCount {
    int64_t n, correct;
    double rouge1, rouge_l; /* sums of F1, each the best over the example's outputs and all of them joined */
} ExactCount;

typedef struct ExactRow {
    const Task *task;   /* view */
    const char *family; /* view: first category, else kind, else "" */
    bool heldout;
    ExactCount *by; /* [n_arms], view into the report */
} ExactRow;

/* Over tasks; fractions. */
typedef struct ExactMean {
    double mean, error; /* error: standard error over tasks, 0 for one task */
    int64_t n_tasks;
} ExactMean;

typedef struct ExactReport {
    const ExactArm *arms; /* view */
    int n_arms;
    ExactRow *rows; /* owns; sets in order, tasks in order */
    int64_t n_rows;
    ExactCount *counts; /* owns */
    ExactMean seen[EXACT_MAX_ARMS], heldout[EXACT_MAX_ARMS];
    bool rouge; /* the counts have it */
    int64_t n_items, prompt_tokens, new_tokens, n_adapters;
    double seconds, prefill_seconds, adapter_seconds;
} ExactReport;

/* sets and their tasks, and arms, must outlive the report. out owns; free with exact_free; empty after
 * a failure. */
Status exact_run(ExactReport *out, const ExactModel *model, const ExactSet *sets, int n_sets, ExactOpts opts);
void exact_free(ExactReport *r);
/* What the row's mean is taken with: a seen task's family, a held-out task's kind (view). */
const char *exact_group(const ExactRow *row);
/* Mean over the rows that are held out (or not), of one group if group is not NULL. */
ExactMean exact_mean(const ExactReport *r, int arm, bool heldout, const char *group);
/* White space stripped, equal to an output or to all of them joined. */
bool exact_match(const char *pred, size_t n, const TaskExample *example);

#endif
