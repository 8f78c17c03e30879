/* A model's tokenizer and chat template, without its weights. */
#ifndef T2L_DATA_VOCABULARY_H
#define T2L_DATA_VOCABULARY_H

#include "data/gguf.h"
#include "data/tokenizer.h"

typedef struct Vocabulary {
    Tokenizer *tokenizer; /* owns */
    char *jinja;          /* owns: the model's template program; NULL when it has none */
} Vocabulary;

/* path: a directory (tokenizer.json, perhaps chat_template.jinja or tokenizer_config.json, which gives way to
 * it) or a .gguf file. */
Status vocabulary_open(Vocabulary *out, const char *path);
/* The same from a file that is open. */
Status vocabulary_from_gguf(Vocabulary *out, const Gguf *g);
void vocabulary_close(Vocabulary *v);

#endif
