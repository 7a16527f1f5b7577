/* The measures of a point, one row each: name, unit, what it needs, what it is, how
 * to read it. The store's columns,
 * the JSON feed, richctl and the Python client take their lists from these rows, and measure.h the
 * functions, so a new measure is one row here and one function. Constant data; any thread. Tested
 * by test_base.c. */
#pragma once

#include <stdint.h>

/* What a measure needs beside the rows' moments; without it the measure is null. */
enum metric_needs {
    NEEDS_NOTHING,
    NEEDS_LABELS,   /* classes of the rows, at least two of them */
    NEEDS_TARGETS,  /* labels, or values that the outputs should be */
    NEEDS_SPECTRUM, /* the eigenvalues, when a checkpoint makes them */
    NEEDS_PROBE,    /* the same rows in every window, as the trainer promises */
    NEEDS_TRAINER,  /* the trainer, which sends the value with the checkpoint */
};

/* X(ENUM, name, unit, needs, sentence, read_as), where `sentence` says what the number is and
 * `read_as` what a reader should make of it. The unit "1" is a pure number. The value comes from
 * measure_NAME(). */

/* How far the features are the learned functions. */
#define METRICS_RICHNESS(X)                                                                        \
    X(D_LR, d_lr, "1", NEEDS_NOTHING, "1 - CKA(T, T_MP): 0 is rich, 1 is lazy",                    \
      "compare it with the run's own beginning and with runs of the same p and C; at few rows "    \
      "read d_debiased")                                                                           \
    X(D_DEBIASED, d_debiased, "1", NEEDS_NOTHING, "d_lr corrected for the finite number of rows",  \
      "the value of d_lr that more rows would come to: 0 is rich, 1 is lazy")                      \
    X(U, u, "1", NEEDS_NOTHING, "share of the feature variance inside the learned function space", \
      "1: the features vary only in what the outputs use; 0: what varies is not used")             \
    X(PR, pr, "1", NEEDS_NOTHING, "participation ratio of the features",                           \
      "how many directions the features vary in, the strong ones counted; below n / 5 rows for "   \
      "each it is too low")                                                                        \
    X(CKA_LINEAR, cka_linear, "1", NEEDS_NOTHING, "linear CKA of the features and the outputs",    \
      "1: the outputs' Gram matrix is the features', up to scale; 0: they have nothing in common") \
    X(D_WHITE, d_white, "1", NEEDS_NOTHING,                                                        \
      "1 - sqrt(r / p), d_lr of features without structure under any linear head",                 \
      "d_lr near it says nothing of learning; runs of other p and C have another one")             \
    X(U_DEBIASED, u_debiased, "1", NEEDS_NOTHING, "u corrected for the finite number of rows",     \
      "the value of u that more rows would come to")                                               \
    X(PR_DEBIASED, pr_debiased, "1", NEEDS_NOTHING, "pr corrected for the finite number of rows",  \
      "the value of pr that more rows would come to; 1 - d_debiased = u_debiased "                 \
      "sqrt(pr_debiased / r)")                                                                     \
    X(CKA_DEBIASED, cka_debiased, "1", NEEDS_NOTHING,                                              \
      "cka_linear corrected for the finite number of rows",                                        \
      "the value of cka_linear that more rows would come to")

/* Neural collapse: how far the features are one point a class. */
#define METRICS_COLLAPSE(X)                                                                        \
    X(NC1, nc1, "1", NEEDS_LABELS, "neural collapse 1: tr(S_W S_B^+) / C",                         \
      "falls to 0 as the features of each class become one point")                                 \
    X(NC1_QUOTIENT, nc1_quotient, "1", NEEDS_LABELS, "neural collapse 1: tr S_W / tr S_B",         \
      "variance within classes over variance between them; falls to 0 at collapse")                \
    X(NC2_NORM_CV, nc2_norm_cv, "1", NEEDS_LABELS,                                                 \
      "neural collapse 2: spread of the class means' norms, std / mean",                           \
      "0: all class means are equally far from their centre")                                      \
    X(NC2_ANGLE, nc2_angle, "1", NEEDS_LABELS,                                                     \
      "neural collapse 2: mean |cos + 1/(C-1)| over pairs of class means",                         \
      "0: the class means are at equal and widest angles")

/* How many directions the features vary in. */
#define METRICS_RANKS(X)                                                                           \
    X(STABLE_RANK, stable_rank, "1", NEEDS_NOTHING, "sum of the eigenvalues / the largest",        \
      "directions as strong as the strongest one that the variance would fill; with few rows a "   \
      "feature it is too low")                                                                     \
    X(EFFECTIVE_RANK, effective_rank, "1", NEEDS_SPECTRUM,                                         \
      "exp of the entropy of the eigenvalues' shares",                                             \
      "directions that the variance is spread over; below five rows for each it is a lower bound") \
    X(RANKME, rankme, "1", NEEDS_SPECTRUM,                                                         \
      "exp of the entropy of the singular values' shares, as RankMe has it",                       \
      "compare it only with RankMe values of as many rows")                                        \
    X(SRANK, srank, "1", NEEDS_SPECTRUM,                                                           \
      "directions whose singular values make up 99 % of all, as srank has it",                     \
      "falls when features collapse to a few directions; compare it only at as many rows")         \
    X(DIMS_99, dims_99, "1", NEEDS_SPECTRUM, "directions that hold 99 % of the variance",          \
      "how many principal components would do; with few rows it is too low")                       \
    X(ALPHA_REQ, alpha_req, "1", NEEDS_SPECTRUM,                                                   \
      "exponent a of the spectrum, rho_k ~ k^-a for k = 3 to 100",                                 \
      "near 1 in networks that transfer well; above: few directions, below: near white noise")

/* Plasticity: features that carry nothing, or nothing of their own. */
#define METRICS_UNITS(X)                                                                           \
    X(DEAD_FEATURES, dead_features, "1", NEEDS_NOTHING, "features that do not vary",               \
      "units that are lost to training, if they stay so; over few rows rare ones count as well")   \
    X(DORMANT_FEATURES, dormant_features, "1", NEEDS_NOTHING,                                      \
      "features with a tenth of the mean activity or less, dead ones among them",                  \
      "a growing number is lost plasticity; defined for features that are never negative (ReLU)")  \
    X(CLONED_FEATURES, cloned_features, "1", NEEDS_NOTHING,                                        \
      "features that follow another one: |correlation| > .999",                                    \
      "units that do the work of another; those active in the same few rows count, too")           \
    X(FEATURE_NORM, feature_norm, "1", NEEDS_NOTHING, "length of a row of features, sqrt E|x|^2",  \
      "one that grows without end often comes before instability or lost plasticity")

/* Standard errors; NAME_se belongs to the measure NAME. */
#define METRICS_ERRORS(X)                                                                          \
    X(D_LR_SE, d_lr_se, "1", NEEDS_NOTHING, "standard error of d_lr, by a jackknife",              \
      "how far d_lr would stray over other windows of as many rows; its bias is not in it")        \
    X(D_DEBIASED_SE, d_debiased_se, "1", NEEDS_NOTHING,                                            \
      "standard error of d_debiased, by a jackknife",                                              \
      "two of these on each side of d_debiased hold the population's value about 95 times in 100") \
    X(U_DEBIASED_SE, u_debiased_se, "1", NEEDS_NOTHING,                                            \
      "standard error of u_debiased, by a jackknife", "read it as that of d_debiased")             \
    X(PR_DEBIASED_SE, pr_debiased_se, "1", NEEDS_NOTHING,                                          \
      "standard error of pr_debiased, by a jackknife", "read it as that of d_debiased")

/* How far the features have moved since the first window. */
#define METRICS_CHANGE(X)                                                                          \
    X(S_INIT, s_init, "1", NEEDS_PROBE,                                                            \
      "CKA of the features with those of the same rows in the first window",                       \
      "1: the features have not moved; with fewer rows than features it is high for unrelated "    \
      "ones, too: read s_init_debiased")                                                           \
    X(S_INIT_UNCENTRED, s_init_uncentred, "1", NEEDS_PROBE, "the same with the means left in",     \
      "high wherever the mean is large, whatever moved about it")                                  \
    X(S_INIT_DEBIASED, s_init_debiased, "1", NEEDS_PROBE,                                          \
      "s_init corrected for the finite number of rows",                                            \
      "1: the features have not moved but by rotation and scale; 0: they are unrelated to those "  \
      "of the beginning")

/* How much of the task the features hold: against the targets, labels as one-hot columns. */
#define METRICS_TARGETS(X)                                                                         \
    X(D_TARGET, d_target, "1", NEEDS_TARGETS, "d_lr with the targets in the place of the outputs", \
      "low: the features vary in what the task asks for; d_lr low and this high: rich, but not "   \
      "for the task")                                                                              \
    X(TARGET_ALIGNMENT, target_alignment, "1", NEEDS_TARGETS,                                      \
      "centred alignment of the features' kernel with the targets'",                               \
      "1: rows are alike exactly where their targets are")                                         \
    X(HEAD_ERROR, head_error, "1", NEEDS_TARGETS,                                                  \
      "mean squared error of the outputs, summed over them, against the targets",                  \
      "the training loss of networks trained by squared error; of others a distance without "      \
      "meaning")                                                                                   \
    X(HEAD_EXCESS, head_excess, "1", NEEDS_TARGETS,                                                \
      "head_error less that of the best linear head",                                              \
      "what training the last layer alone could still gain in squared error")                      \
    X(PROBE_R2, probe_r2, "1", NEEDS_TARGETS,                                                      \
      "share of the targets' variance that the best linear readout explains, of its own rows",     \
      "p / n of it is chance: read probe_loo_error beside it")                                     \
    X(PROBE_LOO_ERROR, probe_loo_error, "1", NEEDS_TARGETS,                                        \
      "squared error of a linear readout on rows left out, over the targets' variance",            \
      "0: the features hold the task linearly; 1: no more than the targets' mean does")            \
    X(PROBE_ACCURACY, probe_accuracy, "1", NEEDS_LABELS,                                           \
      "accuracy of a linear readout on rows left out",                                             \
      "the test accuracy of a linear probe on rows like these, without training one")              \
    X(NC3, nc3, "1", NEEDS_LABELS, "neural collapse 3: distance of the head from the class means", \
      "0: the head's weights are the class means, up to scale")                                    \
    X(ETF_ERROR, etf_error, "1", NEEDS_LABELS,                                                     \
      "distance of the class means' products from a simplex of equal angles",                      \
      "0: the class means are an equiangular tight frame, as at neural collapse")                  \
    X(CDNV, cdnv, "1", NEEDS_LABELS, "class-distance-normalised variance, mean over pairs",        \
      "variance within two classes over their squared distance: falls to 0 at collapse; classes "  \
      "of one row count as points")

/* Features and outputs as two views of the same rows. */
#define METRICS_VIEWS(X)                                                                           \
    X(CCA_MEAN, cca_mean, "1", NEEDS_NOTHING,                                                      \
      "mean of the canonical correlations of the features and the outputs",                        \
      "1: each is a linear function of the other; two unrelated views of few rows are far from "   \
      "0, about sqrt(p / n)")                                                                      \
    X(MODALITY_GAP, modality_gap, "1", NEEDS_NOTHING,                                              \
      "distance of the views' means, features and outputs, rows of length 1 on average",           \
      "0: both views have one centre; of as many outputs as features, and only where they share "  \
      "a space, as in CLIP")                                                                       \
    X(LIDAR, lidar, "1", NEEDS_LABELS,                                                             \
      "LiDAR: effective rank of the class means, in units of the spread within classes",           \
      "directions that tell the objects apart: labels that name the object of which rows are "     \
      "views, at most one less than there are")

#define METRICS_MEASURED(X)                                                                        \
    METRICS_RICHNESS(X)                                                                            \
    METRICS_COLLAPSE(X)                                                                            \
    METRICS_RANKS(X)                                                                               \
    METRICS_UNITS(X)                                                                               \
    METRICS_ERRORS(X)                                                                              \
    METRICS_CHANGE(X)                                                                              \
    METRICS_TARGETS(X)                                                                             \
    METRICS_VIEWS(X)

/* Of the whole network: only the trainer can compute them. It is sent with a checkpoint, and goes
 * into the point of each of its layers. */
#define METRICS_REPORTED(X)                                                                        \
    X(PARAM_NORM, param_norm, "1", NEEDS_TRAINER, "||theta||^2 of the trainable parameters",       \
      "falls under weight decay, whatever the features do")                                        \
    X(PARAM_CHANGE, param_change, "1", NEEDS_TRAINER,                                              \
      "||theta - theta_0||^2 / ||theta_0||^2 of the trainable parameters",                         \
      "0: the parameters are where they began")                                                    \
    X(NTK_DISTANCE, ntk_distance, "1", NEEDS_TRAINER,                                              \
      "1 - <K_0,K> / (||K_0|| ||K||) of the tangent kernel",                                       \
      "0: the tangent kernel is the initial one, as in lazy training")                             \
    X(NTK_ALIGNMENT, ntk_alignment, "1", NEEDS_TRAINER,                                            \
      "centred alignment of the tangent kernel with the targets",                                  \
      "1: the tangent kernel is the targets' own, about its mean; 0: it has nothing of them")

#define METRICS(X)                                                                                 \
    METRICS_MEASURED(X)                                                                            \
    METRICS_REPORTED(X)

enum metric {
#define X(ENUM, ...) METRIC_##ENUM,
    METRICS(X)
#undef X
        METRIC_COUNT
};

struct metric_info {
    const char *name; /* as in JSON, and the column in the store */
    const char *unit;
    enum metric_needs needs;
    const char *description; /* what the number is: one sentence */
    const char *read_as;     /* what to make of it: one sentence */
};

extern const struct metric_info metric_table[METRIC_COUNT];

/* The metric of that name, or -1. */
int metric_find(const char *name);

/* What the ends of a measure's scale mean, in a word or two: X(ENUM, low, high), where both hold
 * whatever p, C and n are. Axes and bars are labelled with them. */
#define METRIC_ENDS(X)                                                                             \
    X(D_LR, "rich", "lazy")                                                                        \
    X(D_DEBIASED, "rich", "lazy")                                                                  \
    X(U, "variance unused", "variance used")                                                       \
    X(U_DEBIASED, "variance unused", "variance used")                                              \
    X(PR, "few directions", "many directions")                                                     \
    X(PR_DEBIASED, "few directions", "many directions")                                            \
    X(STABLE_RANK, "few directions", "many directions")                                            \
    X(EFFECTIVE_RANK, "few directions", "many directions")                                         \
    X(RANKME, "few directions", "many directions")                                                 \
    X(SRANK, "few directions", "many directions")                                                  \
    X(DIMS_99, "few directions", "many directions")                                                \
    X(ALPHA_REQ, "flat spectrum", "steep spectrum")                                                \
    X(CKA_LINEAR, "unrelated", "alike")                                                            \
    X(CKA_DEBIASED, "unrelated", "alike")                                                          \
    X(NC1, "collapsed", "spread")                                                                  \
    X(NC1_QUOTIENT, "collapsed", "spread")                                                         \
    X(NC2_NORM_CV, "equal lengths", "unequal lengths")                                             \
    X(NC2_ANGLE, "equal angles", "unequal angles")                                                 \
    X(NC3, "head is class means", "head is unrelated")                                             \
    X(ETF_ERROR, "simplex", "no simplex")                                                          \
    X(CDNV, "collapsed", "spread")                                                                 \
    X(S_INIT, "moved", "as at first")                                                              \
    X(S_INIT_UNCENTRED, "moved", "as at first")                                                    \
    X(S_INIT_DEBIASED, "moved", "as at first")                                                     \
    X(D_TARGET, "for the task", "not for the task")                                                \
    X(TARGET_ALIGNMENT, "unrelated", "aligned")                                                    \
    X(HEAD_ERROR, "fits", "misses")                                                                \
    X(PROBE_R2, "explains nothing", "explains all")                                                \
    X(PROBE_LOO_ERROR, "holds the task", "holds nothing of it")                                    \
    X(CCA_MEAN, "unrelated", "alike")                                                              \
    X(MODALITY_GAP, "one centre", "apart")                                                         \
    X(LIDAR, "few directions", "many directions")                                                  \
    X(PARAM_CHANGE, "as at first", "moved")                                                        \
    X(NTK_DISTANCE, "as at first", "moved")                                                        \
    X(NTK_ALIGNMENT, "unrelated", "aligned")

struct metric_ends {
    const char *low, *high;
};

/* By metric; both NULL where a scale has no such words. */
extern const struct metric_ends metric_ends[METRIC_COUNT];

/* Measures that few rows bias, beside their forms that are corrected for it. X(plain, corrected):
 * a reader who names no form is shown the corrected one, or the plain one where that is null. A
 * corrected form without a row above is passed over. */
#define METRIC_CORRECTIONS(X)                                                                      \
    X(d_lr, d_debiased)                                                                            \
    X(u, u_debiased)                                                                               \
    X(pr, pr_debiased)                                                                             \
    X(cka_linear, cka_debiased)                                                                    \
    X(s_init, s_init_debiased)

/* The corrected form of a plain measure, and the plain form of a corrected one; a measure without
 * the other form is both itself. */
int metric_corrected(int metric);
int metric_plain(int metric);

/* What a point wants the reader to know, one row each: X(ENUM, name, sentence). Stored as bits, in
 * this order for good; printed by name. */
#define FLAGS(X)                                                                                   \
    X(DEGENERATE, degenerate,                                                                      \
      "the outputs span all the features (r >= p or n - 1): d_lr measures isotropy, or n, alone")  \
    X(SMALL_SAMPLE, small_sample,                                                                  \
      "few rows for this rank (n < 4 r, or n - 1 - r < 8): d_debiased is the one to read")         \
    X(PARTIAL, partial, "rows or ranks are missing from the window")                               \
    X(LOW_PRECISION, low_precision,                                                                \
      "the features' mean is so large that their format holds too few digits of what varies: the " \
      "values are uncertain")                                                                      \
    X(CONSTANT, constant, "features or outputs do not vary: there is nothing to measure")          \
    X(NOT_CONVERGED, not_converged,                                                                \
      "an eigenvalue iteration failed, sums left a double's range, or reduced sums "               \
      "contradict each other: what needs them is missing")                                         \
    X(CLASSES_MISSING, classes_missing,                                                            \
      "classes without a row in the window: nc1 and nc2 are of the others")                        \
    X(NO_SPECTRUM, no_spectrum, "a spectrum was asked for and is not there, or not yet")           \
    X(ROW_FORM, row_form, "fewer rows than features: measured from the rows' n x n products")      \
    X(PROBE_DIFFERS, probe_differs,                                                                \
      "the rows cannot be those of the first window: there is no s_init")                          \
    X(TOP_OUTPUTS, top_outputs, "measured against the leading output directions")                  \
    X(RIDGE, ridge, "measured against the ridge projector of the outputs")                         \
    X(FROM_HEAD, from_head, "the outputs are what the head's weights make of the features")        \
    X(NO_HEAD, no_head, "the head did not come in this window: what needs outputs is missing")     \
    X(BIASED, biased,                                                                              \
      "too few rows for the plain values: they are off by more than two standard errors; read "    \
      "the "                                                                                       \
      "de-biased ones")                                                                            \
    X(OUTLIERS, outliers, "a few long rows make up the sums: the values depend on single rows")    \
    X(DEPENDENT_ROWS, dependent_rows,                                                              \
      "neighbouring rows depend on each other: the standard errors are widened for it, too "       \
      "little "                                                                                    \
      "for long sequences, too much for rows sorted within batches")                               \
    X(WIDE_OUTPUTS, wide_outputs,                                                                  \
      "the outputs span more than half of the features' dimensions: a random head reads as rich")  \
    X(NONLINEAR_HEAD, nonlinear_head,                                                              \
      "the outputs are not a linear function of these features: send those before the softmax, "   \
      "of the last layer; of a layer within the network it says nothing")                          \
    X(BELOW_FLOOR, below_floor, "values below what single precision resolves were left out")       \
    X(CLASSES_LOST, classes_lost,                                                                  \
      "more classes than there is memory for: what needs labels is missing")

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
