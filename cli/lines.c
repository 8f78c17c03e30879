#include "cli/lines.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

Status lines_open(Lines *l, const char *path) {
    memset(l, 0, sizeof *l);
    bool standard = !path || strcmp(path, "-") == 0;
    l->path = standard ? "standard input" : path;
    l->f = standard ? stdin : fopen(path, "rb");
    if (l->f) return OK;
    int err = errno;
    return status_error(err == ENOENT ? E_INPUT : E_ENV, "%s: %s", path, strerror(err));
}

Status lines_next(Lines *l, bool *more) {
    *more = false;
    errno = 0;
    ssize_t n = getline(&l->text, &l->cap, l->f);
    if (n < 0) {
        if (errno == EINTR) return status_error(E_INTERRUPTED, "interrupted");
        if (ferror(l->f)) return status_errno(errno, "%s: cannot read", l->path);
        return feof(l->f) ? OK : status_error(E_ENV, "%s: out of memory", l->path);
    }
    if (n > 0 && l->text[n - 1] == '\n') n--;
    l->text[n] = 0;
    l->n = (size_t)n;
    l->number++;
    snprintf(l->where, sizeof l->where, "%.400s:%lld", l->path, (long long)l->number);
    *more = true;
    return OK;
}

void lines_close(Lines *l) {
    if (l->f && l->f != stdin) fclose(l->f);
    free(l->text);
    memset(l, 0, sizeof *l);
}

Status lines_json(const Lines *l, cJSON **out) {
    return json_parse(out, l->text, l->n, l->where);
}

void print_json(const cJSON *value) {
    char *text = cJSON_PrintUnformatted(value);
    if (text) puts(text);
    cJSON_free(text);
}

void print_json_string(FILE *f, const char *text, size_t n) {
    fputc('"', f);
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '"' || c == '\\')
            fprintf(f, "\\%c", c);
        else if (c == '\n')
            fputs("\\n", f);
        else if (c == '\t')
            fputs("\\t", f);
        else if (c == '\r')
            fputs("\\r", f);
        else if (c < 0x20)
            fprintf(f, "\\u%04x", c);
        else
            fputc(c, f);
    }
    fputc('"', f);
}
