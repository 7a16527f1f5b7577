/* A point of which a second worker makes parts, before it, beside it, after it or never. */
#include "tests/lib/cmocka.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <string.h>

#include "daemon/core/matrix/linalg.h"
#include "daemon/core/measure/measure.h"
#include "tests/lib/core/sample.h"
#include "tests/lib/fault.h"
#include "tests/lib/random.h"

#define N_FEATURES 256
#define N_OUTPUTS  16
#define N_ROWS     600
#define N_TURNS    20

struct window {
    struct moments m;
    struct shared_parts shared;
    struct measure_plan plan;
    struct point point;
    int rc;
};

static int setup(void **state)
{
    static struct window window;
    struct random random;
    struct sample s;

    linalg_init();
    random_seed(&random, 3);
    sample_init(&s, N_ROWS, N_FEATURES, N_OUTPUTS);
    sample_fill(&s, &random, 1, 1);
    sample_encode(&s, DTYPE_F32, DTYPE_F32);
    window.plan = (struct measure_plan){.precision = {DTYPE_F32, DTYPE_F32},
                                        .projector.kind = PROJECTOR_SPAN,
                                        .shared = &window.shared};
    if (moments_init(&window.m, s.p, s.c, 0) < 0)
        return -1;
    sample_fold(&s, &window.m, 0, s.n, 512, 0);
    sample_release(&s);
    shared_parts_init(&window.shared);
    *state = &window;
    return 0;
}

static int teardown(void **state)
{
    struct window *w = *state;

    shared_parts_release(&w->shared);
    moments_release(&w->m);
    return 0;
}

static void *make_point(void *argument)
{
    struct window *w = argument;
    struct spectrum *none;

    memset(&w->point, 0, sizeof w->point);
    w->rc = measure_point(&w->m, &w->plan, &w->point, &none);
    return NULL;
}

static void *make_second_part(void *argument)
{
    struct window *w = argument;

    measure_second_part(&w->m, &w->plan);
    return NULL;
}

/* Bit by bit: a NaN is the same NaN. */
static void assert_same(const struct window *w, const struct point *expected)
{
    assert_int_equal(w->rc, 0);
    assert_false(isnan(w->point.value[METRIC_CCA_MEAN]));
    assert_memory_equal(&w->point, expected, sizeof *expected);
}

static struct point alone(struct window *w)
{
    struct measure_plan plan = w->plan;
    struct spectrum *none;
    struct point point;

    memset(&point, 0, sizeof point);
    plan.shared = NULL;
    assert_int_equal(measure_point(&w->m, &plan, &point, &none), 0);
    return point;
}

static void the_point_is_the_same_whenever_the_second_worker_comes(void **state)
{
    struct window *w = *state;
    struct point expected = alone(w);

    make_point(w); /* and never */
    assert_same(w, &expected);
    make_second_part(w);
    assert_same(w, &expected);
    shared_parts_open(&w->shared);
    make_second_part(w);
    make_point(w);
    assert_same(w, &expected);
}

static void two_workers_make_the_point_side_by_side(void **state)
{
    struct window *w = *state;
    struct point expected = alone(w);

    for (size_t i = 0; i < N_TURNS; i++) {
        pthread_t threads[2];

        shared_parts_open(&w->shared);
        assert_int_equal(pthread_create(&threads[i % 2], NULL, make_point, w), 0);
        assert_int_equal(pthread_create(&threads[1 - i % 2], NULL, make_second_part, w), 0);
        pthread_join(threads[0], NULL);
        pthread_join(threads[1], NULL);
        assert_same(w, &expected);
    }
}

/* Features alone have no views. */
static void features_alone_are_shared_too(void **state)
{
    struct window *w = *state;
    struct moments whole = w->m;
    struct point expected;

    w->m.c = w->m.w = 0;
    expected = alone(w);
    shared_parts_open(&w->shared);
    make_second_part(w);
    make_point(w);
    assert_false(isnan(w->point.value[METRIC_STABLE_RANK]));
    assert_memory_equal(&w->point, &expected, sizeof expected);
    w->m = whole;
}

/* What the second worker found no memory for the point has not; the next window is measured. */
static void a_second_worker_without_memory_costs_the_point(void **state)
{
    struct window *w = *state;
    struct point expected = alone(w);
    bool failed;
    long n = 0;

    do {
        shared_parts_open(&w->shared);
        fault_arm(++n);
        make_second_part(w);
        failed = fault_disarm();
        make_point(w);
        assert_int_equal(w->rc, failed ? -ENOMEM : 0);
    } while (failed);
    assert_true(n > 3);
    assert_same(w, &expected);
}

/* And not where a spectrum takes most of the time. */
static void a_second_worker_comes_only_for_what_is_long(void **state)
{
    struct window *w = *state;
    struct measure_plan plan = w->plan;
    struct moments m = w->m;

    assert_true(measure_has_second_part(&w->m, &plan));
    plan.spectrum.wanted = true;
    assert_false(measure_has_second_part(&w->m, &plan));
    plan = w->plan;
    plan.shared = NULL;
    assert_false(measure_has_second_part(&w->m, &plan));
    m.p = N_FEATURES / 2;
    assert_false(measure_has_second_part(&m, &w->plan));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_point_is_the_same_whenever_the_second_worker_comes),
        cmocka_unit_test(two_workers_make_the_point_side_by_side),
        cmocka_unit_test(features_alone_are_shared_too),
        cmocka_unit_test(a_second_worker_without_memory_costs_the_point),
        cmocka_unit_test(a_second_worker_comes_only_for_what_is_long),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
