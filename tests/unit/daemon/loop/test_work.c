/* The linker sends job_work here: a share of a job waits at its gate. */
#include "daemon/loop/work.h"

#include "tests/lib/cmocka.h"

#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>

#define N_CPUS    2
#define N_OTHERS  3 /* the store and two readers */
#define N_SHARES  8
#define LARGE_P   2048
#define STILL_MAX 3

static sem_t quick_gate, slow_gate;
static atomic_int n_quick, n_slow; /* shares that run */
static atomic_int most_quick, most_slow;

struct bench {
    uv_loop_t loop;
    struct work *work;
    size_t n_done;
    size_t n_others_done;
};

void __wrap_job_work(struct job *, size_t share);

static void note_most(atomic_int *most, int n)
{
    int before = atomic_load(most);

    while (n > before && !atomic_compare_exchange_weak(most, &before, n))
        continue;
}

void __wrap_job_work(struct job *job, size_t share)
{
    bool is_slow = job_is_long(job);
    atomic_int *n = is_slow ? &n_slow : &n_quick;

    (void)share;
    note_most(is_slow ? &most_slow : &most_quick, atomic_fetch_add(n, 1) + 1);
    sem_wait(is_slow ? &slow_gate : &quick_gate);
    atomic_fetch_sub(n, 1);
}

static void on_done(void *arg, struct job *job)
{
    struct bench *bench = arg;

    (void)job;
    bench->n_done++;
}

static int setup(void **state)
{
    struct bench *bench = calloc(1, sizeof *bench);
    char size[8];

    snprintf(size, sizeof size, "%zu", work_n_threads(N_CPUS) + N_OTHERS);
    setenv("UV_THREADPOOL_SIZE", size, 1);
    sem_init(&quick_gate, 0, 0);
    sem_init(&slow_gate, 0, 0);
    n_quick = n_slow = most_quick = most_slow = 0;
    uv_loop_init(&bench->loop);
    bench->work = work_new(&bench->loop, N_CPUS, on_done, bench);
    *state = bench;
    return bench->work ? 0 : -1;
}

static int teardown(void **state)
{
    struct bench *bench = *state;

    uv_run(&bench->loop, UV_RUN_DEFAULT);
    work_free(bench->work);
    uv_loop_close(&bench->loop);
    free(bench);
    return 0;
}

static struct layer small = {.p = 64}, large = {.p = LARGE_P};

static struct job quick_job(size_t n_shares)
{
    return (struct job){.kind = JOB_FOLD, .layer = &small, .n_shares = n_shares};
}

static struct job slow_job(void)
{
    return (struct job){
        .kind = JOB_MEASURE, .layer = &large, .n_shares = 1, .plan.spectrum.wanted = true};
}

static void open_gate(sem_t *gate, int n)
{
    for (int i = 0; i < n; i++)
        sem_post(gate);
}

static void run_until_done(struct bench *bench, size_t n_jobs)
{
    while (bench->n_done < n_jobs)
        uv_run(&bench->loop, UV_RUN_ONCE);
}

static void only_the_spectrum_of_a_wide_layer_is_long(void **state)
{
    struct job quick = quick_job(1), slow = slow_job();

    (void)state;
    assert_false(job_is_long(&quick));
    assert_true(job_is_long(&slow));
    slow.plan.spectrum.wanted = false;
    assert_false(job_is_long(&slow));
    slow = slow_job();
    slow.layer = &small;
    assert_false(job_is_long(&slow));
}

/* The slowest that was measured: 227 s at p = 8192. */
static void no_job_is_thought_stuck_that_the_slowest_machine_needs(void **state)
{
    struct layer widest = {.p = SPECTRUM_P_MAX};
    struct job job = slow_job();

    (void)state;
    job.layer = &widest;
    assert_true(job_cpu_s_max(&job) > 10 * 227);
    job.layer = &small;
    assert_true(job_cpu_s_max(&job) >= 100);
}

static void nothing_waits_behind_large_spectra_but_another(void **state)
{
    struct bench *bench = *state;
    struct job slow[3] = {slow_job(), slow_job(), slow_job()}, quick = quick_job(N_SHARES);

    for (size_t i = 0; i < 3; i++)
        assert_int_equal(work_start(bench->work, &slow[i]), 0);
    assert_int_equal(work_start(bench->work, &quick), 0);
    open_gate(&quick_gate, N_SHARES);
    run_until_done(bench, 1);
    assert_true(quick.shares_left == 0 && most_slow <= 1);
    open_gate(&slow_gate, 3);
    run_until_done(bench, 4);
    assert_int_equal(most_slow, 1);
}

static void other_work(uv_work_t *request)
{
    (void)request;
}

static void other_done(uv_work_t *request, int status)
{
    struct bench *bench = request->data;

    (void)status;
    bench->n_others_done++;
}

static void the_store_never_waits_for_jobs(void **state)
{
    struct bench *bench = *state;
    struct job slow[2] = {slow_job(), slow_job()}, quick = quick_job(N_SHARES);
    uv_work_t store = {.data = bench};

    assert_int_equal(work_start(bench->work, &quick), 0);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(work_start(bench->work, &slow[i]), 0);
    uv_queue_work(&bench->loop, &store, other_work, other_done);
    while (bench->n_others_done == 0)
        uv_run(&bench->loop, UV_RUN_ONCE);
    assert_int_equal(bench->n_done, 0);
    open_gate(&quick_gate, N_SHARES);
    open_gate(&slow_gate, 2);
    run_until_done(bench, 3);
    assert_true(most_quick <= N_CPUS && most_slow == 1);
}

/* One share does all that there is, so none waits for a thread to find nothing. */
static void a_job_has_as_many_shares_as_threads_are_free(void **state)
{
    struct bench *bench = *state;
    struct job first = quick_job(1), second = quick_job(N_SHARES), third = quick_job(N_SHARES);

    assert_int_equal(work_start(bench->work, &first), 0);
    assert_int_equal(work_start(bench->work, &second), 0);
    assert_int_equal(work_start(bench->work, &third), 0);
    assert_int_equal(second.shares_left, 1);
    assert_int_equal(third.shares_left, 1);
    open_gate(&quick_gate, 3);
    run_until_done(bench, 3);
    assert_int_equal(work_start(bench->work, &third), 0);
    assert_int_equal(third.shares_left, N_CPUS);
    open_gate(&quick_gate, N_CPUS);
    run_until_done(bench, 4);
}

static void a_share_that_does_not_move_is_found(void **state)
{
    struct bench *bench = *state;
    struct job job = quick_job(1), behind = quick_job(N_SHARES);
    const struct job *found = NULL;

    assert_null(work_find_stuck(bench->work, STILL_MAX));
    assert_int_equal(work_start(bench->work, &job), 0);
    assert_int_equal(work_start(bench->work, &behind), 0);
    while (n_quick < N_CPUS)
        uv_sleep(1);
    for (unsigned i = 0; i < 2 * STILL_MAX; i++)
        found = work_find_stuck(bench->work, STILL_MAX);
    assert_true(found == &job || found == &behind);
    open_gate(&quick_gate, 1 + N_SHARES);
    run_until_done(bench, 2);
    assert_null(work_find_stuck(bench->work, STILL_MAX));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_the_spectrum_of_a_wide_layer_is_long),
        cmocka_unit_test(no_job_is_thought_stuck_that_the_slowest_machine_needs),
        cmocka_unit_test_setup_teardown(nothing_waits_behind_large_spectra_but_another, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(the_store_never_waits_for_jobs, setup, teardown),
        cmocka_unit_test_setup_teardown(a_job_has_as_many_shares_as_threads_are_free, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_share_that_does_not_move_is_found, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
