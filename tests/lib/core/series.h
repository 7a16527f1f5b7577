/* Series whose transitions are known, for the detector's tests and its calibration: noise of four
 * kinds, and steps, excursions and waves without noise. The memory is the caller's; any thread. */
#pragma once

#include <stddef.h>

#include "daemon/core/detect/transition.h"
#include "tests/lib/random.h"

enum series_noise {
    SERIES_WHITE,
    SERIES_AR,   /* x_t = 0.9 x_t-1 + e_t, stationary */
    SERIES_PINK, /* 1/f: (1 - B)^(1/2) x = e (N. J. Kasdin, Proc. IEEE 83, 1995) */
    SERIES_WALK, /* x_t = x_t-1 + e_t */
    SERIES_NOISES
};

/* "white", "AR(.9)", "1/f", "walk". */
const char *series_noise_name(enum series_noise);

/* Fills out[0..n-1] with noise; e has the variance 1. */
void series_noise(struct random *, enum series_noise, size_t n, double *out);

/* From 0 to 1 about `middle`, from 10 % to 90 % in `length` points; 0: a step. */
double series_passage(double at, double middle, double length);

/* What a detector told of a series. */
struct series_news {
    size_t n_found, n_returned;
    size_t found_at, returned_at;      /* points fed until the first of each; 0: none */
    struct transition found, returned; /* the first of each */
};

/* Feeds n values with their standard errors (NULL: not known) to a new detector, at steps 0, 1...
 */
struct series_news series_feed(size_t n, const double *values, const double *se);
