#include "data/mini/mini.h"

#include "base/file.h"
#include "base/json.h"
#include "data/mini/describe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    INSTANCES = 240,
    TRAINED_DESCRIPTIONS = 48,
    UNSEEN_DESCRIPTIONS = 10,
    PATIENCE = 3000, // draws without a new result before a table counts as exhausted
    SEEN_MAX = 1 << 15,
};

// Hashes of the texts so far; a collision only costs one draw.
typedef struct Seen {
    uint64_t hash[SEEN_MAX];
    int n;
} Seen;

static uint64_t hash_of(const char *s) {
    uint64_t h = 0xcbf29ce484222325u;
    for (; *s; s++) {
        char c = *s >= 'A' && *s <= 'Z' ? (char)(*s - 'A' + 'a') : *s;
        h = (h ^ (unsigned char)c) * 0x100000001b3u;
    }
    return h;
}

static bool seen_add(Seen *seen, uint64_t hash) {
    for (int i = 0; i < seen->n; i++)
        if (seen->hash[i] == hash) return false;
    CHECK(seen->n < SEEN_MAX, "too many texts");
    seen->hash[seen->n++] = hash;
    return true;
}

static Status no_memory(void) {
    return status_error(E_ENV, "no memory for the mini suite");
}

static Status add_string(cJSON *array, const char *s) {
    cJSON *item = cJSON_CreateString(s);
    if (item && cJSON_AddItemToArray(array, item)) return OK;
    cJSON_Delete(item);
    return no_memory();
}

// n new descriptions, from each template in turn.
static Status add_descriptions(cJSON *array, Seen *seen, Rng *rng, const Task *task,
                               const char *const *templates, int n) {
    int choices = 0;
    while (templates[choices]) choices++;
    int first = task_range(rng, 0, choices - 1);
    for (int drawn = 0, made = 0; made < n && drawn < PATIENCE; drawn++) {
        Text text;
        describe(&text, rng, templates[(first + drawn) % choices], task);
        if (!seen_add(seen, hash_of(text.s))) continue;
        TRY(add_string(array, text.s));
        made++;
    }
    return OK;
}

static Status add_instances(cJSON *array, Seen *inputs, Rng *rng, const Task *task) {
    inputs->n = 0;
    for (int idle = 0; inputs->n < INSTANCES && idle < PATIENCE; idle++) {
        Pair pair = {.in = {.n = 0}, .out = {.n = 0}};
        task->generate(rng, task, &pair);
        if (!seen_add(inputs, hash_of(pair.in.s))) continue;
        idle = 0;
        cJSON *instance = cJSON_CreateObject();
        if (!instance || !cJSON_AddItemToArray(array, instance)) {
            cJSON_Delete(instance);
            return no_memory();
        }
        cJSON *input = cJSON_AddStringToObject(instance, "input", pair.in.s);
        cJSON *output = cJSON_AddArrayToObject(instance, "output");
        if (!input || !output) return no_memory();
        TRY(add_string(output, pair.out.s));
    }
    return OK;
}

static Status task_json(cJSON *root, const Task *task, uint64_t seed, Seen *described, Seen *inputs) {
    cJSON *definition = cJSON_AddArrayToObject(root, "Definition");
    cJSON *categories = cJSON_AddArrayToObject(root, "Categories");
    if (!definition || !categories) return no_memory();
    if (task->split != SPLIT_TRAIN &&
        !cJSON_AddStringToObject(root, "Kind", task->split == SPLIT_NEAR ? "near" : "far"))
        return no_memory();
    cJSON *trained = cJSON_AddArrayToObject(root, "Descriptions");
    cJSON *unseen = cJSON_AddArrayToObject(root, "Unseen Descriptions");
    cJSON *instances = cJSON_AddArrayToObject(root, "Instances");
    if (!trained || !unseen || !instances) return no_memory();

    const Family *family = task->family;
    Text text;
    describe(&text, NULL, family->definition, task);
    seen_add(described, hash_of(text.s));
    TRY(add_string(definition, text.s));
    TRY(add_string(categories, family->name));
    Rng words = rng_make(seed, hash_of(task->name)), data = rng_make(seed, ~hash_of(task->name));
    TRY(add_descriptions(trained, described, &words, task, family->trained, TRAINED_DESCRIPTIONS));
    TRY(add_descriptions(unseen, described, &words, task, family->unseen, UNSEEN_DESCRIPTIONS));
    return add_instances(instances, inputs, &data, task);
}

static Status write_task(const char *dir, const Task *task, uint64_t seed, Seen *described, Seen *inputs) {
    char name[128];
    snprintf(name, sizeof name, "%s/%s.json", task->split == SPLIT_TRAIN ? "train" : "heldout", task->name);
    char *path = path_join(dir, name);
    cJSON *root = cJSON_CreateObject();
    Status st = path && root ? task_json(root, task, seed, described, inputs) : no_memory();
    if (status_is_ok(st)) st = json_write(path, root);
    cJSON_Delete(root);
    free(path);
    return st;
}

static Status make_dir(const char *dir, const char *name) {
    char *path = path_join(dir, name);
    Status st = path ? file_mkdirs(path) : no_memory();
    free(path);
    return st;
}

Status mini_write(const char *dir, uint64_t seed) {
    TRY(make_dir(dir, "train"));
    TRY(make_dir(dir, "heldout"));
    const Tasks tables[] = {
        lists_tasks(), numbers_tasks(), knowledge_tasks(), sentences_tasks(), far_tasks(),
    };
    Seen *described = malloc(sizeof *described), *inputs = malloc(sizeof *inputs);
    Status st = described && inputs ? OK : no_memory();
    if (described) described->n = 0;
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
        for (int j = 0; status_is_ok(st) && j < tables[i].n; j++)
            st = write_task(dir, &tables[i].items[j], seed, described, inputs);
    free(described);
    free(inputs);
    return st;
}
