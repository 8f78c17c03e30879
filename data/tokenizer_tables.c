/* Policy: growing buffers and the string table. Capacities double; a failed growth leaves the old block. */
#include "data/tokenizer_impl.h"

#include <stdlib.h>
#include <string.h>

Status tokenizer_pool_grow(Pool *p, size_t n) {
    if (p->cap - p->used >= n) return OK;
    size_t cap = p->cap + p->cap / 2 + n + 64;
    char *data = realloc(p->data, cap);
    if (!data) return status_error(E_ENV, "out of memory (%zu bytes of text)", cap);
    p->data = data;
    p->cap = cap;
    return OK;
}

Status tokenizer_pool_add(Span *out, Pool *p, const char *s, size_t n) {
    TRY(tokenizer_pool_grow(p, n));
    if (n > 0) memcpy(p->data + p->used, s, n);
    *out = (Span){p->used, n};
    p->used += n;
    return OK;
}

Status tokenizer_code_push(Code *c, uint32_t x) {
    if (c->n == c->cap) {
        size_t cap = c->cap * 2 + 256;
        uint32_t *at = realloc(c->at, cap * sizeof *at);
        if (!at) return status_error(E_ENV, "out of memory (%zu characters)", cap);
        c->at = at;
        c->cap = cap;
    }
    c->at[c->n++] = x;
    return OK;
}

Status tokenizer_table_init(StrTable *t, size_t n) {
    size_t slots = 16;
    while (slots < n * 2) slots *= 2;
    t->slots = calloc(slots, sizeof *t->slots);
    if (!t->slots) return status_error(E_ENV, "out of memory (%zu table slots)", slots);
    t->mask = slots - 1;
    return OK;
}

static size_t start_slot(const StrTable *t, uint64_t hash) {
    return (size_t)((hash * 0x9e3779b97f4a7c15ull) >> 32) & t->mask;
}

void tokenizer_table_put(StrTable *t, const Pool *p, const Span *spans, int32_t id) {
    const char *s = p->data + spans[id].at;
    size_t n = spans[id].n;
    uint64_t hash = tokenizer_hash(TOKENIZER_HASH_START, s, n);
    uint64_t tag = hash >> 32 << 32;
    size_t i = start_slot(t, hash);
    for (; t->slots[i]; i = (i + 1) & t->mask) {
        if (t->slots[i] >> 32 << 32 != tag) continue;
        Span other = spans[(uint32_t)t->slots[i] - 1];
        if (other.n == n && memcmp(p->data + other.at, s, n) == 0) break;
    }
    t->slots[i] = tag | (uint32_t)(id + 1);
}

int32_t tokenizer_table_find2(const StrTable *t, const Pool *p, const Span *spans, uint64_t hash,
                              const char *a, size_t na, const char *b, size_t nb) {
    uint64_t tag = hash >> 32 << 32;
    for (size_t i = start_slot(t, hash); t->slots[i]; i = (i + 1) & t->mask) {
        if (t->slots[i] >> 32 << 32 != tag) continue;
        int32_t id = (int32_t)((uint32_t)t->slots[i] - 1);
        const char *have = p->data + spans[id].at;
        if (spans[id].n == na + nb && (na == 0 || memcmp(have, a, na) == 0) &&
            (nb == 0 || memcmp(have + na, b, nb) == 0))
            return id;
    }
    return -1;
}

int32_t tokenizer_table_find(const StrTable *t, const Pool *p, const Span *spans, const char *s, size_t n) {
    return tokenizer_table_find2(t, p, spans, tokenizer_hash(TOKENIZER_HASH_START, s, n), s, n, NULL, 0);
}
