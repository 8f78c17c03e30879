/* t2l tokenize: each line of text to a JSON array of ids; --decode: each line, an array of ids, to text. */
#include "cli/cli.h"
#include "cli/lines.h"
#include "cli/loaded.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct Mode {
    bool json_in, decode, json_out;
} Mode;

static Status encode_line(const Vocabulary *v, TokenBuf *ids, const Lines *l, Mode mode) {
    TokenizerOpts opts = {.parse_special = true};
    ids->n = 0;
    if (mode.json_in) {
        cJSON *value;
        TRY(lines_json(l, &value));
        Status s = cJSON_IsString(value) ? tokenizer_encode(v->tokenizer, ids, value->valuestring,
                                                            strlen(value->valuestring), opts)
                                         : status_error(E_INPUT, "%s: expected a JSON string, found %s",
                                                        l->where, json_type_name(value));
        cJSON_Delete(value);
        TRY(s);
    } else {
        TRY(status_wrap(tokenizer_encode(v->tokenizer, ids, l->text, l->n, opts), "%s", l->where));
    }
    putchar('[');
    for (size_t i = 0; i < ids->n; i++) printf("%s%" PRId32, i ? "," : "", ids->ids[i]);
    puts("]");
    return OK;
}

static Status read_ids(TokenBuf *ids, const cJSON *value, const char *where) {
    ids->n = 0;
    if (!cJSON_IsArray(value))
        return status_error(E_INPUT, "%s: expected a JSON array of ids, found %s", where,
                            json_type_name(value));
    for (const cJSON *item = value->child; item; item = item->next) {
        double d = cJSON_IsNumber(item) ? item->valuedouble : -1;
        if (!(d >= 0 && d <= INT32_MAX && d == floor(d)))
            return status_error(E_INPUT, "%s: expected ids (integers from 0), found %s", where,
                                json_type_name(item));
        TRY(tokenizer_buf_push(ids, (int32_t)d));
    }
    return OK;
}

static Status decode_line(const Vocabulary *v, TokenBuf *ids, const Lines *l, Mode mode) {
    cJSON *value;
    TRY(lines_json(l, &value));
    Status s = read_ids(ids, value, l->where);
    cJSON_Delete(value);
    TRY(s);
    char *text;
    size_t n;
    TokenizerDecodeOpts opts = {.skip_special = false};
    TRY(status_wrap(tokenizer_decode(v->tokenizer, &text, &n, ids->ids, ids->n, opts), "%s", l->where));
    if (mode.json_out)
        print_json_string(stdout, text, n);
    else
        fwrite(text, 1, n, stdout);
    putchar('\n');
    free(text);
    return OK;
}

Status cmd_tokenize(Cli *cli, int argc, char **argv) {
    const char *model = NULL;
    Mode mode = {0};
    const Option options[] = {
        {.name = "--model",
         .kind = OPTION_STRING,
         .out = &model,
         .value = "M",
         .help = "directory, .gguf file or short name"},
        {.name = "--json-in",
         .kind = OPTION_SWITCH,
         .out = &mode.json_in,
         .help = "each line is a JSON string"},
        {.name = "--decode",
         .kind = OPTION_SWITCH,
         .out = &mode.decode,
         .help = "each line is an array of ids; prints text (--json: a JSON string)"},
        {.kind = OPTION_END},
    };
    TRY(cli_parse(cli, argc, argv, options, 0, 1));
    if (cli->help_shown) return OK;
    TRY(cli_require(cli, "--model", model));
    mode.json_out = cli->json;
    Vocabulary v;
    Lines lines;
    TRY(loaded_vocabulary(&v, cli, model));
    TokenBuf ids = {0};
    Status s = lines_open(&lines, cli->n_args ? cli->args[0] : NULL);
    bool more = true;
    while (status_is_ok(s) && more) {
        s = lines_next(&lines, &more);
        if (status_is_ok(s) && more)
            s = mode.decode ? decode_line(&v, &ids, &lines, mode) : encode_line(&v, &ids, &lines, mode);
        if (status_is_ok(s)) s = cli_check_stop(cli);
    }
    lines_close(&lines);
    tokenizer_buf_free(&ids);
    vocabulary_close(&v);
    return s;
}
