#include "daemon/history/bins.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* Walks all bins; checks that they are in order, that they do not overlap, and that no row is lost.
 */
static size_t count_bins(const struct bins *s, uint64_t n_rows)
{
    struct bin bin;
    size_t cursor = 0, n = 0;
    int64_t end = -1;
    uint64_t rows = 0;

    while (bins_next(s, &cursor, &bin)) {
        assert_true(bin.step > end);
        assert_true(bin.step_end >= bin.step);
        end = bin.step_end;
        rows += bin.count;
        n++;
    }
    assert_int_equal(rows, n_rows);
    assert_false(bins_next(s, &cursor, &bin));
    return n;
}

static struct bins *fill(size_t n_points, enum spacing spacing, int64_t n_rows, int64_t every,
                         int64_t spike_step)
{
    struct bins *s = bins_new(1, n_points, spacing, every, every * n_rows);

    assert_non_null(s);
    for (int64_t step = every; step <= every * n_rows; step += every)
        bins_add(s, step, &(double){step == spike_step ? 99 : sin((double)step)});
    return s;
}

static void there_are_never_more_points_than_asked_for(void **state)
{
    static const size_t budgets[] = {4, 5, 100, 101, 10000};

    (void)state;
    for (int spacing = SPACING_LOG; spacing <= SPACING_LINEAR; spacing++) {
        for (size_t i = 0; i < sizeof budgets / sizeof *budgets; i++) {
            struct bins *s = fill(budgets[i], (enum spacing)spacing, 20001, 10, -1);

            assert_in_range(2 * count_bins(s, 20001), 1, budgets[i]);
            bins_free(s);
        }
    }
}

static void linear_bins_are_all_used(void **state)
{
    struct bins *s = fill(100, SPACING_LINEAR, 100000, 10, -1);

    (void)state;
    assert_int_equal(count_bins(s, 100000), 50);
    bins_free(s);
}

static void a_spike_survives(void **state)
{
    static const int64_t steps[] = {10, 5000, 777770, 1000000};

    (void)state;
    for (int spacing = SPACING_LOG; spacing <= SPACING_LINEAR; spacing++) {
        for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
            struct bins *s = fill(200, (enum spacing)spacing, 100000, 10, steps[i]);
            struct bin bin;
            size_t cursor = 0, n_spikes = 0;

            while (bins_next(s, &cursor, &bin)) {
                assert_true(bin.count == 1 || bin.min[0] <= 1);
                if (bin.max[0] != 99)
                    continue;
                assert_true(bin.step <= steps[i] && steps[i] <= bin.step_end);
                n_spikes++;
            }
            assert_int_equal(n_spikes, 1);
            bins_free(s);
        }
    }
}

/* 1e5 points over steps 10..1e6: linear bins keep one below step 1000, log bins all below 100. */
static void early_decades_survive_on_a_log_axis(void **state)
{
    struct bins *s = fill(1000, SPACING_LOG, 100000, 10, -1);
    struct bin bin;
    size_t cursor = 0, n_early = 0;

    (void)state;
    while (bins_next(s, &cursor, &bin) && bin.step_end < 100) {
        assert_int_equal(bin.count, 1);
        n_early++;
    }
    assert_int_equal(n_early, 9);
    bins_free(s);
}

static void nan_is_left_out_of_min_and_max_only(void **state)
{
    struct bins *s = bins_new(2, 2, SPACING_LINEAR, 0, 10);
    struct bin bin;
    size_t cursor = 0;

    (void)state;
    bins_add(s, 0, (double[]){(double)NAN, (double)NAN});
    bins_add(s, 5, (double[]){2, (double)NAN});
    bins_add(s, 3, (double[]){7, (double)NAN}); /* steps out of order */
    bins_add(s, 10, (double[]){(double)NAN, (double)NAN});
    assert_true(bins_next(s, &cursor, &bin));
    assert_true(bin.min[0] == 2 && bin.max[0] == 7);
    assert_true(isnan(bin.last[0]));
    assert_true(isnan(bin.min[1]) && isnan(bin.max[1]));
    assert_int_equal(bin.step, 0);
    assert_int_equal(bin.step_end, 10);
    assert_int_equal(bin.count, 4);
    bins_free(s);
}

static void last_is_of_the_largest_step(void **state)
{
    struct bins *s = bins_new(1, 2, SPACING_LINEAR, 0, 10);
    struct bin bin;
    size_t cursor = 0;

    (void)state;
    bins_add(s, 9, &(double){1});
    bins_add(s, 4, &(double){2});
    assert_true(bins_next(s, &cursor, &bin));
    assert_true(bin.last[0] == 1);
    bins_free(s);
}

static void extreme_steps_have_a_bin(void **state)
{
    (void)state;
    for (int spacing = SPACING_LOG; spacing <= SPACING_LINEAR; spacing++) {
        struct bins *s = bins_new(1, 8, (enum spacing)spacing, 0, INT64_MAX);
        struct bins *one = bins_new(1, 8, (enum spacing)spacing, 5, 5);

        bins_add(s, 0, &(double){1});
        bins_add(s, INT64_MAX, &(double){1});
        assert_int_equal(count_bins(s, 2), 2);
        bins_add(one, 5, &(double){1});
        bins_add(one, 5, &(double){1});
        assert_int_equal(count_bins(one, 2), 1);
        bins_free(s);
        bins_free(one);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(there_are_never_more_points_than_asked_for),
        cmocka_unit_test(linear_bins_are_all_used),
        cmocka_unit_test(a_spike_survives),
        cmocka_unit_test(early_decades_survive_on_a_log_axis),
        cmocka_unit_test(nan_is_left_out_of_min_and_max_only),
        cmocka_unit_test(last_is_of_the_largest_step),
        cmocka_unit_test(extreme_steps_have_a_bin),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
