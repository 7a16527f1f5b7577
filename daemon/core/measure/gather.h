/* Gathers the evidence of a window, one kind a function, in the order in which measure.c calls
 * them. Each reads the moments and what was gathered before, fills its part of the evidence, and
 * says in the flags why a part is missing. Pure; any thread. gather_outputs.c has what needs the
 * span of the outputs. Tested with its files by test_richness.c. */
#pragma once

#include "daemon/core/measure/measure.h"
#include "daemon/core/measure/measures.h"

/* All return 0 or -ENOMEM. */

/* The sums that need no outputs: t, f, the fourth moment, and what weights make of it. */
int gather_sums(struct evidence *);
/* What the features say alone; t and f are above 0. */
int gather_features(struct evidence *);
/* What the space of the outputs says of the features. `*rank` receives its dimension. */
int gather_outputs(struct evidence *, const struct measure_plan *, uint32_t *rank, uint32_t *flags);
/* Fills `*collapse`, which the evidence then borrows; without labels neither. */
int gather_collapse(struct evidence *, const struct measure_plan *, struct collapse *collapse,
                    uint32_t *flags);
int gather_targets(struct evidence *, const struct measure_plan *, uint32_t *flags);
int gather_probe(struct evidence *, const struct measure_plan *, uint32_t *flags);
/* These two at last, for another worker may be making them: the largest eigenvalue, and the views
 * of outputs that gather_outputs has measured. */
int gather_leading(struct evidence *, const struct measure_plan *, uint32_t *flags);
int gather_views(struct evidence *, const struct measure_plan *, uint32_t *flags);

/* Without memory for the spectrum the point is made all the same. `*spectrum` is borrowed by the
 * evidence. */
void gather_spectrum(struct evidence *, const struct measure_plan *, struct spectrum **spectrum,
                     uint32_t *flags);
