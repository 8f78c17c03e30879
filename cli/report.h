/* What eval and demo leave behind: the folder DIR with items.jsonl (while it is being filled:
 * items.jsonl.part) and results.json, and the table on stdout. */
#ifndef T2L_CLI_REPORT_H
#define T2L_CLI_REPORT_H

#include "cli/cli.h"
#include "eval/exact.h"
#include "eval/summary.h"

typedef struct Report {
    char *dir;   /* owns; NULL: no files */
    FILE *items; /* owns: for ExactOpts.items */
} Report;

/* dir NULL: nothing is written. */
Status report_open(Report *out, const char *dir);
/* Completes items.jsonl and writes results.json; config: owns moves into it, may be NULL. */
Status report_write(Report *report, const ExactReport *r, cJSON *config);
/* Drops what was not completed. */
void report_close(Report *report);
/* The table, or with --json results.json's value. */
Status report_print(const Cli *cli, const ExactReport *r, SummaryTableOpts opts);

#endif
