/* A model's tokenizer and chat template without its weights, for the commands that need only those. */
#ifndef T2L_CLI_VOCABULARY_H
#define T2L_CLI_VOCABULARY_H

#include "data/template.h"
#include "data/tokenizer.h"

typedef struct Vocabulary {
    Tokenizer *tokenizer; /* owns */
    char *jinja;          /* owns: the model's template program; NULL when it has none */
    char *path;           /* owns: the directory or .gguf file */
} Vocabulary;

/* model: a directory, a .gguf file, or a short name in the cache. */
Status vocabulary_open(Vocabulary *out, const char *model, const char *cache);
void vocabulary_close(Vocabulary *v);

#endif
