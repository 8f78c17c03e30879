/* A Text-to-LoRA with every task encoder and source of embeddings, through the commands: train, inspect,
 * generate, eval. */
#include "tests/cli/run.h"
#include "tests/test_util.h"

#include "tests/small.h"

static char dir[] = "/tmp/t2l-encoders-XXXXXX";

static int make_dir(void **state) {
    (void)state;
    if (!mkdtemp(dir) || chdir(dir)) return 1;
    small_model("mistral");
    small_tasks("tasks");
    return 0;
}

static int remove_dir(void **state) {
    (void)state;
    temp_remove(dir);
    return chdir("/");
}

#define SFT                                                                                                 \
    "train", "sft", "-q", "model=mistral", "data.tasks=tasks", "data.max_tokens=64", "lora.rank=2",         \
        "train.batch_tasks=2", "train.lr=1e-2", "train.steps=3", "train.log_every=1", "hypernet.latent=16", \
        "hypernet.head=16", "encoder=" GOLDEN("gte_tiny")
#define LORA                                                                                              \
    "train", "lora", "--config", TEST_ROOT "/configs/lora.json", "-q", "name=plain", "model=mistral",     \
        "data.tasks=tasks", "data.max_tokens=64", "lora.rank=2", "train.batch_tasks=4", "train.epochs=1", \
        "eval.every=0"
#define RECON                                                                                            \
    "train", "recon", "--config", TEST_ROOT "/configs/recon.json", "-q", "model=mistral", "lora.rank=2", \
        "hypernet.latent=16", "hypernet.head=16", "recon.library=runs/plain/library.h5",                 \
        "train.batch_tasks=2", "train.steps=3", "train.log_every=1"

/* Whether a file contains a text. */
static bool says(const char *path, const char *part) {
    char *text;
    assert_ok(file_read(&text, NULL, path, 1 << 22));
    bool found = strstr(text, part) != NULL;
    free(text);
    return found;
}

/* Two safetensors files but for their headers. */
static bool same_tensors(const char *a, const char *b) {
    const char *paths[2] = {a, b};
    char digest[2][65];
    for (int i = 0; i < 2; i++) {
        char *text;
        size_t n;
        uint64_t header;
        assert_ok(file_read(&text, &n, paths[i], 1 << 24));
        memcpy(&header, text, sizeof header);
        assert_true(header + 8 < n);
        sha256_hex(digest[i], text + 8 + header, n - 8 - header);
        free(text);
    }
    return strcmp(digest[0], digest[1]) == 0;
}

static void test_encoders(void **state) {
    (void)state;
    static const char *const encoders[] = {"linear", "onehot", "vq", "softmax"};
    static const char *const own[] = {"task_encoder.mlp.1.weight", "task_encoder.mlp.3.weight",
                                      "task_encoder.cluster_size", "task_encoder.embed"};
    for (int i = 0; i < 4; i++) {
        char name[32], encoder[48], path[96], run[64], made[64], source[64];
        snprintf(name, sizeof name, "name=%s", encoders[i]);
        snprintf(encoder, sizeof encoder, "hypernet.encoder=%s", encoders[i]);
        snprintf(run, sizeof run, "runs/%s", encoders[i]);
        snprintf(made, sizeof made, "made-%s", encoders[i]);
        snprintf(source, sizeof source, "\"task_encoder\":\"%s\"", encoders[i]);
        run_expect(RUN(SFT, name, encoder), 0, "ckpt/step_00000003", NULL);
        snprintf(path, sizeof path, "%s/metrics.jsonl", run);
        assert_int_equal(says(path, "\"commitment\":"), i == 2);
        run_expect(RUN("inspect", run), 0, source, NULL);
        run_expect(RUN("inspect", run), 0, own[i], NULL);
        run_expect(RUN("generate", "--t2l", run, "--text", "Say yes.", "-o", made), 0, made, NULL);
        run_expect(RUN("eval", "--model", "mistral", "--t2l", run, "--data", "tasks", "--limit", "1",
                       "--max-tokens", "2", "-q"),
                   0, "T2L", NULL);
    }
}

static void test_llm(void **state) {
    (void)state;
    /* no text encoder is needed */
    run_expect(RUN(SFT, "name=llm", "data.embedding=llm", "encoder=none"), 0, "ckpt/step_00000003", NULL);
    run_expect(RUN("inspect", "runs/llm"), 0, "\"source\":\"llm\"", NULL);
    run_expect(RUN("generate", "--t2l", "runs/llm", "--text", "Say yes.", "-o", "by-llm"), 0, "by-llm", NULL);
    run_expect(RUN("eval", "--model", "mistral", "--t2l", "runs/llm", "--describe", "Say yes.", "--data",
                   "tasks", "--limit", "1", "--max-tokens", "2", "-q"),
               0, "Say yes.", NULL);
    run_expect(RUN_INPUT("Say yes.\n", "embed", "--model", "mistral"), 0, "[", NULL);
    run_expect(RUN_INPUT("Say yes.\n", "embed", "--model", "mistral", "--encoder", "x"), 2, NULL,
               "one of --encoder and --model");
    run_expect(RUN_INPUT("Say yes.\n", "embed"), 2, NULL, "one of --encoder and --model");
    /* reconstruction: at once, and through a store */
    run_expect(RUN(LORA), 0, "runs/plain/adapters/yes", NULL);
    run_expect(RUN(RECON, "name=rllm", "data.embedding=llm", "data.tasks=tasks"), 0, "ckpt/step_00000003",
               NULL);
    run_expect(RUN("embed", "--model", "mistral", "--tasks", "tasks", "-o", "llm.h5"), 0, "llm.h5", NULL);
    run_expect(RUN(RECON, "name=stored", "data.embedding=llm", "recon.embeddings=llm.h5"), 0,
               "ckpt/step_00000003", NULL);
    run_expect(RUN(RECON, "name=wrong", "encoder=none", "recon.embeddings=llm.h5"), 3, NULL,
               "embeddings of mistral, but encoder is none");
    assert_true(same_tensors("runs/rllm/ckpt/last/optimizer.safetensors",
                             "runs/stored/ckpt/last/optimizer.safetensors"));
}

static void test_numbers(void **state) {
    (void)state;
    run_expect(RUN(SFT, "name=numbers", "data.embedding=onehot", "encoder=none"), 0, "ckpt/step_00000003",
               NULL);
    run_expect(RUN("inspect", "runs/numbers"), 0, "\"tasks\":[\"no\",\"well\",\"yes\"]", NULL);
    run_expect(RUN("generate", "--t2l", "runs/numbers", "--text", "Say yes.", "-o", "no"), 2, NULL,
               "'Say yes.' is no task of this Text-to-LoRA");
    run_expect(RUN("generate", "--t2l", "runs/numbers", "--text", "3", "-o", "no"), 2, NULL, "0 to 2");
    run_expect(RUN("generate", "--t2l", "runs/numbers", "--text", "yes", "-o", "by-name"), 0, "by-name",
               NULL);
    run_expect(RUN("generate", "--t2l", "runs/numbers", "--text", "2", "-o", "by-number"), 0, "by-number",
               NULL);
    run_expect(RUN("generate", "--t2l", "runs/numbers", "--text", "no", "-o", "other"), 0, "other", NULL);
    assert_true(same_tensors("by-name/adapter_model.safetensors", "by-number/adapter_model.safetensors"));
    assert_false(same_tensors("by-name/adapter_model.safetensors", "other/adapter_model.safetensors"));
    run_expect(RUN("eval", "--model", "mistral", "--t2l", "runs/numbers", "--data", "tasks", "--limit", "1",
                   "--max-tokens", "2", "-q"),
               0, "T2L", NULL);
    run_expect(
        RUN("eval", "--model", "mistral", "--t2l", "runs/numbers", "--data", "tasks", "--prompted", "-q"), 2,
        NULL, "need descriptions");
    run_expect(RUN("complete", "--model", "mistral", "--t2l", "runs/numbers", "--describe", "Say yes.", "-q"),
               2, NULL, "reads no descriptions");
    run_expect(RUN(SFT, "name=x", "data.embedding=onehot", "hypernet.task_start=descriptions"), 3, NULL,
               "hypernet.task_start");
    run_expect(RUN("demo", "data.embedding=onehot", "model=mistral", "data.tasks=tasks",
                   "data.heldout=", "hypernet.task_start=random", "--config", TEST_ROOT "/configs/demo.json"),
               2, NULL, "the demo measures descriptions");
    run_expect(RUN(RECON, "name=rnumbers", "data.embedding=onehot", "hypernet.encoder=vq"), 0,
               "ckpt/step_00000003", NULL);
    assert_true(says("runs/rnumbers/metrics.jsonl", "\"commitment\":"));
    run_expect(RUN("generate", "--t2l", "runs/rnumbers", "--text", "well", "-o", "rebuilt"), 0, "rebuilt",
               NULL);
    run_expect(RUN(RECON, "name=y", "data.embedding=onehot", "recon.embeddings=llm.h5"), 3, NULL,
               "recon.embeddings");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_encoders), cmocka_unit_test(test_llm),
                                       cmocka_unit_test(test_numbers)};
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
