/* L1 losses of generated adapters against target adapters, with their gradients (method.md 5; Charakorn et
 * al. 2025).
 *   delta_w: loss = weight * mean over items, out, in of |D|,  D = B A - c B* A*;  S = sign(D), sign(0) = 0
 *            dA = s B^T S,  dB = s S A^T,  s = weight / (items * in * out)
 *   factor:  loss = weight * (mean |A - A*| + mean |B - B*|) / 2, and its gradients
 * A [r,in] and B^T [r,out] of item i are views as in kernels/lora; target item index[i] goes with item i
 * (index: host memory on every backend). g.a and g.bt (strides of their own) are overwritten. All f32; *loss
 * is summed in double and written on the host. delta_w goes tile by tile over D = [B | -c B*] [A ; A*]: no
 * matrix of size in x out exists, memory is O(rank (in + out)) a thread. Each number of D is one sum of 2
 * rank products: its error is that of f32 relative to |B||A| + c |B*||A*|, so signs are right down to
 * residuals of about 1e-6 of it. CUDA: ranks up to 64, 3 * 2^-22 more error, and memory for rank * in numbers
 * a stripe of rows (recon.cu). */
#ifndef T2L_KERNELS_RECON_H
#define T2L_KERNELS_RECON_H

#include "kernels/lora/lora.h"

typedef struct ReconShape {
    int64_t items, rank, in, out;
    float c; /* delta_w only */
    double weight;
} ReconShape;

Status recon_delta_w(Device *dev, double *loss, LoraView g, LoraView w, LoraView target, const int64_t *index,
                     ReconShape shape);
Status recon_factor(Device *dev, double *loss, LoraView g, LoraView w, LoraView target, const int64_t *index,
                    ReconShape shape);

typedef Status recon_delta_w_fn(Device *dev, double *loss, LoraView g, LoraView w, LoraView target,
                                const int64_t *index, ReconShape shape);
typedef Status recon_factor_fn(Device *dev, double *loss, LoraView g, LoraView w, LoraView target,
                               const int64_t *index, ReconShape shape);

#endif
