/* The tiny golden Llama with a tokenizer of one token a byte, and its golden adapters. Include after
 * tests/test_util.h. */
#ifndef T2L_TESTS_EVAL_TINY_H
#define T2L_TESTS_EVAL_TINY_H

#include "tests/simt/simt.h"
#include "data/safetensors.h"
#include "model/llm.h"

enum { TINY_VOCAB = 97, TINY_EOS = 2 };

typedef struct Tiny {
    Device dev;
    Llm llm;
    SafeTensors golden;
    Arena mem;     /* owns the adapters */
    LoraSet loras; /* the three golden ones */
} Tiny;

/* add_bos: its own software puts bos in front of every text. */
TEST_FN Tokenizer *tiny_tokenizer_of(bool add_bos) {
    static const char *const special[] = {"<|endoftext|>", "<|im_start|>", "<|im_end|>", "\xc4\x8a",
                                          "\xc4\xa0"};
    const char *tokens[TINY_VOCAB];
    size_t lens[TINY_VOCAB];
    int32_t types[TINY_VOCAB];
    char bytes[TINY_VOCAB];
    for (int i = 0; i < TINY_VOCAB; i++) {
        bytes[i] = (char)(0x21 + i - 5);
        tokens[i] = i < 5 ? special[i] : &bytes[i];
        lens[i] = i < 5 ? strlen(special[i]) : 1;
        types[i] = i < 3 ? 3 : 1;
    }
    TokenizerVocab v = {.model = "gpt2",
                        .pre = "smollm",
                        .n = TINY_VOCAB,
                        .tokens = tokens,
                        .token_lens = lens,
                        .types = types,
                        .bos = 1,
                        .eos = TINY_EOS,
                        .add_bos = add_bos};
    Tokenizer *t;
    assert_ok(tokenizer_from_vocab(&t, &v, "tiny"));
    return t;
}

TEST_FN Tokenizer *tiny_tokenizer(void) {
    return tiny_tokenizer_of(false);
}

static void tiny_read(const SafeTensors *golden, float *dst, int64_t n, const char *name) {
    const SafeTensor *t = safetensors_find(golden, name);
    if (!t) fail_msg("no %s", name);
    float *all = test_alloc(t->bytes);
    assert_ok(safetensors_read_f32(all, t));
    memcpy(dst, all, (size_t)n * sizeof *dst);
    free(all);
}

TEST_FN void tiny_loras(Tiny *t) {
    enum { SEQS = 3, RANK = 4 };
    AdapterShape shape = llm_adapter_shape(&t->llm.cfg);
    Adapter a[SEQS];
    const Adapter *list[SEQS];
    for (int s = 0; s < SEQS; s++) {
        a[s] = (Adapter){.n_layers = shape.n_layers, .rank = RANK, .alpha = 16, .n_modules = LORA_MODULES};
        a[s].use_rslora = true;
        for (int m = 0; m < LORA_MODULES; m++)
            a[s].modules[m] =
                (AdapterModule){.module = (LoraModule)m, .in = shape.in[m], .out = shape.out[m]};
        assert_ok(adapter_alloc(&a[s]));
        list[s] = &a[s];
        for (int l = 0; l < shape.n_layers; l++)
            for (int m = 0; m < LORA_MODULES; m++) {
                AdapterModule *x = &a[s].modules[m];
                char name[96];
                snprintf(name, sizeof name, "lora.%d.%d.%s.A", s, l, lora_module_name((LoraModule)m));
                tiny_read(&t->golden, x->a + l * RANK * x->in, RANK * x->in, name);
                snprintf(name, sizeof name, "lora.%d.%d.%s.B", s, l, lora_module_name((LoraModule)m));
                tiny_read(&t->golden, x->b + l * RANK * x->out, RANK * x->out, name);
            }
    }
    t->mem = arena_measure("golden adapters");
    assert_ok(lora_from_adapters(&t->loras, &t->mem, list, SEQS));
    assert_ok(arena_commit_on(&t->mem, &t->dev));
    assert_ok(lora_from_adapters(&t->loras, &t->mem, list, SEQS));
    float scale;
    tiny_read(&t->golden, &scale, 1, "input.scale");
    t->loras.scale = scale;
    for (int s = 0; s < SEQS; s++) adapter_free(&a[s]);
}

/* t->dev is open. */
TEST_FN void tiny_load(Tiny *t) {
    LlmLoad load = {DT_F32, false};
    assert_ok(llm_load(&t->llm, &t->dev, GOLDEN("llama_tiny"), load));
    assert_int_equal(t->llm.cfg.vocab, TINY_VOCAB);
    if (!t->llm.tokenizer) t->llm.tokenizer = tiny_tokenizer();
    t->llm.chat = (Template){.kind = TEMPLATE_CHATML};
    assert_ok(safetensors_open(&t->golden, GOLDEN("llm_tiny.safetensors")));
    tiny_loras(t);
}

TEST_FN void tiny_open(Tiny *t) {
    assert_ok(device_open(&t->dev, "cpu", 1));
    tiny_load(t);
}

/* On the interpreter of CUDA bodies. */
TEST_FN void tiny_open_simt(Tiny *t) {
    assert_ok(device_open_simt(&t->dev, 0, 16 << 20));
    tiny_load(t);
}

TEST_FN void tiny_close(Tiny *t) {
    safetensors_close(&t->golden);
    llm_free(&t->llm);
    arena_free(&t->mem);
    device_close(&t->dev);
}

TEST_FN int tiny_setup(void **state) {
    *state = test_alloc(sizeof(Tiny));
    memset(*state, 0, sizeof(Tiny));
    tiny_open(*state);
    return 0;
}

TEST_FN int tiny_teardown(void **state) {
    tiny_close(*state);
    free(*state);
    return 0;
}

#endif
