/* t2l eval on the paper's benchmarks: what cmd_eval hands over once the model is loaded.
 *
 * With a folder for the results, eval.json is what was asked for and items.jsonl.part what is done; the same
 * evaluation goes on behind the last whole line, and a finished one is read back. Another one is refused. */
#ifndef T2L_CLI_EVAL_BENCH_H
#define T2L_CLI_EVAL_BENCH_H

#include "cli/cli.h"
#include "cli/t2l.h"
#include "eval/bench.h"

enum { EVAL_BENCH_GIVEN = 32 };

typedef struct EvalBench {
    const char *model, *tasks, *data, *dir, *protocol, *templates, *bos, *t2l; /* view; the flags */
    const char *descriptions;   /* view: a file of descriptions a task; NULL: none */
    const OptionList *adapters; /* view: folders of the given ones, for results.json */
    int64_t limit, max_tokens, shots, samples;
    double temperature;
    bool prompted, controls, allow_unsandboxed;
    const Llm *llm;                   /* view */
    Device *dev;                      /* view */
    T2l *maker;                       /* view; NULL: no adapters from descriptions a task */
    BenchArm given[EVAL_BENCH_GIVEN]; /* adapters that serve every task */
    int n_given;
} EvalBench;

/* Whether --tasks names benchmarks: all of them, or none (a mixture is E_USAGE). */
Status eval_bench_wanted(bool *out, const char *tasks);
/* What can be refused before a model is loaded. */
Status eval_bench_check(const EvalBench *job, const Cli *cli);
Status eval_bench(const EvalBench *job, const Cli *cli);

#endif
