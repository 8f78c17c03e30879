/* Task files: what a sound one becomes, the split, every mistake named with file and key, damaged files, and
 * the real Natural-Instructions files where they are. */
#include "tests/data/files.h"

#include "data/mini/mini.h"
#include "data/tasks.h"

static const char sound[] =
    "{\"Definition\": [\"Say it.\", \"second\"], \"Categories\": [\"c1\", \"c2\"], \"Kind\": \"near\",\n"
    " \"Descriptions\": [\"d1\", \"d2\"], \"Unseen Descriptions\": [\"u1\"],\n"
    " \"URL\": [NaN], \"Source\": [\"NaN\"], \"Positive Examples\": [{\"input\": 1}], \"Instance License\": "
    "[\"x\"],\n"
    " \"Instances\": [{\"id\": \"1\", \"input\": \"a\", \"output\": [\"A\"]},\n"
    "  {\"input\": \"b \\\" NaN\", \"output\": [\"B\", \"BB\", \"\"]}, {\"input\": \"\", \"output\": "
    "\"C\"}]}";

static void test_sound(void **state) {
    (void)state;
    TestDir dir = dir_make();
    TestPath path = dir_file(&dir, "say.json");
    TaskSet set;
    write_text(path.s, sound);
    assert_ok(tasks_load(&set, path.s));
    assert_int_equal(set.n, 1);
    const Task *t = tasks_find(&set, "say");
    assert_non_null(t);
    assert_null(tasks_find(&set, "sa"));
    assert_string_equal(t->path, path.s);
    assert_string_equal(t->definition, "Say it.");
    assert_string_equal(t->kind, "near");
    assert_int_equal(t->n_categories, 2);
    assert_string_equal(t->categories[1], "c2");
    assert_int_equal(t->n_descriptions, 2);
    assert_string_equal(t->descriptions[1], "d2");
    assert_int_equal(t->n_unseen, 1);
    assert_string_equal(t->unseen[0], "u1");
    assert_true(t->n_train == 1 && t->n_valid == 1 && t->n_test == 1);
    assert_string_equal(t->examples[0].output, "A");
    assert_string_equal(t->examples[1].input, "b \" NaN");
    assert_string_equal(t->examples[1].output, "B, BB, ");
    assert_int_equal(t->examples[1].n_outputs, 3);
    assert_string_equal(t->examples[1].outputs[1], "BB");
    assert_string_equal(t->examples[2].input, "");
    assert_string_equal(t->examples[2].output, "C");
    int64_t n;
    assert_ptr_equal(tasks_split(t, TASK_TEST, &n), &t->examples[2]);
    assert_int_equal(n, 1);
    tasks_free(&set);

    write_text(path.s, "{\"Definition\": \"D\", \"Instances\": [{\"input\": \"a\", \"output\": \"b\"}]}");
    assert_ok(tasks_load(&set, path.s));
    t = &set.tasks[0];
    assert_string_equal(t->kind, "");
    assert_int_equal(t->n_descriptions, 1);
    assert_string_equal(t->descriptions[0], "D");
    assert_int_equal(t->n_unseen + t->n_categories, 0);
    tasks_free(&set);

    write_text(
        path.s,
        "{\"Descriptions\": [\"D1\", \"D2\"], \"Instances\": [{\"input\": \"a\", \"output\": \"b\"}]}");
    assert_ok(tasks_load(&set, path.s));
    assert_string_equal(set.tasks[0].definition, "D1");
    assert_int_equal(set.tasks[0].n_descriptions, 2);
    tasks_free(&set);
    dir_remove(&dir);
}

static void test_split(void **state) {
    (void)state;
    static const int sizes[][4] = {{1, 1, 0, 0},  {2, 1, 0, 1},   {3, 1, 1, 1},   {9, 7, 1, 1},
                                   {10, 8, 1, 1}, {19, 17, 1, 1}, {20, 16, 2, 2}, {400, 320, 40, 40}};
    TestDir dir = dir_make();
    TestPath path = dir_file(&dir, "t.json");
    for (int i = 0; i < COUNT_OF(sizes); i++) {
        FILE *f = fopen(path.s, "w");
        fputs("{\"Definition\":\"D\",\"Instances\":[", f);
        for (int k = 0; k < sizes[i][0]; k++)
            fprintf(f, "%s{\"input\":\"%d\",\"output\":\"o\"}", k ? "," : "", k);
        fputs("]}", f);
        fclose(f);
        TaskSet set;
        assert_ok(tasks_load(&set, path.s));
        const Task *t = &set.tasks[0];
        assert_int_equal(t->n_train, sizes[i][1]);
        assert_int_equal(t->n_valid, sizes[i][2]);
        assert_int_equal(t->n_test, sizes[i][3]);
        int seen = 0;
        for (int split = TASK_TRAIN; split <= TASK_TEST; split++) {
            int64_t n;
            const TaskExample *e = tasks_split(t, (TaskSplit)split, &n);
            for (int64_t k = 0; k < n; k++) assert_int_equal(atoi(e[k].input), seen++);
        }
        assert_int_equal(seen, sizes[i][0]);
        tasks_free(&set);
    }
    dir_remove(&dir);
}

#define ONE "{\"input\":\"a\",\"output\":\"b\"}"
static const char *const mistakes[][2] = {
    {"", "not valid JSON"},
    {"{", "not valid JSON"},
    {"[]", "the file: expected an object, found an array"},
    {"{\"Definition\":\"D\"}", "key 'Instances' is missing"},
    {"{\"Definition\":\"D\",\"instances\":[" ONE "]}", "unknown key 'instances'; did you mean 'Instances'?"},
    {"{\"Definition\":\"D\",\"Instance\":[" ONE "]}", "did you mean 'Instances'?"},
    {"{\"Definition\":\"D\",\"Description\":[\"d\"],\"Instances\":[" ONE "]}",
     "did you mean 'Descriptions'?"},
    {"{\"Definition\":\"D\",\"Unseen_descriptions\":[\"d\"],\"Instances\":[" ONE "]}",
     "'Unseen Descriptions'?"},
    {"{\"Definitions\":\"D\",\"Instances\":[" ONE "]}", "did you mean 'Definition'?"},
    {"{\"Definition\":\"D\",\"Category\":\"c\",\"Instances\":[" ONE "]}", "did you mean 'Categories'?"},
    {"{\"Definition\":\"D\",\"kind\":\"c\",\"Instances\":[" ONE "]}", "did you mean 'Kind'?"},
    {"{\"Instances\":[" ONE "]}", "key 'Definition' is missing"},
    {"{\"Definition\":[],\"Instances\":[" ONE "]}", "Definition: the array is empty"},
    {"{\"Definition\":3,\"Instances\":[" ONE "]}",
     "Definition: expected a string or an array of strings, found a num"},
    {"{\"Definition\":{},\"Instances\":[" ONE "]}", "Definition: expected a string or an array"},
    {"{\"Definition\":[\"D\",3],\"Instances\":[" ONE "]}",
     "Definition[1]: expected a string, found a number"},
    {"{\"Definition\":\" \\n\",\"Instances\":[" ONE "]}", "Definition[0]: is blank"},
    {"{\"Definition\":\"D\",\"Descriptions\":[\"d\",\"\"],\"Instances\":[" ONE "]}",
     "Descriptions[1]: is blank"},
    {"{\"Definition\":\"D\",\"Descriptions\":[],\"Instances\":[" ONE "]}",
     "Descriptions: the array is empty"},
    {"{\"Definition\":\"D\",\"Unseen Descriptions\":[null],\"Instances\":[" ONE "]}",
     "Unseen Descriptions[0]: exp"},
    {"{\"Definition\":\"D\",\"Kind\":[\"near\"],\"Instances\":[" ONE "]}", "key 'Kind': expected a string"},
    {"{\"Definition\":\"D\",\"Instances\":{}}", "key 'Instances': expected an array, found an object"},
    {"{\"Definition\":\"D\",\"Instances\":[]}", "Instances: the array is empty"},
    {"{\"Definition\":\"D\",\"Instances\":[" ONE ",3]}",
     "Instances[1]: expected an object with input and output"},
    {"{\"Definition\":\"D\",\"Instances\":[" ONE "," ONE ",{\"input\":\"a\"}]}",
     "Instances[2].output: is missing"},
    {"{\"Definition\":\"D\",\"Instances\":[{\"output\":\"a\"}]}", "Instances[0].input: is missing"},
    {"{\"Definition\":\"D\",\"Instances\":[{\"input\":\"a\",\"outputs\":\"b\"}]}",
     "unknown key 'Instances[0].outputs'; did you mean 'output'?"},
    {"{\"Definition\":\"D\",\"Instances\":[{\"Input\":\"a\",\"output\":\"b\"}]}", "did you mean 'input'?"},
    {"{\"Definition\":\"D\",\"Instances\":[{\"input\":1,\"output\":\"b\"}]}",
     "Instances[0].input: expected a string, found a number"},
    {"{\"Definition\":\"D\",\"Instances\":[{\"input\":NaN,\"output\":\"b\"}]}",
     "Instances[0].input: expected a string"},
    {"{\"Definition\":\"D\",\"Instances\":[" ONE "," ONE "," ONE ",{\"input\":\"a\",\"output\":null}]}",
     "Instances[3].output: expected a string or an array of strings, found null"},
    {"{\"Definition\":\"D\",\"Instances\":[{\"input\":\"a\",\"output\":[]}]}",
     "Instances[0].output: the array is empty"},
    {"{\"Definition\":\"D\",\"Instances\":[{\"input\":\"a\",\"output\":[\"x\",[]]}]}",
     "Instances[0].output[1]: expec"},
    {"{\"Definition\":\"D\",\"Definition\":\"D\",\"Instances\":[" ONE "]}", "key 'Definition' appears twice"},
    {"{\"Definition\":\"\\u0000\",\"Instances\":[" ONE "]}", "\\u0000 is not accepted"},
};

static void test_mistakes(void **state) {
    (void)state;
    TestDir dir = dir_make();
    TestPath path = dir_file(&dir, "bad.json");
    TaskSet set;
    for (int i = 0; i < COUNT_OF(mistakes); i++) {
        write_text(path.s, mistakes[i][0]);
        Status s = tasks_load(&set, path.s);
        if (status_code(s) != E_INPUT || !strstr(status_message(s), mistakes[i][1]) ||
            !strstr(status_message(s), "bad.json: "))
            fail_msg("%s: code %d: %s", mistakes[i][0], (int)status_code(s), status_message(s));
        assert_null(set.tasks);
        assert_null(set.memory);
        status_free(s);
    }
    assert_fails(tasks_load(&set, dir_file(&dir, "none").s), E_INPUT, "none: no such file");
    dir_remove(&dir);
}

static void test_directory(void **state) {
    (void)state;
    TestDir dir = dir_make();
    TaskSet set;
    assert_fails(tasks_load(&set, dir.path), E_INPUT, "no task file (*.json)");
    static const char *const files[] = {"b.json", "a.json",      "a-x.json",
                                        "B.json", "task10.json", "task9.json"};
    static const char *const order[] = {"B", "a", "a-x", "b", "task10", "task9"};
    for (int i = 0; i < COUNT_OF(files); i++) write_text(dir_file(&dir, files[i]).s, sound);
    write_text(dir_file(&dir, "notes.txt").s, "not a task");
    write_text(dir_file(&dir, ".hidden.json").s, "not a task");
    assert_ok(tasks_load(&set, dir.path));
    assert_int_equal(set.n, COUNT_OF(order));
    for (int i = 0; i < COUNT_OF(order); i++) {
        assert_string_equal(set.tasks[i].name, order[i]);
        assert_ptr_equal(tasks_find(&set, order[i]), &set.tasks[i]);
    }
    tasks_free(&set);
    write_text(dir_file(&dir, "c.json").s, "{\"Definition\":\"D\"}");
    assert_fails(tasks_load(&set, dir.path), E_INPUT, "c.json: key 'Instances' is missing");
    dir_remove(&dir);
}

static void test_damage(void **state) {
    (void)state;
    MemFile m = mem_file();
    size_t n = sizeof sound - 1;
    uint8_t copy[sizeof sound + 8];
    Rng rng = rng_make(3, 0);
    for (size_t i = 0; i < 10000 + n; i++) {
        TaskSet set;
        size_t size = i;
        if (i < n)
            memcpy(copy, sound, i);
        else
            size = damage(copy, (const uint8_t *)sound, n, n, &rng);
        mem_set(&m, copy, size);
        Status s = tasks_load(&set, m.path);
        if (status_is_ok(s)) {
            assert_true(set.n == 1 && set.tasks[0].n_train >= 1);
            tasks_free(&set);
        } else {
            assert_int_equal(status_code(s), E_INPUT);
        }
        status_free(s);
    }
    close(m.fd);
}

static void test_mini(void **state) {
    (void)state;
    TestDir dir = dir_make();
    TaskSet set;
    assert_ok(mini_write(dir.path, 1));
    assert_ok(tasks_load(&set, dir_file(&dir, "train").s));
    for (int64_t i = 0; i < set.n; i++)
        assert_true(set.tasks[i].n_descriptions > 1 && set.tasks[i].n_unseen > 0);
    tasks_free(&set);
    assert_ok(tasks_load(&set, dir_file(&dir, "heldout").s));
    for (int64_t i = 0; i < set.n; i++) assert_true(*set.tasks[i].kind);
    tasks_free(&set);
    dir_remove(&dir);
}

static void test_real(void **state) {
    (void)state;
    TestPath path;
    snprintf(path.s, sizeof path.s, "%s/shared/data/sni/tasks", TEST_ROOT);
    if (!file_is_dir(path.s)) snprintf(path.s, sizeof path.s, "%s/../shared/data/sni/tasks", TEST_ROOT);
    if (!file_is_dir(path.s)) {
        print_message("skipped: the Natural-Instructions files are not here\n");
        skip();
    }
    TaskSet set;
    int64_t n = 0;
    assert_ok(tasks_load(&set, path.s));
    for (int64_t i = 0; i < set.n; i++)
        n += set.tasks[i].n_train + set.tasks[i].n_valid + set.tasks[i].n_test;
    assert_int_equal(set.n, 469);
    assert_int_equal(n, 153497);
    tasks_free(&set);
    strcpy(strrchr(path.s, '/'), "/train"); /* the reference's order and descriptions */
    assert_ok(tasks_load(&set, path.s));
    assert_int_equal(set.n, 459);
    assert_int_equal(set.n_absent, 20);
    assert_string_equal(set.tasks[0].name, "lol_742");
    assert_string_equal(set.tasks[1].name, "lol_1198");
    for (int64_t i = 0; i < set.n; i++) assert_int_equal(set.tasks[i].n_descriptions, 128);
    assert_int_equal(tasks_find(&set, "lol_717")->n_unseen, 3);
    tasks_free(&set);
    strcpy(strrchr(path.s, '/'), "/validation_unseen");
    assert_ok(tasks_load(&set, path.s));
    assert_int_equal(set.n, 10);
    tasks_free(&set);
}

static const char one_task[] =
    "{\"Definition\": \"Do.\", \"Instances\": [{\"input\": \"i\", \"output\": \"o\"}]}";

/* FOLDER/LIST: its order, its names, descriptions beside it, what is not available counted. */
static void test_list(void **state) {
    (void)state;
    TestDir dir = dir_make();
    TestPath index = dir_file(&dir, "index.json"), list = dir_file(&dir, "first"),
             sub = dir_file(&dir, "tasks");
    TaskSet set;
    assert_false(tasks_is_list(list.s));
    assert_ok(file_mkdirs(sub.s));
    write_text(dir_file(&dir, "tasks/file_a.json").s, one_task);
    write_text(dir_file(&dir, "tasks/file_b.json").s, one_task);
    write_text(index.s,
               "{\"first\": [\"z\", \"gone\", \"a\"], \"none\": [\"gone\"], \"odd\": [1], \"up\": [\"up\"],"
               " \"available\": {\"a\": \"file_a\", \"z\": \"file_b\", \"up\": \"../x\"}}");
    assert_true(tasks_is_list(list.s));
    assert_ok(tasks_load(&set, list.s));
    assert_int_equal(set.n, 2);
    assert_int_equal(set.n_absent, 1);
    assert_string_equal(set.tasks[0].name, "z");
    assert_string_equal(set.tasks[1].name, "a");
    assert_string_equal(tasks_find(&set, "a")->descriptions[0], "Do.");
    tasks_free(&set);
    write_text(dir_file(&dir, "descriptions.json").s, "{\"a\": [\"one\", \"two\"]}");
    write_text(dir_file(&dir, "eval_descriptions.json").s, "{\"eval_descriptions\": {\"z\": [\"new\"]}}");
    assert_ok(tasks_load(&set, list.s));
    assert_int_equal(set.tasks[1].n_descriptions, 2);
    assert_string_equal(set.tasks[1].descriptions[1], "two");
    assert_string_equal(set.tasks[0].unseen[0], "new");
    tasks_free(&set);
    assert_fails(tasks_load(&set, dir_file(&dir, "none").s), E_INPUT, "no task of list 'none'");
    assert_fails(tasks_load(&set, dir_file(&dir, "odd").s), E_INPUT, "odd");
    assert_fails(tasks_load(&set, dir_file(&dir, "up").s), E_INPUT, "is no file name");
    assert_fails(tasks_load(&set, dir_file(&dir, "absent").s), E_INPUT,
                 "index.json: no list 'absent'; it has first, none, odd, up");
    assert_fails(tasks_load(&set, dir.path), E_INPUT, "holds lists of tasks");
    assert_fails(tasks_load(&set, dir_file(&dir, "available").s), E_INPUT, "available");
    write_text(dir_file(&dir, "descriptions.json").s, "{\"a\": [\" \"]}");
    assert_fails(tasks_load(&set, list.s), E_INPUT, "is blank");
    write_text(index.s, "{");
    assert_fails(tasks_load(&set, list.s), E_INPUT, "index.json");
    dir_remove(&dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sound),     cmocka_unit_test(test_split),  cmocka_unit_test(test_mistakes),
        cmocka_unit_test(test_directory), cmocka_unit_test(test_damage), cmocka_unit_test(test_mini),
        cmocka_unit_test(test_real),      cmocka_unit_test(test_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
