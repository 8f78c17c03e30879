#include "base/device.h"

#include <stdlib.h>
#include <string.h>

enum { ALIGN = 64 };

static Status cpu_alloc(Device *dev, void **p, size_t n, const char *what) {
    (void)dev;
    *p = aligned_alloc(ALIGN, n ? (n + ALIGN - 1) / ALIGN * ALIGN : ALIGN);
    if (*p) return OK;
    return status_error(E_ENV, "%s: %.1f MB of memory are needed and could not be had", what,
                        (double)n / 1e6);
}

static void cpu_free(Device *dev, void *p) {
    (void)dev;
    free(p);
}

static Status cpu_copy(Device *dev, void *dst, const void *src, size_t n) {
    (void)dev;
    if (n) memcpy(dst, src, n);
    return OK;
}

static Status cpu_zero(Device *dev, void *p, size_t n) {
    (void)dev;
    if (n) memset(p, 0, n);
    return OK;
}

static Status cpu_sync(Device *dev) {
    (void)dev;
    return OK;
}

static void cpu_close(Device *dev) {
    (void)dev;
}

const DeviceMemory device_memory_cpu = {"cpu",    cpu_alloc, cpu_free, cpu_copy, cpu_copy,
                                        cpu_copy, cpu_zero,  cpu_sync, cpu_close};

Status device_alloc(Device *dev, void **p, size_t n, const char *what) {
    return dev->memory->alloc(dev, p, n, what);
}

void device_free(Device *dev, void *p) {
    if (p) dev->memory->free(dev, p);
}

Status device_upload(Device *dev, void *dst, const void *src, size_t n) {
    return dev->memory->upload(dev, dst, src, n);
}

Status device_download(Device *dev, void *dst, const void *src, size_t n) {
    return dev->memory->download(dev, dst, src, n);
}

Status device_copy(Device *dev, void *dst, const void *src, size_t n) {
    return dev->memory->copy(dev, dst, src, n);
}

Status device_zero(Device *dev, void *p, size_t n) {
    return dev->memory->zero(dev, p, n);
}

Status device_sync(Device *dev) {
    return dev->memory->sync(dev);
}

Tensor device_1d(const Device *dev, float *data, int64_t d0) {
    Tensor x = tensor_1d(data, DT_F32, d0);
    x.device = dev->kind;
    return x;
}

Tensor device_2d(const Device *dev, float *data, int64_t d0, int64_t d1) {
    Tensor x = tensor_2d(data, DT_F32, d0, d1);
    x.device = dev->kind;
    return x;
}

Status device_unsupported(const Device *dev, const char *op, DType type) {
    return status_error(E_UNSUPPORTED, "%s: the %s backend has no body for %s", op, dev->memory->name,
                        dtype_name(type));
}

bool device_cpu_has_avx512(void) {
#if defined(__x86_64__)
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
#else
    return false;
#endif
}

bool device_cpu_has_bf16_dot(void) {
#if defined(__x86_64__)
    return device_cpu_has_avx512() && __builtin_cpu_supports("avx512bf16");
#else
    return false;
#endif
}
