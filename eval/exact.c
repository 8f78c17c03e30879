/* Policy: everything is planned first. A list of texts that become adapters (each once), of prompts (each
 * example bare and, where an arm shows it, with its instruction), and of items in the order of the report.
 * Then waves: as many adapters as one hypernetwork pass makes, or one given LoraSet, and all items that use
 * them, sorted by adapter, through one generation engine. Items without adapter go with the first wave. */
#include "eval/exact.h"

#include "base/file.h"
#include "base/json.h"
#include "base/progress.h"
#include "eval/rouge.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DEFAULT_NEW_TOKENS = 64, MATCH_MAX = 64, NONE = -1 };

typedef struct Prompt {
    int64_t at, n; /* tokens in Plan.ids; n == 0: not needed */
    char sha256[65];
} Prompt;

/* One decoding. */
typedef struct Item {
    int64_t row, index; /* index: into the test split */
    int arm;
    int64_t prompt;
    const char *said;     /* the description behind adapter or instruction; NULL: none */
    const LoraSet *loras; /* given adapters; NULL otherwise */
    int32_t text;         /* that makes the adapter, or the number in loras; NONE: no adapter */
    uint64_t alive;       /* outputs that may still match */
    int64_t matched;      /* bytes of the prediction so far, white space in front left out */
    char *output;         /* owns */
    GenFinish finish;
    bool correct;
    Rouge rouge;
    double seconds;
} Item;

/* A row's evaluation descriptions are texts[described], texts[described + 1], ... */
typedef struct RowPlan {
    const TaskExample *examples;
    int64_t n, first; /* of the test split; number of the first in the file */
    int64_t described, n_described, other;
} RowPlan;

typedef struct Plan {
    ExactReport *report;
    const ExactModel *model;
    ExactOpts opts;
    RowPlan *rows;
    const char **texts;                 /* view of their strings */
    int64_t n_texts, cap_texts, random; /* random: first of the random texts */
    Item *items;
    int64_t n_items;
    Prompt *prompts; /* two an example: bare, instructed */
    TokenBuf ids;
    float *embeddings; /* [n_texts, E] */
    Progress progress;
    int64_t done; /* items of earlier waves */
    Item **wave;  /* of the running wave, by request */
} Plan;

static Status no_memory(void) {
    return status_error(E_ENV, "no memory for the evaluation");
}

/* ---- texts and rows ---- */

static int64_t evaluation_descriptions(const Task *t, bool heldout) {
    if (t->n_unseen == 0) return t->n_descriptions;
    return t->n_unseen + (heldout ? t->n_descriptions : 0);
}

static const char *evaluation_description(const Task *t, int64_t i) {
    return i < t->n_unseen ? t->unseen[i] : t->descriptions[i - t->n_unseen];
}

static void add_text(Plan *p, const char *text) {
    p->texts[p->n_texts++] = text;
}

static const char *family_of(const Task *t) {
    return t->n_categories > 0 ? t->categories[0] : t->kind;
}

static bool uses(const ExactOpts *o, ExactSource source) {
    for (int a = 0; a < o->n_arms; a++)
        if (o->arms[a].source == source) return true;
    return false;
}

/* The task whose description stands in for another one's: half the set away, of another family if there is
 * one, in the same set if it has one. */
static int64_t other_row(const ExactReport *r, int64_t row) {
    for (int pass = 0; pass < 3; pass++) /* same set, other family; other family; anything else */
        for (int64_t k = 0; k < r->n_rows; k++) {
            int64_t at = (row + r->n_rows / 2 + k) % r->n_rows;
            bool same_set = r->rows[at].heldout == r->rows[row].heldout;
            bool other_family = strcmp(r->rows[at].family, r->rows[row].family) != 0;
            if (at == row || (pass == 0 && !same_set) || (pass < 2 && !other_family)) continue;
            return at;
        }
    return row;
}

static Status plan_rows(Plan *p, const ExactSet *sets, int n_sets) {
    ExactReport *r = p->report;
    for (int s = 0; s < n_sets; s++) r->n_rows += sets[s].n_tasks;
    r->rows = calloc((size_t)r->n_rows + 1, sizeof *r->rows);
    r->counts = calloc((size_t)r->n_rows * (size_t)r->n_arms + 1, sizeof *r->counts);
    p->rows = calloc((size_t)r->n_rows + 1, sizeof *p->rows);
    int64_t n_texts = 0, at = 0;
    while (exact_random_texts()[n_texts]) n_texts++;
    for (int s = 0; s < n_sets; s++)
        for (int64_t i = 0; i < sets[s].n_tasks; i++)
            n_texts += evaluation_descriptions(&sets[s].tasks[i], sets[s].heldout);
    p->texts = calloc((size_t)n_texts, sizeof *p->texts);
    if (!r->rows || !r->counts || !p->rows || !p->texts) return no_memory();
    for (int s = 0; s < n_sets; s++)
        for (int64_t i = 0; i < sets[s].n_tasks; i++, at++) {
            const Task *t = &sets[s].tasks[i];
            r->rows[at] = (ExactRow){t, family_of(t), sets[s].heldout, r->counts + at * r->n_arms};
            RowPlan *row = &p->rows[at];
            row->examples = tasks_split(t, TASK_TEST, &row->n);
            row->first = t->n_train + t->n_valid;
            if (sets[s].examples > 0 && row->n > sets[s].examples) row->n = sets[s].examples;
            row->described = p->n_texts;
            row->n_described = evaluation_descriptions(t, sets[s].heldout);
            if (sets[s].descriptions > 0 && row->n_described > sets[s].descriptions)
                row->n_described = sets[s].descriptions;
            if (row->n > 0 && row->n_described > row->n) row->n_described = row->n; /* no item needs more */
            for (int64_t d = 0; d < row->n_described; d++) add_text(p, evaluation_description(t, d));
        }
    p->random = p->n_texts;
    if (uses(&p->opts, EXACT_RANDOM))
        for (const char *const *text = exact_random_texts(); *text; text++) add_text(p, *text);
    for (int64_t i = 0; i < r->n_rows; i++) p->rows[i].other = other_row(r, i);
    return OK;
}

/* ---- prompts and items ---- */

/* *out owns. */
static Status user_turn(char **out, const Plan *p, const Task *task, const char *instruction,
                        const TaskExample *e) {
    if (p->opts.natural) return tasks_natural_turn(out, task->definition, e);
    if (asprintf(out, "%s%s%s", instruction ? instruction : "", instruction ? "\n\n" : "", e->input) >= 0)
        return OK;
    *out = NULL;
    return no_memory();
}

static Status make_prompt(Plan *p, Prompt *out, const Task *task, const char *instruction,
                          const TaskExample *e) {
    const Llm *llm = p->model->llm;
    char *turn, *text = NULL;
    TRY(user_turn(&turn, p, task, instruction, e));
    ChatMessage user = {"user", turn};
    TemplateOpts prompt = {true, false};
    TokenizerOpts special = {true};
    Status st;
    TRY_GOTO(st, template_render(&text, &llm->chat, &user, 1, prompt), done);
    out->at = (int64_t)p->ids.n;
    TRY_GOTO(st, tokenizer_encode(llm->tokenizer, &p->ids, text, strlen(text), special), done);
    out->n = (int64_t)p->ids.n - out->at;
    sha256_hex(out->sha256, text, strlen(text));
done:
    free(turn);
    free(text);
    return st;
}

/* Which text makes the adapter of an item, which is told in its prompt. */
static Item make_item(const Plan *p, int64_t row, int64_t index, int arm) {
    const ExactArm *a = &p->opts.arms[arm];
    const RowPlan *r = &p->rows[row], *other = &p->rows[r->other];
    Item it = {.row = row, .index = index, .arm = arm, .text = NONE, .alive = ~(uint64_t)0};
    int64_t own = r->described + index % r->n_described;
    int64_t n_random = p->n_texts - p->random;
    switch (a->source) {
    case EXACT_BASE:
        break;
    case EXACT_DESCRIBED:
        it.text = (int32_t)own;
        break;
    case EXACT_RANDOM:
        it.text = (int32_t)(p->random + (row + index) % n_random);
        break;
    case EXACT_OTHER:
        it.text = (int32_t)(other->described + index % other->n_described);
        break;
    case EXACT_GIVEN:
        it.loras = a->loras;
        it.text = a->adapter;
        break;
    }
    if (it.text != NONE && !it.loras) it.said = p->texts[it.text];
    if (a->prompted && !it.said) it.said = p->texts[own];
    return it;
}

static Status plan_items(Plan *p) {
    ExactReport *r = p->report;
    int64_t examples = 0, at = 0;
    for (int64_t i = 0; i < r->n_rows; i++) examples += p->rows[i].n;
    p->prompts = calloc(2 * (size_t)examples + 1, sizeof *p->prompts);
    p->items = calloc((size_t)examples * (size_t)r->n_arms + 1, sizeof *p->items);
    p->wave = calloc((size_t)examples * (size_t)r->n_arms + 1, sizeof(Item *));
    if (!p->prompts || !p->items || !p->wave) return no_memory();
    for (int64_t row = 0; row < r->n_rows; row++)
        for (int64_t i = 0; i < p->rows[row].n; i++, at++)
            for (int a = 0; a < r->n_arms; a++) {
                Item *it = &p->items[p->n_items++];
                *it = make_item(p, row, i, a);
                bool told = p->opts.arms[a].prompted;
                it->prompt = 2 * at + told;
                Prompt *prompt = &p->prompts[it->prompt];
                if (prompt->n > 0) continue;
                const RowPlan *plan = &p->rows[row];
                const char *own = p->texts[plan->described + i % plan->n_described];
                TRY(make_prompt(p, prompt, r->rows[row].task, told ? own : NULL, &plan->examples[i]));
            }
    r->n_items = p->n_items;
    return OK;
}

/* ---- matching ---- */

static bool is_space(char c) {
    return isspace((unsigned char)c) != 0;
}

static const char *strip(const char *s, size_t *n) {
    while (*n > 0 && is_space(s[0])) s++, --*n;
    while (*n > 0 && is_space(s[*n - 1])) --*n;
    return s;
}

/* Output number i of an example, stripped; the last is all of them joined. */
static const char *candidate(const TaskExample *e, int i, size_t *n) {
    const char *s = i < e->n_outputs ? e->outputs[i] : e->output;
    *n = strlen(s);
    return strip(s, n);
}

bool exact_match(const char *pred, size_t n, const TaskExample *example) {
    pred = strip(pred, &n);
    for (int i = 0; i <= example->n_outputs; i++) {
        size_t len;
        const char *want = candidate(example, i, &len);
        if (len == n && memcmp(want, pred, n) == 0) return true;
    }
    return false;
}

static const TaskExample *example_of(const Plan *p, const Item *it) {
    return &p->rows[it->row].examples[it->index];
}

/* Drops the outputs that the prediction has left; false when none remains. */
static bool still_possible(Item *it, const TaskExample *e, const char *bytes, size_t n) {
    if (e->n_outputs + 1 > MATCH_MAX) return true;
    for (size_t k = 0; k < n; k++) {
        if (it->matched == 0 && is_space(bytes[k])) continue;
        for (int i = 0; i <= e->n_outputs; i++) {
            size_t len;
            const char *want = candidate(e, i, &len);
            bool fits = (size_t)it->matched < len ? want[it->matched] == bytes[k] : is_space(bytes[k]);
            if (!fits) it->alive &= ~((uint64_t)1 << i);
        }
        it->matched++;
    }
    return (it->alive & (~(uint64_t)0 >> (MATCH_MAX - 1 - e->n_outputs))) != 0;
}

static bool on_token(void *ctx, int64_t request, int64_t i, int32_t token) {
    (void)i;
    Plan *p = ctx;
    const Tokenizer *t = p->model->llm->tokenizer;
    if (p->opts.whole_outputs || tokenizer_is_special(t, token)) return true;
    size_t n;
    const char *bytes = tokenizer_token_bytes(t, &n, token);
    Item *it = p->wave[request];
    return still_possible(it, example_of(p, it), bytes, n);
}

/* ---- waves ---- */

static void on_progress(void *ctx, int64_t done, int64_t total) {
    (void)total;
    Plan *p = ctx;
    progress_update(&p->progress, p->done + done, NULL);
}

static int by_adapter(const void *a, const void *b) {
    const Item *x = *(Item *const *)a, *y = *(Item *const *)b;
    if (x->text != y->text) return x->text < y->text ? -1 : 1;
    return x < y ? -1 : x > y;
}

static Status best_rouge(Rouge *out, const char *pred, size_t n, const TaskExample *e) {
    *out = (Rouge){0, 0};
    for (int i = 0; i <= e->n_outputs; i++) {
        size_t len;
        Rouge r;
        const char *want = candidate(e, i, &len);
        TRY(rouge_score(&r, want, len, pred, n));
        if (r.r1 > out->r1) out->r1 = r.r1;
        if (r.rl > out->rl) out->rl = r.rl;
    }
    return OK;
}

static Status store_result(Plan *p, Item *it, const GenResult *g) {
    TokenizerDecodeOpts plain = {true};
    size_t n;
    TRY(tokenizer_decode(p->model->llm->tokenizer, &it->output, &n, g->tokens, (size_t)g->n, plain));
    it->finish = g->finish;
    it->seconds = g->seconds;
    it->correct = exact_match(it->output, n, example_of(p, it));
    if (p->opts.whole_outputs) TRY(best_rouge(&it->rouge, it->output, n, example_of(p, it)));
    ExactCount *c = &p->report->rows[it->row].by[it->arm];
    c->n++;
    c->correct += it->correct;
    c->rouge1 += it->rouge.r1;
    c->rouge_l += it->rouge.rl;
    return OK;
}

/* Decodes p->wave[0..n). Adapter number of an item: its text less `first`. */
static Status run_wave(Plan *p, GenEngine *engine, const LoraSet *loras, int64_t n, int64_t first) {
    qsort(p->wave, (size_t)n, sizeof *p->wave, by_adapter);
    GenRequest *requests = calloc((size_t)n + 1, sizeof *requests);
    if (!requests) return no_memory();
    for (int64_t i = 0; i < n; i++) {
        const Prompt *prompt = &p->prompts[p->wave[i]->prompt];
        int32_t text = p->wave[i]->text;
        requests[i] =
            (GenRequest){p->ids.ids + prompt->at, prompt->n, text == NONE ? -1 : (int32_t)(text - first)};
    }
    GenOpts opts = {.max_new_tokens = p->opts.max_new_tokens,
                    .on_token = on_token,
                    .on_progress = on_progress,
                    .ctx = p,
                    .stop = p->opts.stop};
    GenOutput out;
    Status st = generate_run(&out, engine, loras, requests, n, opts);
    for (int64_t i = 0; status_is_ok(st) && i < n; i++) st = store_result(p, p->wave[i], &out.results[i]);
    p->report->prompt_tokens += out.prompt_tokens;
    p->report->new_tokens += out.new_tokens;
    p->report->prefill_seconds += out.prefill_seconds;
    p->done += n;
    generate_free(&out);
    free(requests);
    return st;
}

/* The wave's items: those of `loras` whose adapter is in [first, last), and, with_base, those without. */
static int64_t gather(Plan *p, const LoraSet *loras, int64_t first, int64_t last, bool with_base) {
    int64_t n = 0;
    for (int64_t i = 0; i < p->n_items; i++) {
        Item *it = &p->items[i];
        bool mine = it->text == NONE ? with_base : it->loras == loras && it->text >= first && it->text < last;
        if (mine) p->wave[n++] = it;
    }
    return n;
}

static bool needs_hypernet(const ExactOpts *o) {
    return uses(o, EXACT_DESCRIBED) || uses(o, EXACT_RANDOM) || uses(o, EXACT_OTHER);
}

static Status run_generated(Plan *p, GenEngine *engine, bool *base_done) {
    Hypernet *hn = p->model->hypernet;
    int64_t e = hn->cfg.embed, waves = (p->n_texts + hn->max_tasks - 1) / hn->max_tasks;
    double start = now_seconds();
    p->embeddings = malloc((size_t)(p->n_texts * e) * sizeof *p->embeddings);
    if (!p->embeddings) return no_memory();
    TRY(p->model->embed(p->model->embed_ctx, p->embeddings, p->texts, p->n_texts));
    p->report->adapter_seconds += now_seconds() - start;
    for (int64_t w = 0; w < waves; w++) {
        int64_t first = p->n_texts * w / waves, last = p->n_texts * (w + 1) / waves;
        int64_t n = gather(p, NULL, first, last, !*base_done);
        if (n == 0) continue;
        *base_done = true;
        LoraSet loras;
        HypernetRun inference = {false, 0, 0};
        start = now_seconds();
        TRY(hypernet_forward(&loras, hn, p->model->dev,
                             tensor_2d(p->embeddings + first * e, DT_F32, last - first, e), inference));
        p->report->adapter_seconds += now_seconds() - start;
        p->report->n_adapters += last - first;
        TRY(run_wave(p, engine, &loras, n, first));
    }
    return OK;
}

static Status run_waves(Plan *p) {
    int64_t longest = 1, rank = 0;
    for (int64_t i = 0; i < p->n_items; i++) {
        int64_t n = p->prompts[p->items[i].prompt].n;
        if (n >= p->model->llm->cfg.max_positions)
            return status_error(E_INPUT,
                                "%s: example %lld is a prompt of %lld tokens; the model has %lld positions",
                                p->report->rows[p->items[i].row].task->name,
                                (long long)(p->rows[p->items[i].row].first + p->items[i].index), (long long)n,
                                (long long)p->model->llm->cfg.max_positions);
        if (n > longest) longest = n;
    }
    if (needs_hypernet(&p->opts)) rank = p->model->hypernet->cfg.rank;
    for (int a = 0; a < p->opts.n_arms; a++) {
        const LoraSet *s = p->opts.arms[a].loras;
        if (p->opts.arms[a].source == EXACT_GIVEN && s->rank > rank) rank = s->rank;
    }
    GenSizes sizes = {p->opts.slots, longest + p->opts.max_new_tokens, 0, rank};
    GenEngine engine;
    TRY(generate_open(&engine, p->model->llm, p->model->dev, sizes));
    Status st = OK;
    bool base_done = false;
    if (needs_hypernet(&p->opts)) TRY_GOTO(st, run_generated(p, &engine, &base_done), done);
    for (int a = 0; a < p->opts.n_arms; a++) {
        const ExactArm *arm = &p->opts.arms[a];
        if (arm->source != EXACT_GIVEN) continue;
        bool again = false;
        for (int b = 0; b < a; b++)
            again = again || (p->opts.arms[b].source == EXACT_GIVEN && p->opts.arms[b].loras == arm->loras);
        if (again) continue;
        int64_t n = gather(p, arm->loras, 0, arm->loras->n_adapters, !base_done);
        base_done = true;
        TRY_GOTO(st, run_wave(p, &engine, arm->loras, n, 0), done);
    }
    if (!base_done) TRY_GOTO(st, run_wave(p, &engine, NULL, gather(p, NULL, 0, 0, true), 0), done);
done:
    generate_close(&engine);
    return st;
}

/* ---- items.jsonl ---- */

static Status write_item(const Plan *p, const Item *it) {
    const ExactRow *row = &p->report->rows[it->row];
    size_t n = strlen(it->output);
    const char *pred = strip(it->output, &n);
    char *stripped = strndup(pred, n);
    cJSON *o = cJSON_CreateObject();
    bool ok = stripped && o && cJSON_AddStringToObject(o, "task", row->task->name) &&
              cJSON_AddNumberToObject(o, "index", (double)(p->rows[it->row].first + it->index)) &&
              cJSON_AddStringToObject(o, "adapter", p->opts.arms[it->arm].name) &&
              cJSON_AddStringToObject(o, "prompt_sha256", p->prompts[it->prompt].sha256) &&
              cJSON_AddStringToObject(o, "target", example_of(p, it)->output) &&
              cJSON_AddStringToObject(o, "pred", stripped) &&
              cJSON_AddNumberToObject(o, "score", it->correct) &&
              (!p->opts.whole_outputs || (cJSON_AddNumberToObject(o, "rouge1", it->rouge.r1) &&
                                          cJSON_AddNumberToObject(o, "rougeL", it->rouge.rl))) &&
              cJSON_AddStringToObject(o, "output", it->output) &&
              cJSON_AddStringToObject(o, "finish", generate_finish_name(it->finish)) &&
              (!it->said || cJSON_AddStringToObject(o, "description", it->said)) &&
              cJSON_AddNumberToObject(o, "seconds", round(it->seconds * 1e3) / 1e3);
    char *text = ok ? cJSON_PrintUnformatted(o) : NULL;
    Status st = OK;
    if (!text)
        st = no_memory();
    else if (fprintf(p->opts.items, "%s\n", text) < 0)
        st = status_error(E_ENV, "items could not be written");
    free(text);
    free(stripped);
    cJSON_Delete(o);
    return st;
}

/* ---- the whole ---- */

static Status run_plan(Plan *p, const ExactSet *sets, int n_sets) {
    TRY(plan_rows(p, sets, n_sets));
    TRY(plan_items(p));
    p->progress = progress_begin("evaluate", "items", p->n_items, p->opts.quiet);
    TRY(run_waves(p));
    progress_end(&p->progress, NULL);
    for (int64_t i = 0; p->opts.items && i < p->n_items; i++) TRY(write_item(p, &p->items[i]));
    ExactReport *r = p->report;
    for (int a = 0; a < r->n_arms; a++) {
        r->seen[a] = exact_mean(r, a, false, NULL);
        r->heldout[a] = exact_mean(r, a, true, NULL);
    }
    return OK;
}

Status exact_run(ExactReport *out, const ExactModel *model, const ExactSet *sets, int n_sets,
                 ExactOpts opts) {
    memset(out, 0, sizeof *out);
    CHECK(opts.n_arms > 0 && opts.n_arms <= EXACT_MAX_ARMS, "%d arms", opts.n_arms);
    CHECK(!needs_hypernet(&opts) || (model->hypernet && model->embed), "adapters without a hypernetwork");
    if (!model->llm->tokenizer)
        return status_error(E_INPUT, "%s: no tokenizer", model->llm->name ? model->llm->name : "the model");
    if (opts.max_new_tokens <= 0) opts.max_new_tokens = DEFAULT_NEW_TOKENS;
    out->arms = opts.arms;
    out->n_arms = opts.n_arms;
    out->rouge = opts.whole_outputs;
    double start = now_seconds();
    Plan p = {.report = out, .model = model, .opts = opts};
    Status st = run_plan(&p, sets, n_sets);
    out->seconds = now_seconds() - start;
    if (!status_is_ok(st)) exact_free(out);
    for (int64_t i = 0; i < p.n_items; i++) free(p.items[i].output);
    free(p.rows);
    free(p.texts);
    free(p.items);
    free(p.prompts);
    free(p.embeddings);
    free(p.wave);
    tokenizer_buf_free(&p.ids);
    return st;
}
