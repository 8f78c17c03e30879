/* Policy: benchmark after benchmark. Of each: its examples, its solved examples where prompts want them, its
 * descriptions and the adapters made of them, then one row an arm. */
#include "cli/eval_bench.h"
#include "base/file.h"
#include "cli/loaded.h"
#include "eval/bench_report.h"
#include "eval/exact.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_DESCRIPTIONS = 128 }; /* of a task */

typedef struct Evaluation {
    const EvalBench *job; /* view */
    const Cli *cli;       /* view */
    Cage cage;            /* owns, where has_cage */
    bool has_cage;
    Wordings wordings;    /* owns */
    char *templates;      /* owns: path; NULL: own wordings */
    cJSON *descriptions;  /* owns; NULL: none */
    FILE *items, *before; /* own; NULL: none. What is added to the items; what they had already */
    char *part;           /* owns: their path */
    cJSON *config;        /* owns */
    BenchReport report;   /* owns */
} Evaluation;

static Status no_memory(void) {
    return status_error(E_ENV, "out of memory");
}

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

static bool has_code(char name[64], const EvalBench *job) {
    for (const char *p = job->tasks; next_name(name, &p);)
        if (benchmark_find(name)->score == BENCHMARK_CODE) return true;
    return false;
}

static Status open_cage(Cage *cage, const EvalBench *job, const Cli *cli) {
    long cores = cli->threads > 0 ? cli->threads : sysconf(_SC_NPROCESSORS_ONLN);
    return cage_open(cage, (CageOptions){.n_workers = cores < 1            ? 1
                                                      : cores > CAGE_FILES ? CAGE_FILES
                                                                           : (int)cores,
                                         .allow_unsandboxed = job->allow_unsandboxed,
                                         .stop = cli->stop});
}

static Status check_code(const EvalBench *job, const Cli *cli) {
    char name[64];
    Cage cage;
    if (!has_code(name, job)) {
        if (job->samples > 1 || job->temperature > 0 || job->allow_unsandboxed)
            return status_error(E_USAGE, "--samples, --temperature and --allow-unsandboxed-code are for mbpp "
                                         "and humaneval");
        return OK;
    }
    if (is_loglik(job)) return status_error(E_USAGE, "--protocol loglik: %s has no choices to score", name);
    if (job->samples > 1 && !(job->temperature > 0))
        return status_error(E_USAGE, "--samples %lld needs --temperature T: greedy answers are all the same",
                            (long long)job->samples);
    TRY(status_wrap(open_cage(&cage, job, cli), "%s", name)); /* here, before a model is loaded */
    cage_close(&cage);
    return OK;
}

Status eval_bench_check(const EvalBench *job, const Cli *cli) {
    char name[64];
    TRY(check_code(job, cli));
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

/* A task's arms: base, base told the description, adapters that serve every task, one a description, and
 * controls: as many adapters from random texts and from another task's descriptions. */
typedef struct Arms {
    BenchArm *arm; /* owns */
    int n;
    LoraSet set[3 * MAX_DESCRIPTIONS];
    Arena mem[3 * MAX_DESCRIPTIONS]; /* owns */
    int n_made;
} Arms;

static Status make_adapter(Arms *a, const EvalBench *job, const char *name, const char *text) {
    LoraSet made;
    Adapter adapter;
    const HypernetConfig *c = &job->maker->info.hypernet;
    TRY(t2l_adapters(&made, job->maker, &text, 1));
    TRY(lora_to_adapter(&adapter, &made, 0, c->in, c->out, job->maker->info.lora_alpha));
    Status s = loaded_keep_adapter(&a->set[a->n_made], &a->mem[a->n_made], job->llm, &adapter);
    adapter_free(&adapter);
    if (status_is_ok(s)) a->arm[a->n++] = (BenchArm){name, &a->set[a->n_made++], 0, text, false};
    return s;
}

static void arms_free(Arms *a) {
    for (int i = 0; i < a->n_made; i++) arena_free(&a->mem[i]);
    free(a->arm);
    free(a);
}

/* The task whose descriptions stand in for another one's: half the file away. */
static Status other_task(const char **out, const Evaluation *e, const char *task) {
    const cJSON *all = e->descriptions, *inner = cJSON_GetObjectItemCaseSensitive(all, "eval_descriptions");
    int n, at = 0;
    if (inner) all = inner;
    n = cJSON_GetArraySize(all);
    while (at < n && strcmp(cJSON_GetArrayItem(all, at)->string, task) != 0) at++;
    if (n < 2)
        return status_error(E_INPUT, "%s: --controls needs the descriptions of another task than %s",
                            e->job->descriptions, task);
    *out = cJSON_GetArrayItem(all, (at + n / 2) % n)->string;
    return OK;
}

static Status add_controls(Arms *a, const Evaluation *e, const char *task, int n) {
    const char *text[MAX_DESCRIPTIONS], *other = NULL, *const *random = exact_random_texts();
    int n_random = 0, n_other;
    while (random[n_random]) n_random++;
    TRY(other_task(&other, e, task));
    TRY(task_descriptions(text, &n_other, e, other));
    for (int i = 0; i < n; i++) TRY(make_adapter(a, e->job, "random", random[i % n_random]));
    for (int i = 0; i < n && i < n_other; i++) TRY(make_adapter(a, e->job, "other", text[i]));
    return OK;
}

static Status fill_arms(Arms *a, const Evaluation *e, const char *task) {
    const EvalBench *job = e->job;
    const char *text[MAX_DESCRIPTIONS];
    int n;
    TRY(task_descriptions(text, &n, e, task));
    a->arm = calloc((size_t)(1 + 4 * n + job->n_given), sizeof *a->arm);
    if (!a->arm) return no_memory();
    a->arm[a->n++] = (BenchArm){"base", NULL, 0, NULL, false};
    for (int i = 0; job->prompted && i < n; i++)
        a->arm[a->n++] = (BenchArm){"prompted", NULL, 0, text[i], true};
    for (int i = 0; i < job->n_given; i++) a->arm[a->n++] = job->given[i];
    for (int i = 0; job->maker && i < n; i++) TRY(make_adapter(a, job, "t2l", text[i]));
    return job->controls ? add_controls(a, e, task, n) : OK;
}

/* ---- running ---- */

static Status run_task(Evaluation *e, const Benchmark *b) {
    const EvalBench *job = e->job;
    BenchmarkSet set, shots = {0};
    Arms *arms = calloc(1, sizeof *arms);
    if (!arms) return no_memory();
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
                          .samples = job->samples,
                          .temperature = (float)job->temperature,
                          .seed = (uint64_t)e->cli->seed,
                          .cage = e->has_cage ? &e->cage : NULL,
                          .quiet = e->cli->quiet,
                          .before = e->before,
                          .before_path = e->part,
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

/* ---- what was asked ---- */

/* What was asked for: the same again goes on with the same items. */
static bool add_asked(cJSON *config, const Evaluation *e) {
    const EvalBench *job = e->job;
    bool ok = cJSON_AddStringToObject(config, "model", job->model) &&
              cJSON_AddStringToObject(config, "data", job->data) &&
              cJSON_AddStringToObject(config, "tasks", job->tasks) &&
              cJSON_AddStringToObject(config, "protocol", job->protocol) &&
              cJSON_AddNumberToObject(config, is_loglik(job) ? "gsm8k_shots" : "shots", (double)job->shots) &&
              cJSON_AddNumberToObject(config, "limit", (double)job->limit) &&
              cJSON_AddNumberToObject(config, "max_new_tokens", (double)job->max_tokens) &&
              cJSON_AddBoolToObject(config, "prompted", job->prompted) &&
              cJSON_AddBoolToObject(config, "controls", job->controls) &&
              cJSON_AddStringToObject(config, "version", T2L_VERSION);
    if (!is_loglik(job))
        ok = ok && cJSON_AddStringToObject(config, "templates", e->wordings.source) &&
             cJSON_AddStringToObject(config, "system_message",
                                     bench_has_system(job->llm) ? "empty" : "none") &&
             cJSON_AddStringToObject(config, "bos", job->bos);
    if (e->has_cage)
        ok = ok && cJSON_AddStringToObject(config, "code_cage", e->cage.description) &&
             cJSON_AddNumberToObject(config, "samples", (double)job->samples) &&
             cJSON_AddNumberToObject(config, "temperature", job->temperature) &&
             cJSON_AddNumberToObject(config, "seed", (double)e->cli->seed);
    if (job->t2l) ok = ok && cJSON_AddStringToObject(config, "t2l", job->t2l);
    if (job->maker) ok = ok && cJSON_AddNumberToObject(config, "t2l_step", (double)job->maker->info.step);
    if (job->descriptions) ok = ok && cJSON_AddStringToObject(config, "descriptions", job->descriptions);
    return ok;
}

/* SHA-256 of what may change under the same name: examples and given adapters. */
static Status add_digests(cJSON *config, const EvalBench *job) {
    char name[64], sha256[65];
    cJSON *files = cJSON_AddObjectToObject(config, "sha256");
    for (const char *p = job->tasks; next_name(name, &p);) {
        BenchmarkSet set;
        TRY(benchmark_load(&set, benchmark_find(name), job->data, "", job->limit));
        Status s = sha256_file(sha256, set.path);
        benchmark_free(&set);
        TRY(s);
        if (!files || !cJSON_AddStringToObject(files, name, sha256)) return no_memory();
    }
    for (int i = 0; i < job->adapters->n; i++) {
        char *path = path_join(job->adapters->item[i], "adapter_model.safetensors");
        if (!path) return no_memory();
        Status s = sha256_file(sha256, path);
        free(path);
        TRY(s);
        if (!files || !cJSON_AddStringToObject(files, job->adapters->item[i], sha256)) return no_memory();
    }
    return OK;
}

static Status describe_run(Evaluation *e) {
    e->config = cJSON_CreateObject();
    if (!e->config || !add_asked(e->config, e)) return no_memory();
    return add_digests(e->config, e->job);
}

/* ---- going on ---- */

static Status refuse_other(const cJSON *was, const cJSON *now, const char *path) {
    const cJSON *v = was ? was : now;
    char *a = was ? cJSON_PrintUnformatted(was) : NULL, *b = now ? cJSON_PrintUnformatted(now) : NULL;
    Status s =
        status_error(E_INPUT,
                     "%s: holds an evaluation with %s %s, this one has %s: go on with its own settings, "
                     "or choose another folder",
                     path, v->string, a ? a : "unset", b ? b : "unset");
    cJSON_free(a);
    cJSON_free(b);
    return s;
}

static Status check_same(const Evaluation *e, const char *path) {
    cJSON *was;
    TRY(json_read(&was, path, 16 << 20));
    Status s = cJSON_IsObject(was) ? OK : status_error(E_INPUT, "%s: expected an object", path);
    for (const cJSON *v = was->child; v && status_is_ok(s); v = v->next) {
        const cJSON *now = cJSON_GetObjectItemCaseSensitive(e->config, v->string);
        if (!cJSON_Compare(v, now, true)) s = refuse_other(v, now, path);
    }
    for (const cJSON *v = e->config->child; v && status_is_ok(s); v = v->next)
        if (!cJSON_GetObjectItemCaseSensitive(was, v->string)) s = refuse_other(NULL, v, path);
    cJSON_Delete(was);
    return s;
}

/* How long the file is up to its last whole line. */
static bool whole_lines(off_t *out, FILE *f) {
    char buf[4096];
    *out = 0;
    if (fseeko(f, 0, SEEK_END) != 0) return false;
    for (off_t at = ftello(f); at > 0 && *out == 0;) {
        size_t n = at < (off_t)sizeof buf ? (size_t)at : sizeof buf;
        at -= (off_t)n;
        if (fseeko(f, at, SEEK_SET) != 0 || fread(buf, 1, n, f) != n) return false;
        const char *last = memrchr(buf, '\n', n);
        if (last) *out = at + (last - buf) + 1;
    }
    return true;
}

/* Creates the items, or cuts off what follows their last whole line; then a place to read and one to add. */
static Status open_part(Evaluation *e) {
    off_t keep;
    FILE *f = fopen(e->part, "a+");
    bool ok = f && whole_lines(&keep, f) && ftruncate(fileno(f), keep) == 0;
    if (f) fclose(f);
    e->items = ok ? fopen(e->part, "a") : NULL;
    e->before = e->items ? fopen(e->part, "r") : NULL;
    return e->before ? OK : status_errno(errno, "%s: cannot open", e->part);
}

/* items: where the finished ones would be, asked: eval.json. */
static Status open_both(Evaluation *e, const char *items, const char *asked) {
    bool any = file_exists(e->part) || file_exists(items);
    if (any && !file_exists(asked))
        return status_error(E_INPUT,
                            "%s: holds the items of an evaluation, but no eval.json to go on with: "
                            "choose another folder",
                            e->job->dir);
    if (any)
        TRY(check_same(e, asked));
    else
        TRY(json_write(asked, e->config));
    if (!file_exists(e->part) && any && rename(items, e->part) != 0)
        return status_errno(errno, "%s: cannot rename", items);
    return open_part(e);
}

static Status open_items(Evaluation *e) {
    if (!e->job->dir) return OK;
    TRY(file_mkdirs(e->job->dir));
    e->part = path_join(e->job->dir, "items.jsonl.part");
    char *items = path_join(e->job->dir, "items.jsonl"), *asked = path_join(e->job->dir, "eval.json");
    Status s = e->part && items && asked ? open_both(e, items, asked) : no_memory();
    free(items);
    free(asked);
    return s;
}

/* ---- what it leaves behind ---- */

static Status add_measured(Evaluation *e) {
    bool ok = cJSON_AddNumberToObject(e->config, "seconds", e->report.seconds) &&
              cJSON_AddNumberToObject(e->config, "prompt_tokens", (double)e->report.tokens) &&
              cJSON_AddNumberToObject(e->config, "prompt_seconds", e->report.token_seconds) &&
              (!e->report.n_before ||
               cJSON_AddNumberToObject(e->config, "items_of_earlier_runs", (double)e->report.n_before));
    return ok ? OK : no_memory();
}

static Status write_files(Evaluation *e, const cJSON *results, const char *table) {
    bool good = fflush(e->items) == 0 && fsync(fileno(e->items)) == 0;
    good = fclose(e->items) == 0 && good;
    e->items = NULL;
    if (!good) return status_errno(errno, "%s: cannot write", e->part);
    char *items = path_join(e->job->dir, "items.jsonl"), *json = path_join(e->job->dir, "results.json");
    char *text = path_join(e->job->dir, "report.md");
    Status s = items && json && text ? OK : no_memory();
    if (status_is_ok(s) && rename(e->part, items) != 0) s = status_errno(errno, "%s: cannot rename", e->part);
    if (status_is_ok(s)) s = file_sync_dir(e->job->dir);
    if (status_is_ok(s)) s = json_write(json, results);
    if (status_is_ok(s)) s = file_write_atomic(text, table, strlen(table));
    free(items);
    free(json);
    free(text);
    return s;
}

/* The table, and what the programs ran in. */
static Status make_table(char **out, const Evaluation *e) {
    char *table;
    TRY(bench_report_table(&table, &e->report, e->job->model));
    *out = table;
    if (!e->has_cage) return OK;
    int n = asprintf(out, "%s\nPrograms ran in: %s.\n", table, e->cage.description);
    free(table);
    if (n < 0) *out = NULL;
    return n < 0 ? no_memory() : OK;
}

static Status finish(Evaluation *e) {
    cJSON *results, *config;
    char *table, *text = NULL;
    TRY(add_measured(e));
    config = e->config;
    e->config = NULL;
    TRY(bench_report_json(&results, &e->report, (uint64_t)e->cli->seed, config));
    Status s = make_table(&table, e);
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
    if (!e->templates) return no_memory();
    bool own = !e->job->templates && !file_exists(e->templates);
    return wordings_load(&e->wordings, own ? NULL : e->templates);
}

static Status run(Evaluation *e) {
    char name[64];
    TRY(find_templates(e));
    TRY(read_descriptions(e));
    if (has_code(name, e->job)) {
        TRY(open_cage(&e->cage, e->job, e->cli));
        e->has_cage = true;
    }
    TRY(describe_run(e));
    TRY(open_items(e));
    TRY(run_tasks_named(e));
    return finish(e);
}

Status eval_bench(const EvalBench *job, const Cli *cli) {
    Evaluation e = {.job = job, .cli = cli};
    Status s = run(&e);
    if (e.items) {
        fclose(e.items);
        if (!status_is_ok(s) && !cli->quiet)
            fprintf(stderr, "%s: what is done; the same command goes on behind it\n", e.part);
    }
    if (e.before) fclose(e.before);
    if (e.has_cage) cage_close(&e.cage);
    free(e.part);
    free(e.templates);
    cJSON_Delete(e.config);
    cJSON_Delete(e.descriptions);
    wordings_free(&e.wordings);
    bench_free(&e.report);
    return s;
}
