/* The interpreter finds each planted fault and says where it is, and has nothing to say about the right
 * forms. */
#include "tests/test_util.h"

#include "kernels/ops.h"
#include "tests/simt/planted.h"
#include "tests/simt/simt.h"

#include <time.h>

typedef struct Expected {
    Fault fault;
    const char *parts[3]; /* of the message; [0] one that names the fault */
} Expected;

static const Expected expected[] = {
    {NO_BARRIER,
     {"shared-memory race", "thread (0,0,0): shared-memory race: writes tile[0]",
      "which thread (63,0,0) reads"}},
    {NO_WARP_BARRIER, {"shared-memory race", "tile[1]", "which thread (0,0,0) reads"}},
    {OFF_BY_ONE_SHARED, {"shared-memory overflow", "tile[64] of 64", "thread (63,0,0)"}},
    {OFF_BY_ONE_GLOBAL, {"access outside of device memory", "byte 256 of an allocation of 256"}},
    {DIVERGENT_BRANCH, {"divergent barrier", "thread (7,0,0)", "thread (0,0,0)"}},
    {DIVERGENT_EXIT, {"divergent barrier", "thread (61,0,0) has left the kernel"}},
    {SHARED_OVERFLOW, {"shared-memory overflow", "tile ends at byte 260, the launch has 256"}},
    {SHARED_TOO_LARGE, {"shared-memory overflow", "307200 bytes, a block has 232448"}},
    {SHUFFLE_SELF, {"__shfl_sync", "lane 5 calls with mask 0xffffffdf, which lacks it", "thread (5,0,0)"}},
    {SHUFFLE_MISMATCH, {"__shfl_sync", "mask", "lane"}},
    {SHUFFLE_OUTSIDE, {"__shfl_sync", "lane 15 reads lane 16, which is not in the mask 0xffff"}},
    {SHUFFLE_LEFT, {"__shfl_sync", "lane 31", "has left the kernel"}},
    {MISALIGNED, {"misaligned access of 16 bytes to device memory", "thread (0,0,0)"}},
    {MISALIGNED_SHARED, {"misaligned access of 16 bytes to shared memory", "tile[2]"}},
    {UNWRITTEN, {"tile[63] is read, but nothing was written there", "thread (63,0,0)"}},
    {GLOBAL_RACE, {"depends on the order of the threads", "byte 0", "reverse"}},
    {NO_ASYNC_WAIT, {"tile[0] is read before its asynchronous copy was waited for", "thread (63,0,0)"}},
    {HOST_POINTER, {"argument 1 of the kernel", "does not point to device memory"}},
};

static void faults(void **state) {
    (void)state;
    assert_int_equal(COUNT_OF(expected), N_FAULTS - 1);
    Device dev;
    assert_ok(device_open_simt(&dev, 0, 1 << 20));
    void *out;
    assert_ok(device_alloc(&dev, &out, 64 * sizeof(float), "out"));
    for (int i = 0; i < COUNT_OF(expected); i++) {
        const Expected *e = &expected[i];
        assert_ok(device_zero(&dev, out, 64 * sizeof(float)));
        assert_ok(planted(&dev, e->fault, true, out));
        Status s = planted(&dev, e->fault, false, out);
        if (status_is_ok(s)) fail_msg("fault %d (%s) was not found", (int)e->fault, e->parts[0]);
        assert_int_equal(status_code(s), E_FAIL);
        for (int k = 0; k < COUNT_OF(e->parts) && e->parts[k]; k++)
            if (!strstr(status_message(s), e->parts[k]))
                fail_msg("fault %d: \"%s\" lacks \"%s\"", (int)e->fault, status_message(s), e->parts[k]);
        status_free(s);
    }
    device_free(&dev, out);
    device_close(&dev);
}

/* The right forms compute what they say; a launch with a fault leaves memory as it was. */
static void results(void **state) {
    (void)state;
    Device dev;
    assert_ok(device_open_simt(&dev, 0, 1 << 20));
    void *out;
    float host[64];
    assert_ok(device_alloc(&dev, &out, sizeof host, "out"));
    assert_ok(planted(&dev, NO_BARRIER, true, out));
    assert_ok(device_download(&dev, host, out, sizeof host));
    for (int i = 0; i < 64; i++) assert_true(host[i] == (float)((i + 1) % 64));
    status_free(planted(&dev, OFF_BY_ONE_GLOBAL, false, out));
    assert_ok(device_download(&dev, host, out, sizeof host));
    for (int i = 0; i < 64; i++) assert_true(host[i] == (float)((i + 1) % 64));
    assert_ok(planted(&dev, NO_ASYNC_WAIT, true, out)); /* reverses */
    assert_ok(planted(&dev, SHUFFLE_SELF, true, out));
    assert_ok(device_download(&dev, host, out, sizeof host));
    for (int i = 0; i < 64; i++) assert_true(host[i] == (float)(i / 32 * 32 + (i + 1) % 32));
    device_free(&dev, out);
    device_close(&dev);
}

/* Small integers: every product and sum is exact. */
static void warp_matrices(void **state) {
    (void)state;
    Device dev;
    assert_ok(device_open_simt(&dev, 0, 1 << 20));
    uint16_t a[16 * 16], b[16 * 8];
    float d[16 * 8];
    Rng rng = rng_make(3, 4);
    for (int i = 0; i < COUNT_OF(a); i++) a[i] = float_to_bf16(floorf(rng_float(&rng) * 17.0f) - 8.0f);
    for (int i = 0; i < COUNT_OF(b); i++) b[i] = float_to_bf16(floorf(rng_float(&rng) * 17.0f) - 8.0f);
    void *da, *db, *dd;
    assert_ok(device_alloc(&dev, &da, sizeof a, "a"));
    assert_ok(device_alloc(&dev, &db, sizeof b, "b"));
    assert_ok(device_alloc(&dev, &dd, sizeof d, "d"));
    assert_ok(device_upload(&dev, da, a, sizeof a));
    assert_ok(device_upload(&dev, db, b, sizeof b));
    assert_ok(planted_mma(&dev, dd, da, db));
    assert_ok(device_download(&dev, d, dd, sizeof d));
    for (int i = 0; i < 16; i++)
        for (int j = 0; j < 8; j++) {
            float sum = 0.0f;
            for (int k = 0; k < 16; k++) sum += bf16_to_float(a[i * 16 + k]) * bf16_to_float(b[k * 8 + j]);
            assert_true(d[i * 8 + j] == sum);
        }
    device_free(&dev, da), device_free(&dev, db), device_free(&dev, dd);
    device_close(&dev);
}

/* Larger than one staging buffer, and not a multiple of anything. */
static void copies(void **state) {
    (void)state;
    Device dev;
    assert_ok(device_open_simt(&dev, 0, 1 << 20));
    size_t n = ((size_t)9 << 20) + 17;
    unsigned char *from = test_alloc(n), *to = test_alloc(n);
    for (size_t i = 0; i < n; i++) from[i] = (unsigned char)(i * 2654435761u >> 11);
    void *p;
    assert_ok(device_alloc(&dev, &p, n, "copy"));
    assert_ok(device_upload(&dev, p, from, n));
    assert_ok(device_download(&dev, to, p, n));
    assert_memory_equal(from, to, n);
    assert_ok(device_zero(&dev, p, n));
    assert_ok(device_download(&dev, to, p, n));
    for (size_t i = 0; i < n; i++) assert_true(to[i] == 0);
    device_free(&dev, p);
    free(from);
    free(to);
    device_close(&dev);
}

static void speed(void **state) {
    (void)state;
    Device dev;
    assert_ok(device_open_simt(&dev, 0, 1 << 20));
    void *out;
    assert_ok(device_alloc(&dev, &out, 8 * 256 * sizeof(float), "out"));
    SimtStats before = simt_stats();
    struct timespec t0, t1;
    clock_gettime(CLOCK_MONOTONIC, &t0);
    assert_ok(planted_work(&dev, out, 8, 40));
    clock_gettime(CLOCK_MONOTONIC, &t1);
    double s = (double)(t1.tv_sec - t0.tv_sec) + 1e-9 * (double)(t1.tv_nsec - t0.tv_nsec);
    SimtStats after = simt_stats();
    printf("%.1f million fiber switches/s, %.1f million shared accesses/s\n",
           (double)(after.switches - before.switches) / s / 1e6,
           (double)(after.shared_accesses - before.shared_accesses) / s / 1e6);
    device_free(&dev, out);
    device_close(&dev);
}

/* A stub of the table says which operation it is; unknown devices and devices that are not there. */
static void devices(void **state) {
    (void)state;
    Device dev;
    assert_fails(device_open_simt(&dev, 3, 1 << 20), E_ENV, "cuda:3");
    assert_fails(device_open(&dev, "cuda:x", 1), E_USAGE, "expected auto, cpu or cuda");
    int n;
    Status s = device_cuda_count(&n);
    if (!status_is_ok(s)) assert_fails(device_open(&dev, "cuda", 1), E_ENV, "CUDA");
    status_free(s);
    assert_ok(device_open(&dev, "auto", 1));
    device_close(&dev);
    Arena a = arena_measure("numbers");
    arena_f32(&a, 100);
    assert_ok(device_open_simt(&dev, 0, 1 << 20));
    assert_ok(arena_commit_on(&a, &dev));
    Tensor t = arena_tensor_2d(&a, DT_F32, 10, 10);
    assert_int_equal(t.device, DEVICE_CUDA);
    float host[100];
    assert_ok(device_download(&dev, host, t.data, sizeof host));
    for (int i = 0; i < 100; i++) assert_true(host[i] == 0.0f);
    arena_free(&a);
    device_close(&dev);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(faults),        cmocka_unit_test(results),
                                       cmocka_unit_test(warp_matrices), cmocka_unit_test(copies),
                                       cmocka_unit_test(devices),       cmocka_unit_test(speed)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
