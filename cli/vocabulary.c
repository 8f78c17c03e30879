#include "cli/vocabulary.h"
#include "base/file.h"
#include "base/json.h"
#include "data/fetch.h"
#include "data/gguf.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_CONFIG_BYTES = 64 << 20 };

static Status no_memory(const char *where) {
    return status_error(E_ENV, "%s: out of memory", where);
}

static Status open_gguf(Vocabulary *v) {
    Gguf g;
    TRY(gguf_open(&g, v->path));
    Status s = gguf_tokenizer(&v->tokenizer, &g);
    if (status_is_ok(s) && gguf_find(&g, "tokenizer.chat_template")) {
        GgufString jinja;
        s = gguf_get_string(&jinja, &g, "tokenizer.chat_template");
        if (status_is_ok(s) && !(v->jinja = strndup(jinja.s, jinja.n))) s = no_memory(v->path);
    }
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
