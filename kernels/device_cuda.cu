/* The CUDA backend's memory and what a CUDA Device holds. Copies pass through two pinned buffers, so that a
 * host array can be used again when upload returns while the copy itself still runs. */
#include "kernels/device.cuh"

#include <stdio.h>
#include <stdlib.h>

static const size_t STAGE_BYTES = (size_t)4 << 20; /* chosen */

static Status cuda_alloc(Device *dev, void **p, size_t n, const char *what) {
    (void)dev;
    cudaError_t e = cudaMalloc(p, n ? n : 1);
    if (e == cudaSuccess) return OK;
    cudaGetLastError();
    return status_error(E_ENV,
                        "%s: %.1f MB of GPU memory are needed and could not be had (%s); use a smaller batch",
                        what, (double)n / 1e6, cudaGetErrorString(e));
}

static void cuda_free(Device *dev, void *p) {
    (void)dev;
    cudaFree(p);
}

static Status cuda_upload(Device *dev, void *dst, const void *src, size_t n) {
    DeviceCuda *c = dev->cuda;
    for (size_t at = 0; at < n; at += STAGE_BYTES) {
        size_t part = n - at < STAGE_BYTES ? n - at : STAGE_BYTES;
        int i = c->next;
        c->next = (i + 1) % CUDA_STAGES;
        TRY(cuda_status(cudaEventSynchronize(c->copied[i]), "upload"));
        memcpy(c->staging[i], (const char *)src + at, part);
        TRY(cuda_status(
            cudaMemcpyAsync((char *)dst + at, c->staging[i], part, cudaMemcpyHostToDevice, c->stream),
            "upload"));
        TRY(cuda_status(cudaEventRecord(c->copied[i], c->stream), "upload"));
    }
    return OK;
}

/* The copy of one part runs while the part before it is taken out of its staging buffer. */
static Status cuda_download(Device *dev, void *dst, const void *src, size_t n) {
    DeviceCuda *c = dev->cuda;
    size_t taken = 0, parts = (n + STAGE_BYTES - 1) / STAGE_BYTES;
    int first = c->next;
    for (size_t k = 0; k <= parts; k++) {
        if (k < parts) {
            int i = (first + (int)(k % CUDA_STAGES)) % CUDA_STAGES;
            size_t at = k * STAGE_BYTES, part = n - at < STAGE_BYTES ? n - at : STAGE_BYTES;
            TRY(cuda_status(cudaMemcpyAsync(c->staging[i], (const char *)src + at, part,
                                            cudaMemcpyDeviceToHost, c->stream),
                            "download"));
            TRY(cuda_status(cudaEventRecord(c->copied[i], c->stream), "download"));
        }
        if (k > 0) {
            int i = (first + (int)((k - 1) % CUDA_STAGES)) % CUDA_STAGES;
            size_t part = n - taken < STAGE_BYTES ? n - taken : STAGE_BYTES;
            TRY(cuda_status(cudaEventSynchronize(c->copied[i]), "download"));
            memcpy((char *)dst + taken, c->staging[i], part);
            taken += part;
        }
    }
    return OK;
}

static Status cuda_copy(Device *dev, void *dst, const void *src, size_t n) {
    if (n == 0) return OK;
    return cuda_status(cudaMemcpyAsync(dst, src, n, cudaMemcpyDeviceToDevice, dev->cuda->stream), "copy");
}

static Status cuda_zero(Device *dev, void *p, size_t n) {
    return n ? cuda_status(cudaMemsetAsync(p, 0, n, dev->cuda->stream), "zero") : OK;
}

static Status cuda_sync(Device *dev) {
    return cuda_status(cudaStreamSynchronize(dev->cuda->stream), "device");
}

static void cuda_close(Device *dev) {
    DeviceCuda *c = dev->cuda;
    if (!c) return;
    for (int i = 0; i < CUDA_STAGES; i++) {
        if (c->copied[i]) cudaEventDestroy(c->copied[i]);
        if (c->staging[i]) cudaFreeHost(c->staging[i]);
    }
    if (c->blas) cublasLtDestroy(c->blas);
    if (c->stream) cudaStreamDestroy(c->stream);
    free(c);
    dev->cuda = NULL;
}

#if defined(__CUDACC__)
static const char memory_name[] = "cuda";
#else
static const char memory_name[] = "simt";
#endif
static const DeviceMemory memory = {memory_name, cuda_alloc, cuda_free, cuda_upload, cuda_download,
                                    cuda_copy,   cuda_zero,  cuda_sync, cuda_close};

static Status fill(DeviceCuda *c, int index) {
    cudaDeviceProp prop;
    TRY(cuda_status(cudaSetDevice(index), "cudaSetDevice"));
    TRY(cuda_status(cudaGetDeviceProperties(&prop, index), "cudaGetDeviceProperties"));
    if (prop.major < 8)
        return status_error(E_ENV,
                            "--device cuda:%d: %s has compute capability %d.%d; 8.0 or newer is needed",
                            index, prop.name, prop.major, prop.minor);
    c->index = index;
    c->n_sm = prop.multiProcessorCount;
    c->shared_per_block = prop.sharedMemPerBlockOptin;
    snprintf(c->name, sizeof c->name, "%.*s", (int)sizeof c->name - 1, prop.name);
    TRY(cuda_status(cudaStreamCreateWithFlags(&c->stream, cudaStreamNonBlocking), "cudaStreamCreate"));
    for (int i = 0; i < CUDA_STAGES; i++) {
        TRY(cuda_status(cudaHostAlloc((void **)&c->staging[i], STAGE_BYTES, cudaHostAllocDefault),
                        "pinned memory"));
        TRY(cuda_status(cudaEventCreateWithFlags(&c->copied[i], cudaEventDisableTiming), "cudaEventCreate"));
    }
    cublasStatus_t b = cublasLtCreate(&c->blas);
    if (b != CUBLAS_STATUS_SUCCESS) return status_error(E_ENV, "cuBLASLt: %s", cublasLtGetStatusString(b));
    return OK;
}

extern "C" Status BODY(device_count)(int *n) {
    *n = 0;
    cudaError_t e = cudaGetDeviceCount(n);
    if (e == cudaSuccess && *n > 0) return OK;
    cudaGetLastError();
    return status_error(E_ENV, "no CUDA device (cudaGetDeviceCount: %s); use --device cpu",
                        e ? cudaGetErrorString(e) : "none");
}

extern "C" Status BODY(device_open)(Device *dev, int index, size_t scratch_bytes) {
    int n;
    TRY(BODY(device_count)(&n));
    if (index < 0 || index >= n)
        return status_error(E_ENV, "--device cuda:%d: this machine has %d, counted from 0", index, n);
    memset(dev, 0, sizeof *dev);
    dev->kind = DEVICE_CUDA;
    dev->n_threads = 1;
    dev->ops = &BODY(ops);
    dev->memory = &memory;
    dev->cuda = (DeviceCuda *)calloc(1, sizeof *dev->cuda);
    if (!dev->cuda) return status_error(E_ENV, "out of memory");
    Status s = fill(dev->cuda, index);
    if (status_is_ok(s)) s = arena_init_on(&dev->scratch, dev, "scratch", scratch_bytes);
    if (!status_is_ok(s)) cuda_close(dev);
    return s;
}

extern "C" const char *BODY(device_name)(const Device *dev, int *index) {
    *index = dev->cuda->index;
    return dev->cuda->name;
}
