/* What an adapter does to the model: the scale in force, and |scale B A| for every layer and module. */
#include "cli/inspect.h"
#include "data/adapter.h"

#include <math.h>
#include <string.h>

/* |B A|_F^2 = sum_ij (B^T B)_ij (A A^T)_ij, without forming B A. a [r,in], b [out,r]. */
static double delta_norm(const float *a, const float *b, int rank, int64_t in, int64_t out) {
    double sum = 0;
    for (int i = 0; i < rank; i++)
        for (int j = 0; j < rank; j++) {
            double aa = 0, bb = 0;
            for (int64_t k = 0; k < in; k++) aa += (double)a[i * in + k] * a[j * in + k];
            for (int64_t k = 0; k < out; k++) bb += (double)b[k * rank + i] * b[k * rank + j];
            sum += aa * bb;
        }
    return sqrt(sum > 0 ? sum : 0);
}

double inspect_delta_norm(const Adapter *a, int m, int l) {
    const AdapterModule *w = &a->modules[m];
    return adapter_scale(a) * delta_norm(w->a + (int64_t)l * a->rank * w->in,
                                         w->b + (int64_t)l * w->out * a->rank, a->rank, w->in, w->out);
}

static void print_layers(const Adapter *a, bool as_json) {
    for (int m = 0; m < a->n_modules; m++) {
        const char *name = lora_module_name(a->modules[m].module);
        for (int l = 0; l < a->n_layers; l++) {
            double norm = inspect_delta_norm(a, m, l);
            if (as_json)
                printf("{\"layer\":%d,\"module\":\"%s\",\"delta_norm\":%.9g}\n", l, name, norm);
            else
                printf("layer %-3d %-10s |delta W| %.6g\n", l, name, norm);
        }
    }
}

Status inspect_adapter(Cli *cli, const char *dir) {
    Adapter a;
    TRY(adapter_load(&a, dir, NULL));
    if (cli->json) {
        printf("{\"adapter\":");
        print_json_string(stdout, dir, strlen(dir));
        printf(",\"layers\":%d,\"rank\":%d,\"alpha\":%.9g,\"rslora\":%s,\"scale\":%.9g}\n", a.n_layers,
               a.rank, a.alpha, a.use_rslora ? "true" : "false", adapter_scale(&a));
    } else {
        printf("adapter   %s\n", dir);
        printf("base      %s\n", a.base_model ? a.base_model : "(not said)");
        printf("layers    %d\nrank      %d\nalpha     %g\n", a.n_layers, a.rank, a.alpha);
        printf("scale     %.6g (%s)\n", adapter_scale(&a),
               a.use_rslora ? "alpha / sqrt(rank)" : "alpha / rank");
    }
    for (int m = 0; m < a.n_modules; m++) {
        const AdapterModule *w = &a.modules[m];
        if (cli->json)
            printf("{\"module\":\"%s\",\"in\":%lld,\"out\":%lld}\n", lora_module_name(w->module),
                   (long long)w->in, (long long)w->out);
        else
            printf("%-9s A %d x %lld, B %lld x %d, F32\n", lora_module_name(w->module), a.rank,
                   (long long)w->in, (long long)w->out, a.rank);
    }
    print_layers(&a, cli->json);
    adapter_free(&a);
    return OK;
}
