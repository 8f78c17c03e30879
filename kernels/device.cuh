/* What CUDA bodies share: launching, 16-byte accesses, bf16, reductions in a fixed order, shared memory, the
 * warp matrices and asynchronous copies. For nvcc it is CUDA; without nvcc the names on top of
 * tests/simt/include are the interpreter's, which checks them (kernels/README.md). No pointer to shared
 * memory is a plain pointer. */
#ifndef T2L_KERNELS_DEVICE_CUH
#define T2L_KERNELS_DEVICE_CUH

#include <cuda_runtime.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "kernels/device_cuda.h"

extern "C" {
#include "kernels/ops.h"
}

/* The function of a body: `extern "C" Status BODY(add_fwd)(Device *dev, ...)`. */
#if defined(__CUDACC__)
#include <cuda_bf16.h>
#define BODY(op) op##_cuda
#else
#define BODY(op) op##_simt
#endif

extern "C" {
#define X(op) op##_fn BODY(op);
OPS(X)
#undef X
extern const Ops BODY(ops);
/* E_ENV with the runtime's words when there is no device. */
Status BODY(device_count)(int *n);
/* dev owns what it holds until device_close. */
Status BODY(device_open)(Device *dev, int index, size_t scratch_bytes);
const char *BODY(device_name)(const Device *dev, int *index);
}

/* ---- Launch ---- */

/* TRY(LAUNCH(dev, kernel, grid, block, shared bytes, arguments...)): on the device's stream. A template's
 * kernel in parentheses: (rows<float, 8>). Pointers among the arguments are the device's. */
#define LAUNCH(dev, kernel, grid, block, shared, ...) \
    cuda_launch(dev, #kernel, kernel, grid, block, shared, __VA_ARGS__)

inline Status cuda_status(cudaError_t e, const char *what) {
    return e == cudaSuccess ? OK : status_error(E_FAIL, "%s: %s", what, cudaGetErrorString(e));
}

template <class... P, class... A>
inline Status cuda_launch(Device *dev, const char *name, void (*kernel)(P...), dim3 grid, dim3 block,
                          size_t shared, A... args) {
    if (shared > 48 * 1024)
        TRY(cuda_status(
            cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)shared), name));
    cudaLaunchConfig_t config = {};
    config.gridDim = grid;
    config.blockDim = block;
    config.dynamicSmemBytes = shared;
    config.stream = dev->cuda->stream;
    return cuda_status(cudaLaunchKernelEx(&config, kernel, static_cast<P>(args)...), name);
}

/* ceil(n / per) as the x of a grid (at most 2^31 - 1). */
inline unsigned grid_for(int64_t n, int64_t per) {
    int64_t blocks = (n + per - 1) / per;
    CHECK(blocks >= 0 && blocks <= INT32_MAX, "grid of %lld blocks", (long long)blocks);
    return (unsigned)blocks;
}

/* n in 32 bits, for index arithmetic inside a kernel: larger is a broken invariant. */
inline unsigned count32(int64_t n) {
    CHECK(n >= 0 && n <= INT32_MAX, "%lld elements in one launch", (long long)n);
    return (unsigned)n;
}

/* ---- bf16: arithmetic is f32, storage may be bf16 ---- */

struct bf16 {
    uint16_t bits;
};

#if defined(__CUDACC__)
/* (declared by the interpreter too: simt_device.cuh) */
__device__ __forceinline__ bf16 bf16_round(float x) {
    return bf16{__bfloat16_as_ushort(__float2bfloat16_rn(x))};
}
#else
#include "simt_device.cuh"
#endif

__device__ __forceinline__ float to_f32(float x) {
    return x;
}
__device__ __forceinline__ float to_f32(bf16 x) {
    return __uint_as_float((unsigned)x.bits << 16);
}
template <class T> __device__ __forceinline__ T from_f32(float x);
template <> __device__ __forceinline__ float from_f32<float>(float x) {
    return x;
}
template <> __device__ __forceinline__ bf16 from_f32<bf16>(float x) {
    return bf16_round(x);
}

/* ---- 16-byte accesses ---- */

template <class T> struct Vec16 {
    enum { N = 16 / sizeof(T) };
    T v[N];
};

#if defined(__CUDACC__)
template <class T> using Shared = T *;
__device__ __forceinline__ void vec_check(const void *) {}
#else
template <class T> inline Vec16<T> vec_load(Shared<T> s) {
    uint4 raw = vec_raw(s);
    Vec16<T> x;
    memcpy(&x, &raw, 16);
    return x;
}
template <class T> inline void vec_store(Shared<T> s, const Vec16<T> &x) {
    uint4 raw;
    memcpy(&raw, &x, 16);
    vec_put(s, raw);
}
#endif

/* p aligned to 16; global memory, or shared by a Shared<T>. */
template <class T> __device__ __forceinline__ Vec16<T> vec_load(const T *p) {
    vec_check(p);
    uint4 raw = *reinterpret_cast<const uint4 *>(p);
    Vec16<T> x;
    memcpy(&x, &raw, 16);
    return x;
}
template <class T> __device__ __forceinline__ void vec_store(T *p, const Vec16<T> &x) {
    vec_check(p);
    uint4 raw;
    memcpy(&raw, &x, 16);
    *reinterpret_cast<uint4 *>(p) = raw;
}

/* N elements as floats: 16 bytes at a time where N elements are that many bytes or more, else one by one. A
 * kernel over <T, N> thus serves f32 and bf16, whole vectors (N = Vec16<T>::N) and rows that are not aligned
 * (N = 1). */
template <int N, class T> __device__ __forceinline__ void load_f32(float (&x)[N], const T *p) {
    if constexpr (N * sizeof(T) % 16 == 0) {
#pragma unroll
        for (int i = 0; i < N; i += Vec16<T>::N) {
            Vec16<T> v = vec_load(p + i);
#pragma unroll
            for (int k = 0; k < Vec16<T>::N; k++) x[i + k] = to_f32(v.v[k]);
        }
    } else {
#pragma unroll
        for (int i = 0; i < N; i++) x[i] = to_f32(p[i]);
    }
}
template <int N, class T> __device__ __forceinline__ void store_f32(T *p, const float (&x)[N]) {
    if constexpr (N * sizeof(T) % 16 == 0) {
#pragma unroll
        for (int i = 0; i < N; i += Vec16<T>::N) {
            Vec16<T> v;
#pragma unroll
            for (int k = 0; k < Vec16<T>::N; k++) v.v[k] = from_f32<T>(x[i + k]);
            vec_store(p + i, v);
        }
    } else {
#pragma unroll
        for (int i = 0; i < N; i++) p[i] = from_f32<T>(x[i]);
    }
}

/* Whether every row of a strided matrix can be taken 16 bytes at a time: base, stride and width are
 * multiples. */
template <class T> inline bool vec_rows(const T *p, int64_t ld, int64_t c) {
    const int64_t n = 16 / sizeof(T);
    return (uintptr_t)p % 16 == 0 && ld % n == 0 && c % n == 0;
}

/* ---- Shared memory ----
 * SHARED(T, name, n): n elements of this block. SHARED_DYNAMIC(T, name, first, n): n elements of the launch's
 * shared bytes, from byte `first` (a multiple of 16) on; several may share the launch's. Both declare a
 * Shared<T> called name: name[i], name + i, vec_load, vec_store, ldmatrix, cp_async16. */
#if defined(__CUDACC__)
#define SHARED(T, name, n) __shared__ __align__(16) T name[n]
extern __shared__ uint4 shared_dynamic_[];
#define SHARED_DYNAMIC(T, name, first, n) \
    T *const name = reinterpret_cast<T *>(reinterpret_cast<unsigned char *>(shared_dynamic_) + (first))
#endif

/* ---- Reductions in a fixed order ---- */

enum { WARP = 32 };
#define ALL_LANES 0xffffffffu

/* Every lane of a whole warp gets the same bits: a butterfly, and a + b = b + a. */
__device__ __forceinline__ float warp_sum(float x) {
    for (int d = WARP / 2; d > 0; d /= 2) x += __shfl_xor_sync(ALL_LANES, x, d);
    return x;
}
__device__ __forceinline__ double warp_sum(double x) {
    for (int d = WARP / 2; d > 0; d /= 2) x += __shfl_xor_sync(ALL_LANES, x, d);
    return x;
}
__device__ __forceinline__ float warp_max(float x) {
    for (int d = WARP / 2; d > 0; d /= 2) x = fmaxf(x, __shfl_xor_sync(ALL_LANES, x, d));
    return x;
}

/* The same over a block of THREADS (one dimension, a multiple of 32); each thread adds the warps' sums in
 * order. scratch: THREADS / 32 elements, free to use again after the call. */
template <int THREADS, class F> __device__ __forceinline__ F block_sum(F x, Shared<F> scratch) {
    x = warp_sum(x);
    if (threadIdx.x % WARP == 0) scratch[threadIdx.x / WARP] = x;
    __syncthreads();
    F sum = scratch[0];
    for (int i = 1; i < THREADS / WARP; i++) sum += scratch[i];
    __syncthreads();
    return sum;
}
template <int THREADS> __device__ __forceinline__ float block_max(float x, Shared<float> scratch) {
    x = warp_max(x);
    if (threadIdx.x % WARP == 0) scratch[threadIdx.x / WARP] = x;
    __syncthreads();
    float top = scratch[0];
    for (int i = 1; i < THREADS / WARP; i++) top = fmaxf(top, scratch[i]);
    __syncthreads();
    return top;
}

/* ---- Asynchronous copies and warp matrices (sm_80) ---- */

#if defined(__CUDACC__)
__device__ __forceinline__ unsigned shared_address(const void *p) {
    return (unsigned)__cvta_generic_to_shared(p);
}

/* 16 bytes from global to shared memory, of which `valid` are read and the rest are zeros; both aligned
 * to 16. The bytes are there for this thread after commit and wait, for the block after a barrier as well. */
template <class T> __device__ __forceinline__ void cp_async16(Shared<T> dst, const T *src, int valid = 16) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(dst)), "l"(src),
                 "r"(valid)
                 : "memory");
}
__device__ __forceinline__ void cp_async_commit() {
    asm volatile("cp.async.commit_group;" ::: "memory");
}
/* All but the NEWEST groups of this thread have arrived. */
template <int NEWEST> __device__ __forceinline__ void cp_async_wait() {
    asm volatile("cp.async.wait_group %0;" ::"n"(NEWEST) : "memory");
}

/* N (1, 2, 4) 8x8 matrices: lane 8 m + i gives row i of matrix m (lanes from 8 N on: any row of the array).
 */
template <int N, bool TRANS> __device__ __forceinline__ void ldmatrix(uint32_t (&r)[N], Shared<bf16> row) {
    static_assert(N == 1 || N == 2 || N == 4, "1, 2 or 4 matrices");
    unsigned at = shared_address(row);
    if constexpr (N == 1 && !TRANS)
        asm volatile("ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%0}, [%1];"
                     : "=r"(r[0])
                     : "r"(at)
                     : "memory");
    else if constexpr (N == 1)
        asm volatile("ldmatrix.sync.aligned.m8n8.x1.trans.shared.b16 {%0}, [%1];"
                     : "=r"(r[0])
                     : "r"(at)
                     : "memory");
    else if constexpr (N == 2 && !TRANS)
        asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];"
                     : "=r"(r[0]), "=r"(r[1])
                     : "r"(at)
                     : "memory");
    else if constexpr (N == 2)
        asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];"
                     : "=r"(r[0]), "=r"(r[1])
                     : "r"(at)
                     : "memory");
    else if constexpr (!TRANS)
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                     : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                     : "r"(at)
                     : "memory");
    else
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                     : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                     : "r"(at)
                     : "memory");
}

/* d [16,8] += a [16,16] b [16,8], bf16 in, f32 out: mma.m16n8k16, with lane = 4 g + t:
 * a (row, k): 0 (g, 2t..)  1 (g+8, 2t..)  2 (g, 2t+8..)  3 (g+8, 2t+8..);  b (k, col): 0 (2t.., g)  1
 * (2t+8.., g); d (row, col): 0 (g, 2t)  1 (g, 2t+1)  2 (g+8, 2t)  3 (g+8, 2t+1). */
__device__ __forceinline__ void mma_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
                 "{%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

/* The same with f16 in. */
__device__ __forceinline__ void mma_f16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
                 "{%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

/* Two floats rounded to f16, the first in the low half; and back. */
__device__ __forceinline__ uint32_t f16_pair(float low, float high) {
    uint32_t pair;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
    return pair;
}
__device__ __forceinline__ float f16_low(uint32_t pair) {
    float x;
    asm("{.reg .f16 l, h; mov.b32 {l, h}, %1; cvt.f32.f16 %0, l;}" : "=f"(x) : "r"(pair));
    return x;
}
__device__ __forceinline__ float f16_high(uint32_t pair) {
    return f16_low(pair >> 16);
}

/* The signs of two floats as such a pair: 1, -1, and 0 (or -0) where the float is 0. NaN has a sign. */
__device__ __forceinline__ uint32_t f16_signs(float low, float high) {
    uint32_t top = __byte_perm(__float_as_uint(low), __float_as_uint(high), 0x7632), one;
    asm("set.neu.f16x2.f16x2 %0, %1, %2;" : "=r"(one) : "r"(top), "r"(0));
    return one | (top & 0x80008000u);
}

/* Transposes an 8x8 matrix of 16-bit numbers: lane 4 g + t gives (g, 2t..) and gets (2t.., g). */
__device__ __forceinline__ uint32_t movmatrix(uint32_t pair) {
    uint32_t turned;
    asm volatile("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(turned) : "r"(pair));
    return turned;
}
#endif

#endif
