/* Percentages with two decimals in files, one in tables; arms in the report's order. */
#include "eval/summary.h"
#include "eval/table.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static Status no_memory(void) {
    return status_error(E_ENV, "no memory for the summary");
}

static double percent(double x) {
    return round(x * 1e4) / 1e2;
}

/* ---- files ---- */

static bool add_set(cJSON *root, const char *key, const ExactReport *r, bool heldout) {
    const ExactMean *means = heldout ? r->heldout : r->seen;
    if (means[0].n_tasks == 0) return true;
    cJSON *set = cJSON_AddObjectToObject(root, key);
    bool ok = set != NULL;
    for (int a = 0; ok && a < r->n_arms; a++)
        ok = cJSON_AddNumberToObject(set, r->arms[a].name, percent(means[a].mean)) != NULL;
    return ok;
}

static bool add_fact(cJSON *root, const char *key, double value) {
    return value < 0 || cJSON_AddNumberToObject(root, key, round(value * 10) / 10) != NULL;
}

Status summary_json(cJSON **out, const ExactReport *r, SummaryFacts facts) {
    cJSON *root = cJSON_CreateObject();
    if (!root || !add_fact(root, "seconds", facts.seconds) ||
        !add_fact(root, "train_seconds", facts.train_seconds) ||
        !add_fact(root, "tokens_per_s", facts.tokens_per_s) || !add_set(root, "seen", r, false) ||
        !add_set(root, "heldout", r, true)) {
        cJSON_Delete(root);
        return no_memory();
    }
    *out = root;
    return OK;
}

static bool add_row(cJSON *results, const ExactReport *r, const ExactRow *row) {
    cJSON *task = cJSON_AddObjectToObject(results, row->task->name);
    for (int a = 0; task && a < r->n_arms; a++) {
        ExactCount c = row->by[a];
        if (c.n == 0) continue;
        double p = (double)c.correct / (double)c.n;
        double error = c.n > 1 ? sqrt(p * (1 - p) / (double)(c.n - 1)) : 0.0; /* sample deviation / sqrt(n) */
        cJSON *arm = cJSON_AddObjectToObject(task, r->arms[a].name);
        if (!arm || !cJSON_AddNumberToObject(arm, "exact_match", p) ||
            !cJSON_AddNumberToObject(arm, "exact_match_stderr", error) ||
            !cJSON_AddNumberToObject(arm, "n", (double)c.n))
            return false;
        if (r->rouge && (!cJSON_AddNumberToObject(arm, "rouge1", c.rouge1 / (double)c.n) ||
                         !cJSON_AddNumberToObject(arm, "rougeL", c.rouge_l / (double)c.n)))
            return false;
    }
    return task != NULL;
}

Status summary_results(cJSON **out, const ExactReport *r, cJSON *config) {
    cJSON *root = cJSON_CreateObject();
    cJSON *results = root ? cJSON_AddObjectToObject(root, "results") : NULL;
    bool ok = results != NULL;
    for (int64_t i = 0; ok && i < r->n_rows; i++) ok = add_row(results, r, &r->rows[i]);
    if (ok && config) {
        ok = cJSON_AddItemToObject(root, "config", config);
        if (ok) config = NULL;
    }
    cJSON_Delete(config);
    if (!ok) {
        cJSON_Delete(root);
        return no_memory();
    }
    *out = root;
    return OK;
}

/* ---- the table ---- */

/* error: with the standard error where there is more than one task. */
static void put_mean(Table *t, const ExactReport *r, bool heldout, const char *group, bool error) {
    for (int a = 0; a < r->n_arms; a++) {
        ExactMean m = exact_mean(r, a, heldout, group);
        if (m.n_tasks == 0) continue;
        if (m.n_tasks > 1 && error)
            snprintf(table_cell(t, 2 + a), TABLE_CELL, "%.1f ± %.1f", 100 * m.mean, 100 * m.error);
        else
            snprintf(table_cell(t, 2 + a), TABLE_CELL, "%.1f", 100 * m.mean);
    }
}

static int64_t tasks_in(const ExactReport *r, bool heldout, const char *group) {
    int64_t n = 0;
    for (int64_t i = 0; i < r->n_rows; i++)
        n += r->rows[i].heldout == heldout && (!group || strcmp(group, exact_group(&r->rows[i])) == 0);
    return n;
}

static void add_tasks(Table *t, const ExactReport *r, bool heldout) {
    for (int64_t i = 0; i < r->n_rows; i++) {
        const ExactRow *row = &r->rows[i];
        if (row->heldout != heldout || !table_row(t, row->task->name)) continue;
        if (heldout && row->task->kind[0])
            snprintf(table_cell(t, 1), TABLE_CELL, "%s", row->task->kind);
        else
            snprintf(table_cell(t, 1), TABLE_CELL, "%s", heldout ? "held out" : "seen");
        for (int a = 0; a < r->n_arms; a++)
            if (row->by[a].n > 0)
                snprintf(table_cell(t, 2 + a), TABLE_CELL, "%.0f",
                         100.0 * (double)row->by[a].correct / (double)row->by[a].n);
    }
}

static void add_families(Table *t, const ExactReport *r) {
    for (int64_t i = 0; i < r->n_rows; i++) {
        const ExactRow *row = &r->rows[i];
        bool before = row->heldout;
        for (int64_t k = 0; k < i; k++)
            before = before || (!r->rows[k].heldout && strcmp(r->rows[k].family, row->family) == 0);
        if (before) continue;
        char name[TABLE_CELL];
        snprintf(name, sizeof name, "%.40s (%lld)", row->family[0] ? row->family : "seen tasks",
                 (long long)tasks_in(r, false, row->family));
        if (!table_row(t, name)) return;
        snprintf(table_cell(t, 1), TABLE_CELL, "seen");
        put_mean(t, r, false, row->family, false);
    }
}

static void add_mean(Table *t, const ExactReport *r, bool heldout, const char *group) {
    char name[TABLE_CELL];
    int64_t n = tasks_in(r, heldout, group);
    snprintf(name, sizeof name, "**mean of %lld %s%s%.16s**", (long long)n,
             heldout ? "held-out tasks" : "seen tasks", group ? ", " : "", group ? group : "");
    if (n > 0 && table_row(t, name)) put_mean(t, r, heldout, group, true);
}

/* The mean of the set; of held-out tasks also a mean a kind. */
static void add_means(Table *t, const ExactReport *r, bool heldout) {
    for (int64_t i = 0; heldout && i < r->n_rows; i++) {
        const char *kind = exact_group(&r->rows[i]);
        bool first = r->rows[i].heldout && kind[0];
        for (int64_t k = 0; k < i && first; k++)
            first = !r->rows[k].heldout || strcmp(kind, exact_group(&r->rows[k])) != 0;
        if (first) add_mean(t, r, true, kind);
    }
    add_mean(t, r, heldout, NULL);
}

/* ROUGE-1 / ROUGE-L in percent, the mean over a set's tasks. */
static void add_rouge(Table *t, const ExactReport *r, bool heldout) {
    char name[TABLE_CELL];
    int64_t n = tasks_in(r, heldout, NULL);
    snprintf(name, sizeof name, "ROUGE-1 / ROUGE-L, mean of %lld %s", (long long)n,
             heldout ? "held-out tasks" : "seen tasks");
    if (!r->rouge || n == 0 || !table_row(t, name)) return;
    for (int a = 0; a < r->n_arms; a++) {
        double r1 = 0, rl = 0;
        int64_t with = 0;
        for (int64_t i = 0; i < r->n_rows; i++) {
            const ExactCount *c = &r->rows[i].by[a];
            if (r->rows[i].heldout != heldout || c->n == 0) continue;
            r1 += c->rouge1 / (double)c->n;
            rl += c->rouge_l / (double)c->n;
            with++;
        }
        if (with > 0)
            snprintf(table_cell(t, 2 + a), TABLE_CELL, "%.1f / %.1f", 100 * r1 / (double)with,
                     100 * rl / (double)with);
    }
}

Status summary_table(char **out, const ExactReport *r, SummaryTableOpts opts) {
    Table t = {.cols = r->n_arms + 2, .left = 2};
    if (table_row(&t, "exact match, %")) {
        snprintf(table_cell(&t, 1), TABLE_CELL, "set");
        for (int a = 0; a < r->n_arms; a++)
            snprintf(table_cell(&t, 2 + a), TABLE_CELL, "%.60s", r->arms[a].title);
    }
    if (opts.per_task)
        add_tasks(&t, r, false);
    else
        add_families(&t, r);
    add_tasks(&t, r, true);
    add_means(&t, r, false);
    add_means(&t, r, true);
    add_rouge(&t, r, false);
    add_rouge(&t, r, true);
    return table_finish(out, &t);
}
