#include "daemon/core/measure/collapse.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "daemon/core/matrix/linalg.h"
#include "daemon/core/measure/centres.h"
#include "daemon/core/measure/factor.h"
#include "daemon/core/measure/floor.h"

/* A value that is a part of `whole` by a difference of sums, or NaN where that is rounding. */
static double resolved(double value, double whole, enum dtype features, struct collapse *out)
{
    if (!(value <= floor_trace(features, whole)))
        return value;
    out->is_below_floor = true;
    return (double)NAN;
}

static double quotient(const struct centres *centres, enum dtype features, struct collapse *out)
{
    double total = tiles_trace(&centres->m->xx) / centres->m->weight, within = total, between = 0;

    for (size_t c = 0; c < centres->n; c++) {
        within -= centres->share[c] * centres->spread[c];
        between += centres->square[c] / (double)centres->n;
    }
    return between > 0 ? resolved(within, total, features, out) / between : (double)NAN;
}

static double norm_cv(const struct centres *centres)
{
    double mean = 0, variance = 0;

    for (size_t c = 0; c < centres->n; c++)
        mean += sqrt(centres->square[c]) / (double)centres->n;
    for (size_t c = 0; c < centres->n; c++) {
        double d = sqrt(centres->square[c]) - mean;

        variance += d * d / (double)centres->n;
    }
    return mean > 0 ? sqrt(variance) / mean : (double)NAN;
}

/* ---- pairs of classes ---------------------------------------------------------------------- */

/* Some class means, evenly picked, with all their products. */
struct pairs {
    size_t n;
    double *rows;     /* n x p: mu_c - mu */
    double *gram;     /* n x n */
    double *variance; /* n: V_c */
};

static size_t count_picked(const struct centres *centres)
{
    size_t affordable = (size_t)sqrt(COLLAPSE_CHEAP / (double)centres->p);
    size_t n = centres->n < COLLAPSE_PAIRED ? centres->n : COLLAPSE_PAIRED;

    return n < affordable ? n : affordable;
}

static int pairs_init(struct pairs *pairs, const struct centres *centres)
{
    size_t p = centres->p, n = count_picked(centres);

    *pairs = (struct pairs){.n = n, .rows = malloc((n * p + n * n + n) * sizeof(double))};
    if (!pairs->rows)
        return -ENOMEM;
    pairs->gram = pairs->rows + n * p;
    pairs->variance = pairs->gram + n * n;
    for (size_t c = 0; c < n; c++) {
        centres_read(centres, c * centres->n / n, pairs->rows + c * p);
        pairs->variance[c] = centres_variance(centres, c * centres->n / n);
    }
    linalg_product_transposed_f64(n, p, n, pairs->rows, p, pairs->rows, p, pairs->gram, n);
    return 0;
}

/* NaN when a class mean is the mean of all: it has no direction. */
static double angle(const struct pairs *pairs, double n_classes)
{
    size_t n = pairs->n;
    double sum = 0;

    for (size_t c = 0; c < n; c++) {
        for (size_t d = c + 1; d < n; d++) {
            double norms = sqrt(pairs->gram[c * (n + 1)] * pairs->gram[d * (n + 1)]);
            double cosine = norms > 0 ? pairs->gram[c * n + d] / norms : (double)NAN;

            sum += fabs(cosine + 1 / (n_classes - 1));
        }
    }
    return sum / ((double)n * (double)(n - 1) / 2);
}

/* NaN when two classes have one mean. */
static double normalised_variance(const struct pairs *pairs)
{
    size_t n = pairs->n;
    double sum = 0;

    for (size_t c = 0; c < n; c++) {
        for (size_t d = c + 1; d < n; d++) {
            double distance =
                pairs->gram[c * (n + 1)] + pairs->gram[d * (n + 1)] - 2 * pairs->gram[c * n + d];

            sum += distance > 0 ? (pairs->variance[c] + pairs->variance[d]) / (2 * distance)
                                : (double)NAN;
        }
    }
    return sum / ((double)n * (double)(n - 1) / 2);
}

static double frame_error(const struct pairs *pairs)
{
    size_t n = pairs->n;
    double norm = sqrt(linalg_sum_squares(n * n, pairs->gram)), sum = 0;

    for (size_t c = 0; c < n; c++) {
        for (size_t d = 0; d < n; d++) {
            double simplex = ((c == d) - 1 / (double)n) / sqrt((double)n - 1);
            double off = pairs->gram[c * n + d] / norm - simplex;

            sum += off * off;
        }
    }
    return norm > 0 ? sqrt(sum) : (double)NAN;
}

static int measure_pairs(const struct centres *centres, struct collapse *out)
{
    struct pairs pairs;
    int rc = pairs_init(&pairs, centres);

    if (rc == 0) {
        out->nc2_angle = angle(&pairs, (double)centres->n);
        out->cdnv = normalised_variance(&pairs);
        if (pairs.n == centres->n)
            out->etf_error = frame_error(&pairs);
    }
    free(pairs.rows);
    return rc;
}

/* ---- the whole ----------------------------------------------------------------------------- */

static bool is_cheap(const struct centres *centres)
{
    double p = (double)centres->p, n = (double)centres->n;

    return p * p * (n > p ? n + 10 * p : n) <= COLLAPSE_CHEAP;
}

static bool is_lidar_cheap(const struct centres *centres)
{
    double p = (double)centres->p, n = (double)centres->n, least = n < p ? n : p;

    return factor_cost(centres->p, 2 * centres->n) + least * n * p + 10 * least * least * least <=
           COLLAPSE_CHEAP;
}

/* S_W that is not positive is rounding. */
static int measure_lidar(const struct centres *centres, struct collapse *out)
{
    int rc = centres_lidar(centres, &out->lidar);

    out->is_below_floor |= rc == -EDOM;
    return rc == -EDOM ? 0 : rc;
}

static uint64_t fewest_rows(const struct centres *centres)
{
    uint64_t fewest = centres->n > 0 ? UINT64_MAX : 0;

    for (size_t c = 0; c < centres->n; c++) {
        uint64_t rows = centres->m->classes->sums[centres->slot[c]].rows;

        fewest = rows < fewest ? rows : fewest;
    }
    return fewest;
}

static int measure(const struct centres *centres, enum dtype features, bool at_any_cost,
                   struct collapse *out)
{
    double whole = 0;
    int rc;

    out->nc1_quotient = quotient(centres, features, out);
    out->nc2_norm_cv = norm_cv(centres);
    rc = measure_pairs(centres, out);
    if (rc == 0 && (at_any_cost || is_cheap(centres)))
        rc = centres_nc1(centres, &out->nc1, &whole);
    if (rc == 0 && !isnan(out->nc1))
        out->nc1 = resolved(out->nc1, whole, features, out);
    if (rc == 0 && !isnan(out->nc1_quotient) && (at_any_cost || is_lidar_cheap(centres)))
        rc = measure_lidar(centres, out);
    return rc;
}

int collapse_measure(const struct moments *m, enum dtype features, bool at_any_cost,
                     struct collapse *out)
{
    const double none = (double)NAN;
    struct centres centres;
    int rc = centres_init(&centres, m);

    assert(m->weight > 0 && !m->by_rows && !m->classes->is_lost);
    if (rc < 0)
        return rc;
    *out = (struct collapse){.n_classes = (uint32_t)centres.n,
                             .n_missing = (uint32_t)(m->classes->k - centres.n),
                             .rows_min = fewest_rows(&centres),
                             .nc1 = none,
                             .nc1_quotient = none,
                             .nc2_norm_cv = none,
                             .nc2_angle = none,
                             .etf_error = none,
                             .cdnv = none,
                             .lidar = none};
    if (centres.n >= 2)
        rc = measure(&centres, features, at_any_cost, out);
    centres_release(&centres);
    return rc;
}
