/* Populations of features and outputs whose D_LR is known, for tests and benchmarks of what an
 * estimate makes of a window of rows. The head is linear; the features are lazy (all directions of
 * nearly equal strength, a head that reads any of them) or rich (C - 1 strong ones, which the head
 * reads). Owns its matrices; aborts when memory is short; one thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "tests/lib/random.h"

enum population_kind {
    POPULATION_GAUSSIAN,
    POPULATION_RELU,      /* rectified Gaussian features, independent */
    POPULATION_CLUSTERS,  /* Gaussian about one of C means */
    POPULATION_LOGNORMAL, /* Gaussian rows of length e^(.7 z) */
    POPULATION_T5,        /* elliptical t with 5 degrees of freedom */
    POPULATION_T3,
    POPULATION_OUTLIERS, /* one row in 200 is 30 times as long */
    POPULATION_COUNT,
};

struct population {
    enum population_kind kind;
    bool rich;
    size_t p, c;
    double *sd;   /* p */
    double *mean; /* c x p: of the clusters */
    double *head; /* p x c */
    double d_lr;  /* of the population */
};

extern const char *const population_names[POPULATION_COUNT];

void population_init(struct population *, enum population_kind, bool rich, size_t p, size_t c);
void population_release(struct population *);

/* n independent rows: x (n x p) and y (n x c). */
void population_draw(const struct population *, struct random *, size_t n, double *x, double *y);
