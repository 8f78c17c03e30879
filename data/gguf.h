/* GGUF files (v2, v3, little endian): a reader over a read-only map, and conversion of rows to float.
 *
 * magic "GGUF" | u32 version | i64 n_tensors | i64 n_kv | n_kv x {str key; u32 type; value}
 * | n_tensors x {str name; u32 n_dims; u64 ne[]; u32 ggml_type; u64 offset} | pad to general.alignment | data
 * str = u64 length + bytes; array = u32 type, u64 n, items (not nested). ne[0] is the length of a row.
 * Rules enforced (ggml gguf.cpp): counts fit the file, keys and names are non-empty and unique, names < 64
 * bytes, n_dims <= 4, element counts do not overflow, rows are whole blocks, alignment is a power of two >=
 * 8, offsets are the running sum of padded sizes in file order, the file holds all of the data. */
#ifndef T2L_DATA_GGUF_H
#define T2L_DATA_GGUF_H

#include "base/file.h"
#include "base/tensor.h"
#include "data/tokenizer.h"

typedef enum GgufType {
    GGUF_U8,
    GGUF_I8,
    GGUF_U16,
    GGUF_I16,
    GGUF_U32,
    GGUF_I32,
    GGUF_F32,
    GGUF_BOOL,
    GGUF_STRING,
    GGUF_ARRAY,
    GGUF_U64,
    GGUF_I64,
    GGUF_F64,
    GGUF_TYPES
} GgufType;

/* The numbers of the file format. Others exist; gguf_type_name() gives their names for messages. */
typedef enum GgmlType {
    GGML_F32 = 0,
    GGML_F16 = 1,
    GGML_Q4_0 = 2,
    GGML_Q4_1 = 3,
    GGML_Q5_0 = 6,
    GGML_Q5_1 = 7,
    GGML_Q8_0 = 8,
    GGML_Q4_K = 12,
    GGML_Q5_K = 13,
    GGML_Q6_K = 14,
    GGML_BF16 = 30,
    GGML_TYPES = 40
} GgmlType;

typedef struct GgufString {
    const char *s; /* view; not NUL-terminated */
    size_t n;
} GgufString;

typedef struct GgufKv {
    GgufString key;
    GgufType type;
    GgufType item;       /* of an array */
    uint64_t n;          /* items of an array, else 1 */
    const uint8_t *data; /* view: first item as stored, unaligned */
} GgufKv;

typedef struct GgufTensor {
    char name[64];
    int type; /* GgmlType, or another known number */
    int ndim;
    int64_t ne[4];       /* ne[0] elements a row; unused dimensions are 1 */
    int64_t rows;        /* ne[1] * ne[2] * ne[3] */
    size_t row_bytes;    /* of one row */
    const uint8_t *data; /* view */
    size_t bytes;
    const char *path; /* view: the file it is in */
} GgufTensor;

typedef struct Gguf {
    char *path;  /* owns */
    FileMap map; /* owns */
    uint32_t version;
    GgufKv *kv; /* owns; file order */
    int64_t n_kv;
    GgufTensor *tensors; /* owns; file order */
    int64_t n_tensors;
    GgufTensor **by_name; /* owns; views of tensors, sorted */
    GgufKv **by_key;      /* owns; views of kv, sorted */
} Gguf;

Status gguf_open(Gguf *out, const char *path);
void gguf_close(Gguf *g);

const GgufKv *gguf_find(const Gguf *g, const char *key); /* NULL when absent */
/* Scalars. Any integer type will do for an int; E_INPUT names file and key when absent, of another type or
 * out of range. The _or forms store `absent` when the key is absent. */
Status gguf_get_int(int64_t *out, const Gguf *g, const char *key, int64_t min, int64_t max);
Status gguf_get_int_or(int64_t *out, const Gguf *g, const char *key, int64_t min, int64_t max,
                       int64_t absent);
Status gguf_get_float(double *out, const Gguf *g, const char *key); /* finite */
Status gguf_get_float_or(double *out, const Gguf *g, const char *key, double absent);
Status gguf_get_bool_or(bool *out, const Gguf *g, const char *key, bool absent);
Status gguf_get_string(GgufString *out, const Gguf *g, const char *key);
bool gguf_string_is(GgufString s, const char *text);
/* Arrays. *out owns the array of views (free it); n items. */
Status gguf_get_strings(GgufString **out, int64_t *n, const Gguf *g, const char *key);
/* *out owns n values (free it); any integer item type. */
Status gguf_get_ints(int32_t **out, int64_t *n, const Gguf *g, const char *key);
Status gguf_get_floats(float **out, int64_t *n, const Gguf *g, const char *key); /* items f32 or f64 */

const GgufTensor *gguf_tensor(const Gguf *g, const char *name); /* NULL when absent */
/* A tensor of exactly [rows, cols] (cols = ne[0]; rows 1 for a vector), or E_INPUT naming file, tensor,
 * shapes. */
Status gguf_get_tensor(const GgufTensor **out, const Gguf *g, const char *name, int64_t rows, int64_t cols);
const char *gguf_type_name(int ggml_type); /* "Q4_K"; "?" when unknown */
/* The tensor as our Tensor (view) where its type is F32, F16, BF16, Q8_0 or Q4_1: [rows, cols], or [cols]
 * when it has one dimension. E_INPUT naming the type otherwise. */
Status gguf_as_tensor(Tensor *out, const GgufTensor *t);
/* Rows [row, row + n_rows) as float into dst [n_rows, ne[0]], of any GgmlType (F32 F16 BF16, Q4_0 Q4_1 Q5_0
 * Q5_1 Q8_0, Q4_K Q5_K Q6_K); E_INPUT naming the type otherwise. (data/gguf_dequant.c)
 * Threads may convert different rows of a tensor at once. */
Status gguf_dequant(float *dst, const GgufTensor *t, int64_t row, int64_t n_rows);
/* The tokenizer in tokenizer.ggml.*. *out owns; free with tokenizer_free. */
Status gguf_tokenizer(Tokenizer **out, const Gguf *g);

#endif
