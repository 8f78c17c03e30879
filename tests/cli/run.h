/* Runs the shipped binary as a user does: words, standard input, what came out, exit code. */
#ifndef T2L_TESTS_CLI_RUN_H
#define T2L_TESTS_CLI_RUN_H

#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { RUN_MAX_WORDS = 40 };

typedef struct Ran {
    int code;        /* 128 + signal when killed */
    char *out, *err; /* owns */
    size_t out_n;
} Ran;

static inline void run_append(char **text, size_t *n, const char *data, size_t size) {
    *text = realloc(*text, *n + size + 1);
    assert_non_null(*text);
    memcpy(*text + *n, data, size);
    *n += size;
    (*text)[*n] = 0;
}

static inline void run_free(Ran *r) {
    free(r->out);
    free(r->err);
}

/* words: NULL-terminated, without the program. input: NULL for none. */
static inline Ran run_words(const char *input, const char *const *words) {
    int in[2], out[2], err[2];
    assert_int_equal(pipe(in) | pipe(out) | pipe(err), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        const char *argv[RUN_MAX_WORDS + 2] = {T2L_BIN};
        int n = 1;
        for (; words[n - 1] && n <= RUN_MAX_WORDS; n++) argv[n] = words[n - 1];
        dup2(in[0], 0);
        dup2(out[1], 1);
        dup2(err[1], 2);
        setenv("OMP_WAIT_POLICY", "passive", 0); /* waiting threads sleep: a busy machine stays usable */
        for (int fd = 3; fd < 64; fd++) close(fd);
        execv(T2L_BIN, (char *const *)argv);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    close(err[1]);
    if (input) { /* inputs here fit a pipe's buffer */
        ssize_t written = write(in[1], input, strlen(input));
        (void)written;
    }
    close(in[1]);
    Ran r = {0};
    size_t err_n = 0;
    run_append(&r.out, &r.out_n, "", 0);
    run_append(&r.err, &err_n, "", 0);
    struct pollfd fds[2] = {{out[0], POLLIN, 0}, {err[0], POLLIN, 0}};
    while (fds[0].fd >= 0 || fds[1].fd >= 0) {
        if (poll(fds, 2, -1) < 0) continue;
        for (int i = 0; i < 2; i++) {
            if (fds[i].fd < 0 || !fds[i].revents) continue;
            char buf[4096];
            ssize_t n = read(fds[i].fd, buf, sizeof buf);
            if (n > 0)
                run_append(i ? &r.err : &r.out, i ? &err_n : &r.out_n, buf, (size_t)n);
            else
                fds[i].fd = -1;
        }
    }
    close(out[0]);
    close(err[0]);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    r.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return r;
}

#define RUN(...) run_words(NULL, (const char *const[]){__VA_ARGS__, NULL})
#define RUN_INPUT(input, ...) run_words(input, (const char *const[]){__VA_ARGS__, NULL})

static inline void run_has(const char *stream, const char *text, const char *part) {
    if (!part || strstr(text, part)) return;
    print_message("%s lacks '%s': %s\n", stream, part, text);
    fail();
}

/* Runs, checks the exit code and that some text stands on stdout or stderr, frees. */
static inline void run_expect(Ran r, int code, const char *out_has, const char *err_has) {
    if (r.code != code)
        print_message("exit %d, expected %d\nstdout: %s\nstderr: %s\n", r.code, code, r.out, r.err);
    assert_int_equal(r.code, code);
    run_has("stdout", r.out, out_has);
    run_has("stderr", r.err, err_has);
    if (code != 0 && code != 127) assert_true(r.err[0] != 0);
    run_free(&r);
}

#endif
