#include "daemon/core/measure/measure.h"

/* D_LR and what is always reported beside it, with t, f and q of measure.h. The formulas of D_LR
 * and of its de-biased form are in estimate.c, those of their errors in jackknife.h: arXiv
 * 2410.04264 and, where marked D, derived for richd and checked numerically. */
double measure_d_lr(const struct evidence *e)
{
    return e->estimate.plain;
}

double measure_d_debiased(const struct evidence *e)
{
    return e->estimate.debiased;
}

double measure_d_lr_se(const struct evidence *e)
{
    return e->errors.plain;
}

double measure_d_debiased_se(const struct evidence *e)
{
    return e->errors.debiased;
}

double measure_u(const struct evidence *e)
{
    return e->sums.q / e->sums.t;
}

double measure_pr(const struct evidence *e)
{
    return e->sums.t * e->sums.t / e->sums.f;
}
