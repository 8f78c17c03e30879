/* Policy: BPE in SentencePiece's manner, as in `tokenizers` (Kudo and Richardson 2018; Llama-2, Mistral,
 * Gemma): it works on characters, a space is written U+2581, a character without a token becomes the tokens
 * of its bytes ("<0x0A>") if all of them are there, else unk. Prepend and Replace are normalizers and run on
 * every stretch between added tokens; Metaspace is a pre-tokenizer and knows the start of the text.
 *
 * An unk is held back until the next character that has a token, as in the reference: byte tokens overtake
 * it.
 *
 * Decoding: U+2581 to space in every token, runs of byte tokens to text (a run that is not UTF-8 to one
 * U+FFFD a byte), then at most `strip` spaces fewer at the front. */
#include "data/tokenizer_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char metaspace[] = "\xe2\x96\x81";
enum { N_METASPACE = 3 };

static bool begins(const char *s, size_t n, const char *with, size_t k) {
    return n >= k && memcmp(s, with, k) == 0;
}

/* ---------------------------------------------------------------- normalizers */

/* out = text with every `from` replaced by `to`, from left to right. */
static Status replace_all(Pool *out, const char *text, size_t n, const char *from, size_t n_from,
                          const char *to, size_t n_to) {
    size_t hits = 0;
    for (size_t i = 0; i + n_from <= n;) {
        bool hit = memcmp(text + i, from, n_from) == 0;
        hits += hit;
        i += hit ? n_from : 1;
    }
    if (hits * n_to > (size_t)4 * TOKENIZER_MAX_TEXT)
        return status_error(E_INPUT, "text of %zu bytes: the tokenizer's normalizer makes it too long", n);
    out->used = 0;
    TRY(tokenizer_pool_grow(out, n - hits * n_from + hits * n_to + 1));
    char *p = out->data;
    for (size_t i = 0; i < n;) {
        if (begins(text + i, n - i, from, n_from)) {
            memcpy(p, to, n_to);
            p += n_to;
            i += n_from;
        } else {
            *p++ = text[i++];
        }
    }
    out->used = (size_t)(p - out->data);
    return OK;
}

/* out = before + text, nothing if text is empty. */
static Status prepend(Pool *out, const char *text, size_t n, const char *before, size_t k) {
    Span ignored;
    out->used = 0;
    if (n == 0) return OK;
    TRY(tokenizer_pool_add(&ignored, out, before, k));
    return tokenizer_pool_add(&ignored, out, text, n);
}

Status tokenizer_sentence_normalize(Encoding *e, const char *text, size_t n) {
    const Tokenizer *t = e->t;
    const char *pool = t->pool.data;
    Span ignored;
    e->normal.used = 0;
    TRY(tokenizer_pool_grow(&e->normal, 1));
    if (t->n_rewrites == 0) return tokenizer_pool_add(&ignored, &e->normal, text, n);
    for (int i = 0; i < t->n_rewrites; i++) {
        const Rewrite *r = &t->rewrites[i];
        Pool last = e->other;
        e->other = e->normal; /* the result so far; the first reads the text itself */
        e->normal = last;
        const char *in = i == 0 ? text : e->other.data;
        size_t len = i == 0 ? n : e->other.used;
        if (r->from.n == 0)
            TRY(prepend(&e->normal, in, len, pool + r->to.at, r->to.n));
        else
            TRY(replace_all(&e->normal, in, len, pool + r->from.at, r->from.n, pool + r->to.at, r->to.n));
        if (!e->normal.data) TRY(tokenizer_pool_grow(&e->normal, 1));
    }
    return OK;
}

/* ---------------------------------------------------------------- pieces */

/* From i on, where the next U+2581 that begins a piece stands; n: nowhere. runs: only the first of a run. */
static size_t next_cut(const char *s, size_t n, size_t i, bool runs) {
    while (i < n) {
        const char *hit = memchr(s + i, metaspace[0], n - i);
        if (!hit) return n;
        i = (size_t)(hit - s);
        if (begins(s + i, n - i, metaspace, N_METASPACE) &&
            !(runs && i >= N_METASPACE && memcmp(s + i - N_METASPACE, metaspace, N_METASPACE) == 0))
            return i;
        i++;
    }
    return n;
}

static Status encode_cut(Encoding *e, const char *s, size_t n, bool runs) {
    for (size_t i = 0, end; i < n; i = end) {
        end = next_cut(s, n, i + 1, runs);
        TRY(tokenizer_bpe_encode(e, s + i, end - i));
    }
    return OK;
}

Status tokenizer_sentence_encode(Encoding *e, const char *piece, size_t n) {
    return e->t->cut_words ? encode_cut(e, piece, n, true) : tokenizer_bpe_encode(e, piece, n);
}

Status tokenizer_metaspace_encode(Encoding *e, const char *text, size_t n) {
    const Tokenizer *t = e->t;
    Pool *out = &e->other;
    TRY(replace_all(out, text, n, " ", 1, metaspace, N_METASPACE));
    bool wanted = t->metaspace == METASPACE_ALWAYS || (t->metaspace == METASPACE_FIRST && e->at_start);
    if (wanted && n > 0 && !begins(out->data, out->used, metaspace, N_METASPACE)) {
        TRY(tokenizer_pool_grow(out, N_METASPACE));
        memmove(out->data + N_METASPACE, out->data, out->used);
        memcpy(out->data, metaspace, N_METASPACE);
        out->used += N_METASPACE;
    }
    if (t->metaspace_split) return encode_cut(e, out->data, out->used, false);
    return tokenizer_sentence_encode(e, out->data, out->used);
}

size_t tokenizer_sentence_symbols(const Tokenizer *t, int32_t *ids, const char *piece, size_t n) {
    size_t k = 0;
    bool held = false; /* an unk */
    for (size_t i = 0, end = 0; i < n; i = end) {
        tokenizer_read_utf8(piece, &end);
        int32_t id = tokenizer_table_find(&t->by_content, &t->pool, t->content, piece + i, end - i);
        bool known = id >= 0 && (t->flags[id] & TOKEN_MODEL), bytes = t->byte_fallback;
        for (size_t b = i; b < end && bytes && !known; b++) bytes = t->byte_id[(uint8_t)piece[b]] >= 0;
        if (!known && bytes) {
            for (size_t b = i; b < end; b++) ids[k++] = t->byte_id[(uint8_t)piece[b]];
            continue;
        }
        if (held && (known || !t->fuse_unk)) {
            ids[k++] = t->unk;
            held = false;
        }
        if (known)
            ids[k++] = id;
        else
            held = t->unk >= 0;
    }
    if (held) ids[k++] = t->unk;
    return k;
}

/* ---------------------------------------------------------------- tables */

/* The byte of "<0x0A>", or -1. */
static int byte_of(const char *s, size_t n) {
    int value = 0;
    if (n != 6 || memcmp(s, "<0x", 3) != 0 || s[5] != '>') return -1;
    for (int i = 3; i < 5; i++) {
        int letter = (s[i] | 32) - 'a';
        bool digit = s[i] >= '0' && s[i] <= '9';
        if (!digit && (letter < 0 || letter > 5)) return -1;
        value = value * 16 + (digit ? s[i] - '0' : letter + 10);
    }
    return value;
}

Status tokenizer_sentence_bytes(Tokenizer *t, int32_t id, Span text) {
    const char *s = t->pool.data + text.at;
    int byte = t->decode_bytes ? byte_of(s, text.n) : -1;
    char c = (char)byte;
    if (byte >= 0) return tokenizer_pool_add(&t->bytes[id], &t->pool, &c, 1);
    t->bytes[id] = text;
    if (next_cut(s, text.n, 0, false) == text.n) return OK;
    Pool spaced = {0};
    Status st = replace_all(&spaced, s, text.n, metaspace, N_METASPACE, " ", 1);
    if (status_is_ok(st)) st = tokenizer_pool_add(&t->bytes[id], &t->pool, spaced.data, spaced.used);
    free(spaced.data);
    return st;
}

/* May pieces be cut before every run of U+2581? Yes if no merge joins something to a U+2581 on its right,
 * except another one: then no token crosses such a place, and cutting changes no id. */
static bool merges_stay_in_words(const Tokenizer *t) {
    int32_t space = tokenizer_id(t, metaspace);
    if (t->ignore_merges || space < 0 || !(t->flags[space] & TOKEN_MODEL)) return false;
    for (size_t i = 0; i <= t->merges.mask; i++) {
        const Merge *m = &t->merges.slots[i];
        if (m->left < 0) continue;
        Span l = t->content[m->left], r = t->content[m->right];
        const char *left = t->pool.data + l.at, *right = t->pool.data + r.at;
        bool spaced = l.n >= N_METASPACE && memcmp(left + l.n - N_METASPACE, metaspace, N_METASPACE) == 0;
        if (!spaced && begins(right, r.n, metaspace, N_METASPACE)) return false;
    }
    return true;
}

Status tokenizer_sentence_finish(Tokenizer *t) {
    for (int32_t id = 0; id < t->vocab; id++)
        if (t->flags[id] & TOKEN_PRESENT) TRY(tokenizer_sentence_bytes(t, id, t->content[id]));
    for (int b = 0; b < 256; b++) {
        char name[8];
        snprintf(name, sizeof name, "<0x%02X>", b);
        int32_t id = tokenizer_id(t, name);
        t->byte_id[b] = id >= 0 && (t->flags[id] & TOKEN_MODEL) ? id : -1;
    }
    t->cut_words = merges_stay_in_words(t);
    return OK;
}

/* ---------------------------------------------------------------- decoding */

/* text[from..] are the bytes of a run of byte tokens: not UTF-8 becomes one U+FFFD each. */
static Status close_run(Pool *text, size_t from) {
    Span ignored;
    size_t n = text->used - from;
    if (tokenizer_invalid_utf8(text->data + from, n) == n) return OK;
    text->used = from;
    for (size_t i = 0; i < n; i++) TRY(tokenizer_pool_add(&ignored, text, "\xef\xbf\xbd", 3));
    return OK;
}

Status tokenizer_sentence_decode(const Tokenizer *t, Pool *text, const int32_t *ids, size_t n,
                                 bool skip_special) {
    Span ignored;
    bool in_run = false;
    size_t run = 0;
    TRY(tokenizer_pool_grow(text, 1));
    for (size_t i = 0; i <= n; i++) {
        if (i < n &&
            (!(t->flags[ids[i]] & TOKEN_PRESENT) || (skip_special && (t->flags[ids[i]] & TOKEN_SPECIAL))))
            continue;
        bool byte = false;
        if (i < n && t->decode_bytes) {
            Span s = t->content[ids[i]];
            byte = byte_of(t->pool.data + s.at, s.n) >= 0;
        }
        if (in_run && !byte) TRY(close_run(text, run));
        if (byte && !in_run) run = text->used;
        in_run = byte;
        if (i == n) break;
        Span s = t->bytes[ids[i]];
        TRY(tokenizer_pool_add(&ignored, text, t->pool.data + s.at, s.n));
    }
    size_t cut = 0;
    while (cut < text->used && cut < (size_t)t->strip && text->data[cut] == ' ') cut++;
    text->used -= cut;
    if (cut > 0) memmove(text->data, text->data + cut, text->used);
    return OK;
}
