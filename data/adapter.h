/* A LoRA adapter of a decoder, and its home on disk: a PEFT directory (adapter_config.json and
 * adapter_model.safetensors). y += scale * (x A^T) B^T, scale = alpha / sqrt(rank) with use_rslora, else
 * alpha / rank. Tensors are F32 and named
 *   base_model.model.model.layers.{i}.{self_attn|mlp}.{module}.lora_{A|B}.weight     A [rank, in]  B [out,
 * rank] Refused because it would change what the adapter means: use_dora, bias other than none, lora_bias,
 * modules_to_save, fan_in_fan_out, rank_pattern, alpha_pattern, layers_to_transform, layer_replication,
 * trainable tokens, another peft_type, an unknown or missing tensor, a wrong shape, NaN or infinity. */
#ifndef T2L_DATA_ADAPTER_H
#define T2L_DATA_ADAPTER_H

#include "base/status.h"
#include <stdint.h>

typedef enum LoraModule {
    Q_PROJ,
    K_PROJ,
    V_PROJ,
    O_PROJ,
    GATE_PROJ,
    UP_PROJ,
    DOWN_PROJ,
    LORA_MODULES /* how many there are */
} LoraModule;

const char *lora_module_name(LoraModule m); /* "q_proj" */
/* E_INPUT names the unknown word and the valid ones. */
Status lora_module_parse(LoraModule *out, const char *name);

typedef struct AdapterModule {
    LoraModule module;
    int64_t in, out;
    float *a; /* [n_layers, rank, in] */
    float *b; /* [n_layers, out, rank] */
} AdapterModule;

typedef struct Adapter {
    int n_layers, rank;
    double alpha;
    bool use_rslora;
    int n_modules;
    AdapterModule modules[LORA_MODULES]; /* in the order of target_modules */
    char *base_model;                    /* owns; may be NULL */
    float *memory;                       /* owns every a and b; NULL when they are views of someone else's */
} Adapter;

/* What the model offers: in and out features of each module, 0 where it has none. */
typedef struct AdapterShape {
    int n_layers;
    int64_t in[LORA_MODULES], out[LORA_MODULES];
} AdapterShape;

/* n_layers, rank and modules[].{module,in,out} are set: allocates memory, zero-filled, and points a and b
 * into it. */
Status adapter_alloc(Adapter *a);
void adapter_free(Adapter *a);
double adapter_scale(const Adapter *a);
/* Same modules, rank and shapes as `shape` offers, or E_INPUT naming `where`, the module, both sizes. */
Status adapter_check_shape(const Adapter *a, const AdapterShape *shape, const char *where);

typedef struct AdapterWriteOptions {
    double dropout;          /* recorded as lora_dropout */
    const char *description; /* view; recorded in the safetensors metadata; NULL: none */
} AdapterWriteOptions;

/* Writes dir as a whole: into a directory beside it, flushed, then exchanged by rename, so a crash leaves the
 * old adapter or the new one, complete. An existing dir is replaced only if it is an adapter directory or
 * empty; otherwise E_INPUT. */
Status adapter_write(const char *dir, const Adapter *a, const AdapterWriteOptions *options);
/* Loads dir; *out owns. shape: NULL takes layers and sizes from the file (still complete and consistent). */
Status adapter_load(Adapter *out, const char *dir, const AdapterShape *shape);

#endif
