/* The life of a run: folder, timing, steps, log, checkpoints, signals. */
#include "base/file.h"
#include "base/progress.h"
#include "train/sft.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TIMED_STEPS = 3, COUNTED_STEPS = 32 }; /* the first timed one warms up */

typedef struct RunLog {
    FILE *f; /* owns: metrics.jsonl */
    double loss_sum;
    int64_t loss_n, tokens; /* tokens: in all */
    double started, since;  /* since: start of the window of tokens_per_s */
    int64_t since_tokens;
} RunLog;

static Status log_line(RunLog *log, const Sft *s, const SftStep *step) {
    double now = now_seconds(), rate = (double)(log->tokens - log->since_tokens) / (now - log->since + 1e-9);
    int n = fprintf(
        log->f,
        "{\"step\":%lld,\"loss\":%.9g,\"lr\":%.9g,\"grad_norm\":%.9g,\"tokens\":%lld,\"tokens_per_s\":%.1f,"
        "\"seconds\":%.3f}\n",
        (long long)s->info.step, log->loss_sum / (double)log->loss_n, step->lr, step->grad_norm,
        (long long)log->tokens, rate, now - log->started);
    log->loss_sum = 0;
    log->loss_n = 0;
    log->since = now;
    log->since_tokens = log->tokens;
    return n > 0 && fflush(log->f) == 0 ? OK : status_errno(errno, "metrics.jsonl: cannot write");
}

/* Cuts metrics.jsonl after the last line of a step <= `step`, so that a resumed run's log has no step twice.
 */
static Status open_log(RunLog *log, const char *run_dir, int64_t step) {
    char *path = path_join(run_dir, "metrics.jsonl");
    if (!path) return status_error(E_ENV, "out of memory");
    Status st = OK;
    log->f = fopen(path, step > 0 ? "r+" : "w");
    if (!log->f && step > 0 && errno == ENOENT) log->f = fopen(path, "w");
    if (!log->f) {
        st = status_errno(errno, "%s: cannot open", path);
    } else {
        char *line = NULL;
        size_t cap = 0;
        long keep = 0, long_step;
        long long tokens;
        while (step > 0 && getline(&line, &cap, log->f) > 0) {
            const char *t = strstr(line, "\"tokens\":");
            if (sscanf(line, "{\"step\":%ld", &long_step) != 1 || long_step > step || !t ||
                !strchr(line, '\n'))
                break;
            if (sscanf(t, "\"tokens\":%lld", &tokens) == 1) log->tokens = tokens;
            keep = ftell(log->f);
        }
        free(line);
        if (fseek(log->f, keep, SEEK_SET) != 0 || ftruncate(fileno(log->f), keep) != 0)
            st = status_errno(errno, "%s: cannot position", path);
    }
    log->started = log->since = now_seconds();
    log->since_tokens = log->tokens;
    free(path);
    return st;
}

static Status write_config(const Sft *s, const char *run_dir) {
    char *path = path_join(run_dir, "config.json");
    if (!path) return status_error(E_ENV, "out of memory");
    Status st = json_write(path, s->cfg->json);
    free(path);
    return st;
}

Status sft_time_step(double *seconds, double *tokens, Sft *s) {
    SftStep step;
    double rate = 0;
    for (int i = 0; i < TIMED_STEPS; i++) {
        double t = now_seconds();
        TRY(sft_step(&step, s, (SftStepOpts){.update = false}));
        t = (double)step.tokens / (now_seconds() - t);
        if (t > rate) rate = t;
    }
    *tokens = 0;
    for (int i = 0; i < COUNTED_STEPS; i++) {
        TRY(batch_next(&s->batch, &s->source, s->info.step + i));
        *tokens += (double)s->batch.llm.n_tokens / COUNTED_STEPS;
    }
    *seconds = *tokens / rate;
    return OK;
}

static Status resume(Sft *s, const char *run_dir) {
    CkptInfo info;
    char *last = path_join(run_dir, "ckpt/last");
    if (!last) return status_error(E_ENV, "out of memory");
    Status st = ckpt_info(&info, last);
    if (status_is_ok(st)) {
        s->info.step = info.step;
        ckpt_info_free(&info);
        st = ckpt_load(&s->hypernet, last);
    }
    free(last);
    return st;
}

static Status save(char **path, Sft *s, const char *run_dir) {
    free(*path);
    *path = NULL;
    return ckpt_save(path, run_dir, &s->hypernet, &s->info);
}

static Status run_steps(SftResult *out, Sft *s, RunLog *log, SftRun opts) {
    const Config *c = s->cfg;
    SftStepOpts update = {true};
    int64_t total = c->train.steps, saved = -1, before = log->tokens; /* before: of the run that is resumed */
    Progress p = progress_begin("train", "steps", total, opts.quiet);
    p.done = s->info.step;
    while (s->info.step < total) {
        SftStep step;
        char note[64];
        TRY(sft_step(&step, s, update));
        log->loss_sum += step.loss;
        log->loss_n++;
        log->tokens += step.tokens;
        snprintf(note, sizeof note, "loss %.3f  %.0f tokens/s", step.loss,
                 (double)(log->tokens - before) / (now_seconds() - log->started + 1e-9));
        progress_update(&p, s->info.step, note);
        if (s->info.step % c->train.log_every == 0 || s->info.step == total) TRY(log_line(log, s, &step));
        if (c->train.save_every > 0 && s->info.step % c->train.save_every == 0) {
            TRY(save(&out->ckpt, s, opts.run_dir));
            saved = s->info.step;
        }
        if (opts.stop && *opts.stop) break;
    }
    out->seconds = now_seconds() - log->started;
    out->tokens_per_s = (double)(log->tokens - before) / (out->seconds + 1e-9);
    if (s->info.step == total) progress_end(&p, NULL);
    if (saved != s->info.step) TRY(save(&out->ckpt, s, opts.run_dir));
    if (s->info.step < total)
        return status_error(E_INTERRUPTED, "interrupted; saved after step %lld: continue with --resume",
                            (long long)s->info.step);
    return OK;
}

Status sft_run(SftResult *out, Sft *s, SftRun opts) {
    RunLog log = {0};
    memset(out, 0, sizeof *out);
    TRY(file_mkdirs(opts.run_dir));
    if (opts.resume) TRY(resume(s, opts.run_dir));
    TRY(write_config(s, opts.run_dir));
    Status st = open_log(&log, opts.run_dir, s->info.step);
    if (status_is_ok(st)) st = run_steps(out, s, &log, opts);
    if (log.f && fclose(log.f) != 0 && status_is_ok(st))
        st = status_errno(errno, "metrics.jsonl: cannot close");
    return st;
}
