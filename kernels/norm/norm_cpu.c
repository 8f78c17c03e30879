/* A block's sum runs in LANES fixed partial sums; block sums go to scratch and are added in order. */
#include "kernels/norm/norm.h"
#include "kernels/vec.h"

enum { BLOCK = 4096, LANES = 16 };

VEC_TARGETS static double block_sumsq(const float *x, int64_t n) {
    double s[LANES] = {0}, total = 0;
    int64_t whole = n - n % LANES;
    for (int64_t i = 0; i < whole; i += LANES)
#pragma omp simd
        for (int k = 0; k < LANES; k++) s[k] += (double)x[i + k] * (double)x[i + k];
    for (int64_t i = whole; i < n; i++) s[i - whole] += (double)x[i] * (double)x[i];
    for (int k = 0; k < LANES; k++) total += s[k];
    return total;
}

norm_sumsq_fn norm_sumsq_cpu;

Status norm_sumsq_cpu(Device *dev, double *out, const float *x, int64_t n) {
    size_t mark = arena_mark(&dev->scratch);
    int64_t blocks = (n + BLOCK - 1) / BLOCK;
    double *part = arena_alloc(&dev->scratch, (size_t)blocks * sizeof(double));
#pragma omp parallel for num_threads(dev->n_threads) schedule(static) if (blocks > 4)
    for (int64_t i = 0; i < blocks; i++)
        part[i] = block_sumsq(x + i * BLOCK, n - i * BLOCK < BLOCK ? n - i * BLOCK : BLOCK);
    double total = 0;
    for (int64_t i = 0; i < blocks; i++) total += part[i];
    *out = total;
    arena_release(&dev->scratch, mark);
    return OK;
}
