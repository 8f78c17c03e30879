/* The devices of this machine, and a TestMat's twin on a device.
 *
 * A test runs its cases over every backend: for (int b = 0; backend_open(&dev, b); b++) ...
 * device_close(&dev). Backends 0 to N_CPU - 1 are the CPU with 1, 2 and 3 threads, whose bits are the same;
 * then comes the CUDA body in the interpreter; then the GPU, where there is one. With T2L_TEST_GPU in the
 * environment the GPU stands in the interpreter's place (make gpu-check). mat_to() copies a TestMat
 * there with its poison and guards, as f32 or bf16; mat_from() brings everything back, so that mat_intact()
 * and NaN poisoning work as on the host. */
#ifndef T2L_TESTS_BACKENDS_H
#define T2L_TESTS_BACKENDS_H

#include "tests/test_util.h"

#include "kernels/ops.h"
#include "tests/simt/simt.h"

/* Unit roundoff of bf16. */
#define ROUND_BF16 0x1p-8

enum { N_CPU = 3, TEST_POISON_BF16 = 0x7fc5, TEST_SCRATCH = 16 << 20 };

TEST_FN bool backend_open(Device *dev, int b) {
    if (b < N_CPU) {
        assert_ok(device_open(dev, "cpu", b + 1));
        return true;
    }
    bool in_place = getenv("T2L_TEST_GPU") != NULL;
    if (b == N_CPU && !in_place) {
        assert_ok(device_open_simt(dev, 0, TEST_SCRATCH));
        return true;
    }
    int n;
    Status s = device_cuda_count(&n);
    bool found = b == N_CPU + !in_place && status_is_ok(s);
    assert_true(found || !in_place || b > N_CPU); /* wanted: it must be there */
    status_free(s);
    if (found) assert_ok(device_open(dev, "cuda", 0));
    return found;
}

/* Types of the activations that a backend's bodies take: f32 everywhere, bf16 with CUDA bodies. */
TEST_FN bool backend_has(const Device *dev, DType t) {
    return t == DT_F32 || dev->kind == DEVICE_CUDA;
}

/* Relative error of storing a result of type t. */
TEST_FN double store_bound(DType t) {
    return t == DT_BF16 ? ROUND_BF16 : 0.0;
}

/* n bytes of the host, on the device; free with device_free. */
TEST_FN void *bytes_to(Device *dev, const void *src, size_t n) {
    void *p;
    assert_ok(device_alloc(dev, &p, n, "test"));
    assert_ok(device_upload(dev, p, src, n));
    return p;
}

/* Rounds the values of a matrix to those that type t can hold. */
TEST_FN void mat_round(TestMat *m, DType t) {
    if (t != DT_BF16) return;
    for (int64_t i = 0; i < m->t.dim[0]; i++)
        for (int64_t j = 0; j < m->t.dim[1]; j++)
            *mat_at(m, i, j) = bf16_to_float(float_to_bf16(*mat_at(m, i, j)));
}

/* A copy of the whole TestMat on a device. */
typedef struct Twin {
    Tensor t;
    Device *dev;  /* borrows */
    TestMat *mat; /* borrows */
    char *mem;    /* owns */
} Twin;

TEST_FN Twin mat_to(Device *dev, TestMat *m, DType type) {
    Twin twin = {m->t, dev, m, NULL};
    if (type == DT_F32) {
        twin.mem = bytes_to(dev, m->mem, (size_t)m->words * 4);
    } else {
        assert_int_equal(type, DT_BF16);
        uint16_t *half = test_alloc((size_t)m->words * 2);
        for (int64_t i = 0; i < m->words; i++) {
            float f;
            memcpy(&f, &m->mem[i], sizeof f);
            half[i] = m->mem[i] == TEST_POISON ? TEST_POISON_BF16 : float_to_bf16(f);
        }
        twin.mem = bytes_to(dev, half, (size_t)m->words * 2);
        free(half);
    }
    twin.t.data = twin.mem + dtype_bytes(type, m->first);
    twin.t.dtype = type;
    twin.t.device = dev->kind;
    return twin;
}

/* The twin's only row as a vector. */
TEST_FN Tensor twin_1d(const Twin *twin) {
    Tensor t = tensor_1d(twin->t.data, twin->t.dtype, twin->t.dim[1]);
    t.device = twin->t.device;
    return t;
}

TEST_FN void twin_free(Twin *twin) {
    device_free(twin->dev, twin->mem);
    twin->mem = NULL;
}

/* Brings back what the device made of the matrix and its surroundings, and frees the twin. */
TEST_FN void mat_from(Twin *twin) {
    TestMat *m = twin->mat;
    if (twin->t.dtype == DT_F32) {
        assert_ok(device_download(twin->dev, m->mem, twin->mem, (size_t)m->words * 4));
    } else {
        uint16_t *half = test_alloc((size_t)m->words * 2);
        assert_ok(device_download(twin->dev, half, twin->mem, (size_t)m->words * 2));
        for (int64_t i = 0; i < m->words; i++) {
            float f = bf16_to_float(half[i]);
            if (half[i] == TEST_POISON_BF16)
                m->mem[i] = TEST_POISON;
            else
                memcpy(&m->mem[i], &f, sizeof f);
        }
        free(half);
    }
    twin_free(twin);
}

#endif
