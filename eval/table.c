#include "eval/table.h"

#include <stdio.h>
#include <stdlib.h>

bool table_row(Table *t, const char *name) {
    CHECK(t->cols > 0 && t->cols <= TABLE_COLS, "%d columns", t->cols);
    if (t->rows == t->cap) {
        int64_t cap = t->cap ? 2 * t->cap : 64;
        void *grown = realloc(t->cells, (size_t)cap * (size_t)t->cols * TABLE_CELL);
        t->failed = t->failed || !grown;
        if (!grown) return false;
        t->cells = grown;
        t->cap = cap;
    }
    t->rows++;
    for (int c = 0; c < t->cols; c++) table_cell(t, c)[0] = 0;
    snprintf(table_cell(t, 0), TABLE_CELL, "%s", name);
    return true;
}

char *table_cell(Table *t, int col) {
    return t->cells[(t->rows - 1) * t->cols + col];
}

/* Columns on a terminal: bytes that do not continue a character. */
static int width(const char *s) {
    int n = 0;
    for (; *s; s++) n += ((unsigned char)*s & 0xc0) != 0x80;
    return n;
}

static void print_row(FILE *f, const Table *t, int64_t row, const int *widths) {
    for (int c = 0; c < t->cols; c++) {
        const char *s = t->cells[row * t->cols + c];
        int pad = widths[c] - width(s);
        if (c < t->left)
            fprintf(f, "| %s%*s ", s, pad, "");
        else
            fprintf(f, "| %*s%s ", pad, "", s);
    }
    fputs("|\n", f);
}

static void print(FILE *f, const Table *t) {
    int widths[TABLE_COLS] = {0};
    for (int64_t r = 0; r < t->rows; r++)
        for (int c = 0; c < t->cols; c++) {
            int w = width(t->cells[r * t->cols + c]);
            if (w > widths[c]) widths[c] = w;
        }
    for (int64_t r = 0; r < t->rows; r++) {
        print_row(f, t, r, widths);
        if (r > 0) continue;
        for (int c = 0; c < t->cols; c++) {
            fputc('|', f);
            for (int i = 0; i < widths[c] + 1; i++) fputc('-', f);
            fputc(c < t->left ? '-' : ':', f);
        }
        fputs("|\n", f);
    }
}

Status table_finish(char **out, Table *t) {
    size_t n = 0;
    *out = NULL;
    FILE *f = t->failed ? NULL : open_memstream(out, &n);
    if (f) print(f, t);
    bool ok = f && !ferror(f);
    ok = f && fclose(f) == 0 && ok && *out;
    free(t->cells);
    *t = (Table){0};
    if (ok) return OK;
    if (f) free(*out);
    *out = NULL;
    return status_error(E_ENV, "no memory for the table");
}
