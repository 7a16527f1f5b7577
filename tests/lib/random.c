#include "tests/lib/random.h"

#include <math.h>

void random_seed(struct random *r, uint64_t seed)
{
    r->state = seed;
}

/* splitmix64 (Steele, Lea and Flood 2014). */
uint64_t random_bits(struct random *r)
{
    uint64_t z = r->state += 0x9E3779B97F4A7C15;

    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
    return z ^ (z >> 31);
}

double random_uniform(struct random *r)
{
    return (double)(random_bits(r) >> 11) * 0x1p-53;
}

size_t random_below(struct random *r, size_t n)
{
    return random_bits(r) % n;
}

/* Box and Muller's transform; 1 - uniform is never 0. */
double random_gaussian(struct random *r)
{
    double radius = sqrt(-2 * log(1 - random_uniform(r)));

    return radius * cos(2 * M_PI * random_uniform(r));
}

void random_fill_gaussian(struct random *r, size_t n, double *out)
{
    for (size_t i = 0; i < n; i++)
        out[i] = random_gaussian(r);
}
