#include "eval/bench.h"
#include "eval/bench_run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *bench_metric(const char **second, const BenchReport *r, const Benchmark *b) {
    *second = NULL;
    if (b->score == BENCHMARK_CODE) {
        if (r->sampled) *second = "pass@k";
        return "pass@1";
    }
    if (r->protocol == BENCH_GENERATE) {
        if (b->score == BENCHMARK_BOOLEAN) *second = "acc_strict";
        return b->score == BENCHMARK_NUMBER ? "exact_match" : "acc";
    }
    if (b->score == BENCHMARK_NUMBER) {
        *second = "exact_match_flexible";
        return "exact_match_strict";
    }
    if (b->score == BENCHMARK_CHOICE && strcmp(b->name, "winogrande") != 0) *second = "acc_norm";
    return "acc";
}

int64_t bench_samples(const BenchRun *r) {
    return r->set->benchmark->score == BENCHMARK_CODE && r->opts.samples ? r->opts.samples : 1;
}

static Status no_memory(void) {
    return status_error(E_ENV, "no memory for the results");
}

static Status add_row(BenchRow **out, BenchReport *report, const BenchmarkSet *set, const BenchArm *arm) {
    const char *second;
    BenchRow *grown = realloc(report->rows, (size_t)(report->n_rows + 1) * sizeof *grown);
    if (!grown) return no_memory();
    report->rows = grown;
    bench_metric(&second, report, set->benchmark);
    BenchRow *row = *out = &grown[report->n_rows++];
    *row = (BenchRow){.benchmark = set->benchmark, .n = set->n};
    row->name = strdup(arm->name);
    row->description = arm->description ? strdup(arm->description) : NULL;
    row->score = calloc((size_t)set->n, sizeof *row->score);
    row->second = second ? calloc((size_t)set->n, sizeof *row->second) : NULL;
    bool ok = row->name && row->score && (!second || row->second) && (!arm->description || row->description);
    return ok ? OK : no_memory();
}

/* ---- what an evaluation that was stopped left ---- */

/* The second metric's key in items.jsonl; NULL: there is none. */
static const char *second_key(const BenchRun *r) {
    const char *second;
    bench_metric(&second, r->report, r->row->benchmark);
    bool choices = r->opts.protocol == BENCH_LOGLIK && r->row->benchmark->score != BENCHMARK_NUMBER;
    return second && choices ? "score_norm" : second;
}

/* A line of before -> the scores of example i, whose item it must be. */
static Status take_line(const BenchRun *r, int64_t i, const char *line, size_t n) {
    const BenchmarkItem *it = &r->set->items[i];
    const char *task, *adapter, *description = NULL, *where = r->opts.before_path, *key = second_key(r);
    int64_t index;
    cJSON *o;
    TRY(json_parse(&o, line, n, where));
    Status s = json_get_string(&task, o, "task", where);
    if (status_is_ok(s)) s = json_get_string(&adapter, o, "adapter", where);
    if (status_is_ok(s)) s = json_get_int(&index, o, "index", 0, INT64_C(1) << 52, where);
    if (status_is_ok(s) && cJSON_GetObjectItemCaseSensitive(o, "description"))
        s = json_get_string(&description, o, "description", where);
    if (status_is_ok(s)) s = json_get_number(&r->row->score[i], o, "score", where);
    if (status_is_ok(s) && key) s = json_get_number(&r->row->second[i], o, key, where);
    const char *said = r->row->description;
    if (status_is_ok(s) && (index != it->index || strcmp(task, r->row->benchmark->name) != 0 ||
                            strcmp(adapter, r->row->name) != 0 || !description != !said ||
                            (said && strcmp(description, said) != 0)))
        s = status_error(
            E_INPUT,
            "%s: found example %lld of %s, adapter '%s', where this evaluation has example %lld of "
            "%s, adapter '%s': it belongs to another evaluation; choose another folder",
            where, (long long)index, task, adapter, (long long)it->index, r->row->benchmark->name,
            r->row->name);
    cJSON_Delete(o);
    return s;
}

/* *n: how many examples of the row are done. */
static Status take_before(int64_t *n, const BenchRun *r) {
    char *line = NULL;
    size_t cap = 0;
    Status s = OK;
    *n = 0;
    /* At its end once is at its end: what is written behind it is this run's. */
    while (status_is_ok(s) && r->opts.before && !feof(r->opts.before) && *n < r->set->n) {
        ssize_t length = getline(&line, &cap, r->opts.before);
        if (length <= 0) break;
        s = take_line(r, (*n)++, line, (size_t)length);
    }
    free(line);
    r->report->n_before += *n;
    return s;
}

/* ---- running ---- */

static Status run_arm(BenchRun *r) {
    const BenchmarkSet *all = r->set;
    BenchRow *row = r->row;
    bool generate = r->opts.protocol == BENCH_GENERATE || all->benchmark->score == BENCHMARK_NUMBER;
    TRY(take_before(&r->before, r));
    r->progress.from = r->before;
    for (; r->before < all->n; r->before += BENCH_STEP) {
        BenchmarkSet part = *all;
        BenchRow scores = *row;
        part.items += r->before;
        part.n = all->n - r->before < BENCH_STEP ? all->n - r->before : BENCH_STEP;
        scores.score += r->before;
        if (scores.second) scores.second += r->before;
        r->set = &part;
        r->row = &scores;
        TRY(generate ? bench_generate(r) : bench_loglik(r));
        if (r->opts.items && fflush(r->opts.items) != 0)
            return status_error(E_ENV, "items could not be written");
    }
    return OK;
}

Status bench_run(BenchReport *report, const BenchmarkSet *set, const Llm *llm, Device *dev,
                 const BenchArm *arms, int n_arms, BenchOpts opts) {
    const Benchmark *b = set->benchmark;
    if (!llm->tokenizer)
        return status_error(E_INPUT, "%s: no tokenizer", llm->name ? llm->name : "the model");
    if (b->score == BENCHMARK_CODE && !opts.cage)
        return status_error(E_ENV, "%s needs the code cage: its answers are programs", b->name);
    report->protocol = opts.protocol;
    report->sampled = opts.samples > 1;
    double start = now_seconds();
    for (int a = 0; a < n_arms; a++) {
        BenchRun r = {.report = report, .set = set, .llm = llm, .dev = dev, .arm = &arms[a], .opts = opts};
        char label[64];
        snprintf(label, sizeof label, "%s, %.30s", b->name, arms[a].name);
        TRY(add_row(&r.row, report, set, &arms[a]));
        r.progress = progress_begin(label, "examples", set->n, opts.quiet);
        TRY(run_arm(&r));
        progress_end(&r.progress, NULL);
    }
    report->seconds += now_seconds() - start;
    return OK;
}

void bench_free(BenchReport *r) {
    for (int64_t i = 0; i < r->n_rows; i++) {
        free(r->rows[i].name);
        free(r->rows[i].description);
        free(r->rows[i].score);
        free(r->rows[i].second);
    }
    free(r->rows);
    *r = (BenchReport){0};
}

/* ---- items.jsonl ---- */

static bool add_logprobs(cJSON *o, const BenchLine *line) {
    if (!line->logprobs) return true;
    cJSON *list = cJSON_AddArrayToObject(o, "logprobs");
    for (int i = 0; list && i < line->n_logprobs; i++) {
        cJSON *v = cJSON_CreateNumber(round(line->logprobs[i] * 1e6) / 1e6);
        if (!v || !cJSON_AddItemToArray(list, v)) return false;
    }
    return list != NULL;
}

/* key: a string, or with several samples a list of them. */
static bool add_texts(cJSON *o, const char *key, const char *const *text, int n) {
    if (!text) return true;
    if (n == 1) return cJSON_AddStringToObject(o, key, text[0]) != NULL;
    cJSON *list = cJSON_CreateStringArray(text, n);
    return list && cJSON_AddItemToObject(o, key, list);
}

static bool add_line(cJSON *o, const BenchRun *r, int64_t i, const BenchLine *line, const char *pred) {
    const BenchRow *row = r->row;
    const char *key = second_key(r);
    return cJSON_AddStringToObject(o, "task", row->benchmark->name) &&
           cJSON_AddNumberToObject(o, "index", (double)r->set->items[i].index) &&
           cJSON_AddStringToObject(o, "adapter", row->name) &&
           (!row->description || cJSON_AddStringToObject(o, "description", row->description)) &&
           cJSON_AddStringToObject(o, "prompt_sha256", line->sha256) &&
           cJSON_AddStringToObject(o, "target", line->target) && cJSON_AddStringToObject(o, "pred", pred) &&
           cJSON_AddNumberToObject(o, "score", row->score[i]) &&
           (!key || cJSON_AddNumberToObject(o, key, row->second[i])) && add_logprobs(o, line) &&
           add_texts(o, "reason", line->reason, line->n_samples) &&
           add_texts(o, "output", line->output, line->n_samples) &&
           (!line->finish || cJSON_AddStringToObject(o, "finish", line->finish)) &&
           cJSON_AddNumberToObject(o, "seconds", round(line->seconds * 1e4) / 1e4);
}

Status bench_write_item(const BenchRun *r, int64_t i, BenchLine line) {
    char *pred = strndup(line.pred, line.n_pred);
    cJSON *o = cJSON_CreateObject();
    char *text = pred && o && add_line(o, r, i, &line, pred) ? cJSON_PrintUnformatted(o) : NULL;
    Status s = OK;
    if (!text)
        s = no_memory();
    else if (fprintf(r->opts.items, "%s\n", text) < 0)
        s = status_error(E_ENV, "items could not be written");
    cJSON_free(text);
    cJSON_Delete(o);
    free(pred);
    return s;
}
