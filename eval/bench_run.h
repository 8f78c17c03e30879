/* What the two protocols share inside bench_*.c. */
#ifndef T2L_EVAL_BENCH_RUN_H
#define T2L_EVAL_BENCH_RUN_H

#include "base/progress.h"
#include "eval/answers.h"
#include "eval/bench.h"

typedef struct BenchRun {
    BenchReport *report;
    const BenchmarkSet *set; /* the examples of this step */
    const Llm *llm;
    Device *dev;
    const BenchArm *arm;
    BenchRow *row;  /* whose scores are those of set */
    int64_t before; /* examples of the benchmark before those of set */
    BenchOpts opts;
    Progress progress;
} BenchRun;

/* What items.jsonl says of an example; NULL and 0 are left out. */
typedef struct BenchLine {
    const char *sha256, *pred, *target, *finish;
    const char *const *output, *const *reason; /* [n_samples]; of programs: why they failed, "" else */
    int n_samples;
    size_t n_pred; /* bytes of pred */
    const double *logprobs;
    int n_logprobs;
    double seconds;
} BenchLine;

/* Scores of every example of r->set under r->arm -> r->row. */
Status bench_loglik(BenchRun *r);
Status bench_generate(BenchRun *r);
/* Answers of r->set (samples of an example behind each other), run as programs: out [n * samples] and
 * r->row's scores. prefilled: an answer continues an opened fence. */
Status bench_code(CageOutcome *out, BenchRun *r, const AnswerText *answer, bool prefilled);
/* Samples of an example. */
int64_t bench_samples(const BenchRun *r);
Status bench_write_item(const BenchRun *r, int64_t i, BenchLine line);

#endif
