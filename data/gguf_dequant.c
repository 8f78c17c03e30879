/* Policy: rows of a GGUF tensor as floats. Every product and sum is rounded to float in the order in which
 * ggml writes it, so the values are those of gguf-py bit for bit where the compiler does not fuse
 * multiplication and addition. Blocks lie unaligned in the file: bytes are read one by one. */
#include "data/gguf.h"

#include <string.h>

static Status unsupported(const GgufTensor *t) {
    return status_error(
        E_INPUT,
        "%s: tensor '%s': type %s is not supported; convert the model to F32, F16, BF16, Q8_0, "
        "Q4_0, Q4_1, Q5_0, Q5_1, Q4_K, Q5_K or Q6_K",
        t->path, t->name, gguf_type_name(t->type));
}

Status gguf_as_tensor(Tensor *out, const GgufTensor *t) {
    DType dtype;
    switch (t->type) {
    case GGML_F32:
        dtype = DT_F32;
        break;
    case GGML_F16:
        dtype = DT_F16;
        break;
    case GGML_BF16:
        dtype = DT_BF16;
        break;
    case GGML_Q8_0:
        dtype = DT_Q8_0;
        break;
    case GGML_Q4_1:
        dtype = DT_Q4_1;
        break;
    default:
        return unsupported(t);
    }
    *out = t->ndim > 1 ? tensor_2d((void *)t->data, dtype, t->rows, t->ne[0])
                       : tensor_1d((void *)t->data, dtype, t->ne[0]);
    return OK;
}

static float half_at(const uint8_t *p) {
    return f16_to_float((uint16_t)(p[0] | p[1] << 8));
}

/* IEEE half to float without branches, so that the loop becomes vector code: the exponent is corrected by a
 * multiplication with 2^112 (exact, subnormals included); infinities and NaNs get the full exponent. */
static void convert_f16(float *restrict dst, const uint16_t *restrict src, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        union {
            uint32_t u;
            float f;
        } x, scale;
        uint32_t rest = src[i] & 0x7fffu;
        scale.u = 239u << 23; /* 2^112 */
        x.u = rest << 13;
        x.f *= scale.f;
        x.u |= (rest >= 0x7c00u ? 0x7f800000u : 0u) | (uint32_t)(src[i] & 0x8000u) << 16;
        dst[i] = x.f;
    }
}

static void convert_bf16(float *restrict dst, const uint16_t *restrict src, int64_t n) {
    for (int64_t i = 0; i < n; i++) dst[i] = bf16_to_float(src[i]);
}

/* Blocks of 32: f16 d, i8 q[32]; x = q d. */
static void convert_q8_0(float *restrict dst, const uint8_t *restrict src, int64_t n) {
    for (int64_t b = 0; b < n / 32; b++, src += 34, dst += 32) {
        float d = half_at(src);
        const int8_t *q = (const int8_t *)src + 2;
        for (int j = 0; j < 32; j++) dst[j] = (float)q[j] * d;
    }
}

/* Blocks of 32: f16 d, f16 m, u8 q[16]; x[j] = (q[j] & 15) d + m, x[j + 16] = (q[j] >> 4) d + m. */
static void convert_q4_1(float *restrict dst, const uint8_t *restrict src, int64_t n) {
    for (int64_t b = 0; b < n / 32; b++, src += 20, dst += 32) {
        float d = half_at(src), m = half_at(src + 2);
        const uint8_t *q = src + 4;
        for (int j = 0; j < 16; j++) dst[j] = (float)(q[j] & 15) * d + m;
        for (int j = 0; j < 16; j++) dst[j + 16] = (float)(q[j] >> 4) * d + m;
    }
}

/* Blocks of 32: f16 d, u8 q[16]; x[j] = ((q[j] & 15) - 8) d, x[j + 16] = ((q[j] >> 4) - 8) d. */
static void convert_q4_0(float *restrict dst, const uint8_t *restrict src, int64_t n) {
    for (int64_t b = 0; b < n / 32; b++, src += 18, dst += 32) {
        float d = half_at(src);
        const uint8_t *q = src + 2;
        for (int j = 0; j < 16; j++) dst[j] = (float)((q[j] & 15) - 8) * d;
        for (int j = 0; j < 16; j++) dst[j + 16] = (float)((q[j] >> 4) - 8) * d;
    }
}

static uint32_t word_at(const uint8_t *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* Fifth bits in a word, bit i of element i; the other four as in Q4_0. */
static void five_bits(int q[32], const uint8_t *low, uint32_t high) {
    for (uint32_t j = 0; j < 16; j++) {
        q[j] = (low[j] & 15) | (int)(high >> j & 1) << 4;
        q[j + 16] = low[j] >> 4 | (int)(high >> (j + 16) & 1) << 4;
    }
}

/* Blocks of 32: f16 d, u32 high bits, u8 q[16]; x = (q - 16) d. */
static void convert_q5_0(float *restrict dst, const uint8_t *restrict src, int64_t n) {
    for (int64_t b = 0; b < n / 32; b++, src += 22, dst += 32) {
        int q[32];
        float d = half_at(src);
        five_bits(q, src + 6, word_at(src + 2));
        for (int j = 0; j < 32; j++) dst[j] = (float)(q[j] - 16) * d;
    }
}

/* Blocks of 32: f16 d, f16 m, u32 high bits, u8 q[16]; x = q d + m. */
static void convert_q5_1(float *restrict dst, const uint8_t *restrict src, int64_t n) {
    for (int64_t b = 0; b < n / 32; b++, src += 24, dst += 32) {
        int q[32];
        float d = half_at(src), m = half_at(src + 2);
        five_bits(q, src + 8, word_at(src + 4));
        for (int j = 0; j < 32; j++) dst[j] = (float)q[j] * d + m;
    }
}

/* Six-bit scale and minimum of sub-block j (of 8) from the 12 bytes of a K block. */
static void scale_and_min(int *scale, int *min, const uint8_t *s, int j) {
    if (j < 4) {
        *scale = s[j] & 63;
        *min = s[j + 4] & 63;
    } else {
        *scale = (s[j + 4] & 15) | (s[j - 4] >> 6) << 4;
        *min = s[j + 4] >> 4 | (s[j] >> 6) << 4;
    }
}

/* Blocks of 256: f16 d, f16 dmin, u8 scales[12], for Q5_K u8 high[32], u8 q[128]. Sub-block j of 32: the low
 * (j even) or high halves of q[32 (j / 2)...], for Q5_K bit j of high[i] above them;
 * x = (d scale_j) q - (dmin min_j). */
static void convert_q45_k(float *restrict dst, const uint8_t *restrict src, int64_t n, bool five) {
    for (int64_t b = 0; b < n / 256; b++) {
        float d = half_at(src), dmin = half_at(src + 2);
        const uint8_t *scales = src + 4, *high = src + 16, *q = five ? src + 48 : src + 16;
        for (int j = 0; j < 8; j++, dst += 32) {
            int scale, min;
            scale_and_min(&scale, &min, scales, j);
            float ds = d * (float)scale, dm = dmin * (float)min;
            for (int i = 0; i < 32; i++) {
                int v = q[32 * (j / 2) + i] >> 4 * (j & 1) & 15;
                if (five) v |= (high[i] >> j & 1) << 4;
                dst[i] = ds * (float)v - dm;
            }
        }
        src += five ? 176 : 144;
    }
}

/* Blocks of 256: u8 low[128], u8 high[64], i8 scales[16], f16 d. Each half of 128 has 64 bytes of low, 32 of
 * high and 8 scales; its element 32 k + l: four bits from low[l + 32 (k & 1)], the low half for k < 2, two
 * bits from high[l] at 2 k; x = (d scale[2 k + l / 16]) (q - 32). */
static void convert_q6_k(float *restrict dst, const uint8_t *restrict src, int64_t n) {
    for (int64_t b = 0; b < n / 256; b++, src += 210) {
        float d = half_at(src + 208);
        for (int half = 0; half < 2; half++) {
            const uint8_t *low = src + 64 * half, *high = src + 128 + 32 * half;
            const int8_t *scales = (const int8_t *)src + 192 + 8 * half;
            for (int k = 0; k < 4; k++, dst += 32)
                for (int l = 0; l < 32; l++) {
                    int q = (low[l + 32 * (k & 1)] >> 4 * (k / 2) & 15) | (high[l] >> 2 * k & 3) << 4;
                    dst[l] = d * (float)scales[2 * k + l / 16] * (float)(q - 32);
                }
        }
    }
}

Status gguf_dequant(float *dst, const GgufTensor *t, int64_t row, int64_t n_rows) {
    CHECK(row >= 0 && n_rows >= 0 && row <= t->rows && n_rows <= t->rows - row,
          "tensor '%s': rows %lld+%lld of %lld", t->name, (long long)row, (long long)n_rows,
          (long long)t->rows);
    const uint8_t *src = t->data + (size_t)row * t->row_bytes;
    int64_t n = n_rows * t->ne[0]; /* rows are whole blocks, so rows follow each other without a gap */
    switch (t->type) {
    case GGML_F32:
        memcpy(dst, src, (size_t)n * sizeof *dst);
        return OK;
    case GGML_F16:
        convert_f16(dst, (const uint16_t *)(const void *)src, n);
        return OK;
    case GGML_BF16:
        convert_bf16(dst, (const uint16_t *)(const void *)src, n);
        return OK;
    case GGML_Q8_0:
        convert_q8_0(dst, src, n);
        return OK;
    case GGML_Q4_1:
        convert_q4_1(dst, src, n);
        return OK;
    case GGML_Q4_0:
        convert_q4_0(dst, src, n);
        return OK;
    case GGML_Q5_0:
        convert_q5_0(dst, src, n);
        return OK;
    case GGML_Q5_1:
        convert_q5_1(dst, src, n);
        return OK;
    case GGML_Q4_K:
    case GGML_Q5_K:
        convert_q45_k(dst, src, n, t->type == GGML_Q5_K);
        return OK;
    case GGML_Q6_K:
        convert_q6_k(dst, src, n);
        return OK;
    default:
        return unsupported(t);
    }
}
