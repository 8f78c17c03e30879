/* Policy: a file is read whole, each line parsed by base/json and rebuilt field by field under the Hub's
 * names; what is not named here is dropped. Messages begin with "file:line: ". */
#include "data/benchmark.h"
#include "base/file.h"

#include <archive.h>
#include <archive_entry.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_BYTES = 256 << 20 }; /* chosen: the largest published file has 50 MB */

static const Benchmark table[BENCHMARK_COUNT] = {
    {"arc_challenge", "ArcC", BENCHMARK_CHOICE, "test", 1172},
    {"arc_easy", "ArcE", BENCHMARK_CHOICE, "test", 2376},
    {"boolq", "BoolQ", BENCHMARK_BOOLEAN, "validation", 3270},
    {"gsm8k", "GSM8K", BENCHMARK_NUMBER, "test", 1319},
    {"hellaswag", "HS", BENCHMARK_CHOICE, "validation", 10042},
    {"openbookqa", "OQA", BENCHMARK_CHOICE, "test", 500},
    {"piqa", "PIQA", BENCHMARK_CHOICE, "validation", 1838},
    {"winogrande", "WG", BENCHMARK_CHOICE, "validation", 1267},
    {"humaneval", "HE", BENCHMARK_CODE, "test", 164},
    {"mbpp", "MBPP", BENCHMARK_CODE, "test", 500},
};

const Benchmark *benchmark_table(void) {
    return table;
}

const Benchmark *benchmark_find(const char *name) {
    for (int i = 0; i < BENCHMARK_COUNT; i++)
        if (strcmp(table[i].name, name) == 0) return &table[i];
    return NULL;
}

const char *benchmark_field(const BenchmarkItem *it, const char *key) {
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(it->fields, key);
    CHECK(cJSON_IsString(v), "no field '%s'", key);
    return v->valuestring;
}

/* ---------------------------------------------------------------- fields */

/* One line, while it is read. */
typedef struct Row {
    const cJSON *from;  /* view */
    const char *answer; /* view: its line of the labels' file; NULL: none */
    const char *where;  /* view */
} Row;

static Status no_memory(const char *where) {
    return status_error(E_ENV, "%s: out of memory", where);
}

static Status unlabelled(const char *where, const char *key) {
    return status_error(
        E_INPUT,
        "%s: key '%s': the example has no answer; is this an unlabelled split? A labelled one "
        "is needed",
        where, key);
}

static const cJSON *find(const Row *r, const char *key) {
    return cJSON_GetObjectItemCaseSensitive(r->from, key);
}

static bool has(const Row *r, const char *key) {
    const cJSON *v = find(r, key);
    return v && !cJSON_IsNull(v);
}

/* r's string `from` becomes the field `key`; *out (may be NULL) is a view of it. */
static Status keep(const char **out, BenchmarkItem *it, const Row *r, const char *key, const char *from) {
    const char *text;
    if (out) *out = "";
    TRY(json_get_string(&text, r->from, from, r->where));
    const cJSON *kept = cJSON_AddStringToObject(it->fields, key, text);
    if (!kept) return no_memory(r->where);
    if (out) *out = kept->valuestring;
    return OK;
}

static Status keep_same(BenchmarkItem *it, const Row *r, const char *key) {
    return keep(NULL, it, r, key, key);
}

/* A number, or a string of it, in [min, max] -> *out - min. Nothing, "" and -1 are no answer. */
static Status read_number(int *out, const Row *r, const char *key, int min, int max) {
    const cJSON *v = find(r, key);
    const char *text = r->answer ? r->answer : cJSON_IsString(v) ? v->valuestring : NULL;
    if (!r->answer && !has(r, key)) return unlabelled(r->where, key);
    double x = cJSON_IsNumber(v) ? v->valuedouble : 0;
    if (text) {
        char *end;
        if (!*text) return unlabelled(r->where, key);
        x = strtod(text, &end);
        if (end == text || *end)
            return status_error(E_INPUT, "%s: key '%s': expected a number from %d to %d, found '%.40s'",
                                r->where, key, min, max, text);
    } else if (!cJSON_IsNumber(v)) {
        return status_error(E_INPUT, "%s: key '%s': expected a number from %d to %d, found %s", r->where, key,
                            min, max, json_type_name(v));
    }
    if (x == -1) return unlabelled(r->where, key);
    if (!(x >= min && x <= max) || x != (int)x)
        return status_error(E_INPUT, "%s: key '%s': %g is outside the choices, %d to %d", r->where, key, x,
                            min, max);
    *out = (int)x - min;
    return OK;
}

static Status add_choice(BenchmarkItem *it, const char *text, const char *label, const char *where) {
    if (it->n_choices == BENCHMARK_CHOICES)
        return status_error(E_INPUT, "%s: more than %d choices", where, BENCHMARK_CHOICES);
    it->choice[it->n_choices] = text;
    it->label[it->n_choices++] = label;
    return OK;
}

/* ---------------------------------------------------------------- questions with lettered choices */

static Status add_lettered(BenchmarkItem *it, cJSON *texts, cJSON *labels, const cJSON *text,
                           const cJSON *label, const char *where) {
    if (!cJSON_IsString(text) || !cJSON_IsString(label) || !isalnum((unsigned char)label->valuestring[0]) ||
        label->valuestring[1])
        return status_error(E_INPUT,
                            "%s: key 'choices': choice %d: expected a text and a label of one "
                            "letter or digit",
                            where, it->n_choices);
    cJSON *t = cJSON_CreateString(text->valuestring), *l = cJSON_CreateString(label->valuestring);
    if (!t || !l || !cJSON_AddItemToArray(texts, t) || !cJSON_AddItemToArray(labels, l))
        return no_memory(where);
    for (int i = 0; i < it->n_choices; i++)
        if (strcmp(it->label[i], l->valuestring) == 0)
            return status_error(E_INPUT, "%s: key 'choices': label '%s' twice", where, l->valuestring);
    return add_choice(it, t->valuestring, l->valuestring, where);
}

/* The label behind the last one: "C" -> "D", "3" -> "4". */
static Status fill_up(const BenchmarkItem *it, cJSON *texts, cJSON *labels, const char *where) {
    char label[2] = {it->label[it->n_choices - 1][0], 0};
    for (int i = it->n_choices; i < BENCHMARK_SHOWN; i++) {
        label[0]++;
        cJSON *t = cJSON_CreateString("N/A"), *l = cJSON_CreateString(label);
        if (!t || !l || !cJSON_AddItemToArray(texts, t) || !cJSON_AddItemToArray(labels, l))
            return no_memory(where);
    }
    return OK;
}

static Status read_choices(BenchmarkItem *it, const cJSON *choices, const char *where) {
    cJSON *to = cJSON_AddObjectToObject(it->fields, "choices");
    cJSON *texts = to ? cJSON_AddArrayToObject(to, "text") : NULL;
    cJSON *labels = texts ? cJSON_AddArrayToObject(to, "label") : NULL;
    if (!labels) return no_memory(where);
    if (cJSON_IsArray(choices)) {
        for (const cJSON *c = choices->child; c; c = c->next)
            TRY(add_lettered(it, texts, labels, cJSON_GetObjectItemCaseSensitive(c, "text"),
                             cJSON_GetObjectItemCaseSensitive(c, "label"), where));
    } else {
        const cJSON *t, *l;
        TRY(json_get_array(&t, choices, "text", where));
        TRY(json_get_array(&l, choices, "label", where));
        if (cJSON_GetArraySize(t) != cJSON_GetArraySize(l))
            return status_error(E_INPUT, "%s: key 'choices': %d texts, %d labels", where,
                                cJSON_GetArraySize(t), cJSON_GetArraySize(l));
        for (t = t->child, l = l->child; t && l; t = t->next, l = l->next)
            TRY(add_lettered(it, texts, labels, t, l, where));
    }
    if (it->n_choices < 2)
        return status_error(E_INPUT, "%s: key 'choices': expected at least 2, found %d", where,
                            it->n_choices);
    return fill_up(it, texts, labels, where);
}

static Status read_answer_key(BenchmarkItem *it, const Row *r) {
    const char *key;
    if (!has(r, "answerKey")) return unlabelled(r->where, "answerKey");
    TRY(json_get_string(&key, r->from, "answerKey", r->where));
    while (*key == ' ') key++;
    if (!*key) return unlabelled(r->where, "answerKey");
    for (int i = 0; i < it->n_choices; i++)
        if (strcmp(it->label[i], key) == 0) {
            it->gold = i;
            it->target = it->label[i];
            return OK;
        }
    return status_error(E_INPUT, "%s: key 'answerKey': '%.40s' is none of the %d choices' labels", r->where,
                        key, it->n_choices);
}

/* stem: the Hub's name of the question. */
static Status read_lettered(BenchmarkItem *it, const Row *r, const char *stem) {
    const cJSON *question = find(r, "question"), *choices;
    Row inner = *r;
    if (cJSON_IsObject(question)) { /* the original distribution */
        inner.from = question;
        TRY(keep(NULL, it, &inner, stem, "stem"));
        TRY(json_get_array(&choices, question, "choices", r->where));
    } else {
        TRY(keep_same(it, r, stem));
        TRY(json_get_object(&choices, r->from, "choices", r->where));
    }
    TRY(read_choices(it, choices, r->where));
    return read_answer_key(it, r);
}

static Status read_arc(BenchmarkItem *it, const Row *r) {
    return read_lettered(it, r, "question");
}

static Status read_openbookqa(BenchmarkItem *it, const Row *r) {
    return read_lettered(it, r, "question_stem");
}

/* ---------------------------------------------------------------- the others */

static Status read_boolq(BenchmarkItem *it, const Row *r) {
    const char *key = has(r, "answer") ? "answer" : "label";
    const cJSON *v = find(r, key);
    TRY(keep_same(it, r, "question"));
    TRY(keep_same(it, r, "passage"));
    if (!has(r, key)) return unlabelled(r->where, "answer");
    if (cJSON_IsBool(v))
        it->gold = cJSON_IsTrue(v);
    else
        TRY(read_number(&it->gold, r, key, 0, 1));
    it->target = it->gold ? "true" : "false";
    it->label[0] = it->choice[0] = "no"; /* of the log-likelihood protocol */
    it->label[1] = it->choice[1] = "yes";
    it->n_choices = 2;
    return OK;
}

static Status read_gsm8k(BenchmarkItem *it, const Row *r) {
    const char *answer, *mark = NULL;
    TRY(keep_same(it, r, "question"));
    if (!has(r, "answer")) return unlabelled(r->where, "answer");
    TRY(keep(&answer, it, r, "answer", "answer"));
    if (!*answer) return unlabelled(r->where, "answer");
    for (const char *p = answer; (p = strstr(p, "#### ")); p += 5) mark = p + 5;
    if (!mark || !mark[strspn(mark, " \r\n\t")])
        return status_error(E_INPUT, "%s: key 'answer': expected '#### ' and a number at its end", r->where);
    it->target = mark;
    return OK;
}

static const char *const digit_names[] = {"0",  "1",  "2",  "3",  "4",  "5",  "6",  "7",  "8",
                                          "9",  "10", "11", "12", "13", "14", "15", "16", "17",
                                          "18", "19", "20", "21", "22", "23", "24", "25"};

static Status read_hellaswag(BenchmarkItem *it, const Row *r) {
    const cJSON *endings;
    TRY(keep_same(it, r, "activity_label"));
    TRY(keep_same(it, r, "ctx"));
    if (has(r, "ctx_a") && has(r, "ctx_b")) {
        TRY(keep_same(it, r, "ctx_a"));
        TRY(keep_same(it, r, "ctx_b"));
    }
    TRY(json_get_array(&endings, r->from, "endings", r->where));
    if (cJSON_GetArraySize(endings) != BENCHMARK_SHOWN)
        return status_error(E_INPUT, "%s: key 'endings': expected %d, found %d", r->where, BENCHMARK_SHOWN,
                            cJSON_GetArraySize(endings));
    cJSON *copy = cJSON_Duplicate(endings, true);
    if (!copy || !cJSON_AddItemToObject(it->fields, "endings", copy)) {
        cJSON_Delete(copy);
        return no_memory(r->where);
    }
    for (const cJSON *e = copy->child; e; e = e->next) {
        if (!cJSON_IsString(e))
            return status_error(E_INPUT, "%s: key 'endings': expected strings, found %s", r->where,
                                json_type_name(e));
        TRY(add_choice(it, e->valuestring, digit_names[it->n_choices], r->where));
    }
    TRY(read_number(&it->gold, r, "label", 0, it->n_choices - 1));
    it->target = it->label[it->gold];
    return OK;
}

static Status read_piqa(BenchmarkItem *it, const Row *r) {
    const char *sol1, *sol2;
    TRY(keep_same(it, r, "goal"));
    TRY(keep(&sol1, it, r, "sol1", "sol1"));
    TRY(keep(&sol2, it, r, "sol2", "sol2"));
    TRY(add_choice(it, sol1, "0", r->where));
    TRY(add_choice(it, sol2, "1", r->where));
    TRY(read_number(&it->gold, r, "label", 0, 1));
    it->target = it->label[it->gold];
    return OK;
}

static Status read_winogrande(BenchmarkItem *it, const Row *r) {
    const char *sentence, *option1, *option2;
    TRY(keep(&sentence, it, r, "sentence", "sentence"));
    if (!strchr(sentence, '_'))
        return status_error(E_INPUT, "%s: key 'sentence': expected a blank '_', found none", r->where);
    TRY(keep(&option1, it, r, "option1", "option1"));
    TRY(keep(&option2, it, r, "option2", "option2"));
    TRY(add_choice(it, option1, "1", r->where));
    TRY(add_choice(it, option2, "2", r->where));
    TRY(read_number(&it->gold, r, "answer", 1, 2));
    it->target = it->label[it->gold];
    return OK;
}

/* The strings of an array, each on its line, as one field; an absent array that may be is "". */
static Status keep_lines(BenchmarkItem *it, const Row *r, const char *key, const char *from, bool needed) {
    const cJSON *list = NULL;
    if (needed || has(r, from)) TRY(json_get_array(&list, r->from, from, r->where));
    size_t n = 1;
    for (const cJSON *c = list ? list->child : NULL; c; c = c->next) {
        if (!cJSON_IsString(c))
            return status_error(E_INPUT, "%s: key '%s': expected strings, found %s", r->where, from,
                                json_type_name(c));
        n += strlen(c->valuestring) + 1;
    }
    if (needed && n == 1)
        return status_error(E_INPUT, "%s: key '%s': expected at least one line, found none", r->where, from);
    char *text = malloc(n), *p = text;
    if (!text) return no_memory(r->where);
    for (const cJSON *c = list ? list->child : NULL; c; c = c->next)
        p += sprintf(p, "%s%s", p > text ? "\n" : "", c->valuestring);
    *p = 0;
    bool ok = cJSON_AddStringToObject(it->fields, key, text) != NULL;
    free(text);
    return ok ? OK : no_memory(r->where);
}

static Status read_mbpp(BenchmarkItem *it, const Row *r) {
    int64_t id;
    TRY(json_get_int(&id, r->from, "task_id", 0, 1 << 30, r->where));
    TRY(keep(NULL, it, r, "prompt", has(r, "text") ? "text" : "prompt"));
    TRY(keep(&it->target, it, r, "code", "code"));
    TRY(keep_lines(it, r, "assertions", "test_list", true));
    if (has(r, "test_setup_code")) return keep(NULL, it, r, "setup", "test_setup_code");
    return keep_lines(it, r, "setup", "test_imports", false);
}

/* A line of the classic file that is outside its test split. */
static bool is_other_split(const Row *r) {
    const cJSON *id = find(r, "task_id");
    return has(r, "text") && cJSON_IsNumber(id) && (id->valuedouble < 11 || id->valuedouble > 510);
}

static Status read_humaneval(BenchmarkItem *it, const Row *r) {
    static const char *const keys[] = {"task_id", "prompt", "entry_point", "test"};
    for (int i = 0; i < 4; i++) TRY(keep_same(it, r, keys[i]));
    return keep(&it->target, it, r, "canonical_solution", "canonical_solution");
}

typedef Status ReadFn(BenchmarkItem *it, const Row *r);
static ReadFn *const readers[BENCHMARK_COUNT] = {
    read_arc,        read_arc,  read_boolq,      read_gsm8k,     read_hellaswag,
    read_openbookqa, read_piqa, read_winogrande, read_humaneval, read_mbpp,
};

/* ---------------------------------------------------------------- files */

static Status read_gzip(char **out, size_t *n, const char *path) {
    struct archive *a = archive_read_new();
    struct archive_entry *entry;
    size_t cap = 0;
    Status s = OK;
    *out = NULL;
    *n = 0;
    if (!a) return no_memory(path);
    archive_read_support_filter_gzip(a);
    archive_read_support_format_raw(a);
    if (archive_read_open_filename(a, path, 1 << 16) != ARCHIVE_OK ||
        archive_read_next_header(a, &entry) != ARCHIVE_OK || archive_filter_code(a, 0) != ARCHIVE_FILTER_GZIP)
        s = status_error(E_INPUT, "%s: not a gzip file", path);
    while (status_is_ok(s)) {
        if (cap - *n < 2) {
            cap = cap ? 2 * cap : 1 << 20;
            char *grown = realloc(*out, cap);
            if (!grown) {
                s = no_memory(path);
                break;
            }
            *out = grown;
        }
        la_ssize_t got = archive_read_data(a, *out + *n, cap - *n - 1);
        if (got == 0) break;
        if (got < 0)
            s = status_error(E_INPUT, "%s: the gzip data are damaged or cut", path);
        else if ((*n += (size_t)got) > MAX_BYTES)
            s = status_error(E_INPUT, "%s: more than %d bytes", path, MAX_BYTES);
    }
    archive_read_free(a);
    if (status_is_ok(s))
        (*out)[*n] = 0;
    else
        free(*out);
    return s;
}

/* DIR/<name><suffix><ending>; *out owns. */
static Status path_of(char **out, const Benchmark *b, const char *dir, const char *suffix,
                      const char *ending) {
    char name[128];
    snprintf(name, sizeof name, "%s%.32s%s", b->name, suffix, ending);
    *out = path_join(dir, name);
    return *out ? OK : no_memory(dir);
}

/* *path and *text own. */
static Status read_examples(char **path, char **text, size_t *n, const Benchmark *b, const char *dir,
                            const char *suffix) {
    static const char *const endings[] = {".jsonl", ".jsonl.gz", ".json"};
    for (int i = 0; i < 3; i++) {
        TRY(path_of(path, b, dir, suffix, endings[i]));
        if (file_exists(*path)) {
            Status s = i == 1 ? read_gzip(text, n, *path) : file_read(text, n, *path, MAX_BYTES);
            if (!status_is_ok(s)) free(*path);
            return s;
        }
        free(*path);
    }
    return status_error(E_INPUT,
                        "%s: no %s%s.jsonl (nor .jsonl.gz, .json): the %s split's examples, one a line", dir,
                        b->name, suffix, *suffix ? "train" : b->split);
}

/* The answers of piqa and winogrande, NULL where there is no such file. */
static Status read_labels(char **text, const Benchmark *b, const char *dir, const char *suffix) {
    char *path;
    *text = NULL;
    TRY(path_of(&path, b, dir, suffix, "-labels.lst"));
    Status s = file_exists(path) ? file_read(text, NULL, path, MAX_BYTES) : OK;
    free(path);
    return s;
}

/* The next line of *p, NUL-terminated in place, white space at its end dropped; NULL at the end. *n: bytes,
 * NULs among them included. */
static char *next_line(char **p, const char *end, size_t *n) {
    if (*p >= end) return NULL;
    char *line = *p, *stop = memchr(line, '\n', (size_t)(end - line));
    if (!stop) stop = line + (end - line);
    *p = stop + 1;
    while (stop > line && strchr(" \t\r", stop[-1]) && stop[-1]) stop--;
    *stop = 0;
    *n = (size_t)(stop - line);
    return line;
}

static Status add_item(BenchmarkSet *set, int64_t *cap, const Row *r, int64_t index) {
    if (!cJSON_IsObject(r->from))
        return status_error(E_INPUT, "%s: expected an object, found %s", r->where, json_type_name(r->from));
    if (strcmp(set->benchmark->name, "mbpp") == 0 && is_other_split(r)) return OK;
    if (set->n == *cap) {
        *cap = *cap ? 2 * *cap : 256;
        BenchmarkItem *grown = realloc(set->items, (size_t)*cap * sizeof *grown);
        if (!grown) return no_memory(r->where);
        set->items = grown;
    }
    BenchmarkItem *it = &set->items[set->n++]; /* from here on benchmark_free() knows it */
    *it = (BenchmarkItem){.index = index, .fields = cJSON_CreateObject()};
    if (!it->fields) return no_memory(r->where);
    return readers[set->benchmark - table](it, r);
}

static Status read_lines(BenchmarkSet *set, char *text, size_t n, char *labels, int64_t limit) {
    int64_t cap = 0, number = 0;
    size_t len, len2, end_labels = labels ? strlen(labels) : 0;
    char *p = text, *line, *l = labels;
    for (; (!limit || set->n < limit) && (line = next_line(&p, text + n, &len)); number++) {
        char where[4200];
        snprintf(where, sizeof where, "%.4096s:%lld", set->path, (long long)number + 1);
        Row r = {.where = where};
        if (labels && !(r.answer = next_line(&l, labels + end_labels, &len2)))
            return status_error(E_INPUT, "%s: the file of labels has only %lld lines", where,
                                (long long)number);
        if (len == 0) continue;
        cJSON *value;
        TRY(json_parse(&value, line, len, where));
        r.from = value;
        Status s = add_item(set, &cap, &r, number);
        cJSON_Delete(value);
        TRY(s);
    }
    if (labels && !limit && next_line(&l, labels + end_labels, &len2))
        return status_error(E_INPUT, "%s: %lld lines, but the file of labels has more", set->path,
                            (long long)number);
    return OK;
}

static Status read_array(BenchmarkSet *set, const char *text, size_t n, int64_t limit) {
    int64_t cap = 0, number = 0;
    cJSON *all;
    TRY(json_parse(&all, text, n, set->path));
    Status s = cJSON_IsArray(all)
                   ? OK
                   : status_error(E_INPUT, "%s: expected an array, found %s", set->path, json_type_name(all));
    for (const cJSON *v = all->child; status_is_ok(s) && v && (!limit || set->n < limit); v = v->next) {
        char where[4200];
        snprintf(where, sizeof where, "%.4096s: [%lld]", set->path, (long long)number);
        Row r = {v, NULL, where};
        s = add_item(set, &cap, &r, number++);
    }
    cJSON_Delete(all);
    return s;
}

Status benchmark_parse(BenchmarkSet *out, const Benchmark *b, char *text, size_t n, char *labels,
                       const char *where, int64_t limit) {
    *out = (BenchmarkSet){.benchmark = b, .path = strdup(where)};
    Status s = out->path ? OK : no_memory(where);
    bool array = text[strspn(text, " \t\r\n")] == '[';
    if (status_is_ok(s))
        s = array ? read_array(out, text, n, limit) : read_lines(out, text, n, labels, limit);
    if (status_is_ok(s) && out->n == 0) s = status_error(E_INPUT, "%s: no examples", out->path);
    if (!status_is_ok(s)) benchmark_free(out);
    return s;
}

Status benchmark_load(BenchmarkSet *out, const Benchmark *b, const char *dir, const char *suffix,
                      int64_t limit) {
    char *text = NULL, *labels = NULL, *path;
    size_t n = 0;
    *out = (BenchmarkSet){0};
    TRY(read_examples(&path, &text, &n, b, dir, suffix));
    Status s = read_labels(&labels, b, dir, suffix);
    if (status_is_ok(s)) s = benchmark_parse(out, b, text, n, labels, path, limit);
    free(text);
    free(labels);
    free(path);
    return s;
}

void benchmark_free(BenchmarkSet *set) {
    for (int64_t i = 0; i < set->n; i++) cJSON_Delete(set->items[i].fields);
    free(set->items);
    free(set->path);
    *set = (BenchmarkSet){0};
}
