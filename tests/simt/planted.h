/* Kernels with a fault planted in each, and right ones beside them (planted.cu, for the interpreter only). */
#ifndef T2L_TESTS_PLANTED_H
#define T2L_TESTS_PLANTED_H

#include "base/device.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum Fault {
    RIGHT,             /* every kernel also has a right form */
    NO_BARRIER,        /* a neighbour's shared word is read without a barrier */
    NO_WARP_BARRIER,   /* the same inside a warp, without __syncwarp */
    OFF_BY_ONE_SHARED, /* a write one past a shared array */
    OFF_BY_ONE_GLOBAL, /* a write one past an allocation */
    DIVERGENT_BRANCH,  /* two barriers in the two branches */
    DIVERGENT_EXIT,    /* some threads leave before the barrier */
    SHARED_OVERFLOW,   /* more dynamic shared memory used than launched with */
    SHARED_TOO_LARGE,  /* more launched with than a block has */
    SHUFFLE_SELF,      /* a lane calls with a mask that lacks it */
    SHUFFLE_MISMATCH,  /* the lanes' masks differ */
    SHUFFLE_OUTSIDE,   /* a lane outside of the mask is read */
    SHUFFLE_LEFT,      /* a lane of the mask has left */
    MISALIGNED,        /* a 16-byte load from a global address that is no multiple */
    MISALIGNED_SHARED, /* the same in shared memory */
    UNWRITTEN,         /* shared memory is read that nobody wrote */
    GLOBAL_RACE,       /* two blocks write one word of device memory */
    NO_ASYNC_WAIT,     /* cp.async, read without waiting */
    HOST_POINTER,      /* an argument that points to the host's memory */
    N_FAULTS
} Fault;

/* Runs the kernel of a fault, or its right form, over out [64 floats of the device]. right: out[i] as said in
 * the kernel. */
Status planted(Device *dev, Fault fault, bool right, float *out);

/* d [16,8] = a [16,16] b [16,8], bf16 in device memory, through cp.async, ldmatrix and mma. */
Status planted_mma(Device *dev, float *d, const uint16_t *a, const uint16_t *b);
/* Every thread of n blocks of 256 makes `rounds` barriers and shared accesses: for timing. */
Status planted_work(Device *dev, float *out, int blocks, int rounds);

#ifdef __cplusplus
}
#endif
#endif
