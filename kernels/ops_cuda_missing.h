/* Operations whose CUDA body does not exist yet: the table holds a stub that returns E_UNSUPPORTED with the
 * name. Whoever adds kernels/<op>/<op>.cu deletes the row. */
#ifndef T2L_KERNELS_OPS_CUDA_MISSING_H
#define T2L_KERNELS_OPS_CUDA_MISSING_H

#define OPS_CUDA_MISSING(X) \
    X(recon_delta_w)        \
    X(recon_factor)

#endif
