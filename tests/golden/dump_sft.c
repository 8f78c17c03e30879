/* Writes what sft_twin.py needs to repeat the first steps of the demo's recipe in PyTorch:
 *   dump_sft DIR [key=value ...]     DIR/init.safetensors, embeddings.safetensors, batches.json
 * The keys given must be those of tests/train/test_sft.c for the golden to mean anything. */
#include "tests/test_util.h"
#include "data/safetensors.h"
#include "tests/train/sft_case.h"

static void dump_parameters(const Hypernet *hn, const char *path) {
    SafeEntry *e = test_alloc((size_t)hn->n_tensors * sizeof *e);
    for (int i = 0; i < hn->n_tensors; i++) {
        const HypernetTensor *t = &hn->tensors[i];
        e[i].name = t->name;
        e[i].tensor = t->ndim == 1 ? tensor_1d(hn->params + t->offset, DT_F32, t->dim[0])
                                   : tensor_2d(hn->params + t->offset, DT_F32, t->dim[0], t->dim[1]);
    }
    assert_ok(safetensors_write(path, e, hn->n_tensors, NULL, 0));
    free(e);
}

static cJSON *int_array(const int32_t *v, int64_t n) {
    return cJSON_CreateIntArray(v, (int)n);
}

static cJSON *dump_batch(const Batch *b) {
    const LlmBatch *l = &b->llm;
    cJSON *j = cJSON_CreateObject(), *rows = cJSON_CreateArray();
    int32_t *labels = test_alloc((size_t)l->n_tokens * sizeof *labels);
    for (int64_t i = 0; i < l->n_tokens; i++) labels[i] = -100;
    for (int64_t i = 0; i < l->n_rows; i++) labels[l->row[i]] = l->label[i];
    for (int64_t i = 0; i < l->n_seqs; i++)
        cJSON_AddItemToArray(rows, cJSON_CreateNumber((double)b->embedding[i]));
    cJSON_AddItemToObject(j, "cu_seqlens", int_array(l->cu_seqlens, l->n_seqs + 1));
    cJSON_AddItemToObject(j, "ids", int_array(l->ids, l->n_tokens));
    cJSON_AddItemToObject(j, "labels", int_array(labels, l->n_tokens));
    cJSON_AddItemToObject(j, "embedding_index", rows);
    free(labels);
    return j;
}

int main(int argc, char **argv) {
    SftCase c;
    const char *words[16] = {NULL};
    char path[512];
    if (argc < 2 || argc > 14) fail_msg("usage: dump_sft DIR [key=value ...]");
    if (!sft_case_find(&c)) return 77;
    for (int i = 2; i < argc; i++) words[i - 2] = argv[i];
    sft_case_open(&c, 0, words);
    assert_ok(file_mkdirs(argv[1]));
    snprintf(path, sizeof path, "%s/init.safetensors", argv[1]);
    dump_parameters(&c.sft.hypernet, path);
    SafeEntry e = {"embeddings",
                   tensor_2d(c.sft.embeddings, DT_F32, c.sft.n_embeddings, c.sft.info.hypernet.embed)};
    snprintf(path, sizeof path, "%s/embeddings.safetensors", argv[1]);
    assert_ok(safetensors_write(path, &e, 1, NULL, 0));
    cJSON *batches = cJSON_CreateArray();
    for (int64_t step = 0; step < c.config.train.steps; step++) {
        assert_ok(batch_next(&c.sft.batch, &c.sft.source, step));
        cJSON_AddItemToArray(batches, dump_batch(&c.sft.batch));
    }
    snprintf(path, sizeof path, "%s/batches.json", argv[1]);
    assert_ok(json_write(path, batches));
    cJSON_Delete(batches);
    sft_case_close(&c);
    sft_case_forget(&c);
    return 0;
}
