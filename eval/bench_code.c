/* Policy: a program an answer, all of a step's in the cage together. */
#include "eval/bench_run.h"
#include "eval/program.h"
#include "eval/stats.h"

#include <stdlib.h>

static void take_scores(BenchRun *r, const CageOutcome *out) {
    int64_t samples = bench_samples(r);
    for (int64_t i = 0; i < r->set->n; i++) {
        int64_t passed = 0;
        for (int64_t k = 0; k < samples; k++) passed += out[i * samples + k].verdict == CAGE_PASSED;
        r->row->score[i] = (double)passed / (double)samples;
        if (r->row->second) r->row->second[i] = stats_pass_at_k(samples, passed, samples);
    }
}

static Status run(CageOutcome *out, BenchRun *r, CageProgram *program, int64_t n, const AnswerText *answer,
                  bool prefilled) {
    for (int64_t i = 0; i < n; i++) {
        char *text;
        AnswerText code = answers_code(answer[i].at, answer[i].n, prefilled);
        TRY(program_make(&text, &program[i].n, r->set->benchmark, &r->set->items[i / bench_samples(r)],
                         code));
        program[i].text = text;
    }
    TRY(cage_run(r->opts.cage, out, program, n, NULL, NULL));
    take_scores(r, out);
    return OK;
}

Status bench_code(CageOutcome *out, BenchRun *r, const AnswerText *answer, bool prefilled) {
    int64_t n = r->set->n * bench_samples(r);
    CageProgram *program = calloc((size_t)n, sizeof *program);
    if (!program) return status_error(E_ENV, "no memory for %lld programs", (long long)n);
    Status s = run(out, r, program, n, answer, prefilled);
    for (int64_t i = 0; i < n; i++) free((char *)program[i].text);
    free(program);
    return s;
}
