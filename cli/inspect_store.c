#include "cli/inspect.h"
#include "data/store.h"

#include <hdf5.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_NORM_NUMBERS ((hssize_t)1 << 27) /* chosen: 1 GiB as doubles */

typedef struct Visit {
    bool as_json;
    int64_t n;
} Visit;

static const char *class_name(H5T_class_t class, size_t size, char buf[16]) {
    const char *kind = class == H5T_FLOAT     ? "F"
                       : class == H5T_INTEGER ? "I"
                       : class == H5T_STRING  ? "text"
                                              : "other";
    if (class == H5T_FLOAT || class == H5T_INTEGER)
        snprintf(buf, 16, "%s%zu", kind, 8 * size);
    else
        snprintf(buf, 16, "%s", kind);
    return buf;
}

static double dataset_norm(hid_t set, hssize_t n) {
    if (n <= 0 || n > MAX_NORM_NUMBERS) return NAN;
    double *x = malloc((size_t)n * sizeof *x), sum = NAN;
    if (x && H5Dread(set, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, x) >= 0) {
        sum = 0;
        for (hssize_t i = 0; i < n; i++) sum += x[i] * x[i];
    }
    free(x);
    return sqrt(sum);
}

static herr_t visit(hid_t file, const char *name, const H5L_info_t *info, void *data) {
    Visit *v = data;
    (void)info;
    hid_t set = H5Oopen(file, name, H5P_DEFAULT);
    if (set < 0) return 0; /* a dangling link */
    if (H5Iget_type(set) == H5I_DATASET) {
        char buf[16];
        hid_t space = H5Dget_space(set), type = H5Dget_type(set);
        hsize_t dims[H5S_MAX_RANK];
        int ndim = H5Sget_simple_extent_dims(space, dims, NULL);
        H5T_class_t class = H5Tget_class(type);
        InspectRow row = {.name = name, .type = class_name(class, H5Tget_size(type), buf), .norm = NAN};
        row.ndim = ndim < 0 ? 0 : ndim > INSPECT_MAX_DIMS ? INSPECT_MAX_DIMS : ndim;
        for (int i = 0; i < row.ndim; i++) row.shape[i] = (int64_t)dims[i];
        if (class == H5T_FLOAT) row.norm = dataset_norm(set, H5Sget_simple_extent_npoints(space));
        inspect_print(&row, v->as_json);
        v->n++;
        H5Tclose(type);
        H5Sclose(space);
    }
    H5Oclose(set);
    return 0;
}

static Status list_datasets(Cli *cli, const char *path) {
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL); /* its own trail goes to stderr otherwise */
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    if (file < 0) return status_error(E_INPUT, "%s: not an HDF5 file, or damaged", path);
    Visit v = {cli->json, 0};
    herr_t done = H5Lvisit(file, H5_INDEX_NAME, H5_ITER_INC, visit, &v);
    H5Fclose(file);
    if (done < 0) return status_error(E_INPUT, "%s: damaged HDF5 file", path);
    if (!cli->json) printf("%lld datasets\n", (long long)v.n);
    return OK;
}

Status inspect_store(Cli *cli, const char *path) {
    char *kind = NULL;
    Status s = store_kind(&kind, path);
    bool library = kind && strcmp(kind, "lora_library") == 0, texts = kind && strcmp(kind, "embeddings") == 0;
    free(kind);
    status_free(s); /* not a store of ours: an HDF5 file still */
    if (library) return inspect_library(cli, path);
    return texts ? inspect_embeddings(cli, path) : list_datasets(cli, path);
}
