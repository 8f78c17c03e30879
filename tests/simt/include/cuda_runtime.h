/* The CUDA runtime as the SIMT interpreter has it (simt.cpp): the part of the runtime's names that kernels/
 * uses, so that a C++ compiler takes a .cu file as it is and its kernels run on the CPU, one fiber a thread.
 * Also the other half of kernels/device.cuh: what is inline PTX for nvcc (shared memory, warp matrices,
 * asynchronous copies) is emulated and checked here under the same names. */
#ifndef T2L_SIMT_CUDA_RUNTIME_H
#define T2L_SIMT_CUDA_RUNTIME_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <tuple>
#include <type_traits>

/* ---- Language ---- */

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __restrict__ __restrict
#define __launch_bounds__(...)
#define __align__(n) alignas(n)

struct uint3 {
    unsigned x, y, z;
};
struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned a = 1, unsigned b = 1, unsigned c = 1) : x(a), y(b), z(c) {}
};
struct alignas(8) float2 {
    float x, y;
};
struct alignas(16) float4 {
    float x, y, z, w;
};
struct alignas(8) uint2 {
    unsigned x, y;
};
struct alignas(16) uint4 {
    unsigned x, y, z, w;
};

enum { warpSize = 32 };

/* ---- The interpreter, as seen from a kernel ---- */

/* What a lane brings to a warp-wide operation: the last lane of the mask computes for all. */
typedef void SimtCompute(const void *const *ins, void *const *outs, unsigned mask);

enum SimtAccess { SIMT_READ, SIMT_WRITE, SIMT_ATOMIC };

extern uint3 threadIdx, blockIdx; /* of the running thread */
extern dim3 blockDim, gridDim;

[[noreturn]] void simt_fault(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void simt_barrier(const char *file, int line);
void simt_warp(const char *op, unsigned mask, const void *in, void *out, SimtCompute *compute);
void simt_warp_fence(unsigned mask); /* after __syncwarp: orders the memory of the lanes of a whole warp */
/* Bytes of this block's shared memory: of a SHARED array (key: its declaration) or of the launch's. */
char *simt_shared_static(const void *key, size_t bytes);
char *simt_shared_dynamic(const char *name, size_t first, size_t bytes);
/* One access of n bytes at p to an array of `count` elements; faults on a race and on a read of unwritten
 * bytes. */
void simt_shared_access(const char *name, char *p, size_t n, int64_t index, SimtAccess access);
void simt_check_vector(const void *p, size_t n); /* alignment of a 16-byte access to global memory */
void simt_async_copy(const char *name, char *dst, const void *src, size_t valid, int64_t index);
void simt_async_commit();
void simt_async_wait(int newest);
bool simt_is_device_pointer(const void *p);

#define __syncthreads() simt_barrier(__FILE__, __LINE__)

/* ---- Shared memory: every access is seen ---- */

template <class T> struct Shared;

template <class T> struct SharedRef {
    const char *name;
    char *at;
    int64_t index;
    operator T() const {
        simt_shared_access(name, at, sizeof(T), index, SIMT_READ);
        T v;
        memcpy((void *)&v, at, sizeof v);
        return v;
    }
    const SharedRef &operator=(T v) const {
        simt_shared_access(name, at, sizeof(T), index, SIMT_WRITE);
        memcpy(at, (const void *)&v, sizeof v);
        return *this;
    }
    const SharedRef &operator=(const SharedRef &other) const { return *this = (T)other; }
    const SharedRef &operator+=(T v) const { return *this = (T) * this + v; }
    const SharedRef &operator-=(T v) const { return *this = (T) * this - v; }
    const SharedRef &operator*=(T v) const { return *this = (T) * this * v; }
    inline Shared<T> operator&() const;
};

/* A pointer into a shared array: begin and count are the array's, at is where this one points. */
template <class T> struct Shared {
    const char *name;
    char *begin;
    int64_t count, at;

    void check(int64_t i, int64_t n) const {
        if (i < 0 || n > count || i > count - n)
            simt_fault("shared-memory overflow: %s[%lld] of %lld elements", name,
                       (long long)(i < 0 ? i : i + n - 1), (long long)count);
    }
    SharedRef<T> operator[](int64_t i) const {
        check(at + i, 1);
        return SharedRef<T>{name, begin + (at + i) * (int64_t)sizeof(T), at + i};
    }
    SharedRef<T> operator*() const { return (*this)[0]; }
    Shared operator+(int64_t i) const { return Shared{name, begin, count, at + i}; }
    Shared operator-(int64_t i) const { return Shared{name, begin, count, at - i}; }
    Shared &operator+=(int64_t i) {
        at += i;
        return *this;
    }
    /* n elements from here in one access of n * sizeof(T) bytes, which must be aligned to that. */
    char *span(int64_t n, SimtAccess access) const {
        check(at, n);
        char *p = begin + at * (int64_t)sizeof(T);
        size_t bytes = (size_t)n * sizeof(T);
        if ((uintptr_t)p % bytes != 0)
            simt_fault("misaligned access of %zu bytes to shared memory: %s[%lld]", bytes, name,
                       (long long)at);
        simt_shared_access(name, p, bytes, at, access);
        return p;
    }
};

template <class T> inline Shared<T> SharedRef<T>::operator&() const {
    return Shared<T>{name, at - index * (int64_t)sizeof(T), index + 1, index};
}

#define SHARED(T, name, n)                                                                    \
    static const char simt_key_##name{};                                                      \
    const Shared<T> name {                                                                    \
#name, simt_shared_static(&simt_key_##name, (size_t)(n) * sizeof(T)), (int64_t)(n), 0 \
    }
#define SHARED_DYNAMIC(T, name, first, n)                                                            \
    const Shared<T> name {                                                                           \
#name, simt_shared_dynamic(#name, (size_t)(first), (size_t)(n) * sizeof(T)), (int64_t)(n), 0 \
    }

/* ---- Warps ---- */

template <class T> struct SimtShuffle {
    T value;
    int from; /* lane */
    const char *op;
};

template <class T> inline void simt_shuffle(const void *const *ins, void *const *outs, unsigned mask) {
    for (int lane = 0; lane < 32; lane++) {
        if (!(mask >> lane & 1)) continue;
        const SimtShuffle<T> *in = (const SimtShuffle<T> *)ins[lane];
        if (!(mask >> in->from & 1))
            simt_fault("%s: lane %d reads lane %d, which is not in the mask %#x", in->op, lane, in->from,
                       mask);
        *(T *)outs[lane] = ((const SimtShuffle<T> *)ins[in->from])->value;
    }
}

template <class T> inline T simt_shuffle_from(const char *op, unsigned mask, T value, int from) {
    SimtShuffle<T> in{value, from, op};
    T out;
    simt_warp(op, mask, &in, &out, simt_shuffle<T>);
    return out;
}

inline int simt_lane() {
    return (int)((threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z)) & 31);
}

template <class T> inline T __shfl_sync(unsigned mask, T v, int from, int width = 32) {
    int lane = simt_lane();
    return simt_shuffle_from("__shfl_sync", mask, v, (lane & ~(width - 1)) | (from & (width - 1)));
}
template <class T> inline T __shfl_xor_sync(unsigned mask, T v, int x, int width = 32) {
    int lane = simt_lane(), from = lane ^ x;
    return simt_shuffle_from("__shfl_xor_sync", mask, v,
                             (from & ~(width - 1)) > (lane & ~(width - 1)) ? lane : from);
}
template <class T> inline T __shfl_down_sync(unsigned mask, T v, unsigned by, int width = 32) {
    int lane = simt_lane(), from = lane + (int)by;
    return simt_shuffle_from("__shfl_down_sync", mask, v,
                             (lane & (width - 1)) + (int)by >= width ? lane : from);
}
template <class T> inline T __shfl_up_sync(unsigned mask, T v, unsigned by, int width = 32) {
    int lane = simt_lane(), from = lane - (int)by;
    return simt_shuffle_from("__shfl_up_sync", mask, v, (lane & (width - 1)) < (int)by ? lane : from);
}

inline void simt_ballot(const void *const *ins, void *const *outs, unsigned mask) {
    unsigned bits = 0;
    for (int lane = 0; lane < 32; lane++)
        if (mask >> lane & 1 && *(const int *)ins[lane]) bits |= 1u << lane;
    for (int lane = 0; lane < 32; lane++)
        if (mask >> lane & 1) *(unsigned *)outs[lane] = bits;
}
inline unsigned simt_vote(const char *op, unsigned mask, int predicate) {
    unsigned bits;
    simt_warp(op, mask, &predicate, &bits, simt_ballot);
    return bits;
}
inline unsigned __ballot_sync(unsigned mask, int predicate) {
    return simt_vote("__ballot_sync", mask, predicate);
}
inline int __any_sync(unsigned mask, int predicate) {
    return simt_vote("__any_sync", mask, predicate) != 0;
}
inline int __all_sync(unsigned mask, int predicate) {
    return simt_vote("__all_sync", mask, predicate) == mask;
}
inline void __syncwarp(unsigned mask = 0xffffffffu) {
    simt_vote("__syncwarp", mask, 0);
    simt_warp_fence(mask);
}

/* ---- Atomics (fibers do not interrupt each other) ---- */

#define SIMT_ATOMIC_OP(name, expr)                                                  \
    template <class T> inline T name(T *p, std::common_type_t<T> v) {               \
        T old = *p;                                                                 \
        *p = expr;                                                                  \
        return old;                                                                 \
    }                                                                               \
    template <class T> inline T name(const Shared<T> &s, std::common_type_t<T> v) { \
        T old;                                                                      \
        char *at = s.span(1, SIMT_ATOMIC);                                          \
        memcpy(&old, at, sizeof old);                                               \
        T next = expr;                                                              \
        memcpy(at, &next, sizeof next);                                             \
        return old;                                                                 \
    }
SIMT_ATOMIC_OP(atomicAdd, old + v)
SIMT_ATOMIC_OP(atomicMax, old > v ? old : v)
SIMT_ATOMIC_OP(atomicMin, old < v ? old : v)
SIMT_ATOMIC_OP(atomicOr, old | v)
SIMT_ATOMIC_OP(atomicExch, v)
inline void __threadfence() {}

/* ---- Arithmetic ---- */

inline float __uint_as_float(unsigned u) {
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}
inline unsigned __float_as_uint(float f) {
    unsigned u;
    memcpy(&u, &f, sizeof u);
    return u;
}
inline float rsqrtf(float x) {
    return 1.0f / sqrtf(x);
}
inline int __popc(unsigned x) {
    return __builtin_popcount(x);
}
inline int __ffs(int x) {
    return __builtin_ffs(x);
}
template <class T> inline T __ldg(const T *p) {
    return *p;
}
template <class T> inline T min(T a, T b) {
    return b < a ? b : a;
}
template <class T> inline T max(T a, T b) {
    return a < b ? b : a;
}

/* ---- The host's side ---- */

typedef enum cudaError_t {
    cudaSuccess = 0,
    cudaErrorInvalidValue = 1,
    cudaErrorMemoryAllocation = 2,
    cudaErrorLaunchFailure = 719
} cudaError_t;
typedef struct SimtStream *cudaStream_t;
typedef struct SimtEvent *cudaEvent_t;
enum cudaMemcpyKind { cudaMemcpyHostToDevice = 1, cudaMemcpyDeviceToHost = 2, cudaMemcpyDeviceToDevice = 3 };
enum { cudaStreamNonBlocking = 1, cudaEventDisableTiming = 2, cudaHostAllocDefault = 0 };
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize = 8 };
struct cudaDeviceProp {
    char name[256];
    size_t totalGlobalMem, sharedMemPerBlockOptin;
    int major, minor, multiProcessorCount, l2CacheSize;
};
struct cudaLaunchConfig_t {
    dim3 gridDim, blockDim;
    size_t dynamicSmemBytes;
    cudaStream_t stream;
    void *attrs;
    unsigned numAttrs;
};

/* The names of the runtime library itself stay free: one program may hold both. */
#define cudaGetErrorString simt_GetErrorString
#define cudaGetDeviceCount simt_GetDeviceCount
#define cudaSetDevice simt_SetDevice
#define cudaGetDeviceProperties simt_GetDeviceProperties
#define cudaMalloc simt_Malloc
#define cudaFree simt_Free
#define cudaHostAlloc simt_HostAlloc
#define cudaFreeHost simt_FreeHost
#define cudaMemcpyAsync simt_MemcpyAsync
#define cudaMemsetAsync simt_MemsetAsync
#define cudaStreamCreateWithFlags simt_StreamCreateWithFlags
#define cudaStreamDestroy simt_StreamDestroy
#define cudaStreamSynchronize simt_StreamSynchronize
#define cudaEventCreateWithFlags simt_EventCreateWithFlags
#define cudaEventDestroy simt_EventDestroy
#define cudaEventRecord simt_EventRecord
#define cudaEventSynchronize simt_EventSynchronize
#define cudaGetLastError simt_GetLastError
#define cudaFuncSetAttribute simt_FuncSetAttribute
#define cudaLaunchKernelEx simt_LaunchKernelEx

const char *simt_GetErrorString(cudaError_t e);
cudaError_t simt_GetDeviceCount(int *n);
cudaError_t simt_SetDevice(int i);
cudaError_t simt_GetDeviceProperties(cudaDeviceProp *p, int i);
cudaError_t simt_Malloc(void **p, size_t n);
cudaError_t simt_Free(void *p);
cudaError_t simt_HostAlloc(void **p, size_t n, unsigned flags);
cudaError_t simt_FreeHost(void *p);
cudaError_t simt_MemcpyAsync(void *dst, const void *src, size_t n, cudaMemcpyKind kind, cudaStream_t s);
cudaError_t simt_MemsetAsync(void *p, int value, size_t n, cudaStream_t s);
cudaError_t simt_StreamCreateWithFlags(cudaStream_t *s, unsigned flags);
cudaError_t simt_StreamDestroy(cudaStream_t s);
cudaError_t simt_StreamSynchronize(cudaStream_t s);
cudaError_t simt_EventCreateWithFlags(cudaEvent_t *e, unsigned flags);
cudaError_t simt_EventDestroy(cudaEvent_t e);
cudaError_t simt_EventRecord(cudaEvent_t e, cudaStream_t s);
cudaError_t simt_EventSynchronize(cudaEvent_t e);
cudaError_t simt_GetLastError();
cudaError_t simt_launch(const cudaLaunchConfig_t *config, void (*run)(const void *),
                        const void *kernel_and_args);
cudaError_t simt_bad_pointer(int arg, const void *p);

template <class F> inline cudaError_t simt_FuncSetAttribute(F *, cudaFuncAttribute, int) {
    return cudaSuccess;
}

template <class... P> struct SimtCall {
    void (*kernel)(P...);
    std::tuple<std::decay_t<P>...> args;
    static void run(const void *self) {
        const SimtCall *call = (const SimtCall *)self;
        std::apply(call->kernel, call->args);
    }
};

template <class... P, class... A>
inline cudaError_t simt_LaunchKernelEx(const cudaLaunchConfig_t *config, void (*kernel)(P...), A &&...args) {
    SimtCall<P...> call{kernel, {static_cast<P>(args)...}};
    int i = 0, bad = -1;
    const void *bad_pointer = nullptr;
    auto look = [&](const auto &a) {
        if constexpr (std::is_pointer_v<std::decay_t<decltype(a)>>)
            if (a && !simt_is_device_pointer((const void *)a) && bad < 0)
                bad = i, bad_pointer = (const void *)a;
        i++;
    };
    std::apply([&](const auto &...a) { (look(a), ...); }, call.args);
    if (bad >= 0) return simt_bad_pointer(bad, bad_pointer);
    return simt_launch(config, SimtCall<P...>::run, &call);
}

#endif
