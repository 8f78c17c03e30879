/* t2l chat: one prompt, or a conversation on a terminal. With an adapter, each question is answered twice: by
 * the base model and by the adapted one, whose answer the conversation goes on from. Prompts have no system
 * turn unless
 * --system gives one: that is how adapters are trained here. */
#include "cli/cli.h"
#include "cli/lines.h"
#include "cli/loaded.h"
#include "eval/generate.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_TURNS = 256 };

/* Prints tokens as they come, whole UTF-8 sequences only. */
typedef struct Stream {
    const Llm *llm;
    char pending[16];
    size_t n;
    bool print;
} Stream;

typedef struct Chat {
    Loaded *loaded;
    const Cli *cli;
    ChatMessage turns[MAX_TURNS]; /* owns the contents */
    size_t n;
    GenOpts gen;
} Chat;

static bool on_token(void *ctx, int64_t request, int64_t i, int32_t token) {
    Stream *s = ctx;
    (void)request;
    (void)i;
    size_t n;
    const char *bytes = tokenizer_token_bytes(s->llm->tokenizer, &n, token);
    if (!s->print || tokenizer_is_special(s->llm->tokenizer, token)) return true;
    for (size_t k = 0; k < n; k++) {
        s->pending[s->n++] = bytes[k];
        size_t whole = tokenizer_complete_utf8(s->pending, s->n);
        if (whole == 0 && s->n < sizeof s->pending) continue;
        if (whole == 0) whole = s->n;
        fwrite(s->pending, 1, whole, stdout);
        memmove(s->pending, s->pending + whole, s->n - whole);
        s->n -= whole;
    }
    fflush(stdout);
    return true;
}

/* *out owns the answer. */
static Status answer(char **out, Chat *c, bool adapted, bool print) {
    Loaded *s = c->loaded;
    TokenBuf prompt = {0};
    char *text;
    size_t n;
    TRY(template_render(&text, &s->llm.chat, c->turns, c->n, (TemplateOpts){.generation_prompt = true}));
    Status st = tokenizer_encode(s->llm.tokenizer, &prompt, text, strlen(text),
                                 (TokenizerOpts){.parse_special = true});
    free(text);
    if (status_is_ok(st)) {
        Stream stream = {.llm = &s->llm, .print = print};
        GenRequest request = {prompt.ids, (int64_t)prompt.n, adapted ? 0 : -1};
        GenOpts opts = c->gen;
        GenOutput generated;
        opts.on_token = on_token;
        opts.ctx = &stream;
        st = generate_once(&generated, &s->llm, &s->dev, adapted ? loaded_loras(s) : NULL, &request, 1, 1,
                           opts);
        if (status_is_ok(st))
            st =
                tokenizer_decode(s->llm.tokenizer, out, &n, generated.results[0].tokens,
                                 (size_t)generated.results[0].n, (TokenizerDecodeOpts){.skip_special = true});
        generate_free(&generated);
        if (print) putchar('\n');
    }
    tokenizer_buf_free(&prompt);
    return st;
}

static Status add_turn(Chat *c, const char *role, const char *content) {
    if (c->n == MAX_TURNS) return status_error(E_INPUT, "the conversation has more than %d turns", MAX_TURNS);
    char *copy = strdup(content);
    if (!copy) return status_error(E_ENV, "out of memory");
    c->turns[c->n++] = (ChatMessage){role, copy};
    return OK;
}

static void print_both(const char *base, const char *adapted) {
    fputs("{\"base\":", stdout);
    print_json_string(stdout, base, strlen(base));
    if (adapted) {
        fputs(",\"adapter\":", stdout);
        print_json_string(stdout, adapted, strlen(adapted));
    }
    puts("}");
}

/* One question, answered; the answer becomes a turn. */
static Status ask(Chat *c, const char *question) {
    char *base = NULL, *adapted = NULL;
    bool two = c->loaded->adapted, print = !c->cli->json;
    TRY(add_turn(c, "user", question));
    if (two && print) fputs("base model: ", stdout);
    Status s = answer(&base, c, false, print);
    if (status_is_ok(s) && two) {
        if (print) fputs("with the adapter: ", stdout);
        s = answer(&adapted, c, true, print);
    }
    if (status_is_ok(s) && !print) print_both(base, adapted);
    if (status_is_ok(s)) s = add_turn(c, "assistant", two ? adapted : base);
    free(base);
    free(adapted);
    return s;
}

static Status converse(Chat *c) {
    Lines lines;
    TRY(lines_open(&lines, NULL));
    fputs("An empty line ends the conversation.\n", stderr);
    Status s = OK;
    for (bool more = true; status_is_ok(s) && more;) {
        fputs("> ", stderr);
        s = lines_next(&lines, &more);
        more = more && lines.n > 0;
        if (status_is_ok(s) && more) s = ask(c, lines.text);
    }
    lines_close(&lines);
    return s;
}

/* All of standard input as one question. */
static Status ask_stdin(Chat *c) {
    char *text = NULL;
    size_t n = 0, cap = 0;
    for (size_t got = 1; got > 0;) {
        if (cap - n < 4096) {
            char *more = realloc(text, cap += 65536);
            if (!more) {
                free(text);
                return status_error(E_ENV, "out of memory");
            }
            text = more;
        }
        got = fread(text + n, 1, cap - n - 1, stdin);
        n += got;
    }
    while (n > 0 && text[n - 1] == '\n') n--;
    text[n] = 0;
    Status s = n ? ask(c, text) : status_error(E_USAGE, "no prompt: give one, or type on a terminal");
    free(text);
    return s;
}

Status cmd_chat(Cli *cli, int argc, char **argv) {
    LoadedWant want = {0};
    const char *system = NULL;
    int64_t max_tokens = 512;
    double temperature = 0;
    const Option options[] = {
        LOADED_OPTIONS(want),
        {.name = "--system", .kind = OPTION_STRING, .out = &system, .value = "S", .help = "a system message"},
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
        {.kind = OPTION_END},
    };
    TRY(cli_parse(cli, argc, argv, options, 0, 1));
    if (cli->help_shown) return OK;
    Loaded *loaded = malloc(sizeof *loaded);
    Chat *c = calloc(1, sizeof *c);
    Status s = loaded && c ? loaded_open(loaded, cli, &want) : status_error(E_ENV, "out of memory");
    if (status_is_ok(s)) {
        c->loaded = loaded;
        c->cli = cli;
        c->gen = (GenOpts){.max_new_tokens = max_tokens,
                           .temperature = (float)temperature,
                           .seed = (uint64_t)cli->seed,
                           .stop = cli->stop};
        if (system) s = add_turn(c, "system", system);
        if (status_is_ok(s))
            s = cli->n_args ? ask(c, cli->args[0]) : cli->stdin_tty ? converse(c) : ask_stdin(c);
        for (size_t i = 0; i < c->n; i++) free((char *)(uintptr_t)c->turns[i].content);
        loaded_close(loaded);
    }
    free(c);
    free(loaded);
    return s;
}
