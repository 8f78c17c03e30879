#include "base/progress.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum { BAR = 24, LINE_SECONDS = 10 };

double now_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

Progress progress_begin(const char *label, const char *unit, int64_t total, bool quiet) {
    double now = now_seconds();
    return (Progress){.label = label,
                      .unit = unit,
                      .total = total,
                      .started = now,
                      .printed = now,
                      .tty = isatty(STDERR_FILENO) == 1,
                      .quiet = quiet};
}

static void format_seconds(char out[24], double s) {
    if (s < 0) s = 0;
    if (s > 1e9) s = 1e9;
    int t = (int)(s + 0.5);
    if (t >= 2 * 86400)
        snprintf(out, 24, "%dd%02dh", t / 86400, t / 3600 % 24);
    else if (t >= 3600)
        snprintf(out, 24, "%dh%02dm", t / 3600, t / 60 % 60);
    else
        snprintf(out, 24, "%dm%02ds", t / 60, t % 60);
}

static void print(Progress *p, const char *note, bool last) {
    double elapsed = now_seconds() - p->started,
           rate = elapsed > 0 ? (double)(p->done - p->from) / elapsed : 0;
    char took[24], left[24], speed[24];
    format_seconds(took, elapsed);
    format_seconds(left, rate > 0 ? (double)(p->total - p->done) / rate : 0);
    snprintf(speed, sizeof speed, rate < 10 ? "%.2f/s" : "%.0f/s", rate);
    if (p->tty) {
        char bar[BAR + 1];
        int64_t full = p->total > 0 ? p->done * BAR / p->total : BAR;
        for (int i = 0; i < BAR; i++) bar[i] = i < full ? '#' : '.';
        bar[BAR] = 0;
        fprintf(stderr, "\r%-10s [%s] %lld/%lld %s  %s  %s%s%s  %s\033[K", p->label, bar, (long long)p->done,
                (long long)p->total, p->unit, speed, last ? took : "ETA ", last ? "" : left, note ? " " : "",
                note ? note : "");
        if (last) fputc('\n', stderr);
    } else {
        fprintf(stderr, "%s %lld/%lld %s  %s  %s%s  %s\n", p->label, (long long)p->done, (long long)p->total,
                p->unit, speed, last ? "in " : "ETA ", last ? took : left, note ? note : "");
    }
    fflush(stderr);
    p->shown = true;
    p->printed = now_seconds();
}

void progress_update(Progress *p, int64_t done, const char *note) {
    p->done = done;
    if (p->quiet) return;
    double now = now_seconds();
    if (now - p->started < 2.0) return;
    if (now - p->printed >= (p->tty ? 0.2 : LINE_SECONDS) || (p->tty && !p->shown)) print(p, note, false);
}

void progress_end(Progress *p, const char *note) {
    p->done = p->total;
    if (p->quiet) return;
    if (p->shown || now_seconds() - p->started >= 2.0) print(p, note, true);
}
