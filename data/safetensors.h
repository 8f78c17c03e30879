/* safetensors files: a reader over a read-only map and an atomic writer.
 *
 * Layout: u64 LE N | N bytes of UTF-8 JSON | data. The JSON object maps a name to
 * {"dtype","shape","data_offsets": [begin,end]}, offsets counted from the start of the data; "__metadata__"
 * maps strings to strings. Rules the reader enforces (huggingface/safetensors, tensor.rs): N <= 100 MB and
 * within the file; valid UTF-8; a name appears once; integers are exact; offsets tile the data without hole
 * or overlap; end - begin is the size that dtype and shape say; the file ends where the last tensor ends.
 * JSON whitespace around the object is accepted. The writer's order is the reference's (larger alignment
 * first, then name), the header is padded to 8 bytes. */
#ifndef T2L_DATA_SAFETENSORS_H
#define T2L_DATA_SAFETENSORS_H

#include "base/file.h"
#include "base/tensor.h"

enum { SAFETENSORS_MAX_DIMS = 8 };

typedef struct SafeTensor {
    const char *name;      /* view */
    const char *type_name; /* view: dtype as in the file, e.g. "F8_E4M3" */
    DType dtype;           /* DT_COUNT: a type that can be listed but not used (type_name tells) */
    int ndim;
    int64_t shape[SAFETENSORS_MAX_DIMS];
    const uint8_t *data; /* view; aligned to dtype */
    size_t bytes;
    const char *path; /* view: the file it is in */
} SafeTensor;

typedef struct SafeMeta {
    const char *key, *value; /* view */
} SafeMeta;

typedef struct SafeFile {
    char *path;       /* owns */
    FileMap map;      /* owns */
    char *text;       /* owns names and metadata strings */
    uint8_t *aligned; /* owns copies of tensors the file does not align; NULL when there are none */
} SafeFile;

typedef struct SafeTensors {
    const char *path;    /* view: the file, or the directory, that was opened */
    SafeTensor *tensors; /* owns; sorted by name (bytes) */
    int64_t n;
    SafeMeta *meta; /* owns; of the first file */
    int64_t n_meta;
    SafeFile *files; /* owns; one, or the shards */
    int64_t n_files;
    char *path_owned; /* owns */
} SafeTensors;

Status safetensors_open(SafeTensors *out, const char *path);
/* dir/model.safetensors, or the shards that dir/model.safetensors.index.json lists: plain file names, every
 * tensor of weight_map in the shard it says, none twice, none besides, metadata.total_size bytes if given. */
Status safetensors_open_model(SafeTensors *out, const char *dir);
void safetensors_close(SafeTensors *s);

/* NULL when absent. */
const SafeTensor *safetensors_find(const SafeTensors *s, const char *name);
const char *safetensors_metadata(const SafeTensors *s, const char *key); /* view; NULL when absent */

/* The tensor `name` as a host Tensor view (read-only memory). It must have these dimensions (dim < 0: any)
 * and one of our dtypes; E_INPUT names file and tensor otherwise. */
Status safetensors_get(Tensor *out, const SafeTensors *s, const char *name, int ndim, const int64_t *dim);
/* F32, F16, BF16 or F64 values converted into dst, numel of them. */
Status safetensors_read_f32(float *dst, const SafeTensor *t);

typedef struct SafeEntry {
    const char *name; /* view */
    Tensor tensor;    /* view; host; F32 F16 BF16 F64 I64 I32 U8; rows may be strided */
} SafeEntry;

/* Writes the file atomically, tensor by tensor straight from the views (no copy of the whole). Each tensor
 * occurs once. */
Status safetensors_write(const char *path, const SafeEntry *entries, int64_t n, const SafeMeta *meta,
                         int64_t n_meta);

#endif
