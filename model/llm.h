/* A decoder-only LLM (Llama, Mistral, Qwen2, Gemma 2), frozen: packed variable-length batches, one LoRA a
 * sequence, forward and activation gradients. Weights are packed for the device at load; the residual stream
 * is f32. */
#ifndef T2L_MODEL_LLM_H
#define T2L_MODEL_LLM_H

#include "data/template.h"
#include "data/tokenizer.h"
#include "kernels/ops.h"
#include "model/llm_config.h"
#include "model/lora.h"

typedef struct LlmLayer {
    Tensor attn_norm, ffn_norm;           /* [C] */
    Tensor attn_post_norm, ffn_post_norm; /* [C], where the family has them */
    Tensor qkv_bias;                      /* [(H+2G)D], where it has them */
    Weight qkv, o, gate_up, down;         /* [(H+2G)D, C] [C, HD] [2F, C] [C, F] */
} LlmLayer;

typedef struct Llm {
    LlmConfig cfg;
    Device *dev;          /* borrows: whose memory the weights are in, and the buffers made for them */
    char *name;           /* owns: base_model_name_or_path of adapters made for it */
    DType dtype;          /* of the matrices */
    Tensor embed;         /* [V,C] in dtype */
    Tensor norm;          /* [C] */
    Weight head;          /* [V,C] */
    LlmLayer *layers;     /* owns */
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
/* Input and output width of every target module. */
AdapterShape llm_adapter_shape(const LlmConfig *cfg);

/* One packed batch, in host memory. Rows with a label are gathered before the vocabulary product. */
typedef struct LlmBatch {
    int64_t n_tokens, n_seqs, n_rows;
    int32_t *ids, *pos;   /* [N] */
    int32_t *cu_seqlens;  /* [B+1] */
    int32_t *adapter;     /* [B]: index into the LoraSet, negative: none */
    int32_t *row, *label; /* [R]: packed position whose next token is label */
    float *weight;        /* [R]: of the row's loss in the total */
} LlmBatch;

/* Keys and values of sequences being decoded: every layer [slots, max_len, G*D]. */
typedef struct LlmCache {
    int64_t slots, max_len, kv_width; /* kv_width: G*D */
    float *k, *v;                     /* [L, slots, max_len, G*D], view */
    Arena mem;                        /* owns */
} LlmCache;

/* What one layer keeps for its backward; in inference all layers share one. Views. */
typedef struct LlmLayerActs {
    float *x, *attn_rstd, *qkv, *attn, *lse; /* [N,C] [N] [N,(H+2G)D] [N,HD] [N,H] */
    float *mid, *ffn_rstd, *gu;              /* [N,C] [N] [N,2F] */
    float *attn_out, *ffn_out;               /* [N,C]: before their post-norms; [N,0] where there are none */
    float *attn_post_rstd, *ffn_post_rstd;   /* [N] */
    float *h[LORA_MODULES];                  /* [N,r] */
} LlmLayerActs;

/* What a pass is given, where the device reads it: the host's own arrays on the CPU, else copies. Views. */
typedef struct LlmInputs {
    const int32_t *ids, *pos;            /* [N] */
    const int32_t *cu_seqlens, *adapter; /* [B+1] [B] */
    const int32_t *row, *label;          /* [R] */
    const float *weight;                 /* [R] */
    const int32_t *slot, *len;           /* [B]: decoding */
    const int32_t *place;                /* [N]: row of each token in the cache, slot * max_len + position */
} LlmInputs;

/* Activations of one pass, for batches up to the given sizes, in the device's memory. */
typedef struct LlmActs {
    int64_t max_tokens, max_seqs, max_rows, rank;
    bool training;
    LlmLayerActs *layers; /* owns */
    float *x_final;       /* [N,C] */
    float *xn, *act;      /* [N,C] [N,F] */
    float *cs;            /* rope table [N,D] */
    float *rows_x, *rstd; /* [R,C] [R]: gathered rows before the final norm */
    float *rows, *drows;  /* [R,C]: after it, and the loss's gradient there */
    float *dx, *dxn, *dact, *dattn, *dqkv, *drows_x, *dbranch;
    LlmInputs in;
    CrossEntropyOut out;                      /* [R]: llm_loss's results; not on the CPU */
    int32_t *host_cu, *host_pos, *host_place; /* [N+1] [N] [N]: what the host makes for decoding */
    Arena mem, host;                          /* owns */
} LlmActs;

typedef struct LlmRun {
    bool train; /* dropout on the LoRA input, NEFTune noise, activations kept */
    float neftune_alpha;
    uint64_t seed, step;
} LlmRun;

/* For passes on the model's device. rank: of the adapters that will be used (0: none). */
Status llm_acts_init(LlmActs *acts, const Llm *llm, int64_t max_tokens, int64_t max_seqs, int64_t max_rows,
                     int64_t rank, bool training);
void llm_acts_free(LlmActs *acts);
/* Hidden rows after the final norm for batch->row -> acts->rows [R,C]. loras NULL: the base alone; else in
 * the device's memory. */
Status llm_forward(const Llm *llm, Device *dev, LlmActs *acts, const LlmBatch *batch, const LoraSet *loras,
                   LlmRun run);
/* Loss of the rows gathered by llm_forward (see cross_entropy): *loss = sum_i weight[i] loss[i], in double.
 * In training also fills acts->drows. out is the host's; out.loss must be there. */
Status llm_loss(double *loss, const Llm *llm, Device *dev, LlmActs *acts, const LlmBatch *batch,
                CrossEntropyOut out, float smoothing);
/* From acts->drows to loras->g, which is added to; after llm_forward and llm_loss of the same batch. */
Status llm_backward(const Llm *llm, Device *dev, LlmActs *acts, const LlmBatch *batch, const LoraSet *loras,
                    LlmRun run);

/* Decoding. */
Status llm_cache_init(LlmCache *cache, const Llm *llm, int64_t slots, int64_t max_len);
void llm_cache_free(LlmCache *cache);
/* llm_forward without training, which also stores keys and values of sequence b in slot[b], from position 0.
 */
Status llm_prefill(const Llm *llm, Device *dev, LlmActs *acts, const LlmBatch *batch, const LoraSet *loras,
                   LlmCache *cache, const int32_t *slot);
/* One token a sequence: ids[b] at position len[b]-1 of slot[b] -> acts->rows [B,C] after the final norm.
 * adapter as in LlmBatch. */
Status llm_decode(const Llm *llm, Device *dev, LlmActs *acts, int64_t n_seqs, const int32_t *ids,
                  const int32_t *slot, const int32_t *len, const int32_t *adapter, const LoraSet *loras,
                  LlmCache *cache);
/* logits [R,V] of acts->rows, in host memory. */
Status llm_logits(const Llm *llm, Device *dev, Tensor logits, const LlmActs *acts);

#endif
