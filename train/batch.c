#include "train/batch.h"
#include "base/rng.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Random streams under the run's seed: the order of an epoch, and the draws of a step. */
#define ORDER_STREAM ((uint64_t)1 << 56)
#define DRAW_STREAM ((uint64_t)2 << 56)

Status batch_source_init(BatchSource *s, const Llm *llm, const TaskSet *tasks, int64_t n_tasks,
                         int64_t batch_tasks, int64_t max_tokens, PromptKind prompt, double swap,
                         bool equal_weight, uint64_t seed) {
    if (batch_tasks > n_tasks)
        return status_error(E_USAGE,
                            "train.batch_tasks is %lld, but there are only %lld tasks; use at most that many",
                            (long long)batch_tasks, (long long)n_tasks);
    BatchSource x = {llm,  tasks,        n_tasks, batch_tasks, max_tokens, prompt,
                     swap, equal_weight, seed,    NULL,        NULL,       -1};
    x.first_description = malloc((size_t)(n_tasks + 1) * sizeof(int64_t));
    x.order = malloc((size_t)n_tasks * sizeof(int64_t));
    if (!x.first_description || !x.order) {
        batch_source_free(&x);
        return status_error(E_ENV, "out of memory");
    }
    int64_t rows = 0;
    for (int64_t i = 0; i < n_tasks; i++) {
        x.first_description[i] = rows;
        rows += tasks->tasks[i].n_descriptions;
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

Status batch_descriptions(const char ***out, int64_t *n, const BatchSource *s) {
    *n = 0;
    for (int64_t i = 0; i < s->n_tasks; i++) *n += s->tasks->tasks[i].n_descriptions;
    *out = malloc((size_t)*n * sizeof **out);
    if (!*out) return status_error(E_ENV, "out of memory");
    for (int64_t i = 0, k = 0; i < s->n_tasks; i++)
        for (int j = 0; j < s->tasks->tasks[i].n_descriptions; j++)
            (*out)[k++] = s->tasks->tasks[i].descriptions[j];
    return OK;
}

static void batch_bind(Batch *b, const BatchSource *s) {
    int64_t n = s->batch_tasks * 2 * s->max_tokens;
    LlmBatch *l = &b->llm;
    l->ids = arena_i32(&b->mem, n);
    l->pos = arena_i32(&b->mem, n);
    l->cu_seqlens = arena_i32(&b->mem, s->batch_tasks + 1);
    l->adapter = arena_i32(&b->mem, s->batch_tasks);
    l->row = arena_i32(&b->mem, n);
    l->label = arena_i32(&b->mem, n);
    l->weight = arena_f32(&b->mem, n);
    b->embedding = arena_alloc(&b->mem, (size_t)s->batch_tasks * sizeof(int64_t));
}

Status batch_init(Batch *b, const BatchSource *s) {
    memset(b, 0, sizeof *b);
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
    Rng r = rng_make(s->seed, ORDER_STREAM + (uint64_t)epoch);
    for (int64_t i = 0; i < s->n_tasks; i++) s->order[i] = i;
    for (int64_t i = s->n_tasks - 1; i > 0; i--) {
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

static Status render_prompt(char **out, const BatchSource *s, const char *instruction, const char *input) {
    char *text = NULL;
    if (instruction && asprintf(&text, "%s\n\n%s", instruction, input) < 0)
        return status_error(E_ENV, "out of memory");
    ChatMessage user = {"user", text ? text : input};
    TemplateOpts opts = {true, false};
    Status st = template_render(out, &s->llm->chat, &user, 1, opts);
    free(text);
    return st;
}

/* Prompt, response and end-of-turn of one example into buf. */
static Status tokenize_example(TokenBuf *buf, int64_t *n_prompt, int64_t *n_response, const BatchSource *s,
                               const char *instruction, const TaskExample *e) {
    char *prompt;
    buf->n = 0;
    TRY(render_prompt(&prompt, s, instruction, e->input));
    Status st = append(buf, n_prompt, s->llm->tokenizer, prompt, s->max_tokens, true);
    free(prompt);
    TRY(st);
    TRY(append(buf, n_response, s->llm->tokenizer, e->output, s->max_tokens - 1, false));
    ++*n_response;
    return tokenizer_buf_push(buf, s->llm->cfg.eos[0]);
}

static void pack(LlmBatch *l, const TokenBuf *buf, int64_t n_prompt, int64_t n_response) {
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
    l->adapter[b] = (int32_t)b;
    l->n_tokens += fed;
    l->cu_seqlens[l->n_seqs] = (int32_t)l->n_tokens;
}

static int64_t any_description(const BatchSource *s, Rng *r) {
    int64_t t = rng_below(r, (uint32_t)s->n_tasks);
    return s->first_description[t] + rng_below(r, (uint32_t)s->tasks->tasks[t].n_descriptions);
}

Status batch_next(Batch *b, BatchSource *s, int64_t step) {
    int64_t per_epoch = s->n_tasks / s->batch_tasks, first = step % per_epoch * s->batch_tasks;
    shuffle(s, step / per_epoch);
    LlmBatch *l = &b->llm;
    l->n_tokens = l->n_seqs = l->n_rows = 0;
    l->cu_seqlens[0] = 0;
    Rng r = rng_make(s->seed, DRAW_STREAM + (uint64_t)step);
    TokenBuf buf = {0};
    Status st = OK;
    for (int64_t i = 0; i < s->batch_tasks; i++) {
        int64_t t = s->order[first + i];
        const Task *task = &s->tasks->tasks[t];
        const TaskExample *e = &task->examples[rng_below(&r, (uint32_t)task->n_train)];
        uint32_t d = rng_below(&r, (uint32_t)task->n_descriptions), coin = rng_below(&r, 2);
        bool instruct = s->prompt == PROMPT_INSTRUCTION || (s->prompt == PROMPT_MIXED && coin);
        int64_t n_prompt, n_response;
        TRY_GOTO(
            st, tokenize_example(&buf, &n_prompt, &n_response, s, instruct ? task->descriptions[d] : NULL, e),
            done);
        b->embedding[l->n_seqs] =
            instruct && rng_float(&r) < (float)s->swap ? any_description(s, &r) : s->first_description[t] + d;
        pack(l, &buf, n_prompt, n_response);
    }
    for (int64_t i = 0; i < l->n_rows; i++)
        l->weight[i] = s->equal_weight ? l->weight[i] / (float)l->n_seqs : 1.0f / (float)l->n_rows;
done:
    tokenizer_buf_free(&buf);
    return st;
}
