#include "kernels/ops.h"
#include "kernels/vec.h"

#include <math.h>

enum { CHUNK = 64 }; /* rows whose logits exist at once: chosen, 12.6 MB at a vocabulary of 49,152 */

/* lse(z) = max + log_total. Kept apart: their float sum would lose what is left of a small loss. */
typedef struct RowStats {
    double max, log_total, total, mean, entropy;
    int32_t argmax;
} RowStats;

VEC_TARGETS
static RowStats row_stats(const float *z, int64_t v) {
    float max = z[0];
#pragma omp simd reduction(max : max)
    for (int64_t j = 0; j < v; j++) max = z[j] > max ? z[j] : max;
    double total = 0.0, weighted = 0.0, sum = 0.0;
    for (int64_t from = 0; from < v; from += 1024) { /* f32 inside a block, double across blocks */
        int64_t to = from + 1024 < v ? from + 1024 : v;
        float t = 0.0f, wt = 0.0f, zs = 0.0f;
#pragma omp simd reduction(+ : t, wt, zs)
        for (int64_t j = from; j < to; j++) {
            float d = z[j] - max, e = vec_expf(d);
            t += e;
            wt += e * d;
            zs += z[j];
        }
        total += (double)t;
        weighted += (double)wt;
        sum += (double)zs;
    }
    RowStats s = {(double)max, log(total), total, sum / (double)v, log(total) - weighted / total, 0};
    while (z[s.argmax] != max && s.argmax < v - 1) s.argmax++; /* the first of equals, as torch.argmax */
    return s;
}

/* z <- weight * (softmax(z) - eps/V), the label's part apart. */
VEC_TARGETS
static void row_gradient(float *z, int64_t v, RowStats s, float weight, float eps) {
    float max = (float)s.max, scale = (float)(1.0 / s.total), floor = eps / (float)v;
#pragma omp simd
    for (int64_t j = 0; j < v; j++) z[j] = weight * (scale * vec_expf(z[j] - max) - floor);
}

/* d z / d raw of a capped logit z = cap tanh(raw / cap). */
static inline float cap_slope(float z, float cap) {
    float t = cap > 0.0f ? z / cap : 0.0f;
    return 1.0f - t * t;
}

/* The same times the cap's slope. */
VEC_TARGETS
static void row_gradient_capped(float *z, int64_t v, RowStats s, float weight, float eps, float cap) {
    float max = (float)s.max, scale = (float)(1.0 / s.total), floor = eps / (float)v, inverse = 1.0f / cap;
#pragma omp simd
    for (int64_t j = 0; j < v; j++) {
        float t = z[j] * inverse;
        z[j] = weight * (scale * vec_expf(z[j] - max) - floor) * (1.0f - t * t);
    }
}

Status cross_entropy_cpu(Device *dev, CrossEntropyOut out, void *dxv, int64_t lddx, const void *xv,
                         int64_t ldx, DType type, const Weight *w, const int32_t *label, const float *weight,
                         int64_t rows, CrossEntropyOpts opts) {
    if (type != DT_F32) return device_unsupported(dev, "cross_entropy", type);
    float *dx = dxv;
    const float *x = xv;
    int64_t v = w->n;
    size_t mark = arena_mark(&dev->scratch);
    float *logits = arena_f32(&dev->scratch, (rows < CHUNK ? rows : CHUNK) * v);
    Status st = OK;
    for (int64_t from = 0; from < rows; from += CHUNK) {
        int64_t n = rows - from < CHUNK ? rows - from : CHUNK;
        TRY_GOTO(st, dev->ops->matmul_fwd(dev, logits, v, DT_F32, x + from * ldx, ldx, DT_F32, w, n, false),
                 done);
        if (opts.softcap > 0.0f)
            TRY_GOTO(st, dev->ops->softcap_fwd(dev, logits, v, DT_F32, n, v, opts.softcap), done);
#pragma omp parallel for num_threads(dev->n_threads) schedule(static) if (n > 1)
        for (int64_t i = 0; i < n; i++) {
            float *z = logits + i * v;
            int64_t row = from + i;
            CHECK(label[row] >= 0 && label[row] < v, "label %d of a vocabulary of %lld", (int)label[row],
                  (long long)v);
            RowStats s = row_stats(z, v);
            double nll = s.max - (double)z[label[row]] + s.log_total, eps = opts.smoothing;
            double spread = s.max - s.mean + s.log_total;
            if (out.nll) out.nll[row] = (float)nll;
            if (out.loss) out.loss[row] = (float)((1.0 - eps) * nll + eps * spread);
            if (out.argmax) out.argmax[row] = s.argmax;
            if (out.entropy) out.entropy[row] = (float)s.entropy;
            if (!dx) continue;
            float at_label = weight[row] * (1.0f - opts.smoothing) * cap_slope(z[label[row]], opts.softcap);
            if (opts.softcap > 0.0f)
                row_gradient_capped(z, v, s, weight[row], opts.smoothing, opts.softcap);
            else
                row_gradient(z, v, s, weight[row], opts.smoothing);
            z[label[row]] -= at_label;
        }
        if (dx)
            TRY_GOTO(
                st, dev->ops->matmul_bwd(dev, dx + from * lddx, lddx, DT_F32, logits, v, DT_F32, w, n, false),
                done);
    }
done:
    arena_release(&dev->scratch, mark);
    return st;
}
