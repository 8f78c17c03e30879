/* What the base model does on this machine: prefill, decoding, and the whole SFT step of the demo's recipe,
 * in tokens a second; decoding also as a share of the memory-read rate measured in the same run. One JSON
 * line a figure. bench_llm [f32|bf16] With PyTorch at hand, dump_sft and sft_twin.py --bench time the same
 * steps there (tests/golden/README.md). */
#include "tests/test_util.h"
#include "base/progress.h"
#include "tests/train/sft_case.h"

enum { PROMPT = 512, PREFILLS = 4, DECODES = 64, SFT_STEPS = 8, ROOF_PASSES = 3 };

static void check(Status s) {
    if (status_is_ok(s)) return;
    fprintf(stderr, "%s\n", status_message(s));
    exit(1);
}

/* Bytes a second of reading the packed matrices front to back with every thread, nothing else. */
static double read_rate(const Llm *llm, int threads) {
    const uint64_t *p = (const uint64_t *)(const void *)llm->mem.base;
    int64_t n = (int64_t)(llm->mem.used / sizeof *p);
    double best = 0;
    uint64_t sum = 0;
    for (int pass = 0; pass < ROOF_PASSES; pass++) {
        double t = now_seconds();
#pragma omp parallel for num_threads(threads) reduction(+ : sum) schedule(static)
        for (int64_t i = 0; i < n; i++) sum += p[i];
        double rate = (double)n * sizeof *p / (now_seconds() - t);
        if (rate > best) best = rate;
    }
    fprintf(stderr, "(checksum %llx)\n", (unsigned long long)sum);
    return best;
}

/* One sequence of random ids. */
static LlmBatch one_sequence(Arena *mem, int64_t n, int64_t vocab) {
    LlmBatch b = {n,
                  1,
                  1,
                  arena_i32(mem, n),
                  arena_i32(mem, n),
                  arena_i32(mem, 2),
                  arena_i32(mem, 1),
                  arena_i32(mem, 1),
                  arena_i32(mem, 1),
                  arena_f32(mem, 1)};
    Rng r = rng_make(1, 1);
    for (int64_t i = 0; i < n; i++) {
        b.ids[i] = (int32_t)rng_below(&r, (uint32_t)vocab);
        b.pos[i] = (int32_t)i;
    }
    b.cu_seqlens[0] = 0;
    b.cu_seqlens[1] = (int32_t)n;
    b.adapter[0] = -1;
    b.row[0] = (int32_t)n - 1;
    return b;
}

static double matrix_bytes(const Llm *llm) {
    const LlmConfig *c = &llm->cfg;
    double each = llm->dtype == DT_BF16 ? 2 : 4;
    double layer = (double)(c->heads + 2 * c->groups) * (double)(c->head_dim * c->width) +
                   (double)(c->heads * c->head_dim * c->width) + 3.0 * (double)(c->ffn * c->width);
    return each * ((double)c->n_layers * layer + (double)(c->vocab * c->width));
}

static void bench_inference(SftCase *c, const char *dtype) {
    Device dev;
    Llm llm;
    LlmActs acts;
    LlmCache cache;
    Arena mem;
    LlmLoad load = {DT_F32, false};
    check(device_open(&dev, "cpu", 0));
    check(llm_choose_dtype(&load.dtype, &dev, dtype));
    check(llm_load(&llm, &dev, c->model, load));
    check(llm_acts_init(&acts, &llm, PROMPT, 1, 1, 0, false));
    check(llm_cache_init(&cache, &llm, 1, PROMPT + DECODES));
    check(arena_init(&mem, "bench", 1 << 20));
    LlmBatch b = one_sequence(&mem, PROMPT, llm.cfg.vocab);
    float *logits = test_alloc((size_t)llm.cfg.vocab * sizeof *logits);
    int32_t slot = 0, none = -1, id = 1;
    double best = 1e30, decode = 1e30;
    for (int i = 0; i < PREFILLS; i++) {
        double t = now_seconds();
        check(llm_prefill(&llm, &dev, &acts, &b, NULL, &cache, &slot));
        t = now_seconds() - t;
        if (t < best) best = t;
    }
    for (int i = 0; i < DECODES; i++) {
        int32_t len = 32 + i + 1;
        double t = now_seconds();
        check(llm_decode(&llm, &dev, &acts, 1, &id, &slot, &len, &none, NULL, &cache));
        check(llm_logits(&llm, &dev, tensor_2d(logits, DT_F32, 1, llm.cfg.vocab), &acts));
        t = now_seconds() - t;
        if (t < decode) decode = t;
    }
    double roof = read_rate(&llm, dev.n_threads), used = matrix_bytes(&llm) / decode;
    printf("{\"bench\":\"prefill\",\"dtype\":\"%s\",\"tokens\":%d,\"tokens_per_s\":%.1f}\n", dtype, PROMPT,
           PROMPT / best);
    printf("{\"bench\":\"decode\",\"dtype\":\"%s\",\"tokens_per_s\":%.1f,\"GB_per_s\":%.1f,\"roof_GB_per_s\":"
           "%.1f,"
           "\"percent_of_roof\":%.0f}\n",
           dtype, 1 / decode, used / 1e9, roof / 1e9, 100 * used / roof);
    free(logits);
    arena_free(&mem);
    llm_cache_free(&cache);
    llm_acts_free(&acts);
    llm_free(&llm);
    device_close(&dev);
}

static void bench_sft(SftCase *c, const char *dtype) {
    char word[32];
    const char *words[] = {word, NULL};
    snprintf(word, sizeof word, "dtype=\"%s\"", dtype);
    sft_case_open(c, 0, words);
    RunStep step;
    int64_t tokens = 0;
    check(sft_step(&step, &c->sft, (SftStepOpts){.update = true}));
    double t = now_seconds();
    for (int i = 0; i < SFT_STEPS; i++) {
        check(sft_step(&step, &c->sft, (SftStepOpts){.update = true}));
        tokens += step.tokens;
    }
    t = now_seconds() - t;
    printf("{\"bench\":\"sft_step\",\"dtype\":\"%s\",\"tokens_per_step\":%.1f,\"seconds_per_step\":%.4f,"
           "\"tokens_per_s\":%.1f}\n",
           dtype, (double)tokens / SFT_STEPS, t / SFT_STEPS, (double)tokens / t);
    sft_case_close(c);
}

int main(int argc, char **argv) {
    const char *dtype = argc > 1 ? argv[1] : device_cpu_has_bf16_dot() ? "bf16" : "f32";
    SftCase c;
    if (!sft_case_find(&c)) return 77;
    bench_inference(&c, dtype);
    bench_sft(&c, dtype);
    sft_case_forget(&c);
    return 0;
}
