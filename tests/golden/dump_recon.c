/* Writes what recon_twin.py needs to repeat the first steps of the reconstruction tests' case in PyTorch:
 *   dump_recon DIR     for each variant DIR/<variant>.safetensors: the hypernetwork's parameters
 * ("param.<name>"), all embeddings, targets as the library has them ("target.<module>.A|Bt" [n,L,r,..]), the
 * offset, and DIR/<variant>.json: the batches and the hypernetwork's size */
#include "tests/test_util.h"
#include "data/safetensors.h"
#include "tests/train/recon_case.h"

enum { STEPS = 20, TASKS = 10, MAX_ENTRIES = 128 };

typedef struct Dump {
    SafeEntry e[MAX_ENTRIES];
    char names[MAX_ENTRIES][96];
    int n;
} Dump;

static void add(Dump *d, const char *prefix, const char *name, Tensor t) {
    assert_true(d->n < MAX_ENTRIES);
    snprintf(d->names[d->n], sizeof d->names[0], "%s%s", prefix, name);
    d->e[d->n] = (SafeEntry){d->names[d->n], t};
    d->n++;
}

static void dump_variant(ReconCase *c, const ReconVariant *v, const char *dir) {
    Dump *d = test_alloc(sizeof *d);
    char path[512], name[64];
    d->n = 0;
    recon_case_open(c, 1, v->words, v->offset);
    const Hypernet *hn = &c->recon.hypernet;
    for (int i = 0; i < hn->n_tensors; i++) {
        const HypernetTensor *t = &hn->tensors[i];
        add(d, "param.", t->name,
            t->ndim == 1 ? tensor_1d(hn->params + t->offset, DT_F32, t->dim[0])
                         : tensor_2d(hn->params + t->offset, DT_F32, t->dim[0], t->dim[1]));
    }
    add(d, "", "embeddings", tensor_2d(c->recon.embeddings, DT_F32, c->recon.n_embeddings, RECON_EMBED));
    Adapter a[TASKS + 1]; /* in PEFT's layout, as they are */
    float *all[2][2];
    for (int t = 0; t <= TASKS; t++) a[t] = recon_case_adapter(t < TASKS ? t : 1000);
    for (int m = 0; m < 2; m++)
        for (int f = 0; f < 2; f++) {
            const AdapterModule *x = &a[0].modules[m];
            int64_t each = 12 * (f ? x->out : x->in);
            all[m][f] = test_alloc((size_t)((TASKS + 1) * each) * sizeof(float));
            for (int t = 0; t <= TASKS; t++)
                memcpy(all[m][f] + t * each, f ? a[t].modules[m].b : a[t].modules[m].a,
                       (size_t)each * sizeof(float));
            snprintf(name, sizeof name, "%s.%c", lora_module_name(x->module), "AB"[f]);
            Tensor whole = tensor_2d(all[m][f], DT_F32, TASKS + 1, each);
            add(d, "target.", name, tensor_rows(whole, 0, TASKS));
            if (v->offset) add(d, "offset.", name, tensor_rows(whole, TASKS, 1));
        }
    snprintf(path, sizeof path, "%s/%s.safetensors", dir, v->name);
    assert_ok(safetensors_write(path, d->e, d->n, NULL, 0));
    cJSON *j = cJSON_CreateObject(), *batches = cJSON_AddArrayToObject(j, "batches");
    cJSON_AddStringToObject(j, "size", hypernet_size_name(hn->cfg.size));
    cJSON_AddNumberToObject(j, "steps", (double)c->config.train.steps);
    for (int step = 0; step < STEPS; step++) {
        cJSON *b = cJSON_CreateObject(), *tasks = cJSON_AddArrayToObject(b, "tasks"),
              *rows = cJSON_AddArrayToObject(b, "rows");
        recon_batch(&c->recon, step);
        for (int64_t i = 0; i < c->recon.n_batch; i++) {
            cJSON_AddItemToArray(tasks, cJSON_CreateNumber((double)c->recon.batch_task[i]));
            cJSON_AddItemToArray(rows, cJSON_CreateNumber((double)c->recon.batch_row[i]));
        }
        cJSON_AddItemToArray(batches, b);
    }
    snprintf(path, sizeof path, "%s/%s.json", dir, v->name);
    assert_ok(json_write(path, j));
    cJSON_Delete(j);
    for (int t = 0; t <= TASKS; t++) adapter_free(&a[t]);
    for (int i = 0; i < 4; i++) free(all[i / 2][i % 2]);
    free(d);
    recon_case_close(c);
}

int main(int argc, char **argv) {
    ReconCase c;
    if (argc != 2) fail_msg("usage: dump_recon DIR");
    assert_ok(file_mkdirs(argv[1]));
    recon_case_files(&c, TASKS);
    for (int i = 0; i < COUNT_OF(recon_variants); i++) dump_variant(&c, &recon_variants[i], argv[1]);
    temp_remove(c.dir);
    return 0;
}
