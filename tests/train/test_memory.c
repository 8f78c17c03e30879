/* Every allocation fails once: for k = 1, 2, 3, ... until none is left, a loader, a writer or a training's
 * set-up and first step runs with its k-th allocation refused. It must end in E_ENV with a message that names
 * something, without a leak of memory or descriptors, and leave a file whole or not there.
 *
 * This program's malloc, calloc, realloc, free and mmap stand in front of the C library's (or
 * AddressSanitizer's) for everything in the process. Refused are the calls of our own code and of cJSON,
 * PCRE2, libarchive, and of the C library on our behalf. Not those of OpenMP and OpenBLAS, which end the
 * program when memory is short, nor of HDF5, which reads on behind a strdup that failed: where it runs, those
 * of the C library are spared with it. */
#include "tests/test_util.h"

#include "base/json.h"
#include "data/library.h"
#include "data/embeddings.h"
#include "data/safetensors.h"
#include "data/template.h"
#include "data/vocabulary.h"
#include "kernels/ops.h"
#include "train/ckpt.h"
#include "train/recon.h"
#include "train/sft.h"
#include "train/state.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- the allocator in front ---- */

void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);
void __libc_free(void *p);
/* AddressSanitizer's, where it is linked. */
__attribute__((weak)) void *__interceptor_malloc(size_t n);
__attribute__((weak)) void *__interceptor_calloc(size_t n, size_t size);
__attribute__((weak)) void *__interceptor_realloc(void *p, size_t n);
__attribute__((weak)) void __interceptor_free(void *p);
__attribute__((weak)) void *__interceptor_memalign(size_t alignment, size_t n);
void *__libc_memalign(size_t alignment, size_t n);

/* They run before AddressSanitizer has set itself up. */
#define PLAIN __attribute__((no_sanitize("address", "undefined")))

enum { MAX_SPARED = 64 };

static struct {
    bool on;
    long at, seen;      /* the allocation that fails, those so far */
    const void *caller; /* of the one that failed; NULL: none has */
    long live;          /* blocks */
    uintptr_t spared[MAX_SPARED][2];
    int n_spared, n_spared_hdf5; /* the first ones; where HDF5 runs, the C library after them, too */
    bool hdf5;
} memory;

/* True for the allocation whose turn it is. */
PLAIN static bool refuse(const void *caller) {
    if (!memory.on) return false;
    for (int i = 0; i < (memory.hdf5 ? memory.n_spared_hdf5 : memory.n_spared); i++)
        if ((uintptr_t)caller >= memory.spared[i][0] && (uintptr_t)caller < memory.spared[i][1]) return false;
    if (++memory.seen != memory.at) return false;
    memory.caller = caller;
    errno = ENOMEM;
    return true;
}

PLAIN void *malloc(size_t n) {
    if (refuse(__builtin_return_address(0))) return NULL;
    void *p = __interceptor_malloc ? __interceptor_malloc(n) : __libc_malloc(n);
    memory.live += p != NULL;
    return p;
}

PLAIN void *calloc(size_t n, size_t size) {
    if (refuse(__builtin_return_address(0))) return NULL;
    void *p = __interceptor_calloc ? __interceptor_calloc(n, size) : __libc_calloc(n, size);
    memory.live += p != NULL;
    return p;
}

PLAIN void *realloc(void *old, size_t n) {
    if (refuse(__builtin_return_address(0))) return NULL;
    void *p = __interceptor_realloc ? __interceptor_realloc(old, n) : __libc_realloc(old, n);
    memory.live += !old && p;
    return p;
}

PLAIN void free(void *p) {
    memory.live -= p != NULL;
    __interceptor_free ? __interceptor_free(p) : __libc_free(p);
}

/* Libraries' alone: counted because free() is. */
PLAIN void *memalign(size_t alignment, size_t n) {
    void *p = __interceptor_memalign ? __interceptor_memalign(alignment, n) : __libc_memalign(alignment, n);
    memory.live += p != NULL;
    return p;
}

PLAIN void *aligned_alloc(size_t alignment, size_t n) {
    return memalign(alignment, n);
}

PLAIN int posix_memalign(void **out, size_t alignment, size_t n) {
    *out = memalign(alignment, n);
    return *out ? 0 : ENOMEM;
}

PLAIN void *mmap(void *at, size_t n, int protection, int flags, int fd, off_t offset) {
    if (refuse(__builtin_return_address(0))) return MAP_FAILED;
    return (void *)syscall(SYS_mmap, at, n, protection, flags, fd, offset);
}

/* Adds the address ranges of a library. */
static bool spare(const char *name) {
    char line[1024];
    FILE *f = fopen("/proc/self/maps", "r");
    while (f && fgets(line, sizeof line, f)) {
        unsigned long long from, to;
        if (!strstr(line, name) || sscanf(line, "%llx-%llx", &from, &to) != 2) continue;
        if (memory.n_spared_hdf5 == MAX_SPARED) break;
        memory.spared[memory.n_spared_hdf5][0] = (uintptr_t)from;
        memory.spared[memory.n_spared_hdf5++][1] = (uintptr_t)to;
    }
    bool good = f && feof(f);
    if (f) fclose(f);
    return good;
}

static bool find_spared(void) {
    static const char *const names[] = {"/libgomp",  "/libomp",  "/libopenblas", "/libhdf5",
                                        "/ld-linux", "/libasan", "/libubsan",    "/libcmocka",
                                        "/libsz",    "/libz.",   "/libcrypto"};
    for (int i = 0; i < COUNT_OF(names); i++)
        if (!spare(names[i])) return false;
    memory.n_spared = memory.n_spared_hdf5;
    return spare("/libc.so");
}

/* ---- the loop ---- */

static int lowest_free_descriptor(void) {
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    close(fd);
    return fd;
}

/* "file+offset", and the function's name where it has one. */
static const char *symbol(const void *caller) {
    static char text[512];
    Dl_info info = {0};
    if (!caller || !dladdr(caller, &info)) return "?";
    snprintf(text, sizeof text, "%s (%s+0x%llx)", info.dli_sname ? info.dli_sname : "?", info.dli_fname,
             (unsigned long long)((uintptr_t)caller - (uintptr_t)info.dli_fbase));
    return text;
}

/* What does without: a sort in place, a file without a buffer, asprintf (an inner function) with the block it
 * has, a regular expression without machine code. */
static bool may_go_on(const void *caller) {
    static const char *const names[] = {"qsort", "_IO_file_doallocate", "/libpcre2"};
    const char *text = symbol(caller);
    for (int i = 0; i < COUNT_OF(names); i++)
        if (strstr(text, names[i])) return true;
    return *text == '?' && strstr(text, "/libc.so");
}

typedef Status RunFn(void);

/* hdf5: it runs, and keeps blocks of its own. after: what must hold after a failure; NULL: nothing. */
static void fail_each(const char *name, RunFn *run, bool hdf5, void (*after)(void)) {
    memory.hdf5 = hdf5;
    assert_ok(run()); /* fills the libraries' caches */
    long k = 1;
    for (;; k++) {
        long live = memory.live;
        int fd = lowest_free_descriptor();
        memory.at = k;
        memory.seen = 0;
        memory.caller = NULL;
        memory.on = true;
        Status s = run();
        memory.on = false;
        const void *caller = memory.caller;
        if (status_is_ok(s) && caller && !may_go_on(caller))
            fail_msg("%s: allocation %ld of %s failed and nothing was said", name, k, symbol(caller));
        if (!status_is_ok(s) && (status_code(s) != E_ENV || strlen(status_message(s)) < 16))
            fail_msg("%s: allocation %ld: code %d: %s", name, k, (int)status_code(s), status_message(s));
        status_free(s);
        bool counted =
            !hdf5 && !__interceptor_malloc; /* AddressSanitizer has its own strdup, and counts itself */
        if (counted && memory.live != live)
            fail_msg("%s: allocation %ld of %s: %ld blocks are left", name, k, caller ? symbol(caller) : "-",
                     memory.live - live);
        if (lowest_free_descriptor() != fd) fail_msg("%s: allocation %ld: a descriptor is left", name, k);
        if (!caller) break;
        if (after) after();
    }
    print_message("%s: %ld allocations failed\n", name, k - 1);
    assert_true(k > 1);
}

/* ---- files ---- */

static char dir[PATH_MAX];

static const char *in_dir(const char *name) {
    static char path[2 * PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static void copy(const char *from, const char *name) {
    char *text;
    size_t n;
    assert_ok(file_read(&text, &n, from, 1 << 20));
    assert_ok(file_write_atomic(in_dir(name), text, n));
    free(text);
}

static void put(const char *name, const char *text) {
    assert_ok(file_write_atomic(in_dir(name), text, strlen(text)));
}

/* A tiny model with its tokenizer, a task, a sharded model's index. */
static int make_dir(void **state) {
    (void)state;
    if (!find_spared()) return 1;
    if (file_is_dir("/dev/shm")) setenv("TMPDIR", "/dev/shm", 0);
    temp_make(dir);
    if (mkdir(in_dir("model"), 0700) || mkdir(in_dir("shards"), 0700) || mkdir(in_dir("tasks"), 0700))
        return 1;
    copy(GOLDEN("families/llama3/config.json"), "model/config.json");
    copy(GOLDEN("families/llama3/model.safetensors"), "model/model.safetensors");
    copy(GOLDEN("families/tokenizer.json"), "model/tokenizer.json");
    put("model/tokenizer_config.json", "{\"chat_template\": \"{{ '<|im_start|>' + '<|im_end|>' }}\"}");
    put("tasks/yes.json",
        "{\"Definition\": \"Say yes.\", \"Descriptions\": [\"Say yes!\"], \"Instances\": ["
        "{\"input\": \"1\", \"output\": \"yes\"}, {\"input\": \"2\", \"output\": \"yes\"},"
        "{\"input\": \"3\", \"output\": \"yes\"}, {\"input\": \"4\", \"output\": \"yes\"}]}");
    float x[4] = {1, 2, 3, 4};
    SafeEntry e = {"x", tensor_2d(x, DT_F32, 2, 2)};
    assert_ok(safetensors_write(in_dir("shards/a.safetensors"), &e, 1, NULL, 0));
    e.name = "y";
    assert_ok(safetensors_write(in_dir("shards/b.safetensors"), &e, 1, NULL, 0));
    put("shards/model.safetensors.index.json",
        "{\"metadata\": {\"total_size\": 32}, \"weight_map\": {\"x\": \"a.safetensors\", \"y\": "
        "\"b.safetensors\"}}");
    return 0;
}

static int remove_dir(void **state) {
    (void)state;
    temp_remove(dir);
    return 0;
}

/* No temporary name is left beside the files. */
static void no_leftovers(void) {
    DIR *d = opendir(dir);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));)
        if (strstr(e->d_name, "tmp")) fail_msg("%s is left", e->d_name);
    closedir(d);
}

/* ---- data ---- */

static Status run_json(void) {
    cJSON *j;
    TRY(json_read(&j, GOLDEN("families/gemma2/config.json"), 1 << 20));
    Status s = json_write(in_dir("written.json"), j);
    cJSON_Delete(j);
    return s;
}

static Status run_safetensors(void) {
    SafeTensors st;
    TRY(safetensors_open(&st, GOLDEN("gte_tiny/model.safetensors")));
    safetensors_close(&st);
    TRY(safetensors_open_model(&st, in_dir("shards")));
    safetensors_close(&st);
    return OK;
}

static Status run_gguf(void) {
    static const char *const files[] = {"bpe", "spm"};
    for (int i = 0; i < 2; i++) {
        char path[PATH_MAX];
        Vocabulary v;
        snprintf(path, sizeof path, TEST_ROOT "/tests/fuzz/corpus/gguf/%s", files[i]);
        TRY(vocabulary_open(&v, path));
        vocabulary_close(&v);
    }
    return OK;
}

static const char *const tokenizers[] = {
    "bert", "gpt2", "legacy", "llama3", "metaspace_always", "metaspace_split", "replace", "unk"};
static int tokenizer_number;

static Status round_trip(const Tokenizer *t) {
    TokenBuf ids = {0};
    char *text = NULL;
    size_t n;
    Status s = tokenizer_encode(t, &ids, "a b 12 \xc3\xa9 the end", 17, (TokenizerOpts){true});
    if (status_is_ok(s)) s = tokenizer_decode(t, &text, &n, ids.ids, ids.n, (TokenizerDecodeOpts){true});
    free(text);
    tokenizer_buf_free(&ids);
    return s;
}

static Status run_tokenizer(void) {
    char path[PATH_MAX], *text;
    size_t n;
    Tokenizer *t;
    snprintf(path, sizeof path, TEST_ROOT "/tests/fuzz/corpus/tokenizer/%s", tokenizers[tokenizer_number]);
    TRY(file_read(&text, &n, path, 1 << 20));
    char *end = memchr(text, 0x1e, n); /* behind: what the fuzzer encodes */
    Status s = tokenizer_parse_json(&t, text, end ? (size_t)(end - text) : n, path);
    free(text);
    TRY(s);
    s = round_trip(t);
    tokenizer_free(t);
    return s;
}

static Status run_vocabulary(void) {
    Vocabulary v;
    TRY(vocabulary_open(&v, in_dir("model")));
    vocabulary_close(&v);
    return OK;
}

static Status run_template(void) {
    static const char *const published[] = {"0ebbf492a18d7719", "4bc1ace8a17a059e", "28eeef72f3e11a61"};
    static const ChatMessage m[] = {{"user", "hello"}, {"assistant", "yes"}};
    Template t;
    Status s = template_recognise(&t, "{{ 'no template of ours' }}", NULL, "a model");
    if (status_code(s) != E_INPUT) return status_wrap(s, "the message about it"); /* it needs memory, too */
    status_free(s);
    for (int i = 0; i < COUNT_OF(published); i++) {
        char *text;
        TRY(template_of_fingerprint(&t, published[i]));
        s = template_render(&text, &t, m, 2, (TemplateOpts){0});
        if (status_is_ok(s)) free(text);
        template_free(&t);
        TRY(s);
    }
    return OK;
}

static Status run_tasks(void) {
    TaskSet set;
    TRY(tasks_load(&set, in_dir("tasks")));
    tasks_free(&set);
    return OK;
}

static Adapter small_adapter(void) {
    Adapter a = {.n_layers = 2,
                 .rank = 2,
                 .alpha = 4,
                 .n_modules = 2,
                 .modules = {{.module = Q_PROJ, .in = 6, .out = 6}, {.module = V_PROJ, .in = 6, .out = 4}}};
    assert_ok(adapter_alloc(&a));
    return a;
}

static Adapter *shared_adapter; /* owns */

static Status run_adapter(void) {
    Adapter a;
    AdapterWriteOptions options = {.description = "a description"};
    TRY(adapter_write(in_dir("adapter"), shared_adapter, &options));
    TRY(adapter_load(&a, in_dir("adapter"), NULL));
    adapter_free(&a);
    TRY(adapter_load(&a, in_dir("pattern"), NULL));
    adapter_free(&a);
    return OK;
}

/* The adapter again, its modules named by a regular expression. */
static void put_pattern(void) {
    AdapterWriteOptions options = {.description = "a description"};
    assert_ok(adapter_write(in_dir("pattern"), shared_adapter, &options));
    put("pattern/adapter_config.json", "{\"peft_type\": \"LORA\", \"r\": 2, \"lora_alpha\": 4, "
                                       "\"target_modules\": \".*\\\\.(q|v)_proj\"}");
}

static Status run_library(void) {
    Library lib;
    Adapter a;
    char *facts;
    unlink(in_dir("library.h5"));
    TRY(library_create(&lib, in_dir("library.h5"), shared_adapter, 1));
    Status s = library_append(&lib, "one", shared_adapter, "{}");
    if (status_is_ok(s)) s = library_append(&lib, "two", shared_adapter, "{}"); /* into a larger file */
    library_close(&lib);
    TRY(s);
    TRY(library_open(&lib, in_dir("library.h5"), STORE_READ));
    s = library_read(&a, &lib, 1);
    if (status_is_ok(s)) adapter_free(&a);
    if (status_is_ok(s)) s = library_facts(&facts, &lib, 0);
    if (status_is_ok(s)) free(facts);
    library_close(&lib);
    return s;
}

static void data(void **state) {
    (void)state;
    Adapter a = small_adapter();
    shared_adapter = &a;
    put_pattern();
    fail_each("JSON", run_json, false, no_leftovers);
    fail_each("safetensors", run_safetensors, false, NULL);
    fail_each("GGUF", run_gguf, false, NULL);
    for (tokenizer_number = 0; tokenizer_number < COUNT_OF(tokenizers); tokenizer_number++)
        fail_each(tokenizers[tokenizer_number], run_tokenizer, false, NULL);
    fail_each("vocabulary", run_vocabulary, false, NULL);
    fail_each("chat templates", run_template, false, NULL);
    fail_each("tasks", run_tasks, false, NULL);
    fail_each("adapter", run_adapter, false, no_leftovers);
    fail_each("library", run_library, true, no_leftovers);
    adapter_free(&a);
}

/* ---- models ---- */

static Device dev;

static Status run_llm(void) {
    Llm llm;
    TRY(llm_load(&llm, &dev, in_dir("model"), (LlmLoad){DT_F32, true}));
    llm_free(&llm);
    return OK;
}

static Status run_llm_gguf(void) {
    Llm llm;
    TRY(llm_load(&llm, &dev, GOLDEN("families/gemma2.gguf"), (LlmLoad){DT_F32, false}));
    llm_free(&llm);
    return OK;
}

static Status run_encoder(void) {
    Encoder e;
    float x[64];
    const char *text = "Say yes.";
    TRY(encoder_load(&e, &dev, GOLDEN("gte_tiny")));
    Status s = encoder_width(&e) <= 64 ? encoder_embed(&e, &dev, x, &text, 1) : OK;
    encoder_free(&e);
    return s;
}

static void models(void **state) {
    (void)state;
    assert_ok(device_open(&dev, "cpu", 1));
    fail_each("decoder, folder", run_llm, false, NULL);
    fail_each("decoder, GGUF", run_llm_gguf, false, NULL);
    fail_each("text encoder", run_encoder, false, NULL);
    device_close(&dev);
}

/* ---- training ---- */

static Config config; /* of the running test */

static Status run_config(void) {
    Config c;
    char *words[] = {"train.lr=1e-3", "lora.modules=[\"q_proj\"]"};
    TRY(config_load(&c, TEST_ROOT "/configs/demo.json", 2, words));
    config_free(&c);
    return OK;
}

static Status run_sft(void) {
    Sft sft;
    RunStep step;
    char model[2 * PATH_MAX], tasks[2 * PATH_MAX];
    snprintf(model, sizeof model, "%s", in_dir("model"));
    snprintf(tasks, sizeof tasks, "%s", in_dir("tasks"));
    SftPaths paths = {.model = model, .encoder = GOLDEN("gte_tiny"), .tasks = tasks};
    TRY(sft_init(&sft, &dev, &config, &paths, true));
    Status s = sft_step(&step, &sft, (SftStepOpts){true});
    sft_free(&sft);
    return s;
}

static Hypernet *shared_hypernet; /* owns */

static Status write_ckpt(void *self, const char *to) {
    CkptInfo info = {.hypernet = ((Hypernet *)self)->cfg,
                     .model = "a model",
                     .encoder = "an encoder",
                     .prompt = "mixed",
                     .embedding = "encoder",
                     .lora_alpha = 1,
                     .step = 7};
    return ckpt_write(to, self, &info);
}

static Status run_checkpoint(void) {
    RunState s = {.at = {.step = 7}, .best_step = -1}, found;
    char *path;
    CkptInfo info;
    TRY(state_save(&path, in_dir("run"), &s, write_ckpt, shared_hypernet));
    free(path);
    TRY(state_newest(&path, &found, in_dir("run")));
    Status st = ckpt_info(&info, path);
    if (status_is_ok(st)) {
        st = ckpt_load(shared_hypernet, path);
        ckpt_info_free(&info);
    }
    free(path);
    return st;
}

/* What stands under a checkpoint's name is whole. */
static void whole_checkpoint(void) {
    RunState s;
    CkptInfo info;
    char path[2 * PATH_MAX];
    snprintf(path, sizeof path, "%s", in_dir("run/ckpt/step_00000007"));
    if (!file_is_dir(path)) return;
    assert_ok(state_read(&s, path));
    assert_ok(ckpt_info(&info, path));
    assert_string_equal(info.prompt, "mixed");
    ckpt_info_free(&info);
    assert_ok(ckpt_load(shared_hypernet, path));
}

static void checkpoint(void **state) {
    (void)state;
    Hypernet hn;
    HypernetConfig c = {.size = HYPERNET_S,
                        .embed = 2,
                        .latent = 4,
                        .head = 2,
                        .rank = 1,
                        .n_layers = 1,
                        .n_modules = 1,
                        .modules = {Q_PROJ},
                        .lora_scale = 1,
                        .head_bias = true};
    c.in[Q_PROJ] = 3;
    c.out[Q_PROJ] = 2;
    assert_ok(device_open(&dev, "cpu", 1));
    assert_ok(hypernet_init(&hn, &dev, &c, (HypernetInit){.training = true, .max_tasks = 1}));
    shared_hypernet = &hn;
    assert_ok(file_mkdirs(in_dir("run/ckpt")));
    fail_each("checkpoint", run_checkpoint, false, whole_checkpoint);
    hypernet_free(&hn);
    device_close(&dev);
}

static void sft(void **state) {
    (void)state;
    char *words[] = {"train.batch_tasks=1", "train.steps=2",    "data.max_tokens=64",
                     "hypernet.latent=16",  "hypernet.head=16", "lora.modules=[\"q_proj\"]",
                     "dtype=f32",           "hypernet.size=S"};
    fail_each("configuration", run_config, false, NULL);
    assert_ok(config_load(&config, NULL, COUNT_OF(words), words));
    assert_ok(device_open(&dev, "cpu", 1));
    fail_each("training: set-up and a step", run_sft, false, NULL);
    device_close(&dev);
    config_free(&config);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(data),
        cmocka_unit_test(models),
        cmocka_unit_test(checkpoint),
        cmocka_unit_test(sft),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
