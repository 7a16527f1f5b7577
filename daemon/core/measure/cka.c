#include <math.h>

#include "daemon/core/matrix/linalg.h"
#include "daemon/core/measure/measures.h"

/* ||X'Y||_F^2, ||Y'Y||_F^2 and ||Y||_F^2. */
struct products {
    double xy, yy, trace;
};

static struct products products_of(const struct moments *m)
{
    struct products out = {0};

    for (size_t i = 0; i < m->p; i++)
        out.xy += linalg_sum_squares(m->c, m->xy + i * m->w);
    for (size_t i = 0; i < m->c; i++) {
        const double *row = m->yy + i * m->w + i;

        out.yy += row[0] * row[0] + 2 * linalg_sum_squares(m->c - i - 1, row + 1);
        out.trace += row[0];
    }
    return out;
}

/* Linear CKA of features and outputs (Kornblith et al. 2019), both centred:
 *
 *     ||X'Y||_F^2 / ( ||X'X||_F ||Y'Y||_F )
 *
 * 1: the outputs' Gram matrix is the features', up to scale. NaN when the outputs do not vary. */
double measure_cka_linear(const struct evidence *evidence)
{
    struct products products = products_of(evidence->moments);

    if (products.yy == 0)
        return (double)NAN;
    return estimate_share(products.xy / sqrt(evidence->sums.f * products.yy));
}

/* n(n-3) HSIC_1 (Song et al. 2012) of two linear kernels whose means are removed: without what the
 * rows' products with themselves, `own` = sum |x|^2 |y|^2, put into `product` = ||X'Y||_F^2. */
static double unbiased(double n, double product, double own, double trace_x, double trace_y)
{
    return product - n / (n - 2) * own + trace_x * trace_y / ((n - 1) * (n - 2));
}

/* The same of a population, whatever n: HSIC_1(X, Y) / sqrt(HSIC_1(X, X) HSIC_1(Y, Y)). 0 when the
 * outputs know nothing of the features, where the plain value is about sqrt(PR_x PR_y) / n. May
 * fall slightly outside [0, 1]. `own` of more rows than are kept is partly a sample: it moves the
 * value by less than a tenth of its sampling error, or by .001 where the value is 0 (test_cka.c).
 * There is no exact sum: the outputs of a head never come as rows, and w^2 x y' would be one more p
 * x C matrix. NaN unless n > 3, where no rows are kept (kept.h), and where the outputs do not vary.
 */
double measure_cka_debiased(const struct evidence *evidence)
{
    const struct sums *sums = &evidence->sums;
    const struct kept_sums *own = &evidence->kept_sums;
    struct products products = products_of(evidence->moments);
    double n = evidence->n,
           fourth = sums->fourth * sums->weighting * sums->weight_sq / sums->weight;
    double xx, xy, yy;

    if (n <= 3)
        return (double)NAN;
    xx = unbiased(n, sums->f, fourth, sums->t, sums->t);
    xy = unbiased(n, products.xy, own->cross, sums->t, products.trace);
    yy = unbiased(n, products.yy, own->outputs, products.trace, products.trace);
    return xx > 0 && yy > 0 ? xy / sqrt(xx * yy) : (double)NAN;
}
