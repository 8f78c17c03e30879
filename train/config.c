/* Every value, whether default, from a file or from a word, takes one way: JSON -> check() -> values[row].
 * When all are in, bind() writes them into the struct and the resolved JSON, which owns the strings. */
#include "train/config.h"
#include "train/names.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_CONFIG_BYTES = 1 << 20, MAX_KEY = 64 };

typedef enum Kind { STRING, CHOICE, INTEGER, NUMBER, BOOL, MODULES, SHAPES } Kind;

typedef struct Key {
    const char *key;
    Kind kind;
    size_t offset;
    const char *initial; /* JSON */
    double min, max;     /* of numbers, inclusive */
    const char *choices; /* "a|b|c" */
    const char *help, *source;
} Key;

#define BIG 9007199254740992.0 /* 2^53: exact in JSON */
#define S(path, initial, help, source) \
    { #path, STRING, offsetof(Config, path), initial, 0, 0, NULL, help, source }
#define C(path, initial, choices, help, source) \
    { #path, CHOICE, offsetof(Config, path), initial, 0, 0, choices, help, source }
#define I(path, initial, min, max, help, source) \
    { #path, INTEGER, offsetof(Config, path), initial, min, max, NULL, help, source }
#define N(path, initial, min, max, help, source) \
    { #path, NUMBER, offsetof(Config, path), initial, min, max, NULL, help, source }
#define B(path, initial, help, source) \
    { #path, BOOL, offsetof(Config, path), initial, 0, 0, NULL, help, source }

/* Sources: "paper" is Charakorn et al. 2025 (arXiv 2506.06105), "reference" the authors' implementation
 * (SakanaAI/text-to-lora), "chosen" is ours. */
static const Key keys[] = {
    S(name, "\"run\"", "the run's folder: runs/<name>", "chosen"),
    I(seed, "42", 0, BIG, "seed of initialisation, sampling and dropout", "reference"),
    S(model, "\"smollm2-135m-instruct\"", "base model: directory, .gguf file or short name", "chosen"),
    S(encoder, "\"minilm-l6-v2\"", "text encoder of descriptions: directory or short name", "chosen"),
    C(dtype, "\"auto\"", "auto|bf16|f32", "arithmetic of the base model's products; auto: bf16 where fast",
      "reference"),

    C(hypernet.size, "\"L\"", "S|M|L", "shape of the heads", "paper, 3"),
    C(hypernet.encoder, "\"linear\"", "linear|onehot|vq|softmax",
      "task encoder: linear, one of 64 classes, the nearest of 32 codes, a mixture of 32 codes", "reference"),
    I(hypernet.latent, "128", 4, 65536, "latent width, a multiple of 4", "reference"),
    I(hypernet.head, "512", 1, 1048576, "width of the heads' input", "reference"),
    N(hypernet.dropout, "0.05", 0, 0.99, "dropout inside the hypernetwork", "reference"),
    C(hypernet.task_start, "\"random\"", "random|descriptions",
      "start of the task encoder: random, or the directions that tell the training descriptions' tasks apart",
      "reference"),
    C(hypernet.rank_positions, "\"rotary\"", "rotary|learned", "size S: how a rank is told apart",
      "reference"),
    S(hypernet.offset, "\"\"",
      "an adapter folder (train multitask's): added to what is generated; train recon takes it off the "
      "targets",
      "reference"),
    B(hypernet.offset_learn, "false", "train sft: the offset is trained too", "reference"),

    I(lora.rank, "8", 1, 1024, "rank of the adapters", "paper, 4"),
    N(lora.alpha, "16", 0, 1e6, "scale in force: alpha / sqrt(rank)", "paper, 4"),
    N(lora.dropout, "0.05", 0, 0.99, "dropout on an adapter's input, in training", "paper, 4"),
    {"lora.modules", MODULES, offsetof(Config, lora.modules), "[\"q_proj\",\"v_proj\"]", 0, 0, NULL,
     "projections that get an adapter", "paper, 4"},

    S(data.tasks, "\"\"", "training tasks: a task file, a folder of them, or FOLDER/LIST of its index.json",
      "chosen"),
    S(data.task, "\"\"", "train lora: the one task to train; empty: all, one after another", "chosen"),
    S(data.heldout, "\"\"", "tasks never trained on, for evaluation", "chosen"),
    C(data.prompt, "\"instruction\"", "input|instruction|mixed|natural",
      "what the base model sees: the input alone, the task's instruction before it, either, or the "
      "definition "
      "with a request for a bare answer",
      "reference"),
    C(data.embedding, "\"encoder\"", "encoder|llm|onehot",
      "of a description: by the key encoder's model, or the base model's last hidden state; onehot: of the "
      "task's number, "
      "no text",
      "reference"),
    N(data.swap, "0", 0, 1, "share of prompts with an instruction that get the adapter of any task",
      "chosen"),
    I(data.max_tokens, "512", 8, 1048576, "prompt and response are each cut to this, on the left",
      "reference"),
    I(data.max_tasks, "0", 0, BIG, "use only the first tasks; 0: all", "chosen"),

    I(train.steps, "1180000", 1, BIG, "optimizer steps", "reference: 20,000 epochs of 59"),
    I(train.epochs, "0", 0, BIG, "passes over the tasks (train lora: over the examples); 0: train.steps",
      "chosen"),
    I(train.batch_tasks, "8", 1, 65536, "tasks a step, one example each (train lora: examples)", "reference"),
    I(train.accumulate, "1", 1, 65536, "batches a step; train recon: 1",
      "reference: 2 for one task's adapter"),
    N(train.lr, "2.5e-5", 0, 10, "highest learning rate", "reference"),
    N(train.warmup, "0.2", 0, 1, "share of the steps with rising rate; then linear to 0", "reference"),
    N(train.weight_decay, "0.01", 0, 10, "AdamW, decoupled", "reference"),
    N(train.beta1, "0.9", 0, 0.999999, "AdamW", "reference"),
    N(train.beta2, "0.999", 0, 0.999999, "AdamW", "reference"),
    N(train.eps, "1e-8", 1e-30, 1, "AdamW", "reference"),
    N(train.clip, "1", 0, 1e9, "largest global norm of the gradient; 0: no limit", "reference"),
    N(train.label_smoothing, "0.1", 0, 0.99, "of the cross-entropy", "reference"),
    N(train.neftune, "5", 0, 1e4, "noise on token embeddings: alpha / sqrt(T d)", "reference"),
    N(train.ab_penalty, "0.001", 0, 1e4, "weight of mean(A^2) + mean(B^2)", "reference"),
    B(train.equal_weight, "true", "mean over examples of means over tokens; false: mean over tokens",
      "reference"),
    I(train.save_every, "10000", 0, BIG, "steps between checkpoints; 0: only at the end", "reference"),
    I(train.patience, "50", 1, BIG, "validations without a better one before the run stops early",
      "reference"),
    C(train.nan, "\"halt\"", "halt|skip|rollback",
      "when a loss or gradient is not finite: stop, pass the batch over, or go back to the last checkpoint "
      "and on behind it",
      "chosen"),
    I(train.log_every, "10", 1, BIG, "steps between lines of metrics.jsonl", "chosen"),

    S(recon.library, "\"\"", "targets of `train recon`: a store of adapters, one a task", "chosen"),
    S(recon.embeddings, "\"\"", "a store of embedded descriptions; empty: data.tasks through the encoder",
      "chosen"),
    C(recon.loss, "\"delta_w\"", "delta_w|factorized", "L1 of B A, or of A and B apart", "paper, 3"),
    N(recon.c, "10000", 1e-6, 1e12, "delta_w: targets are multiplied by this", "reference"),
    B(recon.zscore, "true", "factorized: targets less their mean, divided by their standard deviation",
      "reference"),

    I(eval.every, "0", 0, BIG, "training steps between validations; 0: none", "chosen"),
    I(eval.valid_examples, "0", 0, BIG, "validation examples a task; 0: all", "chosen"),
    I(eval.examples, "0", 0, BIG, "test examples a held-out task; 0: all", "chosen"),
    I(eval.seen_examples, "0", 0, BIG, "test examples a task that was trained; 0: all", "chosen"),
    I(eval.descriptions, "3", 1, 1024, "unseen descriptions a task", "paper, 4"),
    I(eval.max_new_tokens, "512", 1, 65536, "longest answer", "reference"),
    I(eval.slots, "0", 0, 1024, "answers decoded together; 0: 64", "chosen"),

    {"shapes", SHAPES, offsetof(Config, shapes), "null", 0, 0, NULL,
     "{layers, embedding, modules: {name: [in, out]}}: count parameters without the models", "chosen"},
};
#undef S
#undef C
#undef I
#undef N
#undef B

enum { N_KEYS = sizeof keys / sizeof *keys };

static const char *const module_names[] = {"q_proj",    "k_proj",  "v_proj",    "o_proj",
                                           "gate_proj", "up_proj", "down_proj", NULL};

/* Where a value comes from, for messages. */
typedef struct Source {
    const char *where; /* view: the file, or "key=value" */
    StatusCode bad_value;
} Source;

static int find_key(const char *key) {
    for (int i = 0; i < N_KEYS; i++)
        if (strcmp(keys[i].key, key) == 0) return i;
    return -1;
}

/* "train" is a group: some key starts with "train.". */
static bool is_group(const char *key) {
    size_t n = strlen(key);
    for (int i = 0; i < N_KEYS; i++)
        if (strncmp(keys[i].key, key, n) == 0 && keys[i].key[n] == '.') return true;
    return false;
}

static Status unknown_key(const char *key, const Source *from) {
    const char *names[N_KEYS + 1];
    for (int i = 0; i < N_KEYS; i++) names[i] = keys[i].key;
    names[N_KEYS] = NULL;
    const char *near = names_nearest(key, names);
    if (!near && !strchr(key, '.')) /* a bare last part: "lr" */
        for (int i = 0; i < N_KEYS && !near; i++) {
            const char *dot = strchr(keys[i].key, '.');
            if (dot && strcmp(dot + 1, key) == 0) near = keys[i].key;
        }
    if (near)
        return status_error(E_USAGE, "%s: unknown key '%s'; the nearest is '%s'", from->where, key, near);
    return status_error(E_USAGE, "%s: unknown key '%s'; `t2l config --keys` lists the valid ones",
                        from->where, key);
}

static bool is_module(const char *name) {
    for (const char *const *m = module_names; *m; m++)
        if (strcmp(*m, name) == 0) return true;
    return false;
}

static Status wrong_type(const char *key, const char *want, const cJSON *value, const Source *from) {
    return status_error(from->bad_value, "%s: key '%s': expected %s, found %s", from->where, key, want,
                        json_type_name(value));
}

static Status check_modules(const char *key, const cJSON *value, const Source *from) {
    if (!cJSON_IsArray(value)) return wrong_type(key, "an array of module names", value, from);
    int n = cJSON_GetArraySize(value);
    if (n < 1 || n > CONFIG_MAX_MODULES)
        return status_error(from->bad_value, "%s: key '%s': expected 1 to %d modules, found %d", from->where,
                            key, CONFIG_MAX_MODULES, n);
    for (const cJSON *m = value->child; m; m = m->next) {
        if (!cJSON_IsString(m)) return wrong_type(key, "module names", m, from);
        if (!is_module(m->valuestring)) {
            const char *near = names_nearest(m->valuestring, module_names);
            return status_error(from->bad_value, "%s: key '%s': unknown module '%s'%s%s", from->where, key,
                                m->valuestring, near ? "; the nearest is " : "", near ? near : "");
        }
        for (const cJSON *other = value->child; other != m; other = other->next)
            if (strcmp(other->valuestring, m->valuestring) == 0)
                return status_error(from->bad_value, "%s: key '%s': module '%s' appears twice", from->where,
                                    key, m->valuestring);
    }
    return OK;
}

static Status check_shapes(const cJSON *value, const Source *from) {
    if (cJSON_IsNull(value)) return OK;
    if (!cJSON_IsObject(value)) return wrong_type("shapes", "an object", value, from);
    static const char *const members[] = {"layers", "embedding", "modules", NULL};
    for (const cJSON *c = value->child; c; c = c->next) {
        bool known = false;
        for (const char *const *m = members; *m; m++) known |= strcmp(*m, c->string) == 0;
        if (!known) {
            const char *near = names_nearest(c->string, members);
            return status_error(E_USAGE, "%s: unknown key 'shapes.%s'%s%s", from->where, c->string,
                                near ? "; the nearest is shapes."
                                     : "; expected layers, embedding and modules",
                                near ? near : "");
        }
    }
    int64_t n;
    const cJSON *modules;
    TRY(json_get_int(&n, value, "layers", 1, 4096, from->where));
    TRY(json_get_int(&n, value, "embedding", 1, 1 << 20, from->where));
    TRY(json_get_object(&modules, value, "modules", from->where));
    for (const cJSON *m = modules->child; m; m = m->next) {
        if (!is_module(m->string))
            return status_error(E_USAGE, "%s: shapes.modules: unknown module '%s'", from->where, m->string);
        const cJSON *in = cJSON_GetArrayItem(m, 0), *out = cJSON_GetArrayItem(m, 1);
        bool good = cJSON_IsArray(m) && cJSON_GetArraySize(m) == 2;
        for (int i = 0; good && i < 2; i++) {
            const cJSON *d = i ? out : in;
            good = cJSON_IsNumber(d) && d->valuedouble >= 1 && d->valuedouble <= 1 << 24 &&
                   d->valuedouble == floor(d->valuedouble);
        }
        if (!good)
            return status_error(from->bad_value,
                                "%s: shapes.modules.%s: expected [in, out], two positive integers",
                                from->where, m->string);
    }
    return OK;
}

static Status check(const Key *k, const cJSON *value, const Source *from) {
    switch (k->kind) {
    case STRING:
        return cJSON_IsString(value) ? OK : wrong_type(k->key, "a string", value, from);
    case CHOICE:
        if (!cJSON_IsString(value)) return wrong_type(k->key, k->choices, value, from);
        if (names_is_choice(k->choices, value->valuestring)) return OK;
        return status_error(from->bad_value, "%s: key '%s': expected one of %s, found '%s'", from->where,
                            k->key, k->choices, value->valuestring);
    case INTEGER:
    case NUMBER: {
        const char *want = k->kind == INTEGER ? "an integer" : "a number";
        if (!cJSON_IsNumber(value)) return wrong_type(k->key, want, value, from);
        double v = value->valuedouble;
        if (v >= k->min && v <= k->max && (k->kind == NUMBER || v == floor(v))) return OK;
        return status_error(from->bad_value, "%s: key '%s': expected %s from %.10g to %.16g, found %.17g",
                            from->where, k->key, want, k->min, k->max, v);
    }
    case BOOL:
        return cJSON_IsBool(value) ? OK : wrong_type(k->key, "true or false", value, from);
    case MODULES:
        return check_modules(k->key, value, from);
    case SHAPES:
        return check_shapes(value, from);
    }
    return OK;
}

static Status no_memory(void) {
    return status_error(E_ENV, "configuration: out of memory");
}

/* One key, or a group of them. values[] owns what it holds; value stays the caller's. */
static Status set(cJSON **values, const char *key, const cJSON *value, const Source *from) {
    int i = find_key(key);
    if (i >= 0) {
        TRY(check(&keys[i], value, from));
        cJSON *copy = cJSON_Duplicate(value, true);
        if (!copy) return no_memory();
        cJSON_Delete(values[i]);
        values[i] = copy;
        return OK;
    }
    if (!is_group(key)) return unknown_key(key, from);
    if (!cJSON_IsObject(value)) return wrong_type(key, "an object", value, from);
    for (const cJSON *c = value->child; c; c = c->next) {
        char full[2 * MAX_KEY];
        int n = snprintf(full, sizeof full, "%s.%.*s", key, MAX_KEY, c->string);
        CHECK(n > 0 && n < (int)sizeof full, "key too long");
        TRY(set(values, full, c, from));
    }
    return OK;
}

static Status set_file(cJSON **values, const char *path) {
    cJSON *root;
    TRY(json_read(&root, path, MAX_CONFIG_BYTES));
    Source from = {path, E_INPUT};
    Status s = cJSON_IsObject(root) ? OK
                                    : status_error(E_INPUT, "%s: expected a JSON object, found %s", path,
                                                   json_type_name(root));
    for (const cJSON *c = root->child; status_is_ok(s) && c; c = c->next) {
        char key[MAX_KEY + 1];
        snprintf(key, sizeof key, "%s", c->string);
        s = set(values, key, c, &from);
    }
    cJSON_Delete(root);
    return s;
}

/* "a,b" as ["a","b"]. NULL without memory. */
static cJSON *split_list(const char *text) {
    cJSON *list = cJSON_CreateArray();
    for (const char *p = text; list && p;) {
        const char *comma = strchr(p, ',');
        char *word = strndup(p, comma ? (size_t)(comma - p) : strlen(p));
        cJSON *item = word ? cJSON_CreateString(word) : NULL;
        free(word);
        if (!item || !cJSON_AddItemToArray(list, item)) {
            cJSON_Delete(item);
            cJSON_Delete(list);
            return NULL;
        }
        p = comma ? comma + 1 : NULL;
    }
    return list;
}

static Status set_word(cJSON **values, const char *word) {
    const char *eq = strchr(word, '=');
    if (!eq || eq == word)
        return status_error(E_USAGE, "'%s': expected key=value (for example train.steps=100)", word);
    char key[MAX_KEY + 1];
    snprintf(key, sizeof key, "%.*s", eq - word > MAX_KEY ? MAX_KEY : (int)(eq - word), word);
    Source from = {word, E_USAGE};
    int i = find_key(key);
    if (i < 0 && !is_group(key)) return unknown_key(key, &from);
    cJSON *value = NULL;
    Status parsed = json_parse(&value, eq + 1, strlen(eq + 1), word);
    if (status_code(parsed) == E_ENV) return parsed;
    bool text = i >= 0 && (keys[i].kind == STRING || keys[i].kind == CHOICE);
    if (text && !cJSON_IsString(value)) { /* bare text, also when it looks like a number */
        cJSON_Delete(value);
        value = cJSON_CreateString(eq + 1);
        if (!value) return no_memory();
    } else if (i >= 0 && keys[i].kind == MODULES && !value) {
        value = split_list(eq + 1);
        if (!value) return no_memory();
    } else if (!value) {
        status_free(parsed);
        return status_error(E_USAGE, "%s: '%s' is not a JSON value", word, eq + 1);
    }
    status_free(parsed);
    Status s = set(values, key, value, &from);
    cJSON_Delete(value);
    return s;
}

static void bind_shapes(ConfigShapes *out, const cJSON *value) {
    if (!cJSON_IsObject(value)) return;
    out->layers = cJSON_GetObjectItemCaseSensitive(value, "layers")->valueint;
    out->embedding = cJSON_GetObjectItemCaseSensitive(value, "embedding")->valueint;
    const cJSON *m = cJSON_GetObjectItemCaseSensitive(value, "modules")->child;
    for (; m && out->n < CONFIG_MAX_MODULES; m = m->next, out->n++) {
        out->name[out->n] = m->string;
        out->in[out->n] = cJSON_GetArrayItem(m, 0)->valueint;
        out->out[out->n] = cJSON_GetArrayItem(m, 1)->valueint;
    }
}

/* Into the struct (strings: views of value). */
static void bind(Config *c, const Key *k, const cJSON *value) {
    char *field = (char *)c + k->offset;
    switch (k->kind) {
    case STRING:
    case CHOICE:
        *(const char **)field = value->valuestring;
        break;
    case INTEGER:
        *(int64_t *)field = (int64_t)value->valuedouble;
        break;
    case NUMBER:
        *(double *)field = value->valuedouble;
        break;
    case BOOL:
        *(bool *)field = cJSON_IsTrue(value);
        break;
    case MODULES: {
        ConfigModules *m = (ConfigModules *)field;
        for (const cJSON *item = value->child; item; item = item->next) m->name[m->n++] = item->valuestring;
        break;
    }
    case SHAPES:
        bind_shapes((ConfigShapes *)field, value);
        break;
    }
}

/* Moves values[] into out->json, nested by their dots, and binds them. */
static Status resolve(Config *out, cJSON **values) {
    out->json = cJSON_CreateObject();
    if (!out->json) return no_memory();
    for (int i = 0; i < N_KEYS; i++) {
        cJSON *parent = out->json;
        const char *leaf = keys[i].key, *dot = strchr(leaf, '.');
        if (dot) {
            char group[MAX_KEY];
            snprintf(group, sizeof group, "%.*s", (int)(dot - leaf), leaf);
            parent = cJSON_GetObjectItemCaseSensitive(out->json, group);
            if (!parent) parent = cJSON_AddObjectToObject(out->json, group);
            leaf = dot + 1;
        }
        if (keys[i].kind == SHAPES && cJSON_IsNull(values[i])) continue;
        if (!parent || !cJSON_AddItemToObject(parent, leaf, values[i])) return no_memory();
        bind(out, &keys[i], values[i]);
        values[i] = NULL;
    }
    return OK;
}

/* What no single key can tell. */
static Status check_together(const Config *c, const char *where) {
    if (c->hypernet.latent % 4)
        return status_error(E_INPUT, "%s: key 'hypernet.latent': expected a multiple of 4, found %lld", where,
                            (long long)c->hypernet.latent);
    if (c->hypernet.offset_learn && !*c->hypernet.offset)
        return status_error(E_INPUT, "%s: key 'hypernet.offset_learn': there is no hypernet.offset to train",
                            where);
    bool onehot = strcmp(c->data.embedding, "onehot") == 0;
    if (onehot && *c->recon.embeddings)
        return status_error(
            E_INPUT, "%s: key 'recon.embeddings': data.embedding=onehot embeds no descriptions", where);
    if (onehot && strcmp(c->hypernet.task_start, "random") != 0)
        return status_error(
            E_INPUT,
            "%s: key 'hypernet.task_start': data.embedding=onehot has no descriptions to start "
            "from; set it to random",
            where);
    for (int i = 0; c->shapes.layers && i < c->lora.modules.n; i++) {
        bool found = false;
        for (int j = 0; j < c->shapes.n; j++)
            found |= strcmp(c->lora.modules.name[i], c->shapes.name[j]) == 0;
        if (!found)
            return status_error(E_INPUT, "%s: shapes.modules lacks '%s', which lora.modules names", where,
                                c->lora.modules.name[i]);
    }
    return OK;
}

Status config_load(Config *out, const char *path, int n_words, char *const *words) {
    memset(out, 0, sizeof *out);
    cJSON *values[N_KEYS] = {NULL};
    Source defaults = {"defaults", E_FAIL};
    Status s = OK;
    for (int i = 0; status_is_ok(s) && i < N_KEYS; i++) {
        cJSON *value = NULL;
        s = json_parse(&value, keys[i].initial, strlen(keys[i].initial), keys[i].key);
        if (status_is_ok(s)) s = set(values, keys[i].key, value, &defaults);
        cJSON_Delete(value);
    }
    if (status_is_ok(s) && path) s = set_file(values, path);
    for (int i = 0; status_is_ok(s) && i < n_words; i++) s = set_word(values, words[i]);
    if (status_is_ok(s)) s = resolve(out, values);
    if (status_is_ok(s)) s = check_together(out, path ? path : "configuration");
    for (int i = 0; i < N_KEYS; i++) cJSON_Delete(values[i]);
    if (!status_is_ok(s)) config_free(out);
    return s;
}

static const cJSON *value_of(const cJSON *root, const char *key) {
    char group[MAX_KEY];
    const char *dot = strchr(key, '.');
    if (!dot) return cJSON_GetObjectItemCaseSensitive(root, key);
    snprintf(group, sizeof group, "%.*s", (int)(dot - key), key);
    return cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(root, group), dot + 1);
}

/* Keys that may change from one part of a run to the next. */
static bool is_free(const char *key) {
    static const char *const free_keys[] = {
        "name",       "train.save_every", "train.log_every",    "train.patience",      "train.nan",
        "eval.every", "eval.examples",    "eval.seen_examples", "eval.max_new_tokens", "eval.slots",
        "shapes"};
    for (size_t i = 0; i < sizeof free_keys / sizeof *free_keys; i++)
        if (strcmp(free_keys[i], key) == 0) return true;
    return false;
}

static Status differs(const char *path, const char *key, const cJSON *then, const cJSON *now) {
    char *a = cJSON_PrintUnformatted(then), *b = cJSON_PrintUnformatted(now);
    Status s =
        a && b ? status_error(E_USAGE,
                              "key '%s': %s says %s, now it is %s, which would be another training: resume "
                              "with the value the run began with, or choose another name=",
                              key, path, a, b)
               : no_memory();
    cJSON_free(a);
    cJSON_free(b);
    return s;
}

Status config_same_training(const Config *c, const char *path) {
    Config old;
    TRY(config_load(&old, path, 0, NULL));
    Status s = OK;
    for (int i = 0; i < N_KEYS && status_is_ok(s); i++) {
        const cJSON *then = value_of(old.json, keys[i].key), *now = value_of(c->json, keys[i].key);
        if (!is_free(keys[i].key) && !cJSON_Compare(then, now, true))
            s = differs(path, keys[i].key, then, now);
    }
    config_free(&old);
    return s;
}

void config_free(Config *c) {
    cJSON_Delete(c->json);
    memset(c, 0, sizeof *c);
}

void config_print_keys(FILE *f) {
    fprintf(f, "%-24s %-24s %s\n", "KEY", "DEFAULT", "MEANING (source of the default)");
    for (int i = 0; i < N_KEYS; i++)
        fprintf(f, "%-24s %-24s %s%s%s (%s)\n", keys[i].key, keys[i].initial, keys[i].help,
                keys[i].choices ? "; " : "", keys[i].choices ? keys[i].choices : "", keys[i].source);
}
