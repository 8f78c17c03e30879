/* Every family beside Llama's on a tiny random model (tests/golden/make_families.py): logits, losses and
 * adapter gradients against float64, a greedy continuation past the sliding window against transformers, the
 * same bits from a folder and from GGUF, and refusals of what a config.json of the family must not say. */
#include "tests/model/llm_tiny.h"

enum {
    SEQS = 3,
    TOKENS = 42,
    VOCAB = 263,
    STEP = 5,
    COLUMNS = 53,
    RANK = 2,
    ADAPTERS = 2,
    PROMPT = 12,
    MORE = 20
};

static const int32_t starts[SEQS + 1] = {0, 5, 28, 42}, owner[SEQS] = {0, 1, 0};
static const char *const names[] = {"mistral", "llama3", "qwen2", "gemma2"};
static const LlmLoad plain = {DT_F32, false}, both = {DT_F32, true};
static const LlmRun inference = {0};

/* Largest error of float32 against the float64 reference, max|a-b| / max|b| of a tensor. chosen: the
 * project's limit; what is measured is printed. */
static const double allowed = 1e-4;

typedef struct Case {
    Device dev;
    Llm llm;
    SafeTensors golden;
    LoraSet set;
    float *memory[LORA_MODULES][4]; /* a, bt, da, dbt; owns */
    LlmBatch batch;
    int32_t ids[TOKENS], pos[TOKENS], row[TOKENS], label[TOKENS];
    float weight[TOKENS];
} Case;

/* gguf: read the file instead of the folder. labelled: rows with a label only, weighed for the mean of means.
 */
static void case_open(Case *c, const char *name, LlmLoad load, bool gguf, bool labelled) {
    char path[PATH_MAX];
    memset(c, 0, sizeof *c);
    assert_ok(device_open(&c->dev, "cpu", 2));
    snprintf(path, sizeof path, GOLDEN("families/%s%s"), name, gguf ? ".gguf" : "");
    assert_ok(llm_load(&c->llm, &c->dev, path, load));
    snprintf(path, sizeof path, GOLDEN("families/%s.safetensors"), name);
    assert_ok(safetensors_open(&c->golden, path));
    AdapterShape shape = llm_adapter_shape(&c->llm.cfg);
    int64_t layers = c->llm.cfg.n_layers;
    c->set = (LoraSet){
        .n_adapters = ADAPTERS, .n_layers = layers, .rank = RANK, .scale = (float)(16.0 / sqrt(8.0))};
    for (int m = 0; m < LORA_MODULES; m++) {
        const int64_t in = shape.in[m], to = shape.out[m], sizes[4] = {in, to, in, to};
        for (int i = 0; i < 4; i++) {
            size_t n = (size_t)(ADAPTERS * layers * RANK * sizes[i]);
            c->memory[m][i] = test_alloc(n * sizeof(float));
            memset(c->memory[m][i], 0, n * sizeof(float));
        }
        for (long long item = 0; item < ADAPTERS * layers; item++) {
            const char *module = lora_module_name((LoraModule)m);
            long long t = item / layers, l = item % layers;
            const float *a = golden_data(&c->golden, DT_F32, RANK * in, "lora.%lld.%lld.%s.A", t, l, module);
            const float *b = golden_data(&c->golden, DT_F32, to * RANK, "lora.%lld.%lld.%s.B", t, l, module);
            memcpy(c->memory[m][0] + item * RANK * in, a, (size_t)(RANK * in) * sizeof(float));
            for (int64_t i = 0; i < RANK * to; i++)
                c->memory[m][1][item * RANK * to + i] = b[i % to * RANK + i / to];
        }
        c->set.on[m] = true;
        c->set.w[m] = (LoraView){c->memory[m][0], c->memory[m][1], RANK * in, RANK * to, in, to};
        c->set.g[m] = (LoraView){c->memory[m][2], c->memory[m][3], RANK * in, RANK * to, in, to};
    }
    const int64_t *ids = golden_data(&c->golden, DT_I64, TOKENS, "input.ids");
    const int64_t *labels = golden_data(&c->golden, DT_I64, TOKENS, "input.labels");
    c->batch = (LlmBatch){
        TOKENS, SEQS,     0,        c->ids, c->pos, (int32_t *)(uintptr_t)starts, (int32_t *)(uintptr_t)owner,
        c->row, c->label, c->weight};
    for (int s = 0; s < SEQS; s++) {
        int64_t from = c->batch.n_rows;
        for (int32_t i = starts[s]; i < starts[s + 1]; i++) {
            c->ids[i] = (int32_t)ids[i];
            c->pos[i] = i - starts[s];
            if (labelled && labels[i] < 0) continue;
            c->row[c->batch.n_rows] = i;
            c->label[c->batch.n_rows++] = labelled ? (int32_t)labels[i] : 0;
        }
        for (int64_t r = from; r < c->batch.n_rows; r++)
            c->weight[r] = 1.0f / (float)(SEQS * (c->batch.n_rows - from));
    }
}

static void case_close(Case *c) {
    for (int m = 0; m < LORA_MODULES; m++)
        for (int i = 0; i < 4; i++) free(c->memory[m][i]);
    safetensors_close(&c->golden);
    llm_free(&c->llm);
    device_close(&c->dev);
}

static float logits[TOKENS * VOCAB], other[TOKENS * VOCAB];

static void all_logits(Case *c, float *out) {
    LlmActs acts;
    assert_ok(llm_acts_init(&acts, &c->llm, TOKENS, SEQS, TOKENS, RANK, false));
    assert_ok(llm_forward(&c->llm, &c->dev, &acts, &c->batch, &c->set, inference));
    assert_ok(llm_logits(&c->llm, &c->dev, tensor_2d(out, DT_F32, TOKENS, VOCAB), &acts));
    llm_acts_free(&acts);
}

static void golden_logits(void **state) {
    (void)state;
    for (int f = 0; f < COUNT_OF(names); f++) {
        Case c;
        case_open(&c, names[f], plain, false, false);
        all_logits(&c, logits);
        float picked[TOKENS * COLUMNS];
        for (int i = 0; i < TOKENS * COLUMNS; i++)
            picked[i] = logits[i / COLUMNS * VOCAB + i % COLUMNS * STEP];
        const double *want = golden_data(&c.golden, DT_F64, TOKENS * COLUMNS, "logits");
        double error = relative_error(picked, want, TOKENS * COLUMNS);
        print_message("%s: logits, relative error %.2g\n", names[f], error);
        assert_true(error <= allowed);
        case_close(&c);
        if (strcmp(names[f], "mistral") == 0) continue; /* its GGUF files say llama */
        case_open(&c, names[f], plain, true, false);
        if (c.llm.cfg.family == LLM_GEMMA2) { /* GGUF has no key for query_pre_attn_scalar: head size */
            assert_true(c.llm.cfg.attn_scale == (float)(1.0 / sqrt(24.0)));
            c.llm.cfg.attn_scale = (float)(1.0 / sqrt(20.0));
        }
        all_logits(&c, other);
        assert_null(c.llm.tokenizer);
        if (c.llm.cfg.rope.kind == LLM_ROPE_TABLE) { /* divisors rounded to float32 */
            error = 0;
            for (int i = 0; i < TOKENS * VOCAB; i++) error = fmax(error, fabs((double)other[i] - logits[i]));
            assert_true(error <= allowed);
        } else {
            /* qwen2's GGUF files do not say that there are windows: what fits into one */
            int rows = c.llm.cfg.family == LLM_QWEN2 ? starts[1] : TOKENS;
            assert_memory_equal(other, logits, (size_t)(rows * VOCAB) * sizeof(float));
        }
        case_close(&c);
    }
}

static void golden_gradients(void **state) {
    (void)state;
    for (int f = 0; f < COUNT_OF(names); f++) {
        Case c;
        LlmActs acts;
        double loss = NAN, sum = 0.0, worst = 0.0;
        float rows[TOKENS];
        CrossEntropyOut out = {.loss = rows};
        LlmRun train = {.train = true};
        case_open(&c, names[f], both, false, true);
        assert_ok(llm_acts_init(&acts, &c.llm, TOKENS, SEQS, TOKENS, RANK, true));
        assert_ok(llm_forward(&c.llm, &c.dev, &acts, &c.batch, &c.set, train));
        assert_ok(llm_loss(&loss, &c.llm, &c.dev, &acts, &c.batch, out, 0.1f));
        assert_ok(llm_backward(&c.llm, &c.dev, &acts, &c.batch, &c.set, train));
        assert_int_equal(arena_mark(&c.dev.scratch), 0);
        const double *losses = golden_data(&c.golden, DT_F64, SEQS, "losses");
        for (int s = 0; s < SEQS; s++) sum += losses[s] / SEQS;
        assert_within(loss, sum, 1e-6 * sum);
        AdapterShape shape = llm_adapter_shape(&c.llm.cfg);
        int64_t layers = c.llm.cfg.n_layers;
        for (int m = 0; m < LORA_MODULES; m++)
            for (long long item = 0; item < ADAPTERS * layers; item++)
                for (int i = 0; i < 2; i++) {
                    long long t = item / layers, l = item % layers;
                    int64_t n = RANK * (i == 0 ? shape.in[m] : shape.out[m]), wide = n / RANK;
                    const float *got = c.memory[m][2 + i] + item * n;
                    const float *file = golden_data(&c.golden, DT_F32, n, "grad.%lld.%lld.%s.%c", t, l,
                                                    lora_module_name((LoraModule)m), i == 0 ? 'A' : 'B');
                    double *want = test_f64(n);
                    for (int64_t k = 0; k < n; k++) want[k] = file[i == 0 ? k : k % wide * RANK + k / wide];
                    double error = relative_error(got, want, n);
                    free(want);
                    if (!(error <= allowed))
                        fail_msg("%s: gradient of %s.%c, adapter %lld, layer %lld: relative error %g",
                                 names[f], lora_module_name((LoraModule)m), i == 0 ? 'A' : 'B', t, l, error);
                    worst = fmax(worst, error);
                }
        print_message("%s: loss off by %.2g, gradients by at most %.2g\n", names[f], fabs(loss - sum) / sum,
                      worst);
        llm_acts_free(&acts);
        case_close(&c);
    }
}

static int32_t best(const float *z) {
    int32_t at = 0;
    for (int32_t j = 1; j < VOCAB; j++)
        if (z[j] > z[at]) at = j;
    return at;
}

/* Prefill of 12 tokens, 20 more one by one: past windows of 5 and 6. The token is transformers', the logits
 * have the bits of the whole sequence at once. */
static void greedy(void **state) {
    (void)state;
    for (int f = 0; f < COUNT_OF(names); f++) {
        Case c;
        LlmActs acts;
        LlmCache cache;
        case_open(&c, names[f], plain, false, false);
        const int64_t *prompt = golden_data(&c.golden, DT_I64, PROMPT, "greedy.prompt");
        const int64_t *want = golden_data(&c.golden, DT_I64, MORE, "greedy");
        assert_ok(llm_acts_init(&acts, &c.llm, PROMPT + MORE, 1, PROMPT + MORE, RANK, false));
        assert_ok(llm_cache_init(&cache, &c.llm, 2, PROMPT + MORE));
        int32_t ids[PROMPT + MORE], pos[PROMPT + MORE], row[PROMPT + MORE], cu[2] = {0, PROMPT}, none = -1;
        int32_t slot = 1;
        for (int32_t i = 0; i < PROMPT + MORE; i++) {
            ids[i] = i < PROMPT ? (int32_t)prompt[i] : -1;
            pos[i] = row[i] = i;
        }
        LlmBatch b = {.n_tokens = PROMPT,
                      .n_seqs = 1,
                      .n_rows = 1,
                      .ids = ids,
                      .pos = pos,
                      .cu_seqlens = cu,
                      .adapter = &none,
                      .row = row + PROMPT - 1};
        Tensor one = tensor_2d(logits, DT_F32, 1, VOCAB);
        assert_ok(llm_prefill(&c.llm, &c.dev, &acts, &b, NULL, &cache, &slot));
        for (int32_t n = PROMPT; n < PROMPT + MORE; n++) {
            one.data = logits + (n - 1) * VOCAB;
            assert_ok(llm_logits(&c.llm, &c.dev, one, &acts));
            ids[n] = best(one.data);
            assert_int_equal(ids[n], want[n - PROMPT]);
            int32_t len = n + 1;
            assert_ok(llm_decode(&c.llm, &c.dev, &acts, 1, &ids[n], &slot, &len, &none, NULL, &cache));
        }
        b.n_tokens = b.n_rows = cu[1] = PROMPT + MORE;
        b.row = row;
        assert_ok(llm_forward(&c.llm, &c.dev, &acts, &b, NULL, inference));
        assert_ok(llm_logits(&c.llm, &c.dev, tensor_2d(other, DT_F32, PROMPT + MORE, VOCAB), &acts));
        assert_memory_equal(other + (PROMPT - 1) * VOCAB, logits + (PROMPT - 1) * VOCAB,
                            MORE * VOCAB * sizeof(float));
        llm_cache_free(&cache);
        llm_acts_free(&acts);
        case_close(&c);
    }
}

static void configs(void **state) {
    (void)state;
    LlmConfig c;
    assert_ok(llm_config_read(&c, GOLDEN("families/mistral")));
    assert_string_equal(llm_config_family(&c), "mistral");
    assert_true(c.window == 5 && c.windowed[0] && c.windowed[2] && c.rope.kind == LLM_ROPE_LINEAR);
    assert_true(c.rope.factor == 2.5 && !c.qkv_bias && !c.post_norms && c.attn_softcap == 0.0f);
    assert_ok(llm_config_read(&c, GOLDEN("families/qwen2")));
    assert_true(c.window == 6 && !c.windowed[0] && c.windowed[1] && c.windowed[2] && c.qkv_bias);
    for (int gguf = 0; gguf < 2; gguf++) {
        assert_ok(llm_config_read(&c, gguf ? GOLDEN("families/gemma2.gguf") : GOLDEN("families/gemma2")));
        assert_string_equal(llm_config_family(&c), "gemma2");
        assert_true(c.window == 5 && c.windowed[0] && !c.windowed[1] && c.windowed[2]);
        assert_true(c.attn_softcap == 3.0f && c.out_softcap == 2.0f && c.post_norms && c.embed_scale == 6.0f);
        assert_true(c.act == GLU_GELU_TANH && c.norm_offset == !gguf && c.head_dim == 24);
        assert_ok(llm_config_read(&c, gguf ? GOLDEN("families/llama3.gguf") : GOLDEN("families/llama3")));
        assert_int_equal(c.rope.kind, gguf ? LLM_ROPE_TABLE : LLM_ROPE_LLAMA3);
        assert_true(c.window == 0 && !c.windowed[0]);
    }
    AdapterShape s;
    assert_ok(llm_config_read(&c, GOLDEN("families/gemma2")));
    s = llm_adapter_shape(&c);
    assert_true(s.in[Q_PROJ] == 36 && s.out[Q_PROJ] == 96 && s.in[O_PROJ] == 96 && s.out[V_PROJ] == 48);
}

/* Llama-3.1's angles: fast ones untouched, slow ones divided by 8, a blend between (formats: values of the
 * published model, made with another implementation). */
static void llama3_angles(void **state) {
    (void)state;
    LlmConfig c = {.head_dim = 128, .rope = {LLM_ROPE_LLAMA3, 5e5f, 8.0, 1.0, 4.0, 8192.0}};
    float f[64];
    llm_config_inv_freq(f, &c, NULL);
    const struct {
        int i;
        double want;
    } known[] = {{29, 0.00216657076}, {32, 0.000524846161}, {63, 3.06892599e-07}};
    for (int i = 0; i < COUNT_OF(known); i++)
        assert_within(f[known[i].i], known[i].want, 2e-7 * known[i].want);
    for (int i = 0; i <= 28; i++) assert_within(f[i], pow(5e5, -i / 64.0), 1e-7 * pow(5e5, -i / 64.0));
    for (int i = 35; i < 64; i++)
        assert_within(f[i], pow(5e5, -i / 64.0) / 8.0, 1e-7 * pow(5e5, -i / 64.0) / 8.0);
}

/* config.json of a family with one string replaced, its tensors beside it. */
static void write_changed(const char *dir, const char *family, const char *find, const char *replace) {
    char from[PATH_MAX], to[2 * PATH_MAX], *text;
    size_t n;
    snprintf(from, sizeof from, GOLDEN("families/%s/config.json"), family);
    assert_ok(file_read(&text, &n, from, 1 << 16));
    const char *at = strstr(text, find);
    if (!at) fail_msg("no %s in %s", find, from);
    char *changed = test_alloc(n + strlen(replace) + 1);
    sprintf(changed, "%.*s%s%s", (int)(at - text), text, replace, at + strlen(find));
    snprintf(to, sizeof to, "%s/config.json", dir);
    assert_ok(file_write_atomic(to, changed, strlen(changed)));
    free(text);
    free(changed);
    snprintf(from, sizeof from, GOLDEN("families/%s/model.safetensors"), family);
    assert_ok(file_read(&text, &n, from, 1 << 20));
    snprintf(to, sizeof to, "%s/model.safetensors", dir);
    assert_ok(file_write_atomic(to, text, n));
    free(text);
}

static void bad_configs(void **state) {
    (void)state;
    const struct {
        const char *family, *find, *replace, *part;
    } cases[] = {
        {"mistral", "\"sliding_window\": 5", "\"sliding_window\": 0", "'sliding_window'"},
        {"mistral", "\"sliding_window\": 5", "\"sliding_window\": -5", "'sliding_window'"},
        {"mistral", "\"sliding_window\": 5", "\"sliding_window\": 1e30", "'sliding_window'"},
        {"mistral", "\"sliding_window\": 5", "\"sliding_window\": \"5\"", "'sliding_window'"},
        {"mistral", "\"factor\": 2.5", "\"factor\": \"x\"", "'factor'"},
        {"mistral", "\"factor\": 2.5", "\"factor\": 1e-300", "factor 1e-300"},
        {"mistral", "\"rope_type\": \"linear\"", "\"rope_type\": \"dynamic\"", "'dynamic'"},
        {"mistral", "\"num_attention_heads\": 4", "\"num_attention_heads\": 5", "5 attention heads"},
        {"mistral", "\"num_attention_heads\": 4", "\"num_attention_heads\": 6", "q_proj"},
        {"mistral", "\"model_type\": \"mistral\"", "\"model_type\": \"qwen2\"", "q_proj.bias"},
        {"mistral", "\"model_type\": \"mistral\"", "\"model_type\": \"mixtral\"", "mistral, qwen2, gemma2"},
        {"qwen2", "\"use_sliding_window\": true", "\"use_sliding_window\": 1", "'use_sliding_window'"},
        {"qwen2", "\"max_window_layers\": 1", "\"max_window_layers\": -1", "'max_window_layers'"},
        {"qwen2", "\"max_window_layers\": 1", "\"layer_types\": 1", "'layer_types'"},
        {"qwen2", "\"max_window_layers\": 1", "\"layer_types\": [\"full_attention\"]",
         "1 items for 3 layers"},
        {"qwen2", "\"max_window_layers\": 1",
         "\"layer_types\": [\"full_attention\", \"linear_attention\", \"full_attention\"]", "item 1"},
        {"qwen2", "\"hidden_size\": 48", "\"hidden_size\": 96", "embed_tokens"},
        {"gemma2", "\"attn_logit_softcapping\": 3.0", "\"attn_logit_softcapping\": 0", "'attn_logit_softcap"},
        {"gemma2", "\"attn_logit_softcapping\": 3.0", "\"attn_logit_softcapping\": -1", "found -1"},
        {"gemma2", "\"final_logit_softcapping\": 2.0", "\"final_logit_softcapping\": 1e300", "'final_logit"},
        {"gemma2", "\"final_logit_softcapping\": 2.0", "\"final_logit_softcapping\": true", "'final_logit"},
        {"gemma2", "\"query_pre_attn_scalar\": 20", "\"query_pre_attn_scalar\": 0",
         "'query_pre_attn_scalar'"},
        {"gemma2", "\"query_pre_attn_scalar\": 20", "\"query_pre_attn_scalar\": []",
         "'query_pre_attn_scalar'"},
        {"gemma2", "\"head_dim\": 24", "\"head_dim\": 256", "q_proj"},
        {"gemma2", "\"head_dim\": 24,", "", "q_proj"}, /* the family's 256 */
        {"gemma2", "\"gelu_pytorch_tanh\"", "\"gelu\"", "'hidden_activation': 'gelu'"},
        {"gemma2", "\"sliding_window\": 5",
         "\"sliding_window\": null, \"layer_types\": [\"full_attention\", "
         "\"sliding_attention\", \"full_attention\"]",
         "layer 1 has sliding attention"},
    };
    char dir[PATH_MAX];
    Device dev;
    temp_make(dir);
    assert_ok(device_open(&dev, "cpu", 1));
    for (int i = 0; i < COUNT_OF(cases); i++) {
        Llm llm;
        write_changed(dir, cases[i].family, cases[i].find, cases[i].replace);
        assert_fails(llm_load(&llm, &dev, dir, plain), E_INPUT, cases[i].part);
    }
    temp_remove(dir);
    device_close(&dev);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_logits), cmocka_unit_test(golden_gradients), cmocka_unit_test(greedy),
        cmocka_unit_test(configs),       cmocka_unit_test(llama3_angles),    cmocka_unit_test(bad_configs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
