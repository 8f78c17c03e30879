// The held-out tasks whose kind has no member in training. Short, with one right answer each.
#include "data/mini/task.h"

#include <string.h>

// Every far task is a family of its own; they share the frames, whose wording training has seen.
#define FAMILY(id) \
    static const Family id = {#id, "{1}. Output only the answer.", task_frames, task_frames_unseen}
FAMILY(series);
FAMILY(numeral);
FAMILY(digits);
FAMILY(odd_one_out);
FAMILY(alive);
FAMILY(legs);
FAMILY(size);
FAMILY(couple);
FAMILY(question);
FAMILY(duplicate);

static const char *const kinds[] = {
    words_animals, words_tools, words_clothes, words_body,
    words_fruits,  words_jobs,  words_names,   words_colors,
};
enum { KINDS = sizeof kinds / sizeof *kinds };

// Three words of a kind and one of another.
static void generate_odd(Rng *rng, const Task *task, Pair *pair) {
    (void)task;
    int kind = task_range(rng, 0, KINDS - 1), other = (kind + task_range(rng, 1, KINDS - 1)) % KINDS;
    Items items, odd;
    items_draw(&items, rng, kinds[kind], 3);
    items_draw(&odd, rng, kinds[other], 1);
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

#define TABLE(id, fam, tab, from, to, ...)                                                         \
    {                                                                                              \
        .name = id, .family = &fam, .generate = generate_lookup, .table = tab, .a = from, .b = to, \
        .split = SPLIT_FAR, .slot = {                                                              \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    }
#define DRAWN(id, fam, gen, ...)                                                                 \
    {                                                                                            \
        .name = id, .family = &fam, .generate = gen, .split = SPLIT_FAR, .slot = { __VA_ARGS__ } \
    }

static const Task tasks[] = {
    TABLE("series_next", series, words_series, 0, 1,
          "continue the series with its next member~say what comes next in the series~write the one item "
          "that follows",
          "the next item of the series~the element that comes next~the item that continues the series",
          "carry the sequence on by one item~extend the series by one step",
          "the item due next~the following member of the sequence"),
    TABLE("number_to_word", numeral, words_numerals, 0, 1,
          "write the number as an English word~spell the number out in letters~put the digits into words",
          "the number in words~the English word for the number~the number spelled out",
          "read the number aloud and write it in letters~change the digits to a number word",
          "the number as one says it~the name of the number in English"),
    TABLE("word_to_number", digits, words_numerals, 1, 0,
          "write the number word in digits~turn the number word into figures~convert the spelled number to "
          "digits",
          "the number in digits~the digits for the number word~the figure that the word stands for",
          "note the spoken number with numerals~change the number word to numerals",
          "the numerals for it~the same number, as numerals"),
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
};

Tasks far_tasks(void) {
    return (Tasks){tasks, (int)(sizeof tasks / sizeof *tasks)};
}
