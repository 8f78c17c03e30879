/* rope: the table and the rotation against double arithmetic, the backward against derivatives, and the
 * property it exists for: scores depend on distances only. */
#include "tests/kernels/backends.h"

typedef struct Case {
    int64_t n, heads, dim, gap, first_pos;
    double theta;
} Case;

typedef struct Input {
    int32_t *pos;
    float *inv_freq;
    double *cs; /* [N,D] of the very angles */
} Input;

static Input input_new(const Case *k) {
    Input in = {test_alloc((size_t)k->n * sizeof(int32_t)), test_alloc((size_t)k->dim * sizeof(float)),
                test_f64(k->n * k->dim)};
    int64_t half = k->dim / 2;
    for (int64_t j = 0; j < half; j++)
        in.inv_freq[j] = (float)pow(k->theta, -2.0 * (double)j / (double)k->dim);
    for (int64_t i = 0; i < k->n; i++) {
        in.pos[i] = (int32_t)(k->first_pos + i * 3 % 17);
        for (int64_t j = 0; j < half; j++) {
            double angle = (double)in.pos[i] * in.inv_freq[j];
            in.cs[i * k->dim + j] = cos(angle);
            in.cs[i * k->dim + half + j] = sin(angle);
        }
    }
    return in;
}

static void input_free(Input *in) {
    free(in->pos);
    free(in->inv_freq);
    free(in->cs);
}

/* One head of one row under a table row: sum_i dy[i] y[i]. */
typedef struct Head {
    double *x, *dy, *cs;
    int64_t d;
} Head;

static double turned(const Head *h, int64_t i) {
    int64_t half = h->d / 2, j = i % half;
    double c = h->cs[j], s = h->cs[half + j];
    return i < half ? h->x[j] * c - h->x[half + j] * s : h->x[half + j] * c + h->x[j] * s;
}

static double head_loss(const void *ctx) {
    const Head *h = ctx;
    double sum = 0.0;
    for (int64_t i = 0; i < h->d; i++) sum += h->dy[i] * turned(h, i);
    return sum;
}

static void one_case(const Case *k, DType type) {
    Rng rng = rng_make(13, (uint64_t)(k->n * 77 + k->dim));
    Input in = input_new(k);
    int64_t width = k->heads * k->dim;
    TestMat x = mat_new(k->n, width, k->gap), dy = mat_new(k->n, width, k->gap);
    mat_random(&x, &rng, -2.0f, 2.0f);
    mat_random(&dy, &rng, -2.0f, 2.0f);
    mat_round(&x, type);
    mat_round(&dy, type);
    double stored = 2.0 * sqrt(2.0) * 1.01 * store_bound(type); /* of numbers up to 2 sqrt 2 */
    TestMat y1 = mat_new(k->n, width, 0), dx1 = mat_new(k->n, width, 0);
    Device dev;
    for (int b = 0; backend_open(&dev, b); b++) {
        if (!backend_has(&dev, type)) {
            device_close(&dev);
            continue;
        }
        TestMat cs = mat_new(k->n, k->dim, 0), y = mat_new(k->n, width, k->gap),
                dx = mat_new(k->n, width, k->gap), again = mat_new(k->n, width, k->gap);
        mat_copy(&y, &x);
        mat_copy(&dx, &dy);
        void *pos = bytes_to(&dev, in.pos, (size_t)k->n * sizeof(int32_t));
        void *inv_freq = bytes_to(&dev, in.inv_freq, (size_t)(k->dim / 2) * sizeof(float));
        Twin tcs = mat_to(&dev, &cs, DT_F32), ty = mat_to(&dev, &y, type), tdx = mat_to(&dev, &dx, type);
        assert_ok(rope_table(&dev, tcs.t, pos, inv_freq));
        assert_ok(rope_fwd(&dev, ty.t, tcs.t));
        assert_ok(rope_bwd(&dev, tdx.t, tcs.t));
        mat_from(&ty);
        mat_from(&tdx);
        mat_intact(&y);
        mat_intact(&dx);
        mat_copy(&again, &y);
        Twin tagain = mat_to(&dev, &again, type);
        assert_ok(rope_bwd(&dev, tagain.t, tcs.t)); /* there and back */
        mat_from(&tagain);
        mat_from(&tcs);
        mat_intact(&cs);
        device_free(&dev, pos);
        device_free(&dev, inv_freq);
        for (int64_t i = 0; i < k->n; i++) /* the rounded angle, and cosf and sinf to one ulp */
            for (int64_t j = 0; j < k->dim; j++)
                assert_within(*mat_at(&cs, i, j), in.cs[i * k->dim + j],
                              ROUND_F32 * (2.0 + (double)in.pos[i] * in.inv_freq[j % (k->dim / 2)]));
        double *xd = mat_f64(&x), *dyd = mat_f64(&dy), *csd = mat_f64(&cs);
        for (int64_t i = 0; i < k->n && (b == 0 || b >= N_CPU); i++)
            for (int64_t c = 0; c < width; c++) {
                int64_t at = i * width + c / k->dim * k->dim;
                Head h = {xd + at, dyd + at, csd + i * k->dim, k->dim};
                /* two products and a sum of numbers up to 2 */
                assert_within(*mat_at(&y, i, c), turned(&h, c % k->dim), 8.0 * ROUND_F32 + stored);
                assert_within(*mat_at(&dx, i, c), derivative(&h.x[c % k->dim], head_loss, &h),
                              8.0 * ROUND_F32 + stored + 1e-9);
            }
        free(xd);
        free(dyd);
        free(csd);
        if (b == 0) {
            mat_copy(&y1, &y);
            mat_copy(&dx1, &dx);
        } else if (b < N_CPU) {
            mat_same_bits(&y1, &y);
            mat_same_bits(&dx1, &dx);
        }
        for (int64_t i = 0; i < k->n; i++)
            for (int64_t c = 0; c < width; c++)
                assert_within(*mat_at(&again, i, c), *mat_at(&x, i, c), 24.0 * ROUND_F32 + 3.0 * stored);
        mat_free(&again);
        mat_free(&cs);
        mat_free(&y);
        mat_free(&dx);
        device_close(&dev);
    }
    TestMat *all[] = {&x, &dy, &y1, &dx1};
    for (int i = 0; i < COUNT_OF(all); i++) mat_free(all[i]);
    input_free(&in);
}

static void sizes(void **state) {
    (void)state;
    const Case cases[] = {
        {1, 1, 2, 0, 0, 1e4},     {33, 3, 16, 5, 0, 1e5},     {7, 9, 64, 64, 0, 1e5},
        {5, 2, 66, 1, 8000, 1e4}, {2, 4, 10, 0, 131000, 5e5},
    };
    for (int i = 0; i < COUNT_OF(cases); i++) {
        one_case(&cases[i], DT_F32);
        one_case(&cases[i], DT_BF16);
    }
}

/* q at position i + s and k at position j + s have the product of q at i and k at j. */
static void only_distances_matter(void **state) {
    (void)state;
    enum { D = 64 };
    Device dev;
    assert_ok(device_open(&dev, "cpu", 1));
    Rng rng = rng_make(17, 0);
    float inv_freq[D / 2], q[D], k[D];
    for (int j = 0; j < D / 2; j++) inv_freq[j] = (float)pow(1e4, -2.0 * j / D);
    fill_random(q, D, &rng, -1.0f, 1.0f);
    fill_random(k, D, &rng, -1.0f, 1.0f);
    double product[3];
    const int32_t shift[3] = {0, 1, 100};
    for (int s = 0; s < 3; s++) {
        float x[2][D], cs[2][D];
        int32_t pos[2] = {9 + shift[s], 4 + shift[s]};
        memcpy(x[0], q, sizeof q);
        memcpy(x[1], k, sizeof k);
        assert_ok(rope_table(&dev, tensor_2d(cs, DT_F32, 2, D), pos, inv_freq));
        assert_ok(rope_fwd(&dev, tensor_2d(x, DT_F32, 2, D), tensor_2d(cs, DT_F32, 2, D)));
        product[s] = 0.0;
        for (int j = 0; j < D; j++) product[s] += (double)x[0][j] * x[1][j];
    }
    assert_within(product[1], product[0], D * 16.0 * ROUND_F32);
    assert_within(product[2], product[0], D * 128.0 * ROUND_F32); /* angles up to 109 are rounded */
    device_close(&dev);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(sizes), cmocka_unit_test(only_distances_matter)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
