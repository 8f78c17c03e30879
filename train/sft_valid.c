/* Validation of a Text-to-LoRA (method.md section 6): the validation examples of tasks that are trained, with
 * descriptions that are not ("seen"), and of tasks that are not ("heldout"). Item i of a task goes with its
 * description i mod D of D = eval.descriptions: the unseen ones, of a held-out task then the others too. */
#include "train/sft.h"
#include "train/hyper.h"

#include <stdlib.h>
#include <string.h>

static int64_t count_descriptions(const Sft *s, const SftSet *set, const Task *t) {
    int64_t n = t->n_unseen + (set->heldout ? t->n_descriptions : 0), most = s->cfg->eval.descriptions;
    return n < most ? n : most;
}

static const char *description(const Task *t, int64_t i) {
    return i < t->n_unseen ? t->unseen[i] : t->descriptions[i - t->n_unseen];
}

/* Items of one task; 0 when it has no description to validate with. */
static int64_t count_items(const Sft *s, const SftSet *set, const Task *t) {
    return count_descriptions(s, set, t) > 0 ? valid_examples(t, s->cfg->eval.valid_examples) : 0;
}

static Status add_set(Sft *s, const char *name, const Task *tasks, int64_t n, bool heldout) {
    SftSet set = {.name = name, .tasks = tasks, .n_tasks = n, .heldout = heldout};
    int64_t items = 0;
    for (int64_t t = 0; t < n; t++) items += count_items(s, &set, &tasks[t]);
    if (items == 0) return OK;
    set.first = malloc((size_t)n * sizeof *set.first);
    if (!set.first) return status_error(E_ENV, "no memory to validate on %lld tasks", (long long)n);
    s->sets[s->n_sets++] = set;
    return OK;
}

Status sft_valid_init(Sft *s, const char *heldout) {
    if (s->cfg->eval.every == 0) return OK;
    if (heldout) TRY(tasks_load(&s->heldout, heldout));
    TRY(add_set(s, "seen", s->tasks.tasks, s->source.n_tasks, false));
    if (hyper_is_onehot(s->cfg)) return OK; /* a task that was not trained has no number */
    return heldout ? add_set(s, "heldout", s->heldout.tasks, s->heldout.n, true) : OK;
}

void sft_valid_free(Sft *s) {
    for (int i = 0; i < s->n_sets; i++) free(s->sets[i].first);
    tasks_free(&s->heldout);
}

int64_t sft_valid_texts(Sft *s, const char **texts, int64_t row) {
    int64_t n = 0;
    for (int i = 0; i < s->n_sets; i++)
        for (int64_t t = 0; t < s->sets[i].n_tasks; t++) {
            SftSet *set = &s->sets[i];
            set->first[t] = row + n;
            for (int64_t d = 0; d < count_descriptions(s, set, &set->tasks[t]); d++, n++)
                if (texts) texts[n] = description(&set->tasks[t], d);
        }
    return n;
}

static Status flush(Sft *s, int64_t *n) {
    LoraSet loras;
    if (*n == 0) return OK;
    TRY(batch_pack(&s->batch, &s->source, s->batch.items, *n));
    *n = 0;
    TRY(sft_adapters(&loras, s, (HypernetRun){.train = false}));
    return valid_add(&s->valid, &s->llm, s->dev, &s->acts, &s->batch.llm, &loras);
}

static BatchItem item_of(const Sft *s, const SftSet *set, int64_t t, const TaskExample *e, int64_t i,
                         int64_t b) {
    const Task *task = &set->tasks[t];
    PromptKind p = s->source.opts.prompt;
    int64_t d = i % count_descriptions(s, set, task);
    bool instruct = p == PROMPT_INSTRUCTION || (p == PROMPT_MIXED && i % 2);
    BatchItem item = {.example = e, .embedding = set->first[t] + d, .adapter = (int32_t)b};
    item.instruction = p == PROMPT_NATURAL ? task->definition : instruct ? description(task, d) : NULL;
    return item;
}

static Status validate_set(Sft *s, const SftSet *set) {
    int64_t n = 0;
    for (int64_t t = 0; t < set->n_tasks; t++) {
        int64_t all;
        const TaskExample *e = tasks_split(&set->tasks[t], TASK_VALID, &all);
        for (int64_t i = 0; i < count_items(s, set, &set->tasks[t]); i++) {
            s->batch.items[n] = item_of(s, set, t, &e[i], i, n);
            if (++n == s->batch.max_seqs) TRY(flush(s, &n));
        }
    }
    return flush(s, &n);
}

Status sft_validate(RunVal *out, Sft *s) {
    *out = (RunVal){.n = s->n_sets};
    for (int i = 0; i < s->n_sets; i++) {
        valid_begin(&s->valid);
        TRY(validate_set(s, &s->sets[i]));
        out->set[i] = valid_end(&s->valid, s->sets[i].name);
    }
    return OK;
}
