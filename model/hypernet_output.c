/* The output stage: from the heads' numbers to an adapter, in place. */
#include "kernels/vec.h"
#include "model/hypernet.h"

#include <string.h>

int64_t hypernet_output_span(int64_t *offset, const HypernetConfig *cfg, int module_index, int f) {
    int64_t at = 0, unit = cfg->n_layers * cfg->rank;
    for (int i = 0; i < module_index; i++)
        at += unit * (cfg->in[cfg->modules[i]] + cfg->out[cfg->modules[i]]);
    LoraModule m = cfg->modules[module_index];
    *offset = f ? at + unit * cfg->in[m] : at;
    return unit * (f ? cfg->out[m] : cfg->in[m]);
}

static void bind(HypernetOutput *o, HypernetOutputInit opts) {
    o->each = opts.each ? arena_f32(&o->mem, o->n) : NULL;
    o->shift = opts.shift ? arena_f32(&o->mem, o->n) : NULL;
}

Status hypernet_output_init(Hypernet *hn, HypernetOutputInit opts) {
    HypernetOutput o = {.on = true,
                        .in_training = opts.in_training,
                        .scale = (float)opts.scale,
                        .mem = arena_measure("hypernetwork output")};
    int64_t offset;
    if (hn->dev->kind != DEVICE_CPU)
        return status_error(E_UNSUPPORTED,
                            "hypernetwork: an output stage has no %s backend; use --device cpu",
                            hn->dev->memory->name);
    CHECK(!hn->cfg.learned_offset, "hypernetwork: its output stage is the learned offset");
    for (int i = 0; i < hn->cfg.n_modules; i++)
        for (int f = 0; f < 2; f++) o.n += hypernet_output_span(&offset, &hn->cfg, i, f);
    bind(&o, opts);
    TRY(arena_commit(&o.mem));
    bind(&o, opts);
    for (int64_t i = 0; o.each && i < o.n; i++) o.each[i] = 1.0f;
    arena_free(&hn->output.mem);
    hn->output = o;
    return OK;
}

VEC_TARGETS static void hypernet_output_row(float *x, const float *each, const float *shift, float scale,
                                            int64_t n) {
    if (each)
#pragma omp simd
        for (int64_t i = 0; i < n; i++) x[i] *= each[i];
    else
#pragma omp simd
        for (int64_t i = 0; i < n; i++) x[i] *= scale;
    if (shift)
#pragma omp simd
        for (int64_t i = 0; i < n; i++) x[i] += shift[i];
}

/* One factor of one module: item (t,l), rank j. */
static void apply(const Hypernet *hn, Device *dev, float *x, int64_t stride, int64_t ld, int64_t tasks,
                  int64_t at, int64_t columns) {
    const HypernetOutput *o = &hn->output;
    int64_t r = hn->cfg.rank, layers = hn->cfg.n_layers;
#pragma omp parallel for num_threads(dev->n_threads) schedule(static)
    for (int64_t i = 0; i < tasks * layers; i++)
        for (int64_t j = 0; j < r; j++) {
            int64_t from = at + (i % layers * r + j) * columns;
            hypernet_output_row(x + i * stride + j * ld, o->each ? o->each + from : NULL,
                                o->shift ? o->shift + from : NULL, o->scale, columns);
        }
}

void hypernet_output_apply(const Hypernet *hn, Device *dev, const LoraSet *set) {
    const HypernetConfig *cfg = &hn->cfg;
    for (int i = 0; i < cfg->n_modules; i++) {
        LoraModule m = cfg->modules[i];
        LoraView w = set->w[m];
        int64_t at;
        hypernet_output_span(&at, cfg, i, 0);
        apply(hn, dev, w.a, w.a_stride, w.lda, set->n_adapters, at, cfg->in[m]);
        hypernet_output_span(&at, cfg, i, 1);
        apply(hn, dev, w.bt, w.bt_stride, w.ldb, set->n_adapters, at, cfg->out[m]);
    }
}
