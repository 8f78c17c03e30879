/* Forward splits rows, backward splits adapters (all sequences of one adapter go to one thread, in order), so
 * no two threads add to the same number. */
#include "kernels/ops.h"
#include "kernels/vec.h"

#include <omp.h>

VEC_TARGETS
static float dot(const float *a, const float *b, int64_t n) {
    float s = 0.0f;
#pragma omp simd reduction(+ : s)
    for (int64_t j = 0; j < n; j++) s += a[j] * b[j];
    return s;
}

VEC_TARGETS
static void add_scaled(float *y, float k, const float *x, int64_t n) {
#pragma omp simd
    for (int64_t j = 0; j < n; j++) y[j] += k * x[j];
}

/* y += sum_j k[j] * rows[j]: one pass over y for up to four rows at a time. */
VEC_TARGETS
static void add_combination(float *y, const float *k, const float *rows, int64_t ld, int64_t r, int64_t n) {
    int64_t j = 0;
    for (; j + 4 <= r; j += 4) {
        const float *a = rows + j * ld, *b = a + ld, *c = b + ld, *d = c + ld;
        float ka = k[j], kb = k[j + 1], kc = k[j + 2], kd = k[j + 3];
#pragma omp simd
        for (int64_t i = 0; i < n; i++) y[i] += ka * a[i] + kb * b[i] + kc * c[i] + kd * d[i];
    }
    for (; j < r; j++) add_scaled(y, k[j], rows + j * ld, n);
}

/* The mask of row n, as factors 0 or 1/(1-p). The random stream comes in blocks; a row may begin inside one.
 */
VEC_TARGETS
static void mask_row(float *mask, int64_t n, int64_t in, LoraOpts o) {
    float keep = 1.0f / (1.0f - o.dropout), p = o.dropout;
    uint64_t first = (uint64_t)(n * in);
    for (int64_t done = 0; done < in;) {
        uint32_t bits[VEC_RNG];
        uint64_t at = first + (uint64_t)done;
        int64_t skip = (int64_t)(at % VEC_RNG),
                take = VEC_RNG - skip < in - done ? VEC_RNG - skip : in - done;
        vec_rng(bits, o.seed, o.stream, at / VEC_RNG);
#pragma omp simd
        for (int64_t i = 0; i < take; i++) /* 24 bits: a signed conversion, which has an instruction */
            mask[done + i] = (float)(int32_t)(bits[skip + i] >> 8) * (1.0f / 16777216.0f) >= p ? keep : 0.0f;
        done += take;
    }
}

static const float *dropped(float *xd, const float *mask, const float *x, int64_t in) {
    for (int64_t c = 0; c < in; c++) xd[c] = x[c] * mask[c];
    return xd;
}

/* The sequence that row n belongs to. */
static int64_t sequence_of(const int32_t *cu_seqlens, int64_t n_seqs, int64_t n) {
    int64_t lo = 0, hi = n_seqs;
    while (hi - lo > 1) {
        int64_t mid = (lo + hi) / 2;
        if (cu_seqlens[mid] <= n)
            lo = mid;
        else
            hi = mid;
    }
    return lo;
}

Status lora_fwd_cpu(Device *dev, void *yv, int64_t ldy, float *h, const void *xv, int64_t ldx, DType type,
                    LoraView w, const int32_t *index, const int32_t *cu_seqlens, int64_t n_seqs, int64_t rows,
                    int64_t in, int64_t out, LoraOpts o) {
    if (type != DT_F32) return device_unsupported(dev, "lora_fwd", type);
    CHECK(cu_seqlens[n_seqs] <= rows, "lora_fwd: %d tokens, x has %lld rows", (int)cu_seqlens[n_seqs],
          (long long)rows);
    float *y = yv;
    const float *x = xv;
    size_t mark = arena_mark(&dev->scratch);
    float *scratch = arena_f32(&dev->scratch, 2 * in * dev->n_threads);
#pragma omp parallel for num_threads(dev->n_threads) schedule(static)
    for (int64_t n = cu_seqlens[0]; n < cu_seqlens[n_seqs]; n++) {
        int64_t t = index[sequence_of(cu_seqlens, n_seqs, n)];
        float *hn = h + n * o.rank;
        if (t < 0) {
            for (int64_t j = 0; j < o.rank; j++) hn[j] = 0.0f;
            continue;
        }
        const float *xn = x + n * ldx, *a = w.a + t * w.a_stride, *bt = w.bt + t * w.bt_stride;
        if (o.dropout > 0.0f) {
            float *mine = scratch + 2 * in * omp_get_thread_num();
            mask_row(mine, n, in, o);
            xn = dropped(mine + in, mine, xn, in);
        }
        float scaled[LORA_MAX_RANK];
        for (int64_t j = 0; j < o.rank; j++) {
            hn[j] = dot(xn, a + j * w.lda, in);
            scaled[j] = o.scale * hn[j];
        }
        add_combination(y + n * ldy, scaled, bt, w.ldb, o.rank, out);
    }
    arena_release(&dev->scratch, mark);
    return OK;
}

static bool first_of_adapter(const int32_t *index, int64_t b) {
    for (int64_t p = 0; p < b; p++)
        if (index[p] == index[b]) return false;
    return true;
}

Status lora_bwd_cpu(Device *dev, void *dxv, int64_t lddx, LoraView dw, const void *dyv, int64_t lddy,
                    const float *h, const void *xv, int64_t ldx, DType type, LoraView w, const int32_t *index,
                    const int32_t *cu_seqlens, int64_t n_seqs, int64_t rows, int64_t in, int64_t out,
                    LoraOpts o) {
    if (type != DT_F32) return device_unsupported(dev, "lora_bwd", type);
    CHECK(cu_seqlens[n_seqs] <= rows, "lora_bwd: %d tokens, x has %lld rows", (int)cu_seqlens[n_seqs],
          (long long)rows);
    float *dx = dxv;
    const float *dy = dyv, *x = xv;
    size_t mark = arena_mark(&dev->scratch);
    float *scratch = arena_f32(&dev->scratch, 3 * in * dev->n_threads);
#pragma omp parallel for num_threads(dev->n_threads) schedule(dynamic)
    for (int64_t first = 0; first < n_seqs; first++) {
        int64_t t = index[first];
        if (t < 0 || !first_of_adapter(index, first)) continue;
        float *mine = scratch + 3 * in * omp_get_thread_num(), *mask = mine, *xd = mine + in,
              *dxd = mine + 2 * in;
        const float *a = w.a + t * w.a_stride, *bt = w.bt + t * w.bt_stride;
        float *da = dw.a + t * dw.a_stride, *dbt = dw.bt + t * dw.bt_stride;
        for (int64_t b = first; b < n_seqs; b++) {
            if (index[b] != t) continue;
            for (int64_t n = cu_seqlens[b]; n < cu_seqlens[b + 1]; n++) {
                const float *xn = x + n * ldx, *dyn = dy + n * lddy, *hn = h + n * o.rank;
                float dh[LORA_MAX_RANK];
                if (o.dropout > 0.0f) {
                    mask_row(mask, n, in, o);
                    xn = dropped(xd, mask, xn, in);
                }
                for (int64_t j = 0; j < o.rank; j++) {
                    dh[j] = o.scale * dot(dyn, bt + j * w.ldb, out);
                    add_scaled(dbt + j * dw.ldb, o.scale * hn[j], dyn, out);
                    add_scaled(da + j * dw.lda, dh[j], xn, in);
                }
                if (!dx) continue;
                if (o.dropout > 0.0f) {
                    for (int64_t c = 0; c < in; c++) dxd[c] = 0.0f;
                    add_combination(dxd, dh, a, w.lda, o.rank, in);
                    for (int64_t c = 0; c < in; c++) dx[n * lddx + c] += dxd[c] * mask[c];
                } else {
                    add_combination(dx + n * lddx, dh, a, w.lda, o.rank, in);
                }
            }
        }
    }
    arena_release(&dev->scratch, mark);
    return OK;
}
