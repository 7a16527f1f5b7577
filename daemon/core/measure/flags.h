/* What the numbers of a window say about their own worth: the flags of a point that a limit
 * decides. Pure; any thread. measure.c and gather.h ask once the numbers are there, and set flags
 * of their own where something is missing. Tested by test_richness.c. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "daemon/core/measure/measures.h"

/* Each returns its flags, or 0. */

/* Too few digits of the features' spread; needs t. */
uint32_t flags_of_precision(const struct evidence *);
/* Too few rows or features for outputs of rank r (the projector's trace). */
uint32_t flags_of_sample(const struct evidence *, double r);
uint32_t flags_of_projector(const struct projector *);
/* Plain values that are off because the rows are few. */
uint32_t flags_of_bias(const struct evidence *);
/* Outputs that no linear head makes of the features; needs the views. */
uint32_t flags_of_head(const struct evidence *);
/* A few long rows. */
uint32_t flags_of_outliers(const struct evidence *);
/* Whether they are so few that the de-biased D and PR would be of single rows. */
bool flags_too_few_long_rows(const struct evidence *);
/* Eigenvalues that the features' format hides and RankMe would see; needs the spectrum. */
uint32_t flags_of_floor(const struct evidence *);

/* LAPACK may fail to decompose a matrix (-EDOM). The measures that need it are then NaN, `*flags`
 * says so, and 0 is returned. Other errors stay errors. */
int flags_catch_not_converged(int rc, uint32_t *flags);
