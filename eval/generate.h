/* Text generation for many requests at once: continuous batching over a fixed number of slots. Prompts are
 * prefilled packed, without padding; a finished sequence's slot goes to the next request. A request's tokens
 * depend on nothing but the request, the options and its number: not on slots, budget or its neighbours
 * (operations are row-independent; sampling draws rng_at(seed, request number, position)). All buffers are
 * allocated when the engine opens; nothing is allocated in a step.
 *
 * A request ends at an end-of-text token of the model (not part of the result), after max_new_tokens, at the
 * model's last position, or when on_token says so. */
#ifndef T2L_EVAL_GENERATE_H
#define T2L_EVAL_GENERATE_H

#include "model/llm.h"

typedef struct GenRequest {
    const int32_t *prompt; /* view; [n_prompt], at least 1 */
    int64_t n_prompt;
    int32_t adapter; /* index into the LoraSet; negative: none */
} GenRequest;

typedef enum GenFinish { GEN_EOS, GEN_LENGTH, GEN_STOPPED } GenFinish;

typedef struct GenResult {
    int32_t *tokens; /* view into the GenOutput; [n] */
    int64_t n;
    GenFinish finish;
    double seconds; /* from the start of its prefill to its last token */
} GenResult;

typedef struct GenOutput {
    GenResult *results; /* owns; one a request, in their order */
    int32_t *tokens;    /* owns */
    int64_t n;
    int64_t prompt_tokens, new_tokens; /* processed: new_tokens counts the end-of-text tokens too */
    int64_t steps, prefills;
    double seconds, prefill_seconds;
} GenOutput;

/* Each new token but end-of-text, as soon as it is known; i: its place in the result. false ends the request
 * (the token stays in the result). */
typedef bool GenTokenFn(void *ctx, int64_t request, int64_t i, int32_t token);
/* After every step: requests finished so far. */
typedef void GenProgressFn(void *ctx, int64_t done, int64_t total);

typedef struct GenOpts {
    int64_t max_new_tokens; /* 0: 512 */
    float temperature;      /* 0: greedy, the smallest of equal tokens */
    uint64_t seed;
    int64_t first;        /* number of the first request, where only the rest of a run is asked for */
    GenTokenFn *on_token; /* may be NULL */
    GenProgressFn *on_progress;
    void *ctx;                /* view; for both */
    const volatile int *stop; /* view; non-zero ends the run with E_INTERRUPTED; may be NULL */
} GenOpts;

typedef struct GenSizes {
    int64_t slots;          /* sequences decoded together; 0: 64, fewer if the cache would exceed 1 GiB */
    int64_t max_len;        /* prompt and new tokens of the longest request */
    int64_t prefill_tokens; /* budget of one prefill; 0: 1024; a longer prompt goes alone */
    int64_t rank;           /* of the adapters; 0: none */
} GenSizes;

typedef struct GenEngine {
    const Llm *llm;                         /* view */
    Device *dev;                            /* view */
    GenSizes sizes;                         /* as in force */
    LlmActs acts;                           /* owns */
    LlmCache cache;                         /* owns */
    Arena mem;                              /* owns the rest */
    float *logits;                          /* [slots,V] */
    LlmBatch batch;                         /* of a prefill */
    struct GenSlot *slot;                   /* [slots]: running sequences, in order */
    int32_t *free_slot;                     /* [slots]: places in the cache */
    int32_t *ids, *slot_of, *len, *adapter; /* [slots]: of one step */
} GenEngine;

Status generate_open(GenEngine *g, const Llm *llm, Device *dev, GenSizes sizes);
void generate_close(GenEngine *g);
/* loras NULL: every request must be without adapter. A prompt that leaves no room for one token is E_INPUT.
 * out owns; free with generate_free; empty after a failure. */
Status generate_run(GenOutput *out, GenEngine *g, const LoraSet *loras, const GenRequest *requests, int64_t n,
                    GenOpts opts);
void generate_free(GenOutput *out);
/* Opens an engine that fits these requests, runs, closes. slots 0: the default. */
Status generate_once(GenOutput *out, const Llm *llm, Device *dev, const LoraSet *loras,
                     const GenRequest *requests, int64_t n, int64_t slots, GenOpts opts);
const char *generate_finish_name(GenFinish f); /* "stop", "length", "cut" */

#endif
