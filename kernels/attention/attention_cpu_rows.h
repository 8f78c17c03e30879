/* Template of the bodies, included once for each vector width. Wants LANES (4, 8, 16), TARGET (attribute) and
 * NAME(x). Vectors run over the head size. Dot products: LANES sums of one product each, reduced together by
 * a tree of shuffles and adds; each is summed in the same order whichever of the LANES it is. */

typedef float NAME(Vec) __attribute__((vector_size(LANES * 4), aligned(4), may_alias));
#define Vec NAME(Vec)
#define LOAD(p) (*(const Vec *)(const void *)(p))
#define STORE(p, x) (*(Vec *)(void *)(p) = (x))
#define KEYS (LANES / 4)              /* keys of one tile of dot products */
#define COLUMNS (LANES == 16 ? 4 : 2) /* vectors of one tile of weighted sums: 16 or 8 sums in registers */
#define UNROLL _Pragma("GCC unroll 16")

/* Neighbours (a, b) become one vector that interleaves their partial sums; four levels end in one vector of
 * LANES complete sums, in order. */
#if LANES == 4
#define PAIR1(a, b) (__builtin_shufflevector(a, b, 0, 4, 1, 5) + __builtin_shufflevector(a, b, 2, 6, 3, 7))
#define PAIR2(a, b) (__builtin_shufflevector(a, b, 0, 1, 4, 5) + __builtin_shufflevector(a, b, 2, 3, 6, 7))
#elif LANES == 8
#define PAIR1(a, b)                                            \
    (__builtin_shufflevector(a, b, 0, 8, 1, 9, 4, 12, 5, 13) + \
     __builtin_shufflevector(a, b, 2, 10, 3, 11, 6, 14, 7, 15))
#define PAIR2(a, b)                                            \
    (__builtin_shufflevector(a, b, 0, 1, 8, 9, 4, 5, 12, 13) + \
     __builtin_shufflevector(a, b, 2, 3, 10, 11, 6, 7, 14, 15))
#define PAIR4(a, b)                                            \
    (__builtin_shufflevector(a, b, 0, 1, 2, 3, 8, 9, 10, 11) + \
     __builtin_shufflevector(a, b, 4, 5, 6, 7, 12, 13, 14, 15))
#else
#define PAIR1(a, b)                                                                            \
    (__builtin_shufflevector(a, b, 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29) + \
     __builtin_shufflevector(a, b, 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31))
#define PAIR2(a, b)                                                                            \
    (__builtin_shufflevector(a, b, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29) + \
     __builtin_shufflevector(a, b, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31))
#define PAIR4(a, b)                                                                            \
    (__builtin_shufflevector(a, b, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27) + \
     __builtin_shufflevector(a, b, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31))
#endif

/* s[r][j] = a[r] . b[j], j < n; writes up to ATTENTION_PAD - 1 numbers more. */
TARGET static void NAME(dots)(float *s, int64_t lds, const float *const *a, const float *b, int64_t ldb,
                              int64_t n, int64_t d) {
    for (int64_t j = 0; j < n; j += KEYS) {
        const float *key[KEYS];
        for (int t = 0; t < KEYS; t++) key[t] = b + (j + t < n ? j + t : n - 1) * ldb;
        Vec sum[LANES];
        UNROLL for (int i = 0; i < LANES; i++) sum[i] = (Vec){0};
        for (int64_t c = 0; c < d; c += LANES) {
            UNROLL for (int r = 0; r < ATTENTION_ROWS; r++) {
                Vec x = LOAD(a[r] + c);
                UNROLL for (int t = 0; t < KEYS; t++) sum[r * KEYS + t] += x * LOAD(key[t] + c);
            }
        }
        UNROLL for (int i = 0; i < LANES; i += 2) sum[i] = PAIR1(sum[i], sum[i + 1]);
        UNROLL for (int i = 0; i < LANES; i += 4) sum[i] = PAIR2(sum[i], sum[i + 2]);
#if LANES >= 8
        UNROLL for (int i = 0; i < LANES; i += 8) sum[i] = PAIR4(sum[i], sum[i + 4]);
#endif
#if LANES >= 16
        sum[0] = PAIR4(sum[0], sum[8]);
#endif
        UNROLL for (int r = 0; r < ATTENTION_ROWS; r++)
            memcpy(s + r * lds + j, (const float *)&sum[0] + r * KEYS, KEYS * sizeof(float));
    }
}

/* o[r] = factor[r] sum_{j < n[r]} w[r][j] b[j], columns c.. of `columns` vectors. */
TARGET static inline __attribute__((always_inline)) void
NAME(weighted_columns)(float *const *o, const float *w, int64_t ldw, const int64_t *n, const float *b,
                       int64_t ldb, const float *factor, int64_t c, const int columns) {
    Vec sum[ATTENTION_ROWS * COLUMNS];
    int64_t all = n[0];
    for (int r = 1; r < ATTENTION_ROWS; r++) all = n[r] < all ? n[r] : all;
    UNROLL for (int i = 0; i < ATTENTION_ROWS * columns; i++) sum[i] = (Vec){0};
    for (int64_t j = 0; j < all; j++) {
        const float *from = b + j * ldb + c;
        Vec x[COLUMNS];
        UNROLL for (int i = 0; i < columns; i++) x[i] = LOAD(from + i * LANES);
        UNROLL for (int r = 0; r < ATTENTION_ROWS; r++) {
            float f = w[r * ldw + j];
            UNROLL for (int i = 0; i < columns; i++) sum[r * columns + i] += f * x[i];
        }
    }
    UNROLL for (int r = 0; r < ATTENTION_ROWS; r++) {
        for (int64_t j = all; j < n[r]; j++) {
            float f = w[r * ldw + j];
            UNROLL for (int i = 0; i < columns; i++) sum[r * columns + i] +=
                f * LOAD(b + j * ldb + c + i * LANES);
        }
        UNROLL for (int i = 0; i < columns; i++)
            STORE(o[r] + c + i * LANES, factor[r] * sum[r * columns + i]);
    }
}

TARGET static void NAME(weighted)(float *const *o, const float *w, int64_t ldw, const int64_t *n,
                                  const float *b, int64_t ldb, const float *factor, int64_t d) {
    int64_t c = 0;
    for (; c + COLUMNS * LANES <= d; c += COLUMNS * LANES)
        NAME(weighted_columns)(o, w, ldw, n, b, ldb, factor, c, COLUMNS);
#if COLUMNS > 2
    if (c + 2 * LANES <= d) {
        NAME(weighted_columns)(o, w, ldw, n, b, ldb, factor, c, 2);
        c += 2 * LANES;
    }
#endif
    if (c < d) NAME(weighted_columns)(o, w, ldw, n, b, ldb, factor, c, 1);
}

TARGET static float NAME(largest)(const float *s, int64_t n) {
    typedef int32_t Mask __attribute__((vector_size(LANES * 4)));
    float max = -INFINITY;
    int64_t j = 0;
    if (n >= LANES) {
        Vec most = LOAD(s);
        for (j = LANES; j + LANES <= n; j += LANES) {
            Vec x = LOAD(s + j);
            Mask above = x > most;
            most = (Vec)((above & (Mask)x) | (~above & (Mask)most));
        }
        for (int i = 0; i < LANES; i++) max = most[i] > max ? most[i] : max;
    }
    for (; j < n; j++) max = s[j] > max ? s[j] : max;
    return max;
}

/* s = exp(scale s - max), capped before where there is a cap; returns the sum, sets lse. */
TARGET static float NAME(softmax)(float *s, int64_t n, float scale, float cap, float *lse) {
    if (cap > 0.0f) {
        float inner = scale / cap;
#pragma omp simd
        for (int64_t j = 0; j < n; j++) s[j] = cap * vec_tanhf(s[j] * inner);
    } else {
#pragma omp simd
        for (int64_t j = 0; j < n; j++) s[j] *= scale;
    }
    float max = NAME(largest)(s, n), sum = 0;
#pragma omp simd
    for (int64_t j = 0; j < n; j++) s[j] = vec_expf(s[j] - max);
    Vec sums = {0};
    int64_t j = 0;
    for (; j + LANES <= n; j += LANES) sums += LOAD(s + j);
    for (int i = 0; i < LANES; i++) sum += sums[i];
    for (; j < n; j++) sum += s[j];
    *lse = max + logf(sum);
    return sum;
}

TARGET static void NAME(rows_fwd)(float *const *o, float *lse, const float *const *q, const int64_t *from,
                                  const int64_t *n, const AttentionKeys *keys, float *s, int64_t lds) {
    int64_t most = 0;
    for (int r = 0; r < ATTENTION_ROWS; r++) most = n[r] > most ? n[r] : most;
    NAME(dots)(s, lds, q, keys->k, keys->ldk, most, keys->d);
    float factor[ATTENTION_ROWS];
    for (int r = 0; r < ATTENTION_ROWS; r++) {
        float *seen = s + r * lds + from[r];
        factor[r] = 1.0f / NAME(softmax)(seen, n[r] - from[r], keys->scale, keys->softcap, &lse[r]);
        for (int64_t j = 0; j < from[r]; j++) s[r * lds + j] = 0;
    }
    NAME(weighted)(o, s, lds, n, keys->v, keys->ldv, factor, keys->d);
}

/* dst[j] += sum_r w[r][j] x[r], j < n: the four are summed first, so that the long sum is rounded once for
 * each four. */
TARGET static void NAME(spread)(float *dst, int64_t ldd, const float *w, int64_t ldw, const float *const *x,
                                int64_t n, int64_t d) {
    for (int64_t c = 0; c < d; c += LANES) {
        Vec a[ATTENTION_ROWS];
        UNROLL for (int r = 0; r < ATTENTION_ROWS; r++) a[r] = LOAD(x[r] + c);
        for (int64_t j = 0; j < n; j++) {
            Vec y = w[j] * a[0];
            UNROLL for (int r = 1; r < ATTENTION_ROWS; r++) y += w[r * ldw + j] * a[r];
            STORE(dst + j * ldd + c, LOAD(dst + j * ldd + c) + y);
        }
    }
}

TARGET static float NAME(dot)(const float *a, const float *b, int64_t d) {
    Vec v = {0};
    for (int64_t c = 0; c < d; c += LANES) v += LOAD(a + c) * LOAD(b + c);
    float sum = 0;
    for (int i = 0; i < LANES; i++) sum += v[i];
    return sum;
}

/* p becomes P = exp(scale s - lse), dp becomes dS = scale P (dP - delta). */
TARGET static void NAME(softmax_bwd)(float *p, float *dp, int64_t n, float scale, float lse, float delta) {
#pragma omp simd
    for (int64_t j = 0; j < n; j++) {
        p[j] = vec_expf(scale * p[j] - lse);
        dp[j] = scale * (p[j] * (dp[j] - delta));
    }
}

/* The same where s is capped: the slope of cap tanh(s / cap) is 1 - tanh^2. */
TARGET static void NAME(softmax_bwd_capped)(float *p, float *dp, int64_t n, float scale, float cap, float lse,
                                            float delta) {
    float inner = scale / cap;
#pragma omp simd
    for (int64_t j = 0; j < n; j++) {
        float t = vec_tanhf(p[j] * inner);
        p[j] = vec_expf(cap * t - lse);
        dp[j] = scale * (p[j] * (dp[j] - delta) * (1.0f - t * t));
    }
}

TARGET static void NAME(rows_bwd)(float *const *dq, const AttentionGrads *g, const float *const *q,
                                  const int64_t *from, const int64_t *n, const AttentionKeys *keys, float *s,
                                  int64_t lds) {
    int64_t most = 0, d = keys->d;
    for (int r = 0; r < ATTENTION_ROWS; r++) most = n[r] > most ? n[r] : most;
    float *p = s, *dp = s + ATTENTION_ROWS * lds;
    NAME(dots)(p, lds, q, keys->k, keys->ldk, most, d);
    NAME(dots)(dp, lds, g->dout, keys->v, keys->ldv, most, d);
    for (int r = 0; r < ATTENTION_ROWS; r++) {
        float *pr = p + r * lds, *dpr = dp + r * lds;
        int64_t first = r < g->rows ? from[r] : 0, seen = r < g->rows ? n[r] : 0;
        float delta = NAME(dot)(g->dout[r], g->o[r], d);
        if (keys->softcap > 0.0f) NAME(softmax_bwd_capped)
        (pr + first, dpr + first, seen - first, keys->scale, keys->softcap, g->lse[r], delta);
        else NAME(softmax_bwd)(pr + first, dpr + first, seen - first, keys->scale, g->lse[r], delta);
        for (int64_t j = 0; j < first; j++) pr[j] = dpr[j] = 0;
        for (int64_t j = seen; j < most; j++) pr[j] = dpr[j] = 0;
    }
    const float one[ATTENTION_ROWS] = {1, 1, 1, 1};
    NAME(weighted)(dq, dp, lds, n, keys->k, keys->ldk, one, d);
    NAME(spread)(g->dk, g->lddk, dp, lds, q, most, d);
    NAME(spread)(g->dv, g->lddv, p, lds, g->dout, most, d);
}

#undef Vec
#undef LOAD
#undef STORE
#undef KEYS
#undef COLUMNS
#undef UNROLL
#undef PAIR1
#undef PAIR2
#undef PAIR4
#undef LANES
#undef TARGET
#undef NAME
