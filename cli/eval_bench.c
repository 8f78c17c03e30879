/* Policy: benchmark after benchmark. Of each: its examples, its solved examples where prompts want them, its
 * descriptions and the adapters made of them, then one row an arm. */
#include "cli/eval_bench.h"
#include "base/file.h"
#include "cli/loaded.h"
#include "eval/bench_report.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_DESCRIPTIONS = 128 }; /* of a task */

typedef struct Evaluation {
    const EvalBench *job; /* view */
    const Cli *cli;       /* view */
    Wordings wordings;    /* owns */
    char *templates;      /* owns: path; NULL: own wordings */
    cJSON *descriptions;  /* owns; NULL: none */
    FILE *items;          /* owns; NULL: none */
    char *part;           /* owns: its path */
    BenchReport report;   /* owns */
} Evaluation;

/* The word of --tasks at *p; false at the end. */
static bool next_name(char name[64], const char **p) {
    if (!*p) return false;
    snprintf(name, 64, "%.*s", (int)strcspn(*p, ","), *p);
    const char *comma = strchr(*p, ',');
    *p = comma ? comma + 1 : NULL;
    return true;
}

Status eval_bench_wanted(bool *out, const char *tasks) {
    char name[64], other[64] = "", one[64] = "";
    for (const char *p = tasks; next_name(name, &p);) strcpy(benchmark_find(name) ? one : other, name);
    *out = one[0] && !other[0];
    if (one[0] && other[0])
        return status_error(
            E_USAGE, "--tasks: '%s' is a benchmark and '%s' is none: evaluate them one by one", one, other);
    return OK;
}

static bool is_loglik(const EvalBench *job) {
    return strcmp(job->protocol, "loglik") == 0;
}

Status eval_bench_check(const EvalBench *job) {
    char name[64];
    for (const char *p = job->tasks; next_name(name, &p);) {
        const Benchmark *b = benchmark_find(name);
        if (b->score != BENCHMARK_CODE) continue;
        if (is_loglik(job))
            return status_error(E_USAGE, "--protocol loglik: %s has no choices to score", name);
        return status_error(E_ENV, "%s needs the code cage, which this build lacks: its answers are programs",
                            name);
    }
    if (is_loglik(job) && (job->prompted || job->templates))
        return status_error(E_USAGE,
                            "--prompted and --templates change nothing with --protocol loglik: its prompts "
                            "are lm-evaluation-harness's");
    if (job->prompted && !job->descriptions)
        return status_error(E_USAGE,
                            "--prompted on benchmarks needs --descriptions FILE.json: {task: [texts]}");
    for (const char *p = job->tasks;
         next_name(name, &p);) { /* a bad file is found before a model is loaded */
        BenchmarkSet set;
        TRY(benchmark_load(&set, benchmark_find(name), job->data, "", job->limit));
        benchmark_free(&set);
    }
    return OK;
}

/* ---- descriptions and arms ---- */

/* {"boolq": [text, ...], ...}, perhaps as member "eval_descriptions". */
static Status read_descriptions(Evaluation *e) {
    const char *path = e->job->descriptions;
    if (!path) return OK;
    TRY(json_read(&e->descriptions, path, 64 << 20));
    if (!cJSON_IsObject(e->descriptions))
        return status_error(E_INPUT, "%s: expected an object of tasks, found %s", path,
                            json_type_name(e->descriptions));
    return OK;
}

static Status task_descriptions(const char *out[MAX_DESCRIPTIONS], int *n, const Evaluation *e,
                                const char *task) {
    const cJSON *all = e->descriptions, *list, *inner = NULL;
    *n = 0;
    if (!all) return OK;
    if ((inner = cJSON_GetObjectItemCaseSensitive(all, "eval_descriptions"))) all = inner;
    TRY(json_get_array(&list, all, task, e->job->descriptions));
    for (const cJSON *d = list->child; d; d = d->next) {
        if (!cJSON_IsString(d) || !*d->valuestring || *n == MAX_DESCRIPTIONS)
            return status_error(E_INPUT, "%s: %s: expected up to %d texts", e->job->descriptions, task,
                                MAX_DESCRIPTIONS);
        out[(*n)++] = d->valuestring;
    }
    if (*n == 0) return status_error(E_INPUT, "%s: %s: no descriptions", e->job->descriptions, task);
    return OK;
}

/* A task's arms: base, base told the description, adapters that serve every task, one a description. */
typedef struct Arms {
    BenchArm *arm; /* owns */
    int n;
    LoraSet set[MAX_DESCRIPTIONS];
    Arena mem[MAX_DESCRIPTIONS]; /* owns */
    int n_made;
} Arms;

static Status make_adapter(Arms *a, const EvalBench *job, const char *text) {
    LoraSet made;
    Adapter adapter;
    const HypernetConfig *c = &job->maker->info.hypernet;
    TRY(t2l_adapters(&made, job->maker, &text, 1));
    TRY(lora_to_adapter(&adapter, &made, 0, c->in, c->out, job->maker->info.lora_alpha));
    Status s = loaded_keep_adapter(&a->set[a->n_made], &a->mem[a->n_made], &adapter);
    adapter_free(&adapter);
    if (status_is_ok(s)) a->arm[a->n++] = (BenchArm){"t2l", &a->set[a->n_made++], 0, text, false};
    return s;
}

static void arms_free(Arms *a) {
    for (int i = 0; i < a->n_made; i++) arena_free(&a->mem[i]);
    free(a->arm);
    free(a);
}

static Status fill_arms(Arms *a, const Evaluation *e, const char *task) {
    const EvalBench *job = e->job;
    const char *text[MAX_DESCRIPTIONS];
    int n;
    TRY(task_descriptions(text, &n, e, task));
    a->arm = calloc((size_t)(1 + 2 * n + job->n_given), sizeof *a->arm);
    if (!a->arm) return status_error(E_ENV, "out of memory");
    a->arm[a->n++] = (BenchArm){"base", NULL, 0, NULL, false};
    for (int i = 0; job->prompted && i < n; i++)
        a->arm[a->n++] = (BenchArm){"prompted", NULL, 0, text[i], true};
    for (int i = 0; i < job->n_given; i++) a->arm[a->n++] = job->given[i];
    for (int i = 0; job->maker && i < n; i++) TRY(make_adapter(a, job, text[i]));
    return OK;
}

/* ---- running ---- */

static Status run_task(Evaluation *e, const Benchmark *b) {
    const EvalBench *job = e->job;
    BenchmarkSet set, shots = {0};
    Arms *arms = calloc(1, sizeof *arms);
    if (!arms) return status_error(E_ENV, "out of memory");
    bool solved = job->shots > 0 && strcmp(b->name, "humaneval") != 0 &&
                  (!is_loglik(job) || b->score == BENCHMARK_NUMBER); /* humaneval has none */
    Status s = benchmark_load(&set, b, job->data, "", job->limit);
    if (status_is_ok(s)) {
        if (solved) s = benchmark_load(&shots, b, job->data, ".train", job->shots);
        if (status_is_ok(s) && solved && shots.n < job->shots)
            s = status_error(E_INPUT, "%s: %lld solved examples, %lld are wanted", shots.path,
                             (long long)shots.n, (long long)job->shots);
        if (status_is_ok(s)) s = fill_arms(arms, e, b->name);
        BenchOpts opts = {.protocol = is_loglik(job) ? BENCH_LOGLIK : BENCH_GENERATE,
                          .wordings = &e->wordings,
                          .shots = shots.items,
                          .n_shots = (int)shots.n,
                          .double_bos = strcmp(job->bos, "double") == 0,
                          .max_new_tokens = job->max_tokens,
                          .quiet = e->cli->quiet,
                          .items = e->items,
                          .stop = e->cli->stop};
        if (status_is_ok(s)) s = bench_run(&e->report, &set, job->llm, job->dev, arms->arm, arms->n, opts);
        benchmark_free(&set);
    }
    benchmark_free(&shots);
    arms_free(arms);
    return s;
}

static Status run_tasks_named(Evaluation *e) {
    char name[64];
    for (const char *p = e->job->tasks; next_name(name, &p);) TRY(run_task(e, benchmark_find(name)));
    return OK;
}

/* ---- what it leaves behind ---- */

static Status open_items(Evaluation *e) {
    if (!e->job->dir) return OK;
    TRY(file_mkdirs(e->job->dir));
    e->part = path_join(e->job->dir, "items.jsonl.part");
    if (!e->part) return status_error(E_ENV, "out of memory");
    e->items = fopen(e->part, "w");
    return e->items ? OK : status_errno(errno, "%s: cannot create", e->part);
}

static cJSON *describe_run(const Evaluation *e) {
    const EvalBench *job = e->job;
    cJSON *config = cJSON_CreateObject();
    cJSON_AddStringToObject(config, "model", job->model);
    cJSON_AddStringToObject(config, "data", job->data);
    cJSON_AddStringToObject(config, "protocol", job->protocol);
    if (!is_loglik(job)) {
        cJSON_AddStringToObject(config, "templates", e->wordings.source);
        cJSON_AddStringToObject(config, "system_message", bench_has_system(job->llm) ? "empty" : "none");
        cJSON_AddStringToObject(config, "bos", job->bos);
    }
    if (job->t2l) cJSON_AddStringToObject(config, "t2l", job->t2l);
    if (job->descriptions) cJSON_AddStringToObject(config, "descriptions", job->descriptions);
    cJSON_AddNumberToObject(config, is_loglik(job) ? "gsm8k_shots" : "shots", (double)job->shots);
    cJSON_AddNumberToObject(config, "limit", (double)job->limit);
    cJSON_AddNumberToObject(config, "seconds", e->report.seconds);
    cJSON_AddNumberToObject(config, "prompt_tokens", (double)e->report.tokens);
    cJSON_AddNumberToObject(config, "prompt_seconds", e->report.token_seconds);
    cJSON_AddStringToObject(config, "version", T2L_VERSION);
    return config;
}

static Status write_files(Evaluation *e, const cJSON *results, const char *table) {
    bool good = fflush(e->items) == 0 && fsync(fileno(e->items)) == 0;
    good = fclose(e->items) == 0 && good;
    e->items = NULL;
    if (!good) return status_errno(errno, "%s: cannot write", e->part);
    char *items = path_join(e->job->dir, "items.jsonl"), *json = path_join(e->job->dir, "results.json");
    char *text = path_join(e->job->dir, "report.md");
    Status s = items && json && text ? OK : status_error(E_ENV, "out of memory");
    if (status_is_ok(s) && rename(e->part, items) != 0) s = status_errno(errno, "%s: cannot rename", e->part);
    if (status_is_ok(s)) s = file_sync_dir(e->job->dir);
    if (status_is_ok(s)) s = json_write(json, results);
    if (status_is_ok(s)) s = file_write_atomic(text, table, strlen(table));
    free(items);
    free(json);
    free(text);
    return s;
}

static Status finish(Evaluation *e) {
    cJSON *results;
    char *table, *text = NULL;
    TRY(bench_report_json(&results, &e->report, (uint64_t)e->cli->seed, describe_run(e)));
    Status s = bench_report_table(&table, &e->report, e->job->model);
    if (status_is_ok(s)) {
        if (e->job->dir) s = write_files(e, results, table);
        if (status_is_ok(s)) {
            if (e->cli->json)
                puts((text = cJSON_PrintUnformatted(results)) ? text : "");
            else
                fputs(table, stdout);
        }
        free(table);
    }
    cJSON_free(text);
    cJSON_Delete(results);
    return s;
}

/* --templates, or DIR/templates.json. */
static Status find_templates(Evaluation *e) {
    e->templates = e->job->templates ? strdup(e->job->templates) : path_join(e->job->data, "templates.json");
    if (!e->templates) return status_error(E_ENV, "out of memory");
    bool own = !e->job->templates && !file_exists(e->templates);
    return wordings_load(&e->wordings, own ? NULL : e->templates);
}

static Status run(Evaluation *e) {
    TRY(find_templates(e));
    TRY(read_descriptions(e));
    TRY(open_items(e));
    TRY(run_tasks_named(e));
    return finish(e);
}

Status eval_bench(const EvalBench *job, const Cli *cli) {
    Evaluation e = {.job = job, .cli = cli};
    Status s = run(&e);
    if (e.items) {
        fclose(e.items);
        unlink(e.part);
    }
    free(e.part);
    free(e.templates);
    cJSON_Delete(e.descriptions);
    wordings_free(&e.wordings);
    bench_free(&e.report);
    return s;
}
