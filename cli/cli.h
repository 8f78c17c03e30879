/* What every subcommand shares: the table of commands, the flags common to all, what was read from the
 * environment.
 *
 * A command is one function. It declares its own flags as a table of Option on its stack, hands it to
 * cli_parse, and works with what was stored. The same table prints `t2l help COMMAND`, so flags and help
 * cannot drift apart. */
#ifndef T2L_CLI_CLI_H
#define T2L_CLI_CLI_H

#include "base/status.h"
#include "cli/options.h"
#include "kernels/ops.h"

struct Cli;
typedef Status CommandFn(struct Cli *cli, int argc, char **argv);

typedef struct Command {
    const char *name, *group;
    const char *summary; /* one line */
    const char *usage;   /* after "t2l " */
    const char *example; /* pasteable */
    const char *text;    /* paragraphs of help; may be NULL */
    CommandFn *run;
} Command;

typedef struct Cli {
    const Command *command; /* view */
    const char *program;    /* view: how it was called */
    const char *device, *dtype;
    int64_t threads, seed;
    bool quiet, json, seed_given;
    const char *search_path; /* view: $PATH; may be NULL */
    const char *cache;       /* view: the cache directory */
    int n_args;              /* what is left after the flags */
    char **args;             /* view into argv */
    bool help_shown;         /* -h was given and answered: the command returns OK at once */
    bool stdin_tty, stdout_tty;
    const volatile int *stop; /* view: becomes 1 when the user interrupts */
} Cli;

/* Sorts argv into options (common ones included) and args. min_args, max_args: how many may be left; max_args
 * < 0: any number. */
Status cli_parse(Cli *cli, int argc, char **argv, const Option *options, int min_args, int max_args);
/* The device that --device and --threads ask for. */
Status cli_open_device(const Cli *cli, Device *dev);
/* An E_USAGE failure unless the flag's value is there. */
Status cli_require(const Cli *cli, const char *flag, const char *value);
/* E_INTERRUPTED once the user has pressed Ctrl-C. */
Status cli_check_stop(const Cli *cli);

const Command *command_find(const char *name); /* NULL when there is none */
Status command_unknown(const char *name);      /* E_USAGE with the nearest one */
void command_print_all(FILE *f);               /* `t2l help` */

CommandFn cmd_chat, cmd_complete, cmd_config, cmd_demo, cmd_doctor, cmd_embed, cmd_eval, cmd_fetch,
    cmd_generate, cmd_help, cmd_inspect, cmd_score, cmd_template, cmd_tokenize, cmd_train;

#endif
