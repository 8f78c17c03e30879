/* What the tests share. Include it first: it brings cmocka and what cmocka wants before it.
 *
 * TestMat is a matrix in hostile surroundings: every word of it, of the gaps between its rows and of the
 * guards before and after is a NaN of a known pattern. mat_intact() then says whether anything outside the
 * matrix was written; anything read there shows up as NaN in the result. Comparisons fail on NaN. */
#ifndef T2L_TESTS_TEST_UTIL_H
#define T2L_TESTS_TEST_UTIL_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <float.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/rng.h"
#include "base/tensor.h"

#define TEST_FN __attribute__((unused)) static
#define COUNT_OF(a) ((int)(sizeof(a) / sizeof *(a)))

/* Unit roundoff of float. */
#define ROUND_F32 0x1p-24

enum { TEST_GUARD = 64, TEST_POISON = 0x7fc5a5a5 };

/* ---- Status ---- */

#define assert_ok(expr)                                                                               \
    do {                                                                                              \
        Status assert_status_ = (expr);                                                               \
        if (!status_is_ok(assert_status_)) fail_msg("%s: %s", #expr, status_message(assert_status_)); \
    } while (0)

/* expr fails with this code and its message contains `part`. */
#define assert_fails(expr, code, part)                                                                \
    do {                                                                                              \
        Status assert_status_ = (expr);                                                               \
        if (status_is_ok(assert_status_)) fail_msg("%s: did not fail", #expr);                        \
        if (status_code(assert_status_) != (code) || !strstr(status_message(assert_status_), (part))) \
            fail_msg("%s: code %d, \"%s\"", #expr, (int)status_code(assert_status_),                  \
                     status_message(assert_status_));                                                 \
        status_free(assert_status_);                                                                  \
    } while (0)

/* ---- Memory ---- */

TEST_FN void *test_alloc(size_t n) {
    void *p = malloc(n ? n : 1);
    if (!p) fail_msg("out of memory");
    return p;
}

/* n doubles, zero. */
TEST_FN double *test_f64(int64_t n) {
    double *p = test_alloc((size_t)n * sizeof *p);
    for (int64_t i = 0; i < n; i++) p[i] = 0.0;
    return p;
}

typedef struct TestMat {
    Tensor t;      /* [rows, cols], f32; rows t.ld apart */
    uint32_t *mem; /* owns: guard, rows, guard */
    int64_t words, first;
} TestMat;

TEST_FN void mat_poison(TestMat *m) {
    for (int64_t i = 0; i < m->words; i++) m->mem[i] = TEST_POISON;
}

/* gap: words between the rows, half of them before the first. */
TEST_FN TestMat mat_new(int64_t rows, int64_t cols, int64_t gap) {
    TestMat m;
    m.words = 2 * TEST_GUARD + rows * (cols + gap) + gap;
    m.first = TEST_GUARD + gap / 2;
    m.mem = test_alloc((size_t)m.words * sizeof *m.mem);
    m.t = tensor_2d(m.mem + m.first, DT_F32, rows, cols);
    m.t.ld = cols + gap;
    mat_poison(&m);
    return m;
}

TEST_FN void mat_free(TestMat *m) {
    free(m->mem);
    m->mem = NULL;
}

TEST_FN float *mat_at(const TestMat *m, int64_t row, int64_t col) {
    return tensor_f32(m->t) + row * m->t.ld + col;
}

/* Fails when a word outside the matrix was written. */
TEST_FN void mat_intact(const TestMat *m) {
    for (int64_t i = 0; i < m->words; i++) {
        int64_t at = i - m->first, row = at / m->t.ld, col = at % m->t.ld;
        if (at >= 0 && row < m->t.dim[0] && col < m->t.dim[1]) continue;
        if (m->mem[i] != TEST_POISON)
            fail_msg("written outside of [%lld,%lld]: word %lld", (long long)m->t.dim[0],
                     (long long)m->t.dim[1], (long long)at);
    }
}

TEST_FN void mat_copy(TestMat *dst, const TestMat *src) {
    for (int64_t i = 0; i < src->t.dim[0]; i++)
        for (int64_t j = 0; j < src->t.dim[1]; j++) *mat_at(dst, i, j) = *mat_at(src, i, j);
}

/* Uniform in [lo, hi). */
TEST_FN void fill_random(float *p, int64_t n, Rng *rng, float lo, float hi) {
    for (int64_t i = 0; i < n; i++) p[i] = lo + (hi - lo) * rng_float(rng);
}

TEST_FN void mat_random(TestMat *m, Rng *rng, float lo, float hi) {
    for (int64_t i = 0; i < m->t.dim[0]; i++) fill_random(mat_at(m, i, 0), m->t.dim[1], rng, lo, hi);
}

/* The values as doubles, contiguous; caller frees. */
TEST_FN double *mat_f64(const TestMat *m) {
    int64_t cols = m->t.dim[1];
    double *p = test_f64(m->t.dim[0] * cols);
    for (int64_t i = 0; i < m->t.dim[0]; i++)
        for (int64_t j = 0; j < cols; j++) p[i * cols + j] = *mat_at(m, i, j);
    return p;
}

/* ---- Comparisons ---- */

/* |got - want| <= bound, false when anything is NaN. */
TEST_FN bool within(double got, double want, double bound) {
    return fabs(got - want) <= bound;
}

#define assert_within(got, want, bound)                                                              \
    do {                                                                                             \
        double got_ = (got), want_ = (want), bound_ = (bound);                                       \
        if (!within(got_, want_, bound_))                                                            \
            fail_msg("%s: got %.9g, expected %.9g +- %.3g (off by %.3g)", #got, got_, want_, bound_, \
                     got_ - want_);                                                                  \
    } while (0)

/* max |got - want| / max |want| of n numbers; infinite when one is NaN. */
TEST_FN double relative_error(const float *got, const double *want, int64_t n) {
    double worst = 0.0, largest = 0.0;
    for (int64_t i = 0; i < n; i++) {
        double d = fabs((double)got[i] - want[i]), a = fabs(want[i]);
        if (!(d <= worst)) worst = isnan(d) ? INFINITY : d;
        if (a > largest) largest = a;
    }
    return largest > 0.0 ? worst / largest : worst;
}

TEST_FN void mat_same_bits(const TestMat *a, const TestMat *b) {
    assert_true(a->t.dim[0] == b->t.dim[0] && a->t.dim[1] == b->t.dim[1]);
    for (int64_t i = 0; i < a->t.dim[0]; i++)
        if (memcmp(mat_at(a, i, 0), mat_at(b, i, 0), (size_t)a->t.dim[1] * sizeof(float)) != 0)
            fail_msg("row %lld differs", (long long)i);
}

/* Relative error of a float sum of n terms, in units of the sum of their absolute values: lambda sqrt(n) u
 * with lambda = 4, and two more roundings for each term. Higham & Mary 2019: with independent roundings of
 * mean 0 a term's share is exceeded with probability 2 exp(-lambda^2 / 2) = 7e-4, in any order of the sum. */
TEST_FN double sum_bound(int64_t n) {
    return (4.0 * sqrt((double)n) + 2.0) * ROUND_F32;
}

/* ---- Derivatives ---- */

/* d f / d *x by the five-point rule (error h^4/30 f^(5)): about 1e-11 for smooth f of size 1. */
typedef double TestLoss(const void *ctx);
TEST_FN double derivative(double *x, TestLoss *f, const void *ctx) {
    const double h = 1e-3;
    double x0 = *x, d[5];
    for (int i = -2; i <= 2; i++) {
        if (i == 0) continue;
        *x = x0 + i * h;
        d[i + 2] = f(ctx);
    }
    *x = x0;
    return (8.0 * (d[3] - d[1]) - (d[4] - d[0])) / (12.0 * h);
}

/* ---- Files ---- */

/* A new empty directory; remove it with temp_remove. */
TEST_FN void temp_make(char path[PATH_MAX]) {
    const char *base = getenv("TMPDIR");
    snprintf(path, PATH_MAX, "%s/t2l-test-XXXXXX", base && *base ? base : "/tmp");
    if (!mkdtemp(path)) fail_msg("cannot make %s", path);
}

TEST_FN void temp_remove(const char *path) {
    status_free(file_remove_tree(path));
}

#ifdef TEST_ROOT
#define GOLDEN(name) TEST_ROOT "/tests/golden/" name
#endif

#endif
