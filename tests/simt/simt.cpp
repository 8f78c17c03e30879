/* The SIMT interpreter: runs the kernels of .cu files that a C++ compiler compiled on top of
 * include/cuda_runtime.h.
 *
 * Blocks run in turn, the threads of a block as fibers, each until it waits (barrier, warp operation) or
 * ends. Every launch runs once for each order of ORDERS (forward, reverse, random), from the same device
 * memory; what it leaves in memory must be the same bits. Device memory is write-protected while a kernel
 * runs: the first write to a page saves it, so undoing and comparing cost only the pages written. Between
 * launches it is not accessible at all: host code that touches it stops with a message.
 *
 * A fault stops the launch, undoes it and comes back as cudaErrorLaunchFailure with the message as its text.
 * Faults: see kernels/README.md. One global interpreter, as there is one CUDA runtime; not for several OS
 * threads. */
#include "tests/simt/vm.h"

#include <stdarg.h>

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;
Interpreter vm;

/* fiber.h: the registers a callee keeps go on the stack, the rest is the compiler's. */
asm(R"(
    .text
    .p2align 4
    .globl fiber_switch_stacks
    .type fiber_switch_stacks, @function
fiber_switch_stacks:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
    .size fiber_switch_stacks, .-fiber_switch_stacks
)");

namespace {

/* ---- Faults ---- */

void describe(char *out, size_t size, const Thread *t) {
    const uint3 &b = blockIdx, &x = t->coords;
    snprintf(out, size, "block (%u,%u,%u) thread (%u,%u,%u)", b.x, b.y, b.z, x.x, x.y, x.z);
}

void record(const char *fmt, va_list args) {
    if (vm.faulted) return;
    vm.faulted = true;
    size_t at = 0;
    if (vm.self) {
        describe(vm.message, sizeof vm.message, vm.self);
        at = strlen(vm.message);
        at += (size_t)snprintf(vm.message + at, sizeof vm.message - at, ": ");
    }
    vsnprintf(vm.message + at, sizeof vm.message - at, fmt, args);
}

} // namespace

void note_fault(const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    record(fmt, args);
    va_end(args);
}

namespace {

/* ---- Fibers ---- */

void to_scheduler(bool ends) {
    Thread *t = vm.self;
    (void)ends;
#if defined(SIMT_ASAN)
    __sanitizer_start_switch_fiber(ends ? nullptr : &t->fiber.fake, vm.sched_bottom, vm.sched_size);
#endif
    fiber_switch_stacks(&t->fiber.sp, vm.scheduler.sp);
#if defined(SIMT_ASAN)
    __sanitizer_finish_switch_fiber(t->fiber.fake, &vm.sched_bottom, &vm.sched_size);
#endif
}

void fiber_main() {
#if defined(SIMT_ASAN)
    __sanitizer_finish_switch_fiber(nullptr, &vm.sched_bottom, &vm.sched_size);
#endif
    vm.run(vm.call);
    if (!vm.self->copies.empty()) simt_fault("ends with an asynchronous copy that nobody waited for");
    vm.self->state = DONE;
    vm.done++;
    to_scheduler(true);
    abort();
}

void run_thread(Thread *t) {
    vm.self = t;
    threadIdx = t->coords;
    if (t->state == NEW) fiber_prepare(&t->fiber, vm.pool.take(), fiber_main);
    t->state = READY;
    vm.stats.switches++;
#if defined(SIMT_ASAN)
    __sanitizer_start_switch_fiber(&vm.scheduler.fake, t->fiber.stack, FIBER_STACK);
#endif
    fiber_switch_stacks(&vm.scheduler.sp, t->fiber.sp);
#if defined(SIMT_ASAN)
    __sanitizer_finish_switch_fiber(vm.scheduler.fake, nullptr, nullptr);
#endif
    vm.self = nullptr;
    if (t->state == DONE) {
        vm.pool.give(t->fiber.stack);
        t->fiber.stack = nullptr;
    }
}

/* ---- Scheduling ---- */

/* Nobody can go on: who waits, and for whom. */
void report_deadlock() {
    const Thread *waits = nullptr, *other = nullptr;
    for (int i = 0; i < vm.n_threads; i++) {
        Thread *t = &vm.threads[(size_t)i];
        if (t->state == IN_WARP) {
            int warp = t->index / 32 * 32;
            for (int lane = 0; lane < 32; lane++)
                if (t->mask >> lane & 1) {
                    Thread *o = &vm.threads[(size_t)(warp + lane)];
                    if (o->state == IN_WARP && o->op == t->op && o->mask == t->mask) continue;
                    vm.self = t;
                    note_fault("waits in %s (mask %#x) for lane %d, which %s", t->op, t->mask, lane,
                               o->state == DONE         ? "has left the kernel"
                               : o->state == AT_BARRIER ? "waits at a barrier: divergent barrier"
                                                        : "waits elsewhere");
                    vm.self = nullptr;
                    return;
                }
        }
        if (t->state == AT_BARRIER && !waits) waits = t;
        if (t->state == DONE && !other) other = t;
    }
    char who[96] = "another thread";
    if (other) describe(who, sizeof who, other);
    vm.self = (Thread *)waits;
    note_fault("divergent barrier: waits at %s:%d, but %s has left the kernel", waits ? waits->file : "?",
               waits ? waits->line : 0, who);
    vm.self = nullptr;
}

uint64_t next_random(uint64_t *s) {
    *s ^= *s << 13;
    *s ^= *s >> 7;
    *s ^= *s << 17;
    return *s;
}

void make_order(std::vector<int> *order, int n, Order how, uint64_t *seed) {
    order->resize((size_t)n);
    for (int i = 0; i < n; i++) (*order)[(size_t)i] = how == REVERSE ? n - 1 - i : i;
    if (how == RANDOM)
        for (int i = n - 1; i > 0; i--)
            std::swap((*order)[(size_t)i], (*order)[(size_t)(next_random(seed) % (uint64_t)(i + 1))]);
}

void new_epoch() {
    if (++vm.epoch == UINT32_MAX) abort();
}

void run_block(const cudaLaunchConfig_t *c, uint3 block, Order how, uint64_t *seed) {
    const dim3 &b = c->blockDim;
    blockIdx = block;
    blockDim = b;
    gridDim = c->gridDim;
    vm.n_threads = (int)(b.x * b.y * b.z);
    vm.at_barrier = vm.done = 0;
    new_epoch();
    vm.block_epoch = vm.epoch;
    if (vm.threads.size() < (size_t)vm.n_threads) vm.threads.resize((size_t)vm.n_threads);
    for (int i = 0; i < vm.n_threads; i++) {
        Thread *t = &vm.threads[(size_t)i];
        unsigned u = (unsigned)i;
        t->coords = {u % b.x, u / b.x % b.y, u / b.x / b.y};
        t->index = i;
        t->state = NEW;
        t->copies.clear();
        t->groups.clear();
        t->uncommitted = 0;
        t->warp_epoch = vm.warp_epochs;
    }
    for (int i = 0; i < vm.n_threads; i += 32) { /* each warp its own */
        ++vm.warp_epochs;
        for (int k = i; k < i + 32 && k < vm.n_threads; k++)
            vm.threads[(size_t)k].warp_epoch = vm.warp_epochs;
    }
    vm.stats.threads += vm.n_threads;
    std::vector<int> order;
    make_order(&order, vm.n_threads, how, seed);
    while (vm.done < vm.n_threads) {
        bool progress = false;
        for (int i : order) {
            Thread *t = &vm.threads[(size_t)i];
            if (t->state != NEW && t->state != READY) continue;
            run_thread(t);
            if (vm.faulted) break;
            progress = true;
        }
        if (!vm.faulted && !progress) report_deadlock();
        if (vm.faulted) break;
    }
    for (int i = 0; i < vm.n_threads; i++) { /* of a launch that was cut short */
        Thread *t = &vm.threads[(size_t)i];
        if (t->fiber.stack) vm.pool.give(t->fiber.stack);
        t->fiber.stack = nullptr;
    }
}

void run_grid(const cudaLaunchConfig_t *c, Order how) {
    uint64_t seed = 0x9E3779B97F4A7C15u;
    const dim3 &g = c->gridDim;
    std::vector<int> blocks;
    make_order(&blocks, (int)(g.x * g.y * g.z), how, &seed);
    for (int i : blocks) {
        unsigned u = (unsigned)i;
        run_block(c, {u % g.x, u / g.x % g.y, u / g.x / g.y}, how, &seed);
        if (vm.faulted) return;
    }
}

} // namespace

/* ---- Called from kernels ---- */

void simt_fault(const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    record(fmt, args);
    va_end(args);
    to_scheduler(true);
    abort();
}

void simt_barrier(const char *file, int line) {
    Thread *me = vm.self;
    if (vm.at_barrier > 0)
        for (int i = 0; i < vm.n_threads; i++) {
            const Thread *t = &vm.threads[(size_t)i];
            if (t->state != AT_BARRIER) continue;
            if (t->line != line || strcmp(t->file, file) != 0) {
                char who[96];
                describe(who, sizeof who, t);
                simt_fault("divergent barrier: waits at %s:%d, %s at %s:%d", file, line, who, t->file,
                           t->line);
            }
            break;
        }
    me->file = file;
    me->line = line;
    if (++vm.at_barrier == vm.n_threads) {
        vm.at_barrier = 0;
        new_epoch();
        for (int i = 0; i < vm.n_threads; i++) vm.threads[(size_t)i].state = READY;
        return;
    }
    me->state = AT_BARRIER;
    to_scheduler(false);
}

void simt_warp(const char *op, unsigned mask, const void *in, void *out, SimtCompute *compute) {
    Thread *me = vm.self;
    int lane = me->index % 32, warp = me->index - lane;
    if (!(mask >> lane & 1)) simt_fault("%s: lane %d calls with mask %#x, which lacks it", op, lane, mask);
    me->op = op;
    me->mask = mask;
    me->in = in;
    me->out = out;
    bool all = true;
    for (int i = 0; i < 32; i++) {
        if (!(mask >> i & 1) || i == lane) continue;
        if (warp + i >= vm.n_threads)
            simt_fault("%s: mask %#x names lane %d, which the block lacks", op, mask, i);
        const Thread *t = &vm.threads[(size_t)(warp + i)];
        if (t->state == DONE) simt_fault("%s: lane %d of mask %#x has left the kernel", op, i, mask);
        if (t->state == IN_WARP && t->mask >> lane & 1 && (t->mask != mask || strcmp(t->op, op) != 0))
            simt_fault("%s with mask %#x: lane %d waits for this one in %s with mask %#x", op, mask, i, t->op,
                       t->mask);
        all = all && t->state == IN_WARP && t->mask == mask;
    }
    if (!all) {
        me->state = IN_WARP;
        to_scheduler(false);
        return;
    }
    const void *ins[32] = {};
    void *outs[32] = {};
    for (int i = 0; i < 32; i++) {
        if (!(mask >> i & 1)) continue;
        Thread *t = &vm.threads[(size_t)(warp + i)];
        ins[i] = t->in;
        outs[i] = t->out;
        t->state = READY;
    }
    compute(ins, outs, mask);
}

void simt_warp_fence(unsigned mask) {
    /* every lane comes here after the vote; the first one opens the warp's new epoch for all */
    Thread *me = vm.self;
    int warp = me->index / 32 * 32, n = std::min(32, vm.n_threads - warp);
    if (n < 32 || mask != 0xffffffffu) return;
    me->warp_epoch++;
}

cudaError_t simt_bad_pointer(int arg, const void *p) {
    vm.faulted = false;
    note_fault("argument %d of the kernel, %p, does not point to device memory", arg, p);
    return cudaErrorLaunchFailure;
}

cudaError_t simt_launch(const cudaLaunchConfig_t *c, void (*run)(const void *), const void *call) {
    const dim3 &g = c->gridDim, &b = c->blockDim;
    vm.faulted = false;
    vm.self = nullptr;
    if (g.x == 0 || g.y == 0 || g.z == 0 || g.y > 65535 || g.z > 65535 || b.x == 0 || b.y == 0 || b.z == 0 ||
        (uint64_t)b.x * b.y * b.z > MAX_THREADS || b.z > 64) {
        note_fault("grid (%u,%u,%u) of blocks (%u,%u,%u)", g.x, g.y, g.z, b.x, b.y, b.z);
        return cudaErrorLaunchFailure;
    }
    if (c->dynamicSmemBytes > MAX_SHARED) {
        note_fault("shared-memory overflow: %zu bytes, a block has %d", c->dynamicSmemBytes, MAX_SHARED);
        return cudaErrorLaunchFailure;
    }
    vm.run = run;
    vm.call = call;
    vm.dynamic_bytes = c->dynamicSmemBytes;
    vm.statics.clear();
    vm.static_bytes = 0;
    vm.stats.launches++;
    memory_open();
    vm.running = true;
    std::vector<Written> first;
    for (int how = 0; how < N_ORDERS && !vm.faulted; how++) {
        run_grid(c, (Order)how);
        if (!vm.faulted) memory_check(order_names[how]);
        if (!vm.faulted && how > 0) memory_compare(first, (Order)how);
        if (vm.faulted || how + 1 < N_ORDERS) memory_undo(how == 0 && !vm.faulted ? &first : nullptr);
    }
    memory_keep();
    for (Written &w : first) free(w.bytes);
    vm.running = false;
    memory_close();
    return vm.faulted ? cudaErrorLaunchFailure : cudaSuccess;
}

SimtStats simt_stats(void) {
    return vm.stats;
}
