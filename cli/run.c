#include "cli/run.h"
#include "base/file.h"
#include "data/fetch.h"

#include <stdlib.h>
#include <string.h>

Status run_config(Config *out, const Cli *cli, const char *path) {
    char seed[48], dtype[48];
    char **words = calloc((size_t)cli->n_args + 2, sizeof *words);
    if (!words) return status_error(E_ENV, "out of memory");
    int n = 0;
    for (; n < cli->n_args; n++) words[n] = cli->args[n];
    if (cli->seed_given) {
        snprintf(seed, sizeof seed, "seed=%lld", (long long)cli->seed);
        words[n++] = seed;
    }
    if (strcmp(cli->dtype, "auto") != 0) {
        snprintf(dtype, sizeof dtype, "dtype=%s", cli->dtype);
        words[n++] = dtype;
    }
    Status s = config_load(out, path, n, words);
    free(words);
    return s;
}

static bool is_mini(const char *name) {
    static const char mini[] = "t2l-mini";
    return strncmp(name, mini, sizeof mini - 1) == 0 &&
           (name[sizeof mini - 1] == '/' || !name[sizeof mini - 1]);
}

Status run_tasks(char **out, const Cli *cli, const char *name) {
    *out = NULL;
    if (!file_exists(name) && !file_is_dir(name) && is_mini(name)) {
        FetchOptions fetch = {.cache = cli->cache, .quiet = cli->quiet};
        char *root;
        TRY(fetch_model(&root, "t2l-mini", &fetch));
        const char *rest = strchr(name, '/');
        *out = rest ? path_join(root, rest + 1) : strdup(root);
        free(root);
    } else {
        *out = strdup(name);
    }
    if (!*out) return status_error(E_ENV, "out of memory");
    if (file_exists(*out) || file_is_dir(*out) || tasks_is_list(*out)) return OK;
    free(*out);
    *out = NULL;
    return status_error(
        E_INPUT, "%s: no such file or folder of tasks (t2l-mini/train and t2l-mini/heldout are built in)",
        name);
}

static Status check_name(const char *name) {
    if (*name && *name != '.' && !strchr(name, '/')) return OK;
    return status_error(E_USAGE, "key 'name': '%s' cannot name a folder in runs/", name);
}

static Status find_files(RunFiles *f, const Cli *cli, const Config *c, unsigned needs) {
    TRY(check_name(c->name));
    f->dir = path_join("runs", c->name);
    if (!f->dir) return status_error(E_ENV, "out of memory");
    if (needs & RUN_TASKS && !*c->data.tasks)
        return status_error(E_USAGE,
                            "key 'data.tasks' is missing: a task file or a folder of them, for example "
                            "data.tasks=t2l-mini/train");
    bool encodes = needs & RUN_ENCODER && strcmp(c->data.embedding, "encoder") == 0;
    if (needs & RUN_ENCODER && strcmp(c->data.embedding, "llm") == 0) needs |= RUN_MODEL;
    if (needs & RUN_MODEL) TRY(fetch_resolve(&f->model, c->model, cli->cache));
    if (encodes) TRY(fetch_resolve(&f->encoder, c->encoder, cli->cache));
    if (!(needs & RUN_TASKS)) return OK;
    TRY(run_tasks(&f->tasks, cli, c->data.tasks));
    return *c->data.heldout ? run_tasks(&f->heldout, cli, c->data.heldout) : OK;
}

Status run_files(RunFiles *out, const Cli *cli, const Config *config, unsigned needs) {
    memset(out, 0, sizeof *out);
    Status s = find_files(out, cli, config, needs);
    if (!status_is_ok(s)) run_files_free(out);
    return s;
}

void run_files_free(RunFiles *f) {
    free(f->dir);
    free(f->model);
    free(f->encoder);
    free(f->tasks);
    free(f->heldout);
    memset(f, 0, sizeof *f);
}
