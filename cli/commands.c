/* The table of commands, in the order `t2l help` shows them. A command is listed when it works. */
#include "cli/cli.h"
#include "train/names.h"

#include <string.h>

static const Command commands[] = {
    {"fetch", "Models", "download a model into the cache, verified", "fetch NAME...",
     "t2l fetch smollm2-135m-instruct minilm-l6-v2",
     "Prints the path of each model. Downloads resume; a second call does nothing.\n"
     "The cache is $T2L_CACHE, else $XDG_CACHE_HOME/t2l, else ~/.cache/t2l.",
     cmd_fetch},
    {"tokenize", "Models", "text to token ids, and back",
     "tokenize --model M [--json-in] [FILE|-] [--decode]",
     "echo 'Hello world' | t2l tokenize --model smollm2-135m-instruct",
     "Each line of input becomes a JSON array of ids. Special tokens in the text are recognised; none is "
     "added.",
     cmd_tokenize},
    {"template", "Models", "render a model's chat template", "template --model M [--system S] [FILE|-]",
     "echo '[{\"role\":\"user\",\"content\":\"Hi\"}]' | t2l template --model smollm2-135m-instruct",
     "Each line is a JSON array of {role, content}; each output line a JSON string, with the generation "
     "prompt.",
     cmd_template},
    {"config", "Training", "resolve and check a configuration", "config [--config FILE] [key=value ...]",
     "t2l config --config configs/demo.json train.steps=100",
     "Defaults, then the file, then the words; later wins. Values are JSON; strings may be bare.\n"
     "--keys lists every key with its default and meaning.",
     cmd_config},
    {"doctor", "Measuring", "what this machine has, and what is missing", "doctor [--json]", "t2l doctor",
     "Exit code 4 when nothing can run here.", cmd_doctor},
    {"help", "Measuring", "this list, or a command's flags", "help [COMMAND]", "t2l help fetch", NULL,
     cmd_help},
};

enum { N_COMMANDS = sizeof commands / sizeof *commands };

const Command *command_find(const char *name) {
    for (int i = 0; i < N_COMMANDS; i++)
        if (strcmp(commands[i].name, name) == 0) return &commands[i];
    return NULL;
}

Status command_unknown(const char *name) {
    const char *names[N_COMMANDS + 1];
    for (int i = 0; i < N_COMMANDS; i++) names[i] = commands[i].name;
    names[N_COMMANDS] = NULL;
    const char *near = names_nearest(name, names);
    if (near) return status_error(E_USAGE, "unknown command '%s'; the nearest is '%s'", name, near);
    return status_error(E_USAGE, "unknown command '%s'; `t2l help` lists them", name);
}

void command_print_all(FILE *f) {
    fprintf(
        f,
        "t2l %s: Text-to-LoRA. A description of a task in words becomes a LoRA adapter in one forward pass.\n"
        "\nusage: t2l COMMAND [flags]\n",
        T2L_VERSION);
    const char *group = "";
    for (int i = 0; i < N_COMMANDS; i++) {
        if (strcmp(group, commands[i].group) != 0) fprintf(f, "\n%s\n", commands[i].group);
        group = commands[i].group;
        fprintf(f, "  %-10s %s\n", commands[i].name, commands[i].summary);
        fprintf(f, "  %-10s   %s\n", "", commands[i].example);
    }
    fprintf(
        f,
        "\n`t2l help COMMAND` or `t2l COMMAND -h` explains one. Results go to stdout, messages to stderr.\n"
        "Exit codes: 0 ok, 2 usage, 3 bad input, 4 environment, 130 interrupted after saving, 1 anything "
        "else.\n");
}

Status cmd_help(Cli *cli, int argc, char **argv) {
    const Option none[] = {{.kind = OPTION_END}};
    TRY(cli_parse(cli, argc, argv, none, 0, 1));
    if (cli->help_shown) return OK;
    if (cli->n_args == 0) {
        command_print_all(stdout);
        return OK;
    }
    const Command *c = command_find(cli->args[0]);
    if (!c) return command_unknown(cli->args[0]);
    char help[] = "-h", *args[] = {help};
    cli->command = c;
    return c->run(cli, 1, args);
}
