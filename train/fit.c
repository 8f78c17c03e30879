#include "train/fit.h"
#include "base/rng.h"
#include "data/safetensors.h"
#include "train/optimizer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define INIT_STREAM ((uint64_t)3 << 56) /* of the run's seed; beside those of train/batch.c */

/* ---------------------------------------------------------------- parameters */

/* One of a module's two matrices in the flat spans. */
typedef struct Part {
    LoraModule module;
    bool is_b;
    int64_t offset, rows, columns; /* rows: n_layers * rank */
} Part;

enum { MAX_PARTS = 2 * LORA_MODULES };

static int list_parts(Part parts[MAX_PARTS], const Fit *f) {
    int n = 0;
    int64_t offset = 0, rows = f->lora.n_layers * f->lora.rank;
    for (int m = 0; m < LORA_MODULES; m++) {
        if (!f->lora.on[m]) continue;
        for (int b = 0; b < 2; b++, n++) {
            parts[n] = (Part){(LoraModule)m, b, offset, rows, b ? f->shape.out[m] : f->shape.in[m]};
            offset += rows * parts[n].columns;
        }
    }
    return n;
}

static int64_t count_params(const Fit *f) {
    Part parts[MAX_PARTS];
    const Part *last = &parts[list_parts(parts, f) - 1];
    return last->offset + last->rows * last->columns;
}

static LoraView view_of(const Fit *f, float *span, const Part *a, const Part *b) {
    int64_t r = f->lora.rank;
    return (LoraView){.a = span + a->offset,
                      .bt = span + b->offset,
                      .a_stride = r * a->columns,
                      .bt_stride = r * b->columns,
                      .lda = a->columns,
                      .ldb = b->columns};
}

/* Made on the host: A in buf, the largest module's, B as it is. */
static Status start_params(Fit *f, float *buf) {
    Part parts[MAX_PARTS];
    int n = list_parts(parts, f);
    for (int i = 0; i < n; i += 2) {
        const Part *a = &parts[i];
        float bound = (float)(1.0 / sqrt((double)a->columns));
        Rng r = rng_make((uint64_t)f->cfg->seed, INIT_STREAM + (uint64_t)a->module);
        for (int64_t k = 0; k < a->rows * a->columns; k++) buf[k] = bound * (2.0f * rng_float(&r) - 1.0f);
        TRY(device_upload(f->dev, f->params + a->offset, buf, (size_t)(a->rows * a->columns) * sizeof *buf));
        f->lora.w[a->module] = view_of(f, f->params, a, &parts[i + 1]);
        f->lora.g[a->module] = view_of(f, f->grads, a, &parts[i + 1]);
    }
    return OK;
}

/* *buf owns room for the largest part. */
static Status part_buffer(float **buf, const Fit *f) {
    Part parts[MAX_PARTS];
    int n = list_parts(parts, f);
    int64_t most = 0;
    for (int i = 0; i < n; i++)
        if (parts[i].rows * parts[i].columns > most) most = parts[i].rows * parts[i].columns;
    *buf = malloc((size_t)most * sizeof **buf);
    return *buf ? OK : status_error(E_ENV, "no memory for %lld numbers of an adapter", (long long)most);
}

static Status choose_modules(Fit *f) {
    const Config *c = f->cfg;
    f->shape = llm_adapter_shape(&f->llm->cfg);
    f->lora = (LoraSet){.dev = f->dev->kind == DEVICE_CPU ? NULL : f->dev,
                        .n_adapters = 1,
                        .n_layers = f->llm->cfg.n_layers,
                        .rank = c->lora.rank,
                        .scale = (float)(c->lora.alpha / sqrt((double)c->lora.rank)),
                        .dropout = (float)c->lora.dropout};
    if (c->lora.rank > LORA_MAX_RANK)
        return status_error(E_USAGE, "key 'lora.rank': %lld is more than %d", (long long)c->lora.rank,
                            LORA_MAX_RANK);
    for (int i = 0; i < c->lora.modules.n; i++) {
        LoraModule m;
        TRY(lora_module_parse(&m, c->lora.modules.name[i]));
        f->lora.on[m] = true;
    }
    return OK;
}

/* ---------------------------------------------------------------- setting up */

static void bind(Fit *f) {
    f->params = arena_f32(&f->mem, f->n_params);
    f->grads = arena_f32(&f->mem, f->n_params);
    f->m = arena_f32(&f->mem, f->n_params);
    f->v = arena_f32(&f->mem, f->n_params);
}

static Status init_source(Fit *f) {
    const Config *c = f->cfg;
    BatchOpts opts = {.batch_tasks = c->train.batch_tasks,
                      .max_tokens = c->data.max_tokens,
                      .prompt = batch_prompt_kind(c->data.prompt),
                      .equal_weight = c->train.equal_weight,
                      .walk = f->n_tasks == 1,
                      .seed = (uint64_t)c->seed};
    TRY(batch_source_init(&f->source, f->llm, f->tasks, f->n_tasks, opts));
    int64_t steps = c->train.epochs * batch_epoch(&f->source) / c->train.accumulate;
    f->total = c->train.epochs == 0 ? c->train.steps : steps > 0 ? steps : 1;
    return batch_init(&f->batch, &f->source);
}

static Status init(Fit *f) {
    const Config *c = f->cfg;
    int64_t rows = c->train.batch_tasks * c->data.max_tokens;
    if (!f->llm->tokenizer || f->llm->cfg.n_eos == 0)
        return status_error(E_INPUT, "%s: has no tokenizer.json, or no end-of-text token", c->model);
    TRY(choose_modules(f));
    TRY(init_source(f));
    f->n_params = count_params(f);
    f->mem = arena_measure("LoRA and optimizer");
    bind(f);
    TRY(arena_commit_on(&f->mem, f->dev));
    bind(f);
    f->host = arena_measure("validation");
    valid_bind(&f->valid, &f->host, rows);
    TRY(arena_commit(&f->host));
    valid_bind(&f->valid, &f->host, rows);
    float *buf;
    TRY(part_buffer(&buf, f));
    Status s = start_params(f, buf);
    free(buf);
    TRY(s);
    return llm_acts_init(&f->acts, f->llm, 2 * rows, c->train.batch_tasks, rows, c->lora.rank, true);
}

Status fit_init(Fit *f, Device *dev, const Config *cfg, const Llm *llm, const Task *tasks, int64_t n_tasks) {
    *f = (Fit){.cfg = cfg, .dev = dev, .llm = llm, .tasks = tasks, .n_tasks = n_tasks};
    Status s = init(f);
    if (!status_is_ok(s)) fit_free(f);
    return s;
}

void fit_free(Fit *f) {
    llm_acts_free(&f->acts);
    batch_free(&f->batch);
    batch_source_free(&f->source);
    arena_free(&f->mem);
    arena_free(&f->host);
    memset(f, 0, sizeof *f);
}

/* ---------------------------------------------------------------- a step */

/* Adds batch number `number` to out and to the gradient. */
static Status add_batch(RunStep *out, Fit *f, int64_t number) {
    const Config *c = f->cfg;
    LlmBatch *b = &f->batch.llm;
    TRY(batch_next(&f->batch, &f->source, number));
    for (int64_t i = 0; i < b->n_rows; i++) b->weight[i] /= (float)c->train.accumulate;
    for (int64_t i = 0; i < b->n_seqs; i++) b->adapter[i] = 0;
    LlmRun run = {true, (float)c->train.neftune, (uint64_t)c->seed, (uint64_t)number};
    TRY(llm_forward(f->llm, f->dev, &f->acts, b, &f->lora, run));
    double loss;
    CrossEntropyOut ce = {.loss = f->valid.row_loss};
    TRY(llm_loss(&loss, f->llm, f->dev, &f->acts, b, ce, (float)c->train.label_smoothing));
    TRY(llm_backward(f->llm, f->dev, &f->acts, b, &f->lora, run));
    out->loss += loss;
    out->tokens += b->n_tokens;
    return OK;
}

Status fit_step(RunStep *out, Fit *f, bool with_update) {
    int64_t number = f->at.step + f->at.moved, k = f->cfg->train.accumulate;
    memset(out, 0, sizeof *out);
    TRY(device_zero(f->dev, f->grads, (size_t)f->n_params * sizeof(float)));
    for (int64_t i = 0; i < k; i++) TRY(add_batch(out, f, number * k + i));
    OptimizerSpan span = {f->params, f->m, f->v, f->grads, f->n_params};
    OptimizerRun run = {.cfg = f->cfg, .total = f->total, .update = with_update};
    return optimizer_step(out, &f->at, f->dev, span, run);
}

/* ---------------------------------------------------------------- validation */

static BatchItem valid_item(const Fit *f, const Task *t, const TaskExample *e, int64_t i) {
    PromptKind p = f->source.opts.prompt;
    bool instruct = p == PROMPT_INSTRUCTION || (p == PROMPT_MIXED && i % 2);
    BatchItem item = {.example = e};
    item.instruction = p == PROMPT_NATURAL ? t->definition
                       : instruct          ? t->descriptions[i % t->n_descriptions]
                                           : NULL;
    return item;
}

static Status valid_flush(Fit *f, int64_t *n) {
    if (*n == 0) return OK;
    TRY(batch_pack(&f->batch, &f->source, f->batch.items, *n));
    *n = 0;
    return valid_add(&f->valid, f->llm, f->dev, &f->acts, &f->batch.llm, &f->lora);
}

static Status run_validate(RunVal *out, void *self) {
    Fit *f = self;
    int64_t n = 0;
    valid_begin(&f->valid);
    for (int64_t t = 0; t < f->n_tasks; t++) {
        int64_t all;
        const TaskExample *e = tasks_split(&f->tasks[t], TASK_VALID, &all);
        for (int64_t i = 0; i < valid_examples(&f->tasks[t], f->cfg->eval.valid_examples); i++) {
            f->batch.items[n++] = valid_item(f, &f->tasks[t], &e[i], i);
            if (n == f->batch.max_seqs) TRY(valid_flush(f, &n));
        }
    }
    TRY(valid_flush(f, &n));
    *out = (RunVal){.n = 1, .set = {valid_end(&f->valid, "valid")}};
    return OK;
}

/* ---------------------------------------------------------------- checkpoints */

static Status write_adapter(const Fit *f, const char *dir) {
    Adapter a;
    TRY(lora_to_adapter(&a, &f->lora, 0, f->shape.in, f->shape.out, f->cfg->lora.alpha));
    a.base_model = strdup(f->cfg->model);
    AdapterWriteOptions opts = {.dropout = f->cfg->lora.dropout,
                                .description = f->n_tasks == 1 ? f->tasks[0].definition : NULL};
    Status s = a.base_model ? adapter_write(dir, &a, &opts) : status_error(E_ENV, "%s: out of memory", dir);
    adapter_free(&a);
    return s;
}

/* *path owns dir/optimizer.safetensors. */
static Status optimizer_path(char **path, const char *dir) {
    *path = path_join(dir, "optimizer.safetensors");
    return *path ? OK : status_error(E_ENV, "%s: out of memory", dir);
}

static void part_name(char out[32], const Part *p, const char *moment) {
    snprintf(out, 32, "%s.%s.%s", moment, lora_module_name(p->module), p->is_b ? "Bt" : "A");
}

/* m, v: both moments, in host memory. */
static Status write_moments(const Fit *f, const char *dir, float *m, float *v) {
    Part parts[MAX_PARTS];
    SafeEntry e[2 * MAX_PARTS];
    char names[2 * MAX_PARTS][32], *path;
    int n = list_parts(parts, f);
    for (int i = 0; i < 2 * n; i++) {
        const Part *p = &parts[i / 2];
        part_name(names[i], p, i % 2 ? "v" : "m");
        e[i] = (SafeEntry){names[i], tensor_2d((i % 2 ? v : m) + p->offset, DT_F32, p->rows, p->columns)};
    }
    TRY(optimizer_path(&path, dir));
    Status s = safetensors_write(path, e, 2 * n, NULL, 0);
    free(path);
    return s;
}

static Status write_optimizer(const Fit *f, const char *dir) {
    if (f->dev->kind == DEVICE_CPU) return write_moments(f, dir, f->m, f->v);
    size_t bytes = (size_t)f->n_params * sizeof(float);
    float *m = malloc(bytes), *v = malloc(bytes);
    Status s = m && v ? device_download(f->dev, m, f->m, bytes)
                      : status_error(E_ENV, "%s: out of memory (the optimizer's moments)", dir);
    if (status_is_ok(s)) s = device_download(f->dev, v, f->v, bytes);
    if (status_is_ok(s)) s = write_moments(f, dir, m, v);
    free(m);
    free(v);
    return s;
}

static Status run_write(void *self, const char *dir) {
    TRY(write_adapter(self, dir));
    return write_optimizer(self, dir);
}

static Status read_moments(Fit *f, const char *dir) {
    Part parts[MAX_PARTS];
    SafeTensors st;
    char name[32], *path;
    int n = list_parts(parts, f);
    TRY(optimizer_path(&path, dir));
    Status s = safetensors_open(&st, path);
    free(path);
    TRY(s);
    for (int i = 0; i < 2 * n && status_is_ok(s); i++) {
        const Part *p = &parts[i / 2];
        int64_t dim[2] = {p->rows, p->columns};
        Tensor t;
        part_name(name, p, i % 2 ? "v" : "m");
        s = safetensors_get(&t, &st, name, 2, dim);
        if (status_is_ok(s) && t.dtype != DT_F32)
            s = status_error(E_INPUT, "%s: tensor '%s': expected F32, found %s", dir, name,
                             dtype_name(t.dtype));
        if (status_is_ok(s))
            s = device_upload(f->dev, (i % 2 ? f->v : f->m) + p->offset, t.data,
                              (size_t)(p->rows * p->columns) * sizeof(float));
    }
    safetensors_close(&st);
    return s;
}

static Status copy_adapter(Fit *f, const Adapter *a, const char *dir) {
    int on = 0;
    for (int m = 0; m < LORA_MODULES; m++) on += f->lora.on[m];
    bool fits = a->rank == f->lora.rank && a->n_modules == on;
    for (int i = 0; fits && i < a->n_modules; i++) fits = f->lora.on[a->modules[i].module];
    if (!fits)
        return status_error(E_INPUT,
                            "%s: another rank or other modules than lora.rank and lora.modules say; resume "
                            "with the configuration the run began with",
                            dir);
    return lora_put_adapter(&f->lora, 0, a);
}

static Status read_adapter(Fit *f, const char *dir) {
    Adapter a;
    TRY(adapter_load(&a, dir, &f->shape));
    Status s = copy_adapter(f, &a, dir);
    adapter_free(&a);
    return s;
}

static Status run_read(void *self, const char *dir) {
    TRY(read_adapter(self, dir));
    return read_moments(self, dir);
}

/* ---------------------------------------------------------------- the run */

static Status run_step(RunStep *out, void *self, bool with_update) {
    return fit_step(out, self, with_update);
}

static bool can_validate(const Fit *f) {
    bool any = false;
    for (int64_t t = 0; t < f->n_tasks; t++) any |= f->tasks[t].n_valid > 0;
    return any;
}

Run fit_as_run(Fit *f, RunKind *kind) {
    *kind = (RunKind){.step = run_step, .write = run_write, .read = run_read};
    if (can_validate(f)) kind->validate = run_validate;
    return (Run){.kind = kind, .self = f, .at = &f->at, .total = f->total, .cfg = f->cfg};
}

Status fit_run(RunResult *out, Fit *f, RunOpts opts, const char *adapter_dir) {
    RunKind kind;
    memset(out, 0, sizeof *out);
    if (file_is_dir(adapter_dir)) {
        if (opts.resume) return run_same(f->cfg, opts.run_dir);
        return status_error(E_USAGE, "%s is there already: choose another name=, or keep it with --resume",
                            adapter_dir);
    }
    Run run = fit_as_run(f, &kind);
    TRY(run_train(out, &run, opts));
    TRY(read_adapter(f, out->ckpt));
    return write_adapter(f, adapter_dir);
}
