/* The LLM's own embeddings: of tokens against transformers, of texts against those of their tokens. */
#include "tests/model/llm_tiny.h"

#include "base/json.h"
#include "model/llm_embed.h"

static void test_transformers(void **state) {
    (void)state;
    Tiny t;
    SafeTensors g;
    float got[TINY_SEQS * TINY_WIDTH], alone[TINY_WIDTH];
    int32_t ids[TINY_TOKENS];
    tiny_open(&t, 2, (LlmLoad){DT_F32, false});
    assert_ok(safetensors_open(&g, GOLDEN("llm_embed.safetensors")));
    const int64_t *tokens = golden_data(&t.golden, DT_I64, TINY_TOKENS, "input.ids");
    const int64_t *cu = golden_data(&t.golden, DT_I64, TINY_SEQS + 1, "input.cu_seqlens");
    for (int i = 0; i < TINY_TOKENS; i++) ids[i] = (int32_t)tokens[i];
    for (int i = 0; i < COUNT_OF(got); i++) got[i] = NAN;
    assert_ok(llm_embed_tokens(&t.llm, &t.dev, got, ids, cu, TINY_SEQS));
    double error = relative_error(got, golden_data(&g, DT_F64, COUNT_OF(got), "embedding"), COUNT_OF(got));
    print_message("largest relative error %.2g\n", error);
    assert_true(error <= 1e-5);
    for (int i = 0; i < TINY_SEQS; i++) { /* whatever else is in the call */
        assert_ok(llm_embed_tokens(&t.llm, &t.dev, alone, ids, cu + i, 1));
        assert_memory_equal(alone, got + i * TINY_WIDTH, sizeof alone);
    }
    ids[3] = TINY_VOCAB;
    assert_fails(llm_embed_tokens(&t.llm, &t.dev, got, ids, cu, TINY_SEQS), E_INPUT, "makes id 97");
    safetensors_close(&g);
    tiny_close(&t);
}

/* A tiny Mistral with the byte tokenizer; first: a token that its post-processor puts in front, or NULL. */
static void open_model(Llm *llm, Device *dev, const char *first) {
    static const char *const files[] = {"config.json", "model.safetensors"};
    char dir[PATH_MAX], path[PATH_MAX + 32], from[PATH_MAX], *text;
    size_t n;
    cJSON *tokenizer;
    temp_make(dir);
    for (int i = 0; i < 2; i++) {
        snprintf(from, sizeof from, GOLDEN("families/mistral/%s"), files[i]);
        snprintf(path, sizeof path, "%s/%s", dir, files[i]);
        assert_ok(file_read(&text, &n, from, 1 << 20));
        assert_ok(file_write_atomic(path, text, n));
        free(text);
    }
    assert_ok(json_read(&tokenizer, GOLDEN("families/tokenizer.json"), 1 << 20));
    if (first) {
        snprintf(path, sizeof path,
                 "{\"type\": \"Sequence\", \"processors\": [{\"type\": \"ByteLevel\"}, {\"type\": "
                 "\"TemplateProcessing\", "
                 "\"single\": [{\"SpecialToken\": {\"id\": \"%s\", \"type_id\": 0}}, {\"Sequence\": {\"id\": "
                 "\"A\", "
                 "\"type_id\": 0}}]}]}",
                 first);
        cJSON_DeleteItemFromObject(tokenizer, "post_processor");
        cJSON_AddItemToObject(tokenizer, "post_processor", cJSON_Parse(path));
    }
    snprintf(path, sizeof path, "%s/tokenizer.json", dir);
    assert_ok(json_write(path, tokenizer));
    cJSON_Delete(tokenizer);
    assert_ok(llm_load(llm, dev, dir, (LlmLoad){DT_F32, false}));
    temp_remove(dir);
}

/* Text, and what is fed of it: bytes are ids. */
static void same(const Llm *llm, Device *dev, const char *text, const int32_t *ids, int64_t n) {
    float a[64], b[64];
    int64_t start[] = {0, n};
    assert_true(llm->cfg.width <= 64);
    assert_ok(llm_embed(llm, dev, a, &text, 1));
    assert_ok(llm_embed_tokens(llm, dev, b, ids, start, 1));
    assert_memory_equal(a, b, (size_t)llm->cfg.width * sizeof *a);
}

static void test_texts(void **state) {
    (void)state;
    static const char said[] = "Sort the words.";
    Device dev;
    Llm llm;
    TokenBuf buf = {0};
    float x[64];
    const char *empty = "  ";
    assert_ok(device_open(&dev, "cpu", 1));
    open_model(&llm, &dev, NULL);
    assert_ok(tokenizer_encode(llm.tokenizer, &buf, said, strlen(said), (TokenizerOpts){true}));
    same(&llm, &dev, "  Sort the words\n", buf.ids, (int64_t)buf.n);
    same(&llm, &dev, said, buf.ids, (int64_t)buf.n);
    assert_fails(llm_embed(&llm, &dev, x, &empty, 1), E_INPUT, "an empty description");
    int32_t bos = (int32_t)tokenizer_vocab_size(llm.tokenizer) - 1;
    while (!tokenizer_is_special(llm.tokenizer, bos)) bos--;
    size_t n;
    char *name;
    assert_ok(tokenizer_decode(llm.tokenizer, &name, &n, &bos, 1, (TokenizerDecodeOpts){false}));
    llm_free(&llm);
    open_model(&llm, &dev, name);
    assert_int_equal(tokenizer_markers(llm.tokenizer).first, bos);
    int32_t ids[64] = {bos};
    memcpy(ids + 1, buf.ids, buf.n * sizeof *ids);
    same(&llm, &dev, said, ids, (int64_t)buf.n + 1);
    /* too long: its end, behind the first token */
    int64_t most = llm.cfg.max_positions;
    char *lengthy = test_alloc((size_t)most + 9);
    int32_t *kept = test_alloc((size_t)most * sizeof *kept);
    memset(lengthy, 'a', (size_t)most + 8);
    memcpy(lengthy + most - 8, "b. c. d. e, f!!!", 17);
    tokenizer_buf_free(&buf);
    assert_ok(tokenizer_encode(llm.tokenizer, &buf, lengthy, strlen(lengthy), (TokenizerOpts){true}));
    assert_true((int64_t)buf.n > most - 1);
    kept[0] = bos;
    memcpy(kept + 1, buf.ids + buf.n - (most - 1), (size_t)(most - 1) * sizeof *kept);
    same(&llm, &dev, lengthy, kept, most);
    free(lengthy);
    free(kept);
    free(name);
    tokenizer_buf_free(&buf);
    llm_free(&llm);
    device_close(&dev);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_transformers), cmocka_unit_test(test_texts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
