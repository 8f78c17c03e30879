/* From texts to embeddings: a text encoder, or the base LLM itself (model/llm_embed.h). */
#ifndef T2L_MODEL_EMBEDDER_H
#define T2L_MODEL_EMBEDDER_H

#include "model/encoder.h"
#include "model/llm_embed.h"

typedef struct Embedder {
    const Llm *llm;  /* view; NULL: the encoder */
    Encoder encoder; /* owns */
    Device cpu;      /* owns; the encoder's, where the caller's is not the CPU */
    bool own_cpu;
} Embedder;

/* llm NULL: the encoder in folder `encoder`, which runs on the CPU whatever dev is. On failure there is
 * nothing to close. e must not move. */
Status embedder_open(Embedder *e, Device *dev, const char *encoder, const Llm *llm);
void embedder_close(Embedder *e);
int64_t embedder_width(const Embedder *e);
/* out [n,E] overwritten. */
Status embedder_embed(Embedder *e, Device *dev, float *out, const char *const *texts, int64_t n);

#endif
