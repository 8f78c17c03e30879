/* The tiny Llama of tests/golden and its reference values: model, batch and adapters, ready to run. */
#ifndef T2L_TESTS_MODEL_LLM_TINY_H
#define T2L_TESTS_MODEL_LLM_TINY_H

#include "tests/kernels/backends.h"

#include "data/safetensors.h"
#include "model/llm.h"

enum { TINY_SEQS = 3, TINY_TOKENS = 21, TINY_VOCAB = 97, TINY_WIDTH = 48, TINY_RANK = 4, TINY_LAYERS = 2 };

typedef struct Tiny {
    Device dev;
    Llm llm;
    SafeTensors golden;
} Tiny;

TEST_FN void tiny_load(Tiny *t, LlmLoad load) {
    assert_ok(llm_load(&t->llm, &t->dev, GOLDEN("llama_tiny"), load));
    assert_ok(safetensors_open(&t->golden, GOLDEN("llm_tiny.safetensors")));
}

TEST_FN void tiny_open(Tiny *t, int threads, LlmLoad load) {
    assert_ok(device_open(&t->dev, "cpu", threads));
    tiny_load(t, load);
}

/* One of the backends after the first CPUs; false: there are no more. */
TEST_FN bool tiny_open_backend(Tiny *t, int b, LlmLoad load) {
    if (!backend_open(&t->dev, b)) return false;
    tiny_load(t, load);
    return true;
}

TEST_FN void tiny_close(Tiny *t) {
    safetensors_close(&t->golden);
    llm_free(&t->llm);
    device_close(&t->dev);
}

/* A tensor of the golden file by printf name; its n numbers. */
TEST_FN __attribute__((format(printf, 4, 5))) const void *golden_data(const SafeTensors *s, DType type,
                                                                      int64_t n, const char *format, ...) {
    char name[128];
    va_list args;
    va_start(args, format);
    vsnprintf(name, sizeof name, format, args);
    va_end(args);
    const SafeTensor *t = safetensors_find(s, name);
    if (!t) fail_msg("%s: no tensor %s", s->path, name);
    if (t->dtype != type || t->bytes != dtype_bytes(type, n))
        fail_msg("%s: %s is %s of %zu bytes", s->path, name, t->type_name, t->bytes);
    return t->data;
}

/* Adapters and their gradients: item (t, l) of module m at (t*L + l) in one block of each. */
typedef struct TinyLoras {
    LoraSet set;
    float *memory[LORA_MODULES][4]; /* a, bt, da, dbt; owns */
    void *there[LORA_MODULES][4];   /* their copies on a device that is not the CPU; owns */
    Device *dev;                    /* borrows */
} TinyLoras;

TEST_FN size_t tiny_lora_bytes(const Tiny *t, int m, int i) {
    AdapterShape shape = llm_adapter_shape(&t->llm.cfg);
    int64_t width = i % 2 ? shape.out[m] : shape.in[m];
    return (size_t)(TINY_SEQS * TINY_LAYERS * TINY_RANK * width) * sizeof(float);
}

/* The set's views become views of the device's memory. */
TEST_FN void tiny_loras_to(TinyLoras *l, Tiny *t) {
    l->dev = &t->dev;
    if (t->dev.kind == DEVICE_CPU) return;
    l->set.dev = &t->dev;
    for (int m = 0; m < LORA_MODULES; m++) {
        if (!l->set.on[m]) continue;
        for (int i = 0; i < 4; i++)
            l->there[m][i] = bytes_to(&t->dev, l->memory[m][i], tiny_lora_bytes(t, m, i));
        l->set.w[m].a = l->there[m][0];
        l->set.w[m].bt = l->there[m][1];
        l->set.g[m].a = l->there[m][2];
        l->set.g[m].bt = l->there[m][3];
    }
}

/* Brings the gradients back. */
TEST_FN void tiny_loras_from(TinyLoras *l, Tiny *t) {
    for (int m = 0; m < LORA_MODULES; m++)
        for (int i = 2; i < 4; i++)
            if (l->there[m][i])
                assert_ok(
                    device_download(&t->dev, l->memory[m][i], l->there[m][i], tiny_lora_bytes(t, m, i)));
}

/* modules: NULL for all seven, or a word list such as "q_proj,v_proj". Sequences' adapters from the file. */
TEST_FN TinyLoras tiny_loras(const Tiny *t, const char *modules) {
    AdapterShape shape = llm_adapter_shape(&t->llm.cfg);
    const double *scale = golden_data(&t->golden, DT_F64, 1, "input.scale");
    TinyLoras out = {
        .set = {.n_adapters = TINY_SEQS, .n_layers = TINY_LAYERS, .rank = TINY_RANK, .scale = (float)*scale}};
    for (int m = 0; m < LORA_MODULES; m++) {
        const char *name = lora_module_name((LoraModule)m);
        if (modules && !strstr(modules, name)) continue;
        int64_t in = shape.in[m], to = shape.out[m], items = TINY_SEQS * TINY_LAYERS;
        const int64_t sizes[4] = {in, to, in, to};
        for (int i = 0; i < 4; i++) {
            size_t bytes = (size_t)(items * TINY_RANK * sizes[i]) * sizeof(float);
            out.memory[m][i] = test_alloc(bytes);
            memset(out.memory[m][i], 0, bytes);
        }
        for (int64_t item = 0; item < items; item++) {
            long long s = item / TINY_LAYERS, l = item % TINY_LAYERS;
            const SafeTensors *g = &t->golden;
            const float *a = golden_data(g, DT_F32, TINY_RANK * in, "lora.%lld.%lld.%s.A", s, l, name);
            const float *b = golden_data(g, DT_F32, to * TINY_RANK, "lora.%lld.%lld.%s.B", s, l, name);
            float *fa = out.memory[m][0] + item * TINY_RANK * in,
                  *fb = out.memory[m][1] + item * TINY_RANK * to;
            for (int64_t i = 0; i < TINY_RANK * in; i++) fa[i] = a[i];
            for (int64_t i = 0; i < TINY_RANK * to; i++) fb[i] = b[i % to * TINY_RANK + i / to];
        }
        out.set.on[m] = true;
        out.set.w[m] = (LoraView){out.memory[m][0], out.memory[m][1], TINY_RANK * in, TINY_RANK * to, in, to};
        out.set.g[m] = (LoraView){out.memory[m][2], out.memory[m][3], TINY_RANK * in, TINY_RANK * to, in, to};
    }
    return out;
}

TEST_FN void tiny_loras_free(TinyLoras *l) {
    for (int m = 0; m < LORA_MODULES; m++)
        for (int i = 0; i < 4; i++) {
            free(l->memory[m][i]);
            if (l->dev) device_free(l->dev, l->there[m][i]);
        }
}

/* A batch with room for the whole of the golden one. */
typedef struct TinyBatch {
    LlmBatch b;
    int32_t ids[TINY_TOKENS], pos[TINY_TOKENS], cu[TINY_SEQS + 1], adapter[TINY_SEQS], row[TINY_TOKENS],
        label[TINY_TOKENS];
    float weight[TINY_TOKENS];
} TinyBatch;

/* Sequences [first, first + n) of the file. labelled: rows with a label, weighed for the mean over their
 * sequence and over the three sequences of the file; otherwise every position is a row with label 0. */
TEST_FN void tiny_batch(TinyBatch *out, const Tiny *t, int first, int n, bool labelled) {
    const int64_t *ids = golden_data(&t->golden, DT_I64, TINY_TOKENS, "input.ids");
    const int64_t *labels = golden_data(&t->golden, DT_I64, TINY_TOKENS, "input.labels");
    const int64_t *cu = golden_data(&t->golden, DT_I64, TINY_SEQS + 1, "input.cu_seqlens");
    memset(out, 0, sizeof *out);
    LlmBatch *b = &out->b;
    *b = (LlmBatch){.n_seqs = n,
                    .ids = out->ids,
                    .pos = out->pos,
                    .cu_seqlens = out->cu,
                    .adapter = out->adapter,
                    .row = out->row,
                    .label = out->label,
                    .weight = out->weight};
    for (int s = first; s < first + n; s++) {
        int64_t rows = 0, from = b->n_rows;
        for (int64_t i = cu[s]; i < cu[s + 1]; i++) {
            if (!labelled || labels[i] >= 0) {
                out->row[b->n_rows] = (int32_t)b->n_tokens;
                out->label[b->n_rows++] = labelled ? (int32_t)labels[i] : 0;
                rows++;
            }
            out->ids[b->n_tokens] = (int32_t)ids[i];
            out->pos[b->n_tokens++] = (int32_t)(i - cu[s]);
        }
        for (int64_t i = from; i < b->n_rows; i++) out->weight[i] = 1.0f / (float)(TINY_SEQS * rows);
        out->adapter[s - first] = s;
        out->cu[s - first + 1] = (int32_t)b->n_tokens;
    }
}

#endif
