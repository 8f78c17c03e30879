#include "train/recon.h"
#include "base/progress.h"
#include "base/rng.h"
#include "data/embeddings.h"
#include "data/tasks.h"
#include "kernels/ops.h"
#include "model/embedder.h"
#include "train/hyper.h"
#include "train/optimizer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Random streams under the run's seed: the order of an epoch, and the draws of a step. */
#define ORDER_STREAM ((uint64_t)3 << 56)
#define DRAW_STREAM ((uint64_t)4 << 56)
#define STD_EPS 1e-10 /* method.md 5 */

static Status no_memory(void) {
    return status_error(E_ENV, "training by reconstruction: out of memory");
}

static bool is_delta_w(const Config *c) {
    return strcmp(c->recon.loss, "delta_w") == 0;
}

/* ---- targets ---- */

static bool names_module(const Config *c, LoraModule m) {
    for (int i = 0; i < c->lora.modules.n; i++)
        if (strcmp(lora_module_name(m), c->lora.modules.name[i]) == 0) return true;
    return false;
}

static Status check_library(const Library *lib, const Config *c) {
    const Adapter *s = &lib->shape;
    const char *path = lib->store.path;
    if (lib->store.n == 0) return status_error(E_INPUT, "%s: holds no adapters", path);
    if (s->rank != c->lora.rank || fabs(adapter_scale(s) - c->lora.alpha / sqrt((double)c->lora.rank)) > 1e-6)
        return status_error(
            E_INPUT,
            "%s: adapters of rank %d and scale %g; lora.rank is %lld and lora.alpha gives %g: set them "
            "to the library's",
            path, s->rank, adapter_scale(s), (long long)c->lora.rank,
            c->lora.alpha / sqrt((double)c->lora.rank));
    if (s->base_model[0] && strcmp(s->base_model, c->model) != 0)
        return status_error(E_INPUT, "%s: adapters of %s, but model is %s", path, s->base_model, c->model);
    bool same = s->n_modules == c->lora.modules.n;
    for (int i = 0; same && i < s->n_modules; i++) same = names_module(c, s->modules[i].module);
    if (!same) return status_error(E_INPUT, "%s: its adapters' modules are not those of lora.modules", path);
    if (!is_delta_w(c) && c->recon.zscore && lib->store.n < 2)
        return status_error(
            E_INPUT, "%s: one adapter has no standard deviation; at least two, or recon.zscore=false", path);
    return OK;
}

/* Binds a set of n adapters. */
static void bind_set(LoraSet *set, Arena *mem, const HypernetConfig *h, int64_t n) {
    *set = (LoraSet){.n_adapters = n, .n_layers = h->n_layers, .rank = h->rank};
    for (int i = 0; i < h->n_modules; i++) {
        LoraModule m = h->modules[i];
        int64_t in = h->in[m], out = h->out[m];
        LoraView v = {.a_stride = set->rank * in, .bt_stride = set->rank * out, .lda = in, .ldb = out};
        v.a = arena_f32(mem, n * set->n_layers * v.a_stride);
        v.bt = arena_f32(mem, n * set->n_layers * v.bt_stride);
        set->on[m] = true;
        set->w[m] = v;
    }
}

/* One factor of all adapters of a set: n tasks of `size` numbers, one after another. */
typedef struct Span {
    float *x;
    int64_t size, at; /* at: in the output stage */
} Span;

static Span span_of(const LoraSet *set, const HypernetConfig *cfg, int i, int f) {
    LoraView v = set->w[cfg->modules[i]];
    Span s = {.x = f ? v.bt : v.a};
    s.size = hypernet_output_span(&s.at, cfg, i, f);
    return s;
}

/* Targets less their mean, over their standard deviation; both go to the output stage. */
static void zscore(const Recon *r, const HypernetOutput *out) {
    int64_t n = r->n_tasks;
    for (int i = 0; i < 2 * r->info.hypernet.n_modules; i++) {
        Span s = span_of(&r->targets, &r->info.hypernet, i / 2, i % 2);
#pragma omp parallel for num_threads(r->dev->n_threads) schedule(static)
        for (int64_t k = 0; k < s.size; k++) {
            double mean = 0, square = 0;
            for (int64_t t = 0; t < n; t++) mean += (double)s.x[t * s.size + k];
            mean /= (double)n;
            for (int64_t t = 0; t < n; t++) {
                double d = (double)s.x[t * s.size + k] - mean;
                square += d * d;
            }
            double std = sqrt(square / (double)(n - 1)) + STD_EPS;
            out->each[s.at + k] = (float)std;
            out->shift[s.at + k] += (float)mean; /* to an offset */
            for (int64_t t = 0; t < n; t++)
                s.x[t * s.size + k] = (float)(((double)s.x[t * s.size + k] - mean) / std);
        }
    }
}

/* The offset, which the output stage has already, off the targets or, for delta_w, beside them. */
static void take_offset(Recon *r) {
    const HypernetConfig *h = &r->info.hypernet;
    const float *shift = r->hypernet.output.shift, scale = (float)sqrt(r->cfg->recon.c);
    for (int i = 0; i < 2 * h->n_modules; i++) {
        Span t = span_of(&r->targets, h, i / 2, i % 2), o = span_of(&r->offset, h, i / 2, i % 2);
        if (r->offset.n_adapters > 0)
            for (int64_t k = 0; k < o.size; k++) o.x[k] = scale * shift[o.at + k];
        else
            for (int64_t k = 0; k < r->n_tasks * t.size; k++) t.x[k] -= shift[t.at + k % t.size];
    }
}

static Status load_targets(Recon *r, const Library *lib, bool quiet) {
    Status st = OK;
    Progress p = progress_begin("library", "adapters", r->n_tasks, quiet);
    for (int64_t t = 0; t < r->n_tasks && status_is_ok(st); t++) {
        Adapter a;
        st = library_read(&a, lib, t);
        if (!status_is_ok(st)) break;
        st = lora_put_adapter(&r->targets, t, &a);
        adapter_free(&a);
        progress_update(&p, t + 1, NULL);
    }
    progress_end(&p, NULL);
    return st;
}

/* ---- descriptions ---- */

/* Rows of a store whose task is `name`; appended to r->embeddings. */
static Status rows_of(Recon *r, const Embeddings *e, char *const *names, const char *name) {
    for (int64_t i = 0; i < e->store.n; i++)
        if (strcmp(names[i], name) == 0)
            TRY(embeddings_read(NULL, NULL, r->embeddings + e->width * r->n_embeddings++, e, i));
    return OK;
}

static Status missing(const char *where, const char *task, const char *what) {
    return status_error(E_INPUT, "%s: no %s of task '%s', which the library has an adapter for", where, what,
                        task);
}

static Status from_store(Recon *r, const Library *lib, const char *path, int64_t *width) {
    Embeddings e;
    TRY(embeddings_open(&e, path, STORE_READ));
    char **names = calloc((size_t)e.store.n + 1, sizeof *names);
    *width = e.width;
    r->embeddings = malloc((size_t)((e.store.n + 1) * e.width) * sizeof(float));
    Status st = names && r->embeddings ? OK : no_memory();
    for (int64_t i = 0; i < e.store.n && status_is_ok(st); i++)
        st = embeddings_read(&names[i], NULL, NULL, &e, i);
    for (int64_t t = 0; t < r->n_tasks && status_is_ok(st); t++) {
        r->first[t] = r->n_embeddings;
        st = rows_of(r, &e, names, lib->names[t]);
        if (status_is_ok(st) && r->n_embeddings == r->first[t])
            st = missing(path, lib->names[t], "embedding");
    }
    r->first[r->n_tasks] = r->n_embeddings;
    bool llm = hyper_is_llm(r->cfg);
    const char *want = llm ? r->cfg->model : r->cfg->encoder;
    if (status_is_ok(st) && strcmp(e.encoder, want) != 0)
        st = status_error(E_INPUT, "%s: embeddings of %s, but %s is %s", path, e.encoder,
                          llm ? "model" : "encoder", want);
    for (int64_t i = 0; names && i < e.store.n; i++) free(names[i]);
    free(names);
    embeddings_close(&e);
    return st;
}

/* How many unseen descriptions of a task validation uses. */
static int64_t unseen_of(const Recon *r, const Task *task) {
    const Config *c = r->cfg;
    int64_t most = c->eval.every > 0 ? c->eval.descriptions : 0;
    return task->n_unseen < most ? task->n_unseen : most;
}

/* data.embedding=onehot: a task's one row is its unit vector. */
static Status from_numbers(Recon *r, int64_t *width) {
    int64_t n = *width = r->n_embeddings = r->n_tasks;
    r->embeddings = calloc((size_t)(n * n), sizeof(float));
    if (!r->embeddings) return no_memory();
    for (int64_t t = 0; t < n; t++) {
        r->first[t] = t;
        r->embeddings[t * n + t] = 1.0f;
    }
    r->first[n] = n;
    return OK;
}

static Status embed_tasks(Recon *r, const Library *lib, const TaskSet *tasks, Embedder *encoder, bool quiet) {
    int64_t width = embedder_width(encoder);
    r->embeddings = malloc((size_t)(r->n_embeddings * width) * sizeof(float));
    if (!r->embeddings) return no_memory();
    Status st = OK;
    Progress p = progress_begin("embed", "descriptions", r->n_embeddings, quiet);
    for (int64_t t = 0; t < r->n_tasks && status_is_ok(st); t++) {
        const Task *task = tasks_find(tasks, lib->names[t]);
        st = embedder_embed(encoder, r->dev, r->embeddings + r->first[t] * width, task->descriptions,
                            task->n_descriptions);
        if (status_is_ok(st))
            st = embedder_embed(encoder, r->dev, r->embeddings + r->unseen[t] * width, task->unseen,
                                unseen_of(r, task));
        progress_update(&p, r->first[t + 1] + r->unseen[t + 1] - r->first[r->n_tasks], NULL);
    }
    progress_end(&p, NULL);
    return st;
}

static Status load_llm(Llm *llm, Device *dev, const Config *c, const char *path) {
    LlmLoad load = {DT_F32, false};
    TRY(llm_choose_dtype(&load.dtype, dev, c->dtype));
    return llm_load(llm, dev, path, load);
}

static Status from_tasks(Recon *r, const Library *lib, const ReconPaths *paths, int64_t *width, bool quiet) {
    TaskSet tasks;
    Embedder encoder;
    Llm llm;
    bool has_llm = false;
    int64_t n = 0;
    TRY(tasks_load(&tasks, paths->tasks));
    Status st = OK;
    for (int64_t t = 0; t < r->n_tasks && status_is_ok(st); t++) {
        const Task *task = tasks_find(&tasks, lib->names[t]);
        r->first[t] = n;
        if (task)
            n += task->n_descriptions;
        else
            st = missing(paths->tasks, lib->names[t], "description");
    }
    r->first[r->n_tasks] = n;
    for (int64_t t = 0; t < r->n_tasks && status_is_ok(st); t++) {
        r->unseen[t] = n;
        n += unseen_of(r, tasks_find(&tasks, lib->names[t]));
    }
    r->unseen[r->n_tasks] = r->n_embeddings = n;
    if (status_is_ok(st) && hyper_is_llm(r->cfg)) {
        st = load_llm(&llm, r->dev, r->cfg, paths->model);
        has_llm = status_is_ok(st);
    }
    if (status_is_ok(st)) st = embedder_open(&encoder, r->dev, paths->encoder, has_llm ? &llm : NULL);
    if (status_is_ok(st)) {
        *width = embedder_width(&encoder);
        st = embed_tasks(r, lib, &tasks, &encoder, quiet);
        embedder_close(&encoder);
    }
    if (has_llm) llm_free(&llm);
    tasks_free(&tasks);
    return st;
}

/* ---- init ---- */

static void recon_bind(Recon *r, int64_t embed, bool offset) {
    int64_t tasks = r->cfg->train.batch_tasks, layers = r->info.hypernet.n_layers;
    r->batch_task = arena_alloc(&r->mem, (size_t)tasks * sizeof(int64_t));
    r->batch_row = arena_alloc(&r->mem, (size_t)tasks * sizeof(int64_t));
    r->index = arena_alloc(&r->mem, (size_t)(tasks * layers) * sizeof(int64_t));
    r->batch_embeddings = arena_f32(&r->mem, tasks * embed);
    bind_set(&r->targets, &r->mem, &r->info.hypernet, r->n_tasks);
    bind_set(&r->target, &r->mem, &r->info.hypernet, 1);
    if (offset && is_delta_w(r->cfg)) bind_set(&r->offset, &r->mem, &r->info.hypernet, 1);
}

static Status init_hypernet(Recon *r, int64_t embed, bool offset) {
    const Config *c = r->cfg;
    bool z = !is_delta_w(c) && c->recon.zscore;
    TRY(hyper_info(&r->info, c, &r->shape, embed));
    r->info.hypernet.head_bias = !z;
    r->info.hypernet.learned_offset = false;
    HypernetInit init = {.training = true, .max_tasks = c->train.batch_tasks, .seed = (uint64_t)c->seed};
    TRY(hypernet_init(&r->hypernet, r->dev, &r->info.hypernet, init));
    r->hypernet.commit = true;
    HypernetOutputInit out = {
        .scale = is_delta_w(c) ? 1.0 / sqrt(c->recon.c) : 1.0, .each = z, .shift = z || offset};
    return hypernet_output_init(&r->hypernet, out);
}

static AdapterShape shape_of(const Adapter *a) {
    AdapterShape shape = {.n_layers = a->n_layers};
    for (int i = 0; i < a->n_modules; i++) {
        shape.in[a->modules[i].module] = a->modules[i].in;
        shape.out[a->modules[i].module] = a->modules[i].out;
    }
    return shape;
}

static int64_t batches_an_epoch(const Recon *r) {
    return (r->n_tasks + r->cfg->train.batch_tasks - 1) / r->cfg->train.batch_tasks;
}

static Status init_from(Recon *r, const Library *lib, const ReconPaths *paths, bool quiet) {
    const Config *c = r->cfg;
    int64_t embed = 0;
    if (c->train.accumulate != 1)
        return status_error(E_USAGE,
                            "key 'train.accumulate': a step of reconstruction is one batch, found %lld; set "
                            "train.batch_tasks higher instead",
                            (long long)c->train.accumulate);
    if (c->hypernet.offset_learn)
        return status_error(E_USAGE, "key 'hypernet.offset_learn': train recon leaves the offset as it is");
    TRY(check_library(lib, c));
    r->n_tasks = c->data.max_tasks > 0 && c->data.max_tasks < lib->store.n ? c->data.max_tasks : lib->store.n;
    r->total = c->train.epochs > 0 ? c->train.epochs * batches_an_epoch(r) : c->train.steps;
    r->shape = shape_of(&lib->shape);
    r->first = malloc((size_t)(r->n_tasks + 1) * sizeof(int64_t));
    r->order = malloc((size_t)r->n_tasks * sizeof(int64_t));
    r->unseen = calloc((size_t)(r->n_tasks + 1), sizeof(int64_t));
    if (!r->first || !r->order || !r->unseen) return no_memory();
    if (hyper_is_onehot(c))
        TRY(from_numbers(r, &embed));
    else if (paths->embeddings)
        TRY(from_store(r, lib, paths->embeddings, &embed));
    else
        TRY(from_tasks(r, lib, paths, &embed, quiet));
    TRY(init_hypernet(r, embed, paths->offset != NULL));
    if (hyper_is_onehot(c)) TRY(hyper_tasks(&r->info, (const char *const *)lib->names, r->n_tasks));
    r->mem = arena_measure("targets of reconstruction");
    recon_bind(r, embed, paths->offset != NULL);
    TRY(arena_commit(&r->mem));
    recon_bind(r, embed, paths->offset != NULL);
    TRY(load_targets(r, lib, quiet));
    if (paths->offset) {
        TRY(hyper_offset(&r->hypernet, paths->offset, &r->shape));
        take_offset(r);
    }
    if (r->hypernet.output.each) zscore(r, &r->hypernet.output);
    return OK;
}

Status recon_init(Recon *r, Device *dev, const Config *cfg, const ReconPaths *paths, bool quiet) {
    Library lib;
    memset(r, 0, sizeof *r);
    r->cfg = cfg;
    r->dev = dev;
    r->epoch = -1;
    if (dev->kind != DEVICE_CPU)
        return status_error(E_UNSUPPORTED, "training by reconstruction has no %s backend; use --device cpu",
                            dev->memory->name);
    TRY(library_open(&lib, paths->library, STORE_READ));
    Status st = init_from(r, &lib, paths, quiet);
    library_close(&lib);
    if (!status_is_ok(st)) recon_free(r);
    return st;
}

void recon_free(Recon *r) {
    hypernet_free(&r->hypernet);
    ckpt_info_free(&r->info);
    arena_free(&r->mem);
    free(r->embeddings);
    free(r->first);
    free(r->unseen);
    free(r->order);
    memset(r, 0, sizeof *r);
}

/* ---- steps ---- */

static void shuffle(Recon *r, int64_t epoch) {
    if (r->epoch == epoch) return;
    Rng rng = rng_make((uint64_t)r->cfg->seed, ORDER_STREAM + (uint64_t)epoch);
    for (int64_t i = 0; i < r->n_tasks; i++) r->order[i] = i;
    for (int64_t i = r->n_tasks - 1; i > 0; i--) {
        int64_t j = rng_below(&rng, (uint32_t)(i + 1)), t = r->order[i];
        r->order[i] = r->order[j];
        r->order[j] = t;
    }
    r->epoch = epoch;
}

void recon_batch(Recon *r, int64_t number) {
    int64_t most = r->cfg->train.batch_tasks, per_epoch = batches_an_epoch(r),
            from = number % per_epoch * most;
    shuffle(r, number / per_epoch);
    Rng rng = rng_make((uint64_t)r->cfg->seed, DRAW_STREAM + (uint64_t)number);
    r->n_batch = r->n_tasks - from < most ? r->n_tasks - from : most;
    for (int64_t i = 0; i < r->n_batch; i++) {
        int64_t t = r->order[from + i];
        r->batch_task[i] = t;
        r->batch_row[i] = r->first[t] + rng_below(&rng, (uint32_t)(r->first[t + 1] - r->first[t]));
    }
}

/* x [n adapters, size] += one [size]; rows of x are ld apart, of `columns` numbers. */
static void add_offset(float *x, int64_t stride, int64_t ld, const float *one, int64_t tasks, int64_t layers,
                       int64_t rank, int64_t columns) {
    for (int64_t i = 0; i < tasks * layers; i++)
        for (int64_t j = 0; j < rank; j++) {
            float *to = x + i * stride + j * ld;
            const float *from = one + (i % layers * rank + j) * columns;
            for (int64_t k = 0; k < columns; k++) to[k] += from[k];
        }
}

/* Loss and gradients of a module of the batch. */
static Status module_loss(double *loss, const Recon *r, const LoraSet *set, LoraModule m) {
    const Config *c = r->cfg;
    const HypernetConfig *h = &r->info.hypernet;
    LoraView w = set->w[m];
    ReconShape shape = {.items = r->n_batch * h->n_layers,
                        .rank = h->rank,
                        .in = h->in[m],
                        .out = h->out[m],
                        .c = (float)c->recon.c,
                        .weight = 1.0 / h->n_modules};
    if (!is_delta_w(c)) return recon_factor(r->dev, loss, set->g[m], w, r->targets.w[m], r->index, shape);
    if (r->offset.n_adapters > 0) {
        LoraView o = r->offset.w[m];
        add_offset(w.a, w.a_stride, w.lda, o.a, r->n_batch, h->n_layers, h->rank, h->in[m]);
        add_offset(w.bt, w.bt_stride, w.ldb, o.bt, r->n_batch, h->n_layers, h->rank, h->out[m]);
    }
    return recon_delta_w(r->dev, loss, set->g[m], w, r->targets.w[m], r->index, shape);
}

Status recon_step(RunStep *out, Recon *r, ReconStepOpts opts) {
    const HypernetConfig *h = &r->info.hypernet;
    const Hypernet *hn = &r->hypernet;
    int64_t number = r->at.step + r->at.moved;
    LoraSet set;
    memset(out, 0, sizeof *out);
    recon_batch(r, number);
    for (int64_t i = 0; i < r->n_batch; i++) {
        memcpy(r->batch_embeddings + i * h->embed, r->embeddings + r->batch_row[i] * h->embed,
               (size_t)h->embed * sizeof(float));
        for (int64_t l = 0; l < h->n_layers; l++)
            r->index[i * h->n_layers + l] = r->batch_task[i] * h->n_layers + l;
    }
    HypernetRun run = {.train = true, .seed = (uint64_t)r->cfg->seed, .step = (uint64_t)number};
    TRY(hypernet_forward(&set, &r->hypernet, r->dev,
                         tensor_2d(r->batch_embeddings, DT_F32, r->n_batch, h->embed), run));
    for (int i = 0; i < h->n_modules; i++) {
        double loss;
        TRY(module_loss(&loss, r, &set, h->modules[i]));
        out->loss += loss;
    }
    out->commitment = hn->commitment;
    out->loss += out->commitment;
    TRY(hypernet_backward(&r->hypernet, r->dev, tensor_2d(NULL, DT_F32, r->n_batch, h->embed)));
    OptimizerSpan span = {hn->params, hn->m, hn->v, hn->grads, hn->n_params};
    OptimizerRun optimizer = {.cfg = r->cfg, .total = r->total, .update = opts.update};
    int64_t before = r->at.step;
    TRY(optimizer_step(out, &r->at, r->dev, span, optimizer));
    hypernet_settle(&r->hypernet, r->at.step > before);
    return OK;
}

/* ---- the run ---- */

static Status run_step(RunStep *out, void *self, bool update) {
    return recon_step(out, self, (ReconStepOpts){.update = update});
}

static Status run_validate(RunVal *out, void *self) {
    return recon_validate(out, self);
}

static Status run_write(void *self, const char *dir) {
    Recon *r = self;
    r->info.step = r->at.step;
    return ckpt_write(dir, &r->hypernet, &r->info);
}

static Status run_read(void *self, const char *dir) {
    Recon *r = self;
    return ckpt_load(&r->hypernet, dir);
}

Status recon_train(RunResult *out, Recon *r, RunOpts opts) {
    const RunKind kind = {.step = run_step, .validate = run_validate, .write = run_write, .read = run_read};
    Run run = {.kind = &kind, .self = r, .at = &r->at, .total = r->total, .cfg = r->cfg};
    return run_train(out, &run, opts);
}
