/* Speed of attention on the shapes of SmolLM2-135M (9 heads, 3 groups, head size 64): microseconds and
 * GFLOP/s of the products (two forward, five backward; causal halves counted once), decoding also GB/s of
 * cache read. Minimum of several runs. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "kernels/ops.h"

enum { HEADS = 9, GROUPS = 3, D = 64, RUNS = 15 };

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static float *random_rows(int64_t n, int64_t c) {
    float *x = malloc((size_t)(n * c) * sizeof *x);
    CHECK(x, "memory");
    uint32_t s = 1;
    for (int64_t i = 0; i < n * c; i++) {
        s = s * 1664525u + 1013904223u;
        x[i] = (float)(s >> 9) / 8388608.0f - 0.5f;
    }
    return x;
}

static void must(Status st) {
    CHECK(status_is_ok(st), "%s", status_message(st));
}

static void bench_sequences(Device *dev, int64_t n_seqs, int64_t len) {
    int64_t n = n_seqs * len, wide = HEADS * D, fused = (HEADS + 2 * GROUPS) * D;
    float *qkv = random_rows(n, fused), *dqkv = random_rows(n, fused), *o = random_rows(n, wide);
    float *dout = random_rows(n, wide), *lse = random_rows(n, HEADS);
    int32_t *cu = malloc((size_t)(n_seqs + 1) * sizeof *cu);
    CHECK(cu, "memory");
    for (int64_t b = 0; b <= n_seqs; b++) cu[b] = (int32_t)(b * len);
    AttentionShape shape = {HEADS, GROUPS, D, 0.125f, true, 0.0f, 0};
    Tensor x = tensor_2d(qkv, DT_F32, n, fused), dx = tensor_2d(dqkv, DT_F32, n, fused);
    Tensor q = tensor_columns(x, 0, wide), k = tensor_columns(x, wide, GROUPS * D);
    Tensor v = tensor_columns(x, wide + GROUPS * D, GROUPS * D);
    Tensor dq = tensor_columns(dx, 0, wide), dk = tensor_columns(dx, wide, GROUPS * D);
    Tensor dv = tensor_columns(dx, wide + GROUPS * D, GROUPS * D);
    Tensor ot = tensor_2d(o, DT_F32, n, wide), dot = tensor_2d(dout, DT_F32, n, wide);
    Tensor lt = tensor_2d(lse, DT_F32, n, HEADS);
    double fwd = 1e9, bwd = 1e9;
    for (int r = 0; r < RUNS; r++) {
        double t = now();
        must(attention_fwd(dev, ot, lt, q, k, v, cu, n_seqs, shape));
        fwd = fmin(fwd, now() - t);
        t = now();
        must(attention_bwd(dev, dq, dk, dv, dot, ot, lt, q, k, v, cu, n_seqs, shape));
        bwd = fmin(bwd, now() - t);
    }
    double product = 2.0 * (double)n_seqs * HEADS * D * (double)(len * (len + 1) / 2);
    printf("%3lld x %4lld tokens: fwd %8.1f us %6.1f GFLOP/s  bwd %8.1f us %6.1f GFLOP/s\n",
           (long long)n_seqs, (long long)len, fwd * 1e6, 2 * product / fwd * 1e-9, bwd * 1e6,
           5 * product / bwd * 1e-9);
    free(qkv), free(dqkv), free(o), free(dout), free(lse), free(cu);
}

static void bench_decode(Device *dev, int64_t n_seqs, int64_t len) {
    int64_t wide = HEADS * D, narrow = GROUPS * D;
    float *q = random_rows(n_seqs, wide), *o = random_rows(n_seqs, wide);
    float *k = random_rows(n_seqs * len, narrow), *v = random_rows(n_seqs * len, narrow);
    int32_t *slot = malloc((size_t)n_seqs * sizeof *slot), *lens = malloc((size_t)n_seqs * sizeof *lens);
    CHECK(slot && lens, "memory");
    for (int64_t b = 0; b < n_seqs; b++) slot[b] = (int32_t)b, lens[b] = (int32_t)len;
    AttentionShape shape = {HEADS, GROUPS, D, 0.125f, true, 0.0f, 0};
    double best = 1e9;
    for (int r = 0; r < RUNS; r++) {
        double t = now();
        must(attention_decode(dev, tensor_2d(o, DT_F32, n_seqs, wide), tensor_2d(q, DT_F32, n_seqs, wide),
                              tensor_3d(k, DT_F32, n_seqs, len, narrow),
                              tensor_3d(v, DT_F32, n_seqs, len, narrow), slot, lens, shape));
        best = fmin(best, now() - t);
    }
    printf("decode %3lld sequences at %4lld: %8.1f us %6.1f GFLOP/s %5.1f GB/s\n", (long long)n_seqs,
           (long long)len, best * 1e6, 4.0 * (double)(n_seqs * len * wide) / best * 1e-9,
           8.0 * (double)(n_seqs * len * narrow) / best * 1e-9);
    free(q), free(o), free(k), free(v), free(slot), free(lens);
}

int main(void) {
    Device dev;
    must(device_open(&dev, "cpu", 0));
    printf("attention, f32, %d threads\n", dev.n_threads);
    bench_sequences(&dev, 16, 20);
    bench_sequences(&dev, 16, 60);
    bench_sequences(&dev, 4, 250);
    bench_sequences(&dev, 1, 2048);
    bench_decode(&dev, 1, 100);
    bench_decode(&dev, 8, 100);
    bench_decode(&dev, 64, 100);
    bench_decode(&dev, 1, 2048);
    device_close(&dev);
    return 0;
}
