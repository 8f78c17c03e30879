/* Tokenizers against the reference library's ids, texts and characters (tests/golden). What needs a
 * model file (MiniLM's tokenizer.json, SmolLM2's GGUF, from `t2l fetch`) is skipped without it; the rest
 * always runs. */
#include "base/file.h"
#include "base/json.h"
#include "data/gguf.h"
#include "data/tokenizer.h"
#include "data/tokenizer_impl.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void must(Status s) {
    if (!status_is_ok(s)) fail_msg("%s", status_message(s));
}

/* ---- golden files -------------------------------------------------------------------------------------- */

typedef struct Lines {
    FILE *file;
    char *text;
    size_t cap, number;
    char path[512];
} Lines;

static Lines lines_open(const char *name) {
    Lines l = {0};
    snprintf(l.path, sizeof l.path, "%s/tests/golden/%s", TEST_ROOT, name);
    l.file = fopen(l.path, "rb");
    if (!l.file) fail_msg("cannot open %s", l.path);
    return l;
}

/* The next line's value (owns), or NULL at the end. */
static cJSON *lines_next(Lines *l) {
    cJSON *value = NULL;
    ssize_t n = getline(&l->text, &l->cap, l->file);
    l->number++;
    /* U+0000 is refused in JSON: it stands as U+F8FF here and in show_nul */
    for (char *nul = n > 0 ? strstr(l->text, "\\u0000") : NULL; nul; nul = strstr(nul, "\\u0000"))
        memcpy(nul, "\\uf8ff", 6);
    if (n > 0) must(json_parse(&value, l->text, (size_t)n, l->path));
    return value;
}

static void lines_close(Lines *l) {
    fclose(l->file);
    free(l->text);
}

static cJSON *ids_json(const TokenBuf *ids) {
    return cJSON_CreateIntArray(ids->ids, (int)ids->n);
}

static void check_ids(const TokenBuf *got, const cJSON *want, const char *where, size_t line) {
    bool same = got->n == (size_t)cJSON_GetArraySize(want);
    const cJSON *w = want->child;
    for (size_t i = 0; same && i < got->n; i++, w = w->next) same = got->ids[i] == w->valueint;
    if (same) return;
    cJSON *have = ids_json(got);
    fail_msg("%s:%zu:\n  got  %s\n  want %s", where, line, cJSON_PrintUnformatted(have),
             cJSON_PrintUnformatted(want));
}

static const TokenizerOpts PARSE = {.parse_special = true};

static void check_corpus(const Tokenizer *t, const char *ids_name) {
    Lines texts = lines_open("corpus.jsonl"), ids = lines_open(ids_name);
    TokenBuf got = {0};
    size_t n = 0;
    for (cJSON *text; (text = lines_next(&texts)); n++) {
        cJSON *want = lines_next(&ids);
        assert_non_null(want);
        got.n = 0;
        must(tokenizer_encode(t, &got, text->valuestring, strlen(text->valuestring), PARSE));
        check_ids(&got, want, ids.path, ids.number);
        cJSON_Delete(text);
        cJSON_Delete(want);
    }
    assert_true(n >= 2200);
    print_message("%s: %zu texts, all equal\n", ids_name, n);
    tokenizer_buf_free(&got);
    lines_close(&texts);
    lines_close(&ids);
}

static size_t from_hex(char *out, const char *hex) {
    size_t n = strlen(hex) / 2;
    for (size_t i = 0; i < n; i++) {
        unsigned byte;
        assert_int_equal(sscanf(hex + 2 * i, "%2x", &byte), 1);
        out[i] = (char)byte;
    }
    return n;
}

/* text with U+F8FF for NULs, NUL-terminated (owns) */
static char *show_nul(const char *text, size_t n) {
    char *out = malloc(n * 3 + 1), *to = out;
    assert_non_null(out);
    for (size_t i = 0; i < n; i++) {
        if (text[i])
            *to++ = text[i];
        else
            to = (char *)memcpy(to, "\xef\xa3\xbf", 3) + 3;
    }
    *to = 0;
    return out;
}

/* want: with U+F8FF for NULs */
static void check_decode(const Tokenizer *t, const cJSON *ids, const char *want, size_t line) {
    TokenBuf list = {0};
    for (const cJSON *i = ids->child; i; i = i->next) must(tokenizer_buf_push(&list, i->valueint));
    char *text;
    size_t have;
    must(tokenizer_decode(t, &text, &have, list.ids, list.n, (TokenizerDecodeOpts){false}));
    char *shown = show_nul(text, have);
    if (strcmp(shown, want) != 0) fail_msg("decode, line %zu: got '%s', want '%s'", line, shown, want);
    free(shown);
    free(text);
    tokenizer_buf_free(&list);
}

static void check_nul(const Tokenizer *t, const char *key, bool decode) {
    Lines cases = lines_open("nul.jsonl");
    for (cJSON *c; (c = lines_next(&cases));) {
        char text[256];
        size_t n = from_hex(text, cJSON_GetObjectItem(c, "utf8_hex")->valuestring);
        TokenBuf got = {0};
        must(tokenizer_encode(t, &got, text, n, PARSE));
        check_ids(&got, cJSON_GetObjectItem(c, key), cases.path, cases.number);
        tokenizer_buf_free(&got);
        if (decode) {
            n = from_hex(text, cJSON_GetObjectItem(c, "decoded_hex")->valuestring);
            char *want = show_nul(text, n);
            check_decode(t, cJSON_GetObjectItem(c, key), want, cases.number);
            free(want);
        }
        cJSON_Delete(c);
    }
    lines_close(&cases);
}

/* <cache>/<name>, or skips the test. */
static void find_model(char *out, size_t size, const char *name) {
    const char *cache = getenv("T2L_CACHE"), *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (cache && *cache)
        snprintf(out, size, "%s/%s", cache, name);
    else if (xdg && *xdg)
        snprintf(out, size, "%s/t2l/%s", xdg, name);
    else
        snprintf(out, size, "%s/.cache/t2l/%s", home ? home : "", name);
    if (file_exists(out)) return;
    print_message("skipped: %s is not there (t2l fetch)\n", out);
    skip();
}

static void golden_minilm(void **state) {
    (void)state;
    char path[1024];
    Tokenizer *t;
    find_model(path, sizeof path, "minilm-l6-v2/tokenizer.json");
    must(tokenizer_load_json(&t, path));
    assert_int_equal(tokenizer_vocab_size(t), 30522);
    TokenizerMarkers m = tokenizer_markers(t);
    assert_int_equal(m.cls, 101);
    assert_int_equal(m.sep, 102);
    assert_int_equal(m.pad, 0);
    assert_int_equal(m.unk, 100);
    check_corpus(t, "minilm_ids.jsonl");
    check_nul(t, "minilm", false);
    tokenizer_free(t);
}

static void check_smollm2_decode(const Tokenizer *t) {
    Lines ids = lines_open("smollm2_ids.jsonl"), texts = lines_open("decoded.jsonl");
    for (cJSON *i; (i = lines_next(&ids)); cJSON_Delete(i)) {
        cJSON *want = lines_next(&texts);
        check_decode(t, i, want->valuestring, ids.number);
        cJSON_Delete(want);
    }
    lines_close(&ids);
    lines_close(&texts);
    Lines cut = lines_open("decoded_cut.jsonl");
    for (cJSON *c; (c = lines_next(&cut)); cJSON_Delete(c)) {
        const char *want = cJSON_GetObjectItem(c, "text")->valuestring;
        check_decode(t, cJSON_GetObjectItem(c, "ids"), want, cut.number);
    }
    lines_close(&cut);
}

static void golden_smollm2(void **state) {
    (void)state;
    char path[1024];
    Gguf g;
    Tokenizer *t;
    find_model(path, sizeof path, "smollm2-135m-instruct/smollm2-135m-instruct.gguf");
    must(gguf_open(&g, path));
    must(gguf_tokenizer(&t, &g));
    gguf_close(&g);
    assert_int_equal(tokenizer_vocab_size(t), 49152);
    assert_int_equal(tokenizer_id(t, "<|im_end|>"), 2);
    assert_true(tokenizer_is_special(t, 2));
    assert_false(tokenizer_is_special(t, 504));
    assert_int_equal(tokenizer_markers(t).eos, 2);
    check_corpus(t, "smollm2_ids.jsonl");
    check_nul(t, "smollm2", true);
    check_smollm2_decode(t);
    tokenizer_free(t);
}

/* ---- characters ---------------------------------------------------------------------------------------- */

static void character_classes(void **state) {
    (void)state;
    static const struct {
        const char *key;
        uint8_t bit;
    } rows[] = {{"bytelevel_letter", CLASS_LETTER},
                {"bytelevel_number", CLASS_NUMBER},
                {"digits_is_numeric", CLASS_NUMERIC},
                {"bytelevel_space", CLASS_SPACE},
                {"bert_space", CLASS_SPACE},
                {"bert_clean_dropped", CLASS_DROPPED},
                {"bert_chinese", CLASS_CHINESE},
                {"bert_accent_dropped", CLASS_ACCENT},
                {"bert_punctuation", CLASS_PUNCTUATION}};
    cJSON *golden;
    uint8_t *classes = tokenizer_classes();
    assert_non_null(classes);
    must(json_read(&golden, TEST_ROOT "/tests/golden/unicode_classes.json", 1 << 20));
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        uint32_t c = 0;
        for (const cJSON *range = cJSON_GetObjectItem(golden, rows[r].key)->child; range;
             range = range->next) {
            uint32_t first = (uint32_t)range->child->valueint, last = (uint32_t)range->child->next->valueint;
            for (; c < first; c++) assert_false(classes[c] & rows[r].bit);
            for (; c <= last; c++) assert_true(classes[c] & rows[r].bit);
        }
        for (; c < 0x110000; c++) assert_false(classes[c] & rows[r].bit);
    }
    cJSON_Delete(golden);
    free(classes);
}

/* c normalized must be the n characters of want; NULL: itself, or nothing if it is an accent. */
static void check_fold(Encoding *e, uint32_t c, const cJSON *want) {
    char from[4];
    size_t n = tokenizer_write_utf8(from, c), i = 0;
    bool accent = e->t->classes[c] & CLASS_ACCENT;
    must(tokenizer_bert_normalize(e, from, n));
    for (const cJSON *w = want ? want->child : NULL; w; w = w->next) {
        assert_true(i < e->normal.used);
        assert_int_equal(tokenizer_read_utf8(e->normal.data, &i), w->valueint);
    }
    if (!want && !accent) assert_int_equal(tokenizer_read_utf8(e->normal.data, &i), c);
    assert_int_equal(i, e->normal.used);
}

/* Every character but Hangul through strip_accents and lower case. */
static void bert_fold(void **state) {
    (void)state;
    Tokenizer t = {.bert_normalizer = true, .strip_accents = true, .lowercase = true, .unk = -1};
    t.classes = tokenizer_classes();
    assert_non_null(t.classes);
    Lines rows = lines_open("bert_fold.jsonl");
    Encoding e = {.t = &t};
    cJSON *row = lines_next(&rows);
    for (uint32_t c = 0; c < 0x110000; c++) {
        if (c >= 0xac00 && c <= 0xdfff) continue;
        bool changed = row && (uint32_t)row->child->valueint == c;
        check_fold(&e, c, changed ? row->child->next : NULL);
        if (!changed) continue;
        cJSON_Delete(row);
        row = lines_next(&rows);
    }
    assert_null(row);
    lines_close(&rows);
    tokenizer_encoding_free(&e);
    free(t.classes);
}

static void lossy_text(void **state) {
    (void)state;
    static const struct {
        const char *in, *out;
    } cases[] = {{"abc", "abc"},
                 {"\xff", "\xef\xbf\xbd"},
                 {"a\xc3", "a\xef\xbf\xbd"},
                 {"\xe2\x82", "\xef\xbf\xbd"}, /* one for the maximal part */
                 {"\xe2\x28\xa1", "\xef\xbf\xbd(\xef\xbf\xbd"},
                 {"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"}, /* a surrogate */
                 {"\xf0\x9f\x92", "\xef\xbf\xbd"},
                 {"\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd"},
                 {"\xf4\x90\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
                 {"\xf0\x9f\x92\xa1\x80", "\xf0\x9f\x92\xa1\xef\xbf\xbd"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *out;
        size_t n, len = strlen(cases[i].in);
        must(tokenizer_lossy_utf8(&out, &n, cases[i].in, len));
        assert_string_equal(out, cases[i].out);
        assert_int_equal(tokenizer_invalid_utf8(cases[i].in, len) == len, strcmp(out, cases[i].in) == 0);
        free(out);
    }
    assert_int_equal(tokenizer_complete_utf8("ab\xe2\x82", 4), 2);
    assert_int_equal(tokenizer_complete_utf8("ab\xe2\x82\xac", 5), 5);
    assert_int_equal(tokenizer_complete_utf8("\xf0\x9f\x92", 3), 0);
    assert_int_equal(tokenizer_complete_utf8("\xff", 1), 1); /* broken already: nothing to wait for */
    assert_int_equal(tokenizer_complete_utf8("\xe2\x28", 2), 2);
    assert_int_equal(tokenizer_complete_utf8("", 0), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(character_classes), cmocka_unit_test(bert_fold),      cmocka_unit_test(lossy_text),
        cmocka_unit_test(golden_minilm),     cmocka_unit_test(golden_smollm2),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
