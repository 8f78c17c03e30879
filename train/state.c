#include "train/state.h"
#include "base/file.h"
#include "base/json.h"
#include "data/replace.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_JSON_BYTES = 1 << 20, KEPT = 2 }; /* KEPT: the newest ones, beside best */

static const int64_t max_count = INT64_MAX >> 11;

/* ---------------------------------------------------------------- state.json */

typedef struct Counter {
    const char *key;
    int64_t *value;
} Counter;

enum { COUNTERS = 7 };

static void list_counters(Counter c[COUNTERS], RunState *s) {
    Counter all[COUNTERS] = {{"step", &s->at.step},       {"moved", &s->at.moved},  {"tokens", &s->tokens},
                             {"loss_n", &s->loss_n},      {"skipped", &s->skipped}, {"waited", &s->waited},
                             {"best_step", &s->best_step}};
    memcpy(c, all, sizeof all);
}

static int is_file(const struct dirent *e) {
    return e->d_name[0] != '.';
}

/* The SHA-256 of every file in dir. */
static Status add_digests(cJSON *sha, const char *dir) {
    struct dirent **entries;
    int n = scandir(dir, &entries, is_file, alphasort);
    if (n < 0) return status_errno(errno, "%s: cannot list", dir);
    Status s = OK;
    for (int i = 0; i < n; i++) {
        char digest[65], *path = path_join(dir, entries[i]->d_name);
        if (status_is_ok(s))
            s = path ? sha256_file(digest, path) : status_error(E_ENV, "%s: out of memory", dir);
        if (status_is_ok(s) && !cJSON_AddStringToObject(sha, entries[i]->d_name, digest))
            s = status_error(E_ENV, "%s: out of memory", dir);
        free(path);
        free(entries[i]);
    }
    free(entries);
    return s;
}

static Status write_state(const char *dir, const RunState *state) {
    RunState copy = *state;
    Counter c[COUNTERS];
    char *path = path_join(dir, "state.json");
    cJSON *j = cJSON_CreateObject(), *sha = cJSON_AddObjectToObject(j, "sha256");
    Status s = path && sha ? add_digests(sha, dir) : status_error(E_ENV, "%s: out of memory", dir);
    bool good = true;
    list_counters(c, &copy);
    for (int i = 0; i < COUNTERS; i++)
        good = good && cJSON_AddNumberToObject(j, c[i].key, (double)*c[i].value);
    good = good && cJSON_AddNumberToObject(j, "loss_sum", state->loss_sum);
    if (state->best_step >= 0) good = good && cJSON_AddNumberToObject(j, "best", state->best);
    if (status_is_ok(s)) s = good ? json_write(path, j) : status_error(E_ENV, "%s: out of memory", dir);
    cJSON_Delete(j);
    free(path);
    return s;
}

static Status check_digests(const cJSON *j, const char *dir, const char *where) {
    const cJSON *sha;
    TRY(json_get_object(&sha, j, "sha256", where));
    for (const cJSON *f = sha->child; f; f = f->next) {
        char found[65];
        const char *want;
        TRY(json_get_string(&want, sha, f->string, where));
        if (strchr(f->string, '/'))
            return status_error(E_INPUT, "%s: sha256: '%s' is no file name", where, f->string);
        char *path = path_join(dir, f->string);
        Status s = path ? sha256_file(found, path) : status_error(E_ENV, "%s: out of memory", where);
        if (status_is_ok(s) && strcmp(want, found) != 0)
            s = status_error(E_INPUT, "%s: damaged: its SHA-256 is %s, state.json says %s", path, found,
                             want);
        free(path);
        TRY(s);
    }
    return OK;
}

static Status parse_state(RunState *s, const cJSON *j, const char *dir, const char *where) {
    Counter c[COUNTERS];
    list_counters(c, s);
    for (int i = 0; i < COUNTERS; i++) {
        int64_t min = c[i].value == &s->best_step ? -1 : 0;
        TRY(json_get_int(c[i].value, j, c[i].key, min, max_count, where));
    }
    TRY(json_get_number(&s->loss_sum, j, "loss_sum", where));
    if (s->best_step >= 0) TRY(json_get_number(&s->best, j, "best", where));
    return check_digests(j, dir, where);
}

Status state_read(RunState *s, const char *dir) {
    cJSON *j;
    char *path = path_join(dir, "state.json");
    if (!path) return status_error(E_ENV, "%s: out of memory", dir);
    memset(s, 0, sizeof *s);
    Status st = json_read(&j, path, MAX_JSON_BYTES);
    if (status_is_ok(st)) {
        st = parse_state(s, j, dir, path);
        cJSON_Delete(j);
    }
    free(path);
    return st;
}

/* ---------------------------------------------------------------- folders */

static Status ckpt_dir(char out[PATH_MAX - 64], const char *run_dir) {
    if ((size_t)snprintf(out, PATH_MAX - 64, "%s/ckpt", run_dir) < PATH_MAX - 64) return OK;
    return status_error(E_INPUT, "%s: path too long", run_dir);
}

static void step_name(char out[32], int64_t step) {
    snprintf(out, 32, "step_%08lld", (long long)step);
}

/* -1: not a checkpoint's name. */
static int64_t step_of(const char *name) {
    long long step;
    char again[32];
    if (sscanf(name, "step_%18lld", &step) != 1 || step < 0) return -1;
    step_name(again, step);
    return strcmp(again, name) == 0 ? step : -1;
}

static int is_step(const struct dirent *e) {
    return step_of(e->d_name) >= 0;
}

static int newest_first(const struct dirent **a, const struct dirent **b) {
    int64_t x = step_of((*a)->d_name), y = step_of((*b)->d_name);
    return (x < y) - (x > y);
}

/* Points a link at `target` by renaming a new one over it. */
static Status point_link(const char *dir, const char *name, const char *target) {
    char link[PATH_MAX], tmp[PATH_MAX];
    snprintf(link, sizeof link, "%s/%s", dir, name);
    snprintf(tmp, sizeof tmp, "%s/.%s.tmp", dir, name);
    unlink(tmp);
    if (symlink(target, tmp) != 0 || rename(tmp, link) != 0)
        return status_errno(errno, "%s: cannot link", link);
    return OK;
}

/* Removes a checkpoint so that no half of it keeps its name. */
static Status remove_step(const char *dir, const char *name) {
    char path[PATH_MAX], old[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    snprintf(old, sizeof old, "%s/.%s.old", dir, name);
    TRY(file_remove_tree(old));
    if (rename(path, old) != 0) return status_errno(errno, "%s: cannot rename to %s", path, old);
    return file_remove_tree(old);
}

static Status prune(const char *dir, int64_t best_step) {
    struct dirent **entries;
    int n = scandir(dir, &entries, is_step, newest_first);
    if (n < 0) return status_errno(errno, "%s: cannot list", dir);
    Status s = OK;
    for (int i = 0; i < n; i++) {
        if (i >= KEPT && step_of(entries[i]->d_name) != best_step && status_is_ok(s))
            s = remove_step(dir, entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    return s;
}

static Status write_all(const char *tmp, const RunState *s, state_write_fn *write, void *self) {
    TRY(file_remove_tree(tmp));
    TRY(file_mkdirs(tmp));
    TRY(write(self, tmp));
    TRY(write_state(tmp, s));
    return file_sync_dir(tmp);
}

Status state_save(char **path, const char *run_dir, const RunState *s, state_write_fn *write, void *self) {
    char dir[PATH_MAX - 64], tmp[PATH_MAX], final[PATH_MAX], name[32];
    *path = NULL;
    TRY(ckpt_dir(dir, run_dir));
    step_name(name, s->at.step);
    snprintf(tmp, sizeof tmp, "%s/.%s.tmp", dir, name);
    snprintf(final, sizeof final, "%s/%s", dir, name);
    Status st = write_all(tmp, s, write, self);
    if (status_is_ok(st)) st = replace_dir(final, tmp); /* the same step may be there, saved before */
    if (!status_is_ok(st)) {
        status_free(file_remove_tree(tmp));
        return st;
    }
    TRY(point_link(dir, "last", name));
    if (s->best_step < 0 || s->best_step == s->at.step) TRY(point_link(dir, "best", name));
    TRY(file_sync_dir(dir));
    TRY(prune(dir, s->best_step));
    *path = strdup(final);
    return *path ? OK : status_error(E_ENV, "%s: out of memory", dir);
}

/* *chosen: number of the first entry that is whole; n: none. *first: what is wrong with the newest. */
static Status first_whole(int *chosen, Status *first, RunState *s, const char *dir, struct dirent **entries,
                          int n) {
    for (*chosen = 0; *chosen < n; ++*chosen) {
        char *path = path_join(dir, entries[*chosen]->d_name);
        if (!path) return status_error(E_ENV, "%s: out of memory", dir);
        Status st = state_read(s, path);
        bool damaged = status_code(st) == E_INPUT;
        if (damaged)
            fprintf(stderr, "warning: checkpoint %s is not whole (%s); taking the one before it\n", path,
                    status_message(st));
        free(path);
        if (!damaged) return st;
        if (status_is_ok(*first))
            *first = st;
        else
            status_free(st);
    }
    return OK;
}

static int is_left_over(const struct dirent *e) {
    return strncmp(e->d_name, ".step_", 6) == 0;
}

/* What a killed run was writing or removing. */
static Status remove_left_over(const char *dir) {
    struct dirent **entries;
    int n = scandir(dir, &entries, is_left_over, alphasort);
    if (n < 0) return status_errno(errno, "%s: cannot list", dir);
    Status s = OK;
    for (int i = 0; i < n; i++) {
        char *path = path_join(dir, entries[i]->d_name);
        if (status_is_ok(s))
            s = path ? file_remove_tree(path) : status_error(E_ENV, "%s: out of memory", dir);
        free(path);
        free(entries[i]);
    }
    free(entries);
    return s;
}

/* Links as they were after entries[0] was saved: a crash may have come in between. */
static Status point_links(const char *dir, const RunState *s) {
    char best[32], last[32], path[PATH_MAX];
    step_name(last, s->at.step);
    step_name(best, s->best_step < 0 ? s->at.step : s->best_step);
    snprintf(path, sizeof path, "%s/%s", dir, best);
    TRY(point_link(dir, "last", last));
    return point_link(dir, "best", file_is_dir(path) ? best : last);
}

static Status choose(char **found, RunState *s, const char *dir, struct dirent **entries, int n) {
    Status first = OK;
    int chosen;
    TRY(first_whole(&chosen, &first, s, dir, entries, n));
    if (chosen == n)
        return status_wrap(first, "%s: no checkpoint is whole; start again under another name", dir);
    status_free(first);
    for (int i = 0; i < chosen; i++) TRY(remove_step(dir, entries[i]->d_name));
    TRY(remove_left_over(dir));
    TRY(point_links(dir, s));
    *found = path_join(dir, entries[chosen]->d_name);
    return *found ? OK : status_error(E_ENV, "%s: out of memory", dir);
}

Status state_newest(char **found, RunState *s, const char *run_dir) {
    char dir[PATH_MAX - 64];
    struct dirent **entries;
    *found = NULL;
    TRY(ckpt_dir(dir, run_dir));
    if (!file_is_dir(dir)) return OK;
    int n = scandir(dir, &entries, is_step, newest_first);
    if (n < 0) return status_errno(errno, "%s: cannot list", dir);
    Status st = n > 0 ? choose(found, s, dir, entries, n) : remove_left_over(dir);
    for (int i = 0; i < n; i++) free(entries[i]);
    free(entries);
    return st;
}

bool state_any(const char *run_dir) {
    char dir[PATH_MAX - 64];
    struct dirent **entries;
    Status st = ckpt_dir(dir, run_dir);
    int n = status_is_ok(st) ? scandir(dir, &entries, is_step, newest_first) : -1;
    status_free(st);
    if (n < 0) return false;
    for (int i = 0; i < n; i++) free(entries[i]);
    free(entries);
    return n > 0;
}
