/* cuBLASLt. A packed weight is W as it lies, [N,K] row by row, in the type to compute in; forward and
 * backward read the same bytes. With a bf16 weight, f32 activations are first rounded into scratch.
 *
 * Predicted, not measured, on an H200 (990 TFLOP/s dense bf16, 70 % of it as large products usually reach):
 * Mistral-7B's fused gate and up, 2048 tokens x 4096 x 28672 in bf16: 481 GFLOP, 0.69 ms; rounding f32
 * activations before it adds 50 MB, 0.01 ms at 4.8 TB/s. */
#include "kernels/matmul/matmul_blas.cuh"

enum { THREADS = 256, VEC = 8 };
static const int64_t PACK_STEP = 1 << 20; /* elements uploaded at a time: chosen */

/* A thread takes N neighbours of a row; per_row = cols / N. */
template <class To, class From, int N>
__global__ void matmul_convert(To *dst, int64_t ldd, const From *src, int64_t lds, int64_t total,
                               int64_t per_row) {
    int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (i >= total) return;
    int64_t row = i / per_row, col = i % per_row * N;
    float a[N];
    load_f32(a, src + row * lds + col);
    store_f32(dst + row * ldd + col, a);
}

template <class To, class From>
static Status convert(Device *dev, To *dst, int64_t ldd, const From *src, int64_t lds, int64_t rows,
                      int64_t cols) {
    if (cols % VEC == 0 && vec_rows(dst, ldd, cols) && vec_rows(src, lds, cols))
        return LAUNCH(dev, (matmul_convert<To, From, VEC>), grid_for(rows * (cols / VEC), THREADS), THREADS,
                      0, dst, ldd, src, lds, rows * (cols / VEC), cols / VEC);
    return LAUNCH(dev, (matmul_convert<To, From, 1>), grid_for(rows * cols, THREADS), THREADS, 0, dst, ldd,
                  src, lds, rows * cols, cols);
}

Status matmul_round(Device *dev, const bf16 **copy, int64_t *ld, const float *src, int64_t lds, int64_t rows,
                    int64_t cols) {
    *ld = (cols + VEC - 1) / VEC * VEC;
    bf16 *dst = (bf16 *)arena_alloc(&dev->scratch, dtype_bytes(DT_BF16, rows * *ld));
    *copy = dst;
    return convert(dev, dst, *ld, src, lds, rows, cols);
}

static Status product(Device *dev, const char *op, BlasProduct p, DType a_type, DType w_type) {
    if (w_type == DT_F32 && (a_type != DT_F32 || p.out != DT_F32))
        return device_unsupported(dev, op, DT_BF16);
    p.in = w_type;
    p.alpha = 1.0f;
    size_t mark = arena_mark(&dev->scratch);
    Status s = OK;
    if (a_type != w_type) {
        const bf16 *rounded;
        s = matmul_round(dev, &rounded, &p.lda, (const float *)p.a, p.lda, p.m, p.k);
        p.a = rounded;
    }
    if (status_is_ok(s)) s = matmul_blas(dev, &p);
    arena_release(&dev->scratch, mark);
    return s;
}

extern "C" Status BODY(matmul_fwd)(Device *dev, void *y, int64_t ldy, DType y_type, const void *x,
                                   int64_t ldx, DType x_type, const Weight *w, int64_t m, bool accumulate) {
    BlasProduct p = {};
    p.m = m;
    p.n = w->n;
    p.k = w->k;
    p.a = x;
    p.lda = ldx;
    p.b = w->fwd;
    p.ldb = w->k;
    p.tb = TRANS;
    p.c = y;
    p.ldc = ldy;
    p.out = y_type;
    p.beta = accumulate ? 1.0f : 0.0f;
    return product(dev, "matmul_fwd", p, x_type, w->dtype);
}

extern "C" Status BODY(matmul_bwd)(Device *dev, void *dx, int64_t lddx, DType dx_type, const void *dy,
                                   int64_t lddy, DType dy_type, const Weight *w, int64_t m, bool accumulate) {
    BlasProduct p = {};
    p.m = m;
    p.n = w->k;
    p.k = w->n;
    p.a = dy;
    p.lda = lddy;
    p.b = w->bwd;
    p.ldb = w->k;
    p.c = dx;
    p.ldc = lddx;
    p.out = dx_type;
    p.beta = accumulate ? 1.0f : 0.0f;
    return product(dev, "matmul_bwd", p, dy_type, w->dtype);
}

/* The host's n elements of type From, converted on the device. */
template <class To, class From> static Status pack(Device *dev, To *out, const From *w, int64_t n) {
    size_t mark = arena_mark(&dev->scratch);
    const int64_t step = n < PACK_STEP ? n : PACK_STEP;
    From *part = (From *)arena_alloc(&dev->scratch, (size_t)step * sizeof(From));
    Status s = OK;
    for (int64_t at = 0; at < n && status_is_ok(s); at += step) {
        int64_t count = n - at < step ? n - at : step;
        s = device_upload(dev, part, w + at, (size_t)count * sizeof(From));
        if (status_is_ok(s)) s = convert(dev, out + at, count, part, count, 1, count);
    }
    arena_release(&dev->scratch, mark);
    return s;
}

extern "C" Status BODY(matmul_pack)(Device *dev, Arena *arena, Weight *out, const void *w, DType w_dtype,
                                    int64_t n, int64_t k, DType dtype, bool with_bwd) {
    out->n = n;
    out->k = k;
    out->dtype = dtype;
    out->fwd = arena_alloc(arena, dtype_bytes(dtype, n * k));
    out->bwd = with_bwd ? out->fwd : NULL;
    if (!arena->base) return OK;
    if (dtype == w_dtype) return device_upload(dev, out->fwd, w, dtype_bytes(dtype, n * k));
    if (dtype == DT_BF16) return pack(dev, (bf16 *)out->fwd, (const float *)w, n * k);
    return pack(dev, (float *)out->fwd, (const bf16 *)w, n * k);
}
