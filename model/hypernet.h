/* The hypernetwork (method.md section 3): task embedding -> LoRA adapter for every layer and target module,
 * one forward pass. Sizes S, M, L differ in the heads. Parameters live in one flat f32 span (params),
 * gradients and both Adam moments in spans of the same layout; one table (hypernet_tensors) names, shapes and
 * initialises them. */
#ifndef T2L_MODEL_HYPERNET_H
#define T2L_MODEL_HYPERNET_H

#include "model/lora.h"

typedef enum HypernetSize { HYPERNET_S, HYPERNET_M, HYPERNET_L } HypernetSize;
/* From a task's embedding to the trunk's first numbers: model/hypernet_task.c. */
typedef enum HypernetEncoder { ENCODER_LINEAR, ENCODER_ONEHOT, ENCODER_VQ, ENCODER_SOFTMAX } HypernetEncoder;

typedef struct HypernetConfig {
    HypernetSize size;
    HypernetEncoder encoder;
    int64_t embed, latent, head; /* E, D, H */
    int64_t rank, n_layers;
    int n_modules;
    LoraModule modules[LORA_MODULES];            /* in order: the index of the module-type embedding */
    int64_t in[LORA_MODULES], out[LORA_MODULES]; /* by LoraModule */
    double dropout;
    double lora_scale, lora_dropout;
    bool learned_positions; /* S only: learned rank positions instead of rotary */
    bool head_bias;         /* false: reconstruction of z-scored targets, and on top of an offset */
    bool learned_offset;    /* an output stage of which shift is parameters: offset.<module>.A|Bt */
} HypernetConfig;

/* How a tensor starts. */
typedef enum HypernetFill {
    FILL_UNIFORM, /* U(-1/sqrt(fan_in), 1/sqrt(fan_in)): PyTorch's Linear, weight and bias */
    FILL_NORMAL,  /* N(0,1): PyTorch's Embedding */
    FILL_ONE,
    FILL_ZERO,
    FILL_HEAD_WEIGHT, /* uniform; zero at an SFT start */
    FILL_HEAD_BIAS    /* uniform; at an SFT start a standard LoRA start */
} HypernetFill;

/* One row of the table of parameters and buffers. */
typedef struct HypernetTensor {
    char name[64]; /* the reference's names, e.g. "mlp1.mlp.1.weight" */
    int64_t dim[2];
    int ndim;
    int64_t offset; /* elements into the flat span, of parameters or of buffers */
    bool decay;     /* weight decay applies (all of them: torch's AdamW default) */
    HypernetFill fill;
    int64_t fan_in;
    LoraModule module; /* of a head; LORA_MODULES elsewhere */
} HypernetTensor;

/* What makes an adapter of the heads' numbers z where those are not it already:
 * x = z * scale + shift, or x = z * each + shift. Training by reconstruction: a training pass gives z. SFT on
 * top of an adapter, the shift: every pass gives x (in_training). Numbers in the order of modules, of each
 * A [L,r,in], B^T [L,r,out]; the same for every task. */
typedef struct HypernetOutput {
    bool on, in_training;
    float scale;
    float *each, *shift; /* view into mem [n], or of a learned offset into params; NULL: none */
    int64_t n;
    Arena mem; /* owns */
} HypernetOutput;

typedef struct Hypernet {
    HypernetConfig cfg;
    Device *dev; /* borrows: whose memory all this is in */
    DType dtype; /* of its products: DT_F32 (as initialised) or DT_BF16 */
    int64_t n_params;
    HypernetTensor *tensors; /* owns: n_tensors parameters, then n_buffers buffers */
    int n_tensors, n_buffers;
    float *params, *grads, *m, *v; /* view into mem; grads, m, v NULL when not training */
    float *buffers, *settled; /* view into mem: ENCODER_VQ's codebook, in force and as of the last step */
    bool commit;              /* the commitment is part of the loss: hypernet_backward adds its gradient */
    double commitment;        /* ENCODER_VQ's loss in the last training forward; 0 elsewhere */
    Arena mem;                /* owns */
    Arena acts;               /* owns: one forward pass's activations, for max_tasks */
    int64_t max_tasks;
    struct HypernetActs *saved; /* owns: what backward needs */
    HypernetOutput output;
} Hypernet;

typedef struct HypernetRun {
    bool train; /* dropout on, activations kept for hypernet_backward, the codebook moves */
    uint64_t seed, step;
} HypernetRun;

/* Number of trainable parameters, without building anything. E_INPUT for a shape that cannot be. */
Status hypernet_count(int64_t *out, const HypernetConfig *cfg);
/* Allocates and initialises (SFT start: head weights zero, head biases give a standard LoRA start; otherwise
 * PyTorch's defaults). max_tasks: the largest batch of adapters. training: also gradients, moments and saved
 * activations. */
typedef struct HypernetInit {
    bool training, sft_start;
    int64_t max_tasks;
    uint64_t seed;
} HypernetInit;
Status hypernet_init(Hypernet *hn, Device *dev, const HypernetConfig *cfg, HypernetInit opts);
void hypernet_free(Hypernet *hn);
/* embeddings [T,E], in host memory -> out: views into hn, valid until the next forward; out->g points at
 * zero-filled gradient buffers of the same layout when run.train (NULL otherwise). Sizes M and S: rows of A
 * and B^T are max(in,out) apart and only the first in (A) or out (B^T) numbers of a row mean anything, in w
 * and in g. */
Status hypernet_forward(LoraSet *out, Hypernet *hn, Device *dev, Tensor embeddings, HypernetRun run);
/* Gradients of all parameters from the gradients of the last training forward's adapters; hn->grads
 * overwritten. d_embeddings [T,E]: NULL data when not wanted. */
Status hypernet_backward(Hypernet *hn, Device *dev, Tensor d_embeddings);
/* The end of a training step: what its forward passes made of the codebook stays, or (keep false: the
 * optimizer took no step) goes. */
void hypernet_settle(Hypernet *hn, bool keep);
/* Switches the output stage on (not of a learned offset, whose stage is on): with numbers of its own (each,
 * shift), which start as 1 and 0, or without. */
typedef struct HypernetOutputInit {
    double scale;
    bool each, shift, in_training;
} HypernetOutputInit;
Status hypernet_output_init(Hypernet *hn, HypernetOutputInit opts);
/* One factor's span inside output.each and output.shift; f 0: A, 1: B^T. *offset: its first number. */
int64_t hypernet_output_span(int64_t *offset, const HypernetConfig *cfg, int module_index, int f);
/* The stage over a set made by this hypernetwork, in place. */
void hypernet_output_apply(const Hypernet *hn, Device *dev, const LoraSet *set);
/* Row of the table by name; NULL if there is none. */
const HypernetTensor *hypernet_find(const Hypernet *hn, const char *name);
const char *hypernet_size_name(HypernetSize s);
/* "linear", "onehot", "vq", "softmax"; E_INPUT for another name. */
const char *hypernet_encoder_name(HypernetEncoder e);
Status hypernet_encoder_parse(HypernetEncoder *out, const char *name);

#endif
