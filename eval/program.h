/* The program that decides one example of a code benchmark: the answer's code, then the example's tests.
 *   humaneval  prompt, code, test, check(entry point)                 (Chen et al. 2021)
 *   mbpp       code, what its tests need, the assertions              (Austin et al. 2021)
 * What mbpp's tests need stands behind the code: it may use what the code defines. */
#ifndef T2L_EVAL_PROGRAM_H
#define T2L_EVAL_PROGRAM_H

#include "data/benchmark.h"
#include "eval/answers.h"

/* *out owns: *n bytes and a NUL. */
Status program_make(char **out, size_t *n, const Benchmark *b, const BenchmarkItem *it, AnswerText code);

#endif
