/* The values of a point. Each row of metric.h has one function here, which reads the evidence and
 * returns one number. Pure; any thread. gather.h fills the evidence, measure.c calls the functions.
 * measures.c holds those that only read a number, cka.c and ranks.c those with a formula. Tested
 * with its files by test_richness.c, test_spectrum.c and test_cka.c. */
#pragma once

#include <stdbool.h>

#include "daemon/core/estimate/estimate.h"
#include "daemon/core/estimate/kept.h"
#include "daemon/core/estimate/kernel.h"
#include "daemon/core/measure/collapse.h"
#include "daemon/core/measure/probe.h"
#include "daemon/core/measure/readout.h"
#include "daemon/core/measure/spectrum.h"
#include "daemon/core/measure/targets.h"
#include "daemon/core/measure/units.h"
#include "daemon/core/measure/views.h"
#include "daemon/core/moments/moments.h"
#include "proto/base/metric.h"

/* What a measure may read. X and Y are the rows as in moments.h, Q is an orthonormal basis of the
 * outputs. Rows of unequal weight count as n = (sum w)^2 / sum w^2 equal ones. */
struct evidence {
    const struct moments
        *moments;          /* with p outputs that stand for the head's C, if there is a head */
    struct kernel *kernel; /* of moments by_rows; else NULL */
    struct precision precision;
    struct projector projector; /* the plan's, and never AUTO once the outputs are measured */
    double n;
    struct sums sums; /* q is NaN when the outputs do not vary */
    struct kept kept;
    struct kept_sums kept_sums;
    struct estimate estimate, errors;
    double trace, norm_sq; /* of the projector: r twice, for the space of all outputs; else NaN */
    double largest;        /* eigenvalue of X'X; NaN: LAPACK failed */
    struct units units;
    double n_varying;                /* p, but for the dead features */
    const struct collapse *collapse; /* never NULL for a measure that needs labels */
    const struct spectrum *spectrum; /* never NULL for a measure that needs the spectrum */
    bool has_targets;                /* true for a measure that needs targets */
    struct target_measures targets;
    struct readout readout; /* of the targets */
    struct views views;
    bool has_likeness;        /* true for a measure that needs a probe */
    struct likeness likeness; /* of the rows of the first window and of this one */
};

/* A measure: one number, NaN where the data does not define it. */
typedef double measure_fn(const struct evidence *);

#define X(ENUM, name, ...) measure_fn measure_##name;
METRICS_MEASURED(X)
#undef X
