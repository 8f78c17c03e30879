#include "train/valid.h"

#include <math.h>

void valid_bind(Valid *v, Arena *mem, int64_t max_rows) {
    v->nll = arena_f32(mem, max_rows);
    v->row_entropy = arena_f32(mem, max_rows);
    v->row_loss = arena_f32(mem, max_rows);
    v->argmax = arena_i32(mem, max_rows);
}

void valid_begin(Valid *v) {
    v->loss = v->entropy = 0;
    v->correct = v->rows = 0;
}

Status valid_add(Valid *v, const Llm *llm, Device *dev, LlmActs *acts, const LlmBatch *b,
                 const LoraSet *loras) {
    double unused;
    TRY(llm_forward(llm, dev, acts, b, loras, (LlmRun){.train = false}));
    CrossEntropyOut out = {v->nll, v->row_loss, v->row_entropy, v->argmax};
    TRY(llm_loss(&unused, llm, dev, acts, b, out, 0.0f));
    for (int64_t i = 0; i < b->n_rows; i++) {
        v->loss += (double)v->nll[i];
        v->entropy += (double)v->row_entropy[i];
        v->correct += v->argmax[i] == b->label[i];
    }
    v->rows += b->n_rows;
    return OK;
}

RunSet valid_end(const Valid *v, const char *name) {
    double n = (double)v->rows;
    return (RunSet){
        name, v->loss / n, 2, {{"accuracy", (double)v->correct / n}, {"entropy", v->entropy / n}}};
}

int64_t valid_examples(const Task *t, int64_t limit) {
    return limit > 0 && limit < t->n_valid ? limit : t->n_valid;
}
