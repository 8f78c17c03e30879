/* Loading a decoder: what the config says is what comes out, an untied head, and refusals that name the file,
 * the key or tensor, what was expected and what was found. */
#include "tests/model/llm_tiny.h"

static const LlmLoad plain = {DT_F32, false};

static void config_of_the_tiny_model(void **state) {
    (void)state;
    Tiny t;
    tiny_open(&t, 1, plain);
    const LlmConfig *c = &t.llm.cfg;
    assert_int_equal(c->vocab, TINY_VOCAB);
    assert_int_equal(c->width, TINY_WIDTH);
    assert_int_equal(c->n_layers, TINY_LAYERS);
    assert_int_equal(c->heads, 3);
    assert_int_equal(c->groups, 1);
    assert_int_equal(c->head_dim, 16);
    assert_int_equal(c->ffn, 80);
    assert_int_equal(c->max_positions, 64);
    assert_true(c->norm_eps == 1e-5f && c->rope.theta == 1e5f && c->tied);
    assert_int_equal(c->bos, 1);
    assert_int_equal(c->n_eos, 1);
    assert_int_equal(c->eos[0], 2);
    assert_null(t.llm.tokenizer); /* the directory has none */
    assert_string_equal(t.llm.name, GOLDEN("llama_tiny"));
    assert_true(t.llm.dtype == DT_F32 && t.llm.head.bwd == NULL);
    AdapterShape s = llm_adapter_shape(c);
    const int64_t in[] = {48, 48, 48, 48, 48, 48, 80}, out[] = {48, 16, 16, 48, 80, 80, 48};
    assert_memory_equal(s.in, in, sizeof in);
    assert_memory_equal(s.out, out, sizeof out);
    assert_int_equal(s.n_layers, TINY_LAYERS);
    tiny_close(&t);
}

/* ---- model directories made for the occasion ---- */

typedef struct Dir {
    char path[PATH_MAX];
} Dir;

static void write_in(const Dir *d, const char *name, const char *text) {
    char *path = path_join(d->path, name);
    assert_ok(file_write_atomic(path, text, strlen(text)));
    free(path);
}

/* Text with its first `find` replaced; the caller frees. */
static char *edited(const char *text, const char *find, const char *replace) {
    const char *at = strstr(text, find);
    if (!at) fail_msg("no %s in the config", find);
    size_t room = strlen(text) + strlen(replace) + 1;
    char *out = test_alloc(room);
    snprintf(out, room, "%.*s%s%s", (int)(at - text), text, replace, at + strlen(find));
    return out;
}

static void edit_config(const Dir *d, const char *find, const char *replace) {
    char *text;
    size_t n;
    assert_ok(file_read(&text, &n, GOLDEN("llama_tiny/config.json"), 1 << 20));
    char *after = edited(text, find, replace);
    write_in(d, "config.json", after);
    free(text);
    free(after);
}

/* One change to the tensors of the tiny model. */
typedef struct Change {
    const char *drop;    /* leave this one out */
    const char *reshape; /* this one as a vector */
    const char *poison;  /* a NaN at the end of this one */
    bool head;           /* add lm_head = -embedding */
} Change;

static void write_tensors(const Dir *d, Change change) {
    SafeTensors s;
    SafeEntry entries[64];
    float *copies[64];
    int64_t n = 0;
    assert_ok(safetensors_open_model(&s, GOLDEN("llama_tiny")));
    for (int64_t i = 0; i < s.n; i++) {
        const SafeTensor *t = &s.tensors[i];
        int64_t count = (int64_t)(t->bytes / sizeof(float));
        bool is_embed = strcmp(t->name, "model.embed_tokens.weight") == 0;
        if (change.drop && strcmp(t->name, change.drop) == 0) continue;
        float *x = copies[n] = test_alloc(t->bytes);
        memcpy(x, t->data, t->bytes);
        if (change.poison && strcmp(t->name, change.poison) == 0) x[count - 1] = NAN;
        bool flat = t->ndim == 1 || (change.reshape && strcmp(t->name, change.reshape) == 0);
        entries[n++] = (SafeEntry){t->name, flat ? tensor_1d(x, DT_F32, count)
                                                 : tensor_2d(x, DT_F32, t->shape[0], t->shape[1])};
        if (!change.head || !is_embed) continue;
        float *head = copies[n] = test_alloc(t->bytes);
        for (int64_t j = 0; j < count; j++) head[j] = -x[j];
        entries[n++] = (SafeEntry){"lm_head.weight", tensor_2d(head, DT_F32, t->shape[0], t->shape[1])};
    }
    char *path = path_join(d->path, "model.safetensors");
    assert_ok(safetensors_write(path, entries, n, NULL, 0));
    free(path);
    for (int64_t i = 0; i < n; i++) free(copies[i]);
    safetensors_close(&s);
}

static void dir_new(Dir *d) {
    temp_make(d->path);
    edit_config(d, "llama", "llama");
    write_tensors(d, (Change){0});
}

/* Loading fails and leaves an empty model. */
static void refused(Device *dev, const Dir *d, StatusCode code, const char *part) {
    Llm llm;
    assert_fails(llm_load(&llm, dev, d->path, plain), code, part);
    Llm empty;
    memset(&empty, 0, sizeof empty);
    assert_memory_equal(&llm, &empty, sizeof llm);
}

static void bad_configs(void **state) {
    (void)state;
    const struct {
        const char *find, *replace, *part;
    } cases[] = {
        {"\"model_type\": \"llama\"", "\"model_type\": \"gpt2\"", "'model_type': 'gpt2'"},
        {"\"model_type\": \"llama\",", "", "key 'model_type' is missing"},
        {"\"hidden_size\": 48", "\"hidden_size\": 50", "embed_tokens"},
        {"\"hidden_size\": 48", "\"hidden_size\": -1", "key 'hidden_size'"},
        {"\"hidden_size\": 48", "\"hidden_size\": 1e300", "key 'hidden_size'"},
        {"\"hidden_size\": 48", "\"hidden_size\": \"48\"", "key 'hidden_size'"},
        {"\"vocab_size\": 97", "\"vocab_size\": 98", "embed_tokens"},
        {"\"intermediate_size\": 80", "\"intermediate_size\": 81", "down_proj"},
        {"\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3", "model.layers.2."},
        {"\"num_hidden_layers\": 2", "\"num_hidden_layers\": 0", "key 'num_hidden_layers'"},
        {"\"num_key_value_heads\": 1", "\"num_key_value_heads\": 2", "3 attention heads"},
        {"\"num_key_value_heads\": 1", "\"num_key_value_heads\": 3", "k_proj"},
        {"\"head_dim\": 16", "\"head_dim\": 15", "multiple of 4"},
        {"\"head_dim\": 16", "\"head_dim\": 20", "q_proj"},
        {"\"head_dim\": 16", "\"head_dim\": 65536", "q_proj"},
        {"\"head_dim\": 16", "\"head_dim\": -16", "key 'head_dim'"},
        {"\"rms_norm_eps\": 1e-05", "\"rms_norm_eps\": 0", "positive"},
        {"\"rms_norm_eps\": 1e-05", "\"rms_norm_eps\": 1e300", "positive"},
        {"\"rope_theta\": 100000.0", "\"rope_theta\": -1", "positive"},
        {"\"rope_theta\": 100000.0", "\"rope_theta\": 1e300", "positive"},
        {"\"hidden_act\": \"silu\"", "\"hidden_act\": 3", "key 'hidden_act'"},
        {"\"hidden_act\": \"silu\"", "\"hidden_act\": \"gelu\"", "'hidden_act': 'gelu'"},
        {"\"attention_bias\": false", "\"attention_bias\": true", "attention_bias"},
        {"\"mlp_bias\": false", "\"mlp_bias\": true", "mlp_bias"},
        {"\"head_dim\": 16", "\"head_dim\": 16, \"rope_scaling\": {\"factor\": 2.0}", "without 'rope_type'"},
        {"\"head_dim\": 16", "\"head_dim\": 16, \"rope_scaling\": 2", "key 'rope_scaling'"},
        {"\"head_dim\": 16", "\"head_dim\": 16, \"rope_scaling\": {\"type\": 3}", "key 'type'"},
        {"\"head_dim\": 16", "\"head_dim\": 16, \"rope_scaling\": {\"type\": \"yarn\", \"factor\": 2.0}",
         "rope scaling 'yarn'"},
        {"\"head_dim\": 16", "\"head_dim\": 16, \"rope_scaling\": {\"type\": \"linear\"}", "key 'factor'"},
        {"\"head_dim\": 16", "\"head_dim\": 16, \"rope_scaling\": {\"type\": \"linear\", \"factor\": 0}",
         "factor 0"},
        {"\"head_dim\": 16", "\"head_dim\": 16, \"rope_scaling\": {\"type\": \"linear\", \"factor\": -1}",
         "factor -1"},
        {"\"head_dim\": 16", "\"head_dim\": 16, \"rope_parameters\": {\"rope_type\": \"llama3\"}",
         "key 'factor'"},
        {"\"head_dim\": 16",
         "\"head_dim\": 16, \"rope_parameters\": {\"rope_type\": \"llama3\", \"factor\": 8, "
         "\"low_freq_factor\": 4, \"high_freq_factor\": 4, \"original_max_position_embeddings\": 32}",
         "low_freq_factor < high_freq_factor"},
        {"\"head_dim\": 16",
         "\"head_dim\": 16, \"rope_parameters\": {\"rope_type\": \"llama3\", \"factor\": 8, "
         "\"low_freq_factor\": 1, \"high_freq_factor\": 4, \"original_max_position_embeddings\": 0}",
         "original_max_position_embeddings > 0"},
        {"\"head_dim\": 16", "\"head_dim\": 16, \"rope_parameters\": {\"rope_type\": \"longrope\"}",
         "rope scaling 'longrope'"},
        {"\"eos_token_id\": 2", "\"eos_token_id\": 97", "eos_token_id"},
        {"\"eos_token_id\": 2", "\"eos_token_id\": \"</s>\"", "eos_token_id"},
        {"\"eos_token_id\": 2", "\"eos_token_id\": [0, 1, 2, 3, 4, 5, 6, 7, 8]", "more than 8"},
        {"\"vocab_size\": 97", "\"vocab_size\": 97, \"vocab_size\": 97", "vocab_size"},
    };
    Dir d;
    Device dev;
    dir_new(&d);
    assert_ok(device_open(&dev, "cpu", 1));
    for (int i = 0; i < COUNT_OF(cases); i++) {
        edit_config(&d, cases[i].find, cases[i].replace);
        refused(&dev, &d, E_INPUT, cases[i].part);
    }
    write_in(&d, "config.json", "{");
    refused(&dev, &d, E_INPUT, "config.json");
    temp_remove(d.path);
    Llm llm;
    Status s = llm_load(&llm, &dev, d.path, plain); /* neither a directory nor a file any more */
    assert_true(!status_is_ok(s) && strstr(status_message(s), d.path));
    status_free(s);
    device_close(&dev);
}

static void bad_tensors(void **state) {
    (void)state;
    const struct {
        Change change;
        const char *part;
    } cases[] = {
        {{.drop = "model.norm.weight"}, "model.norm.weight"},
        {{.drop = "model.layers.1.self_attn.v_proj.weight"}, "model.layers.1.self_attn.v_proj.weight"},
        {{.reshape = "model.layers.0.mlp.up_proj.weight"}, "model.layers.0.mlp.up_proj.weight"},
        {{.poison = "model.layers.0.self_attn.o_proj.weight"}, "NaN"},
        {{.poison = "model.layers.1.input_layernorm.weight"}, "input_layernorm"},
        {{.poison = "model.embed_tokens.weight"}, "embed_tokens"},
    };
    Dir d;
    Device dev;
    dir_new(&d);
    assert_ok(device_open(&dev, "cpu", 2));
    for (int i = 0; i < COUNT_OF(cases); i++) {
        write_tensors(&d, cases[i].change);
        refused(&dev, &d, E_INPUT, cases[i].part);
    }
    char *path = path_join(d.path, "model.safetensors");
    assert_int_equal(remove(path), 0);
    free(path);
    Llm llm;
    Status s = llm_load(&llm, &dev, d.path, plain);
    assert_false(status_is_ok(s));
    status_free(s);
    temp_remove(d.path);
    device_close(&dev);
}

/* lm_head = -embedding: every logit changes its sign, nothing else. */
static void untied_head(void **state) {
    (void)state;
    Dir d;
    Tiny t;
    Llm other;
    dir_new(&d);
    write_tensors(&d, (Change){.head = true});
    tiny_open(&t, 1, plain);
    assert_ok(llm_load(&other, &t.dev, d.path, plain));
    assert_false(other.cfg.tied);
    TinyBatch b;
    tiny_batch(&b, &t, 0, TINY_SEQS, false);
    float logits[2][TINY_TOKENS * TINY_VOCAB];
    const Llm *models[2] = {&t.llm, &other};
    for (int i = 0; i < 2; i++) {
        LlmActs acts;
        LlmRun run = {0};
        assert_ok(llm_acts_init(&acts, models[i], TINY_TOKENS, TINY_SEQS, TINY_TOKENS, 0, false));
        assert_ok(llm_forward(models[i], &t.dev, &acts, &b.b, NULL, run));
        assert_ok(
            llm_logits(models[i], &t.dev, tensor_2d(logits[i], DT_F32, TINY_TOKENS, TINY_VOCAB), &acts));
        llm_acts_free(&acts);
    }
    for (int i = 0; i < TINY_TOKENS * TINY_VOCAB; i++) assert_true(logits[0][i] == -logits[1][i]);
    llm_free(&other);
    tiny_close(&t);
    temp_remove(d.path);
}

/* Ends of text from both files, each once; defaults where keys are absent; rope_theta where transformers 5
 * keeps it. */
static void optional_keys(void **state) {
    (void)state;
    Dir d;
    Device dev;
    Llm llm;
    dir_new(&d);
    assert_ok(device_open(&dev, "cpu", 1));
    edit_config(&d, "\"rope_theta\": 100000.0", "\"rope_parameters\": {\"rope_theta\": 5e5}");
    write_in(&d, "generation_config.json", "{\"eos_token_id\": [7, 2, 9]}");
    assert_ok(llm_load(&llm, &dev, d.path, plain));
    const int32_t eos[] = {2, 7, 9};
    assert_int_equal(llm.cfg.n_eos, 3);
    assert_memory_equal(llm.cfg.eos, eos, sizeof eos);
    assert_true(llm.cfg.rope.theta == 5e5f);
    llm_free(&llm);
    edit_config(&d, "\"eos_token_id\": 2,", "");
    write_in(&d, "generation_config.json", "{}");
    assert_ok(llm_load(&llm, &dev, d.path, plain));
    assert_int_equal(llm.cfg.n_eos, 0);
    llm_free(&llm);
    edit_config(&d, "\"head_dim\": 16,", ""); /* 48 / 3 */
    assert_ok(llm_load(&llm, &dev, d.path, plain));
    assert_int_equal(llm.cfg.head_dim, 16);
    llm_free(&llm);
    temp_remove(d.path);
    device_close(&dev);
}

static void choosing_the_type(void **state) {
    (void)state;
    Device dev = {.bf16_dot = true}, old = {.bf16_dot = false};
    DType type;
    assert_ok(llm_choose_dtype(&type, &dev, NULL));
    assert_int_equal(type, DT_BF16);
    assert_ok(llm_choose_dtype(&type, &old, "auto"));
    assert_int_equal(type, DT_F32);
    assert_ok(llm_choose_dtype(&type, &dev, "f32"));
    assert_int_equal(type, DT_F32);
    assert_ok(llm_choose_dtype(&type, &dev, "bf16"));
    assert_int_equal(type, DT_BF16);
    assert_fails(llm_choose_dtype(&type, &old, "bf16"), E_ENV, "bf16");
    assert_fails(llm_choose_dtype(&type, &dev, "fp8"), E_USAGE, "'fp8'");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(config_of_the_tiny_model),
        cmocka_unit_test(bad_configs),
        cmocka_unit_test(bad_tensors),
        cmocka_unit_test(untied_head),
        cmocka_unit_test(optional_keys),
        cmocka_unit_test(choosing_the_type),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
