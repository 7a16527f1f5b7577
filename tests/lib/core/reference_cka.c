#include "tests/lib/core/reference_cka.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "tests/lib/core/reference.h"
#include "tests/lib/core/sample.h"

/* XX' of the rows about their mean. */
static long double *kernel_of(size_t n, size_t p, const double *x, bool is_hollow)
{
    long double *k = must_alloc(n * n * sizeof *k), *z = must_alloc(n * p * sizeof *z);
    long double *mean = must_alloc(p * sizeof *mean);

    reference_means(n, p, x, NULL, mean);
    for (size_t i = 0; i < n * p; i++)
        z[i] = x[i] - mean[i % p];
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < n; j++) {
            long double sum = 0;

            for (size_t c = 0; (i != j || !is_hollow) && c < p; c++)
                sum += z[i * p + c] * z[j * p + c];
            k[i * n + j] = sum;
        }
    }
    free(mean);
    free(z);
    return k;
}

static long double product(size_t n, const long double *k, const long double *l)
{
    long double sum = 0;

    for (size_t i = 0; i < n * n; i++)
        sum += k[i] * l[i];
    return sum;
}

double reference_cka_plain(size_t n, size_t p, const double *x, size_t q, const double *y)
{
    long double *k = kernel_of(n, p, x, false), *l = kernel_of(n, q, y, false);
    long double out = product(n, k, l) / sqrtl(product(n, k, k) * product(n, l, l));

    free(k);
    free(l);
    return (double)out;
}

static long double hsic(size_t n, const long double *k, const long double *l)
{
    long double all_k = 0, all_l = 0, both = 0;

    for (size_t i = 0; i < n; i++) {
        long double row_k = 0, row_l = 0;

        for (size_t j = 0; j < n; j++) {
            row_k += k[i * n + j];
            row_l += l[i * n + j];
        }
        all_k += row_k;
        all_l += row_l;
        both += row_k * row_l;
    }
    return (product(n, k, l) + all_k * all_l / ((n - 1) * (n - 2)) - 2 * both / (n - 2)) /
           (n * (n - 3));
}

double reference_cka_debiased(size_t n, size_t p, const double *x, size_t q, const double *y)
{
    long double *k = kernel_of(n, p, x, true), *l = kernel_of(n, q, y, true);
    long double out = hsic(n, k, l) / sqrtl(hsic(n, k, k) * hsic(n, l, l));

    free(k);
    free(l);
    return (double)out;
}
