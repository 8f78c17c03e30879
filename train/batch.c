#include "train/batch.h"
#include "base/rng.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Random streams under the run's seed: the order of an epoch, and the draws of a step. */
#define ORDER_STREAM ((uint64_t)1 << 56)
#define DRAW_STREAM ((uint64_t)2 << 56)

Status batch_source_init(BatchSource *s, const Llm *llm, const Task *tasks, int64_t n_tasks, BatchOpts opts) {
    CHECK(!opts.walk || n_tasks == 1, "walking the examples of %lld tasks", (long long)n_tasks);
    if (!opts.walk && opts.batch_tasks > n_tasks)
        return status_error(E_USAGE,
                            "train.batch_tasks is %lld, but there are only %lld tasks; use at most that many",
                            (long long)opts.batch_tasks, (long long)n_tasks);
    BatchSource x = {.llm = llm, .tasks = tasks, .n_tasks = n_tasks, .opts = opts, .epoch = -1};
    x.n_order = opts.walk ? tasks[0].n_train : n_tasks;
    x.first_description = malloc((size_t)(n_tasks + 1) * sizeof(int64_t));
    x.order = malloc((size_t)x.n_order * sizeof(int64_t));
    if (!x.first_description || !x.order) {
        batch_source_free(&x);
        return status_error(E_ENV, "no memory for an order of %lld tasks", (long long)n_tasks);
    }
    int64_t rows = 0;
    for (int64_t i = 0; i < n_tasks; i++) {
        x.first_description[i] = rows;
        rows += tasks[i].n_descriptions;
    }
    x.first_description[n_tasks] = rows;
    *s = x;
    return OK;
}

void batch_source_free(BatchSource *s) {
    free(s->first_description);
    free(s->order);
    memset(s, 0, sizeof *s);
}

PromptKind batch_prompt_kind(const char *name) {
    static const char *const names[] = {"input", "instruction", "mixed", "natural"};
    int i = 0;
    while (i < 4 && strcmp(name, names[i]) != 0) i++;
    CHECK(i < 4, "prompt '%s'", name);
    return (PromptKind)i;
}

static int64_t batch_size(const BatchSource *s) {
    return s->opts.batch_tasks < s->n_order ? s->opts.batch_tasks : s->n_order;
}

int64_t batch_epoch(const BatchSource *s) {
    return s->n_order / batch_size(s);
}

Status batch_descriptions(const char ***out, int64_t *n, const BatchSource *s) {
    *n = 0;
    for (int64_t i = 0; i < s->n_tasks; i++) *n += s->tasks[i].n_descriptions;
    *out = malloc((size_t)*n * sizeof **out);
    if (!*out) return status_error(E_ENV, "no memory for a list of %lld descriptions", (long long)*n);
    for (int64_t i = 0, k = 0; i < s->n_tasks; i++)
        for (int j = 0; j < s->tasks[i].n_descriptions; j++) (*out)[k++] = s->tasks[i].descriptions[j];
    return OK;
}

static void batch_bind(Batch *b, const BatchSource *s) {
    int64_t seqs = s->opts.batch_tasks, n = seqs * 2 * s->opts.max_tokens;
    LlmBatch *l = &b->llm;
    l->ids = arena_i32(&b->mem, n);
    l->pos = arena_i32(&b->mem, n);
    l->cu_seqlens = arena_i32(&b->mem, seqs + 1);
    l->adapter = arena_i32(&b->mem, seqs);
    l->row = arena_i32(&b->mem, n);
    l->label = arena_i32(&b->mem, n);
    l->weight = arena_f32(&b->mem, n);
    b->embedding = arena_alloc(&b->mem, (size_t)seqs * sizeof(int64_t));
    b->items = arena_alloc(&b->mem, (size_t)seqs * sizeof *b->items);
}

Status batch_init(Batch *b, const BatchSource *s) {
    memset(b, 0, sizeof *b);
    b->max_seqs = s->opts.batch_tasks;
    b->mem = arena_measure("batch");
    batch_bind(b, s);
    TRY(arena_commit(&b->mem));
    batch_bind(b, s);
    return OK;
}

void batch_free(Batch *b) {
    arena_free(&b->mem);
    memset(b, 0, sizeof *b);
}

static void shuffle(BatchSource *s, int64_t epoch) {
    if (s->epoch == epoch) return;
    Rng r = rng_make(s->opts.seed, ORDER_STREAM + (uint64_t)epoch);
    for (int64_t i = 0; i < s->n_order; i++) s->order[i] = i;
    for (int64_t i = s->n_order - 1; i > 0; i--) {
        int64_t j = rng_below(&r, (uint32_t)(i + 1)), t = s->order[i];
        s->order[i] = s->order[j];
        s->order[j] = t;
    }
    s->epoch = epoch;
}

/* Appends one side of an example, cut on the left to max ids. */
static Status append(TokenBuf *buf, int64_t *n, const Tokenizer *t, const char *text, int64_t max,
                     bool special) {
    size_t before = buf->n;
    TokenizerOpts opts = {special};
    TRY(tokenizer_encode(t, buf, text, strlen(text), opts));
    int64_t got = (int64_t)(buf->n - before), cut = got > max ? got - max : 0;
    memmove(buf->ids + before, buf->ids + before + cut, (size_t)(got - cut) * sizeof(int32_t));
    buf->n -= (size_t)cut;
    *n = got - cut;
    return OK;
}

/* *text: instruction, blank line, input; NULL without an instruction. */
static Status user_turn(char **text, const BatchSource *s, const BatchItem *item) {
    *text = NULL;
    if (!item->instruction) return OK;
    if (s->opts.prompt == PROMPT_NATURAL) return tasks_natural_turn(text, item->instruction, item->example);
    if (asprintf(text, "%s\n\n%s", item->instruction, item->example->input) >= 0) return OK;
    *text = NULL;
    return status_error(E_ENV, "out of memory (a prompt)");
}

static Status render_prompt(char **out, const BatchSource *s, const BatchItem *item) {
    char *text;
    TRY(user_turn(&text, s, item));
    ChatMessage user = {"user", text ? text : item->example->input};
    TemplateOpts opts = {true, false};
    Status st = template_render(out, &s->llm->chat, &user, 1, opts);
    free(text);
    return st;
}

/* Prompt, response and end-of-turn of one example into buf. */
static Status tokenize(TokenBuf *buf, int64_t *n_prompt, int64_t *n_response, const BatchSource *s,
                       const BatchItem *item) {
    char *prompt;
    buf->n = 0;
    TRY(render_prompt(&prompt, s, item));
    Status st = append(buf, n_prompt, s->llm->tokenizer, prompt, s->opts.max_tokens, true);
    free(prompt);
    TRY(st);
    TRY(append(buf, n_response, s->llm->tokenizer, item->example->output, s->opts.max_tokens - 1, false));
    ++*n_response;
    return tokenizer_buf_push(buf, s->llm->cfg.eos[0]);
}

static void pack(LlmBatch *l, const TokenBuf *buf, int64_t n_prompt, int64_t n_response, int32_t adapter) {
    int64_t b = l->n_seqs++, from = l->n_tokens, fed = n_prompt + n_response - 1;
    for (int64_t i = 0; i < fed; i++) {
        l->ids[from + i] = buf->ids[i];
        l->pos[from + i] = (int32_t)i;
    }
    for (int64_t i = 0; i < n_response; i++, l->n_rows++) {
        l->row[l->n_rows] = (int32_t)(from + n_prompt - 1 + i);
        l->label[l->n_rows] = buf->ids[n_prompt + i];
        l->weight[l->n_rows] = 1.0f / (float)n_response;
    }
    l->adapter[b] = adapter;
    l->n_tokens += fed;
    l->cu_seqlens[l->n_seqs] = (int32_t)l->n_tokens;
}

static int64_t any_description(const BatchSource *s, Rng *r) {
    int64_t t = rng_below(r, (uint32_t)s->n_tasks);
    return s->first_description[t] + rng_below(r, (uint32_t)s->tasks[t].n_descriptions);
}

Status batch_pack(Batch *b, const BatchSource *s, const BatchItem *items, int64_t n) {
    CHECK(n > 0 && n <= b->max_seqs, "%lld sequences in a batch for %lld", (long long)n,
          (long long)b->max_seqs);
    LlmBatch *l = &b->llm;
    l->n_tokens = l->n_seqs = l->n_rows = 0;
    l->cu_seqlens[0] = 0;
    TokenBuf buf = {0};
    Status st = OK;
    for (int64_t i = 0; i < n; i++) {
        int64_t n_prompt, n_response;
        TRY_GOTO(st, tokenize(&buf, &n_prompt, &n_response, s, &items[i]), done);
        b->embedding[i] = items[i].embedding;
        pack(l, &buf, n_prompt, n_response, items[i].adapter);
    }
    for (int64_t i = 0; i < l->n_rows; i++)
        l->weight[i] = s->opts.equal_weight ? l->weight[i] / (float)l->n_seqs : 1.0f / (float)l->n_rows;
done:
    tokenizer_buf_free(&buf);
    return st;
}

/* One sequence of number `at` in the epoch's order. The draws' order is part of what a seed means. */
static BatchItem draw(const BatchSource *s, Rng *r, int64_t at, int32_t adapter) {
    const BatchOpts *o = &s->opts;
    int64_t t = o->walk ? 0 : s->order[at];
    const Task *task = &s->tasks[t];
    int64_t e = o->walk ? s->order[at] : rng_below(r, (uint32_t)task->n_train);
    uint32_t d = rng_below(r, (uint32_t)task->n_descriptions), coin = rng_below(r, 2);
    bool instruct = o->prompt == PROMPT_INSTRUCTION || (o->prompt == PROMPT_MIXED && coin);
    BatchItem item = {.example = &task->examples[e], .adapter = o->walk ? 0 : adapter};
    item.embedding =
        instruct && rng_float(r) < (float)o->swap ? any_description(s, r) : s->first_description[t] + d;
    item.instruction = o->prompt == PROMPT_NATURAL ? task->definition
                       : instruct                  ? task->descriptions[d]
                                                   : NULL;
    return item;
}

Status batch_next(Batch *b, BatchSource *s, int64_t number) {
    int64_t size = batch_size(s), per_epoch = batch_epoch(s), first = number % per_epoch * size;
    shuffle(s, number / per_epoch);
    Rng r = rng_make(s->opts.seed, DRAW_STREAM + (uint64_t)number);
    for (int64_t i = 0; i < size; i++) b->items[i] = draw(s, &r, first + i, (int32_t)i);
    return batch_pack(b, s, b->items, size);
}
