/* The input is a GGUF file, or (up to the first 0x1e) a config.json and its generation_config.json. What is
 * accepted must be fit to be run: heads that divide, finite angles and scales. */
#include "tests/fuzz/fuzz.h"

#include "model/llm_config.h"

#include <math.h>

static void use(const LlmConfig *c) {
    int64_t n = c->head_dim / 2;
    float *inv_freq = malloc((size_t)n * 2 * sizeof *inv_freq), *divisors = inv_freq + n;
    CHECK(inv_freq && *llm_config_family(c), "head size %lld", (long long)c->head_dim);
    for (int64_t i = 0; i < n; i++) divisors[i] = 1.0f; /* a tensor, checked where it is read */
    llm_config_inv_freq(inv_freq, c, divisors);
    for (int64_t i = 0; i < n; i++)
        CHECK(isfinite(inv_freq[i]) && inv_freq[i] >= 0.0f, "angle %lld is %g", (long long)i,
              (double)inv_freq[i]);
    free(inv_freq);
    CHECK(isfinite(c->attn_scale) && isfinite(c->embed_scale) && c->norm_eps > 0.0f, "scales");
    CHECK(c->heads % c->groups == 0 && c->head_dim % 4 == 0, "heads");
    for (int64_t l = 0; l < c->n_layers; l++) CHECK(!c->windowed[l] || c->window > 0, "window");
    for (int i = 0; i < c->n_eos; i++) CHECK(c->eos[i] >= 0 && c->eos[i] < c->vocab, "eos");
}

static Status read_config(LlmConfig *c, const uint8_t *data, size_t n) {
    if (n >= 4 && memcmp(data, "GGUF", 4) == 0) {
        FuzzFile f = fuzz_open(data, n);
        Status s = llm_config_read(c, f.path);
        close(f.fd);
        return s;
    }
    FuzzDir dir = fuzz_dir_open();
    size_t config = fuzz_divide(data, n);
    fuzz_dir_put(&dir, "config.json", data, config);
    if (config < n) fuzz_dir_put(&dir, "generation_config.json", data + config + 1, n - config - 1);
    Status s = llm_config_read(c, dir.path);
    fuzz_dir_close(&dir);
    return s;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    LlmConfig c;
    Status s = read_config(&c, data, n);
    if (status_is_ok(s))
        use(&c);
    else
        fuzz_refused(s);
    return 0;
}
