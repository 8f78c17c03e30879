// Tasks that ask what a word is, means or becomes: look up, translate, inflect, classify, judge, pick.
#include "data/mini/task.h"

#include <string.h>

static const Family lookup = {"lookup", "{1} and output only that.", task_frames, task_frames_unseen};
static const Family translation = {
    "translate",
    "Translate the English word into {1} and output only the {1} word.",
    (const char *const[]){
        "Translate {the word~the input~this English word} into {1}.",
        "{Give~Write~Output} the {1} word for it.",
        "{Say~Write} it in {1}.",
        "What is the {1} {for this word~for it~word for this}?",
        "How do you say this in {1}?",
        "{From English to~English into~Translation into} {1}.",
        "{1} {translation~word~equivalent} only.",
        "{Answer~Reply} with the {1} {translation~word}.",
        "Turn the English word into {1}{~, one word}.",
        "Please translate {it~the input} to {1}.",
        "Put the {word~English} into {1}.",
        "Name the {1} equivalent of the English word.",
        "I {want~need} the {1} word for this.",
        "Return the same word in {1}.",
        "{Convert~Render} the word from English into {1}.",
        NULL,
    },
    (const char *const[]){
        "{Express~Phrase} the word in {1}.",
        "Which word would a {1} speaker use for it?",
        "Provide a one-word {1} translation.",
        "English is given, reply in {1}.",
        "Could you tell me the {1} term for it?",
        "Look the word up in an English to {1} dictionary.",
        "The meaning stays, the language becomes {1}.",
        NULL,
    },
};
static const Family inflection = {
    "inflect",
    "Write {1} of the {2}.",
    (const char *const[]){
        "{Give~Write~Return~Output} {1} of the {2}.",
        "Put the {2} {3}.",
        "Change the {2} so that it is {3}.",
        "What is {1} of this {2}?",
        "{1} of the {2}.",
        "Answer with {1} of the {2}.",
        "Turn the {2} into {1}.",
        "{Rewrite~Write} the {2} {3}.",
        "How is the {2} written {3}?",
        "Please {write~give} {1}.",
        "I {want~need} {1} of the {2}.",
        "Inflect the {2}: {1}.",
        "{Output~Return} the {2} {3}.",
        "The {2} {3}, nothing else.",
        NULL,
    },
    (const char *const[]){
        "Show the {2} {3}.",
        "Could you form {1}?",
        "Reply with {1} for the {2} given.",
        "Transform the {2}: it should stand {3}.",
        "State {1}, one word.",
        "Spell the {2} {3}.",
        "The correct answer is {1} of the {2}.",
        NULL,
    },
};
static const Family classification = {
    "classify",
    "Decide whether the input is {1} or {2}. Answer with {1} or {2}.",
    (const char *const[]){
        "Answer with {3}.",
        "Classify the {word~item~input} as {3}.",
        "Is it {3}?",
        "Say whether the input is {3}.",
        "Is it {3}? {Answer~Reply} with that one word.",
        "Which fits, {3}? Write only that label.",
        "Label the {input~item}: {3}.",
        "Output {3}, depending on what it is.",
        "Decide between the labels {1} and {2}.",
        "Write {1} if it belongs there, otherwise {2}.",
        "Choose one category: {3}.",
        "Sort the item into {1} or {2}.",
        "Please {tell me~say} which it is, {3}.",
        "Two classes, {1} and {2}: name the right one.",
        "{Category~Class~Type} of the input, {3}.",
        "What is it, {3}?",
        "Assign the {word~item} to a group, {3}.",
        "Name the kind of thing: {3}.",
        "Tell {1} from {2} and write the label.",
        "Can you tell if it is {3}?",
        "Recognize whether it is {3}.",
        "A label for the input, {3}.",
        "{1} or {2}: which group is right?",
        NULL,
    },
    (const char *const[]){
        "Does this belong under {1} or under {2}?",
        "Your reply is a single label, either {1} or {2}.",
        "Put the entry into the correct group, {3}.",
        "Identify the kind of thing, picking {3}.",
        "Would you call it {3}? Use just that word.",
        "Tag the entry {1} or {2}.",
        "Recognize it as {3} and state which.",
        NULL,
    },
};
static const Family code = {
    "code",
    "Write {1} if the input is {3} and {2} if it is {4}.",
    (const char *const[]){
        "Answer {1} for {3} and {2} for {4}.",
        "{Write~Output~Return} {1} if it is {3}, {2} if it is {4}.",
        "{1} means {3}, {2} means {4}: write the right one.",
        "Is it {3}? Then {1}. Is it {4}? Then {2}.",
        "Say {1} when the input is {3}, otherwise {2}.",
        "Mark {3} with {1} and {4} with {2}.",
        "{1} for {3}, {2} for {4}.",
        "Please reply {1} to {3} and {2} to {4}.",
        "Label {4} as {2} and {3} as {1}.",
        "The answer is {2} for {4}, but {1} for {3}.",
        "If the {word~input} is {3}, {write~say} {1}; if it is {4}, {write~say} {2}.",
        "{Choose~Pick} {1} when you see {3}, {2} when you see {4}.",
        "Decide between {1}, which stands for {3}, and {2}, which stands for {4}.",
        "Give {2} for {4} and {1} for everything that is {3}.",
        "Respond with {1} or {2}: {1} is for {3}.",
        NULL,
    },
    (const char *const[]){
        "Whenever you read {3}, put {1}; whenever you read {4}, put {2}.",
        "Use the code {1} for {3} and the code {2} for {4}.",
        "Could you reply {1} for {3}, else {2}?",
        "{3} gets {1}, {4} gets {2}.",
        "Your reply: {1} if you are shown {3}, {2} otherwise.",
        "Translate {3} to {1} and {4} to {2}.",
        NULL,
    },
};
static const Family sentiment = {
    "sentiment",
    "Decide whether the writer is pleased or not. Answer {1} if pleased and {2} if not.",
    (const char *const[]){
        "{Does the writer's opinion count as~Is the writer's opinion to be called} {3}?",
        "Label the {remark~review} as {3}.",
        "Classify the {review~opinion}: {3}.",
        "Write {1} if the writer is pleased, {2} if not.",
        "Sentiment of the text, {3}.",
        "Judge the {comment~review} and answer {3}.",
        "Answer {1} for praise and {2} for criticism.",
        "{Output~Return} {1} for a good review, {2} for a bad one.",
        "Which fits the opinion, {3}?",
        "Rate the sentence with {3}.",
        "Decide by the writer's mood: {3}.",
        "Say {2} when the comment is unfavorable, otherwise {1}.",
        "How does the writer feel about it, {3}?",
        "Please mark the {opinion~review} with {3}.",
        "Would the writer say {3}?",
        "Feedback in one word, {3}.",
        "Happy writer, {1}; unhappy writer, {2}.",
        "Evaluate the statement and write {3}.",
        "Can you label this opinion {3}?",
        NULL,
    },
    (const char *const[]){
        "Read the opinion and reply {3}.",
        "Would you put this feedback under {1} or {2}?",
        "Tone of the statement: {3}.",
        "A happy customer means {1}, an unhappy one {2}.",
        "Give the verdict in one word, {3}.",
        "Evaluate the feedback as {3}.",
        NULL,
    },
};
static const Family pick = {
    "pick",
    "Exactly one of the words is {1}. Output only that word.",
    (const char *const[]){
        "{Pick~Choose~Select} the {2} from the words.",
        "Which of the words is {1}?",
        "{Find~Return~Output} the word that is {1}.",
        "{Give~Write} the {2} only.",
        "One of the words is {1}; {write~copy} it.",
        "{Extract~Copy} the {2} from the {list~line}.",
        "Keep only the {2}.",
        "Answer with the {2} in the {list~line}.",
        "Look for the {2} among these words.",
        "Please {point out~name} the {2} in the list.",
        "The word that {names~stands for} {1}.",
        "I {want~need} the {2} in this list.",
        "Drop every word that is not {1}.",
        "Read the words and write the {2}.",
        "What {2} is in the list?",
        "Which entry is {1}?",
        "Can you say which of them is {1}?",
        "The {2} counts, the other words do not.",
        "Show me the {2} in the row.",
        "Can you find the {2} in the list?",
        "Only one word is {1}: repeat it.",
        "Identify the word that means {1}.",
        "Ignore the words that are not {1}.",
        "From the row of words, take the {2}.",
        NULL,
    },
    (const char *const[]){
        "Spot the {2} and repeat it.",
        "Could you tell me which entry is {1}?",
        "Only the {2} counts: say it.",
        "Out of these entries, name {1}.",
        "Identify the {2} in the row.",
        "Respond with the one item that is {1}.",
        "Filter the row so that the {2} remains.",
        NULL,
    },
};

static void draw(char word[WORDS_FIELD], Rng *rng, const char *table) {
    words_get(table, task_range(rng, 0, words_count(table) - 1), 0, word);
}

// One or two words of one of the two classes.
static void generate_class(Rng *rng, const Task *task, Pair *pair) {
    bool first = task_coin(rng);
    Items items;
    items_draw(&items, rng, first ? task->table : task->other, task_range(rng, 1, 2));
    items_join(&pair->in, &items, " ");
    text_add(&pair->out, first ? task->text : task->text2);
}

static void generate_article(Rng *rng, const Task *task, Pair *pair) {
    (void)task;
    char word[WORDS_FIELD];
    draw(word, rng, task_coin(rng) ? words_common : task->table);
    text_add(&pair->in, word);
    text_add(&pair->out, strchr("aeio", word[0]) ? "an " : "a ");
    text_add(&pair->out, word);
}

typedef struct Pattern {
    const char *before, *middle, *after;
} Pattern;

static void generate_sentiment(Rng *rng, const Task *task, Pair *pair) {
    static const Pattern patterns[] = {
        {"The ", " was ", "."},         {"This ", " is ", "."},           {"My ", " was ", "."},
        {"I found the ", " ", "."},     {"What we got: the ", ", ", "."}, {"Their ", " is ", "!"},
        {"I think the ", " was ", "."},
    };
    bool pleased = task_coin(rng);
    char thing[WORDS_FIELD], judgement[WORDS_FIELD];
    draw(thing, rng, words_reviewed);
    draw(judgement, rng, pleased ? words_pleasing : words_displeasing);
    const Pattern *pattern = &patterns[task_range(rng, 0, (int)(sizeof patterns / sizeof *patterns) - 1)];
    const char *parts[] = {pattern->before, thing, pattern->middle, judgement, pattern->after};
    for (int i = 0; i < 5; i++) text_add(&pair->in, parts[i]);
    text_add(&pair->out, pleased ? task->text : task->text2);
}

static bool in_table(const char *table, const char *word) {
    char s[WORDS_FIELD];
    for (int i = 0, n = words_count(table); i < n; i++) {
        words_get(table, i, 0, s);
        if (strcmp(s, word) == 0) return true;
    }
    return false;
}

// One word of the wanted kind and two of two other kinds.
static void generate_pick(Rng *rng, const Task *task, Pair *pair) {
    static const char *const kinds[] = {
        words_animals,   words_tools,  words_clothes,  words_body,        words_fruits,
        words_jobs,      words_drinks, words_names,    words_instruments, words_cities,
        words_furniture, words_sports, words_feelings,
    };
    int n = (int)(sizeof kinds / sizeof *kinds);
    Items items = {.n = 3};
    int used = -1;
    for (int i = 0; i < 2;) {
        int kind = task_range(rng, 0, n - 1);
        draw(items.s[i], rng, kinds[kind]);
        if (kind == used || kinds[kind] == task->table || in_table(task->table, items.s[i])) continue;
        used = kind;
        i++;
    }
    draw(items.s[2], rng, task->table);
    text_add(&pair->out, items.s[2]);
    items_move(&items, 2, task_range(rng, 0, 2));
    items_join(&pair->in, &items, " ");
}

#define LOOKUP(id, tab, from, to, ...)                                                                 \
    {                                                                                                  \
        .name = "lookup_" id, .family = &lookup, .generate = generate_lookup, .table = tab, .a = from, \
        .b = to, .slot = {                                                                             \
            __VA_ARGS__                                                                                \
        }                                                                                              \
    }
#define TRANSLATE(id, tab, language)                                                                        \
    {                                                                                                       \
        .name = "translate_" id, .family = &translation, .generate = generate_lookup, .table = tab, .b = 1, \
        .slot = {                                                                                           \
            language                                                                                        \
        }                                                                                                   \
    }
#define INFLECT(id, tab, from, to, form, word, state)                                                       \
    {                                                                                                       \
        .name = "inflect_" id, .family = &inflection, .generate = generate_lookup, .table = tab, .a = from, \
        .b = to, .slot = {                                                                                  \
            form,                                                                                           \
            word,                                                                                           \
            state                                                                                           \
        }                                                                                                   \
    }
#define CLASSIFY_(id, one, tab, two, tab2, kind)                                                         \
    {                                                                                                    \
        .name = "classify_" id, .family = &classification, .generate = generate_class, .table = tab,     \
        .other = tab2, .text = one, .text2 = two, .slot = {one, two, one " or " two "~" two " or " one}, \
        .split = kind                                                                                    \
    }
#define CLASSIFY(id, one, tab, two, tab2) CLASSIFY_(id, one, tab, two, tab2, SPLIT_TRAIN)
#define CODE(id, one, a_one, tab, two, a_two, tab2)                                                   \
    {                                                                                                 \
        .name = "code_" id, .family = &code, .generate = generate_class, .table = tab, .other = tab2, \
        .text = one, .text2 = two, .slot = {                                                          \
            one "~\"" one "\"",                                                                       \
            two "~\"" two "\"",                                                                       \
            a_one,                                                                                    \
            a_two                                                                                     \
        }                                                                                             \
    }
#define SENTIMENT_(id, one, two, kind)                                                              \
    {                                                                                               \
        .name = "sentiment_" id, .family = &sentiment, .generate = generate_sentiment, .text = one, \
        .text2 = two, .slot = {one, two, one " or " two "~" two " or " one}, .split = kind          \
    }
#define SENTIMENT(id, one, two) SENTIMENT_(id, one, two, SPLIT_TRAIN)
#define PICK_(id, tab, one, bare, kind)                                                                    \
    {                                                                                                      \
        .name = "pick_" id, .family = &pick, .generate = generate_pick, .table = tab, .slot = {one, bare}, \
        .split = kind                                                                                      \
    }
#define PICK(id, tab, one, bare) PICK_(id, tab, one, bare, SPLIT_TRAIN)

static const Task tasks[] = {
    LOOKUP("language", words_languages, 0, 1,
           "name the main language of the country~answer in one word: the language~look up the language of "
           "the country~give the language spoken in the country~say which language "
           "the people "
           "speak",
           "the main language of the country~the language spoken there~the official language",
           "state the tongue of the country's people~tell which language is used in the country",
           "the language that most people there use~the tongue of the people"),
    LOOKUP("continent", words_countries, 0, 2,
           "name the continent: Europe, Asia, Africa or America~look up the continent~answer in one word: "
           "Africa, America, Asia or Europe~say on which continent the country lies~give "
           "the "
           "continent of the country",
           "the continent of the country~the continent: Africa, America, Asia or Europe~the part of the "
           "world, such as "
           "Asia or Europe",
           "state the continent to which the country belongs~tell if it is Asia, Africa, Europe or America",
           "the continent where the country is found~Europe, Africa, Asia or America"),
    LOOKUP("opposite", words_opposites, 0, 1,
           "give the opposite of the word~answer in one word: the opposite~find a word that means the "
           "contrary~name the antonym~write the word of contrary meaning",
           "the opposite of the word~the antonym~the word with the opposite meaning~the contrary of the word",
           "state what means the reverse~tell the counterpart with contrary sense",
           "the word that means the reverse~the antonym of the input"),

    TRANSLATE("french", words_french, "French"),

    INFLECT("plural", words_nouns, 0, 1, "the plural~the plural form~the form for several", "noun~word",
            "in the plural~as more than one"),
    {.name = "inflect_article",
     .family = &inflection,
     .generate = generate_article,
     .table = words_tools,
     .slot = {"the a or an form~the form with a or an~the indefinite article form", "noun~word",
              "with a or an in front~after its indefinite article"}},
    INFLECT("ing", words_verbs, 0, 3, "the -ing form~the present participle~the form ending in ing",
            "verb~action word", "in the -ing form~as a present participle"),
    INFLECT("comparative", words_adjectives, 0, 1,
            "the comparative~the comparative form~the form used before than", "adjective~describing word",
            "in the comparative~as used before than"),

    CLASSIFY("animal_plant", "animal", words_animals, "plant", words_plants),
    CLASSIFY("animal_tool", "animal", words_animals, "tool", words_tools),
    CLASSIFY("animal_food", "animal", words_animals, "food", words_foods),
    CLASSIFY("plant_vehicle", "plant", words_plants, "vehicle", words_vehicles),
    CLASSIFY("food_vehicle", "food", words_foods, "vehicle", words_vehicles),
    CLASSIFY("food_building", "food", words_foods, "building", words_buildings),
    CLASSIFY("vehicle_building", "vehicle", words_vehicles, "building", words_buildings),
    CLASSIFY("vehicle_sport", "vehicle", words_vehicles, "sport", words_sports),
    CLASSIFY("tool_clothing", "tool", words_tools, "clothing", words_clothes),
    CLASSIFY("tool_body", "tool", words_tools, "body", words_body),
    CLASSIFY("body_clothing", "body", words_body, "clothing", words_clothes),
    CLASSIFY("country_city", "country", words_countries, "city", words_cities),
    CLASSIFY("country_fruit", "country", words_countries, "fruit", words_fruits),
    CLASSIFY("city_name", "city", words_cities, "name", words_names),
    CLASSIFY("job_name", "job", words_jobs, "name", words_names),
    CLASSIFY("sport_instrument", "sport", words_sports, "instrument", words_instruments),
    CLASSIFY("instrument_drink", "instrument", words_instruments, "drink", words_drinks),
    CLASSIFY("fruit_furniture", "fruit", words_fruits, "furniture", words_furniture),
    CLASSIFY("drink_feeling", "drink", words_drinks, "feeling", words_feelings),
    CLASSIFY("furniture_feeling", "furniture", words_furniture, "feeling", words_feelings),
    CLASSIFY_("tool_food", "tool", words_tools, "food", words_foods, SPLIT_NEAR),
    CLASSIFY_("animal_vehicle", "animal", words_animals, "vehicle", words_vehicles, SPLIT_NEAR),
    CLASSIFY_("body_fruit", "body", words_body, "fruit", words_fruits, SPLIT_NEAR),
    CLASSIFY_("city_instrument", "city", words_cities, "instrument", words_instruments, SPLIT_NEAR),

    CODE("yes_animal_no_tool", "yes", "an animal~the name of an animal", words_animals, "no",
         "a tool~the name of a tool", words_tools),
    CODE("no_fruit_yes_vehicle", "no", "a fruit~the name of a fruit", words_fruits, "yes",
         "a vehicle~the name of a vehicle", words_vehicles),
    CODE("yes_job_no_building", "yes", "a job~the name of a job", words_jobs, "no",
         "a building~the name of a building", words_buildings),
    CODE("true_body_false_clothing", "true", "a part of the body~a body part", words_body, "false",
         "a piece of clothing~clothing", words_clothes),
    CODE("false_food_true_furniture", "false", "a food~something to eat", words_foods, "true",
         "a piece of furniture~furniture", words_furniture),
    CODE("a_city_b_country", "A", "a city~the name of a city", words_cities, "B",
         "a country~the name of a country", words_countries),

    SENTIMENT("positive_negative", "positive", "negative"),
    SENTIMENT("good_bad", "good", "bad"),
    SENTIMENT("like_dislike", "like", "dislike"),
    SENTIMENT("praise_complaint", "praise", "complaint"),
    SENTIMENT("plus_minus", "plus", "minus"),
    SENTIMENT("love_hate", "love", "hate"),
    SENTIMENT("glad_unhappy", "glad", "unhappy"),
    SENTIMENT("fan_critic", "fan", "critic"),
    SENTIMENT("pleased_annoyed", "pleased", "annoyed"),
    SENTIMENT("great_awful", "great", "awful"),
    SENTIMENT_("happy_sad", "happy", "sad", SPLIT_NEAR),

    PICK("animal", words_animals, "an animal", "animal"),
    PICK("fruit", words_fruits, "a fruit", "fruit"),
    PICK("job", words_jobs, "a job", "job"),
    PICK("city", words_cities, "a city", "city"),
    PICK("body_part", words_body, "a part of the body", "body part"),
    PICK("name", words_names, "a person's name", "person's name"),
    PICK("color", words_colors, "a color", "color"),
    PICK("clothing", words_clothes, "a piece of clothing", "piece of clothing"),
    PICK("sport", words_sports, "a sport", "sport"),
    PICK_("tool", words_tools, "a tool", "tool", SPLIT_NEAR),
};

Tasks knowledge_tasks(void) {
    return (Tasks){tasks, (int)(sizeof tasks / sizeof *tasks)};
}
