/* Llama-3.1's and Llama-2's tokenizers against the reference library (tests/golden/make_llama_tokenizers.py).
 * The small tokenizers are in the repository and are always tested; the real vocabularies are looked for in
 * $T2L_SHARED/data/tokenizers or ../shared/data/tokenizers beside the project, and skipped when not there. */
#include "tests/data/files.h"

#include "base/json.h"
#include "data/tokenizer_impl.h"

#include <archive.h>
#include <archive_entry.h>

static const TokenizerOpts PARSE = {.parse_special = true};

/* ---- lines of JSON ---- */

typedef struct Rows {
    FILE *file;
    char *text; /* owns */
    size_t cap, number;
    TestPath path;
} Rows;

static Rows rows_open(const char *name) {
    Rows r = {.path = golden(name)};
    r.file = fopen(r.path.s, "rb");
    if (!r.file) fail_msg("cannot open %s", r.path.s);
    return r;
}

/* The next line's value (owns), or NULL at the end. */
static cJSON *rows_next(Rows *r) {
    cJSON *value = NULL;
    ssize_t n = getline(&r->text, &r->cap, r->file);
    r->number++;
    if (n > 0) assert_ok(json_parse(&value, r->text, (size_t)n, r->path.s));
    return value;
}

static void rows_close(Rows *r) {
    fclose(r->file);
    free(r->text);
}

/* All lines (owns each). */
static cJSON **rows_all(const char *name, size_t *n) {
    Rows r = rows_open(name);
    cJSON **all = NULL, *row;
    for (*n = 0; (row = rows_next(&r)); ++*n) {
        all = realloc(all, (*n + 1) * sizeof *all);
        assert_non_null(all);
        all[*n] = row;
    }
    rows_close(&r);
    return all;
}

static void free_all(cJSON **all, size_t n) {
    for (size_t i = 0; i < n; i++) cJSON_Delete(all[i]);
    free(all);
}

/* ---- comparisons ---- */

static void check_ids(const TokenBuf *got, const cJSON *want, const char *where, size_t row) {
    bool same = got->n == (size_t)cJSON_GetArraySize(want);
    const cJSON *w = want->child;
    for (size_t i = 0; same && i < got->n; i++, w = w->next) same = got->ids[i] == w->valueint;
    if (same) return;
    cJSON *have = cJSON_CreateIntArray(got->ids, (int)got->n);
    fail_msg("%s, row %zu:\n  got  %s\n  want %s", where, row, cJSON_PrintUnformatted(have),
             cJSON_PrintUnformatted(want));
}

static void check_encode(const Tokenizer *t, const char *text, const cJSON *want, const char *where,
                         size_t row) {
    TokenBuf got = {0};
    assert_ok(tokenizer_encode(t, &got, text, strlen(text), PARSE));
    check_ids(&got, want, where, row);
    tokenizer_buf_free(&got);
}

static void check_decode(const Tokenizer *t, const cJSON *ids, const char *want, const char *where,
                         size_t row) {
    TokenBuf list = {0};
    char *text;
    size_t n;
    for (const cJSON *i = ids->child; i; i = i->next) assert_ok(tokenizer_buf_push(&list, i->valueint));
    assert_ok(tokenizer_decode(t, &text, &n, list.ids, list.n, (TokenizerDecodeOpts){false}));
    if (n != strlen(want) || memcmp(text, want, n) != 0)
        fail_msg("%s, row %zu: decoded '%s', want '%s'", where, row, text, want);
    free(text);
    tokenizer_buf_free(&list);
}

/* Cutting pieces at words is only a short cut: without it the ids are the same. */
static void check_uncut(Tokenizer *t, const char *text, const cJSON *want, const char *where, size_t row) {
    if (!t->cut_words) return;
    t->cut_words = false;
    check_encode(t, text, want, where, row);
    t->cut_words = true;
}

/* ---- small tokenizers ---- */

static void small(void **state) {
    (void)state;
    Rows r = rows_open("small_tokenizers.jsonl");
    int tokenizers = 0, n_cases = 0, cutting = 0;
    for (cJSON *row; (row = rows_next(&r)); cJSON_Delete(row), tokenizers++) {
        const char *name = cJSON_GetObjectItem(row, "name")->valuestring;
        char *json = cJSON_PrintUnformatted(cJSON_GetObjectItem(row, "tokenizer"));
        Tokenizer *t;
        assert_ok(tokenizer_parse_json(&t, json, strlen(json), name));
        cJSON_free(json);
        cutting += t->cut_words;
        size_t i = 0;
        for (const cJSON *c = cJSON_GetObjectItem(row, "cases")->child; c; c = c->next, i++, n_cases++) {
            const cJSON *ids = c->child->next;
            check_encode(t, c->child->valuestring, ids, name, i);
            check_uncut(t, c->child->valuestring, ids, name, i);
            check_decode(t, ids, ids->next->valuestring, name, i);
        }
        tokenizer_free(t);
    }
    rows_close(&r);
    assert_true(tokenizers == 15 && n_cases > 1000 && cutting > 0 && cutting < tokenizers);
}

/* The bytes of a token by itself, for streaming: byte tokens give their byte, U+2581 is a space. */
static void streaming(void **state) {
    (void)state;
    Rows r = rows_open("small_tokenizers.jsonl");
    cJSON *row = rows_next(&r);
    char *json = cJSON_PrintUnformatted(cJSON_GetObjectItem(row, "tokenizer"));
    Tokenizer *t;
    size_t n;
    assert_ok(tokenizer_parse_json(&t, json, strlen(json), "small"));
    const char *s = tokenizer_token_bytes(t, &n, tokenizer_id(t, "\xe2\x96\x81hello"));
    assert_true(n == 6 && memcmp(s, " hello", n) == 0);
    s = tokenizer_token_bytes(t, &n, tokenizer_id(t, "<0xE2>"));
    assert_true(n == 1 && (uint8_t)*s == 0xe2);
    assert_true(tokenizer_is_special(t, tokenizer_id(t, "</s>")));
    char *text;
    assert_ok(tokenizer_decode(t, &text, &n, (int32_t[]){1, tokenizer_id(t, "h"), 2}, 3,
                               (TokenizerDecodeOpts){.skip_special = true}));
    assert_string_equal(text, "h");
    free(text);
    assert_fails(tokenizer_decode(t, &text, &n, (int32_t[]){100000}, 1, (TokenizerDecodeOpts){false}),
                 E_INPUT, "100000");
    tokenizer_free(t);
    cJSON_free(json);
    cJSON_Delete(row);
    rows_close(&r);
}

/* ---- damaged files ---- */

/* Ok or E_INPUT; a tokenizer that loads must encode and decode. */
static bool survives(const char *json, size_t n) {
    static const char text[] = "hello  a \xe2\x96\x81 b 1 \xc3\xa9<s>[X] tool\xff\n\n \xf0\x9f\x98\x80 x";
    Tokenizer *t;
    Status s = tokenizer_parse_json(&t, json, n, "damaged");
    if (!status_is_ok(s)) {
        if (status_code(s) != E_INPUT || t || !strstr(status_message(s), "damaged"))
            fail_msg("%s", status_message(s));
        status_free(s);
        return false;
    }
    TokenBuf ids = {0};
    char *out;
    size_t m;
    assert_ok(tokenizer_encode(t, &ids, text, sizeof text - 1, PARSE));
    assert_ok(tokenizer_decode(t, &out, &m, ids.ids, ids.n, (TokenizerDecodeOpts){false}));
    free(out);
    tokenizer_buf_free(&ids);
    tokenizer_free(t);
    return true;
}

/* Everything but the vocabulary, which is most of the file and damaged elsewhere, comes first. */
static char *head_first(cJSON *tokenizer, size_t *head) {
    cJSON *model = cJSON_GetObjectItem(tokenizer, "model");
    cJSON *vocab = cJSON_DetachItemFromObject(model, "vocab");
    char *text = cJSON_PrintUnformatted(tokenizer);
    *head = strlen(text);
    cJSON_free(text);
    cJSON_AddItemToObject(model, "vocab", vocab);
    return cJSON_PrintUnformatted(tokenizer);
}

static void damaged(void **state) {
    (void)state;
    Rows r = rows_open("small_tokenizers.jsonl");
    Rng rng = rng_make(5, 0);
    int alive = 0;
    for (cJSON *row; (row = rows_next(&r)); cJSON_Delete(row)) {
        size_t head;
        char *json = head_first(cJSON_GetObjectItem(row, "tokenizer"), &head);
        size_t n = strlen(json);
        uint8_t *copy = test_alloc(n + 8);
        assert_true(survives(json, n));
        for (size_t cut = 0; cut < n; cut += 61) assert_false(survives(json, cut));
        for (int i = 0; i < 150; i++)
            alive += survives((const char *)copy, damage(copy, (const uint8_t *)json, n, head, &rng));
        free(copy);
        cJSON_free(json);
    }
    assert_true(alive > 0);
    rows_close(&r);
}

typedef struct Refusal {
    const char *from, *to, *message;
} Refusal;

/* What the loader does not implement is refused by name. */
static void refused(void **state) {
    (void)state;
    static const Refusal cases[] = {
        {"{\"type\":\"ByteFallback\"}", "{\"type\":\"Fuse\"}", "decoder step 'Fuse'"},
        {",{\"type\":\"Fuse\"},{\"type\":\"Strip\",\"content\":\" \",\"start\":1,\"stop\":0}", "",
         "decoder: expected Sequence[Replace"},
        {"\"content\":\" \",\"start\":1", "\"content\":\"x\",\"start\":1", "decoder Strip of 'x'"},
        {"\"stop\":0", "\"stop\":1", "'stop'"},
        {"\"start\":1", "\"start\":-1", "'start'"},
        {"{\"type\":\"Replace\",\"pattern\":{\"String\":\"\xe2\x96\x81\"},\"content\":\" \"}",
         "{\"type\":\"Replace\",\"pattern\":{\"String\":\"_\"},\"content\":\" \"}", "decoder Replace of '_'"},
        {"\"decoder\":{\"type\":\"Sequence\"", "\"decoder\":{\"type\":\"Metaspace\"", "decoder 'Metaspace'"},
        {"\"decoder\":", "\"dekoder\":", "decoder"},
        {"\"prepend\":\"\xe2\x96\x81\"", "\"prepend\":null", "'prepend'"},
        {"\"type\":\"Prepend\"", "\"type\":\"Lowercase\"", "normalizer 'Lowercase'"},
        {"\"pre_tokenizer\":null", "\"pre_tokenizer\":{\"type\":\"Whitespace\"}",
         "pre_tokenizer 'Whitespace'"},
        {"\"type\":\"BPE\"", "\"type\":\"WordPiece\"",
         "WordPiece with ByteLevel, Metaspace, Prepend or Replace"},
        {"\"unk_token\":\"<unk>\"", "\"unk_token\":\"<what>\"", "unk_token '<what>'"},
    };
    Rows r = rows_open("small_tokenizers.jsonl");
    cJSON *row = rows_next(&r);
    char *json = cJSON_PrintUnformatted(cJSON_GetObjectItem(row, "tokenizer"));
    for (int i = 0; i < COUNT_OF(cases); i++) {
        const char *at = strstr(json, cases[i].from);
        if (!at) fail_msg("'%s' is not in the file", cases[i].from);
        char *bad = test_alloc(strlen(json) + strlen(cases[i].to) + 1);
        sprintf(bad, "%.*s%s%s", (int)(at - json), json, cases[i].to, at + strlen(cases[i].from));
        Tokenizer *t;
        assert_fails(tokenizer_parse_json(&t, bad, strlen(bad), "small"), E_INPUT, cases[i].message);
        assert_null(t);
        free(bad);
    }
    cJSON_free(json);
    cJSON_Delete(row);
    rows_close(&r);
}

/* One word of a megabyte, spaces of a megabyte, and a million words: all in well under the test's time. */
static void long_texts(void **state) {
    (void)state;
    enum { N = 1 << 20 };
    Rows r = rows_open("small_tokenizers.jsonl");
    char *text = test_alloc(N);
    for (cJSON *row; (row = rows_next(&r)); cJSON_Delete(row)) {
        char *json = cJSON_PrintUnformatted(cJSON_GetObjectItem(row, "tokenizer"));
        Tokenizer *t;
        assert_ok(tokenizer_parse_json(&t, json, strlen(json), "small"));
        static const char *const fills[] = {"a", " ", "a ", "hello"};
        for (int f = 0; f < COUNT_OF(fills); f++) {
            TokenBuf ids = {0};
            char *back;
            size_t n;
            for (size_t i = 0; i < N; i++) text[i] = fills[f][i % strlen(fills[f])];
            assert_ok(tokenizer_encode(t, &ids, text, N, PARSE));
            assert_ok(tokenizer_decode(t, &back, &n, ids.ids, ids.n, (TokenizerDecodeOpts){false}));
            assert_true(n >= N - 1); /* a decoder strips a space where no normalizer added one */
            free(back);
            tokenizer_buf_free(&ids);
        }
        tokenizer_free(t);
        cJSON_free(json);
    }
    free(text);
    rows_close(&r);
}

/* ---- the real vocabularies ---- */

/* The text of <name>.tokenizer.json.xz (owns), or skips the test. */
static char *vocabulary_text(const char *name) {
    const char *shared = getenv("T2L_SHARED");
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/data/tokenizers/%s.tokenizer.json.xz",
             shared && *shared ? shared : TEST_ROOT "/../shared", name);
    if (!file_exists(path)) {
        print_message("skipped: %s is not there (set T2L_SHARED)\n", path);
        skip();
    }
    enum { MOST = 64 << 20 };
    struct archive *a = archive_read_new();
    struct archive_entry *entry;
    char *text = test_alloc(MOST);
    archive_read_support_filter_xz(a);
    archive_read_support_format_raw(a);
    if (archive_read_open_filename(a, path, 65536) != ARCHIVE_OK ||
        archive_read_next_header(a, &entry) != ARCHIVE_OK)
        fail_msg("%s: %s", path, archive_error_string(a));
    la_ssize_t n = 0, got;
    while ((got = archive_read_data(a, text + n, (size_t)(MOST - 1 - n))) > 0) n += got;
    if (got < 0) fail_msg("%s: %s", path, archive_error_string(a));
    text[n] = 0;
    archive_read_free(a);
    return text;
}

static void check_model(Tokenizer *t, const char *model, cJSON **ids) {
    size_t n, n_decoded;
    cJSON **texts = rows_all("corpus.jsonl", &n), **decoded = rows_all("llama_decoded.jsonl", &n_decoded);
    const char **want = test_alloc(n * sizeof *want);
    int special = 0;
    for (size_t i = 0; i < n; i++) want[i] = texts[i]->valuestring;
    for (size_t i = 0; i < n_decoded; i++) {
        if (strcmp(cJSON_GetObjectItem(decoded[i], "model")->valuestring, model) != 0) continue;
        const cJSON *row = cJSON_GetObjectItem(decoded[i], "row");
        const char *text = cJSON_GetObjectItem(decoded[i], "text")->valuestring;
        if (row)
            want[row->valueint] = text;
        else
            check_decode(t, cJSON_GetObjectItem(decoded[i], "ids"), text, model, i);
        special += !row;
    }
    for (size_t i = 0; i < n; i++) {
        check_encode(t, texts[i]->valuestring, ids[i], model, i);
        check_uncut(t, texts[i]->valuestring, ids[i], model, i);
        check_decode(t, ids[i], want[i], model, i);
    }
    assert_true(n == 2400 && special == 120);
    print_message("%s: %zu texts and %d other decodings, all equal\n", model, n, special);
    free(want);
    free_all(texts, n);
    free_all(decoded, n_decoded);
}

static void llama3_1(void **state) {
    (void)state;
    size_t n;
    char *json = vocabulary_text("llama3_1");
    cJSON **ids = rows_all("llama3_1_ids.jsonl", &n);
    Tokenizer *t;
    assert_ok(tokenizer_parse_json(&t, json, strlen(json), "llama3_1"));
    free(json);
    assert_int_equal(tokenizer_vocab_size(t), 128256);
    assert_int_equal(tokenizer_id(t, "<|eot_id|>"), 128009);
    check_model(t, "llama3_1", ids);
    tokenizer_free(t);
    free_all(ids, n);
}

/* The arrays that a GGUF of this tokenizer.json has: no merges, scores instead, the higher the earlier the
 * first merge that makes the piece. */
typedef struct Arrays {
    const char **tokens; /* owns the list; views */
    size_t *lens;        /* owns */
    int32_t *types;      /* owns */
    float *scores;       /* owns */
} Arrays;

static void set_scores(float *scores, size_t n, const cJSON *merges, const Tokenizer *like) {
    int rank = 0;
    for (size_t i = 0; i < n; i++) scores[i] = -1e6f;
    for (const cJSON *c = merges->child; c; c = c->next, rank++) {
        char piece[256];
        const char *space = strchr(c->valuestring, ' ');
        assert_non_null(space);
        snprintf(piece, sizeof piece, "%.*s%s", (int)(space - c->valuestring), c->valuestring, space + 1);
        int32_t id = tokenizer_id(like, piece);
        assert_in_range(id, 0, n - 1);
        if (scores[id] == -1e6f) scores[id] = (float)-rank;
    }
}

/* like: the tokenizer of the file */
static Tokenizer *from_arrays(const cJSON *root, const Tokenizer *like) {
    const cJSON *vocab = cJSON_GetObjectItem(cJSON_GetObjectItem(root, "model"), "vocab");
    size_t n = (size_t)cJSON_GetArraySize(vocab);
    Arrays a = {test_alloc(n * sizeof *a.tokens), test_alloc(n * sizeof *a.lens),
                test_alloc(n * sizeof *a.types), test_alloc(n * sizeof *a.scores)};
    for (const cJSON *c = vocab->child; c; c = c->next) {
        int id = c->valueint;
        assert_in_range(id, 0, n - 1);
        a.tokens[id] = c->string;
        a.lens[id] = strlen(c->string);
        a.types[id] = id == 0 ? 2 : id < 3 ? 3 : id < 259 ? 6 : 1;
    }
    set_scores(a.scores, n, cJSON_GetObjectItem(cJSON_GetObjectItem(root, "model"), "merges"), like);
    TokenizerVocab v = {.model = "llama",
                        .pre = "default",
                        .n = (int64_t)n,
                        .tokens = a.tokens,
                        .token_lens = a.lens,
                        .types = a.types,
                        .bos = 1,
                        .eos = 2,
                        .unk = 0,
                        .pad = -1,
                        .scores = a.scores,
                        .space_prefix = true};
    Tokenizer *t;
    assert_ok(tokenizer_from_vocab(&t, &v, "arrays.gguf"));
    assert_int_equal(tokenizer_markers(t).bos, 1);
    assert_int_equal(tokenizer_markers(t).unk, 0);
    static char long_piece[300];
    memset(long_piece, 'h', sizeof long_piece);
    a.tokens[n - 1] = long_piece;
    a.lens[n - 1] = sizeof long_piece;
    Tokenizer *none;
    assert_fails(tokenizer_from_vocab(&none, &v, "arrays.gguf"), E_INPUT, "300 bytes, at most 256");
    v.unk = (int64_t)n;
    assert_fails(tokenizer_from_vocab(&none, &v, "arrays.gguf"), E_INPUT, "unknown_token_id");
    free(a.tokens);
    free(a.lens);
    free(a.types);
    free(a.scores);
    return t;
}

/* The first small tokenizer (legacy form) from a GGUF's arrays. */
static void small_arrays(void **state) {
    (void)state;
    Rows r = rows_open("small_tokenizers.jsonl");
    cJSON *row = rows_next(&r);
    char *json = cJSON_PrintUnformatted(cJSON_GetObjectItem(row, "tokenizer"));
    Tokenizer *like;
    assert_ok(tokenizer_parse_json(&like, json, strlen(json), "small"));
    cJSON_free(json);
    Tokenizer *t = from_arrays(cJSON_GetObjectItem(row, "tokenizer"), like);
    tokenizer_free(like);
    size_t i = 0;
    for (const cJSON *c = cJSON_GetObjectItem(row, "cases")->child; c; c = c->next, i++) {
        const cJSON *ids = c->child->next;
        check_encode(t, c->child->valuestring, ids, "arrays", i);
        check_decode(t, ids, ids->next->valuestring, "arrays", i);
    }
    tokenizer_free(t);
    cJSON_Delete(row);
    rows_close(&r);
}

/* Both forms of the file, Prepend and Replace as published first, Metaspace as published later, and a GGUF.
 */
static void llama2(void **state) {
    (void)state;
    size_t n, n_other;
    char *json = vocabulary_text("llama2");
    cJSON **ids = rows_all("llama2_ids.jsonl", &n), **other = rows_all("llama2_metaspace.jsonl", &n_other),
          *root;
    Tokenizer *t;
    assert_ok(tokenizer_parse_json(&t, json, strlen(json), "llama2"));
    assert_int_equal(tokenizer_vocab_size(t), 32000);
    assert_true(t->cut_words);
    check_model(t, "llama2", ids);

    assert_ok(json_parse(&root, json, strlen(json), "llama2"));
    free(json);
    Tokenizer *arrays = from_arrays(root, t);
    check_model(arrays, "llama2", ids);
    tokenizer_free(arrays);
    tokenizer_free(t);
    cJSON_ReplaceItemInObject(root, "normalizer", cJSON_CreateNull());
    cJSON_ReplaceItemInObject(
        root, "pre_tokenizer",
        cJSON_Parse("{\"type\":\"Metaspace\",\"replacement\":\"\xe2\x96\x81\",\"prepend_scheme\":\"first\","
                    "\"split\":false}"));
    json = cJSON_PrintUnformatted(root);
    cJSON_Delete(root);
    for (size_t i = 0; i < n_other; i++) {
        cJSON *row = cJSON_DetachItemFromArray(other[i], 1);
        int at = other[i]->child->valueint;
        cJSON_Delete(ids[at]);
        ids[at] = row;
    }
    assert_ok(tokenizer_parse_json(&t, json, strlen(json), "llama2, Metaspace"));
    check_model(t, "llama2_metaspace", ids);
    tokenizer_free(t);
    cJSON_free(json);
    free_all(ids, n);
    free_all(other, n_other);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small),    cmocka_unit_test(streaming), cmocka_unit_test(small_arrays),
        cmocka_unit_test(damaged),  cmocka_unit_test(refused),   cmocka_unit_test(long_texts),
        cmocka_unit_test(llama3_1), cmocka_unit_test(llama2),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
