/* A hypernetwork in a checkpoint: hypernet.safetensors (parameters and buffers; the metadata says all that is
 * needed to rebuild it and whom it was trained for; its output stage, if it has one: output.scale [1],
 * output.each.<module>.A|Bt, output.shift.<module>.A|Bt) and optimizer.safetensors (both Adam moments).
 * state.json beside them (train/state.h) holds their SHA-256. A CKPT argument is such a folder, a link to
 * one, or a run folder (then: best). */
#ifndef T2L_TRAIN_CKPT_H
#define T2L_TRAIN_CKPT_H

#include "model/hypernet.h"

typedef struct CkptInfo {
    HypernetConfig hypernet;
    char *model, *encoder; /* owns: as given in the configuration */
    char *prompt;          /* owns: data.prompt it was trained with */
    char *embedding;       /* owns: data.embedding likewise: encoder, llm or onehot */
    char **tasks; /* owns; onehot: the tasks' names by number, as many as hypernet.embed; else NULL */
    double lora_alpha;
    int64_t step; /* optimizer steps done */
} CkptInfo;

/* Writes hypernet.safetensors and, when training, optimizer.safetensors into dir. */
Status ckpt_write(const char *dir, const Hypernet *hn, const CkptInfo *info);
/* Reads what a checkpoint is, without its parameters. */
Status ckpt_info(CkptInfo *out, const char *ckpt);
/* Parameters and buffers into a hypernetwork of the same configuration; optimizer moments too when hn has
 * them. Every file is checked against state.json. */
Status ckpt_load(Hypernet *hn, const char *ckpt);
void ckpt_info_free(CkptInfo *info);

#endif
