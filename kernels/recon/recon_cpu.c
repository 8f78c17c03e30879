/* Threads own items; an item's sum and gradients are one thread's, sums of items are added in order. */
#include "kernels/recon/recon_cpu.h"
#include "kernels/ops.h"
#include "kernels/vec.h"

#include <omp.h>

static int64_t round_up(int64_t n, int64_t to) {
    return (n + to - 1) / to * to;
}

static ReconScratch bind(Arena *a, const ReconShape *s) {
    ReconScratch m = {.rp = round_up(s->rank, 4), .columns = round_up(s->in, 2 * RECON_MAX_LANES)};
    m.stack = arena_f32(a, 2 * m.rp * m.columns);
    m.da = arena_f32(a, m.rp * m.columns);
    m.b = arena_f32(a, RECON_ROWS * 2 * m.rp);
    m.s = arena_f32(a, RECON_ROWS * RECON_COLUMNS);
    m.db = arena_f32(a, RECON_ROWS * m.rp * RECON_MAX_LANES);
    return m;
}

/* Adds the items' sums in order. */
static double add_up(const double *each, int64_t n) {
    double total = 0;
    for (int64_t i = 0; i < n; i++) total += each[i];
    return total;
}

Status recon_run(Device *dev, ReconBody *body, double *loss, LoraView g, LoraView w, LoraView target,
                 const int64_t *index, ReconShape s) {
    size_t mark = arena_mark(&dev->scratch);
    double per = s.weight / ((double)s.items * (double)s.in * (double)s.out);
    double *each = arena_alloc(&dev->scratch, (size_t)s.items * sizeof *each);
    ReconScratch *mine = arena_alloc(&dev->scratch, (size_t)dev->n_threads * sizeof *mine);
    for (int t = 0; t < dev->n_threads; t++) mine[t] = bind(&dev->scratch, &s);
#pragma omp parallel for num_threads(dev->n_threads) schedule(dynamic)
    for (int64_t i = 0; i < s.items; i++) {
        ReconItem item = {.a = w.a + i * w.a_stride,
                          .bt = w.bt + i * w.bt_stride,
                          .target_a = target.a + index[i] * target.a_stride,
                          .target_bt = target.bt + index[i] * target.bt_stride,
                          .da = g.a + i * g.a_stride,
                          .dbt = g.bt + i * g.bt_stride,
                          .lda = w.lda,
                          .ldb = w.ldb,
                          .target_lda = target.lda,
                          .target_ldb = target.ldb,
                          .da_ld = g.lda,
                          .dbt_ld = g.ldb,
                          .rank = s.rank,
                          .in = s.in,
                          .out = s.out,
                          .c = s.c,
                          .scale = (float)per};
        each[i] = body(&item, &mine[omp_get_thread_num()]);
    }
    *loss = per * add_up(each, s.items);
    arena_release(&dev->scratch, mark);
    return OK;
}

Status recon_delta_w_cpu(Device *dev, double *loss, LoraView g, LoraView w, LoraView target,
                         const int64_t *index, ReconShape s) {
    return recon_run(dev, recon_body(dev), loss, g, w, target, index, s);
}

/* g = scale sign(x - t), n numbers; returns the sum of |x - t|: LANES partial sums in double, in order. */
VEC_TARGETS static double recon_difference(float *g, const float *x, const float *t, int64_t n, float scale) {
    enum { LANES = 16 };
    double part[LANES] = {0}, total = 0;
    int64_t whole = n - n % LANES;
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        float d = x[i] - t[i];
        g[i] = (d > 0.0f ? scale : 0.0f) - (d < 0.0f ? scale : 0.0f);
    }
    for (int64_t i = 0; i < whole; i += LANES)
#pragma omp simd
        for (int k = 0; k < LANES; k++) {
            double d = (double)(x[i + k] - t[i + k]);
            part[k] += d < 0 ? -d : d;
        }
    for (int64_t i = whole; i < n; i++) {
        double d = (double)(x[i] - t[i]);
        part[i - whole] += d < 0 ? -d : d;
    }
    for (int k = 0; k < LANES; k++) total += part[k];
    return total;
}

Status recon_factor_cpu(Device *dev, double *loss, LoraView g, LoraView w, LoraView target,
                        const int64_t *index, ReconShape s) {
    size_t mark = arena_mark(&dev->scratch);
    double *each = arena_alloc(&dev->scratch, (size_t)s.items * sizeof *each);
    double per = 0.5 * s.weight / ((double)s.items * (double)s.rank), per_a = per / (double)s.in,
           per_b = per / (double)s.out;
#pragma omp parallel for num_threads(dev->n_threads) schedule(static)
    for (int64_t i = 0; i < s.items; i++) {
        double sum_a = 0, sum_b = 0;
        for (int64_t j = 0; j < s.rank; j++) {
            sum_a +=
                recon_difference(g.a + i * g.a_stride + j * g.lda, w.a + i * w.a_stride + j * w.lda,
                                 target.a + index[i] * target.a_stride + j * target.lda, s.in, (float)per_a);
            sum_b += recon_difference(g.bt + i * g.bt_stride + j * g.ldb, w.bt + i * w.bt_stride + j * w.ldb,
                                      target.bt + index[i] * target.bt_stride + j * target.ldb, s.out,
                                      (float)per_b);
        }
        each[i] = per_a * sum_a + per_b * sum_b;
    }
    *loss = add_up(each, s.items);
    arena_release(&dev->scratch, mark);
    return OK;
}
