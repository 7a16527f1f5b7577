#include "tests/lib/cmocka.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "daemon/core/detect/watch.h"
#include "tests/lib/fault.h"

#define N_POINTS 70
/* In the middle of the series, so that the levels before and behind it are long enough. */
#define AT 40

static double ripple(int64_t i)
{
    return 0.001 * (double)(i * 7919 % 13);
}

/* D_LR falls and pr rises at the same point; u stays where it is. */
static struct point point_at(int64_t i)
{
    struct point p = {.step = 10 * i, .time = 1764000000 + (double)i};

    for (int m = 0; m < METRIC_COUNT; m++)
        p.value[m] = (double)NAN;
    p.value[METRIC_D_LR] = (i < AT ? 0.5 : 0.1) + ripple(i);
    p.value[METRIC_PR] = 100 * ((i < AT ? 0.2 : 0.8) + ripple(i));
    p.value[METRIC_U] = 0.9 + ripple(i);
    return p;
}

/* All that the series' points have completed. */
static size_t feed_all(struct watch *w, struct finding *found, size_t size)
{
    struct finding at_once[RUN_WATCHED_MAX];
    size_t n = 0, n_at_once;

    for (int64_t i = 0; i < N_POINTS; i++) {
        struct point p = point_at(i);

        n_at_once = watch_feed(w, 1, &p, at_once);
        assert_true(n + n_at_once <= size);
        memcpy(found + n, at_once, n_at_once * sizeof *found);
        n += n_at_once;
    }
    return n;
}

static void one_point_completes_a_transition_of_each_metric(void **state)
{
    struct watch *w =
        watch_new(&(struct watch_list){.n = 3, .metrics = {METRIC_PR, METRIC_U, METRIC_D_LR}});
    struct finding found[RUN_WATCHED_MAX];

    (void)state;
    assert_int_equal(feed_all(w, found, RUN_WATCHED_MAX), 2);
    assert_string_equal(found[0].metric, "pr");
    assert_int_equal(found[0].transition.direction, TRANSITION_RISE);
    assert_string_equal(found[1].metric, "d_lr");
    assert_int_equal(found[1].transition.direction, TRANSITION_FALL);
    assert_int_equal(found[0].step, found[1].step);
    assert_true(found[0].time == 1764000000 + (double)found[0].step / 10);
    for (int i = 0; i < 2; i++) {
        assert_in_range(found[i].transition.start, 10 * (AT - 4), 10 * AT);
        assert_in_range(found[i].transition.end, 10 * (AT - 1), 10 * (AT + 4));
        assert_null(found[i].accuracy.name);
    }
    watch_free(w);
}

static void what_is_not_in_the_list_is_not_watched(void **state)
{
    struct watch *w = watch_new(&(struct watch_list){.n = 1, .metrics = {METRIC_U}});
    struct finding found[RUN_WATCHED_MAX];

    (void)state;
    assert_int_equal(feed_all(w, found, RUN_WATCHED_MAX), 0);
    watch_free(w);
    w = watch_new(&(struct watch_list){0});
    assert_int_equal(feed_all(w, found, RUN_WATCHED_MAX), 0);
    watch_free(w);
    watch_free(NULL);
}

/* A measure that comes with every third point alone is a series of these. */
static void points_without_the_measure_are_passed_over(void **state)
{
    struct watch *w = watch_new(&(struct watch_list){.n = 1, .metrics = {METRIC_NC1}});
    struct finding dense[RUN_WATCHED_MAX], found[RUN_WATCHED_MAX];
    size_t n_dense = 0, n = 0;

    (void)state;
    for (int64_t i = 0; i < N_POINTS; i++) {
        struct point p = point_at(i);

        p.value[METRIC_NC1] = p.value[METRIC_D_LR];
        n_dense += watch_feed(w, 1, &p, dense + n_dense);
    }
    watch_free(w);
    w = watch_new(&(struct watch_list){.n = 1, .metrics = {METRIC_NC1}});
    for (int64_t i = 0; i < 3 * N_POINTS; i++) {
        struct point p = point_at(i);

        p.step = i;
        p.value[METRIC_NC1] = i % 3 ? (double)NAN : point_at(i / 3).value[METRIC_D_LR];
        n += watch_feed(w, 1, &p, found + n);
    }
    assert_int_equal(n_dense, 1);
    assert_int_equal(n, 1);
    assert_int_equal(found[0].transition.start * 10, dense[0].transition.start * 3);
    assert_true(found[0].transition.to == dense[0].transition.to);
    watch_free(w);
}

/* ---- which points count ---------------------------------------------------------------------- */

static void points_that_tell_of_the_sampling_are_left_out(void **state)
{
    static const struct {
        uint32_t flags;
        enum metric metric;
        bool takes;
    } cases[] = {
        {0, METRIC_D_DEBIASED, true},
        {FLAG_PARTIAL, METRIC_D_DEBIASED, false},
        {FLAG_PARTIAL | FLAG_ROW_FORM, METRIC_PR, false},
        {FLAG_PARTIAL, METRIC_PARAM_NORM, true}, /* it is of no row */
        {FLAG_CONSTANT, METRIC_D_LR, false},
        {FLAG_CONSTANT, METRIC_DEAD_FEATURES, true}, /* all of them, perhaps */
        {FLAG_DEGENERATE, METRIC_U_DEBIASED, false},
        {FLAG_NOT_CONVERGED, METRIC_PR, false},
        {FLAG_LOW_PRECISION, METRIC_D_LR, false},
        {FLAG_DEGENERATE, METRIC_D_LR, false},
        {FLAG_DEGENERATE, METRIC_D_DEBIASED, false},
        {FLAG_DEGENERATE, METRIC_U, false},
        {FLAG_DEGENERATE, METRIC_PR, true},
        {FLAG_SMALL_SAMPLE | FLAG_TOP_OUTPUTS | FLAG_FROM_HEAD | FLAG_CLASSES_MISSING, METRIC_D_LR,
         true},
    };
    struct point p = {0};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        p.flags = cases[i].flags;
        assert_int_equal(watch_takes(cases[i].metric, &p), cases[i].takes);
    }
    p.flags = 0;
    p.value[METRIC_D_LR] = (double)NAN;
    assert_false(watch_takes(METRIC_D_LR, &p));
}

/* Rows were lost in the middle, and their points stand at another level. */
static void partial_points_make_no_transition(void **state)
{
    struct watch *w = watch_new(&(struct watch_list){.n = 1, .metrics = {METRIC_U}});
    struct finding found[RUN_WATCHED_MAX];

    (void)state;
    for (int64_t i = 0; i < N_POINTS; i++) {
        struct point p = point_at(i);

        if (i >= AT) {
            p.flags = FLAG_PARTIAL;
            p.value[METRIC_U] = 0.2 + ripple(i);
        }
        assert_int_equal(watch_feed(w, 1, &p, found), 0);
    }
    watch_free(w);
}

/* ---- what stands in for what ----------------------------------------------------------------- */

static double fall_of(int64_t i)
{
    return (i < AT ? 0.5 : 0.1) + ripple(i);
}

/* How many the default finds, whose d_debiased begins at point `from`; the last of them. */
static size_t feed_default(int64_t from, struct finding *out)
{
    struct watch *w = watch_new(&watch_default);
    struct finding found[RUN_WATCHED_MAX];
    size_t n_found = 0;

    for (int64_t i = 0; i < N_POINTS; i++) {
        struct point p = point_at(i);
        size_t n;

        p.value[METRIC_D_DEBIASED] = i < from ? (double)NAN : fall_of(i);
        n = watch_feed(w, 1, &p, found);
        if (n > 0)
            *out = found[n - 1];
        n_found += n;
    }
    watch_free(w);
    return n_found;
}

static void by_default_d_debiased_is_watched_and_d_lr_stands_in(void **state)
{
    struct finding found;

    (void)state;
    assert_int_equal(feed_default(0, &found), 1);
    assert_string_equal(found.metric, "d_debiased");
    assert_int_equal(feed_default(N_POINTS, &found), 1);
    assert_string_equal(found.metric, "d_lr");
    assert_int_equal(feed_default(5, &found), 1);
    assert_string_equal(found.metric, "d_debiased");
}

/* ---- what is said of it ---------------------------------------------------------------------- */

static void an_event_has_the_rows_before_and_after(void **state)
{
    static const int64_t stretch[] = {1, 20}; /* the second is longer than what is remembered */

    (void)state;
    for (size_t k = 0; k < 2; k++) {
        struct watch *w = watch_new(&(struct watch_list){.n = 1, .metrics = {METRIC_D_LR}});
        struct finding found[RUN_WATCHED_MAX];
        size_t n_found = 0;

        for (int64_t i = 0; i < N_POINTS * stretch[k] && n_found == 0; i++) {
            struct point p = point_at(i);

            p.value[METRIC_D_LR] = (i < AT * stretch[k] ? 0.5 : 0.1) + ripple(i);
            p.n = i < AT * stretch[k] ? 64 : 640;
            n_found = watch_feed(w, 3, &p, found);
        }
        assert_int_equal(n_found, 1);
        assert_true(found[0].n_from == 64);
        assert_true(found[0].n_to > 320 && found[0].n_to <= 640);
        assert_int_equal(found[0].attempt, 3);
        assert_int_equal(found[0].transition.returned, -1);
        watch_free(w);
    }
}

static void scalars_are_watched_by_name(void **state)
{
    const struct watch_list list = {.n_scalars = 2, .scalars = {"loss", "acc"}};
    struct watch *w = watch_new_scalars(&list);
    struct scalar logged[] = {{.name = "other"}, {.name = "acc"}, {.name = "loss"}};
    struct finding found[RUN_WATCHED_MAX]; /* their names are those of `logged` */
    size_t n_found = 0;

    (void)state;
    for (int64_t i = 0; i < N_POINTS && n_found == 0; i++) {
        logged[0].value = fall_of(i);
        logged[1].value = 1 - fall_of(i);
        logged[2].value = i % 2 ? (double)NAN : 0.5;
        n_found = watch_log_feed(w, 2, 10 * i, 7, logged, 3, found);
    }
    assert_int_equal(n_found, 1);
    assert_string_equal(found[0].metric, "acc");
    assert_int_equal(found[0].transition.direction, TRANSITION_RISE);
    assert_int_equal(found[0].attempt, 2);
    assert_true(found[0].time == 7 && isnan(found[0].n_from) && isnan(found[0].n_to));
    watch_free(w);
}

/* The points of tests/data/mod97_measures_seedN.csv, with the logarithm of NC1 as rankme, which the
 * file does not have; returns how many transitions they complete. */
static size_t feed_file(int seed, const struct watch_list *list, struct finding *found, size_t size)
{
    struct watch *w = watch_new(list);
    struct finding at_once[RUN_WATCHED_MAX];
    struct point p = {0};
    char text[256];
    size_t n = 0, n_at_once;
    FILE *in;

    snprintf(text, sizeof text, "tests/data/mod97_measures_seed%d.csv", seed);
    in = fopen(text, "r");
    assert_non_null(in);
    while (fgets(text, sizeof text, in)) {
        if (sscanf(text, "%" SCNd64 ",%lf,%lf,%lf,%lf", &p.step, &p.value[METRIC_D_LR],
                   &p.value[METRIC_PR], &p.value[METRIC_NC1], &p.value[METRIC_NC1_QUOTIENT]) != 5)
            continue;
        p.value[METRIC_RANKME] = log10(p.value[METRIC_NC1]);
        n_at_once = watch_feed(w, 1, &p, at_once);
        assert_true(n + n_at_once <= size);
        memcpy(found + n, at_once, n_at_once * sizeof *found);
        n += n_at_once;
    }
    fclose(in);
    watch_free(w);
    assert_int_equal(p.step, 1500);
    return n;
}

static struct transition of_metric(const struct finding *found, size_t n, enum metric metric)
{
    size_t i = 0;

    while (i < n && strcmp(found[i].metric, metric_table[metric].name) != 0)
        i++;
    assert_true(i < n);
    return found[i].transition;
}

/* While a network groks pr rises threefold as D_LR falls, over the same steps; the quotient of
 * neural collapse falls by decades, and is over first. The detector's constants were chosen for
 * D_LR alone. */
static void pr_rises_where_d_lr_falls(void **state)
{
    static const struct watch_list watched = {
        .n = 3, .metrics = {METRIC_D_LR, METRIC_PR, METRIC_NC1_QUOTIENT}};
    static const struct {
        int seed;
        int64_t start, end; /* of D_LR's fall */
    } runs[] = {{0, 650, 880}, {4, 680, 910}};
    struct finding found[RUN_WATCHED_MAX];

    (void)state;
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) {
        size_t n = feed_file(runs[i].seed, &watched, found, RUN_WATCHED_MAX);
        struct transition d_lr = of_metric(found, n, METRIC_D_LR);
        struct transition pr = of_metric(found, n, METRIC_PR);
        struct transition quotient = of_metric(found, n, METRIC_NC1_QUOTIENT);

        assert_int_equal(n, 3);
        assert_int_equal(d_lr.direction, TRANSITION_FALL);
        assert_int_equal(d_lr.start, runs[i].start);
        assert_int_equal(d_lr.end, runs[i].end);
        assert_int_equal(pr.direction, TRANSITION_RISE);
        assert_in_range(pr.start, d_lr.start - 10, d_lr.start + 10);
        assert_in_range(pr.end, d_lr.end - 10, d_lr.end + 10);
        assert_true(pr.to > 2.5 * pr.from);
        assert_int_equal(quotient.direction, TRANSITION_FALL);
        assert_in_range(quotient.start, d_lr.start - 10, d_lr.start + 10);
        assert_in_range(quotient.end, quotient.start + 10, d_lr.end);
    }
}

/* It doubles over hundreds of steps, falls by four decades, and goes on falling with bursts until
 * the file ends: there is no lasting level behind, on no scale, nor in its logarithm. */
static void nc1_has_no_levels_to_pass_between(void **state)
{
    static const struct watch_list watched = {.n = 2, .metrics = {METRIC_NC1, METRIC_RANKME}};
    struct finding found[RUN_WATCHED_MAX];

    (void)state;
    assert_int_equal(feed_file(0, &watched, found, RUN_WATCHED_MAX), 0);
    assert_int_equal(feed_file(4, &watched, found, RUN_WATCHED_MAX), 0);
}

/* Seeds that the detector's constants were not chosen with. */
static void d_debiased_with_its_errors_falls_where_d_lr_does(void **state)
{
    static const struct watch_list watched = {.n = 2, .metrics = {METRIC_D_LR, METRIC_D_DEBIASED}};

    (void)state;
    for (int seed = 8; seed <= 9; seed++) {
        struct watch *w = watch_new(&watched);
        struct finding at_once[RUN_WATCHED_MAX], found[2];
        struct point p = {0};
        char text[256];
        size_t n = 0;
        FILE *in;

        snprintf(text, sizeof text, "tests/data/mod97_squared_error_seed%d.csv", seed);
        in = fopen(text, "r");
        assert_non_null(in);
        while (fgets(text, sizeof text, in)) {
            if (sscanf(text, "%" SCNd64 ",%lf,%*f,%lf,%lf", &p.step, &p.value[METRIC_D_LR],
                       &p.value[METRIC_D_DEBIASED], &p.value[METRIC_D_DEBIASED_SE]) != 4)
                continue;
            for (size_t k = watch_feed(w, 1, &p, at_once); k > 0; k--) {
                assert_true(n < 2);
                found[n++] = at_once[k - 1];
            }
        }
        fclose(in);
        watch_free(w);
        assert_int_equal(p.step, 1500);
        assert_int_equal(n, 2);
        assert_string_not_equal(found[0].metric, found[1].metric);
        for (size_t k = 0; k < 2; k++) {
            assert_int_equal(found[k].transition.direction, TRANSITION_FALL);
            assert_in_range(found[k].transition.start, 640, 660);
            assert_in_range(found[k].transition.end, 880, 920);
        }
    }
}

static void no_memory_is_no_watch(void **state)
{
    (void)state;
    fault_arm(1);
    assert_null(watch_new(&(struct watch_list){.n = 1, .metrics = {METRIC_D_LR}}));
    assert_true(fault_disarm());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_point_completes_a_transition_of_each_metric),
        cmocka_unit_test(what_is_not_in_the_list_is_not_watched),
        cmocka_unit_test(points_without_the_measure_are_passed_over),
        cmocka_unit_test(points_that_tell_of_the_sampling_are_left_out),
        cmocka_unit_test(partial_points_make_no_transition),
        cmocka_unit_test(by_default_d_debiased_is_watched_and_d_lr_stands_in),
        cmocka_unit_test(an_event_has_the_rows_before_and_after),
        cmocka_unit_test(scalars_are_watched_by_name),
        cmocka_unit_test(pr_rises_where_d_lr_falls),
        cmocka_unit_test(nc1_has_no_levels_to_pass_between),
        cmocka_unit_test(d_debiased_with_its_errors_falls_where_d_lr_does),
        cmocka_unit_test(no_memory_is_no_watch),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
