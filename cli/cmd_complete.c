/* t2l complete: answers to prompts or messages, batch by batch as lines come. Raw prompts are taken as they
 * are; messages go through the model's chat template, with the system message that the model adds by itself
 * unless the adapter was made from a description (Text-to-LoRA trains without one). */
#include "cli/cli.h"
#include "cli/lines.h"
#include "cli/messages.h"
#include "cli/loaded.h"
#include "eval/generate.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_BATCH = 256 };

typedef struct Batch {
    int64_t n, first;            /* first: lines before this batch */
    TokenBuf prompts[MAX_BATCH]; /* owns */
} Batch;

typedef struct Ask {
    TemplateOpts template;
    GenOpts gen;
    int64_t size;
} Ask;

static Status encode_messages(TokenBuf *out, const Llm *llm, const cJSON *value, TemplateOpts opts,
                              const char *where) {
    ChatMessage *messages;
    size_t n;
    char *text;
    TRY(messages_read(&messages, &n, value, NULL, where));
    Status s = status_wrap(template_render(&text, &llm->chat, messages, n, opts), "%s", where);
    free(messages);
    TRY(s);
    s = tokenizer_encode(llm->tokenizer, out, text, strlen(text), (TokenizerOpts){.parse_special = true});
    free(text);
    return s;
}

static Status encode_request(TokenBuf *out, const Llm *llm, const cJSON *value, TemplateOpts opts,
                             const char *where) {
    const cJSON *messages = cJSON_GetObjectItemCaseSensitive(value, "messages");
    out->n = 0;
    if (messages) return encode_messages(out, llm, messages, opts, where);
    const char *prompt;
    TRY(json_get_string(&prompt, value, "prompt", where));
    return tokenizer_encode(llm->tokenizer, out, prompt, strlen(prompt),
                            (TokenizerOpts){.parse_special = true});
}

static Status add_line(Batch *b, const Llm *llm, const Lines *l, TemplateOpts opts) {
    cJSON *value;
    TRY(lines_json(l, &value));
    TokenBuf *out = &b->prompts[b->n];
    Status s = encode_request(out, llm, value, opts, l->where);
    cJSON_Delete(value);
    if (status_is_ok(s) && out->n == 0) s = status_error(E_INPUT, "%s: an empty prompt", l->where);
    if (status_is_ok(s)) b->n++;
    return s;
}

static Status print_result(const Llm *llm, const GenResult *r) {
    char *text;
    size_t n;
    TRY(tokenizer_decode(llm->tokenizer, &text, &n, r->tokens, (size_t)r->n,
                         (TokenizerDecodeOpts){.skip_special = true}));
    fputs("{\"text\":", stdout);
    print_json_string(stdout, text, n);
    printf(",\"tokens\":%lld,\"finish\":\"%s\"}\n", (long long)r->n, generate_finish_name(r->finish));
    free(text);
    return OK;
}

static Status flush(Batch *b, Loaded *loaded, const Cli *cli, GenOpts opts) {
    GenRequest requests[MAX_BATCH];
    GenOutput out;
    for (int64_t i = 0; i < b->n; i++)
        requests[i] = (GenRequest){b->prompts[i].ids, (int64_t)b->prompts[i].n, loaded->adapted ? 0 : -1};
    opts.stop = cli->stop;
    opts.seed =
        (uint64_t)cli->seed + (uint64_t)b->first; /* the number of a request starts anew in each batch */
    Status s = generate_once(&out, &loaded->llm, &loaded->dev, loaded_loras(loaded), requests, b->n, 0, opts);
    for (int64_t i = 0; status_is_ok(s) && i < out.n; i++) s = print_result(&loaded->llm, &out.results[i]);
    generate_free(&out);
    fflush(stdout);
    b->first += b->n;
    b->n = 0;
    return s;
}

static Status complete_lines(Loaded *loaded, Cli *cli, Lines *lines, Batch *b, const Ask *ask) {
    for (bool more = true; more;) {
        TRY(lines_next(lines, &more));
        if (more) TRY(add_line(b, &loaded->llm, lines, ask->template));
        if (b->n && (!more || b->n == ask->size)) TRY(flush(b, loaded, cli, ask->gen));
    }
    return OK;
}

Status cmd_complete(Cli *cli, int argc, char **argv) {
    LoadedWant want = {0};
    int64_t max_tokens = 512;
    double temperature = 0;
    bool no_system = false;
    Ask ask = {.size = 64};
    const Option options[] = {
        LOADED_OPTIONS(want),
        {.name = "--max-tokens",
         .kind = OPTION_INT,
         .out = &max_tokens,
         .min = 1,
         .max = 1 << 20,
         .value = "N",
         .help = "longest answer (512)"},
        {.name = "--temperature",
         .kind = OPTION_FLOAT,
         .out = &temperature,
         .max = 100,
         .value = "T",
         .help = "0 (default): always the likeliest token"},
        {.name = "--no-default-system",
         .kind = OPTION_SWITCH,
         .out = &no_system,
         .help = "leave out the system message that the model adds by itself"},
        {.name = "--batch",
         .kind = OPTION_INT,
         .out = &ask.size,
         .min = 1,
         .max = MAX_BATCH,
         .value = "N",
         .help = "lines taken together (64); 1 answers line by line"},
        {.kind = OPTION_END},
    };
    TRY(cli_parse(cli, argc, argv, options, 0, 1));
    if (cli->help_shown) return OK;
    ask.template = (TemplateOpts){.generation_prompt = true, .default_system = !no_system && !want.t2l};
    ask.gen = (GenOpts){.max_new_tokens = max_tokens, .temperature = (float)temperature};
    Loaded loaded;
    Lines lines;
    TRY(loaded_open(&loaded, cli, &want));
    Batch *b = calloc(1, sizeof *b);
    Status s =
        b ? lines_open(&lines, cli->n_args ? cli->args[0] : NULL) : status_error(E_ENV, "out of memory");
    if (status_is_ok(s)) {
        s = complete_lines(&loaded, cli, &lines, b, &ask);
        lines_close(&lines);
    }
    for (int i = 0; b && i < MAX_BATCH; i++) tokenizer_buf_free(&b->prompts[i]);
    free(b);
    loaded_close(&loaded);
    return s;
}
