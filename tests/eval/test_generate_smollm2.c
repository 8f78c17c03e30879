/* Generation with SmolLM2-135M-Instruct: real widths and bf16 take other paths through the kernels than the
 * tiny model, and the promise is the same: a request's tokens do not depend on its neighbours. Exit code 77,
 * with the reason, where the model is not in the cache. */
#include "tests/test_util.h"

#include "data/fetch.h"
#include "eval/generate.h"
#include "eval/score.h"

enum { QUESTIONS = 6, ADAPTERS = 3, REQUESTS = QUESTIONS * (ADAPTERS + 1), NEW = 8, RANK = 8 };

static const char *const questions[QUESTIONS] = {
    "What is the capital of France?",
    "ocean",
    "List three colors, separated by commas.",
    "Turn the sentence into the past tense.\n\nShe walks to the market every day.",
    "7 + 5",
    "Write one sentence about a lighthouse keeper who has lost his favourite hat in a storm."};

static char *model_path; /* owns; set once by main */

typedef struct Fixture {
    Device dev;
    Llm llm;
    Arena mem; /* owns the adapters */
    LoraSet loras;
    TokenBuf ids[QUESTIONS];
    GenRequest requests[REQUESTS];
} Fixture;

static void bind_loras(Fixture *f) {
    AdapterShape shape = llm_adapter_shape(&f->llm.cfg);
    Rng rng = rng_make(3, 3);
    f->loras = (LoraSet){.n_adapters = ADAPTERS, .n_layers = shape.n_layers, .rank = RANK, .scale = 2.0f};
    for (int m = 0; m < LORA_MODULES; m++) {
        if (m != Q_PROJ && m != V_PROJ && m != DOWN_PROJ) continue;
        int64_t items = ADAPTERS * shape.n_layers, in = shape.in[m], out = shape.out[m];
        LoraView v = {.a_stride = RANK * in, .bt_stride = RANK * out, .lda = in, .ldb = out};
        v.a = arena_f32(&f->mem, items * RANK * in);
        v.bt = arena_f32(&f->mem, items * RANK * out);
        f->loras.on[m] = true;
        f->loras.w[m] = v;
        if (!f->mem.base) continue;
        fill_random(v.a, items * RANK * in, &rng, -0.03f, 0.03f);
        fill_random(v.bt, items * RANK * out, &rng, -0.03f, 0.03f);
    }
}

static void fixture_open(Fixture *f, DType dtype) {
    memset(f, 0, sizeof *f);
    assert_ok(device_open(&f->dev, "cpu", 0));
    assert_ok(llm_load(&f->llm, &f->dev, model_path, (LlmLoad){dtype, false}));
    f->mem = arena_measure("adapters");
    bind_loras(f);
    assert_ok(arena_commit(&f->mem));
    bind_loras(f);
    for (int i = 0; i < QUESTIONS; i++) {
        ChatMessage user = {"user", questions[i]};
        char *text;
        assert_ok(template_render(&text, &f->llm.chat, &user, 1, (TemplateOpts){true, false}));
        assert_ok(tokenizer_encode(f->llm.tokenizer, &f->ids[i], text, strlen(text), (TokenizerOpts){true}));
        free(text);
        for (int a = -1; a < ADAPTERS; a++)
            f->requests[i * (ADAPTERS + 1) + a + 1] = (GenRequest){f->ids[i].ids, (int64_t)f->ids[i].n, a};
    }
}

static void fixture_close(Fixture *f) {
    for (int i = 0; i < QUESTIONS; i++) tokenizer_buf_free(&f->ids[i]);
    arena_free(&f->mem);
    llm_free(&f->llm);
    device_close(&f->dev);
}

static void same_output(const GenOutput *a, const GenOutput *b) {
    assert_int_equal(a->n, b->n);
    for (int64_t i = 0; i < a->n; i++) {
        assert_int_equal(a->results[i].n, b->results[i].n);
        assert_memory_equal(a->results[i].tokens, b->results[i].tokens,
                            (size_t)a->results[i].n * sizeof(int32_t));
    }
}

static void any_batch(DType dtype) {
    Fixture f;
    fixture_open(&f, dtype);
    if (dtype == DT_BF16 && !f.dev.bf16_dot) {
        print_message("no bf16 products on this CPU\n");
        fixture_close(&f);
        skip();
    }
    for (int sampled = dtype == DT_F32; sampled < 2; sampled++) {
        GenOpts opts = {.max_new_tokens = NEW, .temperature = sampled ? 1.0f : 0.0f, .seed = 5};
        GenOutput want, got;
        assert_ok(generate_once(&want, &f.llm, &f.dev, &f.loras, f.requests, REQUESTS, 1, opts));
        for (int64_t slots = 5; slots < 64; slots *= 5) {
            assert_ok(generate_once(&got, &f.llm, &f.dev, &f.loras, f.requests, REQUESTS, slots, opts));
            same_output(&got, &want);
            generate_free(&got);
        }
        f.dev.n_threads = f.dev.n_threads > 1 ? 1 : 2;
        assert_ok(generate_once(&got, &f.llm, &f.dev, &f.loras, f.requests, REQUESTS, 0, opts));
        same_output(&got, &want);
        generate_free(&got);
        generate_free(&want);
    }
    fixture_close(&f);
}

static void any_batch_f32(void **state) {
    (void)state;
    any_batch(DT_F32);
}

static void any_batch_bf16(void **state) {
    (void)state;
    any_batch(DT_BF16);
}

/* The model knows the capital of France, and finds it likelier than other towns. */
static void knows_paris(void **state) {
    (void)state;
    Fixture f;
    fixture_open(&f, DT_F32);
    GenOpts opts = {.max_new_tokens = NEW};
    GenOutput out;
    char *text;
    size_t n;
    assert_ok(generate_once(&out, &f.llm, &f.dev, NULL, f.requests, 1, 0, opts));
    assert_ok(tokenizer_decode(f.llm.tokenizer, &text, &n, out.results[0].tokens, (size_t)out.results[0].n,
                               (TokenizerDecodeOpts){true}));
    assert_non_null(strstr(text, "Paris"));
    free(text);
    generate_free(&out);
    static const char *const towns[] = {" Paris", " Lyon", " Madrid"};
    const char *context = "The capital of France is";
    TokenBuf ids[3] = {{0}, {0}, {0}};
    ScoreRequest q[3];
    ScoreResult r[3];
    for (int i = 0; i < 3; i++) {
        int64_t n_context;
        assert_ok(
            score_encode(&ids[i], &n_context, &f.llm, context, strlen(context), towns[i], strlen(towns[i])));
        q[i] = (ScoreRequest){ids[i].ids, n_context, (int64_t)ids[i].n, -1};
    }
    assert_ok(score_run(r, &f.llm, &f.dev, NULL, q, 3, (ScoreOpts){0}));
    assert_true(r[0].logprob > r[1].logprob && r[0].logprob > r[2].logprob);
    assert_true(r[0].greedy && !r[1].greedy && r[0].logprob < 0);
    for (int i = 0; i < 3; i++) tokenizer_buf_free(&ids[i]);
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
    const struct CMUnitTest tests[] = {cmocka_unit_test(any_batch_f32), cmocka_unit_test(any_batch_bf16),
                                       cmocka_unit_test(knows_paris)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    free(model_path);
    return failed;
}
