/* Policy: every choice of every example is a request; all go through score_run in one call, in their order.
 */
#include "eval/bench_run.h"
#include "base/file.h"
#include "eval/prompts.h"
#include "eval/score.h"

#include <stdlib.h>
#include <string.h>

typedef struct Requests {
    TokenBuf ids;          /* of all */
    ScoreRequest *request; /* owns; tokens are set when ids no longer moves */
    ScoreResult *result;   /* owns */
    int64_t *first;        /* owns: place of a request's tokens in ids */
    int64_t *length;       /* owns: characters of its choice */
    char (*sha256)[65];    /* owns: of an example's first context */
    int64_t n;
} Requests;

static Status add_example(Requests *q, const BenchRun *r, int64_t i) {
    const BenchmarkItem *it = &r->set->items[i];
    for (int k = 0; k < it->n_choices; k++) {
        PromptPair p;
        TRY(prompts_pair(&p, r->set->benchmark, it, k));
        ScoreRequest *out = &q->request[q->n];
        q->first[q->n] = (int64_t)q->ids.n;
        q->length[q->n] = p.length;
        out->adapter = r->arm->loras ? r->arm->adapter : -1;
        if (k == 0) sha256_hex(q->sha256[i], p.context, strlen(p.context));
        Status s = score_encode(&q->ids, &out->n_context, r->llm, p.context, strlen(p.context),
                                p.continuation, strlen(p.continuation));
        out->n_tokens = (int64_t)q->ids.n - q->first[q->n++];
        prompts_pair_free(&p);
        TRY(s);
    }
    return OK;
}

static void on_progress(void *ctx, int64_t done, int64_t total) {
    BenchRun *r = ctx;
    progress_update(&r->progress, r->before + r->set->n * done / total, NULL);
}

/* The largest log-probability, divided by length if there is one; of equal ones the first. */
static int best(const ScoreResult *result, const int64_t *length, int n) {
    int at = 0;
    double top = 0;
    for (int k = 0; k < n; k++) {
        double x = length ? result[k].logprob / (double)length[k] : result[k].logprob;
        if (k > 0 && !(x > top)) continue;
        top = x;
        at = k;
    }
    return at;
}

static Status take_results(Requests *q, const BenchRun *r, double seconds) {
    int64_t at = 0;
    for (int64_t i = 0; i < r->set->n; i++) {
        const BenchmarkItem *it = &r->set->items[i];
        double logprobs[BENCHMARK_CHOICES];
        int pred = best(q->result + at, NULL, it->n_choices);
        r->row->score[i] = pred == it->gold;
        if (r->row->second)
            r->row->second[i] = best(q->result + at, q->length + at, it->n_choices) == it->gold;
        for (int k = 0; k < it->n_choices; k++) logprobs[k] = q->result[at + k].logprob;
        at += it->n_choices;
        if (!r->opts.items) continue;
        const char *label = it->label[pred];
        TRY(bench_write_item(r, i,
                             (BenchLine){.sha256 = q->sha256[i],
                                         .pred = label,
                                         .n_pred = strlen(label),
                                         .target = it->label[it->gold],
                                         .logprobs = logprobs,
                                         .n_logprobs = it->n_choices,
                                         .seconds = seconds / (double)r->set->n}));
    }
    return OK;
}

static Status run(Requests *q, BenchRun *r) {
    for (int64_t i = 0; i < r->set->n; i++)
        TRY(status_wrap(add_example(q, r, i), "%s:%lld", r->set->path,
                        (long long)r->set->items[i].index + 1));
    for (int64_t i = 0; i < q->n; i++) q->request[i].tokens = q->ids.ids + q->first[i];
    ScoreOpts opts = {.on_progress = on_progress, .ctx = r, .stop = r->opts.stop};
    double start = now_seconds();
    TRY(score_run(q->result, r->llm, r->dev, r->arm->loras, q->request, q->n, opts));
    double seconds = now_seconds() - start;
    r->report->tokens += (int64_t)q->ids.n - q->n; /* the last token of a request is not fed */
    r->report->token_seconds += seconds;
    return take_results(q, r, seconds);
}

Status bench_loglik(BenchRun *r) {
    CHECK(r->set->n > 0, "a benchmark without examples");
    size_t n = 0, examples = (size_t)r->set->n;
    for (size_t i = 0; i < examples; i++) n += (size_t)r->set->items[i].n_choices;
    Requests q = {.request = calloc(n, sizeof *q.request),
                  .result = calloc(n, sizeof *q.result),
                  .first = calloc(n, sizeof *q.first),
                  .length = calloc(n, sizeof *q.length),
                  .sha256 = calloc(examples, sizeof *q.sha256)};
    bool ok = q.request && q.result && q.first && q.length && q.sha256;
    Status s = ok ? run(&q, r) : status_error(E_ENV, "no memory for %zu requests", n);
    tokenizer_buf_free(&q.ids);
    free(q.request);
    free(q.result);
    free(q.first);
    free(q.length);
    free(q.sha256);
    return s;
}
