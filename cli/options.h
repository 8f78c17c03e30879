/* Flags from a table: `--flag value`, `--flag=value`, switches, short letters. "--" ends the flags. Flags and
 * other words may be mixed. An unknown flag is E_USAGE with the nearest valid one. */
#ifndef T2L_CLI_OPTIONS_H
#define T2L_CLI_OPTIONS_H

#include "base/status.h"
#include <stdint.h>
#include <stdio.h>

enum { OPTION_LIST_MAX = 32 };

typedef struct OptionList {
    int n;
    const char *item[OPTION_LIST_MAX]; /* view */
} OptionList;

typedef enum OptionKind {
    OPTION_END,
    OPTION_SWITCH, /* bool */
    OPTION_STRING, /* const char * */
    OPTION_CHOICE, /* const char *, one of choices */
    OPTION_INT,    /* int64_t in [min, max] */
    OPTION_FLOAT,  /* double in [min, max] */
    OPTION_LIST    /* OptionList: may be given many times */
} OptionKind;

typedef struct Option {
    const char *name; /* "--model" */
    char letter;      /* 'q', or 0 */
    OptionKind kind;
    void *out;           /* view: keeps its value unless the flag is given */
    const char *value;   /* in help: "M" */
    const char *help;    /* one line */
    const char *choices; /* "a|b" */
    double min, max;
    bool *given; /* view: set when the flag is given; may be NULL */
} Option;

/* Stores flags; moves the words that are none to the front of argv, *n_args of them. Tables are ended by
 * OPTION_END; common is searched after own. */
Status options_parse(const Option *own, const Option *common, int argc, char **argv, int *n_args);
void options_print(FILE *f, const char *title, const Option *options);

#endif
