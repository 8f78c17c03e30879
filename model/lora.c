#include "model/lora.h"

#include "kernels/ops.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

LoraView lora_layer(LoraView v, int64_t layer, int64_t n_layers) {
    if (v.a) v.a += layer * v.a_stride;
    if (v.bt) v.bt += layer * v.bt_stride;
    v.a_stride *= n_layers;
    v.bt_stride *= n_layers;
    return v;
}

/* weight * mean of squares over n_items matrices. */
static Status penalise_all(Device *dev, double *penalty, float *g, const float *x, RowItems d,
                           double weight) {
    double sum, per = weight / ((double)d.n * (double)d.rows * (double)d.columns);
    TRY(rows_penalty(dev, &sum, g, x, d, (float)(2.0 * per)));
    *penalty += sum * per;
    return OK;
}

Status lora_penalty(Device *dev, double *penalty, const LoraSet *set, const int64_t *in, const int64_t *out,
                    double weight) {
    int64_t items = set->n_adapters * set->n_layers;
    *penalty = 0;
    if (items == 0) return OK;
    for (int m = 0; m < LORA_MODULES; m++) {
        if (!set->on[m]) continue;
        LoraView w = set->w[m], g = set->g[m];
        CHECK(!g.a || (g.a_stride == w.a_stride && g.bt_stride == w.bt_stride && g.lda == w.lda &&
                       g.ldb == w.ldb),
              "lora: gradients of %s are laid out differently", lora_module_name((LoraModule)m));
        RowItems a = {items, w.a_stride, set->rank, w.lda, in[m]},
                 bt = {items, w.bt_stride, set->rank, w.ldb, out[m]};
        TRY(penalise_all(dev, penalty, g.a, w.a, a, weight));
        TRY(penalise_all(dev, penalty, g.bt, w.bt, bt, weight));
    }
    return OK;
}

static Status same_shape(const Adapter *a, const Adapter *first) {
    bool same = a->n_layers == first->n_layers && a->rank == first->rank &&
                a->n_modules == first->n_modules && adapter_scale(a) == adapter_scale(first);
    for (int i = 0; same && i < a->n_modules; i++) {
        const AdapterModule *x = &a->modules[i], *y = &first->modules[i];
        same = x->module == y->module && x->in == y->in && x->out == y->out;
    }
    if (same) return OK;
    return status_error(E_INPUT,
                        "adapters of one batch must agree in modules, shapes, rank and scale: rank %d, "
                        "%d modules, scale %g beside rank %d, %d modules, scale %g",
                        first->rank, first->n_modules, adapter_scale(first), a->rank, a->n_modules,
                        adapter_scale(a));
}

static Status put(const LoraSet *set, float *dst, const float *src, int64_t n) {
    size_t bytes = (size_t)n * sizeof *src;
    if (set->dev) return device_upload(set->dev, dst, src, bytes);
    memcpy(dst, src, bytes);
    return OK;
}

static Status take(const LoraSet *set, float *dst, const float *src, int64_t n) {
    size_t bytes = (size_t)n * sizeof *src;
    if (set->dev) return device_download(set->dev, dst, src, bytes);
    memcpy(dst, src, bytes);
    return OK;
}

/* row: room for `out` numbers. */
static Status put_module(const LoraSet *set, int64_t t, const AdapterModule *x, float *row) {
    int64_t r = set->rank, layers = set->n_layers;
    LoraView v = set->w[x->module];
    for (int64_t l = 0; l < layers; l++) {
        float *to_a = v.a + (t * layers + l) * v.a_stride, *to_b = v.bt + (t * layers + l) * v.bt_stride;
        const float *b = x->b + l * x->out * r;
        for (int64_t k = 0; k < r; k++) {
            for (int64_t j = 0; j < x->out; j++) row[j] = b[j * r + k];
            TRY(put(set, to_a + k * v.lda, x->a + (l * r + k) * x->in, x->in));
            TRY(put(set, to_b + k * v.ldb, row, x->out));
        }
    }
    return OK;
}

/* A row of a B^T for adapters of these shapes. */
static Status new_row(float **row, const AdapterModule *modules, int n) {
    int64_t widest = 1;
    for (int i = 0; i < n; i++) widest = modules[i].out > widest ? modules[i].out : widest;
    *row = malloc((size_t)widest * sizeof **row);
    return *row ? OK : status_error(E_ENV, "no memory for a row of %lld numbers", (long long)widest);
}

Status lora_put_adapter(const LoraSet *set, int64_t t, const Adapter *a) {
    float *row;
    CHECK(a->rank == set->rank && a->n_layers == set->n_layers,
          "lora: an adapter of another rank or number of layers");
    TRY(new_row(&row, a->modules, a->n_modules));
    Status s = OK;
    for (int i = 0; i < a->n_modules && status_is_ok(s); i++) {
        CHECK(set->on[a->modules[i].module], "lora: %s is not in the set",
              lora_module_name(a->modules[i].module));
        s = put_module(set, t, &a->modules[i], row);
    }
    free(row);
    return s;
}

Status lora_from_adapters(LoraSet *out, Arena *arena, const Adapter *const *adapters, int64_t n) {
    CHECK(n >= 1, "lora: %lld adapters", (long long)n);
    const Adapter *first = adapters[0];
    int64_t r = first->rank, layers = first->n_layers;
    for (int64_t t = 1; t < n; t++) TRY(same_shape(adapters[t], first));
    *out = (LoraSet){.dev = arena->device,
                     .n_adapters = n,
                     .n_layers = layers,
                     .rank = r,
                     .scale = (float)adapter_scale(first)};
    for (int i = 0; i < first->n_modules; i++) {
        const AdapterModule *shape = &first->modules[i];
        int64_t in = shape->in, to = shape->out;
        LoraView v = {.a_stride = r * in, .bt_stride = r * to, .lda = in, .ldb = to};
        v.a = arena_f32(arena, n * layers * r * in);
        v.bt = arena_f32(arena, n * layers * r * to);
        out->on[shape->module] = true;
        out->w[shape->module] = v;
    }
    if (arena->base) /* not measuring */
        for (int64_t t = 0; t < n; t++) TRY(lora_put_adapter(out, t, adapters[t]));
    return OK;
}

/* row: room for `out` numbers. */
static Status take_module(AdapterModule *to, const LoraSet *set, int64_t t, float *row) {
    int64_t r = set->rank, layers = set->n_layers;
    LoraView v = set->w[to->module];
    for (int64_t l = 0; l < layers; l++) {
        const float *a = v.a + (t * layers + l) * v.a_stride, *bt = v.bt + (t * layers + l) * v.bt_stride;
        float *b = to->b + l * to->out * r;
        for (int64_t k = 0; k < r; k++) {
            TRY(take(set, to->a + (l * r + k) * to->in, a + k * v.lda, to->in));
            TRY(take(set, row, bt + k * v.ldb, to->out));
            for (int64_t j = 0; j < to->out; j++) b[j * r + k] = row[j];
        }
    }
    return OK;
}

Status lora_to_adapter(Adapter *out, const LoraSet *set, int64_t t, const int64_t *in, const int64_t *out_dim,
                       double alpha) {
    CHECK(t >= 0 && t < set->n_adapters, "lora: adapter %lld of %lld", (long long)t,
          (long long)set->n_adapters);
    int64_t r = set->rank, layers = set->n_layers;
    *out = (Adapter){.n_layers = (int)layers, .rank = (int)r, .alpha = alpha};
    out->use_rslora = fabs(alpha / (double)r - (double)set->scale) > 1e-6 * (double)set->scale;
    CHECK(fabs(adapter_scale(out) - (double)set->scale) <= 1e-5 * (double)set->scale,
          "lora: alpha %g and rank %lld do not give scale %g", alpha, (long long)r, (double)set->scale);
    for (int m = 0; m < LORA_MODULES; m++)
        if (set->on[m])
            out->modules[out->n_modules++] =
                (AdapterModule){.module = (LoraModule)m, .in = in[m], .out = out_dim[m]};
    TRY(adapter_alloc(out));
    float *row;
    Status s = new_row(&row, out->modules, out->n_modules);
    for (int i = 0; i < out->n_modules && status_is_ok(s); i++)
        s = take_module(&out->modules[i], set, t, row);
    free(row);
    if (!status_is_ok(s)) adapter_free(out);
    return s;
}
