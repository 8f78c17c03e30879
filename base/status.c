/* Policy: one heap block a failure; a failing allocation degrades to one static failure that is never freed.
 */
#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct Failure {
    StatusCode code;
    char message[];
};

typedef struct StaticFailure {
    StatusCode code;
    char message[32];
} StaticFailure;

static const StaticFailure no_memory = {E_ENV, "out of memory"};

static Status no_memory_status(void) {
    Status s = {(Failure *)&no_memory};
    return s;
}

static Status compose(StatusCode code, const char *fmt, va_list args, const char *sep, const char *tail) {
    va_list copy;
    va_copy(copy, args);
    int n = vsnprintf(NULL, 0, fmt, copy);
    va_end(copy);
    if (n < 0) return no_memory_status();
    size_t sep_len = strlen(sep), tail_len = strlen(tail);
    size_t total = (size_t)n + sep_len + tail_len + 1;
    Failure *f = malloc(sizeof(Failure) + total);
    if (!f) return no_memory_status();
    f->code = code;
    vsnprintf(f->message, (size_t)n + 1, fmt, args);
    memcpy(f->message + n, sep, sep_len);
    memcpy(f->message + (size_t)n + sep_len, tail, tail_len + 1);
    Status s = {f};
    return s;
}

Status status_error(StatusCode code, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    Status s = compose(code, fmt, args, "", "");
    va_end(args);
    return s;
}

Status status_errno(int err, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    Status s = compose(E_ENV, fmt, args, ": ", strerror(err));
    va_end(args);
    return s;
}

Status status_wrap(Status s, const char *fmt, ...) {
    if (status_is_ok(s)) return s;
    va_list args;
    va_start(args, fmt);
    Status wrapped = compose(status_code(s), fmt, args, ": ", status_message(s));
    va_end(args);
    status_free(s);
    return wrapped;
}

StatusCode status_code(Status s) {
    return s.failure ? s.failure->code : E_OK;
}

const char *status_message(Status s) {
    return s.failure ? s.failure->message : "";
}

void status_free(Status s) {
    if (s.failure != (const Failure *)&no_memory) free(s.failure);
}

void check_failed(const char *file, int line, const char *cond, const char *fmt, ...) {
    fprintf(stderr, "t2l: internal error at %s:%d: %s: ", file, line, cond);
    va_list args;
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fputc('\n', stderr);
    abort();
}
