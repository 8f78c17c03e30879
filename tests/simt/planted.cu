#include "tests/simt/planted.h"
#include "kernels/device.cuh"

enum { N = 64 }; /* threads of a block */

/* out[i] = i + 1 mod N, through shared memory. */
__global__ void neighbour(float *out, bool barrier) {
    SHARED(float, tile, N);
    int i = (int)threadIdx.x;
    tile[i] = -1.0f;
    __syncthreads();
    tile[i] = (float)i;
    if (barrier) __syncthreads();
    out[i] = tile[(i + 1) % N];
}

/* out[i] = i ^ 1; the partner is in the same warp. */
__global__ void partner(float *out, bool barrier) {
    SHARED(float, tile, N);
    int i = (int)threadIdx.x;
    tile[i] = -1.0f;
    __syncwarp();
    tile[i] = (float)i;
    if (barrier) __syncwarp();
    out[i] = tile[i ^ 1];
}

__global__ void past_shared(float *out, int extra) {
    SHARED(float, tile, N);
    int i = (int)threadIdx.x;
    tile[i + extra] = 1.0f;
    __syncthreads();
    out[i] = tile[i];
}

__global__ void past_global(float *out, int extra) {
    out[threadIdx.x + extra] = 1.0f;
}

__global__ void branches(float *out, bool diverge) {
    int i = (int)threadIdx.x;
    if (diverge && i < 7) {
        __syncthreads();
        out[i] = 2.0f;
    } else {
        __syncthreads();
        out[i] = 1.0f;
    }
}

__global__ void leaves(float *out, int limit) {
    int i = (int)threadIdx.x;
    if (i >= limit) return;
    __syncthreads();
    out[i] = 1.0f;
}

__global__ void dynamic_tile(float *out, int used) {
    SHARED_DYNAMIC(float, tile, 0, used);
    int i = (int)threadIdx.x;
    tile[used - N + i] = (float)i;
    __syncthreads();
    out[i] = tile[used - 1 - i];
}

__global__ void shuffle(float *out, Fault fault) {
    int i = (int)threadIdx.x, lane = i % WARP;
    unsigned mask = ALL_LANES;
    int from = (lane + 1) % WARP;
    if (fault == SHUFFLE_SELF && i == 5) mask = ~(1u << 5);
    if (fault == SHUFFLE_MISMATCH && lane == 9) mask = 0x0000ffffu;
    if (fault == SHUFFLE_OUTSIDE) {
        if (lane >= 16) {
            out[i] = 0.0f;
            return;
        }
        mask = 0x0000ffffu; /* lane 15 reads lane 16 */
    }
    if (fault == SHUFFLE_LEFT && lane == 31) return;
    out[i] = __shfl_sync(mask, (float)i, from);
}

__global__ void vectors(float *out, int offset) {
    if (threadIdx.x > 0) return;
    Vec16<float> v = vec_load(out + offset);
    v.v[0] = 1.0f;
    vec_store(out, v);
}

__global__ void shared_vectors(float *out, int offset) {
    SHARED(float, tile, N);
    int i = (int)threadIdx.x;
    tile[i] = (float)i;
    __syncthreads();
    if (i < N / 4 - 1) out[i] = vec_load(tile + 4 * i + offset).v[0];
}

__global__ void unwritten(float *out, int written) {
    SHARED(float, tile, N);
    int i = (int)threadIdx.x;
    if (i < written) tile[i] = 1.0f;
    __syncthreads();
    out[i] = tile[i];
}

__global__ void blocks_write(float *out, bool race) {
    out[race ? threadIdx.x : threadIdx.x % (N / 2) + N / 2 * blockIdx.x] = (float)blockIdx.x;
}

__global__ void async_tile(float *out, bool wait) {
    SHARED(float, tile, N);
    int i = (int)threadIdx.x;
    if (i < N / 4) cp_async16(tile + 4 * i, (const float *)out + 4 * i);
    cp_async_commit();
    if (wait) cp_async_wait<0>();
    __syncthreads();
    float x = tile[N - 1 - i];
    if (!wait) cp_async_wait<0>();
    __syncthreads();
    out[i] = x;
}

__global__ void store_at(float *out, const float *from) {
    out[threadIdx.x] = from ? 1.0f : 0.0f;
}

extern "C" Status planted(Device *dev, Fault f, bool right, float *out) {
    static const float host[4] = {0};
    switch (f) {
    case NO_BARRIER:
        return LAUNCH(dev, neighbour, 1, N, 0, out, right);
    case NO_WARP_BARRIER:
        return LAUNCH(dev, partner, 1, N, 0, out, right);
    case OFF_BY_ONE_SHARED:
        return LAUNCH(dev, past_shared, 1, N, 0, out, right ? 0 : 1);
    case OFF_BY_ONE_GLOBAL:
        return LAUNCH(dev, past_global, 1, N, 0, out, right ? 0 : 1);
    case DIVERGENT_BRANCH:
        return LAUNCH(dev, branches, 1, N, 0, out, !right);
    case DIVERGENT_EXIT:
        return LAUNCH(dev, leaves, 1, N, 0, out, right ? N : N - 3);
    case SHARED_OVERFLOW:
        return LAUNCH(dev, dynamic_tile, 1, N, N * 4, out, right ? N : N + 1);
    case SHARED_TOO_LARGE:
        return LAUNCH(dev, dynamic_tile, 1, N, right ? 200 << 10 : 300 << 10, out, N);
    case SHUFFLE_SELF:
    case SHUFFLE_MISMATCH:
    case SHUFFLE_OUTSIDE:
    case SHUFFLE_LEFT:
        return LAUNCH(dev, shuffle, 1, N, 0, out, right ? RIGHT : f);
    case MISALIGNED:
        return LAUNCH(dev, vectors, 1, N, 0, out, right ? 4 : 3);
    case MISALIGNED_SHARED:
        return LAUNCH(dev, shared_vectors, 1, N, 0, out, right ? 4 : 2);
    case UNWRITTEN:
        return LAUNCH(dev, unwritten, 1, N, 0, out, right ? N : N - 1);
    case GLOBAL_RACE:
        return LAUNCH(dev, blocks_write, 2, N, 0, out, !right);
    case NO_ASYNC_WAIT:
        return LAUNCH(dev, async_tile, 1, N, 0, out, right);
    case HOST_POINTER:
        return LAUNCH(dev, store_at, 1, N, 0, out, right ? out : host);
    default:
        return OK;
    }
}

__global__ void product(float *d, const bf16 *a, const bf16 *b) {
    SHARED(bf16, ta, 16 * 16);
    SHARED(bf16, tb, 16 * 8);
    int lane = (int)threadIdx.x, g = lane / 4, t = lane % 4;
    cp_async16(ta + 8 * lane, a + 8 * lane);
    if (lane < 16) cp_async16(tb + 8 * lane, b + 8 * lane);
    cp_async_commit();
    cp_async_wait<0>();
    __syncwarp();
    uint32_t fa[4], fb[2];
    ldmatrix<4, false>(fa, ta + lane % 16 * 16 + lane / 16 * 8);
    ldmatrix<2, true>(fb, tb + lane % 16 * 8);
    float sum[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    mma_bf16(sum, fa, fb);
    d[g * 8 + 2 * t] = sum[0];
    d[g * 8 + 2 * t + 1] = sum[1];
    d[(g + 8) * 8 + 2 * t] = sum[2];
    d[(g + 8) * 8 + 2 * t + 1] = sum[3];
}

extern "C" Status planted_mma(Device *dev, float *d, const uint16_t *a, const uint16_t *b) {
    return LAUNCH(dev, product, 1, WARP, 0, d, (const bf16 *)a, (const bf16 *)b);
}

__global__ void work(float *out, int rounds) {
    SHARED(float, tile, 256);
    int i = (int)threadIdx.x;
    float x = (float)i;
    for (int k = 0; k < rounds; k++) {
        tile[i] = x;
        __syncthreads();
        x += tile[(i + 1) % 256];
        __syncthreads();
    }
    out[blockIdx.x * 256 + i] = x;
}

extern "C" Status planted_work(Device *dev, float *out, int blocks, int rounds) {
    return LAUNCH(dev, work, (unsigned)blocks, 256, 0, out, rounds);
}
