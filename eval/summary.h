/* What an evaluation says at the end: a markdown table, summary.json and results.json. */
#ifndef T2L_EVAL_SUMMARY_H
#define T2L_EVAL_SUMMARY_H

#include "base/json.h"
#include "eval/exact.h"

typedef struct SummaryFacts {
    double seconds, train_seconds; /* of everything; of training. Negative: left out */
    double tokens_per_s;           /* of training. Negative: left out */
} SummaryFacts;

typedef struct SummaryTableOpts {
    bool per_task; /* seen tasks one by one; otherwise one row a family. Held-out tasks always one by one */
} SummaryTableOpts;

/* {"seconds","train_seconds","tokens_per_s","seen":{"base": percent, ...},"heldout":{...}}; a set without
 * tasks is left out. *out owns (cJSON_Delete). */
Status summary_json(cJSON **out, const ExactReport *r, SummaryFacts facts);
/* {"results": {task: {arm: {"exact_match","exact_match_stderr","n"}}} (with ROUGE also "rouge1","rougeL"),
 * "config": config}. config: owns moves into the result; may be NULL. */
Status summary_results(cJSON **out, const ExactReport *r, cJSON *config);
/* Exact match in percent: a row a task or family, means with their standard errors. *out owns the text. */
Status summary_table(char **out, const ExactReport *r, SummaryTableOpts opts);

#endif
