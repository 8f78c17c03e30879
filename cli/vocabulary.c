#include "cli/vocabulary.h"
#include "base/file.h"
#include "base/json.h"
#include "data/fetch.h"
#include "data/gguf.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_CONFIG_BYTES = 64 << 20 };

static char *copy_string(GgufString s) {
    return strndup(s.s, s.n);
}

static Status no_memory(const char *where) {
    return status_error(E_ENV, "%s: out of memory", where);
}

/* The arrays are views of the file; the tokenizer copies what it keeps. */
static Status from_arrays(Vocabulary *v, const Gguf *g, const char *model, const char *pre) {
    GgufString *tokens = NULL, *merges = NULL;
    int32_t *types = NULL;
    const char **token = NULL, **merge = NULL;
    size_t *token_n = NULL, *merge_n = NULL;
    int64_t n, n_merges, n_types;
    Status s;
    TRY_GOTO(s, gguf_get_strings(&tokens, &n, g, "tokenizer.ggml.tokens"), done);
    TRY_GOTO(s, gguf_get_strings(&merges, &n_merges, g, "tokenizer.ggml.merges"), done);
    TRY_GOTO(s, gguf_get_ints(&types, &n_types, g, "tokenizer.ggml.token_type"), done);
    if (n_types != n) {
        s = status_error(E_INPUT, "%s: %lld tokens but %lld token types", g->path, (long long)n,
                         (long long)n_types);
        goto done;
    }
    token = calloc((size_t)n + 1, sizeof *token);
    token_n = calloc((size_t)n + 1, sizeof *token_n);
    merge = calloc((size_t)n_merges + 1, sizeof *merge);
    merge_n = calloc((size_t)n_merges + 1, sizeof *merge_n);
    if (!token || !token_n || !merge || !merge_n) {
        s = no_memory(g->path);
        goto done;
    }
    for (int64_t i = 0; i < n; i++) {
        token[i] = tokens[i].s;
        token_n[i] = tokens[i].n;
    }
    for (int64_t i = 0; i < n_merges; i++) {
        merge[i] = merges[i].s;
        merge_n[i] = merges[i].n;
    }
    TokenizerVocab vocab = {.model = model,
                            .pre = pre,
                            .n = n,
                            .tokens = token,
                            .token_lens = token_n,
                            .types = types,
                            .n_merges = n_merges,
                            .merges = merge,
                            .merge_lens = merge_n};
    static const char *const keys[] = {"tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id",
                                       "tokenizer.ggml.unknown_token_id", "tokenizer.ggml.padding_token_id"};
    int64_t *const ids[] = {&vocab.bos, &vocab.eos, &vocab.unk, &vocab.pad};
    for (int i = 0; i < 4; i++) TRY_GOTO(s, gguf_get_int_or(ids[i], g, keys[i], 0, n - 1, -1), done);
    s = tokenizer_from_vocab(&v->tokenizer, &vocab, g->path);
done:
    free(tokens);
    free(merges);
    free(types);
    free(token);
    free(merge);
    free(token_n);
    free(merge_n);
    return s;
}

static Status open_gguf(Vocabulary *v) {
    Gguf g;
    TRY(gguf_open(&g, v->path));
    GgufString model, pre, jinja;
    char *model_text = NULL, *pre_text = NULL;
    Status s;
    TRY_GOTO(s, gguf_get_string(&model, &g, "tokenizer.ggml.model"), done);
    TRY_GOTO(s, gguf_get_string(&pre, &g, "tokenizer.ggml.pre"), done);
    model_text = copy_string(model);
    pre_text = copy_string(pre);
    if (!model_text || !pre_text) {
        s = no_memory(v->path);
        goto done;
    }
    TRY_GOTO(s, from_arrays(v, &g, model_text, pre_text), done);
    if (gguf_find(&g, "tokenizer.chat_template")) {
        TRY_GOTO(s, gguf_get_string(&jinja, &g, "tokenizer.chat_template"), done);
        v->jinja = copy_string(jinja);
        if (!v->jinja) s = no_memory(v->path);
    }
done:
    free(model_text);
    free(pre_text);
    gguf_close(&g);
    return s;
}

/* tokenizer_config.json's chat_template; absent is fine. */
static Status read_jinja(Vocabulary *v) {
    char *path = path_join(v->path, "tokenizer_config.json");
    if (!path) return no_memory(v->path);
    cJSON *config = NULL;
    Status s = file_exists(path) ? json_read(&config, path, MAX_CONFIG_BYTES) : OK;
    const cJSON *jinja = cJSON_GetObjectItemCaseSensitive(config, "chat_template");
    if (cJSON_IsString(jinja) && !(v->jinja = strdup(jinja->valuestring))) s = no_memory(path);
    cJSON_Delete(config);
    free(path);
    return s;
}

static Status open_dir(Vocabulary *v) {
    char *path = path_join(v->path, "tokenizer.json");
    if (!path) return no_memory(v->path);
    Status s = tokenizer_load_json(&v->tokenizer, path);
    free(path);
    return status_is_ok(s) ? read_jinja(v) : s;
}

Status vocabulary_open(Vocabulary *out, const char *model, const char *cache) {
    memset(out, 0, sizeof *out);
    TRY(fetch_resolve(&out->path, model, cache));
    Status s = file_is_dir(out->path) ? open_dir(out) : open_gguf(out);
    if (!status_is_ok(s)) vocabulary_close(out);
    return s;
}

void vocabulary_close(Vocabulary *v) {
    tokenizer_free(v->tokenizer);
    free(v->jinja);
    free(v->path);
    memset(v, 0, sizeof *v);
}
