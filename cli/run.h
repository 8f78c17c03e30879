/* What train and demo share: from the command line to a configuration, its files, and a run folder. */
#ifndef T2L_CLI_RUN_H
#define T2L_CLI_RUN_H

#include "cli/cli.h"
#include "train/sft.h"

/* What a run works on. RUN_ENCODER: what embeds its descriptions, as data.embedding says. */
enum { RUN_MODEL = 1, RUN_ENCODER = 2, RUN_TASKS = 4 };

typedef struct RunFiles {
    char *dir;                               /* owns: runs/<name> */
    char *model, *encoder, *tasks, *heldout; /* owns; NULL when not needed; heldout comes with tasks, NULL
                                                when data.heldout is empty */
} RunFiles;

/* The words after the flags and --seed, --dtype as keys; `path` may be NULL. */
Status run_config(Config *out, const Cli *cli, const char *path);
Status run_files(RunFiles *out, const Cli *cli, const Config *config, unsigned needs);
void run_files_free(RunFiles *f);
/* A file or folder of tasks, or t2l-mini/train and t2l-mini/heldout, which are written into the cache when
 * they are not there. *out owns. */
Status run_tasks(char **out, const Cli *cli, const char *name);

#endif
