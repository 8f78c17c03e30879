/* The input is a run's configuration. */
#include "tests/fuzz/fuzz.h"

#include "train/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    FuzzFile f = fuzz_open(data, n);
    Config c;
    Status s = config_load(&c, f.path, 0, NULL);
    if (status_is_ok(s)) {
        char *text = cJSON_PrintUnformatted(c.json);
        CHECK(text && c.name && c.lora.rank > 0, "a configuration without its values");
        cJSON_free(text);
        config_free(&c);
    } else if (status_code(s) == E_USAGE) { /* an unknown key */
        status_free(s);
    } else {
        fuzz_refused(s);
    }
    close(f.fd);
    return 0;
}
