#include "train/hyper.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static HypernetSize size_of(const char *s) {
    return s[0] == 'S' ? HYPERNET_S : s[0] == 'M' ? HYPERNET_M : HYPERNET_L;
}

static Status set_config(HypernetConfig *h, const Config *cfg, const AdapterShape *shape, int64_t embed) {
    HypernetEncoder encoder;
    TRY(hypernet_encoder_parse(&encoder, cfg->hypernet.encoder));
    *h = (HypernetConfig){.size = size_of(cfg->hypernet.size),
                          .encoder = encoder,
                          .embed = embed,
                          .latent = cfg->hypernet.latent,
                          .head = cfg->hypernet.head,
                          .rank = cfg->lora.rank,
                          .n_layers = shape->n_layers,
                          .dropout = cfg->hypernet.dropout,
                          .lora_scale = cfg->lora.alpha / sqrt((double)cfg->lora.rank),
                          .lora_dropout = cfg->lora.dropout,
                          .learned_positions = strcmp(cfg->hypernet.rank_positions, "learned") == 0,
                          .head_bias = !*cfg->hypernet.offset,
                          .learned_offset = cfg->hypernet.offset_learn};
    for (int i = 0; i < cfg->lora.modules.n; i++) {
        LoraModule m;
        TRY(lora_module_parse(&m, cfg->lora.modules.name[i]));
        h->modules[h->n_modules++] = m;
        h->in[m] = shape->in[m];
        h->out[m] = shape->out[m];
    }
    return OK;
}

/* ---- offset ---- */

static Status check_offset(const Adapter *a, const HypernetConfig *h, const char *dir) {
    bool on[LORA_MODULES] = {false};
    if (a->rank != h->rank)
        return status_error(E_INPUT, "%s: an adapter of rank %d, key 'lora.rank' is %lld: set lora.rank=%d",
                            dir, a->rank, (long long)h->rank, a->rank);
    for (int i = 0; i < a->n_modules; i++) on[a->modules[i].module] = true;
    for (int i = 0; i < h->n_modules; i++) {
        if (!on[h->modules[i]])
            return status_error(E_INPUT, "%s: does not adapt %s, which key 'lora.modules' names", dir,
                                lora_module_name(h->modules[i]));
        on[h->modules[i]] = false;
    }
    for (int m = 0; m < LORA_MODULES; m++)
        if (on[m])
            return status_error(E_INPUT, "%s: adapts %s, which key 'lora.modules' does not name", dir,
                                lora_module_name((LoraModule)m));
    if (fabs(adapter_scale(a) - h->lora_scale) > 1e-6 * h->lora_scale)
        return status_error(E_INPUT,
                            "%s: an adapter of scale %.9g, key 'lora.alpha' gives %.9g: set lora.alpha=%.9g",
                            dir, adapter_scale(a), h->lora_scale, adapter_scale(a) * sqrt((double)h->rank));
    return OK;
}

static Status put_offset(Hypernet *hn, const Adapter *a) {
    const HypernetConfig *h = &hn->cfg;
    LoraSet set = {.n_adapters = 1, .n_layers = h->n_layers, .rank = h->rank};
    for (int i = 0; i < h->n_modules; i++) {
        LoraModule m = h->modules[i];
        int64_t in = h->in[m], out = h->out[m], at_a, at_b;
        hypernet_output_span(&at_a, h, i, 0);
        hypernet_output_span(&at_b, h, i, 1);
        set.on[m] = true;
        set.w[m] = (LoraView){.a = hn->output.shift + at_a,
                              .bt = hn->output.shift + at_b,
                              .a_stride = h->rank * in,
                              .bt_stride = h->rank * out,
                              .lda = in,
                              .ldb = out};
    }
    return lora_put_adapter(&set, 0, a);
}

Status hyper_offset(Hypernet *hn, const char *dir, const AdapterShape *shape) {
    HypernetOutputInit frozen = {.scale = 1, .shift = true, .in_training = true};
    Adapter a;
    TRY(adapter_load(&a, dir, shape));
    Status s = check_offset(&a, &hn->cfg, dir);
    if (status_is_ok(s) && !hn->output.on) s = hypernet_output_init(hn, frozen);
    if (status_is_ok(s)) s = put_offset(hn, &a);
    adapter_free(&a);
    return s;
}

/* ---- info ---- */

Status hyper_info(CkptInfo *out, const Config *cfg, const AdapterShape *shape, int64_t embed) {
    memset(out, 0, sizeof *out);
    TRY(set_config(&out->hypernet, cfg, shape, embed));
    out->model = strdup(cfg->model);
    out->encoder = strdup(cfg->encoder);
    out->prompt = strdup(cfg->data.prompt);
    out->embedding = strdup(cfg->data.embedding);
    out->lora_alpha = cfg->lora.alpha;
    return out->model && out->encoder && out->prompt && out->embedding
               ? OK
               : status_error(E_ENV, "out of memory (a checkpoint's names)");
}

bool hyper_is_onehot(const Config *cfg) {
    return strcmp(cfg->data.embedding, "onehot") == 0;
}

bool hyper_is_llm(const Config *cfg) {
    return strcmp(cfg->data.embedding, "llm") == 0;
}

Status hyper_tasks(CkptInfo *info, const char *const *names, int64_t n) {
    info->tasks = calloc((size_t)n, sizeof *info->tasks);
    bool whole = info->tasks != NULL;
    for (int64_t i = 0; whole && i < n; i++) {
        info->tasks[i] = strdup(names[i]);
        whole = info->tasks[i] != NULL;
    }
    return whole ? OK : status_error(E_ENV, "out of memory (a checkpoint's names)");
}
