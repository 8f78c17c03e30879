// Tasks on small numbers: arithmetic, and comparing.
#include "data/mini/task.h"

#include <stdlib.h>

static const Family arithmetic = {"arithmetic", "{1} and output only the result.", task_frames,
                                  task_frames_unseen};
static const Family parity = {"compare", "{1}.", task_frames, task_frames_unseen};
static const Family extreme = {
    "compare",
    "Read the {2} numbers and output only the {1} one.",
    (const char *const[]){
        "{Return~Give~Output} the {1} of the {2} numbers.",
        "Which of the {2} numbers is the {1}?",
        "{Find~Pick~Choose~Select} the {1} number out of {2}.",
        "The {1} of {2} numbers.",
        "Write {down~only} the {1} of the {2} values.",
        "What is the {1} of these {2} numbers?",
        "Compare the {2} numbers and {keep~return~write} the {1}.",
        "Please {tell me~give me} the {1} of the {2} numbers.",
        "Answer with the {1} among the {2} numbers.",
        "There are {2} numbers; {output~write} the {1} one.",
        "Out of {2} values, {take~select} the {1}.",
        "I {want~need} the {1} of these {2} values.",
        "Keep only the {1} of the {2} numbers.",
        "Can you find the {1} of {2} numbers?",
        "Name the {1} of the {2} figures.",
        "The {1} of the {2} numbers, please.",
        "Report the {1} of these {2} figures.",
        NULL,
    },
    (const char *const[]){
        "Look at the {2} figures and report the {1}.",
        "Could you name the {1} of those {2} numbers?",
        "Respond with whichever of the {2} numbers is {1}.",
        "Among {2} figures, determine the {1} one.",
        "From {2} numbers, only the {1} survives: state it.",
        "{Print~Say} the {1} figure; {2} are given.",
        NULL,
    },
};

static void generate_offset(Rng *rng, const Task *task, Pair *pair) {
    int low = task->a < 0 ? 1 - task->a : 1;
    int x = task_range(rng, low, task->b);
    text_int(&pair->in, x);
    text_int(&pair->out, x + task->a);
}

static void generate_extreme(Rng *rng, const Task *task, Pair *pair) {
    Items items;
    items_draw(&items, rng, NULL, task->b);
    items_join(&pair->in, &items, " ");
    int best = 0;
    for (int i = 1; i < items.n; i++) {
        int difference = atoi(items.s[i]) - atoi(items.s[best]);
        if (task->a * difference > 0) best = i;
    }
    text_add(&pair->out, items.s[best]);
}

static void generate_parity(Rng *rng, const Task *task, Pair *pair) {
    int x = task_range(rng, 1, task->b);
    text_int(&pair->in, x);
    text_add(&pair->out, x % 2 ? task->text2 : task->text);
}

#define OFFSET(id, by, most, ...)                                                                         \
    {                                                                                                     \
        .name = "arithmetic_" id, .family = &arithmetic, .generate = generate_offset, .a = by, .b = most, \
        .slot = {                                                                                         \
            __VA_ARGS__                                                                                   \
        }                                                                                                 \
    }
#define EXTREME(id, sign, n, ord, many)                                                             \
    {                                                                                               \
        .name = "compare_" id, .family = &extreme, .generate = generate_extreme, .a = sign, .b = n, \
        .slot = {                                                                                   \
            ord,                                                                                    \
            many                                                                                    \
        }                                                                                           \
    }
#define LARGEST "largest~biggest~greatest"
#define SMALLEST "smallest~lowest~least"
#define LABEL(id, gen, x, y, one, two, ...)                                                     \
    {                                                                                           \
        .name = "compare_" id, .family = &parity, .generate = gen, .a = x, .b = y, .text = one, \
        .text2 = two, .slot = {                                                                 \
            __VA_ARGS__                                                                         \
        }                                                                                       \
    }

static const Task tasks[] = {
    OFFSET("plus_one", 1, 250,
           "compute the number plus 1~go up by one~write the number that comes right after it~add one to the "
           "number~increase the number by 1~count up to the next whole number",
           "the following number~one more than it~the number plus one~the next whole number~the number "
           "increased by 1",
           "raise the number by one~go one step up from the number",
           "the whole number that follows~one more than the number"),
    OFFSET("minus_one", -1, 250,
           "compute the number minus 1~go down by one~write the number that comes right before it~subtract "
           "one from the number~decrease the number by 1~count down to the previous whole number",
           "the number just before this one~the number lowered by one~the number minus one~the previous "
           "whole number~the number decreased by 1",
           "lower the number by one~go one step down from the number",
           "the whole number just before it~one less than the number"),

    EXTREME("largest_two", 1, 2, "larger~bigger~greater", "two"),
    EXTREME("largest_three", 1, 3, LARGEST, "three"),
    EXTREME("largest_four", 1, 4, LARGEST, "four"),
    EXTREME("smallest_two", -1, 2, "smaller~lower~lesser", "two"),
    EXTREME("smallest_four", -1, 4, SMALLEST, "four"),
    LABEL("even_odd", generate_parity, 0, 300, "even", "odd",
          "say whether the number is even or odd~classify the number as odd or even~write even or odd for "
          "the number",
          "the parity of the number, even or odd~the word even or odd~the right label, odd or even",
          "check if 2 divides the number and write even or odd~tell if the number is odd or even",
          "one word, even or odd~odd or even, as the number demands"),
};

Tasks numbers_tasks(void) {
    return (Tasks){tasks, (int)(sizeof tasks / sizeof *tasks)};
}
