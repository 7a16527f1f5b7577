#include "daemon/core/measure/probe.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/matrix/linalg.h"

/* Columns that are transposed at a time: with 1024 rows they stay in the second-level cache. */
#define SLICE_COLUMNS 128

size_t probe_n_values(size_t n)
{
    return n * n + n + 1;
}

size_t probe_size_bytes(size_t n)
{
    return probe_n_values(n) * sizeof(double);
}

/* Sums differences from the first row: the mean of a constant column is exact. */
static double column_mean(const struct reservoir *rows, size_t col)
{
    double first = rows->x[col], sum = 0;

    for (size_t i = 0; i < rows->n_seen; i++)
        sum += rows->x[i * rows->p + col] - first;
    return first + sum / (double)rows->n_seen;
}

/* slice (n_cols x n) = columns first..first+n_cols-1 of Z, transposed; `mean` gets their means. */
static void fill_slice(const struct reservoir *rows, size_t first, size_t n_cols, double *mean,
                       double *slice)
{
    for (size_t c = 0; c < n_cols; c++) {
        mean[c] = column_mean(rows, first + c);
        for (size_t i = 0; i < rows->n_seen; i++)
            slice[c * rows->n_seen + i] = rows->x[i * rows->p + first + c] - mean[c];
    }
}

static void mirror(size_t n, double *a)
{
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < i; k++)
            a[i * n + k] = a[k * n + i];
    }
}

int probe_init(struct probe *probe, const struct reservoir *rows)
{
    size_t n = rows->n_seen;
    double mean[SLICE_COLUMNS], *slice = malloc(SLICE_COLUMNS * n * sizeof *slice);
    double *along, *mean_sq;

    assert(reservoir_has_all(rows) && n > 0);
    *probe = (struct probe){.n = n, .values = calloc(probe_n_values(n), sizeof(double))};
    if (!slice || !probe->values) {
        free(slice);
        probe_release(probe);
        return -ENOMEM;
    }
    along = probe->values + n * n;
    mean_sq = along + n;
    for (size_t first = 0; first < rows->p; first += SLICE_COLUMNS) {
        size_t n_cols = rows->p - first < SLICE_COLUMNS ? rows->p - first : SLICE_COLUMNS;

        fill_slice(rows, first, n_cols, mean, slice);
        linalg_gram_f64(n_cols, n, slice, n, 1, probe->values, n);
        linalg_matvec_f64(true, n_cols, n, slice, n, mean, along);
        *mean_sq += linalg_sum_squares(n_cols, mean);
    }
    mirror(n, probe->values);
    free(slice);
    return 0;
}

void probe_release(struct probe *probe)
{
    free(probe->values);
    memset(probe, 0, sizeof *probe);
}

int probe_copy(struct probe *to, const struct probe *from)
{
    *to = (struct probe){.n = from->n, .values = malloc(probe_size_bytes(from->n))};
    if (!to->values) {
        to->n = 0;
        return -ENOMEM;
    }
    memcpy(to->values, from->values, probe_size_bytes(from->n));
    return 0;
}

/* Element i, j of XX': (z_i + m)'(z_j + m). */
static double uncentred(const struct probe *probe, size_t i, size_t j)
{
    const double *along = probe->values + probe->n * probe->n;

    return probe->values[i * probe->n + j] + along[i] + along[j] + along[probe->n];
}

static double trace(const struct probe *probe)
{
    double sum = 0;

    for (size_t i = 0; i < probe->n; i++)
        sum += probe->values[i * (probe->n + 1)];
    return sum;
}

/* u_ij of probe.h; `tr` is the kernel's trace. */
static double debiased(const struct probe *probe, double tr, size_t i, size_t j)
{
    double n = (double)probe->n;
    const double *k = probe->values;

    return k[i * probe->n + j] + (k[i * (probe->n + 1)] + k[j * (probe->n + 1)]) / (n - 2) -
           tr / ((n - 1) * (n - 2));
}

/* The cosine of two kernels from their product and squares; NaN when one is 0. It is at most 1,
 * also after rounding. */
static double cosine(double product, double first_sq, double now_sq)
{
    double c = first_sq > 0 && now_sq > 0 ? product / (sqrt(first_sq) * sqrt(now_sq)) : (double)NAN;

    return c > 1 ? 1 : c;
}

/* Squares below this share of the kernel's own are the rounding of its elements. */
#define DEBIASED_FLOOR 1e-20

static double compare_debiased(const struct probe *first, const struct probe *now)
{
    size_t n = first->n, nn = n * n;
    double first_trace = trace(first), now_trace = trace(now);
    double product = 0, first_sq = 0, now_sq = 0, c;

    if (n < 4)
        return (double)NAN;
    for (size_t i = 0; i < n; i++) {
        for (size_t j = i + 1; j < n; j++) {
            double a = debiased(first, first_trace, i, j), b = debiased(now, now_trace, i, j);

            product += a * b;
            first_sq += a * a;
            now_sq += b * b;
        }
    }
    if (first_sq <= DEBIASED_FLOOR * linalg_sum_squares(nn, first->values) ||
        now_sq <= DEBIASED_FLOOR * linalg_sum_squares(nn, now->values))
        return (double)NAN;
    c = cosine(product, first_sq, now_sq);
    return c < -1 ? -1 : c;
}

struct likeness probe_compare(const struct probe *first, const struct probe *now)
{
    size_t nn = first->n * first->n;
    double product = 0, first_sq = 0, now_sq = 0;

    assert(first->n > 0 && first->n == now->n);
    for (size_t i = 0; i < first->n; i++) {
        for (size_t j = 0; j < first->n; j++) {
            double a = uncentred(first, i, j), b = uncentred(now, i, j);

            product += a * b;
            first_sq += a * a;
            now_sq += b * b;
        }
    }
    return (struct likeness){
        .centred =
            cosine(linalg_dot(nn, first->values, now->values),
                   linalg_sum_squares(nn, first->values), linalg_sum_squares(nn, now->values)),
        .uncentred = cosine(product, first_sq, now_sq),
        .debiased = compare_debiased(first, now),
    };
}

const char *probe_problem_text(enum probe_problem problem)
{
    static const char *const sentences[] = {
#define X(NAME, sentence) [PROBE_##NAME] = sentence,
        PROBE_PROBLEMS(X)
#undef X
    };

    return sentences[problem];
}

static bool weights_are_equal(const struct reservoir *rows)
{
    for (size_t i = 1; i < rows->n_seen; i++) {
        if (rows->weight[i] != rows->weight[0])
            return false;
    }
    return true;
}

enum probe_problem probe_check(const struct probe *first, const struct reservoir *rows)
{
    if (rows->broken)
        return PROBE_REDUCED;
    if (!reservoir_has_all(rows))
        return PROBE_TOO_MANY;
    if (!weights_are_equal(rows))
        return PROBE_WEIGHTS;
    return first->n > 0 && first->n != rows->n_seen ? PROBE_N_ROWS : PROBE_NONE;
}
