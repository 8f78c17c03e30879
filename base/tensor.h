/* A tensor is a small value: borrowed data, a type, a device, up to four dimensions, and the distance between
 * rows. Rows (index of dim 0) may be strided, so a column slice of a matrix is a tensor too; everything
 * inside a row is contiguous. Larger things are structs of named tensors. */
#ifndef T2L_BASE_TENSOR_H
#define T2L_BASE_TENSOR_H

#include "base/status.h"
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum DType {
    DT_F32,
    DT_BF16,
    DT_F16,
    DT_F64,
    DT_I32,
    DT_I64,
    DT_U8,
    DT_Q8_0,
    DT_Q4_1,
    DT_COUNT
} DType;
typedef enum DeviceKind { DEVICE_CPU, DEVICE_CUDA } DeviceKind;

enum { TENSOR_MAX_DIMS = 4 };

typedef struct Tensor {
    void *data;
    DType dtype;
    DeviceKind device;
    int ndim;
    int64_t dim[TENSOR_MAX_DIMS];
    int64_t ld; /* elements between consecutive indices of dim 0 */
} Tensor;

const char *dtype_name(DType t);
/* Bytes of n elements of type t (n a multiple of the block for quantised types). */
size_t dtype_bytes(DType t, int64_t n);

/* Contiguous host tensors over existing memory (view). */
Tensor tensor_1d(void *data, DType t, int64_t d0);
Tensor tensor_2d(void *data, DType t, int64_t d0, int64_t d1);
Tensor tensor_3d(void *data, DType t, int64_t d0, int64_t d1, int64_t d2);
/* Columns [from, from + n) of a 2-D tensor (view). */
Tensor tensor_columns(Tensor t, int64_t from, int64_t n);
/* Rows [from, from + n) (view). */
Tensor tensor_rows(Tensor t, int64_t from, int64_t n);
int64_t tensor_numel(Tensor t);
bool tensor_is_contiguous(Tensor t);

static inline float *tensor_f32(Tensor t) {
    return (float *)t.data;
}

/* bfloat16 <-> float on the host, round to nearest even; NaN stays NaN. */
static inline float bf16_to_float(uint16_t h) {
    union {
        uint32_t u;
        float f;
    } x;
    x.u = (uint32_t)h << 16;
    return x.f;
}
static inline uint16_t float_to_bf16(float f) {
    union {
        float f;
        uint32_t u;
    } x;
    x.f = f;
    if ((x.u & 0x7fffffffu) > 0x7f800000u) return (uint16_t)((x.u >> 16) | 0x40u);
    return (uint16_t)((x.u + 0x7fffu + ((x.u >> 16) & 1u)) >> 16);
}
/* IEEE half -> float. */
static inline float f16_to_float(uint16_t h) {
    union {
        uint32_t u;
        float f;
    } x, magic;
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16, rest = h & 0x7fffu;
    if (rest >= 0x7c00u) {
        x.u = sign | 0x7f800000u | ((rest & 0x3ffu) << 13);
        return x.f;
    }
    magic.u = 113u << 23; /* 2^-14 */
    if (rest < 0x400u) {  /* subnormal: m * 2^-24 */
        x.u = magic.u | (rest << 13);
        x.f -= magic.f;
        x.u |= sign;
        return x.f;
    }
    x.u = sign | ((rest << 13) + (112u << 23));
    return x.f;
}

#ifdef __cplusplus
}
#endif
#endif
