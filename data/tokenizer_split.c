/* Policy: the pre-tokenizers. Each stage cuts the pieces of the stage before; the model gets the last pieces
 * in order. GPT-2's fixed expression is matched by hand (it is the hot loop and its character classes must be
 * the reference's); Split expressions go to PCRE2 with match limits, so no pattern or text can hang a run.
 *
 * PCRE2's \s also holds U+180E, the reference's (Oniguruma) does not: classes are spelled out before
 * compiling. */
#include "data/tokenizer_impl.h"

#include <stdlib.h>
#include <string.h>

enum {
    MATCH_LIMIT = 50 * 1000 * 1000, /* chosen: a 1 MB run of white space takes a few a character */
    HEAP_LIMIT_KIB = 256 * 1024     /* chosen */
};

static Status emit(Encoding *e, int stage, const char *s, size_t from, size_t to) {
    if (from == to) return OK;
    if (stage + 1 < e->t->n_stages) return tokenizer_split(e, stage + 1, s + from, to - from);
    if (e->t->model == MODEL_BPE) return tokenizer_bpe_encode(e, s + from, to - from);
    if (e->t->model == MODEL_SENTENCE) return tokenizer_sentence_encode(e, s + from, to - from);
    return tokenizer_wordpiece_encode(e, s + from, to - from);
}

static Status split_digits(Encoding *e, int stage, const char *s, size_t n, bool runs) {
    const uint8_t *classes = e->t->classes;
    size_t start = 0;
    bool in_run = false;
    for (size_t i = 0; i < n;) {
        size_t at = i;
        bool digit = classes[tokenizer_read_utf8(s, &i)] & CLASS_NUMERIC;
        if (at > start && (digit != in_run || (digit && !runs))) {
            TRY(emit(e, stage, s, start, at));
            start = at;
        }
        in_run = digit;
    }
    return emit(e, stage, s, start, n);
}

/* End of the run of characters from i whose class bits under `mask` equal `want`. */
static size_t run_end(const uint8_t *classes, const char *s, size_t n, size_t i, uint8_t mask, uint8_t want) {
    while (i < n) {
        size_t next = i;
        if ((classes[tokenizer_read_utf8(s, &next)] & mask) != want) break;
        i = next;
    }
    return i;
}

/* 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+ */
static size_t gpt2_match(const uint8_t *classes, const char *s, size_t n, size_t start) {
    enum { KINDS = CLASS_LETTER | CLASS_NUMBER | CLASS_SPACE };
    if (s[start] == '\'' && n - start >= 2) {
        char a = s[start + 1], b = n - start >= 3 ? s[start + 2] : 0;
        if (a == 's' || a == 't' || a == 'm' || a == 'd') return start + 2;
        if ((a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l')) return start + 3;
    }
    size_t body = start + (s[start] == ' ' && start + 1 < n), i = body;
    uint8_t kind = classes[tokenizer_read_utf8(s, &i)] & KINDS;
    if (!(kind & CLASS_SPACE)) return run_end(classes, s, n, i, KINDS, kind);
    size_t end = run_end(classes, s, n, start, CLASS_SPACE, CLASS_SPACE);
    if (end == n) return end;
    size_t last = end;
    tokenizer_read_utf8_back(s, &last);
    return last > start ? last : end; /* leave the last space to the next word */
}

static Status split_gpt2(Encoding *e, int stage, const char *s, size_t n) {
    for (size_t i = 0; i < n;) {
        size_t end = gpt2_match(e->t->classes, s, n, i);
        TRY(emit(e, stage, s, i, end));
        i = end;
    }
    return OK;
}

static Status split_bert(Encoding *e, int stage, const char *s, size_t n) {
    const uint8_t *classes = e->t->classes;
    size_t start = 0;
    for (size_t i = 0; i < n;) {
        size_t at = i;
        uint8_t kind = classes[tokenizer_read_utf8(s, &i)];
        if (!(kind & (CLASS_SPACE | CLASS_PUNCTUATION))) continue;
        TRY(emit(e, stage, s, start, at));
        if (!(kind & CLASS_SPACE)) TRY(emit(e, stage, s, at, i));
        start = i;
    }
    return emit(e, stage, s, start, n);
}

static Status regex_error(int rc) {
    char text[128] = "";
    pcre2_get_error_message(rc, (PCRE2_UCHAR *)text, sizeof text);
    return status_error(E_INPUT, "the tokenizer's split pattern failed on the text: %s", text);
}

static Status prepare_match(Encoding *e, int stage) {
    if (!e->match[stage])
        e->match[stage] = pcre2_match_data_create_from_pattern(e->t->stages[stage].regex, NULL);
    if (!e->limits) {
        e->limits = pcre2_match_context_create(NULL);
        if (e->limits) {
            pcre2_set_match_limit(e->limits, MATCH_LIMIT);
            pcre2_set_heap_limit(e->limits, HEAP_LIMIT_KIB);
        }
    }
    if (!e->match[stage] || !e->limits) return status_error(E_ENV, "out of memory (a regex match)");
    return OK;
}

static Status split_regex(Encoding *e, int stage, const char *s, size_t n) {
    const Stage *st = &e->t->stages[stage];
    TRY(prepare_match(e, stage));
    size_t gap = 0; /* where the text not yet emitted begins */
    for (size_t i = 0; i < n;) {
        PCRE2_SPTR text = (PCRE2_SPTR)s;
        int rc = pcre2_match(st->regex, text, n, i, PCRE2_NO_UTF_CHECK, e->match[stage], e->limits);
        if (rc == PCRE2_ERROR_JIT_STACKLIMIT) /* the interpreter's stack is the heap */
            rc = pcre2_match(st->regex, text, n, i, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, e->match[stage],
                             e->limits);
        if (rc == PCRE2_ERROR_NOMATCH) break;
        if (rc < 0) return regex_error(rc);
        const size_t *at = pcre2_get_ovector_pointer(e->match[stage]);
        size_t from = at[0], to = at[1];
        if (to <= from ||
            from < gap) { /* an empty match, or \K and look-behind at play: step over a character */
            i = from > i ? from : i;
            if (i < n) tokenizer_read_utf8(s, &i);
            continue;
        }
        if (st->keep_gaps) TRY(emit(e, stage, s, gap, from));
        if (st->keep_matches) TRY(emit(e, stage, s, from, to));
        gap = i = to;
    }
    return st->keep_gaps ? emit(e, stage, s, gap, n) : OK;
}

Status tokenizer_split(Encoding *e, int stage, const char *text, size_t n) {
    if (n == 0) return OK;
    if (e->t->n_stages == 0) return emit(e, 0, text, 0, n);
    switch (e->t->stages[stage].kind) {
    case STAGE_DIGITS:
        return split_digits(e, stage, text, n, false);
    case STAGE_DIGIT_RUNS:
        return split_digits(e, stage, text, n, true);
    case STAGE_GPT2:
        return split_gpt2(e, stage, text, n);
    case STAGE_REGEX:
        return split_regex(e, stage, text, n);
    case STAGE_BERT:
        return split_bert(e, stage, text, n);
    }
    CHECK(false, "stage %d of unknown kind", stage);
    return OK;
}

/* Classes spelled out: \s as White_Space, \p{L} and \p{N} with what Unicode 15 and 16 added, in case this
 * PCRE2 is older (10.42 is: Unicode 14). */
typedef struct Spelling {
    const char *from, *to;
} Spelling;

/* clang-format off */
static const Spelling spellings[] = {
    {"\\s", "\\t-\\r\\x{85}\\p{Z}"},
    {"\\p{L}", "\\p{L}"
    "\\x{1c89}-\\x{1c8a}\\x{a7cb}-\\x{a7cd}\\x{a7da}-\\x{a7dc}\\x{105c0}-\\x{105f3}"
    "\\x{10d4a}-\\x{10d65}\\x{10d6f}-\\x{10d85}\\x{10ec2}-\\x{10ec4}\\x{1123f}-\\x{11240}"
    "\\x{11380}-\\x{11389}\\x{1138b}\\x{1138e}\\x{11390}-\\x{113b5}\\x{113b7}\\x{113d1}"
    "\\x{113d3}\\x{11bc0}-\\x{11be0}\\x{11f02}\\x{11f04}-\\x{11f10}\\x{11f12}-\\x{11f33}"
    "\\x{1342f}\\x{13441}-\\x{13446}\\x{13460}-\\x{143fa}\\x{16100}-\\x{1611d}"
    "\\x{16d40}-\\x{16d6c}\\x{18cff}\\x{1b132}\\x{1b155}\\x{1df25}-\\x{1df2a}"
    "\\x{1e030}-\\x{1e06d}\\x{1e4d0}-\\x{1e4eb}\\x{1e5d0}-\\x{1e5ed}\\x{1e5f0}\\x{2b739}"
    "\\x{2ebf0}-\\x{2ee5d}\\x{31350}-\\x{323af}"},
    {"\\p{N}", "\\p{N}"
    "\\x{10d40}-\\x{10d49}\\x{116d0}-\\x{116e3}\\x{11bf0}-\\x{11bf9}\\x{11f50}-\\x{11f59}"
    "\\x{16130}-\\x{16139}\\x{16d70}-\\x{16d79}\\x{1ccf0}-\\x{1ccf9}\\x{1d2c0}-\\x{1d2d3}"
    "\\x{1e4f0}-\\x{1e4f9}\\x{1e5f1}-\\x{1e5fa}"},
};
/* clang-format on */

static Status put(Pool *out, const char *s, size_t n) {
    Span ignored;
    return tokenizer_pool_add(&ignored, out, s, n);
}

/* What p begins with, spelled out; *used is its length. Anything else is one character, or an escape, as it
 * is. \S stands only outside a class. */
static Status spell_one(Pool *out, const char *p, size_t n, bool in_class, size_t *used) {
    for (size_t i = 0; i < sizeof spellings / sizeof *spellings; i++) {
        const char *to = spellings[i].to;
        size_t len = strlen(spellings[i].from);
        bool negated = i == 0 && !in_class && n >= 2 && memcmp(p, "\\S", 2) == 0;
        if (!negated && (n < len || memcmp(p, spellings[i].from, len) != 0)) continue;
        *used = len;
        if (!in_class) TRY(put(out, negated ? "[^" : "[", negated ? 2 : 1));
        TRY(put(out, to, strlen(to)));
        return in_class ? OK : put(out, "]", 1);
    }
    *used = p[0] == '\\' && n >= 2 ? 2 : 1;
    return put(out, p, *used);
}

static Status spell_classes(Pool *out, const char *p, size_t n) {
    bool in_class = false;
    for (size_t i = 0, used; i < n; i += used) {
        if (p[i] == '[') in_class = true;
        if (p[i] == ']') in_class = false;
        TRY(spell_one(out, p + i, n - i, in_class, &used));
    }
    return OK;
}

static Status compile(pcre2_code **out, const char *pattern, size_t n, bool literal, const char *where) {
    int error;
    size_t at;
    uint32_t flags = PCRE2_UTF | (literal ? PCRE2_LITERAL : PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C);
    pcre2_code *code = pcre2_compile((PCRE2_SPTR)pattern, n, flags, &error, &at, NULL);
    if (!code) {
        char text[128] = "";
        pcre2_get_error_message(error, (PCRE2_UCHAR *)text, sizeof text);
        return status_error(error == PCRE2_ERROR_HEAP_FAILED ? E_ENV : E_INPUT,
                            "%s: pre_tokenizer: Split pattern, offset %zu: %s", where, at, text);
    }
    pcre2_jit_compile(code,
                      PCRE2_JIT_COMPLETE); /* without JIT the interpreter runs: slower, the same matches */
    *out = code;
    return OK;
}

Status tokenizer_compile_stage(Tokenizer *t, const char *pattern, bool literal, bool keep_matches,
                               bool keep_gaps, const char *where) {
    if (t->n_stages == TOKENIZER_MAX_STAGES)
        return status_error(E_INPUT, "%s: pre_tokenizer: more than %d steps", where, TOKENIZER_MAX_STAGES);
    size_t n = strlen(pattern);
    if (n > 65536) return status_error(E_INPUT, "%s: pre_tokenizer: Split pattern of %zu bytes", where, n);
    Pool spelled = {0};
    Stage *st = &t->stages[t->n_stages];
    *st = (Stage){.kind = STAGE_REGEX, .keep_matches = keep_matches, .keep_gaps = keep_gaps};
    Status s = literal ? OK : spell_classes(&spelled, pattern, n);
    if (status_is_ok(s)) {
        const char *text = literal ? pattern : spelled.data ? spelled.data : "";
        s = compile(&st->regex, text, literal ? n : spelled.used, literal, where);
    }
    free(spelled.data);
    if (status_is_ok(s)) t->n_stages++;
    return s;
}
