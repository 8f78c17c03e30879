#include "data/embeddings.h"

#include <stdlib.h>
#include <string.h>

enum { TASK, TEXT, EMBEDDING, N_COLUMNS, TASK_BYTES = 64, TEXT_BYTES = 256 }; /* columns; texts grow */
static const char KIND[] = "embeddings";

static Status open_all(Embeddings *e) {
    const Store *s = &e->store;
    TRY(json_get_string(&e->encoder, s->header, "encoder", s->path));
    TRY(json_get_int(&e->width, s->header, "width", 1, 1 << 20, s->path));
    if (s->n_columns != N_COLUMNS)
        return status_error(E_INPUT, "%s: %d columns, expected task, text and embedding; damaged", s->path,
                            s->n_columns);
    TRY(store_expect(s, TASK, "task", 0, NULL));
    TRY(store_expect(s, TEXT, "text", 0, NULL));
    return store_expect(s, EMBEDDING, "embedding", 1, &e->width);
}

Status embeddings_open(Embeddings *out, const char *path, StoreMode mode) {
    memset(out, 0, sizeof *out);
    TRY(store_open(&out->store, path, KIND, mode));
    Status st = open_all(out);
    if (!status_is_ok(st)) embeddings_close(out);
    return st;
}

Status embeddings_create(Embeddings *out, const char *path, const char *encoder, int64_t width,
                         int64_t capacity) {
    const StoreColumn columns[N_COLUMNS] = {{.name = "task", .text = TASK_BYTES},
                                            {.name = "text", .text = TEXT_BYTES},
                                            {.name = "embedding", .ndim = 1, .dim = {width}}};
    memset(out, 0, sizeof *out);
    cJSON *header = cJSON_CreateObject();
    if (!header || !cJSON_AddStringToObject(header, "encoder", encoder) ||
        !cJSON_AddNumberToObject(header, "width", (double)width)) {
        cJSON_Delete(header);
        return status_error(E_ENV, "%s: out of memory", path);
    }
    TRY(store_create(&out->store, path, KIND, header, columns, N_COLUMNS, capacity));
    Status st = open_all(out);
    if (!status_is_ok(st)) embeddings_close(out);
    return st;
}

void embeddings_close(Embeddings *e) {
    store_close(&e->store);
    memset(e, 0, sizeof *e);
}

Status embeddings_append(Embeddings *e, const char *task, const char *text, const float *embedding) {
    const void *fields[N_COLUMNS] = {task, text, embedding};
    TRY(store_append(&e->store, fields));
    e->encoder =
        cJSON_GetObjectItemCaseSensitive(e->store.header, "encoder")->valuestring; /* a store may move */
    return OK;
}

Status embeddings_read(char **task, char **text, float *embedding, const Embeddings *e, int64_t record) {
    char *name = NULL, *words = NULL;
    Status st = task ? store_read_text(&name, &e->store, TASK, record) : OK;
    if (status_is_ok(st) && text) st = store_read_text(&words, &e->store, TEXT, record);
    if (status_is_ok(st) && embedding) st = store_read_f32(embedding, &e->store, EMBEDDING, record);
    if (!status_is_ok(st)) {
        free(name);
        free(words);
        return st;
    }
    if (task) *task = name;
    if (text) *text = words;
    return OK;
}
