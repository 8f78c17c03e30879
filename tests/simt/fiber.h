/* Fibers of the SIMT interpreter: a stack and a stack pointer each, switched by a few instructions (x86-64
 * System V), announced to AddressSanitizer. A stack has 64 KB and an unmapped page below it. */
#ifndef T2L_SIMT_FIBER_H
#define T2L_SIMT_FIBER_H

#include <stdlib.h>
#include <sys/mman.h>

#include <vector>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SIMT_ASAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define SIMT_ASAN 1
#endif
#if defined(SIMT_ASAN)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#if !defined(__x86_64__)
#error "tests/simt: the fiber switch is written for x86-64"
#endif

/* Saves the registers a callee keeps on this stack, its pointer in *save, and goes on with the stack at
 * `load`. */
extern "C" void fiber_switch_stacks(void **save, void *load);

enum { FIBER_STACK = 64 << 10, FIBER_GUARD = 4096 };

struct Fiber {
    char *stack = nullptr; /* view of FiberPool's; its lowest byte */
    void *sp = nullptr;
    void *fake = nullptr; /* AddressSanitizer's */
};

struct FiberPool {
    std::vector<char *> free_stacks; /* owns */

    char *take() {
        if (free_stacks.empty()) {
            void *p = mmap(nullptr, FIBER_GUARD + FIBER_STACK, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            if (p == MAP_FAILED || mprotect(p, FIBER_GUARD, PROT_NONE) != 0) abort();
            return (char *)p + FIBER_GUARD;
        }
        char *s = free_stacks.back();
        free_stacks.pop_back();
        return s;
    }
    void give(char *stack) { free_stacks.push_back(stack); }
};

/* A fiber that starts in `entry`, which never returns. */
inline void fiber_prepare(Fiber *f, char *stack, void (*entry)()) {
    f->stack = stack;
    f->fake = nullptr;
#if defined(SIMT_ASAN)
    __asan_unpoison_memory_region(stack, FIBER_STACK); /* what an abandoned fiber left behind */
#endif
    void **top = (void **)(stack + FIBER_STACK) - 2;
    top[0] = (void *)entry; /* at the entry the stack is 8 off a multiple of 16, as after a call */
    top[1] = nullptr;
    for (int i = 1; i <= 6; i++) top[-i] = nullptr;
    f->sp = top - 6;
}

#endif
