/* embedding_fwd: rows of the table times a scale, plus noise that depends on the element's number only. */
#include "tests/kernels/backends.h"

/* A table of v rows, f32 or bf16, and the floats that it holds. */
typedef struct Table {
    Tensor t;
    float *values;
} Table;

static Table table_new(int64_t v, int64_t c, DType type, Rng *rng) {
    Table t = {tensor_2d(NULL, type, v, c), test_alloc((size_t)(v * c) * sizeof(float))};
    fill_random(t.values, v * c, rng, -2.0f, 2.0f);
    t.t.data = t.values;
    if (type == DT_F32) return t;
    uint16_t *h = test_alloc((size_t)(v * c) * sizeof *h);
    for (int64_t i = 0; i < v * c; i++) {
        h[i] = float_to_bf16(t.values[i]);
        t.values[i] = bf16_to_float(h[i]);
    }
    t.t.data = h;
    return t;
}

static void table_free(Table *t) {
    if (t->t.data != t->values) free(t->t.data);
    free(t->values);
}

static double noise_at(int64_t element, EmbeddingOpts o) {
    double u = (double)(rng_at(o.seed, o.stream, (uint64_t)element) >> 8) / 16777216.0;
    return o.noise * (2.0 * u - 1.0);
}

static void one_case(int64_t n, int64_t c, int64_t v, int64_t gap, DType type, EmbeddingOpts o) {
    Rng rng = rng_make(7, (uint64_t)(n * 1000 + c));
    Table table = table_new(v, c, type, &rng);
    int32_t *ids = test_alloc((size_t)n * sizeof *ids);
    for (int64_t i = 0; i < n; i++) ids[i] = (int32_t)rng_below(&rng, (uint32_t)v);
    ids[0] = 0;
    ids[n - 1] = (int32_t)(v - 1);
    TestMat first = mat_new(n, c, gap);
    Device dev;
    for (int b = 0; backend_open(&dev, b); b++) {
        TestMat y = mat_new(n, c, gap);
        Twin ty = mat_to(&dev, &y, DT_F32);
        Tensor tt = table.t;
        tt.device = dev.kind;
        tt.data = bytes_to(&dev, table.t.data, dtype_bytes(type, v * c));
        int32_t *tids = bytes_to(&dev, ids, (size_t)n * sizeof *ids);
        assert_ok(embedding_fwd(&dev, ty.t, tids, tt, o));
        mat_from(&ty);
        device_free(&dev, tt.data);
        device_free(&dev, tids);
        mat_intact(&y);
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = 0; j < c; j++) {
                double base = (double)o.scale * table.values[ids[i] * c + j];
                /* a rounding of the product, three of the noise, one of the sum; none where both are plain */
                double bound = o.scale == 1.0f && o.noise == 0.0f
                                   ? 0.0
                                   : 4.0 * ROUND_F32 * (fabs(base) + fabs((double)o.noise));
                double want = o.noise == 0.0f ? base : base + noise_at(i * c + j, o);
                assert_within(*mat_at(&y, i, j), want, bound);
            }
        if (b == 0) mat_copy(&first, &y);
        if (b < N_CPU) mat_same_bits(&first, &y);
        mat_free(&y);
        device_close(&dev);
    }
    mat_free(&first);
    free(ids);
    table_free(&table);
}

static void rows_of_the_table(void **state) {
    (void)state;
    EmbeddingOpts plain = {1.0f, 0.0f, 0, 0}, scaled = {11.3137f, 0.0f, 3, 4};
    const DType types[] = {DT_F32, DT_BF16};
    for (int i = 0; i < 2; i++) {
        one_case(1, 1, 1, 0, types[i], plain);
        one_case(33, 33, 97, 5, types[i], plain);
        one_case(2, 4097, 3, 1, types[i], plain);
        one_case(130, 48, 97, 0, types[i], scaled);
    }
}

static void noise_is_numbered(void **state) {
    (void)state;
    EmbeddingOpts o = {1.0f, 0.25f, 0xfeedface12345678u, 0x1ffffu};
    one_case(33, 33, 5, 3, DT_F32, o);
    one_case(3, 4097, 5, 0, DT_BF16, o);
    one_case(5, 264, 7, 8, DT_F32, o); /* whole vectors */
    one_case(5, 264, 7, 8, DT_BF16, o);
}

/* No kernel can be stopped: with CUDA a row whose id is outside of the table is NaN, and only that row. */
static void id_outside(void **state) {
    (void)state;
    enum { N = 4, C = 8, V = 3 };
    const int32_t ids[N] = {2, -1, 1, V};
    float *values = test_alloc(V * C * sizeof *values);
    for (int i = 0; i < V * C; i++) values[i] = (float)i;
    Device dev;
    for (int b = N_CPU; backend_open(&dev, b); b++) {
        TestMat y = mat_new(N, C, 0);
        Twin ty = mat_to(&dev, &y, DT_F32);
        Tensor table = device_2d(&dev, bytes_to(&dev, values, V * C * sizeof *values), V, C);
        int32_t *tids = bytes_to(&dev, ids, sizeof ids);
        assert_ok(embedding_fwd(&dev, ty.t, tids, table, (EmbeddingOpts){1.0f, 0.0f, 0, 0}));
        mat_from(&ty);
        for (int i = 0; i < N * C; i++) {
            float got = *mat_at(&y, i / C, i % C);
            assert_true(i / C % 2 ? isnan(got) : got == values[ids[i / C] * C + i % C]);
        }
        device_free(&dev, table.data);
        device_free(&dev, tids);
        mat_free(&y);
        device_close(&dev);
    }
    free(values);
}

/* The mean of n uniform numbers of +-a has a standard deviation of a / sqrt(3n). */
static void noise_is_uniform(void **state) {
    (void)state;
    enum { N = 64, C = 512 };
    Device dev;
    assert_ok(device_open(&dev, "cpu", 2));
    float *zero = (float *)test_f64(C);
    int32_t ids[N] = {0};
    TestMat y = mat_new(N, C, 0);
    EmbeddingOpts o = {1.0f, 0.5f, 1, 2};
    assert_ok(embedding_fwd(&dev, y.t, ids, tensor_2d(zero, DT_F32, 1, C), o));
    double sum = 0.0, squares = 0.0, largest = 0.0;
    for (int i = 0; i < N * C; i++) {
        double x = tensor_f32(y.t)[i];
        sum += x;
        squares += x * x;
        if (fabs(x) > largest) largest = fabs(x);
    }
    assert_within(sum / (N * C), 0.0, 4.0 * 0.5 / sqrt(3.0 * N * C));
    assert_within(squares / (N * C), 0.25 / 3.0, 0.002);
    assert_true(largest <= 0.5 && largest > 0.499);
    mat_free(&y);
    free(zero);
    device_close(&dev);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_of_the_table),
        cmocka_unit_test(noise_is_numbered),
        cmocka_unit_test(noise_is_uniform),
        cmocka_unit_test(id_outside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
