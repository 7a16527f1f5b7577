/* What is kept of a probe's rows: CKA from it against CKA from the rows in long double, and what
 * must not change it. */
#include "tests/lib/cmocka.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "daemon/core/matrix/linalg.h"
#include "daemon/core/measure/representation.h"
#include "tests/lib/core/reference_cka.h"
#include "tests/lib/core/sample.h"
#include "tests/lib/fault.h"

/* Promised by representation.h. */
#define TOLERANCE 1e-6

struct pair {
    double plain, debiased;
};

static struct probe probe_of(const struct sample *s)
{
    struct reservoir *rows = reservoir_new(s->p, 1, 0);
    struct probe probe;

    assert_non_null(rows);
    assert_true(s->n <= reservoir_capacity(rows));
    reservoir_make_room(rows, s->n);
    memcpy(rows->x, s->x, s->n * s->p * sizeof(double));
    reservoir_commit(rows, s->n);
    for (size_t i = 0; i < s->n; i++)
        rows->weight[i] = 1;
    assert_int_equal(probe_init(&probe, rows), 0);
    reservoir_free(rows);
    return probe;
}

static struct representation keep(const struct sample *s)
{
    struct probe probe = probe_of(s);
    struct representation out;

    assert_int_equal(representation_init(&out, &probe), 0);
    probe_release(&probe);
    return out;
}

static double cka(const struct representation *a, const struct representation *b,
                  enum cka_form form)
{
    size_t n = representation_n_values(a->n);
    double *x = must_alloc(n * sizeof *x), *y = must_alloc(n * sizeof *y), out;

    representation_expand(a, form, x);
    representation_expand(b, form, y);
    out = linalg_dot(n, x, y);
    free(x);
    free(y);
    return out;
}

static struct pair compare(const struct sample *a, const struct sample *b)
{
    struct representation x = keep(a), y = keep(b);
    struct pair out = {cka(&x, &y, CKA_PLAIN), cka(&x, &y, CKA_DEBIASED)};

    representation_release(&x);
    representation_release(&y);
    return out;
}

/* The rows of the sample that are kept. */
static void take_kept(struct sample *out, const struct sample *s)
{
    size_t n = representation_rows(s->n);

    sample_init(out, n, s->p, 1);
    for (size_t i = 0; i < n; i++)
        memcpy(out->x + i * s->p, s->x + i * s->n / n * s->p, s->p * sizeof(double));
}

enum regime { WHITE, DECAYING, CLUSTERS, FAR_MEAN, OUTLIER, HEAVY, REGIMES };

static const char *const regimes[REGIMES] = {"white",    "decaying", "clusters",
                                             "far mean", "outlier",  "heavy"};

static double element(struct random *r, enum regime regime, size_t i, size_t j, double stretch)
{
    double g = random_gaussian(r);

    switch (regime) {
    case DECAYING:
        return g / (double)(j + 1);
    case CLUSTERS:
        return 0.01 * g + (j % 10 == i % 10 ? 3 : 0);
    case FAR_MEAN:
        return g + 1000;
    case OUTLIER:
        return i == 3 ? 300 * g : g;
    case HEAVY:
        return stretch * g;
    default:
        return g;
    }
}

static void draw(struct sample *s, uint64_t seed, enum regime regime, size_t n, size_t p)
{
    struct random r;

    random_seed(&r, seed);
    sample_init(s, n, p, 1);
    for (size_t i = 0; i < n; i++) {
        double stretch = exp(1.5 * random_gaussian(&r));

        for (size_t j = 0; j < p; j++)
            s->x[i * p + j] = element(&r, regime, i, j, stretch);
    }
}

/* b becomes a mix of both, so that neither CKA is near 0 nor 1. */
static void mix(const struct sample *a, struct sample *b)
{
    for (size_t i = 0; i < a->n * a->p; i++)
        b->x[i] = 0.6 * b->x[i] + 0.4 * a->x[i];
}

static double check_regime(enum regime regime, size_t n, size_t p)
{
    struct sample a, b, x, y;
    struct pair got;
    double plain, debiased;

    draw(&a, 1000 * n + p, regime, n, p);
    draw(&b, 1000 * n + p + 1, regime, n, p);
    mix(&a, &b);
    take_kept(&x, &a);
    take_kept(&y, &b);
    got = compare(&a, &b);
    plain = fabs(got.plain - reference_cka_plain(x.n, p, x.x, p, y.x));
    debiased = fabs(got.debiased - reference_cka_debiased(x.n, p, x.x, p, y.x));
    printf("%-9s n %4zu p %4zu: cka %.6f off by %.1e, de-biased %.6f by %.1e\n", regimes[regime], n,
           p, got.plain, plain, got.debiased, debiased);
    sample_release(&a);
    sample_release(&b);
    sample_release(&x);
    sample_release(&y);
    return fmax(plain, debiased);
}

static void cka_is_that_of_the_rows(void **state)
{
    static const size_t shapes[][2] = {{4, 3}, {50, 7}, {100, 400}, {257, 40}, {700, 24}};
    double worst = 0;

    (void)state;
    for (int regime = 0; regime < REGIMES; regime++) {
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
            worst = fmax(worst, check_regime((enum regime)regime, shapes[i][0], shapes[i][1]));
    }
    worst = fmax(worst, check_regime(WHITE, 256, 2048));
    printf("worst: %.1e\n", worst);
    assert_true(worst <= TOLERANCE);
}

static void one_layer_is_itself(void **state)
{
    struct sample a;
    struct pair got;

    (void)state;
    draw(&a, 1, DECAYING, 300, 20);
    got = compare(&a, &a);
    assert_true(fabs(got.plain - 1) <= 1e-12 && fabs(got.debiased - 1) <= 1e-12);
    sample_release(&a);
}

static void rotation_scale_and_shift_change_nothing(void **state)
{
    struct sample a, b;
    struct random r;
    struct pair got;

    (void)state;
    draw(&a, 2, DECAYING, 300, 20);
    draw(&b, 2, DECAYING, 300, 20);
    random_seed(&r, 3);
    sample_rotate(&b, &r);
    for (size_t i = 0; i < 300 * 20; i++)
        b.x[i] = 1e60 * b.x[i] + 1e61;
    got = compare(&a, &b);
    assert_true(fabs(got.plain - 1) <= TOLERANCE && fabs(got.debiased - 1) <= TOLERANCE);
    sample_release(&a);
    sample_release(&b);
}

/* As in test_probe.c: mean 0, standard deviation sqrt(2) / n. */
static void unrelated_layers_of_any_widths_are_unlike(void **state)
{
    enum { PAIRS = 8, ROWS = 256 };
    double plain = 0, debiased = 0, se = sqrt(2. / PAIRS) / ROWS;

    (void)state;
    for (uint64_t i = 0; i < PAIRS; i++) {
        struct sample a, b;
        struct pair got;

        draw(&a, 300 + 2 * i, WHITE, ROWS, 1024);
        draw(&b, 301 + 2 * i, WHITE, ROWS, 300);
        got = compare(&a, &b);
        plain += got.plain / PAIRS;
        debiased += got.debiased / PAIRS;
        sample_release(&a);
        sample_release(&b);
    }
    printf("unrelated, p 1024 and 300: cka %.4f, de-biased %.4f (se %.4f)\n", plain, debiased, se);
    assert_true(plain > 0.5 && fabs(debiased) < 4 * se);
}

static void rows_that_do_not_vary_or_are_all_equally_far_give_null(void **state)
{
    struct sample flat, apart;
    struct pair got;

    (void)state;
    draw(&flat, 4, WHITE, 20, 20);
    draw(&apart, 5, WHITE, 20, 20);
    for (size_t i = 0; i < 400; i++) {
        flat.x[i] = 0.1;
        apart.x[i] = i % 21 == 0 ? 3.1 : 0;
    }
    got = compare(&flat, &flat);
    assert_true(isnan(got.plain) && isnan(got.debiased));
    got = compare(&apart, &apart);
    assert_true(fabs(got.plain - 1) <= TOLERANCE && isnan(got.debiased));
    sample_release(&flat);
    sample_release(&apart);
}

static void fewer_than_four_rows_leave_nothing(void **state)
{
    struct sample a;
    struct representation kept;

    (void)state;
    draw(&a, 6, WHITE, 3, 20);
    kept = keep(&a);
    assert_int_equal(kept.n_rows, 0);
    assert_null(kept.kernel);
    sample_release(&a);
}

static void no_memory_leaks_nothing(void **state)
{
    struct sample a;
    struct probe probe;
    struct representation kept;

    (void)state;
    draw(&a, 7, WHITE, 30, 3);
    probe = probe_of(&a);
    for (long i = 1; i <= 2; i++) {
        fault_arm(i);
        assert_int_equal(representation_init(&kept, &probe), -ENOMEM);
        assert_true(fault_disarm());
        representation_release(&kept);
    }
    probe_release(&probe);
    sample_release(&a);
}

/* Printed, not asserted: a checkpoint may spend a quarter of a second. */
static void what_it_costs(void **state)
{
    struct sample a;
    struct probe probe;
    struct representation kept;
    clock_t start;

    (void)state;
    draw(&a, 8, WHITE, 1000, 16);
    probe = probe_of(&a);
    start = clock();
    assert_int_equal(representation_init(&kept, &probe), 0);
    printf("of a window of 1,000 rows: %.2f ms\n",
           1e3 * (double)(clock() - start) / CLOCKS_PER_SEC);
    representation_release(&kept);
    probe_release(&probe);
    sample_release(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cka_is_that_of_the_rows),
        cmocka_unit_test(one_layer_is_itself),
        cmocka_unit_test(rotation_scale_and_shift_change_nothing),
        cmocka_unit_test(unrelated_layers_of_any_widths_are_unlike),
        cmocka_unit_test(rows_that_do_not_vary_or_are_all_equally_far_give_null),
        cmocka_unit_test(fewer_than_four_rows_leave_nothing),
        cmocka_unit_test(no_memory_leaks_nothing),
        cmocka_unit_test(what_it_costs),
    };

    linalg_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
