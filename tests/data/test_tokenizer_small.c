/* A small tokenizer written by hand: encoding rules one by one, damaged files, hostile texts, long words. */
#include "base/json.h"
#include "data/tokenizer.h"
#include "data/tokenizer_impl.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static void must(Status s) {
    if (!status_is_ok(s)) fail_msg("%s", status_message(s));
}

static void must_fail(Status s, const char *text) {
    assert_int_equal(status_code(s), E_INPUT);
    if (!strstr(status_message(s), text)) fail_msg("expected '%s' in: %s", text, status_message(s));
    status_free(s);
}

static const TokenizerOpts PARSE = {.parse_special = true};

static cJSON *ids_json(const TokenBuf *ids) {
    return cJSON_CreateIntArray(ids->ids, (int)ids->n);
}

/* ---- a small tokenizer --------------------------------------------------------------------------------- */

/* The id of a byte is its value. */
static void alphabet_char(char out[4], int byte) {
    for (uint32_t c = 33;; c++)
        if (tokenizer_alphabet_byte(c) == byte) {
            out[tokenizer_write_utf8(out, c)] = 0;
            return;
        }
}

static const char *const extra[] = {"he", "ll", "hell", "hello", "\xc4\xa0w", "lo"}; /* ids 256.. */
static const char *const merges[] = {"h e", "l l", "he ll", "hell o", "\xc4\xa0 w"};
enum { N_EXTRA = 6, N_MERGES = 5, ID_A = 262, ID_AB, ID_TOOL };

/* tokenizer.json of the small tokenizer (owns). */
static char *small_json(void) {
    cJSON *root = cJSON_CreateObject(), *model = cJSON_CreateObject(), *vocab = cJSON_CreateObject();
    for (int b = 0; b < 256; b++) {
        char c[4];
        alphabet_char(c, b);
        cJSON_AddNumberToObject(vocab, c, b);
    }
    for (int i = 0; i < N_EXTRA; i++) cJSON_AddNumberToObject(vocab, extra[i], 256 + i);
    cJSON_AddItemToObject(
        root, "added_tokens",
        cJSON_Parse("[{\"id\":262,\"content\":\"<|a|>\",\"special\":true,\"normalized\":false},"
                    "{\"id\":263,\"content\":\"<|a|>b\",\"special\":true,\"normalized\":false},"
                    "{\"id\":264,\"content\":\"tool\",\"special\":false,\"normalized\":false,"
                    "\"single_word\":true,\"lstrip\":true}]"));
    cJSON_AddNullToObject(root, "normalizer");
    cJSON_AddItemToObject(root, "pre_tokenizer",
                          cJSON_Parse("{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Digits\","
                                      "\"individual_digits\":true},{\"type\":\"ByteLevel\","
                                      "\"add_prefix_space\":false,\"use_regex\":true}]}"));
    cJSON_AddItemToObject(root, "decoder", cJSON_Parse("{\"type\":\"ByteLevel\"}"));
    cJSON_AddStringToObject(model, "type", "BPE");
    cJSON_AddItemToObject(model, "vocab", vocab);
    cJSON_AddItemToObject(model, "merges", cJSON_CreateStringArray(merges, N_MERGES));
    cJSON_AddItemToObject(root, "model", model);
    char *text = cJSON_PrintUnformatted(root);
    cJSON_Delete(root);
    return text;
}

static Tokenizer *small(void) {
    Tokenizer *t;
    char *json = small_json();
    must(tokenizer_parse_json(&t, json, strlen(json), "small"));
    free(json);
    return t;
}

static void expect(const Tokenizer *t, bool special, const char *text, size_t n, const int32_t *ids,
                   size_t k) {
    TokenBuf got = {0};
    must(tokenizer_encode(t, &got, text, n, (TokenizerOpts){special}));
    if (got.n != k || (k > 0 && memcmp(got.ids, ids, k * sizeof *ids) != 0)) {
        cJSON *have = ids_json(&got);
        fail_msg("'%s': got %s", text, cJSON_PrintUnformatted(have));
    }
    tokenizer_buf_free(&got);
}
#define EXPECT(t, special, text, ...)                                         \
    expect(t, special, text, sizeof text - 1, (const int32_t[]){__VA_ARGS__}, \
           sizeof((const int32_t[]){__VA_ARGS__}) / sizeof(int32_t))

static void small_cases(const Tokenizer *t) {
    EXPECT(t, true, "hello", 259);
    EXPECT(t, true, "hell", 258);
    EXPECT(t, true, "ell", 'e', 257);
    EXPECT(t, true, "lll", 257, 'l'); /* the leftmost of equals */
    EXPECT(t, true, "lo", 'l', 'o');  /* a token that no merge makes */
    EXPECT(t, true, " whello", 260, 259);
    EXPECT(t, true, "a  w", 'a', ' ', 260);
    EXPECT(t, true, "he12ll", 256, '1', '2', 257);
    EXPECT(t, true, "\0he\0", 0, 256, 0);
    EXPECT(t, true, "\xff", 0xef, 0xbf, 0xbd);
    EXPECT(t, true, "he<|a|>he", 256, ID_A, 256);
    EXPECT(t, true, "<|a|>b<|a|", ID_AB, '<', '|', 'a', '|'); /* the longest */
    EXPECT(t, false, "<|a|>", '<', '|', 'a', '|', '>');
}

static void small_bpe(void **state) {
    (void)state;
    Tokenizer *t = small();
    small_cases(t);
    expect(t, true, "", 0, NULL, 0);
    EXPECT(t, true, "he \ttool\t", 256, ID_TOOL, '\t'); /* lstrip */
    EXPECT(t, false, "tool", ID_TOOL);                  /* not special: always recognised */
    EXPECT(t, true, "tools", 't', 'o', 'o', 'l', 's');  /* single_word */
    char *text;
    size_t n;
    must(tokenizer_decode(t, &text, &n, (int32_t[]){259, ID_A, 0, 260, 0xe2, 0x82}, 6,
                          (TokenizerDecodeOpts){true}));
    assert_int_equal(n, 5 + 1 + 2 + 3);
    assert_memory_equal(text, "hello\0 w\xef\xbf\xbd", n);
    free(text);
    must_fail(tokenizer_decode(t, &text, &n, (int32_t[]){1, 265}, 2, (TokenizerDecodeOpts){true}), "265");
    must_fail(tokenizer_decode(t, &text, &n, (int32_t[]){-1}, 1, (TokenizerDecodeOpts){true}), "-1");
    assert_memory_equal(tokenizer_token_bytes(t, &n, 260), " w", 2);
    assert_int_equal(n, 2);
    tokenizer_token_bytes(t, &n, 9999);
    assert_int_equal(n, 0);
    assert_int_equal(tokenizer_vocab_size(t), 265);
    assert_int_equal(tokenizer_id(t, "\xc4\xa0w"), 260);
    assert_int_equal(tokenizer_id(t, "absent"), -1);
    assert_true(tokenizer_is_special(t, ID_A));
    assert_false(tokenizer_is_special(t, ID_TOOL));
    assert_false(tokenizer_is_special(t, -5));
    tokenizer_free(t);
}

/* The same tokenizer as a GGUF's arrays. */
typedef struct SmallVocab {
    char text[265][8];
    const char *tokens[265], *lines[N_MERGES];
    size_t lens[265], line_lens[N_MERGES];
    int32_t types[265];
    TokenizerVocab v;
} SmallVocab;

static void small_vocab(SmallVocab *s) {
    for (int i = 0; i < 265; i++) {
        if (i < 256)
            alphabet_char(s->text[i], i);
        else if (i < 256 + N_EXTRA)
            strcpy(s->text[i], extra[i - 256]);
        else
            strcpy(s->text[i], i == ID_A ? "<|a|>" : i == ID_AB ? "<|a|>b" : "tool");
        s->tokens[i] = s->text[i];
        s->lens[i] = strlen(s->text[i]);
        s->types[i] = i >= ID_TOOL ? 4 : i >= ID_A ? 3 : 1;
    }
    for (int i = 0; i < N_MERGES; i++) {
        s->lines[i] = merges[i];
        s->line_lens[i] = strlen(merges[i]);
    }
    s->v = (TokenizerVocab){.model = "gpt2",
                            .pre = "smollm",
                            .n = 265,
                            .tokens = s->tokens,
                            .token_lens = s->lens,
                            .types = s->types,
                            .n_merges = N_MERGES,
                            .merges = s->lines,
                            .merge_lens = s->line_lens,
                            .bos = ID_A,
                            .eos = ID_AB,
                            .unk = -1,
                            .pad = -1};
}

static void from_vocab(void **state) {
    (void)state;
    static SmallVocab s; /* large for the stack */
    Tokenizer *t;
    small_vocab(&s);
    must(tokenizer_from_vocab(&t, &s.v, "small.gguf"));
    small_cases(t);
    assert_int_equal(tokenizer_markers(t).bos, ID_A);
    assert_int_equal(tokenizer_markers(t).eos, ID_AB);
    assert_int_equal(tokenizer_markers(t).pad, -1);
    tokenizer_free(t);
    s.v.pre = "llama-bpe";
    must(tokenizer_from_vocab(&t, &s.v, "small.gguf"));
    EXPECT(t, true, "lo", 261); /* ignore_merges */
    EXPECT(t, true, "hello123 w", 259, '1', '2', '3', 260);
    tokenizer_free(t);
}

static void bad_vocab(void **state) {
    (void)state;
    static SmallVocab s;
    Tokenizer *t;
    small_vocab(&s);
    s.v.pre = "deepseek-r1-qwen";
    must_fail(tokenizer_from_vocab(&t, &s.v, "f.gguf"), "f.gguf: tokenizer.ggml.pre 'deepseek-r1-qwen'");
    s.v.pre = NULL;
    must_fail(tokenizer_from_vocab(&t, &s.v, "f.gguf"), "tokenizer.ggml.pre '(none)'");
    small_vocab(&s);
    s.v.model = "bert";
    must_fail(tokenizer_from_vocab(&t, &s.v, "f.gguf"), "tokenizer.ggml.model 'bert'");
    s.v.model = "llama";
    must_fail(tokenizer_from_vocab(&t, &s.v, "f.gguf"), "tokenizer.ggml.scores is missing");
    small_vocab(&s);
    s.v.eos = 265;
    must_fail(tokenizer_from_vocab(&t, &s.v, "f.gguf"), "eos_token_id");
    small_vocab(&s);
    s.types[7] = 9;
    must_fail(tokenizer_from_vocab(&t, &s.v, "f.gguf"), "token_type[7]");
    small_vocab(&s);
    s.tokens[258] = "\xff\xfe";
    must_fail(tokenizer_from_vocab(&t, &s.v, "f.gguf"), "not UTF-8");
    small_vocab(&s);
    s.lines[2] = "hell";
    must_fail(tokenizer_from_vocab(&t, &s.v, "f.gguf"), "merges[2]");
    small_vocab(&s);
    s.v.n = 0;
    must_fail(tokenizer_from_vocab(&t, &s.v, "f.gguf"), "vocabulary of 0");
    s.v.n = INT64_MAX;
    must_fail(tokenizer_from_vocab(&t, &s.v, "f.gguf"), "vocabulary");
    s.v.n = 265;
    s.v.n_merges = INT64_MAX;
    must_fail(tokenizer_from_vocab(&t, &s.v, "f.gguf"), "merges");
}

/* ---- damaged files ------------------------------------------------------------------------------------- */

/* json with the first `from` replaced by `to` (owns). */
static char *replaced(const char *json, const char *from, const char *to) {
    const char *at = strstr(json, from);
    if (!at) fail_msg("'%s' is not in the file", from);
    char *out = malloc(strlen(json) + strlen(to) + 1);
    assert_non_null(out);
    sprintf(out, "%.*s%s%s", (int)(at - json), json, to, at + strlen(from));
    return out;
}

static void refused(void **state) {
    (void)state;
    static const struct {
        const char *from, *to, *message;
    } cases[] = {
        {"\"hello\":259", "\"hello\":258", "id 258 is given to two tokens"},
        {"\"hello\":259", "\"hello\":-1", "model.vocab: 'hello'"},
        {"\"hello\":259", "\"hello\":1e300", "model.vocab: 'hello'"},
        {"\"hello\":259", "\"hello\":4000000000", "model.vocab: 'hello'"},
        {"\"hello\":259", "\"hello\":2.5", "model.vocab: 'hello'"},
        {"\"hello\":259", "\"hello\":\"259\"", "model.vocab: 'hello'"},
        {"\"hello\":259", "\"hello\":259,\"hello\":260", "twice"},
        {"\"hello\":259", "\"jello\":259", "merges[3]: 'hello' is not in the vocabulary"},
        {"\"hello\":259", "\"\xff\xff\":259", "not UTF-8"},
        {"\"id\":262", "\"id\":5", "id 5 is given to two tokens"},
        {"\"id\":262", "\"id\":99999999", "'id'"},
        {"\"id\":262", "\"id\":null", "'id'"},
        {"\"id\":262,", "", "'id'"},
        {"\"id\":263,\"content\":\"<|a|>b\"", "\"id\":263,\"content\":\"<|a|>\"", "two ids"},
        {"\"content\":\"<|a|>\"", "\"content\":7", "'content'"},
        {"\"special\":true", "\"special\":\"yes\"", "'special'"},
        {"[{\"id\":262", "[3,{\"id\":262", "added_tokens"},
        {"\"h e\"", "\"he\"", "merges[0]"},
        {"\"h e\"", "\"h  e\"", "merges[0]"},
        {"\"h e\"", "\"h e \"", "merges[0]"},
        {"\"h e\"", "\" e\"", "merges[0]"},
        {"\"h e\"", "[\"h\"]", "merges[0]"},
        {"\"h e\"", "[\"h\",\"e\",\"l\"]", "merges[0]"},
        {"\"h e\"", "[\"h\",3]", "merges[0]"},
        {"\"h e\"", "null", "merges[0]"},
        {"\"h e\"", "\"h q\"", "merges[0]: 'hq'"},
        {"\"type\":\"BPE\"", "\"type\":\"Unigram\"", "model 'Unigram'"},
        {"\"type\":\"BPE\"", "\"type\":\"BPE\",\"byte_fallback\":true", "model.byte_fallback 'true'"},
        {"\"type\":\"BPE\"", "\"type\":\"BPE\",\"dropout\":0.1", "dropout"},
        {"\"type\":\"BPE\"", "\"type\":\"BPE\",\"unk_token\":\"<unk>\"", "unk_token '<unk>'"},
        {"\"type\":\"BPE\"", "\"type\":\"BPE\",\"end_of_word_suffix\":\"</w>\"", "end_of_word_suffix"},
        {"\"type\":\"BPE\"", "\"type\":\"WordPiece\"", "unk_token"},
        {"\"normalizer\":null", "\"normalizer\":{\"type\":\"NFKC\"}", "normalizer 'NFKC'"},
        {"\"normalizer\":null", "\"normalizer\":[]", "normalizer"},
        {"\"type\":\"Digits\"", "\"type\":\"Metaspace\"", "'replacement'"},
        {"\"type\":\"Digits\"", "\"type\":\"Metaspace\",\"replacement\":\"_\"", "Metaspace.replacement '_'"},
        {"\"type\":\"Digits\"",
         "\"type\":\"Metaspace\",\"replacement\":\"\xe2\x96\x81\",\"prepend_scheme\":\"last\"",
         "Metaspace.prepend_scheme 'last'"},
        {"\"type\":\"Digits\"", "\"type\":\"Metaspace\",\"replacement\":\"\xe2\x96\x81\"",
         "pre_tokenizer after Metaspace"},
        {"\"type\":\"ByteLevel\",\"add", "\"type\":\"Metaspace\",\"replacement\":\"\xe2\x96\x81\",\"add",
         "pre_tokenizer before 'Metaspace'"},
        {"\"type\":\"ByteLevel\",\"add", "\"type\":\"BertPreTokenizer\",\"add", "for BPE without ByteLevel"},
        {"\"normalizer\":null", "\"normalizer\":{\"type\":\"Prepend\",\"prepend\":3}", "key 'prepend'"},
        {"\"normalizer\":null", "\"normalizer\":{\"type\":\"Prepend\",\"prepend\":\"\xff\"}",
         "expected UTF-8"},
        {"\"normalizer\":null",
         "\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"a\"},\"content\":\"b\"}", "'String'"},
        {"\"normalizer\":null",
         "\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"String\":\"\"},\"content\":\"b\"}",
         "an empty text"},
        {"\"normalizer\":null", "\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFC\"}]}",
         "normalizer 'NFC'"},
        {"\"add_prefix_space\":false", "\"add_prefix_space\":true", "add_prefix_space"},
        {"\"type\":\"Digits\"", "\"type\":\"ByteLevel\",\"add_prefix_space\":false", "after ByteLevel"},
        {"\"type\":\"Digits\"", "\"type\":\"Split\"", "'pattern'"},
        {"\"type\":\"Digits\"", "\"type\":\"Split\",\"behavior\":\"Isolated\",\"pattern\":{\"Regex\":\"(a\"}",
         "Split pattern, offset"},
        {"\"type\":\"Digits\"",
         "\"type\":\"Split\",\"behavior\":\"Contiguous\",\"pattern\":{\"Regex\":\"a\"}", "'Contiguous'"},
        {"\"decoder\":{\"type\":\"ByteLevel\"}", "\"decoder\":{\"type\":\"Metaspace\"}", "decoder"},
        {"\"model\":", "\"modal\":", "'model'"},
        {"\"vocab\":", "\"vokab\":", "'vocab'"},
        {"\"merges\":", "\"mergers\":", "model 'WordPiece'"},
    };
    char *json = small_json();
    for (size_t i = 0; i < sizeof cases / sizeof *cases - 1; i++) {
        char *bad = replaced(json, cases[i].from, cases[i].to);
        Tokenizer *t = NULL;
        Status s = tokenizer_parse_json(&t, bad, strlen(bad), "small.json");
        if (status_is_ok(s)) fail_msg("accepted: %s -> %s", cases[i].from, cases[i].to);
        assert_null(t);
        if (strncmp(status_message(s), "small.json", 10) != 0 && !strstr(status_message(s), "small.json"))
            fail_msg("no file name: %s", status_message(s));
        must_fail(s, cases[i].message);
        free(bad);
    }
    free(json);
}

static uint64_t next_random(uint64_t *s) { /* xorshift64* (Vigna 2016) */
    *s ^= *s >> 12;
    *s ^= *s << 25;
    *s ^= *s >> 27;
    return *s * 2685821657736338717ull;
}

/* Ok or E_INPUT; a tokenizer that loads must encode and decode. */
static bool survives(const char *json, size_t n) {
    static const char text[] = "hello w 12 \xc3\x89t\xc3\xa9 <|a|>b tool \xff\n\n  x";
    Tokenizer *t;
    Status s = tokenizer_parse_json(&t, json, n, "damaged");
    if (!status_is_ok(s)) {
        assert_int_equal(status_code(s), E_INPUT);
        assert_null(t);
        status_free(s);
        return false;
    }
    TokenBuf ids = {0};
    char *out;
    size_t m;
    must(tokenizer_encode(t, &ids, text, sizeof text - 1, PARSE));
    must(tokenizer_decode(t, &out, &m, ids.ids, ids.n, (TokenizerDecodeOpts){false}));
    free(out);
    tokenizer_buf_free(&ids);
    tokenizer_free(t);
    return true;
}

static void damage(const char *json, size_t n, int rounds, uint64_t seed) {
    int alive = 0;
    char *copy = malloc(n + 64);
    assert_non_null(copy);
    for (int r = 0; r < rounds; r++) {
        size_t m = n;
        memcpy(copy, json, n);
        for (uint64_t k = 1 + next_random(&seed) % 3; k > 0; k--) {
            size_t at = next_random(&seed) % m, len = 1 + next_random(&seed) % 12;
            if (len > m - at) len = m - at;
            switch (next_random(&seed) % 6) {
            case 0:
                copy[at] = (char)next_random(&seed);
                break;
            case 1:
                copy[at] = "{}[]\",:0-9etnu\\"[next_random(&seed) % 15];
                break;
            case 2: /* cut a piece out */
                memmove(copy + at, copy + at + len, m - at - len);
                m -= len;
                break;
            case 3: /* repeat a piece elsewhere */
                memmove(copy + next_random(&seed) % (m - len + 1), copy + at, len);
                break;
            case 4:
                copy[at] = (char)('0' + next_random(&seed) % 10);
                break;
            default:
                m = r % 8 == 0 ? at + 1 : m;
                break; /* truncate */
            }
            if (m == 0) m = 1;
        }
        alive += survives(copy, m);
    }
    free(copy);
    print_message("%d of %d damaged files still load\n", alive, rounds);
}

static const char tiny_bert[] =
    "{\"added_tokens\":[{\"id\":1,\"content\":\"[CLS]\",\"special\":true,\"normalized\":false},{\"id\":9,"
    "\"content\":\"Tool\",\"special\":false,\"normalized\":true}],\"normalizer\":{\"type\":"
    "\"BertNormalizer\","
    "\"clean_text\":true,\"handle_chinese_chars\":true,\"strip_accents\":null,\"lowercase\":true},"
    "\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"},\"decoder\":{\"type\":\"WordPiece\",\"prefix\":\"##\","
    "\"cleanup\":true},\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"[UNK]\",\"continuing_subword_"
    "prefix\":"
    "\"##\",\"max_input_chars_per_word\":12,\"vocab\":{\"[UNK]\":0,\"[CLS]\":1,\"un\":2,\"##aff\":3,\"##"
    "able\":4,"
    "\"want\":5,\"##ed\":6,\",\":7,\"\xe6\x97\xa5\":8}}}";

static void damaged_files(void **state) {
    (void)state;
    char *json = small_json();
    size_t n = strlen(json);
    assert_true(survives(json, n));
    assert_true(survives(tiny_bert, sizeof tiny_bert - 1));
    for (size_t cut = 0; cut < n; cut += cut < 2000 ? 7 : 31) assert_false(survives(json, cut));
    for (size_t cut = 0; cut + 1 < sizeof tiny_bert; cut++) assert_false(survives(tiny_bert, cut));
    damage(json, n, 3000, 1);
    damage(tiny_bert, sizeof tiny_bert - 1, 6000, 2);
    free(json);
    enum { DEEP = 100000 };
    char *deep = malloc(DEEP);
    assert_non_null(deep);
    memset(deep, '[', DEEP);
    assert_false(survives(deep, DEEP));
    for (int i = 0; i + 5 <= DEEP; i += 5) memcpy(deep + i, "{\"a\":", 5);
    assert_false(survives(deep, DEEP));
    free(deep);
}

/* ---- WordPiece, regex stages, speed -------------------------------------------------------------------- */

static void small_wordpiece(void **state) {
    (void)state;
    Tokenizer *t;
    must(tokenizer_parse_json(&t, tiny_bert, sizeof tiny_bert - 1, "tiny"));
    EXPECT(t, true,
           "UNaff\xc3\xa0"
           "ble, want",
           2, 3, 4, 7, 5);
    EXPECT(t, true, "wanted unknown,", 5, 6, 0, 7);
    EXPECT(t, true, "want\xe6\x97\xa5want", 5, 8, 5);
    EXPECT(t, true, "unaffableunaffable", 0); /* longer than max_input_chars_per_word */
    EXPECT(t, true, "w\0ant\xe2\x80\x8b [CLS]", 5, 1);
    EXPECT(t, true, "want TOOL want", 5, 9, 5); /* a normalized:true token is found in normalized text */
    EXPECT(t, false, "[CLS]want", 0, 0, 0, 5);
    char *text;
    size_t n;
    must(tokenizer_decode(t, &text, &n, (int32_t[]){1, 2, 3, 4, 7, 5, 6}, 7, (TokenizerDecodeOpts){false}));
    assert_string_equal(text, "[CLS] unaffable, wanted");
    free(text);
    must(tokenizer_decode(t, &text, &n, (int32_t[]){1, 2, 3}, 3, (TokenizerDecodeOpts){true}));
    assert_string_equal(text, "unaff");
    free(text);
    TokenizerMarkers m = tokenizer_markers(t);
    assert_int_equal(m.cls, 1);
    assert_int_equal(m.sep, -1);
    tokenizer_free(t);
}

static Tokenizer *with_split(const char *split) {
    Tokenizer *t;
    char *json = small_json();
    char *other = replaced(json, "{\"type\":\"Digits\",\"individual_digits\":true}", split);
    char *last = replaced(other, "\"use_regex\":true", "\"use_regex\":false");
    must(tokenizer_parse_json(&t, last, strlen(last), "small"));
    free(json);
    free(other);
    free(last);
    return t;
}

static void split_stages(void **state) {
    (void)state;
    Tokenizer *t =
        with_split("{\"type\":\"Split\",\"pattern\":{\"String\":\"l.\"},\"behavior\":\"Isolated\"}");
    EXPECT(t, true, "hell.l", 256, 'l', 'l', '.', 'l');
    tokenizer_free(t);
    t = with_split("{\"type\":\"Split\",\"pattern\":{\"Regex\":\"\\\\s\"},\"behavior\":\"Removed\"}");
    EXPECT(t, true, "l l he\xc2\x85he\xe1\xa0\x8e", 'l', 'l', 256, 256, 0xe1, 0xa0, 0x8e);
    tokenizer_free(t);
    t = with_split(
        "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"he|x*\"},\"behavior\":\"Removed\",\"invert\":true}");
    EXPECT(t, true, "abhellxx", 256, 'x', 'x');
    tokenizer_free(t);
    t = with_split("{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(a+)+$\"},\"behavior\":\"Isolated\"}");
    TokenBuf ids = {0};
    char text[64];
    memset(text, 'a', sizeof text);
    text[63] = 'b';
    Status s =
        tokenizer_encode(t, &ids, text, sizeof text, PARSE); /* exponential: the match limit stops it */
    assert_true(status_is_ok(s) || status_code(s) == E_INPUT);
    status_free(s);
    tokenizer_buf_free(&ids);
    tokenizer_free(t);
}

/* The merge loop for long pieces must agree with the one for short ones, and must not be quadratic. */
static void long_words(void **state) {
    (void)state;
    enum { N = 1000000 };
    Tokenizer *t = small();
    TokenBuf ids = {0};
    char *text = malloc(N);
    assert_non_null(text);
    for (int i = 0; i < N; i++) text[i] = "hello"[i % 5];
    struct timespec a, b;
    clock_gettime(CLOCK_MONOTONIC, &a);
    must(tokenizer_encode(t, &ids, text, N, PARSE));
    clock_gettime(CLOCK_MONOTONIC, &b);
    assert_int_equal(ids.n, N / 5);
    for (size_t i = 0; i < ids.n; i++) assert_int_equal(ids.ids[i], 259);
    double seconds = (double)(b.tv_sec - a.tv_sec) + 1e-9 * (double)(b.tv_nsec - a.tv_nsec);
    print_message("a word of 1 MB: %.2f s\n", seconds);
    assert_true(seconds < 30); /* quadratic would be hours */
    memset(text, 'l', N);
    ids.n = 0;
    must(tokenizer_encode(t, &ids, text, 501, PARSE));
    assert_int_equal(ids.n, 251);
    assert_int_equal(ids.ids[249], 257);
    assert_int_equal(ids.ids[250], 'l'); /* pairs from the left */
    must_fail(tokenizer_encode(t, &ids, text, (size_t)1 << 40, PARSE), "at most");
    assert_int_equal(ids.n, 251);
    free(text);
    tokenizer_buf_free(&ids);
    tokenizer_free(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_bpe),    cmocka_unit_test(from_vocab),    cmocka_unit_test(bad_vocab),
        cmocka_unit_test(refused),      cmocka_unit_test(damaged_files), cmocka_unit_test(small_wordpiece),
        cmocka_unit_test(split_stages), cmocka_unit_test(long_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
