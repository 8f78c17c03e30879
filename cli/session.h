/* What a command that runs the base model holds: device, model, and at most one set of adapters, read from a
 * folder or made from a description. */
#ifndef T2L_CLI_SESSION_H
#define T2L_CLI_SESSION_H

#include "cli/cli.h"
#include "model/llm.h"

typedef struct SessionWant {
    const char *model;    /* view */
    const char *adapter;  /* view: a PEFT folder; NULL: none */
    const char *t2l;      /* view: a checkpoint; NULL: none */
    const char *describe; /* view: what its adapter shall do */
} SessionWant;

/* The flags --model --adapter --t2l --describe as rows of an option table. */
#define SESSION_OPTIONS(want)                                                                  \
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

typedef struct Session {
    Device dev; /* owns */
    Llm llm;    /* owns */
    LoraSet loras;
    bool adapted;   /* loras holds adapter 0 */
    Arena lora_mem; /* owns what loras points at */
} Session;

/* out owns; on failure there is nothing to close. */
Status session_open(Session *out, const Cli *cli, const SessionWant *want);
void session_close(Session *s);
/* The adapters for a call, NULL without. */
const LoraSet *session_loras(const Session *s);

#endif
