#include "base/json.h"
#include "base/file.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DEPTH = 64 }; /* chosen: our deepest file has 6 */

/* One walk before cJSON sees the text: nesting depth and \u0000, both outside and inside strings. */
static Status scan(const char *text, size_t n, const char *where) {
    int depth = 0;
    bool in_string = false;
    size_t line = 1;
    for (size_t i = 0; i < n; i++) {
        char c = text[i];
        if (c == '\n') line++;
        if (c == 0) return status_error(E_INPUT, "%s: line %zu: NUL byte in JSON", where, line);
        if (in_string) {
            if (c == '\\') {
                if (n - i > 5 && memcmp(text + i + 1, "u0000", 5) == 0)
                    return status_error(E_INPUT, "%s: line %zu: \\u0000 is not accepted in a JSON string",
                                        where, line);
                i++;
            } else if (c == '"') {
                in_string = false;
            }
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            if (++depth > MAX_DEPTH)
                return status_error(E_INPUT, "%s: line %zu: JSON nested deeper than %d", where, line,
                                    MAX_DEPTH);
        } else if (c == '}' || c == ']') {
            depth--;
        }
    }
    return OK;
}

static int compare_keys(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static Status check_duplicates(const cJSON *value, const char *where) {
    if (cJSON_IsObject(value)) {
        size_t n = (size_t)cJSON_GetArraySize(value), i = 0;
        const char **keys = n > 1 ? malloc(n * sizeof *keys) : NULL;
        if (n > 1 && !keys) return status_error(E_ENV, "%s: out of memory", where);
        for (const cJSON *c = value->child; c && keys; c = c->next) keys[i++] = c->string;
        if (keys) qsort(keys, n, sizeof *keys, compare_keys);
        for (size_t k = 1; k < n; k++)
            if (strcmp(keys[k - 1], keys[k]) == 0) {
                Status s = status_error(E_INPUT, "%s: key '%s' appears twice in one object", where, keys[k]);
                free(keys);
                return s;
            }
        free(keys);
    }
    for (const cJSON *c = value->child; c; c = c->next) TRY(check_duplicates(c, where));
    return OK;
}

Status json_parse(cJSON **out, const char *text, size_t n, const char *where) {
    *out = NULL;
    TRY(scan(text, n, where));
    const char *end = NULL;
    errno = 0;
    cJSON *value = cJSON_ParseWithLengthOpts(text, n, &end, false);
    if (!value && errno == ENOMEM) /* cJSON does not say */
        return status_error(E_ENV, "%s: no memory to parse its %zu bytes of JSON", where, n);
    if (value)
        while (end < text + n && strchr(" \t\r\n", *end)) end++;
    if (!value || end != text + n) {
        size_t line = 1, col = 1;
        for (const char *p = text; end && p < end && p < text + n; p++) {
            col++;
            if (*p == '\n') {
                line++;
                col = 1;
            }
        }
        cJSON_Delete(value);
        return status_error(E_INPUT, "%s: line %zu, column %zu: %s", where, line, col,
                            value ? "unexpected text after the JSON value" : "not valid JSON");
    }
    Status s = check_duplicates(value, where);
    if (!status_is_ok(s)) {
        cJSON_Delete(value);
        return s;
    }
    *out = value;
    return OK;
}

Status json_read(cJSON **out, const char *path, size_t max) {
    char *text;
    size_t n;
    *out = NULL;
    TRY(file_read(&text, &n, path, max));
    Status s = json_parse(out, text, n, path);
    free(text);
    return s;
}

Status json_write(const char *path, const cJSON *value) {
    char *text = cJSON_Print(value);
    if (!text) return status_error(E_ENV, "%s: out of memory", path);
    size_t n = strlen(text);
    text[n] = '\n'; /* the terminator's place; written without one */
    Status s = file_write_atomic(path, text, n + 1);
    cJSON_free(text);
    return s;
}

const char *json_type_name(const cJSON *value) {
    if (!value) return "nothing";
    if (cJSON_IsString(value)) return "a string";
    if (cJSON_IsNumber(value)) return "a number";
    if (cJSON_IsBool(value)) return "true or false";
    if (cJSON_IsArray(value)) return "an array";
    if (cJSON_IsObject(value)) return "an object";
    return "null";
}

static Status member(const cJSON **out, const cJSON *object, const char *key, const char *want,
                     const char *where) {
    *out = cJSON_GetObjectItemCaseSensitive(object, key);
    if (!*out) return status_error(E_INPUT, "%s: key '%s' is missing (expected %s)", where, key, want);
    return OK;
}

static Status wrong(const cJSON *v, const char *key, const char *want, const char *where) {
    return status_error(E_INPUT, "%s: key '%s': expected %s, found %s", where, key, want, json_type_name(v));
}

Status json_get_string(const char **out, const cJSON *object, const char *key, const char *where) {
    const cJSON *v;
    TRY(member(&v, object, key, "a string", where));
    if (!cJSON_IsString(v)) return wrong(v, key, "a string", where);
    *out = v->valuestring;
    return OK;
}

Status json_get_number(double *out, const cJSON *object, const char *key, const char *where) {
    const cJSON *v;
    TRY(member(&v, object, key, "a number", where));
    if (!cJSON_IsNumber(v)) return wrong(v, key, "a number", where);
    if (!isfinite(v->valuedouble))
        return status_error(E_INPUT, "%s: key '%s': not a finite number", where, key);
    *out = v->valuedouble;
    return OK;
}

Status json_get_int(int64_t *out, const cJSON *object, const char *key, int64_t min, int64_t max,
                    const char *where) {
    double d = 0.0;
    TRY(json_get_number(&d, object, key, where));
    if (d != floor(d) || fabs(d) > 9007199254740992.0 || d < (double)min || d > (double)max)
        return status_error(E_INPUT, "%s: key '%s': expected an integer from %lld to %lld, found %.17g",
                            where, key, (long long)min, (long long)max, d);
    *out = (int64_t)d;
    return OK;
}

Status json_get_bool(bool *out, const cJSON *object, const char *key, const char *where) {
    const cJSON *v;
    TRY(member(&v, object, key, "true or false", where));
    if (!cJSON_IsBool(v)) return wrong(v, key, "true or false", where);
    *out = cJSON_IsTrue(v);
    return OK;
}

Status json_get_array(const cJSON **out, const cJSON *object, const char *key, const char *where) {
    TRY(member(out, object, key, "an array", where));
    return cJSON_IsArray(*out) ? OK : wrong(*out, key, "an array", where);
}

Status json_get_object(const cJSON **out, const cJSON *object, const char *key, const char *where) {
    TRY(member(out, object, key, "an object", where));
    return cJSON_IsObject(*out) ? OK : wrong(*out, key, "an object", where);
}
