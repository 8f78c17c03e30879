/* The tokenizer that a GGUF file carries, handed to data/tokenizer as its vocabulary. */
#include "data/gguf.h"

#include <stdlib.h>
#include <string.h>

typedef struct Strings { /* one string array, as parallel pointers and lengths */
    const char **s;      /* owns */
    size_t *n;           /* owns */
    int64_t count;
} Strings;

static Status get_strings(Strings *out, const Gguf *g, const char *key) {
    GgufString *items;
    TRY(gguf_get_strings(&items, &out->count, g, key));
    out->s = malloc(((size_t)out->count + 1) * sizeof *out->s);
    out->n = malloc(((size_t)out->count + 1) * sizeof *out->n);
    bool room = out->s && out->n;
    for (int64_t i = 0; room && i < out->count; i++) {
        out->s[i] = items[i].s;
        out->n[i] = items[i].n;
    }
    free(items);
    return room ? OK : status_error(E_ENV, "%s: out of memory", g->path);
}

/* The string of a key as a C string (owns); `absent` when there is none. */
static Status get_text(char **out, const Gguf *g, const char *key, const char *absent) {
    GgufString s = {absent, absent ? strlen(absent) : 0};
    if (!absent || gguf_find(g, key)) TRY(gguf_get_string(&s, g, key));
    *out = strndup(s.s, s.n);
    return *out ? OK : status_error(E_ENV, "%s: out of memory", g->path);
}

static Status get_types(int32_t **out, const Gguf *g, int64_t n_tokens) {
    static const char key[] = "tokenizer.ggml.token_type";
    int64_t n;
    if (!gguf_find(g, key)) return OK;
    TRY(gguf_get_ints(out, &n, g, key));
    if (n == n_tokens) return OK;
    return status_error(E_INPUT, "%s: key '%s': %lld items for %lld tokens", g->path, key, (long long)n,
                        (long long)n_tokens);
}

static Status get_scores(float **out, const Gguf *g, int64_t n_tokens) {
    static const char key[] = "tokenizer.ggml.scores";
    int64_t n;
    if (!gguf_find(g, key)) return OK;
    TRY(gguf_get_floats(out, &n, g, key));
    if (n == n_tokens) return OK;
    return status_error(E_INPUT, "%s: key '%s': %lld items for %lld tokens", g->path, key, (long long)n,
                        (long long)n_tokens);
}

static Status get_id(int64_t *out, const Gguf *g, const char *key, int64_t n_tokens) {
    return gguf_get_int_or(out, g, key, 0, n_tokens - 1, -1);
}

typedef struct Parts {
    char *model, *pre; /* owns */
    Strings tokens, merges;
    int32_t *types; /* owns */
    float *scores;  /* owns */
} Parts;

static Status gather(Parts *p, TokenizerVocab *v, const Gguf *g) {
    TRY(get_text(&p->model, g, "tokenizer.ggml.model", NULL));
    TRY(get_text(&p->pre, g, "tokenizer.ggml.pre", "default"));
    TRY(get_strings(&p->tokens, g, "tokenizer.ggml.tokens"));
    if (gguf_find(g, "tokenizer.ggml.merges")) TRY(get_strings(&p->merges, g, "tokenizer.ggml.merges"));
    TRY(get_types(&p->types, g, p->tokens.count));
    TRY(get_scores(&p->scores, g, p->tokens.count));
    *v = (TokenizerVocab){
        .model = p->model,
        .pre = p->pre,
        .n = p->tokens.count,
        .tokens = p->tokens.s,
        .token_lens = p->tokens.n,
        .types = p->types,
        .n_merges = p->merges.count,
        .merges = p->merges.s,
        .merge_lens = p->merges.n,
        .scores = p->scores,
    };
    TRY(gguf_get_bool_or(&v->space_prefix, g, "tokenizer.ggml.add_space_prefix", true));
    TRY(get_id(&v->bos, g, "tokenizer.ggml.bos_token_id", v->n));
    /* absent: as converters mean it, which write it where it is not so */
    bool llama = strcmp(v->model, "llama") == 0 || strcmp(v->pre, "llama-bpe") == 0;
    TRY(gguf_get_bool_or(&v->add_bos, g, "tokenizer.ggml.add_bos_token", llama));
    TRY(get_id(&v->eos, g, "tokenizer.ggml.eos_token_id", v->n));
    TRY(get_id(&v->unk, g, "tokenizer.ggml.unknown_token_id", v->n));
    return get_id(&v->pad, g, "tokenizer.ggml.padding_token_id", v->n);
}

Status gguf_tokenizer(Tokenizer **out, const Gguf *g) {
    Parts p = {0};
    TokenizerVocab v;
    *out = NULL;
    Status s = gather(&p, &v, g);
    if (status_is_ok(s)) s = tokenizer_from_vocab(out, &v, g->path);
    free(p.model);
    free(p.pre);
    free(p.tokens.s);
    free(p.tokens.n);
    free(p.merges.s);
    free(p.merges.n);
    free(p.types);
    free(p.scores);
    return s;
}
