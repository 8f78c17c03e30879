#include "train/sft.h"
#include "base/progress.h"
#include "model/embedder.h"
#include "train/hyper.h"
#include "train/optimizer.h"
#include "train/task_start.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TIMED_STEPS = 3, COUNTED_STEPS = 32 }; /* the first timed one warms up */

/* Every description that trains, then every one that validates. *texts owns the array. */
static Status list_descriptions(const char ***texts, Sft *s) {
    const char **train;
    int64_t n, n_valid = sft_valid_texts(s, NULL, 0);
    TRY(batch_descriptions(&train, &n, &s->source));
    *texts = realloc(train, (size_t)(n + n_valid) * sizeof *train);
    if (!*texts) {
        free(train);
        return status_error(E_ENV, "no memory for a list of %lld descriptions", (long long)(n + n_valid));
    }
    s->n_embeddings = n + sft_valid_texts(s, *texts + n, n);
    return OK;
}

/* data.embedding=onehot: in place of each description's embedding its task's unit vector. */
static Status number_all(Sft *s, int64_t *width) {
    int64_t n = s->source.n_tasks, rows = s->source.first_description[n];
    const SftSet *seen = s->n_sets > 0 ? &s->sets[0] : NULL;
    *width = n;
    s->n_embeddings = rows + sft_valid_texts(s, NULL, rows);
    s->embeddings = calloc((size_t)(s->n_embeddings * n), sizeof(float));
    if (!s->embeddings)
        return status_error(E_ENV, "no memory for %lld embeddings", (long long)s->n_embeddings);
    for (int64_t t = 0; t < n; t++) {
        for (int64_t i = s->source.first_description[t]; i < s->source.first_description[t + 1]; i++)
            s->embeddings[i * n + t] = 1.0f;
        int64_t last = seen && t + 1 < n ? seen->first[t + 1] : s->n_embeddings;
        for (int64_t i = seen ? seen->first[t] : last; i < last; i++) s->embeddings[i * n + t] = 1.0f;
    }
    return OK;
}

/* Embeds every description, once. */
static Status embed_all(Sft *s, const char *encoder_path, int64_t *width, bool quiet) {
    const char **texts;
    Embedder encoder;
    if (hyper_is_onehot(s->cfg)) return number_all(s, width);
    TRY(list_descriptions(&texts, s));
    Status st = embedder_open(&encoder, s->dev, encoder_path, hyper_is_llm(s->cfg) ? &s->llm : NULL);
    if (!status_is_ok(st)) {
        free(texts);
        return st;
    }
    *width = embedder_width(&encoder);
    s->embeddings = malloc((size_t)(s->n_embeddings * *width) * sizeof(float));
    if (!s->embeddings) st = status_error(E_ENV, "no memory for %lld embeddings", (long long)s->n_embeddings);
    Progress p = progress_begin("embed", "descriptions", s->n_embeddings, quiet);
    for (int64_t i = 0; i < s->n_embeddings && status_is_ok(st); i += 256) {
        int64_t n = s->n_embeddings - i < 256 ? s->n_embeddings - i : 256;
        st = embedder_embed(&encoder, s->dev, s->embeddings + i * *width, texts + i, n);
        progress_update(&p, i + n, NULL);
    }
    progress_end(&p, NULL);
    embedder_close(&encoder);
    free(texts);
    return st;
}

static void sft_bind(Sft *s, int64_t max_rows) {
    s->batch_embeddings = arena_f32(&s->mem, s->cfg->train.batch_tasks * s->info.hypernet.embed);
    s->row_loss = arena_f32(&s->mem, max_rows);
    if (s->n_sets > 0) valid_bind(&s->valid, &s->mem, max_rows);
}

/* Where the gradients are: the device's memory. */
static Status bind_sum(Sft *s) {
    if (s->cfg->train.accumulate == 1) return OK;
    s->sum_mem = arena_measure("sum of gradients");
    arena_f32(&s->sum_mem, s->hypernet.n_params);
    TRY(arena_commit_on(&s->sum_mem, s->dev));
    s->sum = arena_f32(&s->sum_mem, s->hypernet.n_params);
    return OK;
}

static Status name_tasks(Sft *s) {
    int64_t n = s->source.n_tasks;
    const char **names = malloc((size_t)n * sizeof *names);
    if (!names) return status_error(E_ENV, "out of memory");
    for (int64_t t = 0; t < n; t++) names[t] = s->tasks.tasks[t].name;
    Status st = hyper_tasks(&s->info, names, n);
    free(names);
    return st;
}

static Status init_hypernet(Sft *s, int64_t embed) {
    const Config *c = s->cfg;
    AdapterShape shape = llm_adapter_shape(&s->llm.cfg);
    TRY(hyper_info(&s->info, c, &shape, embed));
    if (hyper_is_onehot(c)) TRY(name_tasks(s));
    HypernetInit init = {
        .training = true, .sft_start = true, .max_tasks = c->train.batch_tasks, .seed = (uint64_t)c->seed};
    TRY(hypernet_init(&s->hypernet, s->dev, &s->info.hypernet, init));
    s->hypernet.dtype = s->llm.dtype;
    if (*c->hypernet.offset) TRY(hyper_offset(&s->hypernet, c->hypernet.offset, &shape));
    if (strcmp(c->hypernet.task_start, "descriptions") == 0)
        TRY(task_start(&s->hypernet, s->dev, s->embeddings, s->source.first_description, s->source.n_tasks));
    return OK;
}

static Status init(Sft *s, const SftPaths *paths, bool quiet) {
    const Config *c = s->cfg;
    LlmLoad load = {DT_F32, true};
    int64_t embed = 0;
    TRY(tasks_load(&s->tasks, paths->tasks));
    if (s->tasks.n_absent > 0 && !quiet)
        fprintf(stderr, "%s: %lld tasks of the list are not available, %lld are\n", paths->tasks,
                (long long)s->tasks.n_absent, (long long)s->tasks.n);
    TRY(llm_choose_dtype(&load.dtype, s->dev, c->dtype));
    TRY(llm_load(&s->llm, s->dev, paths->model, load));
    if (!s->llm.tokenizer) return status_error(E_INPUT, "%s: no tokenizer.json", paths->model);
    if (s->llm.cfg.n_eos == 0) return status_error(E_INPUT, "%s: names no end-of-text token", paths->model);
    int64_t n_tasks =
        c->data.max_tasks > 0 && c->data.max_tasks < s->tasks.n ? c->data.max_tasks : s->tasks.n;
    BatchOpts opts = {.batch_tasks = c->train.batch_tasks,
                      .max_tokens = c->data.max_tokens,
                      .prompt = batch_prompt_kind(c->data.prompt),
                      .swap = c->data.swap,
                      .equal_weight = c->train.equal_weight,
                      .seed = (uint64_t)c->seed};
    TRY(batch_source_init(&s->source, &s->llm, s->tasks.tasks, n_tasks, opts));
    int64_t steps = c->train.epochs * batch_epoch(&s->source) / c->train.accumulate;
    s->total = c->train.epochs == 0 ? c->train.steps : steps > 0 ? steps : 1;
    TRY(sft_valid_init(s, paths->heldout));
    TRY(embed_all(s, paths->encoder, &embed, quiet));
    TRY(init_hypernet(s, embed));
    TRY(batch_init(&s->batch, &s->source));
    int64_t tokens = c->train.batch_tasks * 2 * c->data.max_tokens,
            rows = c->train.batch_tasks * c->data.max_tokens;
    TRY(llm_acts_init(&s->acts, &s->llm, tokens, c->train.batch_tasks, rows, c->lora.rank, true));
    s->mem = arena_measure("step buffers");
    sft_bind(s, rows);
    TRY(arena_commit(&s->mem));
    sft_bind(s, rows);
    return bind_sum(s);
}

Status sft_init(Sft *s, Device *dev, const Config *cfg, const SftPaths *paths, bool quiet) {
    memset(s, 0, sizeof *s);
    s->cfg = cfg;
    s->dev = dev;
    Status st = init(s, paths, quiet);
    if (!status_is_ok(st)) sft_free(s);
    return st;
}

void sft_end_training(Sft *s) {
    llm_acts_free(&s->acts);
    hypernet_free(&s->hypernet);
}

void sft_free(Sft *s) {
    sft_end_training(s);
    sft_valid_free(s);
    batch_free(&s->batch);
    batch_source_free(&s->source);
    llm_free(&s->llm);
    tasks_free(&s->tasks);
    ckpt_info_free(&s->info);
    arena_free(&s->mem);
    arena_free(&s->sum_mem);
    free(s->embeddings);
    memset(s, 0, sizeof *s);
}

Status sft_adapters(LoraSet *out, Sft *s, HypernetRun run) {
    int64_t embed = s->info.hypernet.embed, n = s->batch.llm.n_seqs;
    for (int64_t i = 0; i < n; i++)
        memcpy(s->batch_embeddings + i * embed, s->embeddings + s->batch.embedding[i] * embed,
               (size_t)embed * sizeof(float));
    return hypernet_forward(out, &s->hypernet, s->dev, tensor_2d(s->batch_embeddings, DT_F32, n, embed), run);
}

/* Adds batch number `number` to out; its gradient is in hypernet.grads, and added to s->sum where that is. */
static Status add_batch(RunStep *out, Sft *s, int64_t number) {
    const Config *c = s->cfg;
    const Hypernet *h = &s->hypernet;
    LlmBatch *b = &s->batch.llm;
    LoraSet loras;
    double loss, penalty, share = 1.0 / (double)c->train.accumulate;
    TRY(batch_next(&s->batch, &s->source, number));
    for (int64_t i = 0; i < b->n_rows; i++) b->weight[i] *= (float)share;
    HypernetRun hrun = {.train = true, .seed = (uint64_t)c->seed, .step = (uint64_t)number};
    TRY(sft_adapters(&loras, s, hrun));
    LlmRun run = {true, (float)c->train.neftune, (uint64_t)c->seed, (uint64_t)number};
    TRY(llm_forward(&s->llm, s->dev, &s->acts, b, &loras, run));
    CrossEntropyOut ce = {.loss = s->row_loss};
    TRY(llm_loss(&loss, &s->llm, s->dev, &s->acts, b, ce, (float)c->train.label_smoothing));
    TRY(llm_backward(&s->llm, s->dev, &s->acts, b, &loras, run));
    TRY(lora_penalty(s->dev, &penalty, &loras, s->info.hypernet.in, s->info.hypernet.out,
                     c->train.ab_penalty * share));
    TRY(hypernet_backward(&s->hypernet, s->dev, tensor_2d(NULL, DT_F32, b->n_seqs, s->info.hypernet.embed)));
    if (s->sum)
        TRY(add_fwd(s->dev, device_2d(s->dev, s->sum, 1, h->n_params),
                    device_2d(s->dev, h->grads, 1, h->n_params)));
    out->loss += loss;
    out->penalty += penalty;
    out->commitment += h->commitment * share;
    out->tokens += b->n_tokens;
    return OK;
}

Status sft_step(RunStep *out, Sft *s, SftStepOpts opts) {
    const Hypernet *h = &s->hypernet;
    int64_t number = s->at.step + s->at.moved, k = s->cfg->train.accumulate;
    memset(out, 0, sizeof *out);
    if (s->sum) TRY(device_zero(s->dev, s->sum, (size_t)h->n_params * sizeof(float)));
    for (int64_t i = 0; i < k; i++) TRY(add_batch(out, s, number * k + i));
    OptimizerSpan span = {h->params, h->m, h->v, s->sum ? s->sum : h->grads, h->n_params};
    OptimizerRun run = {.cfg = s->cfg, .total = s->total, .update = opts.update};
    int64_t before = s->at.step;
    TRY(optimizer_step(out, &s->at, s->dev, span, run));
    hypernet_settle(&s->hypernet, s->at.step > before);
    return OK;
}

Status sft_time_step(double *seconds, double *tokens, Sft *s) {
    RunStep step;
    double rate = 0;
    for (int i = 0; i < TIMED_STEPS; i++) {
        double t = now_seconds();
        TRY(sft_step(&step, s, (SftStepOpts){.update = false}));
        t = (double)step.tokens / (now_seconds() - t);
        if (t > rate) rate = t;
    }
    *tokens = 0;
    for (int i = 0; i < COUNTED_STEPS; i++) {
        TRY(batch_next(&s->batch, &s->source, s->at.step + i));
        *tokens += (double)(s->batch.llm.n_tokens * s->cfg->train.accumulate) / COUNTED_STEPS;
    }
    *seconds = *tokens / rate;
    return OK;
}

static Status run_step(RunStep *out, void *self, bool update_too) {
    return sft_step(out, self, (SftStepOpts){.update = update_too});
}

static Status run_validate(RunVal *out, void *self) {
    return sft_validate(out, self);
}

static Status run_write(void *self, const char *dir) {
    Sft *s = self;
    s->info.step = s->at.step;
    return ckpt_write(dir, &s->hypernet, &s->info);
}

static Status run_read(void *self, const char *dir) {
    Sft *s = self;
    return ckpt_load(&s->hypernet, dir);
}

Status sft_run(RunResult *out, Sft *s, RunOpts opts) {
    const RunKind kind = {.step = run_step,
                          .validate = s->n_sets > 0 ? run_validate : NULL,
                          .write = run_write,
                          .read = run_read};
    Run run = {.kind = &kind, .self = s, .at = &s->at, .total = s->total, .cfg = s->cfg};
    return run_train(out, &run, opts);
}
