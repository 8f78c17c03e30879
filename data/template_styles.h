/* The published templates of the families that are recognised by their whole program, and that program's
 * fingerprint. Not for other folders. */
#ifndef T2L_DATA_TEMPLATE_STYLES_H
#define T2L_DATA_TEMPLATE_STYLES_H

#include "data/template.h"

typedef enum SystemTurn {                     /* a system message that comes first */
                          SYSTEM_TURN,        /* is a turn like the others */
                          SYSTEM_BEFORE_USER, /* stands before the first user content: "S\n\nQ" */
                          SYSTEM_TAGGED,      /* the same, as "<<SYS>>\nS\n<</SYS>>\n\nQ" */
                          SYSTEM_DATED, /* a turn that begins with two lines of dates; without a message,
                                           those alone */
                          SYSTEM_REFUSED
} SystemTurn;

typedef enum BeginToken {                    /* where the beginning-of-sequence token stands */
                          BEGIN_ALWAYS,      /* first */
                          BEGIN_WITH_SYSTEM, /* first, if a system message is */
                          BEGIN_EVERY_USER   /* before every user turn */
} BeginToken;

typedef struct TemplateStyle {
    const char *name;
    const char *fingerprint; /* the first digits of the SHA-256 of the canonical program */
    TemplateKind kind;
    SystemTurn system;
    BeginToken begin;
    bool alternate;     /* user and assistant must take turns, from user on */
    bool tools;         /* turns of roles tool and ipython are something else */
    bool always_prompt; /* the generation prompt is always there */
    /* TEMPLATE_INST: around contents */
    bool strip, pass_others; /* contents lose white space; turns of other roles vanish instead of failing */
    const char *user_open, *assistant_open, *assistant_close;
} TemplateStyle;

enum { TEMPLATE_FINGERPRINT = 16 }; /* digits */

/* out: room for the digits and the NUL; "none" where a tag does not end. */
Status template_style_fingerprint(char *out, const char *jinja);
const TemplateStyle *template_style_find(const char *fingerprint); /* view; NULL: none of those published */
#define TEMPLATE_STYLE_NAMES                                                                                \
    "ChatML, Llama-2-chat, Mistral-7B-Instruct v0.1 and v0.2, Meta-Llama-3, Llama-3.1 and 3.3, Gemma, and " \
    "the "                                                                                                  \
    "text-to-lora variants of Mistral, Llama-3.1 and Gemma"

#endif
