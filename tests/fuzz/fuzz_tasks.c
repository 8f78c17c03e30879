/* The input is a task file in the Natural-Instructions form. */
#include "tests/fuzz/fuzz.h"

#include "data/tasks.h"

static size_t use(const TaskSet *set) {
    size_t sum = 0;
    for (int64_t i = 0; i < set->n; i++) {
        const Task *t = &set->tasks[i];
        sum += strlen(t->name) + strlen(t->definition) + strlen(t->kind);
        for (int k = 0; k < t->n_descriptions; k++) sum += strlen(t->descriptions[k]);
        for (int k = 0; k < t->n_unseen; k++) sum += strlen(t->unseen[k]);
        for (int split = TASK_TRAIN; split <= TASK_TEST; split++) {
            int64_t n;
            const TaskExample *e = tasks_split(t, (TaskSplit)split, &n);
            for (int64_t k = 0; k < n; k++) sum += strlen(e[k].input) + strlen(e[k].output);
        }
        CHECK(tasks_find(set, t->name) == t, "'%s' is not found", t->name);
    }
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    FuzzFile f = fuzz_open(data, n);
    TaskSet set;
    Status s = tasks_load(&set, f.path);
    if (status_is_ok(s)) {
        use(&set);
        tasks_free(&set);
    } else {
        fuzz_refused(s);
    }
    close(f.fd);
    return 0;
}
