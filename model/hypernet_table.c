/* The parameter table: one walk names, shapes, places and counts; filling is a loop over it. */
#include "model/hypernet_internal.h"

#include "base/rng.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Random streams of one seed: "HI" in the top bits; below, the tensor's number, or A_START + module, or
 * CODEBOOK. */
static const uint64_t INIT_STREAM = (uint64_t)0x4849 << 48, A_START = 1 << 20, CODEBOOK = 1 << 21;

/* The reference's. */
enum { ONEHOT_CLASSES = 64, CODES = 32, MLP_FACTOR = 4 };

const char *hypernet_size_name(HypernetSize s) {
    static const char *const names[] = {[HYPERNET_S] = "S", [HYPERNET_M] = "M", [HYPERNET_L] = "L"};
    CHECK((unsigned)s < sizeof names / sizeof *names, "hypernetwork size %d", (int)s);
    return names[s];
}

static const char *const encoder_names[] = {[ENCODER_LINEAR] = "linear",
                                            [ENCODER_ONEHOT] = "onehot",
                                            [ENCODER_VQ] = "vq",
                                            [ENCODER_SOFTMAX] = "softmax"};
enum { N_ENCODERS = sizeof encoder_names / sizeof *encoder_names };

const char *hypernet_encoder_name(HypernetEncoder e) {
    CHECK((unsigned)e < N_ENCODERS, "task encoder %d", (int)e);
    return encoder_names[e];
}

Status hypernet_encoder_parse(HypernetEncoder *out, const char *name) {
    for (int i = 0; i < N_ENCODERS; i++)
        if (strcmp(name, encoder_names[i]) == 0) {
            *out = (HypernetEncoder)i;
            return OK;
        }
    return status_error(E_INPUT, "task encoder '%.60s'; expected linear, onehot, vq or softmax", name);
}

HypernetWidths hypernet_widths(const HypernetConfig *cfg) {
    int64_t half = cfg->latent / 2, quarter = cfg->latent / 4;
    HypernetWidths w = {.task = half, .depth = quarter, .type = quarter};
    if (cfg->encoder == ENCODER_ONEHOT)
        w = (HypernetWidths){.task = ONEHOT_CLASSES, .depth = cfg->n_layers, .type = cfg->n_modules};
    if (cfg->encoder != ENCODER_LINEAR) {
        w.hidden = MLP_FACTOR * w.task;
        w.out = cfg->encoder == ENCODER_SOFTMAX ? CODES : w.task;
    }
    if (cfg->encoder == ENCODER_VQ || cfg->encoder == ENCODER_SOFTMAX) w.codes = CODES;
    w.trunk = w.task + w.depth + w.type;
    return w;
}

int64_t hypernet_head_row(const HypernetConfig *cfg, LoraModule m) {
    return cfg->in[m] > cfg->out[m] ? cfg->in[m] : cfg->out[m];
}

int64_t hypernet_head_width(const HypernetConfig *cfg, LoraModule m) {
    switch (cfg->size) {
    case HYPERNET_L:
        return cfg->rank * (cfg->in[m] + cfg->out[m]);
    case HYPERNET_M:
        return cfg->rank * hypernet_head_row(cfg, m);
    default:
        return hypernet_head_row(cfg, m);
    }
}

/* Appends a row; its offset is returned. */
static int64_t row(HypernetLayout *out, HypernetTensor *tensors, const char *name, int64_t rows,
                   int64_t columns, HypernetFill fill, int64_t fan_in, LoraModule module) {
    int64_t at = out->n_params;
    if (tensors) {
        HypernetTensor *t = &tensors[out->n_tensors];
        *t = (HypernetTensor){.dim = {rows, columns},
                              .ndim = columns ? 2 : 1,
                              .offset = at,
                              .decay = true,
                              .fill = fill,
                              .fan_in = fan_in,
                              .module = module};
        int n = snprintf(t->name, sizeof t->name, "%s", name);
        CHECK(n > 0 && (size_t)n < sizeof t->name, "tensor name %s", name);
    }
    out->n_params += columns ? rows * columns : rows;
    out->n_tensors++;
    return at;
}

void hypernet_layout(HypernetLayout *out, HypernetTensor *tensors, const HypernetConfig *cfg) {
    HypernetWidths w = hypernet_widths(cfg);
    int64_t D = w.trunk, C = w.task, P = w.hidden, Z = w.out, K = w.codes, E = cfg->embed, H = cfg->head,
            L = cfg->n_layers, M = cfg->n_modules, r = cfg->rank;
    char name[64];
    memset(out, 0, sizeof *out);
    for (int i = 0; i < N_SLOTS; i++) out->at[i] = -1;
    for (int i = 0; i < N_BUFFERS; i++) out->buffer_at[i] = -1;
    out->factors = -1;
#define X(slot, title, rows, columns, fill, fan) \
    out->at[slot] = row(out, tensors, title, rows, columns, fill, fan, LORA_MODULES);
    switch (cfg->encoder) {
    case ENCODER_LINEAR:
        HYPERNET_TASK_LINEAR(X)
        break;
    case ENCODER_ONEHOT:
        HYPERNET_TASK_MLP(X)
        break;
    case ENCODER_VQ:
        HYPERNET_TASK_MLP(X)
        HYPERNET_TASK_NORM(X)
        break;
    case ENCODER_SOFTMAX:
        HYPERNET_TASK_MLP(X)
        HYPERNET_TASK_CODES(X)
        HYPERNET_TASK_NORM(X)
        break;
    }
    if (cfg->encoder != ENCODER_ONEHOT) {
        HYPERNET_PLACES(X)
    }
    HYPERNET_TRUNK(X)
    if (cfg->size != HYPERNET_L) {
        out->factors = out->n_params;
        for (int i = 0; i < cfg->n_modules; i++)
            for (int f = 0; f < 2; f++) {
                snprintf(name, sizeof name, "out_emb.%s.%c", lora_module_name(cfg->modules[i]), "AB"[f]);
                row(out, tensors, name, D, 0, FILL_NORMAL, 0, LORA_MODULES);
            }
        HYPERNET_FACTORS(X)
    }
    if (cfg->size == HYPERNET_S && cfg->learned_positions) {
        HYPERNET_RANKS(X)
    }
#undef X
    out->n_trunk = out->n_params;
    for (int i = 0; i < cfg->n_modules; i++) {
        LoraModule m = cfg->modules[i];
        int64_t width = hypernet_head_width(cfg, m);
        snprintf(name, sizeof name, "heads.%s.weight", lora_module_name(m));
        out->head_w[i] = row(out, tensors, name, width, H, FILL_HEAD_WEIGHT, H, m);
        out->head_b[i] = -1;
        if (!cfg->head_bias) continue;
        snprintf(name, sizeof name, "heads.%s.bias", lora_module_name(m));
        out->head_b[i] = row(out, tensors, name, width, 0, FILL_HEAD_BIAS, H, m);
    }
    out->offset = out->n_params;
    for (int i = 0; cfg->learned_offset && i < 2 * cfg->n_modules; i++) {
        LoraModule m = cfg->modules[i / 2];
        snprintf(name, sizeof name, "offset.%s.%s", lora_module_name(m), i % 2 ? "Bt" : "A");
        row(out, tensors, name, L * r, i % 2 ? cfg->out[m] : cfg->in[m], FILL_ZERO, 0, LORA_MODULES);
    }
    if (cfg->encoder != ENCODER_VQ) return;
    HypernetLayout b = {.n_tensors = out->n_tensors}; /* rows of their own span */
#define X(slot, title, rows, columns) \
    out->buffer_at[slot] = row(&b, tensors, title, rows, columns, FILL_ZERO, 0, LORA_MODULES);
    HYPERNET_BUFFERS(X)
#undef X
    out->n_buffers = b.n_tensors - out->n_tensors;
    out->n_buffer_numbers = b.n_params;
}

static Status in_range(const char *what, int64_t value, int64_t max) {
    if (value >= 1 && value <= max) return OK;
    return status_error(E_INPUT, "hypernetwork: %s is %lld; expected 1 to %lld", what, (long long)value,
                        (long long)max);
}

static Status check_config(const HypernetConfig *cfg) {
    TRY(in_range("the embedding size", cfg->embed, 1 << 20));
    TRY(in_range("the latent size", cfg->latent, 1 << 16));
    TRY(in_range("the head size", cfg->head, 1 << 16));
    TRY(in_range("the rank", cfg->rank, 1 << 12));
    TRY(in_range("the number of layers", cfg->n_layers, 1 << 12));
    TRY(in_range("the number of modules", cfg->n_modules, LORA_MODULES));
    if (cfg->latent % 4 != 0)
        return status_error(E_INPUT, "hypernetwork: the latent size is %lld; expected a multiple of 4",
                            (long long)cfg->latent);
    if ((unsigned)cfg->encoder >= N_ENCODERS)
        return status_error(E_INPUT, "hypernetwork: task encoder %d; expected 0 to %d", (int)cfg->encoder,
                            N_ENCODERS - 1);
    if (cfg->size == HYPERNET_S && !cfg->learned_positions && hypernet_widths(cfg).trunk % 2 != 0)
        return status_error(E_INPUT,
                            "hypernetwork: rotary positions need an even width; with the onehot task encoder "
                            "it is 64 + layers + modules = %lld: choose learned positions",
                            (long long)hypernet_widths(cfg).trunk);
    if ((unsigned)cfg->size > HYPERNET_L)
        return status_error(E_INPUT, "hypernetwork: size %d; expected S, M or L", (int)cfg->size);
    if (!(cfg->dropout >= 0.0f && cfg->dropout < 1.0f))
        return status_error(E_INPUT, "hypernetwork: dropout is %g; expected 0 to below 1",
                            (double)cfg->dropout);
    if (cfg->learned_positions && cfg->size != HYPERNET_S)
        return status_error(E_INPUT, "hypernetwork: learned rank positions belong to size S, not %s",
                            hypernet_size_name(cfg->size));
    bool seen[LORA_MODULES] = {false};
    for (int i = 0; i < cfg->n_modules; i++) {
        LoraModule m = cfg->modules[i];
        if ((unsigned)m >= LORA_MODULES || seen[m])
            return status_error(E_INPUT, "hypernetwork: module %d is %s", (int)m,
                                (unsigned)m >= LORA_MODULES ? "unknown" : "named twice");
        seen[m] = true;
        TRY(status_wrap(in_range("the input size", cfg->in[m], 1 << 24), "%s", lora_module_name(m)));
        TRY(status_wrap(in_range("the output size", cfg->out[m], 1 << 24), "%s", lora_module_name(m)));
    }
    return OK;
}

Status hypernet_count(int64_t *out, const HypernetConfig *cfg) {
    HypernetLayout at;
    TRY(check_config(cfg));
    hypernet_layout(&at, NULL, cfg);
    *out = at.n_params;
    return OK;
}

const HypernetTensor *hypernet_find(const Hypernet *hn, const char *name) {
    for (int i = 0; i < hn->n_tensors; i++)
        if (strcmp(hn->tensors[i].name, name) == 0) return &hn->tensors[i];
    return NULL;
}

static void fill_uniform(Device *dev, float *x, int64_t n, double bound, uint64_t seed, uint64_t stream) {
#pragma omp parallel for num_threads(dev->n_threads) schedule(static)
    for (int64_t i = 0; i < (n + 3) / 4; i++) {
        Philox4 bits = philox(seed, stream, (uint64_t)i);
        for (int64_t k = 4 * i; k < 4 * i + 4 && k < n; k++)
            x[k] = (float)((2.0 * rng_unit(bits.v[k & 3]) - 1.0) * bound);
    }
}

/* Box & Muller 1958, on pairs of consecutive numbers of the stream. */
static void fill_normal(float *x, int64_t n, uint64_t seed, uint64_t stream) {
    for (int64_t i = 0; i < n; i += 2) {
        double radius = sqrt(-2.0 * log(1.0 - rng_unit(rng_at(seed, stream, (uint64_t)i))));
        double angle = 6.283185307179586 * rng_unit(rng_at(seed, stream, (uint64_t)i + 1));
        x[i] = (float)(radius * cos(angle));
        if (i + 1 < n) x[i + 1] = (float)(radius * sin(angle));
    }
}

static void fill_value(float *x, int64_t n, float value) {
    for (int64_t i = 0; i < n; i++) x[i] = value;
}

/* The head bias of an SFT start (method.md 3): PEFT's A, kaiming-uniform with a = sqrt(5) on [r,in]; B zero.
 * M and S share a head between A and B, so there B does not start at zero. */
static void fill_lora_start(Device *dev, float *x, const HypernetConfig *cfg, LoraModule m, uint64_t seed) {
    int64_t in = cfg->in[m], r = cfg->rank, row_size = hypernet_head_row(cfg, m),
            width = hypernet_head_width(cfg, m);
    double bound = 1.0 / sqrt((double)in);
    uint64_t stream = INIT_STREAM | (A_START + (uint64_t)m);
    fill_value(x, width, 0.0f);
    switch (cfg->size) {
    case HYPERNET_L:
        fill_uniform(dev, x, r * in, bound, seed, stream);
        break;
    case HYPERNET_M:
        fill_uniform(dev, x, r * in, bound / sqrt(2.0), seed, stream);
        if (row_size == in) break;
        for (int64_t i = r - 1; i > 0; i--) /* row i to its place; zeros behind each */
            memmove(x + i * row_size, x + i * in, (size_t)in * sizeof *x);
        for (int64_t i = 0; i < r; i++) fill_value(x + i * row_size + in, row_size - in, 0.0f);
        break;
    case HYPERNET_S:
        fill_uniform(dev, x, width < r * in ? width : r * in, bound / sqrt(2.0) / sqrt((double)r), seed,
                     stream);
        break;
    }
}

void hypernet_fill(Hypernet *hn, Device *dev, bool sft_start, uint64_t seed) {
    for (int i = 0; i < hn->n_tensors; i++) {
        const HypernetTensor *t = &hn->tensors[i];
        float *x = hn->params + t->offset;
        int64_t n = t->ndim == 2 ? t->dim[0] * t->dim[1] : t->dim[0];
        uint64_t stream = INIT_STREAM | (uint64_t)i;
        bool head = t->fill == FILL_HEAD_WEIGHT || t->fill == FILL_HEAD_BIAS;
        if (t->fill == FILL_NORMAL)
            fill_normal(x, n, seed, stream);
        else if (t->fill == FILL_ONE)
            fill_value(x, n, 1.0f);
        else if (t->fill == FILL_ZERO || (sft_start && t->fill == FILL_HEAD_WEIGHT))
            fill_value(x, n, 0.0f);
        else if (sft_start && head)
            fill_lora_start(dev, x, &hn->cfg, t->module, seed);
        else
            fill_uniform(dev, x, n, 1.0 / sqrt((double)t->fan_in), seed, stream);
    }
    if (hn->cfg.encoder != ENCODER_VQ) return;
    /* counts are 0, the averages start as the codes */
    HypernetWidths w = hypernet_widths(&hn->cfg);
    const int64_t *at = hn->saved->at.buffer_at;
    fill_normal(hn->buffers + at[VQ_CODES], w.task * w.codes, seed, INIT_STREAM | CODEBOOK);
    memcpy(hn->buffers + at[VQ_AVERAGES], hn->buffers + at[VQ_CODES],
           (size_t)(w.task * w.codes) * sizeof(float));
}
