/* Policy: every table is sized from counts of the file that were already read, never from a number the file
 * claims; every id and text is checked before it is stored. */
#include "data/tokenizer_build.h"

#include <stdlib.h>
#include <string.h>

Status tokenizer_build_new(Tokenizer **out, int64_t vocab, const char *where) {
    *out = NULL;
    if (vocab < 1 || vocab > TOKENIZER_MAX_VOCAB)
        return status_error(E_INPUT, "%s: a vocabulary of %lld ids; expected 1 to %d", where,
                            (long long)vocab, TOKENIZER_MAX_VOCAB);
    Tokenizer *t = calloc(1, sizeof *t);
    if (!t) return status_error(E_ENV, "%s: out of memory", where);
    t->vocab = vocab;
    t->unk = -1;
    t->markers = (TokenizerMarkers){-1, -1, -1, -1, -1, -1, -1, -1};
    t->content = calloc((size_t)vocab, sizeof *t->content);
    t->bytes = calloc((size_t)vocab, sizeof *t->bytes);
    t->flags = calloc((size_t)vocab, sizeof *t->flags);
    t->classes = tokenizer_classes();
    Status s = OK;
    if (!t->content || !t->bytes || !t->flags || !t->classes)
        s = status_error(E_ENV, "%s: out of memory (a vocabulary of %lld)", where, (long long)vocab);
    if (status_is_ok(s)) s = tokenizer_table_init(&t->by_content, (size_t)vocab);
    if (status_is_ok(s)) s = tokenizer_pool_grow(&t->pool, 1); /* never NULL, even if all tokens are empty */
    if (!status_is_ok(s)) {
        tokenizer_free(t);
        return s;
    }
    *out = t;
    return OK;
}

static int clip(size_t n) {
    return n > 60 ? 60 : (int)n;
}

Status tokenizer_build_token(Tokenizer *t, int32_t id, const char *text, size_t n, uint8_t flags,
                             const char *where) {
    if (id < 0 || id >= t->vocab)
        return status_error(E_INPUT, "%s: token '%.*s': id %d is outside 0..%lld", where, clip(n), text, id,
                            (long long)t->vocab - 1);
    if (tokenizer_invalid_utf8(text, n) < n)
        return status_error(E_INPUT, "%s: the text of token %d is not UTF-8", where, id);
    if (n > TOKENIZER_MAX_TOKEN)
        return status_error(E_INPUT, "%s: token %d: %zu bytes of text", where, id, n);
    int32_t have = tokenizer_table_find(&t->by_content, &t->pool, t->content, text, n);
    if (have == id) {
        t->flags[id] |= flags | TOKEN_PRESENT;
        return OK;
    }
    if (have >= 0)
        return status_error(E_INPUT, "%s: token '%.*s' has two ids, %d and %d", where, clip(n), text, have,
                            id);
    if (t->flags[id] & TOKEN_PRESENT)
        return status_error(E_INPUT, "%s: id %d is given to two tokens, '%.*s' and '%.*s'", where, id,
                            clip(t->content[id].n), t->pool.data + t->content[id].at, clip(n), text);
    TRY(tokenizer_pool_add(&t->content[id], &t->pool, text, n));
    t->flags[id] = flags | TOKEN_PRESENT;
    tokenizer_table_put(&t->by_content, &t->pool, t->content, id);
    return OK;
}

static Status merge_part(int32_t *id, const Tokenizer *t, int64_t rank, const char *s, size_t n,
                         const char *where) {
    *id = tokenizer_table_find(&t->by_content, &t->pool, t->content, s, n);
    if (*id >= 0) return OK;
    return status_error(E_INPUT, "%s: merges[%lld]: '%.*s' is not in the vocabulary", where, (long long)rank,
                        clip(n), s);
}

Status tokenizer_build_merge(Tokenizer *t, int64_t rank, const char *left, size_t n_left, const char *right,
                             size_t n_right, const char *where) {
    Merge m = {.rank = (int32_t)rank};
    CHECK(rank >= 0 && rank < INT32_MAX, "merge rank");
    TRY(merge_part(&m.left, t, rank, left, n_left, where));
    TRY(merge_part(&m.right, t, rank, right, n_right, where));
    uint64_t hash = tokenizer_hash(tokenizer_hash(TOKENIZER_HASH_START, left, n_left), right, n_right);
    m.id = tokenizer_table_find2(&t->by_content, &t->pool, t->content, hash, left, n_left, right, n_right);
    if (m.id < 0)
        return status_error(E_INPUT, "%s: merges[%lld]: '%.*s%.*s' is not in the vocabulary", where,
                            (long long)rank, clip(n_left), left, clip(n_right), right);
    if (n_left == 0 || n_right == 0)
        return status_error(E_INPUT, "%s: merges[%lld]: an empty token", where, (long long)rank);
    tokenizer_merges_put(&t->merges, m);
    return OK;
}

Status tokenizer_build_merge_line(Tokenizer *t, int64_t rank, const char *line, size_t n, const char *where) {
    const char *space = memchr(line, ' ', n);
    size_t left = space ? (size_t)(space - line) : 0;
    if (!space || memchr(space + 1, ' ', n - left - 1))
        return status_error(E_INPUT,
                            "%s: merges[%lld]: expected two tokens with a space between, found '%.*s'", where,
                            (long long)rank, clip(n), line);
    return tokenizer_build_merge(t, rank, line, left, space + 1, n - left - 1, where);
}

Status tokenizer_build_added(Tokenizer *t, AddedToken a, const char *where) {
    AddedSet *set = a.normalized ? &t->normalized : &t->raw;
    if (a.text.n == 0) return OK; /* matches nowhere */
    if ((set->n & (set->n - 1)) == 0) {
        AddedToken *at = realloc(set->at, (set->n ? set->n * 2 : 1) * sizeof *at);
        if (!at) return status_error(E_ENV, "%s: out of memory (%zu added tokens)", where, set->n);
        set->at = at;
    }
    set->at[set->n++] = a;
    return OK;
}

Status tokenizer_build_stage(Tokenizer *t, StageKind kind, const char *where) {
    if (t->n_stages == TOKENIZER_MAX_STAGES)
        return status_error(E_INPUT, "%s: pre_tokenizer: more than %d steps", where, TOKENIZER_MAX_STAGES);
    t->stages[t->n_stages++] = (Stage){.kind = kind};
    return OK;
}

/* ByteLevel's decoder: through the alphabet, or as written if a character is not in it. */
static Status alphabet_bytes(Tokenizer *t, int32_t id) {
    Span s = t->content[id];
    TRY(tokenizer_pool_grow(&t->pool, s.n)); /* the bytes are never longer than the text */
    const char *text = t->pool.data + s.at;
    char *to = t->pool.data + t->pool.used;
    size_t n = 0;
    for (size_t i = 0; i < s.n;) {
        int byte = tokenizer_alphabet_byte(tokenizer_read_utf8(text, &i));
        if (byte < 0) {
            t->bytes[id] = s;
            return OK;
        }
        to[n++] = (char)byte;
    }
    t->bytes[id] = (Span){t->pool.used, n};
    t->pool.used += n;
    return OK;
}

/* Normalizes the texts of added tokens that are looked for in normalized text. */
static Status normalize_added(Tokenizer *t) {
    if (!t->bert_normalizer && t->n_rewrites == 0) return OK;
    Encoding e = {.t = t};
    Status s = OK;
    size_t k = 0;
    for (size_t i = 0; i < t->normalized.n && status_is_ok(s); i++) {
        AddedToken *a = &t->normalized.at[i];
        s = tokenizer_normalize(&e, t->pool.data + a->text.at, a->text.n);
        if (status_is_ok(s)) s = tokenizer_pool_add(&a->text, &t->pool, e.normal.data, e.normal.used);
        if (status_is_ok(s) && t->model == MODEL_SENTENCE)
            s = tokenizer_sentence_bytes(t, a->id, a->text); /* so does `tokenizers` 0.23 */
        if (status_is_ok(s) && a->text.n > 0) t->normalized.at[k++] = *a;
    }
    if (status_is_ok(s)) t->normalized.n = k;
    tokenizer_encoding_free(&e);
    return s;
}

static Status finish_wordpiece(Tokenizer *t) {
    TRY(tokenizer_table_init(&t->by_bytes, (size_t)t->vocab));
    for (int32_t id = 0; id < t->vocab; id++) {
        t->bytes[id] = t->content[id];
        if (!(t->flags[id] & TOKEN_MODEL)) continue;
        tokenizer_table_put(&t->by_bytes, &t->pool, t->content, id);
        if (t->content[id].n > t->longest) t->longest = t->content[id].n;
    }
    return OK;
}

static void role(const Tokenizer *t, int32_t *marker, const char *name) {
    if (*marker < 0) *marker = tokenizer_id(t, name);
}

Status tokenizer_build_finish(Tokenizer *t, const char *where) {
    if (t->model == MODEL_SENTENCE) {
        TRY(status_wrap(tokenizer_sentence_finish(t), "%s", where));
        TRY(status_wrap(tokenizer_bpe_finish(t), "%s", where));
    } else if (t->model == MODEL_BPE) {
        for (int32_t id = 0; id < t->vocab; id++) TRY(alphabet_bytes(t, id));
        TRY(status_wrap(tokenizer_bpe_finish(t), "%s", where));
    } else {
        TRY(finish_wordpiece(t));
    }
    TRY(normalize_added(t));
    TRY(tokenizer_added_sort(&t->raw, &t->pool));
    TRY(tokenizer_added_sort(&t->normalized, &t->pool));
    t->markers.unk = t->unk;
    role(t, &t->markers.pad, "[PAD]");
    role(t, &t->markers.cls, "[CLS]");
    role(t, &t->markers.sep, "[SEP]");
    role(t, &t->markers.mask, "[MASK]");
    return OK;
}
