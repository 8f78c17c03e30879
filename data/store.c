#include "data/store.h"
#include "base/file.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { VERSION = 1, MAX_HEADER = 1 << 16, CHECKSUM = 4 /* bytes of it behind a chunk */ };
#define MAX_RECORDS ((int64_t)1 << 28)      /* chosen */
#define MAX_RECORD_BYTES ((int64_t)1 << 31) /* HDF5: a chunk is below 4 GB */
#define MAX_TEXT ((int64_t)1 << 20)         /* chosen: bytes of a text */
#define NOT_TEXT 0xff                       /* never in UTF-8 */
#define HEADER "t2l"
#define COMMITTED "committed"

int64_t store_numbers(const StoreColumn *c) {
    int64_t n = 1;
    for (int i = 0; i < c->ndim; i++) n *= c->dim[i];
    return n;
}

static int64_t record_bytes(const StoreColumn *c) {
    return c->text ? c->text : store_numbers(c) * (int64_t)sizeof(float);
}

static Status no_memory(const char *path) {
    return status_error(E_ENV, "%s: out of memory", path);
}

static void quiet(void) {
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
}

/* Owns. */
static hid_t type_of(const StoreColumn *c, bool native) {
    if (!c->text) return H5Tcopy(native ? H5T_NATIVE_FLOAT : H5T_IEEE_F32LE);
    hid_t t = H5Tcopy(H5T_C_S1);
    if (t >= 0 && (H5Tset_size(t, (size_t)c->text) < 0 || H5Tset_strpad(t, H5T_STR_NULLPAD) < 0 ||
                   H5Tset_cset(t, H5T_CSET_UTF8) < 0)) {
        H5Tclose(t);
        return -1;
    }
    return t;
}

/* ---- making a file ---- */

/* dims[0]: the number of records; returns how many dimensions. */
static int dims_of(hsize_t *dims, const StoreColumn *c, int64_t records) {
    dims[0] = (hsize_t)records;
    for (int i = 0; i < c->ndim; i++) dims[i + 1] = (hsize_t)c->dim[i];
    return c->ndim + 1;
}

/* What a record holds that was never written, or that a damaged index does not find: NaN, or bytes that are
 * no text. */
static bool set_fill(hid_t p, const StoreColumn *c, hid_t type) {
    const float nan = NAN;
    if (!c->text) return H5Pset_fill_value(p, H5T_NATIVE_FLOAT, &nan) >= 0;
    char *bytes = malloc((size_t)c->text);
    if (bytes) memset(bytes, NOT_TEXT, (size_t)c->text);
    bool good = bytes && H5Pset_fill_value(p, type, bytes) >= 0;
    free(bytes);
    return good;
}

/* One dataset whose chunks are all there from the start. */
static bool make_column(hid_t file, const StoreColumn *c, int64_t capacity) {
    hsize_t dims[STORE_MAX_DIMS + 1], chunk[STORE_MAX_DIMS + 1];
    int ndim = dims_of(dims, c, capacity);
    dims_of(chunk, c, 1);
    hid_t space = H5Screate_simple(ndim, dims, NULL), type = type_of(c, false),
          p = H5Pcreate(H5P_DATASET_CREATE);
    hid_t set = -1;
    if (space >= 0 && type >= 0 && p >= 0 && H5Pset_chunk(p, ndim, chunk) >= 0 && H5Pset_fletcher32(p) >= 0 &&
        set_fill(p, c, type) && H5Pset_alloc_time(p, H5D_ALLOC_TIME_EARLY) >= 0 &&
        H5Pset_obj_track_times(p, false) >= 0)
        set = H5Dcreate2(file, c->name, type, space, H5P_DEFAULT, p, H5P_DEFAULT);
    if (set >= 0) H5Dclose(set);
    if (p >= 0) H5Pclose(p);
    if (type >= 0) H5Tclose(type);
    if (space >= 0) H5Sclose(space);
    return set >= 0;
}

static bool make_committed(hid_t file) {
    const hsize_t one = 1;
    const int64_t zero = 0;
    hid_t space = H5Screate_simple(1, &one, NULL), p = H5Pcreate(H5P_DATASET_CREATE), set = -1;
    if (space >= 0 && p >= 0 && H5Pset_alloc_time(p, H5D_ALLOC_TIME_EARLY) >= 0 &&
        H5Pset_obj_track_times(p, false) >= 0)
        set = H5Dcreate2(file, COMMITTED, H5T_STD_I64LE, space, H5P_DEFAULT, p, H5P_DEFAULT);
    bool good = set >= 0 && H5Dwrite(set, H5T_NATIVE_INT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, &zero) >= 0;
    if (set >= 0) H5Dclose(set);
    if (p >= 0) H5Pclose(p);
    if (space >= 0) H5Sclose(space);
    return good;
}

static bool make_header(hid_t file, const char *text) {
    hid_t space = H5Screate(H5S_SCALAR), type = H5Tcopy(H5T_C_S1), attr = -1;
    if (space >= 0 && type >= 0 && H5Tset_size(type, strlen(text)) >= 0 &&
        H5Tset_strpad(type, H5T_STR_NULLPAD) >= 0 && H5Tset_cset(type, H5T_CSET_UTF8) >= 0)
        attr = H5Acreate2(file, HEADER, type, space, H5P_DEFAULT, H5P_DEFAULT);
    bool good = attr >= 0 && H5Awrite(attr, type, text) >= 0;
    if (attr >= 0) H5Aclose(attr);
    if (type >= 0) H5Tclose(type);
    if (space >= 0) H5Sclose(space);
    return good;
}

/* A complete file of no records at `path`. */
static Status make_file(const char *path, const Store *s) {
    char *text = cJSON_PrintUnformatted(s->header);
    if (!text) return no_memory(path);
    hid_t file = strlen(text) <= MAX_HEADER ? H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT) : -1;
    bool good = file >= 0 && make_header(file, text) && make_committed(file);
    for (int i = 0; good && i < s->n_columns; i++) good = make_column(file, &s->columns[i], s->capacity);
    if (file >= 0 && H5Fclose(file) < 0) good = false;
    cJSON_free(text);
    if (good) return OK;
    return status_error(
        E_ENV, "%s: cannot make a store of %lld records (is the disk full, or the folder read-only?)", path,
        (long long)s->capacity);
}

/* ---- opening ---- */

static void close_ids(Store *s) {
    for (int i = 0; i < s->n_columns; i++) {
        if (s->sets[i] >= 0) H5Dclose(s->sets[i]);
        s->sets[i] = -1;
    }
    if (s->committed >= 0) H5Dclose(s->committed);
    if (s->file >= 0) H5Fclose(s->file);
    s->file = s->committed = -1;
}

void store_close(Store *s) {
    if (!s->path) return;
    close_ids(s);
    cJSON_Delete(s->header);
    free(s->path);
    memset(s, 0, sizeof *s);
}

static Status damaged(const char *path, const char *what) {
    return status_error(E_INPUT, "%s: %s: not a t2l store, or damaged", path, what);
}

/* The header's text; heap string. */
static Status read_header(char **out, hid_t file, const char *path) {
    *out = NULL;
    hid_t attr = H5Aopen(file, HEADER, H5P_DEFAULT);
    hid_t type = attr >= 0 ? H5Aget_type(attr) : -1, space = attr >= 0 ? H5Aget_space(attr) : -1;
    size_t size = type >= 0 ? H5Tget_size(type) : 0;
    bool good = space >= 0 && H5Tget_class(type) == H5T_STRING && H5Tis_variable_str(type) == 0 &&
                H5Sget_simple_extent_npoints(space) == 1 && size > 0 && size <= MAX_HEADER;
    char *text = good ? calloc(1, size + 1) : NULL;
    bool room = text || !good;
    if (text && H5Aread(attr, type, text) >= 0) {
        *out = text;
        text = NULL;
    }
    free(text);
    if (space >= 0) H5Sclose(space);
    if (type >= 0) H5Tclose(type);
    if (attr >= 0) H5Aclose(attr);
    if (*out) return OK;
    return room ? damaged(path, "attribute '" HEADER "' is missing or unreadable") : no_memory(path);
}

static Status open_file(hid_t *out, const char *path, StoreMode mode) {
    quiet();
    if (!file_exists(path)) return status_error(E_INPUT, "%s: is not there", path);
    *out = H5Fopen(path, mode == STORE_APPEND ? H5F_ACC_RDWR : H5F_ACC_RDONLY, H5P_DEFAULT);
    if (*out >= 0) return OK;
    if (H5Fis_hdf5(path) > 0)
        return status_error(
            E_INPUT, "%s: cannot be opened: truncated, damaged, or another process writes to it", path);
    return status_error(E_INPUT, "%s: not an HDF5 file, or damaged", path);
}

static Status parse_header(cJSON **out, hid_t file, const char *path) {
    char *text;
    TRY(read_header(&text, file, path));
    Status st = json_parse(out, text, strlen(text), path);
    free(text);
    return st;
}

Status store_kind(char **out, const char *path) {
    hid_t file = -1;
    cJSON *header = NULL;
    const char *kind;
    TRY(open_file(&file, path, STORE_READ));
    Status st = parse_header(&header, file, path);
    if (status_is_ok(st)) st = json_get_string(&kind, header, "kind", path);
    if (status_is_ok(st) && !(*out = strdup(kind))) st = no_memory(path);
    cJSON_Delete(header);
    H5Fclose(file);
    return st;
}

/* Shape, type and layout of an open dataset; its record count must be the store's. */
static Status read_column(StoreColumn *c, Store *s, hid_t set, int64_t file_size) {
    hid_t space = H5Dget_space(set), type = H5Dget_type(set), p = H5Dget_create_plist(set);
    hsize_t dims[STORE_MAX_DIMS + 1] = {0}, chunk[STORE_MAX_DIMS + 1] = {0};
    int ndim = space >= 0 ? H5Sget_simple_extent_ndims(space) : -1;
    bool good = type >= 0 && p >= 0 && ndim >= 1 && ndim <= STORE_MAX_DIMS + 1 &&
                H5Sget_simple_extent_dims(space, dims, NULL) == ndim && H5Pget_layout(p) == H5D_CHUNKED &&
                H5Pget_chunk(p, ndim, chunk) == ndim && chunk[0] == 1 && dims[0] >= 1 &&
                dims[0] <= (hsize_t)MAX_RECORDS;
    int64_t bytes = 4;
    for (int i = 1; good && i < ndim; i++) {
        good = chunk[i] == dims[i] && dims[i] >= 1 && dims[i] <= (hsize_t)(MAX_RECORD_BYTES / bytes);
        c->dim[i - 1] = (int64_t)dims[i];
        bytes *= good ? c->dim[i - 1] : 1;
    }
    if (good && H5Tget_class(type) == H5T_STRING) {
        c->text = H5Tis_variable_str(type) == 0 ? (int64_t)H5Tget_size(type) : 0;
        good = ndim == 1 && c->text >= 1 && c->text <= MAX_TEXT;
        bytes = c->text;
    } else if (good) {
        c->ndim = ndim - 1;
        good = H5Tequal(type, H5T_IEEE_F32LE) > 0 && c->ndim >= 1;
    }
    if (good && s->capacity == 0) s->capacity = (int64_t)dims[0];
    good = good && s->capacity == (int64_t)dims[0];
    good = good && H5Dget_storage_size(set) == dims[0] * ((hsize_t)bytes + CHECKSUM) && bytes <= file_size &&
           s->capacity <= file_size / bytes;
    if (p >= 0) H5Pclose(p);
    if (type >= 0) H5Tclose(type);
    if (space >= 0) H5Sclose(space);
    if (good) return OK;
    return status_error(
        E_INPUT,
        "%s: dataset '%s': expected F32 or fixed-length text for every record, chunked by record; "
        "damaged, or written by something else",
        s->path, c->name);
}

/* No cache: what is written goes to the file at once. */
static hid_t open_set(hid_t file, const char *name) {
    hid_t p = H5Pcreate(H5P_DATASET_ACCESS), set = -1;
    if (p >= 0 && H5Pset_chunk_cache(p, 1, 0, 1.0) >= 0) set = H5Dopen2(file, name, p);
    if (p >= 0) H5Pclose(p);
    return set;
}

static Status read_columns(Store *s) {
    const cJSON *names;
    hsize_t size = 0;
    if (H5Fget_filesize(s->file, &size) < 0) return damaged(s->path, "its size");
    TRY(json_get_array(&names, s->header, "columns", s->path));
    int n = cJSON_GetArraySize(names);
    if (n < 1 || n > STORE_MAX_COLUMNS) return damaged(s->path, "its columns");
    for (const cJSON *name = names->child; name; name = name->next) {
        StoreColumn *c = &s->columns[s->n_columns];
        if (!cJSON_IsString(name) || strlen(name->valuestring) >= sizeof c->name)
            return damaged(s->path, "a column's name");
        snprintf(c->name, sizeof c->name, "%s", name->valuestring);
        s->sets[s->n_columns] = open_set(s->file, c->name);
        if (s->sets[s->n_columns++] < 0)
            return status_error(E_INPUT, "%s: dataset '%s' is missing or damaged", s->path, c->name);
        TRY(read_column(c, s, s->sets[s->n_columns - 1], (int64_t)size));
    }
    return OK;
}

static Status read_committed(Store *s) {
    s->committed = H5Dopen2(s->file, COMMITTED, H5P_DEFAULT);
    hid_t space = s->committed >= 0 ? H5Dget_space(s->committed) : -1;
    bool good = space >= 0 && H5Sget_simple_extent_npoints(space) == 1 &&
                H5Dread(s->committed, H5T_NATIVE_INT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, &s->n) >= 0;
    if (space >= 0) H5Sclose(space);
    if (!good) return damaged(s->path, "dataset '" COMMITTED "'");
    if (s->n >= 0 && s->n <= s->capacity) return OK;
    return status_error(E_INPUT, "%s: says it holds %lld records, but has room for %lld; damaged", s->path,
                        (long long)s->n, (long long)s->capacity);
}

static void set_unopened(Store *s) {
    s->file = s->committed = -1;
    for (int i = 0; i < STORE_MAX_COLUMNS; i++) s->sets[i] = -1;
}

/* s->path is set. */
static Status open_all(Store *s, StoreMode mode, const char *kind) {
    const char *found;
    int64_t version;
    TRY(open_file(&s->file, s->path, mode));
    TRY(parse_header(&s->header, s->file, s->path));
    TRY(json_get_string(&found, s->header, "kind", s->path));
    if (strcmp(found, kind) != 0)
        return status_error(E_INPUT, "%s: a store of kind '%s', expected '%s'", s->path, found, kind);
    TRY(json_get_int(&version, s->header, "version", VERSION, VERSION, s->path));
    TRY(read_columns(s));
    return read_committed(s);
}

Status store_open(Store *out, const char *path, const char *kind, StoreMode mode) {
    memset(out, 0, sizeof *out);
    set_unopened(out);
    out->append = mode == STORE_APPEND;
    out->path = strdup(path);
    Status st = out->path ? open_all(out, mode, kind) : no_memory(path);
    if (!status_is_ok(st)) store_close(out);
    return st;
}

Status store_expect(const Store *s, int i, const char *name, int ndim, const int64_t *dim) {
    bool same = i < s->n_columns && strcmp(s->columns[i].name, name) == 0 && s->columns[i].ndim == ndim &&
                (s->columns[i].text > 0) == (ndim == 0);
    for (int k = 0; same && k < ndim; k++) same = s->columns[i].dim[k] == dim[k];
    if (same) return OK;
    char want[96] = "text";
    size_t at = 0;
    for (int k = 0; k < ndim && at < sizeof want; k++)
        at += (size_t)snprintf(want + at, sizeof want - at, "%s%lld", k ? "," : "F32 [n,", (long long)dim[k]);
    return status_error(E_INPUT, "%s: column %d: expected '%s', %s%s, as its header says; damaged", s->path,
                        i, name, want, ndim ? "]" : "");
}

/* ---- reading and writing records ---- */

/* One record's selection of a column; owns, both. */
static bool select_record(hid_t *file_space, hid_t *memory_space, const Store *s, int column,
                          int64_t record) {
    hsize_t start[STORE_MAX_DIMS + 1] = {(hsize_t)record}, count[STORE_MAX_DIMS + 1];
    int ndim = dims_of(count, &s->columns[column], 1);
    *file_space = H5Dget_space(s->sets[column]);
    *memory_space = H5Screate_simple(ndim, count, NULL);
    return *file_space >= 0 && *memory_space >= 0 &&
           H5Sselect_hyperslab(*file_space, H5S_SELECT_SET, start, NULL, count, NULL) >= 0;
}

typedef enum Direction { READ, WRITE } Direction;

static bool transfer(const Store *s, int column, int64_t record, Direction d, void *data) {
    hid_t space = -1, memory = -1, type = type_of(&s->columns[column], true);
    bool good = type >= 0 && select_record(&space, &memory, s, column, record);
    if (good && d == READ) good = H5Dread(s->sets[column], type, memory, space, H5P_DEFAULT, data) >= 0;
    if (good && d == WRITE) good = H5Dwrite(s->sets[column], type, memory, space, H5P_DEFAULT, data) >= 0;
    if (memory >= 0) H5Sclose(memory);
    if (space >= 0) H5Sclose(space);
    if (type >= 0) H5Tclose(type);
    return good;
}

static Status read_field(void *dst, const Store *s, int column, int64_t record) {
    CHECK(column >= 0 && column < s->n_columns && record >= 0 && record < s->n, "record %lld of %lld",
          (long long)record, (long long)s->n);
    if (transfer(s, column, record, READ, dst)) return OK;
    return status_error(E_INPUT,
                        "%s: record %lld of '%s' cannot be read: its checksum is wrong; the file is damaged",
                        s->path, (long long)record, s->columns[column].name);
}

Status store_read_f32(float *dst, const Store *s, int column, int64_t record) {
    const StoreColumn *c = &s->columns[column];
    CHECK(!c->text, "column '%s' holds text", c->name);
    TRY(read_field(dst, s, column, record));
    int64_t n = store_numbers(c);
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(dst[i]))
            return status_error(E_INPUT, "%s: record %lld of '%s' holds NaN or infinity", s->path,
                                (long long)record, c->name);
    return OK;
}

Status store_read_text(char **out, const Store *s, int column, int64_t record) {
    const StoreColumn *c = &s->columns[column];
    CHECK(c->text, "column '%s' holds numbers", c->name);
    *out = calloc(1, (size_t)c->text + 1);
    if (!*out) return no_memory(s->path);
    Status st = read_field(*out, s, column, record);
    if (status_is_ok(st) && (unsigned char)(*out)[0] == NOT_TEXT)
        st = status_error(E_INPUT, "%s: record %lld of '%s' is not there; the file is damaged", s->path,
                          (long long)record, c->name);
    if (!status_is_ok(st)) {
        free(*out);
        *out = NULL;
    }
    return st;
}

/* To the disk, not only to the kernel. */
static Status flush(const Store *s) {
    int *fd;
    if (H5Fflush(s->file, H5F_SCOPE_LOCAL) >= 0 &&
        H5Fget_vfd_handle(s->file, H5P_DEFAULT, (void **)&fd) >= 0 && fdatasync(*fd) == 0)
        return OK;
    return status_errno(errno, "%s: cannot flush", s->path);
}

static Status commit(Store *s, int64_t n) {
    if (H5Dwrite(s->committed, H5T_NATIVE_INT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, &n) < 0)
        return status_error(E_ENV, "%s: cannot write (is the disk full?)", s->path);
    TRY(flush(s));
    s->n = n;
    return OK;
}

static Status write_record(const Store *s, const void *const *fields, int64_t record) {
    for (int i = 0; i < s->n_columns; i++) {
        const StoreColumn *c = &s->columns[i];
        const void *from = fields[i];
        char *padded = NULL;
        if (c->text) {
            from = padded = calloc(1, (size_t)c->text);
            if (!padded) return no_memory(s->path);
            memcpy(padded, fields[i], strlen(fields[i]));
        }
        bool good = transfer(s, i, record, WRITE, (void *)from);
        free(padded);
        if (!good) return status_error(E_ENV, "%s: cannot write '%s' (is the disk full?)", s->path, c->name);
    }
    return OK;
}

/* ---- growing ---- */

static Status publish(const char *fresh, const char *path) {
    char dir[PATH_MAX];
    snprintf(dir, sizeof dir, "%s", path);
    char *slash = strrchr(dir, '/');
    if (slash && slash != dir) *slash = 0;
    if (rename(fresh, path) != 0) return status_errno(errno, "%s: cannot rename to %s", fresh, path);
    return file_sync_dir(slash ? dir : ".");
}

static Status copy_records(Store *to, const Store *from) {
    const void *fields[STORE_MAX_COLUMNS] = {NULL};
    Status st = OK;
    for (int64_t record = 0; status_is_ok(st) && record < from->n; record++) {
        for (int i = 0; status_is_ok(st) && i < from->n_columns; i++) {
            const StoreColumn *c = &from->columns[i];
            char *buffer = calloc(1, (size_t)record_bytes(c) + 1);
            fields[i] = buffer;
            st = buffer ? read_field(buffer, from, i, record) : no_memory(from->path);
        }
        if (status_is_ok(st)) st = write_record(to, fields, record);
        for (int i = 0; i < from->n_columns; i++) {
            free((void *)fields[i]);
            fields[i] = NULL;
        }
    }
    return status_is_ok(st) ? commit(to, from->n) : st;
}

/* A file of s's columns and capacity under a temporary name, holding from's records (NULL: none), becomes
 * s->path. */
static Status build(const Store *s, const Store *from, const char *kind) {
    char fresh[PATH_MAX];
    Store to;
    if ((size_t)snprintf(fresh, sizeof fresh, "%s.%ld.tmp", s->path, (long)getpid()) >= sizeof fresh)
        return status_error(E_INPUT, "%s: path too long", s->path);
    Status st = make_file(fresh, s);
    if (status_is_ok(st)) st = store_open(&to, fresh, kind, STORE_APPEND);
    if (status_is_ok(st)) {
        st = from ? copy_records(&to, from) : flush(&to);
        store_close(&to);
    }
    if (status_is_ok(st)) st = publish(fresh, s->path);
    if (!status_is_ok(st)) unlink(fresh);
    return st;
}

static Status reopen(Store *s, const char *kind) {
    Store again;
    char *path = s->path;
    Status st = store_open(&again, path, kind, STORE_APPEND);
    close_ids(s); /* of the file that lost its name: nothing may go there */
    TRY(st);
    store_close(s);
    *s = again;
    return OK;
}

/* Doubles what is too small for this record. */
static Status make_room(Store *s, const void *const *fields) {
    Store larger = *s;
    bool enough = true;
    const char *kind;
    if (s->n == s->capacity) {
        larger.capacity *= 2;
        enough = false;
    }
    for (int i = 0; i < s->n_columns; i++) {
        StoreColumn *c = &larger.columns[i];
        int64_t n = c->text ? (int64_t)strlen(fields[i]) : 0;
        if (n > MAX_TEXT)
            return status_error(E_INPUT, "%s: a text of %lld bytes for '%s'; at most %lld are kept", s->path,
                                (long long)n, c->name, (long long)MAX_TEXT);
        for (; c->text && c->text < n; enough = false) c->text *= 2;
    }
    if (enough) return OK;
    if (larger.capacity > MAX_RECORDS)
        return status_error(E_INPUT, "%s: full: %lld records", s->path, (long long)s->n);
    TRY(json_get_string(&kind, s->header, "kind", s->path));
    TRY(build(&larger, s, kind));
    return reopen(s, kind);
}

Status store_append(Store *s, const void *const *fields) {
    CHECK(s->append, "%s is open for reading", s->path);
    for (int i = 0; i < s->n_columns; i++) {
        const StoreColumn *c = &s->columns[i];
        const float *x = fields[i];
        for (int64_t k = 0; !c->text && k < store_numbers(c); k++)
            if (!isfinite(x[k]))
                return status_error(E_INPUT, "%s: '%s' of the new record holds NaN or infinity; not stored",
                                    s->path, c->name);
    }
    TRY(make_room(s, fields));
    TRY(write_record(s, fields, s->n));
    TRY(flush(s));
    return commit(s, s->n + 1);
}

Status store_create(Store *out, const char *path, const char *kind, cJSON *header, const StoreColumn *columns,
                    int n_columns, int64_t capacity) {
    CHECK(n_columns >= 1 && n_columns <= STORE_MAX_COLUMNS && capacity >= 1, "store of %d columns",
          n_columns);
    Store s = {.path = (char *)path, .header = header, .n_columns = n_columns, .capacity = capacity};
    memset(out, 0, sizeof *out);
    quiet();
    cJSON *names = header ? cJSON_AddArrayToObject(header, "columns") : NULL;
    bool good = names && cJSON_AddStringToObject(header, "kind", kind) &&
                cJSON_AddNumberToObject(header, "version", VERSION);
    for (int i = 0; i < n_columns; i++) {
        s.columns[i] = columns[i];
        good = good && cJSON_AddItemToArray(names, cJSON_CreateString(columns[i].name));
        CHECK(record_bytes(&columns[i]) >= 1 && record_bytes(&columns[i]) < MAX_RECORD_BYTES, "column '%s'",
              columns[i].name);
    }
    Status st = good ? OK : no_memory(path);
    if (status_is_ok(st) && file_exists(path))
        st = status_error(E_INPUT, "%s: is there already; continue it, or choose another name", path);
    if (status_is_ok(st)) st = build(&s, NULL, kind);
    if (status_is_ok(st)) st = store_open(out, path, kind, STORE_APPEND);
    cJSON_Delete(header);
    return st;
}
