/* D_LR and what is always reported beside it, from the moments of one layer. Pure: reads the
 * moments, writes the point. Any thread, one at a time per moments. Formulas: arXiv 2410.04264 and,
 * where marked D, derived for richd and checked numerically. */
#pragma once

#include "daemon/core/dtype.h"
#include "daemon/core/moments.h"
#include "daemon/core/point.h"

/* The coarsest formats that entered the window: they set the rank's cut-off and a flag. */
struct precision {
    enum dtype features;
    enum dtype outputs;
};

/* Fills n, p, c, rank, flags and every metric of `out`; step, time and rows_missing are the
 * caller's. A measure that the data does not define is NaN and a flag says why. Returns 0 or
 * -ENOMEM. The moments must hold a row that weighs. */
int richness_measure(const struct moments *, struct precision, struct point *out);
