/* One program of the cage: its descriptors, limits and user; its end. Between fork and exec only calls that
 * are safe in a process that was forked from a thread of many (signal-safety(7)). */
#include "eval/cage_internal.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { NOBODY = 65534 };

/* ---- in the child ---- */

/* What the child needs, complete before the fork. */
typedef struct Start {
    const Cage *cage;
    const char *dir;
    int fds[CAGE_FD_FIRST_FREE]; /* what becomes 0, 1, ... */
    pid_t parent;
} Start;

_Noreturn static void give_up(const char *what) {
    ssize_t ignored = write(2, what, strlen(what));
    ignored = write(2, ": refused", 9);
    (void)ignored;
    _exit(127);
}

static void take_descriptors(const Start *s) {
    int high[CAGE_FD_FIRST_FREE];
    for (int i = 0; i < CAGE_FD_FIRST_FREE; i++) { /* first out of the way of each other */
        high[i] = fcntl(s->fds[i], F_DUPFD, CAGE_FD_FIRST_FREE);
        if (high[i] < 0) _exit(127);
    }
    for (int i = 0; i < CAGE_FD_FIRST_FREE; i++)
        if (dup2(high[i], i) < 0) _exit(127);
    if (syscall(SYS_close_range, CAGE_FD_FIRST_FREE, ~0U, 0) != 0)
        for (int fd = CAGE_FD_FIRST_FREE; fd < 65536; fd++) close(fd); /* before Linux 5.9 */
}

static void forget_signals(void) {
    sigset_t none;
    sigemptyset(&none);
    for (int i = 1; i < NSIG; i++) signal(i, SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static void limit(int what, uint64_t soft, uint64_t hard) {
    struct rlimit now;
    if (getrlimit(what, &now) != 0) give_up("getrlimit");
    if (now.rlim_max < hard) hard = now.rlim_max;
    if (hard < soft) soft = hard;
    struct rlimit set = {soft, hard};
    if (setrlimit(what, &set) != 0) give_up("setrlimit");
}

static void set_limits(const CageOptions *o) {
    limit(RLIMIT_CPU, (uint64_t)o->cpu_s,
          (uint64_t)o->cpu_s + 1); /* the second for those that ignore SIGXCPU */
    limit(RLIMIT_AS, CAGE_MEMORY_BYTES, CAGE_MEMORY_BYTES);
    limit(RLIMIT_FSIZE, CAGE_SCRATCH, CAGE_SCRATCH);
    limit(RLIMIT_NOFILE, CAGE_FILES, CAGE_FILES);
    limit(RLIMIT_STACK, 8 << 20,
          8 << 20); /* the usual one: how deep a recursion gets is no matter of the user */
    limit(RLIMIT_CORE, 0, 0);
    limit(RLIMIT_MEMLOCK, 0, 0);
    limit(RLIMIT_MSGQUEUE, 0, 0);
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd < 0) return;
    ssize_t ignored = write(fd, "1000", 4);
    (void)ignored;
    close(fd);
}

/* The limit on processes does not hold for root. */
static void leave_root(void) {
    if (geteuid() != 0) return;
    if (setgroups(0, NULL) != 0 || setresgid(NOBODY, NOBODY, NOBODY) != 0 ||
        setresuid(NOBODY, NOBODY, NOBODY) != 0)
        give_up("root cannot become nobody (user 65534)");
}

_Noreturn static void child(const Start *s) {
    const CageInner *own = s->cage->own;
    static const char *const env[] = {"PATH=/usr/bin",     "HOME=/tmp", "LANG=C.UTF-8",
                                      "PYTHONHASHSEED=0", /* sets have one order: runs are repeatable */
                                      "OMP_NUM_THREADS=1", NULL};
    setsid();
    take_descriptors(s);
    forget_signals();
    set_limits(&s->cage->opts);
    if (s->dir[0] && chdir(s->dir) != 0) give_up("chdir");
    if (!s->dir[0] && chdir("/") != 0) give_up("chdir");
    leave_root();
    umask(077);
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != s->parent) _exit(127);
    if (s->dir[0]) { /* bubblewrap does this after it has set up */
        close(CAGE_FD_FILTER);
        struct sock_fprog program = {(unsigned short)(own->filter_bytes / sizeof(struct sock_filter)),
                                     own->filter};
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) give_up("no_new_privs");
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program); /* cage_open() tries whether it holds */
    }
    execve(own->argv[0], (char *const *)own->argv, (char *const *)env);
    give_up(own->argv[0]);
}

/* ---- in the parent ---- */

/* A new file in memory with these bytes, to be read from the start. -1: errno. */
static int memory_file(const char *a, size_t n_a, const char *b, size_t n_b) {
    int fd = memfd_create("t2l-program", MFD_CLOEXEC);
    const char *parts[] = {a, b};
    size_t sizes[] = {n_a, n_b};
    for (int i = 0; fd >= 0 && i < 2; i++)
        for (size_t done = 0; done < sizes[i];) {
            ssize_t n = write(fd, parts[i] + done, sizes[i] - done);
            if (n < 0 && errno == EINTR) continue;
            if (n <= 0) {
                int err = n < 0 ? errno : ENOSPC;
                close(fd);
                errno = err;
                return -1;
            }
            done += (size_t)n;
        }
    if (fd >= 0) lseek(fd, 0, SEEK_SET);
    return fd;
}

static Status make_token(char token[CAGE_TOKEN]) {
    unsigned char bytes[CAGE_TOKEN / 2];
    if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes) return status_errno(errno, "getrandom");
    for (int i = 0; i < CAGE_TOKEN; i++) token[i] = "0123456789abcdef"[bytes[i / 2] >> (i % 2 * 4) & 15];
    return OK;
}

static Status make_dir(char dir[32]) {
    strcpy(dir, "/tmp/t2l-cage-XXXXXX");
    if (!mkdtemp(dir)) {
        dir[0] = 0;
        return status_errno(errno, "cannot make a directory in /tmp for a program");
    }
    if (geteuid() == 0 && chown(dir, NOBODY, NOBODY) != 0) return status_errno(errno, "%s: chown", dir);
    return OK;
}

Status cage_spawn(CageChild *c, const Cage *cage, CageProgram program) {
    *c = (CageChild){.pidfd = -1, .report = -1, .output = -1};
    TRY(make_token(c->token));
    Start s = {.cage = cage, .dir = c->dir, .fds = {-1, -1, -1, -1, -1, -1}, .parent = getpid()};
    int report[2] = {-1, -1}, output[2] = {-1, -1};
    Status st = OK;
    if (!cage->layers.bubblewrap) TRY_GOTO(st, make_dir(c->dir), done);
    s.fds[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
    s.fds[CAGE_FD_TEXT] = memory_file(c->token, CAGE_TOKEN, program.text, program.n);
    s.fds[CAGE_FD_FILTER] = memory_file((const char *)cage->own->filter, cage->own->filter_bytes, NULL, 0);
    if (s.fds[0] < 0 || s.fds[CAGE_FD_TEXT] < 0 || s.fds[CAGE_FD_FILTER] < 0 ||
        pipe2(report, O_CLOEXEC) != 0 || pipe2(output, O_CLOEXEC) != 0 ||
        fcntl(report[0], F_SETFL, O_NONBLOCK) != 0 || fcntl(output[0], F_SETFL, O_NONBLOCK) != 0) {
        st = status_errno(errno, "no files for a program");
        goto done;
    }
    s.fds[1] = s.fds[2] = output[1];
    s.fds[CAGE_FD_REPORT] = report[1];
    c->pid = _Fork(); /* without the handlers of libraries that keep threads: the child only execs */
    if (c->pid == 0) child(&s);
    if (c->pid < 0) {
        st = status_errno(errno, "cannot fork for a program");
        c->pid = 0;
        goto done;
    }
    c->report = report[0];
    c->output = output[0];
    report[0] = output[0] = -1;
    c->pidfd = (int)syscall(SYS_pidfd_open, c->pid, 0);
    if (c->pidfd < 0) st = status_errno(errno, "pidfd_open (Linux 5.3 or newer is needed)");
done:
    for (int i = 0; i < 2; i++) {
        if (report[i] >= 0) close(report[i]);
        if (output[i] >= 0) close(output[i]);
    }
    if (s.fds[0] >= 0) close(s.fds[0]);
    if (s.fds[CAGE_FD_TEXT] >= 0) close(s.fds[CAGE_FD_TEXT]);
    if (s.fds[CAGE_FD_FILTER] >= 0) close(s.fds[CAGE_FD_FILTER]);
    if (!status_is_ok(st)) cage_reap(c);
    return st;
}

int cage_reap(CageChild *c) {
    int status = 0;
    if (c->pid > 0) {
        kill(-c->pid, SIGKILL); /* the group while its leader is not reaped: the number cannot be another's */
        kill(c->pid, SIGKILL);  /* which may not have made its group yet */
        while (waitpid(c->pid, &status, 0) < 0 && errno == EINTR) {}
        /* The rest dies in its own time, and counts as processes of its user until then: the pipe breaks with
         * the last of them. A second, chosen, for one that closed it. */
        struct pollfd group = {.fd = c->report, .events = 0};
        if (c->report >= 0) poll(&group, 1, 1000);
    }
    if (c->pidfd >= 0) close(c->pidfd);
    if (c->report >= 0) close(c->report);
    if (c->output >= 0) close(c->output);
    if (c->dir[0]) status_free(file_remove_tree(c->dir));
    c->pid = 0;
    c->pidfd = c->report = c->output = -1;
    c->dir[0] = 0;
    return status;
}
