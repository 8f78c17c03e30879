/* From tasks to packed training batches. Which examples make up batch number n is a pure function of (seed,
 * n), so resuming is starting at another n. Tasks are shuffled once an epoch and walked batch_tasks at a
 * time, the short rest is dropped; each gives one training example and one training description, both drawn
 * uniformly (method.md section 6). With `walk` the examples of a single task are shuffled and walked instead.
 *
 * Prompt and response are tokenized apart, each truncated on the left to max_tokens. The prompt is one user
 * turn without a system turn; prompt "input": the input alone; "instruction": the drawn description, a blank
 * line, the input; "mixed": a fair draw between the two; "natural": the definition with the reference's
 * request for a bare answer behind it, a blank line, the input. A share `swap` of the prompts with an
 * instruction goes with the description of any task for the adapter: where the two disagree, the instruction
 * is right. Loss on the response and its end-of-turn token; the last token is not fed. */
#ifndef T2L_TRAIN_BATCH_H
#define T2L_TRAIN_BATCH_H

#include "data/tasks.h"
#include "model/llm.h"

typedef enum PromptKind { PROMPT_INPUT, PROMPT_INSTRUCTION, PROMPT_MIXED, PROMPT_NATURAL } PromptKind;

typedef struct BatchOpts {
    int64_t batch_tasks; /* sequences a batch */
    int64_t max_tokens;  /* of prompt and of response, each */
    PromptKind prompt;
    double swap;       /* share of the prompts with an instruction that go with any task's adapter */
    bool equal_weight; /* every example weighs the same; false: every token */
    bool walk;         /* one task's examples, fewer than batch_tasks where it has fewer */
    uint64_t seed;
} BatchOpts;

typedef struct BatchSource {
    const Llm *llm;    /* view: tokenizer and template */
    const Task *tasks; /* view */
    int64_t n_tasks;
    BatchOpts opts;
    int64_t *first_description; /* owns [n_tasks + 1]: row of a task's first description in the embedding
                                   table; then their number */
    int64_t *order;             /* owns: the epoch's order of tasks, or of examples */
    int64_t n_order;
    int64_t epoch; /* of `order`; -1: none */
} BatchSource;

/* One sequence to pack. */
typedef struct BatchItem {
    const TaskExample *example; /* view */
    const char *instruction;    /* view; NULL: the input alone */
    int64_t embedding;
    int32_t adapter;
} BatchItem;

/* One packed batch. */
typedef struct Batch {
    LlmBatch llm;       /* arrays owned by mem */
    int64_t *embedding; /* [B]: row of the embedding table */
    int64_t max_seqs;
    BatchItem *items; /* [max_seqs]: for whoever draws them */
    Arena mem;        /* owns */
} Batch;

/* batch_tasks more than n_tasks: refused, unless walking. */
Status batch_source_init(BatchSource *s, const Llm *llm, const Task *tasks, int64_t n_tasks, BatchOpts opts);
void batch_source_free(BatchSource *s);
PromptKind batch_prompt_kind(const char *name);
/* Batches until every task, or example, was there once. */
int64_t batch_epoch(const BatchSource *s);
/* Descriptions of all used tasks, in the order of the embedding table. *out owns the array, its strings are
 * views. */
Status batch_descriptions(const char ***out, int64_t *n, const BatchSource *s);

/* Room for batch_tasks sequences of up to 2*max_tokens. */
Status batch_init(Batch *b, const BatchSource *s);
void batch_free(Batch *b);
/* Batch number `number`; adapter[b] == b, or 0 when walking. */
Status batch_next(Batch *b, BatchSource *s, int64_t number);
/* Chosen sequences, at most max_seqs. */
Status batch_pack(Batch *b, const BatchSource *s, const BatchItem *items, int64_t n);

#endif
