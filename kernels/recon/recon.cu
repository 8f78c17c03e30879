/* D = [B | -c B*] [A ; A*] and both gradients tile by tile on the tensor cores; no number of D leaves a
 * register.
 *
 * Numbers are split in two of f16, x = hi + lo, whose error is 2^-22 of x: three products (lo hi, hi lo, hi
 * hi) make D with an error of at most 3 * 2^-22 of |B||A| + c |B*||A*| besides the sums'; bf16 would leave
 * 2^-16. f16 has few exponents, so rows of A and columns of B are first multiplied by powers of two: a row's
 * maximum comes to just below 2^14, or half of its smallness lower where the products of its rank are small
 * beside the largest of the item. A number of at least 2^-16 of its row's maximum keeps all its 22 bits,
 * smaller ones lose some. Signs are exact in f16, so each gradient is the sum of a product with hi and one
 * with lo.
 *
 * A block takes a stripe of ROWS rows, a warp of it COLS columns at a time, over all rows of the stripe: dA
 * of those columns stays in registers and is written once a stripe, to be added over the stripes in order; dB
 * is added up in shared memory that belongs to the warp alone, and over the warps at the end. Nothing waits
 * inside the loop. Zeros pad ranks, rows and columns: they give D = 0 and sign 0.
 *
 * Predicted, not measured, for a step of Mistral-7B (4 tasks, 32 layers, q and v, rank 8: 2.68e9 numbers) on
 * an H200: 160 FLOP a number (D 3 * 32, dB 2 * 16, dA 32) are 429 GFLOP, at 400 TFLOP/s (40 % of the dense
 * roof, a guess at mma.sync) 1.07 ms; partial dA are 335 MB, written meanwhile and read again in 0.07 ms; the
 * maxima read 109 MB in 0.02 ms: 1.2 ms. The loop over a stripe, 16x32 numbers of a warp, is 89 instructions,
 * 20 of them mma (sm_90a): to issue them takes 0.5 ms, beside the mma. */
#include "kernels/sum.cuh"

enum { THREADS = 256, WARPS = THREADS / WARP, MAX_RANK = 64 };

/* ---- Scales ---- */

enum { TOP = 14, LEAST = -100, EMPTY = -1000, MOST_APART = 64 };

/* Exponents of one item's powers of two, of the rows of [A ; A*] and the columns of [B | -c B*], ranks padded
 * to RP; d: of D. */
template <int RP> struct ReconScales { int a[2 * RP], b[2 * RP], d; };

/* |x| < 2^e; LEAST where x is smaller than that, EMPTY where it is 0. */
__device__ __forceinline__ int exponent_of(float x) {
    int e = (int)(__float_as_uint(x) >> 23) - 126;
    return x == 0.0f ? (int)EMPTY : e < LEAST ? (int)LEAST : e;
}

template <int RP>
__global__ void recon_scales(ReconScales<RP> *scales, LoraView w, LoraView target, const int64_t *index,
                             int64_t first, int64_t rank, int64_t in, int64_t out, float c) {
    SHARED(int, size, 4 * RP); /* A, A*, B, c B* */
    int64_t item = first + blockIdx.x;
    for (int k = threadIdx.x / WARP; k < 4 * RP; k += WARPS) {
        bool is_b = k >= 2 * RP, is_target = k / RP % 2;
        int64_t j = k % RP, n = is_b ? out : in, at = is_target ? index[item] : item;
        const float *of_w = is_b ? w.bt + at * w.bt_stride + j * w.ldb : w.a + at * w.a_stride + j * w.lda;
        const float *of_target = is_b ? target.bt + at * target.bt_stride + j * target.ldb
                                      : target.a + at * target.a_stride + j * target.lda;
        const float *x = is_target ? of_target : of_w;
        float top = 0.0f;
        for (int64_t i = threadIdx.x % WARP; j < rank && i < n; i += WARP) top = fmaxf(top, fabsf(x[i]));
        top = warp_max(top);
        if (is_b && is_target) top *= fabsf(c);
        if (threadIdx.x % WARP == 0) size[k] = exponent_of(top);
    }
    __syncthreads();
    int k = threadIdx.x, largest = EMPTY; /* of a rank's products */
    if (k >= 2 * RP) return;
    for (int i = 0; i < 2 * RP; i++)
        if (size[i] != EMPTY && size[2 * RP + i] != EMPTY) largest = max(largest, size[i] + size[2 * RP + i]);
    int a = size[k], b = size[2 * RP + k], apart = 0;
    if (a != EMPTY && b != EMPTY) apart = min(largest - a - b, (int)MOST_APART);
    scales += blockIdx.x;
    scales->a[k] = a == EMPTY ? 0 : TOP - apart / 2 - a;
    scales->b[k] = b == EMPTY ? 0 : TOP - (apart - apart / 2) - b;
    if (k == 0) scales->d = largest == EMPTY ? 0 : 2 * TOP - largest;
}

/* ---- Tiles ---- */

/* What a launch works on; scratch of `stripes` stripes an item. */
struct ReconWork {
    int64_t first, rank, in, out, stripes, ld_part;
    float c;
    double per; /* of the gradients */
};

/* The sizes of a block for a padded rank. */
template <int RP> struct Tile {
    enum {
        COLS = RP == 8 ? 32 : 16, /* of a warp */
        NT = COLS / 8,
        KS = 2 * RP / 16, /* steps of 16 of the inner size of D */
        RT = RP / 8,
        ROWS = 2048 / RP,
        PITCH = 2 * RP + 8, /* f16 of a row: no two of 8 rows in the same banks */
        ROWS_BYTES = 2 * ROWS * PITCH * 2,
        DB_BYTES = WARPS * ROWS * RP * 4,
        BYTES = ROWS_BYTES + DB_BYTES + 2 * RP * 4
    };
};

/* hi and lo of two numbers. */
__device__ __forceinline__ void split(uint32_t &hi, uint32_t &lo, float x, float y) {
    hi = f16_pair(x, y);
    lo = f16_pair(x - f16_low(hi), y - f16_high(hi));
}

/* The fragments of COLS columns of [A ; A*] from `col` on, as the second operand of D. (f16 travel in the
 * type of 16 bits that there is.) */
template <int RP>
__device__ __forceinline__ void load_columns(uint32_t (&f)[Tile<RP>::NT][Tile<RP>::KS][2][2], const float *a,
                                             int64_t lda, const float *target_a, int64_t target_lda,
                                             Shared<float> scale, int64_t col, int64_t rank, int64_t in) {
    const int g = threadIdx.x % WARP / 4, t = threadIdx.x % 4;
#pragma unroll
    for (int nt = 0; nt < Tile<RP>::NT; nt++) {
        int64_t i = col + nt * 8 + g;
#pragma unroll
        for (int k8 = 0; k8 < 2 * RP; k8 += 8) {
            const float *x = k8 < RP ? a : target_a;
            const int64_t ld = k8 < RP ? lda : target_lda;
            float v[2];
#pragma unroll
            for (int n = 0; n < 2; n++) {
                int k = k8 + 2 * t + n;
                v[n] = k % RP < rank && i < in ? x[k % RP * ld + i] * scale[k] : 0.0f;
            }
            split(f[nt][k8 / 16][0][k8 / 8 % 2], f[nt][k8 / 16][1][k8 / 8 % 2], v[0], v[1]);
        }
    }
}

template <int RP>
__global__ void __launch_bounds__(THREADS, RP <= 16 ? 2 : 1)
    recon_tiles(double *loss, float *part, LoraView grad, LoraView w, LoraView target, const int64_t *index,
                const ReconScales<RP> *scales, ReconWork s) {
    typedef Tile<RP> S;
    SHARED(double, sums, WARPS);
    SHARED_DYNAMIC(bf16, rows, 0, 2 * S::ROWS * S::PITCH); /* hi, then lo, of [B | -c B*] */
    SHARED_DYNAMIC(float, db, S::ROWS_BYTES, S::DB_BYTES / 4);
    SHARED_DYNAMIC(float, scale, S::ROWS_BYTES + S::DB_BYTES, 2 * RP);
    enum { LO = S::ROWS * S::PITCH, TILES = S::ROWS / 16 };
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, g = lane / 4, t = lane % 4;
    const int64_t local = blockIdx.x / s.stripes, stripe = blockIdx.x % s.stripes, item = s.first + local;
    const int64_t row0 = stripe * S::ROWS;
    const int n_rows = (int)(s.out - row0 < S::ROWS ? s.out - row0 : (int64_t)S::ROWS);
    const int tiles = (n_rows + 15) / 16;
    const float *a = w.a + item * w.a_stride, *target_a = target.a + index[item] * target.a_stride;
    const float *bt = w.bt + item * w.bt_stride + row0;
    const float *target_bt = target.bt + index[item] * target.bt_stride + row0;
    scales += local;

    for (int n = threadIdx.x; n < 2 * RP * S::ROWS; n += THREADS) {
        int k = n / S::ROWS, row = n % S::ROWS;
        float x = 0.0f;
        if (k % RP < s.rank && row < n_rows)
            x = k < RP ? bt[k * w.ldb + row] : -s.c * target_bt[(k - RP) * target.ldb + row];
        uint32_t hi, lo;
        split(hi, lo, x * ldexpf(1.0f, scales->b[k]), 0.0f);
        rows[row * S::PITCH + k] = bf16{(uint16_t)hi};
        rows[LO + row * S::PITCH + k] = bf16{(uint16_t)lo};
    }
    if (threadIdx.x < 2 * RP) scale[threadIdx.x] = ldexpf(1.0f, scales->a[threadIdx.x]);
    Shared<float> mine = db + (warp * TILES * S::RT * WARP + lane) * 4; /* 4 of every WARP * 4 */
    for (int n = 0; n < TILES * S::RT; n++) vec_store(mine + n * WARP * 4, Vec16<float>{});
    __syncthreads();

    /* where this lane's row begins in ldmatrix: of 16x16 of [B | -c B*]; of hi and lo of B, transposed */
    Shared<bf16> row_d = rows + (lane % 16 * S::PITCH + lane / 16 * 8);
    Shared<bf16> row_da = rows + ((lane / 8 % 2 ? (int)LO : 0) + (lane / 16 * 8 + lane % 8) * S::PITCH);
    double total = 0.0;
    for (int64_t col = warp * S::COLS; col < s.in; col += WARPS * S::COLS) {
        uint32_t f[S::NT][S::KS][2][2];             /* [A ; A*] */
        uint32_t at[S::NT / 2][S::RT][2][2];        /* A^T, 16 columns each */
        float da[S::NT][S::RT][4] = {}, sum = 0.0f; /* da: 8 rows of hi, 8 of lo */
        load_columns<RP>(f, a, w.lda, target_a, target.lda, scale, col, s.rank, s.in);
#pragma unroll
        for (int n = 0; n < S::NT * S::RT * 2; n++) {
            int nt = n % S::NT, rt = n / S::NT % S::RT, term = n / S::NT / S::RT;
            at[nt / 2][rt][term][nt % 2] = movmatrix(f[nt][rt / 2][term][rt % 2]);
        }
#pragma unroll 1 /* registers */
        for (int tile = 0; tile < tiles; tile++) {
            float d[S::NT][4] = {};
#pragma unroll
            for (int ks = 0; ks < S::KS; ks++) {
                uint32_t hi[4], lo[4];
                ldmatrix<4, false>(lo, row_d + (LO + tile * 16 * S::PITCH + ks * 16));
                ldmatrix<4, false>(hi, row_d + (tile * 16 * S::PITCH + ks * 16));
#pragma unroll
                for (int nt = 0; nt < S::NT; nt++) mma_f16(d[nt], lo, f[nt][ks][0]);
#pragma unroll
                for (int nt = 0; nt < S::NT; nt++) mma_f16(d[nt], hi, f[nt][ks][1]);
#pragma unroll
                for (int nt = 0; nt < S::NT; nt++) mma_f16(d[nt], hi, f[nt][ks][0]);
            }
            uint32_t sign[S::NT][2];
            float sizes = 0.0f;
#pragma unroll
            for (int nt = 0; nt < S::NT; nt++) {
                sizes += (fabsf(d[nt][0]) + fabsf(d[nt][1])) + (fabsf(d[nt][2]) + fabsf(d[nt][3]));
                sign[nt][0] = f16_signs(d[nt][0], d[nt][1]);
                sign[nt][1] = f16_signs(d[nt][2], d[nt][3]);
            }
            sum += sizes;
#pragma unroll
            for (int rt = 0; rt < S::RT; rt++) { /* dB += S A^T */
                Shared<float> at_db = mine + (tile * S::RT + rt) * WARP * 4;
                Vec16<float> acc = vec_load(at_db);
#pragma unroll
                for (int n = 0; n < S::NT; n++) { /* lo, then hi */
                    const int nt = n / 2 * 2, term = 1 - n % 2;
                    const uint32_t s16[4] = {sign[nt][0], sign[nt][1], sign[nt + 1][0], sign[nt + 1][1]};
                    mma_f16(acc.v, s16, at[nt / 2][rt][term]);
                }
                vec_store(at_db, acc);
            }
#pragma unroll
            for (int nt = 0; nt < S::NT; nt++)
#pragma unroll
                for (int h = 0; h < 2; h++) sign[nt][h] = movmatrix(sign[nt][h]);
#pragma unroll
            for (int rt = 0; rt < S::RT; rt++) { /* dA += B^T S */
                uint32_t b[4];
                ldmatrix<4, true>(b, row_da + (tile * 16 * S::PITCH + rt * 8));
#pragma unroll
                for (int nt = 0; nt < S::NT; nt++) mma_f16(da[nt][rt], b, sign[nt]);
            }
        }
        total += (double)sum;
#pragma unroll
        for (int n = 0; n < S::NT * S::RT; n++) {
            int nt = n % S::NT, rt = n / S::NT;
            int64_t j = rt * 8 + g, i = col + nt * 8 + 2 * t;
            if (j >= s.rank || i >= s.ld_part) continue; /* ld_part: in rounded up to 8 */
            float *to = part + (blockIdx.x * s.rank + j) * s.ld_part + i;
            to[0] = da[nt][rt][0] + da[nt][rt][2];
            to[1] = da[nt][rt][1] + da[nt][rt][3];
        }
    }
    total = block_sum<THREADS, double>(total, sums); /* waits for every warp's db too */
    if (threadIdx.x == 0) loss[item * s.stripes + stripe] = ldexp(total, -scales->d);
    for (int n = threadIdx.x; n < RP * S::ROWS; n += THREADS) {
        int j = n / S::ROWS, row = n % S::ROWS;
        if (j >= s.rank || row >= n_rows) continue;
        int of_lane = row % 8 * 4 + j % 8 / 2, number = row % 16 / 8 * 2 + j % 2;
        float x = 0.0f;
        for (int k = 0; k < WARPS; k++)
            x += db[(((k * TILES + row / 16) * S::RT + j / 8) * WARP + of_lane) * 4 + number];
        grad.bt[item * grad.bt_stride + j * grad.ldb + row0 + row] =
            (float)(s.per * ldexp((double)x, -scales->a[j]));
    }
}

/* dA of one item and rank: the stripes' parts in order. */
template <int RP>
__global__ void recon_add_stripes(LoraView grad, const float *part, const ReconScales<RP> *scales,
                                  ReconWork s, unsigned blocks) {
    int64_t i = (int64_t)(blockIdx.x % blocks) * THREADS + threadIdx.x, j = blockIdx.x / blocks % s.rank,
            local = blockIdx.x / blocks / s.rank;
    if (i >= s.in) return;
    part += (local * s.stripes * s.rank + j) * s.ld_part + i;
    float x = 0.0f;
    for (int64_t k = 0; k < s.stripes; k++) x += part[k * s.rank * s.ld_part];
    grad.a[(s.first + local) * grad.a_stride + j * grad.lda + i] =
        (float)(s.per * ldexp((double)x, -scales[local].b[j]));
}

/* As many items at a time as the scratch has room for. */
template <int RP>
static Status delta_w(Device *dev, double *loss, LoraView g, LoraView w, LoraView target,
                      const int64_t *host_index, ReconShape shape) {
    typedef Tile<RP> S;
    Arena *arena = &dev->scratch;
    size_t mark = arena_mark(arena);
    ReconWork s = {0,
                   shape.rank,
                   shape.in,
                   shape.out,
                   (shape.out + S::ROWS - 1) / S::ROWS,
                   (shape.in + 7) / 8 * 8,
                   shape.c,
                   shape.weight / ((double)shape.items * (double)shape.in * (double)shape.out)};
    int64_t *index = (int64_t *)arena_alloc(arena, (size_t)shape.items * sizeof *index);
    double *each = (double *)arena_alloc(arena, (size_t)(shape.items * s.stripes) * sizeof *each);
    TRY(device_upload(dev, index, host_index, (size_t)shape.items * sizeof *index));
    size_t part_bytes = (size_t)(s.stripes * s.rank * s.ld_part) * sizeof(float);
    size_t left = arena->size - arena->used, rest = 256; /* rest: alignment, and the sum's */
    size_t room = left > rest ? (left - rest) / (part_bytes + sizeof(ReconScales<RP>)) : 0;
    int64_t most = room < 1 ? 1 : room < (size_t)shape.items ? (int64_t)room : shape.items;
    ReconScales<RP> *scales = (ReconScales<RP> *)arena_alloc(arena, (size_t)most * sizeof *scales);
    float *part = (float *)arena_alloc(arena, (size_t)most * part_bytes);
    unsigned blocks = grid_for(s.in, THREADS);
    for (; s.first < shape.items; s.first += most) {
        int64_t n = shape.items - s.first < most ? shape.items - s.first : most;
        TRY(LAUNCH(dev, recon_scales<RP>, grid_for(n, 1), THREADS, 0, scales, w, target, index, s.first,
                   s.rank, s.in, s.out, s.c));
        TRY(LAUNCH(dev, recon_tiles<RP>, grid_for(n * s.stripes, 1), THREADS, S::BYTES, each, part, g, w,
                   target, index, scales, s));
        TRY(LAUNCH(dev, recon_add_stripes<RP>, grid_for(n * s.rank * blocks, 1), THREADS, 0, g, part, scales,
                   s, blocks));
    }
    double total;
    TRY(sum_to_host(dev, &total, each, shape.items * s.stripes));
    *loss = s.per * total;
    arena_release(arena, mark);
    return OK;
}

extern "C" Status BODY(recon_delta_w)(Device *dev, double *loss, LoraView g, LoraView w, LoraView target,
                                      const int64_t *index, ReconShape shape) {
    if (shape.rank <= 8) return delta_w<8>(dev, loss, g, w, target, index, shape);
    if (shape.rank <= 16) return delta_w<16>(dev, loss, g, w, target, index, shape);
    if (shape.rank <= 32) return delta_w<32>(dev, loss, g, w, target, index, shape);
    if (shape.rank <= MAX_RANK) return delta_w<64>(dev, loss, g, w, target, index, shape);
    return status_error(E_UNSUPPORTED,
                        "recon_delta_w: rank %lld; the CUDA backend takes ranks up to %d: use --device cpu",
                        (long long)shape.rank, MAX_RANK);
}

/* ---- Factors ---- */

/* A block takes one row of A or of B^T, ranks of A first. */
template <int N>
__global__ void recon_factor_row(double *loss, LoraView grad, LoraView w, LoraView target,
                                 const int64_t *index, int64_t rank, int64_t in, int64_t out, double per_a,
                                 double per_b) {
    SHARED(double, sums, WARPS);
    int64_t item = blockIdx.x / (2 * rank), k = blockIdx.x % (2 * rank), j = k % rank;
    bool is_b = k >= rank;
    int64_t n = is_b ? out : in, at = index[item];
    const float *x = is_b ? w.bt + item * w.bt_stride + j * w.ldb : w.a + item * w.a_stride + j * w.lda;
    const float *y = is_b ? target.bt + at * target.bt_stride + j * target.ldb
                          : target.a + at * target.a_stride + j * target.lda;
    float *to =
        is_b ? grad.bt + item * grad.bt_stride + j * grad.ldb : grad.a + item * grad.a_stride + j * grad.lda;
    float scale = (float)(is_b ? per_b : per_a);
    double sum = 0.0;
    for (int64_t i = threadIdx.x * N; i < n; i += THREADS * N) {
        float p[N], q[N], part = 0.0f;
        load_f32(p, x + i);
        load_f32(q, y + i);
#pragma unroll
        for (int m = 0; m < N; m++) {
            float d = p[m] - q[m];
            part += fabsf(d);
            p[m] = (d > 0.0f ? scale : 0.0f) - (d < 0.0f ? scale : 0.0f);
        }
        store_f32(to + i, p);
        sum += (double)part;
    }
    sum = block_sum<THREADS, double>(sum, sums);
    if (threadIdx.x == 0) loss[blockIdx.x] = (is_b ? per_b : per_a) * sum;
}

static bool vec_view(LoraView v, const ReconShape *s) {
    return vec_rows(v.a, v.lda, s->in) && vec_rows(v.bt, v.ldb, s->out) && v.a_stride % 4 == 0 &&
           v.bt_stride % 4 == 0;
}

/* Reads four factors and writes two, 6 * 4 rank (in + out) bytes an item: the step above is 164 MB. */
extern "C" Status BODY(recon_factor)(Device *dev, double *loss, LoraView g, LoraView w, LoraView target,
                                     const int64_t *host_index, ReconShape s) {
    size_t mark = arena_mark(&dev->scratch);
    int64_t rows = 2 * s.items * s.rank;
    double per = 0.5 * s.weight / ((double)s.items * (double)s.rank), per_a = per / (double)s.in,
           per_b = per / (double)s.out;
    int64_t *index = (int64_t *)arena_alloc(&dev->scratch, (size_t)s.items * sizeof *index);
    double *each = (double *)arena_alloc(&dev->scratch, (size_t)rows * sizeof *each);
    TRY(device_upload(dev, index, host_index, (size_t)s.items * sizeof *index));
    if (vec_view(g, &s) && vec_view(w, &s) && vec_view(target, &s))
        TRY(LAUNCH(dev, recon_factor_row<4>, grid_for(rows, 1), THREADS, 0, each, g, w, target, index, s.rank,
                   s.in, s.out, per_a, per_b));
    else
        TRY(LAUNCH(dev, recon_factor_row<1>, grid_for(rows, 1), THREADS, 0, each, g, w, target, index, s.rank,
                   s.in, s.out, per_a, per_b));
    TRY(sum_to_host(dev, loss, each, rows));
    arena_release(&dev->scratch, mark);
    return OK;
}
