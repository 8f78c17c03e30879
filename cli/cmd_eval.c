/* t2l eval: the base model and every adapter side by side: on task files by exact match of greedy answers, on
 * the paper's benchmarks by their own rules (cli/eval_bench.h). */
#include "cli/cli.h"
#include "cli/eval_bench.h"
#include "cli/lines.h"
#include "cli/report.h"
#include "cli/run.h"
#include "cli/loaded.h"

#include <stdlib.h>
#include <string.h>

enum { MADE_TOGETHER = 16 }; /* chosen: adapters the hypernetwork makes in one pass */

typedef struct Given {
    char name[64];
    char *said; /* owns: the description that made it; NULL: none did */
    LoraSet set;
    Arena mem; /* owns */
} Given;

typedef struct Eval {
    const char *model, *t2l, *descriptions, *data, *tasks, *dir, *protocol, *templates, *bos;
    OptionList adapters, describe;
    int64_t limit, max_tokens, shots, samples;
    double temperature;
    bool bench; /* --tasks names benchmarks */
    bool prompted, controls, heldout, per_task, natural, allow_unsandboxed;

    Loaded loaded; /* device and base model */
    T2l maker;
    bool has_maker;
    TaskSet set;  /* owns */
    Task *chosen; /* owns the array: views of set's tasks */
    int64_t n_chosen;
    Given given[EXACT_MAX_ARMS]; /* owns */
    int n_given;
    ExactArm arms[EXACT_MAX_ARMS];
    int n_arms;
} Eval;

static Status add_arm(Eval *e, ExactArm arm) {
    if (e->n_arms == EXACT_MAX_ARMS)
        return status_error(E_USAGE, "more than %d columns side by side", EXACT_MAX_ARMS);
    e->arms[e->n_arms++] = arm;
    return OK;
}

/* The next place for an adapter, named; names are made distinct. */
static Status add_given(Given **out, Eval *e, const char *name) {
    if (e->n_given == EXACT_MAX_ARMS) return status_error(E_USAGE, "more than %d adapters", EXACT_MAX_ARMS);
    Given *g = &e->given[e->n_given];
    snprintf(g->name, sizeof g->name, "%.40s", name);
    for (int i = 0; i < e->n_given; i++)
        if (strcmp(e->given[i].name, g->name) == 0)
            snprintf(g->name, sizeof g->name, "%.40s-%d", name, e->n_given);
    e->n_given++;
    *out = g;
    return OK;
}

static Status add_adapter(Eval *e, const char *dir) {
    size_t n = strlen(dir);
    while (n > 1 && dir[n - 1] == '/') n--;
    size_t from = n;
    while (from > 0 && dir[from - 1] != '/') from--;
    char name[64];
    Given *g = NULL;
    snprintf(name, sizeof name, "%.*s", n - from > 40 ? 40 : (int)(n - from), dir + from);
    TRY(add_given(&g, e, name));
    return loaded_read_adapter(&g->set, &g->mem, &e->loaded.llm, dir);
}

static Status add_described(Eval *e, const char *text) {
    LoraSet made;
    Adapter a;
    Given *g = NULL;
    const HypernetConfig *c = &e->maker.info.hypernet;
    TRY(add_given(&g, e, text));
    g->said = strdup(text);
    if (!g->said) return status_error(E_ENV, "out of memory");
    TRY(t2l_adapters(&made, &e->maker, &text, 1));
    TRY(lora_to_adapter(&a, &made, 0, c->in, c->out, e->maker.info.lora_alpha));
    Status s = loaded_keep_adapter(&g->set, &g->mem, &e->loaded.llm, &a);
    adapter_free(&a);
    return s;
}

static Status add_description_lines(Eval *e) {
    Lines lines;
    TRY(lines_open(&lines, e->descriptions));
    Status s = OK;
    for (bool more = true; status_is_ok(s) && more;) {
        s = lines_next(&lines, &more);
        if (status_is_ok(s) && more && lines.n) s = add_described(e, lines.text);
    }
    lines_close(&lines);
    return s;
}

/* data.embedding=onehot: a task's name stands for its descriptions. */
static Status name_tasks(Eval *e) {
    if (e->prompted || e->controls)
        return status_error(E_USAGE,
                            "--prompted and --controls need descriptions; this Text-to-LoRA was trained "
                            "with data.embedding=onehot and reads none");
    for (int64_t i = 0; i < e->n_chosen; i++) {
        Task *t = &e->chosen[i];
        t->descriptions = &t->name;
        t->n_descriptions = 1;
        t->n_unseen = 0;
    }
    return OK;
}

/* --descriptions FILE.json on benchmarks: lists of texts a task, not a text a line. */
static bool per_task_descriptions(const Eval *e) {
    size_t n = e->descriptions ? strlen(e->descriptions) : 0;
    return e->bench && n > 5 && strcmp(e->descriptions + n - 5, ".json") == 0;
}

static Status open_maker(Eval *e, const Cli *cli) {
    if (!e->t2l) return OK;
    AdapterShape shape = llm_adapter_shape(&e->loaded.llm.cfg);
    TRY(t2l_open(&e->maker, &e->loaded.dev, cli, e->t2l, MADE_TOGETHER, &e->loaded.llm, e->model));
    e->has_maker = true;
    TRY(t2l_check_shape(&e->maker, &shape, e->model));
    if (t2l_is_onehot(&e->maker)) TRY(name_tasks(e));
    for (int i = 0; i < e->describe.n; i++) TRY(add_described(e, e->describe.item[i]));
    return e->descriptions && !per_task_descriptions(e) ? add_description_lines(e) : OK;
}

static Status make_arms(Eval *e) {
    const ExactArm *demo = exact_demo_arms();
    bool own = e->t2l && !e->describe.n && !e->descriptions; /* each task's own descriptions */
    for (int i = 0; i < EXACT_DEMO_ARMS; i++) {
        bool control = demo[i].source == EXACT_RANDOM || demo[i].source == EXACT_OTHER;
        if (demo[i].prompted && !e->prompted) continue;
        if (demo[i].source == EXACT_BASE || (own && (!control || e->controls))) TRY(add_arm(e, demo[i]));
    }
    for (int i = 0; i < e->n_given; i++) {
        Given *g = &e->given[i];
        TRY(add_arm(e, (ExactArm){g->name, g->name, EXACT_GIVEN, false, &g->set, 0}));
    }
    return OK;
}

/* --tasks A,B of the set, in the order given; all of it without. */
static Status choose_tasks(Eval *e) {
    e->chosen = calloc((size_t)e->set.n + 1, sizeof *e->chosen);
    if (!e->chosen) return status_error(E_ENV, "out of memory");
    if (!e->tasks) {
        memcpy(e->chosen, e->set.tasks, (size_t)e->set.n * sizeof *e->chosen);
        e->n_chosen = e->set.n;
        return OK;
    }
    for (const char *p = e->tasks; p; p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL) {
        char name[256];
        snprintf(name, sizeof name, "%.*s", (int)strcspn(p, ","), p);
        const Task *t = tasks_find(&e->set, name);
        if (!t) return status_error(E_USAGE, "--tasks: no task '%s' in %s", name, e->data);
        if (e->n_chosen == e->set.n) return status_error(E_USAGE, "--tasks: a task is named twice");
        e->chosen[e->n_chosen++] = *t;
    }
    return OK;
}

static Status load_tasks(Eval *e, const Cli *cli) {
    char *path;
    TRY(run_tasks(&path, cli, e->data));
    Status s = tasks_load(&e->set, path);
    free(path);
    return status_is_ok(s) ? choose_tasks(e) : s;
}

static cJSON *describe_run(const Eval *e) {
    cJSON *config = cJSON_CreateObject();
    cJSON_AddStringToObject(config, "model", e->model);
    cJSON_AddStringToObject(config, "data", e->data);
    cJSON_AddStringToObject(config, "protocol", e->protocol);
    if (e->t2l) cJSON_AddStringToObject(config, "t2l", e->t2l);
    cJSON_AddNumberToObject(config, "limit", (double)e->limit);
    cJSON_AddNumberToObject(config, "max_new_tokens", (double)(e->max_tokens ? e->max_tokens : 64));
    cJSON_AddStringToObject(config, "version", T2L_VERSION);
    return config;
}

static Status evaluate(Eval *e, const Cli *cli) {
    ExactModel model = {.llm = &e->loaded.llm, .dev = &e->loaded.dev};
    if (e->has_maker) {
        model.hypernet = &e->maker.hypernet;
        model.embed = t2l_embed;
        model.embed_ctx = &e->maker;
    }
    ExactSet set = {.tasks = e->chosen, .n_tasks = e->n_chosen, .heldout = e->heldout, .examples = e->limit};
    Report report;
    ExactReport r;
    TRY(report_open(&report, e->dir));
    ExactOpts opts = {.arms = e->arms,
                      .n_arms = e->n_arms,
                      .max_new_tokens = e->max_tokens,
                      .quiet = cli->quiet,
                      .items = report.items,
                      .stop = cli->stop,
                      .natural = e->natural || (e->has_maker && strcmp(e->maker.info.prompt, "natural") == 0),
                      .whole_outputs = report.items != NULL};
    Status s = exact_run(&r, &model, &set, 1, opts);
    if (status_is_ok(s)) {
        s = report_write(&report, &r, describe_run(e));
        if (status_is_ok(s)) s = report_print(cli, &r, (SummaryTableOpts){.per_task = e->per_task});
        exact_free(&r);
    }
    report_close(&report);
    return s;
}

static EvalBench bench_job(const Eval *e) {
    EvalBench job = {.model = e->model,
                     .tasks = e->tasks,
                     .data = e->data,
                     .dir = e->dir,
                     .protocol = e->protocol,
                     .templates = e->templates,
                     .bos = e->bos,
                     .t2l = e->t2l,
                     .descriptions = per_task_descriptions(e) ? e->descriptions : NULL,
                     .adapters = &e->adapters,
                     .limit = e->limit,
                     .max_tokens = e->max_tokens,
                     .shots = e->shots,
                     .samples = e->samples,
                     .temperature = e->temperature,
                     .prompted = e->prompted,
                     .controls = e->controls,
                     .allow_unsandboxed = e->allow_unsandboxed};
    return job;
}

static Status evaluate_bench(Eval *e, const Cli *cli) {
    EvalBench job = bench_job(e);
    job.llm = &e->loaded.llm;
    job.dev = &e->loaded.dev;
    if (e->has_maker && job.descriptions) job.maker = &e->maker;
    for (int i = 0; i < e->n_given; i++) {
        Given *g = &e->given[i];
        job.given[job.n_given++] = (BenchArm){g->said ? "t2l" : g->name, &g->set, 0, g->said, false};
    }
    return eval_bench(&job, cli);
}

static Status run(Eval *e, Cli *cli) {
    EvalBench job = bench_job(e);
    TRY(e->bench ? eval_bench_check(&job, cli) : load_tasks(e, cli));
    LoadedWant want = {.model = e->model};
    TRY(loaded_open(&e->loaded, cli, &want));
    Status s = OK;
    for (int i = 0; status_is_ok(s) && i < e->adapters.n; i++) s = add_adapter(e, e->adapters.item[i]);
    if (status_is_ok(s)) s = open_maker(e, cli);
    if (status_is_ok(s) && e->bench)
        s = evaluate_bench(e, cli);
    else if (status_is_ok(s)) {
        s = make_arms(e);
        if (status_is_ok(s)) s = evaluate(e, cli);
    }
    if (e->has_maker) t2l_close(&e->maker);
    for (int i = 0; i < e->n_given; i++) {
        arena_free(&e->given[i].mem);
        free(e->given[i].said);
    }
    loaded_close(&e->loaded);
    return s;
}

/* What only benchmarks have, and what they do not. */
static Status check_bench(Eval *e) {
    TRY(eval_bench_wanted(&e->bench, e->tasks));
    if (!e->bench) {
        if (strcmp(e->protocol, "generate") != 0 || e->templates || e->shots >= 0 ||
            strcmp(e->bos, "template") != 0 || e->samples > 1 || e->temperature > 0 || e->allow_unsandboxed)
            return status_error(
                E_USAGE, "--protocol loglik, --templates, --shots, --bos, --samples, --temperature and "
                         "--allow-unsandboxed-code are for benchmarks: --tasks arc_easy,...");
        return OK;
    }
    if (e->shots < 0) e->shots = strcmp(e->protocol, "loglik") == 0 ? 5 : 0;
    if (e->heldout || e->natural || e->per_task)
        return status_error(E_USAGE,
                            "--heldout, --natural and --per-task are for task files, not for benchmarks");
    if (e->controls && !(e->t2l && per_task_descriptions(e)))
        return status_error(E_USAGE,
                            "--controls on benchmarks needs --t2l CKPT and --descriptions FILE.json: "
                            "{task: [texts]}");
    if (e->t2l && !e->describe.n && !e->descriptions)
        return status_error(E_USAGE,
                            "--t2l on benchmarks needs --describe TEXT or --descriptions FILE (lines, or "
                            "FILE.json: lists of texts a task)");
    return OK;
}

static Status check_flags(Eval *e, const Cli *cli) {
    TRY(cli_require(cli, "--model", e->model));
    TRY(cli_require(cli, "--data", e->data));
    TRY(check_bench(e));
    bool told = e->prompted && per_task_descriptions(e); /* descriptions for the prompt alone */
    if (!e->t2l && (e->describe.n || (e->descriptions && !told)))
        return status_error(E_USAGE, "--describe and --descriptions need --t2l CKPT");
    if (e->controls && !e->bench && (!e->t2l || e->describe.n || e->descriptions))
        return status_error(E_USAGE, "--controls needs --t2l CKPT, without descriptions of yours");
    return OK;
}

Status cmd_eval(Cli *cli, int argc, char **argv) {
    Eval *e = calloc(1, sizeof *e);
    if (!e) return status_error(E_ENV, "out of memory");
    e->protocol = "generate";
    e->bos = "template";
    e->shots = -1;
    e->samples = 1;
    const Option options[] = {
        {.name = "--model",
         .kind = OPTION_STRING,
         .out = &e->model,
         .value = "M",
         .help = "directory, .gguf file or short name"},
        {.name = "--adapter",
         .kind = OPTION_LIST,
         .out = &e->adapters,
         .value = "DIR",
         .help = "a LoRA adapter (PEFT folder); may be repeated"},
        {.name = "--t2l",
         .kind = OPTION_STRING,
         .out = &e->t2l,
         .value = "CKPT",
         .help = "a trained Text-to-LoRA; without descriptions: each task's own"},
        {.name = "--describe",
         .kind = OPTION_LIST,
         .out = &e->describe,
         .value = "TEXT",
         .help = "an adapter from this text; may be repeated"},
        {.name = "--descriptions",
         .kind = OPTION_STRING,
         .out = &e->descriptions,
         .value = "FILE",
         .help = "an adapter from each line; on benchmarks FILE.json: {task: [texts]}"},
        {.name = "--data",
         .kind = OPTION_STRING,
         .out = &e->data,
         .value = "DIR",
         .help = "task files, t2l-mini/train, t2l-mini/heldout, or a folder of arc_easy.jsonl, ..."},
        {.name = "--tasks",
         .kind = OPTION_STRING,
         .out = &e->tasks,
         .value = "A,B",
         .help = "only these of them; or benchmarks: arc_challenge, arc_easy, boolq, gsm8k, hellaswag, "
                 "openbookqa, piqa, winogrande, humaneval, mbpp"},
        {.name = "--heldout",
         .kind = OPTION_SWITCH,
         .out = &e->heldout,
         .help = "these tasks were never trained on: every description is unseen"},
        {.name = "--natural",
         .kind = OPTION_SWITCH,
         .out = &e->natural,
         .help =
             "the task's definition and a request for a bare answer in every prompt, as data.prompt=natural "
             "trains; a --t2l trained so does it by itself"},
        {.name = "--prompted",
         .kind = OPTION_SWITCH,
         .out = &e->prompted,
         .help = "also with the instruction in the prompt"},
        {.name = "--controls",
         .kind = OPTION_SWITCH,
         .out = &e->controls,
         .help = "also adapters from random text and from other tasks' descriptions"},
        {.name = "--per-task", .kind = OPTION_SWITCH, .out = &e->per_task, .help = "a row for every task"},
        {.name = "--protocol",
         .kind = OPTION_CHOICE,
         .out = &e->protocol,
         .choices = "generate|loglik",
         .value = "P",
         .help = "generate: greedy answers; loglik: choices by their probability, as lm-evaluation-harness"},
        {.name = "--shots",
         .kind = OPTION_INT,
         .out = &e->shots,
         .max = 100,
         .value = "N",
         .help =
             "solved examples in a benchmark's prompt, from <task>.train.jsonl (0; gsm8k with loglik: 5)"},
        {.name = "--templates",
         .kind = OPTION_STRING,
         .out = &e->templates,
         .value = "FILE",
         .help = "a benchmark's prompts (default: templates.json in --data, else the built-in ones)"},
        {.name = "--bos",
         .kind = OPTION_CHOICE,
         .out = &e->bos,
         .choices = "template|double",
         .value = "B",
         .help = "double: one more beginning-of-sequence token before the chat template's"},
        {.name = "--samples",
         .kind = OPTION_INT,
         .out = &e->samples,
         .min = 1,
         .max = 1000,
         .value = "N",
         .help = "programs an example, for pass@N (1); needs --temperature"},
        {.name = "--temperature",
         .kind = OPTION_FLOAT,
         .out = &e->temperature,
         .max = 100,
         .value = "T",
         .help = "programs are sampled (0: greedy)"},
        {.name = "--allow-unsandboxed-code",
         .kind = OPTION_SWITCH,
         .out = &e->allow_unsandboxed,
         .help =
             "run a model's programs where the sandbox is not whole too (t2l doctor says what is missing)"},
        {.name = "--limit",
         .kind = OPTION_INT,
         .out = &e->limit,
         .max = 1e9,
         .value = "N",
         .help = "test examples a task (default: all)"},
        {.name = "--max-tokens",
         .kind = OPTION_INT,
         .out = &e->max_tokens,
         .min = 1,
         .max = 1 << 20,
         .value = "N",
         .help = "longest answer (64; benchmarks: 512)"},
        {.name = "--out",
         .letter = 'o',
         .kind = OPTION_STRING,
         .out = &e->dir,
         .value = "DIR",
         .help = "write items.jsonl and results.json there; the same benchmarks again go on with them"},
        {.kind = OPTION_END},
    };
    Status s = cli_parse(cli, argc, argv, options, 0, 0);
    if (status_is_ok(s) && !cli->help_shown) {
        s = check_flags(e, cli);
        if (status_is_ok(s)) s = run(e, cli);
        free(e->chosen);
        if (e->set.n) tasks_free(&e->set);
    }
    free(e);
    return s;
}
