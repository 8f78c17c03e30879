/* t2l generate: one adapter a description, as PEFT folders. */
#include "cli/cli.h"
#include "base/file.h"
#include "cli/lines.h"
#include "cli/t2l.h"

#include <stdlib.h>
#include <string.h>

static Status write_one(T2l *t, const char *text, const char *dir) {
    TRY(t2l_write_adapter(t, text, dir));
    puts(dir);
    return OK;
}

/* DIR/0001, DIR/0002, ...: the number is the line's. Empty lines make no adapter. */
static Status write_lines(Cli *cli, T2l *t, Lines *lines, const char *dir) {
    for (bool more = true; more;) {
        TRY(lines_next(lines, &more));
        if (!more || lines->n == 0) continue;
        char name[32];
        snprintf(name, sizeof name, "%04lld", (long long)lines->number);
        char *path = path_join(dir, name);
        if (!path) return status_error(E_ENV, "out of memory");
        Status s = status_wrap(write_one(t, lines->text, path), "%s", lines->where);
        free(path);
        TRY(s);
        TRY(cli_check_stop(cli));
    }
    return OK;
}

static Status generate(Cli *cli, T2l *t, const char *text, const char *file, const char *dir) {
    if (text) return write_one(t, text, dir);
    Lines lines;
    TRY(lines_open(&lines, file));
    Status s = file_mkdirs(dir);
    if (status_is_ok(s)) s = write_lines(cli, t, &lines, dir);
    lines_close(&lines);
    return s;
}

Status cmd_generate(Cli *cli, int argc, char **argv) {
    const char *ckpt = NULL, *text = NULL, *file = NULL, *dir = NULL, *format = "peft";
    const Option options[] = {
        {.name = "--t2l",
         .kind = OPTION_STRING,
         .out = &ckpt,
         .value = "CKPT",
         .help = "a trained Text-to-LoRA: run, checkpoint or link"},
        {.name = "--text",
         .kind = OPTION_STRING,
         .out = &text,
         .value = "S",
         .help = "the task in words (data.embedding=onehot: a task's name or number)"},
        {.name = "--file",
         .kind = OPTION_STRING,
         .out = &file,
         .value = "F",
         .help = "a description a line; - reads "
                 "standard input"},
        {.name = "--out",
         .letter = 'o',
         .kind = OPTION_STRING,
         .out = &dir,
         .value = "DIR",
         .help = "the adapter's folder; with --file a folder of them"},
        {.name = "--format",
         .kind = OPTION_CHOICE,
         .out = &format,
         .choices = "peft",
         .value = "F",
         .help = "peft"},
        {.kind = OPTION_END},
    };
    TRY(cli_parse(cli, argc, argv, options, 0, 0));
    if (cli->help_shown) return OK;
    TRY(cli_require(cli, "--t2l", ckpt));
    TRY(cli_require(cli, "-o", dir));
    if (!text == !file) return status_error(E_USAGE, "give one of --text and --file");
    Device dev;
    T2l t;
    TRY(cli_open_device(cli, &dev));
    Status s = t2l_open(&t, &dev, cli, ckpt, 1, NULL, NULL);
    if (status_is_ok(s)) {
        s = generate(cli, &t, text, file, dir);
        t2l_close(&t);
    }
    device_close(&dev);
    return s;
}
