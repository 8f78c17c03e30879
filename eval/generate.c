/* Policy of the schedule: requests start in their order. Free slots are refilled when a quarter of them (or
 * all that the waiting requests need) is free, so a prefill is worth its pass over the weights; otherwise
 * every running sequence makes one step. Running sequences stay in the order in which they started:
 * neighbours share their adapter when the requests are sorted by it. */
#include "eval/generate.h"

#include "base/progress.h"
#include "base/rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    DEFAULT_SLOTS = 64,
    DEFAULT_PREFILL = 1024,
    DEFAULT_NEW_TOKENS = 512, /* eval.md A */
};
static const int64_t CACHE_BYTES = (int64_t)1 << 30; /* chosen: what the default number of slots may take */

/* A running sequence. Its place in g->slot is its place in the batch; `home` is its slot in the cache. */
typedef struct GenSlot {
    int64_t request, n; /* n: tokens made so far */
    int64_t limit;      /* of n */
    int32_t home, len, last;
    double started;
} GenSlot;

static void engine_bind(GenEngine *g) {
    int64_t b = g->sizes.slots, n = g->acts.max_tokens;
    g->logits = arena_f32(&g->mem, b * g->llm->cfg.vocab);
    g->slot = arena_alloc(&g->mem, (size_t)b * sizeof *g->slot);
    g->free_slot = arena_i32(&g->mem, b);
    g->ids = arena_i32(&g->mem, b);
    g->slot_of = arena_i32(&g->mem, b);
    g->len = arena_i32(&g->mem, b);
    g->adapter = arena_i32(&g->mem, b);
    g->batch.ids = arena_i32(&g->mem, n);
    g->batch.pos = arena_i32(&g->mem, n);
    g->batch.cu_seqlens = arena_i32(&g->mem, b + 1);
    g->batch.adapter = arena_i32(&g->mem, b);
    g->batch.row = arena_i32(&g->mem, b);
}

static int64_t min_i64(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static int64_t max_i64(int64_t a, int64_t b) {
    return a > b ? a : b;
}

static int64_t default_slots(const LlmConfig *c, int64_t max_len) {
    int64_t position = c->n_layers * c->groups * c->head_dim * 2 * (int64_t)sizeof(float);
    return max_i64(1, min_i64(DEFAULT_SLOTS, CACHE_BYTES / (position * max_len)));
}

Status generate_open(GenEngine *g, const Llm *llm, Device *dev, GenSizes sizes) {
    memset(g, 0, sizeof *g);
    g->llm = llm;
    g->dev = dev;
    g->sizes = sizes;
    GenSizes *s = &g->sizes;
    CHECK(s->max_len > 0, "an engine for no tokens");
    s->max_len = min_i64(s->max_len, llm->cfg.max_positions);
    if (s->slots <= 0) s->slots = default_slots(&llm->cfg, s->max_len);
    if (s->prefill_tokens <= 0) s->prefill_tokens = DEFAULT_PREFILL;
    s->prefill_tokens = min_i64(s->prefill_tokens, s->slots * s->max_len);
    int64_t tokens = max_i64(max_i64(s->prefill_tokens, s->max_len), s->slots);
    Status st;
    TRY_GOTO(st, llm_acts_init(&g->acts, llm, tokens, s->slots, s->slots, s->rank, false), fail);
    TRY_GOTO(st, llm_cache_init(&g->cache, llm, s->slots, s->max_len), fail);
    g->mem = arena_measure("generation");
    engine_bind(g);
    TRY_GOTO(st, arena_commit(&g->mem), fail);
    engine_bind(g);
    return OK;
fail:
    generate_close(g);
    return st;
}

void generate_close(GenEngine *g) {
    llm_acts_free(&g->acts);
    llm_cache_free(&g->cache);
    arena_free(&g->mem);
    memset(g, 0, sizeof *g);
}

/* The largest of z[0..n), NaN when there is one. */
static float row_max(const float *z, int64_t n) {
    float top = -INFINITY;
    int bad = 0;
#pragma omp simd reduction(max : top) reduction(| : bad)
    for (int64_t i = 0; i < n; i++) {
        top = z[i] > top ? z[i] : top;
        bad |= z[i] != z[i];
    }
    return bad ? NAN : top;
}

/* The next token from its logits z [n], which are overwritten when sampling; -1 where they are no numbers. */
static int32_t pick(float *z, int64_t n, float temperature, float u) {
    float top = row_max(z, n);
    if (!isfinite(top)) return -1;
    if (temperature <= 0) {
        int64_t i = 0;
        while (z[i] != top) i++;
        return (int32_t)i;
    }
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += z[i] = expf((z[i] - top) / temperature);
    double left = (double)u * sum;
    int64_t last = 0; /* the last token with a chance: rounding may leave a remainder */
    for (int64_t i = 0; i < n; i++) {
        if (z[i] <= 0) continue;
        last = i;
        left -= z[i];
        if (left < 0) break;
    }
    return (int32_t)last;
}

/* One run over one list of requests. */
typedef struct Run {
    GenEngine *g;
    const LoraSet *loras;
    const GenRequest *requests;
    GenOutput *out;
    GenOpts opts;
    int64_t next, active, done; /* requests started, running, finished */
    int64_t n_free;             /* cache slots in g->free_slot */
} Run;

static bool is_eos(const LlmConfig *c, int32_t token) {
    for (int i = 0; i < c->n_eos; i++)
        if (c->eos[i] == token) return true;
    return false;
}

/* Takes the token picked for sequence s; true when the sequence ends with it. */
static bool take(Run *r, GenSlot *s, int32_t token) {
    GenResult *res = &r->out->results[s->request];
    r->out->new_tokens++;
    res->finish = GEN_EOS;
    if (is_eos(&r->g->llm->cfg, token)) return true;
    int64_t i = s->n++;
    res->tokens[i] = token;
    res->n = s->n;
    s->last = token;
    s->len++;
    res->finish = GEN_STOPPED;
    if (r->opts.on_token && !r->opts.on_token(r->opts.ctx, s->request, i, token)) return true;
    res->finish = GEN_LENGTH;
    return s->n == s->limit;
}

/* Tokens for the last `count` running sequences, whose rows are in acts; those that end leave. */
static Status advance(Run *r, int64_t count) {
    GenEngine *g = r->g;
    int64_t vocab = g->llm->cfg.vocab, from = r->active - count;
    TRY(llm_logits(g->llm, g->dev, tensor_2d(g->logits, DT_F32, count, vocab), &g->acts));
#pragma omp parallel for schedule(static) num_threads(g->dev->n_threads) if (count > 1)
    for (int64_t b = 0; b < count; b++) {
        const GenSlot *s = &g->slot[from + b];
        float u = r->opts.temperature > 0
                      ? rng_unit(rng_at(r->opts.seed, (uint64_t)(r->opts.first + s->request), (uint64_t)s->n))
                      : 0.0f;
        g->ids[b] = pick(g->logits + b * vocab, vocab, r->opts.temperature, u);
    }
    double now = now_seconds();
    int64_t kept = from;
    for (int64_t b = 0; b < count; b++) {
        GenSlot s = g->slot[from + b];
        if (g->ids[b] < 0)
            return status_error(E_INPUT,
                                "the model's output is not a number (request %lld): the model or its "
                                "adapter is broken",
                                (long long)s.request);
        if (take(r, &s, g->ids[b])) {
            r->out->results[s.request].seconds = now - s.started;
            g->free_slot[r->n_free++] = s.home;
            r->done++;
        } else {
            g->slot[kept++] = s;
        }
    }
    r->active = kept;
    return OK;
}

/* Starts as many waiting requests as slots and budget allow. */
static Status prefill(Run *r) {
    GenEngine *g = r->g;
    LlmBatch *b = &g->batch;
    double start = now_seconds();
    b->n_tokens = b->n_seqs = 0;
    while (r->next < r->out->n && r->n_free > 0) {
        const GenRequest *q = &r->requests[r->next];
        if (b->n_seqs > 0 && b->n_tokens + q->n_prompt > g->sizes.prefill_tokens) break;
        int64_t limit = min_i64(r->opts.max_new_tokens, g->sizes.max_len - q->n_prompt);
        int32_t home = g->free_slot[--r->n_free];
        g->slot[r->active++] =
            (GenSlot){r->next, 0, limit, home, (int32_t)q->n_prompt, q->prompt[q->n_prompt - 1], start};
        memcpy(b->ids + b->n_tokens, q->prompt, (size_t)q->n_prompt * sizeof *b->ids);
        for (int64_t i = 0; i < q->n_prompt; i++) b->pos[b->n_tokens + i] = (int32_t)i;
        b->cu_seqlens[b->n_seqs] = (int32_t)b->n_tokens;
        b->adapter[b->n_seqs] = q->adapter;
        g->slot_of[b->n_seqs] = home;
        b->n_tokens += q->n_prompt;
        b->row[b->n_seqs++] = (int32_t)(b->n_tokens - 1);
        r->next++;
    }
    b->cu_seqlens[b->n_seqs] = (int32_t)b->n_tokens;
    b->n_rows = b->n_seqs;
    TRY(llm_prefill(g->llm, g->dev, &g->acts, b, r->loras, &g->cache, g->slot_of));
    TRY(advance(r, b->n_seqs));
    r->out->prompt_tokens += b->n_tokens;
    r->out->prefills++;
    r->out->prefill_seconds += now_seconds() - start;
    return OK;
}

/* One more token for every running sequence. */
static Status step(Run *r) {
    GenEngine *g = r->g;
    for (int64_t b = 0; b < r->active; b++) {
        const GenSlot *s = &g->slot[b];
        g->ids[b] = s->last;
        g->slot_of[b] = s->home;
        g->len[b] = s->len;
        g->adapter[b] = r->requests[s->request].adapter;
    }
    TRY(llm_decode(g->llm, g->dev, &g->acts, r->active, g->ids, g->slot_of, g->len, g->adapter, r->loras,
                   &g->cache));
    r->out->steps++;
    return advance(r, r->active);
}

static Status check_request(const GenEngine *g, const LoraSet *loras, const GenRequest *q, int64_t i) {
    if (q->n_prompt < 1) return status_error(E_INPUT, "request %lld: the prompt is empty", (long long)i);
    if (q->n_prompt >= g->sizes.max_len)
        return status_error(E_INPUT,
                            "request %lld: a prompt of %lld tokens leaves no room for an answer (%lld "
                            "positions)",
                            (long long)i, (long long)q->n_prompt, (long long)g->sizes.max_len);
    for (int64_t k = 0; k < q->n_prompt; k++)
        if (q->prompt[k] < 0 || q->prompt[k] >= g->llm->cfg.vocab)
            return status_error(E_INPUT, "request %lld: token %d is outside the model's vocabulary of %lld",
                                (long long)i, (int)q->prompt[k], (long long)g->llm->cfg.vocab);
    CHECK(q->adapter < (loras ? loras->n_adapters : 0), "request %lld: adapter %d of %lld", (long long)i,
          (int)q->adapter, (long long)(loras ? loras->n_adapters : 0));
    return OK;
}

/* Room for every request's tokens in one block. */
static Status output_init(GenOutput *out, const GenEngine *g, const GenRequest *requests, int64_t n,
                          int64_t max_new) {
    int64_t total = 0;
    for (int64_t i = 0; i < n; i++) total += min_i64(max_new, g->sizes.max_len - requests[i].n_prompt);
    out->results = calloc((size_t)n + 1, sizeof *out->results);
    out->tokens = malloc((size_t)(total + 1) * sizeof *out->tokens);
    if (!out->results || !out->tokens)
        return status_error(E_ENV, "no memory for %lld new tokens", (long long)total);
    int64_t at = 0;
    for (int64_t i = 0; i < n; i++) {
        out->results[i].tokens = out->tokens + at;
        at += min_i64(max_new, g->sizes.max_len - requests[i].n_prompt);
    }
    out->n = n;
    return OK;
}

static Status run_all(Run *r) {
    GenEngine *g = r->g;
    int64_t n = r->out->n, enough = max_i64(1, g->sizes.slots / 4);
    for (int64_t i = 0; i < g->sizes.slots; i++) g->free_slot[i] = (int32_t)(g->sizes.slots - 1 - i);
    double start = now_seconds();
    while (r->done < n) {
        if (r->opts.stop && *r->opts.stop) return status_error(E_INTERRUPTED, "generation stopped");
        int64_t waiting = n - r->next;
        bool refill = waiting > 0 && (r->active == 0 || r->n_free >= min_i64(enough, waiting));
        TRY(refill ? prefill(r) : step(r));
        if (r->opts.on_progress) r->opts.on_progress(r->opts.ctx, r->done, n);
    }
    r->out->seconds = now_seconds() - start;
    return OK;
}

Status generate_run(GenOutput *out, GenEngine *g, const LoraSet *loras, const GenRequest *requests, int64_t n,
                    GenOpts opts) {
    memset(out, 0, sizeof *out);
    CHECK(!loras || loras->rank <= g->sizes.rank, "adapters of rank %lld in an engine for %lld",
          (long long)(loras ? loras->rank : 0), (long long)g->sizes.rank);
    if (opts.max_new_tokens <= 0) opts.max_new_tokens = DEFAULT_NEW_TOKENS;
    for (int64_t i = 0; i < n; i++) TRY(check_request(g, loras, &requests[i], i));
    Run r = {g, loras, requests, out, opts, 0, 0, 0, g->sizes.slots};
    Status st = output_init(out, g, requests, n, opts.max_new_tokens);
    if (status_is_ok(st)) st = run_all(&r);
    if (!status_is_ok(st)) generate_free(out);
    return st;
}

void generate_free(GenOutput *out) {
    free(out->results);
    free(out->tokens);
    memset(out, 0, sizeof *out);
}

Status generate_once(GenOutput *out, const Llm *llm, Device *dev, const LoraSet *loras,
                     const GenRequest *requests, int64_t n, int64_t slots, GenOpts opts) {
    memset(out, 0, sizeof *out);
    if (opts.max_new_tokens <= 0) opts.max_new_tokens = DEFAULT_NEW_TOKENS;
    int64_t longest = 1;
    for (int64_t i = 0; i < n; i++) longest = max_i64(longest, requests[i].n_prompt);
    int64_t max_len = min_i64(longest + opts.max_new_tokens, llm->cfg.max_positions);
    if (slots <= 0) slots = default_slots(&llm->cfg, max_len);
    GenEngine g;
    GenSizes sizes = {max_i64(1, min_i64(slots, n)), max_len, 0, loras ? loras->rank : 0};
    TRY(generate_open(&g, llm, dev, sizes));
    Status st = generate_run(out, &g, loras, requests, n, opts);
    generate_close(&g);
    return st;
}

const char *generate_finish_name(GenFinish f) {
    switch (f) {
    case GEN_EOS:
        return "stop";
    case GEN_LENGTH:
        return "length";
    default:
        return "cut";
    }
}
