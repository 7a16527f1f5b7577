/* Random numbers for tests: the same seed gives the same numbers on every machine. The state is the
 * caller's and one thread uses it. Not for secrets. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct random {
    uint64_t state;
};

void random_seed(struct random *, uint64_t seed);
uint64_t random_bits(struct random *);
/* In [0, 1), with 53 bits. */
double random_uniform(struct random *);
/* In 0..n-1; the bias of 2^-64 n does not matter here. */
size_t random_below(struct random *, size_t n);
/* Mean 0, variance 1. */
double random_gaussian(struct random *);
void random_fill_gaussian(struct random *, size_t n, double *out);
