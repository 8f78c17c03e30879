#include "train/hyper.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static HypernetSize size_of(const char *s) {
    return s[0] == 'S' ? HYPERNET_S : s[0] == 'M' ? HYPERNET_M : HYPERNET_L;
}

static Status set_config(HypernetConfig *h, const Config *cfg, const AdapterShape *shape, int64_t embed) {
    *h = (HypernetConfig){.size = size_of(cfg->hypernet.size),
                          .embed = embed,
                          .latent = cfg->hypernet.latent,
                          .head = cfg->hypernet.head,
                          .rank = cfg->lora.rank,
                          .n_layers = shape->n_layers,
                          .dropout = cfg->hypernet.dropout,
                          .lora_scale = cfg->lora.alpha / sqrt((double)cfg->lora.rank),
                          .lora_dropout = cfg->lora.dropout,
                          .learned_positions = strcmp(cfg->hypernet.rank_positions, "learned") == 0,
                          .head_bias = true};
    for (int i = 0; i < cfg->lora.modules.n; i++) {
        LoraModule m;
        TRY(lora_module_parse(&m, cfg->lora.modules.name[i]));
        h->modules[h->n_modules++] = m;
        h->in[m] = shape->in[m];
        h->out[m] = shape->out[m];
    }
    return OK;
}

Status hyper_info(CkptInfo *out, const Config *cfg, const AdapterShape *shape, int64_t embed) {
    memset(out, 0, sizeof *out);
    TRY(set_config(&out->hypernet, cfg, shape, embed));
    out->model = strdup(cfg->model);
    out->encoder = strdup(cfg->encoder);
    out->prompt = strdup(cfg->data.prompt);
    out->lora_alpha = cfg->lora.alpha;
    return out->model && out->encoder && out->prompt
               ? OK
               : status_error(E_ENV, "out of memory (a checkpoint's names)");
}
