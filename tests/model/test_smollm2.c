/* SmolLM2-135M-Instruct from its GGUF against transformers: token ids, logits in f32 and bf16, greedy
 * continuations. Exit code 77, with the reason, where the model is not in the cache. */
#include "tests/test_util.h"

#include "base/json.h"
#include "data/fetch.h"
#include "data/safetensors.h"
#include "model/llm.h"

enum { PROMPTS = 5, MAX_TOKENS = 128, GREEDY = 50, COLUMNS = 256, VOCAB = 49152 };

static char *model_path; /* owns; set once by main */

typedef struct Fixture {
    Device dev;
    Llm llm;
    SafeTensors golden;
    LlmBatch b; /* the five prompts, every position a row */
    int32_t ids[MAX_TOKENS], pos[MAX_TOKENS], cu[PROMPTS + 1], adapter[PROMPTS], row[MAX_TOKENS];
} Fixture;

static const SafeTensor *golden(const Fixture *f, const char *name, int i) {
    char full[64];
    snprintf(full, sizeof full, i >= 0 ? "%s.%d" : "%s", name, i);
    const SafeTensor *t = safetensors_find(&f->golden, full);
    if (!t) fail_msg("no tensor %s", full);
    return t;
}

static const int64_t *golden_ids(const Fixture *f, const char *name, int i, int64_t *n) {
    const SafeTensor *t = golden(f, name, i);
    assert_true(t->dtype == DT_I64 && t->ndim == 1);
    *n = t->shape[0];
    return (const int64_t *)(const void *)t->data;
}

static const float *golden_f32(const Fixture *f, const char *name, int i) {
    const SafeTensor *t = golden(f, name, i);
    assert_true(t->dtype == DT_F32);
    return (const float *)(const void *)t->data;
}

static void fixture_open(Fixture *f, DType dtype) {
    memset(f, 0, sizeof *f);
    assert_ok(device_open(&f->dev, "cpu", 0));
    assert_ok(llm_load(&f->llm, &f->dev, model_path, (LlmLoad){dtype, false}));
    assert_ok(safetensors_open(&f->golden, GOLDEN("smollm2.safetensors")));
    f->b = (LlmBatch){.n_seqs = PROMPTS,
                      .ids = f->ids,
                      .pos = f->pos,
                      .cu_seqlens = f->cu,
                      .adapter = f->adapter,
                      .row = f->row};
    for (int i = 0; i < PROMPTS; i++) {
        int64_t n;
        const int64_t *ids = golden_ids(f, "ids", i, &n);
        assert_true(f->b.n_tokens + n <= MAX_TOKENS);
        for (int64_t j = 0; j < n; j++) {
            f->ids[f->b.n_tokens] = (int32_t)ids[j];
            f->pos[f->b.n_tokens] = (int32_t)j;
            f->row[f->b.n_tokens] = (int32_t)f->b.n_tokens;
            f->b.n_tokens++;
        }
        f->cu[i + 1] = (int32_t)f->b.n_tokens;
        f->adapter[i] = -1;
    }
    f->b.n_rows = f->b.n_tokens;
}

static void fixture_close(Fixture *f) {
    safetensors_close(&f->golden);
    llm_free(&f->llm);
    device_close(&f->dev);
}

/* [rows, VOCAB]; the caller frees. */
static float *logits_of(Fixture *f, const LlmBatch *b) {
    LlmActs acts;
    float *logits = test_alloc((size_t)b->n_rows * VOCAB * sizeof(float));
    assert_ok(llm_acts_init(&acts, &f->llm, b->n_tokens, b->n_seqs, b->n_rows, 0, false));
    assert_ok(llm_forward(&f->llm, &f->dev, &acts, b, NULL, (LlmRun){0}));
    assert_ok(llm_logits(&f->llm, &f->dev, tensor_2d(logits, DT_F32, b->n_rows, VOCAB), &acts));
    llm_acts_free(&acts);
    return logits;
}

typedef struct Error {
    double largest, rms;
} Error;

static void error_add(Error *e, double difference) {
    if (!(fabs(difference) <= e->largest)) e->largest = isnan(difference) ? INFINITY : fabs(difference);
    e->rms += difference * difference;
}

/* Of prompt i: ours (`got` [T,COLUMNS] when not NULL, else columns of logits) against f32. */
static Error error_of(const Fixture *f, int i, const float *logits, const float *got) {
    int64_t n;
    const int64_t *columns = golden_ids(f, "columns", -1, &n);
    const float *want = golden_f32(f, "logits", i);
    int64_t rows = f->cu[i + 1] - f->cu[i];
    Error e = {0, 0};
    assert_int_equal(n, COLUMNS);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < COLUMNS; c++) {
            float x = got ? got[r * COLUMNS + c] : logits[(f->cu[i] + r) * VOCAB + columns[c]];
            error_add(&e, (double)x - (double)want[r * COLUMNS + c]);
        }
    e.rms = sqrt(e.rms / (double)(rows * COLUMNS));
    return e;
}

static int32_t argmax(const float *x) {
    int32_t best = 0;
    for (int32_t j = 1; j < VOCAB; j++)
        if (x[j] > x[best]) best = j;
    return best;
}

/* ---- tests ---- */

static void config_and_tokens(const Fixture *f) {
    const LlmConfig *c = &f->llm.cfg;
    assert_true(c->vocab == VOCAB && c->width == 576 && c->n_layers == 30 && c->heads == 9);
    assert_true(c->groups == 3 && c->head_dim == 64 && c->ffn == 1536 && c->tied);
    cJSON *texts;
    const char *prompts = safetensors_metadata(&f->golden, "prompts");
    assert_non_null(prompts);
    assert_ok(json_parse(&texts, prompts, strlen(prompts), "prompts"));
    for (int i = 0; i < PROMPTS; i++) {
        const char *text = cJSON_GetArrayItem(texts, i)->valuestring;
        TokenBuf ids = {0};
        assert_ok(tokenizer_encode(f->llm.tokenizer, &ids, text, strlen(text), (TokenizerOpts){true}));
        assert_int_equal(ids.n, f->cu[i + 1] - f->cu[i]);
        assert_memory_equal(ids.ids, f->ids + f->cu[i], ids.n * sizeof *ids.ids);
        tokenizer_buf_free(&ids);
    }
    cJSON_Delete(texts);
}

/* 2e-3: chosen, a third of the smallest distance between the two best logits on the way of greedy_f32. */
static void logits_f32(Fixture *f) {
    float *logits = logits_of(f, &f->b);
    for (int i = 0; i < PROMPTS; i++) {
        Error e = error_of(f, i, logits, NULL);
        print_message("f32, prompt %d: largest error %.2g, rms %.2g\n", i, e.largest, e.rms);
        assert_true(e.largest <= 2e-3);
    }
    const float *want = golden_f32(f, "last_logits", 0), *got = logits + (f->cu[1] - 1) * VOCAB;
    Error e = {0, 0};
    for (int j = 0; j < VOCAB; j++) error_add(&e, (double)got[j] - (double)want[j]);
    print_message("f32, all logits of one position: largest error %.2g\n", e.largest);
    assert_true(e.largest <= 2e-3);

    int32_t cu[2] = {0, f->cu[2] - f->cu[1]}; /* a prompt alone: the same bits */
    LlmBatch one = {.n_tokens = cu[1],
                    .n_seqs = 1,
                    .n_rows = cu[1],
                    .ids = f->ids + f->cu[1],
                    .pos = f->pos + f->cu[1],
                    .cu_seqlens = cu,
                    .adapter = f->adapter,
                    .row = f->row};
    float *alone = logits_of(f, &one);
    assert_memory_equal(alone, logits + f->cu[1] * VOCAB, (size_t)cu[1] * VOCAB * sizeof(float));
    free(alone);
    free(logits);
}

/* All five at once, through the cache. The two best logits are never closer than 0.006, three times the
 * error allowed above. */
static void greedy_f32(Fixture *f) {
    enum { LEN = 80 };
    LlmCache cache;
    LlmActs acts;
    LlmBatch b = f->b;
    int32_t slot[PROMPTS] = {4, 2, 0, 1, 3}, len[PROMPTS], ids[PROMPTS], last[PROMPTS];
    float *logits = test_alloc(PROMPTS * VOCAB * sizeof(float));
    for (int i = 0; i < PROMPTS; i++) {
        last[i] = f->cu[i + 1] - 1;
        len[i] = f->cu[i + 1] - f->cu[i];
    }
    b.row = last;
    b.n_rows = PROMPTS;
    assert_ok(llm_cache_init(&cache, &f->llm, PROMPTS, LEN));
    assert_ok(llm_acts_init(&acts, &f->llm, b.n_tokens, PROMPTS, PROMPTS, 0, false));
    assert_ok(llm_prefill(&f->llm, &f->dev, &acts, &b, NULL, &cache, slot));
    for (int step = 0; step < GREEDY; step++) {
        assert_ok(llm_logits(&f->llm, &f->dev, tensor_2d(logits, DT_F32, PROMPTS, VOCAB), &acts));
        for (int i = 0; i < PROMPTS; i++) {
            int64_t n;
            const int64_t *want = golden_ids(f, "greedy", i, &n);
            ids[i] = argmax(logits + i * VOCAB);
            len[i]++;
            if (ids[i] != want[step])
                fail_msg("prompt %d, token %d: %d, expected %d (gap %g)", i, step, (int)ids[i],
                         (int)want[step], (double)golden_f32(f, "greedy_gap", i)[step]);
        }
        assert_ok(llm_decode(&f->llm, &f->dev, &acts, PROMPTS, ids, slot, len, f->adapter, NULL, &cache));
    }
    free(logits);
    llm_acts_free(&acts);
    llm_cache_free(&cache);
}

static void in_f32(void **state) {
    (void)state;
    Fixture f;
    fixture_open(&f, DT_F32);
    config_and_tokens(&f);
    logits_f32(&f);
    greedy_f32(&f);
    fixture_close(&f);
}

/* At most twice the error of the naive implementation in the same precision: transformers in bf16. */
static void in_bf16(void **state) {
    (void)state;
    Fixture f;
    Device dev;
    assert_ok(device_open(&dev, "cpu", 1));
    bool can = dev.bf16_dot;
    device_close(&dev);
    if (!can) {
        print_message("this CPU has no AVX512-BF16\n");
        skip();
    }
    fixture_open(&f, DT_BF16);
    float *logits = logits_of(&f, &f.b);
    for (int i = 0; i < PROMPTS; i++) {
        Error ours = error_of(&f, i, logits, NULL);
        Error theirs = error_of(&f, i, NULL, golden_f32(&f, "logits_bf16", i));
        print_message("bf16, prompt %d: largest %.3f (transformers %.3f), rms %.3f (%.3f)\n", i, ours.largest,
                      theirs.largest, ours.rms, theirs.rms);
        assert_true(ours.largest <= 2.0 * theirs.largest && ours.rms <= 2.0 * theirs.rms);
    }
    free(logits);
    fixture_close(&f);
}

int main(void) {
    char *cache;
    Status s = fetch_cache_dir(&cache);
    if (status_is_ok(s)) {
        s = fetch_resolve(&model_path, "smollm2-135m-instruct", cache);
        free(cache);
    }
    if (!status_is_ok(s)) {
        printf("skipped: %s\n", status_message(s));
        status_free(s);
        return 77;
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(in_f32), cmocka_unit_test(in_bf16)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    free(model_path);
    return failed;
}
