/* Policy: a tokenizer from a GGUF's arrays. `pre` names the pre-tokenizer (llama.cpp's names); a name that is
 * not in the table is refused, because a wrong split gives wrong ids silently. Control and unknown tokens are
 * special, user-defined ones are recognised always; both are only found whole. */
#include "data/tokenizer_build.h"

#include <string.h>

enum { TYPE_NORMAL = 1, TYPE_UNKNOWN, TYPE_CONTROL, TYPE_USER, TYPE_UNUSED, TYPE_BYTE };

static const char llama3_pattern[] = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|"
                                     " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
static const char qwen2_pattern[] = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}|"
                                    " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

typedef struct Pre {
    const char *name;
    bool digits; /* every digit alone, then GPT-2 */
    bool ignore_merges;
    const char *pattern; /* instead of GPT-2's */
} Pre;

static const Pre pres[] = {
    {"gpt-2", false, false, NULL},
    {"gpt2", false, false, NULL},
    {"smollm", true, false, NULL},
    {"starcoder", true, false, NULL},
    {"refact", true, false, NULL},
    {"codeshell", true, false, NULL},
    {"llama-bpe", false, true, llama3_pattern},
    {"llama3", false, true, llama3_pattern},
    {"llama-v3", false, true, llama3_pattern},
    {"qwen2", false, false, qwen2_pattern},
};

static Status add_stages(Tokenizer *t, const char *name, const char *where) {
    for (size_t i = 0; i < sizeof pres / sizeof *pres; i++) {
        if (strcmp(pres[i].name, name) != 0) continue;
        t->ignore_merges = pres[i].ignore_merges;
        if (pres[i].digits) TRY(tokenizer_build_stage(t, STAGE_DIGITS, where));
        if (pres[i].pattern) return tokenizer_compile_stage(t, pres[i].pattern, false, true, true, where);
        return tokenizer_build_stage(t, STAGE_GPT2, where);
    }
    return status_error(E_INPUT,
                        "%s: tokenizer.ggml.pre '%s' is not supported (smollm, gpt-2, llama-bpe, qwen2 and "
                        "their aliases are)",
                        where, name);
}

static Status add_token(Tokenizer *t, const TokenizerVocab *v, int32_t id, const char *where) {
    int32_t type = v->types ? v->types[id] : TYPE_NORMAL;
    if (type < TYPE_NORMAL || type > TYPE_BYTE)
        return status_error(E_INPUT, "%s: tokenizer.ggml.token_type[%d]: expected 1 to 6, found %d", where,
                            id, type);
    if (type == TYPE_UNUSED) return OK;
    bool special = type == TYPE_CONTROL || type == TYPE_UNKNOWN, added = special || type == TYPE_USER;
    uint8_t flags = (uint8_t)((special ? TOKEN_SPECIAL : 0) | (added ? TOKEN_ADDED : TOKEN_MODEL));
    TRY(tokenizer_build_token(t, id, v->tokens[id], v->token_lens[id], flags, where));
    if (!added) return OK;
    AddedToken a = {.text = t->content[id], .id = id, .special = special};
    return tokenizer_build_added(t, a, where);
}

static Status role(int32_t *out, const TokenizerVocab *v, int64_t id, const char *key, const char *where) {
    if (id < -1 || id >= v->n)
        return status_error(E_INPUT, "%s: tokenizer.ggml.%s: %lld is outside the vocabulary of %lld", where,
                            key, (long long)id, (long long)v->n);
    *out = (int32_t)id;
    return OK;
}

static Status fill(Tokenizer *t, const TokenizerVocab *v, const char *where) {
    t->model = MODEL_BPE;
    TRY(add_stages(t, v->pre ? v->pre : "(none)", where));
    for (int32_t id = 0; id < v->n; id++) TRY(add_token(t, v, id, where));
    TRY(tokenizer_merges_init(&t->merges, (size_t)v->n_merges));
    for (int64_t i = 0; i < v->n_merges; i++)
        TRY(tokenizer_build_merge_line(t, i, v->merges[i], v->merge_lens[i], where));
    TRY(tokenizer_build_finish(t, where));
    TRY(role(&t->markers.bos, v, v->bos, "bos_token_id", where));
    TRY(role(&t->markers.eos, v, v->eos, "eos_token_id", where));
    TRY(role(&t->markers.unk, v, v->unk, "unknown_token_id", where));
    return role(&t->markers.pad, v, v->pad, "padding_token_id", where);
}

Status tokenizer_from_vocab(Tokenizer **out, const TokenizerVocab *v, const char *where) {
    Tokenizer *t;
    *out = NULL;
    if (!v->model || strcmp(v->model, "gpt2") != 0)
        return status_error(E_INPUT, "%s: tokenizer.ggml.model '%s' is not supported (gpt2 is)", where,
                            v->model ? v->model : "(none)");
    if (v->n_merges < 0 || v->n_merges > 2 * TOKENIZER_MAX_VOCAB)
        return status_error(E_INPUT, "%s: tokenizer.ggml.merges: %lld entries", where,
                            (long long)v->n_merges);
    TRY(tokenizer_build_new(&t, v->n, where));
    Status s = fill(t, v, where);
    if (!status_is_ok(s)) {
        tokenizer_free(t);
        return s;
    }
    *out = t;
    return OK;
}
