/* What a decoder's config.json, or the metadata of its GGUF file, says. The families differ by the data in
 * here and by nothing else: the model runs one list of operations. */
#ifndef T2L_MODEL_LLM_CONFIG_H
#define T2L_MODEL_LLM_CONFIG_H

#include "data/gguf.h"
#include "kernels/glu/glu.h"

enum { LLM_MAX_EOS = 8, LLM_MAX_LAYERS = 1024 };

typedef enum LlmFamily { LLM_LLAMA, LLM_MISTRAL, LLM_QWEN2, LLM_GEMMA2, LLM_FAMILIES } LlmFamily;

typedef enum LlmRopeKind {
    LLM_ROPE_PLAIN,
    LLM_ROPE_LINEAR, /* every angle divided by factor */
    LLM_ROPE_LLAMA3, /* the slow angles divided by factor, the fast ones not, a blend between */
    LLM_ROPE_TABLE   /* divisors in the GGUF's tensor rope_freqs */
} LlmRopeKind;

typedef struct LlmRope {
    LlmRopeKind kind;
    float theta;
    double factor, low, high; /* low, high: turns in `original` positions between which LLAMA3 blends */
    double original;
} LlmRope;

typedef struct LlmConfig {
    LlmFamily family; /* a name for people; what follows decides */
    int64_t vocab, width, n_layers, heads, groups, head_dim, ffn, max_positions;
    float norm_eps;
    LlmRope rope;
    float attn_scale;                /* of q.k */
    float attn_softcap, out_softcap; /* of attention scores and of logits; 0: none */
    float embed_scale;               /* of the embedding's rows */
    GluAct act;
    bool qkv_bias;    /* q, k and v have biases */
    bool post_norms;  /* a norm on what attention and feed-forward add to the stream */
    bool norm_offset; /* the norms' weights are stored less one */
    int64_t window;   /* keys a query sees in the layers that are `windowed`; 0: all */
    bool windowed[LLM_MAX_LAYERS];
    bool tied; /* lm_head is the embedding */
    int32_t bos, eos[LLM_MAX_EOS];
    int n_eos;
} LlmConfig;

/* path: a .gguf file, or a directory with config.json (and generation_config.json). E_INPUT names the key. */
Status llm_config_read(LlmConfig *out, const char *path);
Status llm_config_from_dir(LlmConfig *out, const char *dir);
Status llm_config_from_gguf(LlmConfig *out, const Gguf *g);

/* Angle a position of each pair of a head: inv_freq [D/2] overwritten. divisors [D/2]: of LLM_ROPE_TABLE. */
void llm_config_inv_freq(float *inv_freq, const LlmConfig *c, const float *divisors);
const char *llm_config_family(const LlmConfig *c); /* "gemma2" */

#endif
