/* What a benchmark evaluation says at the end: results.json's value and a markdown table. */
#ifndef T2L_EVAL_BENCH_REPORT_H
#define T2L_EVAL_BENCH_REPORT_H

#include "eval/bench.h"
#include "eval/stats.h"

typedef struct BenchScore {
    StatsMean first, second; /* fractions; error: over descriptions, with a single one over examples */
    int64_t n, descriptions; /* n: examples */
} BenchScore;

/* The rows of one benchmark and name; n == 0: there are none. */
Status bench_report_score(BenchScore *out, const BenchReport *r, const Benchmark *b, const char *name);
/* {"results": {task: {name: {metric, metric_stderr, "n", ["descriptions"], ["vs_base": {"diff",
 * "diff_stderr", "low", "high"}]}}}, "config": config}. vs_base: paired bootstrap of the first metric, an
 * example's score being its mean over the descriptions. config: owns moves into the result; may be NULL. */
Status bench_report_json(cJSON **out, const BenchReport *r, uint64_t seed, cJSON *config);
/* Percent; a row a name (and one for its second metric), columns in the order of the paper, with the mean of
 * the columns shown; published rows below where model is one of those, by the protocol they were made with.
 * *out owns the text. */
Status bench_report_table(char **out, const BenchReport *r, const char *model);

#endif
