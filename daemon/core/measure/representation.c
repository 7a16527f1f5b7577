#include "daemon/core/measure/representation.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/matrix/linalg.h"

/* Squares below this share of the kernel's own are the rounding of its elements, 2^-24 each. */
#define DEBIASED_FLOOR 1e-12

size_t representation_rows(size_t n_rows)
{
    return n_rows < REPRESENTATION_ROWS ? n_rows : REPRESENTATION_ROWS;
}

size_t representation_n_values(size_t n)
{
    return n * (n + 1) / 2;
}

int representation_alloc(struct representation *out, size_t n_rows)
{
    size_t n = representation_rows(n_rows);

    assert(n_rows >= REPRESENTATION_ROWS_MIN);
    *out = (struct representation){
        .n_rows = n_rows,
        .n = n,
        .kernel = calloc(representation_n_values(n), sizeof *out->kernel),
    };
    if (out->kernel)
        return 0;
    representation_release(out);
    return -ENOMEM;
}

void representation_release(struct representation *representation)
{
    if (!representation)
        return;
    free(representation->kernel);
    memset(representation, 0, sizeof *representation);
}

/* K (n x n) = the kernel of the rows that are kept, about their own mean. */
static void centre_kept(const struct probe *probe, size_t n, double *k)
{
    double total = 0, *mean = k + n * n;

    for (size_t i = 0; i < n; i++) {
        const double *row = probe->values + i * probe->n / n * probe->n;

        mean[i] = 0;
        for (size_t j = 0; j < n; j++) {
            k[i * n + j] = row[j * probe->n / n];
            mean[i] += k[i * n + j] / (double)n;
        }
        total += mean[i] / (double)n;
    }
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < n; j++)
            k[i * n + j] += total - mean[i] - mean[j];
    }
}

static double largest_square(size_t n, const double *k)
{
    double largest = 0;

    for (size_t i = 0; i < n; i++)
        largest = fmax(largest, k[i * (n + 1)]);
    return largest;
}

/* A kernel of rows that do not vary stays 0. */
static void fill(struct representation *out, const double *k)
{
    size_t n = out->n;
    double largest = largest_square(n, k);
    float *at = out->kernel;

    if (!(largest > 0 && isfinite(largest)))
        return;
    for (size_t i = 0; i < n; i++) {
        for (size_t j = i; j < n; j++)
            *at++ = (float)(k[i * n + j] / largest);
    }
}

int representation_init(struct representation *out, const struct probe *probe)
{
    size_t n = representation_rows(probe->n);
    double *k;
    int rc;

    *out = (struct representation){0};
    if (probe->n < REPRESENTATION_ROWS_MIN)
        return 0;
    k = malloc((n * n + n) * sizeof *k);
    rc = k ? representation_alloc(out, probe->n) : -ENOMEM;
    if (rc == 0) {
        centre_kept(probe, n, k);
        fill(out, k);
    }
    free(k);
    return rc;
}

/* K as doubles; `sum` (n) receives the sum of each row without its diagonal. */
static void unfold(const struct representation *representation, double *out, double *sum)
{
    size_t n = representation->n;
    const float *k = representation->kernel;

    memset(sum, 0, n * sizeof *sum);
    for (size_t i = 0; i < n; i++) {
        *out++ = *k++;
        for (size_t j = i + 1; j < n; j++) {
            sum[i] += *k;
            sum[j] += *k;
            *out++ = *k++;
        }
    }
}

/* U-centring (probe.h): elements without the diagonal, the sums of rows and columns made 0. */
static void centre_hollow(size_t n, double *out, const double *sum)
{
    double m = (double)n, total = 0;

    for (size_t i = 0; i < n; i++)
        total += sum[i];
    for (size_t i = 0; i < n; i++) {
        *out++ = 0;
        for (size_t j = i + 1; j < n; j++, out++)
            *out += total / ((m - 1) * (m - 2)) - (sum[i] + sum[j]) / (m - 2);
    }
}

/* Each pair stands for two elements. Returns the sum of squares. */
static double double_pairs(size_t n, double *out)
{
    double *at = out;

    for (size_t i = 0; i < n; i++) {
        at++;
        for (size_t j = i + 1; j < n; j++)
            *at++ *= M_SQRT2;
    }
    return linalg_sum_squares(representation_n_values(n), out);
}

void representation_expand(const struct representation *representation, enum cka_form form,
                           double *out)
{
    size_t n = representation->n, n_values = representation_n_values(n);
    double sum[REPRESENTATION_ROWS], square, floor = 0, scale;

    assert(n >= REPRESENTATION_ROWS_MIN && n <= REPRESENTATION_ROWS);
    unfold(representation, out, sum);
    if (form == CKA_DEBIASED) {
        floor = DEBIASED_FLOOR * linalg_sum_squares(n_values, out);
        centre_hollow(n, out, sum);
    }
    square = double_pairs(n, out);
    scale = square > floor ? 1 / sqrt(square) : (double)NAN;
    for (size_t i = 0; i < n_values; i++)
        out[i] *= scale;
}
