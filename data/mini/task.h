// What the task tables of the mini suite are made of: tasks, families, and the small text helpers that the
// generators share. Private to data/mini.
#ifndef T2L_DATA_MINI_TASK_H
#define T2L_DATA_MINI_TASK_H

#include "base/rng.h"
#include "data/mini/words.h"

#include <stdbool.h>

typedef enum Split { SPLIT_TRAIN, SPLIT_NEAR, SPLIT_FAR } Split;

enum { TEXT_MAX = 240, ITEMS_MAX = 8, SLOTS = 5 };

// A short text that grows; what does not fit is an internal error.
typedef struct Text {
    char s[TEXT_MAX];
    size_t n;
} Text;

typedef struct Pair {
    Text in, out;
} Pair;

// Templates: {a~b~c} is a choice, {1} to {5} a choice from that slot of the task. A family's trained and
// unseen templates are disjoint, so an unseen description differs in its frame, not in a word only.
typedef struct Family {
    const char *name;
    const char *definition;
    const char *const *trained;
    const char *const *unseen;
} Family;

typedef struct Task Task;
// Draws one instance; the writer draws until it has enough distinct inputs.
typedef void Generate(Rng *rng, const Task *task, Pair *pair);

struct Task {
    const char *name;
    const Family *family;
    Generate *generate;
    const char *table; // of words; NULL: numbers
    const char *other; // a second table
    int a, b;          // what the generator makes of them
    const char *text, *text2;
    const char *slot[SLOTS];
    Split split;
};

typedef struct Tasks {
    const Task *items;
    int n;
} Tasks;

typedef struct Items {
    char s[ITEMS_MAX][WORDS_FIELD];
    int n;
} Items;

// One table of tasks for each source file.
Tasks lists_tasks(void);
Tasks numbers_tasks(void);
Tasks knowledge_tasks(void);
Tasks sentences_tasks(void);
Tasks far_tasks(void);

// The frames for a task that is said in four slots: an order and a noun phrase for the result, and again both
// in words kept for unseen descriptions.
extern const char *const task_frames[];
extern const char *const task_frames_unseen[];

void text_add(Text *text, const char *s);
void text_int(Text *text, int value);
void text_upper(Text *text);
void text_lower(Text *text);
// The parts that are not empty, with blanks between them, and the end mark.
void text_sentence(Text *text, const char *a, const char *b, const char *c, const char *d, const char *end);
int task_range(Rng *rng, int low, int high);
bool task_coin(Rng *rng);
// n distinct entries of the table (their first field), or distinct numbers from 1 to 99 when it is NULL.
void items_draw(Items *items, Rng *rng, const char *table, int n);
void items_join(Text *text, const Items *items, const char *separator);
void items_move(Items *items, int from, int to);
void items_remove(Items *items, int at);
// A position counted from 0, or from the end as -1, -2.
int items_at(const Items *items, int position);
// The sentence parts of words_actions: base, third person, past and rest.
void action_draw(Rng *rng, char name[WORDS_FIELD], char part[4][WORDS_FIELD]);

// Table lookup: field a of an entry asks for field b.
void generate_lookup(Rng *rng, const Task *task, Pair *pair);

#endif
