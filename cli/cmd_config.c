/* t2l config: the configuration in force, as a run would use it. */
#include "cli/cli.h"
#include "train/config.h"

Status cmd_config(Cli *cli, int argc, char **argv) {
    const char *path = NULL;
    bool keys = false;
    const Option options[] = {
        {.name = "--config",
         .kind = OPTION_STRING,
         .out = &path,
         .value = "FILE",
         .help = "JSON configuration"},
        {.name = "--keys", .kind = OPTION_SWITCH, .out = &keys, .help = "list every key instead"},
        {.kind = OPTION_END},
    };
    TRY(cli_parse(cli, argc, argv, options, 0, -1));
    if (cli->help_shown) return OK;
    if (keys) {
        config_print_keys(stdout);
        return OK;
    }
    Config config;
    TRY(config_load(&config, path, cli->n_args, cli->args));
    char *text = cJSON_Print(config.json);
    if (text) puts(text);
    Status s = text ? OK : status_error(E_ENV, "configuration: out of memory");
    cJSON_free(text);
    config_free(&config);
    return s;
}
