#include "kernels/ops.h"

#include <cblas.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
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

#if defined(T2L_CUDA_ARCHS)                  /* kernels/device_cuda.cu */
#define SCRATCH_CUDA_BYTES ((size_t)1 << 30) /* chosen */
Status device_count_cuda(int *n);
Status device_open_cuda(Device *dev, int index, size_t scratch_bytes);
const char *device_name_cuda(const Device *dev, int *index);

const char *device_cuda_archs(void) {
    return T2L_CUDA_ARCHS;
}

Status device_cuda_count(int *n) {
    return device_count_cuda(n);
}

static Status open_cuda(Device *dev, int index) {
    return device_open_cuda(dev, index, SCRATCH_CUDA_BYTES);
}

void device_describe(const Device *dev, char *out, size_t size) {
    int index;
    if (dev->kind == DEVICE_CUDA) {
        const char *name = device_name_cuda(dev, &index);
        snprintf(out, size, "cuda:%d, %s", index, name);
    } else {
        snprintf(out, size, "cpu, %d threads", dev->n_threads);
    }
}
#else
const char *device_cuda_archs(void) {
    return NULL;
}

Status device_cuda_count(int *n) {
    *n = 0;
    return status_error(E_ENV, "this build has no CUDA backend");
}

static Status open_cuda(Device *dev, int index) {
    (void)dev;
    return status_error(E_ENV, "--device cuda:%d: this build has no CUDA backend; use --device cpu", index);
}

void device_describe(const Device *dev, char *out, size_t size) {
    snprintf(out, size, "cpu, %d threads", dev->n_threads);
}
#endif

static Status open_cpu(Device *dev, int n_threads) {
    memset(dev, 0, sizeof *dev);
    dev->kind = DEVICE_CPU;
    dev->memory = &device_memory_cpu;
    dev->n_threads = n_threads > 0 ? n_threads : omp_get_num_procs();
    dev->bf16_dot = device_cpu_has_bf16_dot();
    dev->avx512 = device_cpu_has_avx512();
    dev->ops = &ops_cpu;
    /* Our tiles are the parallel unit: bits do not depend on the number of threads. With OpenBLAS on OpenMP
     * this also makes 1 the default of every parallel region: ours say num_threads(dev->n_threads). */
    openblas_set_num_threads(1);
    return arena_init(&dev->scratch, "scratch", SCRATCH_BYTES);
}

Status device_open(Device *dev, const char *spec, int n_threads) {
    if (strcmp(spec, "cpu") == 0 || strcmp(spec, "auto") == 0) return open_cpu(dev, n_threads);
    const char *digits = strncmp(spec, "cuda:", 5) == 0 ? spec + 5 : strcmp(spec, "cuda") == 0 ? "0" : "";
    size_t n = strspn(digits, "0123456789");
    if (n == 0 || n > 4 || digits[n] != 0)
        return status_error(E_USAGE, "--device %s: expected auto, cpu or cuda[:i]", spec);
    return open_cuda(dev, atoi(digits));
}

void device_close(Device *dev) {
    arena_free(&dev->scratch);
    if (dev->memory) dev->memory->close(dev);
}
