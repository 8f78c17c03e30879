// Tasks on lists of words, numbers, names, cities, colors and animals. The same lists feed all of them, so
// the input does not tell the task.
#include "data/mini/task.h"

#include <stdio.h>

#define WORD words_common, "word", "words"
#define NUMBER NULL, "number", "numbers"
#define NAME words_names, "name", "names"
#define CITY words_cities, "city", "cities"
#define COLOR words_colors, "color", "colors"
#define ANIMAL words_animals, "animal", "animals"
#define FRUIT words_fruits, "fruit", "fruits"
#define TOOL words_tools, "tool", "tools"

#define FIRST "first~first~opening", "at the start~at the beginning~in first place"
#define SECOND "second", "in second place~in position two~at number two"
#define THIRD "third", "in third place~in position three~at number three"
#define LAST "last~last~final~closing", "at the end~in last place~at the very end"

static const Family position = {
    "position",
    "Read the list of {3} and output only the {1} {2}.",
    (const char *const[]){
        "{Return~Give~Output} the {1} {2} of the list.",
        "{Output~Write~Print} only the {1} {2}.",
        "{Pick~Choose~Select} the {2} {4}.",
        "{1} {2} only.",
        "Which {2} {stands~comes~is} {4}? Answer with it.",
        "What is the {1} {2}?",
        "Of these {3}, {return~keep~give} the {1} one.",
        "Please {tell me~give me~write} the {1} {2}.",
        "From the {list~line~row} of {3}, {take~extract~pick} the {1}.",
        "Read the {3} and {output~reply with} the {1} one, nothing else.",
        "Looking at the {list~line}, answer with the {2} {4}.",
        "I {need~want} just the {1} {2}.",
        "Keep the {1} {2} and drop {all others~the rest}.",
        "The answer is the {2} {4}.",
        "{Take~Get} {2} {4} from the {list~input}.",
        "Among the {3}, which one is the {1}?",
        "{Name~State~Report} the {1} {2}.",
        "Show {me~us} the {1} {2}.",
        "Can you {give me~find} the {1} {2}?",
        "The {2} {4}, please.",
        "Nothing but the {1} {2}.",
        "Ignore the other {3} and {return~report} the {1}.",
        "Respond with the {2} {4}.",
        "{Copy~Repeat} the {1} {2} only.",
        "Identify the {2} that comes {4}.",
        "Just one {2} is wanted, the {1} one.",
        NULL,
    },
    (const char *const[]){
        "Find the {1} {2} in the {input~text} and {say~print} it.",
        "Could you tell me the {2} that is {4}?",
        "Look through the {3} and mention just the {1}.",
        "My question is which {2} stands {4}.",
        "In this {sequence~series} of {3}, which is the {1} one?",
        "Let me have the {1} {2}.",
        "Go to the {2} {4} and print it.",
        NULL,
    },
};

static const Family removal = {
    "remove",
    "Remove the {1} {2} from the list and output the remaining {3} in order.",
    (const char *const[]){
        "Remove the {1} {2}.",
        "{Delete~Drop~Erase} the {1} {2} and {return~write} the rest.",
        "{Delete~Remove~Cut} the {2} {4}.",
        "Return all {3} {except~but} the {1} one.",
        "{Write~Output} the {3} without the {1}.",
        "Leave out the {1} {2}.",
        "Skip the {1} {2} and {keep~copy} the others.",
        "Everything {except~but} the {1} {2}.",
        "Take away the {2} {4}.",
        "Please {drop~remove~delete} the {1} {2}.",
        "What remains {without~after removing} the {1} {2}?",
        "Give the {list~line} minus its {1} {2}.",
        "Of these {3}, all but the {1}.",
        "The {2} {4} has to go; write the remaining {3}.",
        "{Copy~Repeat} the {3}, leaving out the {2} {4}.",
        "Strip off the {1} {2}.",
        "The {3} without the {1} one, please.",
        "Can you {take out~remove} the {1} {2}?",
        "List the {3} again without the one {4}.",
        "Eliminate the {2} {4}; keep the other {3}.",
        "Get rid of the {1} {2}.",
        "Copy all the {3} except the {1}.",
        "The {list~line} with the {1} {2} removed.",
        "Exclude the {1} {2} and return the others.",
        NULL,
    },
    (const char *const[]){
        "Could you rewrite the {3} with the {1} one removed?",
        "Throw out the {2} {4} and return the others.",
        "Show the {3} that are left once the {1} {2} is removed.",
        "The {1} {2} is not wanted, write the other {3}.",
        "Omit the {1} {2} when you write the {3}.",
        "Discard the {1} of the {3}.",
        "Let me have the {3} minus the {1} one.",
        NULL,
    },
};

static const Family wrap = {
    "wrap",
    "Write {4} in {1}, with {2} before and {3} after.",
    (const char *const[]){
        "{Put~Place} {4} in {1}.",
        "{Enclose~Wrap} {4} {in~with} {1}.",
        "Surround {4} with {1}.",
        "{Write~Return} {4} inside {1}.",
        "Add {2} before and {3} after {4}.",
        "Begin with {2}, then {4}, and end with {3}.",
        "{1} around {4}.",
        "Output {4} between {2} and {3}.",
        "{Rewrite~Copy} {4}, adding {1} around.",
        "Please put {1} around {4}.",
        "How would you write {4} in {1}?",
        "Use {1} to {enclose~frame} {4}.",
        "Insert {2} in front of and {3} behind {4}.",
        "{4} wrapped in {1}.",
        "Left of {4} write {2}, right of it {3}.",
        "Show {4} within {1}.",
        "Can you put {1} around {4}?",
        "{4} should stand in {1}.",
        "Mark {4} with {1} on both sides.",
        "Give {4} with {1} around it.",
        "Output {2}, {4}, {3} without spaces.",
        NULL,
    },
    (const char *const[]){
        "Set {4} off with {1}.",
        "Give {4} back with {1} on either side.",
        "Present {4} framed by {1}.",
        "I want {4} to stand within {1}.",
        "On the left of {4} put {2}, on the right {3}.",
        "Could you surround {4} by {1}?",
        "Repeat {4}, but enclosed by {1}.",
        NULL,
    },
};

static const Family joining = {
    "join",
    "Write the {3} in one line, with {2} between each {4} and the next.",
    (const char *const[]){
        "Join the {3} with {1}.",
        "{Separate~Divide} the {3} {with~by} {1}.",
        "Put {2} between the {3}.",
        "Replace {the spaces~each space} between the {3} {by~with} {2}.",
        "Write the {3} {linked~connected} by {1}.",
        "{3} {joined~separated} by {1}.",
        "Insert {2} after every {4} but the last.",
        "Connect {all~the} {3} using {1}.",
        "Between any two {3} write {2}.",
        "Return the {3} with {1} in between.",
        "Make a list of the {3} with {1} as separator.",
        "Please link the {3} with {1}.",
        "Use {1} to {join~combine} the {3}.",
        "Output each {4}, with {2} before the next.",
        "Can you put {1} between the {3}?",
        "Set {2} between neighboring {3}.",
        "The {3} in one line, {1} between them.",
        "{1} between the {3}.",
        "Show the {3} divided by {1}.",
        "Instead of spaces, use {1} between the {3}.",
        "Glue the {3} together with {1}.",
        NULL,
    },
    (const char *const[]){
        "Chain the {3} together, {1} in the gaps.",
        "Every gap between the {3} becomes {2}.",
        "Could you set {1} between the {3}?",
        "The {3} should be divided by {1}.",
        "Rewrite the {3} so that {2} stands between neighbors.",
        "String the {3} together by means of {1}.",
        NULL,
    },
};

static const Family casing = {
    "case",
    "Rewrite {2} in {1}, so that {3}.",
    (const char *const[]){
        "Write {2} in {1}.",
        "{Convert~Change} {2} to {1}.",
        "Turn {2} into {1}.",
        "Rewrite {2} so that {3}.",
        "{2} in {1}.",
        "Return {2} in {1}, nothing else changed.",
        "Copy {2} so that {3}.",
        "How would you write {2} in {1}?",
        "Put {2} into {1}.",
        "Output {2} using {1}.",
        "{1} version of {2}.",
        "Keep {2}, but make sure that {3}.",
        "Please use {1} for {2}.",
        "Change {2}: {3}.",
        "Show {2} in {1}.",
        "Can you write {2} in {1}?",
        "Type {2} so that {3}.",
        "Use {1} for {2}.",
        "Change the case of {2} to {1}.",
        "Rewrite {2}; make sure that {3}.",
        NULL,
    },
    (const char *const[]){
        "Type {2} again in {1}.",
        "Reproduce {2} with {1}.",
        "Show me {2} in {1}.",
        "I need {2} such that {3}.",
        "Could {2} be given in {1}?",
        "{1} is how {2} should be spelled.",
        "Adjust the case of {2} until {3}.",
        NULL,
    },
};

static const Family order = {"order", "{1}.", task_frames, task_frames_unseen};
static const Family count = {"count", "{1} and answer with the number in digits.", task_frames,
                             task_frames_unseen};
static const Family repetition = {"repeat", "{1}.", task_frames, task_frames_unseen};
static const Family letter = {"letter", "{1}.", task_frames, task_frames_unseen};

enum { SINGLE_NUMBER_MAX = 260 }; // where the input is one number: enough distinct inputs

static void list_in(Rng *rng, const Task *task, Pair *pair, Items *items, int low, int high) {
    items_draw(items, rng, task->table, task_range(rng, low, high));
    items_join(&pair->in, items, " ");
}

static void generate_position(Rng *rng, const Task *task, Pair *pair) {
    Items items;
    list_in(rng, task, pair, &items, 3, 4);
    text_add(&pair->out, items.s[items_at(&items, task->a)]);
}

static void generate_removal(Rng *rng, const Task *task, Pair *pair) {
    Items items;
    list_in(rng, task, pair, &items, 3, 4);
    items_remove(&items, items_at(&items, task->a));
    items_join(&pair->out, &items, " ");
}

static void generate_wrap(Rng *rng, const Task *task, Pair *pair) {
    Items items;
    if (task->table)
        list_in(rng, task, pair, &items, 1, task->a);
    else
        text_int(&pair->in, task_range(rng, 1, SINGLE_NUMBER_MAX));
    text_add(&pair->out, task->text);
    text_add(&pair->out, pair->in.s);
    text_add(&pair->out, task->text2);
}

static void generate_joining(Rng *rng, const Task *task, Pair *pair) {
    Items items;
    list_in(rng, task, pair, &items, 2, 3);
    items_join(&pair->out, &items, task->text);
}

typedef enum Case { CASE_UPPER, CASE_LOWER, CASE_TITLE } Case;

static void generate_casing(Rng *rng, const Task *task, Pair *pair) {
    Items items;
    list_in(rng, task, pair, &items, 1, 2);
    items_join(&pair->out, &items, " ");
    if (task->a == CASE_UPPER) {
        text_upper(&pair->out);
    } else if (task->a == CASE_LOWER) {
        text_lower(&pair->out);
        text_upper(&pair->in);
    } else {
        text_lower(&pair->in);
        for (size_t i = 0; i < pair->out.n; i++) {
            bool starts = i == 0 || pair->out.s[i - 1] == ' ';
            char c = pair->out.s[i];
            if (starts && c >= 'a' && c <= 'z') pair->out.s[i] = (char)(c - 'a' + 'A');
        }
    }
}

typedef enum Order { ORDER_FIRST_LAST, ORDER_SWAP } Order;

static void generate_order(Rng *rng, const Task *task, Pair *pair) {
    Items items;
    list_in(rng, task, pair, &items, task->a == ORDER_SWAP ? 2 : 3, task->a == ORDER_SWAP ? 2 : task->b);
    int end = items.n - 1;
    if (task->a == ORDER_SWAP) items_move(&items, end, 0);
    if (task->a == ORDER_FIRST_LAST) items_move(&items, 0, end);
    items_join(&pair->out, &items, " ");
}

static void generate_count(Rng *rng, const Task *task, Pair *pair) {
    Items items;
    list_in(rng, task, pair, &items, 2, 5);
    text_int(&pair->out, items.n);
}

typedef enum Repeat { REPEAT_TWICE, REPEAT_LAST } Repeat;

static void generate_repetition(Rng *rng, const Task *task, Pair *pair) {
    Items items;
    bool part = task->a == REPEAT_LAST;
    if (task->table) {
        list_in(rng, task, pair, &items, part ? 2 : 1, part ? 3 : 2);
    } else {
        items.n = 1;
        snprintf(items.s[0], sizeof items.s[0], "%d", task_range(rng, 1, SINGLE_NUMBER_MAX));
        text_add(&pair->in, items.s[0]);
    }
    items_join(&pair->out, &items, " ");
    text_add(&pair->out, " ");
    if (part)
        text_add(&pair->out, items.s[items.n - 1]);
    else
        items_join(&pair->out, &items, " ");
}

static void generate_letter(Rng *rng, const Task *task, Pair *pair) {
    Items items;
    int n = task_range(rng, 1, 2);
    list_in(rng, task, pair, &items, n, n);
    char initial[2] = {items.s[0][0], '\0'};
    text_add(&pair->out, initial);
}

#define CELL_(id, fam, gen, at, tab, one, many, ord, where, kind)                                            \
    {                                                                                                        \
        .name = id, .family = &fam, .generate = gen, .table = tab, .a = at, .slot = {ord, one, many, where}, \
        .split = kind                                                                                        \
    }
#define CELL(...) CELL_(__VA_ARGS__)
// A row of the grid: one kind of item in every place; the last arguments say which split each cell is in.
#define POSITIONS(id, items, first, second, third, last)                                    \
    CELL("position_first_" id, position, generate_position, 0, items, FIRST, first),        \
        CELL("position_second_" id, position, generate_position, 1, items, SECOND, second), \
        CELL("position_third_" id, position, generate_position, 2, items, THIRD, third),    \
        CELL("position_last_" id, position, generate_position, -1, items, LAST, last)
#define REMOVES(id, items, first, last)                                          \
    CELL("remove_first_" id, removal, generate_removal, 0, items, FIRST, first), \
        CELL("remove_last_" id, removal, generate_removal, -1, items, LAST, last)

#define WORDS_TEXT words_common, 3, "the words~the text"
#define NUMBER_TEXT NULL, 1, "the number~the figure"
#define NAMES_TEXT words_names, 2, "the names~the given names"
#define CITIES_TEXT words_cities, 2, "the cities~the city names"
#define COLORS_TEXT words_colors, 2, "the colors~the color words"
#define ANIMALS_TEXT words_animals, 2, "the animals~the animal names"
#define QUOTES "\"", "\"", "double quotes~quotation marks", "a double quote (\")", "a double quote (\")"
#define SQUARE "[", "]", "square brackets~square brackets [ ]", "[", "]"
#define CURLY "{", "}", "curly braces~curly brackets { }", "{", "}"
#define ANGLE "<", ">", "angle brackets~angle brackets < >", "<", ">"
#define ROUND "(", ")", "round brackets~parentheses~parentheses ( )", "(", ")"
#define HASHES "#", "#", "hash signs~hash signs (#)", "a hash sign (#)", "a hash sign (#)"
#define UNDERSCORES "_", "_", "underscores~underscores (_)", "an underscore (_)", "an underscore (_)"
#define EQUALS "=", "=", "equals signs~equals signs (=)", "an equals sign (=)", "an equals sign (=)"
#define BARS "|", "|", "vertical bars~vertical bars (|)", "a vertical bar (|)", "a vertical bar (|)"
#define DOLLARS "$", "$", "dollar signs~dollar signs ($)", "a dollar sign ($)", "a dollar sign ($)"
#define PLUSES "+", "+", "plus signs~plus signs (+)", "a plus sign (+)", "a plus sign (+)"
#define PERCENTS "%", "%", "percent signs~percent signs (%)", "a percent sign (%)", "a percent sign (%)"
#define ATS "@", "@", "at signs~at signs (@)", "an at sign (@)", "an at sign (@)"
#define AMPERSANDS "&", "&", "ampersands~ampersands (&)", "an ampersand (&)", "an ampersand (&)"
#define BANGS \
    "!", "!", "exclamation marks~exclamation marks (!)", "an exclamation mark (!)", "an exclamation mark (!)"
#define STARS "*", "*", "asterisks~stars (*)", "an asterisk (*)", "an asterisk (*)"
#define WRAP_(id, tab, most, what, open, close, marks, before, after, kind)                      \
    {                                                                                            \
        .name = "wrap_" id, .family = &wrap, .generate = generate_wrap, .table = tab, .a = most, \
        .text = open, .text2 = close, .slot = {marks, before, after, what}, .split = kind        \
    }
#define WRAP(...) WRAP_(__VA_ARGS__)
#define WRAPS(id, what, quotes, square, curly, round, stars)                            \
    WRAP(id "_quotes", what, QUOTES, quotes), WRAP(id "_square", what, SQUARE, square), \
        WRAP(id "_curly", what, CURLY, curly), WRAP(id "_round", what, ROUND, round),   \
        WRAP(id "_stars", what, STARS, stars)

#define COMMA ", ", "commas~commas (,)", "a comma~a comma (,)"
#define HYPHEN "-", "hyphens~hyphens (-)~dashes", "a hyphen~a hyphen (-)~a dash"
#define SLASH "/", "slashes~slashes (/)", "a slash~a slash (/)"
#define PLUS " + ", "plus signs~plus signs (+)", "a plus sign~a plus (+)"
#define AND " and ", "the word and~\"and\"", "the word and~\"and\""
#define JOIN_(id, tab, one, many, sep, marks, mark, kind)                                                \
    {                                                                                                    \
        .name = "join_" id, .family = &joining, .generate = generate_joining, .table = tab, .text = sep, \
        .slot = {marks, mark, many, one}, .split = kind                                                  \
    }
#define JOIN(...) JOIN_(__VA_ARGS__)
#define JOINS(id, items, comma, hyphen, slash, plus, and)                              \
    JOIN(id "_comma", items, COMMA, comma), JOIN(id "_hyphen", items, HYPHEN, hyphen), \
        JOIN(id "_slash", items, SLASH, slash), JOIN(id "_plus", items, PLUS, plus),   \
        JOIN(id "_and", items, AND, and)

#define UPPER                                                    \
    CASE_UPPER, "capital letters~uppercase~upper case~all caps", \
        "every letter is a capital~all letters are uppercase"
#define LOWER \
    CASE_LOWER, "small letters~lowercase~lower case", "no letter is a capital~all letters are lowercase"
#define TITLE                                  \
    CASE_TITLE, "title case~capitalized form", \
        "each word starts with a capital~every first letter is a capital"
#define CASE_(id, tab, most, what, how, rule, that, kind)                                           \
    {                                                                                               \
        .name = "case_" id, .family = &casing, .generate = generate_casing, .table = tab, .a = how, \
        .slot = {rule, what, that}, .split = kind                                                   \
    }
#define CASE(...) CASE_(__VA_ARGS__)
#define CASES(id, what, upper, lower, title)                                      \
    CASE("upper_" id, what, UPPER, upper), CASE("lower_" id, what, LOWER, lower), \
        CASE("title_" id, what, TITLE, title)

#define T SPLIT_TRAIN
#define N SPLIT_NEAR

#define SAID(id, fam, gen, tab, x, y, ...)                                                                 \
    {                                                                                                      \
        .name = id, .family = &fam, .generate = gen, .table = tab, .a = x, .b = y, .slot = { __VA_ARGS__ } \
    }

static const Task tasks[] = {
    POSITIONS("word", WORD, T, T, T, T),
    POSITIONS("number", NUMBER, T, T, N, T),
    POSITIONS("name", NAME, T, N, T, T),
    POSITIONS("city", CITY, N, T, T, T),
    POSITIONS("color", COLOR, T, T, T, N),
    POSITIONS("animal", ANIMAL, T, T, T, T),
    POSITIONS("fruit", FRUIT, T, T, T, T),
    POSITIONS("tool", TOOL, T, T, T, T),

    REMOVES("word", WORD, T, T),
    REMOVES("number", NUMBER, T, T),
    REMOVES("name", NAME, N, T),
    REMOVES("city", CITY, T, T),
    REMOVES("color", COLOR, T, T),
    REMOVES("animal", ANIMAL, T, N),
    REMOVES("fruit", FRUIT, T, T),
    REMOVES("tool", TOOL, T, T),

    WRAPS("words", WORDS_TEXT, T, T, T, T, T),
    WRAPS("number", NUMBER_TEXT, T, T, T, T, T),
    WRAPS("names", NAMES_TEXT, T, T, T, T, T),
    WRAPS("cities", CITIES_TEXT, T, T, T, T, T),
    WRAPS("colors", COLORS_TEXT, T, T, T, N, T),
    WRAP("words_angle", WORDS_TEXT, ANGLE, T),
    WRAP("number_angle", NUMBER_TEXT, ANGLE, T),
    WRAP("words_underscores", WORDS_TEXT, UNDERSCORES, T),
    WRAP("words_equals", WORDS_TEXT, EQUALS, T),
    WRAP("words_bars", WORDS_TEXT, BARS, T),
    WRAP("words_dollars", WORDS_TEXT, DOLLARS, T),
    WRAP("words_pluses", WORDS_TEXT, PLUSES, T),
    WRAP("words_percents", WORDS_TEXT, PERCENTS, T),
    WRAP("words_ats", WORDS_TEXT, ATS, T),
    WRAP("words_ampersands", WORDS_TEXT, AMPERSANDS, T),
    WRAP("words_bangs", WORDS_TEXT, BANGS, T),
    WRAP("words_hashes", WORDS_TEXT, HASHES, N),

    JOINS("words", WORD, T, T, T, T, T),
    JOINS("numbers", NUMBER, T, T, N, T, T),
    JOINS("names", NAME, T, T, T, N, T),
    JOINS("cities", CITY, T, T, T, T, T),
    JOINS("colors", COLOR, T, T, T, T, T),
    JOINS("animals", ANIMAL, T, T, T, T, T),
    JOIN("fruits_and", FRUIT, AND, N),

    CASES("words", WORDS_TEXT, T, T, T),
    CASES("names", NAMES_TEXT, T, T, T),
    CASES("animals", ANIMALS_TEXT, T, T, N),

    SAID("order_swap_words", order, generate_order, words_common, ORDER_SWAP, 2,
         "swap the words~change the places of the two words~turn the pair of words around~swap the two "
         "words~exchange the two words~interchange both words~put the second word before the "
         "first",
         "the two words swapped~both words with places exchanged~the second word and then the first",
         "let the two words trade places~switch the pair of words",
         "the pair of words switched around~the two words after trading places"),
    SAID("order_first_to_end", order, generate_order, words_common, ORDER_FIRST_LAST, 4,
         "move the opening word behind the others~take the first word and place it after the rest~write the "
         "other words, then the first one~move the first word to the end~put the first word last~send the "
         "first word to the end~shift the "
         "word at the "
         "start to the end",
         "the list with its first word put last~all the others, then the first word~the words with the first "
         "one moved to the end~the other words followed by the first one",
         "take the opening word and write it last~let the first word close the list, the others before it",
         "the list with its opening word at the end~all words, but the opening one placed last"),

    SAID("count_numbers", count, generate_count, NULL, 0, 0,
         "count the numbers~say how many numbers there are~write the amount of numbers as a digit~count how "
         "many values "
         "are listed",
         "the count of the numbers~the amount of numbers listed~the number count, as a digit",
         "work out how many numbers the list has~determine the amount of values",
         "the quantity of numbers in digits~the total count of values"),

    SAID("repeat_number_twice", repetition, generate_repetition, NULL, REPEAT_TWICE, 0,
         "copy the number two times~write the number, then write it again~make two copies of the "
         "number~repeat the number twice~write the number two times~say the number again after itself~print "
         "the "
         "number once "
         "and once more",
         "two copies of the number~the number doubled side by side~the number written twice~the number two "
         "times in a row~the number and the same number again",
         "copy the number and then copy it once more~duplicate the number",
         "two copies of the number in one line~the duplicated number"),
    SAID("repeat_last_word", repetition, generate_repetition, words_common, REPEAT_LAST, 0,
         "write the words and repeat the last one~duplicate the last word within the list~write the words "
         "with two copies of the last one~end with the last word twice~double only the last word~write the "
         "last word twice "
         "after "
         "the "
         "rest~say the last word two times, the others once",
         "the words with the last one duplicated~the list and then its last word again~the words with the "
         "last one doubled~the list with its last word written twice",
         "duplicate the closing word and leave the others alone~finish with two copies of the closing word",
         "the list ending with its closing word twice~the words, the closing one duplicated"),

    SAID("letter_first", letter, generate_letter, words_common, 0, 0,
         "name the first letter~report the letter at the start~output only the starting letter~write the "
         "first letter of the text~give the letter that the text begins with~copy the very first "
         "letter~find "
         "the initial letter in lower case",
         "the starting letter of the text~the first letter~the letter at the beginning~the initial letter, "
         "small",
         "report the opening letter of the text~name the letter that comes first",
         "the opening letter~the single letter that the text starts with"),
};

Tasks lists_tasks(void) {
    return (Tasks){tasks, (int)(sizeof tasks / sizeof *tasks)};
}
