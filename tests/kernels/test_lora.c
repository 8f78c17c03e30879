/* lora against the formula in double; every gradient against derivatives of that formula. Bounds: the same
 * sums over absolute values, times the relative error of float sums of that many terms. */
#include "tests/kernels/backends.h"

typedef struct Case {
    int64_t in, out, gap;
    LoraOpts opts;
    int n_seqs, n_adapters;
    int32_t cu[9], index[8];
} Case;

enum { LAYERS = 2, LAYER = 1 }; /* as in a LoraSet: adapter t is item t*LAYERS + LAYER */

/* Adapter matrices: an item is rank rows and one more that nobody may touch. */
static TestMat items_new(const Case *k, int64_t cols, int64_t gap) {
    return mat_new(k->n_adapters * LAYERS * (k->opts.rank + 1), cols, gap);
}

static float *item(const TestMat *m, const Case *k, int64_t t) {
    return mat_at(m, (t * LAYERS + LAYER) * (k->opts.rank + 1), 0);
}

static void items_random(TestMat *m, const Case *k, Rng *rng) {
    for (int64_t t = 0; t < k->n_adapters; t++)
        for (int64_t j = 0; j < k->opts.rank; j++)
            fill_random(item(m, k, t) + j * m->t.ld, m->t.dim[1], rng, -1.0f, 1.0f);
}

/* Rows that belong to no item used here are still poison. */
static void items_intact(const TestMat *m, const Case *k) {
    mat_intact(m);
    for (int64_t i = 0; i < m->t.dim[0]; i++) {
        int64_t number = i / (k->opts.rank + 1), row = i % (k->opts.rank + 1);
        if (number % LAYERS == LAYER && row < k->opts.rank) continue;
        for (int64_t c = 0; c < m->t.dim[1]; c++) {
            uint32_t word;
            memcpy(&word, mat_at(m, i, c), sizeof word);
            assert_true(word == TEST_POISON);
        }
    }
}

static LoraView view(const TestMat *a, const TestMat *bt, const Case *k) {
    int64_t span = LAYERS * (k->opts.rank + 1);
    LoraView v = {item(a, k, 0), item(bt, k, 0), span * a->t.ld, span * bt->t.ld, a->t.ld, bt->t.ld};
    return v;
}

/* The layer in double: x [N,in], a [T,r,in], bt [T,r,out], dy [N,out]. */
typedef struct Model {
    const Case *k;
    double *x, *a, *bt, *dy, *mask;
    double scale;
    int64_t first, last; /* rows that loss sums over */
    double stored;       /* relative error of storing y or dx */
} Model;

static int64_t n_rows(const Case *k) {
    return k->cu[k->n_seqs];
}

static int32_t adapter_of(const Case *k, int64_t n) {
    for (int b = 0; b < k->n_seqs; b++)
        if (n >= k->cu[b] && n < k->cu[b + 1]) return k->index[b];
    fail_msg("row %lld", (long long)n);
    return -1;
}

static double model_h(const Model *w, int64_t n, int64_t j) {
    int64_t in = w->k->in, t = adapter_of(w->k, n);
    double sum = 0.0;
    for (int64_t c = 0; t >= 0 && c < in; c++)
        sum += w->x[n * in + c] * w->mask[n * in + c] * w->a[(t * w->k->opts.rank + j) * in + c];
    return sum;
}

static double model_loss(const void *ctx) {
    const Model *w = ctx;
    int64_t r = w->k->opts.rank, out = w->k->out;
    double loss = 0.0;
    for (int64_t n = w->first; n < w->last; n++) {
        int64_t t = adapter_of(w->k, n);
        for (int64_t j = 0; t >= 0 && j < r; j++) {
            double h = model_h(w, n, j), up = 0.0;
            for (int64_t o = 0; o < out; o++) up += w->bt[(t * r + j) * out + o] * w->dy[n * out + o];
            loss += w->scale * h * up;
        }
    }
    return loss;
}

static double *items_f64(const TestMat *m, const Case *k) {
    int64_t r = k->opts.rank, cols = m->t.dim[1];
    double *p = test_f64(k->n_adapters * r * cols);
    for (int64_t t = 0; t < k->n_adapters; t++)
        for (int64_t i = 0; i < r * cols; i++)
            p[t * r * cols + i] = item(m, k, t)[i / cols * m->t.ld + i % cols];
    return p;
}

static double *absolute(const double *p, int64_t n) {
    double *q = test_f64(n);
    for (int64_t i = 0; i < n; i++) q[i] = fabs(p[i]);
    return q;
}

static double *mask_new(const Case *k) {
    double *mask = test_f64(n_rows(k) * k->in);
    for (int64_t i = 0; i < n_rows(k) * k->in; i++) {
        double u = (double)(rng_at(k->opts.seed, k->opts.stream, (uint64_t)i) >> 8) / 16777216.0;
        mask[i] = k->opts.dropout == 0.0f        ? 1.0
                  : u >= (double)k->opts.dropout ? 1.0 / (1.0 - (double)k->opts.dropout)
                                                 : 0.0;
    }
    return mask;
}

static Model model_new(const Case *k, const TestMat *x, const TestMat *a, const TestMat *bt,
                       const TestMat *dy, DType type) {
    Model w = {
        k, mat_f64(x), items_f64(a, k),         items_f64(bt, k), mat_f64(dy), mask_new(k), k->opts.scale,
        0, n_rows(k),  1.01 * store_bound(type)};
    return w;
}

/* The same with every number's absolute value: its derivatives bound the rounding of the true ones. */
static Model model_absolute(const Model *w) {
    const Case *k = w->k;
    int64_t n = n_rows(k), items = k->n_adapters * k->opts.rank;
    Model v = {k,
               absolute(w->x, n * k->in),
               absolute(w->a, items * k->in),
               absolute(w->bt, items * k->out),
               absolute(w->dy, n * k->out),
               absolute(w->mask, n * k->in),
               fabs(w->scale),
               0,
               n,
               w->stored};
    return v;
}

static void model_free(Model *w) {
    double *all[] = {w->x, w->a, w->bt, w->dy, w->mask};
    for (int i = 0; i < COUNT_OF(all); i++) free(all[i]);
}

/* Sums over in, over out, over the rows and the rank, and a dozen single roundings. */
static double bound_of(const Case *k) {
    return sum_bound(k->in) + sum_bound(k->out) + sum_bound(n_rows(k)) + sum_bound(k->opts.rank) +
           12.0 * ROUND_F32;
}

static void check_forward(const Case *k, Model *w, Model *abs_w, const TestMat *before, const TestMat *y,
                          const TestMat *h) {
    int64_t r = k->opts.rank;
    for (int64_t n = 0; n < n_rows(k); n++) {
        int64_t t = adapter_of(k, n);
        for (int64_t j = 0; j < r; j++)
            assert_within(*mat_at(h, n, j), model_h(w, n, j), bound_of(k) * model_h(abs_w, n, j));
        for (int64_t o = 0; o < k->out; o++) {
            double want = *mat_at(before, n, o), sizes = fabs(want);
            for (int64_t j = 0; t >= 0 && j < r; j++) {
                want += w->scale * model_h(w, n, j) * w->bt[(t * r + j) * k->out + o];
                sizes += abs_w->scale * model_h(abs_w, n, j) * abs_w->bt[(t * r + j) * k->out + o];
            }
            assert_within(*mat_at(y, n, o), want, bound_of(k) * sizes + w->stored * fabs(want));
        }
    }
}

/* got = before + d loss / d number, for a number of the twins. */
static void check_gradient(const Case *k, Model *w, Model *abs_w, double *number, double *abs_number,
                           float before, float got, double stored) {
    double want = before + derivative(number, model_loss, w);
    double sizes = fabs((double)before) + derivative(abs_number, model_loss, abs_w);
    assert_within(got, want, bound_of(k) * sizes + 1e-9 * (1.0 + sizes) + stored * fabs(want));
}

static void check_backward(const Case *k, Model *w, Model *abs_w, const TestMat *dx0, const TestMat *dx,
                           const TestMat *da0, const TestMat *da, const TestMat *dbt0, const TestMat *dbt) {
    int64_t r = k->opts.rank;
    for (int64_t n = 0; n < n_rows(k); n++) {
        w->first = abs_w->first = n;
        w->last = abs_w->last = n + 1;
        for (int64_t c = 0; c < k->in; c++)
            check_gradient(k, w, abs_w, &w->x[n * k->in + c], &abs_w->x[n * k->in + c], *mat_at(dx0, n, c),
                           *mat_at(dx, n, c), w->stored);
    }
    w->first = abs_w->first = 0;
    w->last = abs_w->last = n_rows(k);
    for (int64_t t = 0; t < k->n_adapters; t++)
        for (int64_t j = 0; j < r; j++) {
            int64_t at = t * r + j;
            for (int64_t c = 0; c < k->in; c++)
                check_gradient(k, w, abs_w, &w->a[at * k->in + c], &abs_w->a[at * k->in + c],
                               item(da0, k, t)[j * da0->t.ld + c], item(da, k, t)[j * da->t.ld + c], 0.0);
            for (int64_t o = 0; o < k->out; o++)
                check_gradient(k, w, abs_w, &w->bt[at * k->out + o], &abs_w->bt[at * k->out + o],
                               item(dbt0, k, t)[j * dbt0->t.ld + o], item(dbt, k, t)[j * dbt->t.ld + o], 0.0);
        }
}

typedef struct Run {
    TestMat y, h, dx, da, dbt;
} Run;

static void run_free(Run *r) {
    TestMat *all[] = {&r->y, &r->h, &r->dx, &r->da, &r->dbt};
    for (int i = 0; i < COUNT_OF(all); i++) mat_free(all[i]);
}

static void runs_same_bits(const Run *a, const Run *b) {
    mat_same_bits(&a->y, &b->y);
    mat_same_bits(&a->h, &b->h);
    mat_same_bits(&a->dx, &b->dx);
    mat_same_bits(&a->da, &b->da);
    mat_same_bits(&a->dbt, &b->dbt);
}

/* All operands; y, dx, da, dbt hold what is added to. */
typedef struct Operands {
    TestMat x, a, bt, dy;
    Run before;
} Operands;

/* view() of the copies on a device. */
static LoraView view_on(const Twin *a, const Twin *bt, const Case *k) {
    LoraView v = view(a->mat, bt->mat, k);
    v.a = (float *)a->t.data + (v.a - tensor_f32(a->mat->t));
    v.bt = (float *)bt->t.data + (v.bt - tensor_f32(bt->mat->t));
    return v;
}

static Run run(const Case *k, Operands *p, Device *dev, DType type) {
    Run r = {mat_new(n_rows(k), k->out, k->gap), mat_new(n_rows(k), k->opts.rank, 0),
             mat_new(n_rows(k), k->in, k->gap), items_new(k, k->in, 1), items_new(k, k->out, 0)};
    TestMat da = items_new(k, k->in, 1), dbt = items_new(k, k->out, 0);
    mat_copy(&r.y, &p->before.y);
    mat_copy(&r.dx, &p->before.dx);
    mat_copy(&r.da, &p->before.da);
    mat_copy(&r.dbt, &p->before.dbt);
    mat_copy(&da, &p->before.da);
    mat_copy(&dbt, &p->before.dbt);
    Twin y = mat_to(dev, &r.y, type), h = mat_to(dev, &r.h, DT_F32), dx = mat_to(dev, &r.dx, type),
         g[4] = {mat_to(dev, &r.da, DT_F32), mat_to(dev, &r.dbt, DT_F32), mat_to(dev, &da, DT_F32),
                 mat_to(dev, &dbt, DT_F32)},
         x = mat_to(dev, &p->x, type), dy = mat_to(dev, &p->dy, type), a = mat_to(dev, &p->a, DT_F32),
         bt = mat_to(dev, &p->bt, DT_F32);
    int32_t *index = bytes_to(dev, k->index, sizeof k->index), *cu = bytes_to(dev, k->cu, sizeof k->cu);
    LoraView w = view_on(&a, &bt, k);
    Tensor none = dx.t;
    none.data = NULL;
    size_t mark = arena_mark(&dev->scratch);
    assert_ok(lora_fwd(dev, y.t, h.t, x.t, w, index, cu, k->n_seqs, k->opts));
    assert_ok(
        lora_bwd(dev, dx.t, view_on(&g[0], &g[1], k), dy.t, h.t, x.t, w, index, cu, k->n_seqs, k->opts));
    /* dx not wanted: the same adapter gradients */
    assert_ok(
        lora_bwd(dev, none, view_on(&g[2], &g[3], k), dy.t, h.t, x.t, w, index, cu, k->n_seqs, k->opts));
    assert_true(arena_mark(&dev->scratch) == mark);
    Twin *out[] = {&y, &h, &dx, &g[0], &g[1], &g[2], &g[3]}, *in[] = {&x, &dy, &a, &bt};
    for (int i = 0; i < COUNT_OF(out); i++) mat_from(out[i]);
    for (int i = 0; i < COUNT_OF(in); i++) twin_free(in[i]);
    device_free(dev, index);
    device_free(dev, cu);
    mat_intact(&r.y);
    mat_intact(&r.h);
    mat_intact(&r.dx);
    items_intact(&r.da, k);
    items_intact(&r.dbt, k);
    mat_same_bits(&r.da, &da);
    mat_same_bits(&r.dbt, &dbt);
    mat_free(&da);
    mat_free(&dbt);
    return r;
}

/* A gap that is a multiple of 8 is everyone's: rows can then be taken in whole vectors. */
static int64_t other_gap(const Case *k, int64_t more) {
    return k->gap % 8 ? k->gap + more : k->gap;
}

static Operands operands_new(const Case *k, DType type) {
    Rng rng = rng_make(23, (uint64_t)(k->in * 100 + k->out + k->opts.rank));
    int64_t n = n_rows(k);
    Operands p = {mat_new(n, k->in, k->gap),
                  items_new(k, k->in, k->gap),
                  items_new(k, k->out, other_gap(k, 1)),
                  mat_new(n, k->out, other_gap(k, 2)),
                  {mat_new(n, k->out, 0), mat_new(1, 1, 0), mat_new(n, k->in, 0), items_new(k, k->in, 1),
                   items_new(k, k->out, 0)}};
    TestMat *random[] = {&p.x, &p.dy, &p.before.y, &p.before.dx};
    for (int i = 0; i < COUNT_OF(random); i++) {
        mat_random(random[i], &rng, -1.0f, 1.0f);
        mat_round(random[i], type);
    }
    TestMat *items[] = {&p.a, &p.bt, &p.before.da, &p.before.dbt};
    for (int i = 0; i < COUNT_OF(items); i++) items_random(items[i], k, &rng);
    return p;
}

static void operands_free(Operands *p) {
    mat_free(&p->x);
    mat_free(&p->a);
    mat_free(&p->bt);
    mat_free(&p->dy);
    run_free(&p->before);
}

/* Every backend. The CPU's must have the same bits; its numbers are then checked once. */
static void case_of_type(const Case *k, DType type, bool backward) {
    Operands p = operands_new(k, type);
    Model w = model_new(k, &p.x, &p.a, &p.bt, &p.dy, type), abs_w = model_absolute(&w);
    Run first = {0};
    Device dev;
    for (int b = type == DT_F32 ? 0 : N_CPU; backend_open(&dev, b); b++) {
        Run r = run(k, &p, &dev, type);
        if (b > 0 && b < N_CPU) {
            runs_same_bits(&first, &r);
        } else {
            check_forward(k, &w, &abs_w, &p.before.y, &r.y, &r.h);
            if (backward)
                check_backward(k, &w, &abs_w, &p.before.dx, &r.dx, &p.before.da, &r.da, &p.before.dbt,
                               &r.dbt);
        }
        if (b == 0)
            first = r;
        else
            run_free(&r);
        device_close(&dev);
    }
    model_free(&w);
    model_free(&abs_w);
    run_free(&first);
    operands_free(&p);
}

static void one_case(const Case *k) {
    case_of_type(k, DT_F32, true);
    case_of_type(k, DT_BF16, true);
}

#define RANK(r) \
    { (r), 1.7f, 0.0f, 5, 6 }
#define DROPPED(r, p) \
    { (r), 1.7f, (p), 0x123456789abcu, (77ull << 16) | 13 }

static void one_adapter(void **state) {
    (void)state;
    const Case cases[] = {
        {1, 1, 0, RANK(1), 1, 1, {0, 1}, {0}},
        {33, 17, 3, RANK(4), 1, 1, {0, 5}, {0}},
        {48, 33, 1, RANK(5), 1, 1, {0, 7}, {0}},
        {20, 19, 0, RANK(11), 1, 1, {0, 3}, {0}},
    };
    for (int i = 0; i < COUNT_OF(cases); i++) one_case(&cases[i]);
}

/* Own adapters, shared ones that are not neighbours, none, an empty sequence, an adapter nobody uses. */
static void many_adapters(void **state) {
    (void)state;
    const Case cases[] = {
        {33, 48, 5, RANK(4), 3, 3, {0, 4, 5, 11}, {2, 0, 1}},
        {17, 33, 2, RANK(3), 6, 4, {0, 3, 3, 4, 9, 10, 13}, {1, 0, -1, 3, 1, 1}},
        {9, 5, 0, RANK(8), 3, 1, {0, 2, 3, 6}, {-1, -1, -1}},
        {16, 16, 4, RANK(2), 8, 2, {0, 1, 2, 3, 4, 5, 6, 7, 8}, {0, 1, 0, 1, -1, 1, 0, 1}},
        {40, 24, 16, RANK(9), 4, 2, {0, 3, 14, 15, 33}, {1, 0, -1, 1}},
    };
    for (int i = 0; i < COUNT_OF(cases); i++) one_case(&cases[i]);
}

static void dropout(void **state) {
    (void)state;
    const Case cases[] = {
        {33, 17, 3, DROPPED(4, 0.05f), 2, 2, {0, 5, 9}, {1, 0}},
        {48, 33, 0, DROPPED(3, 0.5f), 4, 2, {0, 3, 4, 8, 11}, {0, -1, 1, 0}},
        {1032, 40, 16, DROPPED(2, 0.3f), 2, 1, {0, 1, 3}, {0, 0}},
    };
    for (int i = 0; i < COUNT_OF(cases); i++) one_case(&cases[i]);
}

/* Long rows and the largest rank: forward only, derivatives would take long. */
static void large(void **state) {
    (void)state;
    const Case cases[] = {
        {4097, 33, 1, RANK(8), 2, 2, {0, 2, 3}, {1, 0}},
        {33, 4097, 1, RANK(8), 2, 2, {0, 2, 3}, {1, 0}},
        {65, 64, 0, RANK(LORA_MAX_RANK), 1, 1, {0, 2}, {0}},
        {5, 4, 0, RANK(2), 2, 2, {0, 600, 1100}, {1, 0}},
    };
    for (int i = 0; i < COUNT_OF(cases); i++) {
        case_of_type(&cases[i], DT_F32, false);
        case_of_type(&cases[i], DT_BF16, false);
    }
}

/* bf16 activations are CUDA's. */
static void unsupported(void **state) {
    (void)state;
    const Case k = {4, 5, 0, RANK(2), 1, 1, {0, 3}, {0}};
    Operands p = operands_new(&k, DT_BF16);
    Device dev;
    assert_ok(device_open(&dev, "cpu", 1));
    Twin x = mat_to(&dev, &p.x, DT_BF16), dy = mat_to(&dev, &p.dy, DT_BF16);
    TestMat h = mat_new(n_rows(&k), k.opts.rank, 0);
    LoraView w = view(&p.a, &p.bt, &k), dw = view(&p.before.da, &p.before.dbt, &k);
    assert_fails(lora_fwd(&dev, dy.t, h.t, x.t, w, k.index, k.cu, k.n_seqs, k.opts), E_UNSUPPORTED,
                 "lora_fwd");
    assert_fails(lora_bwd(&dev, x.t, dw, dy.t, h.t, x.t, w, k.index, k.cu, k.n_seqs, k.opts), E_UNSUPPORTED,
                 "lora_bwd");
    twin_free(&x);
    twin_free(&dy);
    mat_free(&h);
    operands_free(&p);
    device_close(&dev);
}

/* The number of threads belongs to the device, not to who opened one last. */
static void two_devices(void **state) {
    (void)state;
    const Case k = {48, 33, 0, DROPPED(3, 0.5f), 4, 2, {0, 30, 40, 80, 110}, {0, -1, 1, 0}};
    Operands p = operands_new(&k, DT_F32);
    Device small, large;
    assert_ok(device_open(&small, "cpu", 1));
    assert_ok(device_open(&large, "cpu", 4));
    arena_free(&small.scratch); /* exactly what one thread needs */
    assert_ok(arena_init(&small.scratch, "scratch", 3 * 48 * sizeof(float)));
    TestMat y = mat_new(n_rows(&k), k.out, 0), h = mat_new(n_rows(&k), k.opts.rank, 0);
    mat_copy(&y, &p.before.y);
    /* what lies behind the scratch of one thread */
    assert_ok(lora_fwd(&small, y.t, h.t, p.x.t, view(&p.a, &p.bt, &k), k.index, k.cu, k.n_seqs, k.opts));
    const uint32_t *behind = (const uint32_t *)(void *)small.scratch.base;
    for (int i = 2 * 48; i < 4096 / 4; i++) assert_true(behind[i] == 0);
    mat_free(&y);
    mat_free(&h);
    device_close(&small);
    device_close(&large);
    operands_free(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_adapter), cmocka_unit_test(many_adapters), cmocka_unit_test(dropout),
        cmocka_unit_test(large),       cmocka_unit_test(two_devices),   cmocka_unit_test(unsupported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
