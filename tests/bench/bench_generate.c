/* The generation engine on this machine: many short chat prompts, each with one of a few adapters, for
 * several numbers of slots. One JSON line a figure: prompt tokens a second of the prefills, new tokens a
 * second of the decoding steps, requests a second. bench_generate [f32|bf16] [requests] */
#include "tests/test_util.h"

#include "base/progress.h"
#include "data/fetch.h"
#include "eval/generate.h"

enum { ADAPTERS = 16, RANK = 8, NEW = 24, REQUESTS = 256, MOST = 100000 };

static const char *const inputs[] = {"seven, three, nine",
                                     "The cat sat on the mat.",
                                     "ocean",
                                     "What is the opposite of cold?",
                                     "17 + 25",
                                     "Berlin; Paris; Rome; Madrid"};

static void check(Status s) {
    if (status_is_ok(s)) return;
    fprintf(stderr, "%s\n", status_message(s));
    exit(1);
}

/* Adapters of q and v, small random numbers. */
static void bind(LoraSet *loras, Arena *mem, const Llm *llm) {
    AdapterShape shape = llm_adapter_shape(&llm->cfg);
    Rng rng = rng_make(1, 1);
    *loras = (LoraSet){.n_adapters = ADAPTERS, .n_layers = shape.n_layers, .rank = RANK, .scale = 1.0f};
    for (int m = Q_PROJ; m <= V_PROJ; m += V_PROJ - Q_PROJ) {
        int64_t items = ADAPTERS * shape.n_layers, in = shape.in[m], out = shape.out[m];
        LoraView v = {.a_stride = RANK * in, .bt_stride = RANK * out, .lda = in, .ldb = out};
        v.a = arena_f32(mem, items * RANK * in);
        v.bt = arena_f32(mem, items * RANK * out);
        loras->on[m] = true;
        loras->w[m] = v;
        if (!mem->base) continue;
        fill_random(v.a, items * RANK * in, &rng, -0.01f, 0.01f);
        fill_random(v.bt, items * RANK * out, &rng, -0.01f, 0.01f);
    }
}

static void encode(TokenBuf *out, const Llm *llm, const char *input) {
    ChatMessage user = {"user", input};
    char *text;
    check(template_render(&text, &llm->chat, &user, 1, (TemplateOpts){true, false}));
    check(tokenizer_encode(llm->tokenizer, out, text, strlen(text), (TokenizerOpts){true}));
    free(text);
}

static void bench(Llm *llm, Device *dev, const LoraSet *loras, const GenRequest *q, int64_t n,
                  int64_t slots) {
    GenOutput out;
    GenOpts opts = {.max_new_tokens = NEW};
    check(generate_once(&out, llm, dev, loras, q, n, slots, opts));
    double decoding = out.seconds - out.prefill_seconds;
    printf("{\"bench\":\"generate\",\"dtype\":\"%s\",\"threads\":%d,\"slots\":%lld,\"requests\":%lld,"
           "\"prompt_tokens\":%lld,\"new_tokens\":%lld,\"prefill_tokens_per_s\":%.0f,"
           "\"decode_tokens_per_s\":%.0f,\"requests_per_s\":%.1f}\n",
           dtype_name(llm->dtype), dev->n_threads, (long long)slots, (long long)n,
           (long long)out.prompt_tokens, (long long)out.new_tokens,
           (double)out.prompt_tokens / out.prefill_seconds, (double)out.new_tokens / decoding,
           (double)n / out.seconds);
    fflush(stdout);
    generate_free(&out);
}

int main(int argc, char **argv) {
    char *cache, *path;
    Device dev;
    Llm llm;
    LlmLoad load = {DT_F32, false};
    LoraSet loras;
    Arena mem = arena_measure("adapters");
    check(fetch_cache_dir(&cache));
    check(fetch_resolve(&path, "smollm2-135m-instruct", cache));
    check(device_open(&dev, "cpu", 0));
    check(llm_choose_dtype(&load.dtype, &dev, argc > 1 ? argv[1] : NULL));
    check(llm_load(&llm, &dev, path, load));
    bind(&loras, &mem, &llm);
    check(arena_commit(&mem));
    bind(&loras, &mem, &llm);
    int64_t n = argc > 2 ? atoi(argv[2]) : REQUESTS;
    if (n < 1 || n > MOST) n = REQUESTS;
    TokenBuf ids[COUNT_OF(inputs)] = {{0}};
    GenRequest *q = test_alloc((size_t)n * sizeof *q);
    for (int i = 0; i < COUNT_OF(inputs); i++) encode(&ids[i], &llm, inputs[i]);
    for (int64_t i = 0; i < n; i++) {
        const TokenBuf *prompt = &ids[i % COUNT_OF(inputs)];
        q[i] = (GenRequest){prompt->ids, (int64_t)prompt->n, (int32_t)(i * ADAPTERS / n)};
    }
    static const int64_t slots[] = {1, 8, 32, 64, 128};
    for (int i = 0; i < COUNT_OF(slots); i++)
        bench(&llm, &dev, &loras, q, slots[i] == 1 && n > 8 ? 8 : n, slots[i]);
    for (int i = 0; i < COUNT_OF(inputs); i++) tokenizer_buf_free(&ids[i]);
    free(q);
    arena_free(&mem);
    llm_free(&llm);
    device_close(&dev);
    free(path);
    free(cache);
    return 0;
}
