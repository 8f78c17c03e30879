/* Bytes up to the first 0x1e are a tokenizer.json, the rest is text to encode and decode. */
#include "tests/fuzz/fuzz.h"

#include "data/tokenizer.h"

static void round_trip(const Tokenizer *t, const char *text, size_t n, bool special) {
    TokenBuf ids = {0};
    char *out;
    size_t m;
    Status s = tokenizer_encode(t, &ids, text, n, (TokenizerOpts){special});
    if (status_is_ok(s)) {
        s = tokenizer_decode(t, &out, &m, ids.ids, ids.n, (TokenizerDecodeOpts){!special});
        CHECK(status_is_ok(s), "an encoded id does not decode: %s", status_message(s));
        free(out);
    }
    status_free(s);
    tokenizer_buf_free(&ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    size_t json = fuzz_divide(data, n);
    const char *text = json < n ? (const char *)data + json + 1 : "a b 12\n";
    size_t n_text = json < n ? n - json - 1 : 7;
    Tokenizer *t;
    Status s = tokenizer_parse_json(&t, (const char *)data, json, "fuzz");
    if (status_is_ok(s)) {
        round_trip(t, text, n_text, true);
        round_trip(t, text, n_text, false);
        tokenizer_free(t);
    } else {
        fuzz_refused(s);
    }
    return 0;
}
