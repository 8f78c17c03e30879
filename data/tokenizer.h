/* Text to token ids and back, exactly as the Hugging Face `tokenizers` library does it (tests/golden),
 * without its post-processor: no token is ever added at either end. Three families: byte-level BPE (GPT-2,
 * SmolLM2, Llama-3), BPE on characters with byte fallback (Llama-2, Mistral, Gemma) and BERT WordPiece. A
 * Tokenizer is immutable after loading: any number of threads may share one.
 *
 * Text is bytes and may contain NULs. Bytes that are not UTF-8 are read as U+FFFD, one for each maximal
 * ill-formed part (Unicode 15, section 3.9), before anything else; so is the output of decode. */
#ifndef T2L_DATA_TOKENIZER_H
#define T2L_DATA_TOKENIZER_H

#include "base/status.h"
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct Tokenizer Tokenizer;

/* A GGUF's tokenizer.ggml.* arrays. All pointers are views: the loader copies what it keeps. */
typedef struct TokenizerVocab {
    const char *model; /* tokenizer.ggml.model: "gpt2" (byte-level BPE), "llama" (on characters) */
    const char *pre;   /* tokenizer.ggml.pre: "smollm", "gpt-2", "llama-bpe", ... */
    int64_t n;
    const char *const *tokens; /* [n] gpt2: in the byte-level alphabet; not NUL-terminated */
    const size_t *token_lens;  /* [n] */
    const int32_t *types; /* [n] 1 normal 2 unknown 3 control 4 user-defined 5 unused 6 byte; NULL: all 1 */
    int64_t n_merges;
    const char *const *merges;  /* [n_merges] "left right" */
    const size_t *merge_lens;   /* [n_merges] */
    int64_t bos, eos, unk, pad; /* ids; -1: none */
    bool add_bos;               /* its own software puts bos in front of every text */
    const float *scores;        /* [n] llama: the pair whose token has the highest merges first; no NaN */
    bool space_prefix;          /* llama: a stretch of text begins with a space */
} TokenizerVocab;

/* Ids of the tokens with a role; -1 where the model has none. tokenizer.json names no bos and eos
 * (config.json does): there they are -1. cls, sep, mask, pad are looked up by BERT's names "[CLS]", ... */
typedef struct TokenizerMarkers {
    int32_t bos, eos, unk, pad, cls, sep, mask;
    int32_t first; /* what its own software puts in front of every text; nothing here does */
} TokenizerMarkers;

/* A growing list of ids; start from {0}. */
typedef struct TokenBuf {
    int32_t *ids; /* owns */
    size_t n, cap;
} TokenBuf;

typedef struct TokenizerOpts {
    bool parse_special; /* recognise special tokens ("<|im_end|>") in the text; false: they are plain text */
} TokenizerOpts;

typedef struct TokenizerDecodeOpts {
    bool skip_special; /* leave special tokens out of the text */
} TokenizerDecodeOpts;

/* *out owns; free with tokenizer_free. Truncation, padding and post-processor of the file are ignored. */
Status tokenizer_load_json(Tokenizer **out, const char *tokenizer_json_path);
/* The same from memory. where: for messages. */
Status tokenizer_parse_json(Tokenizer **out, const char *json, size_t n, const char *where);
Status tokenizer_from_vocab(Tokenizer **out, const TokenizerVocab *v, const char *where);
void tokenizer_free(Tokenizer *t); /* NULL is fine */

/* Appends the ids of text[0..n) to out. On failure out keeps what it had. */
Status tokenizer_encode(const Tokenizer *t, TokenBuf *out, const char *text, size_t n, TokenizerOpts opts);
/* *out owns the text (NUL-terminated, *out_n bytes without the NUL). An id outside the vocabulary is E_INPUT.
 */
Status tokenizer_decode(const Tokenizer *t, char **out, size_t *out_n, const int32_t *ids, size_t n,
                        TokenizerDecodeOpts opts);
/* The bytes one token stands for (view; *n bytes, perhaps part of a UTF-8 sequence; 0 for an unknown id).
 * Streaming: append them to a pending buffer, print its first tokenizer_complete_utf8() bytes, keep the rest.
 */
const char *tokenizer_token_bytes(const Tokenizer *t, size_t *n, int32_t id);
/* How many leading bytes do not end in an unfinished UTF-8 sequence: n, or up to 3 less. */
size_t tokenizer_complete_utf8(const char *bytes, size_t n);

int64_t tokenizer_vocab_size(const Tokenizer *t);              /* largest id + 1 */
int32_t tokenizer_id(const Tokenizer *t, const char *content); /* as written in the vocabulary; -1: none */
bool tokenizer_is_special(const Tokenizer *t, int32_t id);     /* control token: never part of an answer */
TokenizerMarkers tokenizer_markers(const Tokenizer *t);

/* Appends one id. */
Status tokenizer_buf_push(TokenBuf *b, int32_t id);
void tokenizer_buf_free(TokenBuf *b); /* and empties it */

#ifdef __cplusplus
}
#endif
#endif
