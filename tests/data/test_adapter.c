/* Adapters: a directory PEFT could have written comes back exactly; replacing is safe; everything that would
 * change an adapter's meaning is refused; damaged files never do more than fail. */
#include "tests/data/files.h"

#include "base/json.h"
#include "data/adapter.h"
#include "data/replace.h"
#include "data/safetensors.h"

enum { LAYERS = 3, RANK = 4 };

static void fill(Adapter *a, uint64_t seed) {
    Rng rng = rng_make(seed, 0);
    for (int i = 0; i < a->n_modules; i++) {
        AdapterModule *m = &a->modules[i];
        fill_random(m->a, (int64_t)a->n_layers * a->rank * m->in, &rng, -1, 1);
        fill_random(m->b, (int64_t)a->n_layers * a->rank * m->out, &rng, -1, 1);
    }
}

/* q and v of a small model, in that order; owns. */
static Adapter make(uint64_t seed) {
    Adapter a = {.n_layers = LAYERS, .rank = RANK, .alpha = 16, .use_rslora = true, .n_modules = 2};
    a.modules[0] = (AdapterModule){.module = V_PROJ, .in = 8, .out = 2};
    a.modules[1] = (AdapterModule){.module = Q_PROJ, .in = 8, .out = 6};
    assert_ok(adapter_alloc(&a));
    fill(&a, seed);
    a.base_model = strdup("some/model");
    return a;
}

static AdapterShape shape_of_model(void) {
    AdapterShape s = {.n_layers = LAYERS};
    s.in[Q_PROJ] = s.in[K_PROJ] = s.in[V_PROJ] = 8;
    s.out[Q_PROJ] = 6;
    s.out[K_PROJ] = s.out[V_PROJ] = 2;
    return s;
}

static void assert_same(const Adapter *a, const Adapter *b) {
    assert_int_equal(a->n_layers, b->n_layers);
    assert_int_equal(a->rank, b->rank);
    assert_true(a->alpha == b->alpha && a->use_rslora == b->use_rslora);
    assert_int_equal(a->n_modules, b->n_modules);
    for (int i = 0; i < a->n_modules; i++) {
        const AdapterModule *m = &a->modules[i], *n = &b->modules[i];
        assert_int_equal(m->module, n->module);
        assert_true(m->in == n->in && m->out == n->out);
        assert_memory_equal(m->a, n->a, (size_t)(a->n_layers * a->rank * m->in) * sizeof *m->a);
        assert_memory_equal(m->b, n->b, (size_t)(a->n_layers * a->rank * m->out) * sizeof *m->b);
    }
}

static void test_names(void **state) {
    (void)state;
    LoraModule m;
    for (int i = 0; i < LORA_MODULES; i++) {
        assert_ok(lora_module_parse(&m, lora_module_name((LoraModule)i)));
        assert_int_equal(m, i);
    }
    assert_fails(lora_module_parse(&m, "q_pro"), E_INPUT, "'q_pro' is not a module");
    Adapter a = {.rank = 8, .alpha = 16, .use_rslora = true};
    assert_true(adapter_scale(&a) == 16 / sqrt(8.0));
    a.use_rslora = false;
    assert_true(adapter_scale(&a) == 2);
}

static const char expected_config[] =
    "{\n  \"alpha_pattern\": {},\n  \"auto_mapping\": null,\n  \"base_model_name_or_path\": \"some/model\",\n"
    "  \"bias\": \"none\",\n  \"corda_config\": null,\n  \"eva_config\": null,\n  \"exclude_modules\": "
    "null,\n"
    "  \"fan_in_fan_out\": false,\n  \"inference_mode\": true,\n  \"init_lora_weights\": true,\n"
    "  \"layer_replication\": null,\n  \"layers_pattern\": null,\n  \"layers_to_transform\": null,\n"
    "  \"loftq_config\": {},\n  \"lora_alpha\": 16,\n  \"lora_bias\": false,\n  \"lora_dropout\": 0.05,\n"
    "  \"megatron_config\": null,\n  \"megatron_core\": \"megatron.core\",\n  \"modules_to_save\": null,\n"
    "  \"peft_type\": \"LORA\",\n  \"r\": 4,\n  \"rank_pattern\": {},\n  \"revision\": null,\n"
    "  \"target_modules\": [\n    \"v_proj\",\n    \"q_proj\"\n  ],\n  \"task_type\": \"CAUSAL_LM\",\n"
    "  \"trainable_token_indices\": null,\n  \"use_dora\": false,\n  \"use_rslora\": true\n}";

static void test_round_trip(void **state) {
    (void)state;
    TestDir dir = dir_make();
    TestPath path = dir_file(&dir, "a/b/adapter");
    AdapterShape shape = shape_of_model();
    AdapterWriteOptions options = {.dropout = 0.05, .description = "adds numbers"};
    Adapter a = make(1), b, c;
    char *text;
    SafeTensors st;
    assert_ok(adapter_write(path.s, &a, &options));
    assert_ok(adapter_load(&b, path.s, &shape));
    assert_same(&a, &b);
    assert_string_equal(b.base_model, "some/model");
    assert_ok(file_read(&text, NULL, dir_file(&dir, "a/b/adapter/adapter_config.json").s, 1 << 20));
    assert_string_equal(text, expected_config);
    free(text);
    assert_ok(safetensors_open(&st, dir_file(&dir, "a/b/adapter/adapter_model.safetensors").s));
    assert_int_equal(st.n, LAYERS * 2 * 2);
    assert_string_equal(safetensors_metadata(&st, "format"), "pt");
    assert_string_equal(safetensors_metadata(&st, "description"), "adds numbers");
    const SafeTensor *t =
        safetensors_find(&st, "base_model.model.model.layers.2.self_attn.v_proj.lora_B.weight");
    assert_non_null(t);
    assert_true(t->dtype == DT_F32 && t->shape[0] == 2 && t->shape[1] == RANK);
    assert_memory_equal(t->data, a.modules[0].b + 2 * 2 * RANK, t->bytes);
    safetensors_close(&st);

    fill(&a, 2); /* over the first, with a slash, without a shape table */
    snprintf(path.s, sizeof path.s, "%s/a/b/adapter//", dir.path);
    assert_ok(adapter_write(path.s, &a, NULL));
    assert_ok(adapter_load(&c, path.s, NULL));
    assert_same(&a, &c);
    adapter_free(&b);
    adapter_free(&c);
    adapter_free(&a);
    dir_remove(&dir);
}

static void test_odd_values(void **state) {
    (void)state;
    TestDir dir = dir_make();
    TestPath path = dir_file(&dir, "x");
    AdapterWriteOptions options = {.dropout = 0, .description = NULL};
    Adapter a = make(1), b;
    char *text;
    free(a.base_model);
    a.base_model = strdup("/models/\xc3\xa9 \"\xf0\x9f\x98\x80\"\n");
    a.alpha = 0.1;
    a.use_rslora = false;
    assert_ok(adapter_write(path.s, &a, &options));
    assert_ok(file_read(&text, NULL, dir_file(&dir, "x/adapter_config.json").s, 1 << 20));
    assert_non_null(strstr(text, "\"/models/\\u00e9 \\\"\\ud83d\\ude00\\\"\\n\""));
    assert_non_null(strstr(text, "\"lora_alpha\": 0.1,"));
    assert_non_null(strstr(text, "\"lora_dropout\": 0.0,"));
    free(text);
    assert_ok(adapter_load(&b, path.s, NULL));
    assert_same(&a, &b);
    assert_string_equal(b.base_model, a.base_model);
    adapter_free(&b);

    a.modules[1].b[5] = NAN; /* the old adapter stays */
    assert_fails(adapter_write(path.s, &a, NULL), E_FAIL,
                 "layers.0.self_attn.q_proj.lora_B.weight holds NaN");
    assert_ok(adapter_load(&b, path.s, NULL));
    adapter_free(&b);
    adapter_free(&a);
    dir_remove(&dir);
}

static void test_what_is_replaced(void **state) {
    (void)state;
    TestDir dir = dir_make();
    TestPath path = dir_file(&dir, "out");
    Adapter a = make(1), b;
    assert_ok(file_mkdirs(path.s)); /* empty: fine */
    assert_ok(adapter_write(path.s, &a, NULL));
    write_text(dir_file(&dir, "out/README.md").s, "PEFT writes one");
    assert_ok(adapter_write(path.s, &a, NULL));
    assert_false(file_exists(dir_file(&dir, "out/README.md").s));
    write_text(dir_file(&dir, "out/thesis.txt").s, "precious");
    assert_fails(adapter_write(path.s, &a, NULL), E_INPUT, "holds 'thesis.txt', so it is not an adapter");
    assert_true(file_exists(dir_file(&dir, "out/thesis.txt").s));
    assert_ok(adapter_load(&b, path.s, NULL));
    adapter_free(&b);
    write_text(dir_file(&dir, "file").s, "x");
    assert_fails(adapter_write(dir_file(&dir, "file").s, &a, NULL), E_INPUT, "exists and is not a directory");
    assert_int_equal(symlink(path.s, dir_file(&dir, "link").s), 0);
    assert_fails(adapter_write(dir_file(&dir, "link").s, &a, NULL), E_INPUT, "exists and is not a directory");
    assert_fails(adapter_write("", &a, NULL), E_INPUT, "not a usable directory name");
    adapter_free(&a);
    dir_remove(&dir);
}

static void test_replace(void **state) {
    (void)state;
    TestDir dir = dir_make();
    TestPath final = dir_file(&dir, "final"), fresh = dir_file(&dir, "fresh");
    for (int i = 0; i < 3; i++) {
        char text[2] = {(char)('a' + i), 0}, *got;
        assert_ok(file_mkdirs(dir_file(&dir, "fresh/sub").s));
        write_text(dir_file(&dir, "fresh/sub/x").s, text);
        assert_ok(replace_sync_tree(fresh.s));
        assert_ok(replace_dir(final.s, fresh.s));
        assert_false(file_exists(fresh.s));
        assert_ok(file_read(&got, NULL, dir_file(&dir, "final/sub/x").s, 10));
        assert_string_equal(got, text);
        free(got);
    }
    assert_fails(replace_dir(final.s, fresh.s), E_ENV, "cannot rename"); /* no fresh one: the old one stays */
    assert_true(file_exists(dir_file(&dir, "final/sub/x").s));
    assert_fails(replace_sync_tree(fresh.s), E_ENV, "cannot flush");
    dir_remove(&dir);
}

/* ---- refusals ---- */

typedef struct Edit {
    const char *key, *value; /* JSON; NULL: the key is removed */
    const char *message;     /* NULL: accepted */
} Edit;

static const Edit edits[] = {
    {"peft_type", "\"IA3\"", "key 'peft_type': expected \"LORA\", found \"IA3\""},
    {"peft_type", NULL, "key 'peft_type' is missing"},
    {"r", NULL, "key 'r' is missing"},
    {"r", "0", "key 'r': expected an integer from 1"},
    {"r", "4.5", "key 'r': expected an integer"},
    {"r", "5", "lora_A.weight': expected shape [5, any], found [4, 8]"},
    {"r", "1e300", "key 'r'"},
    {"lora_alpha", "\"16\"", "key 'lora_alpha': expected a number, found a string"},
    {"lora_alpha", NULL, "key 'lora_alpha' is missing"},
    {"lora_alpha", "1e999", "not a finite number"},
    {"use_rslora", "1", "key 'use_rslora': expected true or false"},
    {"use_rslora", NULL, NULL},
    {"use_rslora", "null", NULL},
    {"use_dora", "true", "key 'use_dora' is set"},
    {"use_dora", NULL, NULL},
    {"bias", "\"all\"", "key 'bias': only \"none\" is supported, found all"},
    {"bias", "\"lora_only\"", "key 'bias'"},
    {"bias", "null", NULL},
    {"lora_bias", "true", "key 'lora_bias' is set"},
    {"modules_to_save", "[\"lm_head\"]", "key 'modules_to_save' is set"},
    {"modules_to_save", "[]", NULL},
    {"fan_in_fan_out", "true", "key 'fan_in_fan_out' is set"},
    {"rank_pattern", "{\"q_proj\":4}", "key 'rank_pattern' is set"},
    {"alpha_pattern", "{\"q_proj\":4}", "key 'alpha_pattern' is set"},
    {"layers_to_transform", "[0]", "key 'layers_to_transform' is set"},
    {"layer_replication", "[[0,1]]", "key 'layer_replication' is set"},
    {"exclude_modules", "\"q_proj\"", "key 'exclude_modules' is set"},
    {"trainable_token_indices", "[1]", "key 'trainable_token_indices' is set"},
    {"alora_invocation_tokens", "[1]", "is set"},
    {"megatron_config", "{\"a\":1}", "key 'megatron_config' is set"},
    {"novel_config", "{\"a\":1}", "key 'novel_config' is set"},
    {"loftq_config", "{\"a\":1}", NULL},
    {"peft_version", "\"9\"", NULL},
    {"init_lora_weights", "\"pissa\"", "\"pissa\" changes the base model's weights"},
    {"init_lora_weights", "\"gaussian\"", NULL},
    {"base_model_name_or_path", "null", NULL},
    {"target_modules", NULL, "key 'target_modules': expected an array of module names"},
    {"target_modules", "[]", "found an empty array"},
    {"target_modules", "[1]", "expected module names, found a number"},
    {"target_modules", "{}", "found an object"},
    {"target_modules", "[\"q_proj\",\"w_proj\"]", "key 'target_modules': 'w_proj' is not a module"},
    {"target_modules", "[\"q_proj\",\"q_proj\"]", "'q_proj' appears twice"},
    {"target_modules", "[\"q_proj\"]",
     "v_proj.lora_A.weight' belongs to a module that target_modules does not name"},
    {"target_modules", "[\"q_proj\",\"v_proj\",\"k_proj\"]",
     "layers.0.self_attn.k_proj.lora_A.weight' is missing"},
    {"target_modules", "[\"q_proj\",\"v_proj\"]", NULL},
    {"target_modules", "\"all-linear\"", "layers.0.self_attn.k_proj.lora_A.weight' is missing"},
    {"target_modules", "\".*\\\\.(q_proj|v_proj)\"", NULL},
    {"target_modules", "\".*self_attn.[qv]_proj$\"", NULL},
    {"target_modules", "\"q_proj\"", "matches none of the model's modules"},
    {"target_modules", "\".*layers\\\\.[01]\\\\..*q_proj\"", "differs between layers"},
    {"target_modules", "\"((((\"", "is not a regular expression"},
    {"target_modules", "\"(.|..|...)*[!?]\"", "is too complicated"},
};

static void edit_config(const char *path, const Edit *e) {
    cJSON *root;
    assert_ok(json_parse(&root, expected_config, sizeof expected_config - 1, "config"));
    cJSON_DeleteItemFromObjectCaseSensitive(root, e->key);
    if (e->value) assert_true(cJSON_AddRawToObject(root, e->key, e->value) != NULL);
    assert_ok(json_write(path, root));
    cJSON_Delete(root);
}

static void test_config(void **state) {
    (void)state;
    TestDir dir = dir_make();
    TestPath config = dir_file(&dir, "x/adapter_config.json");
    AdapterShape shape = shape_of_model();
    Adapter a = make(1), b;
    assert_ok(adapter_write(dir_file(&dir, "x").s, &a, NULL));
    for (int i = 0; i < COUNT_OF(edits); i++) {
        edit_config(config.s, &edits[i]);
        Status s = adapter_load(&b, dir_file(&dir, "x").s, &shape);
        bool as_expected = edits[i].message
                               ? status_code(s) == E_INPUT && strstr(status_message(s), dir.path) &&
                                     strstr(status_message(s), edits[i].message)
                               : status_is_ok(s);
        if (!as_expected)
            fail_msg("%s: %s: code %d: %s", edits[i].key, edits[i].value ? edits[i].value : "absent",
                     (int)status_code(s), status_message(s));
        if (status_is_ok(s)) adapter_free(&b);
        assert_null(b.memory);
        assert_null(b.base_model);
        status_free(s);
    }
    write_text(config.s, "[]");
    assert_fails(adapter_load(&b, dir_file(&dir, "x").s, NULL), E_INPUT,
                 "expected an object, found an array");
    assert_int_equal(unlink(config.s), 0);
    assert_fails(adapter_load(&b, dir_file(&dir, "x").s, NULL), E_INPUT, "adapter_config.json is not there");
    write_text(config.s, expected_config);
    assert_int_equal(unlink(dir_file(&dir, "x/adapter_model.safetensors").s), 0);
    assert_fails(adapter_load(&b, dir_file(&dir, "x").s, NULL), E_INPUT,
                 "adapter_model.safetensors is not there");
    adapter_free(&a);
    dir_remove(&dir);
}

static void test_shape(void **state) {
    (void)state;
    TestDir dir = dir_make();
    TestPath path = dir_file(&dir, "x");
    Adapter a = make(1), b;
    assert_ok(adapter_write(path.s, &a, NULL));
    AdapterShape shape = shape_of_model();
    shape.out[V_PROJ] = 3;
    assert_fails(adapter_load(&b, path.s, &shape), E_INPUT, "v_proj is 8 -> 2, the model has 8 -> 3");
    shape.in[V_PROJ] = shape.out[V_PROJ] = 0;
    assert_fails(adapter_load(&b, path.s, &shape), E_INPUT, "adapts v_proj, which the model does not have");
    shape = shape_of_model();
    shape.n_layers = 4;
    assert_fails(adapter_load(&b, path.s, &shape), E_INPUT, "made for 3 layers, the model has 4");
    shape.n_layers = 2;
    assert_fails(adapter_load(&b, path.s, &shape), E_INPUT, "made for 3 layers, the model has 2");
    adapter_free(&a);
    dir_remove(&dir);
}

#define NAME(rest) "base_model.model.model.layers." rest
static const char *const bad_names[][2] = {
    {NAME("0.self_attn.q_proj.lora_A.default.weight"), "unknown tensor"},
    {NAME("0.mlp.q_proj.lora_A.weight"), "unknown tensor"},
    {NAME("00.self_attn.q_proj.lora_A.weight"), "unknown tensor"},
    {NAME("-1.self_attn.q_proj.lora_A.weight"), "unknown tensor"},
    {NAME("0.self_attn.q_proj.lora_C.weight"), "unknown tensor"},
    {NAME("0.self_attn.q_proj.lora_A"), "unknown tensor"},
    {NAME("99999999999999999999.self_attn.q_proj.lora_A.weight"), "unknown tensor"},
    {NAME(""), "unknown tensor"},
    {"model.layers.0.self_attn.q_proj.lora_A.weight", "unknown tensor"},
    {"", "unknown tensor"},
    {NAME("2147483646.self_attn.q_proj.lora_A.weight"), "some are missing"},
    {NAME("5.self_attn.q_proj.lora_A.weight"), "layers.3.self_attn.v_proj.lora_A.weight' is missing"},
    {NAME("0.self_attn.k_proj.lora_A.weight"), "target_modules does not name"},
};

/* The adapter's tensors with one changed: renamed, dropped, retyped, poisoned. */
static void rewrite(const char *path, const Adapter *a, SafeEntry *entries, char (*names)[128]) {
    int n = 0;
    for (int layer = 0; layer < a->n_layers; layer++)
        for (int i = 0; i < a->n_modules; i++)
            for (int factor = 0; factor < 2; factor++) {
                const AdapterModule *m = &a->modules[i];
                snprintf(names[n], sizeof names[n], NAME("%d.self_attn.%s.lora_%c.weight"), layer,
                         lora_module_name(m->module), "AB"[factor]);
                entries[n].name = names[n];
                entries[n].tensor =
                    factor ? tensor_2d(m->b + (int64_t)layer * m->out * RANK, DT_F32, m->out, RANK)
                           : tensor_2d(m->a + (int64_t)layer * m->in * RANK, DT_F32, RANK, m->in);
                n++;
            }
    assert_ok(safetensors_write(path, entries, n, NULL, 0));
}

static void test_tensors(void **state) {
    (void)state;
    TestDir dir = dir_make();
    TestPath path = dir_file(&dir, "x"), weights = dir_file(&dir, "x/adapter_model.safetensors");
    enum { N = LAYERS * 4 };
    SafeEntry entries[N + 1];
    char names[N][128];
    Adapter a = make(1), b;
    float one[RANK * 8] = {0};
    assert_ok(adapter_write(path.s, &a, NULL));
    rewrite(weights.s, &a, entries, names);
    assert_ok(adapter_load(&b, path.s, NULL)); /* no metadata: as the reference's save_lora */
    assert_same(&a, &b);
    adapter_free(&b);
    for (int i = 0; i < COUNT_OF(bad_names); i++) {
        entries[N] = (SafeEntry){bad_names[i][0], tensor_2d(one, DT_F32, RANK, 8)};
        assert_ok(safetensors_write(weights.s, entries, N + 1, NULL, 0));
        assert_fails(adapter_load(&b, path.s, NULL), E_INPUT, bad_names[i][1]);
    }
    assert_ok(safetensors_write(weights.s, entries, N - 1, NULL, 0));
    assert_fails(adapter_load(&b, path.s, NULL), E_INPUT,
                 "layers.2.self_attn.q_proj.lora_B.weight' is missing");
    assert_ok(safetensors_write(weights.s, entries, 0, NULL, 0));
    assert_fails(adapter_load(&b, path.s, NULL), E_INPUT, "holds no tensor");
    Tensor good = entries[7].tensor;
    entries[7].tensor = tensor_2d(one, DT_F32, RANK, 6); /* layer 1, q, B: transposed */
    assert_ok(safetensors_write(weights.s, entries, N, NULL, 0));
    assert_fails(adapter_load(&b, path.s, NULL), E_INPUT,
                 "lora_B.weight': expected shape [6, 4], found [4, 6]");
    int32_t ints[RANK * 6] = {0};
    entries[7].tensor = tensor_2d(ints, DT_I32, 6, RANK);
    assert_ok(safetensors_write(weights.s, entries, N, NULL, 0));
    assert_fails(adapter_load(&b, path.s, NULL), E_INPUT, "expected F32, F16, BF16 or F64 values, found I32");
    uint16_t brain[RANK * 6];
    for (int i = 0; i < RANK * 6; i++) brain[i] = float_to_bf16((float)i);
    entries[7].tensor = tensor_2d(brain, DT_BF16, 6, RANK);
    assert_ok(safetensors_write(weights.s, entries, N, NULL, 0));
    assert_ok(adapter_load(&b, path.s, NULL));
    assert_true(b.modules[1].b[6 * RANK + 23] == 23);
    adapter_free(&b);
    brain[3] = 0x7f80; /* infinity */
    assert_ok(safetensors_write(weights.s, entries, N, NULL, 0));
    assert_fails(adapter_load(&b, path.s, NULL), E_INPUT, "q_proj.lora_B.weight' holds NaN or infinity");
    entries[7].tensor = good;
    a.modules[0].a[2 * RANK * 8 + 1] = NAN;
    assert_ok(safetensors_write(weights.s, entries, N, NULL, 0));
    assert_fails(adapter_load(&b, path.s, NULL), E_INPUT,
                 "layers.2.self_attn.v_proj.lora_A.weight' holds NaN");
    adapter_free(&a);
    dir_remove(&dir);
}

static void test_damage(void **state) {
    (void)state;
    TestDir dir = dir_make();
    TestPath path = dir_file(&dir, "x");
    AdapterShape shape = shape_of_model();
    Adapter a = make(1), b;
    assert_ok(adapter_write(path.s, &a, NULL));
    Rng rng = rng_make(4, 0);
    for (int which = 0; which < 2; which++) {
        TestPath target = dir_file(&dir, which ? "x/adapter_config.json" : "x/adapter_model.safetensors");
        char *good;
        size_t n, size, head;
        assert_ok(file_read(&good, &n, target.s, 1 << 20));
        head = which ? n : 8 + (size_t)(uint8_t)good[0] + 256u * (size_t)(uint8_t)good[1];
        uint8_t *copy = test_alloc(n + 8);
        for (int i = 0; i < 3000; i++) {
            FILE *f = fopen(target.s, "wb");
            size = damage(copy, (const uint8_t *)good, n, head, &rng);
            assert_int_equal(fwrite(copy, 1, size, f), size);
            fclose(f);
            Status s = adapter_load(&b, path.s, i % 2 ? &shape : NULL);
            if (status_is_ok(s))
                adapter_free(&b);
            else
                assert_int_equal(status_code(s), E_INPUT);
            status_free(s);
        }
        assert_ok(file_write_atomic(target.s, good, n));
        free(copy);
        free(good);
    }
    assert_ok(adapter_load(&b, path.s, &shape));
    assert_same(&a, &b);
    adapter_free(&b);
    adapter_free(&a);
    dir_remove(&dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),      cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_odd_values), cmocka_unit_test(test_replace),
        cmocka_unit_test(test_config),     cmocka_unit_test(test_what_is_replaced),
        cmocka_unit_test(test_shape),      cmocka_unit_test(test_tensors),
        cmocka_unit_test(test_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
