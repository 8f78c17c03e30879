/* A library of LoRA adapters, one a task, in a store (data/store.h) of kind "lora_library": the targets of
 * training by reconstruction. Header: base_model, layers, rank, alpha, use_rslora, modules {name: [in, out]}
 * in order. Columns: name, facts (JSON: how the adapter was trained), then for each module "<module>.A"
 * [layers, rank, in] and
 * "<module>.B" [layers, out, rank]. Names are unique. */
#ifndef T2L_DATA_LIBRARY_H
#define T2L_DATA_LIBRARY_H

#include "data/adapter.h"
#include "data/store.h"

typedef struct Library {
    Store store;
    Adapter shape; /* of every adapter; owns base_model; holds no numbers */
    char **names;  /* owns [store.n] */
    int64_t names_cap;
} Library;

/* shape: base_model, layers, rank, alpha and modules are taken over (copied); capacity: adapters expected. */
Status library_create(Library *out, const char *path, const Adapter *shape, int64_t capacity);
Status library_open(Library *out, const char *path, StoreMode mode);
void library_close(Library *lib);
/* Record of a name; -1: none. A run that is resumed goes on with the tasks that are not found. */
int64_t library_find(const Library *lib, const char *name);
/* facts: a JSON object as text. E_INPUT for a name that is there, another shape, NaN or infinity. */
Status library_append(Library *lib, const char *name, const Adapter *a, const char *facts);
/* *out owns. */
Status library_read(Adapter *out, const Library *lib, int64_t record);
/* *out owns. */
Status library_facts(char **out, const Library *lib, int64_t record);

#endif
