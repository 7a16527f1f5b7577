/* A plot in text: curves over training steps, drawn with dots, axes, ticks and a legend. Pure:
 * samples in, lines out; the caller owns all it passes. curves.h fetches the samples.
 *
 * The way through: lay_out finds the ranges, fits the axes and sets the canvas's size; then curves
 * and marks are set on the canvas as dots; then rows, step axis and labels are printed from top to
 * bottom, and legend.h says what the marks stand for. Only memory can fail, and nothing is worth
 * showing then. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* Curves beyond these repeat the marks. */
#define PLOT_MARKS 34

/* A point, or a bin of points with its smallest and largest value; NaN interrupts the curve. */
struct plot_sample {
    double step;
    double low;
    double high;
};

struct plot_curve {
    const char *run; /* whose it is, and of what; the plot does not need it */
    const char *metric;
    const char *label; /* printed as it is: escape it first */
    const struct plot_sample *samples;
    size_t n_samples;
    double last; /* value for the legend */
    bool right;  /* drawn dotted, on the right axis */
    int colour;  /* 1 to CANVAS_COLOURS */
};

/* Something that lasted from one step to another, marked on the step axis; with `end` before
 * `start` a line of the legend alone. */
struct plot_passage {
    double start, end;
    char *text; /* a line of the legend; printed as it is: escape it first */
};

/* A value of the left axis to compare the curves with: a thin dotted line under them, its mark at
 * the right end and in the legend; outside of the axis it is in the legend alone. */
struct plot_rule {
    double value;
    const char *mark; /* a glyph of one column */
    const char *label;
    int colour; /* 0: none of a curve's */
};

struct plot {
    const char *title;
    const struct plot_curve *curves;
    size_t n_curves;
    const struct plot_passage *passages;
    size_t n_passages;
    const struct plot_rule *rules;
    size_t n_rules;
    bool fits_rules; /* the axis reaches as far as they do */
    size_t columns;  /* of the whole plot */
    size_t lines;    /* of the whole plot; more when the legend leaves too little */
    bool log_steps;
    bool ascii;
    bool colour;
};

/* Prints the plot. Returns the lines printed, or -ENOMEM. Every curve has a mark of its own, along
 * the curve and in the legend, so that nothing depends on colour. */
int plot_draw(const struct plot *, FILE *out);
