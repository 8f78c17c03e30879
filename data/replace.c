#include "data/replace.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int sync_one(const char *path, const struct stat *st, int type, struct FTW *ftw) {
    (void)st, (void)ftw;
    if (type != FTW_F && type != FTW_DP) return 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return -1;
    int rc = fsync(fd), err = errno;
    close(fd);
    errno = err;
    return rc != 0 && err != EINVAL ? -1 : 0;
}

Status replace_sync_tree(const char *fresh) {
    if (nftw(fresh, sync_one, 16, FTW_DEPTH | FTW_PHYS) != 0)
        return status_errno(errno, "%s: cannot flush to disk", fresh);
    return OK;
}

static Status sync_parent(const char *path) {
    char parent[PATH_MAX];
    const char *slash = strrchr(path, '/');
    snprintf(parent, sizeof parent, "%.*s", slash ? (int)(slash - path + 1) : 1, slash ? path : ".");
    return file_sync_dir(parent);
}

/* Without exchange: the old one steps aside first, and comes back when the new one cannot take its place. */
static Status step_aside(const char *final, const char *fresh) {
    char old[PATH_MAX];
    if ((size_t)snprintf(old, sizeof old, "%s.old", fresh) >= sizeof old)
        return status_error(E_INPUT, "%s: path too long", final);
    if (rename(final, old) != 0) return status_errno(errno, "%s: cannot rename to %s", final, old);
    if (rename(fresh, final) != 0) {
        int err = errno;
        if (rename(old, final) != 0)
            return status_errno(err, "%s: cannot rename to %s (the old one is now %s)", fresh, final, old);
        return status_errno(err, "%s: cannot rename to %s", fresh, final);
    }
    TRY(sync_parent(final));
    return file_remove_tree(old);
}

Status replace_dir(const char *final, const char *fresh) {
    if (rename(fresh, final) == 0) return sync_parent(final); /* absent or empty */
    if (errno != ENOTEMPTY && errno != EEXIST)
        return status_errno(errno, "%s: cannot rename to %s", fresh, final);
    if (renameat2(AT_FDCWD, fresh, AT_FDCWD, final, RENAME_EXCHANGE) == 0) {
        TRY(sync_parent(final));
        return file_remove_tree(fresh); /* the old one, by now */
    }
    if (errno != EINVAL && errno != ENOSYS)
        return status_errno(errno, "%s: cannot exchange with %s", fresh, final);
    return step_aside(final, fresh);
}
