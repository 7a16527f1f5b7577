/* The measures of a point, one row each: name, unit, what it needs, sentence. The store's columns,
 * the JSON feed, richctl and the Python client take their lists from these rows, and measure.h the
 * functions, so a new measure is one row here and one function. Constant data; any thread. Tested
 * by test_base.c. */
#pragma once

#include <stdint.h>

/* What a measure needs beside the rows' moments; without it the measure is null. */
enum metric_needs {
    NEEDS_NOTHING,
    NEEDS_LABELS,   /* classes of the rows, at least two of them */
    NEEDS_SPECTRUM, /* the eigenvalues, when a checkpoint makes them */
    NEEDS_PROBE,    /* the same rows in every window, as the trainer promises */
    NEEDS_TRAINER,  /* the trainer, which sends the value with the checkpoint */
};

/* X(ENUM, name, unit, needs, sentence); the value comes from measure_NAME(). The unit "1" is a pure
 * number. */
#define METRICS_MEASURED(X)                                                                        \
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
    X(D_DEBIASED_SE, d_debiased_se, "1", NEEDS_NOTHING,                                            \
      "standard error of d_debiased, by a jackknife")                                              \
    X(S_INIT, s_init, "1", NEEDS_PROBE,                                                            \
      "CKA of the features with those of the same rows in the first window")                       \
    X(S_INIT_UNCENTRED, s_init_uncentred, "1", NEEDS_PROBE, "the same with the means left in")

/* Of the whole network: only the trainer can compute them. It is sent with a checkpoint, and goes
 * into the point of each of its layers. */
#define METRICS_REPORTED(X)                                                                        \
    X(PARAM_NORM, param_norm, "1", NEEDS_TRAINER, "||theta||^2 of the trainable parameters")       \
    X(PARAM_CHANGE, param_change, "1", NEEDS_TRAINER,                                              \
      "||theta - theta_0||^2 / ||theta_0||^2 of the trainable parameters")                         \
    X(NTK_DISTANCE, ntk_distance, "1", NEEDS_TRAINER,                                              \
      "1 - <K_0,K> / (||K_0|| ||K||) of the tangent kernel")                                       \
    X(NTK_ALIGNMENT, ntk_alignment, "1", NEEDS_TRAINER,                                            \
      "alignment of the tangent kernel with the targets")

#define METRICS(X)                                                                                 \
    METRICS_MEASURED(X)                                                                            \
    METRICS_REPORTED(X)

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

/* What a point wants the reader to know, one row each: X(ENUM, name, sentence). Stored as bits, in
 * this order for good; printed by name. */
#define FLAGS(X)                                                                                   \
    X(DEGENERATE, degenerate,                                                                      \
      "the outputs span all the features (r >= p or n - 1): d_lr measures isotropy, or n, alone")  \
    X(SMALL_SAMPLE, small_sample,                                                                  \
      "few rows for this rank (n < 4 r, or n - 1 - r < 8): d_debiased is the one to read")         \
    X(PARTIAL, partial, "rows are missing from the window")                                        \
    X(LOW_PRECISION, low_precision,                                                                \
      "half-precision features with a large mean: the last digits are uncertain")                  \
    X(CONSTANT, constant, "features or outputs do not vary: there is nothing to measure")          \
    X(NOT_CONVERGED, not_converged,                                                                \
      "an eigenvalue iteration failed, or sums left a double's range: what needs it is missing")   \
    X(CLASSES_MISSING, classes_missing,                                                            \
      "classes without a row in the window: nc1 and nc2 are of the others")                        \
    X(NO_SPECTRUM, no_spectrum, "a spectrum was asked for and could not be made")                  \
    X(ROW_FORM, row_form, "fewer rows than features: measured from the rows' n x n products")      \
    X(PROBE_DIFFERS, probe_differs,                                                                \
      "the rows cannot be those of the first window: there is no s_init")                          \
    X(TOP_OUTPUTS, top_outputs, "measured against the leading output directions")                  \
    X(RIDGE, ridge, "measured against the ridge projector of the outputs")                         \
    X(FROM_HEAD, from_head, "the outputs are what the head's weights make of the features")        \
    X(NO_HEAD, no_head, "the head did not come in this window: what needs outputs is missing")

enum flag_bit {
#define X(ENUM, name, sentence) FLAG_BIT_##ENUM,
    FLAGS(X)
#undef X
        FLAG_COUNT
};

enum flag {
#define X(ENUM, name, sentence) FLAG_##ENUM = 1 << FLAG_BIT_##ENUM,
    FLAGS(X)
#undef X
};

struct flag_info {
    const char *name;
    const char *description; /* a phrase */
};

/* By bit. */
extern const struct flag_info flag_table[FLAG_COUNT];
