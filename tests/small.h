/* A small base model and small tasks in a folder of the test's own. Include after tests/test_util.h. */
#ifndef T2L_TESTS_SMALL_H
#define T2L_TESTS_SMALL_H

TEST_FN void small_copy(const char *from, const char *dir, const char *name) {
    char *text, path[PATH_MAX + 64];
    size_t n;
    assert_ok(file_read(&text, &n, from, 1 << 20));
    snprintf(path, sizeof path, "%s/%s", dir, name);
    assert_ok(file_write_atomic(path, text, n));
    free(text);
}

/* The tiny golden Mistral, whose tokenizer has a token a byte. */
TEST_FN void small_model(const char *dir) {
    assert_ok(file_mkdirs(dir));
    small_copy(GOLDEN("families/mistral/config.json"), dir, "config.json");
    small_copy(GOLDEN("families/mistral/model.safetensors"), dir, "model.safetensors");
    small_copy(GOLDEN("families/tokenizer.json"), dir, "tokenizer.json");
}

/* dir/name.json: one description, "Say <output>.", and ten examples with this output. */
TEST_FN void small_task(const char *dir, const char *name, const char *output) {
    char path[PATH_MAX + 64];
    assert_ok(file_mkdirs(dir));
    snprintf(path, sizeof path, "%s/%s.json", dir, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fprintf(f, "{\"Definition\": \"Say %s.\", \"Instances\": [", output);
    for (int i = 0; i < 10; i++)
        fprintf(f, "%s{\"input\": \"%d\", \"output\": \"%s\"}", i ? "," : "", i, output);
    fputs("]}\n", f);
    assert_int_equal(fclose(f), 0);
}

/* The tasks no, well and yes. */
TEST_FN void small_tasks(const char *dir) {
    small_task(dir, "no", "no");
    small_task(dir, "well", "well then");
    small_task(dir, "yes", "yes");
}

#endif
