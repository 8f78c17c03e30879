#include "kernels/ops.h"

#include <string.h>

enum { FEW = 1 << 14 }; /* numbers that are not worth waking threads for: chosen */

Status rows_put_cpu(Device *dev, void *y, int64_t ldy, int64_t m, const void *x, int64_t ldx, DType type,
                    const int32_t *at, int64_t n, int64_t c) {
    if (type != DT_F32) return device_unsupported(dev, "rows_put", type);
#pragma omp parallel for num_threads(dev->n_threads) schedule(static) if (n * c > FEW)
    for (int64_t i = 0; i < n; i++) {
        CHECK(at[i] >= 0 && at[i] < m, "row %d of %lld", (int)at[i], (long long)m);
        memcpy((float *)y + at[i] * ldy, (const float *)x + i * ldx, (size_t)c * sizeof(float));
    }
    return OK;
}
