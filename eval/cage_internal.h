/* What the files of the cage share: the command line, the filter, and the start of one program. */
#ifndef T2L_EVAL_CAGE_INTERNAL_H
#define T2L_EVAL_CAGE_INTERNAL_H

#include "eval/cage.h"
#include <sys/types.h>

struct sock_filter;

enum { CAGE_TOKEN = 32 };

/* File descriptors of a program; 0 reads /dev/null, 1 and 2 are one pipe. */
enum { CAGE_FD_TEXT = 3, CAGE_FD_REPORT = 4, CAGE_FD_FILTER = 5, CAGE_FD_FIRST_FREE = 6 };

typedef struct CageInner {
    struct sock_filter *filter; /* owns */
    size_t filter_bytes;
    const char *argv[64]; /* views */
    char processes[16], scratch[16];
} CageInner;

/* One program under way. Descriptors are -1 when closed. */
typedef struct CageChild {
    pid_t pid;              /* also its process group; 0: none */
    int pidfd;              /* readable once the program has ended */
    int report, output;     /* read ends, non-blocking */
    char token[CAGE_TOKEN]; /* random hexadecimal digits */
    char dir[32];           /* scratch directory without bubblewrap; "" with it */
} CageChild;

/* The Python program that limits itself, runs the text of CAGE_FD_TEXT (the token, then the program) and
 * writes to CAGE_FD_REPORT: "ready\n" before the program starts, after it 'P' and the token, or 'M' (out of
 * memory) or 'F' and the exception's text. */
extern const char cage_driver[];

/* The filter as BPF instructions. *out owns. */
Status cage_filter(struct sock_filter **out, size_t *bytes);
Status cage_spawn(CageChild *child, const Cage *c, CageProgram program);
/* Kills what is left of the program's group, reaps it and removes its directory. Returns the status as of
 * wait(). */
int cage_reap(CageChild *child);

#endif
