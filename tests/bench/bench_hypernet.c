/* Milliseconds and GFLOP/s of the hypernetwork's training pass (forward, backward, AdamW) in the shapes of
 * SmolLM2-135M (30 layers, q_proj 576->576, v_proj 576->192, rank 8) with a 384-wide encoder.
 *   bench_hypernet [threads]      0 or absent: all cores
 * per core: GFLOP/s of processor time, which other load on the machine disturbs less (with one thread, or
 * with OMP_WAIT_POLICY=passive). FLOPs are those of the products that are computed: 2mnk forward, twice that
 * backward. */
#include "base/progress.h"
#include "kernels/ops.h"
#include "model/hypernet.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double cpu_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double forward_flops(const HypernetConfig *c, int64_t t) {
    double d = (double)c->latent, rows = (double)(c->n_modules * t * c->n_layers), mlp = 2.0 * 8.0 * d * d;
    double two = c->size == HYPERNET_L ? 1 : 2, ranks = c->size == HYPERNET_S ? (double)c->rank : 1;
    double sum = rows * mlp * 2.0 + rows * two * mlp; /* mixer, mlp1, mlp2 */
    if (c->size == HYPERNET_S) sum += rows * two * ranks * mlp;
    sum += rows * two * ranks * 2.0 * (4.0 * d * d + 4.0 * d * (double)c->head);
    for (int i = 0; i < c->n_modules; i++) {
        double in = (double)c->in[c->modules[i]], out = (double)c->out[c->modules[i]];
        sum += rows / c->n_modules * 2.0 * (double)c->head * (double)c->rank * (in + out);
    }
    return sum;
}

static Status measure(Device *dev, HypernetSize size, int64_t t, DType dtype) {
    enum { E = 384, ROUNDS = 5 };
    HypernetConfig cfg = {.size = size,
                          .embed = E,
                          .latent = 128,
                          .head = 512,
                          .rank = 8,
                          .n_layers = 30,
                          .n_modules = 2,
                          .modules = {Q_PROJ, V_PROJ},
                          .in = {[Q_PROJ] = 576, [V_PROJ] = 576},
                          .out = {[Q_PROJ] = 576, [V_PROJ] = 192},
                          .dropout = 0.05f,
                          .head_bias = true};
    Hypernet hn;
    LoraSet set;
    TRY(hypernet_init(&hn, dev, &cfg, (HypernetInit){.training = true, .max_tasks = t, .seed = 1}));
    hn.dtype = dtype;
    float *e = calloc((size_t)(t * E), sizeof *e);
    if (!e) return status_error(E_ENV, "no memory");
    for (int64_t i = 0; i < t * E; i++) e[i] = (float)(i % 17) * 0.1f - 0.8f;
    Tensor te = tensor_2d(e, DT_F32, t, E);
    double best[3] = {1e9, 1e9, 1e9}, best_cpu = 1e9;
    for (int round = 0; round < ROUNDS; round++) {
        double at[4], cpu = cpu_seconds();
        at[0] = now_seconds();
        TRY(hypernet_forward(&set, &hn, dev, te, (HypernetRun){true, 1, (uint64_t)round}));
        at[1] = now_seconds();
        TRY(hypernet_backward(&hn, dev, (Tensor){0}));
        at[2] = now_seconds();
        cpu = cpu_seconds() - cpu;
        if (cpu < best_cpu) best_cpu = cpu;
        TRY(adamw(dev, hn.params, hn.m, hn.v, hn.grads, hn.n_params,
                  (AdamwOpts){1e-5, 0.9, 0.999, 1e-8, 0.01, 1.0, round + 1}));
        at[3] = now_seconds();
        for (int k = 0; k < 3; k++)
            if (at[k + 1] - at[k] < best[k]) best[k] = at[k + 1] - at[k];
    }
    double flops = 3.0 * forward_flops(&cfg, t), both = best[0] + best[1];
    printf("%-4s %-4s %3lld %10lld %8.1f %8.1f %8.1f %8.2f %8.1f %8.1f\n", hypernet_size_name(size),
           dtype_name(dtype), (long long)t, (long long)hn.n_params, best[0] * 1e3, best[1] * 1e3,
           best[2] * 1e3, flops / 1e9, flops / both / 1e9, flops / best_cpu / 1e9);
    free(e);
    hypernet_free(&hn);
    return OK;
}

int main(int argc, char **argv) {
    Device dev;
    Status st = device_open(&dev, "cpu", argc > 1 ? atoi(argv[1]) : 0);
    printf("size type   T     params   fwd ms   bwd ms adamw ms    GFLOP  GFLOP/s per core\n");
    for (int size = HYPERNET_S; size <= HYPERNET_L; size++)
        for (int bf16 = 0; bf16 <= dev.bf16_dot; bf16++)
            for (int64_t t = 8; t <= 32; t *= 2)
                if (status_is_ok(st)) st = measure(&dev, (HypernetSize)size, t, bf16 ? DT_BF16 : DT_F32);
    if (!status_is_ok(st)) fprintf(stderr, "%s\n", status_message(st));
    device_close(&dev);
    int code = (int)status_code(st);
    status_free(st);
    return code;
}
