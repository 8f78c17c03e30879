// The mini suite: counts, the schema, descriptions told apart, test inputs apart from trained ones, one seed
// one suite.
#include "data/mini/mini.h"

#include "base/file.h"
#include "base/json.h"
#include "tests/data/files.h"

#include <dirent.h>

enum { FILES_MAX = 512, TEXTS_MAX = 1 << 15, FILE_BYTES_MAX = 1 << 22 };

typedef struct Suite {
    TestDir dir;
    cJSON *task[FILES_MAX];
    char name[FILES_MAX][64];
    bool trained[FILES_MAX];
    int n;
} Suite;

static void read_split(Suite *suite, const char *split) {
    char *dir = path_join(suite->dir.path, split);
    DIR *listing = opendir(dir);
    assert_non_null(listing);
    for (struct dirent *entry; (entry = readdir(listing));) {
        if (entry->d_name[0] == '.') continue;
        assert_true(suite->n < FILES_MAX);
        char *path = path_join(dir, entry->d_name);
        assert_ok(json_read(&suite->task[suite->n], path, FILE_BYTES_MAX));
        int length = snprintf(suite->name[suite->n], sizeof suite->name[0], "%s", entry->d_name);
        assert_in_range(length, 1, sizeof suite->name[0] - 1);
        suite->trained[suite->n++] = strcmp(split, "train") == 0;
        free(path);
    }
    closedir(listing);
    free(dir);
}

static int set_up(void **state) {
    Suite *suite = calloc(1, sizeof *suite);
    suite->dir = dir_make();
    assert_ok(mini_write(suite->dir.path, 1));
    read_split(suite, "train");
    read_split(suite, "heldout");
    *state = suite;
    return 0;
}

static int tear_down(void **state) {
    Suite *suite = *state;
    for (int i = 0; i < suite->n; i++) cJSON_Delete(suite->task[i]);
    dir_remove(&suite->dir);
    free(suite);
    return 0;
}

static const cJSON *array(const Suite *suite, int i, const char *key) {
    const cJSON *out = NULL;
    assert_ok(json_get_array(&out, suite->task[i], key, suite->name[i]));
    return out;
}

static const char *first_string(const Suite *suite, int i, const char *key) {
    return cJSON_GetStringValue(cJSON_GetArrayItem(array(suite, i, key), 0));
}

static int by_text(const void *a, const void *b) {
    return strcasecmp(*(const char *const *)a, *(const char *const *)b);
}

static void assert_distinct(const char **texts, int n, const char *what) {
    qsort(texts, (size_t)n, sizeof *texts, by_text);
    for (int i = 1; i < n; i++)
        if (strcasecmp(texts[i - 1], texts[i]) == 0) fail_msg("%s twice: %s", what, texts[i]);
}

static void test_counts(void **state) {
    const Suite *suite = *state;
    int trained = 0, near = 0, far = 0;
    for (int i = 0; i < suite->n; i++) {
        const char *kind = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(suite->task[i], "Kind"));
        trained += suite->trained[i];
        assert_true(suite->trained[i] == (kind == NULL));
        near += kind && strcmp(kind, "near") == 0;
        far += kind && strcmp(kind, "far") == 0;
    }
    assert_true(trained >= 120);
    assert_int_equal(near, 20);
    assert_int_equal(far, 20);
    assert_int_equal(trained + near + far, suite->n);
}

// The members of a family among the trained tasks.
static int members(const Suite *suite, const char *family) {
    int n = 0;
    for (int i = 0; i < suite->n; i++)
        n += suite->trained[i] && strcmp(first_string(suite, i, "Categories"), family) == 0;
    return n;
}

static void test_families(void **state) {
    const Suite *suite = *state;
    int trained = 0;
    for (int i = 0; i < suite->n; i++) trained += suite->trained[i];
    for (int i = 0; i < suite->n; i++) {
        int n = members(suite, first_string(suite, i, "Categories"));
        const char *kind = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(suite->task[i], "Kind"));
        if (kind && strcmp(kind, "far") == 0)
            assert_int_equal(n, 0);
        else if (kind)
            assert_true(n >= 5);
        assert_true(n * 100 <= trained * 15);
    }
}

static void test_schema(void **state) {
    const Suite *suite = *state;
    static const char *const keys[] = {"Definition", "Categories", "Descriptions", "Unseen Descriptions",
                                       "Instances"};
    for (int i = 0; i < suite->n; i++) {
        const cJSON *member = suite->task[i]->child;
        for (size_t k = 0; k < sizeof keys / sizeof *keys; k++, member = member->next) {
            if (strcmp(member->string, "Kind") == 0) member = member->next;
            assert_string_equal(member->string, keys[k]);
        }
        assert_null(member);
        assert_int_equal(cJSON_GetArraySize(array(suite, i, "Definition")), 1);
    }
}

static void test_descriptions(void **state) {
    const Suite *suite = *state;
    static const char *const keys[] = {"Definition", "Descriptions", "Unseen Descriptions"};
    static const int least[] = {1, 24, 6};
    const char **texts = calloc(TEXTS_MAX, sizeof *texts);
    int n = 0;
    for (int i = 0; i < suite->n; i++)
        for (int k = 0; k < 3; k++) {
            const cJSON *list = array(suite, i, keys[k]), *item;
            if (cJSON_GetArraySize(list) < least[k]) fail_msg("%s: too few %s", suite->name[i], keys[k]);
            cJSON_ArrayForEach(item, list) {
                const char *s = cJSON_GetStringValue(item);
                assert_non_null(s);
                assert_true(strlen(s) >= 8 && n < TEXTS_MAX);
                texts[n++] = s;
            }
        }
    assert_distinct(texts, n, "description");
    free(texts);
}

static void test_instances(void **state) {
    const Suite *suite = *state;
    const char **inputs = calloc(TEXTS_MAX, sizeof *inputs);
    for (int i = 0; i < suite->n; i++) {
        const cJSON *instance;
        int n = 0;
        cJSON_ArrayForEach(instance, array(suite, i, "Instances")) {
            const char *input, *output;
            const cJSON *outputs;
            assert_ok(json_get_string(&input, instance, "input", suite->name[i]));
            assert_ok(json_get_array(&outputs, instance, "output", suite->name[i]));
            assert_int_equal(cJSON_GetArraySize(outputs), 1);
            output = cJSON_GetStringValue(outputs->child);
            assert_true(output && *output && *input);
            assert_true(strlen(input) <= 80 && strlen(output) <= 80);
            inputs[n++] = input;
        }
        // The last tenth is the test part: it must be there, and nothing in it trained.
        if (n < 55) fail_msg("%s: only %d instances", suite->name[i], n);
        assert_distinct(inputs, n, suite->name[i]);
    }
    free(inputs);
}

static void test_seed(void **state) {
    const Suite *suite = *state;
    for (uint64_t seed = 1; seed <= 2; seed++) {
        TestDir dir = dir_make();
        assert_ok(mini_write(dir.path, seed));
        int same = 0;
        for (int i = 0; i < suite->n; i++) {
            char *split = path_join(dir.path, suite->trained[i] ? "train" : "heldout");
            char *path = path_join(split, suite->name[i]);
            cJSON *again = NULL;
            assert_ok(json_read(&again, path, FILE_BYTES_MAX));
            same += cJSON_Compare(again, suite->task[i], true);
            cJSON_Delete(again);
            free(path);
            free(split);
        }
        assert_int_equal(same, seed == 1 ? suite->n : 0);
        dir_remove(&dir);
    }
}

static void test_bad_dir(void **state) {
    (void)state;
    Status st = mini_write("/dev/null/suite", 1);
    assert_false(status_is_ok(st));
    status_free(st);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counts),       cmocka_unit_test(test_families),  cmocka_unit_test(test_schema),
        cmocka_unit_test(test_descriptions), cmocka_unit_test(test_instances), cmocka_unit_test(test_seed),
        cmocka_unit_test(test_bad_dir),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
