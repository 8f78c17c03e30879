/* The last step of a sum that ends on the host. */
#ifndef T2L_KERNELS_SUM_CUH
#define T2L_KERNELS_SUM_CUH

#include "kernels/device.cuh"

enum { SUM_THREADS = 256 };

static __global__ void sum_doubles(double *out, const double *x, unsigned n) {
    SHARED(double, sums, SUM_THREADS / WARP);
    double sum = 0.0;
    for (unsigned i = threadIdx.x; i < n; i += SUM_THREADS) sum += x[i];
    sum = block_sum<SUM_THREADS, double>(sum, sums);
    if (threadIdx.x == 0) *out = sum;
}

/* *sum, on the host, = the n numbers of x in a fixed order: one block, in which a thread takes every
 * SUM_THREADS-th. Waits for the device: a step that does not want to will leave the number there. */
static inline Status sum_to_host(Device *dev, double *sum, const double *x, int64_t n) {
    size_t mark = arena_mark(&dev->scratch);
    double *out = (double *)arena_alloc(&dev->scratch, sizeof *out);
    TRY(LAUNCH(dev, sum_doubles, 1, SUM_THREADS, 0, out, x, count32(n)));
    TRY(device_download(dev, sum, out, sizeof *out));
    arena_release(&dev->scratch, mark);
    return OK;
}

#endif
