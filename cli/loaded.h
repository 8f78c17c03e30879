/* What a command that runs the base model holds: device, model, and at most one set of adapters, read from a
 * folder or made from a description. */
#ifndef T2L_CLI_LOADED_H
#define T2L_CLI_LOADED_H

#include "cli/cli.h"
#include "cli/t2l.h"
#include "data/vocabulary.h"
#include "model/llm.h"

typedef struct LoadedWant {
    const char *model;    /* view */
    const char *adapter;  /* view: a PEFT folder; NULL: none */
    const char *t2l;      /* view: a checkpoint; NULL: none */
    const char *describe; /* view: what its adapter shall do */
} LoadedWant;

/* The flags --model --adapter --t2l --describe as rows of an option table. */
#define LOADED_OPTIONS(want)                                                                   \
    {.name = "--model",                                                                        \
     .kind = OPTION_STRING,                                                                    \
     .out = &(want).model,                                                                     \
     .value = "M",                                                                             \
     .help = "directory, .gguf file or short name"},                                           \
        {.name = "--adapter",                                                                  \
         .kind = OPTION_STRING,                                                                \
         .out = &(want).adapter,                                                               \
         .value = "DIR",                                                                       \
         .help = "a LoRA adapter (PEFT folder)"},                                              \
        {.name = "--t2l",                                                                      \
         .kind = OPTION_STRING,                                                                \
         .out = &(want).t2l,                                                                   \
         .value = "CKPT",                                                                      \
         .help = "a trained Text-to-LoRA: run, checkpoint or link"},                           \
    {                                                                                          \
        .name = "--describe", .kind = OPTION_STRING, .out = &(want).describe, .value = "TEXT", \
        .help = "with --t2l: the task in words"                                                \
    }

typedef struct Loaded {
    Device dev;     /* owns */
    Llm llm;        /* owns */
    LoraSet loras;  /* views of lora_mem or of t2l */
    bool adapted;   /* loras holds adapter 0 */
    Arena lora_mem; /* owns */
    T2l t2l;        /* owns */
    bool has_t2l;
} Loaded;

/* In place: out must not move. On failure there is nothing to close. */
Status loaded_open(Loaded *out, const Cli *cli, const LoadedWant *want);
void loaded_close(Loaded *s);
/* A set of one adapter in memory of its own: mem owns what out points at. From a folder that fits the model;
 * from an Adapter. */
Status loaded_read_adapter(LoraSet *out, Arena *mem, const Llm *llm, const char *dir);
Status loaded_keep_adapter(LoraSet *out, Arena *mem, const Llm *llm, const Adapter *a);
/* A model's tokenizer and template alone. model: a directory, a .gguf file, or a short name in the cache. */
Status loaded_vocabulary(Vocabulary *out, const Cli *cli, const char *model);
/* The adapters for a call, NULL without. */
const LoraSet *loaded_loras(const Loaded *s);

#endif
