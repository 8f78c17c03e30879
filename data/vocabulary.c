#include "data/vocabulary.h"
#include "base/file.h"
#include "base/json.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_CONFIG_BYTES = 64 << 20 };

static Status no_memory(const char *where) {
    return status_error(E_ENV, "%s: out of memory", where);
}

static Status read_gguf(Vocabulary *v, const Gguf *g) {
    GgufString jinja;
    TRY(gguf_tokenizer(&v->tokenizer, g));
    if (!gguf_find(g, "tokenizer.chat_template")) return OK;
    TRY(gguf_get_string(&jinja, g, "tokenizer.chat_template"));
    v->jinja = strndup(jinja.s, jinja.n);
    return v->jinja ? OK : no_memory(g->path);
}

Status vocabulary_from_gguf(Vocabulary *out, const Gguf *g) {
    memset(out, 0, sizeof *out);
    Status s = read_gguf(out, g);
    if (!status_is_ok(s)) vocabulary_close(out);
    return s;
}

/* tokenizer_config.json's chat_template. */
static Status read_config_jinja(Vocabulary *v, const char *path) {
    cJSON *config;
    TRY(json_read(&config, path, MAX_CONFIG_BYTES));
    const cJSON *jinja = cJSON_GetObjectItemCaseSensitive(config, "chat_template");
    bool copied = !cJSON_IsString(jinja) || (v->jinja = strdup(jinja->valuestring));
    cJSON_Delete(config);
    return copied ? OK : no_memory(path);
}

/* The chat template, a file by itself or in the configuration; absent is fine. */
static Status read_jinja(Vocabulary *v, const char *dir) {
    size_t n;
    char *file = path_join(dir, "chat_template.jinja"), *config = path_join(dir, "tokenizer_config.json");
    Status s = file && config ? OK : no_memory(dir);
    if (status_is_ok(s) && file_exists(file))
        s = file_read(&v->jinja, &n, file, MAX_CONFIG_BYTES);
    else if (status_is_ok(s) && file_exists(config))
        s = read_config_jinja(v, config);
    free(file);
    free(config);
    return s;
}

static Status open_dir(Vocabulary *v, const char *dir) {
    char *path = path_join(dir, "tokenizer.json");
    if (!path) return no_memory(dir);
    Status s = tokenizer_load_json(&v->tokenizer, path);
    free(path);
    return status_is_ok(s) ? read_jinja(v, dir) : s;
}

Status vocabulary_open(Vocabulary *out, const char *path) {
    memset(out, 0, sizeof *out);
    if (!file_is_dir(path)) {
        Gguf g;
        TRY(gguf_open(&g, path));
        Status s = vocabulary_from_gguf(out, &g);
        gguf_close(&g);
        return s;
    }
    Status s = open_dir(out, path);
    if (!status_is_ok(s)) vocabulary_close(out);
    return s;
}

void vocabulary_close(Vocabulary *v) {
    tokenizer_free(v->tokenizer);
    free(v->jinja);
    memset(v, 0, sizeof *v);
}
