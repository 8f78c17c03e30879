/* Porter's stemmer ("An algorithm for suffix stripping", 1980) with the changes of NLTK's default mode: a
 * table of irregular words; -ies and -ied after one letter become -ie; y becomes i only after a consonant
 * that does not stand alone; -alli, -fulli, -bli, -logi; a vowel and a consonant alone count as cvc. */
#include "eval/rouge.h"

#include <string.h>

typedef struct Word {
    char *s;
    size_t n;
} Word;

static bool is_vowel(char c) {
    return c == 'a' || c == 'e' || c == 'i' || c == 'o' || c == 'u';
}

/* A y is a consonant at the start and after a vowel. Digits are consonants. */
static bool is_consonant(const char *s, size_t i) {
    size_t ys = 0;
    if (is_vowel(s[i])) return false;
    while (i > 0 && s[i] == 'y') {
        ys++;
        i--;
    }
    return !is_vowel(s[i]) != (ys % 2 == 1);
}

/* How often a vowel is followed by a consonant in the first n letters. */
static int measure(const char *s, size_t n) {
    int m = 0;
    bool before = true, consonant;
    for (size_t i = 0; i < n; i++, before = consonant) {
        consonant = !is_vowel(s[i]) && (s[i] != 'y' || i == 0 || !before);
        m += consonant && !before;
    }
    return m;
}

static bool has_vowel(const char *s, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (!is_consonant(s, i)) return true;
    return false;
}

static bool ends_double(const char *s, size_t n) {
    return n >= 2 && s[n - 1] == s[n - 2] && is_consonant(s, n - 1);
}

static bool ends_cvc(const char *s, size_t n) {
    if (n == 2) return !is_consonant(s, 0) && is_consonant(s, 1);
    return n >= 3 && is_consonant(s, n - 3) && !is_consonant(s, n - 2) && is_consonant(s, n - 1) &&
           !strchr("wxy", s[n - 1]);
}

static bool ends(const Word *w, const char *suffix) {
    size_t k = strlen(suffix);
    return w->n >= k && memcmp(w->s + w->n - k, suffix, k) == 0;
}

/* Replacements are never longer than what the word has lost by then. */
static void replace(Word *w, size_t cut, const char *by) {
    size_t k = strlen(by);
    w->n -= cut;
    memcpy(w->s + w->n, by, k);
    w->n += k;
}

typedef struct Rule {
    const char *suffix, *by;
} Rule;

/* The first rule whose suffix is there decides: it is applied if the measure before it exceeds `more`. */
static void apply(Word *w, const Rule *rules, int more) {
    for (; rules->suffix; rules++) {
        size_t k = strlen(rules->suffix);
        if (!ends(w, rules->suffix)) continue;
        if (measure(w->s, w->n - k) > more) replace(w, k, rules->by);
        return;
    }
}

static void step1a(Word *w) {
    if (ends(w, "ies") && w->n == 4)
        replace(w, 1, "");
    else if (ends(w, "sses") || ends(w, "ies"))
        replace(w, 2, "");
    else if (ends(w, "s") && !ends(w, "ss"))
        replace(w, 1, "");
}

static void after_1b(Word *w) {
    if (ends(w, "at") || ends(w, "bl") || ends(w, "iz")) {
        replace(w, 0, "e");
    } else if (ends_double(w->s, w->n)) {
        if (!strchr("lsz", w->s[w->n - 1])) w->n--;
    } else if (measure(w->s, w->n) == 1 && ends_cvc(w->s, w->n)) {
        replace(w, 0, "e");
    }
}

static void step1b(Word *w) {
    size_t cut = ends(w, "ed") ? 2 : ends(w, "ing") ? 3 : 0;
    if (ends(w, "ied")) {
        replace(w, w->n == 4 ? 1 : 2, "");
    } else if (ends(w, "eed")) {
        if (measure(w->s, w->n - 3) > 0) replace(w, 1, "");
    } else if (cut && has_vowel(w->s, w->n - cut)) {
        replace(w, cut, "");
        after_1b(w);
    }
}

static void step1c(Word *w) {
    if (ends(w, "y") && w->n > 2 && is_consonant(w->s, w->n - 2)) replace(w, 1, "i");
}

static void step2(Word *w) {
    static const Rule rules[] = {
        {"ational", "ate"}, {"tional", "tion"}, {"enci", "ence"}, {"anci", "ance"}, {"izer", "ize"},
        {"bli", "ble"},     {"alli", "al"},     {"entli", "ent"}, {"eli", "e"},     {"ousli", "ous"},
        {"ization", "ize"}, {"ation", "ate"},   {"ator", "ate"},  {"alism", "al"},  {"iveness", "ive"},
        {"fulness", "ful"}, {"ousness", "ous"}, {"aliti", "al"},  {"iviti", "ive"}, {"biliti", "ble"},
        {"fulli", "ful"},   {NULL, NULL}};
    while (ends(w, "alli") && measure(w->s, w->n - 4) > 0) replace(w, 2, "");
    if (!ends(w, "logi"))
        apply(w, rules, 0);
    else if (measure(w->s, w->n - 3) > 0) /* the l counts with the stem */
        replace(w, 1, "");
}

static void step3(Word *w) {
    static const Rule rules[] = {{"icate", "ic"}, {"ative", ""}, {"alize", "al"}, {"iciti", "ic"},
                                 {"ical", "ic"},  {"ful", ""},   {"ness", ""},    {NULL, NULL}};
    apply(w, rules, 0);
}

static void step4(Word *w) {
    static const Rule before_ion[] = {{"al", ""},   {"ance", ""}, {"ence", ""}, {"er", ""},    {"ic", ""},
                                      {"able", ""}, {"ible", ""}, {"ant", ""},  {"ement", ""}, {"ment", ""},
                                      {"ent", ""},  {"ou", ""},   {"ism", ""},  {"ate", ""},   {"iti", ""},
                                      {"ous", ""},  {"ive", ""},  {"ize", ""},  {NULL, NULL}};
    if (!ends(w, "ion"))
        apply(w, before_ion, 1);
    else if (measure(w->s, w->n - 3) > 1 && strchr("st", w->s[w->n - 4]))
        w->n -= 3;
}

static void step5(Word *w) {
    if (ends(w, "e")) {
        int m = measure(w->s, w->n - 1);
        if (m > 1 || (m == 1 && !ends_cvc(w->s, w->n - 1))) w->n--;
    }
    if (ends(w, "ll") && measure(w->s, w->n - 1) > 1) w->n--;
}

static bool irregular(Word *w) {
    static const Rule forms[] = {
        {"sky", "sky"},        {"skies", "sky"},       {"dying", "die"},        {"lying", "lie"},
        {"tying", "tie"},      {"news", "news"},       {"innings", "inning"},   {"inning", "inning"},
        {"outings", "outing"}, {"outing", "outing"},   {"cannings", "canning"}, {"canning", "canning"},
        {"howe", "howe"},      {"proceed", "proceed"}, {"exceed", "exceed"},    {"succeed", "succeed"},
        {NULL, NULL}};
    for (const Rule *r = forms; r->suffix; r++)
        if (strlen(r->suffix) == w->n && ends(w, r->suffix)) {
            replace(w, w->n, r->by);
            return true;
        }
    return false;
}

size_t rouge_stem(char *word, size_t n) {
    Word w = {word, n};
    if (n <= 2 || irregular(&w)) return w.n;
    step1a(&w);
    step1b(&w);
    step1c(&w);
    step2(&w);
    step3(&w);
    step4(&w);
    step5(&w);
    return w.n;
}
