#include "cli/session.h"
#include "data/fetch.h"

#include <stdlib.h>
#include <string.h>

static Status read_adapter(Session *s, const char *dir) {
    Adapter a;
    AdapterShape shape = llm_adapter_shape(&s->llm.cfg);
    TRY(adapter_load(&a, dir, &shape));
    const Adapter *one[] = {&a};
    s->lora_mem = arena_measure("adapter");
    Status st = lora_from_adapters(&s->loras, &s->lora_mem, one, 1);
    if (status_is_ok(st)) st = arena_commit(&s->lora_mem);
    if (status_is_ok(st)) st = lora_from_adapters(&s->loras, &s->lora_mem, one, 1);
    adapter_free(&a);
    s->adapted = status_is_ok(st);
    return st;
}

static Status load_model(Session *s, const Cli *cli, const char *model) {
    char *path;
    LlmLoad load = {0};
    TRY(llm_choose_dtype(&load.dtype, &s->dev, cli->dtype));
    TRY(fetch_resolve(&path, model, cli->cache));
    Status st = llm_load(&s->llm, &s->dev, path, load);
    free(path);
    return st;
}

static Status check_want(const Cli *cli, const SessionWant *want) {
    TRY(cli_require(cli, "--model", want->model));
    if (want->adapter && want->t2l)
        return status_error(E_USAGE, "--adapter and --t2l are two ways to the same thing; give one");
    if (want->t2l && !want->describe) return status_error(E_USAGE, "--t2l needs --describe TEXT");
    if (want->describe && !want->t2l) return status_error(E_USAGE, "--describe needs --t2l CKPT");
    return OK;
}

Status session_open(Session *out, const Cli *cli, const SessionWant *want) {
    memset(out, 0, sizeof *out);
    TRY(check_want(cli, want));
    TRY(cli_open_device(cli, &out->dev));
    Status st = load_model(out, cli, want->model);
    if (!status_is_ok(st)) {
        device_close(&out->dev);
        return st;
    }
    if (!out->llm.tokenizer) st = status_error(E_INPUT, "%s: no tokenizer.json", want->model);
    if (status_is_ok(st) && want->adapter) st = read_adapter(out, want->adapter);
    if (!status_is_ok(st)) session_close(out);
    return st;
}

void session_close(Session *s) {
    arena_free(&s->lora_mem);
    llm_free(&s->llm);
    device_close(&s->dev);
    memset(s, 0, sizeof *s);
}

const LoraSet *session_loras(const Session *s) {
    return s->adapted ? &s->loras : NULL;
}
