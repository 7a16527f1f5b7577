#include <math.h>

#include "daemon/core/matrix/linalg.h"
#include "daemon/core/measure/measures.h"

/* Linear CKA of features and outputs (Kornblith et al. 2019), both centred:
 *
 *     ||X'Y||_F^2 / ( ||X'X||_F ||Y'Y||_F )
 *
 * 1: the outputs' Gram matrix is the features', up to scale. NaN when the outputs do not vary. */
double measure_cka_linear(const struct evidence *evidence)
{
    const struct moments *m = evidence->moments;
    double xy = 0, yy = 0;

    for (size_t i = 0; i < m->p; i++)
        xy += linalg_sum_squares(m->c, m->xy + i * m->w);
    for (size_t i = 0; i < m->c; i++) {
        const double *row = m->yy + i * m->w + i;

        yy += row[0] * row[0] + 2 * linalg_sum_squares(m->c - i - 1, row + 1);
    }
    return yy > 0 ? xy / sqrt(evidence->sums.f * yy) : (double)NAN;
}
