/* A decoder-only LLM of the Llama family, frozen: packed variable-length batches, one LoRA a sequence,
 * forward and activation gradients. Weights are packed for the device at load; the residual stream is f32. */
#ifndef T2L_MODEL_LLM_H
#define T2L_MODEL_LLM_H

#include "data/template.h"
#include "data/tokenizer.h"
#include "kernels/ops.h"
#include "model/lora.h"

enum { LLM_MAX_EOS = 8 };

typedef struct LlmConfig {
    int64_t vocab, width, n_layers, heads, groups, head_dim, ffn, max_positions;
    float norm_eps, rope_theta;
    bool tied; /* lm_head is the embedding */
    int32_t bos, eos[LLM_MAX_EOS];
    int n_eos;
} LlmConfig;

typedef struct LlmLayer {
    Tensor attn_norm, ffn_norm;   /* [C] */
    Weight qkv, o, gate_up, down; /* [(H+2G)D, C] [C, HD] [2F, C] [C, F] */
} LlmLayer;

typedef struct Llm {
    LlmConfig cfg;
    char *name;           /* owns: base_model_name_or_path of adapters made for it */
    DType dtype;          /* of the matrices */
    Tensor embed;         /* [V,C] in dtype */
    Tensor norm;          /* [C] */
    Weight head;          /* [V,C] */
    LlmLayer *layers;     /* view into mem */
    float *inv_freq;      /* [D/2], view */
    Tokenizer *tokenizer; /* owns */
    Template chat;
    Arena mem; /* owns */
} Llm;

typedef struct LlmLoad {
    DType dtype;   /* DT_F32 or DT_BF16 */
    bool backward; /* also pack the transposed matrices */
} LlmLoad;

/* path: a .gguf file, or a directory with config.json, *.safetensors and tokenizer.json. */
Status llm_load(Llm *llm, Device *dev, const char *path, LlmLoad opts);
void llm_free(Llm *llm);
/* DT_BF16 where the device multiplies it, else DT_F32; name NULL or "auto", "bf16", "f32". */
Status llm_choose_dtype(DType *out, const Device *dev, const char *name);
/* Input and output width of a target module. */
void llm_module_shape(const LlmConfig *cfg, LoraModule m, int64_t *in, int64_t *out);

/* One packed batch. Rows with a label are gathered before the vocabulary product. */
typedef struct LlmBatch {
    int64_t n_tokens, n_seqs, n_rows;
    int32_t *ids, *pos;   /* [N] */
    int32_t *cu_seqlens;  /* [B+1] */
    int32_t *adapter;     /* [B]: index into the LoraSet, negative: none */
    int32_t *row, *label; /* [R]: packed position whose next token is label */
    float *weight;        /* [R]: of the row's loss in the total */
} LlmBatch;

/* Activations of one pass, for batches up to the given sizes. */
typedef struct LlmActs {
    struct LlmLayerActs *layers; /* view */
    int64_t max_tokens, max_rows, max_seqs;
    bool training;
    float *x, *xn, *qkv_grad, *wide, *narrow; /* shared buffers, view */
    float *rows, *drows;                      /* [R,C] */
    float *cs;                                /* rope table [N,D] */
    float *final_rstd;
    Arena mem; /* owns */
} LlmActs;

typedef struct LlmRun {
    bool train; /* dropout on the LoRA input, NEFTune noise, activations kept */
    float neftune_alpha;
    uint64_t seed, step;
} LlmRun;

Status llm_acts_init(LlmActs *acts, const Llm *llm, int64_t max_tokens, int64_t max_seqs, int64_t max_rows,
                     bool training, const LoraSet *loras);
void llm_acts_free(LlmActs *acts);
/* Hidden rows after the final norm for batch->row -> acts->rows [R,C]. */
Status llm_forward(const Llm *llm, Device *dev, LlmActs *acts, const LlmBatch *batch, const LoraSet *loras,
                   LlmRun run);
/* Loss of the rows gathered by llm_forward (see cross_entropy); in training fills acts->drows. *loss = sum
 * weight*loss. */
Status llm_loss(double *loss, const Llm *llm, Device *dev, LlmActs *acts, const LlmBatch *batch,
                CrossEntropyOut out, float smoothing);
/* Gradients of acts->drows to loras->g (overwritten). */
Status llm_backward(const Llm *llm, Device *dev, LlmActs *acts, const LlmBatch *batch, const LoraSet *loras,
                    LlmRun run);

#endif
