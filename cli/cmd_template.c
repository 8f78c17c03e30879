/* t2l template: each line, an array of messages, rendered as the model was trained to see it. */
#include "cli/cli.h"
#include "cli/lines.h"
#include "cli/loaded.h"
#include "cli/messages.h"

#include <stdlib.h>
#include <string.h>

static Status render_line(const Template *t, const Lines *l, const char *system, TemplateOpts opts) {
    cJSON *value;
    ChatMessage *messages;
    size_t n;
    TRY(lines_json(l, &value));
    Status s = messages_read(&messages, &n, value, system, l->where);
    if (status_is_ok(s)) {
        char *text;
        s = status_wrap(template_render(&text, t, messages, n, opts), "%s", l->where);
        free(messages);
        if (status_is_ok(s)) {
            print_json_string(stdout, text, strlen(text));
            putchar('\n');
            free(text);
        }
    }
    cJSON_Delete(value);
    return s;
}

Status cmd_template(Cli *cli, int argc, char **argv) {
    const char *model = NULL, *system = NULL;
    TemplateOpts opts = {.generation_prompt = true};
    bool no_default = false;
    const Option options[] = {
        {.name = "--model",
         .kind = OPTION_STRING,
         .out = &model,
         .value = "M",
         .help = "directory, .gguf file or short name"},
        {.name = "--system",
         .kind = OPTION_STRING,
         .out = &system,
         .value = "S",
         .help = "system message put first"},
        {.name = "--no-default-system",
         .kind = OPTION_SWITCH,
         .out = &no_default,
         .help = "leave out the system message that the model adds by itself"},
        {.kind = OPTION_END},
    };
    TRY(cli_parse(cli, argc, argv, options, 0, 1));
    if (cli->help_shown) return OK;
    TRY(cli_require(cli, "--model", model));
    opts.default_system = !no_default;
    Vocabulary v;
    TRY(loaded_vocabulary(&v, cli, model));
    Template t = {0};
    Lines lines = {0};
    Status s = template_recognise(&t, v.jinja, v.tokenizer, model);
    if (status_is_ok(s)) s = lines_open(&lines, cli->n_args ? cli->args[0] : NULL);
    bool more = true;
    while (status_is_ok(s) && more) {
        s = lines_next(&lines, &more);
        if (status_is_ok(s) && more) s = render_line(&t, &lines, system, opts);
        if (status_is_ok(s)) s = cli_check_stop(cli);
    }
    lines_close(&lines);
    template_free(&t);
    vocabulary_close(&v);
    return s;
}
