/* The program that decides one item of a code benchmark: the model's code, then the item's tests. Lines of
 * the benchmark as published; what belongs to the answer is the caller's business. *out: heap string (owns).
 */
#ifndef T2L_EVAL_PROGRAM_H
#define T2L_EVAL_PROGRAM_H

#include "base/status.h"

/* HumanEval (Chen et al. 2021): the prompt, its completion, the test, a call of check(). */
Status program_humaneval(char **out, const char *prompt, const char *completion, const char *test,
                         const char *entry_point);
/* MBPP (Austin et al. 2021): the code, then what its tests need (test_setup_code, or test_imports), then the
 * asserts. */
Status program_mbpp(char **out, const char *code, const char *const *setup, int n_setup,
                    const char *const *asserts, int n_asserts);

#endif
