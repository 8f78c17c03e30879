/* Speed of the reconstruction loss on the shapes of SmolLM2-135M (4 tasks, 30 layers, rank 8, q 576 x 576, v
 * 576 to 192): milliseconds a step against the floor of its multiply-adds (8 rank for each number of delta W)
 * at an instruction peak measured in the same run. Minimum of several runs. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/rng.h"
#include "kernels/ops.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { TASKS = 4, LAYERS = 30, RANK = 8, IN = 576, RUNS = 40, PEAK_LOOPS = 60000 };

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* FLOP/s of multiply-adds of registers only, by one thread; 0 where no loop is written. */
#if defined(__x86_64__)
__attribute__((target("avx512f"), noinline)) static double peak_512(float *sink) {
    __m512 s[16], a = _mm512_set1_ps(0.5f), b = _mm512_set1_ps(0.25f);
    for (int i = 0; i < 16; i++) s[i] = _mm512_set1_ps((float)i);
    double t = now();
    for (int n = 0; n < PEAK_LOOPS; n++)
        _Pragma("GCC unroll 16") for (int i = 0; i < 16; i++) s[i] = _mm512_fmadd_ps(a, b, s[i]);
    for (int i = 0; i < 16; i++) *sink += _mm512_reduce_add_ps(s[i]);
    return 32.0 * 16 * PEAK_LOOPS / (now() - t);
}

__attribute__((target("avx2,fma"), noinline)) static double peak_256(float *sink) {
    __m256 s[12], a = _mm256_set1_ps(0.5f), b = _mm256_set1_ps(0.25f);
    for (int i = 0; i < 12; i++) s[i] = _mm256_set1_ps((float)i);
    double t = now();
    for (int n = 0; n < PEAK_LOOPS; n++)
        _Pragma("GCC unroll 12") for (int i = 0; i < 12; i++) s[i] = _mm256_fmadd_ps(a, b, s[i]);
    for (int i = 0; i < 12; i++) *sink += ((float *)&s[i])[0];
    return 16.0 * 12 * PEAK_LOOPS / (now() - t);
}
#endif

static double peak(const Device *dev) {
    double all = 0;
#if defined(__x86_64__)
    float sink = 0;
#pragma omp parallel num_threads(dev->n_threads) reduction(+ : all, sink)
    all += dev->avx512 ? peak_512(&sink) : peak_256(&sink);
    if (isnan(sink)) all = 0;
#endif
    return all;
}

static LoraView adapters(int64_t out, Rng *rng) {
    LoraView v = {.a_stride = RANK * IN, .bt_stride = RANK * out, .lda = IN, .ldb = out};
    int64_t n = TASKS * LAYERS * RANK;
    v.a = malloc((size_t)(n * IN) * sizeof(float));
    v.bt = malloc((size_t)(n * out) * sizeof(float));
    if (!v.a || !v.bt) exit(4);
    for (int64_t i = 0; i < n * IN; i++) v.a[i] = rng_float(rng) - 0.5f;
    for (int64_t i = 0; i < n * out; i++) v.bt[i] = rng_float(rng) - 0.5f;
    return v;
}

static void run(int threads) {
    const int64_t outs[] = {576, 192};
    Device dev;
    Rng rng = rng_make(1, 1);
    LoraView w[2], t[2], g[2];
    int64_t index[TASKS * LAYERS];
    double best = 1e9, top = 0, flop = 0, loss;
    Status s = device_open(&dev, "cpu", threads);
    if (!status_is_ok(s)) exit(4);
    for (int i = 0; i < TASKS * LAYERS; i++) index[i] = i;
    for (int m = 0; m < 2; m++) {
        w[m] = adapters(outs[m], &rng);
        t[m] = adapters(outs[m], &rng);
        g[m] = adapters(outs[m], &rng);
        flop += 8.0 * RANK * TASKS * LAYERS * IN * (double)outs[m];
    }
    for (int n = 0; n < RUNS; n++) {
        double p = peak(&dev), from = now();
        top = p > top ? p : top;
        for (int m = 0; m < 2; m++) {
            ReconShape shape = {TASKS * LAYERS, RANK, IN, outs[m], 1.0f, 0.5};
            s = recon_delta_w(&dev, &loss, g[m], w[m], t[m], index, shape);
            if (!status_is_ok(s)) exit(1);
        }
        from = now() - from;
        best = from < best ? from : best;
    }
    printf("%d thread%s: %.2f ms, floor %.2f ms at %.0f GFLOP/s: %.2f times the floor, %.0f GFLOP/s\n",
           threads, threads > 1 ? "s" : "", best * 1e3, flop / top * 1e3, top * 1e-9, best * top / flop,
           flop / best * 1e-9);
    for (int m = 0; m < 2; m++) {
        LoraView v[] = {w[m], t[m], g[m]};
        for (int i = 0; i < 3; i++) {
            free(v[i].a);
            free(v[i].bt);
        }
    }
    device_close(&dev);
}

int main(void) {
    printf("recon_delta_w, %d tasks x %d layers, rank %d, q and v of SmolLM2\n", TASKS, LAYERS, RANK);
    run(1);
    run(2);
    return 0;
}
