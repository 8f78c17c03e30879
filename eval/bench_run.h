/* What the two protocols share inside bench_*.c. */
#ifndef T2L_EVAL_BENCH_RUN_H
#define T2L_EVAL_BENCH_RUN_H

#include "base/progress.h"
#include "eval/bench.h"

typedef struct BenchRun {
    BenchReport *report;
    const BenchmarkSet *set;
    const Llm *llm;
    Device *dev;
    const BenchArm *arm;
    BenchRow *row;
    BenchOpts opts;
    Progress progress;
} BenchRun;

/* What items.jsonl says of an example; NULL and 0 are left out. */
typedef struct BenchLine {
    const char *sha256, *pred, *target, *output, *finish;
    size_t n_pred; /* bytes of pred */
    const double *logprobs;
    int n_logprobs;
    double seconds;
} BenchLine;

/* Scores of every example of r->set under r->arm -> r->row. */
Status bench_loglik(BenchRun *r);
Status bench_generate(BenchRun *r);
Status bench_write_item(const BenchRun *r, int64_t i, BenchLine line);

#endif
