/* Replacing a directory as a whole: the new one is complete beside it, then takes its name. A crash at any
 * moment leaves the old directory or the new one under that name, or (file systems without exchange) both
 * complete under other names. */
#ifndef T2L_DATA_REPLACE_H
#define T2L_DATA_REPLACE_H

#include "base/status.h"

/* Flushes the files of the tree `fresh` and its directories to disk. */
Status replace_sync_tree(const char *fresh);
/* `fresh` takes the place of `final`, which may be absent, empty or full; what was there is removed. Both are
 * on one file system. On failure `fresh` is still there unless it took the place. */
Status replace_dir(const char *final, const char *fresh);

#endif
