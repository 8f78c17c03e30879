/* Between the parts of the CPU attention: work on four rows at once. A row is one query of one head; the four
 * share keys and values (same sequence, same group) and see those of number from[r] to n[r] - 1 (what lies
 * before has weight zero). A row's bits do not depend on its neighbours, so full forward and cached decoding
 * agree exactly. Where fewer than four are left, the caller repeats one and gives it an output of its own to
 * spoil. */
#ifndef T2L_KERNELS_ATTENTION_CPU_H
#define T2L_KERNELS_ATTENTION_CPU_H

#include "kernels/attention/attention.h"

enum { ATTENTION_ROWS = 4, ATTENTION_PAD = 16 };

typedef struct AttentionKeys {
    const float *k, *v; /* one group's columns of a sequence */
    int64_t ldk, ldv, d;
    float scale, softcap; /* softcap 0: none */
} AttentionKeys;

/* s: ATTENTION_ROWS rows of lds >= max n + ATTENTION_PAD floats, 64-byte aligned. */
typedef void AttentionRowsFwd(float *const *o, float *lse, const float *const *q, const int64_t *from,
                              const int64_t *n, const AttentionKeys *keys, float *s, int64_t lds);

/* One sequence's dk, dv are added to; rows counts the real rows. s: twice the rows. */
typedef struct AttentionGrads {
    float *dk, *dv;
    int64_t lddk, lddv;
    const float *const *dout, *const *o;
    const float *lse;
    int rows;
} AttentionGrads;
typedef void AttentionRowsBwd(float *const *dq, const AttentionGrads *g, const float *const *q,
                              const int64_t *from, const int64_t *n, const AttentionKeys *keys, float *s,
                              int64_t lds);

typedef struct AttentionBody {
    int lanes; /* d must be a multiple */
    AttentionRowsFwd *fwd;
    AttentionRowsBwd *bwd;
} AttentionBody;

/* The widest body for this CPU and head size. */
AttentionBody attention_body(const Device *dev, int64_t d);

#endif
