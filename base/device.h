/* A device: which backend runs the operations, with how many threads, and its scratch memory. Everything that
 * computes takes a Device first; library handles and streams will live here too. */
#ifndef T2L_BASE_DEVICE_H
#define T2L_BASE_DEVICE_H

#include "base/arena.h"

struct Ops; /* kernels/ops.h: the table of one backend's operations */

typedef struct Device {
    DeviceKind kind;
    int n_threads;
    bool bf16_dot; /* the CPU has AVX512-BF16 and AVX512-VL/BW/DQ */
    bool avx512;   /* the CPU has AVX512 F/BW/DQ/VL */
    const struct Ops *ops;
    Arena scratch; /* owns; an operation marks, allocates, releases */
} Device;

/* What the CPU can do, read once at start-up into the Device. */
bool device_cpu_has_bf16_dot(void);
bool device_cpu_has_avx512(void);

#endif
