/* Policy: prompts of all examples first, several times where there are several samples, then one run of the
 * generation engine. Every example keeps the bytes it has made so far; on_token ends it when they decide its
 * score. */
#include "eval/bench_run.h"
#include "base/file.h"
#include "eval/answers.h"
#include "eval/generate.h"
#include "eval/prompts.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { LOGLIK_NEW_TOKENS = 256 }; /* lm-evaluation-harness's max_gen_toks */

typedef struct Example {
    size_t at, n; /* prompt in ids */
    char sha256[65];
    char *text; /* owns: made so far */
    size_t n_text, cap;
} Example;

typedef struct Generation {
    BenchRun *r;
    int64_t n, samples; /* answers; of an example, behind each other */
    bool prefilled;     /* programs: an answer continues an opened fence */
    TokenBuf ids;
    Example *example; /* owns [n] */
    GenRequest *request;
    bool failed; /* no memory in on_token */
} Generation;

/* ---- prompts ---- */

static Status render(char **out, const Llm *llm, const char *user, bool system) {
    ChatMessage turns[] = {{"system", ""}, {"user", user}};
    TemplateOpts opts = {true, false};
    return template_render(out, &llm->chat, system ? turns : turns + 1, system ? 2 : 1, opts);
}

bool bench_has_system(const Llm *llm) {
    char *text = NULL;
    Status s = render(&text, llm, "?", true);
    bool ok = status_is_ok(s);
    status_free(s);
    free(text);
    return ok;
}

static Status chat_prompt(char **out, const BenchRun *r, const BenchmarkItem *it, const char *where) {
    Wording w;
    PromptChat chat;
    char *text = NULL;
    PromptChatOpts opts = {.description = r->arm->prompted ? r->arm->description : NULL,
                           .shots = r->opts.shots,
                           .n_shots = r->opts.n_shots,
                           .where = where};
    TRY(wordings_find(&w, r->opts.wordings, r->set->benchmark));
    TRY(prompts_chat(&chat, r->set->benchmark, &w, it, opts));
    Status s = render(&text, r->llm, chat.user, bench_has_system(r->llm));
    if (status_is_ok(s) && asprintf(out, "%s%s", text, chat.prefill) < 0) {
        *out = NULL;
        s = status_error(E_ENV, "no memory for a prompt");
    }
    free(text);
    prompts_chat_free(&chat);
    return s;
}

/* The token in front of a prompt, behind which the chat template's own may follow; -1: none. */
static Status front_token(int32_t *out, const BenchRun *r) {
    const Llm *llm = r->llm;
    *out = r->opts.protocol == BENCH_LOGLIK ? tokenizer_markers(llm->tokenizer).first : -1;
    if (r->opts.protocol == BENCH_LOGLIK || !r->opts.double_bos) return OK;
    *out = llm->cfg.bos;
    return *out >= 0 ? OK
                     : status_error(E_INPUT, "%s: no beginning-of-sequence token to double",
                                    llm->name ? llm->name : "the model");
}

static Status encode(Generation *g, Example *e, const char *prompt) {
    const Llm *llm = g->r->llm;
    int32_t front;
    e->at = g->ids.n;
    TRY(front_token(&front, g->r));
    if (front >= 0) TRY(tokenizer_buf_push(&g->ids, front));
    TRY(tokenizer_encode(llm->tokenizer, &g->ids, prompt, strlen(prompt), (TokenizerOpts){true}));
    e->n = g->ids.n - e->at;
    sha256_hex(e->sha256, prompt, strlen(prompt));
    return OK;
}

static Status add_prompt(Generation *g, int64_t i) {
    const BenchRun *r = g->r;
    const BenchmarkItem *it = &r->set->items[i / g->samples];
    char *prompt = NULL, where[4200];
    snprintf(where, sizeof where, "%.4096s:%lld", r->set->path, (long long)it->index + 1);
    if (r->opts.protocol == BENCH_LOGLIK)
        TRY(prompts_gsm8k(&prompt, it, r->opts.shots, r->opts.n_shots));
    else
        TRY(chat_prompt(&prompt, r, it, where));
    Status s = encode(g, &g->example[i], prompt);
    free(prompt);
    return status_wrap(s, "%s", where);
}

/* ---- while it runs ---- */

/* Where generation stops for lm-evaluation-harness: the length before the first stop. */
static size_t stop_at(const Example *e) {
    size_t n = e->n_text;
    if (n == 0) return 0;
    for (const char *const *stop = prompts_gsm8k_stops(); *stop; stop++) {
        const char *at = memmem(e->text, n, *stop, strlen(*stop));
        if (at) n = (size_t)(at - e->text);
    }
    return n;
}

static bool decided(const Generation *g, const Example *e) {
    const BenchRun *r = g->r;
    if (r->opts.protocol == BENCH_LOGLIK) return stop_at(e) < e->n_text;
    if (r->set->benchmark->score == BENCHMARK_CODE) {
        AnswerText code = answers_code(e->text, e->n_text, g->prefilled);
        return code.at + code.n < e->text + e->n_text;
    }
    if (r->set->benchmark->score != BENCHMARK_CHOICE) return false;
    for (size_t i = 0; i < e->n_text; i++) /* a character that is not stripped decides */
        if (!isspace((unsigned char)e->text[i]) && !(e->text[i] && strchr(":`'\"(.)", e->text[i])))
            return true;
    return false;
}

static bool append(Example *e, const char *bytes, size_t n) {
    if (e->cap - e->n_text < n + 1) {
        size_t cap = 2 * e->cap + n + 64;
        char *grown = realloc(e->text, cap);
        if (!grown) return false;
        e->text = grown;
        e->cap = cap;
    }
    memcpy(e->text + e->n_text, bytes, n);
    e->n_text += n;
    e->text[e->n_text] = 0;
    return true;
}

static bool on_token(void *ctx, int64_t request, int64_t i, int32_t token) {
    (void)i;
    Generation *g = ctx;
    Example *e = &g->example[request];
    const Tokenizer *t = g->r->llm->tokenizer;
    size_t n;
    if (tokenizer_is_special(t, token)) return true;
    const char *bytes = tokenizer_token_bytes(t, &n, token);
    g->failed = g->failed || !append(e, bytes, n);
    return !g->failed && !decided(g, e);
}

static void on_progress(void *ctx, int64_t done, int64_t total) {
    (void)total;
    Generation *g = ctx;
    progress_update(&g->r->progress, g->r->before + done / g->samples, NULL);
}

/* ---- scores ---- */

static AnswerText score_example(const BenchRun *r, const Example *e, int64_t i, char pred[32]) {
    const BenchmarkItem *it = &r->set->items[i];
    const char *text = e->text ? e->text : "";
    double *score = &r->row->score[i], *second = r->row->second ? &r->row->second[i] : NULL, x, y;
    if (r->opts.protocol == BENCH_LOGLIK) {
        size_t n = stop_at(e);
        AnswerText strict = answers_gsm8k_strict(text, n), flexible = answers_gsm8k_flexible(text, n);
        *score = answers_gsm8k_equal(strict, it->target, strlen(it->target));
        *second = answers_gsm8k_equal(flexible, it->target, strlen(it->target));
        return flexible.at ? flexible : (AnswerText){"", 0};
    }
    pred[0] = 0;
    switch (r->set->benchmark->score) {
    case BENCHMARK_CHOICE:
        pred[0] = answers_choice(text, e->n_text);
        pred[1] = 0;
        *score = pred[0] && pred[0] == answers_choice(it->target, strlen(it->target));
        break;
    case BENCHMARK_BOOLEAN:
        *score = answers_boolean(text, e->n_text) == it->gold;
        *second = answers_boolean_strict(text, e->n_text) == it->gold;
        if (answers_boolean(text, e->n_text) >= 0)
            strcpy(pred, answers_boolean(text, e->n_text) ? "true" : "false");
        break;
    case BENCHMARK_NUMBER:
        *score = answers_number(&x, text, e->n_text) && answers_number(&y, it->target, strlen(it->target)) &&
                 x == y;
        if (answers_number(&x, text, e->n_text)) snprintf(pred, 32, "%.15g", x);
        break;
    case BENCHMARK_CODE:
        CHECK(false, "programs are not scored one by one");
    }
    return (AnswerText){pred, strlen(pred)};
}

/* outcome: of the example's programs; NULL: it is none. */
static Status write_line(const Generation *g, const GenOutput *out, int64_t i, AnswerText said,
                         const CageOutcome *outcome) {
    const BenchRun *r = g->r;
    const Example *e = &g->example[i * g->samples];
    const GenResult *result = &out->results[i * g->samples];
    int n = (int)g->samples;
    const char **output = calloc(2 * (size_t)n, sizeof *output), **reason = output + n;
    if (!output) return status_error(E_ENV, "no memory for an example's line");
    BenchLine line = {.sha256 = e->sha256,
                      .pred = said.at,
                      .n_pred = said.n,
                      .target = r->set->items[i].target,
                      .finish = n == 1 ? generate_finish_name(result->finish) : NULL,
                      .output = output,
                      .reason = outcome ? reason : NULL,
                      .n_samples = n};
    Status s = OK;
    for (int k = 0; status_is_ok(s) && k < n; k++) {
        size_t length;
        char *text = NULL;
        s = tokenizer_decode(r->llm->tokenizer, &text, &length, result[k].tokens, (size_t)result[k].n,
                             (TokenizerDecodeOpts){true});
        output[k] = text;
        if (outcome) reason[k] = outcome[k].reason;
        line.seconds += result[k].seconds;
    }
    if (status_is_ok(s)) s = bench_write_item(r, i, line);
    for (int k = 0; k < n; k++) free((char *)output[k]);
    free(output);
    return s;
}

/* Programs: all of this step's at once. pred is the verdict of an example's first one. */
static Status take_programs(Generation *g, const GenOutput *out, AnswerText *answer, CageOutcome *outcome) {
    BenchRun *r = g->r;
    for (int64_t i = 0; i < g->n; i++)
        answer[i] = (AnswerText){g->example[i].text ? g->example[i].text : "", g->example[i].n_text};
    TRY(bench_code(outcome, r, answer, g->prefilled));
    for (int64_t i = 0; r->opts.items && i < r->set->n; i++) {
        const CageOutcome *first = &outcome[i * g->samples];
        const char *verdict = cage_verdict_name(first->verdict);
        TRY(write_line(g, out, i, (AnswerText){verdict, strlen(verdict)}, first));
    }
    return OK;
}

static Status take_answers(Generation *g, const GenOutput *out) {
    BenchRun *r = g->r;
    for (int64_t i = 0; i < r->set->n; i++) {
        char pred[32];
        AnswerText said = score_example(r, &g->example[i], i, pred);
        if (r->opts.items) TRY(write_line(g, out, i, said, NULL));
    }
    return OK;
}

static Status take_results(Generation *g, const GenOutput *out) {
    BenchRun *r = g->r;
    r->report->tokens += out->prompt_tokens;
    r->report->token_seconds += out->prefill_seconds;
    if (r->set->benchmark->score != BENCHMARK_CODE) return take_answers(g, out);
    AnswerText *answer = calloc((size_t)g->n, sizeof *answer);
    CageOutcome *outcome = calloc((size_t)g->n, sizeof *outcome);
    Status s = answer && outcome ? take_programs(g, out, answer, outcome)
                                 : status_error(E_ENV, "no memory for %lld programs", (long long)g->n);
    free(answer);
    free(outcome);
    return s;
}

/* Whether programs continue an opened fence: humaneval's always continue the beginning of the function. */
static Status find_prefilled(Generation *g) {
    const BenchRun *r = g->r;
    Wording w;
    if (r->set->benchmark->score != BENCHMARK_CODE) return OK;
    TRY(wordings_find(&w, r->opts.wordings, r->set->benchmark));
    g->prefilled = strcmp(r->set->benchmark->name, "humaneval") == 0 || strstr(w.prefill, "```");
    return OK;
}

static Status run(Generation *g) {
    BenchRun *r = g->r;
    GenOutput out;
    TRY(find_prefilled(g));
    for (int64_t i = 0; i < g->n; i++) TRY(add_prompt(g, i));
    for (int64_t i = 0; i < g->n; i++)
        g->request[i] = (GenRequest){g->ids.ids + g->example[i].at, (int64_t)g->example[i].n,
                                     r->arm->loras ? r->arm->adapter : -1};
    bool code = r->set->benchmark->score == BENCHMARK_CODE;
    GenOpts opts = {.max_new_tokens = r->opts.max_new_tokens,
                    .temperature = code ? r->opts.temperature : 0,
                    .seed = r->opts.seed,
                    .first = r->before * g->samples,
                    .on_token = on_token,
                    .on_progress = on_progress,
                    .ctx = g,
                    .stop = r->opts.stop};
    if (!opts.max_new_tokens && r->opts.protocol == BENCH_LOGLIK) opts.max_new_tokens = LOGLIK_NEW_TOKENS;
    TRY(status_wrap(generate_once(&out, r->llm, r->dev, r->arm->loras, g->request, g->n, r->opts.slots, opts),
                    "%s", r->set->path));
    Status s = g->failed ? status_error(E_ENV, "no memory for the answers") : take_results(g, &out);
    generate_free(&out);
    return s;
}

Status bench_generate(BenchRun *r) {
    Generation g = {.r = r, .samples = bench_samples(r)};
    g.n = r->set->n * g.samples;
    g.example = calloc((size_t)g.n, sizeof *g.example);
    g.request = calloc((size_t)g.n, sizeof *g.request);
    Status s =
        g.example && g.request ? run(&g) : status_error(E_ENV, "no memory for %lld answers", (long long)g.n);
    for (int64_t i = 0; g.example && i < g.n; i++) free(g.example[i].text);
    free(g.example);
    free(g.request);
    tokenizer_buf_free(&g.ids);
    return s;
}
