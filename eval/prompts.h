/* What is asked: contexts and continuations of the log-likelihood protocol, as lm-evaluation-harness makes
 * them, and the texts of the generative protocol. */
#ifndef T2L_EVAL_PROMPTS_H
#define T2L_EVAL_PROMPTS_H

#include "eval/wordings.h"

/* A choice to be scored. */
typedef struct PromptPair {
    char *context, *continuation; /* owns */
    int64_t length;               /* characters of the choice: what acc_norm divides by */
} PromptPair;

/* Choice `choice` of an example with choices. hellaswag: from ctx_a and ctx_b where the example has both,
 * else from ctx as it stands. */
Status prompts_pair(PromptPair *out, const Benchmark *b, const BenchmarkItem *it, int choice);
void prompts_pair_free(PromptPair *p);

/* gsm8k of lm-evaluation-harness: solved examples before the question. *out owns. */
Status prompts_gsm8k(char **out, const BenchmarkItem *it, const BenchmarkItem *shots, int n_shots);
/* Generation ends before the first of these (NULL-terminated; view). */
const char *const *prompts_gsm8k_stops(void);

/* The generative protocol. */
typedef struct PromptChat {
    char *user, *prefill; /* owns */
} PromptChat;

typedef struct PromptChatOpts {
    const char *description;    /* stands before the question; NULL: none */
    const BenchmarkItem *shots; /* view: solved examples before the question; then an answer of one of a few
                                   choices begins with "Answer:" */
    int n_shots;
    const char *where; /* of messages */
} PromptChatOpts;

Status prompts_chat(PromptChat *out, const Benchmark *b, const Wording *w, const BenchmarkItem *it,
                    PromptChatOpts opts);
void prompts_chat_free(PromptChat *p);

#endif
