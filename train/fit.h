/* Training one plain LoRA by supervised fine-tuning through the frozen LLM (method.md section 4): of one
 * task, whose examples are walked, or of many, one example each of batch_tasks tasks (the multi-task LoRA).
 * A and B start as PEFT's: A uniform in +-1/sqrt(in), B zero. A step is train.accumulate batches, its loss
 * their mean. A checkpoint's folder is a PEFT adapter with optimizer.safetensors beside it. */
#ifndef T2L_TRAIN_FIT_H
#define T2L_TRAIN_FIT_H

#include "train/valid.h"

typedef struct Fit {
    const Config *cfg; /* view */
    Device *dev;       /* view */
    const Llm *llm;    /* view */
    const Task *tasks; /* view */
    int64_t n_tasks;
    BatchSource source;
    Batch batch;
    AdapterShape shape;
    LoraSet lora;                  /* one adapter: views of params and grads */
    float *params, *grads, *m, *v; /* [n_params]: of each module A [L,r,in], then B^T [L,r,out] */
    int64_t n_params;
    RunPlace at;
    int64_t total; /* optimizer steps */
    LlmActs acts;
    Valid valid;
    Arena mem, host; /* own params, grads and moments, in the device's memory; valid's buffers */
} Fit;

Status fit_init(Fit *f, Device *dev, const Config *cfg, const Llm *llm, const Task *tasks, int64_t n_tasks);
void fit_free(Fit *f);
Status fit_step(RunStep *out, Fit *f, bool update);
/* As a run sees it: kind is filled in, the rest are views. */
Run fit_as_run(Fit *f, RunKind *kind);
/* The whole run; then the best checkpoint's adapter is written to adapter_dir, as a whole. An adapter that is
 * there already: with resume the run is done, without it is refused. */
Status fit_run(RunResult *out, Fit *f, RunOpts opts, const char *adapter_dir);

#endif
