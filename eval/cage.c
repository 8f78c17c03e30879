/* One thread keeps n_workers programs going and listens to all of them with poll(). */
#include "eval/cage_internal.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char python[] = "/usr/bin/python3"; /* of the system: /usr is all that a program sees */

/* ---- one worker ---- */

typedef struct Worker {
    CageChild child;
    int64_t item;
    double start;
    char report[512], said[200]; /* what it reported; the head of what it printed */
    size_t n_report, n_said;
    int64_t n_printed;
    bool stopped;        /* by us, ... */
    CageVerdict verdict; /* ... for this */
} Worker;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static Status worker_start(Worker *w, const Cage *c, CageProgram program, int64_t item) {
    *w = (Worker){.item = item, .start = now()};
    return cage_spawn(&w->child, c, program);
}

static void worker_stop(Worker *w, CageVerdict verdict) {
    if (w->stopped) return;
    w->stopped = true;
    w->verdict = verdict;
    kill(-w->child.pid, SIGKILL);
    kill(w->child.pid, SIGKILL);
}

/* Takes what is there; closes *fd at its end. */
static void worker_listen(Worker *w, int *fd, char *keep, size_t size, size_t *kept) {
    char buf[8192];
    while (*fd >= 0) {
        ssize_t n = read(*fd, buf, sizeof buf);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && errno == EAGAIN) return;
        if (n <= 0) {
            close(*fd);
            *fd = -1;
            return;
        }
        size_t room = size - *kept, take = (size_t)n < room ? (size_t)n : room;
        memcpy(keep + *kept, buf, take);
        *kept += take;
        if (fd == &w->child.output) {
            w->n_printed += n;
            if (w->n_printed <= CAGE_OUTPUT) continue;
            worker_stop(w, CAGE_PRINTED);
            return;
        }
        if (take < (size_t)n) { /* an honest report fits */
            worker_stop(w, CAGE_FAILED);
            return;
        }
    }
}

static void worker_hear(Worker *w) {
    worker_listen(w, &w->child.report, w->report, sizeof w->report, &w->n_report);
    worker_listen(w, &w->child.output, w->said, sizeof w->said, &w->n_said);
}

/* The text as a line of printable ASCII. */
static void say(CageOutcome *out, const char *text, size_t n) {
    if (n > sizeof out->reason - 1) n = sizeof out->reason - 1;
    for (size_t i = 0; i < n; i++) {
        unsigned char ch = (unsigned char)text[i];
        out->reason[i] = ch == '\n' || ch == '\t' || ch == '\r' ? ' '
                         : ch < 0x20 || ch > 0x7e               ? '?'
                                                                : text[i];
    }
    out->reason[n] = 0;
}

static CageOutcome judge_signal(const Worker *w, const Cage *c, int number, double seconds) {
    CageOutcome out = {.verdict = CAGE_FAILED, .seconds = seconds};
    if (w->stopped) {
        out.verdict = w->verdict;
        if (w->verdict == CAGE_TIMEOUT)
            snprintf(out.reason, sizeof out.reason, "more than %g s", c->opts.wall_s);
        if (w->verdict == CAGE_PRINTED)
            snprintf(out.reason, sizeof out.reason, "more than %d bytes of output", (int)CAGE_OUTPUT);
        if (w->verdict == CAGE_FAILED) snprintf(out.reason, sizeof out.reason, "wrote into its own report");
    } else if (number == SIGSYS) {
        out.verdict = CAGE_DENIED;
        snprintf(out.reason, sizeof out.reason, "a system call that is not allowed");
    } else if (number == SIGXCPU || (number == SIGKILL && seconds >= c->opts.cpu_s)) {
        out.verdict = CAGE_TIMEOUT;
        snprintf(out.reason, sizeof out.reason, "more than %d s of CPU time", c->opts.cpu_s);
    } else if (number == SIGKILL) { /* by the kernel: nothing in the cage may send signals */
        out.verdict = CAGE_MEMORY;
        snprintf(out.reason, sizeof out.reason, "killed by the system, which lacked memory");
    } else {
        snprintf(out.reason, sizeof out.reason, "killed by signal %d (%s)", number, strsignal(number));
    }
    return out;
}

/* status: as of wait(). E_ENV when the program had not even begun. */
static Status judge(CageOutcome *out, const Worker *w, const Cage *c, int status, double seconds) {
    static const char ready[] = "ready\n";
    enum { READY = sizeof ready - 1 };
    bool began = w->n_report >= READY && memcmp(w->report, ready, READY) == 0;
    const char *report = w->report + READY;
    size_t n = began ? w->n_report - READY : 0;
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    /* bubblewrap passes a signal on as a shell does */
    int number = WIFSIGNALED(status)                    ? WTERMSIG(status)
                 : code > 128 && code <= 128 + SIGRTMAX ? code - 128
                                                        : 0;
    *out = (CageOutcome){.verdict = CAGE_FAILED, .seconds = seconds};
    if (!w->stopped && !began) {
        CageOutcome said;
        say(&said, w->said, w->n_said);
        return status_error(E_ENV, "the code cage cannot start a program (status %d): %s", code, said.reason);
    }
    if (w->stopped || (number && n == 0)) {
        *out = judge_signal(w, c, number, seconds);
    } else if (n == 1 + CAGE_TOKEN && code == 0 && report[0] == 'P' &&
               memcmp(report + 1, w->child.token, CAGE_TOKEN) == 0) {
        out->verdict = CAGE_PASSED;
    } else if (n > 0 && (report[0] == 'F' || report[0] == 'M')) {
        out->verdict = report[0] == 'M' ? CAGE_MEMORY : CAGE_FAILED;
        say(out, report + 1, n - 1);
    } else if (n > 0) {
        snprintf(out->reason, sizeof out->reason, "wrote into its own report");
    } else {
        snprintf(out->reason, sizeof out->reason, "ended with status %d before its last line", code);
    }
    return OK;
}

static Status worker_finish(Worker *w, const Cage *c, CageOutcome *out) {
    double seconds = now() - w->start;
    worker_hear(w); /* what is still in the pipes */
    return judge(out, w, c, cage_reap(&w->child), seconds);
}

/* ---- many ---- */

/* Waits until a program ends, prints or reports, a deadline passes, or 0.2 s (for the stop flag). */
static Status wait_for_news(Worker *workers, struct pollfd *fds, int n, double wall_s) {
    double soonest = now() + 0.2;
    for (int i = 0; i < n; i++) {
        const Worker *w = &workers[i];
        bool runs = w->child.pid > 0;
        fds[3 * i] = (struct pollfd){.fd = runs ? w->child.pidfd : -1, .events = POLLIN};
        fds[3 * i + 1] = (struct pollfd){.fd = runs ? w->child.report : -1, .events = POLLIN};
        fds[3 * i + 2] = (struct pollfd){.fd = runs && !w->stopped ? w->child.output : -1, .events = POLLIN};
        if (runs && !w->stopped && w->start + wall_s < soonest) soonest = w->start + wall_s;
    }
    double left = soonest - now();
    if (poll(fds, (nfds_t)(3 * n), left > 0 ? (int)(left * 1e3) + 1 : 0) < 0 && errno != EINTR)
        return status_errno(errno, "poll");
    return OK;
}

static Status run(Worker *workers, struct pollfd *fds, const Cage *c, CageOutcome *out,
                  const CageProgram *programs, int64_t n, CageProgressFn *on_progress, void *ctx) {
    int64_t next = 0, done = 0;
    while (done < n) {
        if (c->opts.stop && *c->opts.stop)
            return status_error(E_INTERRUPTED, "interrupted while programs ran");
        for (int i = 0; i < c->opts.n_workers && next < n; i++)
            if (workers[i].child.pid == 0) {
                TRY(worker_start(&workers[i], c, programs[next], next));
                next++;
            }
        TRY(wait_for_news(workers, fds, c->opts.n_workers, c->opts.wall_s));
        for (int i = 0; i < c->opts.n_workers; i++) {
            Worker *w = &workers[i];
            if (w->child.pid == 0) continue;
            if (fds[3 * i].revents) {
                TRY(worker_finish(w, c, &out[w->item]));
                done++;
                if (on_progress) on_progress(ctx, done, n);
                continue;
            }
            worker_hear(w);
            if (now() >= w->start + c->opts.wall_s) worker_stop(w, CAGE_TIMEOUT);
        }
    }
    return OK;
}

Status cage_run(const Cage *c, CageOutcome *out, const CageProgram *programs, int64_t n,
                CageProgressFn *on_progress, void *ctx) {
    int n_workers = c->opts.n_workers;
    Worker *workers = calloc((size_t)n_workers, sizeof *workers);
    struct pollfd *fds = calloc((size_t)n_workers * 3, sizeof *fds);
    Status st = workers && fds ? run(workers, fds, c, out, programs, n, on_progress, ctx)
                               : status_error(E_ENV, "no memory for %d programs at a time", n_workers);
    for (int i = 0; workers && i < n_workers; i++)
        if (workers[i].child.pid > 0) cage_reap(&workers[i].child);
    free(workers);
    free(fds);
    return st;
}

const char *cage_verdict_name(CageVerdict v) {
    static const char *const names[] = {"passed", "failed",       "timeout",
                                        "memory", "output limit", "killed by seccomp"};
    return names[v];
}

/* ---- opening: the command line, and a try ---- */

static void make_argv(CageInner *own, const CageOptions *o, bool bubblewrap) {
    const char *const cage[] = {o->bubblewrap,
                                "--unshare-user",
                                "--unshare-ipc",
                                "--unshare-pid",
                                "--unshare-net",
                                "--unshare-uts",
                                "--unshare-cgroup-try",
                                "--uid",
                                "65534",
                                "--gid",
                                "65534",
                                "--cap-drop",
                                "ALL",
                                "--die-with-parent",
                                "--ro-bind",
                                "/usr",
                                "/usr",
                                "--symlink",
                                "usr/lib",
                                "/lib",
                                "--symlink",
                                "usr/lib64",
                                "/lib64",
                                "--size",
                                own->scratch,
                                "--tmpfs",
                                "/tmp",
                                "--dev-bind",
                                "/dev/null",
                                "/dev/null",
                                "--chdir",
                                "/tmp",
                                "--remount-ro",
                                "/", /* the root is a tmpfs too */
                                "--seccomp",
                                "5",
                                "--"};
    /* no site packages, no files of compiled modules */
    const char *const inner[] = {python, "-s", "-S", "-B", "-c", cage_driver, own->processes};
    _Static_assert(CAGE_FD_FILTER == 5, "as the arguments have it");
    enum { CAGE_ARGS = sizeof cage / sizeof *cage, INNER_ARGS = sizeof inner / sizeof *inner };
    _Static_assert(CAGE_ARGS + INNER_ARGS < sizeof own->argv / sizeof *own->argv, "argv");
    snprintf(own->scratch, sizeof own->scratch, "%d", (int)CAGE_SCRATCH);
    snprintf(own->processes, sizeof own->processes, "%d", (int)CAGE_PROCESSES);
    int n = 0;
    for (int i = 0; bubblewrap && i < CAGE_ARGS; i++) own->argv[n++] = cage[i];
    for (int i = 0; i < INNER_ARGS; i++) own->argv[n++] = inner[i];
    own->argv[n] = NULL;
}

/* Looks for holes and raises the names of the layers that it found closed. */
static const char probe[] =
    "import os, resource as r, time\n"
    "found = []\n"
    "if (os.getpid() < 16 and os.getuid() == 65534 and not os.access('/', os.W_OK)\n"
    "        and not any(map(os.path.exists, ('/etc', '/proc', '/home', '/root', '/var', '/dev/shm')))):\n"
    "    found.append('bubblewrap')\n"
    "try:\n"
    "    os.setsid()\n"
    "except PermissionError:\n"
    "    found.append('seccomp')\n"
    "try:\n"
    "    os.listdir('/')\n"
    "except PermissionError:\n"
    "    found.append('landlock')\n"
    "wanted = {r.RLIMIT_AS: %llu, r.RLIMIT_CPU: %d, r.RLIMIT_FSIZE: %d, r.RLIMIT_NOFILE: %d, r.RLIMIT_CORE: "
    "0}\n"
    "limited = all(r.getrlimit(k)[0] <= v and r.getrlimit(k)[0] >= 0 for k, v in wanted.items())\n"
    "for i in range(%d + 1):\n"
    "    try:\n"
    "        if os.fork() == 0:\n"
    "            time.sleep(60)\n"
    "    except OSError:\n"
    "        if limited: found.append('limits')\n"
    "        break\n"
    "raise Exception(', '.join(found) or 'none')\n";

/* Runs the probe in what c->layers.bubblewrap asks for and fills in layers and description. */
static Status try_out(Cage *c, bool bubblewrap) {
    char text[sizeof probe + 64];
    int n = snprintf(text, sizeof text, probe, (unsigned long long)CAGE_MEMORY_BYTES, c->opts.cpu_s,
                     (int)CAGE_SCRATCH, (int)CAGE_FILES, (int)CAGE_PROCESSES);
    CageProgram program = {text, (size_t)n};
    CageOutcome found;
    c->layers = (CageLayers){.bubblewrap = bubblewrap};
    make_argv(c->own, &c->opts, bubblewrap);
    Cage patient = *c;
    patient.opts.wall_s = CAGE_WALL_S;
    TRY(cage_run(&patient, &found, &program, 1, NULL, NULL));
    static const char before[] = "Exception: ";
    if (found.verdict != CAGE_FAILED || strncmp(found.reason, before, sizeof before - 1) != 0)
        return status_error(E_ENV, "the code cage's own test: %s: %s", cage_verdict_name(found.verdict),
                            found.reason);
    snprintf(c->description, sizeof c->description, "%.60s", found.reason + sizeof before - 1);
    c->layers = (CageLayers){.bubblewrap = strstr(c->description, "bubblewrap") != NULL,
                             .seccomp = strstr(c->description, "seccomp") != NULL,
                             .landlock = strstr(c->description, "landlock") != NULL,
                             .limits = strstr(c->description, "limits") != NULL};
    return OK;
}

/* The whole cage, or why not. */
static Status try_cage(Cage *c) {
    if (access(c->opts.bubblewrap, X_OK) != 0)
        return status_error(E_ENV, "there is no %s (package bubblewrap)", c->opts.bubblewrap);
    TRY(try_out(c, true));
    if (c->layers.bubblewrap && c->layers.seccomp && c->layers.limits) return OK;
    return status_error(E_ENV, "needed are bubblewrap, seccomp and limits, in force are: %s", c->description);
}

static Status open_cage(Cage *c) {
    if (access(python, X_OK) != 0)
        return status_error(E_ENV, "there is no %s, so programs cannot be run (package python3)", python);
    TRY(cage_filter(&c->own->filter, &c->own->filter_bytes));
    Status st = try_cage(c);
    if (status_is_ok(st) || status_code(st) == E_INTERRUPTED) return st;
    if (!c->opts.allow_unsandboxed)
        return status_wrap(st, "programs that a model wrote are not run here without being told to "
                               "(--allow-unsandboxed-code), as they cannot be caged");
    status_free(st);
    return try_out(c, false);
}

Status cage_open(Cage *c, CageOptions opts) {
    if (!opts.bubblewrap) opts.bubblewrap = "/usr/bin/bwrap";
    if (opts.n_workers < 1) opts.n_workers = 1;
    if (opts.n_workers > CAGE_FILES) opts.n_workers = CAGE_FILES;
    if (opts.cpu_s < 1) opts.cpu_s = CAGE_CPU_S;
    if (!(opts.wall_s > 0)) opts.wall_s = CAGE_WALL_S;
    *c = (Cage){.opts = opts, .own = calloc(1, sizeof *c->own)};
    if (!c->own) return status_error(E_ENV, "no memory for the code cage");
    Status st = open_cage(c);
    if (!status_is_ok(st)) cage_close(c);
    return st;
}

void cage_close(Cage *c) {
    if (c->own) free(c->own->filter);
    free(c->own);
    *c = (Cage){0};
}
