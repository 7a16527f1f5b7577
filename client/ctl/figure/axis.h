/* One axis of a plot: the range that holds the data, where a value lies in it, and the ticks with
 * their labels. Pure; plain values. plot.h draws it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define AXIS_MAX_TICKS  16
#define AXIS_LABEL_SIZE 16

struct tick {
    double value;
    char label[AXIS_LABEL_SIZE];
};

struct axis {
    double low;
    double high;
    bool log; /* positions are log(value + 1), so that step 0 has a place */
    struct tick ticks[AXIS_MAX_TICKS];
    size_t n_ticks;
};

/* Widens [low, high] to round numbers and sets about `wanted` ticks at 1, 2 or 5 times a power of
 * ten, the ends included. low <= high, both finite. */
void axis_fit_values(struct axis *, double low, double high, size_t wanted);

/* Keeps [low, high] as it is. Linear: round numbers inside; log: powers of ten, with 2 and 5, or
 * with every digit, between them when less than three lie inside. 0 <= low <= high. */
void axis_fit_steps(struct axis *, double low, double high, bool log, size_t wanted);

/* Where a value lies: 0 at the low end, 1 at the high end. */
double axis_position(const struct axis *, double value);
