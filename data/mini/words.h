// Word tables of the mini suite. A table is one string: entries separated by blanks, the fields of an entry
// by colons, an underscore for a blank inside a field.
#ifndef T2L_DATA_MINI_WORDS_H
#define T2L_DATA_MINI_WORDS_H

#include <stddef.h>

enum { WORDS_FIELD = 40 }; // the longest field, with its end mark

extern const char words_common[];
extern const char words_names[];
extern const char words_animals[];
extern const char words_plants[];
extern const char words_foods[];
extern const char words_vehicles[];
extern const char words_tools[];
extern const char words_clothes[];
extern const char words_body[];
extern const char words_fruits[];
extern const char words_jobs[];
extern const char words_sports[];
extern const char words_instruments[];
extern const char words_buildings[];
extern const char words_furniture[];
extern const char words_drinks[];
extern const char words_feelings[];
extern const char words_colors[];
extern const char words_cities[];
extern const char words_days[];

extern const char words_countries[];  // country:capital:continent:nationality
extern const char words_languages[];  // country:language
extern const char words_opposites[];  // word:opposite
extern const char words_french[];     // english:french
extern const char words_nouns[];      // singular:plural
extern const char words_verbs[];      // base:third person:past:ing
extern const char words_adjectives[]; // base:comparative:superlative

extern const char words_actions[]; // base:third person:past:rest of a sentence
extern const char words_reviewed[];
extern const char words_pleasing[];
extern const char words_displeasing[];
extern const char words_goods[];
extern const char words_deals[]; // past of a verb that takes a thing
extern const char words_amounts[];

extern const char words_months[];
extern const char words_surnames[];
extern const char words_extensions[];
extern const char words_small[];     // things that fit in a hand
extern const char words_large[];     // things larger than a person
extern const char words_couples[];   // first half and:second half
extern const char words_questions[]; // question:one-word answer
extern const char words_series[];    // beginning:continuation

int words_count(const char *table);
// The field of an entry, with blanks for underscores.
void words_get(const char *table, int entry, int field, char out[WORDS_FIELD]);

#endif
