/* Figures over examples, descriptions and samples. */
#ifndef T2L_EVAL_STATS_H
#define T2L_EVAL_STATS_H

#include "base/status.h"

#include <stdint.h>

typedef struct StatsMean {
    double mean, error; /* error: sample standard deviation / sqrt(n); 0 for n < 2 */
    int64_t n;
} StatsMean;

StatsMean stats_mean(const double *x, int64_t n);

/* The unbiased estimate of pass@k from n samples of which c passed (Chen et al. 2021):
 * 1 - C(n-c, k) / C(n, k). 1 <= k <= n, 0 <= c <= n. */
double stats_pass_at_k(int64_t n, int64_t c, int64_t k);

typedef struct StatsPaired {
    double diff, error; /* mean of x - y; its standard deviation over the resamples */
    double low, high;   /* the middle 95 % of them */
} StatsPaired;

/* Paired bootstrap: `resamples` times n examples are drawn with replacement, the means of x - y kept.
 * Resample r, draw i is example rng_below() of the stream (seed, r). Percentiles interpolate linearly, as
 * numpy's. */
Status stats_bootstrap(StatsPaired *out, const double *x, const double *y, int64_t n, int64_t resamples,
                       uint64_t seed);

#endif
