#include "tests/lib/core/reduced.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/core/reference.h"

static void sum_fourth(const struct sample *s, size_t from, size_t to, struct reduced *out)
{
    for (size_t i = from; i < to; i++) {
        double square = 0;

        for (size_t j = 0; j < s->p; j++)
            square += pow(s->x[i * s->p + j] - out->mean_x[j], 2);
        out->view.sum_s2 += square * square;
        for (size_t j = 0; j < s->p; j++)
            out->sum_sx[j] += square * (s->x[i * s->p + j] - out->mean_x[j]);
    }
}

static void cross(size_t from, size_t n, const double *a, size_t p, const double *b, size_t q,
                  double *out)
{
    long double *exact = must_alloc(p * q * sizeof *exact);

    reference_cross(n, p, a + from * p, q, b + from * q, NULL, exact);
    for (size_t i = 0; i < p * q; i++)
        out[i] = (double)exact[i];
    free(exact);
}

void reduced_init(struct reduced *out, const struct sample *s, size_t from, size_t to, enum dtype d)
{
    size_t p = s->p, c = s->c, n = to - from;
    long double *mean = must_alloc((p + c) * sizeof *mean);

    memset(out, 0, sizeof *out);
    out->mean_x = must_alloc(p * sizeof(double));
    out->mean_y = must_alloc(c * sizeof(double));
    out->xx = must_alloc(p * p * sizeof(double));
    out->xx32 = must_alloc(p * p * sizeof(float));
    out->xy = must_alloc(p * c * sizeof(double));
    out->yy = must_alloc(c * c * sizeof(double));
    out->sum_sx = must_alloc(p * sizeof(double));
    reference_means(n, p, s->x + from * p, NULL, mean);
    reference_means(n, c, s->y + from * c, NULL, mean + p);
    for (size_t j = 0; j < p; j++)
        out->mean_x[j] = (double)mean[j];
    for (size_t j = 0; j < c; j++)
        out->mean_y[j] = (double)mean[p + j];
    free(mean);
    cross(from, n, s->x, p, s->x, p, out->xx);
    cross(from, n, s->x, p, s->y, c, out->xy);
    cross(from, n, s->y, c, s->y, c, out->yy);
    sum_fourth(s, from, to, out);
    for (size_t i = 0; i < p * p; i++)
        out->xx32[i] = (float)out->xx[i];
    for (size_t i = 1; i < p; i++) { /* the lower triangle is not read */
        for (size_t j = 0; j < i; j++) {
            out->xx[i * p + j] = -1e9;
            out->xx32[i * p + j] = -1e9f;
        }
    }
    out->view.n_rows = n;
    out->view.mean_x = out->mean_x;
    out->view.mean_y = out->mean_y;
    out->view.xx = d == DTYPE_F32 ? (void *)out->xx32 : out->xx;
    out->view.xx_dtype = d;
    out->view.xy = out->xy;
    out->view.yy = out->yy;
    out->view.sum_sx = out->sum_sx;
}

void reduced_release(struct reduced *m)
{
    free(m->mean_x);
    free(m->mean_y);
    free(m->xx);
    free(m->xx32);
    free(m->xy);
    free(m->yy);
    free(m->sum_sx);
}
