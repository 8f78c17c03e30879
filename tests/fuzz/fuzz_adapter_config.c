/* Bytes up to the first 0x1e are an adapter_config.json, the rest its adapter_model.safetensors. */
#include "tests/fuzz/fuzz.h"

#include "data/adapter.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    FuzzDir dir = fuzz_dir_open();
    size_t config = fuzz_divide(data, n);
    Adapter a;
    fuzz_dir_put(&dir, "adapter_config.json", data, config);
    fuzz_dir_put(&dir, "adapter_model.safetensors", data + config + (config < n), n - config - (config < n));
    Status s = adapter_load(&a, dir.path, NULL);
    if (status_is_ok(s)) {
        CHECK(adapter_scale(&a) == adapter_scale(&a), "the scale is no number");
        adapter_free(&a);
    } else {
        fuzz_refused(s);
    }
    fuzz_dir_close(&dir);
    return 0;
}
