#include "train/run.h"
#include "base/file.h"
#include "base/progress.h"
#include "train/run_log.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum NanPolicy { NAN_HALT, NAN_SKIP, NAN_ROLLBACK } NanPolicy;

/* One run while it goes. */
typedef struct Life {
    const Run *run; /* view */
    RunOpts opts;
    RunState state; /* state.at follows *run->at */
    RunLog log;
    Progress progress;
    NanPolicy nan;
    int64_t saved; /* step of the newest checkpoint; -1: none */
} Life;

double run_val_loss(const RunVal *v) {
    double sum = 0;
    for (int i = 0; i < v->n; i++) sum += v->set[i].loss;
    return sum / (double)v->n;
}

static Status write_config(const Run *run, const char *run_dir) {
    char *path = path_join(run_dir, "config.json");
    if (!path) return status_error(E_ENV, "%s: out of memory", run_dir);
    Status st = json_write(path, run->cfg->json);
    free(path);
    return st;
}

Status run_same(const Config *cfg, const char *run_dir) {
    char *path = path_join(run_dir, "config.json");
    if (!path) return status_error(E_ENV, "%s: out of memory", run_dir);
    Status st = file_exists(path) ? config_same_training(cfg, path) : OK;
    free(path);
    return st;
}

static Status save(Life *l) {
    char *path;
    if (l->saved == l->state.at.step) return OK;
    TRY(run_log_sync(&l->log)); /* a checkpoint's lines are on disk before it */
    TRY(state_save(&path, l->opts.run_dir, &l->state, l->run->kind->write, l->run->self));
    free(path);
    l->saved = l->state.at.step;
    if (l->nan == NAN_ROLLBACK) l->state.skipped = 0;
    return OK;
}

/* Loads the newest checkpoint, if there is one. */
static Status load_newest(Life *l) {
    char *dir;
    RunState s;
    TRY(state_newest(&dir, &s, l->opts.run_dir));
    if (!dir) return OK;
    Status st = l->run->kind->read(l->run->self, dir);
    free(dir);
    TRY(st);
    l->state = s;
    *l->run->at = s.at;
    l->saved = s.at.step;
    return OK;
}

/* ---------------------------------------------------------------- not finite */

static Status not_finite(const Life *l, const RunStep *step, const char *what) {
    return status_error(E_FAIL,
                        "step %lld (batch %lld): the loss or its gradient is not finite (loss %g, gradient "
                        "norm %g); %s",
                        (long long)l->state.at.step, (long long)(l->state.at.step + l->state.at.moved),
                        step->loss, step->grad_norm, what);
}

static Status roll_back(Life *l) {
    int64_t next = l->state.at.step + l->state.at.moved + 1, skipped = l->state.skipped;
    TRY(load_newest(l));
    l->state.skipped = skipped;
    l->state.at.moved = next - l->state.at.step;
    *l->run->at = l->state.at;
    TRY(run_log_close(&l->log));
    return run_log_open(&l->log, l->opts.run_dir, &l->state);
}

static Status pass_over(Life *l, const RunStep *step) {
    if (l->nan == NAN_HALT) {
        TRY(save(l));
        return not_finite(l, step,
                          "nothing was updated; try a smaller train.lr, or train.nan=skip with --resume");
    }
    if (++l->state.skipped > RUN_MAX_SKIPS)
        return not_finite(l, step, "too often in a row; nothing was updated; try a smaller train.lr");
    if (!l->opts.quiet)
        fprintf(stderr, "warning: step %lld: loss %g, gradient norm %g: %s\n", (long long)l->state.at.step,
                step->loss, step->grad_norm,
                l->nan == NAN_SKIP ? "batch passed over" : "back to the newest checkpoint");
    if (l->nan == NAN_ROLLBACK) return roll_back(l);
    l->state.at.moved++;
    *l->run->at = l->state.at;
    return OK;
}

/* ---------------------------------------------------------------- steps */

static bool due(int64_t step, int64_t every) {
    return every > 0 && step % every == 0;
}

static Status validate(Life *l) {
    RunVal v;
    RunState *s = &l->state;
    TRY(l->run->kind->validate(&v, l->run->self));
    CHECK(v.n > 0, "a validation of nothing");
    double loss = run_val_loss(&v);
    if (s->best_step < 0 || loss < s->best) { /* false for NaN */
        s->best_step = s->at.step;
        s->best = loss;
        s->waited = 0;
    } else {
        s->waited++;
    }
    return run_log_val(&l->log, s, &v);
}

static bool is_done(const Life *l) {
    const RunState *s = &l->state;
    return s->at.step >= l->run->total || (s->best_step >= 0 && s->waited >= l->run->cfg->train.patience);
}

static Status after_step(Life *l, const RunStep *step) {
    const Config *c = l->run->cfg;
    RunState *s = &l->state;
    bool last = s->at.step == l->run->total, validates = l->run->kind->validate && c->eval.every > 0;
    s->loss_sum += step->loss;
    s->loss_n++;
    s->tokens += step->tokens;
    if (l->nan == NAN_SKIP) s->skipped = 0;
    if (due(s->at.step, c->train.log_every) || last) TRY(run_log_step(&l->log, s, step));
    if (validates && (due(s->at.step, c->eval.every) || last)) TRY(validate(l));
    if (due(s->at.step, c->train.save_every) || s->best_step == s->at.step) TRY(save(l));
    return OK;
}

static double tokens_per_s(const Life *l) {
    return (double)(l->state.tokens - l->log.before) / (now_seconds() - l->log.started + 1e-9);
}

static Status run_steps(Life *l) {
    l->progress = progress_begin("train", "steps", l->run->total, l->opts.quiet);
    l->progress.done = l->progress.from = l->state.at.step;
    if (l->nan == NAN_ROLLBACK && l->saved < 0) TRY(save(l));
    while (!is_done(l)) {
        RunStep step;
        char note[64];
        TRY(l->run->kind->step(&step, l->run->self, true));
        if (!isfinite(step.loss) || !isfinite(step.grad_norm)) {
            TRY(pass_over(l, &step));
        } else {
            l->state.at = *l->run->at;
            TRY(after_step(l, &step));
            int n = snprintf(note, sizeof note, "loss %.3f", step.loss);
            if (step.tokens > 0)
                snprintf(note + n, sizeof note - (size_t)n, "  %.0f tokens/s", tokens_per_s(l));
            progress_update(&l->progress, l->state.at.step, note);
        }
        if (l->opts.stop && *l->opts.stop) break;
    }
    TRY(save(l));
    if (is_done(l)) {
        progress_end(&l->progress, NULL);
        return OK;
    }
    return status_error(E_INTERRUPTED, "interrupted; saved after step %lld: continue with --resume",
                        (long long)l->state.at.step);
}

/* ---------------------------------------------------------------- the whole */

static Status write_report(const Life *l, const RunResult *r) {
    const RunState *s = &l->state;
    const Config *c = l->run->cfg;
    char *text = NULL, *path = path_join(l->opts.run_dir, "report.md");
    size_t n;
    FILE *f = open_memstream(&text, &n);
    Status st = f && path ? OK : status_error(E_ENV, "%s: out of memory", l->opts.run_dir);
    if (f) {
        fprintf(f, "# %s\n\n| | |\n|---|---|\n| base model | %s |\n| tasks | %s |\n", c->name, c->model,
                *c->data.tasks ? c->data.tasks : c->recon.library);
        fprintf(f, "| steps | %lld of %lld |\n", (long long)s->at.step, (long long)l->run->total);
        if (s->tokens > 0)
            fprintf(f, "| tokens | %lld |\n| tokens/s | %.0f |\n", (long long)s->tokens, r->tokens_per_s);
        if (s->at.moved) fprintf(f, "| batches passed over | %lld |\n", (long long)s->at.moved);
        if (s->best_step >= 0)
            fprintf(f, "| best validation loss | %.6g after step %lld |\n", s->best, (long long)s->best_step);
        fprintf(f, "| best checkpoint | %s |\n", r->ckpt);
        bool bad = ferror(f) != 0;
        bad = fclose(f) != 0 || bad || !text;
        if (bad && status_is_ok(st)) st = status_error(E_ENV, "%s: out of memory", l->opts.run_dir);
    }
    if (status_is_ok(st)) st = file_write_atomic(path, text, n);
    free(text);
    free(path);
    return st;
}

static Status finish(RunResult *out, Life *l, Status st) {
    int64_t best = l->state.best_step >= 0 ? l->state.best_step : l->saved;
    out->seconds = now_seconds() - l->log.started;
    out->tokens_per_s = tokens_per_s(l);
    Status closed = run_log_close(&l->log);
    if (status_is_ok(st))
        st = closed;
    else
        status_free(closed);
    if (best >= 0 && asprintf(&out->ckpt, "%s/ckpt/step_%08lld", l->opts.run_dir, (long long)best) < 0)
        out->ckpt = NULL;
    return status_is_ok(st) ? write_report(l, out) : st;
}

static NanPolicy nan_policy(const char *name) {
    return name[0] == 's' ? NAN_SKIP : name[0] == 'r' ? NAN_ROLLBACK : NAN_HALT;
}

Status run_train(RunResult *out, const Run *run, RunOpts opts) {
    Life l = {.run = run, .opts = opts, .nan = nan_policy(run->cfg->train.nan), .saved = -1};
    l.state.at = *run->at;
    l.state.best_step = -1;
    memset(out, 0, sizeof *out);
    if (!opts.resume && state_any(opts.run_dir))
        return status_error(
            E_USAGE,
            "%s holds a run already: continue it with --resume, or choose another name=", opts.run_dir);
    if (opts.resume && !file_is_dir(opts.run_dir))
        return status_error(E_INPUT, "%s: no such run to continue; leave out --resume to start it",
                            opts.run_dir);
    TRY(file_mkdirs(opts.run_dir));
    if (opts.resume && state_any(opts.run_dir)) TRY(run_same(run->cfg, opts.run_dir));
    if (opts.resume) TRY(load_newest(&l));
    TRY(write_config(run, opts.run_dir));
    TRY(run_log_open(&l.log, opts.run_dir, &l.state));
    return finish(out, &l, run_steps(&l));
}
