/* t2l: finds the command, reads the environment once, runs, prints a failure, exits. The only place that
 * exits. */
#include "cli/cli.h"
#include "data/fetch.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The one piece of hidden state: a signal handler can reach nothing else. Commands see it through Cli.stop.
 */
static volatile int interrupted;

static void on_interrupt(int signal_number) {
    if (interrupted) _exit(128 + signal_number); /* the second time: at once */
    interrupted = 1;
}

static void catch_interrupts(void) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_interrupt;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

static void print_command(const Command *c, const Option *own, const Option *common) {
    printf("%s\n\nusage: t2l %s\n", c->summary, c->usage);
    if (c->text) printf("\n%s\n", c->text);
    options_print(stdout, "Flags", own);
    options_print(stdout, "Common flags", common);
    printf("\nExample:\n  %s\n", c->example);
}

Status cli_parse(Cli *cli, int argc, char **argv, const Option *options, int min_args, int max_args) {
    bool help = false;
    const Option common[] = {
        {.name = "--device",
         .kind = OPTION_STRING,
         .out = &cli->device,
         .value = "D",
         .help = "auto, cpu or cuda[:i]"},
        {.name = "--dtype",
         .kind = OPTION_CHOICE,
         .out = &cli->dtype,
         .choices = "auto|bf16|f32",
         .value = "T",
         .help = "auto, bf16 or f32: arithmetic of the base model"},
        {.name = "--threads",
         .kind = OPTION_INT,
         .out = &cli->threads,
         .min = 1,
         .max = 4096,
         .value = "N",
         .help = "CPU threads (default: all cores)"},
        {.name = "--seed",
         .kind = OPTION_INT,
         .out = &cli->seed,
         .max = 9007199254740992.0,
         .value = "N",
         .help = "seed of everything random",
         .given = &cli->seed_given},
        {.name = "--quiet",
         .letter = 'q',
         .kind = OPTION_SWITCH,
         .out = &cli->quiet,
         .help = "no progress, no messages"},
        {.name = "--json", .kind = OPTION_SWITCH, .out = &cli->json, .help = "results as JSON"},
        {.name = "--help", .letter = 'h', .kind = OPTION_SWITCH, .out = &help, .help = "this text"},
        {.kind = OPTION_END},
    };
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++) /* -h wins over what else is wrong */
        help |= strcmp(argv[i], "-h") == 0 || strcmp(argv[i], "--help") == 0;
    if (help) {
        print_command(cli->command, options, common);
        cli->help_shown = true;
        return OK;
    }
    TRY(options_parse(options, common, argc, argv, &cli->n_args));
    cli->args = argv;
    if (cli->n_args < min_args)
        return status_error(E_USAGE, "something is missing; usage: t2l %s", cli->command->usage);
    if (max_args >= 0 && cli->n_args > max_args)
        return status_error(E_USAGE, "unexpected '%s'; usage: t2l %s", argv[max_args], cli->command->usage);
    return OK;
}

Status cli_open_device(const Cli *cli, Device *dev) {
    TRY(device_open(dev, cli->device, (int)cli->threads));
    if (dev->kind == DEVICE_CUDA && !cli->quiet)
        fputs("warning: the CUDA backend is proven by an interpreter and was not run on a GPU yet; compare "
              "with "
              "--device cpu\n",
              stderr);
    return OK;
}

Status cli_require(const Cli *cli, const char *flag, const char *value) {
    if (value && *value) return OK;
    return status_error(E_USAGE, "%s is missing; usage: t2l %s", flag, cli->command->usage);
}

Status cli_check_stop(const Cli *cli) {
    return *cli->stop ? status_error(E_INTERRUPTED, "interrupted") : OK;
}

static Status run(Cli *cli, int argc, char **argv) {
    if (argc < 2) {
        command_print_all(stdout);
        return OK;
    }
    const char *name = argv[1];
    if (strcmp(name, "--version") == 0) {
        printf("t2l %s\n", T2L_VERSION);
        return OK;
    }
    if (strcmp(name, "-h") == 0 || strcmp(name, "--help") == 0) name = "help";
    cli->command = command_find(name);
    if (!cli->command) return command_unknown(name);
    return cli->command->run(cli, argc - 2, argv + 2);
}

int main(int argc, char **argv) {
    catch_interrupts();
    char *cache = NULL;
    Cli cli = {.program = argc > 0 ? argv[0] : "t2l",

               .device = "auto",
               .dtype = "auto",
               .seed = 42,
               .stop = &interrupted,
               .search_path = getenv("PATH")};
    cli.stdin_tty = isatty(STDIN_FILENO) == 1;
    cli.stdout_tty = isatty(STDOUT_FILENO) == 1;
    Status s = fetch_cache_dir(&cache);
    cli.cache = cache;
    if (status_is_ok(s)) s = run(&cli, argc, argv);
    if (status_is_ok(s) && (fflush(stdout) != 0 || ferror(stdout)))
        s = status_errno(errno, "cannot write to standard output");
    int code = (int)status_code(s);
    if (code) {
        fflush(stdout);
        fprintf(stderr, "t2l%s%s: %s\n", cli.command ? " " : "", cli.command ? cli.command->name : "",
                status_message(s));
    }
    status_free(s);
    free(cache);
    return code;
}
