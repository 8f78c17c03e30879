/* Sequences are packed in their order until a budget of tokens is reached. */
#include "model/llm_embed.h"

#include "model/encoder.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH_TOKENS = 1024 /* chosen */, MAX_TOKENS = 8192 /* the reference's */ };

typedef struct Run {
    const Llm *llm;
    Device *dev;
    LlmActs acts;
    LlmBatch batch;
    Arena mem;
} Run;

static void bind(Run *r, int64_t tokens, int64_t seqs) {
    LlmBatch *b = &r->batch;
    b->ids = arena_i32(&r->mem, tokens);
    b->pos = arena_i32(&r->mem, tokens);
    b->cu_seqlens = arena_i32(&r->mem, seqs + 1);
    b->adapter = arena_i32(&r->mem, seqs);
    b->row = arena_i32(&r->mem, seqs);
}

static Status add(Run *r, const int32_t *ids, int64_t n) {
    LlmBatch *b = &r->batch;
    b->cu_seqlens[b->n_seqs] = (int32_t)b->n_tokens;
    b->adapter[b->n_seqs++] = -1;
    for (int64_t i = 0; i < n; i++, b->n_tokens++) {
        if (ids[i] < 0 || ids[i] >= r->llm->cfg.vocab)
            return status_error(E_INPUT, "the tokenizer makes id %d, the model has %lld", (int)ids[i],
                                (long long)r->llm->cfg.vocab);
        b->ids[b->n_tokens] = ids[i];
        b->pos[b->n_tokens] = (int32_t)i;
    }
    b->row[b->n_rows++] = (int32_t)b->n_tokens - 1;
    b->cu_seqlens[b->n_seqs] = (int32_t)b->n_tokens;
    return OK;
}

static Status flush(Run *r, float *out) {
    int64_t c = r->llm->cfg.width;
    TRY(llm_forward(r->llm, r->dev, &r->acts, &r->batch, NULL, (LlmRun){0}));
    TRY(device_download(r->dev, out, r->acts.rows, (size_t)(r->batch.n_rows * c) * sizeof *out));
    for (int64_t i = 0; i < r->batch.n_rows; i++) {
        float *x = out + i * c;
        double square = 0;
        for (int64_t j = 0; j < c; j++) square += (double)x[j] * x[j];
        double scale = sqrt((double)c) / fmax(sqrt(square), 1e-12);
        for (int64_t j = 0; j < c; j++) x[j] = (float)(x[j] * scale);
    }
    r->batch.n_tokens = r->batch.n_seqs = r->batch.n_rows = 0;
    return OK;
}

static Status run(Run *r, float *out, const int32_t *ids, const int64_t *start, int64_t n) {
    int64_t first = 0;
    for (int64_t i = 0; i < n; i++) {
        int64_t len = start[i + 1] - start[i];
        if (r->batch.n_seqs > 0 && r->batch.n_tokens + len > BATCH_TOKENS) {
            TRY(flush(r, out + first * r->llm->cfg.width));
            first = i;
        }
        TRY(add(r, ids + start[i], len));
    }
    return flush(r, out + first * r->llm->cfg.width);
}

Status llm_embed_tokens(const Llm *llm, Device *dev, float *out, const int32_t *ids, const int64_t *start,
                        int64_t n) {
    int64_t tokens = BATCH_TOKENS;
    if (n == 0) return OK;
    for (int64_t i = 0; i < n; i++) {
        CHECK(start[i + 1] > start[i], "text %lld has no tokens", (long long)i);
        if (start[i + 1] - start[i] > tokens) tokens = start[i + 1] - start[i];
    }
    Run r = {.llm = llm, .dev = dev, .mem = arena_measure("embedding")};
    int64_t seqs = n < tokens ? n : tokens;
    TRY(llm_acts_init(&r.acts, llm, tokens, seqs, seqs, 0, false));
    bind(&r, tokens, seqs);
    Status st = arena_commit(&r.mem);
    if (status_is_ok(st)) {
        bind(&r, tokens, seqs);
        st = run(&r, out, ids, start, n);
    }
    arena_free(&r.mem);
    llm_acts_free(&r.acts);
    return st;
}

/* Appends what the model reads for one text. */
static Status tokens_of(const Llm *llm, TokenBuf *buf, const char *text) {
    char *sentence;
    size_t n, start = buf->n;
    int32_t first = tokenizer_markers(llm->tokenizer).first;
    int64_t most = llm->cfg.max_positions < MAX_TOKENS ? llm->cfg.max_positions : MAX_TOKENS;
    TRY(encoder_sentence(&sentence, &n, text));
    Status st = first >= 0 ? tokenizer_buf_push(buf, first) : OK;
    size_t before = buf->n;
    if (status_is_ok(st))
        st = tokenizer_encode(llm->tokenizer, buf, sentence, n, (TokenizerOpts){.parse_special = true});
    free(sentence);
    TRY(st);
    if (buf->n == start)
        return status_error(E_INPUT, "an empty description has no last token to embed it by");
    if (buf->n - start > (size_t)most) {
        size_t kept = (size_t)most - (before - start);
        memmove(buf->ids + before, buf->ids + buf->n - kept, kept * sizeof *buf->ids);
        buf->n = before + kept;
    }
    return OK;
}

Status llm_embed(const Llm *llm, Device *dev, float *out, const char *const *texts, int64_t n) {
    if (!llm->tokenizer)
        return status_error(E_INPUT, "%s: no tokenizer", llm->name ? llm->name : "the model");
    TokenBuf buf = {0};
    int64_t *start = calloc((size_t)n + 1, sizeof *start);
    Status st = start ? OK : status_error(E_ENV, "out of memory");
    for (int64_t i = 0; i < n && status_is_ok(st); i++) {
        st = tokens_of(llm, &buf, texts[i]);
        start[i + 1] = (int64_t)buf.n;
    }
    if (status_is_ok(st)) st = llm_embed_tokens(llm, dev, out, buf.ids, start, n);
    free(start);
    tokenizer_buf_free(&buf);
    return st;
}
