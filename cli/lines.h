/* Line input, streamed: a file or standard input, one line at a time, without its line end. */
#ifndef T2L_CLI_LINES_H
#define T2L_CLI_LINES_H

#include "base/json.h"
#include "base/status.h"
#include <stdint.h>
#include <stdio.h>

typedef struct Lines {
    FILE *f;    /* owns, unless it is stdin */
    char *text; /* owns: the current line, NUL-terminated */
    size_t n;   /* its bytes; NULs may be among them */
    size_t cap;
    int64_t number;   /* of the current line, from 1 */
    const char *path; /* view: the file, or "standard input" */
    char where[512];  /* "file:12", for messages */
} Lines;

/* path: NULL or "-" is standard input. */
Status lines_open(Lines *l, const char *path);
/* *more is false at the end. */
Status lines_next(Lines *l, bool *more);
void lines_close(Lines *l);
/* The current line as JSON; *out owns. */
Status lines_json(const Lines *l, cJSON **out);

/* One JSON value on a line of stdout. */
void print_json(const cJSON *value);
/* n bytes as a JSON string, without line end. NULs are written as \u0000. */
void print_json_string(FILE *f, const char *text, size_t n);

#endif
