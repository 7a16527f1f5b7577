/* The single features, the spectrum's shape and two views as a mathematician would write them down,
 * from plain rows in long double, as in reference.h. Slow; aborts when memory is short; any thread.
 */
#pragma once

#include <stddef.h>

struct reference_units {
    size_t dead;    /* no two rows differ */
    size_t dormant; /* mean |x_i| <= .1 of its mean over features */
    size_t cloned;  /* |correlation| with another feature > .999 */
    long double norm;
};

/* Of n x p rows with weights, or NULL: all 1. */
void reference_units(size_t n, size_t p, const double *x, const double *weights,
                     struct reference_units *out);

/* tr X'X over its largest eigenvalue, of centred rows of equal weight, by 500 steps of the power
 * method: right for a spectrum with a gap. */
long double reference_stable_rank(size_t n, size_t p, const double *x);
