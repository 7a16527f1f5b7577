#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/matrix/linalg.h"
#include "daemon/core/matrix/tiles.h"
#include "tests/lib/cmocka.h"
#include "tests/lib/core/sample.h"
#include "tests/lib/fault.h"
#include "tests/lib/random.h"

/* One tile, exactly one, one and a sliver, two by two, three by three with a narrow last one. */
static const size_t orders[] = {1, 2, 511, 512, 513, 600, 1024, 1100};
#define N_ORDERS (sizeof orders / sizeof orders[0])

/* The entry (i, j), small integers so that sums are exact. */
static double entry(size_t i, size_t j)
{
    size_t low = i < j ? i : j, high = i < j ? j : i;

    return (double)((low * 31 + high * 17) % 23) - 11;
}

/* The upper triangle set to `entry`, everything that is not read to NaN. */
static void fill(struct tiles *t)
{
    for (size_t k = 0; k < t->n_tiles; k++) {
        struct tile tile = tiles_at(t, k);

        for (size_t i = 0; i < tile.n_rows; i++) {
            for (size_t j = 0; j < tile.n_cols; j++) {
                size_t row = tile.row + i, col = tile.col + j;

                tile.values[i * tile.n_cols + j] = row <= col ? entry(row, col) : (double)NAN;
            }
        }
    }
}

static void tiles_cover_the_upper_triangle_once_and_fill_the_memory(void **state)
{
    (void)state;
    for (size_t o = 0; o < N_ORDERS; o++) {
        size_t p = orders[o], expected = 0;
        char *seen = must_alloc(p * p);
        struct tiles t;

        assert_int_equal(tiles_init(&t, p), 0);
        for (size_t k = 0; k < t.n_tiles; k++) {
            struct tile tile = tiles_at(&t, k);

            assert_ptr_equal(tile.values, t.values + expected);
            expected += tile.n_rows * tile.n_cols;
            for (size_t i = 0; i < tile.n_rows; i++)
                for (size_t j = 0; j < tile.n_cols; j++)
                    assert_int_equal(seen[(tile.row + i) * p + tile.col + j]++, 0);
        }
        assert_int_equal(expected, t.n_values);
        for (size_t i = 0; i < p; i++)
            for (size_t j = i; j < p; j++)
                assert_int_equal(seen[i * p + j], 1);
        tiles_release(&t);
        free(seen);
    }
}

static void memory_is_half_of_the_full_matrix_and_half_a_tile_a_side(void **state)
{
    (void)state;
    for (size_t p = 512; p <= 4096; p *= 2) {
        struct tiles t;

        assert_int_equal(tiles_init(&t, p), 0);
        assert_int_equal(t.n_values, p * (p + 512) / 2);
        tiles_release(&t);
    }
}

static void trace_and_norm_read_each_entry_once(void **state)
{
    (void)state;
    for (size_t o = 0; o < N_ORDERS; o++) {
        double trace = 0, squares = 0;
        struct tiles t;

        assert_int_equal(tiles_init(&t, orders[o]), 0);
        fill(&t);
        for (size_t i = 0; i < t.p; i++) {
            trace += entry(i, i);
            for (size_t j = 0; j < t.p; j++)
                squares += entry(i, j) * entry(i, j);
        }
        assert_true(tiles_trace(&t) == trace);
        assert_true(tiles_sum_squares(&t) == squares);
        tiles_release(&t);
    }
}

static void matvec_is_that_of_the_whole_symmetric_matrix(void **state)
{
    (void)state;
    for (size_t o = 0; o < N_ORDERS; o++) {
        size_t p = orders[o];
        double *x = must_alloc(p * sizeof *x), *y = must_alloc(p * sizeof *y);
        struct tiles t;

        assert_int_equal(tiles_init(&t, p), 0);
        fill(&t);
        for (size_t i = 0; i < p; i++) {
            x[i] = (double)(i % 7) - 3;
            y[i] = (double)NAN; /* overwritten, not added to */
        }
        tiles_matvec(&t, x, y);
        for (size_t i = 0; i < p; i++) {
            double sum = 0;

            for (size_t j = 0; j < p; j++)
                sum += entry(i, j) * x[j];
            assert_true(y[i] == sum);
        }
        tiles_release(&t);
        free(x);
        free(y);
    }
}

static void no_memory_is_reported_and_release_is_harmless(void **state)
{
    struct tiles t;

    (void)state;
    fault_arm(1);
    assert_int_equal(tiles_init(&t, 8), -ENOMEM);
    assert_true(fault_disarm());
    tiles_release(&t);
    tiles_release(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tiles_cover_the_upper_triangle_once_and_fill_the_memory),
        cmocka_unit_test(memory_is_half_of_the_full_matrix_and_half_a_tile_a_side),
        cmocka_unit_test(trace_and_norm_read_each_entry_once),
        cmocka_unit_test(matvec_is_that_of_the_whole_symmetric_matrix),
        cmocka_unit_test(no_memory_is_reported_and_release_is_harmless),
    };

    linalg_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
