// The held-out tasks whose kind has no member in training. Short, with one right answer each.
#include "data/mini/task.h"

#include <string.h>

// Every far task is a family of its own; they share the frames, whose wording training has seen.
#define FAMILY(id) \
    static const Family id = {#id, "{1}. Output only the answer.", task_frames, task_frames_unseen}
FAMILY(series);
FAMILY(capital);
FAMILY(odd_one_out);
FAMILY(alive);
FAMILY(legs);
FAMILY(size);
FAMILY(couple);
FAMILY(question);
FAMILY(duplicate);
FAMILY(length);
FAMILY(brevity);
FAMILY(brackets);
FAMILY(digit_item);
FAMILY(sentence_kind);
FAMILY(sameness);
FAMILY(truth);
FAMILY(tense);
FAMILY(unwrap);
FAMILY(alphabet);
FAMILY(field);

static const struct {
    const char *table, *name, *phrase;
} kinds[] = {
    {words_animals, "animal", "an animal"},
    {words_tools, "tool", "a tool"},
    {words_clothes, "clothing", "a kind of clothing"},
    {words_body, "body", "a part of the body"},
    {words_fruits, "fruit", "a fruit"},
    {words_jobs, "job", "a job"},
    {words_names, "name", "a name"},
    {words_colors, "color", "a color"},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

// Three words of a kind and one of another.
static void generate_odd(Rng *rng, const Task *task, Pair *pair) {
    (void)task;
    int kind = task_range(rng, 0, KINDS - 1), other = (kind + task_range(rng, 1, KINDS - 1)) % KINDS;
    Items items, odd;
    items_draw(&items, rng, kinds[kind].table, 3);
    items_draw(&odd, rng, kinds[other].table, 1);
    items.n = 4;
    memcpy(items.s[3], odd.s[0], sizeof items.s[3]);
    text_add(&pair->out, odd.s[0]);
    items_move(&items, 3, task_range(rng, 0, 3));
    items_join(&pair->in, &items, " ");
}

static void generate_alive(Rng *rng, const Task *task, Pair *pair) {
    (void)task;
    bool yes = task_coin(rng), second = task_coin(rng);
    Items items;
    items_draw(&items, rng,
               yes ? (second ? words_animals : words_plants) : (second ? words_tools : words_vehicles), 1);
    text_add(&pair->in, items.s[0]);
    text_add(&pair->out, yes ? "yes" : "no");
}

static void generate_size(Rng *rng, const Task *task, Pair *pair) {
    (void)task;
    Items small, large;
    items_draw(&small, rng, words_small, 1);
    items_draw(&large, rng, words_large, 1);
    bool first = task_coin(rng);
    text_add(&pair->in, first ? large.s[0] : small.s[0]);
    text_add(&pair->in, " ");
    text_add(&pair->in, first ? small.s[0] : large.s[0]);
    text_add(&pair->out, large.s[0]);
}

// Three words, one of them twice, not side by side.
static void generate_duplicate(Rng *rng, const Task *task, Pair *pair) {
    (void)task;
    Items items;
    items_draw(&items, rng, words_common, 3);
    int at = task_range(rng, 0, 1);
    items.n = 4;
    memcpy(items.s[3], items.s[at], sizeof items.s[3]);
    text_add(&pair->out, items.s[at]);
    if (at == 0 && task_coin(rng)) items_move(&items, 3, 2);
    items_join(&pair->in, &items, " ");
}

// Three words, one of them longer (shorter for a = -1) than the others.
static void generate_length(Rng *rng, const Task *task, Pair *pair) {
    Items items;
    for (int best = -1; best < 0;) {
        items_draw(&items, rng, words_common, 3);
        for (int i = 0; i < 3; i++) {
            int n = (int)strlen(items.s[i]), left = (int)strlen(items.s[(i + 1) % 3]),
                right = (int)strlen(items.s[(i + 2) % 3]);
            if (task->a * (n - left) > 1 && task->a * (n - right) > 1) best = i;
        }
        if (best >= 0) text_add(&pair->out, items.s[best]);
    }
    items_join(&pair->in, &items, " ");
}

// Three entries, two of them words, one of the task's table.
static void generate_stranger(Rng *rng, const Task *task, Pair *pair) {
    Items items, other;
    items_draw(&items, rng, words_common, 3);
    items_draw(&other, rng, task->table, 1);
    int at = task_range(rng, 0, 2);
    memcpy(items.s[at], other.s[0], sizeof items.s[at]);
    text_add(&pair->out, items.s[at]);
    items_join(&pair->in, &items, " ");
}

static void generate_brackets(Rng *rng, const Task *task, Pair *pair) {
    (void)task;
    Items items;
    items_draw(&items, rng, words_common, 3);
    int at = task_range(rng, 0, 2);
    for (int i = 0; i < 3; i++) {
        if (i) text_add(&pair->in, " ");
        text_add(&pair->in, i == at ? "(" : "");
        text_add(&pair->in, items.s[i]);
        text_add(&pair->in, i == at ? ")" : "");
    }
    text_add(&pair->out, items.s[at]);
}

// A sentence of words_actions: a question or a statement, in the past or the present.
static void generate_sentence(Rng *rng, const Task *task, Pair *pair) {
    char name[WORDS_FIELD], part[4][WORDS_FIELD];
    action_draw(rng, name, part);
    bool first = task_coin(rng), asks = first && task->a;
    const char *verb = asks ? part[0] : first || task->a ? part[2] : part[1];
    text_sentence(&pair->in, asks ? "Did" : "", name, verb, part[3], asks ? "?" : ".");
    text_add(&pair->out, first ? task->text : task->text2);
}

static void generate_sameness(Rng *rng, const Task *task, Pair *pair) {
    (void)task;
    Items items;
    items_draw(&items, rng, words_common, 2);
    bool same = task_coin(rng);
    text_add(&pair->in, items.s[0]);
    text_add(&pair->in, " ");
    text_add(&pair->in, items.s[same ? 0 : 1]);
    text_add(&pair->out, same ? "same" : "different");
}

static void generate_truth(Rng *rng, const Task *task, Pair *pair) {
    (void)task;
    int kind = task_range(rng, 0, KINDS - 1), said = kind;
    bool holds = task_coin(rng);
    if (!holds) said = (kind + task_range(rng, 1, KINDS - 1)) % KINDS;
    Items items;
    items_draw(&items, rng, kinds[kind].table, 1);
    text_add(&pair->in, items.s[0]);
    text_add(&pair->in, " is ");
    text_add(&pair->in, kinds[said].phrase);
    text_add(&pair->in, ".");
    text_add(&pair->out, holds ? "true" : "false");
}

static void generate_unwrap(Rng *rng, const Task *task, Pair *pair) {
    (void)task;
    Items items;
    items_draw(&items, rng, words_common, task_range(rng, 1, 3));
    text_add(&pair->in, "\"");
    items_join(&pair->in, &items, " ");
    text_add(&pair->in, "\"");
    items_join(&pair->out, &items, " ");
}

static void generate_alphabet(Rng *rng, const Task *task, Pair *pair) {
    (void)task;
    Items items;
    do items_draw(&items, rng, words_common, 2);
    while (items.s[0][0] == items.s[1][0]);
    text_add(&pair->out, items.s[items.s[0][0] < items.s[1][0] ? 0 : 1]);
    items_join(&pair->in, &items, " ");
}

// key: value
static void generate_field(Rng *rng, const Task *task, Pair *pair) {
    (void)task;
    int kind = task_range(rng, 0, KINDS - 1);
    Items items;
    items_draw(&items, rng, kinds[kind].table, 1);
    text_add(&pair->in, kinds[kind].name);
    text_add(&pair->in, ": ");
    text_add(&pair->in, items.s[0]);
    text_add(&pair->out, items.s[0]);
}

#define FAR(id, fam, gen, tab, x, y, ...)                                                              \
    {                                                                                                  \
        .name = id, .family = &fam, .generate = gen, .table = tab, .a = x, .b = y, .split = SPLIT_FAR, \
        .slot = {                                                                                      \
            __VA_ARGS__                                                                                \
        }                                                                                              \
    }
#define TABLE(id, fam, tab, from, to, ...) FAR(id, fam, generate_lookup, tab, from, to, __VA_ARGS__)
#define DRAWN(id, fam, gen, ...) FAR(id, fam, gen, NULL, 0, 0, __VA_ARGS__)
#define SENTENCE(id, fam, asks, one, two, ...)                                                           \
    {                                                                                                    \
        .name = id, .family = &fam, .generate = generate_sentence, .a = asks, .text = one, .text2 = two, \
        .split = SPLIT_FAR, .slot = {                                                                    \
            __VA_ARGS__                                                                                  \
        }                                                                                                \
    }

static const Task tasks[] = {
    TABLE("series_next", series, words_series, 0, 1,
          "continue the series with its next member~say what comes next in the series~write the one item "
          "that follows",
          "the next item of the series~the element that comes next~the item that continues the series",
          "carry the sequence on by one item~extend the series by one step",
          "the item due next~the following member of the sequence"),
    DRAWN("odd_one_out", odd_one_out, generate_odd,
          "find the word that does not belong with the others~pick the odd one out~name the word of another "
          "kind",
          "the odd one out~the word that does not fit~the word that differs in kind from the other three",
          "spot the intruder among the words~tell which word is the stranger in the group",
          "the one that is unlike the rest~the intruder among the four"),
    DRAWN("alive", alive, generate_alive,
          "answer yes if it is a living thing, otherwise no~say yes or no: is it alive?~decide if it lives, "
          "yes "
          "or no",
          "yes for a living thing, no for a made one~the word yes or no, by whether it lives",
          "tell if it grows and lives, yes or no~write yes for creatures and plants, else no",
          "yes if it is alive, otherwise no~yes or no, as it lives or not"),
    TABLE("legs", legs, words_legs, 0, 1,
          "say how many legs the animal has, in digits~give the number of legs of the animal~write how many "
          "legs it has",
          "the number of legs of the animal~the leg number of the animal, as a digit",
          "work out on how many legs the animal goes~state its leg count as a digit",
          "the leg count in digits~the digit for its number of legs"),
    DRAWN("larger_thing", size, generate_size,
          "say which of the two things is larger in real life~name the bigger thing~choose the thing of "
          "greater size",
          "the bigger of the two things~the thing that is larger in real life",
          "tell which object takes up more space~judge the two objects by size and name the big one",
          "the object of greater size~the one that takes up more space"),
    TABLE("complete_pair", couple, words_couples, 0, 1,
          "complete the well-known pair with the missing word~write the word that goes with it~finish the "
          "phrase with "
          "one word",
          "the second half of the pair~the word that completes the phrase~the partner missing after and",
          "supply the partner that people expect~end the common expression by its last word",
          "the expected partner~the closing word of the expression"),
    TABLE("short_answer", question, words_questions, 0, 1,
          "answer the question in one word~give a one-word answer~reply to the question with a single word",
          "the answer to the question in one word~the one word that answers it",
          "solve the question, using one word only~respond to what is asked by a single word",
          "the right answer, a single word~one word, the solution"),
    DRAWN("repeated_word", duplicate, generate_duplicate,
          "find the word that appears twice~say which word is repeated~write the word that occurs two times",
          "the word that appears twice~the repeated word of the list~the only word that is there twice",
          "spot the double in the row~tell which entry shows up again",
          "the entry that shows up two times~the double in the row"),
    FAR("longest_word", length, generate_length, NULL, 1, 0,
        "find the longest of the words~say which word has the most letters~pick the longest word",
        "the longest word~the word with the most letters",
        "compare the words by length and name the longest~tell which entry has the greatest length",
        "the entry of greatest length~the one with more letters than the others"),
    FAR("shortest_word", brevity, generate_length, NULL, -1, 0,
        "find the shortest of the words~say which word has the fewest letters~pick the shortest word",
        "the shortest word~the word with the fewest letters",
        "compare the words by length and name the shortest~tell which entry has the smallest length",
        "the entry of smallest length~the one with fewer letters than the others"),
    FAR("capitalized_word", capital, generate_stranger, words_names, 0, 0,
        "find the word that starts with a capital letter~say which word is capitalized~copy the only word "
        "with a capital",
        "the only capitalized word~the word that starts with a capital letter",
        "spot the entry written with a big initial~tell which word has an uppercase first letter",
        "the entry with a big initial~the one word of the row that is capitalized"),
    DRAWN("in_brackets", brackets, generate_brackets,
          "find the word that stands in brackets~say which word is in brackets~copy the word between the "
          "brackets",
          "the word in brackets~the word between ( and )",
          "spot the bracketed entry and write it without them~tell what is inside the parentheses",
          "what is inside the parentheses~the bracketed entry, without them"),
    DRAWN("only_number", digit_item, generate_stranger,
          "find the number among the words~say which number is in the line~copy the only number",
          "the only number of the line~the number that stands among the words",
          "spot the entry that is written in digits~tell which figure is hidden among the words",
          "the entry written in digits~the one figure of the row"),
    SENTENCE("question_or_statement", sentence_kind, 1, "question", "statement",
             "say whether it is a question or a statement~write question or statement, as the sentence is",
             "the word question or statement~the kind of the sentence, question or statement",
             "tell if something is asked, write question, or told, write statement~decide between question "
             "and statement",
             "question for what is asked, statement for what is told~one word, question or statement"),
    SENTENCE("past_or_present", tense, 0, "past", "present",
             "say whether the verb is past or present~write past or present, as the tense is",
             "the tense of the sentence, past or present~the word past or present",
             "tell if it happened, write past, or happens, write present~decide between past and present",
             "past for what happened, present for what happens~one word, past or present"),
    DRAWN("same_or_different", sameness, generate_sameness,
          "say whether the two words are the same or different~write same or different for the two words",
          "the word same or different~same for two equal words, otherwise different",
          "compare both entries and write same or different~tell if the pair is the same or different",
          "one word, same or different~different, or same if both are equal"),
    DRAWN("true_or_false", truth, generate_truth,
          "say whether the statement is true or false~write true or false for the claim",
          "the word true or false~true for a right statement, false for a wrong one",
          "check the claim and write true or false~tell if what is said is true or false",
          "one word, true or false~false, or true if the claim is right"),
    DRAWN("unwrap_quotes", unwrap, generate_unwrap,
          "remove the quotation marks~write the text without its quotes~copy what is between the quotes",
          "the text without quotation marks~what stands between the quotes",
          "strip the quotes from it~take the text out of its quotation marks",
          "the bare text, quotes gone~the inside of the quotation"),
    DRAWN(
        "earlier_in_dictionary", alphabet, generate_alphabet,
        "say which of the two words comes first in a dictionary~pick the word that is first by the alphabet",
        "the word that comes first in alphabetical order~the one of both that a dictionary lists first",
        "compare both by the alphabet and write the earlier~tell which entry sorts before the other",
        "the entry that sorts before the other~the alphabetically earlier one"),
    DRAWN("after_colon", field, generate_field,
          "write what stands after the colon~copy the word after the colon~read the value of the field",
          "the word after the colon~the value of the field",
          "repeat only what follows the colon~leave out the key and give its value",
          "what follows the colon~the value without its key"),
};

Tasks far_tasks(void) {
    return (Tasks){tasks, (int)(sizeof tasks / sizeof *tasks)};
}
