// t2l-mini: our own suite of short tasks in the Natural Instructions schema, made by seeded generators. Every
// task has many differently worded descriptions, some kept for testing; inputs of one kind feed many tasks,
// so that only the description can tell the task.
#ifndef T2L_DATA_MINI_H
#define T2L_DATA_MINI_H

#include "base/status.h"

#include <stdint.h>

#define MINI_VERSION "13"

// Writes dir/train/<name>.json and dir/heldout/<name>.json, each atomically; the same files for the same
// seed.
Status mini_write(const char *dir, uint64_t seed);

#endif
