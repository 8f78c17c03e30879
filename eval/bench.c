#include "eval/bench.h"
#include "eval/bench_run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *bench_metric(const char **second, BenchProtocol protocol, const Benchmark *b) {
    *second = NULL;
    if (b->score == BENCHMARK_CODE) return "pass@1";
    if (protocol == BENCH_GENERATE) {
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

static Status no_memory(void) {
    return status_error(E_ENV, "no memory for the results");
}

static Status add_row(BenchRow **out, BenchReport *report, const BenchmarkSet *set, const BenchArm *arm) {
    const char *second;
    BenchRow *grown = realloc(report->rows, (size_t)(report->n_rows + 1) * sizeof *grown);
    if (!grown) return no_memory();
    report->rows = grown;
    bench_metric(&second, report->protocol, set->benchmark);
    BenchRow *row = *out = &grown[report->n_rows++];
    *row = (BenchRow){.benchmark = set->benchmark, .n = set->n};
    row->name = strdup(arm->name);
    row->description = arm->description ? strdup(arm->description) : NULL;
    row->score = calloc((size_t)set->n, sizeof *row->score);
    row->second = second ? calloc((size_t)set->n, sizeof *row->second) : NULL;
    bool ok = row->name && row->score && (!second || row->second) && (!arm->description || row->description);
    return ok ? OK : no_memory();
}

Status bench_run(BenchReport *report, const BenchmarkSet *set, const Llm *llm, Device *dev,
                 const BenchArm *arms, int n_arms, BenchOpts opts) {
    const Benchmark *b = set->benchmark;
    if (!llm->tokenizer)
        return status_error(E_INPUT, "%s: no tokenizer", llm->name ? llm->name : "the model");
    if (b->score == BENCHMARK_CODE)
        return status_error(E_ENV, "%s needs the code cage, which this build lacks: its answers are programs",
                            b->name);
    report->protocol = opts.protocol;
    double start = now_seconds();
    bool generate = opts.protocol == BENCH_GENERATE || b->score == BENCHMARK_NUMBER;
    for (int a = 0; a < n_arms; a++) {
        BenchRun r = {.report = report, .set = set, .llm = llm, .dev = dev, .arm = &arms[a], .opts = opts};
        char label[64];
        snprintf(label, sizeof label, "%s, %.30s", b->name, arms[a].name);
        TRY(add_row(&r.row, report, set, &arms[a]));
        r.progress = progress_begin(label, "examples", set->n, opts.quiet);
        TRY(generate ? bench_generate(&r) : bench_loglik(&r));
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

static bool add_line(cJSON *o, const BenchRun *r, int64_t i, const BenchLine *line, const char *pred) {
    const BenchRow *row = r->row;
    const char *second;
    bench_metric(&second, r->opts.protocol, row->benchmark);
    const char *second_key =
        r->opts.protocol == BENCH_LOGLIK && row->benchmark->score != BENCHMARK_NUMBER ? "score_norm" : second;
    return cJSON_AddStringToObject(o, "task", row->benchmark->name) &&
           cJSON_AddNumberToObject(o, "index", (double)r->set->items[i].index) &&
           cJSON_AddStringToObject(o, "adapter", row->name) &&
           (!row->description || cJSON_AddStringToObject(o, "description", row->description)) &&
           cJSON_AddStringToObject(o, "prompt_sha256", line->sha256) &&
           cJSON_AddStringToObject(o, "target", line->target) && cJSON_AddStringToObject(o, "pred", pred) &&
           cJSON_AddNumberToObject(o, "score", row->score[i]) &&
           (!row->second || cJSON_AddNumberToObject(o, second_key, row->second[i])) &&
           add_logprobs(o, line) && (!line->output || cJSON_AddStringToObject(o, "output", line->output)) &&
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
