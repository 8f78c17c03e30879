#include "cli/report.h"
#include "base/file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static Status no_memory(void) {
    return status_error(E_ENV, "out of memory");
}

Status report_open(Report *out, const char *dir) {
    memset(out, 0, sizeof *out);
    if (!dir) return OK;
    TRY(file_mkdirs(dir));
    out->dir = strdup(dir);
    char *part = path_join(dir, "items.jsonl.part");
    Status s = out->dir && part ? OK : no_memory();
    if (status_is_ok(s) && !(out->items = fopen(part, "w")))
        s = status_errno(errno, "%s: cannot create", part);
    free(part);
    if (!status_is_ok(s)) report_close(out);
    return s;
}

static Status complete_items(Report *report, const char *part, const char *path) {
    bool good = fflush(report->items) == 0 && fsync(fileno(report->items)) == 0;
    good = fclose(report->items) == 0 && good;
    report->items = NULL;
    if (!good) return status_errno(errno, "%s: cannot write", part);
    if (rename(part, path) != 0) return status_errno(errno, "%s: cannot rename", part);
    return file_sync_dir(report->dir);
}

Status report_write(Report *report, const ExactReport *r, cJSON *config) {
    if (!report->dir) {
        cJSON_Delete(config);
        return OK;
    }
    char *part = path_join(report->dir, "items.jsonl.part"), *items = path_join(report->dir, "items.jsonl");
    char *results = path_join(report->dir, "results.json");
    cJSON *value = NULL;
    Status s = part && items && results ? OK : no_memory();
    if (status_is_ok(s)) s = complete_items(report, part, items);
    if (status_is_ok(s))
        s = summary_results(&value, r, config);
    else
        cJSON_Delete(config);
    if (status_is_ok(s)) s = json_write(results, value);
    cJSON_Delete(value);
    free(part);
    free(items);
    free(results);
    return s;
}

void report_close(Report *report) {
    if (report->items) {
        char *part = path_join(report->dir, "items.jsonl.part");
        fclose(report->items);
        if (part) unlink(part);
        free(part);
    }
    free(report->dir);
    memset(report, 0, sizeof *report);
}

Status report_print(const Cli *cli, const ExactReport *r, SummaryTableOpts opts) {
    if (cli->json) {
        cJSON *value;
        TRY(summary_results(&value, r, NULL));
        char *text = cJSON_PrintUnformatted(value);
        cJSON_Delete(value);
        if (!text) return no_memory();
        puts(text);
        cJSON_free(text);
        return OK;
    }
    char *table;
    TRY(summary_table(&table, r, opts));
    fputs(table, stdout);
    free(table);
    return OK;
}
