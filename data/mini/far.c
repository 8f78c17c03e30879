// The held-out tasks whose kind has no member in training. Short, with one right answer each.
#include "data/mini/task.h"

#include <string.h>

// Every far task is a family of its own; they share the frames, whose wording training has seen.
#define FAMILY(id) \
    static const Family id = {#id, "{1}. Output only the answer.", task_frames, task_frames_unseen}
FAMILY(series);
FAMILY(capital);
FAMILY(size);
FAMILY(couple);
FAMILY(question);
FAMILY(duplicate);
FAMILY(brackets);
FAMILY(digit_item);
FAMILY(sentence_kind);
FAMILY(sameness);
FAMILY(unwrap);
FAMILY(field);
FAMILY(date);
FAMILY(hour);
FAMILY(surname);
FAMILY(extension);
FAMILY(numberless);
FAMILY(digit);
FAMILY(digits);
FAMILY(key);

static const struct {
    const char *table, *name;
} kinds[] = {
    {words_animals, "animal"}, {words_tools, "tool"}, {words_clothes, "clothing"}, {words_body, "body"},
    {words_fruits, "fruit"},   {words_jobs, "job"},   {words_names, "name"},       {words_colors, "color"},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

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

// A sentence of words_actions, or the question about it.
static void generate_sentence(Rng *rng, const Task *task, Pair *pair) {
    (void)task;
    char name[WORDS_FIELD], part[4][WORDS_FIELD];
    action_draw(rng, name, part);
    bool asks = task_coin(rng);
    text_sentence(&pair->in, asks ? "Did" : "", name, part[asks ? 0 : 2], part[3], asks ? "?" : ".");
    text_add(&pair->out, asks ? "question" : "statement");
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

static void generate_unwrap(Rng *rng, const Task *task, Pair *pair) {
    (void)task;
    Items items;
    items_draw(&items, rng, words_common, task_range(rng, 1, 3));
    text_add(&pair->in, "\"");
    items_join(&pair->in, &items, " ");
    text_add(&pair->in, "\"");
    items_join(&pair->out, &items, " ");
}

// key: value; the answer is the value, or for a = 1 the key.
static void generate_field(Rng *rng, const Task *task, Pair *pair) {
    int kind = task_range(rng, 0, KINDS - 1);
    Items items;
    items_draw(&items, rng, kinds[kind].table, 1);
    text_add(&pair->in, kinds[kind].name);
    text_add(&pair->in, ": ");
    text_add(&pair->in, items.s[0]);
    text_add(&pair->out, task->a ? kinds[kind].name : items.s[0]);
}

// day month year
static void generate_date(Rng *rng, const Task *task, Pair *pair) {
    (void)task;
    Items month;
    items_draw(&month, rng, words_months, 1);
    text_int(&pair->in, task_range(rng, 1, 28));
    text_sentence(&pair->in, month.s[0], "", "", "", " ");
    text_int(&pair->out, task_range(rng, 1900, 2020));
    text_add(&pair->in, pair->out.s);
}

// hour:minute
static void generate_hour(Rng *rng, const Task *task, Pair *pair) {
    (void)task;
    text_int(&pair->out, task_range(rng, 1, 23));
    text_add(&pair->in, pair->out.s);
    text_add(&pair->in, ":");
    text_int(&pair->in, task_range(rng, 10, 59));
}

static void generate_surname(Rng *rng, const Task *task, Pair *pair) {
    (void)task;
    Items first, last;
    items_draw(&first, rng, words_names, 1);
    items_draw(&last, rng, words_surnames, 1);
    text_sentence(&pair->in, first.s[0], last.s[0], "", "", "");
    text_add(&pair->out, last.s[0]);
}

static void generate_extension(Rng *rng, const Task *task, Pair *pair) {
    (void)task;
    Items name, ending;
    items_draw(&name, rng, words_common, 1);
    items_draw(&ending, rng, words_extensions, 1);
    text_add(&pair->in, name.s[0]);
    text_add(&pair->in, ".");
    text_add(&pair->in, ending.s[0]);
    text_add(&pair->out, ending.s[0]);
}

// Two words and a number; the answer is the words.
static void generate_numberless(Rng *rng, const Task *task, Pair *pair) {
    (void)task;
    Items items, number;
    items_draw(&items, rng, words_common, 2);
    items_join(&pair->out, &items, " ");
    items_draw(&number, rng, NULL, 1);
    items.n = 3;
    memcpy(items.s[2], number.s[0], sizeof items.s[2]);
    items_move(&items, 2, task_range(rng, 0, 2));
    items_join(&pair->in, &items, " ");
}

static void generate_digit(Rng *rng, const Task *task, Pair *pair) {
    (void)task;
    int number = task_range(rng, 100, 999);
    text_int(&pair->in, number);
    text_int(&pair->out, number % 10);
}

// Two or four digits.
static void generate_digits(Rng *rng, const Task *task, Pair *pair) {
    (void)task;
    bool large = task_coin(rng);
    text_int(&pair->in, large ? task_range(rng, 1000, 9999) : task_range(rng, 10, 99));
    text_add(&pair->out, large ? "large" : "small");
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
static const Task tasks[] = {
    TABLE("series_next", series, words_series, 0, 1,
          "continue the series with its next member~say what comes next in the series~write the one item "
          "that follows",
          "the next item of the series~the element that comes next~the item that continues the series",
          "carry the sequence on by one item~extend the series by one step",
          "the item due next~the following member of the sequence"),
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
    DRAWN("question_or_statement", sentence_kind, generate_sentence,
          "say whether it is a question or a statement~write question or statement, as the sentence is",
          "the word question or statement~the kind of the sentence, question or statement",
          "tell if something is asked, write question, or told, write statement~decide between question "
          "and statement",
          "question for what is asked, statement for what is told~one word, question or statement"),
    DRAWN("same_or_different", sameness, generate_sameness,
          "say whether the two words are the same or different~write same or different for the two words",
          "the word same or different~same for two equal words, otherwise different",
          "compare both entries and write same or different~tell if the pair is the same or different",
          "one word, same or different~different, or same if both are equal"),
    DRAWN("unwrap_quotes", unwrap, generate_unwrap,
          "remove the quotation marks~write the text without its quotes~copy what is between the quotes",
          "the text without quotation marks~what stands between the quotes",
          "strip the quotes from it~take the text out of its quotation marks",
          "the bare text, quotes gone~the inside of the quotation"),
    DRAWN("after_colon", field, generate_field,
          "write what stands after the colon~copy the word after the colon~read the value of the field",
          "the word after the colon~the value of the field",
          "repeat only what follows the colon~leave out the key and give its value",
          "what follows the colon~the value without its key"),
    FAR("before_colon", key, generate_field, NULL, 1, 0,
        "write what stands before the colon~copy the word before the colon~read the name of the field",
        "the word before the colon~the name of the field",
        "repeat only what precedes the colon~leave out the value and give its key",
        "what precedes the colon~the key without its value"),
    DRAWN("year_of_date", date, generate_date,
          "write the year of the date~say in which year it is~copy only the year",
          "the year of the date~the year alone, without day and month",
          "take the year out of the date~tell which year is meant",
          "the year that the date is in~just the year"),
    DRAWN("hour_of_time", hour, generate_hour,
          "write the hour of the time~say which hour it is, without the minutes~copy only the hour",
          "the hour of the time~the hour alone, without the minutes",
          "take the hour out of the clock time~leave the minutes away",
          "the hour that the clock shows~just the hour"),
    DRAWN("surname", surname, generate_surname,
          "write the surname of the person~say what the family name is~copy only the family name",
          "the surname of the person~the family name, without the first name",
          "take the last name out of the full name~leave the given name away",
          "the last name of the person~just the surname"),
    DRAWN("file_extension", extension, generate_extension,
          "write the extension of the file name~say which file type it is~copy what stands after the dot",
          "the extension of the file~the letters after the dot",
          "take the ending off the file name and write it~tell the type from the file's ending",
          "the ending of the file name~what follows the dot"),
    DRAWN("drop_number", numberless, generate_numberless,
          "write the words without the number~leave out the number~copy the line, but not the number",
          "the words of the line, without the number~the line with its number removed",
          "throw the figure out and keep the words~write only what is not a figure",
          "what is left without the figure~the words alone"),
    DRAWN("last_digit", digit, generate_digit,
          "write the last digit of the number~say which digit the number ends with~copy the final digit",
          "the last digit of the number~the digit at the end",
          "tell in which digit it ends~take the closing digit",
          "the closing digit~the digit that it ends in"),
    DRAWN(
        "number_size", digits, generate_digits,
        "say whether the number is small or large~write small for a number below a hundred, otherwise large",
        "the word small or large~small for up to two digits, large for more",
        "judge the figure: small or large~write large for thousands and small for less",
        "one word, small or large~large, or small if it has two digits"),
};

Tasks far_tasks(void) {
    return (Tasks){tasks, (int)(sizeof tasks / sizeof *tasks)};
}
