/* What features and targets have in common, as a mathematician would write it down, from plain rows
 * in long double, as in reference_spectrum.h: no moments, no code of daemon/core; a row is left out
 * by fitting the others. Slow; aborts when memory is short; any thread. */
#pragma once

#include "tests/lib/core/reference_spectrum.h"

struct reference_targets {
    long double d_target, target_alignment;
    long double head_error, head_excess, nc3; /* of as many outputs as targets; nc3: of labels */
    long double probe_r2;                     /* with head_excess and nc3: n > p */
    long double probe_loo_error, probe_accuracy;
    long double etf_error, cdnv; /* of labels */
};

/* `targets` are one-hot rows when there are labels. Each row is left out with each of the ridges,
 * in units of the mean eigenvalue of X'X, and the one with the smallest error counts. */
void reference_targets(const struct reference_rows *, size_t n_ridges, const double *ridges,
                       struct reference_targets *out);
