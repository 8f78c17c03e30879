/* Python's view of a text, as lm-evaluation-harness's prompts need it: white space at the ends, characters,
 * capitals. Texts are UTF-8; broken bytes count as characters of their own. */
#ifndef T2L_EVAL_TEXT_H
#define T2L_EVAL_TEXT_H

#include "base/status.h"

#include <stdint.h>

/* str.rstrip(): the length that stays. str.lstrip(): bytes that go. */
size_t text_strip_end(const char *s, size_t n);
size_t text_strip_start(const char *s, size_t n);
/* len() */
int64_t text_length(const char *s, size_t n);
/* str.capitalize(): the first character in title case, the others in lower case; by Unicode's one-to-one
 * mappings, but for U+0130. *out owns. */
Status text_capitalize(char **out, const char *s);

#endif
