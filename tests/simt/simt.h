/* The SIMT interpreter as the tests see it: a Device whose kernels run on the CPU (tests/simt/simt.cpp). */
#ifndef T2L_TESTS_SIMT_H
#define T2L_TESTS_SIMT_H

#include "base/device.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct SimtStats {
    int64_t launches, threads, switches, shared_accesses;
} SimtStats;

Status device_open_simt(Device *dev, int index, size_t scratch_bytes);
/* Totals since the program's start, all orders counted. */
SimtStats simt_stats(void);

#ifdef __cplusplus
}
#endif
#endif
