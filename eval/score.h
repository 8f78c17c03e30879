/* Log-likelihood of continuations, as EleutherAI's lm-evaluation-harness computes it: the sum over the
 * continuation's tokens of log softmax(logits)[token], no chat template. Requests are packed
 * without padding up to a budget of tokens; neighbours that feed the same tokens are computed once. Full
 * logits never exist. A result does not depend on the batch.
 */
#ifndef T2L_EVAL_SCORE_H
#define T2L_EVAL_SCORE_H

#include "model/llm.h"

typedef struct ScoreRequest {
    const int32_t *tokens; /* view; context, then continuation */
    int64_t n_context;     /* at least 1 */
    int64_t n_tokens;      /* of both */
    int32_t adapter;       /* index into the LoraSet; negative: none */
} ScoreRequest;

typedef struct ScoreResult {
    double logprob;   /* the sum */
    int64_t n_tokens; /* of the continuation */
    bool greedy;      /* every token was the argmax; true for an empty continuation */
} ScoreResult;

typedef void ScoreProgressFn(void *ctx, int64_t done, int64_t total);

typedef struct ScoreOpts {
    int64_t batch_tokens; /* 0: 1024; a longer request goes alone */
    ScoreProgressFn *on_progress;
    void *ctx;                /* view */
    const volatile int *stop; /* view; non-zero ends the run with E_INTERRUPTED; may be NULL */
} ScoreOpts;

/* Appends the tokens of context and continuation to out and says how many of them are context: trailing white
 * space of the context moves to the continuation, both are encoded together and split at the length of the
 * encoded context. A context without tokens becomes the model's bos (eos where it has none). */
Status score_encode(TokenBuf *out, int64_t *n_context, const Llm *llm, const char *context, size_t n_ctx,
                    const char *continuation, size_t n_cont);
/* results [n]. Sequences longer than the model's positions lose tokens on the left; a continuation that does
 * not fit alone is E_INPUT naming the request. */
Status score_run(ScoreResult *results, const Llm *llm, Device *dev, const LoraSet *loras,
                 const ScoreRequest *requests, int64_t n, ScoreOpts opts);

#endif
