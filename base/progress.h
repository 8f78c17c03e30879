/* Progress on stderr: a bar with rate and ETA on a terminal, otherwise a line every 10 s; nothing when quiet
 * or for work under 2 s. */
#ifndef T2L_BASE_PROGRESS_H
#define T2L_BASE_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct Progress {
    const char *label; /* view */
    const char *unit;  /* view, e.g. "steps" */
    int64_t total, done;
    int64_t from;            /* done before it began: 0, unless set behind progress_begin */
    double started, printed; /* seconds, monotonic */
    bool tty, quiet, shown;
} Progress;

Progress progress_begin(const char *label, const char *unit, int64_t total, bool quiet);
/* note: appended to the line, e.g. "loss 1.234" (view, may be NULL). */
void progress_update(Progress *p, int64_t done, const char *note);
void progress_end(Progress *p, const char *note);
/* Seconds, monotonic. */
double now_seconds(void);

#endif
