/* The estimates from a few sums, against closed forms and against a reference that sees the rows.
 */
#include "tests/lib/cmocka.h"

#include <math.h>

#include "daemon/core/estimate/estimate.h"
#include "tests/lib/core/reference.h"
#include "tests/lib/random.h"

#define N_ROWS 40
#define P      6

/* One output that is the first feature: then Q is its direction, r = 1, and every sum is a plain
 * loop over the rows. */
static struct sums sums_of(const double *x, double scale)
{
    double mean[P] = {0}, gram[P][P] = {{0}}, q = 0;
    struct sums sums = {.weight = scale * N_ROWS,
                        .weight_sq = scale * scale * N_ROWS,
                        .weighting = 1,
                        .overfit = (double)NAN};

    for (int i = 0; i < N_ROWS; i++) {
        for (int j = 0; j < P; j++)
            mean[j] += x[i * P + j] / N_ROWS;
    }
    for (int i = 0; i < N_ROWS; i++) {
        double square = 0;

        for (int j = 0; j < P; j++) {
            double z = x[i * P + j] - mean[j];

            square += z * z;
            for (int k = 0; k < P; k++)
                gram[j][k] += scale * z * (x[i * P + k] - mean[k]);
        }
        sums.t += scale * square;
        sums.fourth += scale * square * square;
    }
    for (int j = 0; j < P; j++) {
        q += gram[0][j] * gram[0][j] / gram[0][0];
        for (int k = 0; k < P; k++)
            sums.f += gram[j][k] * gram[j][k];
    }
    sums.q = q;
    return sums;
}

static void draw(double *x, double *y)
{
    struct random r;

    random_seed(&r, 3);
    random_fill_gaussian(&r, N_ROWS * P, x);
    for (int i = 0; i < N_ROWS; i++)
        y[i] = x[i * P];
}

static void both_estimates_are_those_of_the_rows(void **state)
{
    double x[N_ROWS * P], y[N_ROWS];
    struct reference expected;
    struct sums sums;
    struct estimate got;

    (void)state;
    draw(x, y);
    reference_measure(N_ROWS, P, x, 1, y, NULL, 1e-10, &expected);
    sums = sums_of(x, 1);
    got = estimate_richness(&sums, 1);
    assert_true(fabsl(expected.d_lr - got.plain) < 1e-12);
    assert_true(fabsl(expected.d_debiased - got.debiased) < 1e-12);
}

static void equal_weights_of_any_size_change_nothing(void **state)
{
    double x[N_ROWS * P], y[N_ROWS];
    struct sums one, seven;

    (void)state;
    draw(x, y);
    one = sums_of(x, 1);
    seven = sums_of(x, 7);
    assert_true(fabs(estimate_n_rows(&seven) - N_ROWS) < 1e-12);
    assert_true(fabs(estimate_richness(&one, 1).plain - estimate_richness(&seven, 1).plain) <
                1e-13);
    assert_true(fabs(estimate_richness(&one, 1).debiased - estimate_richness(&seven, 1).debiased) <
                1e-12);
}

static void the_debiased_estimate_needs_more_rows_than_the_rank(void **state)
{
    struct sums sums = {.weight = 4,
                        .weight_sq = 4,
                        .t = 3,
                        .q = 2,
                        .f = 9,
                        .fourth = 1,
                        .weighting = 1,
                        .overfit = (double)NAN};

    (void)state;
    assert_false(isnan(estimate_richness(&sums, 2).debiased));
    assert_true(isnan(estimate_richness(&sums, 3).debiased)); /* n = r + 1 */
    assert_false(isnan(estimate_richness(&sums, 3).plain));
    sums.weight = sums.weight_sq = 3;
    assert_true(isnan(estimate_richness(&sums, 1).debiased)); /* n = 3 */
}

/* |x_i - x_j|^2/2 |x_k - x_l|^2/2 and ((x_i - x_j)'(x_k - x_l))^2/4, averaged over rows that all
 * differ, as they are defined. */
static double pr_of_quadruples(const double *x, int n)
{
    double square = 0, squares = 0;

    for (int i = 0; i < n * n * n * n; i++) {
        int at[4] = {i % n, i / n % n, i / n / n % n, i / n / n / n};
        double a = 0, b = 0, ab = 0;

        if (at[0] == at[1] || at[0] == at[2] || at[0] == at[3] || at[1] == at[2] ||
            at[1] == at[3] || at[2] == at[3])
            continue;
        for (int j = 0; j < P; j++) {
            double d = x[at[0] * P + j] - x[at[1] * P + j], e = x[at[2] * P + j] - x[at[3] * P + j];

            a += d * d / 2;
            b += e * e / 2;
            ab += d * e / 2;
        }
        square += a * b;
        squares += ab * ab;
    }
    return square / squares;
}

static void the_debiased_pr_is_an_average_over_rows_that_all_differ(void **state)
{
    double x[N_ROWS * P], y[N_ROWS];
    struct sums sums;

    (void)state;
    draw(x, y);
    for (int j = 0; j < P; j++)
        x[5 * P + j] *= 20; /* one long row */
    sums = sums_of(x, 1);
    assert_true(fabs(estimate_pr(&sums) / pr_of_quadruples(x, N_ROWS) - 1) < 1e-12);
}

static void rounding_below_0_is_0_and_contradictory_sums_are_nothing(void **state)
{
    struct sums sums = {.weight = 10,
                        .weight_sq = 10,
                        .t = 3,
                        .q = 2,
                        .f = 4,
                        .fourth = 1,
                        .weighting = 1,
                        .overfit = (double)NAN};

    (void)state;
    sums.q = 2 * (1 + 1e-7);
    assert_true(estimate_richness(&sums, 1).plain == 0);
    sums.q = 2.1; /* more than r f allow */
    assert_true(isnan(estimate_richness(&sums, 1).plain));
    assert_true(isnan(estimate_richness(&sums, 1).debiased));
    assert_false(isnan(estimate_richness(&sums, 1).u));
    sums.q = 3.1; /* more than t */
    assert_true(isnan(estimate_richness(&sums, 4).u));
    assert_true(isnan(estimate_richness(&sums, 4).debiased));
}

static void against_a_projector_there_is_no_debiased_form(void **state)
{
    struct sums sums = {.weight = 10,
                        .weight_sq = 10,
                        .t = 3,
                        .q = 2,
                        .f = 4,
                        .fourth = 1,
                        .weighting = 1,
                        .overfit = (double)NAN};
    struct estimate got = estimate_projected(&sums, 4);

    (void)state;
    assert_true(got.plain == 1 - 2.0 / 4);
    assert_true(isnan(got.debiased));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_estimates_are_those_of_the_rows),
        cmocka_unit_test(equal_weights_of_any_size_change_nothing),
        cmocka_unit_test(the_debiased_estimate_needs_more_rows_than_the_rank),
        cmocka_unit_test(the_debiased_pr_is_an_average_over_rows_that_all_differ),
        cmocka_unit_test(rounding_below_0_is_0_and_contradictory_sums_are_nothing),
        cmocka_unit_test(against_a_projector_there_is_no_debiased_form),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
