/* The law of data separation (He and Su 2022, arXiv 2210.17020): in a trained network each layer
 * separates the classes by about the same factor, so log nc1 falls on a straight line over the
 * layers. Owns nothing; pure; any thread. nc1 is collapse.h's, and readers call this with the
 * points of one checkpoint.
 *
 *     ln D_l = a + slope l,  D_l = tr(S_W S_B^+) of layer l       least squares over the layers
 *
 * D is C nc1: the factor C does not change the slope. exp(slope) is the factor a layer; R^2 says
 * how straight the line is: 1, the law holds. */
#pragma once

#include <stddef.h>

struct separation {
    size_t n_layers; /* on the line */
    double slope;    /* NaN, and r2 too: fewer than three layers */
    double r2;       /* NaN also when nc1 is the same everywhere */
};

/* `nc1` of n layers in their order; one that is no positive number keeps its place and is passed
 * over. */
struct separation separation_fit(size_t n, const double *nc1);
