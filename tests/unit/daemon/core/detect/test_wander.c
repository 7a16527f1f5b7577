#include "daemon/core/detect/wander.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/lib/random.h"

#define N     200
#define TRIES 200
#define Z2    16.0

/* A random walk's places, or with `kept` 0 white noise's; a level is a mean here. */
static void make_places(struct random *random, double kept, double se, struct wander_place *places)
{
    double x = 0;

    for (size_t i = 0; i < N; i++) {
        x = kept * x + random_gaussian(random);
        places[i] = (struct wander_place){.x = x, .se = (float)se};
        if (i + 1 < WANDER_LEVEL)
            continue;
        for (size_t j = 0; j < WANDER_LEVEL; j++)
            places[i].level += places[i - j].x / WANDER_LEVEL;
        places[i].level_se = (float)(se / sqrt(WANDER_LEVEL));
    }
}

static struct wander learn(const struct wander_place *places)
{
    struct wander wander = {.low = INFINITY, .high = -INFINITY};

    for (size_t i = WANDER_LEVEL - 1; i < N; i++)
        wander_extend(&wander, &places[i], i - (WANDER_LEVEL - 1));
    return wander;
}

/* Share of series whose bound is below the variance that their noise has. */
static double share_below(double kept, size_t m, double variance)
{
    struct wander_place places[N];
    struct random random;
    size_t n_below = 0;

    random_seed(&random, 1);
    for (size_t i = 0; i < TRIES; i++) {
        struct wander wander;

        make_places(&random, kept, 0, places);
        wander = learn(places);
        n_below += wander_variance(&wander, m, Z2) < variance;
    }
    return (double)n_below / TRIES;
}

/* The way of a random walk between two means of 8 points that are m apart has the variance
 * m - 8/3; that of white noise 2/8. The bound is the least of some: it may be a little low. */
static void the_bound_is_hardly_ever_below_half_the_noise(void **state)
{
    (void)state;
    for (size_t m = 8; m <= 56; m += 8) {
        assert_true(share_below(1, m, ((double)m - 8.0 / 3) / 2) <= 0.02);
        assert_true(share_below(0, m, 0.25 / 2) <= 0.02);
    }
}

/* The noise that the standard errors explain is not counted twice. */
static void what_the_errors_explain_is_no_wandering(void **state)
{
    struct wander_place places[N];
    struct wander without, with;
    struct random random;

    (void)state;
    random_seed(&random, 2);
    make_places(&random, 0, 0, places);
    without = learn(places);
    random_seed(&random, 2);
    make_places(&random, 0, 1, places);
    with = learn(places);
    assert_true(wander_variance(&with, 16, Z2) < 0.8 * wander_variance(&without, 16, Z2));
    assert_true(with.low == without.low && with.high == without.high);
}

static void nothing_learned_is_no_bound(void **state)
{
    struct wander none = {.low = INFINITY, .high = -INFINITY};

    (void)state;
    assert_true(isinf(wander_variance(&none, WANDER_LEVEL, Z2)));
}

/* The levels that leave the window give what they gave when they were in it. */
static void levels_that_leave_are_kept(void **state)
{
    struct wander_place places[N];
    struct wander left = {.low = INFINITY, .high = -INFINITY}, all;
    struct random random;

    (void)state;
    random_seed(&random, 3);
    make_places(&random, 1, 0.5, places);
    all = learn(places);
    for (size_t i = WANDER_LEVEL - 1; i + WANDER_LAG_MAX < N; i++)
        wander_leave(&left, &places[i]);
    assert_true(left.low >= all.low && left.high <= all.high);
    assert_true(left.stray[WANDER_LAGS - 1].n == all.stray[WANDER_LAGS - 1].n);
    assert_true(fabs(left.stray[WANDER_LAGS - 1].sum / all.stray[WANDER_LAGS - 1].sum - 1) < 1e-12);
    assert_true(left.stray[3].known > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_bound_is_hardly_ever_below_half_the_noise),
        cmocka_unit_test(what_the_errors_explain_is_no_wandering),
        cmocka_unit_test(nothing_learned_is_no_bound),
        cmocka_unit_test(levels_that_leave_are_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
