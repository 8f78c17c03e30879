/* A chunk of rows at a time, so that its logits stay small: the vocabulary product (matmul_fwd, f32 logits),
 * one block a row over them, the product back (matmul_bwd) of the logits' gradient, in the weight's type. A
 * row is read three times: maximum, sums, gradient; the sums of a load in float, across loads in double.
 *
 * Predicted, not measured, on an H200: Mistral-7B, 512 labelled rows, V 32,000, C 4096 in bf16: two products
 * of 134 GFLOP each, 0.39 ms at 70 % of 990 TFLOP/s; the rows' kernel writes 33 MB and reads 66 MB (once more
 * from L2), 0.03 ms at 4.8 TB/s. */
#include "kernels/device.cuh"

enum { THREADS = 256, ALIGN = 8 };
/* Logits that exist at once: chosen; 1024 rows of 32,000, enough for a product to fill the device. */
static const size_t LOGITS = (size_t)128 << 20;

struct Best {
    float value;
    int at; /* the first of equals, as torch.argmax; no number at all: V or more */
};

__device__ __forceinline__ Best better(Best a, Best b) {
    return b.value > a.value || (b.value == a.value && b.at < a.at) ? b : a;
}

__device__ __forceinline__ Best block_best(Best x, Shared<float> values, Shared<int> at) {
    for (int d = WARP / 2; d > 0; d /= 2)
        x = better(x, Best{__shfl_xor_sync(ALL_LANES, x.value, d), __shfl_xor_sync(ALL_LANES, x.at, d)});
    if (threadIdx.x % WARP == 0) {
        values[threadIdx.x / WARP] = x.value;
        at[threadIdx.x / WARP] = x.at;
    }
    __syncthreads();
    for (int i = 0; i < THREADS / WARP; i++) x = better(x, Best{values[i], at[i]});
    return x;
}

/* Statistics of row blockIdx.x of z [rows,V], and with g its gradient, of type G. A label outside of the
 * vocabulary makes nll and loss NaN. */
template <class G, int N>
__global__ void __launch_bounds__(THREADS)
    cross_entropy_row(const float *z, int64_t ldz, int v, const int32_t *label, const float *weight,
                      float *nll, float *loss, float *entropy, int32_t *argmax, G *g, int64_t ldg, float eps,
                      float cap) {
    SHARED(double, sums, THREADS / WARP);
    SHARED(float, values, THREADS / WARP);
    SHARED(int, ats, THREADS / WARP);
    const int64_t row = blockIdx.x;
    z += row * ldz;
    Best best = {-INFINITY, INT32_MAX};
    for (int j = threadIdx.x * N; j < v; j += THREADS * N) {
        float a[N];
        load_f32(a, z + j);
#pragma unroll
        for (int k = 0; k < N; k++) best = better(best, Best{a[k], j + k});
    }
    best = block_best(best, values, ats);
    const float max = best.value;
    double total = 0.0, weighted = 0.0, sum = 0.0;
    for (int j = threadIdx.x * N; j < v; j += THREADS * N) {
        float a[N], t = 0.0f, wt = 0.0f, s = 0.0f;
        load_f32(a, z + j);
#pragma unroll
        for (int k = 0; k < N; k++) {
            float d = a[k] - max, e = expf(d);
            t += e;
            wt += e * d;
            s += a[k];
        }
        total += (double)t;
        weighted += (double)wt;
        sum += (double)s;
    }
    total = block_sum<THREADS, double>(total, sums);
    weighted = block_sum<THREADS, double>(weighted, sums);
    sum = block_sum<THREADS, double>(sum, sums);
    const int at = label[row];
    const float z_label = at >= 0 && at < v ? z[at] : NAN;
    if (threadIdx.x == 0) { /* lse = max + log_total, apart: together a small loss would be lost */
        const double log_total = log(total), top = (double)max;
        const double n = top - (double)z_label + log_total, spread = top - sum / (double)v + log_total;
        if (nll) nll[row] = (float)n;
        if (loss) loss[row] = (float)((1.0 - (double)eps) * n + (double)eps * spread);
        if (entropy) entropy[row] = (float)(log_total - weighted / total);
        if (argmax) argmax[row] = best.at < v ? best.at : 0;
    }
    if (!g) return;
    g += row * ldg;
    const float w = weight[row], scale = (float)(1.0 / total), floor = eps / (float)v;
    const float inverse = cap > 0.0f ? 1.0f / cap : 0.0f;
    for (int j = threadIdx.x * N; j < v; j += THREADS * N) {
        float a[N];
        load_f32(a, z + j);
#pragma unroll
        for (int k = 0; k < N; k++) {
            float slope = a[k] * inverse; /* of the cap: 1 - (z / cap)^2 */
            float d = scale * expf(a[k] - max) - floor - (j + k == at ? 1.0f - eps : 0.0f);
            a[k] = w * d * (1.0f - slope * slope);
        }
        store_f32(g + j, a);
    }
}

template <class G>
static Status rows_of(Device *dev, CrossEntropyOut out, const float *z, int64_t ldz, int64_t n, int64_t v,
                      const int32_t *label, const float *weight, void *g, int64_t ldg, CrossEntropyOpts o) {
    enum { N = 8 };
    const int width = (int)count32(v);
    auto *kernel = v % N == 0 ? cross_entropy_row<G, N> : cross_entropy_row<G, 1>;
    return cuda_launch(dev, "cross_entropy_row", kernel, grid_for(n, 1), THREADS, 0, z, ldz, width, label,
                       weight, out.nll, out.loss, out.entropy, out.argmax, (G *)g, ldg, o.smoothing,
                       o.softcap);
}

template <class P> static P *plus(P *p, int64_t n) {
    return p ? p + n : NULL;
}

extern "C" Status BODY(cross_entropy)(Device *dev, CrossEntropyOut out, void *dx, int64_t lddx, const void *x,
                                      int64_t ldx, DType type, const Weight *w, const int32_t *label,
                                      const float *weight, int64_t rows, CrossEntropyOpts o) {
    const int64_t v = w->n, ld = (v + ALIGN - 1) / ALIGN * ALIGN;
    const size_t mark = arena_mark(&dev->scratch), room = (dev->scratch.size - mark) / 4;
    int64_t chunk = (int64_t)((room < LOGITS ? room : LOGITS) / ((size_t)ld * sizeof(float)));
    if (chunk < 1) chunk = 1;
    if (chunk > rows) chunk = rows;
    float *z = arena_f32(&dev->scratch, chunk * ld);
    void *g = dx ? arena_alloc(&dev->scratch, dtype_bytes(w->dtype, chunk * ld)) : NULL;
    Status s = OK;
    for (int64_t from = 0; from < rows && status_is_ok(s); from += chunk) {
        const int64_t n = rows - from < chunk ? rows - from : chunk;
        const CrossEntropyOut at = {plus(out.nll, from), plus(out.loss, from), plus(out.entropy, from),
                                    plus(out.argmax, from)};
        const char *xn = (const char *)x + dtype_bytes(type, from * ldx);
        char *dxn = dx ? (char *)dx + dtype_bytes(type, from * lddx) : NULL;
        s = dev->ops->matmul_fwd(dev, z, ld, DT_F32, xn, ldx, type, w, n, false);
        if (status_is_ok(s) && o.softcap > 0.0f)
            s = dev->ops->softcap_fwd(dev, z, ld, DT_F32, n, v, o.softcap);
        if (status_is_ok(s))
            s = w->dtype == DT_BF16
                    ? rows_of<bf16>(dev, at, z, ld, n, v, label + from, plus(weight, from), g, ld, o)
                    : rows_of<float>(dev, at, z, ld, n, v, label + from, plus(weight, from), g, ld, o);
        if (status_is_ok(s) && dx)
            s = dev->ops->matmul_bwd(dev, dxn, lddx, type, g, ld, w->dtype, w, n, false);
    }
    arena_release(&dev->scratch, mark);
    return s;
}
