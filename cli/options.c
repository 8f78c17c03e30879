#include "cli/options.h"
#include "train/names.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_OPTIONS = 64 };

/* The row that word (up to n bytes) names; letters as "-q". */
static const Option *find_in(const Option *options, const char *word, size_t n) {
    for (const Option *o = options; o->kind != OPTION_END; o++) {
        if (strlen(o->name) == n && memcmp(o->name, word, n) == 0) return o;
        if (o->letter && n == 2 && word[0] == '-' && word[1] == o->letter) return o;
    }
    return NULL;
}

static Status unknown(const Option *own, const Option *common, const char *word, size_t n) {
    char flag[64];
    snprintf(flag, sizeof flag, "%.*s", n < 63 ? (int)n : 63, word);
    const char *names[MAX_OPTIONS + 1];
    int count = 0;
    for (const Option *o = own; o->kind != OPTION_END && count < MAX_OPTIONS; o++) names[count++] = o->name;
    for (const Option *o = common; o->kind != OPTION_END && count < MAX_OPTIONS; o++)
        names[count++] = o->name;
    names[count] = NULL;
    const char *near = names_nearest(flag, names);
    if (near) return status_error(E_USAGE, "unknown flag %s; the nearest is %s", flag, near);
    return status_error(E_USAGE, "unknown flag %s; -h lists the valid ones", flag);
}

static Status store(const Option *o, const char *text) {
    if (o->given) *o->given = true;
    switch (o->kind) {
    case OPTION_SWITCH:
        *(bool *)o->out = true;
        return OK;
    case OPTION_STRING:
        *(const char **)o->out = text;
        return OK;
    case OPTION_CHOICE:
        if (!names_is_choice(o->choices, text))
            return status_error(E_USAGE, "%s: expected one of %s, found '%s'", o->name, o->choices, text);
        *(const char **)o->out = text;
        return OK;
    case OPTION_INT: {
        char *end;
        errno = 0;
        long long v = strtoll(text, &end, 10);
        if (end == text || *end || errno || (double)v < o->min || (double)v > o->max)
            return status_error(E_USAGE, "%s: expected an integer from %.0f to %.16g, found '%s'", o->name,
                                o->min, o->max, text);
        *(int64_t *)o->out = v;
        return OK;
    }
    case OPTION_FLOAT: {
        char *end;
        double v = strtod(text, &end);
        if (end == text || *end || !isfinite(v) || v < o->min || v > o->max)
            return status_error(E_USAGE, "%s: expected a number from %g to %g, found '%s'", o->name, o->min,
                                o->max, text);
        *(double *)o->out = v;
        return OK;
    }
    case OPTION_LIST: {
        OptionList *list = o->out;
        if (list->n == OPTION_LIST_MAX)
            return status_error(E_USAGE, "%s: given more than %d times", o->name, OPTION_LIST_MAX);
        list->item[list->n++] = text;
        return OK;
    }
    case OPTION_END:
        break;
    }
    return OK;
}

Status options_parse(const Option *own, const Option *common, int argc, char **argv, int *n_args) {
    *n_args = 0;
    bool flags = true;
    for (int i = 0; i < argc; i++) {
        char *word = argv[i];
        if (flags && strcmp(word, "--") == 0) {
            flags = false;
            continue;
        }
        if (!flags || word[0] != '-' || word[1] == 0) { /* "-" alone is a file: standard input */
            argv[(*n_args)++] = word;
            continue;
        }
        const char *eq = strncmp(word, "--", 2) == 0 ? strchr(word, '=') : NULL;
        size_t n = eq ? (size_t)(eq - word) : strlen(word);
        const Option *o = find_in(own, word, n);
        if (!o) o = find_in(common, word, n);
        if (!o) return unknown(own, common, word, n);
        const char *value = eq ? eq + 1 : NULL;
        if (o->kind == OPTION_SWITCH) {
            if (value) return status_error(E_USAGE, "%s takes no value, found '%s'", o->name, value);
        } else if (!value) {
            if (i + 1 == argc)
                return status_error(E_USAGE, "%s needs a value: %s %s", o->name, o->name,
                                    o->value ? o->value : "");
            value = argv[++i];
        }
        TRY(store(o, value));
    }
    return OK;
}

void options_print(FILE *f, const char *title, const Option *options) {
    if (options->kind == OPTION_END) return;
    fprintf(f, "\n%s:\n", title);
    for (const Option *o = options; o->kind != OPTION_END; o++) {
        char left[64];
        const char *value = o->kind == OPTION_SWITCH ? ""
                            : o->value               ? o->value
                            : o->choices             ? o->choices
                                                     : "";
        char letter[8] = "";
        if (o->letter) snprintf(letter, sizeof letter, "-%c, ", o->letter);
        snprintf(left, sizeof left, "%s%s %s", letter, o->name, value);
        fprintf(f, "  %-28s %s\n", left, o->help);
    }
}
