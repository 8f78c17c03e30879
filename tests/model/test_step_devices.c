/* Two steps of training, from a task's embedding to the optimizer, on every backend: hypernetwork, decoder
 * with the adapters it made, loss, both backwards, penalty, norm, AdamW. The CPU with two threads is the
 * reference. */
#include "tests/model/llm_tiny.h"

#include "model/hypernet.h"

enum { EMBED = 12, STEPS = 2 };

/* Relative differences allowed: two sides, each with the error that test_llm allows of a float32 one (loss 2
 * * 4.7e-7, gradients' length 1e-5). */
#define LOSS (2 * 2 * 4.7e-7)
#define GRADIENTS (2 * 1e-5)

typedef struct Step {
    double loss, penalty, norm;
} Step;

static HypernetConfig config_of(const Tiny *t, HypernetSize size) {
    AdapterShape shape = llm_adapter_shape(&t->llm.cfg);
    HypernetConfig c = {.size = size,
                        .encoder = ENCODER_LINEAR,
                        .embed = EMBED,
                        .latent = 16,
                        .head = 20,
                        .rank = TINY_RANK,
                        .n_layers = TINY_LAYERS,
                        .dropout = 0.1,
                        .lora_scale = 2.0,
                        .lora_dropout = 0.1,
                        .head_bias = true};
    for (int m = 0; m < LORA_MODULES; m++) {
        c.modules[c.n_modules++] = (LoraModule)m;
        c.in[m] = shape.in[m];
        c.out[m] = shape.out[m];
    }
    return c;
}

static Step one_step(Tiny *t, Hypernet *hn, LlmActs *acts, const LlmBatch *b, const float *embeddings,
                     uint64_t number) {
    Device *dev = &t->dev;
    const HypernetConfig *c = &hn->cfg;
    LoraSet loras;
    Step out;
    float rows[TINY_TOKENS];
    HypernetRun hrun = {.train = true, .seed = 7, .step = number};
    LlmRun run = {true, 5.0f, 7, number};
    Tensor e = tensor_2d((float *)embeddings, DT_F32, TINY_SEQS, EMBED);
    assert_ok(hypernet_forward(&loras, hn, dev, e, hrun));
    assert_ok(llm_forward(&t->llm, dev, acts, b, &loras, run));
    assert_ok(llm_loss(&out.loss, &t->llm, dev, acts, b, (CrossEntropyOut){.loss = rows}, 0.1f));
    assert_ok(llm_backward(&t->llm, dev, acts, b, &loras, run));
    assert_ok(lora_penalty(dev, &out.penalty, &loras, c->in, c->out, 0.01));
    assert_ok(hypernet_backward(hn, dev, tensor_2d(NULL, DT_F32, TINY_SEQS, EMBED)));
    assert_ok(norm_sumsq(dev, &out.norm, hn->grads, hn->n_params));
    AdamwOpts o = {.lr = 1e-3,
                   .beta1 = 0.9,
                   .beta2 = 0.999,
                   .eps = 1e-8,
                   .decay = 0.01,
                   .grad_scale = 1.0,
                   .step = (int64_t)number + 1};
    assert_ok(adamw(dev, hn->params, hn->m, hn->v, hn->grads, hn->n_params, o));
    out.norm = sqrt(out.norm);
    assert_int_equal(arena_mark(&dev->scratch), 0);
    return out;
}

/* STEPS steps of a hypernetwork; grads: those of the first. false: no such backend. */
static bool steps_on(Step *steps, float **grads, int64_t *n, int backend, HypernetSize size) {
    Tiny t;
    if (!tiny_open_backend(&t, backend, (LlmLoad){DT_F32, true})) return false;
    Hypernet hn;
    LlmActs acts;
    TinyBatch b;
    HypernetConfig c = config_of(&t, size);
    float embeddings[TINY_SEQS * EMBED];
    Rng rng = rng_make(35, 0);
    fill_random(embeddings, TINY_SEQS * EMBED, &rng, -1.0f, 1.0f);
    tiny_batch(&b, &t, 0, TINY_SEQS, true);
    assert_ok(hypernet_init(&hn, &t.dev, &c,
                            (HypernetInit){.training = true, .max_tasks = TINY_SEQS + 1, .seed = 3}));
    assert_ok(llm_acts_init(&acts, &t.llm, TINY_TOKENS, TINY_SEQS, TINY_TOKENS, TINY_RANK, true));
    *n = hn.n_params;
    *grads = test_alloc((size_t)*n * sizeof **grads);
    for (int i = 0; i < STEPS; i++) {
        steps[i] = one_step(&t, &hn, &acts, &b.b, embeddings, (uint64_t)i);
        print_message("%s, size %s, step %d: loss %.7f, penalty %.7f, gradient norm %.6f\n",
                      t.dev.memory->name, hypernet_size_name(size), i, steps[i].loss, steps[i].penalty,
                      steps[i].norm);
        if (i == 0) assert_ok(device_download(&t.dev, *grads, hn.grads, (size_t)*n * sizeof **grads));
    }
    llm_acts_free(&acts);
    hypernet_free(&hn);
    tiny_close(&t);
    return true;
}

static void size_case(HypernetSize size) {
    Step want[STEPS], got[STEPS];
    float *reference, *grads;
    int64_t n;
    assert_true(steps_on(want, &reference, &n, N_CPU - 2, size));
    for (int b = N_CPU - 1; steps_on(got, &grads, &n, b, size); b++) {
        double difference = 0.0, length = 0.0;
        for (int64_t i = 0; i < n; i++) {
            difference += ((double)grads[i] - reference[i]) * ((double)grads[i] - reference[i]);
            length += (double)reference[i] * reference[i];
        }
        print_message("gradients: relative difference %.2g\n", sqrt(difference / length));
        assert_true(sqrt(difference / length) <= (b < N_CPU ? 0.0 : GRADIENTS));
        for (int i = 0; i < STEPS; i++) {
            assert_within(got[i].loss, want[i].loss, LOSS * want[i].loss);
            assert_within(got[i].penalty, want[i].penalty, LOSS * want[i].penalty);
            assert_within(got[i].norm, want[i].norm, GRADIENTS * want[i].norm);
        }
        free(grads);
    }
    free(reference);
}

static void sizes(void **state) {
    (void)state;
    size_case(HYPERNET_L);
    size_case(HYPERNET_M);
}

/* What has no device is said before anything is allocated. */
static void unsupported(void **state) {
    (void)state;
    Tiny t;
    Hypernet hn;
    assert_true(tiny_open_backend(&t, N_CPU, (LlmLoad){DT_F32, false}));
    HypernetConfig c = config_of(&t, HYPERNET_S);
    HypernetInit init = {.max_tasks = 1};
    assert_fails(hypernet_init(&hn, &t.dev, &c, init), E_UNSUPPORTED, "size S");
    c = config_of(&t, HYPERNET_L);
    c.encoder = ENCODER_VQ;
    assert_fails(hypernet_init(&hn, &t.dev, &c, init), E_UNSUPPORTED, "task encoder");
    c = config_of(&t, HYPERNET_L);
    assert_ok(hypernet_init(&hn, &t.dev, &c, init));
    assert_fails(hypernet_output_init(&hn, (HypernetOutputInit){.scale = 1}), E_UNSUPPORTED, "output stage");
    hypernet_free(&hn);
    tiny_close(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(sizes), cmocka_unit_test(unsupported)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
