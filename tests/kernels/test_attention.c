/* Attention against plain loops in float64, which are themselves checked by finite differences. Tolerance:
 * twice the worst error of the same loops in float, for bf16 with weights, their gradients and results
 * rounded to bf16 (which on few numbers may by luck be nothing: never below |lse| roundings of the largest
 * number). Bits: the number of threads, the other sequences of a batch and decoding with a cache do not
 * change them. */
#include "tests/kernels/backends.h"

typedef struct Case {
    int64_t heads, groups, d;
    bool causal;
    int n_seqs;
    int lens[6];
    int window;
    float cap;
} Case;

static const Case cases[] = {
    {9, 3, 64, true, 5, {1, 33, 2, 70, 17}, 0, 0}, {12, 12, 32, false, 4, {5, 1, 40, 18}, 0, 0},
    {3, 1, 16, true, 3, {7, 1, 33}, 0, 0},         {4, 2, 128, true, 2, {65, 3}, 0, 0},
    {2, 2, 256, true, 3, {20, 1, 9}, 0, 0},        {5, 1, 96, false, 3, {3, 21, 1}, 0, 0},
    {8, 1, 8, true, 2, {19, 130}, 0, 0},           {6, 3, 20, true, 3, {1, 4, 35}, 0, 0},
    {1, 1, 4, false, 3, {1, 2, 67}, 0, 0},         {4, 1, 80, true, 2, {33, 5}, 0, 0},
    {3, 3, 48, true, 2, {16, 31}, 0, 0},           {2, 1, 64, true, 1, {300}, 0, 0},
    {4, 2, 256, true, 3, {20, 1, 9}, 7, 2},        {6, 3, 20, true, 3, {1, 4, 35}, 5, 0},
    {9, 3, 64, true, 3, {1, 70, 33}, 0, 3},        {5, 1, 16, true, 2, {67, 3}, 2, 0},
    {2, 1, 8, true, 2, {19, 130}, 33, 0.5f},       {3, 1, 32, false, 2, {21, 2}, 0, 1},
};

/* The first key that a query sees which sees n in all. */
static int64_t first_key(const Case *c, int64_t n) {
    return c->window > 0 && n > c->window ? n - c->window : 0;
}

/* Plain loops for one sequence and one head: fwd, then bwd adding into dk and dv. */
#define PLAIN(T, fwd, bwd, EXP, LOG, TANH, STORE)                                                         \
    static void fwd(T *o, T *lse, const T *q, const T *k, const T *v, int64_t len, int64_t wide,          \
                    int64_t narrow, int64_t heads, int64_t d, const Case *c_, T scale, T *p) {            \
        for (int64_t i = 0; i < len; i++) {                                                               \
            int64_t n = c_->causal ? i + 1 : len, from = first_key(c_, n);                                \
            T cap = c_->cap;                                                                              \
            T max = -INFINITY, sum = 0;                                                                   \
            for (int64_t j = from; j < n; j++) {                                                          \
                T s = 0;                                                                                  \
                for (int64_t c = 0; c < d; c++) s += q[i * wide + c] * k[j * narrow + c];                 \
                p[j] = cap > 0 ? cap * TANH(scale * s / cap) : scale * s;                                 \
                max = p[j] > max ? p[j] : max;                                                            \
            }                                                                                             \
            for (int64_t j = from; j < n; j++) sum += p[j] = EXP(p[j] - max);                             \
            lse[i * heads] = max + LOG(sum);                                                              \
            for (int64_t c = 0; c < d; c++) {                                                             \
                T y = 0;                                                                                  \
                for (int64_t j = from; j < n; j++) y += STORE(p[j]) * v[j * narrow + c];                  \
                o[i * wide + c] = STORE(y / sum);                                                         \
            }                                                                                             \
        }                                                                                                 \
    }                                                                                                     \
    static void bwd(T *dq, T *dk, T *dv, const T *dout, const T *o, const T *lse, const T *q, const T *k, \
                    const T *v, int64_t len, int64_t wide, int64_t narrow, int64_t heads, int64_t d,      \
                    const Case *c_, T scale) {                                                            \
        for (int64_t i = 0; i < len; i++) {                                                               \
            int64_t n = c_->causal ? i + 1 : len;                                                         \
            T cap = c_->cap, delta = 0;                                                                   \
            for (int64_t c = 0; c < d; c++) {                                                             \
                delta += dout[i * wide + c] * o[i * wide + c];                                            \
                dq[i * wide + c] = 0;                                                                     \
            }                                                                                             \
            for (int64_t j = first_key(c_, n); j < n; j++) {                                              \
                T s = 0, dp = 0;                                                                          \
                for (int64_t c = 0; c < d; c++) {                                                         \
                    s += q[i * wide + c] * k[j * narrow + c];                                             \
                    dp += dout[i * wide + c] * v[j * narrow + c];                                         \
                }                                                                                         \
                T t = cap > 0 ? TANH(scale * s / cap) : 0, z = cap > 0 ? cap * t : scale * s;             \
                T p = EXP(z - lse[i * heads]), ds = STORE(scale * p * (dp - delta) * (1 - t * t));        \
                for (int64_t c = 0; c < d; c++) {                                                         \
                    dq[i * wide + c] += ds * k[j * narrow + c];                                           \
                    dk[j * narrow + c] += ds * q[i * wide + c];                                           \
                    dv[j * narrow + c] += STORE(p) * dout[i * wide + c];                                  \
                }                                                                                         \
            }                                                                                             \
        }                                                                                                 \
    }
static float in_bf16(float x) {
    return bf16_to_float(float_to_bf16(x));
}
#define AS_IT_IS(x) (x)
PLAIN(double, fwd_f64, bwd_f64, exp, log, tanh, AS_IT_IS)
PLAIN(float, fwd_f32, bwd_f32, expf, logf, tanhf, AS_IT_IS)
PLAIN(float, fwd_bf16, bwd_bf16, expf, logf, tanhf, in_bf16)

/* Everything a case needs, in one precision; contiguous. */
#define PROBLEM(T, Problem, make, solve, drop, fwd, bwd)                                                   \
    typedef struct Problem {                                                                               \
        T *q, *k, *v, *dout, *o, *lse, *dq, *dk, *dv, *p;                                                  \
    } Problem;                                                                                             \
    static Problem make(const Case *s, int64_t n, const TestMat *q, const TestMat *k, const TestMat *v,    \
                        const TestMat *dout) {                                                             \
        int64_t wide = s->heads * s->d, narrow = s->groups * s->d;                                         \
        Problem x = {calloc((size_t)(n * wide), sizeof(T)),   calloc((size_t)(n * narrow), sizeof(T)),     \
                     calloc((size_t)(n * narrow), sizeof(T)), calloc((size_t)(n * wide), sizeof(T)),       \
                     calloc((size_t)(n * wide), sizeof(T)),   calloc((size_t)(n * s->heads), sizeof(T)),   \
                     calloc((size_t)(n * wide), sizeof(T)),   calloc((size_t)(n * narrow), sizeof(T)),     \
                     calloc((size_t)(n * narrow), sizeof(T)), calloc((size_t)(n + 1), sizeof(T))};         \
        for (int64_t i = 0; i < n; i++) {                                                                  \
            for (int64_t c = 0; c < wide; c++) {                                                           \
                x.q[i * wide + c] = *mat_at(q, i, c);                                                      \
                x.dout[i * wide + c] = *mat_at(dout, i, c);                                                \
            }                                                                                              \
            for (int64_t c = 0; c < narrow; c++) {                                                         \
                x.k[i * narrow + c] = *mat_at(k, i, c);                                                    \
                x.v[i * narrow + c] = *mat_at(v, i, c);                                                    \
            }                                                                                              \
        }                                                                                                  \
        return x;                                                                                          \
    }                                                                                                      \
    static void solve(const Case *s, const Problem *x, bool with_bwd) {                                    \
        int64_t wide = s->heads * s->d, narrow = s->groups * s->d, at = 0;                                 \
        T scale = (T)(1 / sqrt((double)s->d));                                                             \
        for (int b = 0; b < s->n_seqs; at += s->lens[b++])                                                 \
            for (int64_t h = 0; h < s->heads; h++) {                                                       \
                int64_t i = at * wide + h * s->d, j = at * narrow + h / (s->heads / s->groups) * s->d;     \
                T *lse = x->lse + at * s->heads + h;                                                       \
                fwd(x->o + i, lse, x->q + i, x->k + j, x->v + j, s->lens[b], wide, narrow, s->heads, s->d, \
                    s, scale, x->p);                                                                       \
                if (with_bwd)                                                                              \
                    bwd(x->dq + i, x->dk + j, x->dv + j, x->dout + i, x->o + i, lse, x->q + i, x->k + j,   \
                        x->v + j, s->lens[b], wide, narrow, s->heads, s->d, s, scale);                     \
            }                                                                                              \
    }                                                                                                      \
    static void drop(Problem *x) {                                                                         \
        free(x->q), free(x->k), free(x->v), free(x->dout), free(x->o), free(x->lse), free(x->dq),          \
            free(x->dk);                                                                                   \
        free(x->dv), free(x->p);                                                                           \
    }
PROBLEM(double, Exact, exact_make, exact_solve, exact_drop, fwd_f64, bwd_f64)
PROBLEM(float, Plain, plain_make, plain_solve, plain_drop, fwd_f32, bwd_f32)
PROBLEM(float, Half, half_make, half_solve, half_drop, fwd_bf16, bwd_bf16)

/* What the operation under test reads and writes: q, k, v (and dq, dk, dv) are slices of one fused matrix. */
typedef struct Run {
    TestMat qkv, dqkv, dout, o, lse;
    TestMat q, k, v, dq, dk, dv; /* views: only .t, and mem shared with the above */
    int32_t cu[7];
    int64_t n;
    AttentionShape shape;
} Run;

static TestMat columns(const TestMat *m, int64_t from, int64_t n) {
    TestMat view = *m;
    view.t = tensor_columns(m->t, from, n);
    return view;
}

static Run run_make(const Case *s) {
    Run r;
    r.n = 0;
    for (int b = 0; b < s->n_seqs; b++) {
        r.cu[b] = (int32_t)r.n;
        r.n += s->lens[b];
    }
    r.cu[s->n_seqs] = (int32_t)r.n;
    int64_t wide = s->heads * s->d, narrow = s->groups * s->d;
    r.qkv = mat_new(r.n, wide + 2 * narrow, 5);
    r.dqkv = mat_new(r.n, wide + 2 * narrow, 3);
    r.dout = mat_new(r.n, wide, 1);
    r.o = mat_new(r.n, wide, 7);
    r.lse = mat_new(r.n, s->heads, 0);
    r.q = columns(&r.qkv, 0, wide), r.k = columns(&r.qkv, wide, narrow),
    r.v = columns(&r.qkv, wide + narrow, narrow);
    r.dq = columns(&r.dqkv, 0, wide), r.dk = columns(&r.dqkv, wide, narrow);
    r.dv = columns(&r.dqkv, wide + narrow, narrow);
    Rng rng = rng_make(21, (uint64_t)(r.n * 1000 + wide));
    mat_random(&r.qkv, &rng, -2, 2);
    mat_random(&r.dout, &rng, -1, 1);
    r.shape = (AttentionShape){s->heads,  s->groups, s->d,     (float)(1 / sqrt((double)s->d)),
                               s->causal, s->cap,    s->window};
    return r;
}

static void run_free(Run *r) {
    mat_free(&r->qkv), mat_free(&r->dqkv), mat_free(&r->dout), mat_free(&r->o), mat_free(&r->lse);
}

static void run_all(Device *dev, const Case *s, Run *r) {
    mat_poison(&r->dqkv);
    mat_poison(&r->o);
    mat_poison(&r->lse);
    assert_ok(attention_fwd(dev, r->o.t, r->lse.t, r->q.t, r->k.t, r->v.t, r->cu, s->n_seqs, r->shape));
    assert_ok(attention_bwd(dev, r->dq.t, r->dk.t, r->dv.t, r->dout.t, r->o.t, r->lse.t, r->q.t, r->k.t,
                            r->v.t, r->cu, s->n_seqs, r->shape));
}

/* spread: how many roundings of the largest number any implementation in float may be off by. */
static void compare(const char *name, const TestMat *got, const double *want, const float *plain,
                    double spread, double *ratio) {
    double ours = 0, theirs = 0, largest = 0;
    for (int64_t i = 0; i < got->t.dim[0]; i++)
        for (int64_t c = 0; c < got->t.dim[1]; c++) {
            int64_t at = i * got->t.dim[1] + c;
            double e = fabs(*mat_at(got, i, c) - want[at]);
            if (!(e <= ours)) ours = isnan(e) ? INFINITY : e;
            theirs = fmax(theirs, fabs(plain[at] - want[at]));
            largest = fmax(largest, fabs(want[at]));
        }
    theirs = fmax(theirs, spread * largest * ROUND_F32);
    if (!(ours <= 2 * theirs)) fail_msg("%s: error %g, plain loops %g", name, ours, theirs);
    *ratio = fmax(*ratio, ours / theirs);
}

static void check_case(Device *dev, const Case *s, double *ratio) {
    Run r = run_make(s);
    run_all(dev, s, &r);
    mat_intact(&r.qkv), mat_intact(&r.dqkv), mat_intact(&r.dout), mat_intact(&r.o), mat_intact(&r.lse);
    assert_int_equal(dev->scratch.used, 0);
    Exact e = exact_make(s, r.n, &r.q, &r.k, &r.v, &r.dout);
    Plain p = plain_make(s, r.n, &r.q, &r.k, &r.v, &r.dout);
    exact_solve(s, &e, true);
    plain_solve(s, &p, true);
    /* exp(scale s - lse): the stored lse alone moves every probability by |lse| roundings. */
    double spread = 1;
    for (int64_t i = 0; i < r.n * s->heads; i++) spread = fmax(spread, fabs(e.lse[i]));
    compare("o", &r.o, e.o, p.o, spread, ratio);
    compare("lse", &r.lse, e.lse, p.lse, 1, ratio);
    compare("dq", &r.dq, e.dq, p.dq, spread, ratio);
    compare("dk", &r.dk, e.dk, p.dk, spread, ratio);
    compare("dv", &r.dv, e.dv, p.dv, spread, ratio);
    exact_drop(&e), plain_drop(&p);

    Run other = run_make(s);
    int was = dev->n_threads;
    for (int threads = 1; threads <= 5; threads += 2) {
        dev->n_threads = threads;
        run_all(dev, s, &other);
        mat_same_bits(&other.o, &r.o);
        mat_same_bits(&other.lse, &r.lse);
        mat_same_bits(&other.dqkv, &r.dqkv);
    }
    dev->n_threads = was;

    /* A sequence alone. */
    for (int b = 0; b < s->n_seqs; b++) {
        const int32_t alone[2] = {0, s->lens[b]};
        int64_t at = r.cu[b], n = s->lens[b];
        Tensor lse = tensor_rows(other.lse.t, at, n), o = tensor_rows(other.o.t, at, n);
        Tensor q = tensor_rows(r.q.t, at, n), k = tensor_rows(r.k.t, at, n), v = tensor_rows(r.v.t, at, n);
        assert_ok(attention_fwd(dev, o, lse, q, k, v, alone, 1, r.shape));
        assert_ok(attention_bwd(dev, tensor_rows(other.dq.t, at, n), tensor_rows(other.dk.t, at, n),
                                tensor_rows(other.dv.t, at, n), tensor_rows(r.dout.t, at, n), o, lse, q, k, v,
                                alone, 1, r.shape));
    }
    mat_same_bits(&other.o, &r.o);
    mat_same_bits(&other.lse, &r.lse);
    mat_same_bits(&other.dqkv, &r.dqkv);
    run_free(&r), run_free(&other);
}

static void against_float64(void **state) {
    (void)state;
    Device dev;
    assert_ok(device_open(&dev, "cpu", 2));
    for (int wide = 1; wide >= 0; wide--) {
        if (!wide) dev.avx512 = false;
        double ratio = 0;
        for (int i = 0; i < COUNT_OF(cases); i++) check_case(&dev, &cases[i], &ratio);
        print_message("AVX-512 %s: error at most %.2f of plain loops'\n", dev.avx512 ? "used" : "not used",
                      ratio);
    }
    device_close(&dev);
}

/* The last position of every prefix, decoded from a cache of garbage beyond it, is that row of the forward.
 */
static void decode_is_forward(void **state) {
    (void)state;
    Device dev;
    assert_ok(device_open(&dev, "cpu", 2));
    for (int i = 0; i < COUNT_OF(cases); i++) {
        const Case *s = &cases[i];
        if (!s->causal) continue;
        Run r = run_make(s);
        run_all(&dev, s, &r);
        int64_t narrow = s->groups * s->d, wide = s->heads * s->d, most = 0;
        for (int b = 0; b < s->n_seqs; b++) most = s->lens[b] > most ? s->lens[b] : most;
        int64_t slots = s->n_seqs + 1;
        TestMat k = mat_new(slots * most, narrow, 0), v = mat_new(slots * most, narrow, 0);
        TestMat q = mat_new(s->n_seqs, wide, 3), o = mat_new(s->n_seqs, wide, 1);
        int32_t slot[6], len[6];
        for (int step = 0; step < most; step++) {
            for (int b = 0; b < s->n_seqs; b++) {
                int64_t at = step < s->lens[b] ? step : s->lens[b] - 1;
                slot[b] = (int32_t)(s->n_seqs - b);
                len[b] = (int32_t)at + 1;
                for (int64_t c = 0; c < narrow; c++) {
                    *mat_at(&k, slot[b] * most + at, c) = *mat_at(&r.k, r.cu[b] + at, c);
                    *mat_at(&v, slot[b] * most + at, c) = *mat_at(&r.v, r.cu[b] + at, c);
                }
                for (int64_t c = 0; c < wide; c++) *mat_at(&q, b, c) = *mat_at(&r.q, r.cu[b] + at, c);
            }
            assert_ok(attention_decode(&dev, o.t, q.t, tensor_3d(k.t.data, DT_F32, slots, most, narrow),
                                       tensor_3d(v.t.data, DT_F32, slots, most, narrow), slot, len, r.shape));
            for (int b = 0; b < s->n_seqs; b++)
                if (memcmp(mat_at(&o, b, 0), mat_at(&r.o, r.cu[b] + len[b] - 1, 0),
                           (size_t)wide * sizeof(float)) != 0)
                    fail_msg("case %d, sequence %d, position %d", i, b, len[b] - 1);
            mat_intact(&o);
        }
        assert_int_equal(dev.scratch.used, 0);
        mat_free(&k), mat_free(&v), mat_free(&q), mat_free(&o);
        run_free(&r);
    }
    device_close(&dev);
}

/* Small ones, for the interpreter: several tiles, empty sequences, heads that rows of 16 bytes do not fit. */
static const Case device_cases[] = {
    {4, 2, 64, true, 4, {1, 7, 33, 65}, 0, 0}, {2, 1, 128, true, 2, {67, 3}, 0, 0},
    {2, 2, 256, true, 2, {35, 1}, 7, 2},       {6, 3, 20, true, 3, {1, 4, 35}, 5, 0},
    {2, 1, 32, false, 2, {70, 2}, 0, 1},       {2, 1, 64, true, 1, {150}, 33, 0.5f},
    {2, 1, 64, true, 4, {0, 5, 0, 3}, 0, 0},
};

static void device_run(Device *dev, const Case *s, Run *r, DType type) {
    int64_t wide = s->heads * s->d, narrow = s->groups * s->d;
    Twin qkv = mat_to(dev, &r->qkv, type), o = mat_to(dev, &r->o, type), lse = mat_to(dev, &r->lse, DT_F32);
    Tensor q = tensor_columns(qkv.t, 0, wide), k = tensor_columns(qkv.t, wide, narrow),
           v = tensor_columns(qkv.t, wide + narrow, narrow);
    Twin dqkv = mat_to(dev, &r->dqkv, type), dout = mat_to(dev, &r->dout, type);
    void *cu = bytes_to(dev, r->cu, (size_t)(s->n_seqs + 1) * sizeof(int32_t));
    assert_ok(attention_fwd(dev, o.t, lse.t, q, k, v, cu, s->n_seqs, r->shape));
    assert_ok(attention_bwd(dev, tensor_columns(dqkv.t, 0, wide), tensor_columns(dqkv.t, wide, narrow),
                            tensor_columns(dqkv.t, wide + narrow, narrow), dout.t, o.t, lse.t, q, k, v, cu,
                            s->n_seqs, r->shape));
    assert_int_equal(dev->scratch.used, 0);
    device_free(dev, cu);
    mat_from(&qkv), mat_from(&o), mat_from(&lse), mat_from(&dqkv), mat_from(&dout);
    mat_intact(&r->qkv), mat_intact(&r->o), mat_intact(&r->lse), mat_intact(&r->dqkv), mat_intact(&r->dout);
}

/* What plain loops leave when their results are stored as the type. */
static const float *stored(float *x, int64_t n, DType type) {
    for (int64_t i = 0; i < n && type == DT_BF16; i++) x[i] = in_bf16(x[i]);
    return x;
}

static void device_case(Device *dev, const Case *s, DType type, double *ratio) {
    Run r = run_make(s);
    mat_round(&r.qkv, type), mat_round(&r.dout, type);
    device_run(dev, s, &r, type);
    Exact e = exact_make(s, r.n, &r.q, &r.k, &r.v, &r.dout);
    Plain p = plain_make(s, r.n, &r.q, &r.k, &r.v, &r.dout);
    Half h = half_make(s, r.n, &r.q, &r.k, &r.v, &r.dout);
    exact_solve(s, &e, true), plain_solve(s, &p, true), half_solve(s, &h, true);
    bool f32 = type == DT_F32;
    int64_t wide = r.n * s->heads * s->d, narrow = r.n * s->groups * s->d;
    double spread = 1;
    for (int64_t i = 0; i < r.n * s->heads; i++) spread = fmax(spread, fabs(e.lse[i]));
    compare("o", &r.o, e.o, stored(f32 ? p.o : h.o, wide, type), spread, ratio);
    compare("lse", &r.lse, e.lse, p.lse, 1, ratio);
    compare("dq", &r.dq, e.dq, stored(f32 ? p.dq : h.dq, wide, type), spread, ratio);
    compare("dk", &r.dk, e.dk, stored(f32 ? p.dk : h.dk, narrow, type), spread, ratio);
    compare("dv", &r.dv, e.dv, stored(f32 ? p.dv : h.dv, narrow, type), spread, ratio);

    int last = s->n_seqs - 1; /* alone: the same bits */
    Case alone = {s->heads, s->groups, s->d, s->causal, 1, {s->lens[last]}, s->window, s->cap};
    Run one = run_make(&alone);
    for (int64_t i = 0; i < one.n; i++) {
        int64_t at = r.cu[last] + i, row = one.qkv.t.dim[1];
        memcpy(mat_at(&one.qkv, i, 0), mat_at(&r.qkv, at, 0), (size_t)row * sizeof(float));
        memcpy(mat_at(&one.dout, i, 0), mat_at(&r.dout, at, 0), (size_t)one.dout.t.dim[1] * sizeof(float));
    }
    device_run(dev, &alone, &one, type);
    for (int64_t i = 0; i < one.n; i++) {
        int64_t at = r.cu[last] + i;
        assert_memory_equal(mat_at(&one.o, i, 0), mat_at(&r.o, at, 0),
                            (size_t)one.o.t.dim[1] * sizeof(float));
        assert_memory_equal(mat_at(&one.lse, i, 0), mat_at(&r.lse, at, 0), (size_t)s->heads * sizeof(float));
        assert_memory_equal(mat_at(&one.dqkv, i, 0), mat_at(&r.dqkv, at, 0),
                            (size_t)one.dqkv.t.dim[1] * sizeof(float));
    }
    exact_drop(&e), plain_drop(&p), half_drop(&h);
    run_free(&r), run_free(&one);
}

/* The last position of each sequence against a cache of NaN beyond it. */
static void device_decode(Device *dev, const Case *s, DType type, double *ratio) {
    Run r = run_make(s);
    mat_round(&r.qkv, type);
    int64_t narrow = s->groups * s->d, wide = s->heads * s->d, most = 0, slots = s->n_seqs + 1;
    for (int b = 0; b < s->n_seqs; b++) most = s->lens[b] > most ? s->lens[b] : most;
    TestMat k = mat_new(slots * most, narrow, 0), v = mat_new(slots * most, narrow, 0);
    TestMat q = mat_new(s->n_seqs, wide, 8), o = mat_new(s->n_seqs, wide, 1);
    int32_t slot[6], len[6];
    for (int b = 0; b < s->n_seqs; b++) {
        slot[b] = (int32_t)(s->n_seqs - b);
        len[b] = s->lens[b];
        for (int i = 0; i < len[b]; i++)
            for (int64_t c = 0; c < narrow; c++) {
                *mat_at(&k, slot[b] * most + i, c) = *mat_at(&r.k, r.cu[b] + i, c);
                *mat_at(&v, slot[b] * most + i, c) = *mat_at(&r.v, r.cu[b] + i, c);
            }
        for (int64_t c = 0; c < wide; c++) *mat_at(&q, b, c) = *mat_at(&r.q, r.cu[b + 1] - 1, c);
    }
    Twin tk = mat_to(dev, &k, type), tv = mat_to(dev, &v, type);
    Tensor kc = tensor_3d(tk.t.data, type, slots, most, narrow),
           vc = tensor_3d(tv.t.data, type, slots, most, narrow);
    kc.device = vc.device = dev->kind;
    Twin tq = mat_to(dev, &q, type), to = mat_to(dev, &o, type);
    void *dslot = bytes_to(dev, slot, sizeof slot), *dlen = bytes_to(dev, len, sizeof len);
    assert_ok(attention_decode(dev, to.t, tq.t, kc, vc, dslot, dlen, r.shape));
    assert_int_equal(dev->scratch.used, 0);
    mat_from(&to);
    mat_intact(&o);
    TestMat one = mat_new(1, wide, 1); /* the first alone, in a cache of its length: the same bits */
    Twin tone = mat_to(dev, &one, type);
    size_t at = dtype_bytes(type, slot[0] * most * narrow);
    kc.data = (char *)kc.data + at, vc.data = (char *)vc.data + at;
    kc.dim[0] = vc.dim[0] = 1;
    kc.dim[1] = vc.dim[1] = len[0];
    int32_t first_slot = 0;
    void *dfirst = bytes_to(dev, &first_slot, sizeof first_slot);
    assert_ok(attention_decode(dev, tone.t, tensor_rows(tq.t, 0, 1), kc, vc, dfirst, dlen, r.shape));
    mat_from(&tone);
    assert_memory_equal(mat_at(&one, 0, 0), mat_at(&o, 0, 0), (size_t)wide * sizeof(float));
    device_free(dev, dfirst);
    twin_free(&tk), twin_free(&tv), twin_free(&tq);
    device_free(dev, dslot), device_free(dev, dlen);

    Exact e = exact_make(s, r.n, &r.q, &r.k, &r.v, &r.dout);
    Plain p = plain_make(s, r.n, &r.q, &r.k, &r.v, &r.dout);
    Half h = half_make(s, r.n, &r.q, &r.k, &r.v, &r.dout);
    exact_solve(s, &e, false), plain_solve(s, &p, false), half_solve(s, &h, false);
    float *plain = type == DT_F32 ? p.o : h.o;
    double spread = 1;
    for (int b = 0; b < s->n_seqs; b++) {
        int64_t last = r.cu[b + 1] - 1;
        memmove(e.o + b * wide, e.o + last * wide, (size_t)wide * sizeof(double));
        memmove(plain + b * wide, plain + last * wide, (size_t)wide * sizeof(float));
        for (int64_t i = 0; i < s->heads; i++) spread = fmax(spread, fabs(e.lse[last * s->heads + i]));
    }
    compare("decode", &o, e.o, stored(plain, s->n_seqs * wide, type), spread, ratio);
    exact_drop(&e), plain_drop(&p), half_drop(&h);
    mat_free(&k), mat_free(&v), mat_free(&q), mat_free(&o), mat_free(&one);
    run_free(&r);
}

static const Case decode_cases[] = {
    {4, 2, 64, true, 3, {1, 33, 300}, 0, 0},  {2, 1, 128, true, 2, {257, 70}, 0, 0},
    {2, 2, 256, true, 2, {35, 1}, 7, 2},      {20, 1, 20, true, 2, {5, 70}, 0, 0},
    {4, 1, 16, true, 2, {600, 2}, 290, 0.5f},
};

static void on_devices(void **state) {
    (void)state;
    Device dev;
    for (int b = 0; backend_open(&dev, b); b++) {
        for (DType type = DT_F32; dev.kind == DEVICE_CUDA; type = DT_BF16) {
            double ratio = 0;
            for (int i = 0; i < COUNT_OF(device_cases); i++)
                device_case(&dev, &device_cases[i], type, &ratio);
            for (int i = 0; i < COUNT_OF(decode_cases); i++)
                device_decode(&dev, &decode_cases[i], type, &ratio);
            print_message("%s: error at most %.2f of plain loops'\n", dtype_name(type), ratio);
            if (type == DT_BF16) break;
        }
        device_close(&dev);
    }
}

typedef struct LossCtx {
    const Case *s;
    const Exact *x;
    int64_t n;
} LossCtx;

static double loss(const void *ctx) {
    const LossCtx *l = ctx;
    exact_solve(l->s, l->x, false);
    double sum = 0;
    for (int64_t i = 0; i < l->n * l->s->heads * l->s->d; i++) sum += l->x->o[i] * l->x->dout[i];
    return sum;
}

/* The float64 loops against finite differences; against_float64 ties the operation to them. */
static void finite_differences(void **state) {
    (void)state;
    static const Case small[] = {{4, 2, 4, true, 2, {5, 3}, 0, 0},
                                 {2, 2, 8, false, 2, {1, 6}, 0, 0},
                                 {4, 2, 4, true, 2, {7, 2}, 3, 0.7f},
                                 {2, 1, 8, true, 1, {6}, 0, 1.5f},
                                 {2, 1, 8, true, 1, {6}, 2, 0}};
    for (int i = 0; i < COUNT_OF(small); i++) {
        const Case *s = &small[i];
        Run r = run_make(s);
        Exact x = exact_make(s, r.n, &r.q, &r.k, &r.v, &r.dout);
        exact_solve(s, &x, true);
        LossCtx ctx = {s, &x, r.n};
        int64_t wide = s->heads * s->d, narrow = s->groups * s->d;
        for (int64_t at = 0; at < r.n * wide; at++)
            assert_within(x.dq[at], derivative(&x.q[at], loss, &ctx), 1e-8);
        for (int64_t at = 0; at < r.n * narrow; at++) {
            assert_within(x.dk[at], derivative(&x.k[at], loss, &ctx), 1e-8);
            assert_within(x.dv[at], derivative(&x.v[at], loss, &ctx), 1e-8);
        }
        exact_drop(&x);
        run_free(&r);
    }
}

/* Scores that overflow exp without the maximum subtracted, and no tokens at all. */
static void check_large(const Run *r) {
    for (int64_t i = 0; i < r->n; i++)
        for (int64_t c = 0; c < 32; c++) {
            assert_true(fabsf(*mat_at(&r->o, i, c)) <= 2);
            assert_true(isfinite(*mat_at(&r->dq, i, c)));
        }
}

static void edges(void **state) {
    (void)state;
    Device dev;
    Case s = {2, 1, 16, true, 2, {3, 20}, 0, 0};
    Run r = run_make(&s);
    for (int64_t i = 0; i < r.n; i++)
        for (int64_t c = 0; c < 3 * 16; c++) *mat_at(&r.qkv, i, c) *= 100;
    for (int b = 0; backend_open(&dev, b); b++) {
        if (dev.kind == DEVICE_CUDA) {
            mat_poison(&r.o), mat_poison(&r.lse), mat_poison(&r.dqkv);
            device_run(&dev, &s, &r, DT_F32);
        } else {
            run_all(&dev, &s, &r);
        }
        check_large(&r);
        const int32_t none[3] = {0, 0, 0};
        Tensor wide = tensor_2d(NULL, DT_F32, 0, 32), narrow = tensor_2d(NULL, DT_F32, 0, 16);
        Tensor lse = tensor_2d(NULL, DT_F32, 0, 2);
        wide.device = narrow.device = lse.device = dev.kind;
        assert_ok(attention_fwd(&dev, wide, lse, wide, narrow, narrow, none, 2, r.shape));
        assert_ok(attention_bwd(&dev, wide, narrow, narrow, wide, wide, lse, wide, narrow, narrow, none, 2,
                                r.shape));
        device_close(&dev);
    }
    run_free(&r);
}

/* Heads that the CUDA bodies have no room for. */
static void too_wide(void **state) {
    (void)state;
    Device dev;
    Case s = {1, 1, 260, true, 1, {2}, 0, 0};
    Run r = run_make(&s);
    for (int b = N_CPU; backend_open(&dev, b); b++) {
        Twin qkv = mat_to(&dev, &r.qkv, DT_F32), o = mat_to(&dev, &r.o, DT_F32);
        Twin lse = mat_to(&dev, &r.lse, DT_F32);
        Tensor q = tensor_columns(qkv.t, 0, 260), kv = tensor_columns(qkv.t, 260, 260);
        void *cu = bytes_to(&dev, r.cu, 2 * sizeof(int32_t));
        Status st = attention_fwd(&dev, o.t, lse.t, q, kv, kv, cu, 1, r.shape);
        assert_int_equal(status_code(st), E_UNSUPPORTED);
        assert_non_null(strstr(status_message(st), "head size 260"));
        status_free(st);
        device_free(&dev, cu);
        twin_free(&qkv), twin_free(&o), twin_free(&lse);
        device_close(&dev);
    }
    run_free(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finite_differences),
        cmocka_unit_test(against_float64),
        cmocka_unit_test(decode_is_forward),
        cmocka_unit_test(on_devices),
        cmocka_unit_test(edges),
        cmocka_unit_test(too_wide),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
