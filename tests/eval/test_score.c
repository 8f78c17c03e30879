/* Log-likelihoods on the tiny model: golden float64 logits, a direct computation, any batching, truncation,
 * and how text is split into context and continuation. */
#include "tests/test_util.h"
#include "tests/eval/tiny.h"

#include "eval/score.h"

static double log_prob(const double *z, int label, bool *greedy) {
    double top = z[0], sum = 0;
    for (int v = 1; v < TINY_VOCAB; v++) top = fmax(top, z[v]);
    for (int v = 0; v < TINY_VOCAB; v++) sum += exp(z[v] - top);
    *greedy = *greedy && z[label] == top;
    return z[label] - top - log(sum);
}

/* logits of transformers in float64 (tests/golden/README.md), with and without the adapters */
static void golden(void **state) {
    Tiny *t = *state;
    enum { N = 21, SEQS = 3 };
    static const int cu[] = {0, 5, 14, 21};
    int32_t ids[N];
    const SafeTensor *given = safetensors_find(&t->golden, "input.ids");
    for (int i = 0; i < N; i++) ids[i] = (int32_t)((const int64_t *)(const void *)given->data)[i];
    for (int with = 0; with < 2; with++) {
        const SafeTensor *l = safetensors_find(&t->golden, with ? "logits" : "base.logits");
        const double *logits = (const double *)(const void *)l->data;
        for (int split = 1; split < 5; split++) {
            ScoreRequest q[SEQS];
            ScoreResult got[SEQS];
            for (int s = 0; s < SEQS; s++)
                q[s] = (ScoreRequest){ids + cu[s], split, cu[s + 1] - cu[s], with ? s : -1};
            assert_ok(score_run(got, &t->llm, &t->dev, &t->loras, q, SEQS, (ScoreOpts){0}));
            for (int s = 0; s < SEQS; s++) {
                double want = 0;
                bool greedy = true;
                for (int i = cu[s] + split; i < cu[s + 1]; i++)
                    want += log_prob(logits + (i - 1) * TINY_VOCAB, ids[i], &greedy);
                assert_within(got[s].logprob, want, 1e-4); /* float agrees to 3e-5 of logits up to 15 */
                assert_int_equal(got[s].n_tokens, cu[s + 1] - cu[s] - split);
                assert_int_equal(got[s].greedy, greedy);
            }
        }
    }
}

static void golden_in_device_memory(void **state) {
    Tiny t = {0};
    void *self = &t;
    (void)state;
    tiny_open_simt(&t);
    golden(&self);
    tiny_close(&t);
}

enum { REQUESTS = 40, MAX_TOKENS = 80 };

/* One request alone, through llm_forward and its logits, in double. */
static ScoreResult direct(Tiny *t, const LoraSet *loras, const ScoreRequest *q) {
    int64_t max = t->llm.cfg.max_positions, n = q->n_tokens - 1, from = n > max ? n - max : 0;
    int64_t n_cont = q->n_tokens - q->n_context;
    ScoreResult res = {0, n_cont, true};
    n -= from;
    if (n_cont == 0) return res;
    LlmActs acts;
    int32_t ids[MAX_TOKENS], pos[MAX_TOKENS], rows[MAX_TOKENS], cu[] = {0, (int32_t)n}, adapter = q->adapter;
    for (int64_t i = 0; i < n; i++) {
        ids[i] = q->tokens[from + i];
        pos[i] = rows[i] = (int32_t)i;
    }
    LlmBatch b = {n, 1, n, ids, pos, cu, &adapter, rows, NULL, NULL};
    float logits[MAX_TOKENS * TINY_VOCAB];
    LlmRun run = {false, 0.0f, 0, 0};
    assert_ok(llm_acts_init(&acts, &t->llm, n, 1, n, loras->rank, false));
    assert_ok(llm_forward(&t->llm, &t->dev, &acts, &b, loras, run));
    assert_ok(llm_logits(&t->llm, &t->dev, tensor_2d(logits, DT_F32, n, TINY_VOCAB), &acts));
    llm_acts_free(&acts);
    for (int64_t i = n - n_cont; i < n; i++) {
        double z[TINY_VOCAB];
        for (int v = 0; v < TINY_VOCAB; v++) z[v] = logits[i * TINY_VOCAB + v];
        res.logprob += log_prob(z, q->tokens[from + i + 1], &res.greedy);
    }
    return res;
}

static void random_requests(ScoreRequest *q, int32_t ids[][MAX_TOKENS]) {
    Rng rng = rng_make(5, 5);
    for (int i = 0; i < REQUESTS; i++) {
        int64_t n = i == 0 ? MAX_TOKENS : 1 + rng_below(&rng, 30);
        for (int64_t k = 0; k < n; k++) ids[i][k] = (int32_t)rng_below(&rng, TINY_VOCAB);
        int64_t context = i == 0 ? MAX_TOKENS - 10 : 1 + rng_below(&rng, (uint32_t)n);
        q[i] = (ScoreRequest){ids[i], context, n, (int32_t)rng_below(&rng, 4) - 1};
    }
}

static void any_batch(void **state) {
    Tiny *t = *state;
    static int32_t ids[REQUESTS][MAX_TOKENS];
    ScoreRequest q[REQUESTS];
    ScoreResult want[REQUESTS], got[REQUESTS];
    random_requests(q, ids);
    static const int64_t budgets[] = {1, 50, 64, 333, 0};
    for (int b = 0; b < COUNT_OF(budgets); b++) {
        ScoreOpts opts = {.batch_tokens = budgets[b]};
        assert_ok(score_run(b ? got : want, &t->llm, &t->dev, &t->loras, q, REQUESTS, opts));
        for (int i = 0; b && i < REQUESTS; i++) {
            assert_memory_equal(&got[i].logprob, &want[i].logprob, sizeof(double));
            assert_int_equal(got[i].greedy, want[i].greedy);
        }
    }
    for (int i = 0; i < REQUESTS; i++) {
        ScoreResult alone = direct(t, &t->loras, &q[i]);
        /* each term: lse and logit of size <= 15 in float, a rounding or two each */
        assert_within(want[i].logprob, alone.logprob, 4e-6 * (double)alone.n_tokens);
        assert_int_equal(want[i].n_tokens, alone.n_tokens);
        assert_int_equal(want[i].greedy, alone.greedy);
    }
}

/* A continuation made of argmax tokens is greedy; with one other token it is not. */
static void greedy_flag(void **state) {
    Tiny *t = *state;
    int32_t ids[8] = {5, 9, 33};
    ScoreResult r;
    for (int k = 3; k < 8; k++) {
        int found = 0;
        for (int v = 0; v < TINY_VOCAB; v++) {
            ids[k] = v;
            ScoreRequest q = {ids, 3, k + 1, -1};
            assert_ok(score_run(&r, &t->llm, &t->dev, NULL, &q, 1, (ScoreOpts){0}));
            if (!r.greedy) continue;
            found++;
            break;
        }
        assert_int_equal(found, 1);
    }
    ids[4] = (ids[4] + 1) % TINY_VOCAB;
    ScoreRequest q = {ids, 3, 8, -1};
    assert_ok(score_run(&r, &t->llm, &t->dev, NULL, &q, 1, (ScoreOpts){0}));
    assert_false(r.greedy);
}

static void check_split(Tiny *t, const char *context, const char *continuation, int64_t n_context,
                        int64_t n) {
    TokenBuf b = {0};
    int64_t got;
    assert_ok(score_encode(&b, &got, &t->llm, context, strlen(context), continuation, strlen(continuation)));
    assert_int_equal(got, n_context);
    assert_int_equal(b.n, n);
    tokenizer_buf_free(&b);
}

static void encoding(void **state) {
    Tiny *t = *state;
    check_split(t, "ab", " cd", 2, 5);
    check_split(t, "ab  ", "cd", 2, 6);
    check_split(t, "ab \n ", "cd", 2, 7);
    check_split(t, "ab\xe2\x80\xaf", "c", 2, 3); /* its bytes have no token here */
    check_split(t, "<|im_start|>ab", "<|im_end|>", 3, 4);
    check_split(t, "", "cd", 1, 3); /* bos */
    check_split(t, "  ", "cd", 1, 5);
    check_split(t, "ab", "", 2, 2);
    TokenBuf b = {0};
    int64_t n;
    assert_ok(score_encode(&b, &n, &t->llm, "", 0, "!", 1));
    assert_int_equal(b.ids[0], t->llm.cfg.bos);
    LlmConfig saved = t->llm.cfg;
    t->llm.cfg.bos = -1;
    b.n = 0;
    assert_ok(score_encode(&b, &n, &t->llm, "", 0, "!", 1));
    assert_int_equal(b.ids[0], TINY_EOS);
    t->llm.cfg.n_eos = 0;
    assert_fails(score_encode(&b, &n, &t->llm, "", 0, "!", 1), E_INPUT, "empty context");
    t->llm.cfg = saved;
    Tokenizer *plain = t->llm.tokenizer; /* one that puts bos in front of every text, unless it is there */
    t->llm.tokenizer = tiny_tokenizer_of(true);
    check_split(t, "ab", " cd", 3, 6);
    check_split(t, "", "cd", 1, 3);
    check_split(t, "  ", "cd", 1, 5);
    check_split(t, "<|im_start|>ab", "c", 3, 4);
    check_split(t, "", "<|im_start|>c", 1, 2);
    check_split(t, "ab", "", 3, 3);
    b.n = 0;
    assert_ok(score_encode(&b, &n, &t->llm, "a", 1, "!", 1));
    assert_int_equal(b.ids[0], 1);
    tokenizer_free(t->llm.tokenizer);
    t->llm.tokenizer = plain;
    tokenizer_buf_free(&b);
}

static void refusals(void **state) {
    Tiny *t = *state;
    static int32_t ids[70];
    ScoreResult r[2];
    ScoreRequest none = {ids, 0, 3, -1}, fewer = {ids, 3, 2, -1}, wide = {ids, 2, 67, -1};
    assert_fails(score_run(r, &t->llm, &t->dev, NULL, &none, 1, (ScoreOpts){0}), E_INPUT, "request 0");
    assert_fails(score_run(r, &t->llm, &t->dev, NULL, &fewer, 1, (ScoreOpts){0}), E_INPUT, "2 tokens");
    assert_fails(score_run(r, &t->llm, &t->dev, NULL, &wide, 1, (ScoreOpts){0}), E_INPUT, "64 positions");
    ids[1] = 97;
    ScoreRequest outside = {ids, 1, 3, -1};
    assert_fails(score_run(r, &t->llm, &t->dev, NULL, &outside, 1, (ScoreOpts){0}), E_INPUT, "token 97");
    ids[1] = 0;
    volatile int stop = 1;
    assert_fails(score_run(r, &t->llm, &t->dev, NULL, &outside, 1, (ScoreOpts){.stop = &stop}), E_INTERRUPTED,
                 "stopped");
    assert_ok(score_run(r, &t->llm, &t->dev, NULL, NULL, 0, (ScoreOpts){0}));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden),    cmocka_unit_test(golden_in_device_memory),
        cmocka_unit_test(any_batch), cmocka_unit_test(greedy_flag),
        cmocka_unit_test(encoding),  cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, tiny_setup, tiny_teardown);
}
