/* Policy: Hugging Face's tokenizer.json. A component this program does not implement is refused by name,
 * because leaving it out would give other ids; truncation, padding and post_processor are ignored (callers do
 * those). */
#include "data/tokenizer_build.h"

#include "base/file.h"
#include "base/json.h"

#include <stdlib.h>
#include <string.h>

enum {
    MAX_FILE = 256 << 20, /* chosen: the largest in use is 34 MB */
    MAX_REWRITE = 64      /* bytes of a normalizer's text, chosen: in use are U+2581 and a space */
};

/* An optional boolean: absent or null is `fallback`. */
static Status flag(bool *out, const cJSON *o, const char *key, bool fallback, const char *where) {
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);
    *out = fallback;
    if (!v || cJSON_IsNull(v)) return OK;
    return json_get_bool(out, o, key, where);
}

static bool absent(const cJSON *o, const char *key) {
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);
    return !v || cJSON_IsNull(v);
}

static Status unsupported(const char *part, const char *type, const char *known, const char *where) {
    return status_error(E_INPUT, "%s: %s '%.60s' is not supported (%s)", where, part, type, known);
}

static Status type_of(const char **type, const cJSON *o, const char *part, const char *where) {
    if (!cJSON_IsObject(o))
        return status_error(E_INPUT, "%s: key '%s': expected an object, found %s", where, part,
                            json_type_name(o));
    return status_wrap(json_get_string(type, o, "type", where), "%s", part);
}

/* Length of vocabulary: the largest id of model and added tokens, plus one. */
static Status count_ids(int64_t *out, const cJSON *vocab, const cJSON *added, const char *where) {
    int64_t last = -1;
    for (const cJSON *c = vocab->child; c; c = c->next) {
        double id = c->valuedouble;
        if (!cJSON_IsNumber(c) || !(id >= 0 && id < TOKENIZER_MAX_VOCAB) || id != (double)(int64_t)id)
            return status_error(E_INPUT, "%s: model.vocab: '%.60s': expected an id from 0 to %d", where,
                                c->string, TOKENIZER_MAX_VOCAB - 1);
        if ((int64_t)id > last) last = (int64_t)id;
    }
    for (const cJSON *c = added ? added->child : NULL; c; c = c->next) {
        int64_t id;
        if (!cJSON_IsObject(c))
            return status_error(E_INPUT, "%s: added_tokens: expected objects, found %s", where,
                                json_type_name(c));
        TRY(status_wrap(json_get_int(&id, c, "id", 0, TOKENIZER_MAX_VOCAB - 1, where), "added_tokens"));
        if (id > last) last = id;
    }
    *out = last + 1;
    return OK;
}

static Status add_vocab(Tokenizer *t, const cJSON *vocab, const char *where) {
    for (const cJSON *c = vocab->child; c; c = c->next)
        TRY(tokenizer_build_token(t, (int32_t)c->valuedouble, c->string, strlen(c->string), TOKEN_MODEL,
                                  where));
    return OK;
}

static Status add_added(Tokenizer *t, const cJSON *added, const char *where) {
    for (const cJSON *c = added ? added->child : NULL; c; c = c->next) {
        const char *text;
        AddedToken a = {0};
        int64_t id;
        TRY(json_get_string(&text, c, "content", where));
        TRY(json_get_int(&id, c, "id", 0, t->vocab - 1, where));
        TRY(flag(&a.special, c, "special", false, where));
        TRY(flag(&a.normalized, c, "normalized", !a.special, where));
        TRY(flag(&a.single_word, c, "single_word", false, where));
        TRY(flag(&a.lstrip, c, "lstrip", false, where));
        TRY(flag(&a.rstrip, c, "rstrip", false, where));
        a.id = (int32_t)id;
        bool again = t->flags[id] & TOKEN_ADDED;
        uint8_t flags = (uint8_t)(TOKEN_ADDED | (a.special ? TOKEN_SPECIAL : 0));
        TRY(status_wrap(tokenizer_build_token(t, a.id, text, strlen(text), flags, where), "added_tokens"));
        a.text = t->content[id];
        if (!again) TRY(tokenizer_build_added(t, a, where));
    }
    return OK;
}

static Status add_merges(Tokenizer *t, const cJSON *merges, const char *where) {
    int n = cJSON_GetArraySize(merges);
    if (n > 2 * TOKENIZER_MAX_VOCAB) return status_error(E_INPUT, "%s: model.merges: %d entries", where, n);
    TRY(tokenizer_merges_init(&t->merges, (size_t)n));
    int64_t rank = 0;
    for (const cJSON *c = merges->child; c; c = c->next, rank++) {
        if (cJSON_IsString(c)) {
            TRY(tokenizer_build_merge_line(t, rank, c->valuestring, strlen(c->valuestring), where));
            continue;
        }
        const cJSON *a = cJSON_IsArray(c) ? c->child : NULL, *b = a ? a->next : NULL;
        if (!cJSON_IsString(a) || !cJSON_IsString(b) || b->next)
            return status_error(E_INPUT,
                                "%s: model.merges[%lld]: expected \"a b\" or [\"a\", \"b\"], found %s", where,
                                (long long)rank, json_type_name(c));
        TRY(tokenizer_build_merge(t, rank, a->valuestring, strlen(a->valuestring), b->valuestring,
                                  strlen(b->valuestring), where));
    }
    return OK;
}

/* unk_token: a token of the vocabulary, or null. */
static Status read_unk(Tokenizer *t, const cJSON *model, const char *where) {
    const char *name;
    if (absent(model, "unk_token")) return OK;
    TRY(json_get_string(&name, model, "unk_token", where));
    t->unk = tokenizer_id(t, name);
    if (t->unk < 0)
        return status_error(E_INPUT, "%s: model.unk_token '%.60s' is not in the vocabulary", where, name);
    return OK;
}

static Status must_be_empty(const cJSON *model, const char *key, const char *where) {
    const char *s;
    if (absent(model, key)) return OK;
    TRY(json_get_string(&s, model, key, where));
    return *s ? unsupported(key, s, "only an empty one is", where) : OK;
}

static Status read_bpe(Tokenizer *t, const cJSON *model, const char *where) {
    const cJSON *merges, *dropout = cJSON_GetObjectItemCaseSensitive(model, "dropout");
    t->model = MODEL_BPE;
    TRY(must_be_empty(model, "continuing_subword_prefix", where));
    TRY(must_be_empty(model, "end_of_word_suffix", where));
    TRY(flag(&t->byte_fallback, model, "byte_fallback", false, where));
    if (cJSON_IsNumber(dropout) && dropout->valuedouble != 0)
        return status_error(E_INPUT, "%s: model.dropout: expected null, found %g", where,
                            dropout->valuedouble);
    TRY(flag(&t->fuse_unk, model, "fuse_unk", false, where));
    TRY(flag(&t->ignore_merges, model, "ignore_merges", false, where));
    TRY(json_get_array(&merges, model, "merges", where));
    TRY(read_unk(t, model, where));
    return add_merges(t, merges, where);
}

static Status read_wordpiece(Tokenizer *t, const cJSON *model, const char *where) {
    const char *prefix = "##";
    t->model = MODEL_WORDPIECE;
    t->max_word = 100;
    if (!absent(model, "max_input_chars_per_word"))
        TRY(json_get_int(&t->max_word, model, "max_input_chars_per_word", 0, 100000, where));
    if (!absent(model, "continuing_subword_prefix"))
        TRY(json_get_string(&prefix, model, "continuing_subword_prefix", where));
    t->n_continuation = strlen(prefix);
    t->continuation = strdup(prefix);
    if (!t->continuation) return status_error(E_ENV, "%s: out of memory", where);
    TRY(read_unk(t, model, where));
    if (t->unk < 0)
        return status_error(E_INPUT, "%s: model.unk_token: expected a token of the vocabulary", where);
    return OK;
}

/* A text of a Prepend or Replace, into the pool. */
static Status rewrite_text(Span *out, Tokenizer *t, const cJSON *o, const char *key, const char *where) {
    const char *text;
    TRY(status_wrap(json_get_string(&text, o, key, where), "normalizer"));
    size_t n = strlen(text);
    if (n > MAX_REWRITE || tokenizer_invalid_utf8(text, n) < n)
        return status_error(E_INPUT, "%s: normalizer: '%s': expected UTF-8 of at most %d bytes", where, key,
                            MAX_REWRITE);
    return tokenizer_pool_add(out, &t->pool, text, n);
}

static Status read_rewrite(Tokenizer *t, const cJSON *o, bool replace, const char *where) {
    Rewrite *r = &t->rewrites[t->n_rewrites];
    const cJSON *pattern;
    if (t->n_rewrites == TOKENIZER_MAX_STAGES)
        return status_error(E_INPUT, "%s: normalizer: more than %d steps", where, TOKENIZER_MAX_STAGES);
    TRY(rewrite_text(&r->to, t, o, replace ? "content" : "prepend", where));
    if (replace) {
        TRY(status_wrap(json_get_object(&pattern, o, "pattern", where), "normalizer"));
        TRY(rewrite_text(&r->from, t, pattern, "String", where));
        if (r->from.n == 0) return status_error(E_INPUT, "%s: normalizer: Replace of an empty text", where);
    }
    t->n_rewrites++;
    return OK;
}

static Status read_normalizers(Tokenizer *t, const cJSON *o, int depth, const char *where) {
    const char *type;
    TRY(type_of(&type, o, "normalizer", where));
    if (strcmp(type, "Sequence") == 0 && depth < 4) {
        const cJSON *list;
        TRY(json_get_array(&list, o, "normalizers", where));
        for (const cJSON *c = list->child; c; c = c->next) TRY(read_normalizers(t, c, depth + 1, where));
        return OK;
    }
    if (strcmp(type, "Prepend") == 0) return read_rewrite(t, o, false, where);
    if (strcmp(type, "Replace") == 0) return read_rewrite(t, o, true, where);
    return unsupported("normalizer", type,
                       "null, BertNormalizer, Prepend, Replace and Sequences of these two are", where);
}

static Status read_normalizer(Tokenizer *t, const cJSON *root, const char *where) {
    const cJSON *o = cJSON_GetObjectItemCaseSensitive(root, "normalizer");
    const char *type;
    if (!o || cJSON_IsNull(o)) return OK;
    TRY(type_of(&type, o, "normalizer", where));
    if (strcmp(type, "BertNormalizer") != 0) return read_normalizers(t, o, 0, where);
    t->bert_normalizer = true;
    TRY(flag(&t->clean_text, o, "clean_text", true, where));
    TRY(flag(&t->chinese, o, "handle_chinese_chars", true, where));
    TRY(flag(&t->lowercase, o, "lowercase", true, where));
    return flag(&t->strip_accents, o, "strip_accents", t->lowercase, where);
}

/* Does the normalizer end by replacing spaces by something without any? */
static bool no_spaces(const Tokenizer *t) {
    if (t->n_rewrites == 0) return false;
    const Rewrite *r = &t->rewrites[t->n_rewrites - 1];
    return r->from.n == 1 && t->pool.data[r->from.at] == ' ' &&
           !memchr(t->pool.data + r->to.at, ' ', r->to.n);
}

static Status read_split(Tokenizer *t, const cJSON *o, const char *where) {
    const cJSON *pattern;
    const char *text, *behavior;
    bool invert;
    TRY(json_get_object(&pattern, o, "pattern", where));
    TRY(json_get_string(&behavior, o, "behavior", where));
    TRY(flag(&invert, o, "invert", false, where));
    bool literal = cJSON_GetObjectItemCaseSensitive(pattern, "String") != NULL;
    TRY(json_get_string(&text, pattern, literal ? "String" : "Regex", where));
    if (tokenizer_invalid_utf8(text, strlen(text)) < strlen(text))
        return status_error(E_INPUT, "%s: pre_tokenizer: the Split pattern is not UTF-8", where);
    if (strcmp(behavior, "Isolated") == 0)
        return tokenizer_compile_stage(t, text, literal, true, true, where);
    if (strcmp(behavior, "MergedWithPrevious") == 0 && literal && strcmp(text, " ") == 0 && no_spaces(t))
        return OK; /* Gemma's: finds nothing */
    if (strcmp(behavior, "Removed") == 0)
        return tokenizer_compile_stage(t, text, literal, invert, !invert, where);
    return unsupported("pre_tokenizer Split behavior", behavior, "Isolated and Removed are", where);
}

static Status read_byte_level(Tokenizer *t, const cJSON *o, const char *where) {
    bool prefix_space, regex;
    TRY(flag(&prefix_space, o, "add_prefix_space", true, where));
    TRY(flag(&regex, o, "use_regex", true, where));
    if (prefix_space) return unsupported("ByteLevel.add_prefix_space", "true", "false is", where);
    return regex ? tokenizer_build_stage(t, STAGE_GPT2, where) : OK;
}

/* Metaspace; old files say add_prefix_space instead of prepend_scheme. */
static Status read_metaspace(Tokenizer *t, const cJSON *o, const char *where) {
    const char *replacement, *scheme = "always";
    bool prefix;
    TRY(json_get_string(&replacement, o, "replacement", where));
    if (strcmp(replacement, "\xe2\x96\x81") != 0)
        return unsupported("Metaspace.replacement", replacement, "U+2581 is", where);
    TRY(flag(&prefix, o, "add_prefix_space", true, where));
    if (!absent(o, "prepend_scheme"))
        TRY(json_get_string(&scheme, o, "prepend_scheme", where));
    else if (!prefix)
        scheme = "never";
    TRY(flag(&t->metaspace_split, o, "split", true, where));
    static const char *const schemes[] = {
        [METASPACE_NEVER] = "never", [METASPACE_FIRST] = "first", [METASPACE_ALWAYS] = "always"};
    for (int i = METASPACE_NEVER; i <= METASPACE_ALWAYS; i++)
        if (strcmp(scheme, schemes[i]) == 0) t->metaspace = (Metaspace)i;
    if (t->metaspace == METASPACE_NONE)
        return unsupported("Metaspace.prepend_scheme", scheme, "first, always and never are", where);
    return OK;
}

typedef struct PreState {
    bool byte_level; /* seen; it must be the last */
} PreState;

static Status read_pre_tokenizer(Tokenizer *t, const cJSON *o, PreState *seen, int depth, const char *where) {
    const char *type;
    TRY(type_of(&type, o, "pre_tokenizer", where));
    if (seen->byte_level) return unsupported("pre_tokenizer after ByteLevel", type, "none is", where);
    if (t->metaspace != METASPACE_NONE)
        return unsupported("pre_tokenizer after Metaspace", type, "none is", where);
    if (strcmp(type, "Sequence") == 0 && depth < 4) {
        const cJSON *list;
        TRY(json_get_array(&list, o, "pretokenizers", where));
        for (const cJSON *c = list->child; c; c = c->next)
            TRY(read_pre_tokenizer(t, c, seen, depth + 1, where));
        return OK;
    }
    if (strcmp(type, "Digits") == 0) {
        bool individual;
        TRY(flag(&individual, o, "individual_digits", false, where));
        return tokenizer_build_stage(t, individual ? STAGE_DIGITS : STAGE_DIGIT_RUNS, where);
    }
    if (strcmp(type, "ByteLevel") == 0) {
        seen->byte_level = true;
        return read_byte_level(t, o, where);
    }
    if (strcmp(type, "Metaspace") == 0) {
        if (t->n_stages > 0) return unsupported("pre_tokenizer before", type, "none is", where);
        return read_metaspace(t, o, where);
    }
    if (strcmp(type, "Split") == 0) return read_split(t, o, where);
    if (strcmp(type, "BertPreTokenizer") == 0) return tokenizer_build_stage(t, STAGE_BERT, where);
    return unsupported("pre_tokenizer", type,
                       "Digits, Split, ByteLevel, Metaspace, BertPreTokenizer and Sequence are", where);
}

#define SENTENCE_DECODER "Sequence[Replace U+2581 by a space, ByteFallback, Fuse, and perhaps Strip]"

/* One step of the decoder of BPE on characters; *step counts them. */
static Status read_decoder_step(Tokenizer *t, const cJSON *o, int *step, const char *where) {
    static const char *const order[] = {"Replace", "ByteFallback", "Fuse", "Strip"};
    const char *type, *text = "", *content = "";
    int64_t start = 0, stop = 0;
    TRY(type_of(&type, o, "decoder", where));
    if (*step > 3 || strcmp(type, order[*step]) != 0)
        return unsupported("decoder step", type, "expected " SENTENCE_DECODER, where);
    if (*step == 0) {
        const cJSON *pattern;
        TRY(json_get_object(&pattern, o, "pattern", where));
        TRY(json_get_string(&text, pattern, "String", where));
        TRY(json_get_string(&content, o, "content", where));
        if (strcmp(text, "\xe2\x96\x81") != 0 || strcmp(content, " ") != 0)
            return unsupported("decoder Replace of", text, "of U+2581 by a space is", where);
    }
    if (*step == 3) {
        TRY(json_get_string(&content, o, "content", where));
        TRY(json_get_int(&start, o, "start", 0, 1000, where));
        TRY(json_get_int(&stop, o, "stop", 0, 0, where));
        if (strcmp(content, " ") != 0)
            return unsupported("decoder Strip of", content, "of a space is", where);
    }
    t->decode_bytes = true;
    t->strip = (int)start;
    *step += 1;
    return OK;
}

static Status read_sentence_decoder(Tokenizer *t, const cJSON *root, const char *where) {
    const cJSON *o = cJSON_GetObjectItemCaseSensitive(root, "decoder"), *list;
    const char *type;
    int step = 0;
    TRY(type_of(&type, o, "decoder", where));
    if (strcmp(type, "Sequence") != 0)
        return unsupported("decoder", type, "for BPE without ByteLevel " SENTENCE_DECODER " is", where);
    TRY(json_get_array(&list, o, "decoders", where));
    for (const cJSON *c = list->child; c; c = c->next) TRY(read_decoder_step(t, c, &step, where));
    if (step < 3) return status_error(E_INPUT, "%s: decoder: expected " SENTENCE_DECODER, where);
    return OK;
}

static Status read_decoder(Tokenizer *t, const cJSON *root, const char *where) {
    if (t->model == MODEL_SENTENCE) return read_sentence_decoder(t, root, where);
    const cJSON *o = cJSON_GetObjectItemCaseSensitive(root, "decoder");
    const char *type, *want = t->model == MODEL_BPE ? "ByteLevel" : "WordPiece";
    if (!o || cJSON_IsNull(o)) return OK;
    TRY(type_of(&type, o, "decoder", where));
    if (strcmp(type, want) != 0)
        return status_error(E_INPUT, "%s: decoder: expected '%s' for this model, found '%.60s'", where, want,
                            type);
    return t->model == MODEL_BPE ? OK : flag(&t->cleanup, o, "cleanup", true, where);
}

/* The special token with which a TemplateProcessing, alone or in a Sequence, begins a single text; -1: none.
 */
static int32_t template_first(const Tokenizer *t, const cJSON *o, int depth) {
    const cJSON *steps = cJSON_GetObjectItemCaseSensitive(o, "processors"),
                *single = cJSON_GetObjectItemCaseSensitive(o, "single");
    int32_t first = -1;
    if (cJSON_IsArray(single)) {
        const cJSON *special = cJSON_GetObjectItemCaseSensitive(single->child, "SpecialToken"),
                    *id = cJSON_GetObjectItemCaseSensitive(special, "id");
        return cJSON_IsString(id) ? tokenizer_id(t, id->valuestring) : -1;
    }
    for (const cJSON *c = cJSON_IsArray(steps) ? steps->child : NULL; c && first < 0 && depth < 4;
         c = c->next)
        first = template_first(t, c, depth + 1);
    return first;
}

static Status fill(Tokenizer *t, const cJSON *root, const cJSON *model, const cJSON *vocab,
                   const cJSON *added, bool bpe, const char *where) {
    const cJSON *pre = cJSON_GetObjectItemCaseSensitive(root, "pre_tokenizer");
    PreState seen = {false};
    TRY(add_vocab(t, vocab, where));
    TRY(bpe ? read_bpe(t, model, where) : read_wordpiece(t, model, where));
    TRY(add_added(t, added, where));
    TRY(read_normalizer(t, root, where));
    if (pre && !cJSON_IsNull(pre)) TRY(read_pre_tokenizer(t, pre, &seen, 0, where));
    if (!bpe && (seen.byte_level || t->metaspace != METASPACE_NONE || t->n_rewrites > 0))
        return status_error(
            E_INPUT, "%s: WordPiece with ByteLevel, Metaspace, Prepend or Replace is not supported", where);
    if (seen.byte_level && t->byte_fallback)
        return unsupported("model.byte_fallback", "true", "byte-level BPE has none", where);
    if (bpe && !seen.byte_level) t->model = MODEL_SENTENCE;
    TRY(read_decoder(t, root, where));
    TRY(tokenizer_build_finish(t, where));
    t->markers.first = template_first(t, cJSON_GetObjectItemCaseSensitive(root, "post_processor"), 0);
    return OK;
}

static Status build(Tokenizer **out, const cJSON *root, const char *where) {
    const cJSON *model, *vocab, *added = NULL;
    const char *type = NULL;
    Tokenizer *t;
    int64_t n = 0;
    if (!cJSON_IsObject(root))
        return status_error(E_INPUT, "%s: expected an object, found %s", where, json_type_name(root));
    TRY(json_get_object(&model, root, "model", where));
    if (absent(model, "type"))
        type = absent(model, "merges") ? "WordPiece" : "BPE"; /* old writers */
    else
        TRY(json_get_string(&type, model, "type", where));
    bool bpe = strcmp(type, "BPE") == 0;
    if (!bpe && strcmp(type, "WordPiece") != 0)
        return unsupported("model", type, "BPE and WordPiece are", where);
    TRY(json_get_object(&vocab, model, "vocab", where));
    if (!absent(root, "added_tokens")) TRY(json_get_array(&added, root, "added_tokens", where));
    TRY(count_ids(&n, vocab, added, where));
    TRY(tokenizer_build_new(&t, n, where));
    Status s = fill(t, root, model, vocab, added, bpe, where);
    if (!status_is_ok(s)) {
        tokenizer_free(t);
        return s;
    }
    *out = t;
    return OK;
}

Status tokenizer_parse_json(Tokenizer **out, const char *json, size_t n, const char *where) {
    cJSON *root;
    *out = NULL;
    TRY(json_parse(&root, json, n, where));
    Status s = build(out, root, where);
    cJSON_Delete(root);
    return s;
}

Status tokenizer_load_json(Tokenizer **out, const char *tokenizer_json_path) {
    cJSON *root;
    *out = NULL;
    TRY(json_read(&root, tokenizer_json_path, MAX_FILE));
    Status s = build(out, root, tokenizer_json_path);
    cJSON_Delete(root);
    return s;
}
