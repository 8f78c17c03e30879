/* The shipped binary stopped at random moments, on a tiny model: SIGINT and SIGTERM finish the step and save,
 * SIGKILL leaves what was saved, and --resume, with another number of threads, ends in the same bits as a run
 * that was left alone: of train sft with a learned offset, of multitask, and of lora, whose adapters and
 * library are the same too. A damaged newest checkpoint is named and the one before it used. A disk that is
 * full stops a run with exit 4 and leaves its checkpoints whole. */
#include "tests/cli/run.h"
#include "tests/test_util.h"
#include "tests/small.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

#if defined(__SANITIZE_ADDRESS__)
enum { ROUNDS = 1 }; /* a step takes long there */
#define MULTITASK_STEPS "train.steps=20"
#define SFT_STEPS "train.steps=12"
#define LORA_EPOCHS "train.epochs=6"
#else
enum { ROUNDS = 8 }; /* of each training; test_run.c does fifty of one */
#define MULTITASK_STEPS "train.steps=120"
#define SFT_STEPS "train.steps=60"
#define LORA_EPOCHS "train.epochs=40"
#endif

static char dir[PATH_MAX];

static int make_dir(void **state) {
    (void)state;
    temp_make(dir);
    if (chdir(dir)) return 1;
    small_model("mistral");
    small_tasks("tasks");
    return 0;
}

static int remove_dir(void **state) {
    (void)state;
    temp_remove(dir);
    return chdir("/");
}

/* ---------------------------------------------------------------- runs */

typedef struct Training {
    const char *name;
    const char *words[24];  /* ended by NULL */
    const char *files[8];   /* of runs/<name>/, that must come out the same; ended by NULL */
    const char *first_file; /* appears when the run has begun to train */
} Training;

#define COMMON                                                                                 \
    "model=mistral", "data.tasks=tasks", "data.max_tokens=64", "lora.rank=2", "train.lr=1e-2", \
        "train.save_every=7", "train.log_every=5"

static const Training trainings[] = {
    {"all",
     {"multitask", "--config", TEST_ROOT "/configs/multitask.json", COMMON, "train.batch_tasks=3",
      "train.epochs=0", MULTITASK_STEPS, "eval.every=20"},
     {"ckpt/last/adapter_model.safetensors", "ckpt/last/optimizer.safetensors", "ckpt/last/state.json",
      "adapters/multitask/adapter_model.safetensors"},
     "metrics.jsonl"},
    {"top",
     {"sft", COMMON, "encoder=" GOLDEN("gte_tiny"), "train.batch_tasks=2", "hypernet.latent=16",
      "hypernet.head=24", SFT_STEPS, "hypernet.offset=runs/all/adapters/multitask",
      "hypernet.offset_learn=true"},
     {"ckpt/last/hypernet.safetensors", "ckpt/last/optimizer.safetensors", "ckpt/last/state.json"},
     "metrics.jsonl"},
    {"plain",
     {"lora", "--config", TEST_ROOT "/configs/lora.json", COMMON, "train.batch_tasks=4", LORA_EPOCHS,
      "eval.every=20"},
     {"adapters/no/adapter_model.safetensors", "adapters/well/adapter_model.safetensors",
      "adapters/yes/adapter_model.safetensors"},
     "tasks/no/metrics.jsonl"},
};

enum { TRAININGS = COUNT_OF(trainings) };

/* Starts it in runs/<name>; stderr goes to err.txt, stdout to out.txt. */
static pid_t start(const Training *t, const char *name, bool resume, const char *threads,
                   int64_t file_bytes) {
    fflush(stdout); /* what is in its buffer is not the child's to write */
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid > 0) return pid;
    char named[64];
    const char *argv[40] = {T2L_BIN, "train"};
    int n = 2;
    for (int i = 0; t->words[i]; i++) argv[n++] = t->words[i];
    snprintf(named, sizeof named, "name=%s", name);
    argv[n++] = named;
    argv[n++] = "--threads";
    argv[n++] = threads;
    if (resume) argv[n++] = "--resume";
    if (!freopen("out.txt", "w", stdout) || !freopen("err.txt", "w", stderr)) _exit(126);
    setenv("OMP_WAIT_POLICY", "passive", 0);
    if (file_bytes > 0) {
        struct rlimit limit = {(rlim_t)file_bytes, (rlim_t)file_bytes};
        signal(SIGXFSZ, SIG_IGN);
        if (setrlimit(RLIMIT_FSIZE, &limit) != 0) _exit(126);
    }
    execv(T2L_BIN, (char *const *)argv);
    _exit(127);
}

/* The exit code, or -signal. */
static int finish(pid_t pid) {
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static int run_whole(const Training *t, const char *name, bool resume) {
    return finish(start(t, name, resume, "1", 0));
}

static void wait_us(int64_t us) {
    struct timespec t = {us / 1000000, us % 1000000 * 1000};
    nanosleep(&t, NULL);
}

static int64_t now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void expect_err(const char *part) {
    char *text;
    assert_ok(file_read(&text, NULL, "err.txt", 1 << 20));
    run_has("stderr", text, part);
    free(text);
}

/* Digests of what a run leaves, and of the library's contents where there is one. */
static void digest(char out[65], const Training *t, const char *name) {
    char all[16 * 64], path[128];
    size_t n = 0;
    for (int i = 0; t->files[i]; i++, n += 64) {
        char one[65];
        snprintf(path, sizeof path, "runs/%s/%s", name, t->files[i]);
        assert_ok(sha256_file(one, path));
        memcpy(all + n, one, 64);
    }
    snprintf(path, sizeof path, "runs/%s/library.h5", name);
    if (file_exists(path)) {
        char one[65];
        Ran r = RUN("inspect", path, "--json");
        char *values = strchr(r.out, '\n'); /* the first line names the file */
        assert_true(r.code == 0 && values != NULL);
        sha256_hex(one, values, strlen(values));
        run_free(&r);
        memcpy(all + n, one, 64);
        n += 64;
    }
    sha256_hex(out, all, n);
}

/* ---------------------------------------------------------------- stopped */

typedef struct Counts {
    int killed, saved, ended;
} Counts;

/* Stops a run up to twice at random moments of `span` microseconds, then lets it end. */
static void stop_and_resume(Counts *counts, const Training *t, int64_t span, Rng *r, int round) {
    static const int signals[] = {SIGKILL, SIGTERM, SIGINT};
    for (int tries = 0;; tries++) {
        int with = tries < 2 ? signals[rng_below(r, 3)] : 0;
        pid_t pid = start(t, "cut", file_is_dir("runs/cut"), tries && round % 2 ? "3" : "1", 0);
        wait_us(with ? rng_below(r, (uint32_t)span) : 0);
        if (with) kill(pid, with);
        int code = finish(pid);
        if (code == 0) break;
        assert_true(with != 0);
        if (code == 130) expect_err("continue with --resume");
        /* a signal before the handlers are there kills */
        assert_true(code == 130 || code == -with);
        counts->killed += code != 130;
        counts->saved += code == 130;
    }
    counts->ended++;
}

static void test_stopped(void **state) {
    (void)state;
    Rng r = rng_make(17, 18);
    for (int k = 0; k < TRAININGS; k++) {
        const Training *t = &trainings[k];
        char want[65], got[65];
        Counts counts = {0};
        int64_t begun = now_us();
        assert_int_equal(run_whole(t, t->name, false), 0);
        int64_t took = now_us() - begun;
        digest(want, t, t->name);
        for (int i = 0; i < ROUNDS; i++) {
            stop_and_resume(&counts, t, took, &r, i);
            digest(got, t, "cut");
            assert_string_equal(got, want);
            assert_ok(file_remove_tree("runs/cut"));
        }
        printf("%s, %.0f ms: %d runs, %d times killed, %d times interrupted: the same bits every time\n",
               t->words[0], (double)took / 1000, counts.ended, counts.killed, counts.saved);
    }
}

/* Each signal while it surely trains: the step is finished and saved, and the number is told. */
static void test_signals(void **state) {
    (void)state;
    static const int signals[] = {SIGTERM, SIGINT};
    for (int k = 0; k < 2 * TRAININGS; k++) {
        const Training *t = &trainings[k / 2];
        char path[128], want[65], got[65], *text;
        digest(want, t, t->name);
        pid_t pid = start(t, "cut", false, "1", 0);
        snprintf(path, sizeof path, "runs/cut/%s", t->first_file);
        for (int i = 0; i < 20000 && !file_exists(path); i++) wait_us(500);
        kill(pid, signals[k % 2]);
        assert_int_equal(finish(pid), 130);
        assert_ok(file_read(&text, NULL, "err.txt", 1 << 20));
        const char *told = strstr(text, "interrupted; saved after step ");
        int step = -1;
        assert_non_null(told);
        assert_int_equal(sscanf(told, "interrupted; saved after step %d: continue with --resume", &step), 1);
        free(text);
        char *end = strrchr(path, '/');
        snprintf(end, sizeof path - (size_t)(end - path), "/ckpt/step_%08d/state.json", step);
        assert_true(file_exists(path));
        assert_int_equal(run_whole(t, "cut", false), 2); /* it is a run already */
        expect_err("--resume");
        assert_int_equal(run_whole(t, "cut", true), 0);
        digest(got, t, "cut");
        assert_string_equal(got, want);
        assert_ok(file_remove_tree("runs/cut"));
    }
}

/* ---------------------------------------------------------------- damage, full disks */

static void test_damaged(void **state) {
    (void)state;
    const Training *t = &trainings[1];
    char want[65], got[65];
    digest(want, t, t->name);
    FILE *f = fopen("runs/top/ckpt/last/hypernet.safetensors", "r+");
    assert_non_null(f);
    assert_int_equal(fseek(f, 5000, SEEK_SET), 0);
    int byte = fgetc(f);
    assert_int_equal(fseek(f, 5000, SEEK_SET), 0);
    assert_int_equal(fputc(byte ^ 1, f), byte ^ 1);
    assert_int_equal(fclose(f), 0);
    run_expect(RUN("generate", "--t2l", "runs/top", "--text", "x", "-o", "x"), 3, NULL,
               "hypernet.safetensors: damaged");
    assert_int_equal(run_whole(t, "top", true), 0);
    expect_err("checkpoint runs/top/ckpt/step_000000");
    expect_err("is not whole");
    digest(got, t, "top");
    assert_string_equal(got, want);
}

/* Files may grow to less than a checkpoint's largest: the run stops, says which file, and what it saved
 * before stays; with room again it goes on to the same end. */
static void test_full(void **state) {
    (void)state;
    for (int k = 0; k < 2; k++) {
        const Training *t = &trainings[k];
        char path[128], want[65], got[65];
        snprintf(path, sizeof path, "runs/%s/%s", t->name, t->files[1]);
        struct stat found;
        assert_int_equal(stat(path, &found), 0);
        digest(want, t, t->name);
        pid_t pid = start(t, "cut", false, "1", 0);
        for (int i = 0; i < 20000 && !file_exists("runs/cut/ckpt/last/state.json"); i++) wait_us(500);
        kill(pid, SIGTERM);
        assert_int_equal(finish(pid), 130);
        assert_int_equal(finish(start(t, "cut", true, "1", found.st_size - 1)), 4);
        expect_err("optimizer.safetensors");
        assert_int_equal(run_whole(t, "cut", true), 0);
        digest(got, t, "cut");
        assert_string_equal(got, want);
        assert_ok(file_remove_tree("runs/cut"));
    }
}

int main(void) {
    if (file_is_dir("/dev/shm")) setenv("TMPDIR", "/dev/shm", 0); /* runs flush; a disk takes its time */
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_stopped), cmocka_unit_test(test_signals),
                                       cmocka_unit_test(test_damaged), cmocka_unit_test(test_full)};
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
