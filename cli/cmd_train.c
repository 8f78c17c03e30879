/* t2l train: a run in runs/<name>/. The last line on stdout is the best checkpoint's path; of lora without
 * data.task and with several tasks, each task's adapter. */
#include "base/file.h"
#include "cli/cli.h"
#include "cli/run.h"
#include "data/library.h"
#include "train/fit.h"
#include "train/recon.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---------------------------------------------------------------- sft */

static Status print_estimate(Sft *sft) {
    double seconds, tokens;
    int64_t steps = sft->total;
    TRY(sft_time_step(&seconds, &tokens, sft));
    fprintf(stderr, "training: %lld steps of about %.2f s on this machine: about %.1f minutes\n",
            (long long)steps, seconds, (double)steps * seconds / 60);
    return OK;
}

static Status train_sft(Cli *cli, Device *dev, const Config *config, const RunFiles *files, bool resume) {
    Sft sft;
    RunResult result = {0};
    SftPaths paths = {files->model, files->encoder, files->tasks, files->heldout};
    RunOpts run = {.run_dir = files->dir, .resume = resume, .quiet = cli->quiet, .stop = cli->stop};
    TRY(sft_init(&sft, dev, config, &paths, cli->quiet));
    Status s = cli->quiet ? OK : print_estimate(&sft);
    if (status_is_ok(s)) s = sft_run(&result, &sft, run);
    if (result.ckpt) puts(result.ckpt);
    free(result.ckpt);
    sft_free(&sft);
    return s;
}

/* ---------------------------------------------------------------- recon */

static const char *or_null(const char *text) {
    return *text ? text : NULL;
}

static Status train_recon(Cli *cli, Device *dev, const Config *config, const RunFiles *files, bool resume) {
    Recon recon;
    RunResult result = {0};
    ReconPaths paths = {.library = config->recon.library,
                        .embeddings = or_null(config->recon.embeddings),
                        .tasks = files->tasks,
                        .encoder = files->encoder,
                        .model = files->model,
                        .offset = or_null(config->hypernet.offset)};
    RunOpts run = {.run_dir = files->dir, .resume = resume, .quiet = cli->quiet, .stop = cli->stop};
    if (!*config->recon.library)
        return status_error(E_USAGE, "key 'recon.library' is missing: a library of adapters, for example "
                                     "runs/lora/library.h5, which `t2l train lora` writes");
    TRY(recon_init(&recon, dev, config, &paths, cli->quiet));
    Status s = recon_train(&result, &recon, run);
    if (result.ckpt) puts(result.ckpt);
    free(result.ckpt);
    recon_free(&recon);
    return s;
}

/* ---------------------------------------------------------------- lora, multitask */

/* What a plain LoRA is trained on. */
typedef struct Fitting {
    Cli *cli;
    Device *dev;
    const Config *config;
    const RunFiles *files;
    Llm llm;         /* owns */
    TaskSet tasks;   /* owns */
    int64_t n_tasks; /* used */
    bool resume, multitask;
} Fitting;

/* One adapter of some tasks, in a run folder of its own; to: adapters/<name>. *ckpt owns; NULL when the
 * adapter was there. */
static Status fit_one(char **ckpt, const Fitting *f, const Task *tasks, int64_t n, const char *run_dir,
                      const char *to) {
    Fit fit;
    RunResult result;
    bool resume = f->resume && file_is_dir(run_dir);
    RunOpts opts = {.run_dir = run_dir, .resume = resume, .quiet = f->cli->quiet, .stop = f->cli->stop};
    *ckpt = NULL;
    if (f->resume && file_is_dir(to)) return run_same(f->config, run_dir);
    TRY(fit_init(&fit, f->dev, f->config, &f->llm, tasks, n));
    Status s = fit_run(&result, &fit, opts, to);
    fit_free(&fit);
    *ckpt = result.ckpt;
    return s;
}

/* How an adapter was trained: JSON text (owns). NULL without memory. */
static char *facts_of(const Config *c) {
    cJSON *j = cJSON_CreateObject();
    cJSON *train = cJSON_Duplicate(cJSON_GetObjectItemCaseSensitive(c->json, "train"), true);
    bool good = cJSON_AddNumberToObject(j, "seed", (double)c->seed) &&
                cJSON_AddStringToObject(j, "prompt", c->data.prompt) &&
                cJSON_AddItemToObject(j, "train", train);
    char *text = good ? cJSON_PrintUnformatted(j) : NULL;
    if (!good) cJSON_Delete(train);
    cJSON_Delete(j);
    return text;
}

static Status append(Library *lib, const Fitting *f, const Task *task, const Adapter *a) {
    if (library_find(lib, task->name) >= 0) return OK; /* by a run that was stopped right after */
    char *facts = facts_of(f->config);
    Status s = facts ? library_append(lib, task->name, a, facts) : status_error(E_ENV, "out of memory");
    free(facts);
    return s;
}

/* A finished adapter into the run's library, which is made with the first. */
static Status add_to_library(const Fitting *f, const Task *task, const char *dir) {
    Library lib;
    Adapter a;
    AdapterShape shape = llm_adapter_shape(&f->llm.cfg);
    char *path = path_join(f->files->dir, "library.h5");
    if (!path) return status_error(E_ENV, "out of memory");
    Status s = adapter_load(&a, dir, &shape);
    if (status_is_ok(s)) {
        s = file_exists(path) ? library_open(&lib, path, STORE_APPEND)
                              : library_create(&lib, path, &a, f->n_tasks);
        if (status_is_ok(s)) {
            s = append(&lib, f, task, &a);
            library_close(&lib);
        }
        adapter_free(&a);
    }
    free(path);
    return s;
}

static Status fit_alone(const Fitting *f, const Task *tasks, int64_t n, const char *name) {
    char *to, *ckpt = NULL;
    if (asprintf(&to, "%s/adapters/%s", f->files->dir, name) < 0) return status_error(E_ENV, "out of memory");
    Status s = fit_one(&ckpt, f, tasks, n, f->files->dir, to);
    if (status_is_ok(s) && !f->multitask) s = add_to_library(f, tasks, to);
    if (status_is_ok(s) && !f->cli->quiet) fprintf(stderr, "adapter: %s\n", to);
    if (ckpt)
        puts(ckpt);
    else if (status_is_ok(s))
        printf("%s/ckpt/best\n", f->files->dir);
    free(ckpt);
    free(to);
    return s;
}

/* Task i of many: its run is tasks/<name>, whose checkpoints go once its adapter is there. */
static Status fit_each(const Fitting *f, const Task *task, int64_t i) {
    char *run_dir = NULL, *to = NULL, *ckpt_dir = NULL, *ckpt = NULL;
    bool named = asprintf(&run_dir, "%s/tasks/%s", f->files->dir, task->name) >= 0;
    named = named && asprintf(&to, "%s/adapters/%s", f->files->dir, task->name) >= 0;
    named = named && asprintf(&ckpt_dir, "%s/ckpt", run_dir) >= 0;
    if (named && !f->cli->quiet)
        fprintf(stderr, "task %lld of %lld: %s\n", (long long)i + 1, (long long)f->n_tasks, task->name);
    Status s = named ? fit_one(&ckpt, f, task, 1, run_dir, to) : status_error(E_ENV, "out of memory");
    if (status_is_ok(s)) s = add_to_library(f, task, to);
    if (status_is_ok(s)) s = file_remove_tree(ckpt_dir);
    if (status_is_ok(s)) puts(to);
    fflush(stdout);
    free(ckpt);
    free(ckpt_dir);
    free(to);
    free(run_dir);
    return s;
}

static Status fit_all(const Fitting *f) {
    char *path = path_join(f->files->dir, "adapters");
    if (!path) return status_error(E_ENV, "out of memory");
    bool there = file_is_dir(path);
    free(path);
    if (there && !f->resume)
        return status_error(
            E_USAGE,
            "%s holds adapters already: continue with --resume, or choose another name=", f->files->dir);
    for (int64_t i = 0; i < f->n_tasks; i++) TRY(fit_each(f, &f->tasks.tasks[i], i));
    return OK;
}

static Status fit_chosen(const Fitting *f) {
    const Config *c = f->config;
    if (f->multitask) return fit_alone(f, f->tasks.tasks, f->n_tasks, "multitask");
    if (f->tasks.n == 1) return fit_alone(f, f->tasks.tasks, 1, f->tasks.tasks[0].name);
    if (!*c->data.task) return fit_all(f);
    const Task *task = tasks_find(&f->tasks, c->data.task);
    if (!task)
        return status_error(E_INPUT, "key 'data.task': %s has no task '%s'", f->files->tasks, c->data.task);
    return fit_alone(f, task, 1, task->name);
}

static Status train_fit(Fitting *f) {
    LlmLoad load = {DT_F32, true};
    if (f->resume && !file_is_dir(f->files->dir))
        return status_error(E_INPUT, "%s: no such run to continue; leave out --resume to start it",
                            f->files->dir);
    TRY(llm_choose_dtype(&load.dtype, f->dev, f->config->dtype));
    TRY(tasks_load(&f->tasks, f->files->tasks));
    if (f->tasks.n_absent > 0 && !f->cli->quiet)
        fprintf(stderr, "%s: %lld tasks of the list are not available, %lld are\n", f->files->tasks,
                (long long)f->tasks.n_absent, (long long)f->tasks.n);
    int64_t most = f->config->data.max_tasks;
    f->n_tasks = most > 0 && most < f->tasks.n ? most : f->tasks.n;
    Status s = llm_load(&f->llm, f->dev, f->files->model, load);
    if (status_is_ok(s)) {
        s = fit_chosen(f);
        llm_free(&f->llm);
    }
    tasks_free(&f->tasks);
    return s;
}

static Status train_lora(Cli *cli, Device *dev, const Config *config, const RunFiles *files, bool resume) {
    Fitting f = {.cli = cli, .dev = dev, .config = config, .files = files, .resume = resume};
    return train_fit(&f);
}

static Status train_multitask(Cli *cli, Device *dev, const Config *config, const RunFiles *files,
                              bool resume) {
    Fitting f = {
        .cli = cli, .dev = dev, .config = config, .files = files, .resume = resume, .multitask = true};
    return train_fit(&f);
}

/* ---------------------------------------------------------------- the command */

typedef struct Training {
    const char *name;
    const char *config; /* without --config; NULL: the table's defaults */
    unsigned needs;
    Status (*run)(Cli *cli, Device *dev, const Config *config, const RunFiles *files, bool resume);
} Training;

static const Training trainings[] = {
    {"lora", "configs/lora.json", RUN_MODEL | RUN_TASKS, train_lora},
    {"multitask", "configs/multitask.json", RUN_MODEL | RUN_TASKS, train_multitask},
    {"recon", "configs/recon.json", RUN_ENCODER | RUN_TASKS, train_recon},
    {"sft", NULL, RUN_MODEL | RUN_ENCODER | RUN_TASKS, train_sft},
};

enum { N_TRAININGS = sizeof trainings / sizeof *trainings };

/* NULL when there is none. */
static const Training *find_training(const char *name) {
    for (int i = 0; i < N_TRAININGS; i++)
        if (strcmp(trainings[i].name, name) == 0) return &trainings[i];
    return NULL;
}

/* Embeddings that are there already, and numbers of tasks, need neither encoder nor tasks. */
static unsigned needs_of(const Training *t, const Config *c) {
    bool embedded = *c->recon.embeddings || strcmp(c->data.embedding, "onehot") == 0;
    return t->run == train_recon && embedded ? 0 : t->needs;
}

static Status unknown_training(const Cli *cli) {
    return status_error(E_USAGE,
                        "train what? '%s' is not known; known are lora, multitask, recon, sft: t2l %s",
                        cli->args[0], cli->command->usage);
}

Status cmd_train(Cli *cli, int argc, char **argv) {
    const char *path = NULL;
    bool resume = false;
    const Option options[] = {
        {.name = "--config",
         .kind = OPTION_STRING,
         .out = &path,
         .value = "FILE",
         .help = "JSON configuration; default: configs/lora.json for lora, so for multitask and recon; "
                 "sft: none"},
        {.name = "--resume",
         .kind = OPTION_SWITCH,
         .out = &resume,
         .help = "continue from the run's last checkpoint"},
        {.kind = OPTION_END},
    };
    TRY(cli_parse(cli, argc, argv, options, 1, -1));
    if (cli->help_shown) return OK;
    const Training *training = find_training(cli->args[0]);
    if (!training) return unknown_training(cli);
    if (!path && training->config && !file_exists(training->config))
        return status_error(E_INPUT,
                            "%s: no such file; it is what train %s takes without --config FILE, from the "
                            "folder this runs in",
                            training->config, training->name);
    cli->args++;
    cli->n_args--;
    Config config;
    RunFiles files;
    Device dev;
    TRY(run_config(&config, cli, path ? path : training->config));
    Status s = run_files(&files, cli, &config, needs_of(training, &config));
    if (status_is_ok(s)) {
        s = cli_open_device(cli, &dev);
        if (status_is_ok(s)) {
            s = training->run(cli, &dev, &config, &files, resume);
            device_close(&dev);
        }
        run_files_free(&files);
    }
    config_free(&config);
    return s;
}
