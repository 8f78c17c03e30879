/* Validation: sums over the response tokens of packed batches, without dropout or noise. */
#ifndef T2L_TRAIN_VALID_H
#define T2L_TRAIN_VALID_H

#include "train/batch.h"
#include "train/run.h"

typedef struct Valid {
    double loss, entropy; /* sums of -log p of the label, and of the entropy */
    int64_t correct, rows;
    float *nll, *row_entropy, *row_loss; /* [max_rows], view */
    int32_t *argmax;                     /* [max_rows], view */
} Valid;

/* The buffers; called again after arena_commit. */
void valid_bind(Valid *v, Arena *mem, int64_t max_rows);
void valid_begin(Valid *v);
Status valid_add(Valid *v, const Llm *llm, Device *dev, LlmActs *acts, const LlmBatch *b,
                 const LoraSet *loras);
/* Means over the rows: loss, accuracy, entropy. */
RunSet valid_end(const Valid *v, const char *name);
/* How many of a task's validation examples are used; limit 0: all. */
int64_t valid_examples(const Task *t, int64_t limit);

#endif
