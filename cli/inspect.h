/* The parts of `t2l inspect`, one a kind of thing. */
#ifndef T2L_CLI_INSPECT_H
#define T2L_CLI_INSPECT_H

#include "cli/cli.h"
#include "cli/lines.h"
#include "data/adapter.h"
#include "model/llm_config.h"

enum { INSPECT_MAX_DIMS = 8 };

typedef struct InspectRow {
    const char *name, *type; /* view */
    int ndim;
    int64_t shape[INSPECT_MAX_DIMS];
    double norm; /* Frobenius; NaN: not known */
} InspectRow;

/* A line of the table, or with as_json a JSON object on a line. */
void inspect_print(const InspectRow *row, bool as_json);

Status inspect_adapter(Cli *cli, const char *dir);
/* A decoder's family and options. */
void inspect_llm(const LlmConfig *c);
void inspect_llm_json(const LlmConfig *c); /* its family and sizes, a JSON object on a line */
/* A configuration: its hypernetwork's parameters, counted without the models where it has shapes. */
Status inspect_config(Cli *cli, const char *path);
/* |scale B A| of module number m in layer l. */
double inspect_delta_norm(const Adapter *a, int m, int l);
/* An HDF5 file: a store's records; every dataset of other files. */
Status inspect_store(Cli *cli, const char *path);
/* A library's adapters, a store's embeddings. */
Status inspect_library(Cli *cli, const char *path);
Status inspect_embeddings(Cli *cli, const char *path);

#endif
