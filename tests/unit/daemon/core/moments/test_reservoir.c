/* Which rows are kept: all while they fit, then an even sample, however they were split. */
#include "tests/lib/cmocka.h"

#include <stdlib.h>

#include "daemon/core/moments/reservoir.h"
#include "tests/lib/fault.h"

/* Writes rows that hold their own number, in batches of `batch`. */
static void feed(struct reservoir *k, uint64_t first, size_t n_rows, size_t batch)
{
    for (size_t at = 0, n; at < n_rows; at += n) {
        n = n_rows - at < batch ? n_rows - at : batch;
        reservoir_make_room(k, n);
        for (size_t i = 0; i < n; i++) {
            size_t place = reservoir_place(k, i);

            if (place == RESERVOIR_NONE)
                continue;
            assert_true(place < reservoir_capacity(k));
            k->x[place] = (double)(first + at + i);
            k->weight[place] = 1;
        }
        reservoir_commit(k, n);
    }
}

/* Every group holds consecutive rows, older ones first, of the numbers that its age says. */
static size_t check_groups(const struct reservoir *k)
{
    struct reservoir_group groups[RESERVOIR_RUNS];
    size_t n_groups = reservoir_groups(k, groups);

    for (size_t g = 0; g < n_groups; g++) {
        uint64_t first = k->n_seen - 1 - groups[g].age;

        assert_true(groups[g].n > 0);
        for (size_t i = 0; i < groups[g].n; i++)
            assert_true(k->x[groups[g].at + i] == (double)(first + i));
        assert_true(g == 0 || groups[g].age + groups[g - 1].n <= groups[g - 1].age);
    }
    return n_groups;
}

static void all_rows_are_there_while_they_fit(void **state)
{
    struct reservoir *k = reservoir_new(1, 1, 0);
    struct reservoir_group groups[RESERVOIR_RUNS];
    size_t rows = 0, n;

    (void)state;
    feed(k, 0, 1001, 7);
    assert_true(reservoir_has_all(k));
    assert_int_equal(check_groups(k), RESERVOIR_RUNS);
    n = reservoir_groups(k, groups);
    for (size_t g = 0; g < n; g++)
        rows += groups[g].n;
    assert_int_equal(rows, 1001);
    feed(k, 1001, 24, 24);
    assert_false(reservoir_has_all(k)); /* 1025 */
    reservoir_free(k);
}

static void few_rows_make_an_even_number_of_groups(void **state)
{
    static const size_t rows[] = {0, 3, 4, 33, 63, 64};
    static const size_t groups[] = {0, 0, 2, 16, 30, 32};

    (void)state;
    for (size_t i = 0; i < 6; i++) {
        struct reservoir *k = reservoir_new(1, 1, 0);

        feed(k, 0, rows[i], 10);
        assert_int_equal(check_groups(k), groups[i]);
        reservoir_free(k);
    }
}

static void a_long_window_keeps_an_even_sample_however_it_was_split(void **state)
{
    static const size_t batches[] = {1, 13, 1024};
    static const size_t windows[] = {1056, 1057, 2048, 5000, 100000};

    (void)state;
    for (size_t w = 0; w < 5; w++) {
        struct reservoir_group first[RESERVOIR_RUNS], groups[RESERVOIR_RUNS];
        size_t n_first = 0;

        for (size_t b = 0; b < 3; b++) {
            struct reservoir *k = reservoir_new(1, 1, 0);
            size_t n;

            feed(k, 0, windows[w], batches[b]);
            n = check_groups(k);
            assert_in_range(n, RESERVOIR_RUNS / 2, RESERVOIR_RUNS);
            reservoir_groups(k, b == 0 ? first : groups);
            assert_true(b == 0 || n == n_first);
            for (size_t g = 0; b > 0 && g < n; g++)
                assert_true(groups[g].age == first[g].age && groups[g].n == first[g].n);
            n_first = n;
            reservoir_free(k);
        }
        for (size_t g = 2; g < n_first; g++) /* evenly spaced */
            assert_true(first[g - 1].age - first[g].age == first[0].age - first[1].age);
    }
}

static void rows_that_are_forgotten_leave_the_newest(void **state)
{
    static const double half_lives[] = {13, 300, 5000};

    (void)state;
    for (size_t h = 0; h < 3; h++) {
        struct reservoir *k = reservoir_new(1, 1, half_lives[h]);
        struct reservoir_group groups[RESERVOIR_RUNS];
        size_t n;

        feed(k, 0, 60000, 100);
        n = check_groups(k);
        assert_true(n >= RESERVOIR_RUNS - 2);
        reservoir_groups(k, groups);
        assert_true((double)groups[0].age >= 4 * half_lives[h]);
        assert_true((double)groups[n - 1].age < half_lives[h] + 100);
        assert_true(reservoir_weight(k, &groups[n - 1], 0) > reservoir_weight(k, &groups[0], 0));
        reservoir_free(k);
    }
}

static void a_new_window_begins_empty(void **state)
{
    struct reservoir *k = reservoir_new(1, 1, 0);
    struct reservoir_group groups[RESERVOIR_RUNS];

    (void)state;
    feed(k, 0, 5000, 100);
    reservoir_reset(k);
    assert_int_equal(reservoir_groups(k, groups), 0);
    feed(k, 0, 100, 100);
    assert_true(reservoir_has_all(k));
    k->broken = true;
    assert_int_equal(reservoir_groups(k, groups), 0);
    reservoir_free(k);
}

static void size_is_what_is_allocated(void **state)
{
    static const size_t shapes[][2] = {{1, 1}, {128, 97}, {4096, 100}, {65536, 10}};

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct reservoir *k;
        double got;

        fault_arm(1000000);
        k = reservoir_new(shapes[i][0], shapes[i][1], 0);
        got = (double)fault_bytes() - sizeof *k;
        fault_disarm();
        assert_non_null(k);
        assert_true(got == reservoir_size_bytes(shapes[i][0], shapes[i][1]));
        reservoir_free(k);
    }
}

static void no_memory_leaks_nothing(void **state)
{
    (void)state;
    for (long i = 1; i <= 4; i++) {
        fault_arm(i);
        assert_null(reservoir_new(3, 2, 0));
        assert_true(fault_disarm());
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_rows_are_there_while_they_fit),
        cmocka_unit_test(few_rows_make_an_even_number_of_groups),
        cmocka_unit_test(a_long_window_keeps_an_even_sample_however_it_was_split),
        cmocka_unit_test(rows_that_are_forgotten_leave_the_newest),
        cmocka_unit_test(a_new_window_begins_empty),
        cmocka_unit_test(size_is_what_is_allocated),
        cmocka_unit_test(no_memory_leaks_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
