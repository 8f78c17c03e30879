/* cross_entropy against double arithmetic; dx against derivatives of it. */
#include "tests/test_util.h"

#include "kernels/ops.h"

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

static Data data_new(const Case *k) {
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

static CrossEntropyOut out_view(const Out *o) {
    CrossEntropyOut v = {o->nll, o->loss, o->entropy, o->argmax};
    return v;
}

/* Every row's numbers; dx of every `step`-th row. */
static void check(const Case *k, const Data *d, const Out *o, int64_t step) {
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
        double dx_bound = fabs(r.weight) * 2.0 * (p_error + sum_bound(k->v));
        for (int64_t c = 0; c < k->c && i % step == 0; c++)
            assert_within(*mat_at(&o->dx, i, c), derivative(&r.x[c], row_loss, &r), dx_bound + 1e-9);
    }
    free(x);
    free(z);
}

static void pack(Device *dev, Arena *mem, Weight *w, const Case *k, const Data *d) {
    MatmulPackOpts opts = {true};
    Tensor t = tensor_2d(d->w, DT_F32, k->v, k->c);
    *mem = arena_measure("test");
    assert_ok(matmul_pack(dev, mem, w, t, DT_F32, opts));
    assert_ok(arena_commit(mem));
    assert_ok(matmul_pack(dev, mem, w, t, DT_F32, opts));
}

static const CrossEntropyOpts none_of_it = {0.0f, 0.0f};

static void one_case(const Case *k, int64_t step) {
    const CrossEntropyOpts opts = {k->smoothing, k->softcap};
    Data d = data_new(k);
    Out one = out_new(k, k->gap + 2);
    for (int threads = 1; threads <= 3; threads++) {
        Device dev;
        Arena mem;
        Weight w;
        assert_ok(device_open(&dev, "cpu", threads));
        pack(&dev, &mem, &w, k, &d);
        Out o = threads == 1 ? one : out_new(k, k->gap + 2);
        assert_ok(cross_entropy(&dev, out_view(&o), o.dx.t, d.x.t, &w, d.label, d.weight, opts));
        mat_intact(&o.dx);
        assert_int_equal(arena_mark(&dev.scratch), 0);
        if (threads == 1) {
            check(k, &d, &one, step);
            /* nothing wanted but the loss: the same loss */
            float *loss = test_alloc((size_t)k->rows * sizeof(float));
            CrossEntropyOut only = {NULL, loss, NULL, NULL};
            Tensor none = {NULL, DT_F32, DEVICE_CPU, 2, {0, 0}, 0};
            assert_ok(cross_entropy(&dev, only, none, d.x.t, &w, d.label, NULL, opts));
            assert_memory_equal(loss, one.loss, (size_t)k->rows * sizeof(float));
            free(loss);
        } else {
            mat_same_bits(&one.dx, &o.dx);
            assert_memory_equal(one.nll, o.nll, (size_t)k->rows * sizeof(float));
            assert_memory_equal(one.loss, o.loss, (size_t)k->rows * sizeof(float));
            assert_memory_equal(one.entropy, o.entropy, (size_t)k->rows * sizeof(float));
            assert_memory_equal(one.argmax, o.argmax, (size_t)k->rows * sizeof(float));
            out_free(&o);
        }
        arena_free(&mem);
        device_close(&dev);
    }
    out_free(&one);
    data_free(&d);
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
        {3, 4097, 33, 0, 0.1f, 3.0f, 30}, {4, 97, 48, 3, 0.0f, 5.0f, 7},
    };
    for (int i = 0; i < COUNT_OF(cases); i++) one_case(&cases[i], 2);
}

/* Logits are exactly W's only column: the first of equal ones wins, wherever a vector's lanes fall. */
static void ties(void **state) {
    (void)state;
    enum { V = 2100 };
    const Case k = {1, V, 1, 0, 0.0f, 1.0f, 0};
    const int at[][3] = {{0, 1, 2}, {5, 21, 1030}, {15, 16, 17}, {1023, 1024, 2099}, {2097, 2098, 2099}};
    for (int i = 0; i < COUNT_OF(at); i++) {
        Device dev;
        Arena mem;
        Weight w;
        Data d = data_new(&k);
        for (int j = 0; j < 3; j++) d.w[at[i][j]] = 1.5f;
        if (at[i][0] > 3) d.w[3] = nextafterf(1.5f, 0.0f); /* nearly equal is not equal */
        *mat_at(&d.x, 0, 0) = 1.0f;
        assert_ok(device_open(&dev, "cpu", 1));
        pack(&dev, &mem, &w, &k, &d);
        int32_t argmax = -1;
        CrossEntropyOut out = {NULL, NULL, NULL, &argmax};
        Tensor none = {NULL, DT_F32, DEVICE_CPU, 2, {0, 0}, 0};
        assert_ok(cross_entropy(&dev, out, none, d.x.t, &w, d.label, NULL, none_of_it));
        assert_int_equal(argmax, at[i][0]);
        arena_free(&mem);
        device_close(&dev);
        data_free(&d);
    }
}

/* A model that broke has to show: a NaN in x makes that row's loss NaN and leaves the others alone. */
static void nan_shows(void **state) {
    (void)state;
    const Case k = {3, 97, 8, 0, 0.1f, 1.0f, 0};
    Device dev;
    Arena mem;
    Weight w;
    Data d = data_new(&k);
    *mat_at(&d.x, 1, 5) = NAN;
    assert_ok(device_open(&dev, "cpu", 2));
    pack(&dev, &mem, &w, &k, &d);
    Out o = out_new(&k, 0);
    assert_ok(cross_entropy(&dev, out_view(&o), o.dx.t, d.x.t, &w, d.label, d.weight,
                            (CrossEntropyOpts){k.smoothing, 0.0f}));
    assert_true(!isnan(o.loss[0]) && isnan(o.loss[1]) && !isnan(o.loss[2]));
    assert_true(isnan(o.nll[1]) && isnan(o.entropy[1]) && o.argmax[1] >= 0 && o.argmax[1] < k.v);
    assert_true(!isnan(*mat_at(&o.dx, 0, 0)) && isnan(*mat_at(&o.dx, 1, 0)));
    out_free(&o);
    arena_free(&mem);
    device_close(&dev);
    data_free(&d);
}

/* Certain and right: the loss is tiny, and what is left of it is right too. */
static void nearly_zero_loss(void **state) {
    (void)state;
    const Case k = {1, 2, 1, 0, 0.0f, 1.0f, 0};
    Device dev;
    Arena mem;
    Weight w;
    Data d = data_new(&k);
    const float gaps[] = {1.0f, 5.0f, 9.0f, 12.0f};
    assert_ok(device_open(&dev, "cpu", 1));
    for (int i = 0; i < COUNT_OF(gaps); i++) {
        d.w[0] = 20.0f;
        d.w[1] = 20.0f - gaps[i];
        *mat_at(&d.x, 0, 0) = 1.0f;
        d.label[0] = 0;
        pack(&dev, &mem, &w, &k, &d);
        float nll = NAN;
        CrossEntropyOut out = {&nll, NULL, NULL, NULL};
        Tensor none = {NULL, DT_F32, DEVICE_CPU, 2, {0, 0}, 0};
        assert_ok(cross_entropy(&dev, out, none, d.x.t, &w, d.label, NULL, none_of_it));
        /* log1p: a float sum 1 + e is rounded to u of 1, whatever e */
        double want = log1p(exp(-(double)gaps[i]));
        assert_within(nll, want, 4e-7 * want + ROUND_F32);
        arena_free(&mem);
    }
    device_close(&dev);
    data_free(&d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(row_counts), cmocka_unit_test(vocabularies),     cmocka_unit_test(ties),
        cmocka_unit_test(nan_shows),  cmocka_unit_test(nearly_zero_loss),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
