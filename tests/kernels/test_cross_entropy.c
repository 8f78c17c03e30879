/* cross_entropy against double arithmetic; dx against derivatives of it. */
#include "tests/kernels/backends.h"

typedef struct Case {
    int64_t rows, v, c, gap;
    float smoothing, size; /* of x: with 30 the softmax is nearly one-hot */
    float softcap;
} Case;

typedef struct Data {
    TestMat x;
    float *w; /* [V,C] */
    int32_t *label;
    float *weight;
} Data;

/* Values that a weight of this type can hold and multiply. */
static Data data_new(const Case *k, DType w_type) {
    Rng rng = rng_make(29, (uint64_t)(k->rows * 100000 + k->v * 10 + k->c));
    Data d = {mat_new(k->rows, k->c, k->gap), test_alloc((size_t)(k->v * k->c) * sizeof(float)),
              test_alloc((size_t)k->rows * sizeof(int32_t)), test_alloc((size_t)k->rows * sizeof(float))};
    mat_random(&d.x, &rng, -k->size, k->size);
    fill_random(d.w, k->v * k->c, &rng, -1.0f, 1.0f);
    for (int64_t i = 0; i < k->rows; i++) {
        d.label[i] = (int32_t)rng_below(&rng, (uint32_t)k->v);
        d.weight[i] = i % 5 == 3 ? 0.0f : rng_float(&rng) - 0.2f;
    }
    d.label[0] = (int32_t)(k->v - 1);
    mat_round(&d.x, w_type);
    for (int64_t i = 0; i < k->v * k->c && w_type == DT_BF16; i++)
        d.w[i] = bf16_to_float(float_to_bf16(d.w[i]));
    return d;
}

static void data_free(Data *d) {
    mat_free(&d->x);
    free(d->w);
    free(d->label);
    free(d->weight);
}

/* One row in double. */
typedef struct Row {
    const Case *k;
    const float *w;
    double *x, *z; /* [C], [V] room */
    int32_t label;
    double weight;
} Row;

typedef struct Values {
    double nll, loss, entropy, lse, max;
    double dz; /* how far a float logit may be off */
} Values;

static Values row_values(const Row *r) {
    int64_t v = r->k->v, c = r->k->c;
    double sum = 0.0, weighted = 0.0, mean = 0.0, sizes = 0.0;
    Values o = {.max = -INFINITY};
    for (int64_t j = 0; j < v; j++) {
        double z = 0.0, s = 0.0;
        for (int64_t i = 0; i < c; i++) {
            z += r->x[i] * (double)r->w[j * c + i];
            s += fabs(r->x[i] * (double)r->w[j * c + i]);
        }
        if (r->k->softcap > 0.0f) z = (double)r->k->softcap * tanh(z / (double)r->k->softcap);
        r->z[j] = z;
        mean += z / (double)v;
        if (z > o.max) o.max = z;
        if (s > sizes) sizes = s;
    }
    for (int64_t j = 0; j < v; j++) {
        double d = r->z[j] - o.max;
        sum += exp(d);
        weighted += exp(d) * d;
    }
    double eps = r->k->smoothing;
    o.lse = o.max + log(sum);
    o.nll = o.lse - r->z[r->label];
    o.loss = (1.0 - eps) * o.nll + eps * (o.lse - mean);
    o.entropy = log(sum) - weighted / sum;
    /* the cap does not spread errors; it adds its own: vec_tanhf's 4e-7 and a rounding */
    o.dz = sum_bound(c) * sizes + (double)r->k->softcap * 5e-7;
    return o;
}

static double row_loss(const void *ctx) {
    const Row *r = ctx;
    return r->weight * row_values(r).loss;
}

typedef struct Out {
    float *nll, *loss, *entropy;
    int32_t *argmax;
    TestMat dx;
} Out;

static Out out_new(const Case *k, int64_t gap) {
    size_t n = (size_t)k->rows * sizeof(float);
    Out o = {test_alloc(n), test_alloc(n), test_alloc(n), test_alloc(n), mat_new(k->rows, k->c, gap)};
    for (int64_t i = 0; i < k->rows; i++) {
        o.nll[i] = o.loss[i] = o.entropy[i] = NAN;
        o.argmax[i] = -1;
    }
    return o;
}

static void out_free(Out *o) {
    free(o->nll);
    free(o->loss);
    free(o->entropy);
    free(o->argmax);
    mat_free(&o->dx);
}

/* Runs the op on a device. with_rest: all of out is wanted, else the loss alone. */
static void run(Device *dev, const Case *k, const Data *d, DType x_type, const Weight *w, Out *o,
                bool with_rest, CrossEntropyOpts opts) {
    size_t n = (size_t)k->rows * sizeof(float);
    Data copy = *d;
    Twin x = mat_to(dev, &copy.x, x_type), dx = mat_to(dev, &o->dx, x_type);
    int32_t *label = bytes_to(dev, d->label, n);
    float *weight = bytes_to(dev, d->weight, n);
    CrossEntropyOut out = {bytes_to(dev, o->nll, n), bytes_to(dev, o->loss, n), bytes_to(dev, o->entropy, n),
                           bytes_to(dev, o->argmax, n)},
                    only = {NULL, out.loss, NULL, NULL};
    Tensor none = {NULL, x_type, dev->kind, 2, {0, 0}, 0};
    size_t mark = arena_mark(&dev->scratch);
    if (with_rest)
        assert_ok(cross_entropy(dev, out, dx.t, x.t, w, label, weight, opts));
    else
        assert_ok(cross_entropy(dev, only, none, x.t, w, label, NULL, opts));
    assert_true(arena_mark(&dev->scratch) == mark);
    assert_ok(device_download(dev, o->nll, out.nll, n));
    assert_ok(device_download(dev, o->loss, out.loss, n));
    assert_ok(device_download(dev, o->entropy, out.entropy, n));
    assert_ok(device_download(dev, o->argmax, out.argmax, n));
    mat_from(&dx);
    twin_free(&x);
    void *all[] = {label, weight, out.nll, out.loss, out.entropy, out.argmax};
    for (int i = 0; i < COUNT_OF(all); i++) device_free(dev, all[i]);
    mat_intact(&o->dx);
}

/* Every row's numbers; dx of every `step`-th row. */
static void check(const Case *k, const Data *d, const Out *o, int64_t step, DType x_type, DType w_type) {
    double *x = mat_f64(&d->x), *z = test_f64(k->v);
    for (int64_t i = 0; i < k->rows; i++) {
        Row r = {k, d->w, x + i * k->c, z, d->label[i], d->weight[i]};
        Values want = row_values(&r);
        double log_v = log((double)k->v) + 1.0;
        /* logits off by dz move a log-sum and a logit by dz each; f32 sums of 1024 exponentials, exp to 2e-7;
         * the result is rounded once */
        double bound = 2.0 * want.dz + sum_bound(1024) + 2e-7 + ROUND_F32 * fabs(want.nll);
        assert_within(o->nll[i], want.nll, bound);
        /* the mean of the logits: f32 sums of 1024 numbers up to the largest of them */
        double z_size = 0.0;
        for (int64_t j = 0; j < k->v; j++) z_size = fmax(z_size, fabs(z[j]));
        assert_within(o->loss[i], want.loss,
                      bound + ROUND_F32 * fabs(want.loss) +
                          (double)k->smoothing * (want.dz + sum_bound(1024) * z_size));
        /* dH/dz_j = -p_j (log p_j + H), so sum_j |dH/dz_j| <= 2H; exp to 2e-7, f32 sums of 1024 terms */
        double h_bound = 2.0 * want.entropy * want.dz + (4e-7 + sum_bound(1024)) * (log_v + want.entropy);
        assert_within(o->entropy[i], want.entropy, h_bound);
        assert_true(o->argmax[i] >= 0 && o->argmax[i] < k->v);
        assert_within(z[o->argmax[i]], want.max, 2.0 * want.dz);
        /* each p_j is off by 2 dz (z and lse), exp's 2e-7 twice, the f32 sums and a few roundings; |W| <= 1;
         * then the product with W over V terms of which the absolute values sum to at most 2 */
        double p_error = 2.0 * want.dz + 4e-7 + sum_bound(1024) + 6.0 * ROUND_F32;
        /* a bf16 weight's product rounds each of them */
        double dx_bound = fabs(r.weight) * 2.0 * (p_error + sum_bound(k->v) + store_bound(w_type));
        for (int64_t c = 0; c < k->c && i % step == 0; c++) {
            double dx = derivative(&r.x[c], row_loss, &r);
            assert_within(*mat_at(&o->dx, i, c), dx, dx_bound + 1e-9 + 1.01 * store_bound(x_type) * fabs(dx));
        }
    }
    free(x);
    free(z);
}

static void pack(Device *dev, Arena *mem, Weight *w, const Case *k, const Data *d, DType type) {
    MatmulPackOpts opts = {true};
    Tensor t = tensor_2d(d->w, DT_F32, k->v, k->c);
    *mem = arena_measure("test");
    assert_ok(matmul_pack(dev, mem, w, t, type, opts));
    assert_ok(arena_commit_on(mem, dev));
    assert_ok(matmul_pack(dev, mem, w, t, type, opts));
}

static const CrossEntropyOpts none_of_it = {0.0f, 0.0f};

static void outs_same_bits(const Out *a, const Out *b, int64_t rows) {
    size_t n = (size_t)rows * sizeof(float);
    mat_same_bits(&a->dx, &b->dx);
    assert_memory_equal(a->nll, b->nll, n);
    assert_memory_equal(a->loss, b->loss, n);
    assert_memory_equal(a->entropy, b->entropy, n);
    assert_memory_equal(a->argmax, b->argmax, n);
}

/* Every backend from b on. scratch: bytes that a CUDA backend gets, 0: the usual. The CPU's must have the
 * same bits; its numbers are then checked once. */
static void case_of_types(const Case *k, int64_t step, DType x_type, DType w_type, int b, size_t scratch) {
    const CrossEntropyOpts opts = {k->smoothing, k->softcap};
    Data d = data_new(k, w_type);
    Out first = out_new(k, k->gap + 2);
    Device dev;
    for (; backend_open(&dev, b); b++) {
        Arena mem;
        Weight w;
        if (scratch && dev.kind == DEVICE_CUDA) {
            arena_free(&dev.scratch);
            assert_ok(arena_init_on(&dev.scratch, &dev, "scratch", scratch));
        }
        pack(&dev, &mem, &w, k, &d, w_type);
        Out o = b == 0 ? first : out_new(k, k->gap + 2), only = out_new(k, 0);
        run(&dev, k, &d, x_type, &w, &o, true, opts);
        if (b > 0 && b < N_CPU)
            outs_same_bits(&first, &o, k->rows);
        else
            check(k, &d, &o, step, x_type, w_type);
        /* nothing wanted but the loss: the same loss */
        run(&dev, k, &d, x_type, &w, &only, false, opts);
        assert_memory_equal(only.loss, o.loss, (size_t)k->rows * sizeof(float));
        assert_true(isnan(only.nll[0]) && isnan(only.entropy[0]) && only.argmax[0] == -1);
        out_free(&only);
        if (b > 0) out_free(&o);
        arena_free(&mem);
        device_close(&dev);
    }
    out_free(&first);
    data_free(&d);
}

static void one_case(const Case *k, int64_t step) {
    case_of_types(k, step, DT_F32, DT_F32, 0, 0);
    case_of_types(k, step, DT_F32, DT_BF16, N_CPU, 0);
    case_of_types(k, step, DT_BF16, DT_BF16, N_CPU, 0);
}

/* 64 rows are projected at a time: around one and two of them. */
static void row_counts(void **state) {
    (void)state;
    const int64_t rows[] = {1, 33, 63, 64, 65, 130};
    for (int i = 0; i < COUNT_OF(rows); i++) {
        Case k = {rows[i], 33, 17, i, 0.1f, 2.0f, i % 2 ? 1.5f : 0.0f};
        one_case(&k, 1);
    }
}

static void vocabularies(void **state) {
    (void)state;
    const Case cases[] = {
        {3, 1, 5, 0, 0.0f, 1.0f, 0},      {3, 2, 1, 2, 0.1f, 1.0f, 0},      {5, 4097, 33, 1, 0.0f, 1.0f, 0},
        {3, 4097, 33, 0, 0.1f, 3.0f, 0},  {4, 1024, 48, 0, 0.9f, 10.0f, 0}, {4, 97, 48, 3, 0.0f, 30.0f, 0},
        {3, 4097, 33, 0, 0.1f, 3.0f, 30}, {4, 97, 48, 3, 0.0f, 5.0f, 7},    {2, 2056, 16, 0, 0.1f, 1.0f, 5},
    };
    for (int i = 0; i < COUNT_OF(cases); i++) one_case(&cases[i], 2);
}

/* Room for logits of 20 rows on CUDA backends (a quarter of the scratch). */
static void chunks(void **state) {
    (void)state;
    const Case k = {50, 1000, 9, 2, 0.1f, 1.0f, 0.0f};
    case_of_types(&k, 3, DT_F32, DT_F32, N_CPU, 4 * 20 * 1000 * sizeof(float));
    case_of_types(&k, 3, DT_BF16, DT_BF16, N_CPU, 4 * 20 * 1000 * sizeof(float));
}

/* Logits are exactly W's only column: the first of equal ones wins, wherever a vector's lanes fall. */
static void ties(void **state) {
    (void)state;
    enum { V = 2104 };
    const Case k = {1, V, 1, 0, 0.0f, 1.0f, 0};
    const int at[][3] = {{0, 1, 2}, {5, 21, 1030}, {15, 16, 17}, {1023, 1024, 2099}, {2097, 2098, 2099}};
    Device dev;
    for (int b = N_CPU - 1; backend_open(&dev, b); device_close(&dev), b++)
        for (int i = 0; i < COUNT_OF(at); i++) {
            Arena mem;
            Weight w;
            Data d = data_new(&k, DT_F32);
            Out o = out_new(&k, 0);
            for (int j = 0; j < 3; j++) d.w[at[i][j]] = 1.5f;
            if (at[i][0] > 3) d.w[3] = nextafterf(1.5f, 0.0f); /* nearly equal is not equal */
            *mat_at(&d.x, 0, 0) = 1.0f;
            pack(&dev, &mem, &w, &k, &d, DT_F32);
            run(&dev, &k, &d, DT_F32, &w, &o, true, none_of_it);
            assert_int_equal(o.argmax[0], at[i][0]);
            arena_free(&mem);
            out_free(&o);
            data_free(&d);
        }
}

/* A model that broke has to show: a NaN in x makes that row's loss NaN and leaves the others alone. */
static void nan_shows(void **state) {
    (void)state;
    const Case k = {3, 97, 8, 0, 0.1f, 1.0f, 0};
    Device dev;
    for (int b = N_CPU - 1; backend_open(&dev, b); device_close(&dev), b++) {
        Arena mem;
        Weight w;
        Data d = data_new(&k, DT_F32);
        *mat_at(&d.x, 1, 5) = NAN;
        pack(&dev, &mem, &w, &k, &d, DT_F32);
        Out o = out_new(&k, 0);
        run(&dev, &k, &d, DT_F32, &w, &o, true, (CrossEntropyOpts){k.smoothing, 0.0f});
        assert_true(!isnan(o.loss[0]) && isnan(o.loss[1]) && !isnan(o.loss[2]));
        assert_true(isnan(o.nll[1]) && isnan(o.entropy[1]) && o.argmax[1] >= 0 && o.argmax[1] < k.v);
        assert_true(!isnan(*mat_at(&o.dx, 0, 0)) && isnan(*mat_at(&o.dx, 1, 0)));
        out_free(&o);
        arena_free(&mem);
        data_free(&d);
    }
}

/* Certain and right: the loss is tiny, and what is left of it is right too. */
static void nearly_zero_loss(void **state) {
    (void)state;
    const Case k = {1, 2, 1, 0, 0.0f, 1.0f, 0};
    const float gaps[] = {1.0f, 5.0f, 9.0f, 12.0f};
    Device dev;
    for (int b = N_CPU - 1; backend_open(&dev, b); device_close(&dev), b++)
        for (int i = 0; i < COUNT_OF(gaps); i++) {
            Arena mem;
            Weight w;
            Data d = data_new(&k, DT_F32);
            Out o = out_new(&k, 0);
            d.w[0] = 20.0f;
            d.w[1] = 20.0f - gaps[i];
            *mat_at(&d.x, 0, 0) = 1.0f;
            d.label[0] = 0;
            pack(&dev, &mem, &w, &k, &d, DT_F32);
            run(&dev, &k, &d, DT_F32, &w, &o, true, none_of_it);
            /* log1p: a float sum 1 + e is rounded to u of 1, whatever e */
            double want = log1p(exp(-(double)gaps[i]));
            assert_within(o.nll[0], want, 4e-7 * want + ROUND_F32);
            arena_free(&mem);
            out_free(&o);
            data_free(&d);
        }
}

/* On a CUDA device a label cannot stop the program: it shows as NaN. */
static void label_outside(void **state) {
    (void)state;
    const Case k = {3, 97, 8, 0, 0.1f, 1.0f, 0};
    const int32_t labels[] = {-1, 97, INT32_MAX};
    Device dev;
    for (int b = N_CPU; backend_open(&dev, b); device_close(&dev), b++)
        for (int i = 0; i < COUNT_OF(labels); i++) {
            Arena mem;
            Weight w;
            Data d = data_new(&k, DT_F32);
            Out o = out_new(&k, 0);
            d.label[1] = labels[i];
            pack(&dev, &mem, &w, &k, &d, DT_F32);
            run(&dev, &k, &d, DT_F32, &w, &o, true, none_of_it);
            assert_true(!isnan(o.loss[0]) && isnan(o.loss[1]) && isnan(o.nll[1]) && !isnan(o.loss[2]));
            arena_free(&mem);
            out_free(&o);
            data_free(&d);
        }
}

static void unsupported(void **state) {
    (void)state;
    const Case k = {3, 9, 8, 0, 0.0f, 1.0f, 0};
    Device dev;
    for (int b = N_CPU - 1; backend_open(&dev, b); device_close(&dev), b++) {
        Arena mem;
        Weight w;
        Data d = data_new(&k, DT_F32);
        pack(&dev, &mem, &w, &k, &d, DT_F32);
        Twin x = mat_to(&dev, &d.x, DT_BF16);
        CrossEntropyOut out = {NULL, NULL, NULL, NULL};
        Tensor none = {NULL, DT_BF16, dev.kind, 2, {0, 0}, 0};
        assert_fails(cross_entropy(&dev, out, none, x.t, &w, NULL, NULL, none_of_it), E_UNSUPPORTED,
                     "no body for BF16");
        twin_free(&x);
        arena_free(&mem);
        data_free(&d);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(row_counts),    cmocka_unit_test(vocabularies), cmocka_unit_test(chunks),
        cmocka_unit_test(ties),          cmocka_unit_test(nan_shows),    cmocka_unit_test(nearly_zero_loss),
        cmocka_unit_test(label_outside), cmocka_unit_test(unsupported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
