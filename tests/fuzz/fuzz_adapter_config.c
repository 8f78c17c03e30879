/* Bytes up to the first 0x1e are an adapter_config.json, the rest its adapter_model.safetensors. */
#include "tests/fuzz/fuzz.h"

#include "base/file.h"
#include "data/adapter.h"

#include <fcntl.h>

static void put(const char *dir, const char *name, const uint8_t *data, size_t n) {
    char path[128];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
    CHECK(fd >= 0 && write(fd, data, n) == (ssize_t)n, "cannot write %s", path);
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    char dir[64];
    size_t config = fuzz_divide(data, n);
    Adapter a;
    snprintf(dir, sizeof dir, "%s/t2l-fuzz-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    CHECK(mkdtemp(dir), "no directory");
    put(dir, "adapter_config.json", data, config);
    put(dir, "adapter_model.safetensors", data + config + (config < n), n - config - (config < n));
    Status s = adapter_load(&a, dir, NULL);
    if (status_is_ok(s)) {
        CHECK(adapter_scale(&a) == adapter_scale(&a), "the scale is no number");
        adapter_free(&a);
    } else {
        fuzz_refused(s);
    }
    s = file_remove_tree(dir);
    CHECK(status_is_ok(s), "%s", status_message(s));
    return 0;
}
