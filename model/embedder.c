#include "model/embedder.h"

#include <string.h>

Status embedder_open(Embedder *e, Device *dev, const char *encoder, const Llm *llm) {
    memset(e, 0, sizeof *e);
    e->llm = llm;
    if (llm) return OK;
    if (dev->kind != DEVICE_CPU) TRY(device_open(&e->cpu, "cpu", 0));
    e->own_cpu = dev->kind != DEVICE_CPU;
    Status s = encoder_load(&e->encoder, e->own_cpu ? &e->cpu : dev, encoder);
    if (!status_is_ok(s) && e->own_cpu) device_close(&e->cpu);
    return s;
}

void embedder_close(Embedder *e) {
    if (!e->llm) encoder_free(&e->encoder);
    if (e->own_cpu) device_close(&e->cpu);
    memset(e, 0, sizeof *e);
}

int64_t embedder_width(const Embedder *e) {
    return e->llm ? e->llm->cfg.width : encoder_width(&e->encoder);
}

Status embedder_embed(Embedder *e, Device *dev, float *out, const char *const *texts, int64_t n) {
    if (e->llm) return llm_embed(e->llm, dev, out, texts, n);
    return encoder_embed(&e->encoder, e->own_cpu ? &e->cpu : dev, out, texts, n);
}
