/* Products with a packed matrix on the CPU. Parallel over output tiles only, and a tile's sums run over K one
 * step after the other in f32, so the bits depend neither on the number of threads nor on the other rows of
 * the batch: decoding one sequence or eight gives the same logits.
 *
 * Blocking (BLIS, Van Zee & van de Geijn 2015, without packing A): a task is up to 8 row tiles x 8 panels; K
 * goes in blocks of 1024 steps so that a task's A block (96 rows, 393 KB) and one panel (131 KB) stay in a
 * 1 MB L2. Between blocks the sums rest in y, unrounded: blocking does not change a bit. */
#include "kernels/matmul/matmul_cpu.h"

#include "kernels/ops.h"
#include <string.h>

enum { BLOCK_STEPS = 1024, TASK_TILES = 8, TASK_PANELS = 8 };

typedef struct Product {
    float *c;
    int64_t ldc;
    const uint32_t *a;
    int64_t lda; /* steps */
    const char *b;
    int64_t m, n, steps;
    bool accumulate;
    MatmulTile *tile;
} Product;

static int64_t divide_up(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}

static int64_t steps_of(int64_t k, DType dtype) {
    return dtype == DT_BF16 ? divide_up(k, 2) : k;
}

/* Where part i of `parts` even parts of n begins. */
static int64_t part(int64_t n, int64_t parts, int64_t i) {
    return n * i / parts;
}

/* A tile of few rows takes several panels at once: enough sums in flight, several streams from memory. */
static int64_t panels_at_once(int64_t rows) {
    return rows <= 3 ? 4 : rows <= 6 ? 2 : 1;
}

static void run_task(const Product *p, int64_t tiles, int64_t tile0, int64_t tile1, int64_t panel0,
                     int64_t panel1) {
    int64_t stride = p->steps * MATMUL_STEP_BYTES;
    int64_t group = panels_at_once(divide_up(p->m, tiles));
    for (int64_t s = 0; s < p->steps; s += BLOCK_STEPS) {
        int64_t steps = p->steps - s < BLOCK_STEPS ? p->steps - s : BLOCK_STEPS;
        for (int64_t j = panel0; j < panel1; j += group) {
            int64_t end = (j + group < panel1 ? j + group : panel1) * MATMUL_PANEL;
            int64_t cols = (end < p->n ? end : p->n) - j * MATMUL_PANEL;
            MatmulTileArgs t = {.ldc = p->ldc,
                                .lda = p->lda,
                                .b = p->b + j * stride + s * MATMUL_STEP_BYTES,
                                .panel_stride = stride,
                                .steps = steps,
                                .cols = cols,
                                .next_parts = tile1 - tile0,
                                .load = p->accumulate || s > 0};
            for (int64_t i = tile0; i < tile1; i++) {
                int64_t row = part(p->m, tiles, i);
                t.rows = (int)(part(p->m, tiles, i + 1) - row);
                t.c = p->c + row * p->ldc + j * MATMUL_PANEL;
                t.a = p->a + row * p->lda + s;
                /* Each of the tiles fetches its share of the next panel. */
                if (t.next_parts > 1)
                    t.next = t.b + stride + (i - tile0) * (steps * MATMUL_STEP_BYTES / t.next_parts);
                p->tile(&t);
            }
        }
    }
}

static void multiply(Device *dev, const Product *p) {
    int64_t threads = dev->n_threads;
    int64_t tiles = divide_up(p->m, MATMUL_ROWS), panels = divide_up(p->n, MATMUL_PANEL);
    int64_t row_parts = divide_up(tiles, TASK_TILES);
    int64_t column_parts = threads * divide_up(panels, threads * TASK_PANELS);
    if (column_parts > panels) column_parts = panels;
    int64_t tasks = row_parts * column_parts;
#pragma omp parallel for num_threads(dev->n_threads) schedule(dynamic, 1) if (tasks > 1)
    for (int64_t t = 0; t < tasks; t++) {
        int64_t r = t % row_parts, c = t / row_parts;
        run_task(p, tiles, part(tiles, row_parts, r), part(tiles, row_parts, r + 1),
                 part(panels, column_parts, c), part(panels, column_parts, c + 1));
    }
}

static MatmulTile *tile_f32(const Device *dev) {
#if defined(__x86_64__)
    if (dev->avx512) return matmul_run_f32_avx512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return matmul_run_f32_avx2;
#endif
    (void)dev;
    return matmul_run_f32;
}

/* x [m,k] as bf16 pairs in scratch. */
static const uint32_t *rounded(Device *dev, const float *x, int64_t ldx, int64_t m, int64_t k) {
    int64_t ld = 2 * steps_of(k, DT_BF16);
    uint16_t *out = arena_alloc(&dev->scratch, dtype_bytes(DT_BF16, m * ld));
    int64_t parts = m * k < 32768 ? 1 : 4 * dev->n_threads;
#pragma omp parallel for num_threads(dev->n_threads) schedule(static) if (parts > 1)
    for (int64_t i = 0; i < parts; i++) {
        int64_t row = part(m, parts, i), rows = part(m, parts, i + 1) - row;
        matmul_round_bf16(out + row * ld, ld, x + row * ldx, ldx, rows, k);
    }
    return (const uint32_t *)(const void *)out;
}

void matmul_packed(Device *dev, float *c, int64_t ldc, const uint32_t *a, int64_t lda, const void *b,
                   DType dtype, int64_t m, int64_t n, int64_t k, bool accumulate) {
    CHECK(dtype != DT_BF16 || dev->bf16_dot, "a bf16 product on a device that has none");
    Product p = {.c = c, .ldc = ldc, .a = a, .lda = lda, .b = b, .m = m, .n = n, .accumulate = accumulate};
    p.steps = steps_of(k, dtype);
    p.tile = dtype == DT_BF16 ? matmul_run_bf16 : tile_f32(dev);
    multiply(dev, &p);
}

/* c[m,n] (+)= a[m,k] B, B [k,n] packed. */
static Status product(Device *dev, float *c, int64_t ldc, const float *a, int64_t lda, const void *b,
                      DType dtype, int64_t m, int64_t n, int64_t k, bool accumulate) {
    size_t mark = arena_mark(&dev->scratch);
    if (dtype == DT_BF16)
        matmul_packed(dev, c, ldc, rounded(dev, a, lda, m, k), steps_of(k, dtype), b, dtype, m, n, k,
                      accumulate);
    else
        matmul_packed(dev, c, ldc, (const uint32_t *)(const void *)a, lda, b, dtype, m, n, k, accumulate);
    arena_release(&dev->scratch, mark);
    return OK;
}

Status matmul_fwd_cpu(Device *dev, void *y, int64_t ldy, DType y_type, const void *x, int64_t ldx,
                      DType x_type, const Weight *w, int64_t m, bool accumulate) {
    if (y_type != DT_F32 || x_type != DT_F32) return device_unsupported(dev, "matmul_fwd", DT_BF16);
    return product(dev, y, ldy, x, ldx, w->fwd, w->dtype, m, w->n, w->k, accumulate);
}

Status matmul_bwd_cpu(Device *dev, void *dx, int64_t lddx, DType dx_type, const void *dy, int64_t lddy,
                      DType dy_type, const Weight *w, int64_t m, bool accumulate) {
    if (dx_type != DT_F32 || dy_type != DT_F32) return device_unsupported(dev, "matmul_bwd", DT_BF16);
    return product(dev, dx, lddx, dy, lddy, w->bwd, w->dtype, m, w->k, w->n, accumulate);
}

/* ---- packing ---- */

enum { CUT = 64 }; /* source tile: 64 x 64 elements stay in L1 in every type */

/* A tile of w in the type to compute in, zeros outside the matrix. */
typedef union Cut {
    float f32[CUT][CUT];
    uint16_t bf16[CUT][CUT];
} Cut;

static void cut_out(Cut *cut, const void *w, DType w_dtype, int64_t n, int64_t k, int64_t row, int64_t col,
                    DType dtype) {
    int64_t rows = n - row < CUT ? n - row : CUT, cols = k - col < CUT ? k - col : CUT;
    if (rows < CUT || cols < CUT) memset(cut, 0, sizeof *cut);
    for (int64_t i = 0; i < rows; i++) {
        int64_t at = (row + i) * k + col;
        const float *f = (const float *)w + at;
        const uint16_t *h = (const uint16_t *)w + at;
        if (dtype == DT_BF16 && w_dtype == DT_BF16) {
            memcpy(cut->bf16[i], h, (size_t)cols * sizeof *h);
        } else if (dtype == DT_BF16) {
            matmul_round_bf16(cut->bf16[i], cols, f, cols, 1, cols);
        } else if (w_dtype == DT_BF16) {
            for (int64_t j = 0; j < cols; j++) cut->f32[i][j] = bf16_to_float(h[j]);
        } else {
            memcpy(cut->f32[i], f, (size_t)cols * sizeof *f);
        }
    }
}

/* out[s][j] = in[j][s] for 32 rows of in and n steps of 4 bytes; in has room up to a multiple of 4 steps.
 * Squares of 4 x 4: 16 words in 8 shuffles. */
static void transpose(uint32_t *out, const char *in, size_t row_bytes, int64_t n) {
    typedef uint32_t Four __attribute__((vector_size(16)));
    for (int64_t s = 0; s < n; s += 4)
        for (int64_t j = 0; j < MATMUL_PANEL; j += 4) {
            Four r[4], t[4], o[4];
            for (int i = 0; i < 4; i++) memcpy(&r[i], in + (size_t)(j + i) * row_bytes + s * 4, sizeof r[i]);
            t[0] = __builtin_shufflevector(r[0], r[1], 0, 4, 1, 5);
            t[1] = __builtin_shufflevector(r[2], r[3], 0, 4, 1, 5);
            t[2] = __builtin_shufflevector(r[0], r[1], 2, 6, 3, 7);
            t[3] = __builtin_shufflevector(r[2], r[3], 2, 6, 3, 7);
            o[0] = __builtin_shufflevector(t[0], t[1], 0, 1, 4, 5);
            o[1] = __builtin_shufflevector(t[0], t[1], 2, 3, 6, 7);
            o[2] = __builtin_shufflevector(t[2], t[3], 0, 1, 4, 5);
            o[3] = __builtin_shufflevector(t[2], t[3], 2, 3, 6, 7);
            for (int64_t i = 0; i < 4 && s + i < n; i++)
                memcpy(out + (s + i) * MATMUL_PANEL + j, &o[i], sizeof o[i]);
        }
}

/* Puts a cut where it belongs in packed B: B = w^T (fwd: columns of B are rows of w) or B = w (bwd). */
static void pack_cut(char *out, const Cut *cut, DType dtype, bool bwd, int64_t steps, int64_t column0,
                     int64_t inner0, int64_t columns) {
    int64_t per_step = dtype == DT_BF16 ? 2 : 1, step0 = inner0 / per_step;
    int64_t n = CUT / per_step < steps - step0 ? CUT / per_step : steps - step0;
    for (int64_t c = 0; c < CUT && column0 + c < columns; c += MATMUL_PANEL) {
        char *to = out + ((column0 + c) / MATMUL_PANEL * steps + step0) * MATMUL_STEP_BYTES;
        if (!bwd) {
            const char *from = dtype == DT_BF16 ? (const char *)cut->bf16[c] : (const char *)cut->f32[c];
            transpose((uint32_t *)(void *)to, from, dtype_bytes(dtype, CUT), n);
        } else if (dtype == DT_F32) {
            for (int64_t s = 0; s < n; s++)
                memcpy(to + s * MATMUL_STEP_BYTES, &cut->f32[s][c], MATMUL_STEP_BYTES);
        } else {
            for (int64_t s = 0; s < n; s++) {
                uint16_t *pair = (uint16_t *)(void *)(to + s * MATMUL_STEP_BYTES);
                for (int64_t j = 0; j < MATMUL_PANEL; j++) {
                    pair[2 * j] = cut->bf16[2 * s][c + j];
                    pair[2 * j + 1] = cut->bf16[2 * s + 1][c + j];
                }
            }
        }
    }
}

size_t matmul_packed_bytes(int64_t columns, int64_t inner, DType dtype) {
    return (size_t)(divide_up(columns, MATMUL_PANEL) * steps_of(inner, dtype)) * MATMUL_STEP_BYTES;
}

void matmul_pack_side(Device *dev, void *out, const void *w, DType w_dtype, int64_t n, int64_t k, DType dtype,
                      bool bwd) {
    int64_t down = divide_up(n, CUT), across = divide_up(k, CUT);
#pragma omp parallel for num_threads(dev->n_threads) schedule(static)
    for (int64_t i = 0; i < down; i++) {
        Cut cut;
        for (int64_t j = 0; j < across; j++) {
            cut_out(&cut, w, w_dtype, n, k, i * CUT, j * CUT, dtype);
            if (bwd)
                pack_cut(out, &cut, dtype, true, steps_of(n, dtype), j * CUT, i * CUT, k);
            else
                pack_cut(out, &cut, dtype, false, steps_of(k, dtype), i * CUT, j * CUT, n);
        }
    }
}

Status matmul_pack_cpu(Device *dev, Arena *arena, Weight *out, const void *w, DType w_dtype, int64_t n,
                       int64_t k, DType dtype, bool with_bwd) {
    if (dtype == DT_BF16 && !dev->bf16_dot)
        return status_error(E_ENV, "this CPU has no AVX512-BF16; compute in f32 instead");
    out->n = n;
    out->k = k;
    out->dtype = dtype;
    out->fwd = arena_alloc(arena, matmul_packed_bytes(n, k, dtype));
    out->bwd = with_bwd ? arena_alloc(arena, matmul_packed_bytes(k, n, dtype)) : NULL;
    if (!arena->base) return OK;
    matmul_pack_side(dev, out->fwd, w, w_dtype, n, k, dtype, false);
    if (with_bwd) matmul_pack_side(dev, out->bwd, w, w_dtype, n, k, dtype, true);
    return OK;
}
