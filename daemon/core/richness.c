#include <math.h>

#include "daemon/core/measure.h"

/* D_LR and what is always reported beside it, with t, f, q and r of measure.h. Formulas: arXiv
 * 2410.04264 and, where marked D, derived for richd and checked numerically. */
double measure_d_lr(const struct evidence *e)
{
    return 1 - e->q / sqrt(e->r * e->f);
}

double measure_u(const struct evidence *e)
{
    return e->q / e->t;
}

double measure_pr(const struct evidence *e)
{
    return e->t * e->t / e->f;
}

/* The estimate corrected for finitely many rows (D). With sum_s2 = sum |x_i|^4:
 *
 *     N = t/(n-1) - (t - q)/(n-1-r)
 *     Z = ( f - n/(n-2) sum_s2 + t^2/((n-1)(n-2)) ) / (n(n-3))
 *     D = 1 - N / sqrt(r Z)
 *
 * NaN unless n > 3, n > r + 1 and Z > 0. */
double measure_d_debiased(const struct evidence *e)
{
    double n = e->n, r = e->r, t = e->t, numerator, z;

    if (n <= 3 || n <= r + 1)
        return (double)NAN;
    numerator = t / (n - 1) - (t - e->q) / (n - 1 - r);
    z = (e->f - n / (n - 2) * e->fourth + t * t / ((n - 1) * (n - 2))) / (n * (n - 3));
    return z > 0 ? 1 - numerator / sqrt(r * z) : (double)NAN;
}
