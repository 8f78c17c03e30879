/* The code cage: runs Python programs that a model wrote and says which of them passed.
 *
 * A program passes when it runs to its last line (its tests are part of it) and exits with 0. Layers:
 *  - bubblewrap: user, process, network, IPC and mount namespaces of its own. It sees /usr, read-only,
 *    /dev/null, and an empty tmpfs of CAGE_SCRATCH bytes at /tmp, which is all that it can write.
 *  - seccomp: sockets, new sessions, signals to others and shared memory that no limit counts give EPERM;
 *    ptrace, mount, bpf, keyctl, io_uring, ... end the program.
 *  - landlock: the same paths once more, by another mechanism of the kernel; no TCP, no signals outwards.
 *  - limits: CPU time, address space, size of a file, processes, open files, core; first in line for the
 *    kernel's out-of-memory killer; wall clock and output are counted from outside.
 * The text and a token go in through a file descriptor, never through a shell. The group is killed as a whole
 * when the program ends, takes too long or prints too much, and dies with this process.
 *
 * cage_open() tries every layer with a program that looks for holes. Without bubblewrap, seccomp and limits
 * it refuses, unless the caller allows less; landlock is used where the kernel has it. For root, programs run
 * as `nobody`. Without bubblewrap a program works in a new directory of /tmp, whose total size is not
 * limited, and the limit on processes counts all of the user's.
 *
 * What counts as passed cannot be more honest than the interpreter. A program reports by a random token that
 * its text does not hold, so leaving early, by whatever exit, never passes; but one that searches the frames
 * of its interpreter finds the token, and an object that equals everything satisfies every assert. No runner
 * in which tests and answer share an interpreter is better off. */
#ifndef T2L_EVAL_CAGE_H
#define T2L_EVAL_CAGE_H

#include "base/status.h"
#include <stdint.h>

enum {
    CAGE_CPU_S = 6,          /* chosen: four times what the slowest solution of MBPP takes on a Zen 5 core */
    CAGE_WALL_S = 30,        /* chosen: far over CAGE_CPU_S, so that a busy machine fails no honest program */
    CAGE_PROCESSES = 16,     /* chosen, with threads */
    CAGE_FILES = 64,         /* chosen: open ones, and workers at most */
    CAGE_SCRATCH = 16 << 20, /* chosen: bytes of /tmp, and of one file */
    CAGE_OUTPUT = 1 << 20    /* chosen: bytes on stdout and stderr together */
};
#define CAGE_MEMORY_BYTES \
    ((uint64_t)2 << 30) /* chosen: address space of a process; EvalPlus gives 4 GiB with numpy */

typedef struct CageOptions {
    const char *bubblewrap;   /* view; NULL: /usr/bin/bwrap */
    int n_workers;            /* programs at a time, at most CAGE_FILES; 0: 1 */
    int cpu_s;                /* 0: CAGE_CPU_S */
    double wall_s;            /* 0: CAGE_WALL_S */
    bool allow_unsandboxed;   /* without bubblewrap too: programs then see this machine's files */
    const volatile int *stop; /* view; non-zero ends a run with E_INTERRUPTED; may be NULL */
} CageOptions;

/* What was found in force, by trying. */
typedef struct CageLayers {
    bool bubblewrap, seccomp, landlock, limits;
} CageLayers;

typedef enum CageVerdict {
    CAGE_PASSED,
    CAGE_FAILED,  /* an exception (the reason is its text), or it ended before its last line */
    CAGE_TIMEOUT, /* CPU time or wall clock */
    CAGE_MEMORY,
    CAGE_PRINTED, /* more than CAGE_OUTPUT bytes */
    CAGE_DENIED   /* killed by seccomp */
} CageVerdict;

typedef struct CageProgram {
    const char *text; /* view; UTF-8 Python with its tests */
    size_t n;
} CageProgram;

typedef struct CageOutcome {
    CageVerdict verdict;
    double seconds;   /* wall clock, start of the interpreter included */
    char reason[256]; /* one line of printable ASCII; "" when passed */
} CageOutcome;

typedef void CageProgressFn(void *ctx, int64_t done, int64_t total);

typedef struct Cage {
    CageOptions opts;
    CageLayers layers;
    char description[64];  /* the layers in words, for results: "bubblewrap, seccomp, landlock, limits" */
    struct CageInner *own; /* owns: command line and filter */
} Cage;

/* E_ENV, saying what is missing and what to do: no /usr/bin/python3, or not caged and not allowed to go
 * without. */
Status cage_open(Cage *c, CageOptions opts);
void cage_close(Cage *c);
/* out [n], in the order of the programs whatever the number of workers. on_progress may be NULL. A program
 * that could not be started at all is E_ENV. */
Status cage_run(const Cage *c, CageOutcome *out, const CageProgram *programs, int64_t n,
                CageProgressFn *on_progress, void *ctx);
/* "passed", "failed", "timeout", "memory", "output limit", "killed by seccomp". */
const char *cage_verdict_name(CageVerdict v);

#endif
