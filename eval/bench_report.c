#include "eval/bench_report.h"
#include "eval/published.h"
#include "eval/table.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RESAMPLES = 2000 }; /* chosen: a limit of the interval then moves by 2 % of its width */

static Status no_memory(void) {
    return status_error(E_ENV, "no memory for the report");
}

static bool is_of(const BenchRow *row, const Benchmark *b, const char *name) {
    return row->benchmark == b && strcmp(row->name, name) == 0;
}

static bool is_first(const BenchReport *r, int64_t at) {
    for (int64_t i = 0; i < at; i++)
        if (is_of(&r->rows[i], r->rows[at].benchmark, r->rows[at].name)) return false;
    return true;
}

/* The mean over descriptions of one metric; over examples where there is one description. */
static StatsMean mean_of(const BenchReport *r, const Benchmark *b, const char *name, bool second,
                         double *means) {
    int64_t n = 0;
    StatsMean m = {0};
    for (int64_t i = 0; i < r->n_rows; i++) {
        const BenchRow *row = &r->rows[i];
        if (!is_of(row, b, name) || (second && !row->second)) continue;
        m = stats_mean(second ? row->second : row->score, row->n);
        means[n++] = m.mean;
    }
    return n > 1 ? stats_mean(means, n) : m;
}

Status bench_report_score(BenchScore *out, const BenchReport *r, const Benchmark *b, const char *name) {
    *out = (BenchScore){0};
    double *means = calloc((size_t)r->n_rows + 1, sizeof *means);
    if (!means) return no_memory();
    for (int64_t i = 0; i < r->n_rows; i++) {
        if (!is_of(&r->rows[i], b, name)) continue;
        out->n = r->rows[i].n;
        out->descriptions++;
    }
    out->first = mean_of(r, b, name, false, means);
    out->second = mean_of(r, b, name, true, means);
    free(means);
    return OK;
}

/* ---- results.json ---- */

static bool add_metric(cJSON *o, const char *metric, StatsMean m) {
    char key[64];
    snprintf(key, sizeof key, "%s_stderr", metric);
    return cJSON_AddNumberToObject(o, metric, m.mean) && cJSON_AddNumberToObject(o, key, m.error);
}

/* An example's score, its mean over the descriptions -> x [n]. */
static void example_scores(double *x, const BenchReport *r, const Benchmark *b, const char *name) {
    double count = 0;
    int64_t n = 0;
    for (int64_t i = 0; i < r->n_rows; i++) {
        const BenchRow *row = &r->rows[i];
        if (!is_of(row, b, name)) continue;
        n = row->n;
        count++;
        for (int64_t k = 0; k < n; k++) x[k] = (count == 1 ? 0 : x[k]) + row->score[k];
    }
    for (int64_t k = 0; k < n; k++) x[k] /= count;
}

static Status add_paired(cJSON *o, const BenchReport *r, const BenchRow *row, uint64_t seed) {
    double *x = calloc(2 * (size_t)row->n, sizeof *x), *base = x ? x + row->n : NULL;
    StatsPaired p;
    if (!x) return no_memory();
    example_scores(x, r, row->benchmark, row->name);
    example_scores(base, r, row->benchmark, "base");
    Status s = stats_bootstrap(&p, x, base, row->n, RESAMPLES, seed);
    free(x);
    TRY(s);
    cJSON *to = cJSON_AddObjectToObject(o, "vs_base");
    bool ok = to && cJSON_AddNumberToObject(to, "diff", p.diff) &&
              cJSON_AddNumberToObject(to, "diff_stderr", p.error) &&
              cJSON_AddNumberToObject(to, "low", p.low) && cJSON_AddNumberToObject(to, "high", p.high);
    return ok ? OK : no_memory();
}

static Status add_row(cJSON *results, const BenchReport *r, const BenchRow *row, uint64_t seed) {
    BenchScore score, base;
    const char *second, *first = bench_metric(&second, r, row->benchmark);
    TRY(bench_report_score(&score, r, row->benchmark, row->name));
    TRY(bench_report_score(&base, r, row->benchmark, "base"));
    cJSON *task = cJSON_GetObjectItemCaseSensitive(results, row->benchmark->name);
    if (!task) task = cJSON_AddObjectToObject(results, row->benchmark->name);
    cJSON *o = task ? cJSON_AddObjectToObject(task, row->name) : NULL;
    bool ok =
        o && add_metric(o, first, score.first) && (!second || add_metric(o, second, score.second)) &&
        cJSON_AddNumberToObject(o, "n", (double)score.n) &&
        (score.descriptions < 2 || cJSON_AddNumberToObject(o, "descriptions", (double)score.descriptions));
    if (!ok) return no_memory();
    return base.n > 0 && strcmp(row->name, "base") != 0 ? add_paired(o, r, row, seed) : OK;
}

Status bench_report_json(cJSON **out, const BenchReport *r, uint64_t seed, cJSON *config) {
    cJSON *root = cJSON_CreateObject(), *results = root ? cJSON_AddObjectToObject(root, "results") : NULL;
    Status s = results ? OK : no_memory();
    for (int64_t i = 0; status_is_ok(s) && i < r->n_rows; i++)
        if (is_first(r, i)) s = add_row(results, r, &r->rows[i], seed);
    if (status_is_ok(s) && config && cJSON_AddItemToObject(root, "config", config)) config = NULL;
    if (status_is_ok(s) && config) s = no_memory();
    cJSON_Delete(config);
    if (status_is_ok(s))
        *out = root;
    else
        cJSON_Delete(root);
    return s;
}

/* ---- the table ---- */

/* The benchmarks that were run, in the order of the paper. */
static int shown(const Benchmark *out[BENCHMARK_COUNT], const BenchReport *r) {
    int n = 0;
    for (int b = 0; b < BENCHMARK_COUNT; b++)
        for (int64_t i = 0; i < r->n_rows; i++)
            if (r->rows[i].benchmark == &benchmark_table()[b]) {
                out[n++] = r->rows[i].benchmark;
                break;
            }
    return n;
}

static Status put_scores(Table *t, const BenchReport *r, const Benchmark *const *b, int n, const char *name,
                         bool second) {
    double sum = 0;
    int with = 0;
    for (int c = 0; c < n; c++) {
        BenchScore s;
        const char *metric;
        TRY(bench_report_score(&s, r, b[c], name));
        bench_metric(&metric, r, b[c]);
        if (s.n == 0 || (second && !metric)) continue;
        StatsMean m = second ? s.second : s.first;
        snprintf(table_cell(t, 1 + c), TABLE_CELL, "%.2f ± %.2f", 100 * m.mean, 100 * m.error);
        sum += m.mean;
        with++;
    }
    if (n > 1 && with == n) snprintf(table_cell(t, 1 + n), TABLE_CELL, "%.2f", 100 * sum / n);
    return OK;
}

static bool has_second(const BenchReport *r, const char *name) {
    for (int64_t i = 0; i < r->n_rows; i++)
        if (strcmp(r->rows[i].name, name) == 0 && r->rows[i].second) return true;
    return false;
}

static Status put_names(Table *t, const BenchReport *r, const Benchmark *const *b, int n) {
    for (int64_t i = 0; i < r->n_rows; i++) {
        char label[TABLE_CELL];
        const char *name = r->rows[i].name;
        bool before = false;
        for (int64_t k = 0; k < i; k++) before = before || strcmp(r->rows[k].name, name) == 0;
        if (before) continue;
        snprintf(label, sizeof label, "%.50s", name);
        if (!table_row(t, label)) return OK; /* table_finish says so */
        TRY(put_scores(t, r, b, n, name, false));
        if (!has_second(r, name)) continue;
        snprintf(label, sizeof label, "%.40s, %s", name,
                 r->protocol == BENCH_LOGLIK ? "normed, flexible"
                 : r->sampled                ? "strict, pass@k"
                                             : "strict");
        if (!table_row(t, label)) return OK;
        TRY(put_scores(t, r, b, n, name, true));
    }
    return OK;
}

static void put_counts(Table *t, const BenchReport *r, const Benchmark *const *b, int n) {
    if (!table_row(t, "examples (of the split)")) return;
    for (int c = 0; c < n; c++)
        for (int64_t i = 0; i < r->n_rows; i++)
            if (r->rows[i].benchmark == b[c])
                snprintf(table_cell(t, 1 + c), TABLE_CELL, "%lld (%lld)", (long long)r->rows[i].n,
                         (long long)b[c]->size);
}

static void put_published(Table *t, const char *model, const Benchmark *const *b, int n) {
    int rows;
    const Published *p = published_find(&rows, model);
    for (int i = 0; i < rows; i++) {
        char label[TABLE_CELL];
        double sum = 0;
        snprintf(label, sizeof label, "published: %.50s", p[i].method);
        if (!table_row(t, label)) return;
        for (int c = 0; c < n; c++) {
            double x = p[i].value[b[c] - benchmark_table()];
            snprintf(table_cell(t, 1 + c), TABLE_CELL, "%.2f", x);
            sum += x;
        }
        if (n > 1) snprintf(table_cell(t, 1 + n), TABLE_CELL, "%.2f", sum / n);
    }
}

Status bench_report_table(char **out, const BenchReport *r, const char *model) {
    const Benchmark *b[BENCHMARK_COUNT];
    int n = shown(b, r);
    Table t = {.cols = n > 1 ? n + 2 : n + 1, .left = 1};
    *out = NULL;
    if (table_row(&t, r->protocol == BENCH_LOGLIK ? "log-likelihood, %" : "generated answers, %")) {
        for (int c = 0; c < n; c++) snprintf(table_cell(&t, 1 + c), TABLE_CELL, "%s", b[c]->title);
        if (n == BENCHMARK_COUNT)
            snprintf(table_cell(&t, 1 + n), TABLE_CELL, "avg");
        else if (n > 1)
            snprintf(table_cell(&t, 1 + n), TABLE_CELL, "avg of %d", n);
    }
    Status s = put_names(&t, r, b, n);
    if (status_is_ok(s)) {
        put_counts(&t, r, b, n);
        if (r->protocol == BENCH_GENERATE) put_published(&t, model, b, n);
    }
    Status done = table_finish(out, &t);
    if (status_is_ok(s)) return done;
    status_free(done);
    free(*out);
    *out = NULL;
    return s;
}
