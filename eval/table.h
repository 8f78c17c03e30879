/* A markdown table, column by column as wide as its cells. */
#ifndef T2L_EVAL_TABLE_H
#define T2L_EVAL_TABLE_H

#include "base/status.h"

#include <stdint.h>

enum { TABLE_CELL = 64, TABLE_COLS = 40 };

typedef struct Table {
    char (*cells)[TABLE_CELL]; /* owns; rows * cols */
    int64_t rows, cap;
    int cols, left; /* at most TABLE_COLS; the first `left` are aligned to the left */
    bool failed;    /* no memory */
} Table;

/* A further row, empty but for its first cell; false without memory. */
bool table_row(Table *t, const char *name);
/* A cell of the last row, TABLE_CELL bytes. */
char *table_cell(Table *t, int col);
/* Frees the table; *out owns the text. The first row is the head. */
Status table_finish(char **out, Table *t);

#endif
