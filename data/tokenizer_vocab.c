/* Policy: a tokenizer from a GGUF's arrays. Model gpt2 has merges; model llama has scores instead, and every
 * way to put a piece together from two others is a merge. `pre` names the pre-tokenizer (llama.cpp's names);
 * a name that is not in the table is refused, because a wrong split gives wrong ids silently. Control and
 * unknown tokens are special, user-defined ones are recognised always; both are only found whole. */
#include "data/tokenizer_build.h"

#include <stdlib.h>
#include <string.h>

enum { TYPE_NORMAL = 1, TYPE_UNKNOWN, TYPE_CONTROL, TYPE_USER, TYPE_UNUSED, TYPE_BYTE };

static const char llama3_pattern[] = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|"
                                     " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
static const char qwen2_pattern[] = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}|"
                                    " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

typedef struct Pre {
    const char *name;
    bool digits; /* every digit alone, then GPT-2 */
    bool ignore_merges;
    const char *pattern; /* instead of GPT-2's */
} Pre;

static const Pre pres[] = {
    {"gpt-2", false, false, NULL},
    {"gpt2", false, false, NULL},
    {"smollm", true, false, NULL},
    {"starcoder", true, false, NULL},
    {"refact", true, false, NULL},
    {"codeshell", true, false, NULL},
    {"llama-bpe", false, true, llama3_pattern},
    {"llama3", false, true, llama3_pattern},
    {"llama-v3", false, true, llama3_pattern},
    {"qwen2", false, false, qwen2_pattern},
};

static Status add_stages(Tokenizer *t, const char *name, const char *where) {
    for (size_t i = 0; i < sizeof pres / sizeof *pres; i++) {
        if (strcmp(pres[i].name, name) != 0) continue;
        t->ignore_merges = pres[i].ignore_merges;
        if (pres[i].digits) TRY(tokenizer_build_stage(t, STAGE_DIGITS, where));
        if (pres[i].pattern) return tokenizer_compile_stage(t, pres[i].pattern, false, true, true, where);
        return tokenizer_build_stage(t, STAGE_GPT2, where);
    }
    return status_error(E_INPUT,
                        "%s: tokenizer.ggml.pre '%s' is not supported (smollm, gpt-2, llama-bpe, qwen2 and "
                        "their aliases are)",
                        where, name);
}

static Status add_token(Tokenizer *t, const TokenizerVocab *v, int32_t id, const char *where) {
    int32_t type = v->types ? v->types[id] : TYPE_NORMAL;
    if (type < TYPE_NORMAL || type > TYPE_BYTE)
        return status_error(E_INPUT, "%s: tokenizer.ggml.token_type[%d]: expected 1 to 6, found %d", where,
                            id, type);
    if (type == TYPE_UNUSED) return OK;
    bool special = type == TYPE_CONTROL || type == TYPE_UNKNOWN, added = special || type == TYPE_USER;
    uint8_t flags = (uint8_t)((special ? TOKEN_SPECIAL : 0) | (added ? TOKEN_ADDED : TOKEN_MODEL));
    TRY(tokenizer_build_token(t, id, v->tokens[id], v->token_lens[id], flags, where));
    if (!added) return OK;
    AddedToken a = {.text = t->content[id], .id = id, .special = special};
    return tokenizer_build_added(t, a, where);
}

/* ---------------------------------------------------------------- SentencePiece's BPE */

enum {
    MAX_PIECE = 256
}; /* bytes of a piece that is looked at for splits, chosen: the longest in use has 48 */

typedef struct Scored {
    float score;
    int32_t id;
} Scored;

static int by_score(const void *a, const void *b) { /* descending */
    float x = ((const Scored *)a)->score, y = ((const Scored *)b)->score;
    return x > y ? -1 : x < y;
}

static int32_t find_piece(const Tokenizer *t, const TokenizerVocab *v, const char *s, size_t n) {
    int32_t id = tokenizer_table_find(&t->by_content, &t->pool, t->content, s, n);
    return id >= 0 && (t->flags[id] & TOKEN_MODEL) && !(v->types && v->types[id] == TYPE_BYTE) ? id : -1;
}

/* Every split of piece id into two pieces; put: into the table. Returns how many. */
static size_t splits(Tokenizer *t, const TokenizerVocab *v, int32_t id, int32_t rank, bool put) {
    size_t n = v->token_lens[id], found = 0;
    const char *s = v->tokens[id];
    for (size_t k = 1; k < n; k++) {
        if (((uint8_t)s[k] & 0xc0) == 0x80) continue; /* inside a character */
        Merge m = {.rank = rank, .id = id};
        m.left = find_piece(t, v, s, k);
        if (m.left >= 0) m.right = find_piece(t, v, s + k, n - k);
        if (m.left < 0 || m.right < 0) continue;
        if (put) tokenizer_merges_put(&t->merges, m);
        found++;
    }
    return found;
}

/* The merges that the scores stand for; equal scores have one rank, so that the leftmost goes first. */
static Status scored_merges(Tokenizer *t, const TokenizerVocab *v, Scored *order, const char *where) {
    size_t n = 0, total = 0;
    for (int32_t id = 0; id < v->n; id++) {
        if (find_piece(t, v, v->tokens[id], v->token_lens[id]) != id) continue;
        if (v->token_lens[id] > MAX_PIECE)
            return status_error(E_INPUT, "%s: tokenizer.ggml.tokens[%d]: %zu bytes, at most %d", where, id,
                                v->token_lens[id], MAX_PIECE);
        order[n++] = (Scored){v->scores[id], id};
        total += splits(t, v, id, 0, false);
    }
    qsort(order, n, sizeof *order, by_score);
    TRY(tokenizer_merges_init(&t->merges, total));
    int32_t rank = 0;
    for (size_t i = 0; i < n; i++) {
        if (i > 0 && order[i].score != order[i - 1].score) rank++;
        splits(t, v, order[i].id, rank, true);
    }
    return OK;
}

static Status add_rewrite(Tokenizer *t, const char *from, const char *to) {
    Rewrite *r = &t->rewrites[t->n_rewrites++];
    TRY(tokenizer_pool_add(&r->from, &t->pool, from, strlen(from)));
    return tokenizer_pool_add(&r->to, &t->pool, to, strlen(to));
}

static Status fill_sentence(Tokenizer *t, const TokenizerVocab *v, const char *where) {
    t->model = MODEL_SENTENCE;
    t->byte_fallback = t->fuse_unk = t->decode_bytes = true;
    t->strip = v->space_prefix;
    t->unk = (int32_t)v->unk;
    if (v->space_prefix) TRY(add_rewrite(t, "", "\xe2\x96\x81"));
    TRY(add_rewrite(t, " ", "\xe2\x96\x81"));
    Scored *order = malloc((size_t)v->n * sizeof *order);
    if (!order) return status_error(E_ENV, "%s: out of memory (%lld scores)", where, (long long)v->n);
    Status s = scored_merges(t, v, order, where);
    free(order);
    return s;
}

static Status role(int32_t *out, const TokenizerVocab *v, int64_t id, const char *key, const char *where) {
    if (id < -1 || id >= v->n)
        return status_error(E_INPUT, "%s: tokenizer.ggml.%s: %lld is outside the vocabulary of %lld", where,
                            key, (long long)id, (long long)v->n);
    *out = (int32_t)id;
    return OK;
}

static Status fill_bytes(Tokenizer *t, const TokenizerVocab *v, const char *where) {
    t->model = MODEL_BPE;
    TRY(add_stages(t, v->pre ? v->pre : "(none)", where));
    TRY(tokenizer_merges_init(&t->merges, (size_t)v->n_merges));
    for (int64_t i = 0; i < v->n_merges; i++)
        TRY(tokenizer_build_merge_line(t, i, v->merges[i], v->merge_lens[i], where));
    return OK;
}

static Status fill(Tokenizer *t, const TokenizerVocab *v, const char *where) {
    int32_t unk;
    TRY(role(&unk, v, v->unk, "unknown_token_id", where));
    for (int32_t id = 0; id < v->n; id++) TRY(add_token(t, v, id, where));
    TRY(strcmp(v->model, "llama") == 0 ? fill_sentence(t, v, where) : fill_bytes(t, v, where));
    TRY(tokenizer_build_finish(t, where));
    TRY(role(&t->markers.bos, v, v->bos, "bos_token_id", where));
    if (v->add_bos) t->markers.first = t->markers.bos;
    TRY(role(&t->markers.eos, v, v->eos, "eos_token_id", where));
    TRY(role(&t->markers.unk, v, v->unk, "unknown_token_id", where));
    return role(&t->markers.pad, v, v->pad, "padding_token_id", where);
}

Status tokenizer_from_vocab(Tokenizer **out, const TokenizerVocab *v, const char *where) {
    Tokenizer *t;
    *out = NULL;
    bool llama = v->model && strcmp(v->model, "llama") == 0;
    if (!llama && (!v->model || strcmp(v->model, "gpt2") != 0))
        return status_error(E_INPUT, "%s: tokenizer.ggml.model '%s' is not supported (gpt2 and llama are)",
                            where, v->model ? v->model : "(none)");
    if (llama && !v->scores)
        return status_error(E_INPUT, "%s: tokenizer.ggml.scores is missing (model llama needs it)", where);
    if (v->n_merges < 0 || v->n_merges > 2 * TOKENIZER_MAX_VOCAB)
        return status_error(E_INPUT, "%s: tokenizer.ggml.merges: %lld entries", where,
                            (long long)v->n_merges);
    TRY(tokenizer_build_new(&t, v->n, where));
    Status s = fill(t, v, where);
    if (!status_is_ok(s)) {
        tokenizer_free(t);
        return s;
    }
    *out = t;
    return OK;
}
