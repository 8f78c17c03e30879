/* The bodies of attention for three vector widths, and the choice between them. */
#include "kernels/attention/attention_cpu.h"

#include "kernels/vec.h"
#include <math.h>
#include <string.h>

#if defined(__x86_64__)
#define LANES 16
#define TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq")))
#define NAME(x) x##_avx512
#include "kernels/attention/attention_cpu_rows.h"

#define LANES 8
#define TARGET __attribute__((target("avx2,fma")))
#define NAME(x) x##_avx2
#include "kernels/attention/attention_cpu_rows.h"
#endif

#define LANES 4
#define TARGET
#define NAME(x) x##_plain
#include "kernels/attention/attention_cpu_rows.h"

AttentionBody attention_body(const Device *dev, int64_t d) {
    AttentionBody plain = {4, rows_fwd_plain, rows_bwd_plain};
#if defined(__x86_64__)
    AttentionBody avx512 = {16, rows_fwd_avx512, rows_bwd_avx512}, avx2 = {8, rows_fwd_avx2, rows_bwd_avx2};
    if (dev->avx512 && d % avx512.lanes == 0) return avx512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && d % avx2.lanes == 0) return avx2;
#endif
    (void)dev;
    CHECK(d % plain.lanes == 0, "head size %lld", (long long)d);
    return plain;
}
