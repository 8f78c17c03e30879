/* Directions x of largest variance between tasks over variance within: S_b x = lambda S_w x, with RIDGE times
 * S_w's mean variance added to its diagonal. The Linear becomes x'(e - mean), scaled to the variance of
 * PyTorch's start (1/3 for inputs of mean square 1). Sums by gemm, the eigenvectors in double on one thread:
 * the bits do not depend on the number of threads. */
#include "train/task_start.h"

#include "kernels/ops.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* LAPACK's, in OpenBLAS: a x = lambda b x for symmetric a and positive definite b. a returns the eigenvectors
 * as rows of C's order, lambda ascends. */
void dsygv_(const int *type, const char *vectors, const char *triangle, const int *n, double *a,
            const int *lda, double *b, const int *ldb, double *lambda, double *work, const int *n_work,
            int *info);

static const double RIDGE = 0.1;     /* chosen: 0.01 to 0.5 tell t2l-mini's tasks apart equally well */
static const double SMALLEST = 1e-6; /* of the largest lambda: below, a direction is rounding */

enum { WORK = 34 }; /* of dsygv, a row: more than its block */

typedef struct Scatter {
    int64_t n, e, tasks;
    double *mean;       /* [E] of the task means */
    float *rest, *task; /* [N,E] each description less its task's mean; [T,E] each task's mean less mean */
    float *within, *between;
    double *a, *b, *lambda, *work; /* [E,E], [E,E], [E], [WORK*E] */
    Arena mem;                     /* owns */
} Scatter;

static void bind(Scatter *s) {
    int64_t square = s->e * s->e;
    s->mean = arena_alloc(&s->mem, (size_t)s->e * sizeof(double));
    s->rest = arena_f32(&s->mem, s->n * s->e);
    s->task = arena_f32(&s->mem, s->tasks * s->e);
    s->within = arena_f32(&s->mem, square);
    s->between = arena_f32(&s->mem, square);
    s->a = arena_alloc(&s->mem, (size_t)square * sizeof(double));
    s->b = arena_alloc(&s->mem, (size_t)square * sizeof(double));
    s->lambda = arena_alloc(&s->mem, (size_t)s->e * sizeof(double));
    s->work = arena_alloc(&s->mem, (size_t)(WORK * s->e) * sizeof(double));
}

static void center(Scatter *s, const float *embeddings, const int64_t *first) {
    int64_t e = s->e;
    memset(s->mean, 0, (size_t)e * sizeof(double));
    for (int64_t t = 0; t < s->tasks; t++)
        for (int64_t j = 0; j < e; j++) {
            double sum = 0;
            for (int64_t i = first[t]; i < first[t + 1]; i++) sum += embeddings[i * e + j];
            sum /= (double)(first[t + 1] - first[t]);
            for (int64_t i = first[t]; i < first[t + 1]; i++)
                s->rest[i * e + j] = (float)(embeddings[i * e + j] - sum);
            s->task[t * e + j] = (float)sum;
            s->mean[j] += sum / (double)s->tasks;
        }
    for (int64_t t = 0; t < s->tasks; t++)
        for (int64_t j = 0; j < e; j++) s->task[t * e + j] -= (float)s->mean[j];
}

static Status solve(Scatter *s, Device *dev) {
    int64_t e = s->e;
    GemmOpts products = {.ta = TRANS, .alpha = 1};
    Tensor rest = tensor_2d(s->rest, DT_F32, s->n, e), task = tensor_2d(s->task, DT_F32, s->tasks, e);
    products.alpha = 1.0f / (float)s->n;
    TRY(gemm(dev, tensor_2d(s->within, DT_F32, e, e), rest, rest, products));
    products.alpha = 1.0f / (float)s->tasks;
    TRY(gemm(dev, tensor_2d(s->between, DT_F32, e, e), task, task, products));
    double variance = 0;
    for (int64_t i = 0; i < e; i++) variance += s->within[i * e + i] / (double)e;
    for (int64_t i = 0; i < e * e; i++) {
        s->a[i] = s->between[i];
        s->b[i] = s->within[i] + (i % (e + 1) == 0 ? RIDGE * variance + 1e-12 : 0);
    }
    int type = 1, n = (int)e, n_work = WORK * n, info;
    dsygv_(&type, "V", "U", &n, s->a, &n, s->b, &n, s->lambda, s->work, &n_work, &info);
    return info == 0 ? OK
                     : status_error(E_FAIL, "the descriptions' directions do not converge (dsygv %d)", info);
}

/* Mean square of the outputs over the descriptions: variance of the task means plus that within. */
static double output_variance(const Scatter *s, const double *x) {
    double sum = 0;
    for (int64_t i = 0; i < s->e; i++)
        for (int64_t j = 0; j < s->e; j++)
            sum += x[i] * x[j] * (s->between[i * s->e + j] + s->within[i * s->e + j]);
    return sum;
}

/* row: room for E numbers. */
static Status write_rows(Hypernet *hn, const Scatter *s, float *row) {
    const HypernetTensor *w = hypernet_find(hn, "task_encoder.mlp.0.weight"),
                         *b = hypernet_find(hn, "task_encoder.mlp.0.bias");
    int64_t e = s->e, n = 0;
    double variance = 0;
    for (; n < w->dim[0] && n < e && s->lambda[e - 1 - n] > SMALLEST * s->lambda[e - 1]; n++)
        variance += output_variance(s, s->a + (e - 1 - n) * e);
    double scale = sqrt((double)n / (3 * variance));
    for (int64_t k = 0; k < n; k++) {
        const double *x = s->a + (e - 1 - k) * e;
        double at_mean = 0;
        for (int64_t j = 0; j < e; j++) {
            row[j] = (float)(scale * x[j]);
            at_mean += scale * x[j] * s->mean[j];
        }
        float bias = (float)-at_mean;
        TRY(device_upload(hn->dev, hn->params + w->offset + k * e, row, (size_t)e * sizeof *row));
        TRY(device_upload(hn->dev, hn->params + b->offset + k, &bias, sizeof bias));
    }
    return OK;
}

/* Sums and eigenvectors are the host's work, whatever hn's device. */
static Status solve_on_host(Scatter *s, Device *dev) {
    Device cpu;
    if (dev->kind == DEVICE_CPU) return solve(s, dev);
    TRY(device_open(&cpu, "cpu", 0));
    Status st = solve(s, &cpu);
    device_close(&cpu);
    return st;
}

Status task_start(Hypernet *hn, Device *dev, const float *embeddings, const int64_t *first, int64_t n_tasks) {
    Scatter s = {.n = first[n_tasks], .e = hn->cfg.embed, .tasks = n_tasks};
    s.mem = arena_measure("start of the task encoder");
    bind(&s);
    TRY(arena_commit(&s.mem));
    bind(&s);
    center(&s, embeddings, first);
    Status st = solve_on_host(&s, dev);
    if (status_is_ok(st)) st = write_rows(hn, &s, s.within);
    arena_free(&s.mem);
    return st;
}
