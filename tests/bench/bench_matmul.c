/* Speed of matmul on the shapes of SmolLM2-135M: GFLOP/s and percent of an instruction peak measured in the
 * same run (few rows: GB/s and percent of the read bandwidth, measured by summing the same bytes). Minimum of
 * several runs. Arguments: a pattern of "f32" or "bf16" limits the run to that type. */
#include <math.h>
#include <omp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kernels/ops.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Multiply-adds of registers only: 16 independent sums hide the latency. Returns GFLOP/s of one thread. */
#define PEAK(name, targets, vec, init, op, flops)                                  \
    __attribute__((target(targets), noinline)) static double name(float *out) {    \
        vec s[16];                                                                 \
        for (int i = 0; i < 16; i++) s[i] = init((float)i);                        \
        const int n = 60000;                                                       \
        double t = now();                                                          \
        for (int i = 0; i < n; i++) {                                              \
            _Pragma("GCC unroll 16") for (int j = 0; j < 16; j++) s[j] = op(s[j]); \
        }                                                                          \
        for (int i = 0; i < 16; i++) *out += ((float *)&s[i])[0];                  \
        return flops * 16.0 * n / (now() - t) * 1e-9;                              \
    }
#if defined(__x86_64__)
#define SET512(x) _mm512_set1_ps(x)
#define FMA512(s) _mm512_fmadd_ps(_mm512_set1_ps(0.5f), _mm512_set1_ps(0.25f), s)
#define DOT512(s) \
    _mm512_dpbf16_ps(s, (__m512bh)_mm512_set1_epi32(0x3e003e00), (__m512bh)_mm512_set1_epi32(0x3e003e00))
#define SET256(x) _mm256_set1_ps(x)
#define FMA256(s) _mm256_fmadd_ps(_mm256_set1_ps(0.5f), _mm256_set1_ps(0.25f), s)
PEAK(peak_fma512, "avx512f", __m512, SET512, FMA512, 32.0)
PEAK(peak_bf16, "avx512f,avx512bf16", __m512, SET512, DOT512, 64.0)
PEAK(peak_fma256, "avx2,fma", __m256, SET256, FMA256, 16.0)
#endif

/* GFLOP/s of all threads together, NaN where no loop is written. */
static double peak_once(const Device *dev, DType dtype) {
    double all = 0;
#if defined(__x86_64__)
    float sink = 0;
#pragma omp parallel num_threads(dev->n_threads) reduction(+ : all, sink)
    all += dtype == DT_BF16 ? peak_bf16(&sink) : dev->avx512 ? peak_fma512(&sink) : peak_fma256(&sink);
    if (isnan(sink)) all = 0;
#else
    (void)dev, (void)dtype;
#endif
    return all > 0 ? all : NAN;
}

/* Reads every cache line once; each thread its own part. */
static uint64_t read_all(const char *p, size_t n, int threads) {
    uint64_t sum = 0;
    size_t lines = n / 512;
#pragma omp parallel for num_threads(threads) reduction(+ : sum) schedule(static)
    for (size_t i = 0; i < lines; i++) {
        const uint64_t *q = (const uint64_t *)(const void *)(p + i * 512);
        for (int j = 0; j < 64; j++) sum += q[j];
    }
    return sum;
}

typedef struct Shape {
    const char *name;
    int64_t n, k;
    int copies; /* different weights used in turn, so that few rows read memory and not the cache */
} Shape;

static const Shape shapes[] = {{"qkv", 960, 576, 60},
                               {"o", 576, 576, 60},
                               {"gate_up", 3072, 576, 30},
                               {"down", 576, 1536, 60},
                               {"lm_head", 49152, 576, 1}};
enum { RUNS = 9 };
static const int64_t row_counts[] = {1, 4, 8, 16, 64, 320, 640};

static void fill(float *x, int64_t n) {
    uint32_t s = 1;
    for (int64_t i = 0; i < n; i++) {
        s = s * 1664525u + 1013904223u;
        x[i] = (float)(s >> 9) / 8388608.0f - 0.5f;
    }
}

static void bench_shape(Device *dev, const Shape *s, DType dtype) {
    int64_t most = (s->n > 10000 ? 64 : 640) * (s->n > s->k ? s->n : s->k); /* floats of x, of y */
    Arena arena = arena_measure("weights");
    Weight *w = calloc((size_t)s->copies, sizeof *w);
    float *data = malloc((size_t)(s->n * s->k) * 4), *x = malloc((size_t)most * 4);
    float *y = malloc((size_t)most * 4);
    CHECK(w && data && x && y, "memory");
    fill(data, s->n * s->k);
    fill(x, most);
    MatmulPackOpts opts = {.with_bwd = true};
    for (int measure = 1; measure >= 0; measure--) {
        for (int c = 0; c < s->copies; c++) {
            Status st = matmul_pack(dev, &arena, &w[c], tensor_2d(data, DT_F32, s->n, s->k), dtype, opts);
            CHECK(status_is_ok(st), "%s", status_message(st));
        }
        if (measure) {
            Status st = arena_commit(&arena);
            CHECK(status_is_ok(st), "%s", status_message(st));
        }
    }
    printf("%s [%lld,%lld] %s\n", s->name, (long long)s->n, (long long)s->k, dtype_name(dtype));
    for (size_t i = 0; i < sizeof row_counts / sizeof *row_counts; i++) {
        int64_t m = row_counts[i];
        if (s->n > 10000 && m > 64) continue;
        printf("  %4lld rows", (long long)m);
        for (int bwd = 0; bwd < 2; bwd++) {
            double best = 1e9, peak = 0, roof = 0;
            int reps = (int)(2e8 / (double)(m * s->n * s->k)) + 1;
            if (m <= 16) reps = 2 * s->copies;
            uint64_t sum = 0;
            for (int run = 0; run < RUNS; run++) {
                /* The roof is measured beside every run: other load comes and goes. */
                if (m <= 16) {
                    double t = now();
                    sum += read_all(arena.base, arena.used, dev->n_threads);
                    roof = fmax(roof, (double)arena.used / (now() - t) * 1e-9);
                } else {
                    peak = fmax(peak, peak_once(dev, dtype));
                }
                double t = now();
                for (int r = 0; r < reps; r++) {
                    const Weight *wr = &w[r % s->copies];
                    Tensor xt = tensor_2d(x, DT_F32, m, bwd ? s->n : s->k);
                    Tensor yt = tensor_2d(y, DT_F32, m, bwd ? s->k : s->n);
                    MatmulOpts mo = {.accumulate = false};
                    Status st = bwd ? matmul_bwd(dev, yt, xt, wr, mo) : matmul_fwd(dev, yt, xt, wr, mo);
                    CHECK(status_is_ok(st), "%s", status_message(st));
                }
                best = fmin(best, (now() - t) / reps);
            }
            double flops = 2.0 * (double)(m * s->n * s->k) / best * 1e-9;
            double bytes = (double)dtype_bytes(dtype, s->n * s->k) / best * 1e-9;
            printf("  %s %9.1f us %5.0f GFLOP/s", bwd ? "| bwd" : "fwd", best * 1e6, flops);
            if (m <= 16)
                printf(" %5.1f of %5.1f GB/s %4.0f%%", bytes, roof, 100 * bytes / roof);
            else
                printf(" of %5.0f          %4.0f%%", peak, 100 * flops / peak);
            if (sum == 42) printf("!");
        }
        printf("\n");
    }
    arena_free(&arena);
    free(w), free(data), free(x), free(y);
}

int main(int argc, char **argv) {
    Device dev;
    Status st = device_open(&dev, "cpu", 0);
    CHECK(status_is_ok(st), "%s", status_message(st));
    for (int type = 0; type < 2; type++) {
        DType dtype = type ? DT_F32 : DT_BF16;
        if (dtype == DT_BF16 && !dev.bf16_dot) continue;
        if (argc > 1 && strcmp(argv[1], type ? "f32" : "bf16") != 0) continue;
        printf("matmul, %s weights, %d threads\n", dtype_name(dtype), dev.n_threads);
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) bench_shape(&dev, &shapes[i], dtype);
    }
    device_close(&dev);
    return 0;
}
