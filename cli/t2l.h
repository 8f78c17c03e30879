/* A trained Text-to-LoRA, ready to make adapters: its checkpoint's hypernetwork and the text encoder it was
 * trained with. */
#ifndef T2L_CLI_T2L_H
#define T2L_CLI_T2L_H

#include "model/encoder.h"
#include "train/ckpt.h"

typedef struct T2l {
    CkptInfo info;
    Hypernet hypernet; /* owns */
    Encoder encoder;   /* owns */
    Device *dev;       /* view */
    float *embeddings; /* owns [max_tasks,E] */
    bool has_hypernet, has_encoder;
} T2l;

/* ckpt: as in train/ckpt.h. max_tasks: adapters made in one call at most. */
Status t2l_open(T2l *out, Device *dev, const char *ckpt, const char *cache, int64_t max_tasks);
void t2l_close(T2l *t);
/* Adapters of n texts: views into t, valid until the next call. */
Status t2l_adapters(LoraSet *out, T2l *t, const char *const *texts, int64_t n);
/* The adapter of one text into a PEFT folder. */
Status t2l_write_adapter(T2l *t, const char *text, const char *dir);
/* out [n,E]; ctx is a T2l (eval/exact.h's exact_embed_fn). */
Status t2l_embed(void *ctx, float *out, const char *const *texts, int64_t n);
/* E_INPUT unless these adapters fit a model of this shape. */
Status t2l_check_shape(const T2l *t, const AdapterShape *shape, const char *model);

#endif
