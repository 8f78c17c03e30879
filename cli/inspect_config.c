#include "cli/inspect.h"
#include "model/hypernet.h"
#include "train/config.h"

#include <string.h>

static Status from_shapes(HypernetConfig *out, const Config *c) {
    memset(out, 0, sizeof *out);
    out->size = *c->hypernet.size == 'S' ? HYPERNET_S : *c->hypernet.size == 'M' ? HYPERNET_M : HYPERNET_L;
    TRY(hypernet_encoder_parse(&out->encoder, c->hypernet.encoder));
    out->embed = c->shapes.embedding;
    out->latent = c->hypernet.latent;
    out->head = c->hypernet.head;
    out->rank = c->lora.rank;
    out->n_layers = c->shapes.layers;
    out->n_modules = c->lora.modules.n;
    out->learned_positions = strcmp(c->hypernet.rank_positions, "learned") == 0;
    out->head_bias = !*c->hypernet.offset;
    out->learned_offset = c->hypernet.offset_learn;
    for (int i = 0; i < c->lora.modules.n; i++) {
        TRY(lora_module_parse(&out->modules[i], c->lora.modules.name[i]));
        for (int j = 0; j < c->shapes.n; j++)
            if (strcmp(c->shapes.name[j], c->lora.modules.name[i]) == 0) {
                out->in[out->modules[i]] = c->shapes.in[j];
                out->out[out->modules[i]] = c->shapes.out[j];
            }
    }
    return OK;
}

/* 1234567 as 1,234,567. */
static void group_digits(char out[32], int64_t n) {
    char digits[24];
    int len = snprintf(digits, sizeof digits, "%lld", (long long)n), k = 0;
    for (int i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0) out[k++] = ',';
        out[k++] = digits[i];
    }
    out[k] = 0;
}

static Status print_count(const Cli *cli, const Config *c, const char *path) {
    if (!c->shapes.layers)
        return status_error(
            E_INPUT, "%s: without \"shapes\" there is nothing to count; see configs/mistral-7b-M.json", path);
    HypernetConfig hn;
    int64_t hypernet, adapter = 0;
    TRY(from_shapes(&hn, c));
    TRY(hypernet_count(&hypernet, &hn));
    for (int i = 0; i < hn.n_modules; i++)
        adapter += hn.n_layers * hn.rank * (hn.in[hn.modules[i]] + hn.out[hn.modules[i]]);
    if (cli->json) {
        printf("{\"size\":\"%s\",\"hypernet_parameters\":%lld,\"adapter_parameters\":%lld}\n",
               c->hypernet.size, (long long)hypernet, (long long)adapter);
        return OK;
    }
    char readable[2][32];
    group_digits(readable[0], hypernet);
    group_digits(readable[1], adapter);
    printf("hypernetwork %s: %s parameters (%lld)\neach adapter it makes: %s parameters (%lld)\n",
           c->hypernet.size, readable[0], (long long)hypernet, readable[1], (long long)adapter);
    return OK;
}

Status inspect_config(Cli *cli, const char *path) {
    Config c;
    TRY(config_load(&c, path, 0, NULL));
    Status s = print_count(cli, &c, path);
    config_free(&c);
    return s;
}
