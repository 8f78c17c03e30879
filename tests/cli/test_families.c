/* The commands on tiny models of every family (tests/golden/families), each a folder with the byte tokenizer:
 * inspect, score against float64, complete, chat, and two steps of training with the tiny text encoder. */
#include "tests/cli/run.h"
#include "tests/test_util.h"

#include "base/json.h"
#include "data/safetensors.h"
#include <sys/stat.h>

static char dir[] = "/tmp/t2l-families-XXXXXX";
static const char *const families[] = {"mistral", "llama3", "qwen2", "gemma2"};

static void copy(const char *from, const char *to) {
    char *text;
    size_t n;
    assert_ok(file_read(&text, &n, from, 1 << 20));
    assert_ok(file_write_atomic(to, text, n));
    free(text);
}

static int make_dir(void **state) {
    (void)state;
    if (!mkdtemp(dir) || chdir(dir) != 0) return 1;
    for (int f = 0; f < COUNT_OF(families); f++) {
        static const char *const files[] = {"config.json", "model.safetensors"};
        char from[PATH_MAX], to[128];
        if (mkdir(families[f], 0700)) return 1;
        for (int i = 0; i < 2; i++) {
            snprintf(from, sizeof from, GOLDEN("families/%s/%s"), families[f], files[i]);
            snprintf(to, sizeof to, "%s/%s", families[f], files[i]);
            copy(from, to);
        }
        snprintf(to, sizeof to, "%s/tokenizer.json", families[f]);
        copy(GOLDEN("families/tokenizer.json"), to);
    }
    return 0;
}

static int remove_dir(void **state) {
    (void)state;
    temp_remove(dir);
    return chdir("/");
}

static void inspect(void **state) {
    (void)state;
    run_expect(RUN("inspect", "mistral"), 0, "family = mistral\n", NULL);
    run_expect(RUN("inspect", "mistral"), 0, "sliding window = 5 keys in 3 of 3 layers, the first is 0\n",
               NULL);
    run_expect(RUN("inspect", "mistral"), 0, "rope = base 10000, linear scaling by 2.5\n", NULL);
    run_expect(RUN("inspect", "llama3"), 0,
               "rope = base 500, llama3 scaling by 8 below 1, none above 4 turns in 32 positions\n", NULL);
    run_expect(RUN("inspect", "qwen2"), 0, "biases on q, k and v\n", NULL);
    run_expect(RUN("inspect", "gemma2"), 0, "attention softcap = 3\nlogit softcap = 2\n", NULL);
    run_expect(RUN("inspect", GOLDEN("families/gemma2.gguf")), 0, "family = gemma2\n", NULL);
    run_expect(RUN("inspect", GOLDEN("families/gemma2.gguf"), "--json"), 0,
               "{\"family\":\"gemma2\",\"layers\":3,\"width\":36,", NULL);
    run_expect(RUN("inspect", "qwen2", "--json"), 0, "{\"family\":\"qwen2\",", NULL);
    run_expect(RUN("inspect", GOLDEN("gte_tiny")), 0, "encoder.layer.0.mlp.up_gate_proj.weight", NULL);
}

static void score(void **state) {
    (void)state;
    for (int f = 0; f < COUNT_OF(families); f++) {
        char path[PATH_MAX], line[256];
        SafeTensors golden;
        Tensor want;
        const int64_t one = 1;
        snprintf(path, sizeof path, GOLDEN("families/%s.safetensors"), families[f]);
        assert_ok(safetensors_open(&golden, path));
        assert_ok(safetensors_get(&want, &golden, "score", 1, &one));
        snprintf(line, sizeof line, "{\"context\":\"%s\",\"continuation\":\"%s\"}\n",
                 safetensors_metadata(&golden, "context"), safetensors_metadata(&golden, "continuation"));
        Ran r = RUN_INPUT(line, "score", "--dtype", "f32", "--model", families[f]);
        if (r.code) fail_msg("%s", r.err);
        cJSON *got;
        double logprob, exact = *(const double *)want.data;
        assert_ok(json_parse(&got, r.out, strlen(r.out), "score"));
        assert_ok(json_get_number(&logprob, got, "logprob", "score"));
        assert_within(logprob, exact, 1e-5 * fabs(exact));
        cJSON_Delete(got);
        run_free(&r);
        safetensors_close(&golden);
    }
}

static void complete_and_chat(void **state) {
    (void)state;
    for (int f = 0; f < COUNT_OF(families); f++) {
        run_expect(RUN_INPUT("{\"prompt\":\"One, two, three\"}\n", "complete", "--max-tokens", "16",
                             "--model", families[f]),
                   0, "\"finish\":", NULL);
        run_expect(RUN("chat", "--json", "--max-tokens", "4", "--model", families[f], "hello"), 0, "\"",
                   NULL);
    }
    run_expect(RUN_INPUT("{\"prompt\":\"x\"}\n", "complete", "--model", GOLDEN("families/qwen2.gguf")), 3,
               NULL, "no tokenizer");
}

/* Two steps of SFT of every family and hypernetwork size; gemma2's and llama3's q_proj are wider than the
 * model.
 */
static void train(void **state) {
    (void)state;
    assert_int_equal(mkdir("tasks", 0700), 0);
    FILE *file = fopen("tasks/yes.json", "w");
    assert_non_null(file);
    fputs("{\"Definition\": \"Say yes.\", \"Instances\": [", file);
    for (int i = 0; i < 10; i++) fprintf(file, "%s{\"input\": \"%d\", \"output\": \"yes\"}", i ? "," : "", i);
    fputs("]}\n", file);
    assert_int_equal(fclose(file), 0);
    for (int f = 0; f < COUNT_OF(families); f++)
        for (int size = 0; size < 3; size++) {
            char model[64], kind[32], name[64], run[96];
            snprintf(model, sizeof model, "model=%s", families[f]);
            snprintf(kind, sizeof kind, "hypernet.size=%c", "LMS"[size]);
            snprintf(name, sizeof name, "name=%s-%c", families[f], "LMS"[size]);
            snprintf(run, sizeof run, "runs/%s-%c", families[f], "LMS"[size]);
            run_expect(RUN("train", "sft", model, "encoder=" GOLDEN("gte_tiny"), kind, name,
                           "data.tasks=tasks", "data.max_tokens=64", "train.batch_tasks=1", "train.steps=2",
                           "hypernet.latent=16", "hypernet.head=16",
                           "lora.modules=[\"q_proj\",\"v_proj\",\"o_proj\",\"down_proj\"]", "-q"),
                       0, "step_00000002", NULL);
            run_expect(RUN_INPUT("{\"prompt\":\"x\"}\n", "complete", "--max-tokens", "2", "--model",
                                 families[f], "--t2l", run, "--describe", "Say yes."),
                       0, "\"finish\":", NULL);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(inspect),
        cmocka_unit_test(score),
        cmocka_unit_test(complete_and_chat),
        cmocka_unit_test(train),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
