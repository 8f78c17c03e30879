/* t2l embed: texts to vectors, as the hypernetwork sees them; to stdout, or into a store (-o), which a second
 * call continues where the first one stopped. */
#include "cli/cli.h"
#include "base/file.h"
#include "cli/lines.h"
#include "cli/run.h"
#include "data/embeddings.h"
#include "data/fetch.h"
#include "data/tasks.h"
#include "model/embedder.h"

#include <stdlib.h>
#include <string.h>

typedef struct Embedding {
    Cli *cli;          /* view */
    Embedder *encoder; /* view */
    Device *dev;       /* view */
    float *e;          /* view [width] */
    Embeddings *store; /* view; NULL: to stdout */
    int64_t done;      /* texts of this call */
} Embedding;

/* The store's record number s->done is this text, from an earlier call. */
static Status check_earlier(const Embedding *s, const char *task, const char *text) {
    char *old_task, *old_text;
    TRY(embeddings_read(&old_task, &old_text, NULL, s->store, s->done));
    bool same = strcmp(old_task, task) == 0 && strcmp(old_text, text) == 0;
    free(old_task);
    free(old_text);
    if (same) return OK;
    return status_error(
        E_INPUT,
        "%s: its record %lld is another text than number %lld of this input; continue with the same "
        "input, or choose another -o",
        s->store->store.path, (long long)s->done, (long long)s->done);
}

static Status embed_one(Embedding *s, const char *task, const char *text) {
    if (s->store && s->done < s->store->store.n) {
        TRY(check_earlier(s, task, text));
        s->done++;
        return OK;
    }
    TRY(embedder_embed(s->encoder, s->dev, s->e, &text, 1));
    s->done++;
    if (s->store) return embeddings_append(s->store, task, text, s->e);
    for (int64_t i = 0; i < embedder_width(s->encoder); i++) printf("%c%.9g", i ? ',' : '[', (double)s->e[i]);
    puts("]");
    return OK;
}

static Status embed_lines(Embedding *s) {
    Lines lines;
    TRY(lines_open(&lines, s->cli->n_args ? s->cli->args[0] : NULL));
    Status st = OK;
    for (bool more = true; status_is_ok(st);) {
        st = lines_next(&lines, &more);
        if (!status_is_ok(st) || !more) break;
        st = status_wrap(embed_one(s, "", lines.text), "%s", lines.where);
        if (status_is_ok(st)) st = cli_check_stop(s->cli);
    }
    lines_close(&lines);
    return st;
}

static Status embed_tasks(Embedding *s, const TaskSet *tasks) {
    for (int64_t t = 0; t < tasks->n; t++)
        for (int i = 0; i < tasks->tasks[t].n_descriptions; i++) {
            TRY(embed_one(s, tasks->tasks[t].name, tasks->tasks[t].descriptions[i]));
            TRY(cli_check_stop(s->cli));
        }
    return OK;
}

static Status open_store(Embeddings *store, const char *path, const char *encoder, int64_t width,
                         int64_t expected) {
    if (!file_exists(path)) return embeddings_create(store, path, encoder, width, expected);
    TRY(embeddings_open(store, path, STORE_APPEND));
    if (store->width == width && strcmp(store->encoder, encoder) == 0) return OK;
    Status s = status_error(E_INPUT, "%s: embeddings of %s, %lld numbers; --encoder is %s, %lld", path,
                            store->encoder, (long long)store->width, encoder, (long long)width);
    embeddings_close(store);
    return s;
}

static Status embed(Embedding *s, const char *model, const char *out, const TaskSet *tasks) {
    Embeddings store;
    int64_t expected = 0;
    for (int64_t t = 0; tasks && t < tasks->n; t++) expected += tasks->tasks[t].n_descriptions;
    if (out) {
        TRY(open_store(&store, out, model, embedder_width(s->encoder), expected ? expected : 64));
        s->store = &store;
    }
    Status st = tasks ? embed_tasks(s, tasks) : embed_lines(s);
    if (out) {
        if (status_is_ok(st)) puts(out);
        embeddings_close(&store);
    }
    return st;
}

static Status load_llm(Llm *llm, Device *dev, const Cli *cli, const char *path) {
    LlmLoad load = {0};
    TRY(llm_choose_dtype(&load.dtype, dev, cli->dtype));
    return llm_load(llm, dev, path, load);
}

Status cmd_embed(Cli *cli, int argc, char **argv) {
    const char *model = NULL, *llm_name = NULL, *out = NULL, *tasks_path = NULL;
    const Option options[] = {
        {.name = "--encoder",
         .kind = OPTION_STRING,
         .out = &model,
         .value = "M",
         .help = "directory or short name"},
        {.name = "--model",
         .kind = OPTION_STRING,
         .out = &llm_name,
         .value = "M",
         .help = "instead of --encoder: the base model's own last hidden state"},
        {.name = "--tasks",
         .kind = OPTION_STRING,
         .out = &tasks_path,
         .value = "PATH",
         .help = "instead of lines: every description of these tasks"},
        {.name = "--out",
         .letter = 'o',
         .kind = OPTION_STRING,
         .out = &out,
         .value = "X.h5",
         .help = "into a store; an existing one is continued"},
        {.kind = OPTION_END},
    };
    TRY(cli_parse(cli, argc, argv, options, 0, 1));
    if (cli->help_shown) return OK;
    if (!model == !llm_name) return status_error(E_USAGE, "give one of --encoder and --model");
    if (llm_name) model = llm_name;
    if (tasks_path && cli->n_args) return status_error(E_USAGE, "give --tasks or a file of lines, not both");
    char *path, *resolved = NULL;
    TRY(fetch_resolve(&path, model, cli->cache));
    TaskSet tasks = {0};
    Device dev;
    Embedder encoder;
    Llm llm = {0};
    Status s = tasks_path ? run_tasks(&resolved, cli, tasks_path) : OK;
    if (status_is_ok(s) && tasks_path) s = tasks_load(&tasks, resolved);
    free(resolved);
    if (status_is_ok(s)) s = cli_open_device(cli, &dev);
    if (!status_is_ok(s)) {
        tasks_free(&tasks);
        free(path);
        return s;
    }
    s = llm_name ? load_llm(&llm, &dev, cli, path) : OK;
    if (status_is_ok(s)) s = embedder_open(&encoder, &dev, path, llm_name ? &llm : NULL);
    if (status_is_ok(s)) {
        Embedding e = {.cli = cli, .encoder = &encoder, .dev = &dev};
        e.e = malloc((size_t)embedder_width(&encoder) * sizeof *e.e);
        s = e.e ? embed(&e, model, out, tasks_path ? &tasks : NULL) : status_error(E_ENV, "out of memory");
        free(e.e);
        embedder_close(&encoder);
    }
    llm_free(&llm);
    device_close(&dev);
    tasks_free(&tasks);
    free(path);
    return s;
}
