/* libFuzzer entry: bytes up to the first 0x1e are a tokenizer.json, the rest is text to encode and decode.
 *   clang -g -O1 -fsanitize=fuzzer,address,undefined -D_GNU_SOURCE -I. tests/data/fuzz_tokenizer.c ... */
#include "data/tokenizer.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

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
    const uint8_t *end = memchr(data, 0x1e, n);
    size_t json = end ? (size_t)(end - data) : n;
    const char *text = end ? (const char *)end + 1 : "a b 12\n";
    Tokenizer *t;
    Status s = tokenizer_parse_json(&t, (const char *)data, json, "fuzz");
    if (status_is_ok(s)) {
        round_trip(t, text, end ? n - json - 1 : 7, true);
        round_trip(t, text, end ? n - json - 1 : 7, false);
        tokenizer_free(t);
    }
    status_free(s);
    return 0;
}
