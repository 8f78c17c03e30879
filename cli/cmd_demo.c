/* t2l demo: trains a small Text-to-LoRA here, measures it on tasks it saw and on tasks it never saw, beside
 * the base model, the prompted base model and two controls, and says what to try next. Leaves runs/<name>/
 * with the checkpoint, metrics.jsonl, summary.json, eval/ and one adapter in adapters/. */
#include "cli/cli.h"
#include "base/file.h"
#include "base/progress.h"
#include "cli/report.h"
#include "cli/run.h"
#include "cli/t2l.h"
#include "train/hyper.h"

#include <stdlib.h>
#include <string.h>

/* Measured on 2 cores (runs/reference): answers evaluated a second over examples trained a second. Training
 * is forward and backward; decoding stops at the first wrong token. */
#define EVAL_SPEED 3.3

enum { MADE_TOGETHER = 16 };

typedef struct Demo {
    Cli *cli;
    const char *config_path;
    Config config;
    RunFiles files;
    Device dev;
    Sft sft;
    TaskSet heldout; /* owns */
    RunResult trained;
    double started;
} Demo;

static int64_t count_items(const Task *tasks, int64_t n, int64_t examples) {
    int64_t items = 0;
    for (int64_t i = 0; i < n; i++)
        items += (examples && examples < tasks[i].n_test ? examples : tasks[i].n_test) * EXACT_DEMO_ARMS;
    return items;
}

static Status print_estimate(Demo *d) {
    const Config *c = &d->config;
    double seconds, tokens;
    TRY(sft_time_step(&seconds, &tokens, &d->sft));
    double train = seconds * (double)d->sft.total, rate = tokens / seconds;
    int64_t items = count_items(d->sft.tasks.tasks, d->sft.source.n_tasks, c->eval.seen_examples) +
                    count_items(d->heldout.tasks, d->heldout.n, c->eval.examples);
    double each = tokens / (double)c->train.batch_tasks;
    double eval = (double)items * each / (rate * EVAL_SPEED);
    fprintf(stderr,
            "This will take about %.1f minutes on this machine: training %lld steps %.1f min (%.0f "
            "tokens/s), then "
            "evaluating %lld answers %.1f min.\n",
            (train + eval) / 60, (long long)d->sft.total, train / 60, rate, (long long)items, eval / 60);
    return OK;
}

static Status write_summary(const Demo *d, const ExactReport *r) {
    SummaryFacts facts = {now_seconds() - d->started, d->trained.seconds, d->trained.tokens_per_s};
    cJSON *value;
    char *path = path_join(d->files.dir, "summary.json");
    if (!path) return status_error(E_ENV, "out of memory");
    Status s = summary_json(&value, r, facts);
    if (status_is_ok(s)) {
        s = json_write(path, value);
        cJSON_Delete(value);
    }
    free(path);
    return s;
}

/* The held-out task (else the seen one) that gained most over the base model. */
static const ExactRow *best_row(const ExactReport *r) {
    enum { BASE = 0, T2L_ARM = 2 };
    const ExactRow *best = NULL;
    double best_gain = -2;
    for (int64_t i = 0; i < r->n_rows; i++) {
        const ExactRow *row = &r->rows[i];
        if (row->by[BASE].n == 0 || row->by[T2L_ARM].n == 0) continue;
        double gain = (double)row->by[T2L_ARM].correct / (double)row->by[T2L_ARM].n -
                      (double)row->by[BASE].correct / (double)row->by[BASE].n;
        if (!best || (row->heldout && !best->heldout) ||
            (row->heldout == best->heldout && gain > best_gain)) {
            best = row;
            best_gain = gain;
        }
    }
    return best;
}

/* As one word of a shell. */
static void print_quoted(const char *text) {
    putchar('\'');
    for (; *text; text++) {
        if (*text == '\'')
            fputs("'\\''", stdout);
        else
            putchar(*text == '\n' ? ' ' : *text);
    }
    putchar('\'');
}

static Status print_next(Demo *d, T2l *maker, const ExactReport *r) {
    const ExactRow *row = best_row(r);
    const char *program = d->cli->program, *model = d->config.model;
    if (!row) return OK;
    const Task *task = row->task;
    const char *text = task->n_unseen ? task->unseen[0] : task->descriptions[0];
    int64_t n;
    const TaskExample *examples = tasks_split(task, TASK_TEST, &n);
    char dir[512];
    if (snprintf(dir, sizeof dir, "%s/adapters/%s", d->files.dir, task->name) >= (int)sizeof dir)
        return status_error(E_INPUT, "%s: name too long", task->name);
    char *parent = path_join(d->files.dir, "adapters");
    Status s = parent ? file_mkdirs(parent) : status_error(E_ENV, "out of memory");
    free(parent);
    TRY(s);
    TRY(t2l_write_adapter(maker, text, dir));
    printf("\nTry one of the adapters (\"%s\"):\n  %s chat --model %s --adapter %s ", text, program, model,
           dir);
    print_quoted(n ? examples[0].input : "hello");
    printf("\nDescribe a task of your own:\n  %s chat --model %s --t2l %s --describe 'Answer with the last "
           "word of the "
           "list.' 'pear, apple, plum'\n",
           program, model, d->files.dir);
    printf("Train on your own tasks (a folder of JSON files, see README.md):\n  %s train sft --config %s "
           "name=mine "
           "data.tasks=my-tasks\n",
           program, d->config_path);
    return OK;
}

static Status report_all(Demo *d, T2l *maker, const ExactReport *r, Report *report) {
    cJSON *config = cJSON_Duplicate(d->config.json, true);
    if (!config) return status_error(E_ENV, "out of memory");
    TRY(report_write(report, r, config));
    TRY(write_summary(d, r));
    TRY(report_print(d->cli, r, (SummaryTableOpts){.per_task = false}));
    return d->cli->json ? OK : print_next(d, maker, r);
}

static Status evaluate(Demo *d) {
    const Config *c = &d->config;
    T2l maker;
    Report report;
    ExactReport r;
    ExactSet sets[2] = {{.tasks = d->sft.tasks.tasks, .n_tasks = d->sft.source.n_tasks},
                        {.tasks = d->heldout.tasks, .n_tasks = d->heldout.n, .heldout = true}};
    for (int i = 0; i < 2; i++) {
        sets[i].examples = sets[i].heldout ? c->eval.examples : c->eval.seen_examples;
        sets[i].descriptions = c->eval.descriptions;
    }
    TRY(t2l_open(&maker, &d->dev, d->cli, d->trained.ckpt, MADE_TOGETHER, &d->sft.llm, d->config.model));
    ExactModel model = {&d->sft.llm, &d->dev, &maker.hypernet, t2l_embed, &maker};
    char *dir = path_join(d->files.dir, "eval");
    Status s = dir ? report_open(&report, dir) : status_error(E_ENV, "out of memory");
    free(dir);
    if (status_is_ok(s)) {
        ExactOpts opts = {.arms = exact_demo_arms(),
                          .n_arms = EXACT_DEMO_ARMS,
                          .max_new_tokens = c->eval.max_new_tokens,
                          .slots = c->eval.slots,
                          .quiet = d->cli->quiet,
                          .items = report.items,
                          .stop = d->cli->stop};
        s = exact_run(&r, &model, sets, d->heldout.n ? 2 : 1, opts);
        if (status_is_ok(s)) {
            s = report_all(d, &maker, &r, &report);
            exact_free(&r);
        }
        report_close(&report);
    }
    t2l_close(&maker);
    return s;
}

/* The demo starts again without being asked whether it may. */
static Status forget_run(const Demo *d) {
    char *path = path_join(d->files.dir, "ckpt");
    if (!path) return status_error(E_ENV, "out of memory");
    Status s = file_remove_tree(path);
    free(path);
    return s;
}

static Status run(Demo *d, bool resume) {
    if (hyper_is_onehot(&d->config))
        return status_error(
            E_USAGE, "key 'data.embedding': the demo measures descriptions, which onehot does not read; "
                     "use `t2l train sft` and `t2l eval`");
    SftPaths paths = {d->files.model, d->files.encoder, d->files.tasks, d->files.heldout};
    if (!resume) TRY(forget_run(d));
    if (d->files.heldout) TRY(tasks_load(&d->heldout, d->files.heldout));
    TRY(sft_init(&d->sft, &d->dev, &d->config, &paths, d->cli->quiet));
    RunOpts options = {
        .run_dir = d->files.dir, .resume = resume, .quiet = d->cli->quiet, .stop = d->cli->stop};
    Status s = d->cli->quiet ? OK : print_estimate(d);
    if (status_is_ok(s)) s = sft_run(&d->trained, &d->sft, options);
    sft_end_training(&d->sft);
    if (status_is_ok(s)) s = evaluate(d);
    free(d->trained.ckpt);
    sft_free(&d->sft);
    return s;
}

static Status with_device(Demo *d, bool resume) {
    TRY(cli_open_device(d->cli, &d->dev));
    Status s = run(d, resume);
    if (d->heldout.n) tasks_free(&d->heldout);
    device_close(&d->dev);
    return s;
}

Status cmd_demo(Cli *cli, int argc, char **argv) {
    bool resume = false;
    const char *path = "configs/demo.json";
    const Option options[] = {
        {.name = "--config",
         .kind = OPTION_STRING,
         .out = &path,
         .value = "FILE",
         .help = "JSON configuration (configs/demo.json)"},
        {.name = "--resume",
         .kind = OPTION_SWITCH,
         .out = &resume,
         .help = "continue from the run's last checkpoint"},
        {.kind = OPTION_END},
    };
    TRY(cli_parse(cli, argc, argv, options, 0, -1));
    if (cli->help_shown) return OK;
    Demo *d = calloc(1, sizeof *d);
    if (!d) return status_error(E_ENV, "out of memory");
    d->cli = cli;
    d->config_path = path;
    d->started = now_seconds();
    Status s = run_config(&d->config, cli, path);
    if (status_is_ok(s)) {
        s = run_files(&d->files, cli, &d->config, RUN_MODEL | RUN_ENCODER | RUN_TASKS);
        if (status_is_ok(s)) {
            s = with_device(d, resume);
            run_files_free(&d->files);
        }
        config_free(&d->config);
    }
    free(d);
    return s;
}
