/* Products with packed weights against float64, on every tile shape and edge. Tolerance: twice the worst
 * error of a plain loop in the same precision (operands rounded alike, one f32 sum). Also: bits do not depend
 * on the number of threads nor on the other rows, nothing is written outside, all CPU bodies agree. */
#include "tests/kernels/backends.h"

#include "kernels/matmul/matmul_cpu.h"

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
    assert_ok(arena_commit_on(arena, dev));
    if (dev->kind == DEVICE_CPU)
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

/* The same on any device, operands of these types. */
static void run_on(Device *dev, bool bwd, TestMat *y, DType y_type, TestMat *x, DType x_type, const Weight *w,
                   bool accumulate) {
    MatmulOpts opts = {.accumulate = accumulate};
    Twin ty = mat_to(dev, y, y_type), tx = mat_to(dev, x, x_type);
    size_t mark = arena_mark(&dev->scratch);
    assert_ok(bwd ? matmul_bwd(dev, ty.t, tx.t, w, opts) : matmul_fwd(dev, ty.t, tx.t, w, opts));
    assert_true(arena_mark(&dev->scratch) == mark);
    mat_from(&ty);
    twin_free(&tx);
    mat_intact(y);
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

/* Every row alone, one after the other: pointers of every alignment with one shape. */
static void rows_alone(Device *dev, bool bwd, TestMat *y, DType y_type, TestMat *x, DType x_type,
                       const Weight *w, bool accumulate) {
    MatmulOpts opts = {.accumulate = accumulate};
    Twin ty = mat_to(dev, y, y_type), tx = mat_to(dev, x, x_type);
    for (int64_t i = 0; i < y->t.dim[0]; i++) {
        Tensor yi = tensor_rows(ty.t, i, 1), xi = tensor_rows(tx.t, i, 1);
        assert_ok(bwd ? matmul_bwd(dev, yi, xi, w, opts) : matmul_fwd(dev, yi, xi, w, opts));
    }
    mat_from(&ty);
    twin_free(&tx);
    mat_intact(y);
}

/* A product of an activation type into an activation type. */
static void check_types(Device *dev, Case s, DType dtype, DType x_type, DType y_type, bool bwd,
                        bool accumulate, double *ratio) {
    Rng rng = rng_make(8, (uint64_t)(s.m * 1000 + s.n * 10 + s.k));
    int64_t out = bwd ? s.k : s.n, in = bwd ? s.n : s.k;
    TestMat w = mat_new(s.n, s.k, 0), x = mat_new(s.m, in, 5), y0 = mat_new(s.m, out, 0);
    mat_random(&w, &rng, -1, 1);
    mat_random(&x, &rng, -1, 1);
    mat_random(&y0, &rng, -1, 1);
    mat_round(&x, x_type);
    mat_round(&y0, y_type);
    Arena arena;
    Weight packed = pack(dev, &arena, w.t, dtype);
    double *want = test_f64(s.m * out);
    double naive =
        reference(want, &y0, &x, tensor_f32(w.t), out, in, bwd ? 1 : s.k, bwd ? s.k : 1, dtype, accumulate);
    for (int alone = 0; alone < (accumulate ? 1 : 2); alone++) {
        TestMat y = mat_new(s.m, out, 3);
        if (accumulate) mat_copy(&y, &y0);
        (alone ? rows_alone : run_on)(dev, bwd, &y, y_type, &x, x_type, &packed, accumulate);
        for (int64_t i = 0; i < s.m; i++)
            for (int64_t j = 0; j < out; j++) {
                double exact = want[i * out + j], stored = 1.01 * store_bound(y_type) * fabs(exact);
                assert_within(*mat_at(&y, i, j), exact, 2 * naive + stored);
                *ratio = fmax(*ratio, (fabs(*mat_at(&y, i, j) - exact) - stored) / naive);
            }
        mat_free(&y);
    }
    free(want);
    arena_free(&arena);
    mat_free(&w), mat_free(&x), mat_free(&y0);
}

/* The interpreter takes time for every page of scratch. */
static void small_scratch(Device *dev) {
    arena_free(&dev->scratch);
    assert_ok(arena_init_on(&dev->scratch, dev, "scratch", 2 << 20));
}

static void cuda_products(void **state) {
    (void)state;
    Device dev;
    for (int b = N_CPU; backend_open(&dev, b); b++) {
        double ratio = 0;
        small_scratch(&dev);
        for (int i = 0; i < COUNT_OF(cases); i++)
            for (int mode = 0; mode < 4; mode++) {
                check_types(&dev, cases[i], DT_F32, DT_F32, DT_F32, mode & 1, mode >> 1, &ratio);
                for (int types = 0; types < 4; types++)
                    check_types(&dev, cases[i], DT_BF16, types & 1 ? DT_BF16 : DT_F32,
                                types & 2 ? DT_BF16 : DT_F32, mode & 1, mode >> 1, &ratio);
            }
        print_message("%s: error at most %.2f of a plain loop's\n", dev.memory->name, ratio);
        device_close(&dev);
    }
}

/* More shapes than a device keeps plans for, and the first ones again. */
static void many_shapes(void **state) {
    (void)state;
    enum { M = 1100, TIMES = 2 };
    Device dev;
    for (int b = N_CPU - 1; backend_open(&dev, b); b++) {
        float w[2] = {3, 5};
        small_scratch(&dev);
        Arena arena;
        Weight packed = pack(&dev, &arena, tensor_2d(w, DT_F32, 1, 2), DT_F32);
        TestMat x = mat_new(M, 2, 1), y = mat_new(M, 1, 0);
        for (int i = 0; i < M; i++) {
            *mat_at(&x, i, 0) = (float)i;
            *mat_at(&x, i, 1) = 1;
            *mat_at(&y, i, 0) = 0;
        }
        Twin tx = mat_to(&dev, &x, DT_F32), ty = mat_to(&dev, &y, DT_F32);
        for (int round = 0; round < TIMES; round++)
            for (int m = 1; m <= M; m++)
                assert_ok(matmul_fwd(&dev, tensor_rows(ty.t, M - m, m), tensor_rows(tx.t, M - m, m), &packed,
                                     (MatmulOpts){.accumulate = true}));
        mat_from(&ty);
        twin_free(&tx);
        for (int i = 0; i < M; i++)
            assert_within(*mat_at(&y, i, 0), (double)TIMES * (i + 1) * (3.0 * i + 5.0), 0);
        arena_free(&arena);
        mat_free(&x), mat_free(&y);
        device_close(&dev);
    }
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
    Device dev;
    for (int b = N_CPU - 1; backend_open(&dev, b); device_close(&dev), b++)
        for (int t = 0; t < 4; t++) {
            DType dtype = t & 1 ? DT_BF16 : DT_F32;
            if (dtype == DT_BF16 && dev.kind == DEVICE_CPU && !dev.bf16_dot) continue;
            Arena arena;
            Weight packed =
                pack(&dev, &arena, t & 2 ? tensor_2d(h, DT_BF16, N, K) : tensor_2d(w, DT_F32, N, K), dtype);
            mat_poison(&y);
            run_on(&dev, false, &y, DT_F32, &x, DT_F32, &packed, false);
            for (int i = 0; i < M; i++)
                for (int c = 0; c < N; c++) {
                    double want = 0;
                    for (int j = 0; j < K; j++) want += *mat_at(&x, i, j) * w[c * K + j];
                    assert_within(*mat_at(&y, i, c), want, 0);
                }
            arena_free(&arena);
        }
    mat_free(&x), mat_free(&y);
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
    for (int b = N_CPU - 1; backend_open(&dev, b); device_close(&dev), b++)
        for (int t = 0; t < 2; t++) {
            DType dtype = t ? DT_BF16 : DT_F32;
            if (dtype == DT_BF16 && dev.kind == DEVICE_CPU && !dev.bf16_dot) continue;
            TestMat w = mat_new(33, 35, 0), x = mat_new(3, 35, 0), y = mat_new(3, 33, 0);
            Rng rng = rng_make(5, 0);
            mat_random(&w, &rng, 0.5f, 1);
            mat_random(&x, &rng, 0.5f, 1);
            *mat_at(&x, 1, 34) = INFINITY;
            *mat_at(&x, 2, 0) = NAN;
            Arena arena;
            Weight packed = pack(&dev, &arena, w.t, dtype);
            run_on(&dev, false, &y, DT_F32, &x, DT_F32, &packed, false);
            for (int j = 0; j < 33; j++) {
                assert_true(isfinite(*mat_at(&y, 0, j)));
                assert_true(*mat_at(&y, 1, j) == INFINITY);
                assert_true(isnan(*mat_at(&y, 2, j)));
            }
            arena_free(&arena);
            mat_free(&w), mat_free(&x), mat_free(&y);
        }
}

/* bf16 activations: with a bf16 weight, and not on the CPU. */
static void unsupported(void **state) {
    (void)state;
    Device dev;
    for (int b = N_CPU - 1; backend_open(&dev, b); b++) {
        TestMat x = mat_new(2, 3, 0), y = mat_new(2, 5, 0), w = mat_new(5, 3, 0);
        Rng rng = rng_make(6, 0);
        mat_random(&w, &rng, -1, 1);
        Arena arena;
        Weight packed = pack(&dev, &arena, w.t, DT_F32);
        for (int types = 1; types < 4; types++) {
            Twin tx = mat_to(&dev, &x, types & 1 ? DT_BF16 : DT_F32),
                 ty = mat_to(&dev, &y, types & 2 ? DT_BF16 : DT_F32);
            MatmulOpts opts = {.accumulate = false};
            assert_fails(matmul_fwd(&dev, ty.t, tx.t, &packed, opts), E_UNSUPPORTED, "matmul_fwd");
            assert_fails(matmul_bwd(&dev, tx.t, ty.t, &packed, opts), E_UNSUPPORTED, "matmul_bwd");
            twin_free(&tx);
            twin_free(&ty);
        }
        arena_free(&arena);
        mat_free(&x), mat_free(&y), mat_free(&w);
        device_close(&dev);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(f32_products),  cmocka_unit_test(bf16_products), cmocka_unit_test(plain_tile),
        cmocka_unit_test(sources),       cmocka_unit_test(edges),         cmocka_unit_test(not_finite),
        cmocka_unit_test(cuda_products), cmocka_unit_test(many_shapes),   cmocka_unit_test(unsupported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
