/* A device: which backend runs the operations, with how many threads, its memory and its scratch. Everything
 * that computes takes a Device first. This header is plain C: what the CUDA backend keeps (stream, library
 * handles, pinned staging) stands behind an opaque pointer. A Device is not moved once it is open: its arenas
 * point at it. */
#ifndef T2L_BASE_DEVICE_H
#define T2L_BASE_DEVICE_H

#include "base/arena.h"

#ifdef __cplusplus
extern "C" {
#endif

struct Ops;        /* kernels/ops.h: the table of one backend's operations */
struct DeviceCuda; /* kernels/device_cuda.h: stream, handles, staging of the CUDA backend */

typedef struct Device Device;

/* One backend's memory. Work and copies of a device happen in the order of the calls. */
typedef struct DeviceMemory {
    const char *name; /* "cpu", "cuda" */
    Status (*alloc)(Device *dev, void **p, size_t n, const char *what);
    void (*free)(Device *dev, void *p);
    Status (*upload)(Device *dev, void *dst, const void *src, size_t n);
    Status (*download)(Device *dev, void *dst, const void *src, size_t n);
    Status (*copy)(Device *dev, void *dst, const void *src, size_t n);
    Status (*zero)(Device *dev, void *p, size_t n);
    Status (*sync)(Device *dev);
    void (*close)(Device *dev);
} DeviceMemory;

struct Device {
    DeviceKind kind;
    int n_threads;
    bool bf16_dot; /* the CPU has AVX512-BF16 and AVX512-VL/BW/DQ */
    bool avx512;   /* the CPU has AVX512 F/BW/DQ/VL */
    const struct Ops *ops;
    const DeviceMemory *memory;
    struct DeviceCuda *cuda; /* owns; NULL on the CPU */
    Arena scratch;           /* owns; the device's memory; an operation marks, allocates, releases */
};

extern const DeviceMemory device_memory_cpu;

/* n bytes of the device's memory, aligned to 64, not initialised. what: for the message of E_ENV (a literal).
 */
Status device_alloc(Device *dev, void **p, size_t n, const char *what);
void device_free(Device *dev, void *p);
/* Copies between host memory (src of upload, dst of download) and the device's. The host's side may be reused
 * at once; download waits for the work before it, so it is also where an error of that work comes to light.
 */
Status device_upload(Device *dev, void *dst, const void *src, size_t n);
Status device_download(Device *dev, void *dst, const void *src, size_t n);
/* Inside the device's memory; the two do not overlap. */
Status device_copy(Device *dev, void *dst, const void *src, size_t n);
Status device_zero(Device *dev, void *p, size_t n);
/* Waits for all work; E_FAIL when some of it failed. */
Status device_sync(Device *dev);

/* Contiguous f32 tensors over the device's memory (view). */
Tensor device_1d(const Device *dev, float *data, int64_t d0);
Tensor device_2d(const Device *dev, float *data, int64_t d0, int64_t d1);

/* E_UNSUPPORTED: this backend has no body of op for this type. */
Status device_unsupported(const Device *dev, const char *op, DType type);

/* What the CPU can do, read once at start-up into the Device. */
bool device_cpu_has_bf16_dot(void);
bool device_cpu_has_avx512(void);

#ifdef __cplusplus
}
#endif
#endif
