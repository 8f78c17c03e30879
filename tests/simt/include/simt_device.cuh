/* The interpreter's half of kernels/device.cuh: asynchronous copies, ldmatrix and mma on the CPU. Fragments
 * are laid out as PTX ISA 8.x, "Matrix Fragments for mma.m16n8k16", draws them: lane = 4 g + t. */
#ifndef T2L_SIMT_DEVICE_CUH
#define T2L_SIMT_DEVICE_CUH

inline void vec_check(const void *p) {
    simt_check_vector(p, 16);
}
template <class T> inline uint4 vec_raw(Shared<T> s) {
    uint4 raw;
    memcpy(&raw, s.span(16 / sizeof(T), SIMT_READ), 16);
    return raw;
}
template <class T> inline void vec_put(Shared<T> s, uint4 raw) {
    memcpy(s.span(16 / sizeof(T), SIMT_WRITE), &raw, 16);
}

inline bf16 bf16_round(float x) {
    return bf16{float_to_bf16(x)};
}

template <class T> inline void cp_async16(Shared<T> dst, const T *src, int valid = 16) {
    dst.check(dst.at, 16 / sizeof(T));
    simt_check_vector(src, 16);
    simt_async_copy(dst.name, dst.begin + dst.at * (int64_t)sizeof(T), src, (size_t)valid, dst.at);
}
inline void cp_async_commit() {
    simt_async_commit();
}
template <int NEWEST> inline void cp_async_wait() {
    simt_async_wait(NEWEST);
}

struct SimtRow {
    uint16_t v[8];
};
template <int N, bool TRANS>
inline void simt_ldmatrix(const void *const *ins, void *const *outs, unsigned mask) {
    if (mask != 0xffffffffu) simt_fault("ldmatrix: mask %#x", mask);
    for (int lane = 0; lane < 32; lane++) {
        uint32_t *r = (uint32_t *)outs[lane];
        int g = lane >> 2, t = lane & 3;
        for (int m = 0; m < N; m++) {
            auto at = [&](int row, int col) { return (uint32_t)((const SimtRow *)ins[8 * m + row])->v[col]; };
            r[m] = TRANS ? at(2 * t, g) | at(2 * t + 1, g) << 16 : at(g, 2 * t) | at(g, 2 * t + 1) << 16;
        }
    }
}
template <int N, bool TRANS> inline void ldmatrix(uint32_t (&r)[N], Shared<bf16> row) {
    SimtRow in{};
    if (simt_lane() < 8 * N) memcpy(&in, row.span(8, SIMT_READ), sizeof in);
    simt_warp(TRANS ? "ldmatrix.trans" : "ldmatrix", 0xffffffffu, &in, r, simt_ldmatrix<N, TRANS>);
}

struct SimtMma {
    uint32_t a[4], b[2];
    float c[4];
};
template <float TO_FLOAT(uint16_t)>
inline void simt_mma(const void *const *ins, void *const *outs, unsigned mask) {
    if (mask != 0xffffffffu) simt_fault("mma: mask %#x", mask);
    float a[16][16], b[16][8];
    for (int lane = 0; lane < 32; lane++) {
        const SimtMma *in = (const SimtMma *)ins[lane];
        int g = lane >> 2, t = lane & 3;
        for (int h = 0; h < 2; h++) { /* low and high half of a register */
            for (int i = 0; i < 4; i++)
                a[g + 8 * (i & 1)][2 * t + h + 8 * (i >> 1)] = TO_FLOAT((uint16_t)(in->a[i] >> 16 * h));
            for (int i = 0; i < 2; i++) b[2 * t + h + 8 * i][g] = TO_FLOAT((uint16_t)(in->b[i] >> 16 * h));
        }
    }
    for (int lane = 0; lane < 32; lane++) {
        const SimtMma *in = (const SimtMma *)ins[lane];
        float *d = (float *)outs[lane];
        for (int i = 0; i < 4; i++) {
            int row = (lane >> 2) + 8 * (i >> 1), col = 2 * (lane & 3) + (i & 1);
            float sum = in->c[i];
            for (int k = 0; k < 16; k++) sum += a[row][k] * b[k][col];
            d[i] = sum;
        }
    }
}
inline void mma_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    SimtMma in{{a[0], a[1], a[2], a[3]}, {b[0], b[1]}, {d[0], d[1], d[2], d[3]}};
    simt_warp("mma", 0xffffffffu, &in, d, simt_mma<bf16_to_float>);
}
inline void mma_f16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    SimtMma in{{a[0], a[1], a[2], a[3]}, {b[0], b[1]}, {d[0], d[1], d[2], d[3]}};
    simt_warp("mma", 0xffffffffu, &in, d, simt_mma<f16_to_float>);
}

inline uint32_t simt_f16(float x) {
    uint32_t u = __float_as_uint(x), sign = u >> 16 & 0x8000u;
    u &= 0x7fffffffu;
    if (u > 0x7f800000u) return sign | 0x7e00u;
    if (u >= 0x477ff000u) return sign | 0x7c00u; /* 65520 and above */
    if (u < 0x38800000u)                         /* below 2^-14: the sum has the rounding step 2^-24 */
        return sign | (__float_as_uint(__uint_as_float(u) + 0.5f) - 0x3f000000u);
    return sign | ((u + 0xfffu + (u >> 13 & 1u) - 0x38000000u) >> 13);
}
inline uint32_t f16_pair(float low, float high) {
    return simt_f16(low) | simt_f16(high) << 16;
}
inline float f16_low(uint32_t pair) {
    return f16_to_float((uint16_t)pair);
}
inline float f16_high(uint32_t pair) {
    return f16_to_float((uint16_t)(pair >> 16));
}
inline uint32_t f16_signs(float low, float high) {
    auto sign = [](float x) { /* of the upper half of the bits, as on the device */
                              uint32_t top = __float_as_uint(x) >> 16;
                              return (top & 0x7fffu ? 0x3c00u : 0u) | (top & 0x8000u);
    };
    return sign(low) | sign(high) << 16;
}

inline void simt_movmatrix(const void *const *ins, void *const *outs, unsigned mask) {
    if (mask != 0xffffffffu) simt_fault("movmatrix: mask %#x", mask);
    auto at = [&](int row, int col) {
        return *(const uint32_t *)ins[4 * row + col / 2] >> col % 2 * 16 & 0xffffu;
    };
    for (int lane = 0; lane < 32; lane++) {
        int g = lane >> 2, t = lane & 3;
        *(uint32_t *)outs[lane] = at(2 * t, g) | at(2 * t + 1, g) << 16;
    }
}
inline uint32_t movmatrix(uint32_t pair) {
    uint32_t turned;
    simt_warp("movmatrix", 0xffffffffu, &pair, &turned, simt_movmatrix);
    return turned;
}

#endif
