// Tasks on short sentences and on text set around the input: replace, insert, rewrite, extract, greet, units.
#include "data/mini/task.h"

#include <stdio.h>

static const Family subject = {
    "subject",
    "Rewrite the sentence with {1} in place of the name.",
    (const char *const[]){
        "Replace the name {with~by} {1}.",
        "Use {1} {in place of~instead of} the person's name.",
        "Rewrite the sentence with {1} as the subject.",
        "{Begin~Start} the sentence with {1} instead of the name.",
        "Put {1} where the name is.",
        "Make {1} the one who did it.",
        "Change the subject to {1}.",
        "{Write~Say} that {1} did it.",
        "Exchange the {person~name} for {1}.",
        "Copy the sentence, but let {1} do it.",
        "{1} instead of the name.",
        "Please use {1} as the subject.",
        "Take out the name and write {1}.",
        "The sentence again, with {1} as the actor.",
        NULL,
    },
    (const char *const[]){
        "Swap the person for {1}.",
        "Tell the same about {1}.",
        "Could you rewrite it so that {1} replaces the name?",
        "Let {1} stand at the front in place of the name.",
        "Whoever acts becomes {1}; the rest stays.",
        "Restate the sentence, the subject being {1}.",
        NULL,
    },
};
static const Family insertion = {
    "insert",
    "Add the word {1} {2} and leave the sentence otherwise unchanged.",
    (const char *const[]){
        "Add {1} {2}.",
        "Insert {1} {2}.",
        "{Put~Place} {1} {2}.",
        "{Put~Place} the word {1} {2}.",
        "Write the sentence with {1} {2}.",
        "Rewrite the sentence so that {1} stands {2}.",
        "{Extend~Complete} the sentence: {1} {2}.",
        "Copy the sentence and add {1} {2}.",
        "Please add the word {1} {2}.",
        "The sentence with {1} added {2}.",
        "Where {1} is missing, {2}, put it in.",
        "One more word, {1}, goes {2}.",
        "Let {1} appear {2}.",
        "Return the sentence with the word {1} {2}.",
        NULL,
    },
    (const char *const[]){
        "Work {1} into the sentence {2}.",
        "Could you set {1} {2}?",
        "The new word {1} belongs {2}.",
        "Repeat everything, with {1} {2}.",
        "Enlarge the sentence by {1} {2}.",
        "I would like to see {1} {2}.",
        NULL,
    },
};
static const Family rewriting = {"rewrite", "{1} and change nothing else.", task_frames, task_frames_unseen};
static const Family extraction = {
    "extract",
    "Read the sentence and output only {1} in it.",
    (const char *const[]){
        "Extract {1} from the sentence.",
        "{Find~Return~Output} {1} in the sentence.",
        "{2} Answer with that word.",
        "{Copy~Write} only {1}.",
        "What is {1} in the sentence?",
        "{1} only.",
        "Answer the question: {2}",
        "Pull {1} out of the {sentence~text}.",
        "Please {tell me~give me} {1}.",
        "Read the sentence and {write~name} {1}.",
        "{2}",
        "Which word is {1}?",
        "{Pick~Select} {1} mentioned there.",
        "I {want~need} just {1}.",
        "Keep {1} and drop the rest.",
        "Can you find {1} in the text?",
        "Report {1} of the sentence.",
        "The sentence contains {1}; write it.",
        "Look for {1} in the sentence.",
        "State {1} given in the sentence.",
        "Repeat {1} of the sentence, nothing else.",
        NULL,
    },
    (const char *const[]){
        "Locate {1} and repeat it.",
        "From this sentence, report {1}.",
        "Could you say {1} from the sentence?",
        "{2} Reply in one word.",
        "The sentence mentions {1}; state it.",
        "Identify {1} in the text.",
        NULL,
    },
};
static const Family greeting = {
    "greet",
    "Address the named person in the form: {1}, name!",
    (const char *const[]){
        "Say {1} to the {person~named one}.",
        "{Write~Output}: {1}, name!",
        "{1} and the name.",
        "Address the person with {1}.",
        "{Start~Begin} with {1} and add the name.",
        "Put {1} before the name, exclamation mark after it.",
        "Write {1} to the person.",
        "Tell the person {1}.",
        "Turn the name into a line that says {1}.",
        "Please say {1}, using the name.",
        "Make it: {1}, then the name, then an exclamation mark.",
        "Return a short message: {1}, name!",
        "Call out {1} to the one named.",
        "Use {1} to speak to this person.",
        "A short note for the person that says {1}.",
        NULL,
    },
    (const char *const[]){
        "Send the words {1} to the person named.",
        "Could you wish the person: {1}?",
        "Your message is {1}, followed by the name.",
        "Speak to the person, opening with {1}.",
        "The name is given; say {1} to them.",
        "Compose a tiny card: {1} plus name.",
        NULL,
    },
};
static const Family unit = {
    "unit",
    "Write the number followed by the word {1}.",
    (const char *const[]){
        "Add the word {1} after the number.",
        "Write the number followed by {1}.",
        "Express the number in {1}.",
        "Turn the number into an amount of {1}.",
        "{Put~Place} {1} behind the number.",
        "The number and then {1}.",
        "It is a number of {1}: write both.",
        "Append {1} to the number.",
        "{Copy~Repeat} the number and add {1}.",
        "Please write it as {1}.",
        "{Give~Return} the number with {1} as its unit.",
        "Number of {1}, unit included.",
        "{Output~Print} the number plus the word {1}.",
        "Say how many {1}: number first, then the word.",
        NULL,
    },
    (const char *const[]){
        "The value is measured in {1}; write value and unit.",
        "Could you attach {1} to the figure?",
        "Make the figure read as {1}.",
        "State the quantity, ending with {1}.",
        "Supply the unit {1} after the figure.",
        "Follow the value by the word {1}.",
        NULL,
    },
};
static const Family prefix = {
    "prefix",
    "Write the word {1} and then the input.",
    (const char *const[]){
        "{Put~Place~Write} {1} before the {noun~word}.",
        "Add {1} in front of the {noun~word}.",
        "{Start~Begin} with {1}, then copy the input.",
        "Use {1} with the noun.",
        "Prefix the {input~noun} with {1}.",
        "The {noun~word} with {1} in front.",
        "Insert the word {1} at the front.",
        "Write {1} and then the {noun~word}.",
        "Please put {1} at the beginning.",
        "Output {1}, followed by the {noun~word}.",
        "Return the {input~word} preceded by {1}.",
        "Let the word {1} come first.",
        "Say the {noun~word} with {1} before it.",
        "Can you put {1} before the {noun~word}?",
        "Expand the noun: {1} and then the noun.",
        NULL,
    },
    (const char *const[]){
        "Set {1} ahead of the thing named.",
        "Could you make the phrase open with {1}?",
        "Lead the noun in by {1}.",
        "The phrase should be {1} plus the thing.",
        "Give the thing together with {1} at its left.",
        "Repeat the thing, but first say {1}.",
        NULL,
    },
};

static void generate_subject(Rng *rng, const Task *task, Pair *pair) {
    char name[WORDS_FIELD], part[4][WORDS_FIELD];
    action_draw(rng, name, part);
    text_sentence(&pair->in, name, part[2], part[3], "", ".");
    text_sentence(&pair->out, task->text, part[2], part[3], "", ".");
}

// a: 0 at the start, 1 before the verb, 2 at the end.
static void generate_insertion(Rng *rng, const Task *task, Pair *pair) {
    char name[WORDS_FIELD], part[4][WORDS_FIELD];
    action_draw(rng, name, part);
    text_sentence(&pair->in, name, part[2], part[3], "", ".");
    if (task->a == 0) text_sentence(&pair->out, task->text, name, part[2], part[3], ".");
    if (task->a == 1) text_sentence(&pair->out, name, task->text, part[2], part[3], ".");
    if (task->a == 2) text_sentence(&pair->out, name, part[2], part[3], task->text, ".");
}

typedef enum Rewrite {
    REWRITE_QUESTION,
    REWRITE_NEGATION,
    REWRITE_PRESENT,
    REWRITE_EXCLAIM,
    REWRITE_NO_STOP,
} Rewrite;

static void generate_rewriting(Rng *rng, const Task *task, Pair *pair) {
    char name[WORDS_FIELD], part[4][WORDS_FIELD];
    action_draw(rng, name, part);
    const char *base = part[0], *third = part[1], *past = part[2], *rest = part[3];
    text_sentence(&pair->in, name, past, rest, "", ".");
    switch ((Rewrite)task->a) {
    case REWRITE_QUESTION:
        text_sentence(&pair->out, "Did", name, base, rest, "?");
        break;
    case REWRITE_NEGATION:
        text_sentence(&pair->out, name, "did not", base, rest, ".");
        break;
    case REWRITE_PRESENT:
        text_sentence(&pair->out, name, third, rest, "", ".");
        break;
    case REWRITE_EXCLAIM:
        text_sentence(&pair->out, name, past, rest, "", "!");
        break;
    case REWRITE_NO_STOP:
        text_sentence(&pair->out, name, past, rest, "", "");
        break;
    }
}

// a: the part wanted, of name, verb, amount, color, thing, place or day.
typedef enum Part { PART_NAME, PART_VERB, PART_AMOUNT, PART_COLOR, PART_THING, PART_CITY, PART_DAY } Part;

static void generate_extraction(Rng *rng, const Task *task, Pair *pair) {
    static const char *const tables[] = {words_names, words_deals,  words_amounts, words_colors,
                                         words_goods, words_cities, words_days};
    enum { COMMON_COLORS = 12 }; // the first of the table, without the rare shades
    bool in_city = task->a == PART_CITY || (task->a != PART_DAY && task_coin(rng));
    for (int i = 0; i <= PART_DAY; i++) {
        if (i == (in_city ? PART_DAY : PART_CITY)) continue;
        int n = i == PART_COLOR ? COMMON_COLORS : words_count(tables[i]);
        char s[WORDS_FIELD];
        words_get(tables[i], task_range(rng, 0, n - 1), 0, s);
        if (i) text_add(&pair->in, i == PART_CITY ? " in " : i == PART_DAY ? " on " : " ");
        text_add(&pair->in, s);
        if (i == task->a) text_add(&pair->out, s);
    }
    text_add(&pair->in, ".");
}

static void generate_greeting(Rng *rng, const Task *task, Pair *pair) {
    Items items;
    int n = task_range(rng, 1, 2);
    items_draw(&items, rng, words_names, n);
    items_join(&pair->in, &items, " and ");
    text_add(&pair->out, task->text);
    text_add(&pair->out, ", ");
    items_join(&pair->out, &items, " and ");
    text_add(&pair->out, "!");
}

static void generate_unit(Rng *rng, const Task *task, Pair *pair) {
    text_int(&pair->in, task_range(rng, 2, 260));
    text_add(&pair->out, pair->in.s);
    text_add(&pair->out, " ");
    text_add(&pair->out, task->text);
}

static void generate_prefix(Rng *rng, const Task *task, Pair *pair) {
    Items items;
    items_draw(&items, rng, task_coin(rng) ? words_common : words_goods, 1);
    items_join(&pair->in, &items, " ");
    text_sentence(&pair->out, task->text, pair->in.s, "", "", "");
}

#define SUBJECT(id, words)                                                                                \
    {                                                                                                     \
        .name = "subject_" id, .family = &subject, .generate = generate_subject, .text = words, .slot = { \
            words "~\"" words "\""                                                                        \
        }                                                                                                 \
    }
#define START 0, "at the start~at the beginning of the sentence"
#define VERB 1, "before the verb~right after the name"
#define END 2, "at the end~at the end, before the full stop"
#define INSERT__(id, word, at, where, kind)                                                                \
    {                                                                                                      \
        .name = "insert_" id, .family = &insertion, .generate = generate_insertion, .a = at, .text = word, \
        .slot = {word "~\"" word "\"", where}, .split = kind                                               \
    }
#define INSERT_(...) INSERT__(__VA_ARGS__)
#define INSERT(id, word, place) INSERT_(id, word, place, SPLIT_TRAIN)
#define REWRITE(id, how, ...)                                                                            \
    {                                                                                                    \
        .name = "rewrite_" id, .family = &rewriting, .generate = generate_rewriting, .a = how, .slot = { \
            __VA_ARGS__                                                                                  \
        }                                                                                                \
    }
#define EXTRACT_(id, part, what, question, kind)                                                  \
    {                                                                                             \
        .name = "extract_" id, .family = &extraction, .generate = generate_extraction, .a = part, \
        .slot = {what, question}, .split = kind                                                   \
    }
#define EXTRACT(id, part, what, question) EXTRACT_(id, part, what, question, SPLIT_TRAIN)
#define GREET(id, words)                                                                                  \
    {                                                                                                     \
        .name = "greet_" id, .family = &greeting, .generate = generate_greeting, .text = words, .slot = { \
            words "~\"" words "\""                                                                        \
        }                                                                                                 \
    }
#define UNIT(word)                                                                                \
    {                                                                                             \
        .name = "unit_" word, .family = &unit, .generate = generate_unit, .text = word, .slot = { \
            word "~\"" word "\""                                                                  \
        }                                                                                         \
    }
#define PREFIX(word)                                                                                    \
    {                                                                                                   \
        .name = "prefix_" word, .family = &prefix, .generate = generate_prefix, .text = word, .slot = { \
            word "~\"" word "\""                                                                        \
        }                                                                                               \
    }

static const Task tasks[] = {
    SUBJECT("she", "She"),
    SUBJECT("they", "They"),
    SUBJECT("we", "We"),
    SUBJECT("someone", "Someone"),
    SUBJECT("nobody", "Nobody"),
    SUBJECT("the_man", "The man"),
    SUBJECT("my_sister", "My sister"),
    SUBJECT("he", "He"),

    INSERT("today_start", "Today", START),
    INSERT("yesterday_start", "Yesterday", START),
    INSERT("later_start", "Later", START),
    INSERT("finally_start", "Finally", START),
    INSERT("often_start", "Often", START),
    INSERT("today_verb", "today", VERB),
    INSERT("yesterday_verb", "yesterday", VERB),
    INSERT("often_verb", "often", VERB),
    INSERT("once_verb", "once", VERB),
    INSERT("gladly_verb", "gladly", VERB),
    INSERT("quickly_verb", "quickly", VERB),
    INSERT("soon_verb", "soon", VERB),
    INSERT("again_verb", "again", VERB),
    INSERT("never_verb", "never", VERB),
    INSERT("finally_verb", "finally", VERB),
    INSERT("today_end", "today", END),
    INSERT("later_end", "later", END),
    INSERT("finally_end", "finally", END),
    INSERT("yesterday_end", "yesterday", END),
    INSERT("often_end", "often", END),
    INSERT_("later_verb", "later", VERB, SPLIT_NEAR),

    REWRITE("question", REWRITE_QUESTION,
            "make a question of the statement~ask about the event with Did~form the question for the "
            "sentence~turn the statement into a question with Did~ask whether it happened, starting with "
            "Did~rewrite "
            "the sentence "
            "as a yes-no question",
            "the question form of the sentence~the sentence as a question with Did~the question that asks "
            "whether it happened",
            "ask about the event instead of stating it~make a Did question of the sentence",
            "the statement in question form~a question beginning with Did"),
    REWRITE("negation", REWRITE_NEGATION,
            "rewrite the sentence with did not~make the sentence negative~deny the statement~negate the "
            "sentence with did not~say that it did not happen~make the statement negative with "
            "did not",
            "the sentence as a negation~the sentence with did not~the negative form of the sentence~the "
            "negated statement",
            "deny the statement, using did not~turn the sentence into its negation",
            "the denial of the statement~the statement made negative"),
    REWRITE("present", REWRITE_PRESENT,
            "rewrite the sentence in the present~turn the past tense sentence into the present tense~let the "
            "sentence happen now~put the sentence into the present tense~say it as if it happens now~change "
            "the past tense to "
            "the present",
            "the present tense version of the sentence~the sentence in the present tense~the sentence with "
            "its verb in the present",
            "tell it as a thing of the present~shift the verb from past to present",
            "the same event in present tense~the statement as it happens now"),
    REWRITE("exclaim", REWRITE_EXCLAIM,
            "finish the sentence with ! instead of the period~make it an exclamation~end the sentence with "
            "an exclamation mark~replace the full stop by an exclamation mark~change "
            "the period to !",
            "the sentence with an exclamation mark at the end~the sentence ending in !",
            "give the sentence an exclaiming end~close the sentence with ! rather than a period",
            "the sentence as an exclamation~the same words closed by !"),
    REWRITE("no_stop", REWRITE_NO_STOP,
            "leave out the final period~write the sentence with no full stop~remove the full stop at the "
            "end~write the sentence without its period~delete the final dot",
            "the sentence without the full stop~the sentence, final period removed",
            "leave the sentence open, with no dot~drop the closing period of the sentence",
            "the same words with no closing period~the sentence, its dot gone"),

    EXTRACT("name", PART_NAME, "the name of the person~the person's name",
            "Who did it?~Which person is it about?"),
    EXTRACT("verb", PART_VERB, "the verb~the action word",
            "What did the person do, which verb?~What is the action?"),
    EXTRACT("amount", PART_AMOUNT, "the number of things~the amount",
            "How many things are there?~How many were there?"),
    EXTRACT("thing", PART_THING, "the things~the kind of things",
            "What kind of things were they?~Which things does it speak of?"),
    EXTRACT("city", PART_CITY, "the city~the place", "In which city was it?~Where did it happen?"),
    EXTRACT("day", PART_DAY, "the day~the day of the week", "On which day was it?~When did it happen?"),
    EXTRACT_("color", PART_COLOR, "the color~the color word",
             "What color were the things?~Which color did they have?", SPLIT_NEAR),

    GREET("hello", "Hello"),
    GREET("goodbye", "Goodbye"),
    GREET("welcome", "Welcome"),
    GREET("thank_you", "Thank you"),
    GREET("good_morning", "Good morning"),
    GREET("happy_birthday", "Happy birthday"),

    UNIT("dollars"),
    UNIT("minutes"),
    UNIT("pages"),
    UNIT("meters"),
    UNIT("years"),
    UNIT("points"),

    PREFIX("my"),
    PREFIX("the"),
    PREFIX("some"),
    PREFIX("old"),
    PREFIX("red"),
};

Tasks sentences_tasks(void) {
    return (Tasks){tasks, (int)(sizeof tasks / sizeof *tasks)};
}
