/* t2l score: log-likelihood of continuations, batch by batch as lines come. */
#include "cli/cli.h"
#include "cli/lines.h"
#include "cli/loaded.h"
#include "eval/score.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_BATCH = 256 };

typedef struct Batch {
    int64_t n;
    TokenBuf tokens[MAX_BATCH]; /* owns */
    int64_t n_context[MAX_BATCH];
} Batch;

static Status add_line(Batch *b, const Llm *llm, const Lines *l) {
    cJSON *value;
    const char *context, *continuation;
    TRY(lines_json(l, &value));
    Status s = json_get_string(&context, value, "context", l->where);
    if (status_is_ok(s)) s = json_get_string(&continuation, value, "continuation", l->where);
    b->tokens[b->n].n = 0;
    if (status_is_ok(s))
        s = status_wrap(score_encode(&b->tokens[b->n], &b->n_context[b->n], llm, context, strlen(context),
                                     continuation, strlen(continuation)),
                        "%s", l->where);
    if (status_is_ok(s)) b->n++;
    cJSON_Delete(value);
    return s;
}

static Status flush(Batch *b, Loaded *loaded, const Cli *cli) {
    ScoreRequest requests[MAX_BATCH];
    ScoreResult results[MAX_BATCH];
    for (int64_t i = 0; i < b->n; i++)
        requests[i] = (ScoreRequest){b->tokens[i].ids, b->n_context[i], (int64_t)b->tokens[i].n,
                                     loaded->adapted ? 0 : -1};
    ScoreOpts opts = {.stop = cli->stop};
    TRY(score_run(results, &loaded->llm, &loaded->dev, loaded_loras(loaded), requests, b->n, opts));
    for (int64_t i = 0; i < b->n; i++)
        printf("{\"logprob\":%.9g,\"tokens\":%lld,\"greedy\":%s}\n", results[i].logprob,
               (long long)results[i].n_tokens, results[i].greedy ? "true" : "false");
    fflush(stdout);
    b->n = 0;
    return OK;
}

static Status score_lines(Loaded *loaded, Cli *cli, Lines *lines, Batch *b, int64_t size) {
    for (bool more = true; more;) {
        TRY(lines_next(lines, &more));
        if (more) TRY(add_line(b, &loaded->llm, lines));
        if (b->n && (!more || b->n == size)) TRY(flush(b, loaded, cli));
    }
    return OK;
}

Status cmd_score(Cli *cli, int argc, char **argv) {
    LoadedWant want = {0};
    int64_t size = 64;
    const Option options[] = {
        LOADED_OPTIONS(want),
        {.name = "--batch",
         .kind = OPTION_INT,
         .out = &size,
         .min = 1,
         .max = MAX_BATCH,
         .value = "N",
         .help = "lines taken together (64); 1 answers line by line"},
        {.kind = OPTION_END},
    };
    TRY(cli_parse(cli, argc, argv, options, 0, 1));
    if (cli->help_shown) return OK;
    Loaded loaded;
    Lines lines;
    TRY(loaded_open(&loaded, cli, &want));
    Batch *b = calloc(1, sizeof *b);
    Status s =
        b ? lines_open(&lines, cli->n_args ? cli->args[0] : NULL) : status_error(E_ENV, "out of memory");
    if (status_is_ok(s)) {
        s = score_lines(&loaded, cli, &lines, b, size);
        lines_close(&lines);
    }
    for (int i = 0; b && i < MAX_BATCH; i++) tokenizer_buf_free(&b->tokens[i]);
    free(b);
    loaded_close(&loaded);
    return s;
}
