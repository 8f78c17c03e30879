/* Policy: BPE (Sennrich et al. 2016; GPT-2). The lowest-ranked pair merges first, the leftmost of equals.
 * Byte-level BPE works on bytes, not on the byte-level alphabet: the two are one to one; BPE on characters
 * (tokenizer_sentence.c) differs in the symbols it starts from.
 *
 * A piece that is a token and whose merges end in exactly that token (checked for every token at load) is one
 * table look-up. Other pieces: up to SHORT bytes by scanning for the best pair, longer ones with a linked
 * list and a heap, O(n log n). */
#include "data/tokenizer_impl.h"

#include <stdlib.h>
#include <string.h>

enum { SHORT = 48 }; /* chosen */

static size_t merge_slot(const MergeTable *t, int32_t left, int32_t right) {
    uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    key *= 0x9e3779b97f4a7c15ull;
    return (size_t)((key ^ key >> 29) >> 24) & t->mask;
}

Status tokenizer_merges_init(MergeTable *t, size_t n) {
    size_t slots = 16;
    while (slots < n * 2) slots *= 2;
    t->slots = malloc(slots * sizeof *t->slots);
    if (!t->slots) return status_error(E_ENV, "out of memory (%zu merge slots)", slots);
    for (size_t i = 0; i < slots; i++) t->slots[i].left = -1;
    t->mask = slots - 1;
    return OK;
}

static const Merge *find_merge(const MergeTable *t, int32_t left, int32_t right) {
    for (size_t i = merge_slot(t, left, right);; i = (i + 1) & t->mask) {
        const Merge *m = &t->slots[i];
        if (m->left == left && m->right == right) return m;
        if (m->left < 0) return NULL;
    }
}

void tokenizer_merges_put(MergeTable *t, Merge m) {
    size_t i = merge_slot(t, m.left, m.right);
    while (t->slots[i].left >= 0 && !(t->slots[i].left == m.left && t->slots[i].right == m.right))
        i = (i + 1) & t->mask;
    t->slots[i] = m;
}

/* ids of the single bytes; a byte without a token is unk, or dropped if there is none. */
static size_t start_symbols(const Tokenizer *t, int32_t *ids, const char *piece, size_t n) {
    if (t->model == MODEL_SENTENCE) return tokenizer_sentence_symbols(t, ids, piece, n);
    size_t k = 0;
    bool after_unk = false;
    for (size_t i = 0; i < n; i++) {
        int32_t id = t->byte_id[(uint8_t)piece[i]];
        bool unknown = id < 0;
        if (unknown && t->unk >= 0 && !(after_unk && t->fuse_unk)) id = t->unk;
        after_unk = unknown;
        if (id >= 0) ids[k++] = id;
    }
    return k;
}

/* ids [k] in place; returns the new count. ranks: [k] scratch. */
static size_t merge_short(const Tokenizer *t, int32_t *ids, size_t k) {
    int32_t ranks[SHORT], to[SHORT];
    for (size_t i = 0; i + 1 < k; i++) {
        const Merge *m = find_merge(&t->merges, ids[i], ids[i + 1]);
        ranks[i] = m ? m->rank : INT32_MAX;
        to[i] = m ? m->id : -1;
    }
    while (k > 1) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < k; i++)
            if (ranks[i] < ranks[best]) best = i;
        if (ranks[best] == INT32_MAX) break;
        ids[best] = to[best];
        size_t tail = k - best - 2; /* symbols after the pair */
        memmove(ids + best + 1, ids + best + 2, tail * sizeof *ids);
        if (tail > 0) {
            memmove(ranks + best + 1, ranks + best + 2, (tail - 1) * sizeof *ranks);
            memmove(to + best + 1, to + best + 2, (tail - 1) * sizeof *to);
        }
        k--;
        for (size_t i = best > 0 ? best - 1 : 0; i <= best && i + 1 < k; i++) {
            const Merge *m = find_merge(&t->merges, ids[i], ids[i + 1]);
            ranks[i] = m ? m->rank : INT32_MAX;
            to[i] = m ? m->id : -1;
        }
    }
    return k;
}

typedef struct Symbol {
    int32_t id; /* -1: merged away */
    int32_t prev, next;
} Symbol;
typedef struct Candidate {
    uint64_t key; /* rank << 32 | position of the left symbol */
    int32_t left, right, id;
} Candidate;
typedef struct Heap {
    Candidate *at;
    size_t n;
} Heap;

static void heap_push(Heap *h, Candidate c) {
    size_t i = h->n++;
    while (i > 0 && h->at[(i - 1) / 2].key > c.key) {
        h->at[i] = h->at[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    h->at[i] = c;
}

static Candidate heap_pop(Heap *h) {
    Candidate top = h->at[0], last = h->at[--h->n];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < h->n; i = child) {
        if (child + 1 < h->n && h->at[child + 1].key < h->at[child].key) child++;
        if (last.key <= h->at[child].key) break;
        h->at[i] = h->at[child];
    }
    h->at[i] = last;
    return top;
}

static void offer(const Tokenizer *t, Heap *h, const Symbol *s, int32_t left) {
    if (left < 0 || s[left].next < 0) return;
    int32_t right = s[left].next;
    const Merge *m = find_merge(&t->merges, s[left].id, s[right].id);
    if (m)
        heap_push(h, (Candidate){(uint64_t)(uint32_t)m->rank << 32 | (uint32_t)left, s[left].id, s[right].id,
                                 m->id});
}

/* work: k ids, then k symbols, then 3k candidates (k - 1 at first, at most two more a merge). */
static size_t merge_long(const Tokenizer *t, int32_t *ids, Symbol *s, Candidate *candidates, size_t k) {
    Heap h = {candidates, 0};
    for (size_t i = 0; i < k; i++) s[i] = (Symbol){ids[i], (int32_t)i - 1, i + 1 < k ? (int32_t)i + 1 : -1};
    for (size_t i = 0; i + 1 < k; i++) offer(t, &h, s, (int32_t)i);
    while (h.n > 0) {
        Candidate c = heap_pop(&h);
        int32_t left = (int32_t)(uint32_t)c.key, right = s[left].next;
        if (s[left].id != c.left || right < 0 || s[right].id != c.right) continue; /* stale */
        s[left].id = c.id;
        s[left].next = s[right].next;
        if (s[left].next >= 0) s[s[left].next].prev = left;
        s[right].id = -1;
        offer(t, &h, s, s[left].prev);
        offer(t, &h, s, left);
    }
    size_t n = 0;
    for (int32_t i = 0; i >= 0; i = s[i].next) ids[n++] = s[i].id;
    return n;
}

static Status merge_work(Encoding *e, size_t n) {
    if (e->merge_cap >= n) return OK;
    size_t size = n * (sizeof(Candidate) * 3 + sizeof(Symbol) + sizeof(int32_t));
    void *work = realloc(e->merge_work, size);
    if (!work) return status_error(E_ENV, "out of memory (%zu bytes to encode a piece of %zu)", size, n);
    e->merge_work = work;
    e->merge_cap = n;
    return OK;
}

static Status push_all(TokenBuf *out, const int32_t *ids, size_t n) {
    for (size_t i = 0; i < n; i++) TRY(tokenizer_buf_push(out, ids[i]));
    return OK;
}

static Status encode_by_merging(Encoding *e, const char *piece, size_t n) {
    const Tokenizer *t = e->t;
    if (n <= SHORT) {
        int32_t ids[SHORT];
        return push_all(e->out, ids, merge_short(t, ids, start_symbols(t, ids, piece, n)));
    }
    TRY(merge_work(e, n));
    Candidate *candidates = e->merge_work;
    Symbol *symbols = (Symbol *)(candidates + 3 * n);
    int32_t *ids = (int32_t *)(symbols + n);
    size_t k = start_symbols(t, ids, piece, n);
    return push_all(e->out, ids, k > 1 ? merge_long(t, ids, symbols, candidates, k) : k);
}

/* Where a token's piece stands: as bytes, or (on characters) as written. */
static const Span *piece_spans(const Tokenizer *t) {
    return t->model == MODEL_SENTENCE ? t->content : t->bytes;
}

Status tokenizer_bpe_encode(Encoding *e, const char *piece, size_t n) {
    const Tokenizer *t = e->t;
    int32_t id = tokenizer_table_find(&t->by_bytes, &t->pool, piece_spans(t), piece, n);
    if (id >= 0) return tokenizer_buf_push(e->out, id);
    return encode_by_merging(e, piece, n);
}

/* Does the token stand for bytes that the alphabet can spell? (Others are reached as added tokens only.) */
static bool spelled_in_alphabet(const Tokenizer *t, int32_t id) {
    const char *s = t->pool.data + t->content[id].at;
    for (size_t i = 0; i < t->content[id].n;)
        if (tokenizer_alphabet_byte(tokenizer_read_utf8(s, &i)) < 0) return false;
    return t->content[id].n > 0;
}

static Status fill_by_bytes(Tokenizer *t, Encoding *e) {
    const Span *spans = piece_spans(t);
    for (int32_t id = 0; id < t->vocab; id++) {
        if (!(t->flags[id] & TOKEN_MODEL) || spans[id].n == 0) continue;
        if (t->model == MODEL_BPE && !spelled_in_alphabet(t, id)) continue;
        if (!t->ignore_merges) {
            e->out->n = 0;
            TRY(encode_by_merging(e, t->pool.data + spans[id].at, spans[id].n));
            if (e->out->n != 1 || e->out->ids[0] != id) continue;
        }
        tokenizer_table_put(&t->by_bytes, &t->pool, spans, id);
    }
    return OK;
}

Status tokenizer_bpe_finish(Tokenizer *t) {
    for (int b = 0; b < 256 && t->model == MODEL_BPE; b++) t->byte_id[b] = -1;
    for (int32_t id = 0; id < t->vocab && t->model == MODEL_BPE; id++)
        if (t->flags[id] & TOKEN_MODEL && t->bytes[id].n == 1 && spelled_in_alphabet(t, id))
            t->byte_id[(uint8_t)t->pool.data[t->bytes[id].at]] = id;
    TRY(tokenizer_table_init(&t->by_bytes, (size_t)t->vocab));
    TokenBuf ids = {0};
    Encoding e = {.t = t, .out = &ids};
    Status s = fill_by_bytes(t, &e);
    tokenizer_encoding_free(&e);
    tokenizer_buf_free(&ids);
    return s;
}
