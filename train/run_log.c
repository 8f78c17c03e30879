#include "train/run_log.h"
#include "base/file.h"
#include "base/progress.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Where the last line that stays ends; 0 when none does. */
static long kept_bytes(FILE *f, int64_t step) {
    char *line = NULL;
    size_t cap = 0;
    long keep = 0;
    long long at;
    while (getline(&line, &cap, f) > 0) {
        if (sscanf(line, "{\"step\":%lld", &at) != 1 || at > step || !strchr(line, '\n')) break;
        keep = ftell(f);
    }
    free(line);
    return keep;
}

Status run_log_open(RunLog *log, const char *run_dir, const RunState *s) {
    memset(log, 0, sizeof *log);
    log->started = log->since = now_seconds();
    log->before = log->since_tokens = s->tokens;
    char *path = path_join(run_dir, "metrics.jsonl");
    if (!path) return status_error(E_ENV, "%s: out of memory", run_dir);
    Status st = OK;
    log->f = fopen(path, "a+e");
    if (!log->f) {
        st = status_errno(errno, "%s: cannot open", path);
    } else {
        rewind(log->f);
        if (ftruncate(fileno(log->f), s->at.step > 0 ? kept_bytes(log->f, s->at.step) : 0) != 0)
            st = status_errno(errno, "%s: cannot cut", path);
    }
    free(path);
    if (status_is_ok(st)) st = events_open(&log->events, run_dir, s->at.step);
    if (!status_is_ok(st)) status_free(run_log_close(log));
    return st;
}

static Status flush(RunLog *log) {
    if (fflush(log->f) != 0 || ferror(log->f)) return status_errno(errno, "metrics.jsonl: cannot write");
    return events_flush(&log->events);
}

Status run_log_step(RunLog *log, RunState *s, const RunStep *step) {
    double now = now_seconds(), rate = (double)(s->tokens - log->since_tokens) / (now - log->since + 1e-9);
    double loss = s->loss_sum / (double)s->loss_n;
    int64_t at = s->at.step;
    fprintf(log->f,
            "{\"step\":%lld,\"loss\":%.9g,\"lr\":%.9g,\"grad_norm\":%.9g,\"tokens\":%lld,\"tokens_per_s\":%"
            ".1f,\"seconds\":%.3f",
            (long long)at, loss, step->lr, step->grad_norm, (long long)s->tokens, rate, now - log->started);
    if (step->commitment > 0) fprintf(log->f, ",\"commitment\":%.9g", step->commitment);
    fputs("}\n", log->f);
    s->loss_sum = 0;
    s->loss_n = 0;
    log->since = now;
    log->since_tokens = s->tokens;
    TRY(events_scalar(&log->events, at, "train/loss", loss));
    TRY(events_scalar(&log->events, at, "train/lr", step->lr));
    TRY(events_scalar(&log->events, at, "train/grad_norm", step->grad_norm));
    TRY(events_scalar(&log->events, at, "train/tokens_per_s", rate));
    if (step->commitment > 0) TRY(events_scalar(&log->events, at, "train/commitment", step->commitment));
    return flush(log);
}

/* JSON has no NaN. */
static void put_number(FILE *f, const char *key, double v) {
    if (isfinite(v))
        fprintf(f, "\"%s\":%.9g", key, v);
    else
        fprintf(f, "\"%s\":null", key);
}

Status run_log_val(RunLog *log, const RunState *s, const RunVal *v) {
    int64_t at = s->at.step;
    char tag[100];
    fprintf(log->f, "{\"step\":%lld,\"val\":{", (long long)at);
    put_number(log->f, "loss", run_val_loss(v));
    for (int i = 0; i < v->n; i++) {
        const RunSet *set = &v->set[i];
        fprintf(log->f, ",\"%s\":{", set->name);
        for (int k = 0; k <= set->n; k++) {
            RunMeasure m = k ? set->more[k - 1] : (RunMeasure){"loss", set->loss};
            if (k) fputc(',', log->f);
            put_number(log->f, m.name, m.value);
            snprintf(tag, sizeof tag, "val/%s/%s", set->name, m.name);
            TRY(events_scalar(&log->events, at, tag, m.value));
        }
        fputc('}', log->f);
    }
    fputs("}}\n", log->f);
    return flush(log);
}

Status run_log_sync(RunLog *log) {
    TRY(flush(log));
    return fsync(fileno(log->f)) == 0 || errno == EINVAL
               ? OK
               : status_errno(errno, "metrics.jsonl: cannot flush to disk");
}

Status run_log_close(RunLog *log) {
    Status s = events_close(&log->events);
    if (log->f && fclose(log->f) != 0 && status_is_ok(s))
        s = status_errno(errno, "metrics.jsonl: cannot close");
    log->f = NULL;
    return s;
}
