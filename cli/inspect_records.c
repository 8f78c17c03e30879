/* Stores: what they are of, and a line for every record, which is read and thereby checked. */
#include "cli/inspect.h"
#include "data/embeddings.h"
#include "data/library.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void print_member(const char *key, const char *text) {
    printf(",\"%s\":", key);
    print_json_string(stdout, text, strlen(text));
}

static Status adapter_row(const Cli *cli, const Library *lib, int64_t i) {
    Adapter a;
    char *facts;
    double sum = 0;
    TRY(library_read(&a, lib, i));
    for (int m = 0; m < a.n_modules; m++)
        for (int l = 0; l < a.n_layers; l++) sum += pow(inspect_delta_norm(&a, m, l), 2);
    adapter_free(&a);
    TRY(library_facts(&facts, lib, i));
    if (cli->json) {
        printf("{\"record\":%lld", (long long)i);
        print_member("name", lib->names[i]);
        printf(",\"delta_norm\":%.9g", sqrt(sum));
        print_member("facts", facts);
        printf("}\n");
    } else {
        printf("%-40s |delta W| %-10.6g %s\n", lib->names[i], sqrt(sum), facts);
    }
    free(facts);
    return OK;
}

static void print_shape(const Cli *cli, const Library *lib) {
    const Adapter *s = &lib->shape;
    if (cli->json) {
        printf("{\"store\":\"lora_library\",\"records\":%lld,\"layers\":%d,\"rank\":%d,\"alpha\":%.9g,"
               "\"scale\":%.9g",
               (long long)lib->store.n, s->n_layers, s->rank, s->alpha, adapter_scale(s));
        print_member("base_model", s->base_model);
        printf("}\n");
        return;
    }
    printf("library   %s\nadapters  %lld (room for %lld)\nbase      %s\nlayers    %d\nrank      %d\nscale    "
           " %.6g\n",
           lib->store.path, (long long)lib->store.n, (long long)lib->store.capacity, s->base_model,
           s->n_layers, s->rank, adapter_scale(s));
    for (int m = 0; m < s->n_modules; m++)
        printf("%-9s A %d x %lld, B %lld x %d, F32\n", lora_module_name(s->modules[m].module), s->rank,
               (long long)s->modules[m].in, (long long)s->modules[m].out, s->rank);
}

Status inspect_library(Cli *cli, const char *path) {
    Library lib;
    TRY(library_open(&lib, path, STORE_READ));
    print_shape(cli, &lib);
    Status s = OK;
    for (int64_t i = 0; status_is_ok(s) && i < lib.store.n; i++) {
        s = adapter_row(cli, &lib, i);
        if (status_is_ok(s)) s = cli_check_stop(cli);
    }
    library_close(&lib);
    return s;
}

static Status embedding_row(const Cli *cli, const Embeddings *e, float *x, int64_t i) {
    char *task, *text;
    double sum = 0;
    TRY(embeddings_read(&task, &text, x, e, i));
    for (int64_t k = 0; k < e->width; k++) sum += (double)x[k] * (double)x[k];
    if (cli->json) {
        printf("{\"record\":%lld", (long long)i);
        print_member("task", task);
        print_member("text", text);
        printf(",\"norm\":%.9g}\n", sqrt(sum));
    } else {
        printf("%-24s norm %-10.6g %.60s%s\n", task, sqrt(sum), text, strlen(text) > 60 ? "..." : "");
    }
    free(task);
    free(text);
    return OK;
}

Status inspect_embeddings(Cli *cli, const char *path) {
    Embeddings e;
    TRY(embeddings_open(&e, path, STORE_READ));
    float *x = malloc((size_t)e.width * sizeof *x);
    Status s = x ? OK : status_error(E_ENV, "%s: out of memory", path);
    if (cli->json) {
        printf("{\"store\":\"embeddings\",\"records\":%lld,\"width\":%lld", (long long)e.store.n,
               (long long)e.width);
        print_member("encoder", e.encoder);
        printf("}\n");
    } else {
        printf("embeddings %s\nrecords   %lld (room for %lld)\nencoder   %s\nwidth     %lld\n", path,
               (long long)e.store.n, (long long)e.store.capacity, e.encoder, (long long)e.width);
    }
    for (int64_t i = 0; status_is_ok(s) && i < e.store.n; i++) {
        s = embedding_row(cli, &e, x, i);
        if (status_is_ok(s)) s = cli_check_stop(cli);
    }
    free(x);
    embeddings_close(&e);
    return s;
}
