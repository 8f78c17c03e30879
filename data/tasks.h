/* Tasks with examples, from Natural-Instructions JSON files. A set is one file or a directory of *.json
 * files; its tasks are in byte order of their names.
 *
 *   "Definition"            string or [string]: the task, in words (may be absent if Descriptions is there)
 *   "Instances"             [{"input": string, "output": string or [string, ...]}, ...], at least one
 *   "Categories"            [string]                optional
 *   "Descriptions"          [string, ...]           optional: training descriptions; default: the definition
 *   "Unseen Descriptions"   [string, ...]           optional: descriptions kept for evaluation
 *   "Kind"                  string                  optional: free label
 * Other Natural-Instructions keys are ignored (a bare NaN in them, too); a key that looks like one of ours
 * misspelt is refused with the valid one. A task's name is its file's name without .json.
 *
 * A folder may instead hold lists: index.json {"LIST": [name, ...], "available": {name: file without .json}},
 * the files in tasks/, and optionally descriptions.json {name: [string, ...]} for training and
 * eval_descriptions.json {"eval_descriptions": {name: [string, ...]}}. FOLDER/LIST are the tasks of a list,
 * in its order and under its names; those that are not available are counted in n_absent.
 *
 * Split, deterministic, in file order: the first n_train instances train, the next n_valid validate, the rest
 * test; n_test = n_valid = floor(n / 10), but at least 1 each from n = 3 on. Two instances: one trains, one
 * tests; a single one trains. */
#ifndef T2L_DATA_TASKS_H
#define T2L_DATA_TASKS_H

#include "base/status.h"
#include <stdint.h>

typedef struct TaskExample {
    const char *input;          /* view, like all strings here: the set owns them */
    const char *output;         /* the outputs joined by ", " */
    const char *const *outputs; /* n_outputs of them */
    int n_outputs;
} TaskExample;

typedef struct Task {
    const char *name, *path;
    const char *definition; /* Definition, else the first description */
    const char *kind;       /* "" when absent */
    const char *const *categories;
    int n_categories;
    const char *const *descriptions; /* for training; at least one */
    int n_descriptions;
    const char *const *unseen; /* may be none */
    int n_unseen;
    const TaskExample *examples; /* train, then valid, then test */
    int64_t n_train, n_valid, n_test;
} Task;

struct TaskChunk;
typedef struct TaskSet {
    Task *tasks; /* owns; in order of name, or of the list */
    int64_t n, n_absent;
    struct TaskChunk *memory; /* owns every string and list */
} TaskSet;

/* path: a directory (its *.json files), one file, or FOLDER/LIST. At least one task. */
Status tasks_load(TaskSet *out, const char *path);
/* Whether path is FOLDER/LIST: its folder has an index.json. */
bool tasks_is_list(const char *path);
void tasks_free(TaskSet *set);
/* NULL when absent. */
const Task *tasks_find(const TaskSet *set, const char *name);

typedef enum TaskSplit { TASK_TRAIN, TASK_VALID, TASK_TEST } TaskSplit;
const TaskExample *tasks_split(const Task *t, TaskSplit split, int64_t *n); /* view */

/* A prompt's user turn as the reference makes it of Natural Instructions: the definition, a request for a
 * bare answer, one for a list where the example has several outputs, a blank line, the input. *out owns. */
Status tasks_natural_turn(char **out, const char *definition, const TaskExample *e);

#endif
