/* Benchmarks, base model and adapters side by side, by one of two protocols.
 *
 * GENERATE: greedy decoding behind the chat template with an empty system message (none where the model's
 * template has no system turn), one user turn, and the beginning of the answer where the wording has one.
 * Decoding of an example ends early once its score is certain: after the first character of a choice, at a
 * program's closing fence.
 * LOGLIK: every choice is scored by the log-probability of its tokens after the context, as
 * lm-evaluation-harness does it; acc: the largest sum, acc_norm: the largest sum a character; of equal ones
 * the first. gsm8k: solved examples before the question, greedy decoding until "Question:".
 *
 * Programs (mbpp, humaneval) run in the code cage, those of a step together. With samples > 1 an example's
 * score is the part of its programs that passed, an estimate of pass@1; its second metric is pass@k of all
 * of them.
 *
 * Arms of one name are one method with several descriptions: its accuracy is the mean of theirs. */
#ifndef T2L_EVAL_BENCH_H
#define T2L_EVAL_BENCH_H

#include "data/benchmark.h"
#include "eval/cage.h"
#include "eval/wordings.h"
#include "model/llm.h"

#include <stdio.h>

typedef struct BenchArm {
    const char *name;        /* view; "base" comes first */
    const LoraSet *loras;    /* view; NULL: the base model */
    int32_t adapter;         /* number in loras */
    const char *description; /* view: made the adapter, or is told; NULL: none */
    bool prompted;           /* the description stands before the question (GENERATE) */
} BenchArm;

typedef enum BenchProtocol { BENCH_GENERATE, BENCH_LOGLIK } BenchProtocol;

typedef struct BenchOpts {
    BenchProtocol protocol;
    const Wordings *wordings;   /* view; GENERATE */
    const BenchmarkItem *shots; /* view: solved examples in the prompt */
    int n_shots;
    bool double_bos;        /* GENERATE: the beginning-of-sequence token once more in front */
    int64_t max_new_tokens; /* 0: 512, or with LOGLIK 256 */
    int64_t slots;          /* of the generation engine; 0: its default */
    int64_t samples;        /* of a program; 0: 1 */
    float temperature;      /* of programs; 0: greedy */
    uint64_t seed;          /* with temperature */
    const Cage *cage;       /* view; NULL: code benchmarks are refused */
    bool quiet;
    FILE *before; /* view: items of the same evaluation, stopped before its end: they are taken from
                     here, and written no more; may be NULL */
    const char *before_path;  /* view: for messages */
    FILE *items;              /* view; a line an example and arm, arm by arm; may be NULL */
    const volatile int *stop; /* view; non-zero: E_INTERRUPTED; may be NULL */
} BenchOpts;

/* One benchmark and arm. */
typedef struct BenchRow {
    const Benchmark *benchmark; /* view */
    char *name, *description;   /* owns; description NULL: none */
    int64_t n;
    double *score;  /* owns [n], 0 or 1: the benchmark's first metric */
    double *second; /* owns [n]: its second metric; NULL: it has one only */
} BenchRow;

enum { BENCH_STEP = 512 }; /* chosen: an interruption loses less */

typedef struct BenchReport {
    BenchProtocol protocol;
    bool sampled;   /* several programs an example */
    BenchRow *rows; /* owns; benchmark by benchmark, arms in order */
    int64_t n_rows;
    int64_t tokens;                /* processed in prompts and contexts */
    double seconds, token_seconds; /* token_seconds: of scoring, or of prefill */
    int64_t n_before;              /* items taken from an evaluation that was stopped */
} BenchReport;

/* Names of the metrics; *second NULL: there is one only. */
const char *bench_metric(const char **second, const BenchReport *r, const Benchmark *b);
/* Appends a row for each arm to the report, which starts as {0}. Of an evaluation that fails or is stopped,
 * items has whole steps of BENCH_STEP examples. */
Status bench_run(BenchReport *report, const BenchmarkSet *set, const Llm *llm, Device *dev,
                 const BenchArm *arms, int n_arms, BenchOpts opts);
/* Whether GENERATE's prompts have an empty system message: the model's template has system turns. */
bool bench_has_system(const Llm *llm);
void bench_free(BenchReport *r);

#endif
