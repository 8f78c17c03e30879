/* The command line's promises: help, suggestions, exit codes, precedence of configuration, hostile files;
 * and, where the models are in the cache, that lines go in and come out. */
#include "tests/test_util.h"
#include "data/library.h"
#include "kernels/ops.h"
#include "tests/cli/run.h"

#include <cjson/cJSON.h>
#include <sys/stat.h>

static char dir[] = "/tmp/t2l-cli-XXXXXX";
static char file_path[64];

static int make_dir(void **state) {
    (void)state;
    if (!mkdtemp(dir)) return 1;
    snprintf(file_path, sizeof file_path, "%s/file.json", dir);
    return 0;
}

static int remove_dir(void **state) {
    (void)state;
    unlink(file_path);
    char cache[96];
    snprintf(cache, sizeof cache, "rm -rf '%s'", dir);
    return system(cache);
}

static void write_file(const char *text, size_t n) {
    FILE *f = fopen(file_path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

static void write_text(const char *text) {
    write_file(text, strlen(text));
}

static void test_help(void **state) {
    (void)state;
    run_expect(run_words(NULL, (const char *const[]){NULL}), 0, "usage: t2l COMMAND", NULL);
    run_expect(RUN("--help"), 0, "usage: t2l COMMAND", NULL);
    run_expect(RUN("-h"), 0, "usage: t2l COMMAND", NULL);
    run_expect(RUN("--version"), 0, "t2l ", NULL);
    run_expect(RUN("help", "fetch"), 0, "usage: t2l fetch", NULL);
    run_expect(RUN("fetch", "--no-such", "-h"), 0, "Common flags", NULL);
    run_expect(RUN("help", "fetsh"), 2, NULL, "'fetch'");
}

/* Every command in the list explains itself, with the same usage line. */
static void test_help_of_each(void **state) {
    (void)state;
    Ran list = RUN("help");
    int n = 0;
    char *rest = NULL;
    for (char *line = strtok_r(list.out, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        char name[32], usage[64];
        if (strncmp(line, "  ", 2) != 0 || line[2] == ' ' || sscanf(line + 2, "%31s", name) != 1) continue;
        snprintf(usage, sizeof usage, "usage: t2l %s", name);
        run_expect(RUN(name, "-h"), 0, usage, NULL);
        run_expect(RUN(name, "--help"), 0, "Example:", NULL);
        n++;
    }
    assert_true(n >= 6);
    run_free(&list);
}

static void test_suggestions(void **state) {
    (void)state;
    run_expect(RUN("tokenise"), 2, NULL, "the nearest is 'tokenize'");
    run_expect(RUN("qqqqqqqqq"), 2, NULL, "t2l help");
    run_expect(RUN(""), 2, NULL, "unknown command");
    run_expect(RUN("tokenize", "--modle", "x"), 2, NULL, "the nearest is --model");
    run_expect(RUN("tokenize", "--modle=x"), 2, NULL, "the nearest is --model");
    run_expect(RUN("tokenize", "-x"), 2, NULL, "unknown flag -x");
    run_expect(RUN("fetch", "minilm-l6v2"), 2, NULL, "minilm-l6-v2");
    run_expect(RUN("config", "train.stpes=5"), 2, NULL, "'train.steps'");
    run_expect(RUN("config", "steps=5"), 2, NULL, "'train.steps'");
}

static void test_flags(void **state) {
    (void)state;
    run_expect(RUN("tokenize", "--model"), 2, NULL, "--model needs a value");
    run_expect(RUN("tokenize"), 2, NULL, "--model is missing");
    run_expect(RUN("tokenize", "--decode=yes", "--model", "m"), 2, NULL, "takes no value");
    run_expect(RUN("tokenize", "--threads", "0"), 2, NULL, "--threads");
    run_expect(RUN("tokenize", "--threads", "2x"), 2, NULL, "--threads");
    run_expect(RUN("tokenize", "--threads", "99999999999999999999"), 2, NULL, "--threads");
    run_expect(RUN("tokenize", "--dtype", "f16"), 2, NULL, "auto|bf16|f32");
    run_expect(RUN("tokenize", "--model", "m", "a", "b"), 2, NULL, "unexpected 'b'");
    int gpus;
    Status found = device_cuda_count(&gpus);
    if (!status_is_ok(found)) { /* no backend in this build, or no GPU in this machine */
        run_expect(RUN("doctor", "--device", "cuda"), 4, NULL, "no CUDA");
        run_expect(RUN("doctor", "--device", "cuda:0"), 4, NULL, "--device cpu");
    }
    status_free(found);
    run_expect(RUN("fetch"), 2, NULL, "usage: t2l fetch NAME");
}

static void test_bad_models(void **state) {
    (void)state;
    run_expect(RUN("tokenize", "--model", "/no/such/place"), 3, NULL, "/no/such/place");
    write_text("not a model");
    run_expect(RUN("tokenize", "--model", file_path), 3, NULL, file_path);
    char gguf[80];
    snprintf(gguf, sizeof gguf, "%s/broken.gguf", dir);
    FILE *f = fopen(gguf, "wb");
    assert_non_null(f);
    fputs("GGUF\x03", f);
    fclose(f);
    run_expect(RUN("tokenize", "--model", gguf), 3, NULL, "broken.gguf");
    setenv("T2L_CACHE", dir, 1);
    Ran r = RUN("tokenize", "--model", "smollm2-135m-instruct");
    unsetenv("T2L_CACHE");
    run_expect(r, 3, NULL, "t2l fetch");
}

static void test_full_disk(void **state) {
    (void)state;
    if (access("/dev/full", W_OK) != 0) skip();
    pid_t pid = fork();
    if (pid == 0) {
        int full = open("/dev/full", O_WRONLY), null = open("/dev/null", O_WRONLY);
        dup2(full, 1);
        dup2(null, 2);
        execl(T2L_BIN, T2L_BIN, "help", (char *)NULL);
        _exit(127);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 4);
}

static double number_at(const char *json, const char *group, const char *key) {
    cJSON *root = cJSON_Parse(json);
    assert_non_null(root);
    cJSON *parent = group ? cJSON_GetObjectItemCaseSensitive(root, group) : root;
    cJSON *value = cJSON_GetObjectItemCaseSensitive(parent, key);
    assert_true(cJSON_IsNumber(value));
    double v = value->valuedouble;
    cJSON_Delete(root);
    return v;
}

static void test_config_precedence(void **state) {
    (void)state;
    Ran r = RUN("config");
    assert_int_equal(r.code, 0);
    assert_float_equal(number_at(r.out, "train", "lr"), 2.5e-5, 1e-12);
    assert_float_equal(number_at(r.out, "lora", "rank"), 8, 0);
    run_free(&r);
    write_text("{\"seed\": 7, \"train\": {\"lr\": 0.001, \"steps\": 11}}");
    r = RUN("config", "--config", file_path);
    assert_int_equal(r.code, 0);
    assert_float_equal(number_at(r.out, "train", "lr"), 1e-3, 1e-12);
    assert_float_equal(number_at(r.out, NULL, "seed"), 7, 0);
    run_free(&r);
    r = RUN("config", "train.lr=0.5", "--config", file_path, "train.steps=12", "train.lr=0.25", "name=a b",
            "lora.modules=q_proj,up_proj", "train={\"warmup\":0.125}");
    assert_int_equal(r.code, 0);
    assert_float_equal(number_at(r.out, "train", "lr"), 0.25, 0);
    assert_float_equal(number_at(r.out, "train", "steps"), 12, 0);
    assert_float_equal(number_at(r.out, "train", "warmup"), 0.125, 0);
    assert_non_null(strstr(r.out, "\"a b\""));
    assert_non_null(strstr(r.out, "\"up_proj\""));
    run_free(&r);
    r = RUN("config", "name=123", "lora.modules=[\"k_proj\"]", "train.equal_weight=false");
    assert_int_equal(r.code, 0);
    assert_non_null(strstr(r.out, "\"123\""));
    assert_non_null(strstr(r.out, "false"));
    run_free(&r);
}

/* What `config` prints is a configuration, and resolves to itself. */
static void test_config_round_trip(void **state) {
    (void)state;
    const char *names[] = {"configs/demo.json", "configs/mistral-7b-S.json", "configs/mistral-7b-M.json",
                           "configs/mistral-7b-L.json"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[512];
        snprintf(path, sizeof path, "%s/%s", TEST_ROOT, names[i]);
        Ran first = RUN("config", "--config", path);
        if (first.code) fail_msg("%s: %s", path, first.err);
        write_text(first.out);
        Ran second = RUN("config", "--config", file_path);
        assert_int_equal(second.code, 0);
        assert_string_equal(first.out, second.out);
        run_free(&first);
        run_free(&second);
    }
}

static void test_config_words(void **state) {
    (void)state;
    const char *bad[] = {"train.steps",
                         "=5",
                         "train.steps=",
                         "train.steps=1.5",
                         "train.steps=-1",
                         "train.steps=\"5\"",
                         "train.steps=1e400",
                         "train.lr=nan",
                         "train=5",
                         "hypernet.size=XL",
                         "hypernet.size=S|M",
                         "lora.modules=[]",
                         "lora.modules=q_proj,q_proj",
                         "lora.modules=q_porj",
                         "train.equal_weight=1",
                         "shapes={\"layer\":1}",
                         "train.lr.x=1",
                         "train.={}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        Ran r = RUN("config", bad[i]);
        if (r.code != 2) fail_msg("%s: exit %d: %s", bad[i], r.code, r.err);
        run_free(&r);
    }
    run_expect(RUN("config", "hypernet.latent=10"), 3, NULL, "multiple of 4");
    char long_key[600];
    memset(long_key, 'a', sizeof long_key);
    memcpy(long_key + 590, "=1", 3);
    run_expect(RUN("config", long_key), 2, NULL, "unknown key");
}

static void expect_file(const char *text, size_t n, int code, const char *message) {
    write_file(text, n);
    run_expect(RUN("config", "--config", file_path), code, NULL, message);
}

static void test_config_garbage(void **state) {
    (void)state;
#define GARBAGE(text, code, message) expect_file(text, sizeof text - 1, code, message)
    GARBAGE("", 3, "file.json");
    GARBAGE("[", 3, "file.json");
    GARBAGE("5", 3, "expected a JSON object");
    GARBAGE("null", 3, "expected a JSON object");
    GARBAGE("{} {}", 3, "file.json");
    GARBAGE("{\"seed\": 1, \"seed\": 2}", 3, "twice");
    GARBAGE("{\"seed\": \x00 1}", 3, "NUL");
    GARBAGE("{\"seed\": 1.5}", 3, "seed");
    GARBAGE("{\"seed\": \"1\"}", 3, "expected an integer, found a string");
    GARBAGE("{\"name\": null}", 3, "expected a string");
    GARBAGE("{\"train\": [1]}", 3, "expected an object");
    GARBAGE("{\"train\": {\"lr\": 1e999}}", 3, "train.lr");
    GARBAGE("{\"train\": {\"lrr\": 1}}", 2, "'train.lr'");
    GARBAGE("{\"trian\": {}}", 2, "unknown key 'trian'");
    GARBAGE("{\"hypernet\": {\"size\": \"Q\"}}", 3, "S|M|L");
    GARBAGE("{\"shapes\": {\"layers\": 0}}", 3, "layers");
    GARBAGE("{\"shapes\": {\"layers\": 2, \"embedding\": 8, \"modules\": {\"q_proj\": [4]}}}", 3,
            "[in, out]");
    GARBAGE("{\"shapes\": {\"layers\": 2, \"embedding\": 8, \"modules\": {\"q_proj\": [4, 4]}}}", 3,
            "v_proj");
#undef GARBAGE
    char deep[512];
    memset(deep, '[', sizeof deep);
    expect_file(deep, sizeof deep, 3, "nested");
    unsigned seed = 1;
    for (int round = 0; round < 20; round++) { /* a valid file with a few bytes changed never crashes it */
        char text[] = "{\"seed\": 7, \"name\": \"x\", \"train\": {\"lr\": 0.001}, \"lora\": {\"modules\": "
                      "[\"q_proj\"]}}";
        for (int k = 0; k < 3; k++) {
            seed = seed * 1103515245u + 12345u;
            text[(seed >> 8) % (sizeof text - 1)] = (char)(seed >> 24);
        }
        write_file(text, sizeof text - 1);
        Ran r = RUN("config", "--config", file_path);
        if (r.code != 0 && r.code != 2 && r.code != 3) fail_msg("exit %d for %s: %s", r.code, text, r.err);
        run_free(&r);
    }
    run_expect(RUN("config", "--config", "/no/such.json"), 3, NULL, "/no/such.json");
}

static void test_config_keys(void **state) {
    (void)state;
    run_expect(RUN("config", "--keys"), 0, "train.label_smoothing", NULL);
}

static void test_doctor(void **state) {
    (void)state;
    run_expect(RUN("doctor"), 0, "OpenBLAS", NULL);
    Ran r = RUN("doctor", "--json");
    assert_int_equal(r.code, 0);
    cJSON *list = cJSON_Parse(r.out);
    assert_true(cJSON_IsArray(list) && cJSON_GetArraySize(list) > 10);
    cJSON_Delete(list);
    run_free(&r);
}

static void test_inspect_library(void **state) {
    (void)state;
    Library lib;
    char base[] = "tiny", folder[PATH_MAX], path[PATH_MAX + 8];
    Adapter a = {.n_layers = 1,
                 .rank = 1,
                 .alpha = 2,
                 .n_modules = 1,
                 .modules = {{.module = Q_PROJ, .in = 2, .out = 2}}};
    assert_ok(adapter_alloc(&a));
    a.base_model = base;
    a.modules[0].a[0] = 3;
    a.modules[0].b[1] = 4; /* scale 2: |delta W| = 24 */
    temp_make(folder);
    snprintf(path, sizeof path, "%s/x.h5", folder);
    assert_ok(library_create(&lib, path, &a, 1));
    assert_ok(library_append(&lib, "sorter", &a, "{\"steps\":7}"));
    library_close(&lib);
    run_expect(RUN("inspect", path, "--json"), 0,
               "{\"record\":0,\"name\":\"sorter\",\"delta_norm\":24,\"facts\":\"{\\\"steps\\\":7}\"}", NULL);
    run_expect(RUN("inspect", path), 0, "q_proj    A 1 x 2, B 2 x 1", NULL);
    assert_int_equal(truncate(path, 3000), 0);
    run_expect(RUN("inspect", path), 3, NULL, "x.h5: not an HDF5 file, or damaged");
    a.base_model = NULL;
    adapter_free(&a);
    temp_remove(folder);
}

static void test_inspect(void **state) {
    (void)state;
    static const struct {
        const char *size, *count; /* of the authors' class */
    } sizes[] = {{"S", "\"hypernet_parameters\":4994816"},
                 {"M", "\"hypernet_parameters\":34412288"},
                 {"L", "\"hypernet_parameters\":55424000"}};
    for (int i = 0; i < 3; i++) {
        char path[512];
        snprintf(path, sizeof path, "%s/configs/mistral-7b-%s.json", TEST_ROOT, sizes[i].size);
        run_expect(RUN("inspect", path, "--json"), 0, sizes[i].count, NULL);
        run_expect(RUN("inspect", path), 0, "3,407,872", NULL);
    }
    run_expect(RUN("inspect", TEST_ROOT "/tests/golden/hypernet_S.safetensors"), 0, "param.", NULL);
    run_expect(RUN("inspect", TEST_ROOT "/tests/golden/hypernet_S.safetensors", "--json"), 0, "\"shape\":[",
               NULL);
    run_expect(RUN("inspect", "/no/such/file"), 3, NULL, "/no/such/file");
    run_expect(RUN("inspect", dir), 3, NULL, "found none");
    static const char *const names[] = {"x.safetensors", "x.gguf", "x.h5", "x.json", "x.bin"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[96];
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        FILE *f = fopen(path, "wb");
        assert_non_null(f);
        for (int k = 0; k < 300; k++) fputc(k * 7, f);
        fclose(f);
        run_expect(RUN("inspect", path), 3, NULL, names[i]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_help),
        cmocka_unit_test(test_help_of_each),
        cmocka_unit_test(test_suggestions),
        cmocka_unit_test(test_flags),
        cmocka_unit_test(test_bad_models),
        cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_config_precedence),
        cmocka_unit_test(test_config_round_trip),
        cmocka_unit_test(test_config_words),
        cmocka_unit_test(test_config_garbage),
        cmocka_unit_test(test_config_keys),
        cmocka_unit_test(test_doctor),
        cmocka_unit_test(test_inspect),
        cmocka_unit_test(test_inspect_library),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
