/* Memory by lifetime. An arena is one block, handed out front to back, 64-byte aligned, released to a mark or
 * at once. With base == NULL it only measures: the same code that binds memory first counts it, so every size
 * is known and printed before the first step and out-of-memory happens at start-up. */
#ifndef T2L_BASE_ARENA_H
#define T2L_BASE_ARENA_H

#include "base/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

struct Device;

typedef struct Arena {
    char *base;  /* owns; NULL while measuring */
    size_t size; /* bytes of the block */
    size_t used; /* bytes handed out (or measured) so far */
    const char *name;
    struct Device *device; /* borrows; whose memory it is; NULL: the host's */
} Arena;

/* A measuring arena. name: for messages (view, a literal). */
Arena arena_measure(const char *name);
/* Allocates the measured size (zero-filled, pages touched lazily) and starts handing out from the front.
 * E_ENV with the figure that did not fit. */
Status arena_commit(Arena *a);
/* One call for a known size. */
Status arena_init(Arena *a, const char *name, size_t size);
/* The same in the memory of a device, which must outlive the arena. The tensors handed out carry its kind. */
Status arena_commit_on(Arena *a, struct Device *dev);
Status arena_init_on(Arena *a, struct Device *dev, const char *name, size_t size);
void arena_free(Arena *a);

/* n bytes, 64-byte aligned; NULL only while measuring. More than was committed is a broken invariant. */
void *arena_alloc(Arena *a, size_t n);
float *arena_f32(Arena *a, int64_t n);
int32_t *arena_i32(Arena *a, int64_t n);
Tensor arena_tensor_2d(Arena *a, DType t, int64_t d0, int64_t d1);

static inline size_t arena_mark(const Arena *a) {
    return a->used;
}
static inline void arena_release(Arena *a, size_t mark) {
    a->used = mark;
}

#ifdef __cplusplus
}
#endif
#endif
