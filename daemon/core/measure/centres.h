/* The means of the classes that occurred, about their own mean, as collapse.h needs them. Owns its
 * vectors; borrows the moments, whose class sums are read where they lie, because a copy of them
 * may be larger than all the rest. Pure; any thread, one at a time per moments. collapse.c says
 * what the symbols mean. Tested with its files by test_collapse.c and test_spectrum.c. */
#pragma once

#include "daemon/core/moments/moments.h"

struct centres {
    const struct moments *m;
    size_t p, n;    /* C classes */
    uint32_t *slot; /* n: of each class, in the order in which they came */
    double *share;  /* n: pi_c */
    double *spread; /* n: |mu_c - m|^2 */
    double *square; /* n: |mu_c - mu|^2 */
    double *middle; /* p: mu - m */
};

/* Returns 0 or -ENOMEM; release is harmless then. */
int centres_init(struct centres *, const struct moments *);
void centres_release(struct centres *);

/* out (p) = mu_c - mu. */
void centres_read(const struct centres *, size_t c, double *out);

/* E |x - mu_c|^2 over the rows of the class, never negative. */
double centres_variance(const struct centres *, size_t c);

/* tr(S_W S_B^+) / C in `out`, and tr S tr(S_B^+) / (r C) with r the rank of S_B, of which it is a
 * part, in `whole`: from C x C products, for at most p classes, or from p x p ones, for more; both
 * need memory for several such matrices. NaN when all means are the same. Returns 0, -ENOMEM, or
 * -EDOM when LAPACK fails. */
int centres_nc1(const struct centres *, double *out, double *whole);

/* LiDAR of the class means (lidar.c), with memory for three p x p matrices. Returns as centres_nc1
 * does; -EDOM also where rounding leaves S_W no variance. */
int centres_lidar(const struct centres *, double *out);
