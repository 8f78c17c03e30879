/* What a run says while it goes: metrics.jsonl, one object a line, and the same numbers as TensorBoard
 * events. */
#ifndef T2L_TRAIN_RUN_LOG_H
#define T2L_TRAIN_RUN_LOG_H

#include "train/events.h"
#include "train/run.h"

typedef struct RunLog {
    FILE *f;                      /* owns: metrics.jsonl */
    Events events;                /* owns */
    double started, since;        /* since: start of the window of tokens_per_s */
    int64_t before, since_tokens; /* before: tokens when it was opened */
} RunLog;

/* Cuts metrics.jsonl after its last whole line of a step <= at.step, so that a resumed run's log has no step
 * twice. */
Status run_log_open(RunLog *log, const char *run_dir, const RunState *s);
/* The mean loss of the steps since the last line; starts the next window in s. */
Status run_log_step(RunLog *log, RunState *s, const RunStep *step);
Status run_log_val(RunLog *log, const RunState *s, const RunVal *v);
/* Everything said so far is on disk. */
Status run_log_sync(RunLog *log);
Status run_log_close(RunLog *log);

#endif
