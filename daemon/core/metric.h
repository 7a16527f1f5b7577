/* The measures of a point, one row each: name, unit, sentence. The store's columns, the JSON feed,
 * richctl and the Python client take their lists from these rows, so a new measure is one row here
 * and one line where it is computed. Constant data; any thread. */
#pragma once

#include <stdint.h>

enum metric {
    METRIC_D_LR,
    METRIC_D_DEBIASED,
    METRIC_U,
    METRIC_PR,
    METRIC_COUNT,
};

struct metric_info {
    const char *name;        /* as in JSON, and the column in the store */
    const char *unit;        /* "1" for a pure number */
    const char *description; /* one sentence */
};

extern const struct metric_info metric_table[METRIC_COUNT];

/* The metric of that name, or -1. */
int metric_find(const char *name);

/* What a point wants the reader to know; stored as bits, printed by name. */
enum flag {
    FLAG_DEGENERATE = 1 << 0,    /* r >= min(p, n - 1): d_lr measures isotropy, or n, alone */
    FLAG_SMALL_SAMPLE = 1 << 1,  /* n < 4 r, or n - 1 - r < 8 */
    FLAG_PARTIAL = 1 << 2,       /* rows are missing */
    FLAG_LOW_PRECISION = 1 << 3, /* f16 or bf16 features with rms mean/std > 256 */
    FLAG_CONSTANT = 1 << 4,      /* features or outputs do not vary: the measures are null */
    FLAG_NOT_CONVERGED = 1 << 5, /* LAPACK, or sums out of a double's range: null */
};
#define FLAG_COUNT 6

/* The name of bit `i`, 0 <= i < FLAG_COUNT. */
const char *flag_name(int i);
