/* Policy: requests are packed in their order until the budget of tokens is reached. Only rows that predict a
 * continuation token are projected to the vocabulary; the sums are in double. */
#include "eval/score.h"
#include "eval/text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DEFAULT_BATCH = 1024 };

Status score_encode(TokenBuf *out, int64_t *n_context, const Llm *llm, const char *context, size_t n_ctx,
                    const char *continuation, size_t n_cont) {
    if (!llm->tokenizer)
        return status_error(E_INPUT, "%s: no tokenizer", llm->name ? llm->name : "the model");
    TokenizerOpts special = {true};
    TokenBuf whole = {0}, front = {0};
    size_t kept = text_strip_end(context, n_ctx);
    char *text = malloc(n_ctx + n_cont + 1);
    if (!text) return status_error(E_ENV, "out of memory");
    memcpy(text, context, n_ctx);
    memcpy(text + n_ctx, continuation, n_cont);
    Status st;
    TRY_GOTO(st, tokenizer_encode(llm->tokenizer, &front, text, kept, special), done);
    TRY_GOTO(st, tokenizer_encode(llm->tokenizer, &whole, text, n_ctx + n_cont, special), done);
    int32_t first = tokenizer_markers(llm->tokenizer).first;
    if (front.n == 0 && first < 0) {
        first = llm->cfg.bos >= 0 ? llm->cfg.bos : llm->cfg.n_eos > 0 ? llm->cfg.eos[0] : -1;
        if (first < 0) {
            st = status_error(E_INPUT, "an empty context: %s has no token to start with",
                              llm->name ? llm->name : "the model");
            goto done;
        }
    }
    *n_context = (int64_t)(front.n < whole.n ? front.n : whole.n);
    if (first >= 0 && (whole.n == 0 || whole.ids[0] != first)) {
        TRY_GOTO(st, tokenizer_buf_push(out, first), done);
        ++*n_context;
    } else if (*n_context == 0) { /* the continuation begins with it */
        *n_context = 1;
    }
    for (size_t i = 0; i < whole.n; i++) TRY_GOTO(st, tokenizer_buf_push(out, whole.ids[i]), done);
done:
    tokenizer_buf_free(&whole);
    tokenizer_buf_free(&front);
    free(text);
    return st;
}

/* What is fed of a request: tokens [from, n_tokens - 1), whose last n_cont rows predict the continuation. */
typedef struct Span {
    int64_t from, n, n_cont;
} Span;

static Span span_of(const ScoreRequest *q, int64_t max_positions) {
    int64_t n = q->n_tokens - 1;
    Span s = {0, n, q->n_tokens - q->n_context};
    if (n > max_positions) {
        s.from = n - max_positions;
        s.n = max_positions;
    }
    return s;
}

static Status check_request(const Llm *llm, const LoraSet *loras, const ScoreRequest *q, int64_t i) {
    if (q->n_context < 1 || q->n_tokens < q->n_context)
        return status_error(E_INPUT, "request %lld: %lld tokens, %lld of them context: at least one must be",
                            (long long)i, (long long)q->n_tokens, (long long)q->n_context);
    if (q->n_tokens - q->n_context > llm->cfg.max_positions)
        return status_error(
            E_INPUT, "request %lld: a continuation of %lld tokens; the model has %lld positions",
            (long long)i, (long long)(q->n_tokens - q->n_context), (long long)llm->cfg.max_positions);
    for (int64_t k = 0; k < q->n_tokens; k++)
        if (q->tokens[k] < 0 || q->tokens[k] >= llm->cfg.vocab)
            return status_error(E_INPUT, "request %lld: token %d is outside the model's vocabulary of %lld",
                                (long long)i, (int)q->tokens[k], (long long)llm->cfg.vocab);
    CHECK(q->adapter < (loras ? loras->n_adapters : 0), "request %lld: adapter %d of %lld", (long long)i,
          (int)q->adapter, (long long)(loras ? loras->n_adapters : 0));
    return OK;
}

typedef struct Run {
    const Llm *llm;
    Device *dev;
    const LoraSet *loras;
    LlmActs acts;
    LlmBatch batch;
    float *nll, *loss;
    int32_t *argmax;
    Arena mem;
} Run;

static void run_bind(Run *r) {
    LlmBatch *b = &r->batch;
    int64_t n = r->acts.max_tokens, seqs = r->acts.max_seqs;
    b->ids = arena_i32(&r->mem, n);
    b->pos = arena_i32(&r->mem, n);
    b->cu_seqlens = arena_i32(&r->mem, seqs + 1);
    b->adapter = arena_i32(&r->mem, seqs);
    b->row = arena_i32(&r->mem, n);
    b->label = arena_i32(&r->mem, n);
    b->weight = arena_f32(&r->mem, n);
    r->nll = arena_f32(&r->mem, n);
    r->loss = arena_f32(&r->mem, n);
    r->argmax = arena_i32(&r->mem, n);
}

/* Whether the batch's last sequence is what this request feeds: continuations of one token after the same
 * context share it. */
static bool is_last(const LlmBatch *b, const ScoreRequest *q, Span s) {
    if (b->n_seqs == 0) return false;
    int32_t first = b->cu_seqlens[b->n_seqs - 1];
    return b->n_tokens - first == s.n && b->adapter[b->n_seqs - 1] == q->adapter &&
           memcmp(b->ids + first, q->tokens + s.from, (size_t)s.n * sizeof *b->ids) == 0;
}

static void add(LlmBatch *b, const ScoreRequest *q, Span s) {
    if (!is_last(b, q, s)) {
        b->cu_seqlens[b->n_seqs] = (int32_t)b->n_tokens;
        b->adapter[b->n_seqs] = q->adapter;
        memcpy(b->ids + b->n_tokens, q->tokens + s.from, (size_t)s.n * sizeof *b->ids);
        for (int64_t i = 0; i < s.n; i++) b->pos[b->n_tokens + i] = (int32_t)i;
        b->n_tokens += s.n;
        b->cu_seqlens[++b->n_seqs] = (int32_t)b->n_tokens;
    }
    int64_t end = b->n_tokens;
    for (int64_t i = s.n - s.n_cont; i < s.n; i++) {
        b->row[b->n_rows] = (int32_t)(end - s.n + i);
        b->label[b->n_rows] = q->tokens[s.from + i + 1];
        b->weight[b->n_rows++] = 1.0f;
    }
}

/* The packed batch, whose sequences are the requests first, first+1, ... that are not empty. */
static Status run_batch(Run *r, ScoreResult *results, const ScoreRequest *requests, int64_t first,
                        int64_t last) {
    LlmBatch *b = &r->batch;
    if (b->n_rows > 0) {
        LlmRun inference = {false, 0.0f, 0, 0};
        TRY(llm_forward(r->llm, r->dev, &r->acts, b, r->loras, inference));
        double unused;
        CrossEntropyOut out = {.nll = r->nll, .argmax = r->argmax, .loss = r->loss};
        TRY(llm_loss(&unused, r->llm, r->dev, &r->acts, b, out, 0.0f));
    }
    int64_t row = 0;
    for (int64_t i = first; i < last; i++) {
        ScoreResult *res = &results[i];
        *res = (ScoreResult){0.0, requests[i].n_tokens - requests[i].n_context, true};
        for (int64_t k = 0; k < res->n_tokens; k++, row++) {
            res->logprob -= (double)r->nll[row];
            res->greedy = res->greedy && r->argmax[row] == b->label[row];
        }
        if (!isfinite(res->logprob))
            return status_error(E_INPUT,
                                "the model's output is not a number (request %lld): the model or its "
                                "adapter is broken",
                                (long long)i);
    }
    return OK;
}

static Status run_all(Run *r, ScoreResult *results, const ScoreRequest *requests, int64_t n, int64_t budget,
                      ScoreOpts opts) {
    for (int64_t i = 0; i < n;) {
        if (opts.stop && *opts.stop) return status_error(E_INTERRUPTED, "scoring stopped");
        r->batch.n_tokens = r->batch.n_seqs = r->batch.n_rows = 0;
        int64_t first = i;
        for (; i < n; i++) {
            Span s = span_of(&requests[i], r->llm->cfg.max_positions);
            if (s.n_cont == 0) continue;
            bool fits = is_last(&r->batch, &requests[i], s) || r->batch.n_tokens + s.n <= budget;
            if (r->batch.n_seqs > 0 && (!fits || r->batch.n_rows + s.n_cont > r->acts.max_rows)) break;
            add(&r->batch, &requests[i], s);
        }
        TRY(run_batch(r, results, requests, first, i));
        if (opts.on_progress) opts.on_progress(opts.ctx, i, n);
    }
    return OK;
}

Status score_run(ScoreResult *results, const Llm *llm, Device *dev, const LoraSet *loras,
                 const ScoreRequest *requests, int64_t n, ScoreOpts opts) {
    int64_t budget = opts.batch_tokens > 0 ? opts.batch_tokens : DEFAULT_BATCH, longest = 1;
    for (int64_t i = 0; i < n; i++) {
        TRY(check_request(llm, loras, &requests[i], i));
        int64_t len = span_of(&requests[i], llm->cfg.max_positions).n;
        if (len > longest) longest = len;
    }
    int64_t tokens = longest > budget ? longest : budget, seqs = tokens < n ? tokens : n;
    Run r = {.llm = llm, .dev = dev, .loras = loras, .mem = arena_measure("scoring")};
    TRY(llm_acts_init(&r.acts, llm, tokens, seqs > 0 ? seqs : 1, tokens, loras ? loras->rank : 0, false));
    run_bind(&r);
    Status st = arena_commit(&r.mem);
    if (status_is_ok(st)) {
        run_bind(&r);
        st = run_all(&r, results, requests, n, budget, opts);
    }
    arena_free(&r.mem);
    llm_acts_free(&r.acts);
    return st;
}
