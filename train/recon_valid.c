/* Validation of a training by reconstruction: train/recon.h. */
#include "train/recon.h"

#include <math.h>
#include <string.h>

/* Squares over all tasks, layers and modules: of B A - B* A*, and of B* A*. */
typedef struct Error {
    double off, all;
} Error;

static double dot(const float *x, const float *y, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (double)x[i] * (double)y[i];
    return sum;
}

/* |P|_F^2 = sum_ij (B^T B)_ij (A A^T)_ij of a product P = B A, for P = B A - B* A* over the rank of both,
 * without forming it. Rows of w and want (A and B^T of layer and task): rank each. */
static void add_layer(Error *e, LoraView w, LoraView want, int64_t item, int64_t layer, int64_t rank,
                      int64_t in, int64_t out) {
    const float *a = w.a + item * w.a_stride, *bt = w.bt + item * w.bt_stride;
    const float *a1 = want.a + layer * want.a_stride, *b1 = want.bt + layer * want.bt_stride;
    for (int64_t i = 0; i < rank; i++)
        for (int64_t j = 0; j < rank; j++) {
            double target = dot(a1 + i * want.lda, a1 + j * want.lda, in) *
                            dot(b1 + i * want.ldb, b1 + j * want.ldb, out);
            e->all += target;
            e->off += target;
            e->off += dot(a + i * w.lda, a + j * w.lda, in) * dot(bt + i * w.ldb, bt + j * w.ldb, out);
            e->off -=
                2 * dot(a + i * w.lda, a1 + j * want.lda, in) * dot(bt + i * w.ldb, b1 + j * want.ldb, out);
        }
}

/* The library's adapter t, as it was before it became a target. */
static void restore(Recon *r, int64_t t) {
    const HypernetConfig *h = &r->info.hypernet;
    for (int i = 0; i < h->n_modules; i++) {
        LoraView from = r->targets.w[h->modules[i]], to = r->target.w[h->modules[i]];
        int64_t na = h->n_layers * to.a_stride, nb = h->n_layers * to.bt_stride;
        memcpy(to.a, from.a + t * na, (size_t)na * sizeof(float));
        memcpy(to.bt, from.bt + t * nb, (size_t)nb * sizeof(float));
    }
    if (strcmp(r->cfg->recon.loss, "factorized") == 0)
        hypernet_output_apply(&r->hypernet, r->dev, &r->target);
}

/* Task t from embeddings row, ..., row + n. */
static Status add_task(Error *e, Recon *r, int64_t t, int64_t row, int64_t n) {
    const HypernetConfig *h = &r->info.hypernet;
    restore(r, t);
    for (int64_t done = 0; done < n;) {
        int64_t now = n - done < r->cfg->train.batch_tasks ? n - done : r->cfg->train.batch_tasks;
        LoraSet set;
        TRY(hypernet_forward(&set, &r->hypernet, r->dev,
                             tensor_2d(r->embeddings + (row + done) * h->embed, DT_F32, now, h->embed),
                             (HypernetRun){.train = false}));
        for (int64_t i = 0; i < now * h->n_layers; i++)
            for (int m = 0; m < h->n_modules; m++) {
                LoraModule module = h->modules[m];
                add_layer(e, set.w[module], r->target.w[module], i, i % h->n_layers, h->rank, h->in[module],
                          h->out[module]);
            }
        done += now;
    }
    return OK;
}

static RunSet set_of(const char *name, Error e) {
    return (RunSet){.name = name, .loss = sqrt(e.off > 0 ? e.off : 0) / (e.all > 0 ? sqrt(e.all) : 1)};
}

Status recon_validate(RunVal *out, Recon *r) {
    Error trained = {0}, seen = {0};
    for (int64_t t = 0; t < r->n_tasks; t++) {
        TRY(add_task(&trained, r, t, r->first[t], 1));
        TRY(add_task(&seen, r, t, r->unseen[t], r->unseen[t + 1] - r->unseen[t]));
    }
    *out = (RunVal){.n = 1, .set = {set_of("trained", trained)}};
    if (seen.all > 0) out->set[out->n++] = set_of("seen", seen);
    return OK;
}
