/* From moments to a point: gathers once what the measures share, then asks each row of metric.h
 * for its value. Pure: reads the moments, writes the point, and makes the spectrum when it is
 * wanted; any thread, one at a time per moments. The formulas are the measures' own: richness.c,
 * cka.c, collapse.c, ranks.c. */
#pragma once

#include <stdbool.h>

#include "daemon/core/measure/collapse.h"
#include "daemon/core/measure/jackknife.h"
#include "daemon/core/measure/probe.h"
#include "daemon/core/measure/projector.h"
#include "daemon/core/measure/spectrum.h"
#include "daemon/core/moments/head.h"
#include "daemon/core/moments/moments.h"
#include "proto/base/point.h"

/* What a measure may read. With X and Y the rows as in moments.h and Q an orthonormal basis of the
 * outputs. Rows of unequal weight count as n = (sum w)^2 / sum w^2 equal ones. */
struct evidence {
    const struct moments *moments; /* with p outputs that stand for the head's C, if it has one */
    struct kernel *kernel;         /* of moments by_rows; else NULL */
    double n;
    struct sums sums; /* q is NaN when the outputs do not vary */
    struct estimate estimate, errors;
    const struct collapse *collapse; /* never NULL for a measure that needs labels */
    const struct spectrum *spectrum; /* never NULL for one that needs the spectrum */
    bool has_likeness;               /* true for a measure that needs a probe */
    struct likeness likeness;        /* of the first window's rows and these */
};

/* A measure: one number, NaN where the data does not define it. */
typedef double measure_fn(const struct evidence *);

#define X(ENUM, name, unit, needs, sentence) measure_fn measure_##name;
METRICS_MEASURED(X)
#undef X

/* How a window is to be measured. */
struct measure_plan {
    struct precision precision; /* of the outputs: the head's, if there is one */
    struct projector projector; /* not AUTO */
    const struct head *head;    /* the outputs are what it makes of the features; NULL: they came */
    bool targets_are_labels;
    struct spectrum_wish spectrum;
    struct probe *probe;   /* NULL: the rows are no probe. The first window's; one without rows
                              receives those of this window */
    bool probe_is_partial; /* rows of the window are missing */
    enum probe_problem *problem; /* with a probe: receives why it was not compared */
};

/* Fills n, p, c, rank, flags and every metric of `out`; step, time and rows_missing are the
 * caller's, and so are the metrics that the trainer reports: they are NaN here. A measure that the
 * data does not define is NaN and a flag says why. `*spectrum`
 * receives the decomposition (free with spectrum_free), or NULL when none is wanted or possible.
 * Returns 0 or -ENOMEM. The moments must hold a row that weighs, and X'X when it is needed. */
int measure_point(const struct moments *, const struct measure_plan *, struct point *out,
                  struct spectrum **spectrum);

/* Whether the plan needs X'X itself, which moments by_rows put off (moments_make_xx): classes,
 * spectra and heads do. */
bool measure_needs_xx(const struct moments *, const struct measure_plan *);
