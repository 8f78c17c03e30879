/* Policy: the door. Text is made valid UTF-8, cut at the added tokens (leftmost, then longest), what lies
 * between is normalized and goes through the stages; ids are appended in order. Added tokens with
 * normalized:true are looked for in the normalized text, the others in the raw text, as in `tokenizers`. */
#include "data/tokenizer_impl.h"

#include <stdlib.h>
#include <string.h>

void tokenizer_free(Tokenizer *t) {
    if (!t) return;
    free(t->pool.data);
    free(t->content);
    free(t->bytes);
    free(t->flags);
    free(t->by_content.slots);
    free(t->classes);
    free(t->raw.at);
    free(t->normalized.at);
    for (int i = 0; i < TOKENIZER_MAX_STAGES; i++) pcre2_code_free(t->stages[i].regex);
    free(t->by_bytes.slots);
    free(t->merges.slots);
    free(t->continuation);
    free(t);
}

void tokenizer_encoding_free(Encoding *e) {
    for (int i = 0; i < TOKENIZER_MAX_STAGES; i++) pcre2_match_data_free(e->match[i]);
    pcre2_match_context_free(e->limits);
    free(e->code.at);
    free(e->normal.data);
    free(e->other.data);
    free(e->merge_work);
}

Status tokenizer_buf_push(TokenBuf *b, int32_t id) {
    if (b->n == b->cap) {
        size_t cap = b->cap * 2 + 64;
        int32_t *ids = realloc(b->ids, cap * sizeof *ids);
        if (!ids) return status_error(E_ENV, "out of memory (%zu token ids)", cap);
        b->ids = ids;
        b->cap = cap;
    }
    b->ids[b->n++] = id;
    return OK;
}

void tokenizer_buf_free(TokenBuf *b) {
    free(b->ids);
    *b = (TokenBuf){0};
}

static int compare_added(const Pool *p, const AddedToken *a, const AddedToken *b) {
    size_t n = a->text.n < b->text.n ? a->text.n : b->text.n;
    int order = memcmp(p->data + a->text.at, p->data + b->text.at, n);
    if (order != 0) return order;
    return a->text.n < b->text.n ? -1 : a->text.n > b->text.n;
}

static void merge_added(AddedToken *to, const AddedToken *from, size_t n, const Pool *p) {
    size_t a = 0, b = n / 2;
    for (size_t i = 0; i < n; i++)
        to[i] = b == n || (a < n / 2 && compare_added(p, &from[a], &from[b]) <= 0) ? from[a++] : from[b++];
}

/* Merge sort with a second half-array: qsort has no room for the pool. work: [n]. */
static void sort_added(AddedToken *at, AddedToken *work, size_t n, const Pool *p) {
    if (n < 2) return;
    sort_added(at, work, n / 2, p);
    sort_added(at + n / 2, work, n - n / 2, p);
    memcpy(work, at, n * sizeof *at);
    merge_added(at, work, n, p);
}

Status tokenizer_added_sort(AddedSet *s, const Pool *p) {
    if (s->n > 0) {
        AddedToken *work = malloc(s->n * sizeof *work);
        if (!work) return status_error(E_ENV, "out of memory (%zu added tokens)", s->n);
        sort_added(s->at, work, s->n, p);
        free(work);
    }
    uint32_t i = 0;
    for (unsigned b = 0; b <= 256; b++) {
        while (i < s->n && (uint8_t)p->data[s->at[i].text.at] < b) i++;
        s->first[b] = i;
    }
    return OK;
}

/* The longest added token that text[at..n) begins with, or NULL. */
static const AddedToken *added_at(const AddedSet *set, const Pool *p, const char *text, size_t n, size_t at) {
    uint8_t byte = (uint8_t)text[at];
    size_t low = set->first[byte], high = set->first[byte + 1];
    const AddedToken *best = NULL;
    for (size_t depth = 1; low < high; depth++) {
        /* all of [low, high) share their first `depth` bytes with the text */
        if (set->at[low].text.n == depth) {
            best = &set->at[low];
            while (low < high && set->at[low].text.n == depth) low++; /* equal texts: the first wins */
        }
        if (at + depth >= n) break;
        byte = (uint8_t)text[at + depth];
        size_t a = low, b = high;
        while (a < b) { /* first whose byte is >= byte */
            size_t mid = a + (b - a) / 2;
            if ((uint8_t)p->data[set->at[mid].text.at + depth] < byte)
                a = mid + 1;
            else
                b = mid;
        }
        low = a;
        b = high;
        while (a < b) { /* first whose byte is > byte */
            size_t mid = a + (b - a) / 2;
            if ((uint8_t)p->data[set->at[mid].text.at + depth] <= byte)
                a = mid + 1;
            else
                b = mid;
        }
        high = a;
    }
    return best;
}

static bool is_word(const Tokenizer *t, const char *text, size_t n, size_t from, size_t to) {
    if (from > 0) {
        size_t i = from;
        if (tokenizer_is_word_char(t, tokenizer_read_utf8_back(text, &i))) return false;
    }
    return to == n || !tokenizer_is_word_char(t, tokenizer_read_utf8(text, &to));
}

static size_t spaces_before(const Tokenizer *t, const char *text, size_t at, size_t least) {
    while (at > least) {
        size_t i = at;
        if (!(t->classes[tokenizer_read_utf8_back(text, &i)] & CLASS_SPACE)) break;
        at = i;
    }
    return at;
}

static size_t spaces_after(const Tokenizer *t, const char *text, size_t n, size_t at) {
    while (at < n) {
        size_t i = at;
        if (!(t->classes[tokenizer_read_utf8(text, &i)] & CLASS_SPACE)) break;
        at = i;
    }
    return at;
}

typedef Status SegmentFn(Encoding *e, const char *text, size_t n);

/* Cuts text at the set's tokens; what lies between goes to `between`. */
static Status cut(Encoding *e, const AddedSet *set, const char *text, size_t n, SegmentFn *between) {
    const Tokenizer *t = e->t;
    size_t start = 0;
    bool at_start = e->at_start;
    if (set->n == 0) return n > 0 ? between(e, text, n) : OK;
    for (size_t i = 0; i < n;) {
        const AddedToken *a = added_at(set, &t->pool, text, n, i);
        if (!a) {
            i++;
            continue;
        }
        size_t from = i, to = i + a->text.n;
        i = to; /* a match that is not taken is used up all the same, as in the reference */
        if (a->special && !e->parse_special) continue;
        if (a->single_word && !is_word(t, text, n, from, to)) continue;
        if (a->lstrip) from = spaces_before(t, text, from, start);
        if (a->rstrip) to = spaces_after(t, text, n, to);
        e->at_start = at_start && start == 0;
        if (from > start) TRY(between(e, text + start, from - start));
        TRY(tokenizer_buf_push(e->out, a->id));
        start = to;
    }
    e->at_start = at_start && start == 0;
    return start < n ? between(e, text + start, n - start) : OK;
}

static Status pieces(Encoding *e, const char *text, size_t n) {
    if (e->t->metaspace != METASPACE_NONE) return tokenizer_metaspace_encode(e, text, n);
    return tokenizer_split(e, 0, text, n);
}

Status tokenizer_normalize(Encoding *e, const char *text, size_t n) {
    return e->t->bert_normalizer ? tokenizer_bert_normalize(e, text, n)
                                 : tokenizer_sentence_normalize(e, text, n);
}

static Status normalized(Encoding *e, const char *text, size_t n) {
    if (!e->t->bert_normalizer && e->t->n_rewrites == 0) return cut(e, &e->t->normalized, text, n, pieces);
    TRY(tokenizer_normalize(e, text, n));
    return cut(e, &e->t->normalized, e->normal.data, e->normal.used, pieces);
}

Status tokenizer_encode(const Tokenizer *t, TokenBuf *out, const char *text, size_t n, TokenizerOpts opts) {
    if (n > TOKENIZER_MAX_TEXT)
        return status_error(E_INPUT, "text of %zu bytes: at most %d can be tokenized at once", n,
                            TOKENIZER_MAX_TEXT);
    char *valid = NULL;
    if (tokenizer_invalid_utf8(text, n) < n) {
        TRY(tokenizer_lossy_utf8(&valid, &n, text, n));
        text = valid;
    }
    Encoding e = {.t = t, .out = out, .parse_special = opts.parse_special, .at_start = true};
    size_t before = out->n;
    Status s = cut(&e, &t->raw, text, n, normalized);
    if (!status_is_ok(s)) out->n = before;
    tokenizer_encoding_free(&e);
    free(valid);
    return s;
}

/* WordPiece's clean-up: no space before these. */
static bool joins_left(const char *s, size_t n) {
    static const char *const marks[] = {".", "?", "!", ",", "n't", "'m", "'s", "'ve", "'re"};
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
        if (n >= strlen(marks[i]) && memcmp(s, marks[i], strlen(marks[i])) == 0) return true;
    return false;
}

static Status append_token(const Tokenizer *t, Pool *text, int32_t id, bool first) {
    Span ignored, s = t->bytes[id];
    const char *bytes = t->pool.data + s.at;
    if (t->model == MODEL_WORDPIECE && !first) {
        if (s.n >= t->n_continuation && memcmp(bytes, t->continuation, t->n_continuation) == 0) {
            bytes += t->n_continuation;
            s.n -= t->n_continuation;
        } else if (!t->cleanup || !joins_left(bytes, s.n)) {
            TRY(tokenizer_pool_add(&ignored, text, " ", 1));
        }
    }
    return tokenizer_pool_add(&ignored, text, bytes, s.n);
}

Status tokenizer_decode(const Tokenizer *t, char **out, size_t *out_n, const int32_t *ids, size_t n,
                        TokenizerDecodeOpts opts) {
    Pool text = {0};
    Status s = OK;
    bool first = true;
    for (size_t i = 0; i < n; i++)
        if (ids[i] < 0 || ids[i] >= t->vocab)
            return status_error(E_INPUT, "token id %d at position %zu is outside the vocabulary of %lld",
                                ids[i], i, (long long)t->vocab);
    if (t->model == MODEL_SENTENCE) s = tokenizer_sentence_decode(t, &text, ids, n, opts.skip_special);
    for (size_t i = 0; t->model != MODEL_SENTENCE && i < n && status_is_ok(s); i++) {
        if (!(t->flags[ids[i]] & TOKEN_PRESENT)) continue;
        if (opts.skip_special && (t->flags[ids[i]] & TOKEN_SPECIAL)) continue;
        s = append_token(t, &text, ids[i], first);
        first = false;
    }
    if (status_is_ok(s)) s = tokenizer_lossy_utf8(out, out_n, text.data ? text.data : "", text.used);
    free(text.data);
    return s;
}

const char *tokenizer_token_bytes(const Tokenizer *t, size_t *n, int32_t id) {
    bool known = id >= 0 && id < t->vocab;
    *n = known ? t->bytes[id].n : 0;
    return *n > 0 ? t->pool.data + t->bytes[id].at : "";
}

int64_t tokenizer_vocab_size(const Tokenizer *t) {
    return t->vocab;
}

int32_t tokenizer_id(const Tokenizer *t, const char *content) {
    return tokenizer_table_find(&t->by_content, &t->pool, t->content, content, strlen(content));
}

bool tokenizer_is_special(const Tokenizer *t, int32_t id) {
    return id >= 0 && id < t->vocab && (t->flags[id] & TOKEN_SPECIAL);
}

TokenizerMarkers tokenizer_markers(const Tokenizer *t) {
    return t->markers;
}
