/* The table of the CUDA backend: bodies, and stubs for the rows of ops_cuda_missing.h. */
#include "kernels/device.cuh"
#include "kernels/ops_cuda_missing.h"

enum OpIndex {
#define X(op) OP_##op,
    OPS(X)
#undef X
};

template <OpIndex I> constexpr bool is_missing = false;
#define X(op) template <> constexpr bool is_missing<OP_##op> = true;
OPS_CUDA_MISSING(X)
#undef X

static Status missing(OpIndex i) {
    static const char *const names[] = {
#define X(op) #op,
        OPS(X)
#undef X
    };
    return status_error(E_UNSUPPORTED, "%s: the CUDA backend has no body for it yet; use --device cpu",
                        names[i]);
}

template <OpIndex I, class F> struct Stub;
template <OpIndex I, class... A> struct Stub<I, Status(A...)> {
    static Status body(A...) { return missing(I); }
};

static constexpr Ops make_ops() {
    Ops ops = {};
#define X(op)                                  \
    if constexpr (is_missing<OP_##op>)         \
        ops.op = Stub<OP_##op, op##_fn>::body; \
    else                                       \
        ops.op = BODY(op);
    OPS(X)
#undef X
    return ops;
}

extern "C" const Ops BODY(ops) = make_ops();

#define X(op) +1
extern "C" const int BODY(ops_missing) = 0 OPS_CUDA_MISSING(X);
#undef X
