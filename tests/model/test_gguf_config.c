/* Metadata of GGUF decoders: for each architecture a sound file, then the same with one key left out, of
 * another type, or of a value that no model has. (The values of real files: test_families.c.) */
#include "tests/test_util.h"

#include "model/llm_config.h"

#include <sys/mman.h>
#include <unistd.h>

typedef struct Out {
    uint8_t bytes[4096];
    size_t n;
} Out;

static void put(Out *o, const void *p, size_t n) {
    assert_true(o->n + n <= sizeof o->bytes);
    memcpy(o->bytes + o->n, p, n);
    o->n += n;
}

static void put_u32(Out *o, uint32_t v) {
    put(o, &v, 4);
}

static void put_u64(Out *o, uint64_t v) {
    put(o, &v, 8);
}

static void put_string(Out *o, const char *s) {
    put_u64(o, strlen(s));
    put(o, s, strlen(s));
}

typedef struct Value {
    const char *key; /* behind "<architecture>." unless it has a dot in front */
    GgufType type;   /* GGUF_TYPES: leave the key out */
    double number;
    const char *text;
} Value;

static const Value sound[] = {
    {"embedding_length", GGUF_U32, 8, NULL},
    {"block_count", GGUF_U32, 2, NULL},
    {"feed_forward_length", GGUF_U32, 16, NULL},
    {"attention.head_count", GGUF_U32, 2, NULL},
    {"attention.head_count_kv", GGUF_U32, 1, NULL},
    {"attention.layer_norm_rms_epsilon", GGUF_F32, 1e-5, NULL},
    {"context_length", GGUF_U32, 64, NULL},
    {"rope.freq_base", GGUF_F32, 1e4, NULL},
};

static void put_value(Out *o, const char *arch, const Value *v) {
    char key[96];
    snprintf(key, sizeof key, "%s%s%s", *v->key == '.' ? "" : arch, *v->key == '.' ? "" : ".",
             *v->key == '.' ? v->key + 1 : v->key);
    float f = (float)v->number;
    put_string(o, key);
    put_u32(o, v->type);
    switch (v->type) {
    case GGUF_STRING:
        put_string(o, v->text);
        break;
    case GGUF_F32:
        put(o, &f, 4);
        break;
    case GGUF_I64:
        put_u64(o, (uint64_t)(int64_t)v->number);
        break;
    case GGUF_ARRAY: /* of one u32: as converters write what differs from layer to layer */
        put_u32(o, GGUF_U32);
        put_u64(o, 1);
        put_u32(o, (uint32_t)v->number);
        break;
    default:
        put_u32(o, (uint32_t)(int64_t)v->number);
    }
}

/* The sound file with `change` instead of the value of its key, or beside the others. */
static Status read_with(LlmConfig *c, const char *arch, const Value *change) {
    Out o = {.n = 0};
    bool fresh = change->type != GGUF_TYPES;
    uint64_t n = 1;
    for (int i = 0; i < COUNT_OF(sound); i++)
        if (strcmp(sound[i].key, change->key) != 0) n++;
    put(&o, "GGUF", 4);
    put_u32(&o, 3);
    put_u64(&o, 1);
    put_u64(&o, n + fresh);
    put_string(&o, "general.architecture");
    put_u32(&o, GGUF_STRING);
    put_string(&o, arch);
    for (int i = 0; i < COUNT_OF(sound); i++)
        if (strcmp(sound[i].key, change->key) != 0) put_value(&o, arch, &sound[i]);
    if (fresh) put_value(&o, arch, change);
    put_string(&o, "token_embd.weight");
    put_u32(&o, 2);
    put_u64(&o, 8);
    put_u64(&o, 4);
    put_u32(&o, 0);
    put_u64(&o, 0);
    while (o.n % 32) put(&o, "", 1);
    static const float rows[32];
    put(&o, rows, sizeof rows);
    char path[64];
    int fd = memfd_create("gguf", MFD_CLOEXEC);
    assert_true(fd >= 0 && write(fd, o.bytes, o.n) == (ssize_t)o.n);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    Status s = llm_config_read(c, path);
    close(fd);
    return s;
}

static void sound_files(void **state) {
    (void)state;
    static const char *const archs[] = {"llama", "qwen2", "gemma2"};
    const Value none = {"nothing", GGUF_TYPES, 0, NULL};
    for (int i = 0; i < COUNT_OF(archs); i++) {
        LlmConfig c;
        assert_ok(read_with(&c, archs[i], &none));
        assert_string_equal(llm_config_family(&c), archs[i]);
        assert_true(c.heads == 2 && c.groups == 1 && c.head_dim == 4 && c.vocab == 4);
    }
}

static void unsound_files(void **state) {
    (void)state;
    static const struct {
        const char *arch; /* NULL: each */
        Value change;
        const char *part;
    } cases[] = {
        /* absent */
        {NULL, {"embedding_length", GGUF_TYPES, 0, NULL}, "embedding_length' is missing"},
        {NULL, {"block_count", GGUF_TYPES, 0, NULL}, "block_count' is missing"},
        {NULL, {"feed_forward_length", GGUF_TYPES, 0, NULL}, "feed_forward_length' is missing"},
        {NULL, {"attention.head_count", GGUF_TYPES, 0, NULL}, "head_count' is missing"},
        {NULL, {"attention.layer_norm_rms_epsilon", GGUF_TYPES, 0, NULL}, "epsilon' is missing"},
        /* of another type */
        {NULL, {"embedding_length", GGUF_F32, 8, NULL}, "expected an integer, found f32"},
        {NULL, {"block_count", GGUF_STRING, 0, "2"}, "expected an integer, found string"},
        {NULL, {"feed_forward_length", GGUF_ARRAY, 16, NULL}, "found an array of u32"},
        {NULL, {"attention.head_count", GGUF_ARRAY, 2, NULL}, "found an array of u32"},
        {NULL, {"attention.layer_norm_rms_epsilon", GGUF_U32, 1, NULL}, "expected a finite number"},
        {NULL, {"rope.freq_base", GGUF_STRING, 0, "10000"}, "rope.freq_base'"},
        {NULL, {"rope.scaling.type", GGUF_U32, 1, NULL}, "expected a string, found u32"},
        {"gemma2", {"attn_logit_softcapping", GGUF_U32, 50, NULL}, "attn_logit_softcapping'"},
        {"gemma2", {"attention.sliding_window", GGUF_STRING, 0, "all"}, "sliding_window'"},
        {NULL, {".tokenizer.ggml.eos_token_id", GGUF_STRING, 0, "</s>"}, "eos_token_id'"},
        /* of an absurd value */
        {NULL, {"embedding_length", GGUF_U32, 0, NULL}, "found 0"},
        {NULL, {"embedding_length", GGUF_I64, 1e15, NULL}, "embedding_length'"},
        {NULL, {"block_count", GGUF_U32, 0, NULL}, "found 0"},
        {NULL, {"block_count", GGUF_U32, 4e9, NULL}, "block_count'"},
        {NULL, {"feed_forward_length", GGUF_U32, 4e9, NULL}, "feed_forward_length'"},
        {NULL, {"attention.head_count", GGUF_U32, 0, NULL}, "found 0"},
        {NULL, {"attention.head_count", GGUF_I64, -2, NULL}, "found -2"},
        {NULL, {"attention.head_count", GGUF_U32, 9, NULL}, "head_count'"},
        {NULL, {"attention.head_count", GGUF_U32, 3, NULL}, "of 4"}, /* heads of 2 numbers */
        {NULL, {"attention.head_count_kv", GGUF_U32, 0, NULL}, "found 0"},
        {NULL, {"attention.head_count_kv", GGUF_U32, 3, NULL}, "head_count_kv'"},
        {NULL, {"attention.key_length", GGUF_U32, 6, NULL}, "multiple of 4"},
        {NULL, {"attention.value_length", GGUF_U32, 8, NULL}, "values of 8 numbers beside keys of 4"},
        {NULL, {"rope.dimension_count", GGUF_U32, 2, NULL}, "rope on 2 of 4"},
        {NULL, {"context_length", GGUF_U32, 0, NULL}, "found 0"},
        {NULL, {"context_length", GGUF_U32, 4e9, NULL}, "context_length'"},
        {NULL, {"attention.layer_norm_rms_epsilon", GGUF_F32, 0, NULL}, "epsilon 0"},
        {NULL, {"attention.layer_norm_rms_epsilon", GGUF_F32, NAN, NULL}, "expected a finite number"},
        {NULL, {"rope.freq_base", GGUF_F32, NAN, NULL}, "expected a finite number"},
        {NULL, {"rope.freq_base", GGUF_F32, INFINITY, NULL}, "expected a finite number"},
        {NULL, {"rope.freq_base", GGUF_F32, -1e4, NULL}, "base -10000"},
        {NULL, {"rope.freq_base", GGUF_F32, 1e-30, NULL}, "base 1e-30"},
        {NULL, {"rope.scaling.type", GGUF_STRING, 0, "yarn"}, "'yarn' is not supported"},
        {NULL, {"rope.scaling.type", GGUF_STRING, 0, "linear"}, "rope.scaling.factor' is missing"},
        {NULL, {"rope.scaling.factor", GGUF_F32, 0, NULL}, "factor 0"},
        {NULL, {"rope.scaling.factor", GGUF_F32, -4, NULL}, "factor -4"},
        {NULL, {"rope.scaling.factor", GGUF_F32, 1e-30, NULL}, "factor 1e-30"},
        {NULL, {"rope.scaling.factor", GGUF_F32, 1e30, NULL}, "factor 1e+30"},
        {NULL, {"rope.scaling.factor", GGUF_F32, NAN, NULL}, "expected a finite number"},
        {"gemma2", {"attn_logit_softcapping", GGUF_F32, 0, NULL}, "softcaps of 0"},
        {"gemma2", {"final_logit_softcapping", GGUF_F32, -30, NULL}, "and -30"},
        {"gemma2", {"final_logit_softcapping", GGUF_F32, NAN, NULL}, "expected a finite number"},
        {"gemma2", {"attention.sliding_window", GGUF_U32, 4e9, NULL}, "sliding_window'"},
        {"qwen2", {"attention.sliding_window", GGUF_U32, 16, NULL}, "sliding windows of qwen2"},
        {NULL, {".tokenizer.ggml.eos_token_id", GGUF_U32, 4, NULL}, "eos_token_id'"},
        {NULL, {".tokenizer.ggml.bos_token_id", GGUF_U32, 4e9, NULL}, "bos_token_id'"},
        {NULL, {".general.architecture", GGUF_STRING, 0, "llama"}, "appears twice"},
    };
    static const char *const archs[] = {"llama", "qwen2", "gemma2"};
    for (int i = 0; i < COUNT_OF(cases); i++)
        for (int a = 0; a < COUNT_OF(archs); a++) {
            LlmConfig c;
            if (cases[i].arch && strcmp(cases[i].arch, archs[a]) != 0) continue;
            Status s = read_with(&c, archs[a], &cases[i].change);
            if (status_code(s) != E_INPUT || !strstr(status_message(s), cases[i].part))
                fail_msg("case %d, %s: code %d: %s (expected %s)", i, archs[a], (int)status_code(s),
                         status_message(s), cases[i].part);
            status_free(s);
        }
}

static void other_architectures(void **state) {
    (void)state;
    static const char *const archs[] = {"mistral", "phi3", "", "LLAMA", "gemma", "llama\n"};
    const Value none = {"nothing", GGUF_TYPES, 0, NULL};
    for (int i = 0; i < COUNT_OF(archs); i++) {
        LlmConfig c;
        Status s = read_with(&c, archs[i], &none);
        if (status_code(s) != E_INPUT) fail_msg("'%s': code %d", archs[i], (int)status_code(s));
        status_free(s);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sound_files),
        cmocka_unit_test(unsound_files),
        cmocka_unit_test(other_architectures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
