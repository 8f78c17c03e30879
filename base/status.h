/* Errors that a user, a file, the network or memory can provoke travel as a Status; broken invariants abort.
 * A Status is ok (failure == NULL) or owns one message, composed once where the error is found: it names the
 * file or key, what was expected, what was found, what to do. Only main prints it and exits with its code. */
#ifndef T2L_BASE_STATUS_H
#define T2L_BASE_STATUS_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum StatusCode {
    E_OK = 0,
    E_FAIL = 1,         /* anything without a better code */
    E_USAGE = 2,        /* unknown flag or key, malformed value */
    E_INPUT = 3,        /* a file or datum is bad */
    E_ENV = 4,          /* no memory, no device, no network, no permission */
    E_UNSUPPORTED = 4,  /* this device has no body for the operation: another device may */
    E_INTERRUPTED = 130 /* stopped by a signal, after saving */
} StatusCode;

typedef struct Failure Failure;
typedef struct Status {
    Failure *failure; /* owns; NULL when ok */
} Status;

#if defined(__GNUC__)
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define PRINTF_LIKE(fmt, args)
#endif

static inline Status status_ok(void) {
    Status s = {NULL};
    return s;
}
#define OK status_ok()

static inline bool status_is_ok(Status s) {
    return s.failure == NULL;
}

/* A new failure. Never fails itself: without memory it returns a static out-of-memory failure. */
Status status_error(StatusCode code, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* errno-style: "<message>: <strerror(err)>", code E_ENV. */
Status status_errno(int err, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Puts "<context>: " before the message of a failure and frees the old one; an ok status passes through. */
Status status_wrap(Status s, const char *fmt, ...) PRINTF_LIKE(2, 3);
StatusCode status_code(Status s);
const char *status_message(Status s); /* view, "" when ok */
void status_free(Status s);

/* Returns from the calling function when expr fails. */
#define TRY(expr)                                           \
    do {                                                    \
        Status try_status_ = (expr);                        \
        if (!status_is_ok(try_status_)) return try_status_; \
    } while (0)

/* Stores the failure in st and jumps to label. */
#define TRY_GOTO(st, expr, label)          \
    do {                                   \
        (st) = (expr);                     \
        if (!status_is_ok(st)) goto label; \
    } while (0)

/* A broken invariant of our own: prints file, line and message and aborts, in release builds too. */
void check_failed(const char *file, int line, const char *cond, const char *fmt, ...) PRINTF_LIKE(4, 5);
#define CHECK(cond, ...)                                                   \
    do {                                                                   \
        if (!(cond)) check_failed(__FILE__, __LINE__, #cond, __VA_ARGS__); \
    } while (0)

#ifdef __cplusplus
}
#endif
#endif
