#include "eval/stats.h"
#include "base/rng.h"

#include <math.h>
#include <stdlib.h>

StatsMean stats_mean(const double *x, int64_t n) {
    StatsMean m = {0, 0, n};
    double squares = 0;
    for (int64_t i = 0; i < n; i++) m.mean += x[i];
    if (n > 0) m.mean /= (double)n;
    for (int64_t i = 0; i < n; i++) squares += (x[i] - m.mean) * (x[i] - m.mean);
    if (n > 1) m.error = sqrt(squares / (double)(n - 1) / (double)n);
    return m;
}

double stats_pass_at_k(int64_t n, int64_t c, int64_t k) {
    CHECK(k >= 1 && k <= n && c >= 0 && c <= n, "pass@%lld of %lld samples, %lld passed", (long long)k,
          (long long)n, (long long)c);
    double none = 1;
    if (n - c < k) return 1;
    for (int64_t i = n - c + 1; i <= n; i++) none *= 1 - (double)k / (double)i;
    return 1 - none;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* Of sorted values. */
static double percentile(const double *x, int64_t n, double q) {
    double at = q * (double)(n - 1), below = floor(at);
    int64_t i = (int64_t)below;
    return i + 1 < n ? x[i] + (at - below) * (x[i + 1] - x[i]) : x[i];
}

Status stats_bootstrap(StatsPaired *out, const double *x, const double *y, int64_t n, int64_t resamples,
                       uint64_t seed) {
    CHECK(n > 0 && n <= INT32_MAX && resamples > 1, "%lld resamples of %lld examples", (long long)resamples,
          (long long)n);
    double *means = malloc((size_t)resamples * sizeof *means), sum = 0;
    if (!means) return status_error(E_ENV, "no memory for %lld resamples", (long long)resamples);
    for (int64_t i = 0; i < n; i++) sum += x[i] - y[i];
    for (int64_t r = 0; r < resamples; r++) {
        Rng rng = rng_make(seed, (uint64_t)r);
        double drawn = 0;
        for (int64_t i = 0; i < n; i++) {
            uint32_t at = rng_below(&rng, (uint32_t)n);
            drawn += x[at] - y[at];
        }
        means[r] = drawn / (double)n;
    }
    out->diff = sum / (double)n;
    out->error = stats_mean(means, resamples).error * sqrt((double)resamples);
    qsort(means, (size_t)resamples, sizeof *means, by_value);
    out->low = percentile(means, resamples, 0.025);
    out->high = percentile(means, resamples, 0.975);
    free(means);
    return OK;
}
