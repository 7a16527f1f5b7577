/* The measures of a point, one row each: name, unit, what it needs, sentence. The store's columns,
 * the JSON feed, richctl and the Python client take their lists from these rows, and measure.h the
 * functions, so a new measure is one row here and one function. Constant data; any thread. */
#pragma once

#include <stdint.h>

/* What a measure needs beside the rows' moments; without it the measure is null. */
enum metric_needs {
    NEEDS_NOTHING,
    NEEDS_LABELS,   /* classes of the rows, at least two of them */
    NEEDS_SPECTRUM, /* the eigenvalues, when a checkpoint makes them */
};

/* X(ENUM, name, unit, needs, sentence); the value comes from measure_NAME(). The unit "1" is a pure
 * number. */
#define METRICS(X)                                                                                 \
    X(D_LR, d_lr, "1", NEEDS_NOTHING, "1 - CKA(T, T_MP): 0 is rich, 1 is lazy")                    \
    X(D_DEBIASED, d_debiased, "1", NEEDS_NOTHING, "d_lr corrected for the finite number of rows")  \
    X(U, u, "1", NEEDS_NOTHING, "share of the feature variance inside the learned function space") \
    X(PR, pr, "1", NEEDS_NOTHING, "participation ratio of the features")                           \
    X(CKA_LINEAR, cka_linear, "1", NEEDS_NOTHING, "linear CKA of the features and the outputs")    \
    X(NC1, nc1, "1", NEEDS_LABELS, "neural collapse 1: tr(S_W S_B^+) / C")                         \
    X(NC1_QUOTIENT, nc1_quotient, "1", NEEDS_LABELS, "neural collapse 1: tr S_W / tr S_B")         \
    X(NC2_NORM_CV, nc2_norm_cv, "1", NEEDS_LABELS,                                                 \
      "neural collapse 2: spread of the class means' norms, std / mean")                           \
    X(NC2_ANGLE, nc2_angle, "1", NEEDS_LABELS,                                                     \
      "neural collapse 2: mean |cos + 1/(C-1)| over pairs of class means")                         \
    X(STABLE_RANK, stable_rank, "1", NEEDS_SPECTRUM, "sum of the eigenvalues / the largest")       \
    X(EFFECTIVE_RANK, effective_rank, "1", NEEDS_SPECTRUM,                                         \
      "exp of the entropy of the eigenvalues' shares")                                             \
    X(RANKME, rankme, "1", NEEDS_SPECTRUM,                                                         \
      "exp of the entropy of the singular values' shares, as RankMe has it")                       \
    X(D_LR_SE, d_lr_se, "1", NEEDS_NOTHING, "standard error of d_lr, by a jackknife")              \
    X(D_DEBIASED_SE, d_debiased_se, "1", NEEDS_NOTHING, "standard error of d_debiased, likewise")

enum metric {
#define X(ENUM, name, unit, needs, sentence) METRIC_##ENUM,
    METRICS(X)
#undef X
        METRIC_COUNT
};

struct metric_info {
    const char *name; /* as in JSON, and the column in the store */
    const char *unit;
    enum metric_needs needs;
    const char *description; /* one sentence */
};

extern const struct metric_info metric_table[METRIC_COUNT];

/* The metric of that name, or -1. */
int metric_find(const char *name);

/* What a point wants the reader to know; stored as bits, printed by name. */
enum flag {
    FLAG_DEGENERATE = 1 << 0,      /* r >= min(p, n - 1): d_lr measures isotropy, or n, alone */
    FLAG_SMALL_SAMPLE = 1 << 1,    /* n < 4 r, or n - 1 - r < 8 */
    FLAG_PARTIAL = 1 << 2,         /* rows are missing */
    FLAG_LOW_PRECISION = 1 << 3,   /* f16 or bf16 features with rms mean/std > 256 */
    FLAG_CONSTANT = 1 << 4,        /* features or outputs do not vary: the measures are null */
    FLAG_NOT_CONVERGED = 1 << 5,   /* LAPACK, or sums out of a double's range: null */
    FLAG_CLASSES_MISSING = 1 << 6, /* classes without a row: nc1 and nc2 are of the others */
    FLAG_NO_SPECTRUM = 1 << 7,     /* asked for and not made: p, memory, or LAPACK */
    FLAG_ROW_FORM = 1 << 8,        /* by the n x n form: fewer rows than features */
};
#define FLAG_COUNT 9

/* The name of bit `i`, 0 <= i < FLAG_COUNT. */
const char *flag_name(int i);
