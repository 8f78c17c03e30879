/* The reconstruction losses against the formula in double with delta W formed, its gradients against
 * derivatives of that formula, and PyTorch's numbers. A number of D whose size is within the error of a float
 * sum may have either sign: gradients may be off by such numbers only, and the tests count how few they are.
 */
#include "tests/kernels/backends.h"

#include "base/json.h"
#include "kernels/recon/recon_cpu.h"

typedef struct Case {
    int64_t items, targets, rank, in, out, gap;
    float c;
    double residual; /* 0: independent adapters; else B* A* = B A (1 + about residual) / c */
} Case;

/* One set of adapters in hostile surroundings: rank rows an item and one more that nobody may touch. */
typedef struct Set {
    TestMat a, bt;
    LoraView v;
} Set;

static Set set_new(int64_t items, const Case *k, int64_t gap) {
    int64_t span = k->rank + 1;
    Set s = {.a = mat_new(items * span, k->in, gap), .bt = mat_new(items * span, k->out, gap + 1)};
    s.v = (LoraView){mat_at(&s.a, 0, 0), mat_at(&s.bt, 0, 0), span * s.a.t.ld, span * s.bt.t.ld, s.a.t.ld,
                     s.bt.t.ld};
    return s;
}

static void set_free(Set *s) {
    mat_free(&s->a);
    mat_free(&s->bt);
}

static void set_random(Set *s, int64_t items, const Case *k, Rng *rng) {
    for (int64_t i = 0; i < items * k->rank; i++) {
        int64_t row = i / k->rank * (k->rank + 1) + i % k->rank;
        fill_random(mat_at(&s->a, row, 0), k->in, rng, -1.0f, 1.0f);
        fill_random(mat_at(&s->bt, row, 0), k->out, rng, -1.0f, 1.0f);
    }
}

static void set_intact(const Set *s, const Case *k) {
    const TestMat *both[] = {&s->a, &s->bt};
    for (int m = 0; m < 2; m++) {
        mat_intact(both[m]);
        for (int64_t i = k->rank; i < both[m]->t.dim[0]; i += k->rank + 1)
            for (int64_t c = 0; c < both[m]->t.dim[1]; c++) {
                uint32_t word;
                memcpy(&word, mat_at(both[m], i, c), sizeof word);
                assert_true(word == TEST_POISON);
            }
    }
}

/* A set on a device. */
typedef struct SetTwin {
    Twin a, bt;
    LoraView v;
} SetTwin;

static SetTwin set_to(Device *dev, Set *s) {
    SetTwin twin = {mat_to(dev, &s->a, DT_F32), mat_to(dev, &s->bt, DT_F32), s->v};
    twin.v.a = twin.a.t.data;
    twin.v.bt = twin.bt.t.data;
    return twin;
}

static void sets_same_bits(const Set *x, const Set *y) {
    mat_same_bits(&x->a, &y->a);
    mat_same_bits(&x->bt, &y->bt);
}

typedef struct Problem {
    Case k;
    Set w, target;
    int64_t *index;
    ReconShape shape;
} Problem;

static Problem problem_new(const Case *k) {
    Rng rng = rng_make(7, (uint64_t)(k->in * 1000 + k->out * 10 + k->rank));
    Problem p = {*k, set_new(k->items, k, k->gap), set_new(k->targets, k, k->gap + 2), NULL, {0}};
    p.shape = (ReconShape){k->items, k->rank, k->in, k->out, k->c, 0.75};
    p.index = test_alloc((size_t)k->items * sizeof *p.index);
    set_random(&p.w, k->items, k, &rng);
    set_random(&p.target, k->targets, k, &rng);
    for (int64_t i = 0; i < k->items; i++) p.index[i] = (i * 3 + 1) % k->targets;
    if (k->residual == 0.0) return p;
    float share = 1.0f / sqrtf(k->c), off = (float)k->residual;
    for (int64_t i = 0; i < k->items; i++)
        for (int64_t j = 0; j < k->rank; j++) {
            float *a = p.target.v.a + p.index[i] * p.target.v.a_stride + j * p.target.v.lda;
            float *bt = p.target.v.bt + p.index[i] * p.target.v.bt_stride + j * p.target.v.ldb;
            for (int64_t n = 0; n < k->in; n++)
                a[n] = share * p.w.v.a[i * p.w.v.a_stride + j * p.w.v.lda + n] *
                       (1.0f + off * (rng_float(&rng) - 0.5f));
            for (int64_t n = 0; n < k->out; n++)
                bt[n] = share * p.w.v.bt[i * p.w.v.bt_stride + j * p.w.v.ldb + n] *
                        (1.0f + off * (rng_float(&rng) - 0.5f));
        }
    return p;
}

static void problem_free(Problem *p) {
    set_free(&p->w);
    set_free(&p->target);
    free(p->index);
}

/* D[o,i] of one item, and the sizes that were added up. */
static double difference(const Problem *p, int64_t item, int64_t o, int64_t i, double *sizes) {
    double d = 0;
    *sizes = 0;
    const LoraView w = p->w.v, t = p->target.v;
    for (int64_t j = 0; j < p->k.rank; j++) {
        double x = (double)w.bt[item * w.bt_stride + j * w.ldb + o] * w.a[item * w.a_stride + j * w.lda + i];
        double y = (double)p->k.c * t.bt[p->index[item] * t.bt_stride + j * t.ldb + o] *
                   t.a[p->index[item] * t.a_stride + j * t.lda + i];
        d += x - y;
        *sizes += fabs(x) + fabs(y);
    }
    return d;
}

/* Loss and gradients in double; slack[]: what numbers of uncertain sign may add. Returns the share of those.
 */
typedef struct Exact {
    double loss, loss_slack, *da, *dbt, *da_size, *dbt_size, *da_slack, *dbt_slack;
} Exact;

static double exact_solve(Exact *e, const Problem *p, double d_bound) {
    const Case *k = &p->k;
    double s = p->shape.weight / (double)(k->items * k->in * k->out);
    int64_t na = k->items * k->rank * k->in, nb = k->items * k->rank * k->out, unsure = 0;
    *e = (Exact){0, 0, test_f64(na), test_f64(nb), test_f64(na), test_f64(nb), test_f64(na), test_f64(nb)};
    for (int64_t item = 0; item < k->items; item++)
        for (int64_t o = 0; o < k->out; o++)
            for (int64_t i = 0; i < k->in; i++) {
                double sizes, d = difference(p, item, o, i, &sizes), error = d_bound * sizes;
                double sign = (d > 0) - (d < 0), off = fabs(d) <= error && sizes > 0 ? 2 : 0;
                unsure += off > 0;
                e->loss += s * fabs(d);
                e->loss_slack += s * error;
                for (int64_t j = 0; j < k->rank; j++) {
                    int64_t at_a = (item * k->rank + j) * k->in + i, at_b = (item * k->rank + j) * k->out + o;
                    double a = p->w.v.a[item * p->w.v.a_stride + j * p->w.v.lda + i],
                           b = p->w.v.bt[item * p->w.v.bt_stride + j * p->w.v.ldb + o];
                    e->da[at_a] += s * sign * b;
                    e->da_size[at_a] += s * fabs(b);
                    e->da_slack[at_a] += s * off * fabs(b);
                    e->dbt[at_b] += s * sign * a;
                    e->dbt_size[at_b] += s * fabs(a);
                    e->dbt_slack[at_b] += s * off * fabs(a);
                }
            }
    return (double)unsure / (double)(k->items * k->in * k->out);
}

static void exact_free(Exact *e) {
    double *all[] = {e->da, e->dbt, e->da_size, e->dbt_size, e->da_slack, e->dbt_slack};
    for (int i = 0; i < COUNT_OF(all); i++) free(all[i]);
}

/* body NULL: recon_delta_w, or with `factor` recon_factor. */
static Set run(Device *dev, double *loss, Problem *p, ReconBody *body, bool factor) {
    Set g = set_new(p->k.items, &p->k, 3);
    SetTwin tg = set_to(dev, &g), tw = set_to(dev, &p->w), tt = set_to(dev, &p->target);
    size_t mark = arena_mark(&dev->scratch);
    if (body)
        assert_ok(recon_run(dev, body, loss, tg.v, tw.v, tt.v, p->index, p->shape));
    else if (factor)
        assert_ok(recon_factor(dev, loss, tg.v, tw.v, tt.v, p->index, p->shape));
    else
        assert_ok(recon_delta_w(dev, loss, tg.v, tw.v, tt.v, p->index, p->shape));
    assert_true(arena_mark(&dev->scratch) == mark);
    Twin *all[] = {&tg.a, &tg.bt, &tw.a, &tw.bt, &tt.a, &tt.bt};
    for (int i = 0; i < COUNT_OF(all); i++) mat_from(all[i]);
    set_intact(&g, &p->k);
    return g;
}

static Set run_cpu(double *loss, Problem *p, ReconBody *body) {
    Device dev;
    assert_ok(device_open(&dev, "cpu", 2));
    Set g = run(&dev, loss, p, body, false);
    device_close(&dev);
    return g;
}

/* What CUDA's operands are off by, in two halves of f16: 2^-22 each, and the product of the low halves. */
#define SPLIT 0x1p-22

/* Error of a number of D relative to the sizes added up. With the split, still less than twice the naive
 * sum's. */
static double d_bound(const Device *dev, int64_t rank) {
    return sum_bound(2 * rank) + (dev->kind == DEVICE_CPU ? 0 : 3 * SPLIT);
}

static void compare(const Exact *e, const Problem *p, double loss, const Set *g, double split) {
    const Case *k = &p->k;
    assert_within(loss, e->loss, e->loss_slack + sum_bound(64) * e->loss);
    for (int64_t r = 0; r < k->items * k->rank; r++) {
        int64_t row = r / k->rank * (k->rank + 1) + r % k->rank;
        for (int64_t i = 0; i < k->in; i++) {
            int64_t at = r * k->in + i;
            assert_within(*mat_at(&g->a, row, i), e->da[at],
                          e->da_slack[at] + (sum_bound(k->out) + split) * e->da_size[at]);
        }
        for (int64_t o = 0; o < k->out; o++) {
            int64_t at = r * k->out + o;
            assert_within(*mat_at(&g->bt, row, o), e->dbt[at],
                          e->dbt_slack[at] + (sum_bound(k->in) + split) * e->dbt_size[at]);
        }
    }
}

/* Every backend and body against the formula, 1 to 3 threads with the same bits. most_unsure: largest share
 * of uncertain signs, twice that where the bound is twice as wide. */
static void one_case(const Case *k, double most_unsure) {
    Problem p = problem_new(k);
    Set first = {0};
    double loss, first_loss = 0;
    Device dev;
    for (int b = 0; backend_open(&dev, b); b++) {
        Set g = run(&dev, &loss, &p, NULL, false);
        if (b == 0 || b >= N_CPU) {
            bool cpu = b == 0;
            Exact e;
            double unsure = exact_solve(&e, &p, d_bound(&dev, k->rank));
            if (unsure > most_unsure * (cpu ? 1 : 2)) fail_msg("%.3g of the signs are uncertain", unsure);
            compare(&e, &p, loss, &g, cpu ? 0 : SPLIT);
            exact_free(&e);
        }
        if (b == 0) {
            first = g;
            first_loss = loss;
        } else {
            if (b < N_CPU) {
                assert_memory_equal(&loss, &first_loss, sizeof loss);
                sets_same_bits(&g, &first);
            }
            set_free(&g);
        }
        device_close(&dev);
    }
    set_free(&first);
    Exact e;
    exact_solve(&e, &p, sum_bound(2 * k->rank));
    ReconBody *bodies[3] = {recon_item_plain};
    int n = 1;
#if defined(__x86_64__)
    if (device_cpu_has_avx512()) bodies[n++] = recon_item_avx512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) bodies[n++] = recon_item_avx2;
#endif
    for (int i = 0; i < n; i++) {
        Set each = run_cpu(&loss, &p, bodies[i]);
        compare(&e, &p, loss, &each, 0);
        set_free(&each);
    }
    exact_free(&e);
    problem_free(&p);
}

static void shapes(void **state) {
    (void)state;
    const Case cases[] = {
        {1, 1, 1, 1, 1, 0, 1.0f, 0},     {1, 1, 1, 33, 25, 3, 1e4f, 0},     {2, 5, 2, 31, 24, 0, 2.0f, 0},
        {3, 2, 3, 65, 7, 1, 1e4f, 0},    {1, 1, 4, 193, 49, 0, 0.5f, 0},    {2, 2, 5, 16, 33, 2, 1e4f, 0},
        {1, 4, 7, 200, 23, 0, 1.0f, 0},  {5, 3, 8, 96, 48, 0, 1e4f, 0},     {1, 1, 8, 389, 77, 1, 100.0f, 0},
        {2, 1, 11, 17, 130, 0, 1.0f, 0}, {1, 2, 13, 40, 1, 4, 1.0f, 0},     {1, 1, 16, 1, 97, 0, 1e4f, 0},
        {2, 2, 16, 47, 31, 0, 3.0f, 0},  {1, 1, 8, 4097, 33, 0, 1.0f, 0},   {1, 1, 8, 33, 4097, 0, 1.0f, 0},
        {2, 2, 17, 70, 90, 0, 1.0f, 0},  {1, 1, 33, 129, 65, 1, 100.0f, 0},
    };
    for (int i = 0; i < COUNT_OF(cases); i++) one_case(&cases[i], 1e-3);
}

/* The residual is 1e-3 and 1e-4 of delta W: signs must come from a sum that keeps it. (Products rounded to
 * bf16 would leave every sign uncertain.) */
static void near_convergence(void **state) {
    (void)state;
    const Case cases[] = {
        {2, 2, 8, 144, 96, 1, 1e4f, 1e-3},
        {2, 2, 8, 144, 96, 1, 1e4f, 1e-4},
        {1, 1, 16, 96, 100, 0, 1e4f, 1e-4},
        {2, 2, 4, 100, 96, 0, 1.0f, 1e-4},
    };
    const double unsure[] = {0.03, 0.25, 0.25, 0.25};
    for (int i = 0; i < COUNT_OF(cases); i++) one_case(&cases[i], unsure[i]);
}

/* Whole numbers: products and sums are exact, so D is exactly 0 in places, and every gradient a whole number.
 */
static void zeros(void **state) {
    (void)state;
    const Case k = {2, 2, 3, 37, 29, 0, 1.0f, 0};
    Problem p = problem_new(&k);
    Set *both[] = {&p.w, &p.target};
    Rng rng = rng_make(3, 4);
    for (int s = 0; s < 2; s++)
        for (int64_t row = 0; row < 2 * 4; row++) {
            if (row % 4 == 3) continue;
            for (int64_t i = 0; i < k.in; i++)
                *mat_at(&both[s]->a, row, i) = (float)rng_below(&rng, 3) - 1.0f;
            for (int64_t o = 0; o < k.out; o++)
                *mat_at(&both[s]->bt, row, o) = (float)rng_below(&rng, 3) - 1.0f;
        }
    p.shape.weight = (double)(k.items * k.in * k.out); /* gradients unscaled */
    Device dev;
    for (int b = 0; backend_open(&dev, b); b++) {
        int64_t n_zero = 0, item = 1;
        double loss, sizes;
        Set g = run(&dev, &loss, &p, NULL, false);
        for (int64_t j = 0; j < k.rank; j++)
            for (int64_t i = 0; i < k.in; i++) {
                double want = 0;
                for (int64_t o = 0; o < k.out; o++) {
                    double d = difference(&p, item, o, i, &sizes);
                    n_zero += d == 0;
                    want += ((d > 0) - (d < 0)) * (double)*mat_at(&p.w.bt, item * 4 + j, o);
                }
                assert_true((double)*mat_at(&g.a, item * 4 + j, i) == want);
            }
        assert_true(n_zero > 100);
        set_free(&g);
        device_close(&dev);
    }
    problem_free(&p);
}

/* With one row, dA = s sign(D) B shows every sign. Counts those that differ from the sign in double: `naive`
 * with a plain float sum, `bf16` with operands rounded to bf16, `got` of a backend. */
static int64_t wrong_signs(const Problem *p, const Set *g, int64_t *naive, int64_t *bf16, int64_t *total) {
    const Case *k = &p->k;
    const LoraView w = p->w.v, t = p->target.v;
    int64_t got = 0;
    *naive = *bf16 = *total = 0;
    for (int64_t item = 0; item < k->items; item++)
        for (int64_t i = 0; i < k->in; i++) {
            double sizes, d = difference(p, item, 0, i, &sizes);
            float plain = 0, rounded = 0;
            for (int64_t j = 0; j < k->rank; j++) {
                float x = w.bt[item * w.bt_stride + j * w.ldb], y = w.a[item * w.a_stride + j * w.lda + i];
                plain += x * y;
                rounded += bf16_to_float(float_to_bf16(x)) * bf16_to_float(float_to_bf16(y));
            }
            for (int64_t j = 0; j < k->rank; j++) {
                float x = -k->c * t.bt[p->index[item] * t.bt_stride + j * t.ldb],
                      y = t.a[p->index[item] * t.a_stride + j * t.lda + i];
                plain += x * y;
                rounded += bf16_to_float(float_to_bf16(x)) * bf16_to_float(float_to_bf16(y));
            }
            float shown = *mat_at(&g->a, item * (k->rank + 1), i) * w.bt[item * w.bt_stride];
            *total += 1;
            *naive += (plain > 0) != (d > 0);
            *bf16 += (rounded > 0) != (d > 0);
            got += (shown > 0) != (d > 0);
        }
    return got;
}

/* Residuals of 1e-4 to 1e-6 of delta W: at most twice the wrong signs of a naive float sum, for every
 * backend. */
static void signs(void **state) {
    (void)state;
    const double residuals[] = {1e-4, 1e-5, 1e-6};
    const int64_t ranks[] = {4, 8, 16};
    for (int n = 0; n < COUNT_OF(residuals) * COUNT_OF(ranks); n++) {
        Case k = {2, 2, ranks[n % COUNT_OF(ranks)], 4096, 1, 0, 1e4f, residuals[n / COUNT_OF(ranks)]};
        Problem p = problem_new(&k);
        Device dev;
        for (int b = 0; backend_open(&dev, b); b++) {
            double loss;
            int64_t naive, bf16, total;
            Set g = run(&dev, &loss, &p, NULL, false);
            int64_t got = wrong_signs(&p, &g, &naive, &bf16, &total);
            if (b == 0 || b >= N_CPU)
                print_message("residual %.0e, rank %d, backend %d: %lld of %lld signs wrong; naive %lld, "
                              "bf16 operands %lld\n",
                              k.residual, (int)k.rank, b, (long long)got, (long long)total, (long long)naive,
                              (long long)bf16);
            assert_true(got <= 2 * naive + 4);
            set_free(&g);
            device_close(&dev);
        }
        problem_free(&p);
    }
}

/* Powers of two far from 1 on both sides and on single ranks leave the same signs and relative accuracy; a
 * factor that is 0 everywhere (a fresh B) still gets the gradient of its partner. */
static void ranges(void **state) {
    (void)state;
    const float sizes[][2] = {
        {0x1p-30f, 1.0f}, {1.0f, 0x1p-40f}, {0x1p40f, 0x1p-20f}, {0x1p-60f, 0x1p-50f}, {1.0f, 0.0f}};
    const Case k = {2, 2, 8, 70, 40, 1, 1.0f, 0};
    for (int n = 0; n < COUNT_OF(sizes); n++) {
        Problem p = problem_new(&k);
        for (int64_t item = 0; item < 2; item++)
            for (int64_t j = 0; j < k.rank; j++) {
                float one = j % 2 ? 0x1p-6f : 1.0f; /* ranks of unequal size */
                float *a = mat_at(&p.w.a, item * 9 + j, 0), *bt = mat_at(&p.w.bt, item * 9 + j, 0);
                float *ta = mat_at(&p.target.a, item * 9 + j, 0),
                      *tbt = mat_at(&p.target.bt, item * 9 + j, 0);
                for (int64_t i = 0; i < k.in; i++) a[i] *= sizes[n][0] * one, ta[i] *= sizes[n][0];
                for (int64_t o = 0; o < k.out; o++) bt[o] *= sizes[n][1], tbt[o] *= sizes[n][1] + (n == 4);
            }
        Device dev;
        for (int b = 0; backend_open(&dev, b); b++) {
            double loss;
            Exact e;
            Set g = run(&dev, &loss, &p, NULL, false);
            exact_solve(&e, &p, d_bound(&dev, k.rank));
            compare(&e, &p, loss, &g, dev.kind == DEVICE_CPU ? 0 : SPLIT);
            assert_true(loss > 0);
            exact_free(&e);
            set_free(&g);
            device_close(&dev);
        }
        problem_free(&p);
    }
}

/* NaN or infinity in any factor shows in the loss. */
static void not_finite(void **state) {
    (void)state;
    const Case k = {2, 2, 3, 37, 29, 0, 1.0f, 0};
    for (int n = 0; n < 8; n++) {
        Problem p = problem_new(&k);
        TestMat *all[] = {&p.w.a, &p.w.bt, &p.target.a, &p.target.bt};
        *mat_at(all[n % 4], 5, 17) = n < 4 ? NAN : INFINITY;
        Device dev;
        for (int b = 0; backend_open(&dev, b); b++) {
            double loss[2];
            for (int factor = 0; factor < 2; factor++) {
                Set g = run(&dev, &loss[factor], &p, NULL, factor);
                assert_true(!isfinite(loss[factor]));
                set_free(&g);
            }
            device_close(&dev);
        }
        problem_free(&p);
    }
}

/* More items than the scratch has room for at a time: the same bits. */
static void in_parts(void **state) {
    (void)state;
    const Case k = {7, 3, 4, 64, 520, 0, 1.0f, 0};
    Problem p = problem_new(&k);
    Device dev;
    double loss[2];
    Set g[2];
    for (int b = 0; b < 2; b++) { /* room for two items: one needs three stripes of 4 * 64 floats */
        assert_ok(device_open_simt(&dev, 0, b ? 8 << 10 : TEST_SCRATCH));
        g[b] = run(&dev, &loss[b], &p, NULL, false);
        device_close(&dev);
    }
    assert_memory_equal(&loss[0], &loss[1], sizeof *loss);
    sets_same_bits(&g[0], &g[1]);
    set_free(&g[0]);
    set_free(&g[1]);
    problem_free(&p);
}

static void rank_too_large(void **state) {
    (void)state;
    const Case k = {1, 1, 65, 9, 7, 0, 1.0f, 0};
    Problem p = problem_new(&k);
    Device dev;
    double loss;
    assert_ok(device_open_simt(&dev, 0, TEST_SCRATCH));
    assert_fails(recon_delta_w(&dev, &loss, p.w.v, p.w.v, p.target.v, p.index, p.shape), E_UNSUPPORTED,
                 "rank 65");
    device_close(&dev);
    problem_free(&p);
}

/* Both losses against finite differences of the formula in double, away from the kinks. */
typedef struct Moved {
    const Problem *p;
    double *w; /* a, then bt, contiguous */
    bool factor;
} Moved;

static double moved_loss(const void *ctx) {
    const Moved *m = ctx;
    const Problem *p = m->p;
    const Case *k = &p->k;
    const LoraView t = p->target.v;
    const double *a = m->w, *bt = a + k->items * k->rank * k->in;
    double sum = 0, sum_a = 0, sum_b = 0;
    for (int64_t item = 0; item < k->items; item++) {
        const float *ta = t.a + p->index[item] * t.a_stride, *tb = t.bt + p->index[item] * t.bt_stride;
        for (int64_t o = 0; !m->factor && o < k->out; o++)
            for (int64_t i = 0; i < k->in; i++) {
                double d = 0;
                for (int64_t j = 0; j < k->rank; j++)
                    d += bt[(item * k->rank + j) * k->out + o] * a[(item * k->rank + j) * k->in + i] -
                         (double)k->c * tb[j * t.ldb + o] * ta[j * t.lda + i];
                sum += fabs(d);
            }
        for (int64_t j = 0; j < k->rank; j++) {
            for (int64_t i = 0; i < k->in; i++)
                sum_a += fabs(a[(item * k->rank + j) * k->in + i] - ta[j * t.lda + i]);
            for (int64_t o = 0; o < k->out; o++)
                sum_b += fabs(bt[(item * k->rank + j) * k->out + o] - tb[j * t.ldb + o]);
        }
    }
    double n = (double)k->items;
    if (!m->factor) return p->shape.weight * sum / (n * (double)(k->in * k->out));
    return p->shape.weight * 0.5 *
           (sum_a / (n * (double)(k->rank * k->in)) + sum_b / (n * (double)(k->rank * k->out)));
}

static void check_differences(const Problem *p, const Set *g, double loss, bool factor, double h) {
    const Case *k = &p->k;
    int64_t na = k->items * k->rank * k->in, nb = k->items * k->rank * k->out;
    Moved m = {p, test_f64(na + nb), factor};
    for (int64_t r = 0; r < k->items * k->rank; r++) {
        int64_t row = r / k->rank * (k->rank + 1) + r % k->rank;
        for (int64_t i = 0; i < k->in; i++) m.w[r * k->in + i] = *mat_at(&p->w.a, row, i);
        for (int64_t o = 0; o < k->out; o++) m.w[na + r * k->out + o] = *mat_at(&p->w.bt, row, o);
    }
    assert_within(loss, moved_loss(&m), 1e-6 * loss);
    for (int64_t at = 0; at < na + nb; at++) {
        double x = m.w[at];
        m.w[at] = x + h;
        double up = moved_loss(&m);
        m.w[at] = x - h;
        double slope = (up - moved_loss(&m)) / (2 * h);
        m.w[at] = x;
        int64_t r = (at < na ? at / k->in : (at - na) / k->out),
                row = r / k->rank * (k->rank + 1) + r % k->rank;
        float got = at < na ? *mat_at(&g->a, row, at % k->in) : *mat_at(&g->bt, row, (at - na) % k->out);
        assert_within(got, slope, 1e-6);
    }
    free(m.w);
}

static void finite_differences(void **state) {
    (void)state;
    const Case k = {2, 3, 3, 9, 7, 2, 2.0f, 0};
    Problem p = problem_new(&k);
    Device dev;
    for (int b = 0; backend_open(&dev, b); b++) {
        double loss;
        Set g = run(&dev, &loss, &p, NULL, false);
        check_differences(&p, &g, loss, false, 1e-7);
        set_free(&g);
        device_close(&dev);
    }
    problem_free(&p);
}

static void factors(void **state) {
    (void)state;
    const Case cases[] = {{1, 1, 1, 1, 1, 0, 1.0f, 0},
                          {2, 3, 3, 33, 17, 2, 1.0f, 0},
                          {3, 2, 8, 16, 5, 0, 1.0f, 0},
                          {2, 2, 3, 1052, 20, 8, 1.0f, 0}};
    for (int i = 0; i < COUNT_OF(cases); i++) {
        Problem p = problem_new(&cases[i]);
        *mat_at(&p.w.a, 0, 0) = p.target.v.a[p.index[0] * p.target.v.a_stride]; /* a difference of 0 */
        double loss, first_loss = 0;
        Set first = {0};
        Device dev;
        for (int b = 0; backend_open(&dev, b); b++) {
            Set g = run(&dev, &loss, &p, NULL, true);
            assert_true(*mat_at(&g.a, 0, 0) == 0.0f);
            check_differences(&p, &g, loss, true, 1e-7);
            if (b == 0) {
                first = g;
                first_loss = loss;
            } else {
                if (b < N_CPU) assert_memory_equal(&loss, &first_loss, sizeof loss);
                sets_same_bits(&g, &first); /* the gradients' on every backend */
                set_free(&g);
            }
            device_close(&dev);
        }
        set_free(&first);
        problem_free(&p);
    }
}

/* ---- PyTorch (tests/golden/make_recon.py) ---- */

static const cJSON *golden(const cJSON *problem, const char *key) {
    const cJSON *list;
    assert_ok(json_get_array(&list, problem, key, "recon.json"));
    return list;
}

/* Adapters as the script draws them: x = ((i * 7919 + seed * 104729) mod 2^20 - 2^19) / 2^19 * size, exact in
 * float. */
static void draw(float *x, int64_t n, int64_t seed, float size) {
    for (int64_t i = 0; i < n; i++)
        x[i] = size * (float)((i * i * 7919 + i * 611953 + seed * 104729) % 1048576 - 524288) / 524288.0f;
}

static void torch_case(const cJSON *all, const char *name, Case k) {
    const cJSON *problem;
    double want;
    assert_ok(json_get_object(&problem, all, name, "recon.json"));
    assert_ok(json_get_number(&want, problem, "loss", "recon.json"));
    Device dev;
    int64_t *index = test_alloc((size_t)k.items * sizeof *index);
    LoraView v[3];
    for (int i = 0; i < 3; i++) {
        v[i] = (LoraView){.a_stride = k.rank * k.in, .bt_stride = k.rank * k.out, .lda = k.in, .ldb = k.out};
        v[i].a = test_alloc((size_t)(k.items * v[i].a_stride) * sizeof(float));
        v[i].bt = test_alloc((size_t)(k.items * v[i].bt_stride) * sizeof(float));
        draw(v[i].a, k.items * v[i].a_stride, 2 * i + 1, i == 1 ? 0.0078125f : 1.0f);
        draw(v[i].bt, k.items * v[i].bt_stride, 2 * i + 2, i == 1 ? 0.0078125f : 1.0f);
    }
    for (int64_t i = 0; i < k.items; i++) index[i] = i;
    ReconShape shape = {k.items, k.rank, k.in, k.out, k.c, 1.0};
    const size_t a_bytes = (size_t)(k.items * v[0].a_stride) * sizeof(float),
                 bt_bytes = (size_t)(k.items * v[0].bt_stride) * sizeof(float);
    for (int b = 1; backend_open(&dev, b); b += b == 1 ? N_CPU - 1 : 1) {
        LoraView there[3];
        for (int i = 0; i < 3; i++) {
            there[i] = v[i];
            there[i].a = bytes_to(&dev, v[i].a, a_bytes);
            there[i].bt = bytes_to(&dev, v[i].bt, bt_bytes);
        }
        double got;
        assert_ok(recon_delta_w(&dev, &got, there[2], there[0], there[1], index, shape));
        assert_ok(device_download(&dev, v[2].a, there[2].a, a_bytes));
        assert_ok(device_download(&dev, v[2].bt, there[2].bt, bt_bytes));
        assert_within(got, want, 1e-6 * want);
        const cJSON *at = golden(problem, "at")->child, *da = golden(problem, "da")->child,
                    *db = golden(problem, "db")->child;
        double worst_a = 0, worst_b = 0, largest_a = 0, largest_b = 0;
        for (; at && da && db; at = at->next, da = da->next, db = db->next) {
            int64_t n = (int64_t)at->valuedouble;
            worst_a = fmax(worst_a, fabs((double)v[2].a[n % (k.items * v[2].a_stride)] - da->valuedouble));
            worst_b = fmax(worst_b, fabs((double)v[2].bt[n % (k.items * v[2].bt_stride)] - db->valuedouble));
            largest_a = fmax(largest_a, fabs(da->valuedouble));
            largest_b = fmax(largest_b, fabs(db->valuedouble));
        }
        assert_true(!at && !da && !db && largest_a > 0 && largest_b > 0);
        print_message(
            "%s, backend %d: loss off by %.1e of itself, gradients by %.1e and %.1e of the largest\n", name,
            b, fabs(got - want) / want, worst_a / largest_a, worst_b / largest_b);
        /* a sign that float decides otherwise is 2 of `in` or `out` terms */
        assert_true(worst_a <= 1e-5 * largest_a + 2.0 / (double)(k.items * k.in * k.out));
        assert_true(worst_b <= 1e-5 * largest_b + 2.0 / (double)(k.items * k.in * k.out));
        for (int i = 0; i < 3; i++) {
            device_free(&dev, there[i].a);
            device_free(&dev, there[i].bt);
        }
        device_close(&dev);
    }
    for (int i = 0; i < 3; i++) {
        free(v[i].a);
        free(v[i].bt);
    }
    free(index);
}

static void torch(void **state) {
    (void)state;
    cJSON *all;
    assert_ok(json_read(&all, GOLDEN("recon.json"), 1 << 20));
    torch_case(all, "small", (Case){.items = 2, .rank = 3, .in = 11, .out = 13, .c = 1e4f});
    torch_case(all, "q", (Case){.items = 2, .rank = 8, .in = 576, .out = 576, .c = 1e4f});
    torch_case(all, "v", (Case){.items = 2, .rank = 8, .in = 576, .out = 192, .c = 1e4f});
    cJSON_Delete(all);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shapes),         cmocka_unit_test(near_convergence),
        cmocka_unit_test(zeros),          cmocka_unit_test(finite_differences),
        cmocka_unit_test(factors),        cmocka_unit_test(torch),
        cmocka_unit_test(signs),          cmocka_unit_test(ranges),
        cmocka_unit_test(not_finite),     cmocka_unit_test(in_parts),
        cmocka_unit_test(rank_too_large),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
