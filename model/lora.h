/* A batch of adapters as the LLM uses them: for each target module a view of A and of B^T, one (adapter,
 * layer) after another, wherever they were made: the hypernetwork's output, or an adapter file. Nothing is
 * copied. */
#ifndef T2L_MODEL_LORA_H
#define T2L_MODEL_LORA_H

#include "data/adapter.h"
#include "kernels/lora/lora.h"

typedef struct LoraSet {
    Device *dev; /* borrows: whose memory the views are in; NULL: the host's */
    int64_t n_adapters, n_layers, rank;
    float scale;   /* alpha / sqrt(r), or what the adapter's file says */
    float dropout; /* on the LoRA input, in training */
    bool on[LORA_MODULES];
    LoraView w[LORA_MODULES]; /* item (t, l) is number t*n_layers + l; view */
    LoraView g[LORA_MODULES]; /* gradients, same layout as w; a == NULL when not training; view */
} LoraSet;

/* The adapters of one layer: item t of the result is adapter t. */
LoraView lora_layer(LoraView v, int64_t layer, int64_t n_layers);
/* Mean of A^2 plus mean of B^2, summed over modules (method.md 6), times weight: *penalty; its gradient is
 * added to g where g is present. Sums in double, in a fixed order. */
Status lora_penalty(Device *dev, double *penalty, const LoraSet *set, const int64_t *in, const int64_t *out,
                    double weight);
/* Views over adapters read from files (n of them, same shapes); copies into arena, the host's or a device's,
 * with B transposed. */
Status lora_from_adapters(LoraSet *out, Arena *arena, const Adapter *const *adapters, int64_t n);
/* Copies an adapter of the set's shapes and rank to place t of it. */
Status lora_put_adapter(const LoraSet *set, int64_t t, const Adapter *a);
/* Copies adapter t out of a set into a PEFT-shaped Adapter (owns). */
Status lora_to_adapter(Adapter *out, const LoraSet *set, int64_t t, const int64_t *in, const int64_t *out_dim,
                       double alpha);

#endif
