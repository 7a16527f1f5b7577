/* CPUID, and XGETBV for what the system saves: the compiler's own library asks both. */
#include "daemon/core/matrix/coretype.h"

struct processor processor_read(void)
{
    bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                  __builtin_cpu_supports("avx512vl");
    const struct {
        unsigned feature;
        bool supported;
    } rows[] = {
        {FEATURE_SSE3, __builtin_cpu_supports("sse3")},
        {FEATURE_SSSE3, __builtin_cpu_supports("ssse3")},
        {FEATURE_SSE4_1, __builtin_cpu_supports("sse4.1")},
        {FEATURE_SSE4_2, __builtin_cpu_supports("sse4.2")},
        {FEATURE_SSE4A, __builtin_cpu_supports("sse4a")},
        {FEATURE_AVX, __builtin_cpu_supports("avx")},
        {FEATURE_FMA4, __builtin_cpu_supports("fma4")},
        {FEATURE_AVX2, __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")},
        {FEATURE_AVX512, avx512},
        {FEATURE_BF16, avx512 && __builtin_cpu_supports("avx512bf16")},
    };
    struct processor p = {.is_amd = __builtin_cpu_is("amd")};

    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++)
        p.features |= rows[i].supported ? rows[i].feature : 0;
    return p;
}
