/* Embeddings of task descriptions in a store (data/store.h) of kind "embeddings". Header: encoder, width.
 * Columns: task (a task's name, may be empty), text (the description), embedding [width]. */
#ifndef T2L_DATA_EMBEDDINGS_H
#define T2L_DATA_EMBEDDINGS_H

#include "data/store.h"

typedef struct Embeddings {
    Store store;
    const char *encoder; /* view: the header's */
    int64_t width;
} Embeddings;

Status embeddings_create(Embeddings *out, const char *path, const char *encoder, int64_t width,
                         int64_t capacity);
Status embeddings_open(Embeddings *out, const char *path, StoreMode mode);
void embeddings_close(Embeddings *e);
Status embeddings_append(Embeddings *e, const char *task, const char *text, const float *embedding);
/* *task and *text own; embedding [width]. NULL: not wanted. */
Status embeddings_read(char **task, char **text, float *embedding, const Embeddings *e, int64_t record);

#endif
