/* From tasks to packed training batches. Which examples make up step s is a pure function of (seed, s): tasks
 * are shuffled once an epoch and walked batch_tasks at a time, the short rest is dropped; each gives one
 * training example and one training description, both drawn uniformly (method.md section 6). Resuming is
 * starting at another s.
 *
 * Prompt and response are tokenized apart, each truncated on the left to max_tokens. The prompt is one user
 * turn without a system turn; prompt "input": the input alone; "instruction": the drawn description, a blank
 * line, the input; "mixed": a fair draw between the two. A share `swap` of the prompts with an instruction
 * goes with the description of any task for the adapter: where the two disagree, the instruction is right.
 * Loss on the response and its end-of-turn token; the last token is not fed. */
#ifndef T2L_TRAIN_BATCH_H
#define T2L_TRAIN_BATCH_H

#include "data/tasks.h"
#include "model/llm.h"

typedef enum PromptKind { PROMPT_INPUT, PROMPT_INSTRUCTION, PROMPT_MIXED } PromptKind;

typedef struct BatchSource {
    const Llm *llm;       /* view: tokenizer and template */
    const TaskSet *tasks; /* view */
    int64_t n_tasks;      /* the first n_tasks of the set are used */
    int64_t batch_tasks;  /* sequences a batch; more than n_tasks: several epochs' worth are refused */
    int64_t max_tokens;   /* of prompt and of response, each */
    PromptKind prompt;
    double swap;       /* share of the prompts with an instruction that go with any task's adapter */
    bool equal_weight; /* every example weighs the same; false: every token */
    uint64_t seed;
    int64_t *first_description; /* owns [n_tasks + 1]: row of a task's first description in the embedding
                                   table; then their number */
    int64_t *order;             /* owns: the epoch's order of tasks */
    int64_t epoch;              /* of `order`; -1: none */
} BatchSource;

/* One step's batch. adapter[b] == b: every sequence has its own. */
typedef struct Batch {
    LlmBatch llm;       /* arrays owned by mem */
    int64_t *embedding; /* [B]: row of the embedding table */
    Arena mem;          /* owns */
} Batch;

Status batch_source_init(BatchSource *s, const Llm *llm, const TaskSet *tasks, int64_t n_tasks,
                         int64_t batch_tasks, int64_t max_tokens, PromptKind prompt, double swap,
                         bool equal_weight, uint64_t seed);
void batch_source_free(BatchSource *s);
/* Descriptions of all used tasks, in the order of the embedding table. *out owns the array, its strings are
 * views. */
Status batch_descriptions(const char ***out, int64_t *n, const BatchSource *s);

/* Room for batch_tasks sequences of up to 2*max_tokens. */
Status batch_init(Batch *b, const BatchSource *s);
void batch_free(Batch *b);
Status batch_next(Batch *b, BatchSource *s, int64_t step);

#endif
