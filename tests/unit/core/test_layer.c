#include "tests/lib/cmocka.h"

#include <stdlib.h>

#include "daemon/core/layer.h"
#include "daemon/core/linalg.h"
#include "tests/lib/parcel.h"

#define P 3
#define C 1

/* A layer with memory, and the list that takes what it is done with. */
struct fixture {
    struct layer *layer;
    struct list finished;
    struct layer_done done;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    list_init(&f->finished);
    f->layer = layer_new(NULL, "head", P, C, (struct window){.kind = WINDOW_CHECKPOINT});
    *state = f;
    return f->layer && layer_allocate(f->layer, &(struct batch){0}, 2) == 0 ? 0 : -1;
}

static size_t free_finished(struct fixture *f)
{
    size_t n = 0;

    for (struct list *at; (at = list_first(&f->finished)); n++) {
        list_remove(at);
        parcel_free((struct parcel *)LIST_ENTRY(at, struct batch, queued.link));
    }
    return n;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    layer_clear_queue(f->layer, &f->finished);
    free_finished(f);
    layer_free(f->layer);
    free(f);
    assert_int_equal(parcel_live(), 0);
    return 0;
}

static void push(struct fixture *f, enum parcel_kind kind, size_t n)
{
    layer_push_batch(f->layer, &parcel_new(kind, "head", P, C, n, n)->batch);
}

static void push_mark(struct fixture *f, struct mark *mark, struct point *point)
{
    *point = (struct point){0};
    static struct spectrum *none;

    *mark = (struct mark){.point = point, .spectrum = &none};
    layer_push_mark(f->layer, mark);
}

/* Runs the job to its end; returns how many batches came back. */
static size_t run(struct fixture *f, struct job *job)
{
    do {
        for (size_t i = 0; i < job->n_shares; i++)
            job_work(job, i);
        layer_job_done(f->layer, &f->finished, &f->done);
    } while (f->done.next);
    return free_finished(f);
}

static void few_rows_wait_for_a_block(void **state)
{
    struct fixture *f = *state;

    push(f, PARCEL_F32, 10);
    assert_null(layer_start(f->layer));
    f->layer->flush = true;
    assert_non_null(layer_start(f->layer));
    assert_int_equal(run(f, &f->layer->job), 1);
    assert_int_equal(f->layer->moments.n_rows, 10);
}

static void full_block_does_not_wait(void **state)
{
    struct fixture *f = *state;
    size_t capacity = fold_capacity(f->layer->fold);

    push(f, PARCEL_F32, capacity - 1);
    assert_null(layer_start(f->layer));
    push(f, PARCEL_F32, 1);
    assert_non_null(layer_start(f->layer));
    assert_int_equal(run(f, &f->layer->job), 2);
    assert_int_equal(f->layer->held_bytes, 0);
}

static void batch_longer_than_a_block_comes_back_after_its_last_row(void **state)
{
    struct fixture *f = *state;
    size_t capacity = fold_capacity(f->layer->fold);

    push(f, PARCEL_F32, 2 * capacity + 1);
    assert_int_equal(run(f, layer_start(f->layer)), 0);
    assert_int_equal(run(f, layer_start(f->layer)), 0);
    assert_null(layer_start(f->layer)); /* one row is left */
    f->layer->flush = true;
    assert_int_equal(run(f, layer_start(f->layer)), 1);
    assert_int_equal(f->layer->moments.n_rows, 2 * capacity + 1);
    assert_int_equal(f->layer->window_rows, 2 * capacity + 1);
    assert_int_equal(f->layer->queued_rows, 0);
}

static void batch_longer_than_a_block_is_refused_whole(void **state)
{
    struct fixture *f = *state;

    push(f, PARCEL_NAN, 2 * fold_capacity(f->layer->fold));
    assert_int_equal(run(f, layer_start(f->layer)), 1);
    assert_int_equal(f->layer->moments.n_rows, 0);
    assert_int_equal(f->layer->queued_rows, 0);
    assert_int_equal(f->layer->held_bytes, 0);
    assert_null(layer_start(f->layer));
}

static void mark_waits_for_what_is_before_it(void **state)
{
    struct fixture *f = *state;
    struct point point;
    struct mark mark;

    push(f, PARCEL_F32, 10);
    push_mark(f, &mark, &point);
    push(f, PARCEL_F32, 5);
    assert_int_equal(layer_start(f->layer)->kind, JOB_FOLD);
    assert_null(layer_start(f->layer)); /* busy */
    assert_int_equal(run(f, &f->layer->job), 1);
    assert_int_equal(layer_start(f->layer)->kind, JOB_MEASURE);
    run(f, &f->layer->job);
    assert_ptr_equal(f->done.mark, &mark);
    assert_true(mark.measured);
    assert_true(point.n == 10);
    assert_int_equal(f->layer->moments.n_rows, 0);
}

static void mark_without_rows_is_not_measured(void **state)
{
    struct fixture *f = *state;
    struct point point;
    struct mark mark;

    push_mark(f, &mark, &point);
    run(f, layer_start(f->layer));
    assert_ptr_equal(f->done.mark, &mark);
    assert_false(mark.measured);
}

static void formats_that_do_not_mix_go_block_by_block(void **state)
{
    struct fixture *f = *state;

    push(f, PARCEL_F32, 4);
    push(f, PARCEL_F64, 5);
    push(f, PARCEL_MOMENTS, 6);
    f->layer->flush = true;
    assert_int_equal(run(f, layer_start(f->layer)), 1);
    assert_int_equal(run(f, layer_start(f->layer)), 1);
    assert_int_equal(layer_start(f->layer)->kind, JOB_ABSORB);
    assert_int_equal(run(f, &f->layer->job), 1);
    assert_int_equal(f->layer->moments.n_rows, 15);
}

static void cleared_queue_keeps_what_a_job_reads(void **state)
{
    struct fixture *f = *state;
    size_t capacity = fold_capacity(f->layer->fold);
    struct job *job;

    push(f, PARCEL_F32, capacity + 1);
    push(f, PARCEL_F32, 7);
    job = layer_start(f->layer);
    assert_non_null(job);
    assert_int_equal(layer_clear_queue(f->layer, &f->finished), 7 * (P + C) * sizeof(float));
    assert_int_equal(free_finished(f), 1);
    assert_int_equal(run(f, job), 1);
    assert_int_equal(f->layer->held_bytes, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(few_rows_wait_for_a_block),
        TEST(full_block_does_not_wait),
        TEST(batch_longer_than_a_block_comes_back_after_its_last_row),
        TEST(batch_longer_than_a_block_is_refused_whole),
        TEST(mark_waits_for_what_is_before_it),
        TEST(mark_without_rows_is_not_measured),
        TEST(formats_that_do_not_mix_go_block_by_block),
        TEST(cleared_queue_keeps_what_a_job_reads),
    };

    linalg_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
