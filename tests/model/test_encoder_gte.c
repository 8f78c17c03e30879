/* A tiny encoder of gte-large-en-v1.5's architecture against float64 (tests/golden/make_gte.py), batching,
 * and configurations that are refused. */
#include "tests/test_util.h"

#include "data/safetensors.h"
#include "model/encoder.h"

enum { TEXTS = 5, WIDTH = 36 };

static void against_float64(void **state) {
    (void)state;
    Device dev;
    Encoder e;
    SafeTensors golden;
    Tensor want;
    const char *texts[TEXTS];
    const int64_t dim[2] = {TEXTS, WIDTH};
    assert_ok(device_open(&dev, "cpu", 2));
    assert_ok(encoder_load(&e, &dev, GOLDEN("gte_tiny")));
    assert_true(e.cfg.rotary && e.cfg.gated && e.cfg.pool_cls && e.cfg.max_tokens == 64);
    assert_ok(safetensors_open(&golden, GOLDEN("gte_tiny.safetensors")));
    assert_ok(safetensors_get(&want, &golden, "embeddings", 2, dim));
    for (int i = 0; i < TEXTS; i++) {
        char key[16];
        snprintf(key, sizeof key, "text.%d", i);
        texts[i] = safetensors_metadata(&golden, key);
        assert_non_null(texts[i]);
    }
    TestMat got = mat_new(TEXTS, WIDTH, 0), alone = mat_new(TEXTS, WIDTH, 0);
    assert_ok(encoder_embed(&e, &dev, tensor_f32(got.t), texts, TEXTS));
    mat_intact(&got);
    double error = relative_error(mat_at(&got, 0, 0), want.data, TEXTS * WIDTH);
    print_message("gte: relative error %.2g\n", error);
    assert_true(error <= 2e-5);
    dev.n_threads = 1;
    for (int i = 0; i < TEXTS; i++) assert_ok(encoder_embed(&e, &dev, mat_at(&alone, i, 0), &texts[i], 1));
    mat_same_bits(&alone, &got);
    mat_free(&got), mat_free(&alone);
    safetensors_close(&golden);
    encoder_free(&e);
    device_close(&dev);
}

static void copy(const char *dir, const char *name) {
    char from[PATH_MAX], to[2 * PATH_MAX], *text;
    size_t n;
    snprintf(from, sizeof from, GOLDEN("gte_tiny/%s"), name);
    snprintf(to, sizeof to, "%s/%s", dir, name);
    assert_ok(file_read(&text, &n, from, 1 << 20));
    assert_ok(file_write_atomic(to, text, n));
    free(text);
}

static void write_config(const char *dir, const char *find, const char *replace) {
    char to[2 * PATH_MAX], *text;
    size_t n;
    assert_ok(file_read(&text, &n, GOLDEN("gte_tiny/config.json"), 1 << 16));
    const char *at = strstr(text, find);
    if (!at) fail_msg("no %s", find);
    char *changed = test_alloc(n + strlen(replace) + 1);
    sprintf(changed, "%.*s%s%s", (int)(at - text), text, replace, at + strlen(find));
    snprintf(to, sizeof to, "%s/config.json", dir);
    assert_ok(file_write_atomic(to, changed, strlen(changed)));
    free(text);
    free(changed);
}

static void damaged(void **state) {
    (void)state;
    const struct {
        const char *find, *replace, *part;
    } cases[] = {
        {"\"new\"", "\"newer\"", "model_type"},
        {"\"new\"", "\"bert\"", "position_embedding_type"},
        {"\"rope\"", "\"absolute\"", "position_embedding_type"},
        {"\"layer_norm\"", "\"rms_norm\"", "layer_norm_type"},
        {"\"pack_qkv\": true", "\"pack_qkv\": false", "pack_qkv"},
        {"\"logn_attention_scale\": false", "\"logn_attention_scale\": true", "logn_attention_scale"},
        {"\"type_vocab_size\": 2", "\"type_vocab_size\": 3", "type_vocab_size"},
        {"\"type_vocab_size\": 2", "\"type_vocab_size\": 1", "token_type_embeddings"},
        {"\"rope_theta\": 160000", "\"rope_theta\": 0", "rope_theta 0"},
        {"\"factor\": 2.0", "\"factor\": -2.0", "factor -2"},
        {"\"ntk\"", "\"linear\"", "linear"},
        {"\"hidden_size\": 36", "\"hidden_size\": 48", "word_embeddings"},
        {"\"intermediate_size\": 44", "\"intermediate_size\": 88", "up_gate_proj"},
        {"\"num_attention_heads\": 3", "\"num_attention_heads\": 4", "4 heads"},
        {"\"num_hidden_layers\": 3", "\"num_hidden_layers\": 4", "encoder.layer.3"},
        {"\"num_hidden_layers\": 3", "\"num_hidden_layers\": 1024", "encoder.layer.3"},
        {"\"hidden_size\": 36", "\"hidden_size\": 60000", "word_embeddings"},
        {"\"intermediate_size\": 44", "\"intermediate_size\": 1000000", "up_gate_proj"},
    };
    char dir[PATH_MAX];
    Device dev;
    Encoder e;
    temp_make(dir);
    copy(dir, "model.safetensors");
    copy(dir, "tokenizer.json");
    assert_ok(device_open(&dev, "cpu", 1));
    for (int i = 0; i < COUNT_OF(cases); i++) {
        write_config(dir, cases[i].find, cases[i].replace);
        assert_fails(encoder_load(&e, &dev, dir), E_INPUT, cases[i].part);
    }
    temp_remove(dir);
    device_close(&dev);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(against_float64), cmocka_unit_test(damaged)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
