/* Task encoders: a task's embedding e [E] -> the first C numbers of the trunk's input. Semantics of the
 * reference (SakanaAI/text-to-lora, hyper_modulator.py), with mlp(e) = Linear(4C->Z) d . SiLU .
 * Linear(E->4C).
 *
 * linear: LN(Linear(E->C)(e)), C = D/2.
 *
 * onehot: the unit vector of one of 64 classes, C = 64, no norm. In training the class is drawn from
 * softmax(mlp(e)), the categorical draw itself, no Gumbel noise; in inference it is the largest. Gradient:
 * straight through, as if the output were the softmax. Layers and modules are told apart by unit vectors too,
 * so the trunk is 64 + L + M wide and the latent size plays no part.
 *
 * vq: LN(q), q the code nearest to z = mlp(e), of 32 as they are before this pass moves them; C = D/2.
 * Gradient: straight through to z. Every training forward moves the codebook (hypernet_settle says whether
 * for good): counts and sums of z a code are averaged with decay 0.99, from 0 and from the first codes,
 * N(0,1); code = average / ((count + 1e-5) / (n + 32 * 1e-5) * n), n the sum of counts. A code that is not
 * used runs away, as in the reference. Commitment loss: 0.01 * mean (q - z)^2, part of the loss of
 * reconstruction; the reference leaves it out of SFT's, where it is logged only.
 *
 * softmax: LN(softmax(mlp(e)) codes), the 32 codes [32,C] are parameters, C = D/2.
 *
 * Sums over the batch run in double, in order, on one thread: T x C numbers. Streams: hypernet.c's, sites 20
 * (dropout) and 21 (draw of task t: number t). */
#include "model/hypernet_internal.h"

#include "base/rng.h"

#include <math.h>
#include <string.h>

enum { SITE_DROPOUT = 20, SITE_DRAW = 21 };
static const double DECAY = 0.99, COUNT_EPS = 1e-5, COMMITMENT = 0.01; /* the reference's */

static float *param(const Hypernet *hn, int slot) {
    return hn->params + hn->saved->at.at[slot];
}
static float *grad(const Hypernet *hn, int slot) {
    return hn->grads + hn->saved->at.at[slot];
}
static float *buffer(const Hypernet *hn, Buffer b) {
    return hn->buffers + hn->saved->at.buffer_at[b];
}
static Tensor hidden(const Hypernet *hn, float *x) {
    return device_2d(hn->dev, x, hn->saved->tasks, hypernet_widths(&hn->cfg).hidden);
}

/* ---- forward ---- */

static Status mlp_fwd(const Hypernet *hn, Device *dev) {
    const HypernetActs *s = hn->saved;
    HypernetWidths w = hypernet_widths(&hn->cfg);
    int64_t t = s->tasks;
    TRY(hypernet_linear_fwd(hn, dev, s->task_h1, s->e, param(hn, TASK_W1), param(hn, TASK_B1), t,
                            hn->cfg.embed, w.hidden));
    TRY(silu_dropout_fwd(dev, hidden(hn, s->task_a1), hidden(hn, s->task_h1),
                         hypernet_dropout(hn, SITE_DROPOUT, true)));
    return hypernet_linear_fwd(hn, dev, s->task_z, s->task_a1, param(hn, TASK_W2), param(hn, TASK_B2), t,
                               w.hidden, w.out);
}

static void softmax(float *p, const float *z, int64_t n) {
    double most = z[0], sum = 0;
    for (int64_t i = 1; i < n; i++) most = fmax(most, z[i]);
    for (int64_t i = 0; i < n; i++) sum += exp(z[i] - most);
    for (int64_t i = 0; i < n; i++) p[i] = (float)(exp(z[i] - most) / sum);
}

static int64_t largest(const float *x, int64_t n) {
    int64_t best = 0;
    for (int64_t i = 1; i < n; i++)
        if (x[i] > x[best]) best = i;
    return best;
}

/* The first class up to which the probabilities exceed u in [0,1). */
static int64_t draw(const float *p, int64_t n, double u) {
    double sum = 0;
    int64_t last = 0;
    for (int64_t i = 0; i < n; i++) {
        if (p[i] > 0) last = i;
        sum += p[i];
        if (sum > u) return i;
    }
    return last;
}

static void onehot_fwd(const Hypernet *hn) {
    const HypernetActs *s = hn->saved;
    int64_t c = hypernet_widths(&hn->cfg).task;
    SiluDropoutOpts site = hypernet_dropout(hn, SITE_DRAW, true);
    memset(s->task, 0, (size_t)(s->tasks * c) * sizeof(float));
    for (int64_t t = 0; t < s->tasks; t++) {
        float *p = s->task_p + t * c;
        softmax(p, s->task_z + t * c, c);
        float u = rng_unit(rng_at(site.seed, site.stream, (uint64_t)t));
        s->task[t * c + (s->run.train ? draw(p, c, u) : largest(p, c))] = 1.0f;
    }
}

/* codes [C,K], a code a column; the first of equally near ones. */
static int64_t nearest(const float *z, const float *codes, int64_t c, int64_t k) {
    int64_t best = 0;
    double least = INFINITY;
    for (int64_t i = 0; i < k; i++) {
        double d = 0;
        for (int64_t j = 0; j < c; j++) {
            double off = (double)z[j] - codes[j * k + i];
            d += off * off;
        }
        if (d < least) {
            least = d;
            best = i;
        }
    }
    return best;
}

/* of[t]: the task's code. */
static void move_codebook(const Hypernet *hn, const int64_t *of) {
    const HypernetActs *s = hn->saved;
    HypernetWidths w = hypernet_widths(&hn->cfg);
    int64_t c = w.task, k = w.codes;
    float *codes = buffer(hn, VQ_CODES), *counts = buffer(hn, VQ_COUNTS), *averages = buffer(hn, VQ_AVERAGES);
    double n = 0;
    for (int64_t i = 0; i < k; i++) {
        double count = 0;
        for (int64_t t = 0; t < s->tasks; t++) count += of[t] == i;
        counts[i] = (float)(DECAY * counts[i] + (1 - DECAY) * count);
        n += counts[i];
    }
    for (int64_t j = 0; j < c; j++)
        for (int64_t i = 0; i < k; i++) {
            double sum = 0, count = ((double)counts[i] + COUNT_EPS) / (n + (double)k * COUNT_EPS) * n;
            float *average = &averages[j * k + i];
            for (int64_t t = 0; t < s->tasks; t++)
                if (of[t] == i) sum += s->task_z[t * c + j];
            *average = (float)(DECAY * *average + (1 - DECAY) * sum);
            codes[j * k + i] = (float)(*average / count);
        }
}

/* task_q and task_h from task_z. */
static void vq_fwd(Hypernet *hn, Device *dev) {
    const HypernetActs *s = hn->saved;
    HypernetWidths w = hypernet_widths(&hn->cfg);
    int64_t c = w.task, k = w.codes;
    const float *codes = buffer(hn, VQ_CODES);
    size_t mark = arena_mark(&dev->scratch);
    int64_t *of = arena_alloc(&dev->scratch, (size_t)s->tasks * sizeof *of);
    double square = 0;
    for (int64_t t = 0; t < s->tasks; t++) {
        const float *z = s->task_z + t * c;
        of[t] = nearest(z, codes, c, k);
        for (int64_t j = 0; j < c; j++) {
            float q = codes[j * k + of[t]], off = q - z[j];
            s->task_q[t * c + j] = q;
            s->task_h[t * c + j] = z[j] + off; /* q, but for a z that is not finite */
            square += (double)off * off;
        }
    }
    if (s->run.train) {
        hn->commitment = COMMITMENT * square / (double)(s->tasks * c);
        move_codebook(hn, of);
    }
    arena_release(&dev->scratch, mark);
}

/* task_p and task_h from task_z. */
static void softmax_fwd(const Hypernet *hn) {
    const HypernetActs *s = hn->saved;
    HypernetWidths w = hypernet_widths(&hn->cfg);
    const float *codes = param(hn, TASK_CODES);
    for (int64_t t = 0; t < s->tasks; t++) {
        float *p = s->task_p + t * w.codes;
        softmax(p, s->task_z + t * w.codes, w.codes);
        for (int64_t j = 0; j < w.task; j++) {
            double sum = 0;
            for (int64_t i = 0; i < w.codes; i++) sum += (double)p[i] * codes[i * w.task + j];
            s->task_h[t * w.task + j] = (float)sum;
        }
    }
}

Status hypernet_task_fwd(Hypernet *hn, Device *dev) {
    const HypernetActs *s = hn->saved;
    int64_t t = s->tasks, c = hypernet_widths(&hn->cfg).task;
    if (hn->cfg.encoder == ENCODER_LINEAR) {
        TRY(hypernet_linear_fwd(hn, dev, s->task_h, s->e, param(hn, TASK_W), param(hn, TASK_B), t,
                                hn->cfg.embed, c));
        return hypernet_norm_fwd(hn, dev, s->task, s->task_stats, s->task_h, TASK_NORM_W, t, c);
    }
    TRY(mlp_fwd(hn, dev));
    if (hn->cfg.encoder == ENCODER_ONEHOT) {
        onehot_fwd(hn);
        return OK;
    }
    if (hn->cfg.encoder == ENCODER_VQ)
        vq_fwd(hn, dev);
    else
        softmax_fwd(hn);
    return hypernet_norm_fwd(hn, dev, s->task, s->task_stats, s->task_h, CODE_NORM_W, t, c);
}

/* ---- backward ---- */

/* dz from dp, a row: z -> p = softmax(z). dz may be dp. */
static void softmax_bwd(float *dz, const float *dp, const float *p, int64_t n) {
    double mean = 0;
    for (int64_t i = 0; i < n; i++) mean += (double)p[i] * dp[i];
    for (int64_t i = 0; i < n; i++) dz[i] = (float)((double)p[i] * (dp[i] - mean));
}

static void onehot_bwd(const HypernetActs *s, const float *dtask, int64_t c) {
    for (int64_t t = 0; t < s->tasks; t++)
        softmax_bwd(s->task_dz + t * c, dtask + t * c, s->task_p + t * c, c);
}

/* dh: of the norm's input. */
static void vq_bwd(const Hypernet *hn, const float *dh, int64_t c) {
    const HypernetActs *s = hn->saved;
    double scale = hn->commit ? 2 * COMMITMENT / (double)(s->tasks * c) : 0;
    for (int64_t i = 0; i < s->tasks * c; i++)
        s->task_dz[i] = (float)(dh[i] + scale * ((double)s->task_z[i] - s->task_q[i]));
}

static void codes_bwd(const Hypernet *hn, const float *dh) {
    const HypernetActs *s = hn->saved;
    HypernetWidths w = hypernet_widths(&hn->cfg);
    const float *codes = param(hn, TASK_CODES);
    float *dcodes = grad(hn, TASK_CODES);
    for (int64_t i = 0; i < w.codes; i++)
        for (int64_t j = 0; j < w.task; j++) {
            double sum = 0;
            for (int64_t t = 0; t < s->tasks; t++)
                sum += (double)s->task_p[t * w.codes + i] * dh[t * w.task + j];
            dcodes[i * w.task + j] += (float)sum;
        }
    for (int64_t t = 0; t < s->tasks; t++) {
        float *dz = s->task_dz + t * w.codes;
        for (int64_t i = 0; i < w.codes; i++) {
            double sum = 0;
            for (int64_t j = 0; j < w.task; j++) sum += (double)dh[t * w.task + j] * codes[i * w.task + j];
            dz[i] = (float)sum;
        }
        softmax_bwd(dz, dz, s->task_p + t * w.codes, w.codes);
    }
}

/* Gradients of one Linear on e: its weight at slot, its bias behind. dy [T,n] of its output. */
static Status first_bwd(const Hypernet *hn, Device *dev, const float *dy, int slot, int64_t n, Tensor d_e) {
    const HypernetActs *s = hn->saved;
    int64_t t = s->tasks, e = hn->cfg.embed;
    TRY(hypernet_linear_bwd_weight(hn, dev, grad(hn, slot), grad(hn, slot + 1), dy, s->e, t, e, n));
    if (!d_e.data) return OK;
    CHECK(d_e.ndim == 2 && d_e.dim[0] == t && d_e.dim[1] == e, "hypernetwork: d_embeddings [T,E]");
    return gemm(dev, d_e, device_2d(dev, (float *)dy, t, n), device_2d(dev, param(hn, slot), n, e),
                (GemmOpts){.alpha = 1.0f});
}

static Status mlp_bwd(const Hypernet *hn, Device *dev, Tensor d_e) {
    const HypernetActs *s = hn->saved;
    HypernetWidths w = hypernet_widths(&hn->cfg);
    int64_t t = s->tasks;
    TRY(hypernet_linear_bwd_weight(hn, dev, grad(hn, TASK_W2), grad(hn, TASK_B2), s->task_dz, s->task_a1, t,
                                   w.hidden, w.out));
    TRY(hypernet_linear_bwd_input(hn, dev, s->task_dh, s->task_dz, param(hn, TASK_W2), t, w.hidden, w.out));
    TRY(silu_dropout_bwd(dev, hidden(hn, s->task_dh), hidden(hn, s->task_dh), hidden(hn, s->task_h1),
                         hypernet_dropout(hn, SITE_DROPOUT, true)));
    return first_bwd(hn, dev, s->task_dh, TASK_W1, w.hidden, d_e);
}

Status hypernet_task_bwd(const Hypernet *hn, Device *dev, float *dtask, Tensor d_embeddings) {
    const HypernetActs *s = hn->saved;
    int64_t c = hypernet_widths(&hn->cfg).task;
    HypernetEncoder kind = hn->cfg.encoder;
    if (kind != ENCODER_ONEHOT)
        TRY(hypernet_norm_bwd(hn, dev, dtask, dtask, s->task_h, s->task_stats,
                              kind == ENCODER_LINEAR ? TASK_NORM_W : CODE_NORM_W, s->tasks, c));
    switch (kind) {
    case ENCODER_LINEAR:
        return first_bwd(hn, dev, dtask, TASK_W, c, d_embeddings);
    case ENCODER_ONEHOT:
        onehot_bwd(s, dtask, c);
        break;
    case ENCODER_VQ:
        vq_bwd(hn, dtask, c);
        break;
    case ENCODER_SOFTMAX:
        codes_bwd(hn, dtask);
        break;
    }
    return mlp_bwd(hn, dev, d_embeddings);
}
