#include "eval/prompts.h"
#include "eval/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

PRINTF_LIKE(2, 3)
static Status format(char **out, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    int n = vasprintf(out, fmt, args);
    va_end(args);
    if (n >= 0) return OK;
    *out = NULL;
    return status_error(E_ENV, "no memory for a prompt");
}

static bool named(const Benchmark *b, const char *name) {
    return strcmp(b->name, name) == 0;
}

/* ---- log-likelihood ---- */

/* Replaces every occurrence of `from` by a `to` that is not longer, in place, in one pass. */
static void replace(char *s, const char *from, const char *to) {
    size_t n = strlen(from), m = strlen(to);
    char *w = s;
    while (*s) {
        if (strncmp(s, from, n) == 0) {
            memcpy(w, to, m);
            w += m;
            s += n;
        } else {
            *w++ = *s++;
        }
    }
    *w = 0;
}

/* Drops "[...]" within a line. */
static void drop_brackets(char *s) {
    char *w = s;
    while (*s) {
        size_t n = *s == '[' ? strcspn(s, "]\n") : 0;
        if (n > 0 && s[n] == ']')
            s += n + 1;
        else
            *w++ = *s++;
    }
    *w = 0;
}

/* hellaswag's clean-up, in place: traces of WikiHow's page structure. */
static void clean(char *s) {
    size_t n = text_strip_end(s, strlen(s)), front = text_strip_start(s, n);
    memmove(s, s + front, n - front);
    s[n - front] = 0;
    replace(s, " [title]", ". ");
    drop_brackets(s);
    replace(s, "  ", " ");
}

static Status hellaswag_context(char **out, const BenchmarkItem *it) {
    const char *label = benchmark_field(it, "activity_label");
    if (!cJSON_GetObjectItemCaseSensitive(it->fields, "ctx_b")) {
        TRY(format(out, "%s: %s", label, benchmark_field(it, "ctx")));
    } else {
        char *second;
        TRY(text_capitalize(&second, benchmark_field(it, "ctx_b")));
        Status s = format(out, "%s: %s %s", label, benchmark_field(it, "ctx_a"), second);
        free(second);
        TRY(s);
    }
    clean(*out);
    return OK;
}

static Status winogrande_pair(PromptPair *out, const BenchmarkItem *it, int choice) {
    const char *sentence = benchmark_field(it, "sentence"), *blank = strchr(sentence, '_');
    TRY(format(&out->context, "%.*s%s", (int)(blank - sentence), sentence, it->choice[choice]));
    size_t n = text_strip_end(blank + 1, strlen(blank + 1)), front = text_strip_start(blank + 1, n);
    return format(&out->continuation, " %.*s", (int)(n - front), blank + 1 + front);
}

static Status question_context(char **out, const Benchmark *b, const BenchmarkItem *it) {
    if (named(b, "openbookqa")) return format(out, "%s", benchmark_field(it, "question_stem"));
    if (named(b, "boolq"))
        return format(out, "%s\nQuestion: %s?\nAnswer:", benchmark_field(it, "passage"),
                      benchmark_field(it, "question"));
    return format(out, "Question: %s\nAnswer:", benchmark_field(it, named(b, "piqa") ? "goal" : "question"));
}

static Status make_pair(PromptPair *out, const Benchmark *b, const BenchmarkItem *it, int choice) {
    out->length = text_length(it->choice[choice], strlen(it->choice[choice]));
    if (named(b, "winogrande")) return winogrande_pair(out, it, choice);
    TRY(format(&out->continuation, " %s", it->choice[choice]));
    if (!named(b, "hellaswag")) return question_context(&out->context, b, it);
    clean(out->continuation + 1);
    out->length = text_length(out->continuation + 1, strlen(out->continuation + 1));
    return hellaswag_context(&out->context, it);
}

Status prompts_pair(PromptPair *out, const Benchmark *b, const BenchmarkItem *it, int choice) {
    CHECK(choice >= 0 && choice < it->n_choices, "choice %d of %d", choice, it->n_choices);
    *out = (PromptPair){0};
    Status s = make_pair(out, b, it, choice);
    if (!status_is_ok(s)) prompts_pair_free(out);
    return s;
}

void prompts_pair_free(PromptPair *p) {
    free(p->context);
    free(p->continuation);
    *p = (PromptPair){0};
}

Status prompts_gsm8k(char **out, const BenchmarkItem *it, const BenchmarkItem *shots, int n_shots) {
    TRY(format(out, "%s", ""));
    for (int i = 0; i <= n_shots; i++) {
        const BenchmarkItem *e = i < n_shots ? &shots[i] : it;
        char *before = *out;
        Status s = format(out, "%sQuestion: %s\nAnswer:%s%s%s", before, benchmark_field(e, "question"),
                          i < n_shots ? " " : "", i < n_shots ? benchmark_field(e, "answer") : "",
                          i < n_shots ? "\n\n" : "");
        free(before);
        TRY(s);
    }
    return OK;
}

const char *const *prompts_gsm8k_stops(void) {
    static const char *const stops[] = {"Question:", "</s>", "<|im_end|>", NULL};
    return stops;
}

/* ---- chat ---- */

/* How an example is solved in a prompt. */
static Status solution(char **out, const Benchmark *b, const Wording *w, const BenchmarkItem *it) {
    if (b->score == BENCHMARK_NUMBER) return format(out, "%s %s", w->prefill, benchmark_field(it, "answer"));
    if (b->score == BENCHMARK_CODE) return format(out, "%s%s%s", w->prefill, it->target, w->postfill);
    return format(out, "Answer: %s", it->target);
}

static Status add_shots(char **user, const Benchmark *b, const Wording *w, const PromptChatOpts *opts) {
    for (int i = 0; i < opts->n_shots; i++) {
        char *before = *user, *question = NULL, *answer = NULL;
        Status s = wordings_fill(&question, w->user, &opts->shots[i], opts->where);
        if (status_is_ok(s)) s = solution(&answer, b, w, &opts->shots[i]);
        if (status_is_ok(s)) s = format(user, "%s%s\n\n%s\n\n", before, question, answer);
        if (*user != before) free(before);
        free(question);
        free(answer);
        TRY(s);
    }
    return OK;
}

static Status make_chat(PromptChat *out, const Benchmark *b, const Wording *w, const BenchmarkItem *it,
                        const PromptChatOpts *opts) {
    const char *d = opts->description;
    TRY(format(&out->user, "%s%s", d ? d : "", d ? "\n\n" : ""));
    TRY(add_shots(&out->user, b, w, opts));
    char *question, *before = out->user;
    TRY(wordings_fill(&question, w->user, it, opts->where));
    Status s = format(&out->user, "%s%s", before, question);
    free(question);
    free(before);
    TRY(s);
    if (named(b, "humaneval"))
        return format(&out->prefill, "%s%s", w->prefill, benchmark_field(it, "prompt"));
    bool answer = opts->n_shots > 0 && b->score == BENCHMARK_CHOICE;
    return format(&out->prefill, "%s", answer ? "Answer:" : w->prefill);
}

Status prompts_chat(PromptChat *out, const Benchmark *b, const Wording *w, const BenchmarkItem *it,
                    PromptChatOpts opts) {
    *out = (PromptChat){0};
    Status s = make_chat(out, b, w, it, &opts);
    if (!status_is_ok(s)) prompts_chat_free(out);
    return s;
}

void prompts_chat_free(PromptChat *p) {
    free(p->user);
    free(p->prefill);
    *p = (PromptChat){0};
}
