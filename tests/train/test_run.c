/* The life of a run on a tiny model: killed or interrupted at random moments and resumed, with other numbers
 * of threads, it ends in the same bits and the same lines; a damaged checkpoint is passed by; a disk that is
 * full at whatever write leaves the one before; a loss that is not finite does what train.nan says; early
 * stop and the best checkpoint; a resumed run keeps its configuration. */
#include "tests/test_util.h"
#include "tests/train/fit_case.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#if defined(__SANITIZE_ADDRESS__)
enum { RUNS = 10 }; /* every process of a run starts slowly there */
#else
enum { RUNS = 50 };
#endif

static const char *in_dir(char out[128], const char *name) {
    snprintf(out, 128, "%s/%s", fit_dir, name);
    return out;
}

/* ---------------------------------------------------------------- failing calls */

/* The n-th call that could fail on a full disk fails, for n = fail_at; 0: none. Only these calls of the
 * program are seen; what the C library writes for fwrite is covered by test_size_limit. */
static int fail_at, n_calls;

static bool fails_now(void) {
    n_calls++;
    if (n_calls != fail_at) return false;
    errno = ENOSPC;
    return true;
}

#define REAL(type, name) ((type)dlsym(RTLD_NEXT, name))
ssize_t write(int fd, const void *data, size_t n) {
    if (fails_now()) return -1;
    return REAL(ssize_t(*)(int, const void *, size_t), "write")(fd, data, n);
}
int fsync(int fd) {
    if (fails_now()) return -1;
    return REAL(int (*)(int), "fsync")(fd);
}
int rename(const char *from, const char *to) {
    if (fails_now()) return -1;
    return REAL(int (*)(const char *, const char *), "rename")(from, to);
}
int symlink(const char *to, const char *at) {
    if (fails_now()) return -1;
    return REAL(int (*)(const char *, const char *), "symlink")(to, at);
}
int mkdir(const char *path, mode_t mode) {
    if (fails_now()) return -1;
    return REAL(int (*)(const char *, mode_t), "mkdir")(path, mode);
}
FILE *fopen(const char *path, const char *mode) {
    bool writes = strpbrk(mode, "wa+") != NULL;
    if (writes && fails_now()) return NULL;
    return REAL(FILE * (*)(const char *, const char *), "fopen")(path, mode);
}

/* ---------------------------------------------------------------- a child that runs */

static volatile int stop;

static void on_term(int signal_number) {
    (void)signal_number;
    stop = 1;
}

static const char *const words[] = {"data.max_tokens=64", "train.batch_tasks=2", "train.epochs=2",
                                    "train.lr=5e-3",      "train.save_every=4",  "train.log_every=3",
                                    "eval.every=6",       "train.patience=50",   NULL};

/* Trains in this process; returns the exit code a program would have. */
static int train_here(const char *run_dir, bool resume, int threads) {
    FitCase *c = test_alloc(sizeof *c);
    RunKind kind;
    RunResult result;
    struct sigaction action = {.sa_handler = on_term};
    sigaction(SIGTERM, &action, NULL);
    fit_case_open(c, 1, threads, words);
    Run run = fit_as_run(&c->fit, &kind);
    RunOpts opts = {.run_dir = run_dir, .resume = resume, .quiet = true, .stop = &stop};
    Status s = run_train(&result, &run, opts);
    int code = (int)status_code(s);
    if (code && code != E_INTERRUPTED) fprintf(stderr, "%s\n", status_message(s));
    status_free(s);
    free(result.ckpt);
    fit_case_close(c);
    free(c);
    return code;
}

/* signal_number 0: left alone. Microseconds until it is sent. Returns the exit code, or -signal. */
static int train_child(const char *run_dir, bool resume, int threads, int signal_number, int64_t after_us) {
    pid_t pid = fork(); /* this process never computes: threads of OpenMP do not survive a fork */
    assert_true(pid >= 0);
    if (pid == 0) _exit(train_here(run_dir, resume, threads));
    if (signal_number) {
        struct timespec t = {after_us / 1000000, after_us % 1000000 * 1000};
        nanosleep(&t, NULL);
        kill(pid, signal_number);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* One digest of what a run leaves: parameters, moments, place, and its lines without the times. */
static void digest_run(char out[65], const char *run_dir) {
    static const char *const files[] = {"ckpt/last/adapter_model.safetensors",
                                        "ckpt/last/optimizer.safetensors", "ckpt/last/state.json",
                                        "ckpt/best/adapter_model.safetensors"};
    char all[16384] = "", path[256], digest[65];
    size_t n = 0;
    for (int i = 0; i < COUNT_OF(files); i++, n += 64) {
        snprintf(path, sizeof path, "%s/%s", run_dir, files[i]);
        assert_ok(sha256_file(digest, path));
        memcpy(all + n, digest, 64);
    }
    char *text;
    snprintf(path, sizeof path, "%s/metrics.jsonl", run_dir);
    assert_ok(file_read(&text, NULL, path, 1 << 20));
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        char *times = strstr(line, ",\"tokens_per_s\"");
        if (times) *times = 0;
        assert_true(n + strlen(line) + 1 < sizeof all);
        n += (size_t)sprintf(all + n, "%s\n", line);
    }
    free(text);
    sha256_hex(out, all, n);
}

static void test_killed(void **state) {
    (void)state;
    char run_dir[128], want[65], got[65];
    Rng r = rng_make(11, 12);
    struct timespec a, b;
    in_dir(run_dir, "whole");
    clock_gettime(CLOCK_MONOTONIC, &a);
    assert_int_equal(train_child(run_dir, false, 1, 0, 0), 0);
    clock_gettime(CLOCK_MONOTONIC, &b);
    int64_t took = (b.tv_sec - a.tv_sec) * 1000000 + (b.tv_nsec - a.tv_nsec) / 1000;
    digest_run(want, run_dir);
    int killed = 0, termed = 0, rounds = 0;
    for (; killed + termed < RUNS && rounds < 10 * RUNS; rounds++) {
        in_dir(run_dir, "cut");
        int code = -1;
        for (int tries = 0; code != 0; tries++) {
            int signal_number = tries > 1 ? 0 : rng_below(&r, 2) ? SIGKILL : SIGTERM;
            bool resume = file_is_dir(run_dir);
            code = train_child(run_dir, resume, tries > 0 && rounds % 5 == 0 ? 3 : 1, signal_number,
                               rng_below(&r, (uint32_t)took));
            killed += code == -SIGKILL;
            termed += code == E_INTERRUPTED || code == -SIGTERM; /* -SIGTERM: before the handler was there */
            assert_true(code == 0 || code == -SIGKILL || code == -SIGTERM || code == E_INTERRUPTED);
        }
        digest_run(got, run_dir);
        assert_string_equal(got, want);
        assert_ok(file_remove_tree(run_dir));
    }
    printf("%d runs: %d times killed, %d times interrupted, the same bits every time\n", rounds, killed,
           termed);
    assert_true(killed + termed >= RUNS && killed > RUNS / 10 && termed > RUNS / 10);
}

/* ---------------------------------------------------------------- damage */

static void spoil(const char *path, bool truncate_it) {
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    char byte;
    assert_int_equal(pread(fd, &byte, 1, 100), 1);
    byte ^= 1;
    if (truncate_it)
        assert_int_equal(ftruncate(fd, 100), 0);
    else
        assert_int_equal(pwrite(fd, &byte, 1, 100), 1);
    close(fd);
}

static void test_damaged(void **state) {
    (void)state;
    static const char *const files[] = {"adapter_model.safetensors", "adapter_config.json",
                                        "optimizer.safetensors", "state.json"};
    char run_dir[128], path[300], want[65], got[65];
    in_dir(run_dir, "damaged");
    assert_int_equal(train_child(run_dir, false, 1, 0, 0), 0);
    digest_run(want, run_dir);
    for (int i = 0; i < 2 * COUNT_OF(files); i++) {
        snprintf(path, sizeof path, "%s/ckpt/last/%s", run_dir, files[i / 2]);
        spoil(path, i % 2);
        assert_int_equal(train_child(run_dir, true, 1, 0, 0), 0); /* from the one before, to the same end */
        digest_run(got, run_dir);
        assert_string_equal(got, want);
    }
    snprintf(path, sizeof path, "%s/ckpt/last/%s", run_dir, files[2]);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(train_child(run_dir, true, 1, 0, 0), 0);
    digest_run(got, run_dir);
    assert_string_equal(got, want);
}

/* Every checkpoint of a run, damaged: refused, and nothing is removed. */
static void test_all_damaged(void **state) {
    (void)state;
    char run_dir[128], path[300];
    in_dir(run_dir, "damaged");
    RunState s;
    char *found;
    while (true) {
        assert_ok(state_newest(&found, &s, run_dir));
        assert_non_null(found);
        snprintf(path, sizeof path, "%s/optimizer.safetensors", found);
        spoil(path, false);
        free(found);
        Status st = state_newest(&found, &s, run_dir);
        if (status_is_ok(st)) {
            free(found);
            continue;
        }
        assert_int_equal(status_code(st), E_INPUT);
        assert_non_null(strstr(status_message(st), "no checkpoint is whole"));
        status_free(st);
        break;
    }
    assert_true(state_any(run_dir));
}

/* ---------------------------------------------------------------- full disks */

typedef struct Payload {
    char text[4096];
} Payload;

static Status write_payload(void *self, const char *to) {
    Tensor t = tensor_1d(self, DT_U8, sizeof(Payload));
    SafeEntry e = {"payload", t};
    char *path = path_join(to, "payload.safetensors");
    Status s = safetensors_write(path, &e, 1, NULL, 0);
    free(path);
    return s;
}

/* Saves step 2 over steps 0 and 1 with what fails set up; afterwards 1 or 2 is there, whole. */
static bool save_and_look(const char *run_dir, void (*set_up)(int), int n) {
    Payload p = {"payload"};
    RunState s = {.best_step = -1}, found;
    char *path;
    assert_ok(file_remove_tree(run_dir));
    for (s.at.step = 0; s.at.step < 2; s.at.step++) {
        assert_ok(state_save(&path, run_dir, &s, write_payload, &p));
        free(path);
    }
    set_up(n);
    Status st = state_save(&path, run_dir, &s, write_payload, &p);
    set_up(0);
    bool saved = status_is_ok(st);
    status_free(st);
    free(path);
    assert_ok(state_newest(&path, &found, run_dir));
    assert_non_null(path);
    assert_true(saved ? found.at.step == 2 : found.at.step == 1 || found.at.step == 2);
    free(path);
    assert_ok(state_save(&path, run_dir, &s, write_payload, &p)); /* and the next save works */
    free(path);
    return saved;
}

static void set_failing_call(int n) {
    n_calls = 0;
    fail_at = n;
}

static void test_failing_calls(void **state) {
    (void)state;
    char run_dir[128];
    in_dir(run_dir, "full");
    int n = 1;
    while (!save_and_look(run_dir, set_failing_call, n)) n++;
    printf("%d calls of a save failed, one after another\n", n - 1);
    assert_true(n > 15);
}

/* Files may not grow beyond n - 1 bytes: the C library's own writes fail. */
static void set_size_limit(int n) {
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = n ? (rlim_t)(n - 1) : limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void test_size_limit(void **state) {
    (void)state;
    char run_dir[128];
    in_dir(run_dir, "limit");
    signal(SIGXFSZ, SIG_IGN);
    int n = 1, failed = 0;
    while (!save_and_look(run_dir, set_size_limit, n)) {
        n += 97;
        failed++;
    }
    assert_true(failed > 30 && n > (int)sizeof(Payload));
}

/* ---------------------------------------------------------------- not finite */

/* A Fit whose noise is infinite at some batches: the forward pass itself gives what is not finite. */
typedef struct Spoiled {
    FitCase c;
    RunKind kind;
    int64_t from, to; /* batch numbers */
    int64_t used[256], n_used;
} Spoiled;

static Spoiled *spoiled(void *self) {
    return (Spoiled *)((char *)self - offsetof(Spoiled, c.fit));
}

static Status spoiled_step(RunStep *out, void *self, bool update) {
    Spoiled *s = spoiled(self);
    RunKind plain;
    int64_t number = s->c.fit.at.step + s->c.fit.at.moved;
    Run run = fit_as_run(&s->c.fit, &plain);
    double noise = s->c.config.train.neftune;
    if (number >= s->from && number < s->to) s->c.config.train.neftune = INFINITY;
    Status st = plain.step(out, run.self, update);
    if (number >= s->from && number < s->to)
        assert_false(isfinite(out->loss) && isfinite(out->grad_norm));
    else
        s->used[s->n_used++] = number;
    s->c.config.train.neftune = noise;
    return st;
}

static Status run_spoiled(Spoiled *s, const char *name, const char *policy, int64_t from, int64_t to) {
    char run_dir[128];
    const char *all[] = {
        "data.max_tokens=64", "train.batch_tasks=2", "train.epochs=0", "train.steps=20", "train.lr=5e-3",
        "train.save_every=5", "train.log_every=1",   "eval.every=0",   policy,           NULL};
    memset(s, 0, sizeof *s);
    s->from = from;
    s->to = to;
    fit_case_open(&s->c, 1, 1, all);
    Run run = fit_as_run(&s->c.fit, &s->kind);
    s->kind.step = spoiled_step;
    RunResult result;
    Status st = run_train(&result, &run, (RunOpts){.run_dir = in_dir(run_dir, name), .quiet = true});
    free(result.ckpt);
    return st;
}

static void check_finite(const Spoiled *s) {
    for (int64_t i = 0; i < s->c.fit.n_params; i++)
        assert_true(isfinite(s->c.fit.params[i]) && isfinite(s->c.fit.m[i]) && isfinite(s->c.fit.v[i]));
}

static int64_t newest_step(const char *name, int64_t *moved) {
    char run_dir[128], *path;
    RunState s;
    assert_ok(state_newest(&path, &s, in_dir(run_dir, name)));
    assert_non_null(path);
    free(path);
    *moved = s.at.moved;
    return s.at.step;
}

static void test_nan_halt(void **state) {
    (void)state;
    Spoiled *s = test_alloc(sizeof *s);
    int64_t moved;
    assert_fails(run_spoiled(s, "halt", "train.nan=halt", 7, 8), E_FAIL, "step 7");
    check_finite(s);
    assert_int_equal(newest_step("halt", &moved), 7);
    fit_case_close(&s->c);
    free(s);
}

static void test_nan_skip(void **state) {
    (void)state;
    Spoiled *s = test_alloc(sizeof *s);
    int64_t moved;
    assert_ok(run_spoiled(s, "skip", "train.nan=skip", 7, 9));
    check_finite(s);
    assert_int_equal(newest_step("skip", &moved), 20);
    assert_int_equal(moved, 2);
    assert_int_equal(s->n_used, 20);
    for (int64_t i = 0; i < 20; i++) assert_int_equal(s->used[i], i < 7 ? i : i + 2);
    fit_case_close(&s->c);
    assert_ok(run_spoiled(s, "skip_most", "train.nan=skip", 3, 3 + RUN_MAX_SKIPS));
    fit_case_close(&s->c);
    assert_fails(run_spoiled(s, "skip_all", "train.nan=skip", 3, 4 + RUN_MAX_SKIPS), E_FAIL,
                 "too often in a row");
    check_finite(s);
    fit_case_close(&s->c);
    free(s);
}

static void test_nan_rollback(void **state) {
    (void)state;
    Spoiled *s = test_alloc(sizeof *s);
    int64_t moved;
    char path[128], *text;
    assert_ok(run_spoiled(s, "back", "train.nan=rollback", 7, 8));
    check_finite(s);
    assert_int_equal(newest_step("back", &moved), 20);
    assert_int_equal(moved, 3); /* from step 5 on with batch 8 */
    assert_int_equal(s->n_used, 22);
    for (int64_t i = 0; i < 22; i++) assert_int_equal(s->used[i], i < 7 ? i : i + 1);
    assert_ok(file_read(&text, NULL, in_dir(path, "back/metrics.jsonl"), 1 << 20));
    int lines = 0;
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        int step;
        assert_int_equal(sscanf(line, "{\"step\":%d", &step), 1);
        assert_int_equal(step, ++lines); /* every step once */
    }
    assert_int_equal(lines, 20);
    free(text);
    fit_case_close(&s->c);
    assert_ok(run_spoiled(s, "back_first", "train.nan=rollback", 2, 3)); /* before the first checkpoint */
    assert_int_equal(newest_step("back_first", &moved), 20);
    assert_int_equal(moved, 3);
    fit_case_close(&s->c);
    assert_fails(run_spoiled(s, "back_all", "train.nan=rollback", 7, 100), E_FAIL, "too often in a row");
    check_finite(s);
    fit_case_close(&s->c);
    free(s);
}

/* ---------------------------------------------------------------- validation */

/* A validation that gets worse from step 20 on. */
static Status v_shaped(RunVal *out, void *self) {
    const Fit *f = self;
    *out = (RunVal){.n = 1, .set = {{.name = "made", .loss = fabs((double)f->at.step - 20) + 1}}};
    return OK;
}

static void test_early_stop(void **state) {
    (void)state;
    static const char *const all[] = {
        "data.max_tokens=64", "train.batch_tasks=2", "train.epochs=0",     "train.steps=100",
        "eval.every=5",       "train.patience=3",    "train.save_every=0", NULL};
    FitCase c;
    RunKind kind;
    RunResult result;
    char run_dir[128], path[256], end[16] = "", *text;
    in_dir(run_dir, "early");
    fit_case_open(&c, 1, 1, all);
    Run run = fit_as_run(&c.fit, &kind);
    kind.validate = v_shaped;
    assert_ok(run_train(&result, &run, (RunOpts){.run_dir = run_dir, .quiet = true}));
    assert_int_equal(c.fit.at.step, 35); /* 20 is best; 25, 30, 35 are worse */
    assert_string_equal(strrchr(result.ckpt, '/'), "/step_00000020");
    free(result.ckpt);
    snprintf(path, sizeof path, "%s/ckpt/best", run_dir);
    assert_int_equal(readlink(path, end, sizeof end - 1), 13);
    assert_string_equal(end, "step_00000020");
    assert_ok(file_read(&text, NULL, in_dir(path, "early/metrics.jsonl"), 1 << 20));
    assert_non_null(strstr(text, "{\"step\":35,\"val\":{\"loss\":16,\"made\":{\"loss\":16}"));
    free(text);
    assert_ok(run_train(&result, &run, (RunOpts){.run_dir = run_dir, .resume = true, .quiet = true}));
    assert_int_equal(c.fit.at.step, 35); /* it had ended */
    free(result.ckpt);
    assert_fails(run_train(&result, &run, (RunOpts){.run_dir = run_dir, .quiet = true}), E_USAGE, "--resume");
    fit_case_close(&c);
}

/* Resuming with another configuration: refused where it would be another training. */
static void test_other_training(void **state) {
    (void)state;
    static const struct {
        const char *word, *named; /* NULL: goes on */
    } cases[] = {{"train.lr=1e-3", "key 'train.lr'"},
                 {"train.steps=6", "key 'train.steps'"},
                 {"lora.modules=q_proj", "key 'lora.modules'"},
                 {"data.prompt=input", "key 'data.prompt'"},
                 {"seed=43", "key 'seed'"},
                 {"train.nan=skip", NULL},
                 {"train.save_every=1", NULL}};
    char run_dir[128];
    in_dir(run_dir, "other");
    for (int i = -1; i < COUNT_OF(cases); i++) {
        const char *all[] = {"data.max_tokens=64",
                             "train.batch_tasks=2",
                             "train.epochs=0",
                             "train.steps=4",
                             "eval.every=0",
                             NULL,
                             NULL};
        FitCase c;
        RunKind kind;
        RunResult result;
        volatile int stop_now = i < 0;
        if (i >= 0) all[5] = cases[i].word;
        fit_case_open(&c, 1, 1, all);
        Run run = fit_as_run(&c.fit, &kind);
        RunOpts opts = {.run_dir = run_dir, .resume = i >= 0, .quiet = true, .stop = &stop_now};
        if (i < 0) {
            assert_fails(run_train(&result, &run, opts), E_INTERRUPTED, "--resume");
        } else if (cases[i].named) {
            assert_fails(run_train(&result, &run, opts), E_USAGE, cases[i].named);
            assert_int_equal(c.fit.at.step, 0);
        } else {
            assert_ok(run_train(&result, &run, opts));
            assert_int_equal(c.fit.at.step, 4);
        }
        free(result.ckpt);
        fit_case_close(&c);
    }
}

int main(void) {
    const struct CMUnitTest tests_of_run[] = {
        cmocka_unit_test(test_killed), /* first: the children must fork from a process without threads */
        cmocka_unit_test(test_damaged),        cmocka_unit_test(test_all_damaged),
        cmocka_unit_test(test_failing_calls),  cmocka_unit_test(test_size_limit),
        cmocka_unit_test(test_nan_halt),       cmocka_unit_test(test_nan_skip),
        cmocka_unit_test(test_nan_rollback),   cmocka_unit_test(test_early_stop),
        cmocka_unit_test(test_other_training),
    };
    return cmocka_run_group_tests(tests_of_run, fit_case_make, fit_case_remove);
}
