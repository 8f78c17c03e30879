/* The head of `t2l inspect` on a model: its family and what the family's options are set to. */
#include "cli/inspect.h"

#include <stdio.h>

static void print_rope(const LlmRope *r) {
    static const char *const kinds[] = {"", ", linear scaling", ", llama3 scaling",
                                        ", divisors in rope_freqs"};
    printf("rope = base %g%s", (double)r->theta, kinds[r->kind]);
    if (r->kind == LLM_ROPE_LINEAR || r->kind == LLM_ROPE_LLAMA3) printf(" by %g", r->factor);
    if (r->kind == LLM_ROPE_LLAMA3)
        printf(" below %g, none above %g turns in %g positions", r->low, r->high, r->original);
    putchar('\n');
}

static void print_windows(const LlmConfig *c) {
    int64_t n = 0, first = -1;
    for (int64_t l = 0; l < c->n_layers; l++)
        if (c->windowed[l]) {
            n++;
            if (first < 0) first = l;
        }
    if (n > 0)
        printf("sliding window = %lld keys in %lld of %lld layers, the first is %lld\n", (long long)c->window,
               (long long)n, (long long)c->n_layers, (long long)first);
}

void inspect_llm_json(const LlmConfig *c) {
    printf("{\"family\":\"%s\",\"layers\":%lld,\"width\":%lld,\"heads\":%lld,\"kv_heads\":%lld,"
           "\"head_size\":%lld,\"feed_forward\":%lld,\"vocabulary\":%lld}\n",
           llm_config_family(c), (long long)c->n_layers, (long long)c->width, (long long)c->heads,
           (long long)c->groups, (long long)c->head_dim, (long long)c->ffn, (long long)c->vocab);
}

void inspect_llm(const LlmConfig *c) {
    static const char *const acts[] = {"silu", "gelu (tanh)", "gelu"};
    printf("family = %s\n", llm_config_family(c));
    printf("layers = %lld, width %lld, feed-forward %lld (%s), vocabulary %lld\n", (long long)c->n_layers,
           (long long)c->width, (long long)c->ffn, acts[c->act], (long long)c->vocab);
    printf("heads = %lld of size %lld, %lld for keys and values, scores times %g%s\n", (long long)c->heads,
           (long long)c->head_dim, (long long)c->groups, (double)c->attn_scale,
           c->qkv_bias ? ", biases on q, k and v" : "");
    print_rope(&c->rope);
    print_windows(c);
    if (c->attn_softcap > 0.0f) printf("attention softcap = %g\n", (double)c->attn_softcap);
    if (c->out_softcap > 0.0f) printf("logit softcap = %g\n", (double)c->out_softcap);
    if (c->post_norms) printf("norms = before and after attention and feed-forward\n");
    if (c->embed_scale != 1.0f) printf("embedding times %g\n", (double)c->embed_scale);
}
