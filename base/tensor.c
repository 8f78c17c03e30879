#include "base/tensor.h"

typedef struct DTypeInfo {
    const char *name;
    int block; /* elements a block */
    int bytes; /* bytes a block */
} DTypeInfo;

static const DTypeInfo infos[DT_COUNT] = {
    [DT_F32] = {"F32", 1, 4}, [DT_BF16] = {"BF16", 1, 2},   [DT_F16] = {"F16", 1, 2},
    [DT_F64] = {"F64", 1, 8}, [DT_I32] = {"I32", 1, 4},     [DT_I64] = {"I64", 1, 8},
    [DT_U8] = {"U8", 1, 1},   [DT_Q8_0] = {"Q8_0", 32, 34}, [DT_Q4_1] = {"Q4_1", 32, 20},
};

const char *dtype_name(DType t) {
    return (unsigned)t < DT_COUNT ? infos[t].name : "?";
}

size_t dtype_bytes(DType t, int64_t n) {
    CHECK((unsigned)t < DT_COUNT, "unknown dtype %d", (int)t);
    CHECK(n >= 0 && n % infos[t].block == 0, "%lld elements of %s", (long long)n, infos[t].name);
    return (size_t)(n / infos[t].block) * (size_t)infos[t].bytes;
}

Tensor tensor_1d(void *data, DType t, int64_t d0) {
    Tensor x = {data, t, DEVICE_CPU, 1, {d0}, 1};
    return x;
}

Tensor tensor_2d(void *data, DType t, int64_t d0, int64_t d1) {
    Tensor x = {data, t, DEVICE_CPU, 2, {d0, d1}, d1};
    return x;
}

Tensor tensor_3d(void *data, DType t, int64_t d0, int64_t d1, int64_t d2) {
    Tensor x = {data, t, DEVICE_CPU, 3, {d0, d1, d2}, d1 * d2};
    return x;
}

Tensor tensor_columns(Tensor t, int64_t from, int64_t n) {
    CHECK(t.ndim == 2 && from >= 0 && n >= 0 && from + n <= t.dim[1], "columns %lld+%lld of %lld",
          (long long)from, (long long)n, (long long)t.dim[1]);
    t.data = (char *)t.data + dtype_bytes(t.dtype, from);
    t.dim[1] = n;
    return t;
}

Tensor tensor_rows(Tensor t, int64_t from, int64_t n) {
    CHECK(t.ndim >= 1 && from >= 0 && n >= 0 && from + n <= t.dim[0], "rows %lld+%lld of %lld",
          (long long)from, (long long)n, (long long)t.dim[0]);
    t.data = (char *)t.data + dtype_bytes(t.dtype, from * t.ld);
    t.dim[0] = n;
    return t;
}

int64_t tensor_numel(Tensor t) {
    int64_t n = 1;
    for (int i = 0; i < t.ndim; i++) n *= t.dim[i];
    return n;
}

bool tensor_is_contiguous(Tensor t) {
    int64_t inner = 1;
    for (int i = 1; i < t.ndim; i++) inner *= t.dim[i];
    return t.ld == inner || t.dim[0] <= 1;
}
