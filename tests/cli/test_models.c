/* The commands that need models, on the real small ones: lines go in and come out, and a run of two steps
 * goes all the way from training to chat. Skipped (77) where the models are not in the cache. */
#include "tests/cli/run.h"
#include "tests/test_util.h"
#include "tests/small.h"

#include <cjson/cJSON.h>
#include <sys/stat.h>

#define MODEL "smollm2-135m-instruct"
#define ENCODER "minilm-l6-v2"

static char dir[] = "/tmp/t2l-models-XXXXXX";

static int make_dir(void **state) {
    (void)state;
    return !mkdtemp(dir) || chdir(dir) != 0;
}

static int remove_dir(void **state) {
    (void)state;
    char command[64];
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    return chdir("/") != 0 || system(command);
}

static cJSON *parse_line(const char *text) {
    cJSON *value = cJSON_ParseWithOpts(text, NULL, false);
    assert_non_null(value);
    return value;
}

static void test_tokenize(void **state) {
    (void)state;
    const char *text = "Hello world\n\n<|im_start|>user\nna\xc3\xafve \xe2\x82\xac caf\xc3\xa9\n";
    Ran ids = RUN_INPUT(text, "tokenize", "--model", MODEL);
    assert_int_equal(ids.code, 0);
    assert_non_null(strstr(ids.out, "[19556,905]\n[]\n[1,4093]\n"));
    Ran back = RUN_INPUT(ids.out, "tokenize", "--model=" MODEL, "--decode", "-");
    assert_int_equal(back.code, 0);
    assert_string_equal(back.out, text);
    run_free(&back);
    run_free(&ids);
    run_expect(RUN_INPUT("\"a\\nb\"\n", "tokenize", "--model", MODEL, "--json-in"), 0, "[", NULL);
    run_expect(RUN_INPUT("\"ok\"\n5\n", "tokenize", "--model", MODEL, "--json-in"), 3, "[",
               "standard input:2");
    run_expect(RUN_INPUT("[1,-5]\n", "tokenize", "--model", MODEL, "--decode"), 3, NULL, "standard input:1");
    run_expect(RUN_INPUT("[99999999]\n", "tokenize", "--model", MODEL, "--decode"), 3, NULL,
               "standard input:1");
    run_expect(RUN("tokenize", "--model", MODEL, "/no/such/file"), 3, NULL, "/no/such/file");
}

static void test_template(void **state) {
    (void)state;
    run_expect(RUN_INPUT("[{\"role\":\"user\",\"content\":\"Hi\"}]\n", "template", "--model", MODEL,
                         "--system", "S\"x"),
               0,
               "\"<|im_start|>system\\nS\\\"x<|im_end|>\\n<|im_start|>user\\nHi<|im_end|>\\n<|im_start|>"
               "assistant\\n\"\n",
               NULL);
    run_expect(RUN_INPUT("[{\"role\":\"user\",\"content\":\"Hi\"}]", "template", "--model", MODEL,
                         "--no-default-system"),
               0, "\"<|im_start|>user\\nHi<|im_end|>\\n<|im_start|>assistant\\n\"\n", NULL);
    run_expect(RUN_INPUT("{}\n", "template", "--model", MODEL), 3, NULL, "standard input:1");
    run_expect(RUN_INPUT("[{\"role\":\"user\"}]\n", "template", "--model", MODEL), 3, NULL, "'content'");
    run_expect(RUN_INPUT("[{\"role\":\"robot\",\"content\":\"\"}]\n", "template", "--model", MODEL), 3, NULL,
               "robot");
}

static double number_in(const char *line, const char *key) {
    cJSON *value = parse_line(line), *n = cJSON_GetObjectItemCaseSensitive(value, key);
    assert_true(cJSON_IsNumber(n));
    double v = n->valuedouble;
    cJSON_Delete(value);
    return v;
}

static void test_score(void **state) {
    (void)state;
    const char *lines = "{\"context\":\"The capital of France is\",\"continuation\":\" Paris\"}\n"
                        "{\"context\":\"The capital of France is\",\"continuation\":\" zebra\"}\n";
    Ran together = RUN_INPUT(lines, "score", "--model", MODEL),
        apart = RUN_INPUT(lines, "score", "--model", MODEL, "--batch", "1");
    if (together.code) fail_msg("%s", together.err);
    assert_string_equal(together.out, apart.out);
    const char *second = strchr(together.out, '\n') + 1;
    assert_true(number_in(together.out, "logprob") > number_in(second, "logprob") + 3);
    assert_float_equal(number_in(together.out, "tokens"), 1, 0);
    assert_non_null(strstr(second, "\"greedy\":false"));
    run_free(&together);
    run_free(&apart);
    run_expect(RUN_INPUT("{\"context\":\"a\"}\n", "score", "--model", MODEL), 3, NULL, "'continuation'");
    run_expect(RUN_INPUT("", "score", "--model", MODEL), 0, NULL, NULL);
}

static void test_complete(void **state) {
    (void)state;
    const char *lines =
        "{\"messages\":[{\"role\":\"user\",\"content\":\"What is the capital of France?\"}]}\n"
        "{\"prompt\":\"1 2 3 4 5 6\"}\n";
    Ran greedy = RUN_INPUT(lines, "complete", "--model", MODEL, "--max-tokens", "12");
    if (greedy.code) fail_msg("%s", greedy.err);
    assert_non_null(strstr(greedy.out, "Paris"));
    assert_non_null(strstr(greedy.out, "\"finish\":\"stop\""));
    assert_non_null(strstr(greedy.out, "\"tokens\":12,\"finish\":\"length\""));
    Ran again = RUN_INPUT(lines, "complete", "--model", MODEL, "--max-tokens", "12", "--batch", "1",
                          "--threads", "1");
    assert_string_equal(greedy.out, again.out);
    run_free(&again);
    run_free(&greedy);
    Ran a = RUN_INPUT(lines, "complete", "--model", MODEL, "--max-tokens", "8", "--temperature", "1",
                      "--seed", "3");
    Ran b = RUN_INPUT(lines, "complete", "--model", MODEL, "--max-tokens", "8", "--temperature", "1",
                      "--seed", "3");
    assert_int_equal(a.code, 0);
    assert_string_equal(a.out, b.out);
    run_free(&a);
    run_free(&b);
    run_expect(RUN_INPUT("{\"prompt\":\"\"}\n", "complete", "--model", MODEL), 3, NULL, "standard input:1");
    run_expect(RUN("complete", "--model", MODEL, "--t2l", "x"), 2, NULL, "--describe");
    run_expect(RUN("complete", "--model", MODEL, "--adapter", "/no/such"), 3, NULL, "/no/such");
}

static void test_embed(void **state) {
    (void)state;
    Ran r = RUN_INPUT("Sort the words.\nsort the words\n", "embed", "--encoder", ENCODER);
    if (r.code) fail_msg("%s", r.err);
    cJSON *first = parse_line(r.out);
    double sum = 0;
    int n = cJSON_GetArraySize(first);
    for (cJSON *x = first->child; x; x = x->next) sum += x->valuedouble * x->valuedouble;
    assert_true(n == 384);
    assert_float_equal(sum, n, 0.01 * n); /* length sqrt(E) */
    cJSON_Delete(first);
    run_free(&r);
    /* into a store, continued by the same input with more behind it */
    const char *more = "Sort the words.\nsort the words\nCount them.\n";
    run_expect(RUN_INPUT("Sort the words.\n", "embed", "--encoder", ENCODER, "-o", "e.h5"), 0, "e.h5", NULL);
    run_expect(RUN_INPUT(more, "embed", "--encoder", ENCODER, "-o", "e.h5"), 0, "e.h5", NULL);
    run_expect(RUN("inspect", "e.h5", "--json"), 0, "\"records\":3,\"width\":384", NULL);
    run_expect(RUN("inspect", "e.h5", "--json"), 0, "\"text\":\"Count them.\",\"norm\":19.59", NULL);
    run_expect(RUN_INPUT("Other.\n", "embed", "--encoder", ENCODER, "-o", "e.h5"), 3, NULL,
               "its record 0 is another text");
}

#define TINY                                                                                            \
    "name=tiny", "data.tasks=tasks", "data.max_tokens=64", "train.batch_tasks=2", "hypernet.latent=16", \
        "hypernet.head=32", "hypernet.size=S", "train.log_every=1", "-q"

static void write_text(const char *path, const char *text) {
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

static int count_lines(const char *path) {
    FILE *f = fopen(path, "r");
    int lines = 0;
    assert_non_null(f);
    for (int c; (c = fgetc(f)) != EOF;) lines += c == '\n';
    fclose(f);
    return lines;
}

#define LOGLIK(...)                                                                                         \
    RUN("eval", "-q", "--model", MODEL, "--t2l", "runs/tiny", "--describe", "Pick one.", "--data", "bench", \
        "--tasks", "piqa", "--protocol", "loglik", "-o", "b2", __VA_ARGS__)

/* Stopped in the middle of its third line; finished; asked for something else. */
static void check_going_on(void) {
    assert_int_equal(rename("b2/items.jsonl", "b2/items.jsonl.part"), 0);
    FILE *f = fopen("b2/items.jsonl.part", "r+");
    assert_non_null(f);
    int at = 0, lines = 0;
    for (int c; lines < 2 && (c = fgetc(f)) != EOF; at++) lines += c == '\n';
    assert_int_equal(ftruncate(fileno(f), at + 9), 0);
    fclose(f);
    run_expect(LOGLIK("--json"), 0, "\"items_of_earlier_runs\":2", NULL);
    assert_int_equal(count_lines("b2/items.jsonl"), 4);
    run_expect(LOGLIK("--json"), 0, "\"items_of_earlier_runs\":4", NULL);
    assert_int_equal(count_lines("b2/items.jsonl"), 4);
    run_expect(LOGLIK("--limit", "1"), 3, NULL,
               "b2/eval.json: holds an evaluation with limit 0, this one has 1");
    write_text("bench/piqa.jsonl", "{\"goal\":\"a\",\"sol1\":\"b\",\"sol2\":\"c\",\"label\":0}\n");
    run_expect(LOGLIK("--json"), 3, NULL, "b2/eval.json: holds an evaluation with sha256");
    assert_int_equal(unlink("b2/eval.json"), 0);
    run_expect(LOGLIK("--json"), 3, NULL, "no eval.json");
}

/* Base, a given adapter, two descriptions' adapters with their controls and the descriptions in the prompt,
 * side by side; an evaluation goes on; programs are run. */
static void test_benchmarks(void) {
    assert_int_equal(mkdir("bench", 0700), 0);
    write_text("bench/piqa.jsonl",
               "{\"goal\":\"boil an egg\",\"sol1\":\"in water\",\"sol2\":\"in sand\",\"label\":0}\n"
               "{\"goal\":\"dry hair\",\"sol1\":\"with soup\",\"sol2\":\"with a towel\",\"label\":1}\n");
    write_text("texts.json",
               "{\"piqa\":[\"Choose what works.\",\"Pick one.\"],\"boolq\":[\"Say whether it is so.\"]}");
    Ran arms = RUN("eval", "-q", "--model", MODEL, "--adapter", "sorter", "--t2l", "runs/tiny",
                   "--descriptions", "texts.json", "--prompted", "--controls", "--data", "bench", "--tasks",
                   "piqa", "-o", "b1", "--json");
    if (arms.code) fail_msg("%s", arms.err);
    static const char *const names[] = {"\"base\":",   "\"prompted\":", "\"sorter\":",       "\"t2l\":",
                                        "\"random\":", "\"other\":",    "\"descriptions\":2"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strstr(arms.out, names[i])) fail_msg("no %s in %s", names[i], arms.out);
    run_free(&arms);
    assert_int_equal(count_lines("b1/items.jsonl"), 2 * (1 + 2 + 1 + 2 + 2 + 1));
    Ran loglik = LOGLIK("--threads", "1");
    if (loglik.code) fail_msg("%s", loglik.err);
    assert_non_null(strstr(loglik.out, "| base "));
    assert_non_null(strstr(loglik.out, "2 (1838)"));
    run_free(&loglik);
    assert_int_equal(count_lines("b2/items.jsonl"), 4);
    assert_int_equal(access("b2/report.md", R_OK) | access("b1/results.json", R_OK), 0);
    check_going_on();
    write_text("bench/humaneval.jsonl",
               "{\"task_id\":\"a\",\"prompt\":\"def f():\\n\",\"entry_point\":\"f\",\"test\":\"def "
               "check(c): assert c() == 1\",\"canonical_solution\":\"    return 1\"}\n");
    run_expect(RUN("eval", "-q", "--model", MODEL, "--data", "bench", "--tasks", "humaneval", "--max-tokens",
                   "3", "--allow-unsandboxed-code", "-o", "b3"),
               0, "Programs ran in: ", NULL);
    run_expect(RUN("eval", "-q", "--model", MODEL, "--data", "bench", "--tasks", "humaneval", "--max-tokens",
                   "3", "--allow-unsandboxed-code", "--samples", "2", "--temperature", "1", "--json"),
               0, "\"pass@k\":", NULL);
}

/* From training to an adapter that is used; the described and the written adapter answer alike. */
static void test_run(void **state) {
    (void)state;
    small_task("tasks", "yes", "yes"); /* one description each: embedding many is slow under the sanitizers */
    small_task("tasks", "no", "no");
    run_expect(RUN("train", "sft", TINY, "train.steps=2"), 0, "runs/tiny/ckpt/step_00000002", NULL);
    run_expect(RUN("inspect", "runs/tiny", "--json"), 0, "\"shape\":[", NULL);
    run_expect(RUN("train", "sft", TINY, "train.steps=2", "name=again", "--resume"), 3, NULL, "again");
    run_expect(RUN("generate", "--t2l", "runs/tiny", "--text", "Sort the words.", "-o", "sorter"), 0,
               "sorter\n", NULL);
    run_expect(
        RUN_INPUT("one\n\nthree\n", "generate", "--t2l", "runs/tiny/ckpt/last", "--file", "-", "-o", "many"),
        0, "many/0001\nmany/0003\n", NULL);
    run_expect(RUN("inspect", "sorter"), 0, "alpha / sqrt(rank)", NULL);
    run_expect(RUN("generate", "--t2l", "runs", "--text", "x", "-o", "y"), 3, NULL, "no checkpoint");
    run_expect(RUN("generate", "--t2l", "runs/tiny", "-o", "y"), 2, NULL, "--text");
    Ran described = RUN("chat", "--json", "--max-tokens", "4", "--model", MODEL, "--t2l", "runs/tiny",
                        "--describe", "Sort the words.", "b a");
    Ran written = RUN("chat", "--json", "--max-tokens", "4", "--model", MODEL, "--adapter", "sorter", "b a");
    if (described.code) fail_msg("%s", described.err);
    assert_string_equal(described.out, written.out);
    run_free(&described);
    run_free(&written);
    run_expect(RUN("eval", "-q", "--model", MODEL, "--adapter", "sorter", "--t2l", "runs/tiny", "--data",
                   "tasks", "--tasks", "yes", "--limit", "2", "--max-tokens", "4", "--heldout", "-o", "out"),
               0, "sorter", NULL);
    assert_int_equal(access("out/items.jsonl", R_OK), 0);
    assert_int_equal(access("out/results.json", R_OK), 0);
    assert_int_not_equal(access("out/items.jsonl.part", R_OK), 0);
    run_expect(RUN("eval", "--model", MODEL, "--data", "tasks", "--tasks", "nosuch"), 2, NULL, "nosuch");
    test_benchmarks();
}

static bool has_models(void) {
    Ran r = RUN("doctor");
    bool there = !strstr(r.out, MODEL " is not here") && !strstr(r.out, ENCODER " is not here");
    run_free(&r);
    return there;
}

int main(void) {
    if (!has_models()) {
        fputs("skipped: the models are not in the cache; build/t2l fetch " MODEL " " ENCODER "\n", stderr);
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tokenize), cmocka_unit_test(test_template), cmocka_unit_test(test_score),
        cmocka_unit_test(test_complete), cmocka_unit_test(test_embed),    cmocka_unit_test(test_run),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
