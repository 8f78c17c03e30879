/* A start of the task encoder's Linear [D/2,E] from the training descriptions instead of from random numbers:
 * the D/2 directions that tell the tasks apart best for the spread of each task's own descriptions (linear
 * discriminant analysis, Fisher 1936, Rao 1948). A random projection of E to D/2 mixes up similar tasks and
 * has to unlearn it. Measured on t2l-mini (221 tasks, E 384, D/2 64; nearest task mean after the LayerNorm,
 * on descriptions not trained): random 84 %, this 97 %. */
#ifndef T2L_TRAIN_TASK_START_H
#define T2L_TRAIN_TASK_START_H

#include "model/hypernet.h"

/* Overwrites weight and bias. embeddings [first[T], E]; task t has the rows first[t] to first[t+1]. Rows
 * beyond the number of directions there are (T - 1) stay as they were. */
Status task_start(Hypernet *hn, Device *dev, const float *embeddings, const int64_t *first, int64_t n_tasks);

#endif
