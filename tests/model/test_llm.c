/* The decoder against float64 references of a tiny Llama with an adapter a sequence, and what has to hold
 * besides: decoding with a cache, sequences that do not see each other, threads that change nothing. */
#include "tests/model/llm_tiny.h"

static const LlmLoad plain = {DT_F32, false}, both = {DT_F32, true};
static const LlmRun inference = {0};
enum { FIRST_BACKEND = N_CPU - 2 }; /* the CPU with 2 and 3 threads, then the devices */

/* ---- against the golden data ---- */

/* Errors allowed, max|a-b| / max|b| of a tensor: twice what PyTorch in float32 has with the sums in 40
 * different orders (tests/golden/naive_llm_tiny.py). The model amplifies a rounding of its hidden state some
 * hundred times: one run of it says little. */
static const double logits_allowed = 2 * 4.1e-6, loss_allowed = 2 * 4.7e-7;
static const double gradient_allowed[LORA_MODULES] = {
    [Q_PROJ] = 2 * 9.7e-6,    [K_PROJ] = 2 * 8.0e-6,  [V_PROJ] = 2 * 1.6e-5,    [O_PROJ] = 2 * 6.5e-6,
    [GATE_PROJ] = 2 * 7.8e-6, [UP_PROJ] = 2 * 6.0e-6, [DOWN_PROJ] = 2 * 6.9e-6,
};

static void logits_of(float *logits, Tiny *t, const LlmBatch *b, const LoraSet *loras) {
    LlmActs acts;
    assert_ok(llm_acts_init(&acts, &t->llm, b->n_tokens, b->n_seqs, b->n_rows, TINY_RANK, false));
    assert_ok(llm_forward(&t->llm, &t->dev, &acts, b, loras, inference));
    assert_ok(llm_logits(&t->llm, &t->dev, tensor_2d(logits, DT_F32, b->n_rows, TINY_VOCAB), &acts));
    llm_acts_free(&acts);
}

static bool golden_logits_on(int backend) {
    Tiny t;
    if (!tiny_open_backend(&t, backend, plain)) return false;
    TinyBatch b;
    tiny_batch(&b, &t, 0, TINY_SEQS, false);
    const char *prefixes[] = {"", "qv.", "base."}, *modules[] = {NULL, "q_proj,v_proj", "none"};
    for (int i = 0; i < 3; i++) {
        TinyLoras loras = tiny_loras(&t, modules[i]);
        tiny_loras_to(&loras, &t);
        loras.set.dropout = 0.5f; /* not in inference */
        float logits[TINY_TOKENS * TINY_VOCAB];
        logits_of(logits, &t, &b.b, &loras.set);
        const double *want =
            golden_data(&t.golden, DT_F64, TINY_TOKENS * TINY_VOCAB, "%slogits", prefixes[i]);
        double error = relative_error(logits, want, TINY_TOKENS * TINY_VOCAB);
        print_message("%s: %slogits: relative error %.2g\n", t.dev.memory->name, prefixes[i], error);
        assert_true(error <= logits_allowed);
        if (i == 2) { /* no set at all, and an index of none, are the same as no modules */
            float other[TINY_TOKENS * TINY_VOCAB];
            logits_of(other, &t, &b.b, NULL);
            assert_memory_equal(other, logits, sizeof logits);
            TinyLoras all = tiny_loras(&t, NULL);
            tiny_loras_to(&all, &t);
            for (int s = 0; s < TINY_SEQS; s++) b.adapter[s] = -1;
            logits_of(other, &t, &b.b, &all.set);
            assert_memory_equal(other, logits, sizeof logits);
            tiny_loras_free(&all);
        }
        tiny_loras_free(&loras);
    }
    tiny_close(&t);
    return true;
}

static void golden_logits(void **state) {
    (void)state;
    for (int b = FIRST_BACKEND; golden_logits_on(b); b++) continue;
}

/* One step of training without the optimizer: per-row losses, their sum, gradients in loras->g. */
static double train_step(Tiny *t, const LlmBatch *b, const LoraSet *loras, LlmRun run, float smoothing,
                         float *row_losses) {
    LlmActs acts;
    double loss = NAN;
    run.train = true;
    CrossEntropyOut out = {.loss = row_losses};
    assert_ok(llm_acts_init(&acts, &t->llm, TINY_TOKENS, TINY_SEQS, TINY_TOKENS, TINY_RANK, true));
    assert_ok(llm_forward(&t->llm, &t->dev, &acts, b, loras, run));
    assert_ok(llm_loss(&loss, &t->llm, &t->dev, &acts, b, out, smoothing));
    if (loras) assert_ok(llm_backward(&t->llm, &t->dev, &acts, b, loras, run));
    assert_int_equal(arena_mark(&t->dev.scratch), 0);
    llm_acts_free(&acts);
    return loss;
}

/* Of all gradients of one module: the largest error of an element over its tensor's largest, and the length
 * of the difference over that of the gradient. */
typedef struct GradientError {
    double worst, length;
} GradientError;

static void add_squares(double *difference, double *length, const float *got, const double *want, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        *difference += (got[i] - want[i]) * (got[i] - want[i]);
        *length += want[i] * want[i];
    }
}

static GradientError gradient_error(const Tiny *t, const TinyLoras *loras, int m, const char *prefix) {
    AdapterShape shape = llm_adapter_shape(&t->llm.cfg);
    int64_t in = shape.in[m], to = shape.out[m];
    const char *name = lora_module_name((LoraModule)m);
    double worst = 0.0, difference = 0.0, length = 0.0;
    for (long long item = 0; item < TINY_SEQS * TINY_LAYERS; item++) {
        long long s = item / TINY_LAYERS, l = item % TINY_LAYERS;
        const double *a =
            golden_data(&t->golden, DT_F64, TINY_RANK * in, "%sgrad.lora.%lld.%lld.%s.A", prefix, s, l, name);
        const double *b =
            golden_data(&t->golden, DT_F64, to * TINY_RANK, "%sgrad.lora.%lld.%lld.%s.B", prefix, s, l, name);
        double *bt = test_f64(to * TINY_RANK);
        for (int64_t i = 0; i < TINY_RANK * to; i++) bt[i] = b[i % to * TINY_RANK + i / to];
        const float *da = loras->memory[m][2] + item * TINY_RANK * in,
                    *db = loras->memory[m][3] + item * TINY_RANK * to;
        worst =
            fmax(worst, fmax(relative_error(da, a, TINY_RANK * in), relative_error(db, bt, TINY_RANK * to)));
        add_squares(&difference, &length, da, a, TINY_RANK * in);
        add_squares(&difference, &length, db, bt, TINY_RANK * to);
        free(bt);
    }
    return (GradientError){worst, sqrt(difference / length)};
}

static bool golden_gradients_on(int backend) {
    Tiny t;
    if (!tiny_open_backend(&t, backend, both)) return false;
    TinyBatch b;
    tiny_batch(&b, &t, 0, TINY_SEQS, true);
    const char *prefixes[] = {"", "qv.", "base."}, *modules[] = {NULL, "q_proj,v_proj", NULL};
    for (int i = 0; i < 3; i++) {
        TinyLoras loras = tiny_loras(&t, modules[i]);
        tiny_loras_to(&loras, &t);
        float rows[TINY_TOKENS];
        double loss = train_step(&t, &b.b, i < 2 ? &loras.set : NULL, inference, 0.1f, rows);
        const double *want = golden_data(&t.golden, DT_F64, 1, "%sloss", prefixes[i]);
        const double *each = golden_data(&t.golden, DT_F64, TINY_SEQS, "%slosses", prefixes[i]);
        tiny_loras_from(&loras, &t);
        print_message("%s: %sloss: relative error %.2g\n", t.dev.memory->name, prefixes[i],
                      fabs(loss - *want) / *want);
        assert_within(loss, *want, loss_allowed * *want);
        double mean[TINY_SEQS] = {0};
        for (int64_t r = 0; r < b.b.n_rows; r++) {
            int s = b.row[r] >= b.cu[2] ? 2 : b.row[r] >= b.cu[1] ? 1 : 0;
            mean[s] += (double)b.weight[r] * TINY_SEQS * (double)rows[r];
        }
        for (int s = 0; s < TINY_SEQS; s++) assert_within(mean[s], each[s], loss_allowed * each[s]);
        for (int m = 0; m < LORA_MODULES && i < 2; m++) {
            if (!loras.set.on[m]) continue;
            GradientError error = gradient_error(&t, &loras, m, prefixes[i]);
            print_message("%sgradients of %s: relative error %.2g, worst element %.2g\n", prefixes[i],
                          lora_module_name((LoraModule)m), error.length, error.worst);
            assert_true(error.length <= 1e-5);
            assert_true(error.worst <= gradient_allowed[m]);
        }
        tiny_loras_free(&loras);
    }
    tiny_close(&t);
    return true;
}

static void golden_gradients(void **state) {
    (void)state;
    for (int b = FIRST_BACKEND; golden_gradients_on(b); b++) continue;
}

/* ---- what has to hold besides ---- */

/* Adapters that are switched off have no gradient; those that are on are added to. */
static void gradients_are_added(void **state) {
    (void)state;
    Tiny t;
    tiny_open(&t, 1, both);
    TinyBatch b;
    tiny_batch(&b, &t, 0, TINY_SEQS, true);
    TinyLoras once = tiny_loras(&t, NULL), twice = tiny_loras(&t, NULL);
    b.adapter[1] = -1;
    float rows[TINY_TOKENS];
    train_step(&t, &b.b, &once.set, inference, 0.0f, rows);
    train_step(&t, &b.b, &twice.set, inference, 0.0f, rows);
    train_step(&t, &b.b, &twice.set, inference, 0.0f, rows);
    AdapterShape shape = llm_adapter_shape(&t.llm.cfg);
    for (int m = 0; m < LORA_MODULES; m++) {
        int64_t span = TINY_LAYERS * TINY_RANK * shape.in[m];
        const float *one = once.memory[m][2], *two = twice.memory[m][2];
        double largest = 0.0;
        for (int64_t i = 0; i < TINY_SEQS * span; i++) {
            bool unused = i / span == 1;
            if (unused) assert_true(one[i] == 0.0f && two[i] == 0.0f);
            largest = fmax(largest, fabs((double)one[i]));
        }
        assert_true(largest > 0.0);
        for (int64_t i = 0; i < TINY_SEQS * span; i++)
            assert_within(two[i], 2.0 * (double)one[i], 16.0 * ROUND_F32 * largest);
    }
    tiny_loras_free(&once);
    tiny_loras_free(&twice);
    tiny_close(&t);
}

/* A sequence alone gives the bits it gives in a batch: logits, losses and gradients. */
static void alone_or_in_a_batch(void **state) {
    (void)state;
    Tiny t;
    tiny_open(&t, 2, both);
    TinyBatch all, one;
    TinyLoras loras = tiny_loras(&t, NULL), alone = tiny_loras(&t, NULL);
    float logits[TINY_TOKENS * TINY_VOCAB], single[TINY_TOKENS * TINY_VOCAB];
    float losses[TINY_TOKENS], loss[TINY_TOKENS];
    tiny_batch(&all, &t, 0, TINY_SEQS, false);
    logits_of(logits, &t, &all.b, &loras.set);
    for (int s = 0; s < TINY_SEQS; s++) {
        tiny_batch(&one, &t, s, 1, false);
        logits_of(single, &t, &one.b, &loras.set);
        assert_memory_equal(single, logits + all.cu[s] * TINY_VOCAB,
                            (size_t)one.b.n_tokens * TINY_VOCAB * sizeof(float));
    }
    tiny_batch(&all, &t, 0, TINY_SEQS, true);
    train_step(&t, &all.b, &loras.set, inference, 0.1f, losses);
    int64_t row = 0;
    for (int s = 0; s < TINY_SEQS; s++) {
        tiny_batch(&one, &t, s, 1, true);
        train_step(&t, &one.b, &alone.set, inference, 0.1f, loss);
        assert_memory_equal(loss, losses + row, (size_t)one.b.n_rows * sizeof(float));
        row += one.b.n_rows;
    }
    AdapterShape shape = llm_adapter_shape(&t.llm.cfg);
    for (int m = 0; m < LORA_MODULES; m++)
        for (int i = 2; i < 4; i++)
            assert_memory_equal(loras.memory[m][i], alone.memory[m][i],
                                (size_t)(TINY_SEQS * TINY_LAYERS * TINY_RANK) * sizeof(float) *
                                    (size_t)(i == 2 ? shape.in[m] : shape.out[m]));
    tiny_loras_free(&loras);
    tiny_loras_free(&alone);
    tiny_close(&t);
}

static const LlmRun noisy = {true, 5.0f, 42, 7};

static void threads_change_nothing(void **state) {
    (void)state;
    TinyLoras first = {0};
    float first_losses[TINY_TOKENS];
    size_t bytes = 0;
    for (int threads = 1; threads <= 3; threads++) {
        Tiny t;
        tiny_open(&t, threads, both);
        TinyBatch b;
        tiny_batch(&b, &t, 0, TINY_SEQS, true);
        TinyLoras loras = tiny_loras(&t, NULL);
        loras.set.dropout = 0.2f;
        float losses[TINY_TOKENS] = {0};
        train_step(&t, &b.b, &loras.set, noisy, 0.1f, losses);
        AdapterShape shape = llm_adapter_shape(&t.llm.cfg);
        if (threads == 1) {
            first = loras;
            memcpy(first_losses, losses, sizeof losses);
            bytes = (size_t)b.b.n_rows * sizeof(float);
        }
        assert_memory_equal(losses, first_losses, bytes);
        for (int m = 0; m < LORA_MODULES; m++)
            assert_memory_equal(loras.memory[m][2], first.memory[m][2],
                                (size_t)(TINY_SEQS * TINY_LAYERS * TINY_RANK * shape.in[m]) * sizeof(float));
        if (threads > 1) tiny_loras_free(&loras);
        tiny_close(&t);
    }
    tiny_loras_free(&first);
}

/* Dropout and noise: fixed by seed and step, absent in inference, the amplitude as NEFTune has it. */
static void noise_in_training(void **state) {
    (void)state;
    Tiny t;
    tiny_open(&t, 2, both);
    TinyBatch b;
    tiny_batch(&b, &t, 0, TINY_SEQS, true);
    TinyLoras loras = tiny_loras(&t, NULL);
    loras.set.dropout = 0.5f;
    float rows[TINY_TOKENS];
    LlmRun still = {true, 0.0f, 42, 7}, later = noisy, reseeded = noisy;
    later.step++;
    reseeded.seed++;
    double loss = train_step(&t, &b.b, &loras.set, noisy, 0.0f, rows);
    assert_true(loss == train_step(&t, &b.b, &loras.set, noisy, 0.0f, rows));
    assert_true(loss != train_step(&t, &b.b, &loras.set, later, 0.0f, rows));
    assert_true(loss != train_step(&t, &b.b, &loras.set, reseeded, 0.0f, rows));
    assert_true(loss != train_step(&t, &b.b, &loras.set, still, 0.0f, rows));

    LlmActs acts;
    LlmRun quiet = noisy;
    quiet.train = false;
    assert_ok(llm_acts_init(&acts, &t.llm, TINY_TOKENS, TINY_SEQS, TINY_TOKENS, TINY_RANK, true));
    assert_ok(llm_forward(&t.llm, &t.dev, &acts, &b.b, &loras.set, quiet));
    float *clean = test_alloc(TINY_TOKENS * TINY_WIDTH * sizeof(float)), *x = acts.layers[0].x;
    memcpy(clean, x, TINY_TOKENS * TINY_WIDTH * sizeof(float));
    for (int i = 0; i < TINY_TOKENS * TINY_WIDTH; i++) {
        const float *table = t.llm.embed.data;
        assert_true(clean[i] == table[b.ids[i / TINY_WIDTH] * TINY_WIDTH + i % TINY_WIDTH]);
    }
    assert_ok(llm_forward(&t.llm, &t.dev, &acts, &b.b, &loras.set, noisy));
    double amplitude = 5.0 / sqrt(9.0 * TINY_WIDTH), largest = 0.0; /* the longest sequence has 9 tokens */
    for (int i = 0; i < TINY_TOKENS * TINY_WIDTH; i++)
        largest = fmax(largest, fabs((double)x[i] - (double)clean[i]));
    assert_true(largest <= amplitude * (1.0 + 1e-5) && largest > 0.98 * amplitude);
    free(clean);
    llm_acts_free(&acts);
    tiny_loras_free(&loras);
    tiny_close(&t);
}

/* With dropout and noise on, the loss moves along the gradient as the gradient says: forward and backward
 * draw the same masks. Central differences with a step of 1e-3; row losses of about 5 are good to 2e-6, so
 * the slope is to 2e-3. */
static void gradients_under_dropout(void **state) {
    (void)state;
    Tiny t;
    tiny_open(&t, 1, both);
    TinyBatch b;
    tiny_batch(&b, &t, 0, TINY_SEQS, true);
    AdapterShape shape = llm_adapter_shape(&t.llm.cfg);
    float rows[TINY_TOKENS];
    for (int m = 0; m < LORA_MODULES; m++)
        for (int i = 0; i < 2; i++) {
            TinyLoras loras = tiny_loras(&t, NULL);
            loras.set.dropout = 0.3f;
            train_step(&t, &b.b, &loras.set, noisy, 0.1f, rows);
            int64_t n = TINY_SEQS * TINY_LAYERS * TINY_RANK * (i == 0 ? shape.in[m] : shape.out[m]);
            double norm = 0.0, loss[2];
            float *direction = test_alloc((size_t)n * sizeof(float)), *w = loras.memory[m][i];
            memcpy(direction, loras.memory[m][2 + i], (size_t)n * sizeof(float));
            for (int64_t j = 0; j < n; j++) norm += (double)direction[j] * (double)direction[j];
            norm = sqrt(norm);
            assert_true(norm > 1.0);
            const double h = 3e-4;
            for (int side = 0; side < 2; side++) {
                for (int64_t j = 0; j < n; j++)
                    w[j] += (float)((side == 0 ? h : -2.0 * h) * (double)direction[j] / norm);
                loss[side] = train_step(&t, &b.b, &loras.set, noisy, 0.1f, rows);
            }
            double slope = (loss[0] - loss[1]) / (2.0 * h);
            assert_within(slope, norm, 1e-2 * norm);
            free(direction);
            tiny_loras_free(&loras);
        }
    tiny_close(&t);
}

/* The logits of a position, decoded, against those of the whole sequences: the same bits on the CPU;
 * elsewhere both are within the error allowed of the float64 ones. */
static void same_logits(const Tiny *t, const float *got, const float *all, int64_t position) {
    enum { V = TINY_VOCAB };
    if (t->dev.kind == DEVICE_CPU) {
        assert_memory_equal(got, all + position * V, V * sizeof(float));
        return;
    }
    const double *want = golden_data(&t->golden, DT_F64, TINY_TOKENS * V, "logits");
    double largest = 0.0;
    for (int64_t i = 0; i < TINY_TOKENS * V; i++) largest = fmax(largest, fabs(want[i]));
    for (int64_t i = 0; i < V; i++) assert_within(got[i], want[position * V + i], logits_allowed * largest);
}

/* Prefill of a part of every sequence, then one token at a time, in slots out of order of a cache full of
 * NaN; sequences end at different steps. The bits are those of the whole sequences at once. */
static bool decoding_equals_forward_on(int backend) {
    enum { SLOTS = 5, LEN = 12 };
    const int32_t slots[TINY_SEQS] = {3, 0, 4}, prefix[TINY_SEQS] = {2, 5, 1};
    Tiny t;
    if (!tiny_open_backend(&t, backend, plain)) return false;
    TinyBatch all, part;
    TinyLoras loras = tiny_loras(&t, NULL);
    tiny_loras_to(&loras, &t);
    tiny_batch(&all, &t, 0, TINY_SEQS, false);
    float want[TINY_TOKENS * TINY_VOCAB], got[TINY_TOKENS * TINY_VOCAB];
    logits_of(want, &t, &all.b, &loras.set);

    LlmCache cache;
    LlmActs acts;
    assert_ok(llm_cache_init(&cache, &t.llm, SLOTS, LEN));
    assert_ok(llm_acts_init(&acts, &t.llm, TINY_TOKENS, TINY_SEQS, TINY_TOKENS, TINY_RANK, false));
    int64_t room = TINY_LAYERS * SLOTS * LEN * cache.kv_width;
    float *nan = test_alloc((size_t)room * sizeof *nan);
    for (int64_t i = 0; i < room; i++) nan[i] = NAN;
    assert_ok(device_upload(&t.dev, cache.k, nan, (size_t)room * sizeof *nan));
    assert_ok(device_upload(&t.dev, cache.v, nan, (size_t)room * sizeof *nan));
    free(nan);

    part = all;
    LlmBatch b = {.n_seqs = TINY_SEQS,
                  .ids = part.ids,
                  .pos = part.pos,
                  .cu_seqlens = part.cu,
                  .adapter = part.adapter,
                  .row = part.row,
                  .label = part.label,
                  .weight = part.weight};
    for (int s = 0; s < TINY_SEQS; s++) {
        for (int32_t i = 0; i < prefix[s]; i++) {
            part.ids[b.n_tokens] = all.ids[all.cu[s] + i];
            part.pos[b.n_tokens++] = i;
        }
        part.row[s] = (int32_t)b.n_tokens - 1;
        part.cu[s + 1] = (int32_t)b.n_tokens;
    }
    b.n_rows = TINY_SEQS;
    assert_ok(llm_prefill(&t.llm, &t.dev, &acts, &b, &loras.set, &cache, slots));
    assert_ok(llm_logits(&t.llm, &t.dev, tensor_2d(got, DT_F32, TINY_SEQS, TINY_VOCAB), &acts));
    for (int s = 0; s < TINY_SEQS; s++)
        same_logits(&t, got + s * TINY_VOCAB, want, all.cu[s] + prefix[s] - 1);

    int32_t len[TINY_SEQS] = {2, 5, 1};
    for (;;) {
        int32_t ids[TINY_SEQS], slot[TINY_SEQS], now[TINY_SEQS], adapter[TINY_SEQS], who[TINY_SEQS], n = 0;
        for (int s = TINY_SEQS - 1; s >= 0; s--) {
            if (len[s] == all.cu[s + 1] - all.cu[s]) continue;
            ids[n] = all.ids[all.cu[s] + len[s]];
            slot[n] = slots[s];
            now[n] = ++len[s];
            adapter[n] = s;
            who[n++] = s;
        }
        if (n == 0) break;
        assert_ok(llm_decode(&t.llm, &t.dev, &acts, n, ids, slot, now, adapter, &loras.set, &cache));
        assert_ok(llm_logits(&t.llm, &t.dev, tensor_2d(got, DT_F32, n, TINY_VOCAB), &acts));
        for (int i = 0; i < n; i++) same_logits(&t, got + i * TINY_VOCAB, want, all.cu[who[i]] + now[i] - 1);
    }
    assert_int_equal(arena_mark(&t.dev.scratch), 0);
    llm_acts_free(&acts);
    llm_cache_free(&cache);
    tiny_loras_free(&loras);
    tiny_close(&t);
    return true;
}

static void decoding_equals_forward(void **state) {
    (void)state;
    for (int b = FIRST_BACKEND; decoding_equals_forward_on(b); b++) continue;
}

/* Buffers larger than the batch, used again for a smaller one, give the same numbers. */
static void buffers_are_reused(void **state) {
    (void)state;
    Tiny t;
    tiny_open(&t, 1, plain);
    TinyBatch all, one;
    TinyLoras loras = tiny_loras(&t, NULL);
    tiny_batch(&all, &t, 0, TINY_SEQS, false);
    tiny_batch(&one, &t, 1, 1, false);
    float want[TINY_TOKENS * TINY_VOCAB], got[TINY_TOKENS * TINY_VOCAB];
    logits_of(want, &t, &one.b, &loras.set);
    LlmActs acts;
    assert_ok(llm_acts_init(&acts, &t.llm, 100, 10, 50, TINY_RANK, true));
    assert_ok(llm_forward(&t.llm, &t.dev, &acts, &all.b, &loras.set, inference));
    assert_ok(llm_forward(&t.llm, &t.dev, &acts, &one.b, &loras.set, inference));
    assert_ok(llm_logits(&t.llm, &t.dev, tensor_2d(got, DT_F32, one.b.n_rows, TINY_VOCAB), &acts));
    assert_memory_equal(got, want, (size_t)one.b.n_rows * TINY_VOCAB * sizeof(float));
    llm_acts_free(&acts);
    tiny_loras_free(&loras);
    tiny_close(&t);
}

/* bf16 weights and activations: 8 bits of mantissa, u = 2^-9 a rounding. Each of the two layers and the head
 * rounds its inputs and weights once; errors of a logit add up like a random walk over about 14 roundings of
 * the hidden state: within 2^-9 * 4 * sqrt(14) of the largest logit. */
static void bf16_is_close(void **state) {
    (void)state;
    Device dev;
    const LlmLoad bf16 = {DT_BF16, false};
    for (int backend = FIRST_BACKEND; backend_open(&dev, backend); backend++) {
        DType type;
        assert_ok(llm_choose_dtype(&type, &dev, "auto"));
        device_close(&dev);
        if (type != DT_BF16) continue; /* a CPU without it */
        Tiny h;
        tiny_open_backend(&h, backend, bf16);
        TinyBatch b;
        tiny_batch(&b, &h, 0, TINY_SEQS, false);
        float logits[TINY_TOKENS * TINY_VOCAB];
        logits_of(logits, &h, &b.b, NULL);
        const double *want = golden_data(&h.golden, DT_F64, TINY_TOKENS * TINY_VOCAB, "base.logits");
        double error = relative_error(logits, want, TINY_TOKENS * TINY_VOCAB);
        print_message("%s: bf16: relative error %.2g\n", h.dev.memory->name, error);
        assert_true(error <= 0x1p-9 * 4.0 * sqrt(14.0) && error > 1e-5);
        tiny_close(&h);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_logits),           cmocka_unit_test(golden_gradients),
        cmocka_unit_test(gradients_are_added),     cmocka_unit_test(alone_or_in_a_batch),
        cmocka_unit_test(threads_change_nothing),  cmocka_unit_test(noise_in_training),
        cmocka_unit_test(gradients_under_dropout), cmocka_unit_test(decoding_equals_forward),
        cmocka_unit_test(buffers_are_reused),      cmocka_unit_test(bf16_is_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
