/* Chat templates: messages to the text a chat model was trained on. A model's Jinja program is not executed:
 * it is recognised and rendered here, byte for byte like the original (tests/golden/template.jsonl,
 * chat_templates.jsonl).
 *
 * ChatML is recognised by its markers and what stands behind them:
 * "<|im_start|>{role}\n{content}<|im_end|>\n" a message; generation prompt
 * "<|im_start|>assistant\n"; contents are copied as they are.
 * Llama-2, Mistral, Llama-3 and Gemma differ from one publication to the next in spaces, in what becomes of a
 * system message and in what they refuse. They are recognised by the whole program, in whatever way it is
 * laid out: quotes, indentation and comments do not matter. Their text begins with the beginning-of-sequence
 * token where the program says so. "white space" is Python's: what str.strip() takes. */
#ifndef T2L_DATA_TEMPLATE_H
#define T2L_DATA_TEMPLATE_H

#include "data/tokenizer.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum TemplateKind {
    TEMPLATE_CHATML, /* SmolLM2, Qwen */
    TEMPLATE_INST,   /* Llama-2, Mistral: [INST] */
    TEMPLATE_HEADER, /* Llama-3: <|start_header_id|> */
    TEMPLATE_TURN    /* Gemma: <start_of_turn> */
} TemplateKind;

struct TemplateStyle;
typedef struct Template {
    TemplateKind kind;
    const struct TemplateStyle *style; /* view; NULL for ChatML */
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

/* jinja: the model's template text, or NULL; then the special tokens decide (ChatML only). t may be NULL if
 * jinja is not. A template that is not recognised is E_INPUT naming those that are. where: the file, for
 * messages. */
Status template_recognise(Template *out, const char *jinja, const Tokenizer *t, const char *where);
/* The published template whose program has this fingerprint (template_styles.h); E_INPUT when none has. */
Status template_of_fingerprint(Template *out, const char *fingerprint);
void template_free(Template *t);              /* and empties it */
const char *template_name(const Template *t); /* "ChatML", "Mistral-7B-Instruct-v0.2", ... */

/* *out owns the text. ChatML takes n == 0. A conversation that the model's own template refuses (a system
 * turn, two user turns in a row) is E_INPUT saying so. */
Status template_render(char **out, const Template *t, const ChatMessage *m, size_t n, TemplateOpts opts);

#ifdef __cplusplus
}
#endif
#endif
