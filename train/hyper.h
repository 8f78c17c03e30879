/* What the two trainings of a hypernetwork (train/sft.h, train/recon.h) share. */
#ifndef T2L_TRAIN_HYPER_H
#define T2L_TRAIN_HYPER_H

#include "train/ckpt.h"
#include "train/config.h"

/* What the configuration says of the hypernetwork and its checkpoints, for a base model of this shape and
 * embeddings of `embed` numbers; heads with a bias, but none on top of hypernet.offset. *out owns. */
Status hyper_info(CkptInfo *out, const Config *cfg, const AdapterShape *shape, int64_t embed);
/* The adapter in dir into the output stage's shift, which a hypernetwork without an output stage gets, also
 * in training. E_INPUT when it is not of this rank, these modules, shapes and this scale. */
Status hyper_offset(Hypernet *hn, const char *dir, const AdapterShape *shape);

/* data.embedding. */
bool hyper_is_onehot(const Config *cfg);
bool hyper_is_llm(const Config *cfg);
/* onehot: the tasks' names into info, number by number. */
Status hyper_tasks(CkptInfo *info, const char *const *names, int64_t n);

#endif
