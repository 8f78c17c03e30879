/* all-MiniLM-L6-v2 against transformers (tests/golden/minilm.*), batching, and damaged folders. Needs the
 * model in the cache; without it the test says so and is skipped. */
#include "tests/test_util.h"

#include "base/json.h"
#include "data/safetensors.h"
#include "model/encoder.h"

#include <unistd.h>

static char model_dir[PATH_MAX];

static bool find_model(void) {
    const char *own = getenv("T2L_CACHE"), *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (own && *own)
        snprintf(model_dir, sizeof model_dir, "%s/minilm-l6-v2", own);
    else if (xdg && *xdg)
        snprintf(model_dir, sizeof model_dir, "%s/t2l/minilm-l6-v2", xdg);
    else
        snprintf(model_dir, sizeof model_dir, "%s/.cache/t2l/minilm-l6-v2", home ? home : "");
    char file[PATH_MAX + 32];
    snprintf(file, sizeof file, "%s/model.safetensors", model_dir);
    return file_exists(file);
}

enum { MOST = 64 };

typedef struct Golden {
    cJSON *json; /* owns */
    SafeTensors st;
    int n;
    const char *raw[MOST];
    Tensor want; /* [n, E] */
} Golden;

static Golden golden_open(void) {
    Golden g = {.n = 0};
    assert_ok(json_read(&g.json, GOLDEN("minilm.json"), 1 << 20));
    const cJSON *row;
    cJSON_ArrayForEach(row, g.json) {
        assert_true(g.n < MOST);
        assert_ok(json_get_string(&g.raw[g.n++], row, "raw", "minilm.json"));
    }
    assert_ok(safetensors_open(&g.st, GOLDEN("minilm.safetensors")));
    const int64_t dim[2] = {g.n, -1};
    assert_ok(safetensors_get(&g.want, &g.st, "embeddings", 2, dim));
    return g;
}

static void golden_close(Golden *g) {
    safetensors_close(&g->st);
    cJSON_Delete(g->json);
}

static void tokens(void **state) {
    (void)state;
    Device dev;
    Encoder e;
    assert_ok(device_open(&dev, "cpu", 2));
    assert_ok(encoder_load(&e, &dev, model_dir));
    assert_int_equal(e.cfg.max_tokens, 256);
    Golden g = golden_open();
    TokenBuf buf = {0};
    for (int i = 0; i < g.n; i++) {
        const cJSON *ids;
        assert_ok(json_get_array(&ids, cJSON_GetArrayItem(g.json, i), "ids", "minilm.json"));
        buf.n = 0;
        assert_ok(encoder_tokens(&e, &buf, g.raw[i]));
        assert_int_equal(buf.n, cJSON_GetArraySize(ids));
        for (size_t t = 0; t < buf.n; t++)
            assert_int_equal(buf.ids[t], cJSON_GetArrayItem(ids, (int)t)->valueint);
    }
    /* Nothing, blanks of several kinds, a broken last character. */
    const struct {
        const char *text;
        size_t n;
    } odd[] = {{"", 2}, {" \t\xc2\xa0\xe3\x80\x80\n", 2}, {"a\xff", 3}, {"a", 4}, {"a\xe3\x80\x80", 4}};
    for (int i = 0; i < COUNT_OF(odd); i++) {
        buf.n = 0;
        assert_ok(encoder_tokens(&e, &buf, odd[i].text));
        assert_int_equal(buf.n, odd[i].n);
    }
    tokenizer_buf_free(&buf);
    golden_close(&g);
    encoder_free(&e);
    device_close(&dev);
}

static void against_transformers(void **state) {
    (void)state;
    Device dev;
    Encoder e;
    assert_ok(device_open(&dev, "cpu", 2));
    assert_ok(encoder_load(&e, &dev, model_dir));
    Golden g = golden_open();
    int64_t width = encoder_width(&e);
    assert_int_equal(g.want.dim[1], width);
    TestMat got = mat_new(g.n, width, 0), again = mat_new(g.n, width, 0);
    assert_ok(encoder_embed(&e, &dev, tensor_f32(got.t), g.raw, g.n));
    mat_intact(&got);
    double worst_cosine = 2, worst = 0;
    for (int i = 0; i < g.n; i++) {
        const float *want = tensor_f32(g.want) + i * width;
        double dot = 0, a = 0, b = 0;
        for (int64_t j = 0; j < width; j++) {
            double x = *mat_at(&got, i, j);
            dot += x * want[j], a += x * x, b += (double)want[j] * want[j];
            worst = fmax(worst, fabs(x - want[j]));
        }
        assert_within(a, (double)width, 1e-3);
        double cosine = dot / sqrt(a * b);
        worst_cosine = cosine < worst_cosine ? cosine : worst_cosine;
        if (!(cosine >= 0.99999)) fail_msg("text %d: cosine %.9f", i, cosine);
    }
    print_message("MiniLM: smallest cosine %.9f, largest difference %.3g\n", worst_cosine, worst);

    /* One by one, three hundred at once (several batches), another number of threads: the same bits. */
    for (int i = 0; i < g.n; i++) assert_ok(encoder_embed(&e, &dev, mat_at(&again, i, 0), &g.raw[i], 1));
    mat_same_bits(&again, &got);
    enum { MANY = 300 };
    const char *texts[MANY];
    for (int i = 0; i < MANY; i++) texts[i] = g.raw[i % g.n];
    TestMat many = mat_new(MANY, width, 0);
    dev.n_threads = 1;
    assert_ok(encoder_embed(&e, &dev, tensor_f32(many.t), texts, MANY));
    for (int i = 0; i < MANY; i++)
        assert_memory_equal(mat_at(&many, i, 0), mat_at(&got, i % g.n, 0), (size_t)width * sizeof(float));
    assert_ok(encoder_embed(&e, &dev, NULL, NULL, 0));
    mat_free(&many), mat_free(&got), mat_free(&again);
    golden_close(&g);
    encoder_free(&e);
    device_close(&dev);
}

/* Copies config.json with one string replaced; the other files are links. */
static void make_folder(const char *dir, const char *from, const char *to) {
    static const char *const names[] = {"model.safetensors", "tokenizer.json"};
    char a[2 * PATH_MAX], b[2 * PATH_MAX];
    for (int i = 0; i < COUNT_OF(names); i++) {
        snprintf(a, sizeof a, "%s/%s", model_dir, names[i]);
        snprintf(b, sizeof b, "%s/%s", dir, names[i]);
        assert_int_equal(symlink(a, b), 0);
    }
    char *text;
    size_t n;
    snprintf(a, sizeof a, "%s/config.json", model_dir);
    assert_ok(file_read(&text, &n, a, 1 << 16));
    char *at = strstr(text, from);
    assert_non_null(at);
    snprintf(b, sizeof b, "%s/config.json", dir);
    FILE *f = fopen(b, "w");
    assert_non_null(f);
    fprintf(f, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
    assert_int_equal(fclose(f), 0);
    free(text);
}

static void damaged(void **state) {
    (void)state;
    static const struct {
        const char *from, *to, *message;
        StatusCode code;
    } damages[] = {
        {"\"bert\"", "\"roberta\"", "roberta", E_INPUT},
        {"\"gelu\"", "\"relu\"", "hidden_act", E_INPUT},
        {"\"hidden_size\": 384", "\"hidden_size\": 392", "392", E_INPUT},
        {"\"num_hidden_layers\": 6", "\"num_hidden_layers\": 7", "encoder.layer.6", E_INPUT},
        {"\"num_attention_heads\": 12", "\"num_attention_heads\": 7", "7 heads", E_INPUT},
        {"\"vocab_size\": 30522", "\"vocab_size\": 30523", "word_embeddings", E_INPUT},
        {"\"vocab_size\": 30522", "\"vocab_size\": \"x\"", "vocab_size", E_INPUT},
    };
    Device dev;
    Encoder e;
    assert_ok(device_open(&dev, "cpu", 2));
    for (int i = 0; i < COUNT_OF(damages); i++) {
        char dir[PATH_MAX];
        temp_make(dir);
        make_folder(dir, damages[i].from, damages[i].to);
        assert_fails(encoder_load(&e, &dev, dir), damages[i].code, damages[i].message);
        assert_null(e.layers);
        temp_remove(dir);
    }
    Status st = encoder_load(&e, &dev, "/nonexistent");
    assert_false(status_is_ok(st));
    status_free(st);
    device_close(&dev);
}

int main(void) {
    if (!find_model()) {
        printf("skipped: no %s; t2l fetch minilm-l6-v2 gets it\n", model_dir);
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokens),
        cmocka_unit_test(against_transformers),
        cmocka_unit_test(damaged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
