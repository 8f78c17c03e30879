/* Shared memory of the interpreter: who wrote and read each byte, and when; asynchronous copies into it. */
#include "tests/simt/vm.h"

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
