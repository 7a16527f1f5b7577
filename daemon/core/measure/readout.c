#include "daemon/core/measure/readout.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "daemon/core/matrix/linalg.h"
#include "daemon/core/measure/centres.h"
#include "daemon/core/measure/factor.h"

/* Shares of tr X'X below which a direction is rounding: of f64 rows, and of others, whose products
 * are in single precision. */
#define FLOOR_F64 1e-12
#define FLOOR_F32 1e-7
/* A row that determines its own fit cannot be left out. */
#define LEVERAGE_MAX (1 - 1e-6)

/* One reservoir row, and what the fit says of it. */
struct kept {
    size_t place;
    double weight;
    double leverage; /* h */
    double error;    /* |t - y^|^2 */
    double own;      /* y^ of its class */
    double best;     /* the largest y^ of the other classes */
};

struct fit {
    const struct moments *m;
    const struct target_measures *targets;
    size_t p, n_kept;
    double floor;
    double *factor; /* p x p: R */
    double *cross;  /* TARGETS_CHUNK x p: columns of X'T, then R'^-1 of them */
    double *rows;   /* n_kept x p: v */
    double *scores; /* n_kept x TARGETS_CHUNK */
    struct kept kept[READOUT_ROWS];
};

static void fit_release(struct fit *fit)
{
    if (!fit)
        return;
    free(fit->factor);
    free(fit->cross);
    free(fit->rows);
    free(fit->scores);
    free(fit);
}

/* A few rows of each group, as the jackknife takes them. */
static void find_kept(struct fit *fit)
{
    struct reservoir_group groups[RESERVOIR_GROUPS];
    const struct reservoir *reservoir = fit->m->reservoir;
    size_t n = READOUT_ROWS / RESERVOIR_GROUPS;
    size_t n_groups = reservoir ? reservoir_groups(reservoir, n, groups) : 0;

    for (size_t g = 0; g < n_groups; g++) {
        for (size_t i = 0; i < groups[g].n; i++)
            fit->kept[fit->n_kept++] = (struct kept){
                .place = groups[g].at + i, .weight = reservoir_weight(reservoir, &groups[g], i)};
    }
}

static struct fit *fit_new(const struct moments *m, const struct target_measures *targets,
                           enum dtype features)
{
    struct fit *fit = calloc(1, sizeof *fit);
    size_t p = m->p;

    if (!fit)
        return NULL;
    fit->m = m;
    fit->targets = targets;
    fit->p = p;
    fit->floor = tiles_trace(&m->xx) * (features == DTYPE_F64 ? FLOOR_F64 : FLOOR_F32);
    find_kept(fit);
    fit->factor = malloc(p * p * sizeof(double));
    fit->cross = malloc(2 * TARGETS_CHUNK * p * sizeof(double));
    fit->rows = malloc((fit->n_kept + 1) * p * sizeof(double));
    fit->scores = malloc((fit->n_kept + 1) * TARGETS_CHUNK * sizeof(double));
    if (fit->factor && fit->cross && fit->rows && fit->scores)
        return fit;
    fit_release(fit);
    return NULL;
}

/* ---- the rows that it is fitted to --------------------------------------------------------- */

static double fitted(const struct fit *fit)
{
    size_t count = targets_count(fit->m), n;
    double sum = 0;

    for (size_t from = 0; from < count; from += n) {
        n = count - from < TARGETS_CHUNK ? count - from : TARGETS_CHUNK;
        targets_cross(fit->m, from, n, fit->cross);
        linalg_triangle_solve(true, fit->p, fit->factor, n, fit->cross);
        sum += linalg_sum_squares(n * fit->p, fit->cross);
    }
    return sum / fit->m->weight / fit->targets->energy;
}

/* ---- rows left out ------------------------------------------------------------------------- */

static void place_rows(struct fit *fit)
{
    for (size_t i = 0; i < fit->n_kept; i++) {
        const double *x = fit->m->reservoir->x + fit->kept[i].place * fit->p;

        for (size_t j = 0; j < fit->p; j++)
            fit->rows[i * fit->p + j] = x[j] - fit->m->mean_x[j];
    }
    linalg_triangle_solve(true, fit->p, fit->factor, fit->n_kept, fit->rows);
    for (size_t i = 0; i < fit->n_kept; i++) {
        struct kept *kept = &fit->kept[i];

        kept->leverage = kept->weight *
                         (1 / fit->m->weight + linalg_sum_squares(fit->p, fit->rows + i * fit->p));
        kept->error = 0;
        kept->own = kept->best = -INFINITY;
    }
}

static void score(struct fit *fit, size_t from, size_t n)
{
    for (size_t c = 0; c < n; c++) {
        double mean = targets_mean(fit->m, from + c);

        for (size_t i = 0; i < fit->n_kept; i++) {
            struct kept *kept = &fit->kept[i];
            double target = targets_kept(fit->m, kept->place, from + c);
            double value = mean + fit->scores[i * n + c];

            kept->error += (target - value) * (target - value);
            if (target == 1)
                kept->own = value;
            else
                kept->best = fmax(kept->best, value);
        }
    }
}

static void score_all(struct fit *fit)
{
    size_t count = targets_count(fit->m), n;

    place_rows(fit);
    for (size_t from = 0; from < count; from += n) {
        n = count - from < TARGETS_CHUNK ? count - from : TARGETS_CHUNK;
        targets_cross(fit->m, from, n, fit->cross);
        linalg_triangle_solve(true, fit->p, fit->factor, n, fit->cross);
        linalg_product_transposed_f64(fit->n_kept, fit->p, n, fit->rows, fit->p, fit->cross, fit->p,
                                      fit->scores, n);
        score(fit, from, n);
    }
}

/* Keeps the errors of this ridge if they are the smallest so far. */
static void compare(const struct fit *fit, struct readout *out)
{
    double weight = 0, error = 0, right = 0;

    for (size_t i = 0; i < fit->n_kept; i++) {
        const struct kept *kept = &fit->kept[i];
        double rest = 1 - kept->leverage;

        if (kept->leverage > LEVERAGE_MAX)
            return;
        weight += kept->weight;
        error += kept->weight * kept->error / (rest * rest);
        right += kept->own - kept->leverage > kept->best ? kept->weight : 0;
    }
    error /= weight * fit->targets->energy;
    if (!(isnan(out->loo_error) || error < out->loo_error))
        return;
    out->loo_error = error;
    out->accuracy = fit->m->classes ? right / weight : (double)NAN;
}

static void leave_out(struct fit *fit, bool with_floor, struct readout *out)
{
    static const double ridges[] = READOUT_RIDGES;
    double mean = tiles_trace(&fit->m->xx) / (double)fit->p;

    if (with_floor && factor_features(fit->m, NULL, fit->floor, fit->factor) == 0) {
        score_all(fit);
        compare(fit, out);
    }
    for (size_t i = 0; i < sizeof ridges / sizeof ridges[0]; i++) {
        if (factor_features(fit->m, NULL, ridges[i] * mean + fit->floor, fit->factor) < 0)
            continue;
        score_all(fit);
        compare(fit, out);
    }
}

/* ---- the head's weights -------------------------------------------------------------------- */

/* Rows of the head's weights for the classes from..from+n-1, into the second half of `cross`. */
static double *head_rows(const struct fit *fit, const struct centres *centres, size_t from,
                         size_t n)
{
    double *rows = fit->cross + TARGETS_CHUNK * fit->p;

    for (size_t c = 0; c < n; c++) {
        size_t label = fit->m->classes->sums[centres->slot[from + c]].label;

        for (size_t i = 0; i < fit->p; i++)
            rows[c * fit->p + i] = fit->m->xy[i * fit->m->w + label];
    }
    linalg_triangle_solve(true, fit->p, fit->factor, n, rows);
    linalg_triangle_solve(false, fit->p, fit->factor, n, rows);
    return rows;
}

/* || B / ||B|| - M / ||M|| ||^2 = 2 - 2 <B, M> / (||B|| ||M||). */
static int measure_duality(const struct fit *fit, double *nc3)
{
    struct centres centres;
    int rc = centres_init(&centres, fit->m);
    double inner = 0, of_head = 0, of_means = 0;

    for (size_t from = 0, n; rc == 0 && from < centres.n; from += n) {
        double *rows;

        n = centres.n - from < TARGETS_CHUNK ? centres.n - from : TARGETS_CHUNK;
        rows = head_rows(fit, &centres, from, n);
        of_head += linalg_sum_squares(n * fit->p, rows);
        for (size_t c = 0; c < n; c++) {
            centres_read(&centres, from + c, fit->cross);
            inner += linalg_dot(fit->p, fit->cross, rows + c * fit->p);
            of_means += centres.square[from + c];
        }
    }
    if (rc == 0 && of_head > 0 && of_means > 0)
        *nc3 = sqrt(fmax(2 - 2 * inner / sqrt(of_head * of_means), 0));
    centres_release(&centres);
    return rc;
}

/* ---- the whole ----------------------------------------------------------------------------- */

static bool has_weights(const struct moments *m, bool from_head)
{
    return m->classes && !from_head && m->c == m->classes->k;
}

static int fit_rows(struct fit *fit, bool from_head, struct readout *out)
{
    if (factor_features(fit->m, NULL, fit->floor, fit->factor) < 0)
        return 0;
    out->r2 = fitted(fit);
    out->head_excess = fit->targets->head_error - (1 - out->r2) * fit->targets->energy;
    return has_weights(fit->m, from_head) ? measure_duality(fit, &out->nc3) : 0;
}

int readout_measure(const struct moments *m, const struct target_measures *targets,
                    enum dtype features, double n, bool from_head, bool at_any_cost,
                    struct readout *out)
{
    const double none = (double)NAN;
    struct fit *fit = fit_new(m, targets, features);
    size_t count = targets_count(m);
    bool has_rows = n > (double)m->p + 1;
    double path;
    int rc = 0;

    assert(!m->by_rows);
    *out = (struct readout){none, none, none, none, none};
    if (!fit)
        return -ENOMEM;
    path = (3 + has_rows) * (factor_cost(m->p, fit->n_kept + count) +
                             (double)fit->n_kept * (double)count * (double)m->p);
    if (targets->energy > 0 && has_rows &&
        (at_any_cost || factor_cost(m->p, 3 * count) <= READOUT_CHEAP))
        rc = fit_rows(fit, from_head, out);
    if (rc == 0 && targets->energy > 0 && fit->n_kept > 0 && (at_any_cost || path <= READOUT_CHEAP))
        leave_out(fit, has_rows, out);
    fit_release(fit);
    return rc;
}
