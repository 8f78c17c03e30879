/* The interpreter's inside, shared by simt.cpp (threads, blocks, orders), memory.cpp (device memory and the
 * runtime's host side) and shared.cpp (shared memory and asynchronous copies). */
#ifndef T2L_SIMT_VM_H
#define T2L_SIMT_VM_H

#include <cuda_runtime.h>

#include "tests/simt/fiber.h"
#include "tests/simt/simt.h"

#include <stdio.h>

#include <algorithm>

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
inline const char *const order_names[] = {"forward", "reverse", "random"};

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

extern Interpreter vm;

/* Records the first fault of a launch, with block and thread where one runs (simt_fault also ends the
 * thread). */
void note_fault(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* A page that a run wrote, and its contents. */
struct Written {
    Page page;
    char *bytes; /* owns */
};

/* memory.cpp */
void memory_open();  /* before a launch: readable, writes are caught */
void memory_close(); /* after it: not accessible */
void memory_check(const char *order);
void memory_undo(std::vector<Written> *after);
void memory_compare(const std::vector<Written> &first, Order how);
void memory_keep();

#endif
