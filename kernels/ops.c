#include "kernels/ops.h"

#include <cblas.h>
#include <omp.h>
#include <string.h>

#define X(op) op##_fn op##_cpu;
OPS(X)
#undef X

const Ops ops_cpu = {
#define X(op) .op = op##_cpu,
    OPS(X)
#undef X
};

/* Virtual size of the scratch arena; pages are touched only when used. */
#define SCRATCH_BYTES ((size_t)4 << 30)

Status device_open(Device *dev, const char *spec, int n_threads) {
    memset(dev, 0, sizeof *dev);
    if (strncmp(spec, "cuda", 4) == 0)
        return status_error(E_ENV, "--device %s: this build has no CUDA backend; use --device cpu", spec);
    if (strcmp(spec, "cpu") != 0 && strcmp(spec, "auto") != 0)
        return status_error(E_USAGE, "--device %s: expected auto, cpu or cuda[:i]", spec);
    dev->kind = DEVICE_CPU;
    dev->n_threads = n_threads > 0 ? n_threads : omp_get_num_procs();
    dev->bf16_dot = device_cpu_has_bf16_dot();
    dev->avx512 = device_cpu_has_avx512();
    dev->ops = &ops_cpu;
    /* Our tiles are the parallel unit: bits do not depend on the number of threads. With OpenBLAS on OpenMP
     * this also makes 1 the default of every parallel region: ours say num_threads(dev->n_threads). */
    openblas_set_num_threads(1);
    return arena_init(&dev->scratch, "scratch", SCRATCH_BYTES);
}

void device_close(Device *dev) {
    arena_free(&dev->scratch);
}
