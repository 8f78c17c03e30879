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
#include <cuda_runtime.h>

#include "tests/simt/fiber.h"
#include "tests/simt/simt.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include <algorithm>

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace {

enum { PAGE = 4096, MAX_THREADS = 1024, MAX_STATIC_SHARED = 48 << 10, MAX_SHARED = 232448 };
const unsigned POISON = 0x7fc5a5a5;
const unsigned char CANARY = 0xa5;

/* ---- Device memory ---- */

struct Allocation {
    char *pages;  /* owns; with a page that is never accessible on either side */
    size_t bytes; /* of the pages, without those two */
    char *data;   /* handed out, aligned to 256, as near to the end of the pages as that goes */
    size_t size;
    std::vector<char *> saved; /* a page: its contents before this run, or NULL */
};

enum Order { FORWARD, REVERSE, RANDOM, N_ORDERS };
const char *const order_names[] = {"forward", "reverse", "random"};

struct Page {
    Allocation *of;
    size_t index;
};

/* ---- Threads ---- */

enum ThreadState { NEW, READY, AT_BARRIER, IN_WARP, DONE };

struct AsyncCopy {
    const char *name;
    char *dst;
    const void *src;
    size_t valid;
    int64_t index;
};

struct Thread {
    uint3 coords; /* threadIdx */
    int index;
    ThreadState state;
    Fiber fiber;
    const char *file; /* of the barrier it waits at */
    int line;
    const char *op; /* of the warp operation it waits in */
    unsigned mask;
    const void *in;
    void *out;
    uint32_t warp_epoch;
    std::vector<AsyncCopy> copies;
    std::vector<size_t> groups; /* copies of each committed group, oldest first */
    size_t uncommitted;
};

/* What is known of a byte of shared memory. Epochs grow over the whole program, so nothing is ever reset: an
 * epoch before the block's first is another block's. Readers: one of the latest warp and one of another. */
struct Reader {
    uint32_t epoch, warp_epoch;
    uint16_t first, last;
};
struct Cell {
    uint32_t write_epoch, write_warp_epoch;
    uint16_t writer;
    bool atomic, pending; /* written by an atomic; a cp.async is under way */
    Reader reader[2];
};

struct StaticShared {
    const void *key;
    size_t first, bytes;
};

struct Interpreter {
    std::vector<Allocation *> allocations;
    std::vector<Page> dirty;
    bool running = false, faulted = false;
    char message[512] = "no error";
    SimtStats stats = {};

    FiberPool pool;
    std::vector<Thread> threads;
    int n_threads = 0;
    Thread *self = nullptr;
    Fiber scheduler;
    const void *sched_bottom = nullptr; /* AddressSanitizer's view of the scheduler's stack */
    size_t sched_size = 0;
    void (*run)(const void *) = nullptr;
    const void *call = nullptr;
    int at_barrier = 0, done = 0;

    alignas(1024) char shared[MAX_SHARED];
    std::vector<Cell> cells = std::vector<Cell>(MAX_SHARED);
    std::vector<StaticShared> statics;
    size_t static_bytes = 0, dynamic_bytes = 0;
    uint32_t epoch = 1, block_epoch = 1, warp_epochs = 0;
};

Interpreter vm;

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

void note_fault(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void note_fault(const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    record(fmt, args);
    va_end(args);
}

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

/* ---- Device memory: protection, undo, comparison ---- */

Allocation *find_pages(const void *p) {
    for (Allocation *a : vm.allocations)
        if ((const char *)p >= a->pages - PAGE && (const char *)p < a->pages + a->bytes + PAGE) return a;
    return nullptr;
}

void protect(Allocation *a, int how) {
    if (mprotect(a->pages, a->bytes, how) != 0) abort();
}

void on_fault(int sig, siginfo_t *info, void *) {
    const char *at = (const char *)info->si_addr;
    Allocation *a = find_pages(at);
    if (a && vm.running && at >= a->pages && at < a->pages + a->bytes) {
        size_t i = (size_t)(at - a->pages) / PAGE;
        if (!a->saved[i]) {
            a->saved[i] = (char *)malloc(PAGE);
            if (!a->saved[i]) abort();
            memcpy(a->saved[i], a->pages + i * PAGE, PAGE);
            vm.dirty.push_back({a, i});
            mprotect(a->pages + i * PAGE, PAGE, PROT_READ | PROT_WRITE);
            return;
        }
    }
    char text[256];
    if (a)
        snprintf(text, sizeof text, "access outside of device memory: byte %lld of an allocation of %zu",
                 (long long)(at - a->data), a->size);
    else
        snprintf(text, sizeof text, "access at %p, which is not device memory", (const void *)at);
    if (vm.running && vm.self) simt_fault("%s", text); /* leaves this handler with the fiber */
    int n = snprintf(text, sizeof text, "simt: host code touches %p%s\n", (const void *)at,
                     a ? ", which is device memory" : "");
    if (write(2, text, (size_t)n) < 0) abort();
    signal(sig, SIG_DFL);
}

void install_handler() {
    struct sigaction action = {};
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO | SA_NODEFER;
    if (sigaction(SIGSEGV, &action, nullptr) != 0) abort();
}

bool canaries_intact(const Allocation *a, size_t *at) {
    for (char *p = a->pages; p < a->pages + a->bytes; p++) {
        if (p == a->data) p += a->size;
        if (p < a->pages + a->bytes && (unsigned char)*p != CANARY) {
            *at = (size_t)(p - a->data);
            return false;
        }
    }
    return true;
}

/* Writes beside an allocation show where its first and last page were written. */
void check_canaries(const char *order) {
    for (const Page &d : vm.dirty) {
        size_t at;
        if ((d.index == 0 || d.index == d.of->bytes / PAGE - 1) && !canaries_intact(d.of, &at))
            note_fault("access outside of device memory: byte %lld of an allocation of %zu (%s order)",
                       (long long)at, d.of->size, order);
    }
}

/* Puts the pages back as they were before the run; after: where their contents go (NULL: nowhere). */
struct Written {
    Page page;
    char *bytes; /* owns */
};

void undo(std::vector<Written> *after) {
    for (const Page &d : vm.dirty) {
        char *page = d.of->pages + d.index * PAGE;
        if (after) {
            Written w = {d, (char *)malloc(PAGE)};
            if (!w.bytes) abort();
            memcpy(w.bytes, page, PAGE);
            after->push_back(w);
        }
        memcpy(page, d.of->saved[d.index], PAGE);
        free(d.of->saved[d.index]);
        d.of->saved[d.index] = nullptr;
        mprotect(page, PAGE, PROT_READ);
    }
    vm.dirty.clear();
}

void differ(const Page &p, const char *first, const char *now, Order how) {
    size_t i = 0;
    while (i < PAGE && first[i] == now[i]) i++;
    if (i == PAGE) return;
    char *at = p.of->pages + p.index * PAGE + (i & ~(size_t)3);
    unsigned a, b;
    memcpy(&a, first + (i & ~(size_t)3), 4);
    memcpy(&b, now + (i & ~(size_t)3), 4);
    note_fault("the result depends on the order of the threads (a race in device memory): byte %lld of an "
               "allocation "
               "of %zu: forward %#x, %s %#x",
               (long long)(at - p.of->data), p.of->size, a, order_names[how], b);
}

/* Memory now against what the first order left. */
void compare(const std::vector<Written> &first, Order how) {
    for (const Written &w : first) differ(w.page, w.bytes, w.page.of->pages + w.page.index * PAGE, how);
    for (const Page &d : vm.dirty) { /* written now, untouched then */
        bool seen = false;
        for (const Written &w : first) seen = seen || (w.page.of == d.of && w.page.index == d.index);
        if (!seen) differ(d, d.of->saved[d.index], d.of->pages + d.index * PAGE, how);
    }
}

Allocation *find_data(const void *p) {
    for (Allocation *a : vm.allocations)
        if ((const char *)p >= a->data && (const char *)p < a->data + (a->size ? a->size : 1)) return a;
    return nullptr;
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

char *simt_shared_static(const void *key, size_t bytes) {
    for (const StaticShared &s : vm.statics)
        if (s.key == key) return vm.shared + s.first;
    size_t first = (vm.dynamic_bytes + 15) / 16 * 16 + (vm.static_bytes + 15) / 16 * 16;
    vm.static_bytes = (vm.static_bytes + 15) / 16 * 16 + bytes;
    if (vm.static_bytes > MAX_STATIC_SHARED)
        simt_fault("shared-memory overflow: %zu bytes declared, a block has %d", vm.static_bytes,
                   MAX_STATIC_SHARED);
    if (first + bytes > MAX_SHARED)
        simt_fault("shared-memory overflow: %zu bytes, a block has %d", first + bytes, MAX_SHARED);
    vm.statics.push_back({key, first, bytes});
    return vm.shared + first;
}

char *simt_shared_dynamic(const char *name, size_t first, size_t bytes) {
    if (first % 16 != 0)
        simt_fault("%s begins at byte %zu of the dynamic shared memory, not at a multiple of 16", name,
                   first);
    if (first + bytes > vm.dynamic_bytes)
        simt_fault("shared-memory overflow: %s ends at byte %zu, the launch has %zu", name, first + bytes,
                   vm.dynamic_bytes);
    return vm.shared + first;
}

namespace {

/* Whether an access of epoch and warp_epoch by thread `of` may run beside one of mine. */
bool concurrent(uint32_t epoch, uint32_t warp_epoch, int of) {
    const Thread *me = vm.self;
    if (epoch != vm.epoch || of == me->index) return false;
    return of / 32 != me->index / 32 || warp_epoch == me->warp_epoch;
}

[[noreturn]] void race(const char *name, int64_t index, const char *what, int other, const char *other_what) {
    const uint3 &o = vm.threads[(size_t)other].coords;
    simt_fault("shared-memory race: %s %s[%lld], which thread (%u,%u,%u) %s without a barrier between them",
               what, name, (long long)index, o.x, o.y, o.z, other_what);
}

void see_read(Cell *c, const char *name, int64_t index) {
    const Thread *me = vm.self;
    if (c->pending)
        simt_fault("%s[%lld] is read before its asynchronous copy was waited for", name, (long long)index);
    if (c->write_epoch < vm.block_epoch)
        simt_fault("%s[%lld] is read, but nothing was written there", name, (long long)index);
    if (concurrent(c->write_epoch, c->write_warp_epoch, c->writer))
        race(name, index, "reads", c->writer, "writes");
    uint16_t i = (uint16_t)me->index;
    for (Reader &r : c->reader) {
        bool same_warp = r.epoch == vm.epoch && r.first / 32 == i / 32;
        if (r.epoch == vm.epoch && !same_warp) continue;
        if (same_warp && r.warp_epoch == me->warp_epoch)
            r.last = i;
        else
            r = {vm.epoch, me->warp_epoch, i, i};
        return;
    }
}

void see_write(Cell *c, const char *name, int64_t index, bool atomic) {
    const Thread *me = vm.self;
    if (!(atomic && c->atomic) && concurrent(c->write_epoch, c->write_warp_epoch, c->writer))
        race(name, index, "writes", c->writer, "writes");
    for (const Reader &r : c->reader) {
        if (concurrent(r.epoch, r.warp_epoch, r.first)) race(name, index, "writes", r.first, "reads");
        if (concurrent(r.epoch, r.warp_epoch, r.last)) race(name, index, "writes", r.last, "reads");
    }
    c->write_epoch = vm.epoch;
    c->write_warp_epoch = me->warp_epoch;
    c->writer = (uint16_t)me->index;
    c->atomic = atomic;
    c->pending = false;
}

} // namespace

void simt_shared_access(const char *name, char *p, size_t n, int64_t index, SimtAccess access) {
    Cell *c = &vm.cells[(size_t)(p - vm.shared)];
    vm.stats.shared_accesses++;
    for (size_t i = 0; i < n; i++) {
        if (access == SIMT_READ)
            see_read(c + i, name, index);
        else if (access == SIMT_WRITE)
            see_write(c + i, name, index, false);
        else { /* an atomic reads what must have been written, and is ordered with other atomics */
            if (c[i].write_epoch < vm.block_epoch)
                simt_fault("%s[%lld] is read, but nothing was written there", name, (long long)index);
            see_write(c + i, name, index, true);
        }
    }
}

void simt_check_vector(const void *p, size_t n) {
    if ((uintptr_t)p % n != 0) simt_fault("misaligned access of %zu bytes to device memory at %p", n, p);
    const Allocation *a = find_data(p);
    if (!a || (size_t)((const char *)p - a->data) + n > a->size)
        simt_fault("access of %zu bytes at %p, which is not inside an allocation", n, p);
}

void simt_async_copy(const char *name, char *dst, const void *src, size_t valid, int64_t index) {
    if ((uintptr_t)dst % 16 != 0)
        simt_fault("misaligned asynchronous copy to %s[%lld]", name, (long long)index);
    Cell *c = &vm.cells[(size_t)(dst - vm.shared)];
    for (int i = 0; i < 16; i++) {
        see_write(c + i, name, index, false);
        c[i].pending = true;
    }
    vm.self->copies.push_back({name, dst, src, valid, index});
    vm.self->uncommitted++;
}

void simt_async_commit() {
    vm.self->groups.push_back(vm.self->uncommitted);
    vm.self->uncommitted = 0;
}

void simt_async_wait(int newest) {
    Thread *t = vm.self;
    while ((int)t->groups.size() > newest) {
        for (size_t k = 0; k < t->groups[0]; k++) {
            const AsyncCopy &a = t->copies[k];
            Cell *c = &vm.cells[(size_t)(a.dst - vm.shared)];
            for (int i = 0; i < 16; i++) see_write(c + i, a.name, a.index, false);
            memcpy(a.dst, a.src, a.valid);
            memset(a.dst + a.valid, 0, 16 - a.valid);
        }
        t->copies.erase(t->copies.begin(), t->copies.begin() + (ptrdiff_t)t->groups[0]);
        t->groups.erase(t->groups.begin());
    }
}

bool simt_is_device_pointer(const void *p) {
    if (find_data(p)) return true;
    for (const Allocation *a : vm.allocations) /* one past the end: an empty slice */
        if ((const char *)p == a->data + a->size) return true;
    return false;
}

/* ---- The runtime ---- */

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
    for (Allocation *a : vm.allocations) protect(a, PROT_READ);
    vm.running = true;
    install_handler(); /* again: cmocka has its own in each test */
    std::vector<Written> first;
    for (int how = 0; how < N_ORDERS && !vm.faulted; how++) {
        run_grid(c, (Order)how);
        if (!vm.faulted) check_canaries(order_names[how]);
        if (!vm.faulted && how > 0) compare(first, (Order)how);
        if (vm.faulted || how + 1 < N_ORDERS) undo(how == 0 && !vm.faulted ? &first : nullptr);
    }
    for (const Page &d : vm.dirty) {
        free(d.of->saved[d.index]);
        d.of->saved[d.index] = nullptr;
    }
    vm.dirty.clear();
    for (Written &w : first) free(w.bytes);
    vm.running = false;
    for (Allocation *a : vm.allocations) protect(a, PROT_NONE);
    return vm.faulted ? cudaErrorLaunchFailure : cudaSuccess;
}

const char *simt_GetErrorString(cudaError_t e) {
    return e == cudaErrorLaunchFailure      ? vm.message
           : e == cudaErrorMemoryAllocation ? "out of memory"
           : e == cudaErrorInvalidValue     ? "invalid value"
                                            : "no error";
}

cudaError_t simt_GetDeviceCount(int *n) {
    *n = 1;
    return cudaSuccess;
}

cudaError_t simt_SetDevice(int i) {
    return i == 0 ? cudaSuccess : cudaErrorInvalidValue;
}

cudaError_t simt_GetDeviceProperties(cudaDeviceProp *p, int) {
    *p = cudaDeviceProp{};
    snprintf(p->name, sizeof p->name, "SIMT interpreter");
    p->totalGlobalMem = (size_t)1 << 30;
    p->sharedMemPerBlockOptin = MAX_SHARED;
    p->major = 9;
    p->multiProcessorCount = 4; /* few: persistent grids loop */
    p->l2CacheSize = 1 << 20;
    return cudaSuccess;
}

cudaError_t simt_Malloc(void **p, size_t n) {
    install_handler();
    Allocation *a = new Allocation();
    a->bytes = (n + PAGE - 1) / PAGE * PAGE;
    if (a->bytes == 0) a->bytes = PAGE;
    void *m =
        mmap(nullptr, a->bytes + 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (m == MAP_FAILED) {
        delete a;
        return cudaErrorMemoryAllocation;
    }
    a->pages = (char *)m + PAGE;
    a->data = a->pages + (a->bytes - n) / 256 * 256;
    a->size = n;
    a->saved.resize(a->bytes / PAGE);
    protect(a, PROT_READ | PROT_WRITE);
    memset(a->pages, CANARY, a->bytes);
    for (size_t i = 0; i + 4 <= n; i += 4) memcpy(a->data + i, &POISON, 4);
    protect(a, PROT_NONE);
    vm.allocations.push_back(a);
    *p = a->data;
    return cudaSuccess;
}

cudaError_t simt_Free(void *p) {
    for (size_t i = 0; i < vm.allocations.size(); i++) {
        Allocation *a = vm.allocations[i];
        if (a->data != p) continue;
        munmap(a->pages - PAGE, a->bytes + 2 * PAGE);
        vm.allocations.erase(vm.allocations.begin() + (ptrdiff_t)i);
        delete a;
        return cudaSuccess;
    }
    return p ? cudaErrorInvalidValue : cudaSuccess;
}

cudaError_t simt_HostAlloc(void **p, size_t n, unsigned) {
    *p = malloc(n ? n : 1);
    return *p ? cudaSuccess : cudaErrorMemoryAllocation;
}

cudaError_t simt_FreeHost(void *p) {
    free(p);
    return cudaSuccess;
}

namespace {

bool inside(const void *p, size_t n) {
    const Allocation *a = find_data(p);
    return a && (size_t)((const char *)p - a->data) + n <= a->size;
}

} // namespace

cudaError_t simt_MemcpyAsync(void *dst, const void *src, size_t n, cudaMemcpyKind kind, cudaStream_t) {
    if (n == 0) return cudaSuccess;
    const void *device[2] = {kind == cudaMemcpyDeviceToHost ? src : dst,
                             kind == cudaMemcpyDeviceToDevice ? src : dst};
    if (kind == cudaMemcpyDeviceToHost) device[1] = src;
    for (const void *p : device)
        if (!inside(p, n)) return cudaErrorInvalidValue;
    for (const void *p : device) protect(find_data(p), PROT_READ | PROT_WRITE);
    memmove(dst, src, n);
    for (const void *p : device) protect(find_data(p), PROT_NONE);
    return cudaSuccess;
}

cudaError_t simt_MemsetAsync(void *p, int value, size_t n, cudaStream_t) {
    if (n == 0) return cudaSuccess;
    if (!inside(p, n)) return cudaErrorInvalidValue;
    protect(find_data(p), PROT_READ | PROT_WRITE);
    memset(p, value, n);
    protect(find_data(p), PROT_NONE);
    return cudaSuccess;
}

/* Everything is done when the call returns: streams and events have nothing to hold. */
cudaError_t simt_StreamCreateWithFlags(cudaStream_t *s, unsigned) {
    *s = nullptr;
    return cudaSuccess;
}
cudaError_t simt_StreamDestroy(cudaStream_t) {
    return cudaSuccess;
}
cudaError_t simt_StreamSynchronize(cudaStream_t) {
    return cudaSuccess;
}
cudaError_t simt_EventCreateWithFlags(cudaEvent_t *e, unsigned) {
    *e = nullptr;
    return cudaSuccess;
}
cudaError_t simt_EventDestroy(cudaEvent_t) {
    return cudaSuccess;
}
cudaError_t simt_EventRecord(cudaEvent_t, cudaStream_t) {
    return cudaSuccess;
}
cudaError_t simt_EventSynchronize(cudaEvent_t) {
    return cudaSuccess;
}
cudaError_t simt_GetLastError() {
    return cudaSuccess;
}

SimtStats simt_stats(void) {
    return vm.stats;
}
