/* t2l train sft: a run in runs/<name>/. The last line on stdout is the checkpoint's path. */
#include "cli/cli.h"
#include "cli/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static Status print_estimate(Sft *sft) {
    double seconds, tokens;
    int64_t steps = sft->total;
    TRY(sft_time_step(&seconds, &tokens, sft));
    fprintf(stderr, "training: %lld steps of about %.2f s on this machine: about %.1f minutes\n",
            (long long)steps, seconds, (double)steps * seconds / 60);
    return OK;
}

static Status train(Cli *cli, Device *dev, const Config *config, const RunFiles *files, bool resume) {
    Sft sft;
    RunResult result = {0};
    SftPaths paths = {files->model, files->encoder, files->tasks};
    RunOpts run = {.run_dir = files->dir, .resume = resume, .quiet = cli->quiet, .stop = cli->stop};
    TRY(sft_init(&sft, dev, config, &paths, cli->quiet));
    Status s = cli->quiet ? OK : print_estimate(&sft);
    if (status_is_ok(s)) s = sft_run(&result, &sft, run);
    if (result.ckpt) puts(result.ckpt);
    free(result.ckpt);
    sft_free(&sft);
    return s;
}

Status cmd_train(Cli *cli, int argc, char **argv) {
    const char *path = NULL;
    bool resume = false;
    const Option options[] = {
        {.name = "--config",
         .kind = OPTION_STRING,
         .out = &path,
         .value = "FILE",
         .help = "JSON configuration"},
        {.name = "--resume",
         .kind = OPTION_SWITCH,
         .out = &resume,
         .help = "continue from the run's last checkpoint"},
        {.kind = OPTION_END},
    };
    TRY(cli_parse(cli, argc, argv, options, 1, -1));
    if (cli->help_shown) return OK;
    if (strcmp(cli->args[0], "sft") != 0)
        return status_error(E_USAGE, "train what? '%s' is not known; known is sft: t2l %s", cli->args[0],
                            cli->command->usage);
    cli->args++;
    cli->n_args--;
    Config config;
    RunFiles files;
    Device dev;
    TRY(run_config(&config, cli, path));
    Status s = run_files(&files, cli, &config);
    if (status_is_ok(s)) {
        s = cli_open_device(cli, &dev);
        if (status_is_ok(s)) {
            s = train(cli, &dev, &config, &files, resume);
            device_close(&dev);
        }
        run_files_free(&files);
    }
    config_free(&config);
    return s;
}
