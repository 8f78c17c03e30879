/* Filling a Tokenizer, shared by its two loaders (tokenizer_json.c, tokenizer_vocab.c). Steps in order:
 * tokens of the model, merges, added tokens, tokenizer_build_finish. Not for other folders. */
#ifndef T2L_DATA_TOKENIZER_BUILD_H
#define T2L_DATA_TOKENIZER_BUILD_H

#include "data/tokenizer_impl.h"

/* An empty Tokenizer for ids [0, vocab) (checked against the limit), with the character classes. */
Status tokenizer_build_new(Tokenizer **out, int64_t vocab, const char *where);
/* Registers a token. Not UTF-8, an id in use, or a text in use (unless in `flags` it is the same token marked
 * again) is E_INPUT. */
Status tokenizer_build_token(Tokenizer *t, int32_t id, const char *text, size_t n, uint8_t flags,
                             const char *where);
/* Merge number `rank`: two tokens of the vocabulary whose concatenation is one, too. */
Status tokenizer_build_merge(Tokenizer *t, int64_t rank, const char *left, size_t n_left, const char *right,
                             size_t n_right, const char *where);
/* "left right" with exactly one space. */
Status tokenizer_build_merge_line(Tokenizer *t, int64_t rank, const char *line, size_t n, const char *where);
/* Adds to the set of added tokens; text is that of token id. */
Status tokenizer_build_added(Tokenizer *t, AddedToken a, const char *where);
Status tokenizer_build_stage(Tokenizer *t, StageKind kind, const char *where);
/* The bytes every token stands for, look-up tables, roles by name. */
Status tokenizer_build_finish(Tokenizer *t, const char *where);

#endif
