/* The legend of a plot: a mark, a name and a value for each curve and rule, and a line for each
 * passage. Pure; borrows the plot, which knows its width. plot.h sets the same marks on the curves.
 * Tested by test_plot.c. */
#pragma once

#include "client/ctl/figure/plot.h"

/* The curve's mark, a glyph of one column: shapes, then letters; then they repeat. */
const char *legend_mark(bool ascii, size_t curve);
/* What passages are drawn with. */
const char *legend_passage_mark(bool ascii);

/* How many lines legend_print prints. */
size_t legend_lines(const struct plot *);
/* Returns 0 or -ENOMEM. */
int legend_print(const struct plot *, FILE *out);
