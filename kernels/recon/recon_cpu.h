/* Between the parts of the CPU recon. One item's work, in blocks of RECON_ROWS rows of D by RECON_COLUMNS
 * columns. [A ; A*] is packed in panels of 2 LANES columns: step k of a panel is row k of the stack; ranks
 * are padded with zeros to multiples of 4, rows and columns to whole tiles, so that padding contributes exact
 * zeros. */
#ifndef T2L_KERNELS_RECON_CPU_H
#define T2L_KERNELS_RECON_CPU_H

#include "kernels/recon/recon.h"

enum { RECON_ROWS = 24, RECON_COLUMNS = 192, RECON_MAX_LANES = 16 };

/* A thread's memory. rp: the padded rank; columns: `in` padded. */
typedef struct ReconScratch {
    int64_t rp, columns;
    float *stack; /* [columns / panel, 2 rp, panel]: A ; A* */
    float *da;    /* [columns / panel, rp, panel] */
    float *b;     /* [RECON_ROWS, 2 rp]: B | -c B* */
    float *s;     /* [RECON_COLUMNS / panel, RECON_ROWS, panel]: signs */
    float *db;    /* [RECON_ROWS, rp, RECON_MAX_LANES]: partial sums */
} ReconScratch;

/* Views of one item. */
typedef struct ReconItem {
    const float *a, *bt, *target_a, *target_bt;
    float *da, *dbt;
    int64_t lda, ldb, target_lda, target_ldb, da_ld, dbt_ld;
    int64_t rank, in, out;
    float c, scale; /* scale: of the gradients */
} ReconItem;

/* Sum of |D| of one item; its gradients are written. */
typedef double ReconBody(const ReconItem *item, const ReconScratch *m);
ReconBody recon_item_avx512, recon_item_avx2, recon_item_plain; /* the first two on x86-64 only */
ReconBody *recon_body(const Device *dev);
/* recon_delta_w with a given body. */
Status recon_run(Device *dev, ReconBody *body, double *loss, LoraView g, LoraView w, LoraView target,
                 const int64_t *index, ReconShape shape);

#endif
