/* t2l eval on benchmarks: what is refused before a model is loaded. */
#include "tests/cli/run.h"

#include <sys/stat.h>

static char dir[] = "/tmp/t2l-bench-XXXXXX";

static int make_dir(void **state) {
    (void)state;
    return !mkdtemp(dir) || chdir(dir) != 0;
}

static int remove_dir(void **state) {
    (void)state;
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command) != 0;
}

static void write_text(const char *path, const char *text) {
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

#define EVAL(...) RUN("eval", "--model", "nosuch-model", "--data", ".", __VA_ARGS__)

static void usage(void **state) {
    (void)state;
    run_expect(EVAL("--tasks", "piqa,mytask"), 2, NULL, "'piqa' is a benchmark and 'mytask' is none");
    run_expect(EVAL("--tasks", "mytask", "--protocol", "loglik"), 2, NULL, "are for benchmarks");
    run_expect(EVAL("--protocol", "nosuch"), 2, NULL, "--protocol");
    run_expect(EVAL("--tasks", "piqa", "--natural"), 2, NULL, "are for task files");
    run_expect(EVAL("--tasks", "piqa", "--t2l", "x"), 2, NULL, "--describe TEXT or --descriptions FILE");
    run_expect(EVAL("--tasks", "piqa", "--prompted"), 2, NULL,
               "--prompted on benchmarks needs --descriptions");
    run_expect(EVAL("--tasks", "piqa", "--protocol", "loglik", "--templates", "t.json"), 2, NULL,
               "change nothing");
    run_expect(EVAL("--tasks", "mbpp", "--protocol", "loglik"), 2, NULL, "mbpp has no choices");
    run_expect(EVAL("--tasks", "mbpp", "--samples", "3"), 2, NULL, "--samples 3 needs --temperature T");
    run_expect(EVAL("--tasks", "piqa", "--temperature", "1"), 2, NULL, "are for mbpp and humaneval");
    run_expect(EVAL("--tasks", "mytask", "--allow-unsandboxed-code"), 2, NULL, "are for benchmarks");
    run_expect(EVAL("--tasks", "piqa", "--controls", "--t2l", "x", "--describe", "y"), 2, NULL,
               "--controls on benchmarks needs --t2l CKPT and --descriptions FILE.json");
}

static void data(void **state) {
    (void)state;
    run_expect(EVAL("--tasks", "piqa"), 3, NULL, "no piqa.jsonl");
    write_text(
        "piqa.jsonl",
        "{\"goal\":\"g\",\"sol1\":\"a\",\"sol2\":\"b\",\"label\":1}\n{\"goal\":\"g\",\"sol1\":\"a\"}\n");
    run_expect(EVAL("--tasks", "piqa"), 3, NULL, "piqa.jsonl:2: key 'sol2'");
    write_text("piqa.jsonl", "{\"goal\":\"g\",\"sol1\":\"a\",\"sol2\":\"b\",\"label\":1}\n{\"goal\":\"g\","
                             "\"sol1\":\"a\",\"sol2\":\"b\"}\n");
    run_expect(EVAL("--tasks", "piqa"), 3, NULL, "piqa.jsonl:2: key 'label': the example has no answer");
    run_expect(EVAL("--tasks", "piqa", "--limit", "1"), 3, NULL,
               "nosuch-model"); /* the first example is good */
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(usage), cmocka_unit_test(data)};
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
