/* Attention on the CPU: who does which rows. Forward and decoding are parallel over blocks of rows of a
 * (sequence, group); backward over (sequence, group), whose dk and dv one thread sums in one order. Nothing
 * depends on the number of threads. Scores of four rows at a time are all the memory it takes. */
#include "kernels/attention/attention_cpu.h"

#include "kernels/ops.h"
#include <omp.h>
#include <string.h>

enum { TASK_QUERIES = 64 }; /* of forward: enough tasks for two threads on one long sequence */

/* The four rows of a block: rows [at, at + rows) of a group, numbered query * R + head within the group. Its
 * keys begin at number `first` of the sequence; from and n count from there. */
typedef struct Block {
    int64_t query[ATTENTION_ROWS], head[ATTENTION_ROWS], from[ATTENTION_ROWS], n[ATTENTION_ROWS];
    int64_t first;
    int rows;
} Block;

static int64_t first_key(int64_t seen, int64_t window) {
    return window > 0 && seen > window ? seen - window : 0;
}

static Block block_at(int64_t at, int64_t end, int64_t per_query, int64_t len, AttentionShape s) {
    Block b;
    b.rows = (int)(end - at < ATTENTION_ROWS ? end - at : ATTENTION_ROWS);
    for (int r = 0; r < ATTENTION_ROWS; r++) {
        int64_t row = at + (r < b.rows ? r : b.rows - 1);
        b.query[r] = row / per_query;
        b.head[r] = row % per_query;
        int64_t seen = s.causal ? b.query[r] + 1 : len;
        if (r == 0) b.first = first_key(seen, s.window); /* the rows are in order: the lowest */
        b.from[r] = first_key(seen, s.window) - b.first;
        b.n[r] = seen - b.first;
    }
    return b;
}

static int64_t longest(const int32_t *cu_seqlens, int64_t n_seqs) {
    int64_t most = 0;
    for (int64_t b = 0; b < n_seqs; b++) {
        int64_t len = cu_seqlens[b + 1] - cu_seqlens[b];
        if (len > most) most = len;
    }
    return most;
}

/* Every thread's own piece of scratch: `rows` rows of scores, then one row of output nobody wants. */
typedef struct Pieces {
    float *base;
    int64_t lds, each;
} Pieces;

static Pieces pieces(Device *dev, int64_t rows, int64_t n, int64_t d) {
    Pieces p;
    p.lds = (n + 2 * ATTENTION_PAD - 1) / ATTENTION_PAD * ATTENTION_PAD;
    p.each = rows * p.lds + (d + ATTENTION_PAD - 1) / ATTENTION_PAD * ATTENTION_PAD;
    p.base = arena_f32(&dev->scratch, p.each * dev->n_threads);
    return p;
}

static float *own_piece(const Pieces *p) {
    return p->base + p->each * omp_get_thread_num();
}

Status attention_fwd_cpu(Device *dev, void *ov, int64_t ldo, float *lse, const void *qv, int64_t ldq,
                         const void *kv, int64_t ldk, const void *vv, int64_t ldv, const int32_t *cu_seqlens,
                         int64_t n_seqs, DType type, int64_t n_tokens, AttentionShape shape) {
    if (type != DT_F32) return device_unsupported(dev, "attention_fwd", type);
    float *o = ov;
    const float *q = qv, *k = kv, *v = vv;
    (void)n_tokens; /* cu_seqlens says it */
    int64_t d = shape.head_dim, groups = shape.groups, per_query = shape.heads / groups;
    size_t mark = arena_mark(&dev->scratch);
    AttentionBody body = attention_body(dev, d);
    int64_t *first =
        arena_alloc(&dev->scratch, (size_t)(n_seqs + 1) * sizeof *first); /* task of a sequence */
    first[0] = 0;
    for (int64_t b = 0; b < n_seqs; b++) {
        int64_t len = cu_seqlens[b + 1] - cu_seqlens[b];
        first[b + 1] = first[b] + (len + TASK_QUERIES - 1) / TASK_QUERIES;
    }
    Pieces scratch = pieces(dev, ATTENTION_ROWS, longest(cu_seqlens, n_seqs), d);
#pragma omp parallel num_threads(dev->n_threads)
    {
        float *s = own_piece(&scratch), *unwanted = s + ATTENTION_ROWS * scratch.lds;
#pragma omp for schedule(dynamic, 1)
        for (int64_t task = 0; task < first[n_seqs] * groups; task++) {
            int64_t g = task % groups, part = task / groups, b = 0, above = n_seqs;
            while (above - b > 1) { /* first[b] <= part < first[b + 1] */
                int64_t middle = (b + above) / 2;
                if (first[middle] <= part)
                    b = middle;
                else
                    above = middle;
            }
            int64_t start = cu_seqlens[b], len = cu_seqlens[b + 1] - start;
            int64_t query0 = (part - first[b]) * TASK_QUERIES;
            int64_t query1 = query0 + TASK_QUERIES < len ? query0 + TASK_QUERIES : len;
            for (int64_t at = query0 * per_query; at < query1 * per_query; at += ATTENTION_ROWS) {
                Block blk = block_at(at, query1 * per_query, per_query, len, shape);
                const float *qs[ATTENTION_ROWS];
                float *os[ATTENTION_ROWS], ls[ATTENTION_ROWS];
                for (int r = 0; r < ATTENTION_ROWS; r++) {
                    int64_t row = start + blk.query[r], head = g * per_query + blk.head[r];
                    qs[r] = q + row * ldq + head * d;
                    os[r] = r < blk.rows ? o + row * ldo + head * d : unwanted;
                }
                int64_t key = start + blk.first;
                AttentionKeys keys = {k + key * ldk + g * d, v + key * ldv + g * d, ldk, ldv, d,
                                      shape.scale,           shape.softcap};
                body.fwd(os, ls, qs, blk.from, blk.n, &keys, s, scratch.lds);
                for (int r = 0; r < blk.rows; r++)
                    lse[(start + blk.query[r]) * shape.heads + g * per_query + blk.head[r]] = ls[r];
            }
        }
    }
    arena_release(&dev->scratch, mark);
    return OK;
}

Status attention_bwd_cpu(Device *dev, void *dqv, int64_t lddq, void *dkv, int64_t lddk, void *dvv,
                         int64_t lddv, const void *doutv, int64_t lddo, const void *ov, int64_t ldo,
                         const float *lse, const void *qv, int64_t ldq, const void *kv, int64_t ldk,
                         const void *vv, int64_t ldv, const int32_t *cu_seqlens, int64_t n_seqs, DType type,
                         int64_t n_tokens, AttentionShape shape) {
    if (type != DT_F32) return device_unsupported(dev, "attention_bwd", type);
    float *dq = dqv, *dk = dkv, *dv = dvv;
    const float *dout = doutv, *o = ov, *q = qv, *k = kv, *v = vv;
    (void)n_tokens; /* cu_seqlens says it */
    int64_t d = shape.head_dim, groups = shape.groups, per_query = shape.heads / groups;
    size_t mark = arena_mark(&dev->scratch);
    AttentionBody body = attention_body(dev, d);
    Pieces scratch = pieces(dev, 2 * ATTENTION_ROWS, longest(cu_seqlens, n_seqs), d);
#pragma omp parallel num_threads(dev->n_threads)
    {
        float *s = own_piece(&scratch), *unwanted = s + 2 * ATTENTION_ROWS * scratch.lds;
#pragma omp for schedule(dynamic, 1)
        for (int64_t task = 0; task < n_seqs * groups; task++) {
            int64_t g = task % groups, b = task / groups;
            int64_t start = cu_seqlens[b], len = cu_seqlens[b + 1] - start;
            AttentionGrads grads = {.lddk = lddk, .lddv = lddv};
            for (int64_t j = start; j < start + len; j++) {
                memset(dk + j * lddk + g * d, 0, (size_t)d * sizeof(float));
                memset(dv + j * lddv + g * d, 0, (size_t)d * sizeof(float));
            }
            for (int64_t at = 0; at < len * per_query; at += ATTENTION_ROWS) {
                Block blk = block_at(at, len * per_query, per_query, len, shape);
                const float *qs[ATTENTION_ROWS], *os[ATTENTION_ROWS], *dos[ATTENTION_ROWS];
                float *dqs[ATTENTION_ROWS], ls[ATTENTION_ROWS];
                for (int r = 0; r < ATTENTION_ROWS; r++) {
                    int64_t row = start + blk.query[r], head = g * per_query + blk.head[r];
                    qs[r] = q + row * ldq + head * d;
                    os[r] = o + row * ldo + head * d;
                    dos[r] = dout + row * lddo + head * d;
                    dqs[r] = r < blk.rows ? dq + row * lddq + head * d : unwanted;
                    ls[r] = lse[row * shape.heads + head];
                }
                int64_t key = start + blk.first;
                AttentionKeys keys = {k + key * ldk + g * d, v + key * ldv + g * d, ldk, ldv, d,
                                      shape.scale,           shape.softcap};
                grads.dk = dk + key * lddk + g * d;
                grads.dv = dv + key * lddv + g * d;
                grads.dout = dos;
                grads.o = os;
                grads.lse = ls;
                grads.rows = blk.rows;
                body.bwd(dqs, &grads, qs, blk.from, blk.n, &keys, s, scratch.lds);
            }
        }
    }
    arena_release(&dev->scratch, mark);
    return OK;
}

Status attention_decode_cpu(Device *dev, void *ov, int64_t ldo, const void *qv, int64_t ldq,
                            const void *k_cachev, const void *v_cachev, int64_t max_len, const int32_t *slot,
                            const int32_t *len, int64_t n_seqs, DType type, AttentionShape shape) {
    if (type != DT_F32) return device_unsupported(dev, "attention_decode", type);
    float *o = ov;
    const float *q = qv, *k_cache = k_cachev, *v_cache = v_cachev;
    int64_t d = shape.head_dim, groups = shape.groups, per_query = shape.heads / groups, ld = groups * d;
    size_t mark = arena_mark(&dev->scratch);
    AttentionBody body = attention_body(dev, d);
    int64_t most = 0;
    for (int64_t b = 0; b < n_seqs; b++) most = len[b] > most ? len[b] : most;
    Pieces scratch = pieces(dev, ATTENTION_ROWS, most, d);
#pragma omp parallel num_threads(dev->n_threads)
    {
        float *s = own_piece(&scratch), *unwanted = s + ATTENTION_ROWS * scratch.lds;
#pragma omp for schedule(dynamic, 1)
        for (int64_t task = 0; task < n_seqs * groups; task++) {
            int64_t g = task % groups, b = task / groups, first = first_key(len[b], shape.window);
            int64_t at = (slot[b] * max_len + first) * ld + g * d;
            AttentionKeys keys = {k_cache + at, v_cache + at, ld, ld, d, shape.scale, shape.softcap};
            const int64_t from[ATTENTION_ROWS] = {0};
            for (int64_t h = 0; h < per_query; h += ATTENTION_ROWS) {
                const float *qs[ATTENTION_ROWS];
                float *os[ATTENTION_ROWS], ls[ATTENTION_ROWS];
                int64_t n[ATTENTION_ROWS];
                for (int r = 0; r < ATTENTION_ROWS; r++) {
                    int64_t head = g * per_query + (h + r < per_query ? h + r : per_query - 1);
                    qs[r] = q + b * ldq + head * d;
                    os[r] = h + r < per_query ? o + b * ldo + head * d : unwanted;
                    n[r] = len[b] - first;
                }
                body.fwd(os, ls, qs, from, n, &keys, s, scratch.lds);
            }
        }
    }
    arena_release(&dev->scratch, mark);
    return OK;
}
