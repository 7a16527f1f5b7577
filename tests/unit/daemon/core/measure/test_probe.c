/* S_init: against its definition by X_0'X_t in long double, and against what must not change it. */
#include "tests/lib/cmocka.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/core/matrix/linalg.h"
#include "daemon/core/measure/probe.h"
#include "tests/lib/core/reference_cka.h"
#include "tests/lib/core/sample.h"
#include "tests/lib/fault.h"

/* Sums of n^2 p products in double; the mean, up to 1000 spreads, reaches the centred kernel
 * through the rows' own rounding alone: 2^-53 1000 sqrt(p) = 2e-12. */
#define TOLERANCE 1e-11

static struct reservoir *keep_of(const struct sample *s)
{
    struct reservoir *k = reservoir_new(s->p, 1, 0);

    assert_non_null(k);
    reservoir_make_room(k, s->n);
    memcpy(k->x, s->x, s->n * s->p * sizeof(double));
    reservoir_commit(k, s->n);
    for (size_t i = 0; i < s->n; i++)
        k->weight[i] = 1;
    return k;
}

static struct likeness compare(const struct sample *a, const struct sample *b)
{
    struct reservoir *first = keep_of(a), *now = keep_of(b);
    struct probe p, q;
    struct likeness out;

    assert_int_equal(probe_init(&p, first), 0);
    assert_int_equal(probe_init(&q, now), 0);
    out = probe_compare(&p, &q);
    probe_release(&p);
    probe_release(&q);
    reservoir_free(first);
    reservoir_free(now);
    return out;
}

/* ||A'B||_F^2 with the column means taken off or not. */
static long double cross_squares(const struct sample *a, const struct sample *b, bool centre)
{
    long double *ma = must_alloc(a->p * sizeof *ma), *mb = must_alloc(b->p * sizeof *mb), sum = 0;

    reference_means(a->n, a->p, a->x, NULL, ma);
    reference_means(b->n, b->p, b->x, NULL, mb);
    for (size_t j = 0; j < a->p; j++) {
        for (size_t k = 0; k < b->p; k++) {
            long double dot = 0;

            for (size_t i = 0; i < a->n; i++)
                dot += (a->x[i * a->p + j] - (centre ? ma[j] : 0)) *
                       (b->x[i * b->p + k] - (centre ? mb[k] : 0));
            sum += dot * dot;
        }
    }
    free(ma);
    free(mb);
    return sum;
}

static double expected(const struct sample *a, const struct sample *b, bool centre)
{
    return (double)(cross_squares(a, b, centre) /
                    sqrtl(cross_squares(a, a, centre) * cross_squares(b, b, centre)));
}

static double expected_debiased(const struct sample *a, const struct sample *b)
{
    return reference_cka_debiased(a->n, a->p, a->x, b->p, b->x);
}

static void draw(struct sample *s, uint64_t seed, size_t n, size_t p, double mean)
{
    struct random r;

    random_seed(&r, seed);
    sample_init(s, n, p, 1);
    sample_fill(s, &r, mean, 1);
}

/* Independent features of one variance. */
static void draw_white(struct sample *s, uint64_t seed, size_t n, size_t p)
{
    struct random r;

    random_seed(&r, seed);
    sample_init(s, n, p, 1);
    random_fill_gaussian(&r, n * p, s->x);
}

static void likeness_is_that_of_the_definition(void **state)
{
    static const size_t shapes[][3] = {{50, 7, 7}, {30, 200, 200}, {40, 6, 130}, {2, 1, 1}};
    static const double means[] = {0, 1, 1000};

    (void)state;
    for (size_t i = 0; i < 12; i++) {
        const size_t *shape = shapes[i / 3];
        struct sample a, b;
        struct likeness got;
        double centred, raw;

        draw(&a, 2 * i, shape[0], shape[1], means[i % 3]);
        draw(&b, 2 * i + 1, shape[0], shape[2], means[i % 3]);
        got = compare(&a, &b);
        centred = fabs(got.centred - expected(&a, &b, true));
        raw = fabs(got.uncentred - expected(&a, &b, false));
        printf("n %2zu p %3zu, %3zu, mean %4g: S_init %.6f off by %.1e, uncentred %.6f by %.1e\n",
               shape[0], shape[1], shape[2], means[i % 3], got.centred, centred, got.uncentred,
               raw);
        assert_true(centred <= TOLERANCE && raw <= TOLERANCE);
        sample_release(&a);
        sample_release(&b);
    }
}

static void debiased_likeness_is_that_of_hsic_1(void **state)
{
    static const size_t shapes[][3] = {{50, 7, 7}, {30, 200, 200}, {40, 6, 130}, {4, 3, 2}};
    static const double means[] = {0, 1, 1000};

    (void)state;
    for (size_t i = 0; i < 12; i++) {
        const size_t *shape = shapes[i / 3];
        struct sample a, b;
        double off;

        draw(&a, 200 + 2 * i, shape[0], shape[1], means[i % 3]);
        draw(&b, 201 + 2 * i, shape[0], shape[2], means[i % 3]);
        off = fabs(compare(&a, &b).debiased - expected_debiased(&a, &b));
        printf("n %2zu p %3zu, %3zu, mean %4g: S_debiased %9.6f off by %.1e\n", shape[0], shape[1],
               shape[2], means[i % 3], compare(&a, &b).debiased, off);
        assert_true(off <= TOLERANCE);
        sample_release(&a);
        sample_release(&b);
    }
}

/* Over pairs of unrelated Gaussian rows, p directions alike: S_init has mean p / (n + p) nearly,
 * and the de-biased one 0, with standard deviation sqrt(2) / n. */
static void unrelated_rows_are_unlike_at_any_width(void **state)
{
    static const size_t widths[] = {16, 256, 2048};
    enum { ROWS = 128, PAIRS = 12 };

    (void)state;
    for (size_t w = 0; w < 3; w++) {
        double plain = 0, debiased = 0, se = sqrt(2. / PAIRS) / ROWS;

        for (uint64_t i = 0; i < PAIRS; i++) {
            struct sample a, b;
            struct likeness got;

            draw_white(&a, 300 + 2 * i, ROWS, widths[w]);
            draw_white(&b, 301 + 2 * i, ROWS, widths[w]);
            got = compare(&a, &b);
            plain += got.centred / PAIRS;
            debiased += got.debiased / PAIRS;
            sample_release(&a);
            sample_release(&b);
        }
        printf("n %d p %4zu: S_init %.4f, de-biased %7.4f (se %.4f)\n", ROWS, widths[w], plain,
               debiased, se);
        assert_true(fabs(plain - (double)widths[w] / (double)(widths[w] + ROWS)) < 0.02);
        assert_true(fabs(debiased) < 4 * se);
    }
}

static void too_few_rows_or_equal_distances_have_no_debiased_form(void **state)
{
    struct sample a, b;

    (void)state;
    draw(&a, 80, 3, 5, 1);
    assert_true(isnan(compare(&a, &a).debiased));
    sample_release(&a);
    draw(&a, 81, 20, 20, 0);
    draw(&b, 82, 20, 20, 0);
    memset(b.x, 0, 400 * sizeof(double));
    for (size_t i = 0; i < 20; i++)
        b.x[i * 21] = 3.1;
    assert_true(isnan(compare(&a, &b).debiased));
    assert_false(isnan(compare(&a, &b).centred));
    assert_true(fabs(compare(&a, &a).debiased - 1) <= TOLERANCE);
    sample_release(&a);
    sample_release(&b);
}

static void nothing_is_more_like_the_first_window_than_itself(void **state)
{
    (void)state;
    for (uint64_t seed = 100; seed < 150; seed++) {
        struct sample s;
        struct likeness got;

        draw(&s, seed, 20, 9, 1);
        got = compare(&s, &s);
        assert_true(got.centred <= 1 && got.centred >= 1 - TOLERANCE);
        assert_true(got.uncentred <= 1 && got.uncentred >= 1 - TOLERANCE);
        sample_release(&s);
    }
}

static void rotation_and_scale_change_nothing(void **state)
{
    struct sample a, b;
    struct random r;
    struct likeness got;

    (void)state;
    draw(&a, 30, 60, 12, 1);
    draw(&b, 30, 60, 12, 1);
    random_seed(&r, 31);
    sample_rotate(&b, &r);
    for (size_t i = 0; i < 60 * 12; i++)
        b.x[i] *= 1e5;
    got = compare(&a, &b);
    assert_true(fabs(got.centred - 1) <= TOLERANCE);
    assert_true(fabs(got.uncentred - 1) <= TOLERANCE);
    assert_true(fabs(got.debiased - 1) <= TOLERANCE);
    sample_release(&a);
    sample_release(&b);
}

static void a_shift_changes_the_uncentred_one_alone(void **state)
{
    struct sample a, b;
    struct likeness got;

    (void)state;
    draw(&a, 40, 60, 12, 0);
    draw(&b, 40, 60, 12, 0);
    for (size_t i = 0; i < 60 * 12; i++)
        b.x[i] += 3;
    got = compare(&a, &b);
    assert_true(fabs(got.centred - 1) <= TOLERANCE);
    assert_true(got.uncentred < 0.9);
    assert_true(fabs(got.debiased - 1) <= TOLERANCE);
    sample_release(&a);
    sample_release(&b);
}

static void features_that_do_not_vary_give_null(void **state)
{
    struct sample a, b;
    struct likeness got;

    (void)state;
    draw(&a, 50, 20, 3, 0);
    draw(&b, 51, 20, 3, 0);
    for (size_t i = 0; i < 60; i++)
        b.x[i] = 0.1;
    got = compare(&a, &b);
    assert_true(isnan(got.centred) && isnan(got.debiased));
    assert_false(isnan(got.uncentred));
    memset(b.x, 0, 60 * sizeof(double));
    assert_true(isnan(compare(&a, &b).uncentred));
    sample_release(&a);
    sample_release(&b);
}

static void expect_problem(const struct probe *first, const struct reservoir *rows,
                           enum probe_problem problem)
{
    assert_string_equal(probe_problem_text(probe_check(first, rows)), probe_problem_text(problem));
}

/* With a first window, and as a first window. */
static void rows_that_are_no_probe_are_named(void **state)
{
    struct probe first, none = {0};
    struct sample a;
    struct reservoir *rows;

    (void)state;
    draw(&a, 70, 30, 5, 1);
    rows = keep_of(&a);
    assert_int_equal(probe_init(&first, rows), 0);
    expect_problem(&first, rows, PROBE_NONE);
    expect_problem(&none, rows, PROBE_NONE);
    for (size_t i = 0; i < a.n; i++)
        rows->weight[i] = 2;
    expect_problem(&first, rows, PROBE_NONE);
    rows->weight[a.n - 1] = 1;
    expect_problem(&first, rows, PROBE_WEIGHTS);
    expect_problem(&none, rows, PROBE_WEIGHTS);
    rows->n_seen = a.n - 1;
    expect_problem(&first, rows, PROBE_N_ROWS);
    expect_problem(&none, rows, PROBE_NONE);
    reservoir_make_room(rows, reservoir_capacity(rows));
    reservoir_commit(rows, reservoir_capacity(rows));
    expect_problem(&first, rows, PROBE_TOO_MANY);
    expect_problem(&none, rows, PROBE_TOO_MANY);
    rows->broken = true;
    expect_problem(&first, rows, PROBE_REDUCED);
    expect_problem(&none, rows, PROBE_REDUCED);
    probe_release(&first);
    reservoir_free(rows);
    sample_release(&a);
}

static void no_memory_leaks_nothing(void **state)
{
    struct sample a;
    struct reservoir *rows;
    struct probe p;

    (void)state;
    draw(&a, 60, 20, 3, 0);
    rows = keep_of(&a);
    for (long i = 1; i <= 2; i++) {
        fault_arm(i);
        assert_int_equal(probe_init(&p, rows), -ENOMEM);
        assert_true(fault_disarm());
    }
    assert_true(probe_size_bytes(1024) <= 9 << 20);
    reservoir_free(rows);
    sample_release(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(likeness_is_that_of_the_definition),
        cmocka_unit_test(debiased_likeness_is_that_of_hsic_1),
        cmocka_unit_test(unrelated_rows_are_unlike_at_any_width),
        cmocka_unit_test(too_few_rows_or_equal_distances_have_no_debiased_form),
        cmocka_unit_test(nothing_is_more_like_the_first_window_than_itself),
        cmocka_unit_test(rotation_and_scale_change_nothing),
        cmocka_unit_test(a_shift_changes_the_uncentred_one_alone),
        cmocka_unit_test(features_that_do_not_vary_give_null),
        cmocka_unit_test(rows_that_are_no_probe_are_named),
        cmocka_unit_test(no_memory_leaks_nothing),
    };

    linalg_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
