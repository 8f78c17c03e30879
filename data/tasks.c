/* Policy: a file is parsed by base/json, checked key by key, and copied into the set's chunks; the parse tree
 * lives for one file only. Messages name file and key path, as in "tasks/a.json: Instances[3].output: ...".
 */
#include "data/tasks.h"
#include "base/file.h"
#include "base/json.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_FILE = 256 << 20, CHUNK = 1 << 20, MAX_WORD = 32 };

typedef struct TaskChunk {
    struct TaskChunk *next; /* owns */
    size_t used, size;
    char data[];
} TaskChunk;

/* size bytes, 8-aligned, that live as long as the set; NULL without memory. */
static void *keep(TaskSet *set, size_t size) {
    TaskChunk *c = set->memory;
    size = (size + 7) & ~(size_t)7;
    if (!c || c->size - c->used < size) {
        size_t room = size > CHUNK ? size : CHUNK;
        c = malloc(sizeof *c + room);
        if (!c) return NULL;
        c->next = set->memory;
        c->used = 0;
        c->size = room;
        set->memory = c;
    }
    void *p = c->data + c->used;
    c->used += size;
    return p;
}

static const char *keep_string(TaskSet *set, const char *s) {
    size_t n = strlen(s) + 1;
    char *p = keep(set, n);
    return p ? memcpy(p, s, n) : NULL;
}

static Status no_memory(const char *path) {
    return status_error(E_ENV, "%s: no memory for its examples", path);
}

/* ---------------------------------------------------------------- keys */

static const char *const task_keys[] = {"Definition",          "Instances", "Categories", "Descriptions",
                                        "Unseen Descriptions", "Kind",      NULL};
static const char *const example_keys[] = {"input", "output", NULL};
/* Natural Instructions' own, ignored here; named so that none is taken for one of ours misspelt. */
static const char *const foreign_keys[] = {"Contributors",
                                           "Source",
                                           "URL",
                                           "Reasoning",
                                           "Input_language",
                                           "Output_language",
                                           "Domains",
                                           "Instruction_language",
                                           "Positive Examples",
                                           "Negative Examples",
                                           "Instance License",
                                           "id",
                                           "explanation",
                                           NULL};

static bool is_in(const char *key, const char *const *list) {
    while (*list && strcmp(*list, key) != 0) list++;
    return *list != NULL;
}

/* Edit distance without regard to case; words of MAX_WORD or more are far from everything. */
static size_t distance(const char *a, const char *b) {
    size_t n = strlen(a), m = strlen(b), row[MAX_WORD + 1];
    if (n >= MAX_WORD || m >= MAX_WORD) return MAX_WORD;
    for (size_t j = 0; j <= m; j++) row[j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            bool same = tolower((unsigned char)a[i - 1]) == tolower((unsigned char)b[j - 1]);
            size_t best = diagonal + !same;
            diagonal = row[j];
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            if (row[j] + 1 < best) best = row[j] + 1;
            row[j] = best;
        }
    }
    return row[m];
}

/* A key that is none of ours but within a third of one: a slip. at: "" or "Instances[3].". */
static Status check_keys(const cJSON *object, const char *const *ours, const char *path, const char *at) {
    for (const cJSON *c = object->child; c; c = c->next) {
        if (is_in(c->string, ours) || is_in(c->string, foreign_keys)) continue;
        for (int i = 0; ours[i]; i++)
            if (distance(c->string, ours[i]) <= strlen(ours[i]) / 3)
                return status_error(E_INPUT, "%s: unknown key '%s%s'; did you mean '%s'?", path, at,
                                    c->string, ours[i]);
    }
    return OK;
}

/* ---------------------------------------------------------------- values */

typedef struct Strings {
    const char *const *s;
    int n;
} Strings;

static Status wrong(const char *path, const char *at, const char *want, const cJSON *found) {
    return status_error(E_INPUT, "%s: %s: expected %s, found %s", path, at, want, json_type_name(found));
}

/* A string, or an array of at least one string. */
static Status get_strings(Strings *out, TaskSet *set, const cJSON *v, const char *path, const char *at) {
    const cJSON *first = cJSON_IsArray(v) ? v->child : v;
    int n = cJSON_IsArray(v) ? cJSON_GetArraySize(v) : 1, i = 0;
    if (n == 0)
        return status_error(E_INPUT, "%s: %s: the array is empty, expected at least one string", path, at);
    const char **list = keep(set, (size_t)n * sizeof *list);
    if (!list) return no_memory(path);
    for (const cJSON *c = first; i < n; c = c->next, i++) {
        if (!cJSON_IsString(c) && !cJSON_IsArray(v))
            return wrong(path, at, "a string or an array of strings", v);
        if (!cJSON_IsString(c))
            return status_error(E_INPUT, "%s: %s[%d]: expected a string, found %s", path, at, i,
                                json_type_name(c));
        list[i] = keep_string(set, c->valuestring);
        if (!list[i]) return no_memory(path);
    }
    *out = (Strings){list, n};
    return OK;
}

/* Descriptions and definitions say something: not blank. */
static Status check_text(Strings s, const char *path, const char *at) {
    for (int i = 0; i < s.n; i++)
        if (s.s[i][strspn(s.s[i], " \t\r\n")] == 0)
            return status_error(E_INPUT, "%s: %s[%d]: is blank, expected the task in words", path, at, i);
    return OK;
}

static Status optional_strings(Strings *out, TaskSet *set, const cJSON *root, const char *key,
                               const char *path) {
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(root, key);
    *out = (Strings){NULL, 0};
    return v ? get_strings(out, set, v, path, key) : OK;
}

static const char *join(TaskSet *set, Strings s) {
    if (s.n == 1) return s.s[0];
    size_t size = 1;
    for (int i = 0; i < s.n; i++) size += strlen(s.s[i]) + 2;
    char *text = keep(set, size), *p = text;
    for (int i = 0; text && i < s.n; i++) p += sprintf(p, "%s%s", i ? ", " : "", s.s[i]);
    return text;
}

static Status get_example(TaskExample *out, TaskSet *set, const cJSON *v, const char *path, long long i) {
    char at[64];
    snprintf(at, sizeof at, "Instances[%lld]", i);
    if (!cJSON_IsObject(v)) return wrong(path, at, "an object with input and output", v);
    const cJSON *input = cJSON_GetObjectItemCaseSensitive(v, "input");
    const cJSON *output = cJSON_GetObjectItemCaseSensitive(v, "output");
    snprintf(at, sizeof at, "Instances[%lld].", i);
    if (!input || !output) {
        TRY(check_keys(v, example_keys, path, at));
        return status_error(E_INPUT, "%s: %s%s: is missing", path, at, input ? "output" : "input");
    }
    snprintf(at, sizeof at, "Instances[%lld].input", i);
    if (!cJSON_IsString(input)) return wrong(path, at, "a string", input);
    snprintf(at, sizeof at, "Instances[%lld].output", i);
    Strings outputs;
    TRY(get_strings(&outputs, set, output, path, at));
    *out = (TaskExample){keep_string(set, input->valuestring), join(set, outputs), outputs.s, outputs.n};
    return out->input && out->output ? OK : no_memory(path);
}

static Status get_examples(Task *t, TaskSet *set, const cJSON *root) {
    const cJSON *list;
    TRY(json_get_array(&list, root, "Instances", t->path));
    int64_t n = cJSON_GetArraySize(list), i = 0;
    if (n == 0) return status_error(E_INPUT, "%s: Instances: the array is empty, expected examples", t->path);
    TaskExample *examples = keep(set, (size_t)n * sizeof *examples);
    if (!examples) return no_memory(t->path);
    for (const cJSON *c = list->child; c; c = c->next, i++)
        TRY(get_example(&examples[i], set, c, t->path, (long long)i));
    t->examples = examples;
    t->n_test = n >= 10 ? n / 10 : n >= 2;
    t->n_valid = n >= 10 ? n / 10 : n >= 3;
    t->n_train = n - t->n_valid - t->n_test;
    return OK;
}

static Status get_task(Task *t, TaskSet *set, const cJSON *root) {
    Strings definition, descriptions, unseen, categories;
    if (!cJSON_IsObject(root)) return wrong(t->path, "the file", "an object", root);
    TRY(check_keys(root, task_keys, t->path, ""));
    TRY(optional_strings(&definition, set, root, "Definition", t->path));
    TRY(optional_strings(&descriptions, set, root, "Descriptions", t->path));
    TRY(optional_strings(&unseen, set, root, "Unseen Descriptions", t->path));
    TRY(optional_strings(&categories, set, root, "Categories", t->path));
    TRY(check_text(definition, t->path, "Definition"));
    TRY(check_text(descriptions, t->path, "Descriptions"));
    TRY(check_text(unseen, t->path, "Unseen Descriptions"));
    if (definition.n == 0 && descriptions.n == 0)
        return status_error(E_INPUT,
                            "%s: key 'Definition' is missing (expected the task in words; 'Descriptions' "
                            "will do)",
                            t->path);
    if (definition.n == 0) definition = descriptions;
    if (descriptions.n == 0) descriptions = (Strings){definition.s, 1};
    const char *kind = "";
    if (cJSON_GetObjectItemCaseSensitive(root, "Kind")) TRY(json_get_string(&kind, root, "Kind", t->path));
    t->kind = keep_string(set, kind);
    if (!t->kind) return no_memory(t->path);
    t->definition = definition.s[0];
    t->descriptions = descriptions.s;
    t->n_descriptions = descriptions.n;
    t->unseen = unseen.s;
    t->n_unseen = unseen.n;
    t->categories = categories.s;
    t->n_categories = categories.n;
    return get_examples(t, set, root);
}

/* ---------------------------------------------------------------- files */

/* The file's name without directory and .json. */
static Status set_name(Task *t, TaskSet *set, const char *path) {
    const char *slash = strrchr(path, '/');
    t->path = keep_string(set, path);
    char *name = keep(set, strlen(path) + 1);
    if (!t->path || !name) return no_memory(path);
    strcpy(name, slash ? slash + 1 : path);
    size_t n = strlen(name);
    if (n > 5 && strcmp(name + n - 5, ".json") == 0) name[n - 5] = 0;
    t->name = name;
    return OK;
}

/* Natural-Instructions files were written by Python, which puts a bare NaN where a URL is unknown; JSON has
 * none. It becomes a number, which no key of ours accepts. */
static void replace_nan(char *text) {
    bool in_string = false;
    for (char *p = text; *p; p++) {
        if (in_string && *p == '\\' && p[1])
            p++;
        else if (*p == '"')
            in_string = !in_string;
        else if (!in_string && strncmp(p, "NaN", 3) == 0)
            memcpy(p, "0.0", 3);
    }
}

static Status read_json(cJSON **root, const char *path) {
    char *text;
    size_t n;
    TRY(file_read(&text, &n, path, MAX_FILE));
    replace_nan(text);
    Status s = json_parse(root, text, n, path);
    free(text);
    return s;
}

static Status load_file(TaskSet *set, const char *path) {
    cJSON *root;
    Task *t = &set->tasks[set->n];
    memset(t, 0, sizeof *t);
    TRY(set_name(t, set, path));
    TRY(read_json(&root, path));
    Status s = get_task(t, set, root);
    cJSON_Delete(root);
    if (status_is_ok(s)) set->n++;
    return s;
}

static int is_task_file(const struct dirent *e) {
    size_t n = strlen(e->d_name);
    return e->d_name[0] != '.' && n > 5 && strcmp(e->d_name + n - 5, ".json") == 0;
}

static int by_bytes(const struct dirent **a, const struct dirent **b) {
    return strcmp((*a)->d_name, (*b)->d_name);
}

static Status load_entry(TaskSet *set, const char *dir, const char *name) {
    char *path = path_join(dir, name);
    Status s = path ? load_file(set, path) : no_memory(dir);
    free(path);
    return s;
}

static Status load_dir(TaskSet *set, const char *dir) {
    struct dirent **entries;
    int n = scandir(dir, &entries, is_task_file, by_bytes);
    if (n < 0) return status_errno(errno, "%s: cannot list", dir);
    Status s = OK;
    if (n == 0) s = status_error(E_INPUT, "%s: no task file (*.json) in this directory", dir);
    set->tasks = malloc(((size_t)n + 1) * sizeof *set->tasks);
    if (!set->tasks && status_is_ok(s)) s = no_memory(dir);
    for (int i = 0; i < n; i++) {
        if (status_is_ok(s)) s = load_entry(set, dir, entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    return s;
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const Task *)a)->name, ((const Task *)b)->name);
}

static Status load_one(TaskSet *set, const char *path) {
    set->tasks = malloc(sizeof *set->tasks);
    return set->tasks ? load_file(set, path) : no_memory(path);
}

/* ---------------------------------------------------------------- lists */

enum { MAX_INDEX = 64 << 20 };

/* A list and what goes with it. */
typedef struct List {
    char *folder, *name;              /* owns */
    cJSON *index, *training, *unseen; /* own; the last two may be NULL */
} List;

static Status split_path(List *l, const char *path) {
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/') n--;
    size_t at = n;
    while (at > 0 && path[at - 1] != '/') at--;
    l->folder = at > 0 ? strndup(path, at) : strdup("./");
    l->name = strndup(path + at, n - at);
    return l->folder && l->name ? OK : no_memory(path);
}

bool tasks_is_list(const char *path) {
    char index[PATH_MAX];
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/') n--;
    while (n > 0 && path[n - 1] != '/') n--;
    if (n > sizeof index - 16 || file_exists(path)) return false;
    snprintf(index, sizeof index, "%.*sindex.json", (int)n, path);
    return file_exists(index);
}

/* *out owns; NULL when the file is not there and need not be. */
static Status read_beside(cJSON **out, const List *l, const char *name, bool needed) {
    char *path = path_join(l->folder, name);
    if (!path) return no_memory(l->folder);
    *out = NULL;
    Status s = needed || file_exists(path) ? json_read(out, path, MAX_INDEX) : OK;
    free(path);
    return s;
}

static Status read_list(List *l, const char *path) {
    TRY(split_path(l, path));
    TRY(read_beside(&l->index, l, "index.json", true));
    TRY(read_beside(&l->training, l, "descriptions.json", false));
    return read_beside(&l->unseen, l, "eval_descriptions.json", false);
}

static void free_list(List *l) {
    cJSON_Delete(l->index);
    cJSON_Delete(l->training);
    cJSON_Delete(l->unseen);
    free(l->folder);
    free(l->name);
}

/* Descriptions of a task that stand beside the tasks. */
static Status describe(Task *t, TaskSet *set, const List *l) {
    Strings s;
    if (cJSON_GetObjectItemCaseSensitive(l->training, t->name)) {
        TRY(optional_strings(&s, set, l->training, t->name, l->folder));
        TRY(check_text(s, l->folder, t->name));
        t->descriptions = s.s;
        t->n_descriptions = s.n;
    }
    const cJSON *unseen = cJSON_GetObjectItemCaseSensitive(l->unseen, "eval_descriptions");
    if (cJSON_GetObjectItemCaseSensitive(unseen, t->name)) {
        TRY(optional_strings(&s, set, unseen, t->name, l->folder));
        TRY(check_text(s, l->folder, t->name));
        t->unseen = s.s;
        t->n_unseen = s.n;
    }
    return OK;
}

static Status load_listed(TaskSet *set, const List *l, const char *name, const char *file) {
    char *path;
    if (*file == 0 || strchr(file, '/'))
        return status_error(E_INPUT, "%sindex.json: available.%s: '%s' is no file name", l->folder, name,
                            file);
    if (asprintf(&path, "%s/tasks/%s.json", l->folder, file) < 0) return no_memory(l->folder);
    Status s = load_file(set, path);
    free(path);
    TRY(s);
    Task *t = &set->tasks[set->n - 1];
    t->name = keep_string(set, name);
    return t->name ? describe(t, set, l) : no_memory(l->folder);
}

/* Names what lists there are. */
static Status unknown_list(const List *l) {
    char known[256] = "";
    size_t n = 0;
    for (const cJSON *c = l->index->child; c; c = c->next)
        if (cJSON_IsArray(c) && n + strlen(c->string) + 3 < sizeof known)
            n += (size_t)sprintf(known + n, "%s%s", n ? ", " : "", c->string);
    return status_error(E_INPUT, "%sindex.json: no list '%s'; it has %s", l->folder, l->name,
                        n ? known : "none");
}

static Status load_entries(TaskSet *set, const List *l) {
    const cJSON *names = cJSON_GetObjectItemCaseSensitive(l->index, l->name), *available;
    TRY(json_get_object(&available, l->index, "available", l->folder));
    if (!cJSON_IsArray(names)) return unknown_list(l);
    set->tasks = malloc(((size_t)cJSON_GetArraySize(names) + 1) * sizeof *set->tasks);
    if (!set->tasks) return no_memory(l->folder);
    for (const cJSON *name = names->child; name; name = name->next) {
        const char *file;
        if (!cJSON_IsString(name)) return wrong(l->folder, l->name, "names of tasks", name);
        if (!cJSON_GetObjectItemCaseSensitive(available, name->valuestring)) {
            set->n_absent++;
            continue;
        }
        TRY(json_get_string(&file, available, name->valuestring, l->folder));
        TRY(load_listed(set, l, name->valuestring, file));
    }
    if (set->n > 0) return OK;
    return status_error(E_INPUT, "%s: no task of list '%s' is available", l->folder, l->name);
}

static Status load_list(TaskSet *set, const char *path) {
    List l = {0};
    Status s = read_list(&l, path);
    if (status_is_ok(s)) s = load_entries(set, &l);
    free_list(&l);
    return s;
}

/* ---------------------------------------------------------------- the whole */

Status tasks_load(TaskSet *out, const char *path) {
    memset(out, 0, sizeof *out);
    char *index = path_join(path, "index.json");
    if (!index) return no_memory(path);
    bool list = tasks_is_list(path), lists = file_exists(index);
    free(index);
    if (lists)
        return status_error(E_INPUT, "%s: holds lists of tasks (index.json); name one, for example %s/train",
                            path, path);
    Status s = list ? load_list(out, path) : file_is_dir(path) ? load_dir(out, path) : load_one(out, path);
    if (!status_is_ok(s)) {
        tasks_free(out);
        return s;
    }
    if (!list) /* names sort unlike names with .json */
        qsort(out->tasks, (size_t)out->n, sizeof *out->tasks, by_name);
    return OK;
}

void tasks_free(TaskSet *set) {
    for (TaskChunk *c = set->memory, *next; c; c = next) {
        next = c->next;
        free(c);
    }
    free(set->tasks);
    memset(set, 0, sizeof *set);
}

const Task *tasks_find(const TaskSet *set, const char *name) {
    for (int64_t i = 0; i < set->n; i++)
        if (strcmp(set->tasks[i].name, name) == 0) return &set->tasks[i];
    return NULL;
}

const TaskExample *tasks_split(const Task *t, TaskSplit split, int64_t *n) {
    switch (split) {
    case TASK_TRAIN:
        *n = t->n_train;
        return t->examples;
    case TASK_VALID:
        *n = t->n_valid;
        return t->examples + t->n_train;
    default:
        *n = t->n_test;
        return t->examples + t->n_train + t->n_valid;
    }
}

Status tasks_natural_turn(char **out, const char *definition, const TaskExample *e) {
    const char *list = "\nThe answer should be a comma-separated list of possible completions.";
    if (asprintf(out, "%s Please complete the task without any explanation.%s\n\n%s", definition,
                 e->n_outputs > 1 ? list : "", e->input) >= 0)
        return OK;
    *out = NULL;
    return status_error(E_ENV, "out of memory (a prompt)");
}
