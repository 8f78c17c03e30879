#include "eval/wordings.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const Wording own[BENCHMARK_COUNT] = {
    {"{question}\n\n{options}\n\nWhich one is right? Reply with its label alone.", "", ""},
    {"{question}\n\n{options}\n\nWhich one is right? Reply with its label alone.", "", ""},
    {"{passage}\n\n{question}?\n\nReply with true or false alone.", "", ""},
    {"{question}\n\nThink it through and end with the result, a number.", "Let's think step by step.", ""},
    {"{ctx} ...\n\nHow does this go on?\n\n{options}\n\nReply with the number of the right ending alone.", "",
     ""},
    {"{question_stem}\n\n{options}\n\nWhich one completes or answers this? Reply with its label alone.", "",
     ""},
    {"{goal}\n\n{options}\n\nWhich of the two works? Reply with its number alone.", "", ""},
    {"{sentence}\n\n{options}\n\nWhich one belongs into the blank (_)? Reply with its number alone.", "", ""},
    {"Complete this Python function:\n```python\n{prompt}```", "```python\n", "\n```"},
    {"{prompt}\n\nAnswer with Python code that passes these tests:\n```python\n{assertions}\n```",
     "```python\n", "\n```"},
};

/* ---- files ---- */

static Status optional_string(const char **out, const cJSON *o, const char *key, const char *where) {
    *out = "";
    return cJSON_GetObjectItemCaseSensitive(o, key) ? json_get_string(out, o, key, where) : OK;
}

static Status read_file(Wordings *w, const char *path) {
    TRY(json_read(&w->file, path, 16 << 20));
    if (!cJSON_IsObject(w->file))
        return status_error(E_INPUT, "%s: expected an object of tasks, found %s", path,
                            json_type_name(w->file));
    for (int i = 0; i < BENCHMARK_COUNT; i++) {
        const char *name = benchmark_table()[i].name;
        const cJSON *o = cJSON_GetObjectItemCaseSensitive(w->file, name);
        char where[512];
        if (!o) continue;
        snprintf(where, sizeof where, "%.400s: %s", path, name);
        TRY(json_get_string(&w->by[i].user, o, "user_prompt_template", where));
        TRY(optional_string(&w->by[i].prefill, o, "assistant_prefill", where));
        TRY(optional_string(&w->by[i].postfill, o, "assistant_postfill", where));
    }
    return OK;
}

Status wordings_load(Wordings *out, const char *path) {
    *out = (Wordings){.source = path ? path : "own"};
    if (!path) {
        memcpy(out->by, own, sizeof own);
        return OK;
    }
    Status s = read_file(out, path);
    if (!status_is_ok(s)) wordings_free(out);
    return s;
}

void wordings_free(Wordings *w) {
    cJSON_Delete(w->file);
    *w = (Wordings){0};
}

Status wordings_find(Wording *out, const Wordings *w, const Benchmark *b) {
    *out = w->by[b - benchmark_table()];
    if (out->user) return OK;
    return status_error(E_INPUT, "%s: no wording for %s", w->source, b->name);
}

/* ---- filling ---- */

enum { PATH_WORD = 64 };

/* The next word of a path "choices[text][0]" into word; NULL when it is malformed. */
static const char *next_word(char word[PATH_WORD], const char *p, bool first) {
    size_t n = 0;
    if (!first && *p++ != '[') return NULL;
    while (n < PATH_WORD - 1 && (isalnum((unsigned char)p[n]) || p[n] == '_')) n++;
    memcpy(word, p, n);
    word[n] = 0;
    p += n;
    if (n == 0 || (!first && *p++ != ']')) return NULL;
    return p;
}

/* The string that the path at p (behind the brace) names; *end: behind the closing brace. */
static const char *lookup(const char **end, const char *p, const BenchmarkItem *it) {
    const cJSON *v = it->fields;
    for (bool first = true; v && *p != '}'; first = false) {
        char word[PATH_WORD];
        if (!(p = next_word(word, p, first))) return NULL;
        v = cJSON_IsArray(v)
                ? (isdigit((unsigned char)word[0]) && strlen(word) < 6 ? cJSON_GetArrayItem(v, atoi(word))
                                                                       : NULL)
                : cJSON_GetObjectItemCaseSensitive(v, word);
    }
    *end = p + 1;
    return cJSON_IsString(v) ? v->valuestring : NULL;
}

static void put_options(FILE *f, const BenchmarkItem *it) {
    for (int i = 0; i < it->n_choices; i++)
        fprintf(f, "%s%s: %s", i ? "\n" : "", it->label[i], it->choice[i]);
}

static Status fill(FILE *f, const char *template, const BenchmarkItem *it, const char *where) {
    static const char options[] = "{options}";
    for (const char *p = template; *p;) {
        if ((*p == '{' || *p == '}') && p[1] == *p) {
            fputc(*p, f);
            p += 2;
        } else if (strncmp(p, options, sizeof options - 1) == 0) {
            put_options(f, it);
            p += sizeof options - 1;
        } else if (*p == '{') {
            const char *end, *value = lookup(&end, p + 1, it);
            if (!value)
                return status_error(E_INPUT, "%s: the template's %.*s} is no text of the example", where,
                                    (int)strcspn(p, "}"), p);
            fputs(value, f);
            p = end;
        } else {
            fputc(*p++, f);
        }
    }
    return OK;
}

Status wordings_fill(char **out, const char *template, const BenchmarkItem *it, const char *where) {
    size_t n = 0;
    *out = NULL;
    FILE *f = open_memstream(out, &n);
    if (!f) return status_error(E_ENV, "%s: out of memory", where);
    Status s = fill(f, template, it, where);
    if (fclose(f) != 0 && status_is_ok(s)) s = status_error(E_ENV, "%s: out of memory", where);
    if (!status_is_ok(s)) {
        free(*out);
        *out = NULL;
    }
    return s;
}
