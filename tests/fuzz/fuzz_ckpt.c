/* The input is a checkpoint's hypernet.safetensors, for which the right state.json is made; or, if it begins
 * with a brace, a state.json up to the first 0x1e and then that file. What opens is loaded into a
 * hypernetwork. */
#include "tests/fuzz/fuzz.h"

#include "kernels/ops.h"
#include "train/ckpt.h"
#include "train/state.h"

#include <math.h>

static void put_state(const FuzzDir *dir, const uint8_t *weights, size_t n) {
    char digest[65], state[256];
    sha256_hex(digest, weights, n);
    int len = snprintf(state, sizeof state,
                       "{\"sha256\":{\"hypernet.safetensors\":\"%s\"},\"step\":1,\"moved\":0,\"tokens\":1,"
                       "\"loss_n\":0,\"skipped\":0,\"waited\":0,\"best_step\":-1,\"loss_sum\":0}",
                       digest);
    fuzz_dir_put(dir, "state.json", state, (size_t)len);
}

static void load(const char *dir, const CkptInfo *info) {
    Device dev;
    Hypernet hn;
    Status s = device_open(&dev, "cpu", 1);
    CHECK(status_is_ok(s), "%s", status_message(s));
    s = hypernet_init(&hn, &dev, &info->hypernet, (HypernetInit){.max_tasks = 1});
    if (status_is_ok(s)) {
        s = ckpt_load(&hn, dir);
        for (int64_t i = 0; status_is_ok(s) && i < hn.n_params; i++)
            CHECK(isfinite(hn.params[i]), "parameter %lld", (long long)i);
        hypernet_free(&hn);
    }
    if (status_code(s) == E_ENV) /* a large hypernetwork */
        status_free(s);
    else if (!status_is_ok(s))
        fuzz_refused(s);
    device_close(&dev);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    FuzzDir dir = fuzz_dir_open();
    size_t at = n > 0 && *data == '{' ? fuzz_divide(data, n) : 0;
    CkptInfo info;
    RunState state;
    const uint8_t *weights = data + at + (at > 0 && at < n);
    size_t n_weights = n - (size_t)(weights - data);
    fuzz_dir_put(&dir, "hypernet.safetensors", weights, n_weights);
    if (at > 0)
        fuzz_dir_put(&dir, "state.json", data, at);
    else
        put_state(&dir, weights, n_weights);
    Status s = state_read(&state, dir.path);
    if (!status_is_ok(s)) fuzz_refused(s);
    s = ckpt_info(&info, dir.path);
    if (status_is_ok(s)) {
        load(dir.path, &info);
        ckpt_info_free(&info);
    } else {
        fuzz_refused(s);
    }
    fuzz_dir_close(&dir);
    return 0;
}
