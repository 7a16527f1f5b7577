/* From moments to a point. Pure: reads the moments, writes the point, makes the spectrum when it is
 * wanted; any thread, and only measure_second_part beside it. Which checkpoints are measured, and
 * where a point goes, the engine decides (daemon/core/monitor).
 *
 * The way through the room: measure_point takes the moments of a window and a plan.
 *
 *     head       a layer without outputs gets Y~ from its head (moments/head.h)
 *     kernel.h   moments by_rows have no X'X: XX' stands for it
 *     gather.h   fills struct evidence, one kind after the other:
 *                sums      t, f, the fourth moment; without variance the point ends here
 *                features  units.h: what they say alone
 *                outputs   the span (span.h) that projector.h keeps; q, then D_LR
 *                          (estimate.h) and its errors (jackknife.h)
 *                then      collapse.h, targets.h, readout.h, probe.h, and what is kept of a
 *                          probe's rows (representation.h)
 *                at last   leading.h, views.h, which a second worker may be making
 *                          (shared_parts.h); spectrum.h
 *     flags.h    what the numbers say about their own worth
 *     measures.h one function a metric reads all that and gives its value
 *
 * A point leaves, and perhaps a spectrum. What the data does not define is NaN, and a flag of the
 * point says why. Only a lack of memory makes measure_point fail, and then there is no point.
 * Tested by test_richness.c. */
#pragma once

#include <stdbool.h>

#include "daemon/core/estimate/projector.h"
#include "daemon/core/measure/probe.h"
#include "daemon/core/measure/representation.h"
#include "daemon/core/measure/shared_parts.h"
#include "daemon/core/measure/spectrum.h"
#include "daemon/core/moments/head.h"
#include "daemon/core/moments/moments.h"
#include "proto/base/point.h"

/* How a window is to be measured. */
struct measure_plan {
    struct precision precision; /* of the outputs: the head's, if there is one */
    struct projector projector; /* AUTO: decided by this window, and FLAG_TOP_OUTPUTS says how */
    bool is_inner;              /* other layers lie between it and the outputs */
    const struct head *head;    /* makes the outputs from the features; NULL: they were sent */
    struct spectrum_wish spectrum;
    struct probe *probe;         /* of the first window; without rows it receives those of this one.
                                    NULL: the rows are no probe */
    bool probe_is_partial;       /* rows of the window are missing */
    enum probe_problem *problem; /* with a probe: receives why it was not compared */
    struct representation *representation; /* with a probe: receives that of the window, where it is
                                              compared; NULL: not wanted */
    struct shared_parts *shared;           /* with a second worker; NULL: there is none */
};

/* Fills n, p, c, rank, flags and every metric of `out` that richd measures; those that the trainer
 * reports become NaN. The caller fills step, time and rows_missing. `*spectrum` receives the
 * decomposition (free with spectrum_free), or NULL when none is wanted or possible. Returns 0 or
 * -ENOMEM. The moments must hold a row that weighs, and X'X when the plan needs it. */
int measure_point(const struct moments *, const struct measure_plan *, struct point *out,
                  struct spectrum **spectrum);

/* Whether a second worker has something to do (shared_parts.h). It may be at work beside
 * measure_point, before it, or never; the point is the same. */
bool measure_has_second_part(const struct moments *, const struct measure_plan *);
void measure_second_part(const struct moments *, const struct measure_plan *);

/* Whether the plan needs X'X itself: classes, spectra and heads do. Moments by_rows have none
 * (moments_make_xx makes it). */
bool measure_needs_xx(const struct moments *, const struct measure_plan *);
