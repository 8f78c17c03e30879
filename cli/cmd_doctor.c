/* t2l doctor: what this machine has. Each finding is a row: fine, worth knowing, or in the way of everything.
 */
#include "cli/cli.h"
#include "base/file.h"
#include "base/json.h"
#include "data/fetch.h"
#include "eval/cage.h"

#include <archive.h>
#include <cblas.h>
#include <dirent.h>
#include <hdf5.h>
#include <openssl/crypto.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>
#include <utf8proc.h>
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

enum { MAX_ROWS = 48 };

typedef enum Mark { FINE, NOTE, STOP } Mark;

typedef struct Row {
    Mark mark;
    const char *what;
    char value[320];
} Row;

typedef struct Findings {
    int n;
    Row rows[MAX_ROWS];
} Findings;

static void add(Findings *f, Mark mark, const char *what, const char *fmt, ...) PRINTF_LIKE(4, 5);
static void add(Findings *f, Mark mark, const char *what, const char *fmt, ...) {
    if (f->n == MAX_ROWS) return;
    Row *r = &f->rows[f->n++];
    r->mark = mark;
    r->what = what;
    va_list args;
    va_start(args, fmt);
    vsnprintf(r->value, sizeof r->value, fmt, args);
    va_end(args);
}

/* The rest of the first line of path that starts with key and a colon; false when there is none. */
static bool proc_line(char *out, size_t size, const char *path, const char *key) {
    FILE *f = fopen(path, "r");
    if (!f) return false;
    char line[512];
    bool found = false;
    while (!found && fgets(line, sizeof line, f)) {
        size_t n = strlen(key);
        if (strncmp(line, key, n) != 0 || !strchr(line, ':')) continue;
        char *value = strchr(line, ':') + 1;
        value += strspn(value, " \t");
        value[strcspn(value, "\n")] = 0;
        snprintf(out, size, "%s", value);
        found = true;
    }
    fclose(f);
    return found;
}

static void add_cpu(Findings *f) {
    char model[200] = "unknown";
    struct utsname u;
    if (!proc_line(model, sizeof model, "/proc/cpuinfo", "model name") && uname(&u) == 0)
        snprintf(model, sizeof model, "%s", u.machine);
    add(f, FINE, "cpu", "%s, %ld cores", model, sysconf(_SC_NPROCESSORS_ONLN));
#if defined(__x86_64__)
    bool fast = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    add(f, fast ? FINE : NOTE, "cpu features", "%savx2 %savx512f %savx512_bf16%s",
        __builtin_cpu_supports("avx2") ? "" : "no ", __builtin_cpu_supports("avx512f") ? "" : "no ",
        device_cpu_has_bf16_dot() ? "" : "no ",
        device_cpu_has_bf16_dot() ? "" : " (bf16 arithmetic is slow here; --dtype auto takes f32)");
#else
    add(f, NOTE, "cpu features", "not x86-64: portable code, no vector extensions used");
#endif
}

static void add_memory(Findings *f) {
    char total[64], available[64];
    if (!proc_line(total, sizeof total, "/proc/meminfo", "MemTotal") ||
        !proc_line(available, sizeof available, "/proc/meminfo", "MemAvailable")) {
        add(f, NOTE, "memory", "unknown");
        return;
    }
    double t = strtod(total, NULL) / 1048576, a = strtod(available, NULL) / 1048576; /* kB to GiB */
    add(f, a < 2 ? NOTE : FINE, "memory", "%.1f GiB, %.1f GiB available%s", t, a,
        a < 2 ? " (training the demo needs about 2)" : "");
}

static void add_gpu(Findings *f) {
    char driver[200];
    bool has_driver = proc_line(driver, sizeof driver, "/proc/driver/nvidia/version", "NVRM version");
    if (has_driver) add(f, FINE, "gpu driver", "%s", driver);
    if (!device_cuda_archs()) {
        add(f, has_driver ? NOTE : FINE, "cuda", "this build has no CUDA backend: the CPU is used");
        return;
    }
    int n;
    Status s = device_cuda_count(&n);
    add(f, status_is_ok(s) || !has_driver ? FINE : NOTE, "cuda", "built for sm %s; %s", device_cuda_archs(),
        status_is_ok(s) ? "a device was found" : status_message(s));
    status_free(s);
}

static void add_libraries(Findings *f) {
    unsigned major, minor, release;
    char pcre[64] = "?";
    H5get_libversion(&major, &minor, &release);
    pcre2_config(PCRE2_CONFIG_VERSION, pcre);
    add(f, FINE, "OpenBLAS", "%s", openblas_get_config());
    add(f, FINE, "HDF5", "%u.%u.%u", major, minor, release);
    add(f, FINE, "cJSON", "%s", cJSON_Version());
    add(f, FINE, "libarchive", "%s", archive_version_string());
    add(f, FINE, "PCRE2", "%s", pcre);
    add(f, FINE, "utf8proc", "%s (Unicode %s)", utf8proc_version(), utf8proc_unicode_version());
    add(f, FINE, "libcrypto", "%s", OpenSSL_version(OPENSSL_VERSION));
}

/* Whether the search path (directories between colons; may be NULL) has the program. out: where. */
static bool find_program(char *out, size_t size, const char *path, const char *name) {
    while (path && *path) {
        size_t n = strcspn(path, ":");
        snprintf(out, size, "%.*s/%s", (int)n, path, name);
        if (access(out, X_OK) == 0) return true;
        path += n + (path[n] == ':');
    }
    return false;
}

static bool can_import_pip(void) {
    return system("python3 -m pip --version >/dev/null 2>&1") == 0;
}

static void add_sandbox(Findings *f) {
    Cage cage;
    Status s = cage_open(&cage, (CageOptions){0});
    if (status_is_ok(s)) {
        add(f, cage.layers.landlock ? FINE : NOTE, "sandbox", "%s%s (tried out)", cage.description,
            cage.layers.landlock ? "" : "; no landlock");
        cage_close(&cage);
    } else {
        add(f, NOTE, "sandbox", "%s", status_message(s));
    }
    status_free(s);
}

static void add_programs(Findings *f, const char *path) {
    char where[256];
    if (!find_program(where, sizeof where, path, "python3"))
        add(f, NOTE, "python3", "not found: `t2l fetch` cannot download (packages python3, python3-pip)");
    else if (!can_import_pip())
        add(f, NOTE, "python3", "%s, without pip: `t2l fetch` cannot download (package python3-pip)", where);
    else
        add(f, FINE, "python3", "%s, with pip (to download)", where);
}

static int64_t tree_bytes(const char *path, int depth) {
    struct stat st;
    if (lstat(path, &st) != 0) return 0;
    if (!S_ISDIR(st.st_mode) || depth == 0) return st.st_size;
    DIR *d = opendir(path);
    int64_t bytes = 0;
    for (struct dirent *e; d && (e = readdir(d));) {
        if (e->d_name[0] == '.') continue;
        char *inner = path_join(path, e->d_name);
        if (inner) bytes += tree_bytes(inner, depth - 1);
        free(inner);
    }
    if (d) closedir(d);
    return bytes;
}

static void add_cache(Findings *f, const char *cache) {
    add(f, FINE, "cache", "%s%s", cache, file_is_dir(cache) ? "" : " (not there yet)");
    for (const char *const *name = fetch_names(); *name; name++) {
        char *path;
        Status s = fetch_resolve(&path, *name, cache);
        if (status_is_ok(s)) {
            add(f, FINE, "model", "%s, %.1f MB", *name, (double)tree_bytes(path, 4) / 1e6);
            free(path);
        } else {
            add(f, NOTE, "model", "%s is not here: t2l fetch %s", *name, *name);
        }
        status_free(s);
    }
}

static void add_disk(Findings *f, const char *what, const char *path) {
    char at[512];
    snprintf(at, sizeof at, "%s", path);
    struct statvfs v;
    while (statvfs(at, &v) != 0) { /* not there yet: its nearest parent that is */
        char *slash = strrchr(at, '/');
        if (!slash) return;
        slash[slash == at ? 1 : 0] = 0;
        if (slash == at && statvfs(at, &v) != 0) return;
    }
    double free_gb = (double)v.f_bavail * (double)v.f_frsize / 1e9;
    add(f, free_gb < 1 ? NOTE : FINE, what, "%.1f GB free", free_gb);
}

static Status print_findings(const Findings *f, bool as_json) {
    static const char *const words[] = {"ok", "note", "stop"};
    if (!as_json) {
        for (int i = 0; i < f->n; i++)
            printf("%-5s %-14s %s\n", words[f->rows[i].mark], f->rows[i].what, f->rows[i].value);
        return OK;
    }
    cJSON *list = cJSON_CreateArray();
    for (int i = 0; list && i < f->n; i++) {
        cJSON *row = cJSON_CreateObject();
        cJSON_AddStringToObject(row, "state", words[f->rows[i].mark]);
        cJSON_AddStringToObject(row, "what", f->rows[i].what);
        cJSON_AddStringToObject(row, "value", f->rows[i].value);
        cJSON_AddItemToArray(list, row);
    }
    char *text = list ? cJSON_Print(list) : NULL;
    cJSON_Delete(list);
    if (!text) return status_error(E_ENV, "out of memory");
    puts(text);
    cJSON_free(text);
    return OK;
}

Status cmd_doctor(Cli *cli, int argc, char **argv) {
    const Option options[] = {{.kind = OPTION_END}};
    TRY(cli_parse(cli, argc, argv, options, 0, 0));
    if (cli->help_shown) return OK;
    Findings f = {0};
    add(&f, FINE, "t2l", "%s", T2L_VERSION);
    add_cpu(&f);
    add_memory(&f);
    add_gpu(&f);
    Device dev;
    Status device = cli_open_device(cli, &dev);
    if (status_is_ok(device)) {
        char what[128];
        device_describe(&dev, what, sizeof what);
        add(&f, FINE, "device", "%s", what);
        device_close(&dev);
    } else {
        add(&f, STOP, "device", "%s", status_message(device));
    }
    status_free(device);
    add_libraries(&f);
    add_sandbox(&f);
    add_programs(&f, cli->search_path);
    add_cache(&f, cli->cache);
    add_disk(&f, "disk, cache", cli->cache);
    add_disk(&f, "disk, here", ".");
    TRY(print_findings(&f, cli->json));
    for (int i = 0; i < f.n; i++)
        if (f.rows[i].mark == STOP)
            return status_error(E_ENV, "nothing can run here: %s: %s", f.rows[i].what, f.rows[i].value);
    return OK;
}
