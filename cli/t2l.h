/* A trained Text-to-LoRA, ready to make adapters: its checkpoint's hypernetwork and what it was trained to
 * embed texts with: a text encoder, or its base model. One that was trained with data.embedding=onehot reads
 * no descriptions: where others take a text it takes the name of a task it was trained on, or its number,
 * from 0. */
#ifndef T2L_CLI_T2L_H
#define T2L_CLI_T2L_H

#include "cli/cli.h"
#include "model/embedder.h"
#include "train/ckpt.h"

typedef struct T2l {
    CkptInfo info;
    Hypernet hypernet; /* owns */
    Embedder embedder; /* owns */
    Llm llm;           /* owns: the base model, where it embeds and is not lent */
    Device *dev;       /* view */
    float *embeddings; /* owns [max_tasks,E] */
    bool has_hypernet, has_embedder, has_llm;
} T2l;

/* ckpt: as in train/ckpt.h. max_tasks: adapters made in one call at most. llm: a model that is loaded anyway,
 * by the name `model`, lent where it is the one that embeds; NULL: none. In place: out must not move. */
Status t2l_open(T2l *out, Device *dev, const Cli *cli, const char *ckpt, int64_t max_tasks, const Llm *llm,
                const char *model);
bool t2l_is_onehot(const T2l *t);
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
