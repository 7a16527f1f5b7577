/* Which rows are kept: all while they fit, then a spread sample, however they were split. */
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

/* More than any group has. */
#define ALL 10000

/* Every group holds consecutive rows, older ones first, of the numbers that its age says. */
static size_t check_groups(const struct reservoir *k)
{
    struct reservoir_group groups[RESERVOIR_GROUPS];
    size_t n_groups = reservoir_groups(k, ALL, groups);

    for (size_t g = 0; g < n_groups; g++) {
        uint64_t first = k->n_seen - 1 - groups[g].age;

        assert_true(groups[g].n > 0);
        for (size_t i = 0; i < groups[g].n; i++)
            assert_true(k->x[groups[g].at + i] == (double)(first + i));
        assert_true(g == 0 || groups[g].age + groups[g - 1].n <= groups[g - 1].age);
    }
    return n_groups;
}

/* No row lies between the two groups of a pair, and `n_rows` are those nearest to the border. */
static void check_pairs(const struct reservoir *k, size_t n_rows)
{
    struct reservoir_group groups[RESERVOIR_GROUPS];
    size_t n_groups = reservoir_groups(k, n_rows, groups);

    assert_int_equal(n_groups % 2, 0);
    for (size_t g = 0; g < n_groups; g += 2) {
        assert_true(groups[g].n <= n_rows && groups[g + 1].n <= n_rows);
        assert_true(groups[g].age - groups[g].n == groups[g + 1].age);
        for (size_t i = 0; i < groups[g].n; i++)
            assert_true(k->x[groups[g].at + i] == (double)(k->n_seen - 1 - groups[g].age + i));
    }
}

static void all_rows_are_there_while_they_fit(void **state)
{
    struct reservoir *k = reservoir_new(1, 1, 0);
    struct reservoir_group groups[RESERVOIR_GROUPS];
    size_t rows = 0, n;

    (void)state;
    feed(k, 0, 1001, 7);
    assert_true(reservoir_has_all(k));
    assert_int_equal(check_groups(k), RESERVOIR_GROUPS);
    check_pairs(k, 10);
    n = reservoir_groups(k, ALL, groups);
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

static void a_long_window_keeps_the_same_rows_however_it_was_split(void **state)
{
    static const size_t batches[] = {1, 13, 1024};
    static const size_t windows[] = {1056, 1057, 2048, 5000, 100000};

    (void)state;
    for (size_t w = 0; w < 5; w++) {
        struct reservoir_group first[RESERVOIR_GROUPS], groups[RESERVOIR_GROUPS];

        for (size_t b = 0; b < 3; b++) {
            struct reservoir *k = reservoir_new(1, 1, 0);

            feed(k, 0, windows[w], batches[b]);
            assert_int_equal(check_groups(k), RESERVOIR_GROUPS);
            check_pairs(k, 16);
            check_pairs(k, 5);
            reservoir_groups(k, ALL, b == 0 ? first : groups);
            for (size_t g = 0; b > 0 && g < RESERVOIR_GROUPS; g++)
                assert_true(groups[g].age == first[g].age && groups[g].n == first[g].n);
            reservoir_free(k);
        }
    }
}

/* Rows at one place in each batch may be alike; those that stay come from all places. The window is
 * cut in 16 to 32 blocks, and each gives one run. */
static void what_stays_has_many_places_in_a_batch_and_is_spread_over_the_window(void **state)
{
    static const size_t batches[] = {128, 512, 1024, 4096};

    (void)state;
    for (size_t n = 1 << 14; n <= 1 << 20; n *= 2) {
        struct reservoir *k = reservoir_new(1, 1, 0);
        struct reservoir_group groups[RESERVOIR_GROUPS];

        feed(k, 0, n, 1000);
        reservoir_groups(k, ALL, groups);
        for (size_t b = 0; b < 4; b++) {
            bool seen[4] = {0}; /* quarters of a batch; chance alone leaves one out in 25 */

            for (size_t g = 0; g < RESERVOIR_GROUPS; g += 2)
                seen[(n - 1 - groups[g].age) % batches[b] * 4 / batches[b]] = true;
            assert_true(seen[0] + seen[1] + seen[2] + seen[3] >= 3);
        }
        for (size_t g = 2; g < RESERVOIR_GROUPS; g += 2)
            assert_true(groups[g - 2].age - groups[g].age < 3 * n / 16);
        reservoir_free(k);
    }
}

/* Offers rows 0..n-1 one by one, of which row i has the square `square_of(i)`. */
static void offer_all(struct reservoir *k, size_t n, double (*square_of)(size_t))
{
    for (size_t i = 0; i < n; i++) {
        reservoir_make_room(k, 1);
        reservoir_offer(k, 0, 1, square_of(i));
        reservoir_commit(k, 1);
    }
}

static double scattered(size_t i)
{
    return 1 + (double)(i * 7919 % 5003); /* no two of 5003 are alike */
}

static double equal(size_t i)
{
    (void)i;
    return 1;
}

static void the_longest_rows_of_the_window_are_kept(void **state)
{
    struct reservoir *k = reservoir_new(1, 1, 0);

    (void)state;
    offer_all(k, 5003, scattered);
    assert_int_equal(k->n_longest, RESERVOIR_LONGEST);
    for (size_t i = 0; i < k->n_longest; i++) {
        struct reservoir_group row = reservoir_longest(k, i);

        assert_true(scattered(k->longest_row[i]) > 5003 - RESERVOIR_LONGEST);
        assert_int_equal(row.at, reservoir_capacity(k) + i);
        assert_int_equal(5002 - row.age, k->longest_row[i]);
    }
    reservoir_reset(k);
    assert_int_equal(k->n_longest, 0);
    reservoir_free(k);
}

/* Rows that were equally long: the newest weigh most. */
static void the_longest_rows_are_forgotten_too(void **state)
{
    struct reservoir *k = reservoir_new(1, 1, 100);

    (void)state;
    offer_all(k, 3000, equal);
    for (size_t i = 0; i < k->n_longest; i++)
        assert_true(k->longest_row[i] >= 3000 - RESERVOIR_LONGEST);
    reservoir_free(k);
}

static void rows_that_are_forgotten_leave_the_newest(void **state)
{
    static const double half_lives[] = {13, 300, 5000};

    (void)state;
    for (size_t h = 0; h < 3; h++) {
        struct reservoir *k = reservoir_new(1, 1, half_lives[h]);
        struct reservoir_group groups[RESERVOIR_GROUPS];
        size_t n;

        feed(k, 0, 60000, 100);
        n = check_groups(k);
        assert_true(n >= RESERVOIR_GROUPS - 2);
        check_pairs(k, 4);
        reservoir_groups(k, ALL, groups);
        assert_true((double)groups[0].age >= 4 * half_lives[h]);
        assert_true((double)groups[n - 1].age < half_lives[h] + 100);
        assert_true(reservoir_weight(k, &groups[n - 1], 0) > reservoir_weight(k, &groups[0], 0));
        reservoir_free(k);
    }
}

/* A window that has not reached its half-lives yet is sampled as one that forgets nothing. */
static void a_window_shorter_than_its_half_life_has_all_its_groups(void **state)
{
    static const double half_lives[] = {1000, 4096, 1e9, 1e300};
    static const size_t windows[] = {100, 1000, 3000, 20000};

    (void)state;
    for (size_t h = 0; h < 4; h++) {
        for (size_t i = 0; i < 4; i++) {
            struct reservoir *k = reservoir_new(1, 1, half_lives[h]);

            feed(k, 0, windows[i], 100);
            assert_true(reservoir_has_all(k) == (windows[i] <= reservoir_capacity(k)));
            assert_true(check_groups(k) >= RESERVOIR_GROUPS / 2);
            reservoir_free(k);
        }
    }
}

static void a_new_window_begins_empty(void **state)
{
    struct reservoir *k = reservoir_new(1, 1, 0);
    struct reservoir_group groups[RESERVOIR_GROUPS];

    (void)state;
    feed(k, 0, 5000, 100);
    reservoir_reset(k);
    assert_int_equal(reservoir_groups(k, ALL, groups), 0);
    feed(k, 0, 100, 100);
    assert_true(reservoir_has_all(k));
    k->broken = true;
    assert_int_equal(reservoir_groups(k, ALL, groups), 0);
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
        cmocka_unit_test(a_long_window_keeps_the_same_rows_however_it_was_split),
        cmocka_unit_test(what_stays_has_many_places_in_a_batch_and_is_spread_over_the_window),
        cmocka_unit_test(the_longest_rows_of_the_window_are_kept),
        cmocka_unit_test(the_longest_rows_are_forgotten_too),
        cmocka_unit_test(rows_that_are_forgotten_leave_the_newest),
        cmocka_unit_test(a_window_shorter_than_its_half_life_has_all_its_groups),
        cmocka_unit_test(a_new_window_begins_empty),
        cmocka_unit_test(size_is_what_is_allocated),
        cmocka_unit_test(no_memory_leaks_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
