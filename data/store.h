/* A store: records in one HDF5 file, written so that a crash at any moment loses at most the record being
 * appended.
 *
 * File: attribute "t2l" of the root (JSON: "kind", "version" and what the kind adds); "committed" I64 [1],
 * how many records count; a dataset for each column, [capacity, dim...] F32 or [capacity] fixed-length text
 * (UTF-8, padded with NULs), chunked by record, Fletcher32 checksums. Every column is named in the header's
 * "columns". Safety: all metadata and every chunk is written when the file is made, under a temporary name.
 * An append overwrites the chunks of one record in place (same size: no metadata changes), flushes them to
 * the disk, then overwrites "committed" and flushes that. A store that is full, or whose texts are too short,
 * is copied to a larger one, which takes its name by rename. HDF5's own messages are switched off. One writer
 * at a time (HDF5 locks the file).
 *
 * What is guarded: records, by their checksums; shapes, types and sizes of every column against the header.
 * What is not: HDF5's metadata and the count of records have no checksum, so a changed index may give one
 * record for another, and libhdf5 1.10 may crash on metadata made or damaged so that it does. Open stores of
 * your own, not a stranger's. */
#ifndef T2L_DATA_STORE_H
#define T2L_DATA_STORE_H

#include "base/json.h"
#include "base/status.h"
#include <hdf5.h>
#include <stdint.h>

enum { STORE_MAX_COLUMNS = 20, STORE_MAX_DIMS = 3 };

/* What stands in one column of a record. */
typedef struct StoreColumn {
    char name[32];
    int64_t text; /* bytes of a text; 0: numbers */
    int ndim;     /* of numbers */
    int64_t dim[STORE_MAX_DIMS];
} StoreColumn;

typedef struct Store {
    char *path;    /* owns */
    cJSON *header; /* owns */
    int n_columns;
    StoreColumn columns[STORE_MAX_COLUMNS];
    int64_t n, capacity; /* n: committed records */
    bool append;
    hid_t file, committed, sets[STORE_MAX_COLUMNS]; /* owns; < 0: not open */
} Store;

typedef enum StoreMode { STORE_READ, STORE_APPEND } StoreMode;

/* A new, empty store, open for appending; header: members beside kind and version (taken over). capacity:
 * records there is room for at first. E_INPUT when path exists. */
Status store_create(Store *out, const char *path, const char *kind, cJSON *header, const StoreColumn *columns,
                    int n_columns, int64_t capacity);
/* Opens and checks everything that can be checked without reading the records. E_INPUT: not an HDF5 file,
 * damaged, or of another kind. */
Status store_open(Store *out, const char *path, const char *kind, StoreMode mode);
void store_close(Store *s);
/* E_INPUT unless column i is called name and holds numbers of these dimensions (ndim 0: text). */
Status store_expect(const Store *s, int i, const char *name, int ndim, const int64_t *dim);
int64_t store_numbers(const StoreColumn *c); /* of one record */

/* fields[i]: floats or a C string for column i. */
Status store_append(Store *s, const void *const *fields);
/* Numbers of one record; E_INPUT: its checksum is wrong, or a number is not finite. */
Status store_read_f32(float *dst, const Store *s, int column, int64_t record);
/* *out owns. */
Status store_read_text(char **out, const Store *s, int column, int64_t record);

/* What kind of store a file is: heap string (owns). E_INPUT: none. */
Status store_kind(char **out, const char *path);

#endif
