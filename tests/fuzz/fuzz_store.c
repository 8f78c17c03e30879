/* The input changes the records of a small valid store: four bytes a change (place, low and high byte; how;
 * value), at most MAX_CHANGES. What still reads must read as it was written. Only chunks are changed, which
 * have checksums, and the count of records, which has none. HDF5's own metadata is left as it is: libhdf5
 * 1.10.8 reads outside of its memory when that is damaged, and no reader of ours stands before it. */
#include "tests/fuzz/fuzz.h"

#include "data/embeddings.h"

enum { RECORDS = 3, WIDTH = 5, MAX_CHANGES = 8, MAX_PLACES = 4096 };

typedef struct Valid {
    char *bytes; /* owns */
    size_t n;
    uint32_t place[MAX_PLACES]; /* of the bytes that may change */
    size_t n_places;
} Valid;

static void add_places(Valid *v, haddr_t at, hsize_t n) {
    CHECK(at != HADDR_UNDEF && v->n_places + n <= MAX_PLACES, "%llu bytes", (unsigned long long)n);
    for (hsize_t i = 0; i < n; i++) v->place[v->n_places++] = (uint32_t)(at + i);
}

/* Where HDF5 put the records and their count. */
static void find_places(Valid *v, const Store *s) {
    for (int i = 0; i < s->n_columns; i++) {
        hid_t space = H5Dget_space(s->sets[i]);
        for (hsize_t r = 0; r < RECORDS; r++) {
            haddr_t at;
            hsize_t size;
            CHECK(H5Dget_chunk_info(s->sets[i], space, r, NULL, NULL, &at, &size) >= 0, "chunk of '%s'",
                  s->columns[i].name);
            add_places(v, at, size);
        }
        H5Sclose(space);
    }
    add_places(v, H5Dget_offset(s->committed), 8);
}

static void text_of(char *out, size_t size, const char *what, int64_t record) {
    snprintf(out, size, "%s number %lld", what, (long long)record);
}

static float number_of(int64_t record, int64_t i) {
    return (float)record + 0.125f * (float)i;
}

/* The store's bytes, made by the first input. */
static void make_store(Valid *v) {
    FuzzDir dir = fuzz_dir_open();
    char path[128], task[64], text[64];
    float x[WIDTH];
    Embeddings e;
    snprintf(path, sizeof path, "%s/e.h5", dir.path);
    Status s = embeddings_create(&e, path, "enc", WIDTH, RECORDS);
    CHECK(status_is_ok(s), "%s", status_message(s));
    for (int64_t r = 0; r < RECORDS; r++) {
        text_of(task, sizeof task, "task", r);
        text_of(text, sizeof text, "text", r);
        for (int64_t i = 0; i < WIDTH; i++) x[i] = number_of(r, i);
        s = embeddings_append(&e, task, text, x);
        CHECK(status_is_ok(s), "%s", status_message(s));
    }
    find_places(v, &e.store);
    embeddings_close(&e);
    s = file_read(&v->bytes, &v->n, path, 1 << 20);
    CHECK(status_is_ok(s), "%s", status_message(s));
    fuzz_dir_close(&dir);
}

static void change(char *bytes, const Valid *v, const uint8_t *data, size_t n_data) {
    for (size_t k = 0; k + 4 <= n_data && k < 4 * MAX_CHANGES; k += 4) {
        char *at = &bytes[v->place[((size_t)data[k + 1] << 8 | data[k]) % v->n_places]];
        *at = data[k + 2] & 1 ? (char)data[k + 3] : (char)(*at ^ data[k + 3]);
    }
}

static void check_record(const Embeddings *e, int64_t r) {
    char *task, *text, want[64];
    float x[WIDTH];
    Status s = embeddings_read(&task, &text, x, e, r);
    if (!status_is_ok(s)) {
        fuzz_refused(s);
        return;
    }
    text_of(want, sizeof want, "task", r);
    CHECK(strcmp(task, want) == 0, "record %lld: task '%s'", (long long)r, task);
    text_of(want, sizeof want, "text", r);
    CHECK(strcmp(text, want) == 0, "record %lld: text '%s'", (long long)r, text);
    for (int64_t i = 0; i < WIDTH; i++) CHECK(x[i] == number_of(r, i), "record %lld", (long long)r);
    free(task);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    static Valid valid;
    Embeddings e;
    if (!valid.bytes) make_store(&valid);
    char *bytes = malloc(valid.n);
    CHECK(bytes, "out of memory");
    memcpy(bytes, valid.bytes, valid.n);
    change(bytes, &valid, data, n);
    FuzzDir dir = fuzz_dir_open(); /* HDF5 opens no memory file: it asks for the path that a link leads to */
    char path[128];
    snprintf(path, sizeof path, "%s/e.h5", dir.path);
    fuzz_dir_put(&dir, "e.h5", bytes, valid.n);
    free(bytes);
    Status s = embeddings_open(&e, path, STORE_READ);
    if (status_is_ok(s)) {
        CHECK(e.store.n <= e.store.capacity && e.width == WIDTH, "%lld records", (long long)e.store.n);
        for (int64_t r = 0; r < e.store.n && r < RECORDS; r++) check_record(&e, r);
        embeddings_close(&e);
    } else {
        fuzz_refused(s);
    }
    fuzz_dir_close(&dir);
    return 0;
}
