/* Policy: BERT's normalizer and WordPiece (Schuster and Nakajima 2012; Devlin et al. 2018), as in
 * `tokenizers`: clean_text, spaces around CJK, then NFD without nonspacing marks, then lower case character
 * by character (no final sigma; only U+0130 becomes two). A word is cut greedily, longest token first; a word
 * that cannot be cut whole, or of more than max_word characters, is one unk. */
#include "data/tokenizer_impl.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

/* clean_text and CJK: text to code points. */
static Status clean(Encoding *e, const char *text, size_t n) {
    const Tokenizer *t = e->t;
    e->code.n = 0;
    for (size_t i = 0; i < n;) {
        uint32_t c = tokenizer_read_utf8(text, &i);
        uint8_t kind = t->classes[c];
        if (t->clean_text && (kind & CLASS_DROPPED)) continue;
        if (t->clean_text && (kind & CLASS_SPACE)) c = ' ';
        bool apart = t->chinese && (kind & CLASS_CHINESE);
        if (apart) TRY(tokenizer_code_push(&e->code, ' '));
        TRY(tokenizer_code_push(&e->code, c));
        if (apart) TRY(tokenizer_code_push(&e->code, ' '));
    }
    return OK;
}

/* Stable sort of [from, to) by combining class; counting sort, so that long runs of marks stay linear. */
static Status order_marks(uint32_t *at, size_t from, size_t to) {
    size_t n = to - from, count[257] = {0};
    if (n < 2) return OK;
    uint32_t *copy = malloc(n * sizeof *copy);
    if (!copy) return status_error(E_ENV, "out of memory (%zu combining marks)", n);
    memcpy(copy, at + from, n * sizeof *copy);
    for (size_t i = 0; i < n; i++)
        count[1 + (uint8_t)utf8proc_get_property((utf8proc_int32_t)copy[i])->combining_class]++;
    for (int k = 0; k < 256; k++) count[k + 1] += count[k];
    for (size_t i = 0; i < n; i++)
        at[from + count[(uint8_t)utf8proc_get_property((utf8proc_int32_t)copy[i])->combining_class]++] =
            copy[i];
    free(copy);
    return OK;
}

typedef struct CaseRange {
    uint32_t first, last;
    int32_t add;
} CaseRange;

/* Lower case: utf8proc's simple mapping, and what Unicode 16 and 17 added, in case it is older (2.8 is). */
static uint32_t lower(uint32_t c) {
    static const CaseRange added[] = {{0x1c89, 0x1c89, 1},      {0xa7cb, 0xa7cb, 0x264 - 0xa7cb},
                                      {0xa7cc, 0xa7cc, 1},      {0xa7ce, 0xa7ce, 1},
                                      {0xa7d2, 0xa7d2, 1},      {0xa7d4, 0xa7d4, 1},
                                      {0xa7da, 0xa7da, 1},      {0xa7dc, 0xa7dc, 0x19b - 0xa7dc},
                                      {0x10d50, 0x10d65, 0x20}, {0x16ea0, 0x16eb8, 0x1b}};
    for (size_t i = 0; c >= 0x1c89 && i < sizeof added / sizeof *added; i++)
        if (c >= added[i].first && c <= added[i].last) return (uint32_t)((int32_t)c + added[i].add);
    return (uint32_t)utf8proc_tolower((utf8proc_int32_t)c);
}

/* The reference's decompositions are those of Unicode 12; these came later. */
static bool decomposes_since_13(uint32_t c) {
    static const uint32_t late[] = {0x11938, 0x105c9, 0x105e4, 0x11383, 0x11385, 0x1138e, 0x11391,
                                    0x113c5, 0x113c7, 0x113c8, 0x16d68, 0x16d69, 0x16d6a};
    if (c < 0x10000) return false;
    for (size_t i = 0; i < sizeof late / sizeof *late; i++)
        if (c == late[i]) return true;
    return c >= 0x16121 && c <= 0x16128;
}

static Status decompose(Code *out, const Code *in) {
    for (size_t i = 0; i < in->n; i++) {
        if (in->at[i] < 0xc0 || decomposes_since_13(in->at[i])) {
            TRY(tokenizer_code_push(out, in->at[i]));
            continue;
        }
        utf8proc_int32_t parts[32];
        int boundary = 0;
        utf8proc_ssize_t k =
            utf8proc_decompose_char((utf8proc_int32_t)in->at[i], parts, 32, UTF8PROC_DECOMPOSE, &boundary);
        CHECK(k >= 0 && k <= 32, "decomposition of U+%04X", in->at[i]);
        for (utf8proc_ssize_t j = 0; j < k; j++) TRY(tokenizer_code_push(out, (uint32_t)parts[j]));
    }
    size_t start = 0;
    for (size_t i = 0; i <= out->n; i++) {
        if (i < out->n && utf8proc_get_property((utf8proc_int32_t)out->at[i])->combining_class != 0) continue;
        TRY(order_marks(out->at, start, i));
        start = i + 1;
    }
    return OK;
}

static Status strip_accents(Encoding *e) {
    Code apart = {0};
    Status s = decompose(&apart, &e->code);
    size_t k = 0;
    for (size_t i = 0; i < apart.n; i++)
        if (!(e->t->classes[apart.at[i]] & CLASS_ACCENT)) apart.at[k++] = apart.at[i];
    apart.n = k;
    free(e->code.at);
    e->code = apart;
    return s;
}

static Status write_normal(Encoding *e) {
    e->normal.used = 0;
    TRY(tokenizer_pool_grow(&e->normal, e->code.n * 4 + 4));
    for (size_t i = 0; i < e->code.n; i++) {
        uint32_t c = e->code.at[i];
        bool dotted = e->t->lowercase && c == 0x130;
        if (dotted)
            c = 'i';
        else if (e->t->lowercase)
            c = lower(c);
        TRY(tokenizer_pool_grow(&e->normal, 8));
        e->normal.used += tokenizer_write_utf8(e->normal.data + e->normal.used, c);
        if (dotted) e->normal.used += tokenizer_write_utf8(e->normal.data + e->normal.used, 0x307);
    }
    return OK;
}

/* ASCII needs no code points: one pass. */
static Status normalize_ascii(Encoding *e, const char *text, size_t n) {
    const Tokenizer *t = e->t;
    e->normal.used = 0;
    TRY(tokenizer_pool_grow(&e->normal, n + 1));
    char *to = e->normal.data;
    size_t k = 0;
    for (size_t i = 0; i < n; i++) {
        char c = text[i];
        uint8_t kind = t->classes[(uint8_t)c];
        if (t->clean_text && (kind & CLASS_DROPPED)) continue;
        if (t->clean_text && (kind & CLASS_SPACE)) c = ' ';
        if (t->lowercase && c >= 'A' && c <= 'Z') c = (char)(c + 32);
        to[k++] = c;
    }
    e->normal.used = k;
    return OK;
}

Status tokenizer_bert_normalize(Encoding *e, const char *text, size_t n) {
    bool ascii = true;
    for (size_t i = 0; i < n && ascii; i++) ascii = (uint8_t)text[i] < 0x80;
    if (ascii) return normalize_ascii(e, text, n);
    TRY(clean(e, text, n));
    if (e->t->strip_accents) TRY(strip_accents(e));
    return write_normal(e);
}

/* The longest model token that begins word[start..n), with the continuation prefix if start > 0. -1: none. */
static int32_t longest_token(const Tokenizer *t, const char *word, size_t n, size_t start, size_t *end) {
    size_t n_prefix = start > 0 ? t->n_continuation : 0;
    uint64_t hash = tokenizer_hash(TOKENIZER_HASH_START, t->continuation, n_prefix);
    int32_t best = -1;
    for (size_t i = start; i < n && i - start + n_prefix < t->longest;) {
        size_t at = i;
        tokenizer_read_utf8(word, &i);
        hash = tokenizer_hash(hash, word + at, i - at);
        int32_t id = tokenizer_table_find2(&t->by_bytes, &t->pool, t->content, hash, t->continuation,
                                           n_prefix, word + start, i - start);
        if (id < 0) continue;
        best = id;
        *end = i;
    }
    return best;
}

Status tokenizer_wordpiece_encode(Encoding *e, const char *word, size_t n) {
    const Tokenizer *t = e->t;
    size_t first = e->out->n, chars = 0;
    for (size_t i = 0; i < n; i++) chars += ((uint8_t)word[i] & 0xc0) != 0x80;
    bool whole = chars <= (size_t)t->max_word;
    for (size_t start = 0, end = 0; whole && start < n; start = end) {
        int32_t id = longest_token(t, word, n, start, &end);
        whole = id >= 0;
        if (whole) TRY(tokenizer_buf_push(e->out, id));
    }
    if (whole) return OK;
    e->out->n = first;
    return tokenizer_buf_push(e->out, t->unk);
}
