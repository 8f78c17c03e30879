#include "base/arena.h"
#include "base/device.h"

#include <sys/mman.h>

enum { ALIGN = 64 };

Arena arena_measure(const char *name) {
    Arena a = {NULL, 0, 0, name, NULL};
    return a;
}

Status arena_commit(Arena *a) {
    size_t size = a->used ? a->used : ALIGN;
    return arena_init(a, a->name, size);
}

Status arena_init(Arena *a, const char *name, size_t size) {
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return status_error(E_ENV,
                            "%s: %.1f MB of memory are needed and could not be had; free memory or use a "
                            "smaller batch",
                            name, (double)size / 1e6);
    if (size >= (1u << 21)) madvise(p, size, MADV_HUGEPAGE);
    a->base = p;
    a->size = size;
    a->used = 0;
    a->name = name;
    a->device = NULL;
    return OK;
}

Status arena_commit_on(Arena *a, Device *dev) {
    return arena_init_on(a, dev, a->name, a->used ? a->used : ALIGN);
}

Status arena_init_on(Arena *a, Device *dev, const char *name, size_t size) {
    if (dev->kind == DEVICE_CPU) return arena_init(a, name, size);
    void *p;
    TRY(device_alloc(dev, &p, size, name));
    Status s = device_zero(dev, p, size);
    if (!status_is_ok(s)) {
        device_free(dev, p);
        return s;
    }
    *a = (Arena){p, size, 0, name, dev};
    return OK;
}

void arena_free(Arena *a) {
    if (a->base && a->device)
        device_free(a->device, a->base);
    else if (a->base)
        munmap(a->base, a->size);
    a->base = NULL;
    a->size = a->used = 0;
}

void *arena_alloc(Arena *a, size_t n) {
    size_t at = (a->used + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    if (!a->base) {
        a->used = at + n;
        return NULL;
    }
    CHECK(n <= a->size && at <= a->size - n, "arena %s: %zu + %zu bytes of %zu", a->name, at, n, a->size);
    a->used = at + n;
    return a->base + at;
}

float *arena_f32(Arena *a, int64_t n) {
    return arena_alloc(a, (size_t)n * sizeof(float));
}

int32_t *arena_i32(Arena *a, int64_t n) {
    return arena_alloc(a, (size_t)n * sizeof(int32_t));
}

Tensor arena_tensor_2d(Arena *a, DType t, int64_t d0, int64_t d1) {
    Tensor x = tensor_2d(arena_alloc(a, dtype_bytes(t, d0 * d1)), t, d0, d1);
    x.device = a->device ? a->device->kind : DEVICE_CPU;
    return x;
}
