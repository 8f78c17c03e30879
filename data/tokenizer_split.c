/* Policy: the pre-tokenizers. Each stage cuts the pieces of the stage before; the model gets the last pieces
 * in order. GPT-2's fixed expression is matched by hand (it is the hot loop and its character classes must be
 * the reference's); Split expressions go to PCRE2 with match limits, so no pattern or text can hang a run.
 *
 * PCRE2's \s also holds U+180E, the reference's (Oniguruma) does not: \s is spelled out before compiling. */
#include "data/tokenizer_impl.h"

#include <stdio.h>
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

/* \s and \S spelled out (outside of a class and \s inside); everything else as it is. */
static Status spell_spaces(Pool *out, const char *p, size_t n) {
    static const char set[] = "\\t-\\r\\x{85}\\p{Z}";
    bool in_class = false;
    for (size_t i = 0; i < n; i++) {
        char with[40] = {p[i], 0};
        if (p[i] == '\\' && i + 1 < n) {
            char c = p[++i];
            memcpy(with + 1, &c, 1);
            if (c == 's')
                snprintf(with, sizeof with, in_class ? "%s" : "[%s]", set);
            else if (c == 'S' && !in_class)
                snprintf(with, sizeof with, "[^%s]", set);
        } else if (p[i] == '[') {
            in_class = true;
        } else if (p[i] == ']') {
            in_class = false;
        }
        Span ignored;
        TRY(tokenizer_pool_add(&ignored, out, with, strlen(with)));
    }
    return OK;
}

static Status compile(pcre2_code **out, const char *pattern, size_t n, bool literal, const char *where) {
    int error;
    size_t at;
    uint32_t flags = PCRE2_UTF | PCRE2_NEVER_BACKSLASH_C | (literal ? 0 : PCRE2_UCP);
    pcre2_code *code = pcre2_compile((PCRE2_SPTR)pattern, n, flags, &error, &at, NULL);
    if (!code) {
        char text[128] = "";
        pcre2_get_error_message(error, (PCRE2_UCHAR *)text, sizeof text);
        return status_error(E_INPUT, "%s: pre_tokenizer: Split pattern, offset %zu: %s", where, at, text);
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
    Status s = literal ? OK : spell_spaces(&spelled, pattern, n);
    if (status_is_ok(s)) {
        const char *text = literal ? pattern : spelled.data ? spelled.data : "";
        s = compile(&st->regex, text, literal ? n : spelled.used, literal, where);
    }
    free(spelled.data);
    if (status_is_ok(s)) t->n_stages++;
    return s;
}
