#include "kernels/recon/recon.h"
#include "kernels/ops.h"

static void check_view(const char *name, LoraView v, const ReconShape *s) {
    CHECK(v.a && v.bt && v.lda >= s->in && v.ldb >= s->out,
          "recon: %s has rows of %lld and %lld for [%lld,%lld]", name, (long long)v.lda, (long long)v.ldb,
          (long long)s->out, (long long)s->in);
}

static void check(LoraView g, LoraView w, LoraView target, const int64_t *index, const ReconShape *s) {
    CHECK(s->items >= 1 && s->in >= 1 && s->out >= 1, "recon: %lld items of [%lld,%lld]", (long long)s->items,
          (long long)s->out, (long long)s->in);
    CHECK(s->rank >= 1 && s->rank <= LORA_MAX_RANK, "recon: rank %lld", (long long)s->rank);
    check_view("w", w, s);
    check_view("target", target, s);
    check_view("g", g, s);
    for (int64_t i = 0; i < s->items; i++)
        CHECK(index[i] >= 0, "recon: item %lld has no target", (long long)i);
}

Status recon_delta_w(Device *dev, double *loss, LoraView g, LoraView w, LoraView target, const int64_t *index,
                     ReconShape shape) {
    check(g, w, target, index, &shape);
    return dev->ops->recon_delta_w(dev, loss, g, w, target, index, shape);
}

Status recon_factor(Device *dev, double *loss, LoraView g, LoraView w, LoraView target, const int64_t *index,
                    ReconShape shape) {
    check(g, w, target, index, &shape);
    return dev->ops->recon_factor(dev, loss, g, w, target, index, shape);
}
