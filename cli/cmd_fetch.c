/* t2l fetch: models into the cache. */
#include "cli/cli.h"
#include "data/fetch.h"
#include "train/names.h"

#include <stdlib.h>
#include <string.h>

static bool is_known(const char *name) {
    for (const char *const *n = fetch_names(); *n; n++)
        if (strcmp(*n, name) == 0) return true;
    return false;
}

Status cmd_fetch(Cli *cli, int argc, char **argv) {
    FetchOptions fetch = {.cache = cli->cache};
    const Option options[] = {
        {.name = "--verify", .kind = OPTION_SWITCH, .out = &fetch.verify, .help = "hash every file again"},
        {.name = "--python",
         .kind = OPTION_STRING,
         .out = &fetch.python,
         .value = "CMD",
         .help = "the python whose pip downloads (default: python3)"},
        {.kind = OPTION_END},
    };
    TRY(cli_parse(cli, argc, argv, options, 1, -1));
    if (cli->help_shown) return OK;
    fetch.quiet = cli->quiet;
    for (int i = 0; i < cli->n_args;
         i++) /* all names first: nothing is downloaded for a mistyped second one */
        if (!is_known(cli->args[i])) {
            const char *near = names_nearest(cli->args[i], fetch_names());
            return status_error(E_USAGE, "unknown model '%s'; %s%s", cli->args[i],
                                near ? "the nearest is " : "known are smollm2-135m-instruct and minilm-l6-v2",
                                near ? near : "");
        }
    for (int i = 0; i < cli->n_args; i++) {
        char *path;
        TRY(fetch_model(&path, cli->args[i], &fetch));
        puts(path);
        free(path);
        TRY(cli_check_stop(cli));
    }
    return OK;
}
