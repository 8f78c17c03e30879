#include "cli/messages.h"

#include <stdlib.h>
#include <string.h>

static Status read_one(ChatMessage *m, const cJSON *item, bool system_given, const char *where) {
    if (!cJSON_IsObject(item))
        return status_error(E_INPUT, "%s: expected messages {role, content}, found %s", where,
                            json_type_name(item));
    TRY(json_get_string(&m->role, item, "role", where));
    TRY(json_get_string(&m->content, item, "content", where));
    if (strcmp(m->role, "system") != 0 && strcmp(m->role, "user") != 0 && strcmp(m->role, "assistant") != 0)
        return status_error(E_INPUT, "%s: role '%s': expected system, user or assistant", where, m->role);
    if (system_given && strcmp(m->role, "system") == 0)
        return status_error(E_INPUT, "%s: a system message besides --system", where);
    return OK;
}

Status messages_read(ChatMessage **out, size_t *n, const cJSON *value, const char *system,
                     const char *where) {
    *out = NULL;
    *n = 0;
    if (!cJSON_IsArray(value))
        return status_error(E_INPUT, "%s: expected a JSON array of messages, found %s", where,
                            json_type_name(value));
    ChatMessage *list = calloc((size_t)cJSON_GetArraySize(value) + 1, sizeof *list);
    if (!list) return status_error(E_ENV, "%s: out of memory", where);
    size_t count = 0;
    if (system) list[count++] = (ChatMessage){"system", system};
    Status s = OK;
    for (const cJSON *item = value->child; status_is_ok(s) && item; item = item->next)
        s = read_one(&list[count++], item, system != NULL, where);
    if (!status_is_ok(s)) {
        free(list);
        return s;
    }
    *out = list;
    *n = count;
    return OK;
}
