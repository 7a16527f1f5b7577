/* The feature decomposition as a figure of at most 80 columns: a line an eigenvalue, with a bar for
 * its size on a logarithmic axis, its utilisation and quality, and how both add up. Pure; borrows
 * all it is given. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* Arrays of n, descending in rho; NaN where there is no eigenfunction. NULL: not defined. */
struct spectrumfig {
    size_t n;
    const double *rho;
    const double *u, *q;
    const double *pi_hat, *pi_star;
    bool ascii;
};

/* Prints the heading and a line for each of the first ten eigenvalues, then for fewer and fewer,
 * evenly on a logarithmic scale, down to the last. */
void spectrumfig_print(const struct spectrumfig *, FILE *out);
