/* JSON through cJSON, made strict for untrusted files: duplicate keys, embedded NULs, deep nesting and
 * trailing text are refused; getters name file and key. `where` is the file (or a file:line) for messages. */
#ifndef T2L_BASE_JSON_H
#define T2L_BASE_JSON_H

#include "base/status.h"
#include <cjson/cJSON.h>
#include <stdint.h>

/* Parses n bytes. *out owns a tree for cJSON_Delete. Syntax errors give line and column. */
Status json_parse(cJSON **out, const char *text, size_t n, const char *where);
/* Reads and parses a file of at most max bytes. */
Status json_read(cJSON **out, const char *path, size_t max);
/* Pretty-prints to a file, atomically. */
Status json_write(const char *path, const cJSON *value);

/* Member `key` of an object. Absent: E_INPUT naming where and key; wrong type likewise with what was found.
 */
Status json_get_string(const char **out, const cJSON *object, const char *key, const char *where); /* view */
Status json_get_number(double *out, const cJSON *object, const char *key, const char *where);
/* An integer in [min, max]; fractions and numbers beyond 2^53 are refused. */
Status json_get_int(int64_t *out, const cJSON *object, const char *key, int64_t min, int64_t max,
                    const char *where);
Status json_get_bool(bool *out, const cJSON *object, const char *key, const char *where);
Status json_get_array(const cJSON **out, const cJSON *object, const char *key, const char *where);  /* view */
Status json_get_object(const cJSON **out, const cJSON *object, const char *key, const char *where); /* view */
/* "a string", "a number", ...: for messages. */
const char *json_type_name(const cJSON *value);

#endif
