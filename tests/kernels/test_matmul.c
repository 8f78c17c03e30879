/* Products with packed weights against float64, on every tile shape and edge. Tolerance: twice the worst
 * error of a plain loop in the same precision (operands rounded alike, one f32 sum). Also: bits do not depend
 * on the number of threads nor on the other rows, nothing is written outside, all CPU bodies agree. */
#include "tests/test_util.h"

#include "kernels/matmul/matmul_cpu.h"
#include "kernels/ops.h"

typedef struct Case {
    int64_t m, n, k;
} Case;

static const Case cases[] = {{1, 1, 1},      {1, 33, 33},   {2, 64, 7},     {3, 160, 2},    {5, 31, 65},
                             {4, 65, 31},    {6, 96, 128},  {7, 17, 129},   {8, 576, 63},   {11, 40, 127},
                             {12, 32, 64},   {13, 97, 33},  {25, 192, 576}, {33, 130, 100}, {100, 48, 1},
                             {17, 33, 2500}, {2, 129, 2049}};

/* A Device with other switches but the same memory. */
static void open_device(Device *dev) {
    assert_ok(device_open(dev, "cpu", 2));
}

static Weight pack(Device *dev, Arena *arena, Tensor w, DType dtype) {
    Weight out;
    MatmulPackOpts opts = {.with_bwd = true};
    Tensor nothing = w;
    nothing.data = NULL;
    *arena = arena_measure("test weights");
    assert_ok(matmul_pack(dev, arena, &out, nothing, dtype, opts));
    assert_null(out.fwd);
    size_t measured = arena->used;
    assert_ok(arena_commit(arena));
    memset(arena->base, 0xff, arena->size); /* padding must be written, not assumed zero */
    assert_ok(matmul_pack(dev, arena, &out, w, dtype, opts));
    assert_int_equal(arena->used, measured);
    return out;
}

static float in_type(float v, DType t) {
    return t == DT_BF16 ? bf16_to_float(float_to_bf16(v)) : v;
}

/* want[m,n] = y0 + a[m,k] b, b(j, c) = w[c * sc + j * sj]; returns the worst error of the plain loop. */
static double reference(double *want, const TestMat *y0, const TestMat *a, const float *w, int64_t n,
                        int64_t k, int64_t sc, int64_t sj, DType dtype, bool accumulate) {
    double worst = 0;
    for (int64_t i = 0; i < a->t.dim[0]; i++)
        for (int64_t c = 0; c < n; c++) {
            float start = accumulate ? *mat_at(y0, i, c) : 0, sum = start;
            double exact = start;
            for (int64_t j = 0; j < k; j++) {
                float x = in_type(*mat_at(a, i, j), dtype), v = in_type(w[c * sc + j * sj], dtype);
                exact += (double)x * v;
                sum += x * v;
            }
            want[i * n + c] = exact;
            worst = fmax(worst, fabs(sum - exact));
        }
    /* One rounding of the largest term, where the loop happens to be exact (small k). */
    return fmax(worst, (double)k * ROUND_F32 * 0.25);
}

static double worst_error(const TestMat *y, const double *want) {
    double worst = 0;
    for (int64_t i = 0; i < y->t.dim[0]; i++)
        for (int64_t j = 0; j < y->t.dim[1]; j++) {
            double e = fabs(*mat_at(y, i, j) - want[i * y->t.dim[1] + j]);
            if (!(e <= worst)) worst = isnan(e) ? INFINITY : e;
        }
    return worst;
}

static void run(Device *dev, bool bwd, TestMat *y, const TestMat *x, const Weight *w, bool accumulate) {
    MatmulOpts opts = {.accumulate = accumulate};
    assert_ok(bwd ? matmul_bwd(dev, y->t, x->t, w, opts) : matmul_fwd(dev, y->t, x->t, w, opts));
}

static void check_case(Device *dev, Case s, DType dtype, bool bwd, bool accumulate, double *ratio) {
    Rng rng = rng_make(7, (uint64_t)(s.m * 1000 + s.n * 10 + s.k));
    int64_t out = bwd ? s.k : s.n, in = bwd ? s.n : s.k;
    TestMat w = mat_new(s.n, s.k, 0), x = mat_new(s.m, in, 5), y = mat_new(s.m, out, 3),
            y0 = mat_new(s.m, out, 0);
    mat_random(&w, &rng, -1, 1);
    mat_random(&x, &rng, -1, 1);
    mat_random(&y0, &rng, -1, 1);
    Arena arena;
    Weight packed = pack(dev, &arena, w.t, dtype);
    double *want = test_f64(s.m * out);
    double naive =
        reference(want, &y0, &x, tensor_f32(w.t), out, in, bwd ? 1 : s.k, bwd ? s.k : 1, dtype, accumulate);
    if (accumulate) mat_copy(&y, &y0);
    size_t scratch = dev->scratch.used;
    run(dev, bwd, &y, &x, &packed, accumulate);
    assert_int_equal(dev->scratch.used, scratch);
    double error = worst_error(&y, want);
    if (!(error <= 2 * naive))
        fail_msg("[%lld,%lld,%lld] %s bwd %d: error %g, plain loop %g", (long long)s.m, (long long)s.n,
                 (long long)s.k, dtype_name(dtype), bwd, error, naive);
    *ratio = fmax(*ratio, error / naive);
    mat_intact(&y);
    mat_intact(&x);

    /* Other numbers of threads, and every row alone. */
    TestMat z = mat_new(s.m, out, 1);
    for (int threads = 1; threads <= 5; threads += 2) {
        int was = dev->n_threads;
        dev->n_threads = threads;
        mat_poison(&z);
        if (accumulate) mat_copy(&z, &y0);
        run(dev, bwd, &z, &x, &packed, accumulate);
        mat_same_bits(&z, &y);
        dev->n_threads = was;
    }
    mat_poison(&z);
    if (accumulate) mat_copy(&z, &y0);
    for (int64_t i = 0; i < s.m; i++) {
        MatmulOpts opts = {.accumulate = accumulate};
        Tensor zi = tensor_rows(z.t, i, 1), xi = tensor_rows(x.t, i, 1);
        assert_ok(bwd ? matmul_bwd(dev, zi, xi, &packed, opts) : matmul_fwd(dev, zi, xi, &packed, opts));
    }
    mat_same_bits(&z, &y);
    mat_intact(&z);
    free(want);
    arena_free(&arena);
    mat_free(&w), mat_free(&x), mat_free(&y), mat_free(&y0), mat_free(&z);
}

static void check_all(Device *dev, DType dtype, const char *name) {
    double ratio = 0;
    for (int i = 0; i < COUNT_OF(cases); i++)
        for (int mode = 0; mode < 4; mode++) check_case(dev, cases[i], dtype, mode & 1, mode >> 1, &ratio);
    print_message("%s: error at most %.2f of a plain loop's\n", name, ratio);
}

static void f32_products(void **state) {
    (void)state;
    Device dev;
    open_device(&dev);
    check_all(&dev, DT_F32, dev.avx512 ? "f32, AVX-512" : "f32");
    dev.avx512 = false;
    check_all(&dev, DT_F32, "f32, without AVX-512");
    device_close(&dev);
}

static void bf16_products(void **state) {
    (void)state;
    Device dev;
    open_device(&dev);
    if (!dev.bf16_dot) {
        device_close(&dev);
        skip();
    }
    check_all(&dev, DT_BF16, "bf16");
    device_close(&dev);
}

/* The tile for CPUs without vectors, called directly: no Device of this machine chooses it. */
static void plain_tile(void **state) {
    (void)state;
    Device dev;
    open_device(&dev);
    Rng rng = rng_make(3, 0);
    for (int rows = 1; rows <= MATMUL_ROWS; rows++)
        for (int load = 0; load < 2; load++) {
            int64_t n = 64 + rows, k = 70 + rows;
            TestMat w = mat_new(n, k, 0), x = mat_new(rows, k, 2), y = mat_new(rows, n, 2),
                    y0 = mat_new(rows, n, 0);
            mat_random(&w, &rng, -1, 1);
            mat_random(&x, &rng, -1, 1);
            mat_random(&y0, &rng, -1, 1);
            Arena arena;
            Weight packed = pack(&dev, &arena, w.t, DT_F32);
            double *want = test_f64(rows * n);
            double naive = reference(want, &y0, &x, tensor_f32(w.t), n, k, k, 1, DT_F32, load);
            if (load) mat_copy(&y, &y0);
            MatmulTileArgs args = {.c = tensor_f32(y.t),
                                   .ldc = y.t.ld,
                                   .a = x.t.data,
                                   .lda = x.t.ld,
                                   .b = packed.fwd,
                                   .panel_stride = k * MATMUL_STEP_BYTES,
                                   .steps = k,
                                   .cols = n,
                                   .rows = rows,
                                   .load = load};
            matmul_run_f32(&args);
            assert_true(worst_error(&y, want) <= 2 * naive);
            mat_intact(&y);
            free(want);
            arena_free(&arena);
            mat_free(&w), mat_free(&x), mat_free(&y), mat_free(&y0);
        }
    device_close(&dev);
}

/* bf16 sources pack to the same bits as their f32 values; integers multiply exactly. */
static void sources(void **state) {
    (void)state;
    Device dev;
    open_device(&dev);
    enum { N = 131, K = 77, M = 9 };
    float w[N * K];
    uint16_t h[N * K];
    Rng rng = rng_make(11, 0);
    for (int i = 0; i < N * K; i++) {
        w[i] = floorf(9.0f * rng_float(&rng)) - 4.0f;
        h[i] = float_to_bf16(w[i]);
    }
    TestMat x = mat_new(M, K, 1), y = mat_new(M, N, 1);
    mat_random(&x, &rng, -4, 4);
    for (int i = 0; i < M; i++)
        for (int j = 0; j < K; j++) *mat_at(&x, i, j) = rintf(*mat_at(&x, i, j));
    for (int t = 0; t < 4; t++) {
        DType dtype = t & 1 ? DT_BF16 : DT_F32;
        if (dtype == DT_BF16 && !dev.bf16_dot) continue;
        Arena arena;
        Weight packed =
            pack(&dev, &arena, t & 2 ? tensor_2d(h, DT_BF16, N, K) : tensor_2d(w, DT_F32, N, K), dtype);
        mat_poison(&y);
        run(&dev, false, &y, &x, &packed, false);
        for (int i = 0; i < M; i++)
            for (int c = 0; c < N; c++) {
                double want = 0;
                for (int j = 0; j < K; j++) want += *mat_at(&x, i, j) * w[c * K + j];
                assert_within(*mat_at(&y, i, c), want, 0);
            }
        arena_free(&arena);
    }
    mat_free(&x), mat_free(&y);
    device_close(&dev);
}

/* No forward form but what is asked for, no rows, and a device without bf16. */
static void edges(void **state) {
    (void)state;
    Device dev;
    open_device(&dev);
    float w[6] = {1, 2, 3, 4, 5, 6};
    Arena arena = arena_measure("w");
    Weight packed;
    MatmulPackOpts opts = {.with_bwd = false};
    assert_ok(matmul_pack(&dev, &arena, &packed, tensor_2d(NULL, DT_F32, 2, 3), DT_F32, opts));
    assert_ok(arena_commit(&arena));
    assert_ok(matmul_pack(&dev, &arena, &packed, tensor_2d(w, DT_F32, 2, 3), DT_F32, opts));
    assert_null(packed.bwd);
    MatmulOpts mo = {.accumulate = false};
    assert_ok(matmul_fwd(&dev, tensor_2d(NULL, DT_F32, 0, 2), tensor_2d(NULL, DT_F32, 0, 3), &packed, mo));
    dev.bf16_dot = false;
    assert_fails(matmul_pack(&dev, &arena, &packed, tensor_2d(w, DT_F32, 2, 3), DT_BF16, opts), E_ENV,
                 "BF16");
    arena_free(&arena);
    device_close(&dev);
}

/* NaN and infinity of one row stay in that row, also through zero-padded edges. */
static void not_finite(void **state) {
    (void)state;
    Device dev;
    open_device(&dev);
    for (int t = 0; t < 2; t++) {
        DType dtype = t ? DT_BF16 : DT_F32;
        if (dtype == DT_BF16 && !dev.bf16_dot) continue;
        TestMat w = mat_new(33, 35, 0), x = mat_new(3, 35, 0), y = mat_new(3, 33, 0);
        Rng rng = rng_make(5, 0);
        mat_random(&w, &rng, 0.5f, 1);
        mat_random(&x, &rng, 0.5f, 1);
        *mat_at(&x, 1, 34) = INFINITY;
        *mat_at(&x, 2, 0) = NAN;
        Arena arena;
        Weight packed = pack(&dev, &arena, w.t, dtype);
        run(&dev, false, &y, &x, &packed, false);
        for (int j = 0; j < 33; j++) {
            assert_true(isfinite(*mat_at(&y, 0, j)));
            assert_true(*mat_at(&y, 1, j) == INFINITY);
            assert_true(isnan(*mat_at(&y, 2, j)));
        }
        arena_free(&arena);
        mat_free(&w), mat_free(&x), mat_free(&y);
    }
    device_close(&dev);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(f32_products), cmocka_unit_test(bf16_products), cmocka_unit_test(plain_tile),
        cmocka_unit_test(sources),      cmocka_unit_test(edges),         cmocka_unit_test(not_finite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
