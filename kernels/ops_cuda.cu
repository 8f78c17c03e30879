/* The table of the CUDA backend. */
#include "kernels/device.cuh"

static constexpr Ops make_ops() {
    Ops ops = {};
#define X(op) ops.op = BODY(op);
    OPS(X)
#undef X
    return ops;
}

extern "C" const Ops BODY(ops) = make_ops();
