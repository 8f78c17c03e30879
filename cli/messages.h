/* Chat messages from JSON: [{"role": ..., "content": ...}, ...]. */
#ifndef T2L_CLI_MESSAGES_H
#define T2L_CLI_MESSAGES_H

#include "base/json.h"
#include "data/template.h"

/* *out owns the array; the strings are views into value. system: put before the others unless NULL; then a
 * system message in the list is refused. */
Status messages_read(ChatMessage **out, size_t *n, const cJSON *value, const char *system, const char *where);

#endif
