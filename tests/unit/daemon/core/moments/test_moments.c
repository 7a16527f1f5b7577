#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/matrix/linalg.h"
#include "daemon/core/moments/moments.h"
#include "tests/lib/cmocka.h"
#include "tests/lib/core/reduced.h"
#include "tests/lib/core/sample.h"
#include "tests/lib/fault.h"

/* Sums of some hundred products of double, each rounded to 2^-53, and means of up to 100 spreads,
 * against the geometric mean of the diagonal they belong to. */
#define TOLERANCE 1e-12

static void make(struct sample *s, uint64_t seed, size_t n, size_t p, double mean, enum dtype d)
{
    struct random r;

    random_seed(&r, seed);
    sample_init(s, n, p, 3);
    sample_fill(s, &r, mean, 1);
    sample_encode(s, d, d);
}

/* Rows from..to-1 in moments of their own. */
static void fold_part(const struct sample *s, struct moments *m, size_t from, size_t to)
{
    assert_int_equal(moments_init(m, s->p, s->c, 0), 0);
    sample_fold(s, m, from, to, 64, 0);
}

static double entry(const struct moments *m, size_t row, size_t col)
{
    for (size_t k = 0;; k++) {
        struct tile t = tiles_at(&m->xx, k);

        if (row - t.row < t.n_rows && col - t.col < t.n_cols)
            return t.values[(row - t.row) * t.n_cols + col - t.col];
    }
}

static void check_near(long double expected, double got, long double scale, double tolerance)
{
    assert_true(fabsl(expected - got) <= tolerance * scale);
}

/* Every matrix and mean against sums over the rows in long double. */
static void check_matrices(const struct sample *s, const struct moments *m, double tolerance)
{
    size_t p = s->p, c = s->c;
    long double *xx = must_alloc(p * p * sizeof *xx), *xy = must_alloc(p * c * sizeof *xy);
    long double *yy = must_alloc(c * c * sizeof *yy), *mean = must_alloc(p * sizeof *mean);

    reference_cross(s->n, p, s->x, p, s->x, NULL, xx);
    reference_cross(s->n, p, s->x, c, s->y, NULL, xy);
    reference_cross(s->n, c, s->y, c, s->y, NULL, yy);
    reference_means(s->n, p, s->x, NULL, mean);
    assert_true(m->weight == (double)s->n && m->n_rows == s->n);
    for (size_t i = 0; i < p; i++) {
        check_near(mean[i], m->mean_x[i], fabsl(mean[i]) + sqrtl(xx[i * p + i]), tolerance);
        for (size_t j = i; j < p; j++)
            check_near(xx[i * p + j], entry(m, i, j), sqrtl(xx[i * p + i] * xx[j * p + j]),
                       tolerance);
        for (size_t j = 0; j < c; j++)
            check_near(xy[i * c + j], m->xy[i * c + j], sqrtl(xx[i * p + i] * yy[j * c + j]),
                       tolerance);
    }
    for (size_t i = 0; i < c; i++)
        for (size_t j = i; j < c; j++)
            check_near(yy[i * c + j], m->yy[i * c + j], sqrtl(yy[i * c + i] * yy[j * c + j]),
                       tolerance);
    free(xx);
    free(xy);
    free(yy);
    free(mean);
}

static void check_fourth(const struct sample *s, const struct moments *m, double tolerance)
{
    struct reference ref = sample_reference(s, NULL);
    double *scratch = must_alloc(2 * s->p * sizeof *scratch);

    check_near(ref.fourth, moments_fourth(m, scratch), ref.fourth, tolerance);
    free(scratch);
}

static void moments_are_the_centred_sums_of_the_rows(void **state)
{
    struct sample s;
    struct moments m;

    (void)state;
    make(&s, 1, 300, 20, 100, DTYPE_F64);
    fold_part(&s, &m, 0, s.n);
    check_matrices(&s, &m, TOLERANCE);
    check_fourth(&s, &m, TOLERANCE);
    moments_release(&m);
    sample_release(&s);
}

static void size_in_bytes_is_what_is_allocated(void **state)
{
    static const size_t orders[] = {1, 100, 512, 600, 1100};

    (void)state;
    for (size_t k = 0; k < 5; k++) {
        double stated = moments_size_bytes(orders[k], 7);
        struct moments m;

        fault_arm(LONG_MAX);
        assert_int_equal(moments_init(&m, orders[k], 7, 0), 0);
        fault_disarm();
        assert_true((double)fault_bytes() <= stated);
        assert_true((double)fault_bytes() >= 0.9 * stated); /* the last row of tiles is narrower */
        moments_release(&m);
    }
    assert_true(moments_size_bytes(65536, 65536) > 0x1p35);
}

static void after_a_reset_nothing_of_the_past_is_left(void **state)
{
    struct sample s;
    struct moments used, fresh;

    (void)state;
    make(&s, 5, 200, 515, 2, DTYPE_F32);
    fold_part(&s, &used, 0, 150);
    used.xx.values[0] = used.xy[0] = used.yy[0] = (double)NAN; /* not even by 0 times */
    moments_reset(&used);
    sample_fold(&s, &used, 150, 200, 25, 0);
    assert_int_equal(moments_init(&fresh, s.p, s.c, 0), 0);
    sample_fold(&s, &fresh, 150, 200, 25, 0);
    assert_true(moments_identical(&used, &fresh));
    moments_release(&used);
    moments_release(&fresh);
    sample_release(&s);
}

/* ---- statistics that somebody else reduced ------------------------------------------------- */

/* Leaves the upper triangle of the p x p values where they lie. */
static void pack(struct reduced *sent, size_t p)
{
    size_t size = dtype_size(sent->view.xx_dtype);
    char *values = sent->view.xx_dtype == DTYPE_F32 ? (char *)sent->xx32 : (char *)sent->xx, *to;

    to = values;
    for (size_t i = 0; i < p; i++) {
        memmove(to, values + (i * p + i) * size, (p - i) * size);
        to += (p - i) * size;
    }
    sent->view.xx_is_packed = true;
}

/* Two statistics with rows between them. An f32 matrix is rounded once, 2^-24 an entry. */
static void check_absorbed(enum dtype d, bool packed, size_t p, double tolerance)
{
    struct sample s;
    struct moments m;
    struct reduced first, last;

    make(&s, 6, 120, p, 10, DTYPE_F64);
    for (size_t i = 0; i < 40 * p; i++)
        s.x[i] += 7;
    sample_encode(&s, DTYPE_F64, DTYPE_F64);
    reduced_init(&first, &s, 0, 40, d);
    reduced_init(&last, &s, 70, 120, d);
    if (packed) {
        pack(&first, p);
        pack(&last, p);
    }
    assert_int_equal(moments_init(&m, s.p, s.c, 0), 0);
    assert_int_equal(moments_absorb(&m, &first.view, 0), 0);
    sample_fold(&s, &m, 40, 70, 30, 0);
    assert_int_equal(moments_absorb(&m, &last.view, 0), 0);
    check_matrices(&s, &m, tolerance);
    check_fourth(&s, &m, tolerance);
    moments_release(&m);
    reduced_release(&first);
    reduced_release(&last);
    sample_release(&s);
}

static void absorbed_statistics_equal_their_rows(void **state)
{
    (void)state;
    for (int packed = 0; packed < 2; packed++) {
        check_absorbed(DTYPE_F64, packed, 14, TOLERANCE);
        check_absorbed(DTYPE_F32, packed, 14, 1.2e-7);
        check_absorbed(DTYPE_F64, packed, 530, TOLERANCE);
        check_absorbed(DTYPE_F32, packed, 530, 1.2e-7);
    }
}

/* Three parts whose means, and so their shifts, differ by 5 to 10 spreads, in every order. */
static void absorbed_parts_give_the_whole_in_any_order(void **state)
{
    static const int orders[][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                    {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    static const size_t bounds[] = {0, 50, 51, 230};
    struct sample s;

    (void)state;
    make(&s, 2, 230, 12, 3, DTYPE_F64);
    for (size_t i = 0; i < s.n * s.p; i++)
        s.x[i] += i / s.p < 50 ? 5 : i / s.p > 50 ? -5 : 0;
    sample_encode(&s, DTYPE_F64, DTYPE_F64);
    for (size_t o = 0; o < 6; o++) {
        struct moments all;
        struct reduced part;

        assert_int_equal(moments_init(&all, s.p, s.c, 0), 0);
        for (int k = 0; k < 3; k++) {
            size_t which = (size_t)orders[o][k];

            reduced_init(&part, &s, bounds[which], bounds[which + 1], DTYPE_F64);
            assert_int_equal(moments_absorb(&all, &part.view, 0), 0);
            reduced_release(&part);
        }
        check_matrices(&s, &all, TOLERANCE);
        check_fourth(&s, &all, TOLERANCE);
        moments_release(&all);
    }
    sample_release(&s);
}

static void absorbed_statistics_of_no_rows_change_nothing(void **state)
{
    struct sample s;
    struct moments m, before;
    struct reduced none;

    (void)state;
    make(&s, 7, 30, 6, 1, DTYPE_F64);
    fold_part(&s, &m, 0, s.n);
    fold_part(&s, &before, 0, s.n);
    reduced_init(&none, &s, 0, 30, DTYPE_F64);
    none.view.n_rows = 0;
    assert_int_equal(moments_absorb(&m, &none.view, 5), 0);
    assert_true(moments_identical(&m, &before));
    moments_release(&m);
    moments_release(&before);
    reduced_release(&none);
    sample_release(&s);
}

/* What row i of n weighs when 40 of them came reduced: those before by their age, each of the 40 by
 * their mean. */
static double weight_when_reduced(size_t i, size_t n, double half_life)
{
    double sum = 0;

    if (i < n - 40)
        return exp2(-(double)(n - 1 - i) / half_life);
    for (size_t age = 0; age < 40; age++)
        sum += exp2(-(double)age / half_life);
    return sum / 40;
}

static void absorbing_ages_rows_as_folding_does(void **state)
{
    static const double half_lives[] = {1e6, 50, 4, 0.01};

    (void)state;
    for (int k = 0; k < 4; k++) {
        double w[100], scratch[2 * 8];
        struct sample s;
        struct moments m;
        struct reduced sent;
        struct reference ref;
        struct point got;

        make(&s, 8, 100, 8, 5, DTYPE_F64);
        reduced_init(&sent, &s, 60, 100, DTYPE_F64);
        assert_int_equal(moments_init(&m, s.p, s.c, 0), 0);
        sample_fold(&s, &m, 0, 60, 60, half_lives[k]);
        assert_int_equal(moments_absorb(&m, &sent.view, half_lives[k]), 0);
        for (size_t i = 0; i < s.n; i++)
            w[i] = fmax(weight_when_reduced(i, s.n, half_lives[k]), 1e-300);
        ref = sample_reference(&s, w);
        got = sample_measure(&s, &m);
        check_near(ref.n, got.n, ref.n, TOLERANCE);
        check_near(ref.d_lr, got.value[METRIC_D_LR], 1, 1e-11);
        check_near(ref.d_debiased, got.value[METRIC_D_DEBIASED], 1, 1e-11);
        check_near(ref.fourth, moments_fourth(&m, scratch), ref.fourth, TOLERANCE);
        moments_release(&m);
        reduced_release(&sent);
        sample_release(&s);
    }
}

/* The weight is the same exactly, n by x/2 coth(x/2) of moments.h: 1.001 for a sixth of a half-life
 * of rows, 1.01 for a half. */
static void reduced_parts_count_as_their_rows_do(void **state)
{
    static const size_t parts[] = {16, 47, 141};
    static const double more[] = {1.0003, 1.0012, 1.011};

    (void)state;
    for (int k = 0; k < 3; k++) {
        struct sample s;
        struct moments rows, reduced;
        struct point by_rows, by_parts;

        make(&s, 9, 1128, 8, 5, DTYPE_F64);
        assert_int_equal(moments_init(&rows, s.p, s.c, 0), 0);
        assert_int_equal(moments_init(&reduced, s.p, s.c, 0), 0);
        sample_fold(&s, &rows, 0, s.n, 100, 282);
        for (size_t at = 0; at < s.n; at += parts[k]) {
            struct reduced part;

            reduced_init(&part, &s, at, s.n - at < parts[k] ? s.n : at + parts[k], DTYPE_F64);
            assert_int_equal(moments_absorb(&reduced, &part.view, 282), 0);
            reduced_release(&part);
        }
        by_rows = sample_measure(&s, &rows);
        by_parts = sample_measure(&s, &reduced);
        printf("parts of %zu rows at half-life 282: n %.2f, by rows %.2f; d_lr %.5f, %.5f\n",
               parts[k], by_parts.n, by_rows.n, by_parts.value[METRIC_D_LR],
               by_rows.value[METRIC_D_LR]);
        check_near(rows.weight, reduced.weight, rows.weight, TOLERANCE);
        assert_true(by_parts.n >= by_rows.n && by_parts.n <= more[k] * by_rows.n);
        moments_release(&rows);
        moments_release(&reduced);
        sample_release(&s);
    }
}

/* ---- the fourth moment under drift --------------------------------------------------------- */

/* The mean moves on by `drift` spreads in all, in 20 steps, from the shift that the first batch
 * fixed. Sums about the shift are (drift^2 p)^2 a row, those about the mean p^2 (drift^2 / 12 +
 * 1)^2: their ratio, below 150, times 2^-53 sqrt(n p) is what the subtraction costs. */
static void the_fourth_moment_survives_a_drifting_mean(void **state)
{
    static const double drifts[] = {0, 1, 10, 100, 1000};

    (void)state;
    for (int k = 0; k < 5; k++) {
        struct sample s;
        struct moments m;

        make(&s, 9, 400, 10, 3, DTYPE_F64);
        for (size_t i = 0; i < s.n * s.p; i++)
            s.x[i] += drifts[k] * (double)(i / s.p / 20) / 20;
        sample_encode(&s, DTYPE_F64, DTYPE_F64);
        assert_int_equal(moments_init(&m, s.p, s.c, 0), 0);
        sample_fold(&s, &m, 0, s.n, 20, 0);
        check_fourth(&s, &m, TOLERANCE);
        moments_release(&m);
        sample_release(&s);
    }
}

/* ---- memory -------------------------------------------------------------------------------- */

static void every_allocation_of_init_may_fail(void **state)
{
    long n = 0;
    int rc;

    (void)state;
    do {
        struct moments m;

        fault_arm(++n);
        rc = moments_init(&m, 10, 3, 0);
        assert_int_equal(rc, fault_disarm() ? -ENOMEM : 0);
        moments_release(&m);
        moments_release(&m);
    } while (rc < 0);
    assert_true(n > 7);
}

static void absorbing_without_memory_leaves_the_moments_as_they_were(void **state)
{
    struct sample s;
    struct moments m, before;
    struct reduced sent;
    long n = 0;
    int rc;

    (void)state;
    make(&s, 11, 60, 7, 1, DTYPE_F64);
    fold_part(&s, &m, 0, 30);
    fold_part(&s, &before, 0, 30);
    reduced_init(&sent, &s, 30, 60, DTYPE_F64);
    do {
        fault_arm(++n);
        rc = moments_absorb(&m, &sent.view, 5);
        assert_int_equal(rc, fault_disarm() ? -ENOMEM : 0);
        assert_int_equal(moments_identical(&m, &before), rc < 0);
    } while (rc < 0);
    assert_true(n > 1);
    moments_release(&m);
    moments_release(&before);
    reduced_release(&sent);
    sample_release(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(moments_are_the_centred_sums_of_the_rows),
        cmocka_unit_test(size_in_bytes_is_what_is_allocated),
        cmocka_unit_test(after_a_reset_nothing_of_the_past_is_left),
        cmocka_unit_test(absorbed_statistics_equal_their_rows),
        cmocka_unit_test(absorbed_parts_give_the_whole_in_any_order),
        cmocka_unit_test(absorbed_statistics_of_no_rows_change_nothing),
        cmocka_unit_test(absorbing_ages_rows_as_folding_does),
        cmocka_unit_test(reduced_parts_count_as_their_rows_do),
        cmocka_unit_test(the_fourth_moment_survives_a_drifting_mean),
        cmocka_unit_test(every_allocation_of_init_may_fail),
        cmocka_unit_test(absorbing_without_memory_leaves_the_moments_as_they_were),
    };

    linalg_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
