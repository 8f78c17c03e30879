/* Template of the body, included once for each vector width. Wants LANES (4, 8, 16), TARGET (attribute),
 * NAME(x) and SIGN(d): 1, -1 or 0 in each lane. Three products share a tile of signs S that stays in the
 * nearest cache: D = [B | -c B*] [A ; A*] gives S, then dA += B^T S, dB += S A^T. Sums run over rows, and
 * over columns in LANES partial sums, in one order. */

typedef float NAME(Vec) __attribute__((vector_size(LANES * 4), aligned(4), may_alias));
typedef int32_t NAME(Bits) __attribute__((vector_size(LANES * 4)));
#define Vec NAME(Vec)
#define LOAD(p) (*(const Vec *)(const void *)(p))
#define STORE(p, x) (*(Vec *)(void *)(p) = (x))
#define PANEL (2 * LANES)
#define TILE_ROWS (LANES == 16 ? 12 : 6) /* of D: 24 or 12 sums in registers */
#define SUM_ROWS (LANES == 16 ? 3 : 1)   /* of dB at once */
#define UNROLL _Pragma("GCC unroll 24")
#define INLINE TARGET static inline __attribute__((always_inline))

/* One tile of D, TILE_ROWS x PANEL: signs to s, returns the lanes' sums of |D|. b: rows of 2 rp; stack: one
 * panel. */
INLINE void NAME(signs)(float *s, Vec *total, const float *b, const float *stack, int64_t steps) {
    Vec d[TILE_ROWS * 2], sum[2] = {0};
    UNROLL for (int i = 0; i < TILE_ROWS * 2; i++) d[i] = (Vec){0};
    for (int64_t k = 0; k < steps; k++, stack += PANEL) {
        Vec x0 = LOAD(stack), x1 = LOAD(stack + LANES);
        UNROLL for (int r = 0; r < TILE_ROWS; r++) {
            float f = b[r * steps + k];
            d[2 * r] += f * x0;
            d[2 * r + 1] += f * x1;
        }
    }
    UNROLL for (int i = 0; i < TILE_ROWS * 2; i++) {
        Vec sign = SIGN(d[i]);
        STORE(s + i * LANES, sign);
        sum[i % 2] += sign * d[i];
    }
    *total += sum[0] + sum[1];
}

/* dA of `ranks` ranks and one panel += B^T S. */
INLINE void NAME(add_da)(float *da, const float *s, const float *b, int64_t ldb, const int ranks) {
    Vec sum[16];
    UNROLL for (int i = 0; i < 2 * ranks; i++) sum[i] = LOAD(da + i * LANES);
    for (int o = 0; o < RECON_ROWS; o++, s += PANEL, b += ldb) {
        Vec s0 = LOAD(s), s1 = LOAD(s + LANES);
        UNROLL for (int j = 0; j < ranks; j++) {
            sum[2 * j] += b[j] * s0;
            sum[2 * j + 1] += b[j] * s1;
        }
    }
    UNROLL for (int i = 0; i < 2 * ranks; i++) STORE(da + i * LANES, sum[i]);
}

/* dB of SUM_ROWS rows and `ranks` ranks += S A^T over some panels; db: rows of rp sums of LANES. */
INLINE void NAME(add_db)(float *db, const float *s, const float *stack, int64_t rp, int64_t panels,
                         const int ranks) {
    Vec sum[SUM_ROWS * 8];
    UNROLL for (int r = 0; r < SUM_ROWS; r++) UNROLL for (int j = 0; j < ranks; j++) sum[r * ranks + j] =
        LOAD(db + (r * rp + j) * LANES);
    for (int64_t p = 0; p < panels; p++, s += RECON_ROWS * PANEL, stack += 2 * rp * PANEL)
        for (int half = 0; half < PANEL; half += LANES) {
            Vec x[SUM_ROWS];
            UNROLL for (int r = 0; r < SUM_ROWS; r++) x[r] = LOAD(s + r * PANEL + half);
            UNROLL for (int j = 0; j < ranks; j++) {
                Vec a = LOAD(stack + j * PANEL + half);
                UNROLL for (int r = 0; r < SUM_ROWS; r++) sum[r * ranks + j] += x[r] * a;
            }
        }
    UNROLL for (int r = 0; r < SUM_ROWS; r++) UNROLL for (int j = 0; j < ranks; j++)
        STORE(db + (r * rp + j) * LANES, sum[r * ranks + j]);
}

/* One block of rows against columns [panel, panel + panels): |D| is returned. */
TARGET static double NAME(tile)(const ReconScratch *m, int64_t panel, int64_t panels) {
    int64_t rp = m->rp, steps = 2 * rp;
    const float *stack = m->stack + panel * steps * PANEL;
    Vec sum = {0};
    double total = 0;
    for (int64_t p = 0; p < panels; p++)
        for (int r = 0; r < RECON_ROWS; r += TILE_ROWS) NAME(signs)
    (m->s + (p * RECON_ROWS + r) * PANEL, &sum, m->b + r * steps, stack + p * steps * PANEL, steps);
    for (int i = 0; i < LANES; i++) total += (double)sum[i];
    for (int64_t p = 0; p < panels; p++) {
        float *da = m->da + (panel + p) * rp * PANEL;
        const float *s = m->s + p * RECON_ROWS * PANEL;
        int64_t j = 0;
        for (; j + 8 <= rp; j += 8) NAME(add_da)(da + j * PANEL, s, m->b + j, steps, 8);
        if (j < rp) NAME(add_da)(da + j * PANEL, s, m->b + j, steps, 4);
    }
    for (int r = 0; r < RECON_ROWS; r += SUM_ROWS) {
        float *db = m->db + r * rp * LANES;
        const float *s = m->s + r * PANEL;
        int64_t j = 0;
        for (; j + 8 <= rp; j += 8) NAME(add_db)(db + j * LANES, s, stack + j * PANEL, rp, panels, 8);
        if (j < rp) NAME(add_db)(db + j * LANES, s, stack + j * PANEL, rp, panels, 4);
    }
    return total;
}

/* rank rows of `n` numbers, ld apart, into rows [first, first + rp) of each panel; zeros around them. */
TARGET static void NAME(pack)(float *stack, const ReconScratch *m, const float *x, int64_t ld, int64_t rank,
                              int64_t n, int64_t first) {
    for (int64_t c = 0; c < m->columns; c += PANEL) {
        float *to = stack + (c / PANEL * 2 * m->rp + first) * PANEL;
        int64_t some = n - c < 0 ? 0 : n - c < PANEL ? n - c : PANEL;
        for (int64_t j = 0; j < m->rp; j++, to += PANEL) {
            int64_t keep = j < rank ? some : 0;
            if (keep) memcpy(to, x + j * ld + c, (size_t)keep * sizeof *to);
            if (keep < PANEL) memset(to + keep, 0, (size_t)(PANEL - keep) * sizeof *to);
        }
    }
}

/* Rows [row, row + RECON_ROWS) of [B | -c B*]. */
TARGET static void NAME(pack_b)(const ReconScratch *m, const ReconItem *it, int64_t row) {
    int64_t steps = 2 * m->rp, rows = it->out - row < RECON_ROWS ? it->out - row : RECON_ROWS;
    memset(m->b, 0, (size_t)(RECON_ROWS * steps) * sizeof *m->b);
    for (int64_t j = 0; j < it->rank; j++) {
        const float *x = it->bt + j * it->ldb + row, *y = it->target_bt + j * it->target_ldb + row;
        for (int64_t o = 0; o < rows; o++) {
            m->b[o * steps + j] = x[o];
            m->b[o * steps + m->rp + j] = -it->c * y[o];
        }
    }
}

TARGET double NAME(recon_item)(const ReconItem *it, const ReconScratch *m) {
    const int64_t panels = m->columns / PANEL, chunk = RECON_COLUMNS / PANEL;
    double total = 0;
    NAME(pack)(m->stack, m, it->a, it->lda, it->rank, it->in, 0);
    NAME(pack)(m->stack, m, it->target_a, it->target_lda, it->rank, it->in, m->rp);
    memset(m->da, 0, (size_t)(m->rp * m->columns) * sizeof *m->da);
    for (int64_t row = 0; row < it->out; row += RECON_ROWS) {
        NAME(pack_b)(m, it, row);
        memset(m->db, 0, (size_t)(RECON_ROWS * m->rp * LANES) * sizeof *m->db);
        for (int64_t p = 0; p < panels; p += chunk)
            total += NAME(tile)(m, p, panels - p < chunk ? panels - p : chunk);
        for (int64_t o = 0; o < RECON_ROWS && row + o < it->out; o++)
            for (int64_t j = 0; j < it->rank; j++) {
                const float *part = m->db + (o * m->rp + j) * LANES;
                float sum[LANES];
                memcpy(sum, part, sizeof sum);
                UNROLL for (int n = LANES / 2; n > 0; n /= 2) UNROLL for (int i = 0; i < n; i++) sum[i] +=
                    sum[i + n];
                it->dbt[j * it->dbt_ld + row + o] = it->scale * sum[0];
            }
    }
    for (int64_t j = 0; j < it->rank; j++)
        for (int64_t c = 0; c < it->in; c++)
            it->da[j * it->da_ld + c] = it->scale * m->da[(c / PANEL * m->rp + j) * PANEL + c % PANEL];
    return total;
}

#undef Vec
#undef LOAD
#undef STORE
#undef PANEL
#undef TILE_ROWS
#undef SUM_ROWS
#undef UNROLL
#undef INLINE
#undef SIGN
#undef LANES
#undef TARGET
#undef NAME
