/* Inside the tokenizer: the tables a Tokenizer owns and the calls between its files. Not for other folders.
 *
 * Encoding is a pipe, as in the `tokenizers` library: text -> added tokens (tokenizer.c) -> normalizer
 * (tokenizer_wordpiece.c, tokenizer_sentence.c) -> pieces (tokenizer_split.c) -> ids (tokenizer_bpe.c,
 * tokenizer_wordpiece.c, tokenizer_sentence.c).
 * Everything a call needs besides the Tokenizer lives in its Encoding. */
#ifndef T2L_DATA_TOKENIZER_IMPL_H
#define T2L_DATA_TOKENIZER_IMPL_H

#include "data/tokenizer.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

enum {
    TOKENIZER_MAX_VOCAB = 1 << 21, /* chosen: eight times the largest vocabulary in use (256k) */
    TOKENIZER_MAX_STAGES = 8,      /* chosen: real files have at most 3 */
    TOKENIZER_MAX_TEXT = 1 << 26,  /* bytes a call, chosen: one word of that length takes 6 GB to merge */
    TOKENIZER_MAX_TOKEN = 1 << 16  /* bytes of a token's text, chosen */
};

/* Character classes, one bit each (tokenizer_unicode.c). */
enum {
    CLASS_LETTER = 1,
    CLASS_NUMBER = 2,
    CLASS_NUMERIC = 4,
    CLASS_SPACE = 8,
    CLASS_DROPPED = 16,
    CLASS_CHINESE = 32,
    CLASS_ACCENT = 64,
    CLASS_PUNCTUATION = 128
};

/* Bytes of many strings in one block; a Span points into it. */
typedef struct Pool {
    char *data; /* owns */
    size_t used, cap;
} Pool;
typedef struct Span {
    size_t at, n;
} Span;

typedef struct Code {
    uint32_t *at; /* owns */
    size_t n, cap;
} Code; /* code points */

/* Open addressing, linear probing, at most half full. A slot holds the hash's upper half and id + 1. */
typedef struct StrTable {
    uint64_t *slots; /* owns */
    size_t mask;     /* slots - 1, a power of two less one */
} StrTable;

typedef struct Merge {
    int32_t left, right; /* left < 0: free */
    int32_t rank, id;
} Merge;
typedef struct MergeTable {
    Merge *slots; /* owns */
    size_t mask;
} MergeTable;

typedef enum TokenFlag {
    TOKEN_PRESENT = 1,
    TOKEN_MODEL = 2, /* in the model's vocabulary: BPE or WordPiece may produce it */
    TOKEN_SPECIAL = 4,
    TOKEN_ADDED = 8
} TokenFlag;

typedef struct AddedToken {
    Span text; /* in the pool; normalized where it says so */
    int32_t id;
    bool special, normalized, single_word, lstrip, rstrip;
} AddedToken;
/* Sorted by text: at a position the candidates are a range that narrows byte by byte. */
typedef struct AddedSet {
    AddedToken *at; /* owns */
    size_t n;
    uint32_t first[257]; /* at[first[b]] is the first whose text begins with byte b */
} AddedSet;

typedef enum StageKind {
    STAGE_DIGITS,     /* every numeric character alone */
    STAGE_DIGIT_RUNS, /* runs of numeric characters */
    STAGE_GPT2,       /* ByteLevel's own regex */
    STAGE_REGEX,      /* Split */
    STAGE_BERT        /* BertPreTokenizer */
} StageKind;
typedef struct Stage {
    StageKind kind;
    bool keep_matches, keep_gaps; /* regex */
    pcre2_code *regex;            /* owns */
} Stage;

typedef enum TokenizerModel {
    MODEL_BPE, /* byte-level */
    MODEL_WORDPIECE,
    MODEL_SENTENCE /* BPE on characters */
} TokenizerModel;

/* A normalizer: Replace, or Prepend where `from` is empty. Texts in the pool. */
typedef struct Rewrite {
    Span from, to;
} Rewrite;

typedef enum Metaspace {
    METASPACE_NONE, /* no such pre-tokenizer */
    METASPACE_NEVER,
    METASPACE_FIRST,
    METASPACE_ALWAYS
} Metaspace;

struct Tokenizer {
    TokenizerModel model;
    int64_t vocab;  /* largest id + 1 */
    Pool pool;      /* owns all token texts */
    Span *content;  /* owns [vocab], as written in the file */
    Span *bytes;    /* owns [vocab], what the token stands for */
    uint8_t *flags; /* owns [vocab], TokenFlag */
    StrTable by_content;
    uint8_t *classes; /* owns [0x110000] */

    AddedSet raw, normalized; /* own */
    int n_stages;
    Stage stages[TOKENIZER_MAX_STAGES];

    /* BPE */
    StrTable by_bytes; /* pieces that are one token: looked up before merging */
    MergeTable merges;
    int32_t byte_id[256]; /* of a byte, or of its fallback token; -1: not in the vocabulary */
    bool fuse_unk, ignore_merges;

    /* BPE on characters */
    int n_rewrites;
    Rewrite rewrites[TOKENIZER_MAX_STAGES];
    Metaspace metaspace;
    bool metaspace_split, byte_fallback;
    bool cut_words;    /* pieces may be cut before U+2581 without changing an id */
    bool decode_bytes; /* the decoder's ByteFallback */
    int strip;         /* spaces that the decoder takes from the front */

    /* WordPiece and BertNormalizer */
    bool bert_normalizer, clean_text, chinese, strip_accents, lowercase, cleanup;
    int64_t max_word;   /* characters; a longer word is unk */
    size_t longest;     /* bytes of the longest token of the model */
    char *continuation; /* owns, "##" */
    size_t n_continuation;

    int32_t unk; /* -1: none */
    TokenizerMarkers markers;
};

/* One call's working memory. */
typedef struct Encoding {
    const Tokenizer *t;
    TokenBuf *out;
    bool parse_special;
    bool at_start;                                 /* the stretch at hand begins where the text does */
    pcre2_match_data *match[TOKENIZER_MAX_STAGES]; /* own, made when needed */
    pcre2_match_context *limits;                   /* owns */
    Code code;                                     /* the normalizer's */
    Pool normal, other; /* own: normalized text of the segment at hand; what it is made from or goes into */
    void *merge_work;   /* owns: BPE of long pieces */
    size_t merge_cap;
} Encoding;

/* tokenizer_unicode.c */
uint8_t *tokenizer_classes(void);                            /* owns [0x110000]; NULL without memory */
bool tokenizer_is_word_char(const Tokenizer *t, uint32_t c); /* \w of Rust's regex */
size_t tokenizer_invalid_utf8(const char *s, size_t n);      /* offset of the first ill-formed byte, or n */
Status tokenizer_lossy_utf8(char **out, size_t *out_n, const char *s, size_t n); /* owns, NUL-terminated */
uint32_t tokenizer_read_utf8(const char *s, size_t *i);                          /* s is valid; advances i */
uint32_t tokenizer_read_utf8_back(const char *s, size_t *i);
size_t tokenizer_write_utf8(char out[4], uint32_t c);
int tokenizer_alphabet_byte(uint32_t c); /* byte of a byte-level alphabet character, or -1 */

/* tokenizer_tables.c */
Status tokenizer_pool_add(Span *out, Pool *p, const char *s, size_t n);
Status tokenizer_pool_grow(Pool *p, size_t n); /* room for n more */
Status tokenizer_code_push(Code *c, uint32_t x);
Status tokenizer_table_init(StrTable *t, size_t n);
void tokenizer_table_put(StrTable *t, const Pool *p, const Span *spans, int32_t id); /* last one wins */
int32_t tokenizer_table_find(const StrTable *t, const Pool *p, const Span *spans, const char *s, size_t n);
/* The hash, byte by byte, for callers that look up growing prefixes; find with a two-part key. */
#define TOKENIZER_HASH_START 14695981039346656037ull /* FNV-1a, 64 bits */
static inline uint64_t tokenizer_hash(uint64_t h, const char *s, size_t n) {
    for (size_t i = 0; i < n; i++) h = (h ^ (uint8_t)s[i]) * 1099511628211ull;
    return h;
}
int32_t tokenizer_table_find2(const StrTable *t, const Pool *p, const Span *spans, uint64_t hash,
                              const char *a, size_t na, const char *b, size_t nb);

/* tokenizer_split.c: [text, text+n) through the stages from `stage`, each piece to the model. */
Status tokenizer_split(Encoding *e, int stage, const char *text, size_t n);
/* Adds a Split stage. literal: pattern is text, not a regex. */
Status tokenizer_compile_stage(Tokenizer *t, const char *pattern, bool literal, bool keep_matches,
                               bool keep_gaps, const char *where);

/* tokenizer_bpe.c */
Status tokenizer_bpe_encode(Encoding *e, const char *piece, size_t n);
Status tokenizer_merges_init(MergeTable *t, size_t n);
void tokenizer_merges_put(MergeTable *t, Merge m); /* the last of equals wins */
/* byte_id and by_bytes, once vocabulary and merges are there. */
Status tokenizer_bpe_finish(Tokenizer *t);

/* tokenizer_wordpiece.c */
Status tokenizer_wordpiece_encode(Encoding *e, const char *word, size_t n);
/* BertNormalizer: e->normal = normalized text. */
Status tokenizer_bert_normalize(Encoding *e, const char *text, size_t n);

/* tokenizer_sentence.c */
/* The rewrites: e->normal = normalized text. */
Status tokenizer_sentence_normalize(Encoding *e, const char *text, size_t n);
Status tokenizer_metaspace_encode(Encoding *e, const char *text, size_t n); /* Metaspace, and its pieces */
Status tokenizer_sentence_encode(Encoding *e, const char *piece, size_t n);
/* The ids a piece starts from; at most n. */
size_t tokenizer_sentence_symbols(const Tokenizer *t, int32_t *ids, const char *piece, size_t n);
/* bytes[id] from a token's text: its byte, or the text with spaces. */
Status tokenizer_sentence_bytes(Tokenizer *t, int32_t id, Span text);
/* bytes, byte_id and cut_words, once vocabulary, merges and decoder are there. */
Status tokenizer_sentence_finish(Tokenizer *t);
Status tokenizer_sentence_decode(const Tokenizer *t, Pool *text, const int32_t *ids, size_t n,
                                 bool skip_special);

/* tokenizer.c */
void tokenizer_encoding_free(Encoding *e);
/* The tokenizer's normalizer, of any kind: e->normal = normalized text. */
Status tokenizer_normalize(Encoding *e, const char *text, size_t n);
Status tokenizer_added_sort(AddedSet *s, const Pool *p);

#endif
