/* A sentence encoder, frozen, in f32: task descriptions to vectors. Two families, by config.json's
 * model_type: "bert" (all-MiniLM-L6-v2), and "new" (gte-large-en-v1.5: rotary positions, a gated
 * feed-forward, no position table). A text is stripped and gets a full stop if its last character is a
 * letter; [CLS] tokens [SEP] are cut to max_tokens; the embedding is the mean (or the [CLS] vector, as the
 * model's folder says) of the last layer, scaled to length sqrt(E) (T2L's convention: components of size
 * one). A text's embedding does not depend on the other texts of the call, bit for bit. Devlin et al. 2019;
 * Reimers & Gurevych 2019; Zhang et al. 2024 (mGTE). */
#ifndef T2L_MODEL_ENCODER_H
#define T2L_MODEL_ENCODER_H

#include "data/tokenizer.h"
#include "kernels/ops.h"

typedef struct EncoderConfig {
    int64_t vocab, width, n_layers, heads, ffn, max_positions, max_tokens;
    float norm_eps;
    bool pool_cls;               /* the [CLS] vector instead of the mean */
    bool rotary;                 /* rotary positions instead of a table */
    bool gated;                  /* feed-forward down(gelu(gate x) * up x), gate and up without biases */
    int64_t types;               /* rows of the token type table; row 0 is everybody's */
    double rope_theta, rope_ntk; /* NTK-aware factor of the rotary base; 1: none */
} EncoderConfig;

typedef struct EncoderNorm {
    Tensor w, b; /* [C] */
} EncoderNorm;

typedef struct EncoderLinear {
    Weight w;
    float *b; /* [w.n], view */
} EncoderLinear;

typedef struct EncoderLayer {
    EncoderLinear qkv, o, up,
        down; /* [3C,C] [C,C] [F,C] [C,F]; gated: up is (gate | up) [2F,C], its b NULL */
    EncoderNorm attn_norm, norm;
} EncoderLayer;

/* Activations of one packed batch. Views. */
typedef struct EncoderActs {
    int64_t max_tokens;
    float *x, *y, *qkv, *mid, *lse, *stats; /* [N,C] [N,C] [N,3C] [N,F] ([N,2F] gated) [N,H] [N,2] */
    float *act, *cs;                        /* [N,F], [N,D]: gated, rotary; else [0] */
    int32_t *ids, *pos, *cu_seqlens;        /* [N] [N] [N+1] */
} EncoderActs;

typedef struct Encoder {
    EncoderConfig cfg;
    Tensor words, positions; /* [V,C]; [P,C], token type 0 included; rotary: [1,C], token type 0 alone */
    float *inv_freq;         /* [D/2], view: rotary */
    EncoderNorm norm;
    EncoderLayer *layers;     /* owns */
    Tokenizer *tokenizer;     /* owns */
    TokenizerMarkers markers; /* cls and sep are there */
    EncoderActs acts;
    Arena mem; /* owns weights and activations */
} Encoder;

/* dir: config.json, model.safetensors (or its shards), tokenizer.json; 1_Pooling/config.json and
 * sentence_bert_config.json where present. On failure nothing is left to free. */
Status encoder_load(Encoder *e, Device *dev, const char *dir);
void encoder_free(Encoder *e);
int64_t encoder_width(const Encoder *e);

/* out [n,E] overwritten. texts: UTF-8, NUL-terminated. One call at a time on an Encoder. */
Status encoder_embed(Encoder *e, Device *dev, float *out, const char *const *texts, int64_t n);
/* A description as it is embedded: stripped, with a full stop if its last character is a letter. *out owns
 * [*n]. */
Status encoder_sentence(char **out, size_t *n, const char *text);
/* Appends what the network reads for one text: [CLS] ids [SEP], at most max_tokens. */
Status encoder_tokens(const Encoder *e, TokenBuf *out, const char *text);

#endif
