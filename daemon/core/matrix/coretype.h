/* Which of OpenBLAS's sets of kernels ("core types") a processor can run, and whether there is a
 * better one than OpenBLAS chose. Pure but for processor_read; any thread. Who starts the program
 * again with a better one is host/blas.h. Tested with its files by test_coretype.c. */
#pragma once

#include <stdbool.h>

/* What kernels need of a processor and of its system, which has to save the wide registers. */
enum {
    FEATURE_SSE3 = 1 << 0,
    FEATURE_SSSE3 = 1 << 1,
    FEATURE_SSE4_1 = 1 << 2,
    FEATURE_SSE4_2 = 1 << 3,
    FEATURE_SSE4A = 1 << 4,
    FEATURE_3DNOW = 1 << 5, /* never reported: processors of 2012 and later have none */
    FEATURE_AVX = 1 << 6,
    FEATURE_FMA4 = 1 << 7,
    FEATURE_AVX2 = 1 << 8,   /* with FMA */
    FEATURE_AVX512 = 1 << 9, /* F, BW, CD, DQ and VL, which Xeon Phi lacks */
    FEATURE_BF16 = 1 << 10,  /* of AVX-512 */
};

struct processor {
    unsigned features;
    bool is_amd;
};

/* The processor that runs this; no features where it is no x86-64. */
struct processor processor_read(void);

struct coretype {
    const char *name; /* as openblas_get_corename says it; OPENBLAS_CORETYPE takes any case */
    unsigned needs;
};

/* All of x86-64 that OpenBLAS 0.3.21 has, and SapphireRapids; ends with a NULL name. */
extern const struct coretype coretypes[];

typedef bool coretype_is_built(const char *type);

/* The core type to set in place of `running`, or NULL: where the user `asked` for one (the value of
 * OPENBLAS_CORETYPE, or NULL), where `running` is as good as the processor or unknown here (it is
 * newer than this table), and where OpenBLAS was built without a better one. */
const char *coretype_better(const char *running, const char *asked, const struct processor *,
                            coretype_is_built *);
