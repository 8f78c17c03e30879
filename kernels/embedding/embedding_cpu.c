#include "base/rng.h"
#include "kernels/ops.h"

static void add_noise(float *y, int64_t n, uint64_t first, EmbeddingOpts o) {
    for (int64_t c = 0; c < n; c++)
        y[c] += o.noise * (2.0f * rng_unit(rng_at(o.seed, o.stream, first + (uint64_t)c)) - 1.0f);
}

Status embedding_fwd_cpu(Device *dev, float *y, int64_t ldy, const int32_t *ids, const void *table,
                         DType dtype, int64_t n, int64_t c, int64_t v, EmbeddingOpts opts) {
#pragma omp parallel for num_threads(dev->n_threads) schedule(static) if (n > 1)
    for (int64_t i = 0; i < n; i++) {
        CHECK(ids[i] >= 0 && ids[i] < v, "token id %d of a vocabulary of %lld", (int)ids[i], (long long)v);
        float *out = y + i * ldy;
        if (dtype == DT_BF16) {
            const uint16_t *row = (const uint16_t *)table + (int64_t)ids[i] * c;
            for (int64_t j = 0; j < c; j++) out[j] = opts.scale * bf16_to_float(row[j]);
        } else {
            const float *row = (const float *)table + (int64_t)ids[i] * c;
            for (int64_t j = 0; j < c; j++) out[j] = opts.scale * row[j];
        }
        if (opts.noise != 0.0f) add_noise(out, c, (uint64_t)(i * c), opts);
    }
    return OK;
}
