/* t2l embed: texts to vectors, as the hypernetwork sees them. */
#include "cli/cli.h"
#include "cli/lines.h"
#include "data/fetch.h"
#include "model/encoder.h"

#include <stdlib.h>

static Status embed_lines(Cli *cli, Encoder *encoder, Device *dev, Lines *lines, float *e) {
    int64_t width = encoder_width(encoder);
    for (bool more = true; more;) {
        TRY(lines_next(lines, &more));
        if (!more) break;
        const char *text = lines->text;
        TRY(status_wrap(encoder_embed(encoder, dev, e, &text, 1), "%s", lines->where));
        for (int64_t i = 0; i < width; i++) printf("%c%.9g", i ? ',' : '[', (double)e[i]);
        puts("]");
        TRY(cli_check_stop(cli));
    }
    return OK;
}

Status cmd_embed(Cli *cli, int argc, char **argv) {
    const char *model = NULL;
    const Option options[] = {
        {.name = "--encoder",
         .kind = OPTION_STRING,
         .out = &model,
         .value = "M",
         .help = "directory or short name"},
        {.kind = OPTION_END},
    };
    TRY(cli_parse(cli, argc, argv, options, 0, 1));
    if (cli->help_shown) return OK;
    TRY(cli_require(cli, "--encoder", model));
    char *path;
    TRY(fetch_resolve(&path, model, cli->cache));
    Device dev;
    Encoder encoder;
    Lines lines;
    Status s = cli_open_device(cli, &dev);
    if (!status_is_ok(s)) {
        free(path);
        return s;
    }
    s = encoder_load(&encoder, &dev, path);
    if (status_is_ok(s)) {
        float *e = malloc((size_t)encoder_width(&encoder) * sizeof *e);
        s = e ? lines_open(&lines, cli->n_args ? cli->args[0] : NULL) : status_error(E_ENV, "out of memory");
        if (status_is_ok(s)) {
            s = embed_lines(cli, &encoder, &dev, &lines, e);
            lines_close(&lines);
        }
        free(e);
        encoder_free(&encoder);
    }
    device_close(&dev);
    free(path);
    return s;
}
