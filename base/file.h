/* Files: whole reads, read-only maps, atomic writes (temporary name in the same directory, fsync, rename,
 * fsync of the directory), SHA-256. Paths are UTF-8 C strings. Errors name the path. */
#ifndef T2L_BASE_FILE_H
#define T2L_BASE_FILE_H

#include "base/status.h"
#include <stdint.h>
#include <stdio.h>

typedef struct FileMap {
    const uint8_t *data; /* owns the mapping; NULL for an empty file */
    size_t size;
} FileMap;

Status file_map(FileMap *out, const char *path);
void file_unmap(FileMap *m);
/* The whole file as a NUL-terminated heap string (owns), n bytes without the NUL. max: refuse larger files
 * (E_INPUT). */
Status file_read(char **out, size_t *n, const char *path, size_t max);
Status file_write_atomic(const char *path, const void *data, size_t n);
Status file_mkdirs(const char *path); /* like mkdir -p */
Status
file_remove_tree(const char *path); /* like rm -rf; symbolic links are removed, not followed; absent is ok */
bool file_exists(const char *path);
bool file_is_dir(const char *path);
/* Flushes a directory's entries to disk after a rename. */
Status file_sync_dir(const char *path);
/* Lower-case hex digest, 64 characters + NUL. */
void sha256_hex(char out[65], const void *data, size_t n);
Status sha256_file(char out[65], const char *path);
/* Heap string (owns) "dir/name"; NULL only without memory. */
char *path_join(const char *dir, const char *name);

#endif
