/* The encoder's forward. Bias and residual are laid down first and the product is added onto them, so a block
 * is: rows, product, LayerNorm (post-norm). Texts are packed without padding, a batch at a time. */
#include "model/encoder.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

/* ---- text ---- */

/* str.strip of Python, which the reference uses: White_Space and the four separators 1C-1F. */
static bool is_space(utf8proc_int32_t c) {
    return (c >= 0x09 && c <= 0x0d) || (c >= 0x1c && c <= 0x20) || c == 0x85 || c == 0xa0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f ||
           c == 0x3000;
}

/* str.isalpha: categories Lu Ll Lt Lm Lo. */
static bool is_letter(utf8proc_int32_t c) {
    utf8proc_category_t k = utf8proc_category(c);
    return k >= UTF8PROC_CATEGORY_LU && k <= UTF8PROC_CATEGORY_LO;
}

/* The character at the start of s[0..n); ill-formed bytes count one by one as U+FFFD. Returns its length. */
static size_t first_char(utf8proc_int32_t *c, const char *s, size_t n) {
    utf8proc_ssize_t len = utf8proc_iterate((const utf8proc_uint8_t *)s, (utf8proc_ssize_t)n, c);
    if (len > 0) return (size_t)len;
    *c = 0xfffd;
    return 1;
}

static size_t last_char(utf8proc_int32_t *c, const char *s, size_t n) {
    size_t len = 1;
    while (len < 4 && len < n && ((unsigned char)s[n - len] & 0xc0) == 0x80) len++;
    if (first_char(c, s + n - len, len) == len) return len;
    *c = 0xfffd;
    return 1;
}

Status encoder_sentence(char **out, size_t *length, const char *text) {
    size_t n = strlen(text);
    utf8proc_int32_t c = 0;
    while (n > 0) {
        size_t len = first_char(&c, text, n);
        if (!is_space(c)) break;
        text += len, n -= len;
    }
    while (n > 0) {
        size_t len = last_char(&c, text, n);
        if (!is_space(c)) break;
        n -= len;
    }
    bool stop = n > 0 && is_letter(c);
    char *sentence = malloc(n + 2);
    if (!sentence) return status_error(E_ENV, "no memory for a text of %zu bytes", n);
    memcpy(sentence, text, n);
    sentence[n] = '.';
    *out = sentence;
    *length = n + stop;
    return OK;
}

Status encoder_tokens(const Encoder *e, TokenBuf *out, const char *text) {
    char *sentence;
    size_t n, start = out->n;
    TRY(encoder_sentence(&sentence, &n, text));
    TokenizerOpts opts = {.parse_special = true};
    Status st;
    TRY_GOTO(st, tokenizer_buf_push(out, e->markers.cls), done);
    TRY_GOTO(st, tokenizer_encode(e->tokenizer, out, sentence, n, opts), done);
    size_t most = start + (size_t)e->cfg.max_tokens - 1;
    if (out->n > most) out->n = most;
    st = tokenizer_buf_push(out, e->markers.sep);
done:
    free(sentence);
    return st;
}

/* ---- network ---- */

/* dst[i] = b (+ x[i]). */
static void lay_down(const Device *dev, float *dst, const float *b, const float *x, int64_t n, int64_t c) {
#pragma omp parallel for num_threads(dev->n_threads) schedule(static) if (n * c > 32768)
    for (int64_t i = 0; i < n; i++) {
        float *to = dst + i * c;
        if (x)
            for (int64_t j = 0; j < c; j++) to[j] = b[j] + x[i * c + j];
        else
            memcpy(to, b, (size_t)c * sizeof *to);
    }
}

/* y = w x + b (+ residual); without b there is no residual. */
static Status linear(Device *dev, float *y, const float *residual, const float *x, const EncoderLinear *w,
                     int64_t n) {
    MatmulOpts add = {.accumulate = w->b != NULL};
    if (w->b) lay_down(dev, y, w->b, residual, n, w->w.n);
    return matmul_fwd(dev, tensor_2d(y, DT_F32, n, w->w.n),
                      tensor_2d((void *)(uintptr_t)x, DT_F32, n, w->w.k), &w->w, add);
}

static Status normalise(const Encoder *e, Device *dev, float *y, float *x, const EncoderNorm *norm,
                        int64_t n) {
    int64_t c = e->cfg.width;
    return layernorm_fwd(dev, tensor_2d(y, DT_F32, n, c), tensor_2d(e->acts.stats, DT_F32, n, 2),
                         tensor_2d(x, DT_F32, n, c), norm->w, norm->b, e->cfg.norm_eps);
}

/* x is read and left overwritten by the layer's output; y is spoilt. */
static Status layer_fwd(const Encoder *e, Device *dev, const EncoderLayer *l, int64_t n, int64_t n_seqs) {
    const EncoderActs *a = &e->acts;
    int64_t c = e->cfg.width, heads = e->cfg.heads;
    AttentionShape shape = {
        .heads = heads, .groups = heads, .head_dim = c / heads, .scale = 1.0f / sqrtf((float)(c / heads))};
    Tensor qkv = tensor_2d(a->qkv, DT_F32, n, 3 * c), mid = tensor_2d(a->mid, DT_F32, n, l->up.w.n);
    TRY(linear(dev, a->qkv, NULL, a->x, &l->qkv, n));
    if (e->cfg.rotary)
        TRY(rope_fwd(dev, tensor_columns(qkv, 0, 2 * c), tensor_2d(a->cs, DT_F32, n, c / heads)));
    TRY(attention_fwd(dev, tensor_2d(a->y, DT_F32, n, c), tensor_2d(a->lse, DT_F32, n, heads),
                      tensor_columns(qkv, 0, c), tensor_columns(qkv, c, c), tensor_columns(qkv, 2 * c, c),
                      a->cu_seqlens, n_seqs, shape));
    float *sum = a->qkv; /* free by now */
    TRY(linear(dev, sum, a->x, a->y, &l->o, n));
    TRY(normalise(e, dev, a->x, sum, &l->attn_norm, n));
    TRY(linear(dev, a->mid, NULL, a->x, &l->up, n));
    float *act = e->cfg.gated ? a->act : a->mid;
    Tensor out = tensor_2d(act, DT_F32, n, e->cfg.ffn);
    TRY(e->cfg.gated ? glu_fwd(dev, out, mid, GLU_GELU) : gelu_fwd(dev, out, mid));
    TRY(linear(dev, a->y, a->x, act, &l->down, n));
    return normalise(e, dev, a->x, a->y, &l->norm, n);
}

/* out [C]: one text's vector from its rows [n,C]. */
static void pool(float *out, const float *x, int64_t n, int64_t c, bool cls) {
    double square = 0;
    for (int64_t j = 0; j < c; j++) {
        double sum = x[j];
        for (int64_t i = 1; i < n && !cls; i++) sum += x[i * c + j];
        out[j] = (float)(cls ? sum : sum / (double)n);
        square += (double)out[j] * out[j];
    }
    double scale = sqrt((double)c) / fmax(sqrt(square), 1e-12);
    for (int64_t j = 0; j < c; j++) out[j] = (float)(out[j] * scale);
}

/* One packed batch; cu_seqlens and ids are in acts. */
static Status embed_batch(const Encoder *e, Device *dev, float *out, int64_t n_seqs) {
    const EncoderActs *a = &e->acts;
    int64_t c = e->cfg.width, n = a->cu_seqlens[n_seqs];
    EmbeddingOpts opts = {.scale = 1};
    TRY(embedding_fwd(dev, tensor_2d(a->y, DT_F32, n, c), a->ids, e->words, opts));
    for (int64_t b = 0; b < n_seqs; b++)
        for (int64_t i = a->cu_seqlens[b]; i < a->cu_seqlens[b + 1]; i++) {
            int64_t at = i - a->cu_seqlens[b];
            const float *position = tensor_f32(e->positions) + (e->cfg.rotary ? 0 : at) * c;
            a->pos[i] = (int32_t)at;
            for (int64_t j = 0; j < c; j++) a->y[i * c + j] += position[j];
        }
    if (e->cfg.rotary)
        TRY(rope_table(dev, tensor_2d(a->cs, DT_F32, n, c / e->cfg.heads), a->pos, e->inv_freq));
    TRY(normalise(e, dev, a->x, a->y, &e->norm, n));
    for (int64_t l = 0; l < e->cfg.n_layers; l++) TRY(layer_fwd(e, dev, &e->layers[l], n, n_seqs));
    for (int64_t b = 0; b < n_seqs; b++) {
        int64_t at = a->cu_seqlens[b];
        pool(out + b * c, a->x + at * c, a->cu_seqlens[b + 1] - at, c, e->cfg.pool_cls);
    }
    return OK;
}

static Status embed_tokens(Encoder *e, Device *dev, float *out, TokenBuf *buf, const char *const *texts,
                           int64_t n) {
    EncoderActs *a = &e->acts;
    int64_t waiting = 0, first = 0; /* texts in the batch being filled; the first of them */
    a->cu_seqlens[0] = 0;
    for (int64_t i = 0; i <= n; i++) {
        if (i < n) {
            buf->n = 0;
            TRY(encoder_tokens(e, buf, texts[i]));
            for (size_t t = 0; t < buf->n; t++)
                if (buf->ids[t] < 0 || buf->ids[t] >= e->cfg.vocab)
                    return status_error(E_INPUT, "the encoder's tokenizer makes id %d, its model has %lld",
                                        buf->ids[t], (long long)e->cfg.vocab);
        }
        if (waiting > 0 && (i == n || a->cu_seqlens[waiting] + (int64_t)buf->n > a->max_tokens)) {
            TRY(embed_batch(e, dev, out + first * e->cfg.width, waiting));
            first = i;
            waiting = 0;
        }
        if (i == n) break;
        memcpy(a->ids + a->cu_seqlens[waiting], buf->ids, buf->n * sizeof *buf->ids);
        a->cu_seqlens[waiting + 1] = a->cu_seqlens[waiting] + (int32_t)buf->n;
        waiting++;
    }
    return OK;
}

Status encoder_embed(Encoder *e, Device *dev, float *out, const char *const *texts, int64_t n) {
    TokenBuf buf = {0};
    Status st = embed_tokens(e, dev, out, &buf, texts, n);
    tokenizer_buf_free(&buf);
    return st;
}

int64_t encoder_width(const Encoder *e) {
    return e->cfg.width;
}

void encoder_free(Encoder *e) {
    tokenizer_free(e->tokenizer);
    free(e->layers);
    arena_free(&e->mem);
    memset(e, 0, sizeof *e);
}
