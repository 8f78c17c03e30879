// Descriptions from templates and slots.
#ifndef T2L_DATA_MINI_DESCRIBE_H
#define T2L_DATA_MINI_DESCRIBE_H

#include "data/mini/task.h"

// Fills in a template: every choice is drawn from rng, or is the first one when rng is NULL. The first letter
// becomes a capital.
void describe(Text *text, Rng *rng, const char *template, const Task *task);

#endif
