/* Device memory of the interpreter, and the runtime's host side. Write-protected while a kernel runs: the
 * first write to a page saves it. Not accessible between launches. */
#include "tests/simt/vm.h"

#include <signal.h>
#include <unistd.h>

namespace {

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

Allocation *find_data(const void *p) {
    for (Allocation *a : vm.allocations)
        if ((const char *)p >= a->data && (const char *)p < a->data + (a->size ? a->size : 1)) return a;
    return nullptr;
}

bool inside(const void *p, size_t n) {
    const Allocation *a = find_data(p);
    return a && (size_t)((const char *)p - a->data) + n <= a->size;
}

} // namespace

void memory_open() {
    install_handler(); /* again: cmocka has its own in each test */
    for (Allocation *a : vm.allocations) protect(a, PROT_READ);
}

void memory_close() {
    for (Allocation *a : vm.allocations) protect(a, PROT_NONE);
}

/* What the last order left stays. */
void memory_keep() {
    for (const Page &d : vm.dirty) {
        free(d.of->saved[d.index]);
        d.of->saved[d.index] = nullptr;
    }
    vm.dirty.clear();
}

/* Writes beside an allocation show where its first and last page were written. */
void memory_check(const char *order) {
    for (const Page &d : vm.dirty) {
        size_t at;
        if ((d.index == 0 || d.index == d.of->bytes / PAGE - 1) && !canaries_intact(d.of, &at))
            note_fault("access outside of device memory: byte %lld of an allocation of %zu (%s order)",
                       (long long)at, d.of->size, order);
    }
}

/* Puts the pages back as they were before the run; after: where their contents go (NULL: nowhere). */
void memory_undo(std::vector<Written> *after) {
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

/* Memory now against what the first order left. */
void memory_compare(const std::vector<Written> &first, Order how) {
    for (const Written &w : first) differ(w.page, w.bytes, w.page.of->pages + w.page.index * PAGE, how);
    for (const Page &d : vm.dirty) { /* written now, untouched then */
        bool seen = false;
        for (const Written &w : first) seen = seen || (w.page.of == d.of && w.page.index == d.index);
        if (!seen) differ(d, d.of->saved[d.index], d.of->pages + d.index * PAGE, how);
    }
}

void simt_check_vector(const void *p, size_t n) {
    if ((uintptr_t)p % n != 0) simt_fault("misaligned access of %zu bytes to device memory at %p", n, p);
    const Allocation *a = find_data(p);
    if (!a || (size_t)((const char *)p - a->data) + n > a->size)
        simt_fault("access of %zu bytes at %p, which is not inside an allocation", n, p);
}

bool simt_is_device_pointer(const void *p) {
    if (find_data(p)) return true;
    for (const Allocation *a : vm.allocations) /* one past the end: an empty slice */
        if ((const char *)p == a->data + a->size) return true;
    return false;
}

/* ---- The runtime ---- */

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
