#include "cli/t2l.h"
#include "data/fetch.h"

#include <stdlib.h>
#include <string.h>

static Status open_encoder(T2l *t, const char *ckpt, const char *cache) {
    char *path;
    TRY(status_wrap(fetch_resolve(&path, t->info.encoder, cache), "%s: its text encoder", ckpt));
    Status s = encoder_load(&t->encoder, t->dev, path);
    free(path);
    t->has_encoder = status_is_ok(s);
    TRY(s);
    int64_t width = encoder_width(&t->encoder);
    if (width == t->info.hypernet.embed) return OK;
    return status_error(E_INPUT, "%s: made for embeddings of %lld numbers, but %s gives %lld", ckpt,
                        (long long)t->info.hypernet.embed, t->info.encoder, (long long)width);
}

static Status open_all(T2l *t, const char *ckpt, const char *cache, int64_t max_tasks) {
    TRY(ckpt_info(&t->info, ckpt));
    TRY(open_encoder(t, ckpt, cache));
    HypernetInit init = {.max_tasks = max_tasks};
    TRY(hypernet_init(&t->hypernet, t->dev, &t->info.hypernet, init));
    t->has_hypernet = true;
    t->embeddings = malloc((size_t)(max_tasks * t->info.hypernet.embed) * sizeof(float));
    if (!t->embeddings) return status_error(E_ENV, "%s: out of memory", ckpt);
    return ckpt_load(&t->hypernet, ckpt);
}

Status t2l_open(T2l *out, Device *dev, const char *ckpt, const char *cache, int64_t max_tasks) {
    memset(out, 0, sizeof *out);
    out->dev = dev;
    Status s = open_all(out, ckpt, cache, max_tasks);
    if (!status_is_ok(s)) t2l_close(out);
    return s;
}

void t2l_close(T2l *t) {
    if (t->has_hypernet) hypernet_free(&t->hypernet);
    if (t->has_encoder) encoder_free(&t->encoder);
    ckpt_info_free(&t->info);
    free(t->embeddings);
    memset(t, 0, sizeof *t);
}

Status t2l_embed(void *ctx, float *out, const char *const *texts, int64_t n) {
    T2l *t = ctx;
    return encoder_embed(&t->encoder, t->dev, out, texts, n);
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
