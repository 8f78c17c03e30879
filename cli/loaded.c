#include "cli/loaded.h"
#include "data/fetch.h"

#include <stdlib.h>
#include <string.h>

Status loaded_keep_adapter(LoraSet *out, Arena *mem, const Llm *llm, const Adapter *a) {
    *mem = arena_measure("adapter");
    TRY(lora_from_adapters(out, mem, &a, 1));
    TRY(arena_commit_on(mem, llm->dev));
    return lora_from_adapters(out, mem, &a, 1);
}

Status loaded_read_adapter(LoraSet *out, Arena *mem, const Llm *llm, const char *dir) {
    Adapter a;
    AdapterShape shape = llm_adapter_shape(&llm->cfg);
    TRY(adapter_load(&a, dir, &shape));
    Status s = loaded_keep_adapter(out, mem, llm, &a);
    adapter_free(&a);
    return s;
}

static Status describe(Loaded *s, const Cli *cli, const LoadedWant *want) {
    AdapterShape shape = llm_adapter_shape(&s->llm.cfg);
    TRY(t2l_open(&s->t2l, &s->dev, cli, want->t2l, 1, &s->llm, want->model));
    s->has_t2l = true;
    TRY(t2l_check_shape(&s->t2l, &shape, want->model));
    TRY(t2l_adapters(&s->loras, &s->t2l, &want->describe, 1));
    s->adapted = true;
    return OK;
}

static Status load_model(Loaded *s, const Cli *cli, const char *model) {
    char *path;
    LlmLoad load = {0};
    TRY(llm_choose_dtype(&load.dtype, &s->dev, cli->dtype));
    TRY(fetch_resolve(&path, model, cli->cache));
    Status st = llm_load(&s->llm, &s->dev, path, load);
    free(path);
    return st;
}

static Status check_want(const Cli *cli, const LoadedWant *want) {
    TRY(cli_require(cli, "--model", want->model));
    if (want->adapter && want->t2l)
        return status_error(E_USAGE, "--adapter and --t2l are two ways to the same thing; give one");
    if (want->t2l && !want->describe) return status_error(E_USAGE, "--t2l needs --describe TEXT");
    if (want->describe && !want->t2l) return status_error(E_USAGE, "--describe needs --t2l CKPT");
    return OK;
}

Status loaded_open(Loaded *out, const Cli *cli, const LoadedWant *want) {
    memset(out, 0, sizeof *out);
    TRY(check_want(cli, want));
    TRY(cli_open_device(cli, &out->dev));
    Status st = load_model(out, cli, want->model);
    if (!status_is_ok(st)) {
        device_close(&out->dev);
        return st;
    }
    if (!out->llm.tokenizer)
        st = status_error(E_INPUT, "%s: no tokenizer (a folder needs tokenizer.json)", want->model);
    if (status_is_ok(st) && want->adapter) {
        st = loaded_read_adapter(&out->loras, &out->lora_mem, &out->llm, want->adapter);
        out->adapted = true;
    }
    if (status_is_ok(st) && want->t2l) st = describe(out, cli, want);
    if (!status_is_ok(st)) loaded_close(out);
    return st;
}

void loaded_close(Loaded *s) {
    if (s->has_t2l) t2l_close(&s->t2l);
    arena_free(&s->lora_mem);
    llm_free(&s->llm);
    device_close(&s->dev);
    memset(s, 0, sizeof *s);
}

const LoraSet *loaded_loras(const Loaded *s) {
    return s->adapted ? &s->loras : NULL;
}

Status loaded_vocabulary(Vocabulary *out, const Cli *cli, const char *model) {
    char *path;
    TRY(fetch_resolve(&path, model, cli->cache));
    Status s = vocabulary_open(out, path);
    free(path);
    return s;
}
