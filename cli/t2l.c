#include "cli/t2l.h"
#include "data/fetch.h"

#include <stdlib.h>
#include <string.h>

bool t2l_is_onehot(const T2l *t) {
    return t->info.tasks != NULL;
}

static Status load_llm(T2l *t, const Cli *cli) {
    char *path;
    LlmLoad load = {0};
    TRY(llm_choose_dtype(&load.dtype, t->dev, cli->dtype));
    TRY(fetch_resolve(&path, t->info.model, cli->cache));
    Status s = llm_load(&t->llm, t->dev, path, load);
    free(path);
    t->has_llm = status_is_ok(s);
    return s;
}

static Status open_encoder(T2l *t, const Cli *cli, const Llm *llm, const char *model) {
    char *path = NULL;
    bool base = strcmp(t->info.embedding, "llm") == 0,
         lent = base && llm && strcmp(model, t->info.model) == 0;
    if (base && !lent) TRY(load_llm(t, cli));
    if (!base) TRY(fetch_resolve(&path, t->info.encoder, cli->cache));
    Status s = embedder_open(&t->embedder, t->dev, path, lent ? llm : base ? &t->llm : NULL);
    free(path);
    t->has_embedder = status_is_ok(s);
    return s;
}

static Status open_embedder(T2l *t, const Cli *cli, const char *ckpt, const Llm *llm, const char *model) {
    if (t2l_is_onehot(t)) return OK;
    TRY(status_wrap(open_encoder(t, cli, llm, model), "%s: what embeds its descriptions", ckpt));
    int64_t width = embedder_width(&t->embedder);
    if (width == t->info.hypernet.embed) return OK;
    return status_error(E_INPUT, "%s: made for embeddings of %lld numbers, but %s gives %lld", ckpt,
                        (long long)t->info.hypernet.embed, t->embedder.llm ? t->info.model : t->info.encoder,
                        (long long)width);
}

static Status open_hypernet(T2l *t, const char *ckpt, int64_t max_tasks) {
    HypernetInit init = {.max_tasks = max_tasks};
    TRY(hypernet_init(&t->hypernet, t->dev, &t->info.hypernet, init));
    t->has_hypernet = true;
    t->embeddings = malloc((size_t)(max_tasks * t->info.hypernet.embed) * sizeof(float));
    if (!t->embeddings) return status_error(E_ENV, "%s: out of memory", ckpt);
    return ckpt_load(&t->hypernet, ckpt);
}

Status t2l_open(T2l *out, Device *dev, const Cli *cli, const char *ckpt, int64_t max_tasks, const Llm *llm,
                const char *model) {
    memset(out, 0, sizeof *out);
    out->dev = dev;
    Status s = ckpt_info(&out->info, ckpt);
    if (status_is_ok(s)) s = open_embedder(out, cli, ckpt, llm, model);
    if (status_is_ok(s)) s = open_hypernet(out, ckpt, max_tasks);
    if (!status_is_ok(s)) t2l_close(out);
    return s;
}

void t2l_close(T2l *t) {
    if (t->has_hypernet) hypernet_free(&t->hypernet);
    if (t->has_embedder) embedder_close(&t->embedder);
    if (t->has_llm) llm_free(&t->llm);
    ckpt_info_free(&t->info);
    free(t->embeddings);
    memset(t, 0, sizeof *t);
}

/* The unit vector of a task by name or number. */
static Status embed_task(const T2l *t, float *out, const char *name) {
    int64_t n = t->info.hypernet.embed, found = -1;
    for (int64_t i = 0; i < n && found < 0; i++)
        if (strcmp(t->info.tasks[i], name) == 0) found = i;
    char *end;
    long long number = strtoll(name, &end, 10);
    if (found < 0 && *name && !*end && number >= 0 && number < n) found = number;
    if (found < 0)
        return status_error(
            E_USAGE,
            "'%.60s' is no task of this Text-to-LoRA, which was trained with data.embedding=onehot and "
            "reads no descriptions: give the name of a task it was trained on, or its number, 0 to %lld "
            "(`t2l inspect` lists them; the first is '%s')",
            name, (long long)n - 1, t->info.tasks[0]);
    memset(out, 0, (size_t)n * sizeof *out);
    out[found] = 1.0f;
    return OK;
}

Status t2l_embed(void *ctx, float *out, const char *const *texts, int64_t n) {
    T2l *t = ctx;
    if (!t2l_is_onehot(t)) return embedder_embed(&t->embedder, t->dev, out, texts, n);
    for (int64_t i = 0; i < n; i++) TRY(embed_task(t, out + i * t->info.hypernet.embed, texts[i]));
    return OK;
}

Status t2l_adapters(LoraSet *out, T2l *t, const char *const *texts, int64_t n) {
    TRY(t2l_embed(t, t->embeddings, texts, n));
    Tensor e = tensor_2d(t->embeddings, DT_F32, n, t->info.hypernet.embed);
    return hypernet_forward(out, &t->hypernet, t->dev, e, (HypernetRun){0});
}

Status t2l_write_adapter(T2l *t, const char *text, const char *dir) {
    LoraSet set;
    Adapter a;
    const HypernetConfig *c = &t->info.hypernet;
    TRY(t2l_adapters(&set, t, &text, 1));
    TRY(lora_to_adapter(&a, &set, 0, c->in, c->out, t->info.lora_alpha));
    a.base_model = strdup(t->info.model);
    AdapterWriteOptions opts = {.dropout = c->lora_dropout, .description = text};
    Status s = a.base_model ? adapter_write(dir, &a, &opts) : status_error(E_ENV, "out of memory");
    adapter_free(&a);
    return s;
}

Status t2l_check_shape(const T2l *t, const AdapterShape *shape, const char *model) {
    const HypernetConfig *c = &t->info.hypernet;
    bool fits = c->n_layers == shape->n_layers;
    for (int i = 0; i < c->n_modules; i++)
        fits = fits && c->in[c->modules[i]] == shape->in[c->modules[i]] &&
               c->out[c->modules[i]] == shape->out[c->modules[i]];
    if (fits) return OK;
    return status_error(
        E_INPUT, "this Text-to-LoRA was trained for %s, whose layers have other shapes than those of %s",
        t->info.model, model);
}
