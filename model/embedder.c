#include "model/embedder.h"

#include <string.h>

Status embedder_open(Embedder *e, Device *dev, const char *encoder, const Llm *llm) {
    memset(e, 0, sizeof *e);
    e->llm = llm;
    return llm ? OK : encoder_load(&e->encoder, dev, encoder);
}

void embedder_close(Embedder *e) {
    if (!e->llm) encoder_free(&e->encoder);
    memset(e, 0, sizeof *e);
}

int64_t embedder_width(const Embedder *e) {
    return e->llm ? e->llm->cfg.width : encoder_width(&e->encoder);
}

Status embedder_embed(Embedder *e, Device *dev, float *out, const char *const *texts, int64_t n) {
    return e->llm ? llm_embed(e->llm, dev, out, texts, n) : encoder_embed(&e->encoder, dev, out, texts, n);
}
