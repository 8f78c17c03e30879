/* The generation engine on the tiny model: against one-token runs on ever longer prompts, the same whatever
 * slots and budgets, endings, sampling, refusals. */
#include "tests/test_util.h"
#include "tests/eval/tiny.h"

#include "eval/generate.h"

enum { REQUESTS = 23, NEW = 20, MAX_LEN = 40 };

typedef struct Work {
    int32_t ids[REQUESTS][MAX_LEN];
    GenRequest requests[REQUESTS];
} Work;

static void make_work(Work *w, bool adapters) {
    Rng rng = rng_make(7, 1);
    for (int i = 0; i < REQUESTS; i++) {
        int64_t n = 1 + rng_below(&rng, MAX_LEN - 1);
        for (int64_t k = 0; k < n; k++) w->ids[i][k] = 3 + (int32_t)rng_below(&rng, TINY_VOCAB - 3);
        w->requests[i] = (GenRequest){w->ids[i], n, adapters ? (int32_t)rng_below(&rng, 4) - 1 : -1};
    }
}

static GenOutput generate(Tiny *t, const LoraSet *loras, const GenRequest *q, int64_t n, int64_t slots,
                          int64_t prefill, GenOpts opts) {
    GenEngine g;
    GenSizes sizes = {slots, t->llm.cfg.max_positions, prefill, loras ? loras->rank : 0};
    GenOutput out;
    assert_ok(generate_open(&g, &t->llm, &t->dev, sizes));
    assert_ok(generate_run(&out, &g, loras, q, n, opts));
    generate_close(&g);
    return out;
}

static void same_output(const GenOutput *a, const GenOutput *b) {
    assert_int_equal(a->n, b->n);
    for (int64_t i = 0; i < a->n; i++) {
        const GenResult *x = &a->results[i], *y = &b->results[i];
        assert_int_equal(x->n, y->n);
        assert_int_equal(x->finish, y->finish);
        assert_memory_equal(x->tokens, y->tokens, (size_t)x->n * sizeof *x->tokens);
    }
}

/* Greedy answers under the interpreter of CUDA bodies are the CPU's; more requests than slots. */
static void in_device_memory(void **state) {
    enum { SOME = 5 };
    Tiny *t = *state, there = {0};
    Work w;
    make_work(&w, true);
    GenOpts opts = {.max_new_tokens = 6};
    tiny_open_simt(&there);
    GenOutput want = generate(t, &t->loras, w.requests, SOME, 3, 64, opts),
              got = generate(&there, &there.loras, w.requests, SOME, 3, 64, opts);
    same_output(&want, &got);
    generate_free(&want);
    generate_free(&got);
    tiny_close(&there);
}

/* Every token is what a fresh prefill of prompt and earlier tokens gives. */
static void same_as_prefill(void **state) {
    Tiny *t = *state;
    Work w;
    make_work(&w, true);
    GenOpts opts = {.max_new_tokens = NEW}, one = {.max_new_tokens = 1};
    GenOutput out = generate(t, &t->loras, w.requests, REQUESTS, 5, 64, opts);
    int64_t total = 0;
    for (int i = 0; i < REQUESTS; i++) {
        GenRequest q = w.requests[i];
        int32_t ids[MAX_LEN + NEW];
        memcpy(ids, q.prompt, (size_t)q.n_prompt * sizeof *ids);
        q.prompt = ids;
        const GenResult *r = &out.results[i];
        for (int64_t k = 0; k < r->n; k++, total++) {
            GenOutput next = generate(t, &t->loras, &q, 1, 1, 0, one);
            assert_int_equal(next.results[0].n, 1);
            assert_int_equal(next.results[0].tokens[0], r->tokens[k]);
            ids[q.n_prompt++] = r->tokens[k];
            generate_free(&next);
        }
        if (r->finish != GEN_EOS) continue;
        GenOutput next = generate(t, &t->loras, &q, 1, 1, 0, one);
        assert_int_equal(next.results[0].finish, GEN_EOS);
        assert_int_equal(next.results[0].n, 0);
        generate_free(&next);
    }
    assert_true(total > REQUESTS);
    generate_free(&out);
}

static void same_for_all_batches(void **state) {
    Tiny *t = *state;
    static const int64_t slots[] = {2, 3, 7, 16, 32}, budgets[] = {1, 33, 64, 1000, 0};
    for (int mode = 0; mode < 4; mode++) {
        bool adapters = mode & 1;
        Work w;
        make_work(&w, adapters);
        const LoraSet *loras = adapters ? &t->loras : NULL;
        GenOpts opts = {.max_new_tokens = NEW, .temperature = mode & 2 ? 1.5f : 0.0f, .seed = 11};
        GenOutput want = generate(t, loras, w.requests, REQUESTS, 1, 0, opts);
        for (int s = 0; s < COUNT_OF(slots); s++) {
            GenOutput got = generate(t, loras, w.requests, REQUESTS, slots[s], budgets[s], opts);
            same_output(&got, &want);
            assert_int_equal(got.prompt_tokens, want.prompt_tokens);
            assert_int_equal(got.new_tokens, want.new_tokens);
            assert_true(got.steps < want.steps);
            generate_free(&got);
        }
        GenOutput once;
        assert_ok(generate_once(&once, &t->llm, &t->dev, loras, w.requests, REQUESTS, 0, opts));
        same_output(&once, &want);
        generate_free(&once);
        t->dev.n_threads = 2;
        once = generate(t, loras, w.requests, REQUESTS, 16, 0, opts);
        t->dev.n_threads = 1;
        same_output(&once, &want);
        generate_free(&once);
        generate_free(&want);
    }
}

/* Hidden rows of prefill and of a decoding step, alone and in company: the same bits. */
static void rows_alone_and_together(void **state) {
    Tiny *t = *state;
    Work w;
    make_work(&w, true);
    enum { N = REQUESTS };
    int64_t width = t->llm.cfg.width;
    float *prefilled = test_alloc((size_t)(N * width) * sizeof(float));
    float *decoded = test_alloc((size_t)(N * width) * sizeof(float));
    for (int64_t group = N; group >= 1; group -= N - 1) { /* all at once, then one by one */
        LlmActs acts;
        LlmCache cache;
        assert_ok(llm_acts_init(&acts, &t->llm, N * MAX_LEN, N, N, t->loras.rank, false));
        assert_ok(llm_cache_init(&cache, &t->llm, N, MAX_LEN + 1));
        for (int64_t from = 0; from < N; from += group) {
            int32_t ids[N * MAX_LEN], pos[N * MAX_LEN], cu[N + 1] = {0}, adapter[N], row[N], slot[N], len[N],
                                                               last[N];
            LlmBatch b = {0, group, group, ids, pos, cu, adapter, row, NULL, NULL};
            for (int64_t i = 0; i < group; i++) {
                const GenRequest *q = &w.requests[from + i];
                for (int64_t k = 0; k < q->n_prompt; k++) {
                    ids[b.n_tokens] = q->prompt[k];
                    pos[b.n_tokens++] = (int32_t)k;
                }
                cu[i + 1] = (int32_t)b.n_tokens;
                row[i] = cu[i + 1] - 1;
                adapter[i] = q->adapter;
                slot[i] = (int32_t)((from + i) * 5 % N);
                len[i] = (int32_t)q->n_prompt + 1;
                last[i] = q->prompt[0];
            }
            size_t bytes = (size_t)(group * width) * sizeof(float);
            assert_ok(llm_prefill(&t->llm, &t->dev, &acts, &b, &t->loras, &cache, slot));
            if (group == N)
                memcpy(prefilled, acts.rows, bytes);
            else
                assert_memory_equal(prefilled + from * width, acts.rows, bytes);
            assert_ok(
                llm_decode(&t->llm, &t->dev, &acts, group, last, slot, len, adapter, &t->loras, &cache));
            if (group == N)
                memcpy(decoded, acts.rows, bytes);
            else
                assert_memory_equal(decoded + from * width, acts.rows, bytes);
        }
        llm_acts_free(&acts);
        llm_cache_free(&cache);
    }
    free(prefilled);
    free(decoded);
}

static void ends(void **state) {
    Tiny *t = *state;
    Work w;
    make_work(&w, false);
    GenOpts opts = {.max_new_tokens = NEW};
    LlmConfig saved = t->llm.cfg;
    t->llm.cfg.n_eos = 0;
    GenOutput all = generate(t, NULL, w.requests, REQUESTS, 8, 0, opts);
    for (int i = 0; i < REQUESTS; i++) {
        assert_int_equal(all.results[i].n, NEW);
        assert_int_equal(all.results[i].finish, GEN_LENGTH);
    }
    /* the fourth token of request 3 ends it now, and whoever meets it too */
    int32_t end = all.results[3].tokens[3];
    t->llm.cfg.n_eos = 2;
    t->llm.cfg.eos[0] = TINY_EOS;
    t->llm.cfg.eos[1] = end;
    GenOutput cut = generate(t, NULL, w.requests, REQUESTS, 8, 0, opts);
    for (int i = 0; i < REQUESTS; i++) {
        const GenResult *a = &all.results[i], *c = &cut.results[i];
        int64_t n = 0;
        while (n < NEW && a->tokens[n] != end && a->tokens[n] != TINY_EOS) n++;
        assert_int_equal(c->n, n);
        assert_int_equal(c->finish, n < NEW ? GEN_EOS : GEN_LENGTH);
        assert_memory_equal(a->tokens, c->tokens, (size_t)n * sizeof *a->tokens);
    }
    assert_true(cut.results[3].n <= 3);
    generate_free(&cut);
    generate_free(&all);
    /* the model's last position */
    t->llm.cfg.n_eos = 0;
    int32_t longest[64];
    for (int i = 0; i < 64; i++) longest[i] = 3 + i % 50;
    GenRequest q = {longest, 60, -1};
    all = generate(t, NULL, &q, 1, 1, 0, opts);
    assert_int_equal(all.results[0].n, 4);
    assert_int_equal(all.results[0].finish, GEN_LENGTH);
    generate_free(&all);
    t->llm.cfg = saved;
}

typedef struct Heard {
    int32_t tokens[REQUESTS][NEW];
    int64_t n[REQUESTS], limit;
    int64_t done;
} Heard;

static bool hear(void *ctx, int64_t request, int64_t i, int32_t token) {
    Heard *h = ctx;
    assert_int_equal(h->n[request], i);
    h->tokens[request][h->n[request]++] = token;
    return h->n[request] < h->limit;
}

static void count(void *ctx, int64_t done, int64_t total) {
    Heard *h = ctx;
    assert_true(done >= h->done && total == REQUESTS);
    h->done = done;
}

static void callbacks(void **state) {
    Tiny *t = *state;
    Work w;
    make_work(&w, false);
    for (int64_t limit = 1; limit <= NEW + 1; limit += NEW / 2) {
        Heard h = {.limit = limit};
        GenOpts opts = {.max_new_tokens = NEW, .on_token = hear, .on_progress = count, .ctx = &h};
        GenOutput out = generate(t, NULL, w.requests, REQUESTS, 4, 0, opts);
        assert_int_equal(h.done, REQUESTS);
        for (int i = 0; i < REQUESTS; i++) {
            const GenResult *r = &out.results[i];
            assert_int_equal(r->n, h.n[i]);
            assert_memory_equal(r->tokens, h.tokens[i], (size_t)r->n * sizeof *r->tokens);
            if (r->n == limit)
                assert_int_equal(r->finish, GEN_STOPPED);
            else
                assert_int_equal(r->finish, r->n == NEW ? GEN_LENGTH : GEN_EOS);
        }
        generate_free(&out);
    }
}

/* Frequencies of 20,000 draws against the softmax: |z| of each token below 5. */
static void sampling(void **state) {
    Tiny *t = *state;
    enum { DRAWS = 20000 };
    const float temperature = 1.7f;
    int32_t prompt[] = {5, 9, 33, 60};
    GenRequest *q = test_alloc(DRAWS * sizeof *q);
    for (int i = 0; i < DRAWS; i++) q[i] = (GenRequest){prompt, 4, -1};
    LlmConfig saved = t->llm.cfg;
    t->llm.cfg.n_eos = 0;
    GenOpts opts = {.max_new_tokens = 1, .temperature = temperature, .seed = 3};
    GenOutput out = generate(t, NULL, q, DRAWS, 64, 0, opts);
    double seen[TINY_VOCAB] = {0}, p[TINY_VOCAB], sum = 0;
    for (int i = 0; i < DRAWS; i++) seen[out.results[i].tokens[0]]++;
    generate_free(&out);

    LlmActs acts;
    int32_t pos[] = {0, 1, 2, 3}, cu[] = {0, 4}, adapter = -1, row = 3;
    LlmBatch b = {4, 1, 1, prompt, pos, cu, &adapter, &row, NULL, NULL};
    float logits[TINY_VOCAB];
    LlmRun run = {false, 0.0f, 0, 0};
    assert_ok(llm_acts_init(&acts, &t->llm, 4, 1, 1, 0, false));
    assert_ok(llm_forward(&t->llm, &t->dev, &acts, &b, NULL, run));
    assert_ok(llm_logits(&t->llm, &t->dev, tensor_2d(logits, DT_F32, 1, TINY_VOCAB), &acts));
    llm_acts_free(&acts);
    for (int v = 0; v < TINY_VOCAB; v++) sum += p[v] = exp((double)logits[v] / (double)temperature);
    for (int v = 0; v < TINY_VOCAB; v++) {
        double want = DRAWS * p[v] / sum, sd = sqrt(want * (1 - p[v] / sum)) + 1.0;
        assert_within(seen[v], want, 5 * sd);
    }
    /* cold is greedy; another seed is another text */
    Work w;
    make_work(&w, false);
    GenOpts cold = {.max_new_tokens = NEW, .temperature = 1e-6f, .seed = 3}, greedy = {.max_new_tokens = NEW};
    GenOutput a = generate(t, NULL, w.requests, REQUESTS, 4, 0, cold),
              g = generate(t, NULL, w.requests, REQUESTS, 4, 0, greedy);
    same_output(&a, &g);
    generate_free(&a);
    generate_free(&g);
    GenOpts hot = {.max_new_tokens = NEW, .temperature = 2.0f, .seed = 3};
    a = generate(t, NULL, w.requests, REQUESTS, 4, 0, hot);
    hot.seed = 4;
    g = generate(t, NULL, w.requests, REQUESTS, 4, 0, hot);
    assert_memory_not_equal(a.results[0].tokens, g.results[0].tokens, NEW * sizeof(int32_t));
    generate_free(&a);
    generate_free(&g);
    t->llm.cfg = saved;
    free(q);
}

static void refusals(void **state) {
    Tiny *t = *state;
    int32_t ids[64] = {5, 6, 97};
    for (int i = 3; i < 64; i++) ids[i] = 5;
    GenRequest empty = {ids, 0, -1}, outside = {ids, 3, -1}, good = {ids, 2, -1}, full = {ids + 3, 61, -1};
    GenOpts opts = {.max_new_tokens = 4};
    GenOutput out;
    GenEngine g;
    GenSizes sizes = {2, 61, 0, 0};
    assert_ok(generate_open(&g, &t->llm, &t->dev, sizes));
    assert_fails(generate_run(&out, &g, NULL, &empty, 1, opts), E_INPUT, "prompt is empty");
    assert_fails(generate_run(&out, &g, NULL, &outside, 1, opts), E_INPUT, "token 97");
    assert_fails(generate_run(&out, &g, NULL, &full, 1, opts), E_INPUT, "61 tokens");
    volatile int stop = 1;
    opts.stop = &stop;
    assert_fails(generate_run(&out, &g, NULL, &good, 1, opts), E_INTERRUPTED, "stopped");
    assert_null(out.results);
    opts.stop = NULL;
    assert_ok(generate_run(&out, &g, NULL, &good, 0, opts));
    assert_int_equal(out.n, 0);
    generate_free(&out);
    float was = tensor_f32(t->llm.norm)[0];
    tensor_f32(t->llm.norm)[0] = NAN;
    assert_fails(generate_run(&out, &g, NULL, &good, 1, opts), E_INPUT, "not a number");
    tensor_f32(t->llm.norm)[0] = was;
    generate_close(&g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_device_memory),
        cmocka_unit_test(same_as_prefill),
        cmocka_unit_test(same_for_all_batches),
        cmocka_unit_test(rows_alone_and_together),
        cmocka_unit_test(ends),
        cmocka_unit_test(callbacks),
        cmocka_unit_test(sampling),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, tiny_setup, tiny_teardown);
}
