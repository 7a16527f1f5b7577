#include "daemon/host/pulse.h"

#include "tests/lib/cmocka.h"

#include <pthread.h>
#include <semaphore.h>

#define STILL 10

static struct pulse handed_over(double cpu_s_max)
{
    struct pulse pulse;

    pulse_start(&pulse, cpu_s_max);
    return pulse;
}

/* One call of LAPACK that takes 227 s of a machine which gives it a ninth of a core. */
static void work_that_computes_is_never_stuck(void **state)
{
    struct pulse pulse = handed_over(600);
    double used_s = 0;

    (void)state;
    for (int tick = 0; tick < 9 * 227; tick++) {
        used_s += 1.0 / 9;
        assert_false(pulse_look(&pulse, used_s, STILL));
    }
}

static void work_that_stands_still_is_stuck_after_ten_looks(void **state)
{
    struct pulse pulse = handed_over(600);

    (void)state;
    assert_false(pulse_look(&pulse, 1, STILL));
    for (int tick = 1; tick < STILL; tick++)
        assert_false(pulse_look(&pulse, 1, STILL));
    assert_true(pulse_look(&pulse, 1, STILL));
    assert_true(pulse_look(&pulse, 1, STILL));
    assert_false(pulse_look(&pulse, 1.001, STILL)); /* the disk answers again */
}

static void work_that_no_thread_takes_is_stuck_too(void **state)
{
    struct pulse pulse = handed_over(600);

    (void)state;
    for (int tick = 1; tick < STILL; tick++)
        assert_false(pulse_is_stuck(&pulse, STILL));
    assert_true(pulse_is_stuck(&pulse, STILL));
}

static void work_without_an_end_is_stuck(void **state)
{
    struct pulse pulse = handed_over(60);

    (void)state;
    for (int tick = 1; tick <= 60; tick++)
        assert_false(pulse_look(&pulse, tick, STILL));
    assert_true(pulse_look(&pulse, 61, STILL));
}

/* ---- a thread ------------------------------------------------------------------------------- */

struct worker {
    struct pulse pulse;
    sem_t begun, may_end;
    double until_s;
};

static void *work(void *arg)
{
    struct worker *worker = arg;

    pulse_begin(&worker->pulse);
    while (pulse_used_s(&worker->pulse) < worker->until_s)
        continue;
    sem_post(&worker->begun);
    sem_wait(&worker->may_end);
    return NULL;
}

static void a_thread_s_own_time_counts_from_its_beginning(void **state)
{
    struct worker worker = {.until_s = .02};
    pthread_t thread;
    double used_s;

    (void)state;
    sem_init(&worker.begun, 0, 0);
    sem_init(&worker.may_end, 0, 0);
    pulse_start(&worker.pulse, 600);
    assert_true(pulse_used_s(&worker.pulse) == 0);
    assert_int_equal(pthread_create(&thread, NULL, work, &worker), 0);
    sem_wait(&worker.begun);
    used_s = pulse_used_s(&worker.pulse);
    assert_true(used_s >= worker.until_s && used_s < 600);
    assert_false(pulse_is_stuck(&worker.pulse, STILL));
    sem_post(&worker.may_end);
    pthread_join(thread, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(work_that_computes_is_never_stuck),
        cmocka_unit_test(work_that_stands_still_is_stuck_after_ten_looks),
        cmocka_unit_test(work_that_no_thread_takes_is_stuck_too),
        cmocka_unit_test(work_without_an_end_is_stuck),
        cmocka_unit_test(a_thread_s_own_time_counts_from_its_beginning),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
