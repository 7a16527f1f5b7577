#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "daemon/core/matrix/passes.h"
#include "tests/lib/cmocka.h"
#include "tests/lib/random.h"

/* Widths about every length of vectors and what is left over. */
#define MOST 65

/* Rows at odd addresses, as they may lie on the wire. */
struct rows {
    double values[PASSES_ROWS][MOST];
    char bytes[PASSES_ROWS][8 * MOST + 1];
    const void *at[PASSES_ROWS];
};

static void make_rows(struct rows *rows, struct random *rng, bool wide, double mean)
{
    for (size_t i = 0; i < PASSES_ROWS; i++) {
        rows->at[i] = rows->bytes[i] + 1;
        for (size_t j = 0; j < MOST; j++) {
            float single = (float)(mean + random_gaussian(rng));

            rows->values[i][j] = wide ? mean + random_gaussian(rng) : (double)single;
            if (wide)
                memcpy(rows->bytes[i] + 1 + 8 * j, &rows->values[i][j], 8);
            else
                memcpy(rows->bytes[i] + 1 + 4 * j, &single, 4);
        }
    }
}

static void make_vector(struct random *rng, double mean, double *out)
{
    for (size_t j = 0; j < MOST; j++)
        out[j] = mean + random_gaussian(rng);
}

static bool near(double got, long double expected, double size)
{
    return fabsl(got - expected) <= 8 * DBL_EPSILON * size;
}

static void sums_of_any_width_are_those_of_the_formula(void **state)
{
    static const double weight[PASSES_ROWS] = {1, 0.5, 3, 0};
    struct random rng;

    (void)state;
    random_seed(&rng, 1);
    for (size_t n = 0; n <= MOST; n++) {
        for (size_t k = 0; k < 2 * PASSES_ROWS; k++) {
            size_t n_rows = k / 2 + 1;
            double pivot[MOST], sum[MOST], before[MOST];
            struct rows rows;

            make_rows(&rows, &rng, k % 2, 5);
            make_vector(&rng, 5, pivot);
            make_vector(&rng, 0, sum);
            memcpy(before, sum, sizeof sum);
            (k % 2 ? passes_sum_f64 : passes_sum_f32)(n_rows, n, weight, rows.at, pivot, sum);
            for (size_t j = 0; j < MOST; j++) {
                long double expected = before[j];

                for (size_t i = 0; i < n_rows && j < n; i++)
                    expected += weight[i] * ((long double)rows.values[i][j] - pivot[j]);
                assert_true(near(sum[j], expected, 20));
            }
        }
    }
}

/* A pair that is centred and turned, with the squares of its distances. */
static void check_pair(struct random *rng, bool wide, size_t n)
{
    double mean[MOST], shift[MOST], squares[2], wide_out[2][MOST];
    float single_out[2][MOST];
    struct passes_pair pair = {mean, shift, {0.5, 2}, cos(1), sin(1)};
    struct rows rows;
    long double expected_squares[2] = {0, 0};

    make_rows(&rows, rng, wide, 100);
    make_vector(rng, 100, mean);
    make_vector(rng, 100, shift);
    if (wide)
        passes_centre_f64(n, &pair, rows.at, (double *const[2]){wide_out[0], wide_out[1]}, squares);
    else
        passes_centre_f32(n, &pair, rows.at, (float *const[2]){single_out[0], single_out[1]},
                          squares);
    for (size_t j = 0; j < n; j++) {
        long double a = 0.5L * ((long double)rows.values[0][j] - mean[j]);
        long double b = 2.0L * ((long double)rows.values[1][j] - mean[j]);
        long double expected[2] = {pair.cosine * a + pair.sine * b,
                                   pair.cosine * b - pair.sine * a};

        for (int i = 0; i < 2; i++) {
            long double away = (long double)rows.values[i][j] - shift[j];

            expected_squares[i] += away * away;
            if (wide)
                assert_true(near(wide_out[i][j], expected[i], 30));
            else
                assert_true(fabsl(single_out[i][j] - expected[i]) <=
                            FLT_EPSILON / 2 * fabsl(expected[i]) + 1e-14L);
        }
    }
    for (int i = 0; i < 2; i++)
        assert_true(near(squares[i], expected_squares[i], 400));
}

static void pairs_of_any_width_are_centred_and_turned(void **state)
{
    struct random rng;

    (void)state;
    random_seed(&rng, 2);
    for (size_t n = 0; n <= MOST; n++) {
        check_pair(&rng, false, n);
        check_pair(&rng, true, n);
    }
}

/* Whatever the compiler groups or fuses: equal values leave 0, and their mean is their value. */
static void a_constant_column_leaves_exact_zeros(void **state)
{
    const float constant = 123.456f;
    double pivot[MOST], sum[MOST] = {0}, squares[2];
    static const double weight[PASSES_ROWS] = {0.3, 0.7, 1e10, 1.1};
    float row[MOST], out[2][MOST];
    const void *rows[PASSES_ROWS] = {row, row, row, row};
    struct passes_pair pair = {pivot, pivot, {0.3, 0.7}, cos(2), sin(2)};

    (void)state;
    for (size_t j = 0; j < MOST; j++)
        pivot[j] = row[j] = constant;
    passes_sum_f32(PASSES_ROWS, MOST, weight, rows, pivot, sum);
    passes_centre_f32(MOST, &pair, rows, (float *const[2]){out[0], out[1]}, squares);
    for (size_t j = 0; j < MOST; j++)
        assert_true(sum[j] == 0 && out[0][j] == 0 && out[1][j] == 0);
    assert_true(squares[0] == 0 && squares[1] == 0);
}

static void what_is_forgotten_whole_is_not_read(void **state)
{
    double d[MOST], to[MOST], old[MOST], single_scale = 0.25;
    float add[MOST];
    struct random rng;

    (void)state;
    random_seed(&rng, 3);
    make_vector(&rng, 0, d);
    make_vector(&rng, 0, old);
    for (size_t j = 0; j < MOST; j++)
        add[j] = (float)d[MOST - 1 - j];
    for (size_t n = 0; n <= MOST; n++) {
        for (int k = 0; k < 4; k++) {
            double decay = k % 2 ? 0.9 : 0;

            for (size_t j = 0; j < MOST; j++)
                to[j] = decay == 0 ? (double)NAN : old[j];
            if (k / 2)
                passes_combine_f32(n, decay, 3, d, single_scale, add, to);
            else
                passes_begin(n, decay, 3, d, to);
            for (size_t j = 0; j < n; j++)
                assert_true(near(
                    to[j], (long double)decay * old[j] + 3.0L * d[j] + (k / 2 ? 0.25L * add[j] : 0),
                    20));
            for (size_t j = n; j < MOST; j++)
                assert_true(decay == 0 ? isnan(to[j]) : to[j] == old[j]);
        }
    }
}

static void floats_are_widened_exactly_and_added(void **state)
{
    static const float values[] = {1.5f, -0.0f, FLT_MAX, -FLT_MIN, 0x1p-149f, 1e30f, 1e-30f};
    double out[7];
    float back[7];

    (void)state;
    passes_widen(7, 0x1p-40, values, out);
    for (size_t j = 0; j < 7; j++)
        assert_true(out[j] == 0x1p-40 * (double)values[j]);
    passes_add(7, 0x1p-40, values, out);
    passes_narrow(7, out, back);
    for (size_t j = 0; j < 7; j++) {
        assert_true(out[j] == 0x1p-39 * (double)values[j]);
        assert_true(back[j] == (float)out[j]);
    }
}

static void check_row(struct random *rng, size_t n)
{
    double x[MOST], y[MOST], to[MOST];
    float narrow[2][MOST];
    long double centred = 0, apart = 0, along = 0;

    make_vector(rng, 100, x);
    make_vector(rng, 99, y);
    for (size_t i = 0; i < n; i++) {
        long double d = (long double)x[i] - y[i];

        centred += 9 * d * d;
        apart += d * d;
    }
    assert_true(near(passes_centre_row(n, 3, x, y, to), centred, (double)centred + 1));
    assert_true(near(passes_distance(n, x, y), apart, (double)apart + 1));
    passes_narrow_scaled(n, 0.5, x, narrow[0]);
    passes_narrow_scaled(n, 2, y, narrow[1]);
    for (size_t i = 0; i < n; i++) {
        assert_true(near(to[i], 3 * ((long double)x[i] - y[i]), fabs(3 * (x[i] - y[i]))));
        assert_true(narrow[0][i] == (float)(0.5 * x[i]));
        along += (long double)narrow[0][i] * narrow[1][i];
    }
    assert_true(near(passes_dot_f32(n, narrow[0], narrow[1]), along, (double)along + 1));
}

static void rows_of_any_width_are_centred_compared_and_narrowed(void **state)
{
    struct random rng;

    (void)state;
    random_seed(&rng, 6);
    for (size_t n = 0; n <= MOST; n++)
        check_row(&rng, n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_of_any_width_are_those_of_the_formula),
        cmocka_unit_test(pairs_of_any_width_are_centred_and_turned),
        cmocka_unit_test(a_constant_column_leaves_exact_zeros),
        cmocka_unit_test(what_is_forgotten_whole_is_not_read),
        cmocka_unit_test(floats_are_widened_exactly_and_added),
        cmocka_unit_test(rows_of_any_width_are_centred_compared_and_narrowed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
