/* Chat templates: messages to the text a chat model was trained on. A model's Jinja program is not executed:
 * its family is recognised and rendered here, byte for byte like the original (tests/golden/template.jsonl).
 *
 * ChatML: "<|im_start|>{role}\n{content}<|im_end|>\n" a message; generation prompt "<|im_start|>assistant\n".
 * Contents are copied as they are, not trimmed. */
#ifndef T2L_DATA_TEMPLATE_H
#define T2L_DATA_TEMPLATE_H

#include "data/tokenizer.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum TemplateKind {
    TEMPLATE_CHATML /* SmolLM2, Qwen */
} TemplateKind;

typedef struct Template {
    TemplateKind kind;
    char *default_system; /* owns; the system message the model's own template inserts; NULL: none */
} Template;

typedef struct ChatMessage {
    const char *role, *content; /* views */
} ChatMessage;

typedef struct TemplateOpts {
    bool generation_prompt; /* end with the opening of the assistant's turn */
    bool default_system; /* like the model's own template: default_system first when messages[0] is no system
                            turn. Training and evaluation prompts leave it false: no system turn. */
} TemplateOpts;

/* jinja: the model's template text, or NULL; then the special tokens decide. t may be NULL if jinja is not.
 * A family that is not supported is E_INPUT naming it. where: the file, for messages. */
Status template_recognise(Template *out, const char *jinja, const Tokenizer *t, const char *where);
void template_free(Template *t); /* and empties it */

/* *out owns the text. n == 0 is allowed. */
Status template_render(char **out, const Template *t, const ChatMessage *m, size_t n, TemplateOpts opts);

#ifdef __cplusplus
}
#endif
#endif
